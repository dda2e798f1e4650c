"""Prefect follows the store: wherever the process dies, whenever Prefect is away, whatever a hand has done there."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import datetime, timedelta
from itertools import product
from typing import Any
from uuid import uuid4

import pytest

from api_shim.domain.accounts import User
from api_shim.domain.model import Job, JobResult, Participant, PendingCleanup, ScheduledJob, Status
from api_shim.domain.ports import ApprovalForm, Run, RunSpec
from api_shim.domain.recurrence import CronSpec, Interval
from api_shim.parsing.decision import Decision
from api_shim.reconcile import firings
from api_shim.reconcile.approval_form import build_approval_form, fingerprint, waiting_name
from api_shim.reconcile.desired_state import one_off_key
from api_shim.services.admission import Attempt
from api_shim.services.approval_state import return_stale
from approval_gate.admission import SUPERSEDED, Finish, Go
from approval_gate.errors import Unavailable
from approval_gate.lifecycle import ApprovalState
from approval_gate.model import Actor
from tests.api_shim.plant import HOUR, INPUTS, Plant, Plants
from tests.factories import NOW, make_user

LATER = {"interval": "future", "name": "once", "start_time": (NOW + HOUR).isoformat()}
HOURLY = {"interval": "hourly", "name": "often", "start_time": (NOW + HOUR).isoformat()}
MINUTE = timedelta(minutes=1)
WRITES = {
    "create_deployment",
    "write_deployment",
    "remove_deployment",
    "create_run",
    "release",
    "end",
    "prepare",
    "ask",
}


# A crash at any point


def in_line_after_a_crash(plants: Plants, ready: Callable[[], Plant], work: Callable[[Plant], Awaitable[Any]]) -> None:
    for plant in plants.dying(ready, work):
        plant.settle()
        plant.check_in_line()


def test_wherever_an_immediate_run_dies_there_is_one_run_or_none(plants: Plants) -> None:
    for plant in plants.dying(plants.ready, Plant.request):
        plant.settle()
        plant.check_in_line()
        results = plant.all(JobResult)
        assert [run.id for run in plant.unended()] == [result.flow_run_id for result in results]
        assert all(result.released for result in results)
        plant.work_off()
        assert [result.status for result in plant.all(JobResult)] == [Status.SUCCESS] * len(results)
    assert len(results) == 1


def test_wherever_a_one_off_dies_there_is_one_run_for_its_time_or_nothing(plants: Plants) -> None:
    for plant in plants.dying(plants.ready, lambda plant: plant.request(LATER)):
        plant.settle()
        plant.check_in_line()
        assert [run.scheduled_for for run in plant.unended()] == [NOW + HOUR] * len(plant.all(ScheduledJob))
        plant.now = NOW + HOUR
        plant.work_off()
        plant.tick(seconds=1)
        assert [result.status for result in plant.all(JobResult)] == [Status.SUCCESS] * len(plant.all(ScheduledJob))
    assert not plant.only(ScheduledJob).enabled


def test_wherever_a_recurring_one_dies_there_is_one_deployment_that_is_active_or_none(plants: Plants) -> None:
    for plant in plants.dying(plants.ready, lambda plant: plant.request(HOURLY)):
        plant.settle()
        plant.check_in_line()
        assert [spec.schedule.active for spec in plant.own().values()] == [True] * len(plant.all(ScheduledJob))
        assert plant.all(JobResult) == []
    assert len(plant.own()) == 1


def test_wherever_the_record_of_a_job_dies_there_is_one_base_deployment(plants: Plants) -> None:
    in_line_after_a_crash(plants, plants.make, lambda plant: plant.round())


def with_both(plants: Plants) -> Plant:
    plant = plants.ready()
    plant.one_off()
    plant.recurring()
    plant.tick(seconds=1)
    plant.engine.make_firing(plant.own_id(), NOW + HOUR)
    return plant


def test_wherever_a_deletion_dies_everything_is_as_before_or_nothing_is_left(plants: Plants) -> None:
    async def delete(plant: Plant) -> None:
        await plant.schedules.delete_all(plant.actor, [row.id for row in plant.all(ScheduledJob)])

    for plant in plants.dying(lambda: with_both(plants), delete):
        plant.settle()
        plant.check_in_line()
        assert len(plant.all(ScheduledJob)) in (0, 2)
        assert len(plant.unended()) == len(plant.all(ScheduledJob))
    assert plant.all(ScheduledJob) == []


def unprojected(plants: Plants, interval: Interval) -> Plant:
    plant = plants.ready()
    plant._scheduled(interval=interval, start_time=NOW + HOUR)
    return plant


@pytest.mark.parametrize("interval", [Interval.FUTURE, Interval.HOURLY])
def test_what_is_deleted_while_it_was_half_projected_leaves_nothing(plants: Plants, interval: Interval) -> None:
    for plant in plants.dying(lambda: unprojected(plants, interval), lambda plant: plant.round()):
        plant.start()
        asyncio.run(plant.schedules.delete(plant.actor, plant.only(ScheduledJob).id))
        plant.settle()
        plant.check_in_line()
        assert plant.own() == {}
        assert plant.unended() == []


def changed(plants: Plants, interval: Interval, **to: Any) -> Plant:
    """Return a plant whose scheduled job was projected, and then changed."""
    plant = unprojected(plants, interval)
    plant.tick(seconds=1)
    row = plant.only(ScheduledJob)
    plant.change(row, **to, version=row.version + 1)
    return plant


@pytest.mark.parametrize("interval", [Interval.FUTURE, Interval.HOURLY])
def test_wherever_disabling_dies_nothing_can_start_in_prefect(plants: Plants, interval: Interval) -> None:
    for plant in plants.dying(lambda: changed(plants, interval, enabled=False), lambda plant: plant.round()):
        plant.settle()
        plant.check_in_line()
        assert plant.unended() == []
        assert [spec.schedule.active for spec in plant.own().values()] in ([], [False])


@pytest.mark.parametrize("interval", [Interval.FUTURE, Interval.HOURLY])
def test_wherever_a_return_to_the_queue_dies_it_is_asked_about_and_nothing_can_start(
    plants: Plants, interval: Interval
) -> None:
    pending = {"approval": ApprovalState.PENDING}
    for plant in plants.dying(lambda: changed(plants, interval, **pending), lambda plant: plant.round()):
        plant.settle()
        check_asking(plant)


# Requests that wait for a decision


KINDS = [
    pytest.param(LATER, id="once"),
    pytest.param(HOURLY, id="again and again"),
    pytest.param(None, id="at once"),
]
BOB = make_user("bob", is_superuser=True)
AS_BOB = Actor(id=BOB.id, username="bob", superuser=True)
FINE = Decision(comment="fine", force=True)


def guarded(plants: Plants, **job: Any) -> Plant:
    """Return a plant whose Job needs approval, and which knows bob."""
    plant = plants.ready(approval_required=True, **job)
    plant.add(BOB)
    return plant


def requested(plants: Plants, schedule: Any, **job: Any) -> Plant:
    """Return a plant where alice has asked for a run and nobody has decided."""
    plant = guarded(plants, **job)
    asyncio.run(plant.request(schedule))
    return plant


async def approve(plant: Plant, decision: Decision = FINE) -> None:
    await plant.approvals.approve(AS_BOB, {"id": plant.only(ScheduledJob).id}, decision)


async def deny(plant: Plant, who: Actor = AS_BOB, comment: str = "no") -> None:
    await plant.approvals.deny(who, {"id": plant.only(ScheduledJob).id}, Decision(comment=comment))


def its_run(plant: Plant) -> Run:
    """Return the run that the store has for the one request."""
    run_id = plant.only(ScheduledJob).flow_run_id
    assert run_id is not None
    return plant.engine.all_runs[run_id]


def to_ask(plant: Plant) -> ApprovalForm:
    """Return what must be asked about the one request."""
    row, owners = plant.only(ScheduledJob), plant.all(Participant)
    owner = next((user.username for user in plant.all(User) if user.id == row.owner_id), "")
    return build_approval_form(row, plant.only(Job), "alice" if owners else "somebody unknown", owner, plant.now)


def check_asking(plant: Plant) -> Run:
    """See that one held run asks about the one request, and nothing can start."""
    row, job = plant.only(ScheduledJob), plant.only(Job)
    assert row.awaits_decision
    assert row.projected_version == row.version
    assert plant.all(PendingCleanup) == []
    assert plant.all(JobResult) == []
    run = its_run(plant)
    assert plant.unended() == [run]
    assert (run.state_type, run.state_name) == ("PAUSED", "Suspended")
    assert (run.name, run.parameters) == (waiting_name(row), INPUTS)
    assert run.deployment_id == (job.deployment_id if row.one_off else row.deployment_id)
    asked = plant.engine.questions[run.id]
    assert fingerprint(asked) == row.question_mark
    assert (asked.parameters, asked.form["properties"]["decision"]["enum"]) == (INPUTS, ["approve", "deny"])
    assert {key: spec.schedule.slug for key, spec in plant.own().items()} == (
        {} if row.one_off else {row.deployment_id: str(row.id)}
    )
    assert not any(spec.schedule.active for spec in plant.own().values())
    assert [key for key, spec in plant.engine.made.items() if spec.schedule is None] == [job.deployment_id]
    return run


def executed_once(plant: Plant) -> JobResult:
    """Let the time of the first firing come; see that it is executed once, as the one who asked for it."""
    plant.now = max(plant.now, NOW + HOUR)
    for deployment_id, spec in plant.own().items():
        assert spec.schedule.active
        plant.engine.make_firing(deployment_id, NOW + HOUR)
    plant.work_off()
    plant.tick(3, seconds=31)
    plant.work_off()
    [result] = plant.all(JobResult)
    assert (result.status, result.user_id) == (Status.SUCCESS, plant.user.id)
    assert plant.only(ScheduledJob).total_run_count == 1
    return result


@pytest.mark.parametrize("schedule", KINDS)
def test_a_request_is_a_held_run_that_asks(plants: Plants, schedule: Any) -> None:
    plant = guarded(plants)
    create, held = plant.engine.create_run, []

    async def spied(deployment_id: Any, run: RunSpec) -> Any:
        held.append(run)
        return await create(deployment_id, run)

    plant.engine.create_run = spied  # type: ignore[method-assign]
    asyncio.run(plant.request(schedule))
    run = check_asking(plant)
    asked = to_ask(plant)
    assert plant.engine.questions[run.id] == asked
    assert run.message == asked.message == "Waits for approval; requested by alice."
    # It has the tag from the beginning: a run that dies before it asks is found all the same.
    assert [(spec.awaits, spec.name, spec.message) for spec in held] == [(True, asked.name, asked.message)]
    plant.tick(8, seconds=31)
    assert check_asking(plant).id == run.id


@pytest.mark.parametrize(
    ("schedule", "decision", "said"),
    [
        pytest.param(LATER, FINE, "Approved by bob: fine", id="once"),
        pytest.param(HOURLY, FINE, "Approved by bob: fine", id="again and again"),
        pytest.param(None, Decision(force=True), "Approved by bob.", id="at once, without a word"),
    ],
)
def test_what_is_approved_is_released_for_its_time_and_executes_once(
    plants: Plants, schedule: Any, decision: Decision, said: str
) -> None:
    plant = requested(plants, schedule)
    request = its_run(plant)
    plant.now += timedelta(seconds=1)
    asyncio.run(approve(plant, decision))
    row, run = plant.only(ScheduledJob), plant.engine.all_runs[request.id]
    assert plant.engine.questions.get(run.id) is None or run.final
    assert run.message == said
    if row.one_off:
        assert (run.state_type, run.name, run.scheduled_for) == ("SCHEDULED", row.name, row.start_time)
    else:
        assert (run.state_type, run.state_name) == ("COMPLETED", "Completed")
        assert run.name == f"{row.name} (approved)"
        assert [spec.schedule.active for spec in plant.own().values()] == [True]
    plant.check_in_line()
    result = executed_once(plant)
    assert (result.flow_run_id == request.id) is row.one_off
    assert result.approval == {"by": "bob", "at": row.approved_at.isoformat(), "comment": decision.comment}  # type: ignore[union-attr]
    assert plant.unended() == []


ENDINGS = [
    pytest.param({"enabled": False}, "Cancelled", "The scheduled job is disabled.", id="disabled"),
    pytest.param(
        {"enabled": False, "approval": ApprovalState.EXPIRED},
        "Expired",
        "Nobody decided about this request in time.",
        id="expired",
    ),
]


@pytest.mark.parametrize("schedule", KINDS[:2])
@pytest.mark.parametrize(("to", "name", "message"), ENDINGS)
def test_a_request_that_has_ended_is_cancelled_with_the_reason(
    plants: Plants, schedule: Any, to: dict[str, Any], name: str, message: str
) -> None:
    plant = requested(plants, schedule)
    run, row = its_run(plant), plant.only(ScheduledJob)
    plant.change(row, **to, version=row.version + 1)
    plant.tick(3, seconds=31)
    ended = plant.engine.all_runs[run.id]
    assert (ended.state_type, ended.state_name, ended.message) == ("CANCELLED", name, message)
    assert plant.unended() == []
    assert not any(spec.schedule.active for spec in plant.own().values())
    plant.tick(3, seconds=600)
    assert (plant.unended(), plant.all(JobResult)) == ([], [])
    plant.check_in_line()


@pytest.mark.parametrize(
    ("schedule", "decides", "message"),
    [
        pytest.param(HOURLY, deny, "Denied by bob: no", id="denied"),
        pytest.param(LATER, lambda plant: deny(plant, comment=""), "Denied by bob.", id="denied without a word"),
        pytest.param(
            None, lambda plant: deny(plant, plant.actor, "mistaken"), "Withdrawn by alice: mistaken", id="withdrawn"
        ),
        pytest.param(
            HOURLY,
            lambda plant: plant.schedules.delete(plant.actor, plant.only(ScheduledJob).id),
            "Deleted by alice.",
            id="deleted",
        ),
    ],
)
def test_what_is_denied_is_cancelled_with_the_reason_and_its_deployment_is_gone(
    plants: Plants, schedule: Any, decides: Callable[[Plant], Awaitable[None]], message: str
) -> None:
    plant = requested(plants, schedule)
    run = its_run(plant)
    asyncio.run(decides(plant))
    ended = plant.engine.all_runs[run.id]
    assert (ended.state_type, ended.state_name, ended.message) == ("CANCELLED", "Cancelled", message)
    assert (plant.own(), plant.unended()) == ({}, [])
    plant.tick(3, seconds=600)
    plant.check_in_line()
    assert (plant.all(ScheduledJob), plant.unended(), plant.all(JobResult)) == ([], [], [])


def returned(plant: Plant) -> None:
    """Let the code of the Job change, so that what has been approved returns to the queue."""
    job = plant.only(Job)
    plant.code = f"{plant.code or '2::'}+"
    plant.change(job, code_digest=plant.code)
    asyncio.run(plant.store.write(lambda tx: return_stale(plant.only(Job).id, plant.now, tx)))


@pytest.mark.parametrize("schedule", KINDS[:2])
def test_what_returns_to_the_queue_asks_anew_and_again_and_executes_once(plants: Plants, schedule: Any) -> None:
    plant = requested(plants, schedule)
    asked = []
    for _ in range(3):
        asyncio.run(approve(plant))
        plant.check_in_line()
        returned(plant)
        plant.tick(2, seconds=31)
        run = check_asking(plant)
        assert "changed after bob approved it" in plant.engine.questions[run.id].description
        assert run.message == "Waits for approval; requested by alice."
        asked.append(run.id)
    # The run of a one-off executes in the end; what stood for the request of a recurring one has been answered.
    assert len(set(asked)) == (1 if schedule is LATER else 3)
    asyncio.run(approve(plant))
    executed_once(plant)


@pytest.mark.parametrize("schedule", [LATER, HOURLY])
def test_what_did_not_need_approval_before_asks_for_it_then(plants: Plants, schedule: Any) -> None:
    plant = plants.ready()
    plant.add(BOB)
    asyncio.run(plant.request(schedule))
    plant.check_in_line()
    plant.change(plant.only(Job), approval_required=True)
    asyncio.run(plant.store.write(lambda tx: return_stale(plant.only(Job).id, plant.now, tx)))
    plant.tick(seconds=1)
    check_asking(plant)
    asyncio.run(approve(plant))
    executed_once(plant)


# When the start of a request passes


def form(plant: Plant) -> list[str]:
    """Return the fields that people fill in about the one request."""
    return list(plant.engine.questions[its_run(plant).id].form["properties"])


PLAIN = ["decision", "comment", "request"]
PASSED = ["decision", "comment", "confirm_past_due", "request"]


def test_when_the_start_of_a_request_has_passed_its_form_asks_to_confirm_that(plants: Plants) -> None:
    plant = requested(plants, LATER)
    assert form(plant) == PLAIN
    plant.tick(10, seconds=300)
    assert form(plant) == PLAIN
    plant.now = NOW + HOUR + timedelta(microseconds=1)
    plant.tick()
    assert form(plant) == PASSED
    assert "which has passed: it would run at once" in plant.engine.questions[its_run(plant).id].description
    check_asking(plant)
    plant.engine.calls.clear()
    plant.tick(4, seconds=40)
    assert "ask" not in plant.engine.calls
    asyncio.run(approve(plant))
    executed_once(plant)


def test_a_request_that_is_looked_at_in_the_very_moment_of_its_start_is_looked_at_again(plants: Plants) -> None:
    plant = requested(plants, LATER)
    plant.now = NOW + HOUR
    plant.tick()
    plant.tick(10, seconds=31)
    assert form(plant) == PASSED


@pytest.mark.parametrize("schedule", [None, HOURLY])
def test_what_has_no_start_of_its_own_has_none_that_passes(plants: Plants, schedule: Any) -> None:
    plant = requested(plants, schedule)
    plant.tick(10, seconds=3600)
    assert form(plant) == PLAIN
    check_asking(plant)


def test_the_start_that_passes_while_prefect_is_away_is_confirmed_when_it_is_back(plants: Plants) -> None:
    plant = requested(plants, LATER)
    plant.engine.fail("ask", times=-1)
    plant.now = NOW + HOUR
    tick_on(plant, 5, seconds=31)
    assert form(plant) == PLAIN
    plant.engine.faults.clear()
    tick_on(plant, 5, seconds=31)
    assert form(plant) == PASSED
    check_asking(plant)


# A crash at any point of it


@pytest.mark.parametrize("schedule", KINDS[:2])
def test_wherever_a_request_dies_one_run_asks_or_there_is_nothing(plants: Plants, schedule: Any) -> None:
    for plant in plants.dying(lambda: guarded(plants), lambda plant: plant.request(schedule)):
        plant.settle()
        if plant.all(ScheduledJob):
            check_asking(plant)
        else:
            plant.check_in_line()
            assert plant.unended() == []
    asyncio.run(approve(plant))
    executed_once(plant)


def test_wherever_putting_back_dies_it_is_asked_about_in_the_end(plants: Plants) -> None:
    def let_start() -> Plant:
        plant = requested(plants, HOURLY)
        plant.change(plant.only(ScheduledJob), question_mark="of what was asked before")
        plant.engine.set_state(its_run(plant).id, "RUNNING", "Running")
        return plant

    for plant in plants.dying(let_start, lambda plant: plant.approvals.put_back(its_run(plant).id)):
        plant.now += timedelta(seconds=1)
        plant.start()
        plant.tick(4, seconds=31)
        check_asking(plant)
    assert len(plant.engine.all_runs) == 1


# A hand in Prefect, at a request


def hand_state(state: str, name: str, **to: Any) -> Callable[[Plant], None]:
    return lambda plant: plant.engine.set_state(its_run(plant).id, state, name, **to) and None


def hand_run(**to: Any) -> Callable[[Plant], None]:
    def write(plant: Plant) -> None:
        run = its_run(plant)
        plant.engine.all_runs[run.id] = replace(run, **to)

    return write


REQUEST_HANDS = [
    pytest.param(hand_state("CANCELLED", "Cancelled"), id="cancelled it"),
    pytest.param(hand_state("COMPLETED", "Completed"), id="set it to completed"),
    pytest.param(hand_state("FAILED", "Failed"), id="set it to failed"),
    pytest.param(hand_state("CRASHED", "Crashed"), id="set it to crashed"),
    pytest.param(lambda plant: plant.engine.delete_run(its_run(plant).id), id="deleted it"),
    pytest.param(hand_state("SCHEDULED", "Scheduled", scheduled_for=NOW + HOUR), id="let it start at its time"),
    pytest.param(hand_run(parameters={"count": 99}), id="changed its inputs"),
    pytest.param(hand_run(name="harmless"), id="gave it another name"),
]


@pytest.mark.parametrize("schedule", KINDS[:2])
@pytest.mark.parametrize("meddles", REQUEST_HANDS)
def test_what_a_hand_did_to_a_request_is_asked_about_anew_within_half_a_minute(
    plants: Plants, schedule: Any, meddles: Callable[[Plant], None]
) -> None:
    plant = requested(plants, schedule)
    plant.tick(seconds=31)
    meddles(plant)
    plant.tick(3, seconds=10)
    check_asking(plant)
    asyncio.run(approve(plant))
    executed_once(plant)
    assert plant.unended() == []


@pytest.mark.parametrize("schedule", KINDS[:2])
@pytest.mark.parametrize("after", [1, 40], ids=["at once", "later"])
def test_a_request_whose_base_deployment_a_hand_deleted_asks_on_and_executes_once(
    plants: Plants, schedule: Any, after: int
) -> None:
    plant = requested(plants, schedule)
    deployment_id = plant.only(Job).deployment_id
    assert deployment_id is not None
    plant.engine.delete_deployment(deployment_id)
    plant.tick(seconds=after)
    assert [run.held for run in plant.unended()] == [True]
    assert plant.engine.questions[its_run(plant).id] == to_ask(plant)
    asyncio.run(approve(plant))
    plant.tick(2, seconds=31)
    plant.check_in_line()
    executed_once(plant)
    assert plant.unended() == []


OWN_HANDS = [
    pytest.param(lambda plant: plant.engine.delete_deployment(plant.own_id()), id="deleted its deployment"),
    pytest.param(lambda plant: switched_on(plant), id="switched its schedule on"),
    pytest.param(lambda plant: meddle(plant, schedule=None), id="deleted its schedule"),
    pytest.param(lambda plant: meddle(plant, foreign=True), id="set job variables, or a second schedule"),
    pytest.param(lambda plant: meddle(plant, parameters={"count": 99}), id="changed its inputs"),
]


def switched_on(plant: Plant) -> None:
    schedule = plant.own()[plant.own_id()].schedule
    meddle(plant, schedule=replace(schedule, active=True))


@pytest.mark.parametrize("meddles", OWN_HANDS)
def test_what_a_hand_did_to_the_deployment_of_a_request_is_mended(
    plants: Plants, meddles: Callable[[Plant], None]
) -> None:
    plant = requested(plants, HOURLY)
    plant.tick(seconds=31)
    meddles(plant)
    plant.tick(3, seconds=10)
    check_asking(plant)
    asyncio.run(approve(plant))
    executed_once(plant)


def test_a_firing_that_a_hand_let_prefect_make_before_the_approval_does_not_execute(plants: Plants) -> None:
    plant = requested(plants, HOURLY)
    switched_on(plant)
    plant.engine.make_firing(plant.own_id(), NOW + HOUR)
    plant.now = NOW + HOUR
    plant.work_off()
    assert plant.all(JobResult) == []
    plant.tick(seconds=31)
    check_asking(plant)


def test_a_request_that_a_hand_cancels_again_and_again_is_asked_about_again_and_again(plants: Plants) -> None:
    for schedule in (LATER, HOURLY):
        plant = requested(plants, schedule)
        seen = set()
        for _ in range(4):
            plant.tick(seconds=31)
            seen.add(check_asking(plant).id)
            cancel(plant)
        assert len(seen) == 4
        plant.tick(seconds=31)
        assert plant.engine.keys[one_off_key(plant.only(ScheduledJob).id)] in seen
        asyncio.run(approve(plant))
        executed_once(plant)


STARTS = [
    pytest.param(timedelta(0), True, id="now"),
    pytest.param(timedelta(seconds=30), True, id="in so short a time that a worker may have it"),
    pytest.param(timedelta(seconds=31), False, id="later"),
    pytest.param(-HOUR, True, id="long ago"),
]


@pytest.mark.parametrize(("start", "left"), STARTS)
def test_what_a_worker_may_be_taking_is_left_to_it_and_put_back_then(
    plants: Plants, start: timedelta, left: bool
) -> None:
    plant = requested(plants, LATER)
    run = its_run(plant)
    plant.tick(seconds=31)
    plant.engine.set_state(run.id, "SCHEDULED", "Scheduled", scheduled_for=plant.now + start)
    asyncio.run(plant.projection.reconcile(plant.only(ScheduledJob).id))
    assert plant.engine.all_runs[run.id].held is not left
    plant.now += timedelta(minutes=1)
    plant.work_off()
    assert check_asking(plant).id == run.id
    assert plant.all(JobResult) == []


def test_what_a_hand_let_start_and_no_worker_takes_can_be_decided_about(plants: Plants) -> None:
    for schedule, decide in product((LATER, HOURLY, None), (approve, deny)):
        plant = requested(plants, schedule)
        plant.engine.set_state(its_run(plant).id, "SCHEDULED", "Scheduled", scheduled_for=plant.now)
        plant.tick(4, seconds=31)
        asyncio.run(decide(plant))
        plant.tick(2, seconds=31)
        plant.check_in_line()
        if decide is approve:
            executed_once(plant)
        assert plant.unended() == []


@pytest.mark.parametrize("schedule", KINDS[:2])
@pytest.mark.parametrize(
    "meddles",
    [
        *REQUEST_HANDS,
        pytest.param(hand_state("SCHEDULED", "Scheduled", scheduled_for=NOW), id="let it start now"),
    ],
)
def test_what_a_hand_did_to_a_request_just_before_its_approval_lets_nothing_else_execute(
    plants: Plants, schedule: Any, meddles: Callable[[Plant], None]
) -> None:
    plant = requested(plants, schedule)
    meddles(plant)
    with contextlib.suppress(Unavailable):
        asyncio.run(approve(plant))
    plant.tick(3, seconds=31)
    plant.now = NOW + HOUR
    for deployment_id in plant.own():
        plant.engine.make_firing(deployment_id, NOW + HOUR)
    plant.work_off()
    plant.tick(3, seconds=31)
    results = plant.all(JobResult)
    assert len(results) <= 1
    assert all(result.inputs in (INPUTS, None) for result in results)
    assert sum(result.attempt is not None for result in results) <= 1
    assert plant.unended() == []


def test_nobody_is_put_back_who_has_been_decided_about(plants: Plants) -> None:
    plant = requested(plants, LATER)
    run = its_run(plant)
    asyncio.run(approve(plant))
    before = plant.engine.all_runs[run.id]
    for put_back in (plant.approvals.put_back, plant.projection.put_back):
        for run_id in (run.id, BOB.id):
            asyncio.run(put_back(run_id))
    assert plant.engine.all_runs == {run.id: before}


def test_a_request_whose_requester_is_unknown_is_asked_about_all_the_same(plants: Plants) -> None:
    plant = guarded(plants)
    plant._scheduled(interval=Interval.FUTURE, approval=ApprovalState.PENDING)
    plant.tick(seconds=1)
    assert check_asking(plant).message == "Waits for approval; requested by somebody unknown."


FAILING = [
    pytest.param(LATER, "runs", False, id="once, runs"),
    pytest.param(HOURLY, "read_deployment", False, id="again and again, read_deployment"),
    *(
        pytest.param(schedule, call, after, id=f"{schedule['name']}, {call}, {'after' if after else 'before'}")
        for schedule, calls in ((LATER, ("create_run", "ask", "release")),
                                (HOURLY, ("create_deployment", "ask", "write_deployment", "end")))
        for call in calls
        for after in (False, True)
    ),
]  # fmt: skip


@pytest.mark.parametrize(("schedule", "call", "after"), FAILING)
def test_a_call_that_fails_for_two_minutes_delays_a_request_and_its_decision(
    plants: Plants, schedule: Any, call: str, after: bool
) -> None:
    plant = guarded(plants)
    plant.engine.fail(call, after=after, times=-1)
    asyncio.run(plant.request(schedule))
    tick_on(plant, 4, seconds=30)
    plant.engine.faults.clear()
    tick_on(plant, 4, seconds=31)
    check_asking(plant)
    plant.engine.fail(call, after=after, times=-1)
    asyncio.run(approve(plant))
    tick_on(plant, 4, seconds=30)
    plant.engine.faults.clear()
    tick_on(plant, 4, seconds=31)
    plant.check_in_line()
    executed_once(plant)


def test_what_waits_is_written_once(plants: Plants) -> None:
    plant = guarded(plants)
    for number, schedule in enumerate((LATER, HOURLY, None)):
        asyncio.run(plant.request(schedule and {**schedule, "name": f"{number}"}))
    plant.tick(2, seconds=40)
    plant.engine.calls.clear()
    plant.tick(4, seconds=40)
    assert not WRITES & set(plant.engine.calls)


# Prefect away


@pytest.mark.parametrize(
    ("call", "after"),
    [
        *((call, False) for call in ("read_deployment", "runs", "deployments", "find_deployment", "find_run",
                                     "runs_in")),
        *((call, after) for call in ("prepare", "create_deployment", "write_deployment", "create_run", "release",
                                     "remove_deployment", "end") for after in (False, True)),
    ],
)  # fmt: skip
def test_a_call_that_fails_for_two_minutes_delays_and_loses_nothing(plants: Plants, call: str, after: bool) -> None:
    plant = plants.make()
    one, other = plant.one_off(), plant.recurring()
    gone, vanished = plant.one_off(name="gone"), plant.recurring(name="vanished")
    plant.engine.fail(call, after=after, times=-1)
    tick_on(plant, 4, seconds=1)
    asyncio.run(plant.schedules.delete_all(plant.actor, [gone.id, vanished.id]))
    tick_on(plant, 4, seconds=30)
    plant.engine.faults.clear()
    tick_on(plant, 8, seconds=30)
    plant.check_in_line()
    assert {row.id for row in plant.all(ScheduledJob)} == {one.id, other.id}
    assert [run.scheduled_for for run in plant.unended()] == [NOW + HOUR]
    assert [spec.schedule.active for spec in plant.own().values()] == [True]


def tick_on(plant: Plant, times: int, **by: float) -> None:
    """Tick as the loop does: whatever happens, it goes on."""
    for _ in range(times):
        plant.now += timedelta(**by)
        asyncio.run(suppressed(plant))


async def suppressed(plant: Plant) -> None:
    with contextlib.suppress(Unavailable):
        await plant.round()


def test_a_one_off_whose_hold_was_dropped_while_prefect_was_away_still_runs(plants: Plants) -> None:
    plant = plants.ready()
    plant.one_off(start_time=NOW + MINUTE)
    plant.engine.fail("create_run", after=True)
    tick_on(plant, 1)
    plant.engine.fail("create_run", times=4)
    tick_on(plant, 8, seconds=20)
    plant.work_off()
    assert [result.status for result in plant.all(JobResult)] == [Status.SUCCESS]


def test_what_prefect_refuses_for_one_thing_delays_no_other(plants: Plants) -> None:
    plant = plants.ready()
    bad, good = plant.recurring(name="bad"), plant.recurring(name="good")
    write = plant.engine.write_deployment

    async def refuse_bad(deployment_id: Any, was: Any, spec: Any) -> None:
        if "bad" in spec.name:
            raise ValueError("Prefect refused.")
        await write(deployment_id, was, spec)

    plant.engine.write_deployment = refuse_bad  # type: ignore[method-assign]
    plant.tick(seconds=1)
    active = {spec.schedule.slug: spec.schedule.active for spec in plant.own().values()}
    assert active == {str(bad.id): False, str(good.id): True}


# A hand in Prefect


def meddle(plant: Plant, **to: Any) -> None:
    own = plant.own_id()
    plant.engine.made[own] = replace(plant.engine.made[own], **to)


def switched_off(plant: Plant) -> None:
    schedule = plant.own()[plant.own_id()].schedule
    meddle(plant, schedule=replace(schedule, active=False))


def other_cron(plant: Plant) -> None:
    schedule = plant.own()[plant.own_id()].schedule
    meddle(plant, schedule=replace(schedule, cron=CronSpec(cron="* * * * *", timezone="UTC")))


HANDS = [
    pytest.param(lambda plant: plant.engine.delete_deployment(plant.own_id()), id="deleted its deployment"),
    pytest.param(
        lambda plant: plant.engine.delete_deployment(plant.only(Job).deployment_id), id="deleted the base deployment"
    ),
    pytest.param(switched_off, id="switched its schedule off"),
    pytest.param(other_cron, id="let it fire each minute"),
    pytest.param(lambda plant: meddle(plant, schedule=None), id="deleted its schedule"),
    pytest.param(lambda plant: meddle(plant, foreign=True), id="set job variables, or a second schedule"),
    pytest.param(lambda plant: meddle(plant, entrypoint="evil.py:run"), id="let it run other code"),
    pytest.param(lambda plant: meddle(plant, parameters={"count": 99}), id="changed its inputs"),
    pytest.param(lambda plant: meddle(plant, queue="elsewhere"), id="moved it to another queue"),
    pytest.param(lambda plant: cancel(plant), id="cancelled a one-off"),
    pytest.param(lambda plant: plant.engine.delete_run(plant.waiting()[0].id), id="deleted a one-off"),
    pytest.param(lambda plant: move(plant, NOW), id="moved a one-off to another time"),
    pytest.param(lambda plant: suspend(plant), id="suspended a one-off"),
]


def cancel(plant: Plant) -> None:
    plant.engine.set_state(plant.unended()[0].id, "CANCELLED", "Cancelled")


def move(plant: Plant, to: datetime) -> None:
    plant.engine.set_state(plant.unended()[0].id, "SCHEDULED", "Scheduled", scheduled_for=to)


def suspend(plant: Plant) -> None:
    plant.engine.set_state(plant.unended()[0].id, "PAUSED", "Suspended")


@pytest.mark.parametrize("meddles", HANDS)
def test_what_a_hand_changed_is_mended_within_half_a_minute(plants: Plants, meddles: Callable[[Plant], None]) -> None:
    plant = plants.ready()
    plant.one_off()
    plant.recurring()
    plant.tick(seconds=1)
    plant.check_in_line()
    before = {row.deployment_id: plant.engine.made.get(row.deployment_id) for row in plant.all(ScheduledJob)}
    meddles(plant)
    plant.tick(30, seconds=1)
    plant.check_in_line()
    assert [run.scheduled_for for run in plant.unended()] == [NOW + HOUR]
    after = {row.deployment_id: plant.engine.made.get(row.deployment_id) for row in plant.all(ScheduledJob)}
    assert list(after.values()) == list(before.values())


def test_a_cancelled_one_off_is_replaced_again_and_again_and_executes_once(plants: Plants) -> None:
    plant = plants.ready()
    plant.one_off()
    for _ in range(3):
        plant.tick(seconds=31)
        cancel(plant)
    plant.tick(seconds=31)
    plant.now = NOW + HOUR
    plant.work_off()
    plant.tick(2, seconds=31)
    assert plant.unended() == []
    assert [result.status for result in plant.all(JobResult)] == [Status.SUCCESS]


def test_nothing_is_written_when_nothing_differs(plants: Plants) -> None:
    plant = with_both(plants)
    plant.tick(2, seconds=40)
    plant.engine.calls.clear()
    plant.tick(4, seconds=40)
    assert not WRITES & set(plant.engine.calls)


def test_a_renamed_job_moves_to_the_flow_of_its_new_name(plants: Plants) -> None:
    plant = plants.ready()
    job = plant.only(Job)
    plant.one_off()
    plant.tick()
    plant.change(job, name="New name", version=job.version + 1)
    plant.settle()
    plant.check_in_line()
    assert [spec.flow for spec in plant.engine.made.values()] == ["New name"]


# When a schedule begins


def test_a_schedule_is_switched_on_when_no_firing_before_its_start_is_left(plants: Plants) -> None:
    plant = plants.ready()
    plant.recurring(interval=Interval.DAILY, start_time=NOW + timedelta(days=3))
    plant.tick(seconds=1)
    assert plant.own()[plant.own_id()].schedule.active is False
    assert plant.only(ScheduledJob).next_look_at == NOW + timedelta(days=2, seconds=1)
    plant.now = NOW + timedelta(days=2)
    plant.tick()
    assert plant.own()[plant.own_id()].schedule.active is False
    plant.tick(seconds=1)
    assert plant.own()[plant.own_id()].schedule.active is True
    assert plant.all(JobResult) == []


# Missed firings


def missed(plants: Plants, hours: int = 3) -> Plant:
    """Return a plant that was away for some hours, with an hourly schedule since noon."""
    plant = plants.ready()
    plant.recurring()
    plant.tick(seconds=1)
    plant.now = NOW + hours * HOUR + timedelta(seconds=100)
    return plant


def test_a_firing_that_nobody_made_is_made_up_once_and_older_ones_are_not(plants: Plants) -> None:
    plant = missed(plants)
    plant.tick(3, seconds=31)
    [run] = plant.unended()
    assert run.scheduled_for is not None
    assert run.scheduled_for <= plant.now
    assert plant.work(run) == Go()
    plant.tick(3, seconds=31)
    statuses = {at: result.status for at, result in plant.results().items()}
    assert statuses == {
        NOW + HOUR: Status.REVOKED,
        NOW + 2 * HOUR: Status.REVOKED,
        NOW + 3 * HOUR: Status.SUCCESS,
    }
    assert plant.only(ScheduledJob).total_run_count == 1


def test_a_firing_that_nobody_made_is_recorded_though_the_next_one_executes_in_time(plants: Plants) -> None:
    plant = plants.ready()
    plant.recurring()
    plant.tick(seconds=1)
    plant.now = NOW + 2 * HOUR
    assert plant.work(plant.engine.make_firing(plant.own_id(), plant.now)) == Go()
    plant.tick(3, seconds=31)
    statuses = {at: (result.status, result.traceback) for at, result in plant.results().items()}
    assert statuses == {NOW + HOUR: (Status.REVOKED, SUPERSEDED), NOW + 2 * HOUR: (Status.SUCCESS, None)}
    assert plant.unended() == []
    assert plant.only(ScheduledJob).next_look_at == NOW + 3 * HOUR + timedelta(seconds=90)


def test_wherever_making_up_dies_the_newest_is_made_up_once_and_older_runs_are_recorded(plants: Plants) -> None:
    def away() -> Plant:
        plant = missed(plants)
        for hour in (1, 2):
            plant.engine.make_firing(plant.own_id(), NOW + hour * HOUR)
        return plant

    for plant in plants.dying(away, lambda plant: plant.round()):
        plant.settle()
        plant.work_off()
        plant.settle()
        statuses = {at: result.status for at, result in plant.results().items()}
        assert statuses == {
            NOW + HOUR: Status.REVOKED,
            NOW + 2 * HOUR: Status.REVOKED,
            NOW + 3 * HOUR: Status.SUCCESS,
        }
        assert plant.unended() == []
        assert plant.only(ScheduledJob).total_run_count == 1
    assert plant.results()[NOW + HOUR].traceback == SUPERSEDED


def test_a_run_of_the_newest_firing_that_still_waits_is_not_made_up_for(plants: Plants) -> None:
    plant = missed(plants)
    late = plant.engine.make_firing(plant.own_id(), NOW + 3 * HOUR)
    plant.tick(3, seconds=31)
    assert [run.id for run in plant.unended()] == [late.id]
    statuses = {at: result.status for at, result in plant.results().items()}
    assert statuses == {NOW + HOUR: Status.REVOKED, NOW + 2 * HOUR: Status.REVOKED}


@pytest.mark.parametrize(
    ("interval", "state", "name", "status"),
    [
        pytest.param(Interval.FUTURE, "CANCELLED", "Cancelled", Status.REVOKED, id="a one-off cancelled"),
        pytest.param(Interval.HOURLY, "CANCELLED", "Cancelled", Status.REVOKED, id="a firing cancelled"),
        pytest.param(Interval.HOURLY, "FAILED", "Refused", Status.FAILURE, id="a firing refused"),
        pytest.param(Interval.FUTURE, "COMPLETED", "Completed", Status.FAILURE, id="set to completed by hand"),
    ],
)
def test_a_run_that_ended_before_it_was_let_go_is_recorded_and_not_repeated(
    plants: Plants, interval: Interval, state: str, name: str, status: Status
) -> None:
    plant = plants.ready()
    plant._scheduled(interval=interval, start_time=NOW + HOUR)
    plant.tick(seconds=1)
    plant.now = NOW + HOUR
    if interval is Interval.HOURLY:
        plant.engine.make_firing(plant.own_id(), NOW + HOUR)
    plant.engine.set_state(plant.unended()[0].id, state, name, "so it was")
    plant.tick(8, seconds=31)
    [result] = plant.all(JobResult)
    assert (result.status, result.nominal_time) == (status, NOW + HOUR)
    assert result.traceback == f"The run ended before it was admitted: {name}. so it was"
    assert plant.only(ScheduledJob).enabled is (interval is Interval.HOURLY)
    assert plant.unended() == []


def test_every_firing_has_a_record_also_those_that_nobody_made_a_run_for(plants: Plants) -> None:
    plant = missed(plants, hours=30)
    plant.engine.make_firing(plant.own_id(), NOW + 7 * HOUR)
    plant.tick(3, seconds=31)
    plant.work_off()
    for hour in (31, 32, 33):
        plant.now = NOW + hour * HOUR
        plant.engine.make_firing(plant.own_id(), plant.now)
        plant.work_off()
        plant.tick(3, seconds=31)
    results = plant.results()
    assert sorted(at for at in results if at) == [NOW + hour * HOUR for hour in range(1, 34)]
    revoked = [at for at, result in results.items() if result.status is Status.REVOKED]
    assert len(revoked) == 29
    assert {results[at].traceback for at in revoked} == {SUPERSEDED}
    assert {result.released for result in results.values()} == {True}


def test_after_a_very_long_time_the_last_of_them_are_recorded(plants: Plants, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(firings, "MOST_RECORDED", 20)
    plant = missed(plants, hours=60)
    plant.tick(3, seconds=31)
    assert len(plant.results()) == 21
    plant.tick(6, seconds=91)
    assert len(plant.results()) == 21


def test_a_firing_that_a_worker_has_is_not_recorded_as_missed_and_executes(plants: Plants) -> None:
    plant = plants.ready()
    plant.recurring()
    plant.tick(seconds=1)
    plant.now = NOW + HOUR
    slow = plant.engine.make_firing(plant.own_id(), plant.now)
    plant.now += 55 * MINUTE
    plant.engine.set_state(slow.id, "PENDING", "Pending")
    plant.now = NOW + 2 * HOUR + timedelta(seconds=100)
    plant.tick(2, seconds=31)
    assert NOW + HOUR not in plant.results()
    claim = asyncio.run(plant.engine.claim(slow.id))
    assert claim is not None
    run = replace(plant.engine.all_runs[slow.id], claimed=claim.at)
    answer, _ = plant.admissions.ask(run, Attempt(id=uuid4(), worker="elsewhere:1", code=plant.code), plant.now)
    assert answer == Go()
    plant.engine.set_state(slow.id, "COMPLETED", "Completed")
    plant.work_off()
    plant.tick(6, seconds=91)
    assert {at for at, result in plant.results().items() if result.attempt} == {NOW + HOUR, NOW + 2 * HOUR}


def test_a_firing_that_a_worker_took_too_late_is_passed_over(plants: Plants) -> None:
    plant = plants.ready()
    plant.recurring()
    plant.tick(seconds=1)
    plant.now = NOW + HOUR
    late = plant.engine.make_firing(plant.own_id(), plant.now)
    plant.now = NOW + 2 * HOUR
    run = replace(late, claimed=plant.now)
    answer, _ = plant.admissions.ask(run, Attempt(id=uuid4(), worker="elsewhere:1", code=plant.code), plant.now)
    assert answer == Finish(SUPERSEDED, recorded=True)


def test_firings_before_a_schedule_was_made_are_not_owed(plants: Plants) -> None:
    plant = plants.ready()
    plant.recurring(start_time=NOW - 10 * HOUR, due_from=NOW + timedelta(seconds=1))
    plant.tick(10, seconds=31)
    assert plant.unended() == []


def test_a_disabled_schedule_makes_up_for_nothing(plants: Plants) -> None:
    plant = missed(plants)
    row = plant.only(ScheduledJob)
    plant.change(row, enabled=False, version=row.version + 1)
    plant.tick(3, seconds=31)
    assert plant.unended() == []


def test_what_prefect_makes_for_a_schedule_that_has_just_been_disabled_is_removed(plants: Plants) -> None:
    plant = plants.ready()
    row = plant.recurring()
    plant.tick(seconds=1)
    plant.change(plant.only(ScheduledJob), enabled=False, version=row.version + 1)
    plant.tick(seconds=1)
    # Its scheduler had read the schedule before.
    made = plant.engine.make_firing(plant.own_id(), plant.now + HOUR)
    plant.tick(5, seconds=31)
    assert made.id not in plant.engine.all_runs


@pytest.mark.parametrize("disabled", [pytest.param(True, id="disabled"), pytest.param(False, id="fires again")])
def test_a_firing_that_was_let_go_and_is_suspended_is_left_alone(plants: Plants, disabled: bool) -> None:
    plant = plants.ready()
    row = plant.recurring()
    plant.tick(seconds=1)
    plant.now = NOW + HOUR
    run = plant.engine.make_firing(plant.own_id(), NOW + HOUR)
    plant.engine.set_state(run.id, "PENDING", "Pending")
    plant.let_go(run)
    plant.engine.set_state(run.id, "PAUSED", "Suspended")
    plant.change(plant.only(ScheduledJob), enabled=not disabled, version=row.version + 1)
    plant.tick(5, seconds=31)
    plant.now = NOW + 2 * HOUR + timedelta(seconds=100)
    plant.tick(5, seconds=31)
    assert plant.engine.all_runs[run.id].state_name == "Suspended"


def test_what_was_deleted_is_cleaned_up_only_there(plants: Plants) -> None:
    plant = with_both(plants)
    other = plant.recurring(name="other")
    plant.tick(seconds=1)
    asyncio.run(plant.schedules.delete_all(plant.actor, [r.id for r in plant.all(ScheduledJob) if r.id != other.id]))
    assert plant.all(PendingCleanup) == []
    assert plant.only(ScheduledJob).id == other.id
    plant.check_in_line()
