"""The sensitive inputs of runs from before they were encrypted, and of a key that is not the one they were."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import text

from api_shim.domain.approval import binding_of, stale
from api_shim.domain.model import Job, JobResult, ScheduledJob, Status
from api_shim.domain.recurrence import Interval
from api_shim.services import sensitive_inputs
from api_shim.services.sensitive_inputs import follow_mark, follow_marks, prepare
from api_shim.store import InputsKey, SealedInputs, Store, Transaction
from approval_gate.admission import Go, Refuse
from approval_gate.lifecycle import ApprovalState
from tests.api_shim.plant import HOUR, Plant, Plants
from tests.factories import make_job, make_result, make_scheduled

WORD = "rosebud"
INPUTS = {"password": WORD}


@pytest.fixture(autouse=True)
def _several_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sensitive_inputs, "BATCH", 2)


def kept(store: Store, number: int, **to: Any) -> None:
    job = make_job()
    results = [make_result(job, None, **{"sensitive": True, "inputs": INPUTS, **to}) for _ in range(number)]
    with store.transaction() as tx:
        tx.add(job)
        tx.add(*results)


def kept_in_clear(store: Store, number: int) -> None:
    """Keep sensitive inputs as versions before did."""
    kept(store, number)
    with store._engine.begin() as connection:
        connection.execute(text("UPDATE job_results SET inputs = :inputs"), {"inputs": json.dumps(INPUTS)})


def found(store: Store) -> list[JobResult]:
    with store.transaction(write=False) as tx:
        return tx.all(JobResult)


@pytest.mark.each_database
def test_what_stood_in_clear_is_encrypted_once(store: Store, caplog: pytest.LogCaptureFixture) -> None:
    kept_in_clear(store, 5)
    kept(store, 1, sensitive=False)
    kept(store, 1, inputs=None, status=Status.SUCCESS)
    prepare(store)
    sealed = [result for result in found(store) if isinstance(result.inputs, SealedInputs)]
    assert [dict(result.inputs or {}) for result in sealed] == [INPUTS] * 5
    texts = {result.inputs.text for result in sealed if isinstance(result.inputs, SealedInputs)}
    caplog.clear()
    prepare(store)
    assert {result.inputs.text for result in found(store) if isinstance(result.inputs, SealedInputs)} == texts
    assert caplog.records == []


def test_what_stood_in_clear_is_in_no_file_afterwards(sqlite_store: Store, tmp_path: Path) -> None:
    def in_files() -> bool:
        return any(WORD.encode() in path.read_bytes() for path in tmp_path.iterdir())

    kept_in_clear(sqlite_store, 5)
    assert in_files()
    prepare(sqlite_store)
    assert not in_files()


def test_what_cannot_be_removed_from_unused_parts_is_told(
    sqlite_store: Store, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept_in_clear(sqlite_store, 1)
    monkeypatch.setattr("api_shim.store.database.SQLITE_REWRITES", ("SELECT * FROM no_such_table",))
    prepare(sqlite_store)
    assert "may still be in unused parts of the database" in caplog.text
    assert WORD not in caplog.text


def test_what_another_key_encrypted_is_told_and_is_no_reason_not_to_start(
    store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    kept(store, 3)
    store.inputs_key = InputsKey(b"j" * 32)
    kept(store, 2)
    caplog.set_level(logging.WARNING)
    prepare(store)
    [record] = caplog.records
    told = "The sensitive inputs of 3 runs or scheduled jobs cannot be read, so their runs will fail: "
    assert record.getMessage().startswith(told)
    assert sum(isinstance(result.inputs, SealedInputs) for result in found(store)) == 5


# What was scheduled before its Job was marked


def scheduled_before(store: Store, **to: Any) -> tuple[Job, ScheduledJob]:
    """Keep what was scheduled, and mark its Job then."""
    job = make_job()
    row = make_scheduled(job, None, **{"inputs": INPUTS, **to})
    with store.transaction() as tx:
        tx.add(job)
        tx.add(row)
        return tx.change(job, has_sensitive_variables=True), row


def now_of(store: Store, row: ScheduledJob) -> ScheduledJob:
    with store.transaction(write=False) as tx:
        found = tx.get(ScheduledJob, id=row.id)
    assert found is not None
    return found


def in_the_database(store: Store) -> str:
    with store._engine.connect() as connection:
        return str(connection.execute(text("SELECT inputs, approved FROM scheduled_jobs")).all())


@pytest.mark.each_database
def test_the_inputs_of_what_is_scheduled_are_encrypted_when_its_job_is_marked(store: Store) -> None:
    job, row = scheduled_before(store)
    other = scheduled_before(store)[1]
    assert follow_mark(store, job.id)
    found = now_of(store, row)
    assert isinstance(found.inputs, SealedInputs)
    assert (found.sensitive, found.version, dict(found.inputs), found.parameters) == (True, 2, INPUTS, {})
    assert now_of(store, other) == other, "of another Job"
    assert not follow_mark(store, job.id), "once"
    assert now_of(store, row).version == 2
    prepare(store)
    assert WORD not in in_the_database(store), "what nobody had encrypted the next start does"


def test_when_the_mark_is_taken_away_they_are_as_they_were(store: Store) -> None:
    job, row = scheduled_before(store)
    follow_mark(store, job.id)
    with store.transaction() as tx:
        tx.change(job, has_sensitive_variables=False)
    assert not follow_mark(store, job.id)
    found = now_of(store, row)
    assert (found.inputs, found.sensitive, found.version) == (INPUTS, False, 3)


def test_what_was_approved_stays_approved_and_its_hash_tells_nothing(store: Store) -> None:
    job, row = scheduled_before(store, approval=ApprovalState.APPROVED, approved_by="bob")
    bound = binding_of(row, job)
    with store.transaction() as tx:
        tx.change(row, approved=bound)
    follow_mark(store, job.id)
    found = now_of(store, row)
    assert found.approved is not None
    assert stale(found, job) == ""
    assert found.approved["inputs"] != bound["inputs"], "from a hash of the inputs themselves they could be guessed"
    with store.transaction() as tx:
        tx.change(job, has_sensitive_variables=False)
    follow_mark(store, job.id)
    assert now_of(store, row).approved == bound


def test_what_was_not_approved_as_it_is_does_not_become_so(store: Store) -> None:
    job, row = scheduled_before(store, approval=ApprovalState.APPROVED, approved_by="bob")
    with store.transaction() as tx:
        tx.change(row, approved={**binding_of(row, job), "inputs": "0" * 64})
    follow_mark(store, job.id)
    assert stale(now_of(store, row), job) == "The inputs changed after bob approved it."


def test_those_of_another_key_stay_hidden_whatever_the_mark_says(
    store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    job, row = scheduled_before(store)
    follow_mark(store, job.id)
    store.inputs_key = InputsKey(b"j" * 32)
    prepare(store)
    assert "The sensitive inputs of 1 runs or scheduled jobs cannot be read" in caplog.text
    with store.transaction() as tx:
        job = tx.change(job, has_sensitive_variables=False)
    follow_mark(store, job.id)
    found = now_of(store, row)
    assert (found.hides_inputs(job), found.parameters) == (True, {})
    assert stale(found, job) == ""


def test_runs_that_are_not_over_are_encrypted_too(store: Store) -> None:
    kept(store, 1, sensitive=False)
    kept(store, 1, sensitive=False, status=Status.SUCCESS)
    with store.transaction() as tx:
        jobs = [tx.change(job, has_sensitive_variables=True) for job in tx.all(Job)]
    assert sorted(follow_mark(store, job.id) for job in jobs) == [False, True]
    assert {result.status: result.sensitive for result in found(store)} == {Status.PENDING: True, Status.SUCCESS: False}


def test_what_stood_in_clear_while_it_was_scheduled_is_in_no_file_afterwards(
    sqlite_store: Store, tmp_path: Path
) -> None:
    job, _ = scheduled_before(sqlite_store)
    follow_mark(sqlite_store, job.id)
    assert not any(WORD.encode() in path.read_bytes() for path in tmp_path.iterdir())


def test_a_mark_that_is_set_again_meanwhile_is_left_to_who_set_it(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    job, row = scheduled_before(store)
    follow_mark(store, job.id)
    with store.transaction() as tx:
        tx.change(job, has_sensitive_variables=False)
    asked = Transaction.marked_otherwise

    def and_then_it_is_marked_again(tx: Transaction) -> list[UUID]:
        found = asked(tx)
        with store.transaction() as other:
            other.change(job, has_sensitive_variables=True)
        return found

    monkeypatch.setattr(Transaction, "marked_otherwise", and_then_it_is_marked_again)
    assert not follow_mark(store, job.id)
    assert isinstance(now_of(store, row).inputs, SealedInputs)


def test_every_job_is_followed_and_the_files_are_written_anew_once(
    sqlite_store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [scheduled_before(sqlite_store)[1] for _ in range(2)]
    rewrites: list[Store] = []
    monkeypatch.setattr(sensitive_inputs, "_rewrite", rewrites.append)
    for _ in range(2):
        follow_marks(sqlite_store)
    assert [now_of(sqlite_store, row).sensitive for row in rows] == [True, True]
    assert rewrites == [sqlite_store]


@pytest.fixture
def plant(plants: Plants) -> Plant:
    return plants.ready()


def mark_without_tick(plant: Plant) -> None:
    plant.change(plant.job, has_sensitive_variables=True)
    follow_mark(plant.store, plant.job.id)


def mark(plant: Plant) -> None:
    mark_without_tick(plant)
    plant.tick()


def test_prefect_is_no_longer_given_them_and_every_firing_has_them(plant: Plant) -> None:
    plant.recurring(inputs=INPUTS)
    plant.tick()
    plant.now += HOUR
    taken = plant.engine.make_firing(plant.own_id(), plant.now)
    plant.engine.set_state(taken.id, "RUNNING", "Running", started=plant.now)
    mark(plant)
    [own] = plant.own().values()
    assert own.parameters == {}
    assert plant.work(taken) == Go(), "one that a worker had taken before"
    plant.now += HOUR
    assert plant.work(plant.engine.make_firing(plant.own_id(), plant.now)) == Go()
    assert {result.sensitive for result in plant.all(JobResult)} == {True}
    assert {result.inputs for result in plant.all(JobResult)} == {None}, "they are forgotten when it is over"


def test_what_whoever_marked_it_left_in_clear_the_loop_encrypts(plant: Plant) -> None:
    plant.recurring(inputs=INPUTS)
    plant.tick()
    plant.change(plant.job, has_sensitive_variables=True)
    plant.tick(2, seconds=31)
    assert isinstance(plant.only(ScheduledJob).inputs, SealedInputs)
    assert [own.parameters for own in plant.own().values()] == [{}]


def test_firings_from_before_the_mark_was_taken_away_go_with_the_inputs(plant: Plant) -> None:
    plant.recurring(inputs=INPUTS)
    mark(plant)
    plant.now += HOUR
    taken = plant.engine.make_firing(plant.own_id(), plant.now)
    assert taken.parameters == {}
    plant.engine.set_state(taken.id, "RUNNING", "Running", started=plant.now)
    plant.change(plant.only(Job), has_sensitive_variables=False)
    follow_mark(plant.store, plant.job.id)
    plant.tick()
    assert plant.work(taken) == Go()
    assert plant.only(JobResult).inputs == INPUTS


def test_a_run_that_was_made_in_clear_meanwhile_is_replaced(plant: Plant) -> None:
    plant.one_off(inputs=INPUTS)
    plant.tick()
    mark_without_tick(plant)
    # As a pass does that has read the row before.
    plant.change(plant.only(ScheduledJob), run_outdated=False)
    plant.tick()
    assert [run.parameters for run in plant.unended()] == [{}]


def test_a_run_that_waits_for_its_time_is_replaced_by_one_without_them(plant: Plant) -> None:
    plant.one_off(inputs=INPUTS)
    plant.tick()
    assert [run.parameters for run in plant.unended()] == [INPUTS]
    mark(plant)
    assert [run.parameters for run in plant.unended()] == [{}]
    plant.now += HOUR
    plant.work_off()
    assert plant.only(JobResult).status is Status.SUCCESS


@pytest.mark.parametrize("interval", [Interval.FUTURE, Interval.HOURLY])
def test_a_firing_whose_inputs_cannot_be_read_fails_with_that_reason(plant: Plant, interval: Interval) -> None:
    plant._scheduled(inputs=INPUTS, interval=interval)
    mark(plant)
    plant.store.inputs_key = InputsKey(b"j" * 32)
    if interval is Interval.HOURLY:
        plant.engine.make_firing(plant.own_id(), plant.now + HOUR)
    plant.now += HOUR
    [run] = plant.waiting()
    answer = plant.work(run)
    assert isinstance(answer, Refuse)
    result = plant.only(JobResult)
    assert (result.status, result.traceback) == (Status.FAILURE, answer.reason)


def test_one_that_nobody_made_a_run_for_fails_likewise_and_the_loop_goes_on(plant: Plant) -> None:
    plant.recurring(inputs=INPUTS)
    mark(plant)
    plant.store.inputs_key = InputsKey(b"j" * 32)
    plant.tick(hours=1, minutes=5)
    result = plant.only(JobResult)
    assert (result.status, result.released) == (Status.FAILURE, True)
    assert result.traceback is not None
    assert "another key" in result.traceback
    plant.check_in_line()
