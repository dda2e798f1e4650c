"""Requests and deletions: what is refused and in which order, what is accepted, and that nothing is ever half-made."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest

from api_shim.domain.audit import AuditEvent, EventType
from api_shim.domain.model import Job, JobResult, Participant, PendingCleanup, ScheduledJob
from api_shim.domain.recurrence import Interval
from api_shim.parsing.run_request import BOTH_QUEUES, RunRequest
from api_shim.services.schedules import SENSITIVE, SENSITIVE_AND_APPROVAL, Accepted, _add
from api_shim.settings import Limits
from api_shim.store import Store
from approval_gate import constraints
from approval_gate.admission import NOT_APPROVED, Hold, Refuse
from approval_gate.errors import Conflict, Forbidden, GateError, Invalid, NotFound, NotRunnable, Unavailable
from approval_gate.lifecycle import ApprovalState
from approval_gate.model import Action, Actor, Grant, ObjectType
from tests.api_shim.plant import HOUR, INPUTS, Plant, Plants
from tests.factories import NOW, make_job, make_scheduled, make_user
from tests.live import PATIENCE

LATER = {"interval": "future", "name": "once", "start_time": (NOW + HOUR).isoformat()}
HOURLY = {"interval": "hourly", "name": "often", "start_time": (NOW + HOUR).isoformat()}
EVERY = [
    pytest.param(None, id="now"),
    pytest.param({"interval": "immediately"}, id="immediately"),
    pytest.param(LATER, id="later"),
    pytest.param(HOURLY, id="hourly"),
    pytest.param({"interval": "custom", "name": "x", "crontab": "5 4 * * *"}, id="by crontab"),
]
APPROVAL = {"approval_required": True}
SENSITIVE_JOB = {"has_sensitive_variables": True}


def ask(
    plant: Plant, schedule: object = None, *, who: Actor | None = None, job: Any = None, **request: Any
) -> Accepted:
    asked = RunRequest(**{"data": INPUTS, "schedule": schedule, **request})
    return asyncio.run(plant.schedules.request(who or plant.actor, job or plant.job.id, asked))


def refused(plant: Plant, schedule: object = None, **request: Any) -> tuple[type[GateError], Any]:
    with pytest.raises(GateError) as caught:
        ask(plant, schedule, **request)
    assert plant.all(ScheduledJob) == []
    assert plant.all(JobResult) == []
    assert plant.unended() == []
    return caught.type, caught.value.detail


def person(*grants: tuple[ObjectType, Action, Any], read_only: bool = False) -> Actor:
    made = tuple(
        Grant(
            object_types=frozenset({kind}),
            actions=frozenset({action}),
            constraint=constraints.parse(limit, {"name": str}),
        )
        for kind, action, limit in grants
    )
    return Actor(id=uuid4(), username="carol", grants=made, read_only=read_only)


# While approval is switched off


MARK = {"by": "mallory", "at": NOW.isoformat()}
SPARED = {"approval_off": MARK}


@pytest.mark.parametrize("schedule", EVERY)
def test_what_is_requested_while_approval_is_switched_off_is_marked(plants: Plants, schedule: object) -> None:
    plant = plants.ready(supports_dryrun=True, **SPARED)
    for data, mark in ((INPUTS, MARK), ({**INPUTS, "dryrun": True}, None)):
        when = {**schedule, "name": str(mark)} if isinstance(schedule, dict) and "name" in schedule else schedule
        became = ask(plant, when, data=data)
        made = became.scheduled_job or became.job_result
        assert made is not None
        assert made.approval_off == mark


def test_its_runs_are_marked_too_and_the_audit_says_so(plants: Plants) -> None:
    plant = plants.ready(**SPARED)
    ask(plant, LATER)
    plant.now = NOW + HOUR
    plant.settle()
    plant.work_off()
    assert plant.only(JobResult).approval_off == MARK
    admitted = [event.data for event in events(plant) if event.act is EventType.ADMITTED]
    assert admitted == [{"approval_off": MARK}]


def test_what_waited_before_approval_was_switched_off_waits_and_is_not_marked(plants: Plants) -> None:
    plant = plants.ready(**APPROVAL)
    row = ask(plant, LATER).scheduled_job
    assert row is not None
    plant.change(plant.job, approval_required=False, **SPARED)
    assert (row.approval, row.approval_off) == (ApprovalState.PENDING, None)


# Who asks, and for what


MAY_RUN = (ObjectType.JOB, Action.RUN, None)
MAY_SEE = (ObjectType.JOB, Action.VIEW, None)
OTHERS_ONLY = (ObjectType.JOB, Action.RUN, {"name": "another"})
NO_RUN = "This user does not have permission to run jobs."
UNKNOWN = "No Job matches the given query."


@pytest.mark.parametrize(
    ("who", "error", "detail"),
    [
        pytest.param(person(), Forbidden, NO_RUN, id="who may run nothing"),
        pytest.param(person(MAY_SEE), Forbidden, NO_RUN, id="who may only look"),
        pytest.param(person(OTHERS_ONLY, MAY_SEE), Forbidden, NO_RUN, id="who may run other Jobs and see this one"),
        pytest.param(person(OTHERS_ONLY), NotFound, UNKNOWN, id="who may run other Jobs and not see this one"),
        pytest.param(
            person(MAY_RUN, read_only=True),
            Forbidden,
            "You do not have permission to perform this action.",
            id="who comes with a read-only token",
        ),
    ],
)
@pytest.mark.parametrize("schedule", EVERY)
def test_nobody_requests_what_they_may_not(
    plants: Plants, who: Actor, error: type[GateError], detail: str, schedule: object
) -> None:
    assert refused(plants.ready(), schedule, who=who) == (error, detail)


def test_a_job_is_asked_for_by_id_or_name(plants: Plants) -> None:
    plant = plants.ready()
    assert ask(plant, job=plant.job.name).job_result is not None
    for unknown in (uuid4(), "nobody"):
        with pytest.raises(NotFound, match=UNKNOWN):
            ask(plant, job=unknown)
    with pytest.raises(Forbidden):
        ask(plant, job=uuid4(), who=person())


@pytest.mark.parametrize(
    ("to", "error", "detail"),
    [
        pytest.param({"enabled": False}, Forbidden, "This job is not enabled to be run.", id="a disabled Job"),
        pytest.param(
            {"installed": False},
            NotRunnable,
            "This job is not presently installed and cannot be run.",
            id="a Job whose code is gone",
        ),
        pytest.param(
            {"is_job_hook_receiver": True},
            NotRunnable,
            "This job is started by events and cannot be run directly.",
            id="a Job that events start",
        ),
    ],
)
def test_nobody_requests_a_job_that_cannot_run(
    plants: Plants, to: dict[str, Any], error: type[GateError], detail: str
) -> None:
    assert refused(plants.ready(**to), LATER) == (error, detail)


# What is wrong with the request


BAD_NAME = {"schedule": {"name": ["Please provide a name for the job schedule."]}}
NO_QUEUE = {"task_queue": ['"nope" is not a valid choice.']}
BAD_DATA = {"errors": ["Job data needs to be a dict"]}
NO_WORKER = "Unable to process request: No Prefect workers running on queue bulk."


def test_of_several_faults_the_first_in_order_is_told(plants: Plants) -> None:
    plant = plants.make(job_queues=("default", "bulk"))
    everything = {"who": person(), "data": [], "task_queue": "nope"}
    nameless = {key: value for key, value in LATER.items() if key != "name"}
    assert refused(plant, nameless, **everything) == (Forbidden, NO_RUN)
    del everything["who"]
    plant.change(plant.job, enabled=False)
    assert refused(plant, nameless, **everything)[0] is Forbidden
    plant.change(plant.job, enabled=True)
    assert refused(plant, nameless, **everything) == (Invalid, BAD_NAME)
    assert refused(plant, LATER, **everything) == (Invalid, NO_QUEUE)
    assert refused(plant, LATER, data=[], task_queue="bulk") == (Invalid, BAD_DATA)
    assert refused(plant, LATER, task_queue="bulk") == (Unavailable, NO_WORKER)


@pytest.mark.parametrize(
    ("queues", "detail"),
    [
        pytest.param({"task_queue": "nope"}, NO_QUEUE, id="an unknown queue"),
        pytest.param({"job_queue": "nope"}, NO_QUEUE, id="an unknown queue under its newer name"),
        pytest.param({"task_queue": 5}, {"task_queue": ['"5" is not a valid choice.']}, id="a number"),
        pytest.param(
            {"task_queue": "x" * 1_000_000}, {"task_queue": [f'"{"x" * 100}" is not a valid choice.']}, id="a huge name"
        ),
        pytest.param({"task_queue": "bulk", "job_queue": "bulk"}, {"task_queue": BOTH_QUEUES}, id="both names"),
    ],
)
@pytest.mark.parametrize("schedule", EVERY)
def test_a_queue_must_be_one_of_the_job_s(
    plants: Plants, queues: dict[str, Any], detail: object, schedule: object
) -> None:
    assert refused(plants.ready(job_queues=("default", "bulk")), schedule, **queues) == (Invalid, detail)


def test_a_queue_that_is_served_is_taken_and_none_means_the_job_s_first(plants: Plants) -> None:
    plant = plants.ready(job_queues=("first", "bulk"))
    plant.engine.served |= {"first", "bulk"}
    assert ask(plant).job_result.queue == "first"  # type: ignore[union-attr]
    assert ask(plant, task_queue="").job_result.queue == "first"  # type: ignore[union-attr]
    assert ask(plant, LATER, task_queue="bulk").scheduled_job.queue == "bulk"  # type: ignore[union-attr]
    assert ask(plant, job_queue="bulk").job_result.queue == "bulk"  # type: ignore[union-attr]


@pytest.mark.parametrize("schedule", EVERY[2:])
def test_a_sensitive_job_cannot_be_scheduled(plants: Plants, schedule: object) -> None:
    assert refused(plants.ready(**SENSITIVE_JOB), schedule) == (Invalid, {"schedule": {"interval": [SENSITIVE]}})


@pytest.mark.parametrize(
    "schedule", [{}, {"interval": "Immediately"}, {"interval": ["immediately"]}, "immediately", []]
)
def test_a_sensitive_job_takes_nothing_that_only_looks_like_immediately(plants: Plants, schedule: object) -> None:
    assert refused(plants.ready(**SENSITIVE_JOB), schedule)[0] is Invalid


@pytest.mark.parametrize("schedule", EVERY)
def test_a_sensitive_job_that_needs_approval_cannot_run_at_all(plants: Plants, schedule: object) -> None:
    plant = plants.ready(**SENSITIVE_JOB, **APPROVAL, supports_dryrun=True)
    assert refused(plant, schedule) == (Invalid, [SENSITIVE_AND_APPROVAL])
    assert refused(plant, schedule, data={"dryrun": True}) == (Invalid, [SENSITIVE_AND_APPROVAL])


def test_the_inputs_of_a_sensitive_job_are_kept_from_prefect(plants: Plants) -> None:
    plant = plants.ready(**SENSITIVE_JOB)
    ask(plant, data={"password": "hunter2"})
    assert "hunter2" not in str(plant.engine.all_runs) + str(plant.engine.made)
    result = plant.only(JobResult)
    assert (result.inputs, result.sensitive) == ({"password": "hunter2"}, True)


# What is accepted


@pytest.mark.parametrize("schedule", EVERY[:2])
def test_a_run_that_starts_now_is_a_job_result_whose_run_is_let_start(plants: Plants, schedule: object) -> None:
    plant = plants.ready()
    accepted = ask(plant, schedule)
    assert accepted.scheduled_job is None
    assert accepted.job_result is not None
    [run] = plant.unended()
    assert (run.id, run.scheduled_for, run.parameters) == (plant.only(JobResult).flow_run_id, plant.now, INPUTS)
    kept = plant.only(JobResult)
    assert kept == replace(accepted.job_result, released=True, flow_run_id=run.id)
    assert (kept.user_id, kept.inputs, kept.nominal_time, kept.scheduled_job_id) == (plant.user.id, INPUTS, None, None)


def test_a_schedule_is_kept_as_asked_and_follows_in_prefect_at_once(plants: Plants) -> None:
    plant = plants.ready()
    accepted = ask(plant, {**HOURLY, "time_zone": "Asia/Tokyo"})
    assert accepted.job_result is None
    row = plant.only(ScheduledJob)
    assert (row.name, row.interval, row.start_time) == ("often", Interval.HOURLY, NOW + HOUR)
    assert (row.time_zone, row.inputs, row.owner_id) == ("Asia/Tokyo", INPUTS, plant.user.id)
    assert (row.approval, row.enabled, row.projected_version) == (ApprovalState.NOT_REQUIRED, True, 1)
    assert not row.immediate
    assert list(plant.own()) == [row.deployment_id]


@pytest.mark.parametrize("schedule", EVERY)
def test_what_needs_approval_waits_and_nothing_can_run(plants: Plants, schedule: Any) -> None:
    plant = plants.ready(**APPROVAL)
    accepted = ask(plant, schedule)
    assert accepted.job_result is None
    row = plant.only(ScheduledJob)
    assert row.approval is ApprovalState.PENDING
    assert row.enabled
    plant.tick(4, minutes=45)
    [waiting] = plant.unended()
    assert (waiting.id, waiting.held) == (row.flow_run_id, True)
    assert [spec.schedule.active for spec in plant.own().values()] in ([], [False])
    assert plant.all(JobResult) == []


@pytest.mark.parametrize("schedule", EVERY)
def test_a_request_that_somebody_lets_start_in_prefect_stands_again_and_nothing_runs(
    plants: Plants, schedule: Any
) -> None:
    plant = plants.ready(**APPROVAL)
    ask(plant, schedule)
    row = plant.only(ScheduledJob)
    plant.tick(2, hours=3)
    [resumed] = plant.unended()
    assert plant.work(resumed) == Hold(NOT_APPROVED)
    if not row.one_off:
        forced = plant.engine.make_firing(plant.own_id(), plant.now)
        assert plant.work(forced) == Refuse(NOT_APPROVED)
    [waiting] = plant.unended()
    assert (waiting.id, waiting.held) == (row.flow_run_id, True)
    assert plant.engine.questions[waiting.id].form["required"] == ["decision"]
    assert plant.all(JobResult) == []


@pytest.mark.parametrize(
    ("job", "ends"),
    [
        pytest.param({**APPROVAL, "approval_expires": 7200.0}, NOW + 2 * HOUR, id="in the time that its Job gives"),
        pytest.param({**APPROVAL, "approval_expires": 0.5}, NOW + timedelta(seconds=0.5), id="in part of a second"),
        pytest.param(APPROVAL, None, id="never, if its Job gives none"),
        pytest.param({"approval_expires": 7200.0}, None, id="never, if it needs no approval"),
    ],
)
@pytest.mark.parametrize("schedule", EVERY[2:])
def test_the_time_to_decide_about_a_request_ends(
    plants: Plants, schedule: object, job: dict[str, Any], ends: datetime | None
) -> None:
    plant = plants.ready(**job)
    ask(plant, schedule)
    assert plant.only(ScheduledJob).expires_at == ends


@pytest.mark.parametrize("job", [{}, APPROVAL], ids=["needs no approval", "needs approval"])
@pytest.mark.parametrize("schedule", EVERY[2:])
def test_who_asks_is_the_requester_and_the_first_owner(plants: Plants, schedule: object, job: dict[str, Any]) -> None:
    plant = plants.ready(**job)
    ask(plant, schedule)
    row = plant.only(ScheduledJob)
    assert (row.requester_id, row.owner_id) == (plant.user.id, plant.user.id)
    assert plant.only(Participant) == Participant(scheduled_job_id=row.id, user_id=plant.user.id, username="alice")


@pytest.mark.parametrize("schedule", EVERY[:2])
def test_immediately_with_approval_is_a_one_off_named_after_its_job_and_time(plants: Plants, schedule: object) -> None:
    plant = plants.ready(**APPROVAL)
    row = ask(plant, schedule).scheduled_job
    assert row is not None
    assert (row.name, row.interval) == (f"{plant.job.name} - {NOW}", Interval.FUTURE)
    assert (row.one_off, row.start_time, row.immediate) == (True, NOW, True)


def test_immediately_with_approval_takes_a_name_and_refuses_one_that_is_taken(plants: Plants) -> None:
    plant = plants.ready(**APPROVAL)
    named = {"interval": "immediately", "name": "urgent"}
    assert ask(plant, named).scheduled_job.name == "urgent"  # type: ignore[union-attr]
    with pytest.raises(Invalid, match="already exists"):
        ask(plant, named)


def test_jobs_with_the_longest_names_can_wait_for_approval_more_than_once(plants: Plants) -> None:
    plant = plants.ready(**APPROVAL, name="x" * 255)
    for _ in range(2):
        plant.now += timedelta(seconds=1)
        ask(plant)
    assert len({row.name for row in plant.all(ScheduledJob)}) == 2


@pytest.mark.parametrize(
    ("job", "data", "waits"),
    [
        pytest.param({"supports_dryrun": True}, {"dryrun": True}, False, id="a dry run needs no approval"),
        pytest.param({"supports_dryrun": True}, {"dryrun": False}, True, id="a wet run does"),
        pytest.param({"supports_dryrun": True}, {}, True, id="a run that says nothing does"),
        pytest.param({"supports_dryrun": False}, {"dryrun": True}, True, id="a Job without dry run cannot claim one"),
        pytest.param({"supports_dryrun": True}, {"dryrun": "true"}, True, id="only true is true once validated"),
        pytest.param({"supports_dryrun": True}, {"dryrun": 1}, True, id="one is not true"),
    ],
)
@pytest.mark.parametrize("schedule", [None, LATER], ids=["now", "later"])
def test_only_a_dry_run_needs_no_approval(
    plants: Plants, job: dict[str, Any], data: dict[str, Any], waits: bool, schedule: object
) -> None:
    plant = plants.ready(**APPROVAL, **job)
    accepted = ask(plant, schedule, data=data)
    if waits:
        assert plant.only(ScheduledJob).approval is ApprovalState.PENDING
    elif schedule is None:
        assert accepted.job_result is not None
    else:
        assert plant.only(ScheduledJob).approval is ApprovalState.NOT_REQUIRED


# At once, and with Prefect away


def test_a_name_that_is_taken_is_refused(plants: Plants) -> None:
    plant = plants.ready()
    ask(plant, LATER)
    with pytest.raises(Invalid) as caught:
        ask(plant, {**HOURLY, "name": " once "})
    assert caught.value.detail == {"schedule": {"name": ["A scheduled job with this name already exists."]}}
    assert len(plant.all(ScheduledJob)) == 1


@pytest.fixture
def plant(plants: Plants) -> Plant:
    return plants.ready()


def test_of_those_who_ask_for_one_name_at_once_exactly_one_gets_it(plant: Plant) -> None:
    async def all_at_once() -> list[Any]:
        return await asyncio.gather(*(plant.request(HOURLY) for _ in range(8)), return_exceptions=True)

    answers = asyncio.run(all_at_once())
    assert sum(isinstance(answer, Accepted) for answer in answers) == 1
    assert sum(isinstance(answer, Invalid) and "already exists" in str(answer) for answer in answers) == 7
    assert list(plant.own()) == [plant.only(ScheduledJob).deployment_id]


def test_of_one_person_only_so_many_requests_wait(plants: Plants) -> None:
    plant = plants.ready(**APPROVAL, supports_dryrun=True)
    plant.schedules._use_case.limits = Limits(waiting_requests=2)  # type: ignore[attr-defined]  # within what lets Prefect follow
    assert ask(plant, LATER).scheduled_job
    assert ask(plant, HOURLY).scheduled_job
    with pytest.raises(Conflict) as caught:
        ask(plant)
    assert str(caught.value) == (
        "2 of your requests are waiting for approval, and no more are allowed: have some of them decided, or "
        "delete those that you do not need."
    )
    assert ask(plant, data={**INPUTS, "dryrun": True}).job_result, "it waits for nobody"
    asyncio.run(plant.schedules.delete(plant.actor, plant.all(ScheduledJob)[0].id))
    assert ask(plant).scheduled_job, "there is room again"


@pytest.mark.each_database
def test_of_requests_at_once_no_more_wait_than_may(store: Store) -> None:
    user, jobs = make_user(), [make_job() for _ in range(8)]
    actor = Actor(id=user.id, username=user.username)
    with store.transaction() as tx:
        tx.add(user)
        for job in jobs:
            tx.add(job)

    def request(job: Job) -> bool:
        waits = make_scheduled(job, user, approval=ApprovalState.PENDING)
        try:
            with store.transaction() as tx:
                _add(actor, waits, (), None, NOW, 2, tx, for_dry_run=False)
        except Conflict:
            return False
        return True

    with ThreadPoolExecutor(4) as pool:
        assert sum(pool.map(request, jobs)) == 2


def test_runs_that_are_asked_for_at_once_are_as_many_runs(plant: Plant) -> None:
    async def all_at_once() -> list[Any]:
        return await asyncio.gather(*(plant.request() for _ in range(8)), plant.round(), plant.round())

    asyncio.run(all_at_once())
    assert {run.id for run in plant.unended()} == {result.flow_run_id for result in plant.all(JobResult)}
    assert len(plant.unended()) == 8


def test_those_who_delete_the_same_at_once_all_succeed_and_it_is_gone_once(plant: Plant) -> None:
    rows = [plant.recurring() for _ in range(5)]
    plant.tick(seconds=1)
    ids = [row.id for row in rows]

    async def all_at_once() -> None:
        await asyncio.gather(*(plant.schedules.delete_all(plant.actor, order) for order in (ids, ids[::-1], ids)))

    asyncio.run(all_at_once())
    assert plant.all(ScheduledJob) == []
    assert plant.all(PendingCleanup) == []
    assert plant.own() == {}


def test_deleting_many_while_prefect_hangs_is_answered_once_and_soon(
    plants: Plants, monkeypatch: pytest.MonkeyPatch
) -> None:
    plant = plants.ready()
    ids = [plant.one_off().id for _ in range(40)]
    plant.tick(seconds=1)
    with monkeypatch.context() as away:
        away.setattr(plant.engine, "find_deployment", lambda *_names: asyncio.sleep(30))
        away.setattr(plant.queue, "drain", lambda: asyncio.sleep(0))
        asyncio.run(asyncio.wait_for(plant.schedules.delete_all(plant.actor, ids), PATIENCE))
    plant.settle()
    plant.check_in_line()
    assert plant.unended() == []


# Deleting


DELETE = (ObjectType.SCHEDULED_JOB, Action.DELETE, None)
SEE = (ObjectType.SCHEDULED_JOB, Action.VIEW, None)
DELETE_A = (ObjectType.SCHEDULED_JOB, Action.DELETE, {"name": "a"})
GONE = "No ScheduledJob matches the given query."


@pytest.mark.parametrize(
    ("who", "error", "detail"),
    [
        pytest.param(person(SEE), Forbidden, "You do not have permission to perform this action.", id="who only looks"),
        pytest.param(
            person(DELETE, read_only=True),
            Forbidden,
            "You do not have permission to perform this action.",
            id="who comes with a read-only token",
        ),
        pytest.param(person(DELETE_A), NotFound, GONE, id="who may delete others and not see this one"),
        pytest.param(
            person(DELETE_A, SEE),
            Forbidden,
            "You do not have permission to perform this action.",
            id="who may delete others and see this one",
        ),
    ],
)
def test_nobody_deletes_what_they_may_not(plants: Plants, who: Actor, error: type[GateError], detail: str) -> None:
    plant = plants.ready()
    row = plant.one_off(name="b")
    with pytest.raises(error) as caught:
        asyncio.run(plant.schedules.delete(who, row.id))
    assert caught.value.detail == detail
    assert plant.only(ScheduledJob) == row


def test_what_is_not_there_cannot_be_deleted(plants: Plants) -> None:
    with pytest.raises(NotFound, match=GONE):
        asyncio.run(plants.ready().schedules.delete(person(DELETE), uuid4()))


def test_of_several_those_that_may_be_deleted_go_and_the_others_are_passed_over(plants: Plants) -> None:
    plant = plants.ready()
    a, b = plant.one_off(name="a"), plant.one_off(name="b")
    plant.tick(seconds=1)
    asyncio.run(plant.schedules.delete_all(person(DELETE_A), [a.id, b.id, uuid4(), a.id]))
    assert plant.only(ScheduledJob).id == b.id
    asyncio.run(plant.schedules.delete_all(person(DELETE_A), []))
    with pytest.raises(Forbidden):
        asyncio.run(plant.schedules.delete_all(person(SEE), []))
    plant.check_in_line()


def test_what_a_deleted_schedule_has_run_stays_recorded(plants: Plants) -> None:
    plant = plants.ready()
    plant.one_off()
    plant.tick(seconds=1)
    plant.now = NOW + HOUR
    plant.work_off()
    row = plant.only(ScheduledJob)
    asyncio.run(plant.schedules.delete(plant.actor, row.id))
    result = plant.only(JobResult)
    assert (result.scheduled_job_id, result.nominal_time) == (None, NOW + HOUR)
    assert plant.only(Job).id == result.job_id


# What is remembered


def events(plant: Plant) -> list[AuditEvent]:
    with plant.store.transaction(write=False) as tx:
        return tx.events(0, 100)


@pytest.mark.parametrize("schedule", EVERY)
def test_a_request_for_approval_is_remembered_with_who_asked(plants: Plants, schedule: object) -> None:
    plant = plants.ready(**APPROVAL)
    ask(plant, schedule)
    [event] = events(plant)
    row = plant.only(ScheduledJob)
    assert (event.act, event.at, event.name) == (EventType.REQUESTED, NOW, row.name)
    assert (event.actor_id, event.actor) == (plant.user.id, "alice")
    assert (event.scheduled_job_id, event.job_id, event.data) == (row.id, plant.job.id, {})


@pytest.mark.parametrize("schedule", EVERY)
def test_what_needs_no_approval_is_remembered_as_scheduled(plants: Plants, schedule: object) -> None:
    plant = plants.ready()
    ask(plant, schedule)
    # What runs now has no scheduled job.
    expected = [(EventType.SCHEDULED, "alice") for _ in plant.all(ScheduledJob)]
    assert [(each.act, each.actor) for each in events(plant)] == expected


def test_what_is_refused_is_not_remembered(plants: Plants) -> None:
    plant = plants.ready(**APPROVAL)
    ask(plant, LATER)
    with pytest.raises(Invalid):
        ask(plant, LATER)
    assert [event.act for event in events(plant)] == [EventType.REQUESTED]


@pytest.mark.parametrize(
    ("to", "own", "act"),
    [
        pytest.param({}, True, EventType.DELETED, id="what needs no approval, by its requester"),
        pytest.param({}, False, EventType.DELETED, id="what needs no approval, by another"),
        pytest.param({"approval": ApprovalState.PENDING}, True, EventType.WITHDRAWN, id="what waits, by its requester"),
        pytest.param({"approval": ApprovalState.PENDING}, False, EventType.DELETED, id="what waits, by another"),
        pytest.param({"approval": ApprovalState.APPROVED}, True, EventType.DELETED, id="what was approved"),
        pytest.param(
            {"approval": ApprovalState.EXPIRED, "enabled": False}, True, EventType.DELETED, id="what has expired"
        ),
    ],
)
@pytest.mark.parametrize("many", [False, True], ids=["one", "several"])
def test_a_deletion_is_remembered_with_who_deleted(
    plants: Plants, to: dict[str, Any], own: bool, act: EventType, many: bool
) -> None:
    plant = plants.ready()
    row = plant.one_off(**to)
    who = plant.actor if own else person(DELETE)
    deleting = plant.schedules.delete_all(who, [row.id]) if many else plant.schedules.delete(who, row.id)
    asyncio.run(deleting)
    [event] = events(plant)
    assert (event.act, event.actor_id, event.actor) == (act, who.id, who.username)
    assert (event.scheduled_job_id, event.name) == (row.id, row.name)


def test_a_request_that_is_deleted_ends_in_prefect_with_the_reason(plants: Plants) -> None:
    plant = plants.ready(**APPROVAL)
    ask(plant, LATER)
    [waiting] = plant.unended()
    asyncio.run(plant.schedules.delete(plant.actor, plant.only(ScheduledJob).id))
    run = plant.engine.all_runs[waiting.id]
    assert (run.state_name, run.message) == ("Cancelled", "Deleted by alice.")
    plant.check_in_line()


def test_what_was_checked_before_its_job_was_marked_is_not_scheduled(
    plants: Plants, monkeypatch: pytest.MonkeyPatch
) -> None:
    plant = plants.ready()
    plan = plant.schedules._plan

    def and_then_it_is_marked(*given: Any) -> Any:
        made = plan(*given)
        plant.change(plant.only(Job), **SENSITIVE_JOB)
        return made

    monkeypatch.setattr(plant.schedules._use_case, "_plan", and_then_it_is_marked)  # type: ignore[attr-defined]
    assert refused(plant, LATER) == (Invalid, {"schedule": {"interval": [SENSITIVE]}})
