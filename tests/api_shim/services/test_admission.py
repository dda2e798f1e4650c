"""Runs that ask and tell, at once on both databases: each executes once, as requested and as approved.

What is refused changes nothing, or goes back into the queue; all of it is remembered, once.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest

from api_shim.domain.accounts import Permission, PermissionUser
from api_shim.domain.approval import binding_of
from api_shim.domain.audit import AuditEvent, EventType
from api_shim.domain.model import NEVER, JobResult, ScheduledJob, Status
from api_shim.domain.ports import Run
from api_shim.domain.recurrence import Interval
from api_shim.services.admission import Admissions, Attempt, Outcome, name_of_firing
from api_shim.store import InputsKey, Store
from api_shim.store.sealed_inputs import OTHER_KEY
from approval_gate.admission import (
    ALREADY_RUN,
    CHANGED,
    DISABLED,
    JOB_DISABLED,
    JOB_GONE,
    NEEDS_APPROVAL,
    NOT_APPROVED,
    NOT_DUE,
    NOT_REQUESTED,
    SINGLETON,
    SUPERSEDED,
    TAKEN,
    Answer,
    Finish,
    Go,
    Hold,
    Refuse,
    Wait,
)
from approval_gate.binding import NEEDS_APPROVAL as RETURNS_FOR_APPROVAL
from approval_gate.errors import NotFound
from approval_gate.lifecycle import ApprovalState
from tests.factories import NOW, make_job, make_result, make_scheduled, make_user

HOUR = timedelta(hours=1)
INPUTS = {"count": 2, "who": "zoë"}


class World:
    """A store with a Job, its owner who may run it, and the use case."""

    def __init__(self, store: Store, **job: Any) -> None:
        self.store = store
        self.admissions = Admissions(store)
        self.owner = make_user()
        self.job = make_job(deployment_id=uuid4(), **job)
        self.permission = Permission(id=uuid4(), name="run", object_types=("extras.job",), actions=("run",))
        reach = PermissionUser(permission_id=self.permission.id, user_id=self.owner.id)
        self.add(self.owner, self.job, self.permission, reach)

    def add(self, *things: Any) -> None:
        with self.store.transaction() as tx:
            for thing in things:
                tx.add(thing)

    def change(self, thing: Any, **to: Any) -> None:
        with self.store.transaction() as tx:
            tx.change(thing, **to)

    def remove(self, thing: Any) -> None:
        with self.store.transaction() as tx:
            tx.remove(thing)

    def recurring(self, **to: Any) -> ScheduledJob:
        to = {"deployment_id": uuid4(), "inputs": INPUTS, "start_time": NOW - 5 * HOUR, **to}
        scheduled = make_scheduled(self.job, self.owner, **to)
        self.add(scheduled)
        return scheduled

    def one_off(self, **to: Any) -> ScheduledJob:
        to = {"interval": Interval.FUTURE, "flow_run_id": uuid4(), "inputs": INPUTS, **to}
        scheduled = make_scheduled(self.job, self.owner, **to)
        self.add(scheduled)
        return scheduled

    def requested(self, **to: Any) -> JobResult:
        result = make_result(self.job, self.owner, **{"inputs": INPUTS, **to})
        self.add(result)
        return result

    def approve(self, scheduled: ScheduledJob) -> ScheduledJob:
        """Let bob approve a request, as it stands."""
        self.change(
            scheduled,
            approval=ApprovalState.APPROVED,
            approved=binding_of(scheduled, self.now(self.job)),
            approved_by="bob",
            approved_at=NOW - HOUR,
            approval_comment="Looks good.",
        )
        return self.now(scheduled)

    def ask(
        self, run: Run, attempt: UUID | None = None, now: datetime = NOW, code: str = "", module: str = ""
    ) -> Answer:
        asks = Attempt(id=attempt or uuid4(), worker="host:1", code=code, module=module)
        answer, ticket = self.admissions.ask(run, asks, now)
        assert (ticket is not None) == (answer == Go())
        return answer

    def tell(self, run: Run, attempt: UUID, status: Status = Status.SUCCESS, **to: Any) -> None:
        outcome = Outcome(**{"status": status, "result": {"a": 1}, "traceback": None, **to})
        self.admissions.tell(run.id, attempt, outcome, NOW + HOUR)

    def now(self, thing: Any) -> Any:
        with self.store.transaction(write=False) as tx:
            return tx.get(type(thing), id=thing.id)

    def results(self) -> list[JobResult]:
        with self.store.transaction(write=False) as tx:
            return tx.all(JobResult, order="date_created")

    def events(self) -> list[AuditEvent]:
        with self.store.transaction(write=False) as tx:
            return tx.events(0, 100)

    def acts(self) -> list[EventType]:
        return [event.act for event in self.events()]


@pytest.fixture
def world(store: Store) -> World:
    return World(store)


def run_of(scheduled: ScheduledJob, at: datetime = NOW, **to: Any) -> Run:
    """The run of a firing, as Prefect's scheduler makes it; of a one-off, as we do."""
    to = {"parameters": scheduled.inputs, "expected_start": at, **to}
    if scheduled.one_off:
        return make_run(**{"id": scheduled.flow_run_id, **to})
    return make_run(**{"deployment_id": scheduled.deployment_id, "by_schedule": True, **to})


def make_run(**to: Any) -> Run:
    run: dict[str, Any] = {
        "id": uuid4(),
        "key": "",
        "name": "brave-badger",
        "deployment_id": uuid4(),
        "state_type": "RUNNING",
        "state_name": "Running",
        "message": "",
        "expected_start": NOW,
        "scheduled_for": None,
        "parameters": INPUTS,
        "by_schedule": False,
        "started": NOW,
        "ended": None,
        "since": NOW,
    }
    return Run(**{**run, **to})


# Going


def test_a_run_that_was_requested_goes_with_what_is_recorded(world: World) -> None:
    result = world.requested()
    attempt = uuid4()
    answer, ticket = world.admissions.ask(make_run(id=result.id), Attempt(id=attempt, worker="host:1", code=""), NOW)
    assert answer == Go()
    assert ticket is not None
    assert (ticket.job, ticket.user, ticket.result.inputs) == (world.job, world.owner, INPUTS)
    started = replace(result, attempt=attempt, worker="host:1", status=Status.STARTED, date_started=NOW)
    assert world.results() == [started]


def test_a_firing_goes_and_is_counted(world: World) -> None:
    scheduled = world.recurring()
    run, attempt = run_of(scheduled), uuid4()
    assert world.ask(run, attempt, NOW + timedelta(seconds=3)) == Go()
    fired = world.now(scheduled)
    assert (fired.total_run_count, fired.last_run_at, fired.enabled) == (1, NOW + timedelta(seconds=3), True)
    assert fired.next_look_at == NOW + HOUR + timedelta(seconds=90)
    [result] = world.results()
    assert (result.flow_run_id, result.nominal_time, result.user_id) == (run.id, NOW, world.owner.id)
    assert (result.scheduled_job_id, result.inputs, result.attempt) == (scheduled.id, INPUTS, attempt)
    assert (result.status, result.name, result.queue) == (Status.STARTED, world.job.name, scheduled.queue)
    assert result.approval is None


@pytest.mark.parametrize(
    ("kind", "answer"),
    [
        pytest.param("recurring", Go(), id="a firing, from when its Job was marked as sensitive"),
        pytest.param("one_off", Refuse(CHANGED, tampered=True), id="a one-off, which is replaced then"),
        pytest.param("requested", Refuse(CHANGED, tampered=True), id="a run that starts now"),
    ],
)
def test_a_run_without_parameters_goes_with_those_of_the_store_where_it_may_have_none(
    world: World, kind: str, answer: Answer
) -> None:
    thing = getattr(world, kind)()
    run = make_run(id=thing.id, parameters={}) if kind == "requested" else run_of(thing, parameters={})
    assert world.ask(run) == answer
    assert [result.inputs for result in world.results()] == ([] if kind == "one_off" else [INPUTS])


def test_a_one_off_goes_at_its_start_and_ends_with_it(world: World) -> None:
    scheduled = world.one_off()
    # Prefect shows the time of creation as that of such a run.
    assert world.ask(run_of(scheduled, NOW - 3 * HOUR)) == Go()
    fired = world.now(scheduled)
    assert (fired.enabled, fired.total_run_count, fired.last_run_at) == (False, 1, NOW)
    assert fired.next_look_at == NEVER
    assert world.results()[0].nominal_time == scheduled.start_time


def test_an_event_s_run_of_a_receiver_goes_as_nobody_with_the_event(store: Store) -> None:
    world = World(store, is_job_hook_receiver=True)
    run = make_run(deployment_id=world.job.deployment_id, parameters={"event": {"id": 1}})
    attempt = Attempt(id=uuid4(), worker="host:1", code="")
    answer, ticket = world.admissions.ask(run, attempt, NOW)
    assert answer == Go()
    assert ticket is not None
    assert (ticket.user, ticket.result.inputs) == (None, {"event": {"id": 1}})
    assert world.ask(run) == Refuse(ALREADY_RUN)


# Once


def test_the_same_process_that_asks_twice_gets_the_same_answer_and_counts_once(world: World) -> None:
    scheduled, attempt = world.recurring(), uuid4()
    run = run_of(scheduled)
    first, again = (
        world.admissions.ask(run, Attempt(id=attempt, worker="host:1", code=""), NOW + timedelta(seconds=s))
        for s in (0, 5)
    )
    assert first[0] == again[0] == Go()
    assert first[1] == replace(again[1], result=first[1].result)  # type: ignore[type-var,union-attr]
    assert again[1].result == world.results()[0]  # type: ignore[union-attr]
    assert world.now(scheduled).total_run_count == 1


def test_another_process_of_the_same_run_is_refused(world: World) -> None:
    scheduled = world.recurring()
    run = run_of(scheduled)
    assert world.ask(run) == Go()
    before = world.results()
    assert world.ask(run) == Refuse(ALREADY_RUN)
    assert world.results() == before
    assert world.now(scheduled).total_run_count == 1


@pytest.mark.parametrize("status", [Status.SUCCESS, Status.FAILURE])
def test_a_run_that_is_over_cannot_be_retried_by_anybody(world: World, status: Status) -> None:
    result, attempt = world.requested(), uuid4()
    run = make_run(id=result.id)
    assert world.ask(run, attempt) == Go()
    world.tell(run, attempt, status)
    before = world.results()
    assert world.ask(run) == Refuse(ALREADY_RUN)
    assert world.ask(run, attempt) == Refuse(ALREADY_RUN)
    assert world.results() == before


def test_two_runs_for_one_firing_execute_once(world: World) -> None:
    scheduled = world.recurring()
    first, second = run_of(scheduled), run_of(scheduled)
    assert world.ask(first) == Go()
    assert world.ask(second) == Finish(TAKEN)
    assert [result.flow_run_id for result in world.results()] == [first.id]
    assert world.now(scheduled).total_run_count == 1


def test_a_run_that_makes_up_for_a_firing_and_a_late_one_of_the_scheduler_execute_once(world: World) -> None:
    scheduled = world.recurring()
    made_up = world.requested(scheduled_job_id=scheduled.id, nominal_time=NOW)
    assert world.ask(run_of(scheduled)) == Finish(TAKEN)
    assert world.ask(make_run(id=made_up.id, deployment_id=scheduled.deployment_id)) == Go()
    assert world.now(scheduled).total_run_count == 1


def test_each_firing_goes_once(world: World) -> None:
    scheduled = world.recurring()
    for hour in range(3):
        now = NOW + hour * HOUR
        assert world.ask(run_of(scheduled, now), now=now) == Go()
    assert world.now(scheduled).total_run_count == 3
    assert [result.nominal_time for result in world.results()] == [NOW, NOW + HOUR, NOW + 2 * HOUR]


def at_once(ask: Callable[[int], Answer], number: int = 4) -> list[Answer]:
    """Ask from as many threads at the same moment."""
    barrier = threading.Barrier(number)

    def asks(index: int) -> Answer:
        barrier.wait()
        return ask(index)

    with ThreadPoolExecutor(number) as pool:
        return list(pool.map(asks, range(number)))


@pytest.mark.each_database
def test_of_the_processes_of_one_firing_s_run_that_ask_at_once_exactly_one_goes(world: World) -> None:
    scheduled = world.recurring()
    run = run_of(scheduled)
    answers = at_once(lambda _index: world.ask(run))
    assert sorted(answers, key=str) == [Go(), *3 * [Refuse(ALREADY_RUN)]]
    assert world.now(scheduled).total_run_count == 1


@pytest.mark.each_database
def test_of_the_processes_of_one_requested_run_that_ask_at_once_exactly_one_goes(world: World) -> None:
    run = make_run(id=world.requested().id)
    answers = at_once(lambda _index: world.ask(run))
    assert sorted(answers, key=str) == [Go(), *3 * [Refuse(ALREADY_RUN)]]


@pytest.mark.each_database
def test_of_the_processes_of_one_event_s_run_that_ask_at_once_exactly_one_goes(store: Store) -> None:
    world = World(store, is_job_hook_receiver=True)
    run = make_run(deployment_id=world.job.deployment_id)
    answers = at_once(lambda _index: world.ask(run))
    assert sorted(answers, key=str) == [Go(), *3 * [Refuse(ALREADY_RUN)]]


@pytest.mark.each_database
def test_one_process_that_asks_again_while_it_is_being_answered_goes(world: World) -> None:
    scheduled, attempt = world.recurring(), uuid4()
    run = run_of(scheduled)
    assert at_once(lambda _index: world.ask(run, attempt)) == 4 * [Go()]
    assert world.now(scheduled).total_run_count == 1


@pytest.mark.each_database
def test_of_the_runs_of_one_firing_that_ask_at_once_exactly_one_goes(world: World) -> None:
    scheduled = world.recurring()
    runs = [run_of(scheduled) for _ in range(4)]
    answers = at_once(lambda index: world.ask(runs[index]))
    assert sorted(answers, key=str) == [*3 * [Finish(TAKEN)], Go()]
    assert len(world.results()) == world.now(scheduled).total_run_count == 1


@pytest.mark.each_database
def test_of_the_runs_of_a_singleton_that_ask_at_once_exactly_one_goes(store: Store) -> None:
    world = World(store, is_singleton=True)
    runs = [make_run(id=world.requested().id) for _ in range(4)]
    answers = at_once(lambda index: world.ask(runs[index]))
    assert sorted(answers, key=str) == [Go(), *3 * [Refuse(SINGLETON, recorded=True)]]


# What a firing is called


@pytest.mark.parametrize(
    ("run", "name"),
    [
        pytest.param({}, "nightly", id="a firing, which Prefect calls by chance"),
        pytest.param({"name": "nightly"}, "", id="a firing that is called so"),
        pytest.param({"by_schedule": False}, "", id="a run that a hand has made"),
        pytest.param({"deployment_id": uuid4()}, "", id="a firing of others"),
        pytest.param({"deployment_id": None}, "", id="a run of no deployment"),
    ],
)
def test_a_firing_is_called_like_its_scheduled_job(store: Store, run: dict[str, Any], name: str) -> None:
    scheduled = World(store).recurring(name="nightly")
    asks = run_of(scheduled, **{"name": "singing-starling", **run})
    with store.transaction(write=False) as tx:
        assert name_of_firing(asks, tx) == name


# Refused, and nothing changed


Bend = Callable[[World, ScheduledJob], object]

UNCHANGED = [
    pytest.param(lambda w, s: w.change(s, enabled=False), {}, Refuse(DISABLED), id="of a disabled schedule"),
    pytest.param(
        lambda w, s: w.change(s, approval=ApprovalState.PENDING), {}, Refuse(NOT_APPROVED), id="not approved yet"
    ),
    pytest.param(
        lambda w, s: w.change(s, start_time=NOW + HOUR), {}, Refuse(NOT_DUE), id="before the start of the schedule"
    ),
    pytest.param(
        lambda w, s: None, {"at": NOW - timedelta(minutes=7)}, Refuse(NOT_DUE), id="at no time of the schedule"
    ),
    pytest.param(lambda w, s: None, {"at": NOW + HOUR}, Wait(NOW + HOUR), id="before its time"),
    pytest.param(
        lambda w, s: None,
        {"parameters": {**INPUTS, "count": 3}},
        Refuse(CHANGED, tampered=True),
        id="with changed parameters",
    ),
    pytest.param(
        lambda w, s: None, {"parameters": {"who": "eve"}}, Refuse(CHANGED, tampered=True), id="with other parameters"
    ),
    pytest.param(
        lambda w, s: None, {"job_variables": {"image": "evil"}}, Refuse(CHANGED, tampered=True), id="with an image"
    ),
    pytest.param(lambda w, s: None, {"by_schedule": False}, Refuse(NOT_REQUESTED), id="that a hand started in Prefect"),
    pytest.param(
        lambda w, s: None, {"deployment_id": uuid4()}, Refuse(NOT_REQUESTED), id="of a deployment that is not ours"
    ),
    pytest.param(lambda w, s: None, {"deployment_id": None}, Refuse(NOT_REQUESTED), id="of no deployment"),
]


@pytest.mark.parametrize(("bend", "to", "answer"), UNCHANGED)
def test_a_run_changes_nothing(world: World, bend: Bend, to: dict[str, Any], answer: Answer) -> None:
    scheduled = world.recurring()
    bend(world, scheduled)
    before = world.now(scheduled)
    assert world.ask(run_of(scheduled, **to)) == answer
    assert world.now(scheduled) == before
    assert world.results() == []


def test_a_run_of_a_deleted_schedule_is_refused(world: World) -> None:
    for scheduled in (world.recurring(), world.one_off()):
        world.remove(scheduled)
        assert world.ask(run_of(scheduled)) == Refuse(NOT_REQUESTED)
    assert world.results() == []


def test_a_run_that_makes_up_for_a_firing_of_a_deleted_schedule_is_refused(world: World) -> None:
    scheduled = world.recurring()
    made_up = world.requested(scheduled_job_id=scheduled.id, nominal_time=NOW)
    world.remove(scheduled)
    assert world.ask(make_run(id=made_up.id, deployment_id=scheduled.deployment_id)) == Refuse(NOT_REQUESTED)


def test_a_one_off_that_a_hand_started_early_waits(world: World) -> None:
    scheduled = world.one_off(start_time=NOW + HOUR)
    assert world.ask(run_of(scheduled)) == Wait(NOW + HOUR)
    assert world.now(scheduled) == scheduled


def test_a_requested_run_whose_parameters_were_changed_is_refused(world: World) -> None:
    result = world.requested()
    assert world.ask(make_run(id=result.id, parameters={**INPUTS, "who": "eve"})) == Refuse(CHANGED, tampered=True)
    assert world.now(result) == result


def test_numbers_that_prefect_s_database_writes_differently_are_not_changes(world: World) -> None:
    result = world.requested(inputs={"big": 1e22, "whole": 2.0, "list": [1.0]})
    parameters = {"whole": 2, "list": [1], "big": 10**22}
    assert world.ask(make_run(id=result.id, parameters=parameters)) == Go()


# Passed over


def test_a_missed_firing_that_has_a_newer_one_is_recorded_as_revoked(world: World) -> None:
    scheduled = world.recurring()
    run = run_of(scheduled, NOW - 2 * HOUR)
    assert world.ask(run) == Finish(SUPERSEDED, recorded=True)
    [result] = world.results()
    assert (result.flow_run_id, result.status, result.nominal_time) == (run.id, Status.REVOKED, NOW - 2 * HOUR)
    assert (result.traceback, result.date_done, result.attempt) == (SUPERSEDED, NOW, None)
    assert world.now(scheduled).total_run_count == 0
    assert world.ask(run) == Refuse(ALREADY_RUN)
    assert world.ask(run_of(scheduled)) == Go()


# Nobody to run as, or nothing to run


def removed(world: World, _scheduled: ScheduledJob) -> None:
    world.remove(world.owner)


ENDINGS = [
    pytest.param(removed, "the originating user has been removed", id="an owner who was removed"),
    pytest.param(
        lambda w, s: w.change(w.owner, is_active=False), "its owner has been deactivated", id="one who was deactivated"
    ),
    pytest.param(
        lambda w, s: w.change(w.permission, constraints={"name": "another"}),
        "its owner is no longer permitted to run this job",
        id="one who may run only other Jobs",
    ),
    pytest.param(
        lambda w, s: w.change(w.permission, enabled=False),
        "its owner is no longer permitted to run this job",
        id="one who may run no Job any more",
    ),
]


@pytest.mark.parametrize("kind", ["recurring", "one_off"])
@pytest.mark.parametrize(("bend", "why"), ENDINGS)
def test_without_an_owner_there_is_one_failed_result_and_the_schedule_is_disabled(
    world: World, bend: Bend, why: str, kind: str
) -> None:
    scheduled = getattr(world, kind)(name="nightly")
    bend(world, scheduled)
    run = run_of(scheduled)
    message = f"Scheduled job 'nightly' cannot run: {why}. Use 'Assume Ownership' to take it over."
    assert world.ask(run) == Refuse(message, recorded=True, ends_schedule=True)
    [result] = world.results()
    assert (result.flow_run_id, result.status, result.traceback) == (run.id, Status.FAILURE, message)
    assert (result.date_done, result.attempt) == (NOW, None)
    ended = world.now(scheduled)
    assert (ended.enabled, ended.total_run_count, ended.version) == (False, 0, scheduled.version + 1)
    assert world.ask(run) == Refuse(ALREADY_RUN)
    world.ask(run_of(scheduled, NOW + HOUR, id=uuid4()), now=NOW + HOUR)
    assert len(world.results()) == 1


def test_the_failed_result_of_a_removed_owner_belongs_to_nobody(world: World) -> None:
    scheduled = world.recurring()
    world.remove(world.owner)
    world.ask(run_of(scheduled))
    assert world.results()[0].user_id is None


@pytest.mark.parametrize(
    ("to", "reason"),
    [
        pytest.param({"enabled": False}, JOB_DISABLED, id="disabled"),
        pytest.param({"installed": False}, JOB_GONE, id="not installed"),
    ],
)
def test_a_job_that_cannot_run_fails_the_firing_and_disables_the_schedule(
    world: World, to: dict[str, Any], reason: str
) -> None:
    scheduled = world.recurring()
    world.change(world.job, **to)
    assert world.ask(run_of(scheduled)) == Refuse(reason, recorded=True, ends_schedule=True)
    assert [(result.status, result.traceback) for result in world.results()] == [(Status.FAILURE, reason)]
    assert not world.now(scheduled).enabled


def test_a_requested_run_of_somebody_who_was_removed_fails(world: World) -> None:
    result = world.requested()
    world.remove(world.owner)
    answer = world.ask(make_run(id=result.id))
    assert isinstance(answer, Refuse)
    assert world.now(result).status is Status.FAILURE


def test_a_new_owner_is_who_it_runs_as(world: World) -> None:
    scheduled = world.recurring()
    root = make_user("root", is_superuser=True)
    world.add(root)
    world.change(scheduled, owner_id=root.id)
    world.remove(world.owner)
    _, ticket = world.admissions.ask(run_of(scheduled), Attempt(id=uuid4(), worker="host:1", code=""), NOW)
    assert ticket is not None
    assert ticket.user == root
    assert ticket.result.user_id == root.id


# One at a time


def test_a_singleton_refuses_the_second_until_the_first_is_over(store: Store) -> None:
    world = World(store, is_singleton=True)
    first, second, third = (make_run(id=world.requested().id) for _ in range(3))
    attempt = uuid4()
    assert world.ask(first, attempt) == Go()
    assert world.ask(first, attempt) == Go()
    assert world.ask(second) == Refuse(SINGLETON, recorded=True)
    world.tell(first, attempt)
    assert world.ask(second) == Refuse(ALREADY_RUN)
    assert world.ask(third) == Go()


def test_a_singleton_s_firing_that_was_refused_is_recorded_and_the_next_one_goes(store: Store) -> None:
    world = World(store, is_singleton=True)
    scheduled, attempt = world.recurring(), uuid4()
    other = make_run(id=world.requested().id)
    world.ask(other, attempt)
    assert world.ask(run_of(scheduled)) == Refuse(SINGLETON, recorded=True)
    world.tell(other, attempt)
    assert world.now(scheduled).enabled
    assert world.ask(run_of(scheduled, NOW + HOUR), now=NOW + HOUR) == Go()


def test_a_singleton_s_one_off_that_was_refused_is_over(store: Store) -> None:
    world = World(store, is_singleton=True)
    scheduled = world.one_off()
    world.ask(make_run(id=world.requested().id))
    assert world.ask(run_of(scheduled)) == Refuse(SINGLETON, recorded=True)
    assert not world.now(scheduled).enabled


# How it went


def test_an_outcome_is_recorded_once_and_only_from_the_process_that_was_let_go(world: World) -> None:
    run, attempt = make_run(id=world.requested().id), uuid4()
    with pytest.raises(NotFound):
        world.tell(run, attempt)
    world.ask(run, attempt)
    with pytest.raises(NotFound):
        world.tell(run, uuid4())
    with pytest.raises(NotFound):
        world.tell(make_run(), attempt)
    assert world.results()[0].status is Status.STARTED
    world.tell(run, attempt, Status.FAILURE, result=[1], traceback="boom")
    told = world.results()[0]
    assert (told.status, told.result, told.traceback, told.date_done) == (Status.FAILURE, [1], "boom", NOW + HOUR)
    world.tell(run, attempt, Status.SUCCESS)
    assert world.results() == [told]


def test_what_was_ended_otherwise_stays_ended(world: World) -> None:
    result, attempt = world.requested(), uuid4()
    run = make_run(id=result.id)
    world.ask(run, attempt)
    world.change(result, status=Status.REVOKED, date_done=NOW)
    world.tell(run, attempt)
    assert world.now(result).status is Status.REVOKED


# Approval


MODULE, OLD, NEW = "a" * 64, f"2::{'0' * 64}", f"2::{'1' * 64}"
CODE_CHANGED = "The Job's code changed after bob approved it."
RETURNED = {
    "approval": ApprovalState.PENDING,
    "approved": None,
    "approved_by": "",
    "approved_at": None,
    "approval_comment": "",
}


def returned(scheduled: ScheduledJob, reason: str) -> ScheduledJob:
    """Return a scheduled job as it is when it has gone back into the queue."""
    return replace(scheduled, **RETURNED, approval_note=reason, date_changed=NOW, version=scheduled.version + 1)


def request_run(scheduled: ScheduledJob) -> Run:
    """The run that stands for a request, which somebody has let start in Prefect."""
    return make_run(id=scheduled.flow_run_id, deployment_id=scheduled.deployment_id, parameters=scheduled.inputs)


@pytest.mark.parametrize("kind", ["recurring", "one_off"])
def test_the_run_of_a_request_that_waits_is_held_and_nothing_is_let_go(world: World, kind: str) -> None:
    scheduled = getattr(world, kind)(approval=ApprovalState.PENDING, flow_run_id=uuid4())
    run = request_run(scheduled)
    assert [world.ask(run), world.ask(run)] == 2 * [Hold(NOT_APPROVED)]
    assert world.now(scheduled) == scheduled
    assert world.results() == []


@pytest.mark.parametrize(
    "to",
    [
        pytest.param({"start_time": NOW + HOUR}, id="before its start"),
        pytest.param({"enabled": False}, id="and is disabled"),
        pytest.param({"owner_id": None}, id="and belongs to nobody"),
    ],
)
def test_a_request_that_waits_is_held_whatever_else_stands_in_its_way(world: World, to: dict[str, Any]) -> None:
    scheduled = world.one_off(approval=ApprovalState.PENDING, **to)
    assert world.ask(run_of(scheduled)) == Hold(NOT_APPROVED)
    assert world.now(scheduled) == scheduled


@pytest.mark.parametrize("approval", [ApprovalState.DENIED, ApprovalState.EXPIRED, ApprovalState.WITHDRAWN])
@pytest.mark.parametrize("kind", ["recurring", "one_off"])
def test_what_was_decided_against_is_refused_and_leaves_no_result(
    world: World, kind: str, approval: ApprovalState
) -> None:
    scheduled = getattr(world, kind)(approval=approval)
    assert world.ask(run_of(scheduled)) == Refuse(NOT_APPROVED)
    assert world.now(scheduled) == scheduled
    assert world.results() == []


@pytest.mark.parametrize("kind", ["recurring", "one_off"])
def test_what_was_approved_goes_and_its_result_says_who_approved_it(world: World, kind: str) -> None:
    scheduled = world.approve(getattr(world, kind)(approval=ApprovalState.PENDING))
    assert world.ask(run_of(scheduled)) == Go()
    [result] = world.results()
    assert result.approval == {"by": "bob", "at": "2026-05-04T11:00:00+00:00", "comment": "Looks good."}
    assert (result.status, world.now(scheduled).total_run_count) == (Status.STARTED, 1)


def test_every_firing_of_what_was_approved_goes_and_says_so(world: World) -> None:
    scheduled = world.approve(world.recurring(approval=ApprovalState.PENDING))
    for hour in range(3):
        assert world.ask(run_of(scheduled, NOW + hour * HOUR), now=NOW + hour * HOUR) == Go()
    assert [result.approval["by"] for result in world.results()] == ["bob", "bob", "bob"]


BY_OWNER = "alice has approved this and owns it now, so someone else must approve it."


@pytest.mark.parametrize(
    ("name", "with_account"),
    [
        pytest.param("bob", True, id="by their account, called otherwise then"),
        pytest.param("ALICE", False, id="by their name, with an account that was removed"),
    ],
)
def test_an_approval_that_the_owner_has_given_does_not_count(world: World, name: str, with_account: bool) -> None:
    """Earlier versions let it stand when they took over what they had approved."""
    by = world.owner.id if with_account else None
    once, hourly = (world.approve(each(approval=ApprovalState.PENDING)) for each in (world.one_off, world.recurring))
    for row in (once, hourly):
        world.change(row, approved_by_id=by, approved_by=name)
    assert world.ask(run_of(once)) == Hold(BY_OWNER, returns=True)
    assert world.ask(run_of(hourly)) == Refuse(BY_OWNER, recorded=True, returns=True)
    assert [world.now(row).approval for row in (once, hourly)] == [ApprovalState.PENDING] * 2


def test_a_one_off_whose_code_changed_after_the_approval_is_held_and_back_in_the_queue(store: Store) -> None:
    world = World(store, code_digest=OLD, approval_required=True)
    scheduled = world.approve(world.one_off(approval=ApprovalState.PENDING))
    run = run_of(scheduled)
    assert world.ask(run, code=NEW) == Hold(CODE_CHANGED, returns=True)
    assert world.now(scheduled) == returned(scheduled, CODE_CHANGED)
    assert world.now(world.job) == replace(world.job, code_digest=NEW)
    assert world.results() == []
    assert world.ask(run, code=NEW) == Hold(NOT_APPROVED)
    world.approve(world.now(scheduled))
    assert world.ask(run, code=NEW) == Go()


def test_a_firing_whose_code_changed_after_the_approval_fails_once_and_is_back_in_the_queue(store: Store) -> None:
    world = World(store, code_digest=OLD, approval_required=True)
    scheduled = world.approve(world.recurring(approval=ApprovalState.PENDING))
    run = run_of(scheduled)
    assert world.ask(run, code=NEW) == Refuse(CODE_CHANGED, recorded=True, returns=True)
    assert world.now(scheduled) == returned(scheduled, CODE_CHANGED)
    assert world.now(world.job) == replace(world.job, code_digest=NEW)
    [result] = world.results()
    assert (result.flow_run_id, result.status, result.traceback) == (run.id, Status.FAILURE, CODE_CHANGED)
    assert (result.nominal_time, result.date_done, result.attempt, result.approval) == (NOW, NOW, None, None)
    assert world.ask(run, code=NEW) == Refuse(ALREADY_RUN)
    later = NOW + HOUR
    assert world.ask(run_of(scheduled, later), now=later, code=NEW) == Refuse(NOT_APPROVED)
    assert world.results() == [result]
    world.approve(world.now(scheduled))
    assert world.ask(run_of(scheduled, later), now=later, code=NEW) == Go()


def test_of_a_worker_of_an_earlier_version_nothing_new_is_bound(store: Store) -> None:
    world = World(store, code_digest=OLD, module_digest=MODULE, approval_required=True)
    scheduled = world.approve(world.one_off(approval=ApprovalState.PENDING))
    run, told = run_of(scheduled), {"code": MODULE, "module": MODULE}
    for _ in range(2):
        answer = world.ask(run, **told)
        assert isinstance(answer, Hold)
        assert answer.reason.startswith(f"{CODE_CHANGED} The worker has an earlier version of signoff")
        assert world.now(world.job) == world.job
        world.approve(world.now(scheduled))
    assert world.ask(run, code=OLD) == Go()


def test_an_approval_of_an_earlier_version_holds_for_the_module_alone_until_the_next_one(store: Store) -> None:
    world = World(store, code_digest=MODULE, approval_required=True)
    scheduled = world.approve(world.recurring(approval=ApprovalState.PENDING))
    world.change(world.job, code_digest=OLD, module_digest=MODULE)
    for hour, told in enumerate(({"code": MODULE}, {"code": OLD}, {"code": NEW})):
        run = run_of(scheduled, NOW + hour * HOUR)
        answer, ticket = world.admissions.ask(
            run, Attempt(id=uuid4(), worker="host:1", module=MODULE, **told), NOW + hour * HOUR
        )
        assert (answer, ticket is not None and ticket.holds_code) == (Go(), False)
    late = NOW + 3 * HOUR
    refused = world.ask(run_of(scheduled, late), now=late, code=NEW, module="b" * 64)
    assert refused == Refuse(CODE_CHANGED, recorded=True, returns=True)
    scheduled = world.approve(world.now(scheduled))
    late += HOUR
    refused = world.ask(run_of(scheduled, late), now=late, code=OLD, module="b" * 64)
    assert refused == Refuse(CODE_CHANGED, recorded=True, returns=True)


@pytest.mark.parametrize("approval", [ApprovalState.PENDING, ApprovalState.NOT_REQUIRED])
def test_a_run_is_held_to_its_code_if_that_was_approved(store: Store, approval: ApprovalState) -> None:
    world = World(store, code_digest=OLD)
    scheduled = world.one_off(approval=approval)
    if approval is ApprovalState.PENDING:
        scheduled = world.approve(scheduled)
    _answer, ticket = world.admissions.ask(run_of(scheduled), Attempt(id=uuid4(), worker="host:1", code=OLD), NOW)
    assert ticket is not None
    assert ticket.holds_code == (approval is ApprovalState.PENDING)


def test_code_that_changed_matters_only_to_what_was_approved(store: Store) -> None:
    world = World(store, code_digest=OLD)
    assert world.ask(run_of(world.one_off()), code=NEW) == Go()
    assert world.ask(run_of(world.recurring()), code=NEW) == Go()
    assert world.ask(make_run(id=world.requested().id), code=NEW) == Go()
    assert world.now(world.job).code_digest == OLD


def test_a_worker_without_the_code_executes_nothing_that_was_approved(store: Store) -> None:
    world = World(store, code_digest=OLD)
    scheduled = world.approve(world.one_off(approval=ApprovalState.PENDING))
    missing = f"{CODE_CHANGED} The worker has no code of it that it can load."
    assert world.ask(run_of(scheduled), code="") == Hold(missing, returns=True)
    # What is decided about next is what others have.
    assert world.now(world.job).code_digest == OLD


@pytest.mark.each_database
def test_of_the_processes_with_other_code_that_ask_at_once_one_puts_the_request_back(store: Store) -> None:
    world = World(store, code_digest=OLD)
    scheduled = world.approve(world.one_off(approval=ApprovalState.PENDING))
    run = run_of(scheduled)
    answers = at_once(lambda _index: world.ask(run, code=NEW))
    assert sorted(answers, key=str) == [Hold(CODE_CHANGED, returns=True), *3 * [Hold(NOT_APPROVED)]]
    assert world.now(scheduled) == returned(scheduled, CODE_CHANGED)
    assert world.acts().count(EventType.RETURNED) == 1


# A Job that needs approval by now


TRIED = {**INPUTS, "dryrun": True}


def test_a_run_that_was_requested_before_its_job_needed_approval_fails(world: World) -> None:
    result = world.requested()
    world.change(world.job, approval_required=True)
    run = make_run(id=result.id)
    assert world.ask(run) == Refuse(NEEDS_APPROVAL, recorded=True)
    refused = world.now(result)
    assert (refused.status, refused.traceback, refused.attempt) == (Status.FAILURE, NEEDS_APPROVAL, None)
    assert world.ask(run) == Refuse(ALREADY_RUN)


def test_what_was_scheduled_before_its_job_needed_approval_enters_the_queue(world: World) -> None:
    once, often = world.one_off(), world.recurring()
    world.change(world.job, approval_required=True)
    assert world.ask(run_of(once)) == Hold(RETURNS_FOR_APPROVAL, returns=True)
    assert world.results() == []
    # With the first of a Job, all of it has gone back.
    assert world.ask(run_of(often)) == Refuse(NOT_APPROVED)
    assert world.results() == []
    for scheduled in (once, often):
        back = returned(scheduled, RETURNS_FOR_APPROVAL)
        assert replace(world.now(scheduled), version=back.version) == back


@pytest.mark.parametrize(
    ("supports_dryrun", "inputs", "goes"),
    [
        pytest.param(True, TRIED, True, id="a dry run goes"),
        pytest.param(True, {**INPUTS, "dryrun": False}, False, id="one with effect does not"),
        pytest.param(True, INPUTS, False, id="one that says nothing does not"),
        pytest.param(False, TRIED, False, id="a Job without dry runs cannot claim one"),
    ],
)
def test_only_dry_runs_of_a_job_that_needs_approval_by_now_go(
    store: Store, supports_dryrun: bool, inputs: dict[str, Any], goes: bool
) -> None:
    world = World(store, approval_required=True, supports_dryrun=supports_dryrun)
    result, once, often = world.requested(inputs=inputs), world.one_off(inputs=inputs), world.recurring(inputs=inputs)
    runs = [make_run(id=result.id, parameters=inputs), run_of(once), run_of(often)]
    assert [world.ask(run) == Go() for run in runs] == 3 * [goes]


# What is remembered


def remembered(
    world: World, act: EventType, run: Run, scheduled: ScheduledJob | None = None, **data: Any
) -> AuditEvent:
    """Return an event about a run of the World's Job, without its place in the chain."""
    return AuditEvent(
        at=NOW,
        act=act,
        actor_id=world.owner.id,
        actor=world.owner.username,
        name=scheduled.name if scheduled else world.job.name,
        scheduled_job_id=scheduled.id if scheduled else None,
        job_id=world.job.id,
        flow_run_id=run.id,
        deployment_id=run.deployment_id,
        data=data,
    )


def told(world: World) -> list[AuditEvent]:
    """Return what has been remembered, without the places in the chain."""
    return [replace(event, number=0, previous_hash="", hash="") for event in world.events()]


def test_a_run_that_goes_is_remembered_once_however_often_its_process_asks(world: World) -> None:
    requested = make_run(id=world.requested().id)
    scheduled = world.recurring()
    firing = run_of(scheduled)
    for run in (requested, firing):
        attempt = uuid4()
        for seconds in range(3):
            assert world.ask(run, attempt, NOW + timedelta(seconds=seconds)) == Go()
    expected = [
        remembered(world, EventType.ADMITTED, requested),
        remembered(world, EventType.ADMITTED, firing, scheduled),
    ]
    assert told(world) == expected


def test_who_approved_is_remembered_with_the_run_that_goes(world: World) -> None:
    scheduled = world.approve(world.one_off(approval=ApprovalState.PENDING))
    run = run_of(scheduled)
    assert world.ask(run) == Go()
    assert told(world) == [remembered(world, EventType.ADMITTED, run, scheduled, approved_by="bob")]


def test_a_run_that_nobody_requested_is_remembered_as_refused_about_nobody(world: World) -> None:
    run = make_run()
    assert world.ask(run) == Refuse(NOT_REQUESTED)
    event = AuditEvent(
        at=NOW,
        act=EventType.REFUSED,
        flow_run_id=run.id,
        deployment_id=run.deployment_id,
        data={"reason": NOT_REQUESTED},
    )
    assert told(world) == [event]


def test_an_event_s_run_of_a_receiver_is_remembered_about_nobody(store: Store) -> None:
    world = World(store, is_job_hook_receiver=True)
    run = make_run(deployment_id=world.job.deployment_id)
    assert world.ask(run) == Go()
    assert told(world) == [replace(remembered(world, EventType.ADMITTED, run), actor_id=None, actor="")]


REFUSALS = [
    pytest.param(lambda w, s: w.change(s, enabled=False), {}, DISABLED, id="of a disabled schedule"),
    pytest.param(lambda w, s: w.change(s, approval=ApprovalState.PENDING), {}, NOT_APPROVED, id="not approved yet"),
    pytest.param(lambda w, s: w.change(s, approval=ApprovalState.DENIED), {}, NOT_APPROVED, id="that was denied"),
    pytest.param(lambda w, s: None, {"at": NOW - timedelta(minutes=7)}, NOT_DUE, id="at no time of the schedule"),
    pytest.param(lambda w, s: w.change(w.job, enabled=False), {}, JOB_DISABLED, id="of a disabled Job"),
    pytest.param(lambda w, s: w.change(w.job, installed=False), {}, JOB_GONE, id="of a Job that is gone"),
]


@pytest.mark.parametrize(("bend", "to", "reason"), REFUSALS)
def test_a_run_that_is_refused_is_remembered_once_with_the_reason(
    world: World, bend: Bend, to: dict[str, Any], reason: str
) -> None:
    scheduled = world.recurring()
    bend(world, scheduled)
    run = run_of(scheduled, **to)
    world.ask(run)
    assert told(world) == [remembered(world, EventType.REFUSED, run, scheduled, reason=reason)]


def test_a_request_that_is_held_is_remembered_as_refused(world: World) -> None:
    scheduled = world.one_off(approval=ApprovalState.PENDING)
    run = run_of(scheduled)
    world.ask(run)
    assert told(world) == [remembered(world, EventType.REFUSED, run, scheduled, reason=NOT_APPROVED)]


def test_a_run_that_goes_and_the_refusal_of_another_process_of_it_are_remembered_once_each(world: World) -> None:
    scheduled = world.recurring()
    run = run_of(scheduled)
    world.ask(run)
    world.ask(run)
    expected = [
        remembered(world, EventType.ADMITTED, run, scheduled),
        remembered(world, EventType.REFUSED, run, scheduled, reason=ALREADY_RUN),
    ]
    assert told(world) == expected


def test_parameters_that_were_changed_in_prefect_are_remembered_as_tampering(world: World) -> None:
    scheduled = world.recurring()
    requested = make_run(id=world.requested().id, parameters={**INPUTS, "who": "eve"})
    firing = run_of(scheduled, parameters={"who": "eve"})
    for run in (requested, firing):
        assert world.ask(run) == Refuse(CHANGED, tampered=True)
    expected = [
        remembered(world, EventType.TAMPERED, requested, reason=CHANGED),
        remembered(world, EventType.TAMPERED, firing, scheduled, reason=CHANGED),
    ]
    assert told(world) == expected


def test_a_one_off_that_goes_back_into_the_queue_is_remembered_as_returned_alone(store: Store) -> None:
    world = World(store, code_digest=OLD)
    scheduled = world.approve(world.one_off(approval=ApprovalState.PENDING))
    world.ask(run_of(scheduled), code=NEW)
    [event] = world.events()
    assert (event.act, event.scheduled_job_id, event.data) == (
        EventType.RETURNED,
        scheduled.id,
        {"reason": CODE_CHANGED},
    )
    assert (event.actor_id, event.actor) == (None, "")


def test_a_firing_that_goes_back_into_the_queue_is_remembered_as_returned_and_as_refused(store: Store) -> None:
    world = World(store, code_digest=OLD)
    scheduled = world.approve(world.recurring(approval=ApprovalState.PENDING))
    world.ask(run_of(scheduled), code=NEW)
    assert sorted(world.acts()) == [EventType.RETURNED, EventType.REFUSED]
    assert all(event.data == {"reason": CODE_CHANGED} for event in world.events())


def test_who_waits_and_who_has_nothing_to_do_is_not_remembered(world: World) -> None:
    scheduled = world.recurring()
    assert world.ask(run_of(scheduled, NOW + HOUR)) == Wait(NOW + HOUR)
    assert world.ask(run_of(scheduled, NOW - HOUR)) == Finish(SUPERSEDED, recorded=True)
    assert world.acts() == []
    assert [world.ask(run_of(scheduled)) for _ in range(2)] == [Go(), Finish(TAKEN)]
    assert world.acts() == [EventType.ADMITTED]


@pytest.mark.each_database
def test_of_the_processes_that_ask_at_once_one_is_remembered_as_let_go_and_the_others_as_refused(world: World) -> None:
    run = run_of(world.recurring())
    at_once(lambda _index: world.ask(run))
    assert sorted(world.acts()) == [EventType.ADMITTED, *3 * [EventType.REFUSED]]


# Secrets


def test_sensitive_inputs_are_kept_out_of_prefect_and_forgotten_at_the_end(store: Store) -> None:
    world = World(store, has_sensitive_variables=True)
    run, attempt = make_run(id=world.requested(sensitive=True).id, parameters={}), uuid4()
    assert world.ask(run, attempt) == Go()
    assert world.results()[0].inputs == INPUTS
    world.tell(run, attempt)
    assert world.results()[0].inputs is None


def test_a_sensitive_run_with_parameters_in_prefect_is_refused(store: Store) -> None:
    world = World(store, has_sensitive_variables=True)
    run = make_run(id=world.requested(sensitive=True).id, parameters={"who": "eve"})
    assert world.ask(run) == Refuse(CHANGED, tampered=True)


def test_sensitive_inputs_are_forgotten_when_the_run_is_refused_for_good(store: Store) -> None:
    world = World(store, has_sensitive_variables=True)
    result = world.requested(sensitive=True)
    world.change(world.job, enabled=False)
    world.ask(make_run(id=result.id, parameters={}))
    assert world.now(result).inputs is None


def test_a_run_whose_inputs_cannot_be_read_fails_visibly_and_others_go(store: Store) -> None:
    world = World(store, has_sensitive_variables=True)
    lost = world.requested(sensitive=True)
    store.inputs_key = InputsKey(b"j" * 32)
    other = world.requested(sensitive=True)
    assert world.ask(make_run(id=lost.id, parameters={})) == Refuse(OTHER_KEY, recorded=True)
    failed = world.now(lost)
    assert (failed.status, failed.traceback, failed.inputs) == (Status.FAILURE, OTHER_KEY, None)
    assert [event.data for event in world.events()] == [{"reason": OTHER_KEY}]
    assert world.ask(make_run(id=other.id, parameters={})) == Go()
    assert world.now(other).inputs == INPUTS


def test_other_inputs_stay(world: World) -> None:
    run, attempt = make_run(id=world.requested().id), uuid4()
    world.ask(run, attempt)
    world.tell(run, attempt)
    assert world.results()[0].inputs == INPUTS


def test_an_outcome_with_characters_that_no_database_keeps_is_not_lost(world: World) -> None:
    run, attempt = make_run(id=world.requested().id), uuid4()
    assert world.ask(run, attempt) == Go()
    world.tell(run, attempt, Status.FAILURE, result={"\ud800": ["a\0b", "\udfff"]}, traceback="a\0b\ud800")
    (result,) = world.results()
    assert (result.status, result.result) == (Status.FAILURE, {"?": ["a\0b", "?"]})
    assert result.traceback == "a\N{REPLACEMENT CHARACTER}b?"
