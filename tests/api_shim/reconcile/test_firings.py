"""One job result for each firing, whoever records it; and when one counts as missed."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest

from api_shim.domain.model import JobResult, ScheduledJob, Status
from api_shim.domain.recurrence import Interval
from api_shim.reconcile.firings import (
    MISSED_AFTER,
    ending,
    firing_of,
    is_taken,
    look_after,
    mark_released,
    new_result,
    record_catch_up,
    record_lost,
    record_passed_over,
    result_id,
)
from api_shim.store import Store, Transaction
from approval_gate.admission import SUPERSEDED
from tests.api_shim.services.test_admission import make_run, run_of
from tests.factories import NOW, make_job, make_result, make_scheduled, make_user

HOUR = timedelta(hours=1)
LATE = NOW + timedelta(seconds=100)
INPUTS = {"count": 2}


class World:
    """A store with a Job and its scheduled jobs."""

    def __init__(self, store: Store, **job: Any) -> None:
        self.store = store
        self.owner = make_user()
        self.job = make_job(job_queues=("bulk",), **job)
        self.add(self.owner, self.job)

    def add(self, *things: Any) -> None:
        with self.store.transaction() as tx:
            for thing in things:
                tx.add(thing)

    def remove(self, thing: Any) -> None:
        with self.store.transaction() as tx:
            tx.remove(thing)

    def scheduled(self, interval: Interval = Interval.HOURLY, **to: Any) -> ScheduledJob:
        ids = {"deployment_id": uuid4(), "flow_run_id": uuid4() if interval is Interval.FUTURE else None}
        row = make_scheduled(self.job, self.owner, **{"interval": interval, "inputs": INPUTS, **ids, **to})
        self.add(row)
        return row

    def write(self, tell: Callable[[Transaction], Any]) -> Any:
        with self.store.transaction() as tx:
            return tell(tx)

    def now(self, thing: Any) -> Any:
        return self.write(lambda tx: tx.get(type(thing), id=thing.id))

    def results(self) -> list[JobResult]:
        return self.write(lambda tx: tx.all(JobResult))

    def change(self, thing: Any, **to: Any) -> None:
        self.write(lambda tx: tx.change(thing, **to))

    def lost(self, row: ScheduledJob, run: Any, firing: datetime = NOW) -> None:
        self.write(lambda tx: record_lost(row, self.job, run, firing, LATE, tx))

    def passed_over(self, row: ScheduledJob, run: Any) -> None:
        self.write(lambda tx: record_passed_over(row, self.job, run, LATE, tx))

    def caught_up(self, row: ScheduledJob, firing: datetime = NOW) -> bool:
        return self.write(lambda tx: record_catch_up(row, self.job, firing, LATE, tx)) is not None


@pytest.fixture
def world(store: Store) -> World:
    return World(store)


# What follows from a firing


@pytest.mark.parametrize("status", [Status.SUCCESS, Status.FAILURE, Status.REVOKED])
@pytest.mark.parametrize(
    ("sensitive", "forgotten"),
    [pytest.param(True, {"inputs": None}, id="sensitive"), pytest.param(False, {}, id="not sensitive")],
)
def test_the_inputs_of_sensitive_runs_are_forgotten_at_the_end(
    status: Status, sensitive: bool, forgotten: dict[str, Any]
) -> None:
    result = make_result(make_job(), None, sensitive=sensitive, inputs=INPUTS)
    assert ending(result, status, LATE) == {"status": status, "date_done": LATE, **forgotten}


NEW_YORK = {"interval": Interval.CUSTOM, "crontab": "30 2 * * *", "time_zone": "America/New_York"}


@pytest.mark.parametrize(
    ("to", "expected_start", "firing"),
    [
        pytest.param({}, NOW + HOUR, NOW + HOUR, id="a firing is its own time"),
        pytest.param({}, NOW + HOUR / 2, NOW + HOUR / 2, id="what is no firing stays as it is"),
        pytest.param({}, NOW - HOUR, NOW - HOUR, id="and so does one before the start"),
        pytest.param(
            {**NEW_YORK, "start_time": datetime.fromisoformat("2026-03-01T00:00Z")},
            datetime.fromisoformat("2026-03-08T01:30-05:00"),
            datetime.fromisoformat("2026-03-08T03:30-04:00"),
            id="one that Prefect moved back from a skipped hour",
        ),
    ],
)
def test_the_firing_of_a_run(to: dict[str, Any], expected_start: datetime, firing: datetime) -> None:
    row = make_scheduled(make_job(), None, **to)
    assert firing_of(row, make_run(expected_start=expected_start)) == firing


@pytest.mark.parametrize(
    ("to", "firing", "look"),
    [
        pytest.param({}, NOW, NOW + HOUR + MISSED_AFTER, id="hourly"),
        pytest.param({"interval": Interval.DAILY}, NOW, NOW + 24 * HOUR + MISSED_AFTER, id="daily"),
        pytest.param({"interval": Interval.WEEKLY}, NOW, NOW + 7 * 24 * HOUR + MISSED_AFTER, id="weekly"),
        pytest.param({}, NOW - 5 * HOUR, NOW + MISSED_AFTER, id="before its start: after its first"),
        pytest.param({}, NOW + HOUR / 2, NOW + HOUR + MISSED_AFTER, id="between two: after the next"),
    ],
)
def test_when_the_next_firing_counts_as_missed(to: dict[str, Any], firing: datetime, look: datetime) -> None:
    assert look_after(make_scheduled(make_job(), None, **to), firing) == look


@pytest.mark.parametrize("sensitive", [False, True])
def test_the_result_of_a_firing_is_its_scheduled_job_s(sensitive: bool) -> None:
    job, owner, run_id = make_job(has_sensitive_variables=sensitive, job_queues=("bulk",)), make_user(), uuid4()
    row = make_scheduled(job, owner, queue="fast")
    result = new_result(run_id, job, row, NOW, owner, LATE)
    assert (result.id, result.flow_run_id) == (result_id(row, NOW, None), run_id)
    assert (result.job_id, result.scheduled_job_id, result.user_id) == (job.id, row.id, owner.id)
    assert (result.name, result.task_name, result.queue) == (job.name, job.class_path, "fast")
    assert (result.nominal_time, result.date_created, result.sensitive) == (NOW, LATE, sensitive)
    assert (result.status, result.inputs, result.released) == (Status.PENDING, None, True)


def test_the_result_of_an_event_s_run_is_nobody_s_and_on_the_job_s_queue() -> None:
    job = make_job(job_queues=("bulk", "fast"))
    result = new_result(uuid4(), job, None, None, None, NOW)
    assert (result.scheduled_job_id, result.user_id, result.nominal_time, result.queue) == (None, None, None, "bulk")


# Recorded


@pytest.mark.parametrize(
    ("state", "status"),
    [
        ("CANCELLED", Status.REVOKED),
        ("CRASHED", Status.FAILURE),
        ("FAILED", Status.FAILURE),
        ("COMPLETED", Status.FAILURE),
    ],
)
@pytest.mark.parametrize(
    ("message", "why"),
    [
        pytest.param("so it was", "The run ended before it was admitted: Odd. so it was", id="with a message"),
        pytest.param("", "The run ended before it was admitted: Odd.", id="without one"),
    ],
)
@pytest.mark.parametrize("interval", [Interval.HOURLY, Interval.FUTURE])
def test_a_run_that_was_lost_is_recorded_with_its_state(
    world: World, interval: Interval, state: str, status: Status, message: str, why: str
) -> None:
    row = world.scheduled(interval)
    run = run_of(row, state_type=state, state_name="Odd", message=message)
    world.lost(row, run)
    [result] = world.results()
    assert (result.flow_run_id, result.nominal_time, result.scheduled_job_id) == (run.id, NOW, row.id)
    assert (result.status, result.traceback, result.date_done) == (status, why, LATE)
    assert (result.user_id, result.attempt) == (world.owner.id, None)
    assert world.now(row).enabled is (interval is Interval.HOURLY), "a one-off has had its turn"


def test_a_run_that_was_passed_over_is_recorded_as_revoked(world: World) -> None:
    row = world.scheduled()
    run = run_of(row)
    world.passed_over(row, run)
    [result] = world.results()
    assert (result.flow_run_id, result.nominal_time, result.status) == (run.id, NOW, Status.REVOKED)
    assert (result.traceback, result.date_done) == (SUPERSEDED, LATE)
    assert world.now(row) == row


def test_a_run_that_makes_up_for_a_firing_is_recorded_before_it_is_released(world: World) -> None:
    row, run_id = world.scheduled(), uuid4()
    assert world.caught_up(row)
    [result] = world.results()
    assert (result.flow_run_id, result.nominal_time, result.status) == (None, NOW, Status.PENDING)
    assert (result.inputs, result.released, result.date_done) == (INPUTS, False, None)
    for told in (run_id, uuid4()):
        world.write(lambda tx, told=told: mark_released(result, told, tx))
        assert world.results() == [replace(result, released=True, flow_run_id=run_id)]


def test_what_has_been_cancelled_meanwhile_is_not_followed_yet(world: World) -> None:
    world.add(result := make_result(world.job, None, flow_run_id=None, released=False))
    world.change(result, cancelled_by="alice")
    run_id = uuid4()
    world.write(lambda tx: mark_released(result, run_id, tx))
    assert world.results() == [replace(result, cancelled_by="alice", flow_run_id=run_id)]


def test_a_result_that_is_gone_is_not_marked_as_released(world: World) -> None:
    world.write(lambda tx: mark_released(make_result(world.job, None), None, tx))
    assert world.results() == []


def test_what_is_lost_after_its_owner_was_removed_is_nobody_s(world: World) -> None:
    row = world.scheduled()
    world.remove(world.owner)
    world.lost(world.now(row), run_of(row, state_type="CRASHED"))
    assert [result.user_id for result in world.results()] == [None]


# Only once


def lose(world: World, row: ScheduledJob, run_id: UUID) -> None:
    world.lost(row, run_of(row, id=run_id, state_type="CRASHED"))


def pass_over(world: World, row: ScheduledJob, run_id: UUID) -> None:
    world.passed_over(row, run_of(row, id=run_id))


def catch_up(world: World, row: ScheduledJob, run_id: UUID) -> None:
    assert not world.caught_up(row)


RECORDS = [
    pytest.param(lose, id="a lost one"),
    pytest.param(pass_over, id="one that was passed over"),
    pytest.param(catch_up, id="one that is made up for"),
]


@pytest.mark.parametrize("record", RECORDS)
def test_a_firing_that_another_run_has_is_not_recorded_again(
    world: World, record: Callable[[World, ScheduledJob, UUID], None]
) -> None:
    row = world.scheduled()
    world.add(taken := make_result(world.job, None, scheduled_job_id=row.id, nominal_time=NOW))
    record(world, row, uuid4())
    assert world.results() == [taken]


@pytest.mark.parametrize("record", RECORDS[:2])
def test_a_run_that_is_recorded_for_something_else_is_not_recorded_again(
    world: World, record: Callable[[World, ScheduledJob, UUID], None]
) -> None:
    row = world.scheduled()
    world.add(known := make_result(world.job, None))
    record(world, row, known.id)
    assert world.results() == [known]


@pytest.mark.parametrize("record", RECORDS)
def test_a_firing_of_what_was_deleted_meanwhile_is_not_recorded(
    world: World, record: Callable[[World, ScheduledJob, UUID], None]
) -> None:
    row = world.scheduled()
    world.remove(row)
    record(world, row, uuid4())
    assert world.results() == []


def test_a_firing_is_taken_by_a_run_of_that_schedule_and_time_alone(world: World) -> None:
    row, other = world.scheduled(), world.scheduled()
    world.add(make_result(world.job, None, scheduled_job_id=row.id, nominal_time=NOW))
    taken = [(row, NOW), (row, NOW + HOUR), (other, NOW)]
    assert [world.write(lambda tx, of=of, at=at: is_taken(tx, of, at)) for of, at in taken] == [True, False, False]


@pytest.mark.each_database
def test_of_those_who_record_one_firing_at_once_exactly_one_does(world: World) -> None:
    row = world.scheduled()
    barrier = threading.Barrier(4)

    def record(_index: int) -> bool:
        barrier.wait()
        return world.caught_up(row)

    with ThreadPoolExecutor(4) as pool:
        recorded = list(pool.map(record, range(4)))
    assert sorted(recorded) == [False, False, False, True]
    assert len(world.results()) == 1
