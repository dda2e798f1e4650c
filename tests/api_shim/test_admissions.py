"""Runs that ask and tell, over both databases: each executes once, as requested; what is refused changes nothing."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest

from api_shim.admissions import Admissions, Attempt, Outcome
from api_shim.model import NEVER, JobResult, Permission, PermissionUser, ScheduledJob, Status
from api_shim.ports import Run
from api_shim.recurrence import Interval
from api_shim.store import Store
from approval_gate.admission import (
    ALREADY_RUN,
    CHANGED,
    DISABLED,
    JOB_DISABLED,
    JOB_GONE,
    NOT_APPROVED,
    NOT_DUE,
    NOT_REQUESTED,
    SINGLETON,
    SUPERSEDED,
    TAKEN,
    Answer,
    Finish,
    Go,
    Refuse,
    Wait,
)
from approval_gate.errors import NotFound
from approval_gate.model import ApprovalState
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

    def ask(self, run: Run, attempt: UUID | None = None, now: datetime = NOW) -> Answer:
        answer, ticket = self.admissions.ask(run, Attempt(id=attempt or uuid4(), worker="host:1"), now)
        assert (ticket is not None) == (answer == Go())
        return answer

    def tell(self, run: Run, attempt: UUID, status: Status = Status.SUCCESS, **to: Any) -> None:
        outcome = Outcome(**{"status": status, "result": {"a": 1}, "traceback": None, **to})
        self.admissions.tell(run.id, attempt, outcome, NOW + HOUR)

    def now(self, thing: Any) -> Any:
        with self.store.transaction(write=False) as tx:
            return tx.one(type(thing), id=thing.id)

    def results(self) -> list[JobResult]:
        with self.store.transaction(write=False) as tx:
            return tx.all(JobResult, order="date_created")


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
    answer, ticket = world.admissions.ask(make_run(id=result.id), Attempt(id=attempt, worker="host:1"), NOW)
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
    assert (result.id, result.nominal_time, result.user_id) == (run.id, NOW, world.owner.id)
    assert (result.scheduled_job_id, result.inputs, result.attempt) == (scheduled.id, INPUTS, attempt)
    assert (result.status, result.name, result.queue) == (Status.STARTED, world.job.name, scheduled.queue)


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
    attempt = Attempt(id=uuid4(), worker="host:1")
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
        world.admissions.ask(run, Attempt(id=attempt, worker="host:1"), NOW + timedelta(seconds=s)) for s in (0, 5)
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
    assert [result.id for result in world.results()] == [first.id]
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


def test_of_the_processes_of_one_firing_s_run_that_ask_at_once_exactly_one_goes(world: World) -> None:
    scheduled = world.recurring()
    run = run_of(scheduled)
    answers = at_once(lambda _index: world.ask(run))
    assert sorted(answers, key=str) == [Go(), *3 * [Refuse(ALREADY_RUN)]]
    assert world.now(scheduled).total_run_count == 1


def test_of_the_processes_of_one_requested_run_that_ask_at_once_exactly_one_goes(world: World) -> None:
    run = make_run(id=world.requested().id)
    answers = at_once(lambda _index: world.ask(run))
    assert sorted(answers, key=str) == [Go(), *3 * [Refuse(ALREADY_RUN)]]


def test_of_the_processes_of_one_event_s_run_that_ask_at_once_exactly_one_goes(store: Store) -> None:
    world = World(store, is_job_hook_receiver=True)
    run = make_run(deployment_id=world.job.deployment_id)
    answers = at_once(lambda _index: world.ask(run))
    assert sorted(answers, key=str) == [Go(), *3 * [Refuse(ALREADY_RUN)]]


def test_one_process_that_asks_again_while_it_is_being_answered_goes(world: World) -> None:
    scheduled, attempt = world.recurring(), uuid4()
    run = run_of(scheduled)
    assert at_once(lambda _index: world.ask(run, attempt)) == 4 * [Go()]
    assert world.now(scheduled).total_run_count == 1


def test_of_the_runs_of_one_firing_that_ask_at_once_exactly_one_goes(world: World) -> None:
    scheduled = world.recurring()
    runs = [run_of(scheduled) for _ in range(4)]
    answers = at_once(lambda index: world.ask(runs[index]))
    assert sorted(answers, key=str) == [*3 * [Finish(TAKEN)], Go()]
    assert len(world.results()) == world.now(scheduled).total_run_count == 1


def test_of_the_runs_of_a_singleton_that_ask_at_once_exactly_one_goes(store: Store) -> None:
    world = World(store, is_singleton=True)
    runs = [make_run(id=world.requested().id) for _ in range(4)]
    answers = at_once(lambda index: world.ask(runs[index]))
    assert sorted(answers, key=str) == [Go(), *3 * [Refuse(SINGLETON, recorded=True)]]


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
        lambda w, s: None, {"parameters": {**INPUTS, "count": 3}}, Refuse(CHANGED), id="with changed parameters"
    ),
    pytest.param(lambda w, s: None, {"parameters": {}}, Refuse(CHANGED), id="with its parameters taken away"),
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
    assert world.ask(make_run(id=result.id, parameters={**INPUTS, "who": "eve"})) == Refuse(CHANGED)
    assert world.now(result) == result


def test_numbers_that_prefect_s_database_writes_differently_are_not_changes(world: World) -> None:
    result = world.requested(inputs={"big": 1e22, "whole": 2.0, "list": [1.0]})
    parameters = {"whole": 2, "list": [1], "big": 10**22}
    assert world.ask(make_run(id=result.id, parameters=parameters)) == Go()


# Passed over


def test_a_missed_firing_that_has_a_newer_one_is_recorded_as_revoked(world: World) -> None:
    scheduled = world.recurring()
    run = run_of(scheduled, NOW - 2 * HOUR)
    assert world.ask(run) == Finish(SUPERSEDED)
    [result] = world.results()
    assert (result.id, result.status, result.nominal_time) == (run.id, Status.REVOKED, NOW - 2 * HOUR)
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
    assert (result.id, result.status, result.traceback) == (run.id, Status.FAILURE, message)
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
    _, ticket = world.admissions.ask(run_of(scheduled), Attempt(id=uuid4(), worker="host:1"), NOW)
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
    assert world.ask(run) == Refuse(CHANGED)


def test_sensitive_inputs_are_forgotten_when_the_run_is_refused_for_good(store: Store) -> None:
    world = World(store, has_sensitive_variables=True)
    result = world.requested(sensitive=True)
    world.change(world.job, enabled=False)
    world.ask(make_run(id=result.id, parameters={}))
    assert world.now(result).inputs is None


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
