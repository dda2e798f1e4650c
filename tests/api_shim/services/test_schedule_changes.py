"""Changes of scheduled jobs: what changes, here and in Prefect; what returns to the queue; who may not; and at once."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest

from api_shim.domain.audit import EventType
from api_shim.domain.model import Job, JobResult, Participant, ScheduledJob, Status
from api_shim.domain.ports import Run
from api_shim.domain.recurrence import next_times
from api_shim.parsing.decision import Decision
from api_shim.parsing.schedule_change import OVER
from api_shim.reconcile.desired_state import own_deployment
from api_shim.reconcile.drift import differs
from api_shim.services.approval_state import return_stale
from api_shim.services.schedule_changes import HOW, OWNERLESS, SUSPENDED
from api_shim.services.schedules import SENSITIVE
from approval_gate import ownership, policy
from approval_gate.admission import NOT_OWED, OUTDATED, Answer, Finish, Go, Misfire, Refuse, Wait
from approval_gate.binding import NEEDS_APPROVAL
from approval_gate.errors import Conflict, Forbidden, GateError, Invalid, NotFound, NotRunnable, Outdated, Unavailable
from approval_gate.lifecycle import ApprovalState
from approval_gate.model import Actor
from tests.api_shim.plant import HOUR, INPUTS, Plant, Plants, opened_plant
from tests.api_shim.services.test_approvals import (
    APPROVAL,
    APPROVE,
    AT_ONCE,
    CHANGE,
    DELETE,
    EXPIRED,
    GONE,
    HOURLY,
    JOB,
    LATER,
    MINUTE,
    RUN,
    SCHEDULED,
    SECOND,
    VIEW,
    Deed,
    Race,
    approver,
    approves,
    asked,
    check_asks,
    check_in_line,
    decide,
    events,
    executed,
    may,
    now_of,
    person,
    shown,
)
from tests.factories import NOW, make_user, remove_user

DAY = timedelta(days=1)
NIGHTLY = {"interval": "custom", "name": "nightly", "crontab": "0 20 * * *"}
OTHER = {"count": 3}
TONIGHT = datetime(2026, 5, 4, 20, tzinfo=UTC)
ONCE_TONIGHT = {**LATER, "start_time": TONIGHT.isoformat()}
START = "Please enter a valid date and time greater than or equal to the current date and time."
NAME_TAKEN = "A scheduled job with this name already exists."
PENDING, APPROVED, NOT_REQUIRED = ApprovalState.PENDING, ApprovalState.APPROVED, ApprovalState.NOT_REQUIRED
EDITOR = (may(SCHEDULED, VIEW, CHANGE), may(JOB, RUN))


def ready(plants: Plants, **job: Any) -> Plant:
    """Return a plant whose Job may run on two queues."""
    plant = plants.ready(job_queues=("default", "bulk"), **job)
    plant.engine.served.add("bulk")
    return plant


def editor(plant: Plant, username: str = "carol") -> Actor:
    return person(plant, username, *EDITOR, may(JOB, APPROVE))


def edit(plant: Plant, who: Actor, row: ScheduledJob, /, **body: Any) -> ScheduledJob:
    """Change a scheduled job; return it as it stands in the store then, which is what was answered."""
    answered = asyncio.run(plant.schedule_changes.change(who, {"id": row.id}, body))
    now = now_of(plant, row)
    followed = {
        "deployment_id",
        "flow_run_id",
        "next_look_at",
        "projected_version",
        "question_mark",
        "run_number",
        "run_outdated",
    }
    assert replace(answered, **{name: getattr(now, name) for name in followed}) == now
    return now


def standing(plant: Plant) -> Any:
    """Return all that a change could change."""
    here = (plant.all(ScheduledJob), plant.all(Participant), plant.all(JobResult), events(plant))
    return here, plant.engine.made.copy(), plant.engine.all_runs.copy(), plant.engine.questions.copy()


def refused(plant: Plant, who: Actor, row: ScheduledJob, /, **body: Any) -> tuple[type[GateError], Any]:
    """See that a change is refused and changes nothing; return how."""
    before = standing(plant)
    with pytest.raises(GateError) as caught:
        asyncio.run(plant.schedule_changes.change(who, {"id": row.id}, body))
    assert standing(plant) == before
    return caught.type, caught.value.detail


def approved(plant: Plant, schedule: Any, **request: Any) -> ScheduledJob:
    """Return a request of alice's that bob has approved."""
    row = asked(plant, schedule, **request)
    decide(plant, "approve", approver(plant), row)
    return now_of(plant, row)


def remembered(plant: Plant, after: int = 0) -> list[tuple[EventType, str, Any]]:
    """Return what has been recorded since it was scheduled, after an event, each with its author and why, or what."""
    since = [each for each in events(plant) if each.act is not EventType.SCHEDULED]
    return [(each.act, each.actor, each.data.get("fields") or each.data.get("reason")) for each in since[after:]]


def run_of(plant: Plant, row: ScheduledJob) -> Run:
    assert row.flow_run_id is not None
    return plant.engine.all_runs[row.flow_run_id]


def check_deployment(plant: Plant, row: ScheduledJob) -> None:
    """See that a recurring one's deployment is as the store says."""
    assert row.deployment_id is not None
    assert not differs(plant.engine.made[row.deployment_id], own_deployment(row, plant.only(Job), plant.now, {}))


# What changes


ONCE_ON = (NOW + DAY).isoformat()
SCHEDULES = [pytest.param(LATER, id="once"), pytest.param(HOURLY, id="hourly"), pytest.param(NIGHTLY, id="custom")]
FIELDS = [
    pytest.param({"name": "renamed"}, {"name": "renamed"}, id="name"),
    pytest.param({"data": OTHER}, {"inputs": OTHER}, id="inputs"),
    pytest.param({"job_queue": "bulk"}, {"queue": "bulk"}, id="queue"),
    pytest.param({"task_queue": "bulk"}, {"queue": "bulk"}, id="queue, by its older name"),
    pytest.param({"start_time": ONCE_ON}, {"start_time": NOW + DAY}, id="start"),
    pytest.param({"misfire": "skip"}, {"misfire": Misfire.SKIP}, id="what becomes of missed firings"),
    pytest.param(
        {"name": "renamed", "data": OTHER, "start_time": ONCE_ON, "time_zone": "Asia/Tokyo", "job_queue": "bulk"},
        {
            "name": "renamed",
            "inputs": OTHER,
            "start_time": NOW + DAY,
            "time_zone": "Asia/Tokyo",
            "queue": "bulk",
        },
        id="all at once",
    ),
]


@pytest.mark.parametrize("schedule", SCHEDULES[:2])
@pytest.mark.parametrize(("body", "to"), FIELDS)
def test_what_is_changed_is_kept_remembered_and_followed(
    plants: Plants, schedule: Any, body: dict[str, Any], to: dict[str, Any]
) -> None:
    plant = ready(plants)
    row = asked(plant, schedule)
    plant.now += MINUTE
    after = edit(plant, plant.actor, row, **body)
    changed = {"date_changed": plant.now, "version": row.version + 1, "edited": bool((HOW | {"name"}) & to.keys())}
    following = ("due_from", "flow_run_id", "next_look_at", "projected_version", "run_number")
    followed = {name: getattr(after, name) for name in following}
    assert after == replace(row, **to, **changed, **followed)
    assert after.due_from == (row.due_from if to.keys() == {"name"} else plant.now)
    assert remembered(plant) == [(EventType.CHANGED, "alice", sorted(to))]
    plant.check_in_line()
    if row.one_off:
        run = run_of(plant, after)
        assert (run.name, run.parameters, run.scheduled_for) == (after.name, after.inputs, after.start_time)
    else:
        check_deployment(plant, after)
    before = standing(plant)
    assert edit(plant, plant.actor, after, **body) == after, "once more changes nothing"
    assert standing(plant) == before


def test_a_crontab_and_a_zone_change_the_firings_from_now_on(plants: Plants) -> None:
    plant = ready(plants)
    row = asked(plant, NIGHTLY)
    plant.now += MINUTE
    after = edit(plant, plant.actor, row, crontab="30 13 * * *")
    assert (after.start_time, after.due_from) == (NOW + HOUR * 1.5, plant.now)
    after = edit(plant, plant.actor, row, time_zone="Europe/Berlin")
    assert (after.start_time, after.crontab) == (NOW + DAY - HOUR / 2, "30 13 * * *")
    check_deployment(plant, after)
    assert remembered(plant) == [
        (EventType.CHANGED, "alice", ["crontab", "start_time"]),
        (EventType.CHANGED, "alice", ["start_time", "time_zone"]),
    ]
    plant.check_in_line()


@pytest.mark.parametrize("schedule", SCHEDULES[:2])
def test_what_a_person_disables_and_enables_is_their_act_and_followed(plants: Plants, schedule: Any) -> None:
    plant = ready(plants)
    row = asked(plant, schedule)
    carol = editor(plant)
    off = edit(plant, carol, row, enabled=False)
    assert (off.enabled, off.failure) == (False, "")
    assert plant.unended() == []
    plant.check_in_line()
    plant.now += MINUTE
    on = edit(plant, carol, row, enabled=True)
    assert (on.enabled, on.due_from) == (True, plant.now)
    plant.check_in_line()
    assert remembered(plant) == [(EventType.DISABLED, "carol", None), (EventType.ENABLED, "carol", None)]
    if on.one_off:
        run = run_of(plant, on)
        plant.now = on.start_time
        plant.work_off()
        assert [(each.flow_run_id, each.status) for each in plant.all(JobResult)] == [(run.id, Status.SUCCESS)]
    else:
        check_deployment(plant, on)


def test_what_is_enabled_and_changed_at_once_is_remembered_as_both(plants: Plants) -> None:
    plant = ready(plants)
    row = asked(plant, HOURLY)
    edit(plant, plant.actor, row, enabled=False, name="off")
    edit(plant, plant.actor, row, enabled=True, name="on", job_queue="bulk")
    assert remembered(plant) == [
        (EventType.DISABLED, "alice", None),
        (EventType.CHANGED, "alice", ["name"]),
        (EventType.ENABLED, "alice", None),
        (EventType.CHANGED, "alice", ["name", "queue"]),
    ]


def test_it_is_found_by_its_name_too(plants: Plants) -> None:
    plant = ready(plants)
    row = asked(plant, HOURLY)
    after = asyncio.run(plant.schedule_changes.change(plant.actor, {"name": "often"}, {"name": "seldom"}))
    assert (after.id, now_of(plant, row).name) == (row.id, "seldom")


@pytest.mark.parametrize(
    "body",
    [
        pytest.param({}, id="nothing"),
        pytest.param({"name": " nightly ", "enabled": True, "crontab": "0  20 * * *", "time_zone": "UTC"}, id="fields"),
        pytest.param({"data": INPUTS, "job_queue": "default"}, id="inputs and queue"),
        pytest.param({"job_queue": ""}, id="the Job's first queue, which it has"),
        pytest.param({"start_time": TONIGHT.isoformat()}, id="its start"),
    ],
)
@pytest.mark.parametrize("job", [{}, APPROVAL], ids=["that needs no approval", "that waits"])
def test_what_is_equal_changes_nothing_and_is_not_remembered(
    plants: Plants, body: dict[str, Any], job: dict[str, Any]
) -> None:
    plant = ready(plants, **job)
    row = asked(plant, NIGHTLY)
    before = standing(plant)
    assert edit(plant, plant.actor, row, **body) == row
    assert standing(plant) == before


# The run of a one-off


@pytest.mark.parametrize("body", [{"data": OTHER}, {"job_queue": "bulk"}], ids=["inputs", "queue"])
def test_a_one_off_s_run_is_replaced_when_its_inputs_or_its_queue_change(plants: Plants, body: dict[str, Any]) -> None:
    plant = ready(plants)
    row = asked(plant, LATER)
    after = edit(plant, plant.actor, row, **body)
    old, new = run_of(plant, row), run_of(plant, after)
    assert (old.id != new.id, old.state_name, old.message) == (True, "Replaced", OUTDATED)
    assert (new.scheduled_for, new.parameters, after.run_outdated) == (after.start_time, after.inputs, False)
    plant.now = after.start_time
    assert plant.work(old) == Refuse(
        "This run was not requested through signoff, or what requested it has been deleted."
    )
    plant.work_off()
    plant.settle()
    ran = [(each.flow_run_id, each.inputs, each.queue) for each in executed(plant)]
    assert ran == [(new.id, after.inputs, after.queue)]
    plant.check_in_line()


def test_a_one_off_s_run_is_moved_with_its_start(plants: Plants) -> None:
    plant = ready(plants)
    row = asked(plant, LATER)
    after = edit(plant, plant.actor, row, start_time=ONCE_ON)
    assert (after.flow_run_id, run_of(plant, after).scheduled_for) == (row.flow_run_id, NOW + DAY)
    plant.now = NOW + HOUR
    assert plant.work(run_of(plant, after)) == Wait(NOW + DAY)
    plant.now = NOW + DAY
    plant.work_off()
    assert [each.nominal_time for each in executed(plant)] == [NOW + DAY]


@pytest.mark.parametrize("body", [{"data": OTHER}, {"job_queue": "bulk"}], ids=["inputs", "queue"])
def test_an_outdated_run_does_not_go_while_prefect_does_not_follow(plants: Plants, body: dict[str, Any]) -> None:
    plant = ready(plants)
    row = asked(plant, LATER)
    plant.now = NOW + HOUR - SECOND
    plant.engine.set_state(run_of(plant, row).id, "PENDING", "Pending")
    plant.engine.fail("runs", times=1)
    after = edit(plant, plant.actor, row, **body)
    plant.now += SECOND
    assert plant.work(run_of(plant, row)) == Refuse(OUTDATED)
    plant.settle()
    plant.work_off()
    [done] = executed(plant)
    assert (done.id != row.flow_run_id, done.inputs, done.queue) == (True, after.inputs, after.queue)
    plant.settle()
    plant.check_in_line()


@pytest.mark.parametrize("schedule", [LATER, AT_ONCE, NIGHTLY], ids=["once", "at once", "again and again"])
def test_what_waits_shows_its_new_name_and_inputs_in_the_same_run(plants: Plants, schedule: Any) -> None:
    plant = ready(plants, **APPROVAL)
    row = asked(plant, schedule)
    after = edit(plant, plant.actor, row, name="renamed", data=OTHER)
    assert (after.flow_run_id, after.approval) == (row.flow_run_id, PENDING)
    check_asks(plant, after)
    assert run_of(plant, after).name == "renamed (waiting for approval)"
    check_in_line(plant)


def test_what_was_to_run_at_once_and_is_given_a_start_waits_for_it(plants: Plants) -> None:
    plant = ready(plants, **APPROVAL)
    row = asked(plant, AT_ONCE)
    after = edit(plant, plant.actor, row, start_time=ONCE_ON)
    assert (after.immediate, after.start_time) == (False, NOW + DAY)
    assert remembered(plant, 1) == [(EventType.CHANGED, "alice", ["start_time"])]
    decide(plant, "approve", approver(plant), after, version=shown(plant, row))
    assert run_of(plant, after).scheduled_for == NOW + DAY
    plant.work_off()
    assert executed(plant) == []


def test_what_is_approved_before_prefect_shows_its_new_inputs_runs_with_them(plants: Plants) -> None:
    plant = ready(plants, **APPROVAL)
    row = asked(plant, LATER)
    plant.engine.fail("runs", times=2)
    after = edit(plant, plant.actor, row, data=OTHER)
    decide(plant, "approve", approver(plant), row, version=shown(plant, after))
    plant.settle()
    plant.now = NOW + HOUR
    plant.work_off()
    assert [each.inputs for each in executed(plant)] == [OTHER]
    assert EventType.TAMPERED not in [each.act for each in events(plant)]


# What was approved returns to the queue


INPUTS_CHANGED = "The inputs changed after bob approved it."
SCHEDULE_CHANGED = "The schedule changed after bob approved it."
QUEUE_CHANGED = "The queue changed after bob approved it."
WHAT_WAS_APPROVED = [
    pytest.param(ONCE_TONIGHT, {"data": OTHER}, INPUTS_CHANGED, id="inputs"),
    pytest.param(NIGHTLY, {"crontab": "0 21 * * *"}, SCHEDULE_CHANGED, id="crontab"),
    pytest.param(NIGHTLY, {"interval": "weekly"}, SCHEDULE_CHANGED, id="from a crontab to weekly"),
    pytest.param(HOURLY, {"interval": "custom", "crontab": "0 1 * * *"}, SCHEDULE_CHANGED, id="to a crontab"),
    pytest.param(ONCE_TONIGHT, {"start_time": (TONIGHT + DAY).isoformat()}, SCHEDULE_CHANGED, id="start"),
    pytest.param(NIGHTLY, {"time_zone": "Europe/Berlin"}, SCHEDULE_CHANGED, id="zone"),
    pytest.param(NIGHTLY, {"misfire": "all"}, SCHEDULE_CHANGED, id="what becomes of missed firings"),
    pytest.param(NIGHTLY, {"job_queue": "bulk"}, QUEUE_CHANGED, id="queue"),
    pytest.param(
        NIGHTLY,
        {"data": OTHER, "job_queue": "bulk", "crontab": "0 21 * * *"},
        "The inputs, the schedule and the queue changed after bob approved it.",
        id="all of it",
    ),
]


@pytest.mark.parametrize(("schedule", "body", "reason"), WHAT_WAS_APPROVED)
def test_a_change_of_what_was_approved_asks_again_and_nothing_runs_until_another_person_has_decided(
    plants: Plants, schedule: Any, body: dict[str, Any], reason: str
) -> None:
    plant = ready(plants, **APPROVAL)
    row = approved(plant, schedule)
    who = plant.actor if "data" in body else editor(plant)
    made = run_of(plant, row) if row.one_off else plant.engine.make_firing(plant.own_id(), TONIGHT)
    plant.engine.set_state(made.id, "PENDING", "Pending")
    before = len(events(plant))
    after = edit(plant, who, row, **body)
    assert (after.approval, after.approval_note, after.enabled) == (PENDING, reason, True)
    assert (after.approved, after.approved_by, after.approved_by_id) == (None, "", None)
    assert (after.approved_at, after.approval_comment) == (None, "")
    assert [each[0] for each in remembered(plant, before)] == [EventType.CHANGED, EventType.RETURNED]
    assert remembered(plant, before)[1] == (EventType.RETURNED, "", reason)
    if not row.one_off:
        assert plant.engine.made[plant.own_id()].schedule.active is False  # type: ignore[union-attr]

    plant.now = TONIGHT
    assert plant.work(plant.engine.all_runs[made.id]) != Go()
    plant.tick(8, seconds=30)
    plant.work_off()
    assert executed(plant) == []
    why = policy.OWN_REQUEST if who is plant.actor else policy.ONCE_CHANGED
    with pytest.raises(Forbidden, match=why):
        decide(plant, "approve", who, row, force=True)

    after = now_of(plant, row)
    check_asks(plant, after)
    decide(plant, "approve", approver(plant, "dave"), row, force=True, version=shown(plant, row))
    [due] = [after.start_time] if row.one_off else next_times(after.recurrence, plant.now, 1)
    plant.now = max(due, plant.now)
    if not row.one_off:
        plant.tick()
        plant.engine.make_firing(plant.own_id(), due)
    plant.work_off()
    assert [(each.inputs, each.nominal_time, each.queue) for each in executed(plant)] == [
        (after.inputs, due, after.queue)
    ]
    assert executed(plant)[0].approval["by"] == "dave"  # type: ignore[index]


def test_what_is_renamed_disabled_and_enabled_stays_approved(plants: Plants) -> None:
    plant = ready(plants, **APPROVAL)
    row = approved(plant, NIGHTLY)
    carol = editor(plant)
    for body in ({"name": "renamed"}, {"enabled": False}, {"enabled": True}):
        after = edit(plant, carol, row, **body)
        assert (after.approval, after.approved_by, after.approved) == (APPROVED, "bob", row.approved)
    assert carol.id not in {each.user_id for each in plant.all(Participant)}
    plant.check_in_line()
    assert EventType.RETURNED not in [each.act for each in events(plant)]


def test_who_only_renamed_it_may_approve_it(plants: Plants) -> None:
    plant = ready(plants, **APPROVAL)
    row = asked(plant, LATER)
    carol = editor(plant)
    edit(plant, carol, row, name="renamed")
    assert decide(plant, "approve", carol, row, version=shown(plant, row)).approval is APPROVED


def test_an_approval_that_has_become_stale_while_it_was_disabled_is_asked_for_again(plants: Plants) -> None:
    plant = ready(plants, **APPROVAL)
    row = approved(plant, NIGHTLY)
    edit(plant, plant.actor, row, enabled=False)
    plant.change(plant.only(Job), code_digest="2::another")
    after = edit(plant, plant.actor, row, enabled=True)
    assert (after.approval, after.approval_note) == (PENDING, "The Job's code changed after bob approved it.")


@pytest.mark.parametrize(
    "body",
    [
        pytest.param({"data": OTHER}, id="inputs"),
        pytest.param({"job_queue": "bulk"}, id="queue"),
        pytest.param({"start_time": ONCE_ON}, id="start"),
        pytest.param({"time_zone": "Asia/Tokyo"}, id="zone"),
    ],
)
def test_who_has_seen_a_request_before_it_was_changed_cannot_decide_about_it(
    plants: Plants, body: dict[str, Any]
) -> None:
    plant = ready(plants, **APPROVAL)
    row, bob = asked(plant, LATER), approver(plant)
    seen = shown(plant, row)
    after = edit(plant, plant.actor, row, **body)
    assert (after.approval, after.expires_at) == (PENDING, row.expires_at)
    with pytest.raises(Outdated, match=policy.CHANGED):
        decide(plant, "approve", bob, row, version=seen)
    check_in_line(plant)
    assert decide(plant, "approve", bob, row, version=shown(plant, after)).approval is APPROVED


def edits_back(plant: Plant, row: ScheduledJob) -> None:
    edit(plant, plant.actor, row, data=OTHER)
    edit(plant, plant.actor, row, data=dict(row.inputs))


def taken_over(plant: Plant, row: ScheduledJob) -> None:
    asyncio.run(plant.ownership.assume(editor(plant), {"id": row.id}))


def given_away(plant: Plant, row: ScheduledJob) -> None:
    editor(plant)
    asyncio.run(plant.ownership.transfer(plant.actor, {"id": row.id}, {"username": "carol"}))


EDITED: list[Any] = [
    pytest.param(lambda plant, row: edit(plant, plant.actor, row, data=OTHER), id="inputs"),
    pytest.param(lambda plant, row: edit(plant, plant.actor, row, job_queue="bulk"), id="queue"),
    pytest.param(lambda plant, row: edit(plant, plant.actor, row, time_zone="Asia/Tokyo"), id="schedule"),
    pytest.param(edits_back, id="inputs, and back"),
    pytest.param(taken_over, id="owner, by assuming"),
    pytest.param(given_away, id="owner, by transfer"),
]


@pytest.mark.parametrize("does", EDITED)
@pytest.mark.parametrize("decided", [False, True], ids=["after it was made", "after it was approved"])
def test_what_a_person_has_edited_is_approved_with_its_version_only(plants: Plants, does: Any, decided: bool) -> None:
    plant = ready(plants, **APPROVAL)
    row = approved(plant, NIGHTLY) if decided else asked(plant, NIGHTLY)
    does(plant, row)
    plant.now += 100 * DAY
    # Whatever has not returned to the queue by itself does now; that is no edit.
    plant.change(plant.only(Job), code_digest="another")
    if decided:
        with plant.store.transaction() as tx:
            return_stale(plant.only(Job).id, plant.now, tx)
    dave = approver(plant, "dave")
    with pytest.raises(Conflict) as caught:
        decide(plant, "approve", dave, row)
    assert (caught.type, caught.value.detail) == (Conflict, policy.EDITED)
    after = decide(plant, "approve", dave, row, version=shown(plant, row))
    assert (after.approval, after.edited) == (APPROVED, False)


def test_what_is_called_as_another_request_was_is_not_approved_unseen(plants: Plants) -> None:
    plant = ready(plants, **APPROVAL)
    row, other = asked(plant, LATER), asked(plant, {**LATER, "name": "other"})
    edit(plant, plant.actor, row, name="old")
    edit(plant, plant.actor, other, name=row.name)
    with pytest.raises(Conflict, match="edited"):
        asyncio.run(plant.approvals.approve(approver(plant), {"name": row.name}, Decision()))


def test_what_is_disabled_or_has_other_code_is_not_edited(plants: Plants) -> None:
    plant = ready(plants, **APPROVAL)
    row = asked(plant, LATER)
    edit(plant, plant.actor, row, enabled=False)
    edit(plant, plant.actor, row, enabled=True)
    plant.change(plant.only(Job), code_digest="another")
    assert decide(plant, "approve", approver(plant), row).approval is APPROVED


def test_who_has_seen_another_version_changes_nothing(plants: Plants) -> None:
    plant = ready(plants)
    row, carol = asked(plant, NIGHTLY), editor(plant)
    seen = shown(plant, row)
    asyncio.run(plant.schedule_changes.change(plant.actor, {"id": row.id}, {"crontab": "0 3 * * *"}, seen))
    before = standing(plant)
    for deed in (
        plant.schedule_changes.change(plant.actor, {"id": row.id}, {"crontab": "0 4 * * *"}, seen),
        plant.ownership.assume(carol, {"id": row.id}, seen),
        plant.schedules.delete(plant.actor, row.id, seen),
    ):
        with pytest.raises(Outdated, match=policy.CHANGED):
            asyncio.run(deed)
    assert standing(plant) == before


@pytest.mark.parametrize("schedule", SCHEDULES[:2])
def test_a_dry_run_that_becomes_a_real_one_while_approval_is_switched_off_is_marked(
    plants: Plants, schedule: Any
) -> None:
    mark = {"by": "mallory", "at": NOW.isoformat()}
    plant = ready(plants, supports_dryrun=True, approval_off=mark)
    row = asked(plant, schedule, data={**INPUTS, "dryrun": True})
    assert row.approval_off is None
    assert edit(plant, plant.actor, row, data={**OTHER, "dryrun": False}).approval_off == mark
    assert edit(plant, plant.actor, row, data={**OTHER, "dryrun": True}).approval_off == mark, "it stays"


@pytest.mark.parametrize("schedule", SCHEDULES[:2])
def test_a_dry_run_that_becomes_a_real_one_waits_for_approval(plants: Plants, schedule: Any) -> None:
    plant = ready(plants, **APPROVAL)
    row = asked(plant, schedule, data={**INPUTS, "dryrun": True})
    assert row.approval is NOT_REQUIRED
    after = edit(plant, plant.actor, row, data={**OTHER, "dryrun": True})
    assert after.approval is NOT_REQUIRED
    after = edit(plant, plant.actor, row, data={**OTHER, "dryrun": False})
    assert (after.approval, after.approval_note) == (PENDING, NEEDS_APPROVAL)
    check_in_line(plant)
    plant.now = TONIGHT
    plant.settle()
    plant.work_off()
    assert executed(plant) == []


def test_what_was_scheduled_before_its_job_needed_approval_waits_when_it_is_enabled(plants: Plants) -> None:
    plant = ready(plants)
    row = asked(plant, NIGHTLY)
    edit(plant, plant.actor, row, enabled=False)
    plant.change(plant.only(Job), approval_required=True)
    assert edit(plant, plant.actor, row, name="renamed").approval is PENDING
    after = edit(plant, plant.actor, row, enabled=True)
    assert (after.approval, after.approval_note) == (PENDING, NEEDS_APPROVAL)
    check_in_line(plant)


def test_a_late_firing_does_not_go_with_the_inputs_of_before(plants: Plants) -> None:
    plant = ready(plants)
    row = asked(plant, NIGHTLY)
    plant.tick()
    firing = plant.engine.make_firing(plant.own_id(), TONIGHT)
    plant.now = TONIGHT + MINUTE
    edit(plant, plant.actor, row, data=OTHER)
    assert plant.work(plant.engine.all_runs[firing.id]) == Finish(NOT_OWED)
    plant.settle()
    plant.work_off()
    assert executed(plant) == []
    assert {each.act for each in events(plant)} == {EventType.SCHEDULED, EventType.CHANGED}


def test_a_firing_that_a_worker_has_taken_ahead_goes_with_the_inputs_that_it_has_at_its_time(plants: Plants) -> None:
    plant = ready(plants)
    row = asked(plant, NIGHTLY)
    plant.tick()
    plant.now = TONIGHT - 10 * SECOND
    firing = plant.engine.make_firing(plant.own_id(), TONIGHT)
    plant.engine.set_state(firing.id, "PENDING", "Pending")
    edit(plant, plant.actor, row, data=OTHER)
    plant.now = TONIGHT
    assert plant.work(plant.engine.all_runs[firing.id]) == Go()
    assert [each.inputs for each in executed(plant)] == [OTHER]
    assert EventType.TAMPERED not in [each.act for each in events(plant)]


def test_what_makes_up_for_a_firing_does_not_go_with_the_inputs_of_before(plants: Plants) -> None:
    plant = ready(plants)
    row = asked(plant, NIGHTLY)
    plant.now = TONIGHT + HOUR
    plant.tick()
    [run] = plant.waiting()
    assert run.parameters == INPUTS
    edit(plant, plant.actor, row, data=OTHER)
    assert plant.work(run) == Finish(NOT_OWED)
    assert executed(plant) == []


# Who may not


THEIRS = {"user__username": "alice"}
NO = "You do not have permission to perform this action."
MAY_NOT_RUN = "You do not have permission to run this job."
RENAMED, OFF = {"name": "renamed"}, {"enabled": False}
RUNS_OTHERWISE = [{"crontab": "* * * * *"}, {"start_time": ONCE_ON}, {"time_zone": "Asia/Tokyo"}, {"job_queue": "bulk"}]
WHO_MAY_NOT = [
    pytest.param((), RENAMED, (Forbidden, NO), id="who has no permission"),
    pytest.param((may(SCHEDULED, VIEW), may(JOB, RUN)), RENAMED, (Forbidden, NO), id="who may only see it"),
    pytest.param((may(SCHEDULED, DELETE), may(JOB, RUN)), RENAMED, (Forbidden, NO), id="who may only delete it"),
    pytest.param(
        (may(SCHEDULED, VIEW, CHANGE, limit={"name": "another"}), may(JOB, RUN)),
        RENAMED,
        (NotFound, GONE),
        id="who may see and change another",
    ),
    pytest.param(
        (may(SCHEDULED, VIEW), may(SCHEDULED, CHANGE, limit={"name": "another"}), may(JOB, RUN)),
        RENAMED,
        (Forbidden, NO),
        id="who may see all and change another",
    ),
    pytest.param((may(SCHEDULED, CHANGE, limit={"user": "$user"}),), OFF, (NotFound, GONE), id="who may their own"),
    *(
        pytest.param((may(SCHEDULED, VIEW, CHANGE),), body, (Forbidden, MAY_NOT_RUN), id=f"without run, {[*body]}")
        for body in RUNS_OTHERWISE
    ),
    pytest.param(
        (may(SCHEDULED, VIEW, CHANGE),),
        {"crontab": "* * * * *", "name": "x", "job_queue": "nope"},
        (Forbidden, MAY_NOT_RUN),
        id="without run, and not told what is wrong with the queue",
    ),
    pytest.param(
        (may(SCHEDULED, VIEW, CHANGE), may(JOB, RUN, limit={"name": "another"})),
        {"time_zone": "Asia/Tokyo"},
        (Forbidden, MAY_NOT_RUN),
        id="who may run another Job",
    ),
    pytest.param(EDITOR, {"data": OTHER}, (Forbidden, ownership.NOT_OWNER), id="who does not own it, its inputs"),
    pytest.param(EDITOR, {"data": INPUTS}, (Forbidden, ownership.NOT_OWNER), id="who does not own it, equal inputs"),
    pytest.param(
        EDITOR,
        {"data": 5, "name": "x"},
        (Forbidden, ownership.NOT_OWNER),
        id="who does not own it, inputs that are none",
    ),
    pytest.param(
        (may(SCHEDULED, VIEW), may(SCHEDULED, CHANGE, limit={"name": "nightly"}), may(JOB, RUN)),
        RENAMED,
        (Forbidden, NO),
        id="who may not change it any more after that",
    ),
    pytest.param(
        (may(SCHEDULED, VIEW), may(SCHEDULED, CHANGE, limit={"queue": "default"}), may(JOB, RUN)),
        {"job_queue": "bulk", "name": "renamed"},
        (Forbidden, NO),
        id="who may not change those of another queue",
    ),
    pytest.param(
        (may(SCHEDULED, VIEW), may(SCHEDULED, CHANGE, limit={"enabled": True}), may(JOB, RUN)),
        OFF,
        (Forbidden, NO),
        id="who may not change disabled ones",
    ),
]


@pytest.mark.parametrize(("permissions", "body", "refusal"), WHO_MAY_NOT)
def test_who_may_not_change_it_so(plants: Plants, permissions: Any, body: dict[str, Any], refusal: Any) -> None:
    plant = ready(plants, **APPROVAL)
    row = asked(plant, NIGHTLY)
    assert refused(plant, person(plant, "carol", *permissions), row, **body) == refusal


def test_superusers_do_not_change_another_s_inputs(plants: Plants) -> None:
    plant = ready(plants)
    row = asked(plant, NIGHTLY)
    root = make_user("root", is_superuser=True)
    plant.add(root)
    as_root = Actor(id=root.id, username="root", superuser=True)
    assert refused(plant, as_root, row, data=OTHER) == (Forbidden, ownership.NOT_OWNER)
    asyncio.run(plant.ownership.assume(as_root, {"id": row.id}))
    assert edit(plant, as_root, row, data=OTHER).inputs == OTHER
    assert refused(plant, plant.actor, row, data=INPUTS) == (Forbidden, ownership.NOT_OWNER)


@pytest.mark.parametrize("body", [RENAMED, OFF], ids=["renames", "disables"])
def test_who_may_not_run_its_job_still_renames_and_disables_it(plants: Plants, body: dict[str, Any]) -> None:
    plant = ready(plants)
    row = asked(plant, NIGHTLY)
    carol = person(plant, "carol", may(SCHEDULED, CHANGE, limit=THEIRS))
    after = edit(plant, carol, row, **body)
    assert {name: getattr(after, name) for name in body} == body
    if "enabled" in body:
        assert refused(plant, carol, row, enabled=True) == (Forbidden, MAY_NOT_RUN)


def test_who_came_with_a_token_that_only_reads_changes_nothing(plants: Plants) -> None:
    plant = ready(plants)
    row = asked(plant, NIGHTLY)
    reader = replace(plant.actor, read_only=True)
    assert refused(plant, reader, row, name="renamed") == (Forbidden, NO)


def test_who_has_been_removed_meanwhile_changes_nothing(plants: Plants) -> None:
    plant = ready(plants)
    row = asked(plant, NIGHTLY)
    carol = editor(plant)
    remove_user(plant.store, "carol", plant.now)
    gone = (Forbidden, "This user has been removed or deactivated.")
    assert refused(plant, carol, row, name="renamed") == gone


def test_what_is_not_there_is_not_found(plants: Plants) -> None:
    plant = ready(plants)
    row = asked(plant, NIGHTLY)
    assert refused(plant, plant.actor, replace(row, id=uuid4()), name="renamed") == (NotFound, GONE)
    asyncio.run(plant.schedules.delete(plant.actor, row.id))
    assert refused(plant, plant.actor, row, name="renamed") == (NotFound, GONE)


# What it cannot be changed to


@pytest.mark.parametrize(
    ("body", "refusal"),
    [
        pytest.param({"bogus": 1}, (Invalid, {"bogus": ["This field cannot be changed."]}), id="an unknown field"),
        pytest.param({"name": "taken"}, (Invalid, {"name": [NAME_TAKEN]}), id="a name that another has"),
        pytest.param({"crontab": "* *"}, None, id="a crontab that is none"),
        pytest.param({"start_time": "2020-01-01T00:00Z"}, (Invalid, {"start_time": [START]}), id="a start in the past"),
        pytest.param(
            {"data": [], "name": "renamed"},
            (Invalid, {"errors": ["Job data needs to be a dict"]}),
            id="inputs that its Job does not take",
        ),
        pytest.param(
            {"job_queue": "nope", "name": "renamed"},
            (Invalid, {"task_queue": ['"nope" is not a valid choice.']}),
            id="a queue that its Job does not have",
        ),
        pytest.param(
            {"job_queue": "bulk", "task_queue": "bulk"},
            (
                Invalid,
                {"task_queue": "task_queue and job_queue are both specified. Please specify only one or another."},
            ),
            id="both names of a queue",
        ),
        pytest.param(
            {"job_queue": "idle", "name": "renamed"},
            (Unavailable, "Unable to process request: No Prefect workers running on queue idle."),
            id="a queue that nobody serves",
        ),
    ],
)
def test_a_change_is_refused_whole(plants: Plants, body: dict[str, Any], refusal: Any) -> None:
    plant = ready(plants, **APPROVAL)
    plant.change(plant.only(Job), job_queues=("default", "bulk", "idle"))
    asked(plant, {**LATER, "name": "taken"})
    row = approved(plant, NIGHTLY)
    told = refused(plant, plant.actor, row, **body)
    assert told == refusal if refusal else told[0] is Invalid


def test_a_queue_that_it_has_need_not_be_served_for_other_changes(plants: Plants) -> None:
    plant = ready(plants)
    row = asked(plant, NIGHTLY)
    plant.engine.served.clear()
    assert edit(plant, plant.actor, row, name="renamed", job_queue="default").name == "renamed"


def test_while_prefect_is_away_what_needs_no_worker_is_changed_and_followed_later(plants: Plants) -> None:
    plant = ready(plants)
    row = asked(plant, NIGHTLY)
    plant.engine.fail("read_deployment", times=-1)
    after = edit(plant, plant.actor, row, data=OTHER)
    assert after.projected_version < after.version
    plant.engine.faults.clear()
    plant.settle()
    plant.check_in_line()
    check_deployment(plant, now_of(plant, row))


# Sensitive Jobs


def test_the_inputs_of_a_job_that_has_become_sensitive_are_not_kept(plants: Plants) -> None:
    plant = ready(plants)
    row = asked(plant, NIGHTLY)
    plant.change(plant.only(Job), has_sensitive_variables=True)
    assert refused(plant, plant.actor, row, data=OTHER) == (Invalid, {"data": [SENSITIVE]})
    edit(plant, plant.actor, row, enabled=False)
    assert refused(plant, plant.actor, row, enabled=True) == (Invalid, {"enabled": [SENSITIVE]})


# Enabling


def has_run(plant: Plant, row: ScheduledJob) -> None:
    plant.now = row.start_time
    plant.work_off()
    assert executed(plant) != []


def has_failed(plant: Plant, row: ScheduledJob) -> None:
    plant.now = row.start_time
    plant.change(plant.only(Job), enabled=False)
    plant.work_off()
    plant.change(plant.only(Job), enabled=True)
    assert "not enabled" in now_of(plant, row).failure


def is_past(plant: Plant, row: ScheduledJob) -> None:
    edit(plant, plant.actor, row, enabled=False)
    plant.now = row.start_time + SECOND


def has_expired(plant: Plant, row: ScheduledJob) -> None:
    plant.tick(2, seconds=45)
    assert now_of(plant, row).approval is ApprovalState.EXPIRED


def is_over(plant: Plant, row: ScheduledJob) -> None:
    """Let its time end, and nobody write that down."""
    edit(plant, plant.actor, row, enabled=False)
    plant.now += 2 * MINUTE


def is_ownerless(plant: Plant, row: ScheduledJob) -> None:
    edit(plant, plant.actor, row, enabled=False)
    plant.change(now_of(plant, row), owner_id=None)


def of_job(**to: Any) -> Callable[[Plant, ScheduledJob], None]:
    def happens(plant: Plant, row: ScheduledJob) -> None:
        edit(plant, plant.actor, row, enabled=False)
        plant.change(plant.only(Job), **to)

    return happens


PASSED = (Invalid, {"start_time": [START]})
NOT_ENABLED = [
    pytest.param(
        NIGHTLY, of_job(enabled=False), (Forbidden, "This job is not enabled to be run."), id="its Job is disabled"
    ),
    pytest.param(
        NIGHTLY,
        of_job(installed=False),
        (NotRunnable, "This job is not presently installed and cannot be run."),
        id="its Job's code is gone",
    ),
    pytest.param(NIGHTLY, is_ownerless, (Conflict, OWNERLESS), id="nobody owns it"),
    pytest.param(LATER, is_past, PASSED, id="its start has passed"),
    pytest.param(LATER, has_run, PASSED, id="it has run"),
    pytest.param(LATER, has_failed, PASSED, id="it has failed"),
    pytest.param(NIGHTLY, has_expired, (Conflict, EXPIRED), id="its request has expired"),
    pytest.param(LATER, has_expired, (Conflict, EXPIRED), id="the request of a one-off has expired"),
    pytest.param(NIGHTLY, is_over, (Conflict, EXPIRED), id="its time to be decided about is over"),
]


@pytest.mark.parametrize(("schedule", "happens", "refusal"), NOT_ENABLED)
def test_what_cannot_run_is_not_enabled(
    plants: Plants, schedule: Any, happens: Callable[[Plant, ScheduledJob], None], refusal: Any
) -> None:
    expires = happens in (has_expired, is_over)
    plant = ready(plants, approval_required=expires, approval_expires=60.0)
    row = asked(plant, schedule)
    happens(plant, row)
    assert now_of(plant, row).enabled is False
    assert refused(plant, plant.actor, row, enabled=True, name="renamed") == refusal
    assert edit(plant, plant.actor, row, name="renamed").enabled is False, "but it is renamed"


def test_what_was_to_run_at_once_and_has_run_is_not_enabled(plants: Plants) -> None:
    plant = ready(plants, **APPROVAL)
    row = approved(plant, AT_ONCE)
    plant.work_off()
    assert refused(plant, plant.actor, row, enabled=True) == PASSED


def test_an_ownerless_one_is_enabled_by_its_new_owner(plants: Plants) -> None:
    plant = ready(plants)
    row = asked(plant, NIGHTLY)
    is_ownerless(plant, row)
    asyncio.run(plant.ownership.assume(plant.actor, {"id": row.id}))
    assert edit(plant, plant.actor, row, enabled=True).enabled is True


def test_who_enables_what_a_failure_disabled_clears_it_and_owes_nothing_from_before(plants: Plants) -> None:
    plant = ready(plants)
    row = asked(plant, HOURLY)
    plant.now = NOW + HOUR
    plant.tick()
    plant.engine.make_firing(plant.own_id(), NOW + HOUR)
    plant.change(plant.only(Job), enabled=False)
    plant.work_off()
    plant.change(plant.only(Job), enabled=True)
    assert now_of(plant, row).failure != ""
    plant.tick(10, minutes=31)
    after = edit(plant, plant.actor, row, enabled=True)
    assert (after.enabled, after.failure, after.due_from) == (True, "", plant.now)
    plant.tick(8, seconds=30)
    plant.work_off()
    assert [each.nominal_time for each in plant.all(JobResult)] == [NOW + HOUR]
    plant.now = NOW + 7 * HOUR
    plant.tick(2, seconds=60)
    plant.work_off()
    assert [each.nominal_time for each in executed(plant)] == [NOW + 7 * HOUR], "what comes later is owed"
    plant.check_in_line()


@pytest.mark.parametrize("away", [False, True], ids=["", "while Prefect is away until its start has passed"])
@pytest.mark.parametrize("happens", [has_failed, has_run, is_past], ids=["failed", "ran", "was disabled"])
def test_a_one_off_that_had_its_turn_and_is_given_another_runs_once_more(
    plants: Plants, happens: Callable[[Plant, ScheduledJob], None], away: bool
) -> None:
    plant = ready(plants)
    row = asked(plant, LATER)
    happens(plant, row)
    before = len(executed(plant))
    again = plant.now + HOUR
    if away:
        plant.engine.fail("runs", times=1)
    after = edit(plant, plant.actor, row, enabled=True, start_time=again.isoformat())
    assert (after.enabled, after.failure, after.start_time) == (True, "", again)
    plant.now = again + (MINUTE if away else timedelta(0))
    plant.settle()
    plant.work_off()
    assert [each.nominal_time for each in executed(plant)][before:] == [again]
    plant.settle()
    assert now_of(plant, row).enabled is False
    plant.check_in_line()


def test_a_one_off_that_had_its_turn_and_is_given_another_start_alone_stays_disabled(plants: Plants) -> None:
    plant = ready(plants)
    row = asked(plant, LATER)
    has_run(plant, row)
    after = edit(plant, plant.actor, row, start_time=ONCE_ON)
    plant.now = NOW + DAY
    plant.settle()
    plant.work_off()
    assert (after.enabled, len(executed(plant))) == (False, 1)
    assert edit(plant, plant.actor, row, name="renamed").enabled is False


# At once


ROUNDS = 2


@pytest.fixture
def race(store_url: str) -> Iterator[Race]:
    """Three people on three servers, on each kind of database, and a Job that needs approval and has two queues."""
    for plant in opened_plant(store_url, job_queues=("default", "bulk"), **APPROVAL):
        plant.engine.served.add("bulk")
        made = Race(plant, 3)
        yield made
        made.close()


def edits(who: Actor, row: ScheduledJob, **body: Any) -> Deed:
    return lambda server: server.schedule_changes.change(who, {"id": row.id}, body)


def asked_again(plant: Plant, schedule: dict[str, Any], number: int) -> ScheduledJob:
    return asked(plant, {**schedule, "name": f"request {number}"})


@pytest.mark.slow
@pytest.mark.each_database
def test_of_two_changes_of_different_fields_at_once_both_hold(race: Race) -> None:
    plant = race.plant
    one, two, three = race.people
    for number in range(ROUNDS):
        row = asked_again(plant, NIGHTLY, number)
        answers = race.run(
            edits(one, row, name=f"renamed {number}"),
            edits(two, row, enabled=False),
            edits(three, row, job_queue="bulk"),
        )
        assert [type(answer) for answer in answers] == [ScheduledJob] * 3
        after = now_of(plant, row)
        assert (after.name, after.enabled, after.queue) == (f"renamed {number}", False, "bulk")
        assert after.version == row.version + 3
        assert sorted(race.acts(row)) == sorted([EventType.CHANGED, EventType.DISABLED, EventType.CHANGED])
    plant.settle()
    check_in_line(plant)


@pytest.mark.slow
@pytest.mark.each_database
def test_of_two_changes_of_the_times_at_once_both_hold_and_the_next_match_is_the_first(race: Race) -> None:
    plant = race.plant
    one, two, _ = race.people
    for number in range(ROUNDS):
        row = asked_again(plant, {**NIGHTLY, "crontab": "0 0 1 1 *"}, number)
        race.run(edits(one, row, crontab="*/5 * * * *"), edits(two, row, time_zone="Asia/Kathmandu"))
        after = now_of(plant, row)
        assert (after.crontab, after.time_zone) == ("*/5 * * * *", "Asia/Kathmandu")
        assert after.start_time == NOW + 5 * MINUTE


@pytest.mark.slow
@pytest.mark.each_database
def test_of_two_that_are_given_one_name_at_once_one_has_it(race: Race) -> None:
    plant = race.plant
    one, two, _ = race.people
    for number in range(ROUNDS):
        rows = [asked(plant, {**NIGHTLY, "name": f"request {number} {which}"}) for which in "ab"]
        name = f"wanted {number}"
        answers = race.run(edits(one, rows[0], name=name), edits(two, rows[1], name=name))
        assert sorted(now_of(plant, row).name == name for row in rows) == [False, True]
        [lost] = [answer for answer in answers if isinstance(answer, GateError)]
        assert (type(lost), lost.detail) == (Invalid, {"name": [NAME_TAKEN]})


@pytest.mark.slow
@pytest.mark.each_database
def test_what_is_changed_while_it_is_approved_unseen_waits(race: Race) -> None:
    plant = race.plant
    for number in range(ROUNDS):
        row = asked_again(plant, {**LATER, "start_time": plant.now.isoformat()}, number)
        deeds = [edits(plant.actor, row, data={"count": number + 10}), approves(race.people[0], row)]
        changed, decided = race.run(*deeds[:: 1 - 2 * (number % 2)])[:: 1 - 2 * (number % 2)]
        assert isinstance(changed, ScheduledJob)
        after = now_of(plant, row)
        assert (after.inputs, after.approval) == ({"count": number + 10}, PENDING)
        if isinstance(decided, Conflict):
            assert (decided.detail, race.acts(row)) == (policy.EDITED, [EventType.CHANGED])
        else:
            assert race.acts(row) == [EventType.APPROVED, EventType.CHANGED, EventType.RETURNED]
        plant.settle()
        plant.work_off()
        assert executed(plant) == []
        decide(plant, "deny", race.people[1], row)


@pytest.mark.slow
@pytest.mark.parametrize("schedule", [LATER, NIGHTLY], ids=["once", "again and again"])
@pytest.mark.each_database
def test_a_run_that_asks_while_it_is_changed_goes_as_it_was_or_not(race: Race, schedule: Any) -> None:
    plant = race.plant
    plant.change(plant.only(Job), approval_required=False)
    for number in range(ROUNDS):
        plant.now = NOW
        row = asked_again(plant, schedule, number)
        plant.tick()
        run = run_of(plant, row) if row.one_off else plant.engine.make_firing(row.deployment_id, row.start_time)
        plant.now = row.start_time
        run = plant.engine.set_state(run.id, "PENDING", "Pending")

        async def works(_server: Any, run: Run = run) -> Answer:
            return await asyncio.to_thread(plant.work, run)

        for server in race.servers:
            server.now = plant.now
        changed, answer = race.run(edits(plant.actor, row, data=OTHER), works)
        assert isinstance(changed, ScheduledJob)
        assert answer in ((Go(), Refuse(OUTDATED)) if row.one_off else (Go(),))
        acts = [each.act for each in events(plant) if each.scheduled_job_id == row.id]
        first = next(act for act in acts if act in (EventType.ADMITTED, EventType.CHANGED))
        plant.tick(3, seconds=31)
        plant.work_off()
        done = [each.inputs for each in executed(plant) if each.scheduled_job_id == row.id]
        assert done == [INPUTS if first is EventType.ADMITTED else OTHER]


# A crash at any point


def about_to_change(plants: Plants, schedule: Any) -> Plant:
    plant = ready(plants, **APPROVAL)
    approved(plant, schedule)
    return plant


async def does_change(plant: Plant) -> None:
    body = {"data": OTHER, "job_queue": "bulk", "name": "renamed"}
    await plant.schedule_changes.change(plant.actor, {"id": plant.only(ScheduledJob).id}, body)


def the_hour_comes(plant: Plant) -> None:
    """Let the evening come, with workers at work."""
    plant.now = TONIGHT
    plant.tick()
    for deployment_id, spec in plant.own().items():
        if spec.schedule.active:
            plant.engine.make_firing(deployment_id, TONIGHT)
    for _ in range(3):
        plant.work_off()
        plant.tick(3, seconds=40)


@pytest.mark.parametrize(
    ("schedule", "settles"),
    [
        pytest.param(ONCE_TONIGHT, False, id="once, and stays away"),
        pytest.param(NIGHTLY, True, id="nightly, and is started again"),
    ],
)
def test_wherever_a_change_of_what_was_approved_dies_it_happened_whole_or_not_and_nothing_old_runs_after_it(
    plants: Plants, schedule: Any, settles: bool
) -> None:
    outcomes = set()
    for plant in plants.dying(lambda: about_to_change(plants, schedule), does_change):
        plant.start()
        if settles:
            plant.settle()
            check_in_line(plant)
        else:
            plant.now = TONIGHT
            for run in [run for run in plant.waiting() if not run.held]:
                plant.work(run)
        row, happened = plant.only(ScheduledJob), EventType.CHANGED in [each.act for each in events(plant)]
        outcomes.add(happened)
        whole = (OTHER, "bulk", "renamed", PENDING) if happened else (INPUTS, "default", schedule["name"], APPROVED)
        assert (row.inputs, row.queue, row.name, row.approval) == whole
        the_hour_comes(plant)
        assert [each.inputs for each in executed(plant)] == ([] if happened else [INPUTS])
        assert EventType.TAMPERED not in [each.act for each in events(plant)]
    assert outcomes == {True, False}


@pytest.mark.parametrize("body", [{"data": OTHER}, {"enabled": False}])
def test_wherever_a_change_of_a_one_off_dies_it_runs_once_as_the_store_says(
    plants: Plants, body: dict[str, Any]
) -> None:
    def about_to() -> Plant:
        plant = ready(plants)
        asked(plant, LATER)
        return plant

    async def does(plant: Plant) -> None:
        await plant.schedule_changes.change(plant.actor, {"id": plant.only(ScheduledJob).id}, body)

    for plant in plants.dying(about_to, does):
        plant.settle()
        plant.check_in_line()
        row = plant.only(ScheduledJob)
        the_hour_comes(plant)
        done = [(each.inputs, each.queue) for each in executed(plant)]
        assert done == ([(row.inputs, row.queue)] if row.enabled else [])
        plant.settle()
        plant.check_in_line()


# Once, and again and again


NIGHTS = {"interval": "daily", "start_time": TONIGHT.isoformat()}
ONE_NIGHT = {"interval": "future", "start_time": TONIGHT.isoformat()}
KINDS = [
    pytest.param(LATER, {"interval": "daily"}, id="once to daily"),
    pytest.param(LATER, {"interval": "custom", "crontab": "0 20 * * *"}, id="once to a crontab"),
    pytest.param(AT_ONCE, NIGHTS, id="at once to daily"),
    pytest.param(HOURLY, ONE_NIGHT, id="hourly to once"),
    pytest.param(NIGHTLY, ONE_NIGHT, id="a crontab to once"),
]


def check_projected(plant: Plant, row: ScheduledJob) -> None:
    """See that Prefect has what a scheduled job needs, and nothing of what it was before."""
    check_in_line(plant)
    assert len(plant.own()) == (not row.one_off)
    if row.one_off:
        assert row.deployment_id is None
    else:
        check_deployment(plant, row)


@pytest.mark.parametrize(("schedule", "body"), [each for each in KINDS if each.values[0] is not AT_ONCE])
def test_what_runs_once_recurs_and_what_recurs_runs_once(plants: Plants, schedule: Any, body: dict[str, Any]) -> None:
    plant = ready(plants)
    row = asked(plant, schedule)
    after = edit(plant, plant.actor, row, **body)
    assert after.one_off is not row.one_off
    check_projected(plant, after)
    [act] = remembered(plant)
    assert act[0] is EventType.CHANGED
    assert "interval" in act[2]
    if row.one_off:
        old = run_of(plant, row)
        assert (old.state_name, old.message) == ("Replaced", OUTDATED)
    back = edit(
        plant,
        plant.actor,
        after,
        interval=str(row.interval),
        start_time=(NOW + HOUR).isoformat(),
        **({"crontab": row.crontab} if row.crontab else {}),
    )
    check_projected(plant, back)
    plant.tick(2, seconds=31)
    check_projected(plant, now_of(plant, row))


@pytest.mark.parametrize(("schedule", "body"), KINDS)
def test_an_approval_for_once_is_none_for_again_and_again(plants: Plants, schedule: Any, body: dict[str, Any]) -> None:
    plant = ready(plants, **APPROVAL)
    row = asked(plant, schedule)
    waits = edit(plant, plant.actor, row, **body)
    assert waits.approval is PENDING
    check_projected(plant, waits)
    decide(plant, "approve", approver(plant), waits, version=shown(plant, waits))
    check_projected(plant, now_of(plant, row))
    again = edit(plant, plant.actor, waits, **({"interval": "hourly"} if waits.one_off else ONE_NIGHT))
    assert (again.approval, again.approved_by) == (PENDING, "")
    check_projected(plant, again)
    the_hour_comes(plant)
    assert executed(plant) == []


@pytest.mark.parametrize("body", [{"interval": "hourly"}, {"interval": "custom", "crontab": "0 * * * *"}])
def test_the_run_of_what_recurs_now_does_not_go_before_prefect_follows(plants: Plants, body: dict[str, Any]) -> None:
    plant = ready(plants)
    row = asked(plant, LATER)
    plant.now = NOW + HOUR - SECOND
    plant.engine.set_state(run_of(plant, row).id, "PENDING", "Pending")
    plant.engine.fail("create_deployment", times=1)
    edit(plant, plant.actor, row, **body)
    plant.now += SECOND
    assert plant.work(run_of(plant, row)) == Refuse(OUTDATED)
    plant.settle()
    plant.tick()
    plant.now = NOW + 2 * HOUR
    plant.engine.make_firing(plant.own_id(), plant.now)
    plant.work_off()
    assert NOW + 2 * HOUR in [each.nominal_time for each in executed(plant)]
    assert run_of(plant, row).id not in [each.flow_run_id for each in executed(plant)]


def test_the_firings_of_what_runs_once_now_do_not_go_and_it_counts_from_zero(plants: Plants) -> None:
    plant = ready(plants)
    row = asked(plant, HOURLY)
    plant.now = NOW + HOUR
    plant.tick()
    own = plant.own_id()
    plant.engine.make_firing(own, plant.now)
    plant.work_off()
    assert now_of(plant, row).total_run_count == 1
    plant.now += HOUR
    firing = plant.engine.make_firing(own, plant.now)
    firing = plant.engine.set_state(firing.id, "PENDING", "Pending")
    plant.engine.fail("create_run", times=1)
    after = edit(plant, plant.actor, row, **ONE_NIGHT)
    assert (after.total_run_count, after.last_run_at, after.is_spent) == (0, None, False)
    assert plant.work(firing) == Refuse(OUTDATED)
    plant.settle()
    check_projected(plant, now_of(plant, row))
    the_hour_comes(plant)
    assert [each.nominal_time for each in executed(plant)] == [NOW + HOUR, TONIGHT]
    assert now_of(plant, row).is_spent


def test_what_it_had_missed_is_not_made_up_for_when_it_runs_once(plants: Plants) -> None:
    plant = ready(plants)
    row = asked(plant, {**HOURLY, "misfire": "all"})
    plant.now = NOW + 3 * HOUR + MINUTE * 5
    plant.tick()
    assert {each.status for each in plant.all(JobResult)} == {Status.PENDING}
    edit(plant, plant.actor, row, **ONE_NIGHT)
    told = {(each.status, each.traceback) for each in plant.all(JobResult)}
    assert told == {(Status.REVOKED, NOT_OWED)}
    the_hour_comes(plant)
    assert [each.nominal_time for each in executed(plant)] == [TONIGHT]


def test_what_recurs_does_not_run_once_while_a_run_of_it_is_suspended(plants: Plants) -> None:
    plant = ready(plants)
    row = asked(plant, HOURLY)
    plant.now = NOW + HOUR
    plant.tick()
    plant.let_go(plant.engine.make_firing(plant.own_id(), plant.now))
    plant.change(plant.only(JobResult), suspended=True)
    assert refused(plant, plant.actor, row, **ONE_NIGHT) == (Conflict, SUSPENDED)


def test_what_has_run_or_has_become_sensitive_does_not_recur(plants: Plants) -> None:
    plant = ready(plants)
    row = asked(plant, LATER)
    plant.change(plant.only(Job), has_sensitive_variables=True)
    assert refused(plant, plant.actor, row, interval="daily") == (Invalid, {"interval": [SENSITIVE]})
    plant.change(plant.only(Job), has_sensitive_variables=False)
    has_run(plant, row)
    assert refused(plant, plant.actor, row, **NIGHTS) == (Invalid, {"interval": [OVER]})


@pytest.mark.parametrize(
    ("schedule", "body"),
    [pytest.param(ONCE_TONIGHT, NIGHTS, id="to daily"), pytest.param(NIGHTLY, ONE_NIGHT, id="to once")],
)
def test_wherever_a_change_of_the_kind_dies_the_evening_s_run_is_one(
    plants: Plants, schedule: Any, body: dict[str, Any]
) -> None:
    def about_to() -> Plant:
        plant = ready(plants)
        asked(plant, schedule)
        return plant

    async def does(plant: Plant) -> None:
        await plant.schedule_changes.change(plant.actor, {"id": plant.only(ScheduledJob).id}, body)

    for plant in plants.dying(about_to, does):
        plant.start()
        plant.settle()
        check_projected(plant, plant.only(ScheduledJob))
        the_hour_comes(plant)
        assert [each.nominal_time for each in executed(plant)] == [TONIGHT]
        plant.settle()
        check_projected(plant, plant.only(ScheduledJob))
