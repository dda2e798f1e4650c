"""The loop: what job results learn, what becomes of abandoned runs, and everything at once against a simple model."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import subprocess
import sys
import tempfile
from dataclasses import replace
from datetime import timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from api_shim.admissions import Attempt
from api_shim.model import Job, JobResult, ScheduledJob, Status
from api_shim.ports import RunSpec
from api_shim.watch import GONE, Known, Remedy, remedy
from approval_gate.admission import Go
from approval_gate.errors import Unavailable
from tests.api_shim.plant import HOUR, Plant, Plants
from tests.api_shim.test_admissions import make_run
from tests.factories import NOW, make_job, make_result, make_scheduled

MINUTE = timedelta(minutes=1)
LONG_AGO = NOW - 2 * MINUTE
HERE = f"{socket.gethostname()}:{os.getpid()}"
ELSEWHERE = "another-host:1"


def gone() -> str:
    """Return the place of a process of this machine that has ended."""
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    return f"{socket.gethostname()}:{ended.pid}"


# Abandoned runs


JOB = make_job()
RECORDED = make_result(JOB, None)
STARTED = replace(RECORDED, status=Status.STARTED, attempt=uuid4())
LET_GO_HERE = replace(STARTED, worker=HERE)
LET_GO_ELSEWHERE = replace(STARTED, worker=ELSEWHERE)
LET_GO_AND_GONE = replace(STARTED, worker=gone())
ONE_OFF = make_scheduled(JOB, None)

REMEDIES = [
    pytest.param("PENDING", NOW, False, None, None, Remedy.LEAVE, id="unknown and young is left"),
    pytest.param("PENDING", LONG_AGO, False, None, None, Remedy.END, id="unknown and old is ended"),
    pytest.param("RUNNING", LONG_AGO, False, RECORDED, None, Remedy.START_AGAIN, id="recorded and stuck starts again"),
    pytest.param("PENDING", LONG_AGO, True, None, None, Remedy.START_AGAIN, id="a stuck firing starts again"),
    pytest.param("RUNNING", LONG_AGO, False, None, ONE_OFF, Remedy.START_AGAIN, id="a stuck one-off starts again"),
    pytest.param("RUNNING", NOW - MINUTE, False, RECORDED, None, Remedy.LEAVE, id="within a minute it is left"),
    pytest.param(
        "CANCELLING", LONG_AGO, False, RECORDED, None, Remedy.CANCEL, id="what is cancelled never starts again"
    ),
    pytest.param("CANCELLING", LONG_AGO, True, None, None, Remedy.CANCEL, id="nor does a firing that is cancelled"),
    pytest.param("CANCELLING", NOW, False, RECORDED, None, Remedy.LEAVE, id="its worker has a minute to cancel it"),
    pytest.param("CANCELLING", NOW, False, LET_GO_AND_GONE, None, Remedy.CANCEL, id="cancelled, and its process gone"),
    pytest.param("RUNNING", NOW, False, LET_GO_AND_GONE, None, Remedy.END, id="its process gone: ended at once"),
    pytest.param("PENDING", NOW, False, LET_GO_AND_GONE, None, Remedy.END, id="put back to pending, process gone"),
    pytest.param("RUNNING", LONG_AGO, False, LET_GO_HERE, None, Remedy.LEAVE, id="its process alive"),
    pytest.param("RUNNING", LONG_AGO, False, LET_GO_ELSEWHERE, None, Remedy.LEAVE, id="a process of another machine"),
    pytest.param("RUNNING", LONG_AGO, False, STARTED, None, Remedy.LEAVE, id="a process of no known place"),
    pytest.param("PAUSED", LONG_AGO, False, LET_GO_AND_GONE, None, Remedy.LEAVE, id="held by hand after it was let go"),
    pytest.param("PAUSED", LONG_AGO, False, None, None, Remedy.DROP, id="held for nobody is dropped"),
    pytest.param("PAUSED", NOW, False, None, None, Remedy.LEAVE, id="held for nobody yet is left"),
    pytest.param("PAUSED", LONG_AGO, False, RECORDED, None, Remedy.LEAVE, id="held and recorded waits rightly"),
    pytest.param("PAUSED", LONG_AGO, False, None, ONE_OFF, Remedy.LEAVE, id="a held one-off waits rightly"),
]


@pytest.mark.parametrize(("state", "since", "by_schedule", "result", "scheduled", "expected"), REMEDIES)
def test_the_remedy_for_a_run(
    state: str, since: Any, by_schedule: bool, result: JobResult | None, scheduled: Any, expected: Remedy
) -> None:
    run = make_run(state_type=state, since=since, by_schedule=by_schedule)
    assert remedy(run, Known(result=result, scheduled=scheduled), NOW, began=NOW) is expected


@pytest.mark.parametrize(
    ("age", "expected"),
    [
        pytest.param(10 * MINUTE, Remedy.LEAVE, id="a worker may take ten minutes to pull an image"),
        pytest.param(20 * MINUTE, Remedy.START_AGAIN, id="after twenty it is stuck"),
    ],
)
def test_a_run_that_was_taken_while_this_server_runs_has_longer_to_ask(age: timedelta, expected: Remedy) -> None:
    run = make_run(state_type="PENDING", since=NOW - age)
    assert remedy(run, Known(result=RECORDED, scheduled=None), NOW, began=NOW - 30 * MINUTE) is expected


def going(plant: Plant, state: str = "RUNNING") -> UUID:
    """Let a run be requested and taken by a worker that then does nothing."""
    asyncio.run(plant.request())
    [run] = plant.waiting()
    plant.engine.set_state(run.id, state, state.title())
    return run.id


def test_a_stuck_run_is_started_again_and_executes_once(plants: Plants) -> None:
    plant = plants.ready()
    run_id = going(plant, "PENDING")
    plant.tick(seconds=1)
    plant.start()  # the worker ended with the server, and this is the next one
    plant.tick(4, seconds=31)
    plant.work_off()
    assert plant.engine.all_runs[run_id].state_type == "COMPLETED"
    assert plant.only(JobResult).status is Status.SUCCESS


def test_a_run_that_a_worker_has_taken_is_not_put_back(plants: Plants) -> None:
    plant = plants.ready()
    run_id = going(plant)
    # As after a crash between the release and the note of it.
    plant.change(plant.only(JobResult), released=False)
    plant.tick(2, seconds=5)
    assert plant.engine.all_runs[run_id].state_type == "RUNNING"
    assert plant.only(JobResult).released


def test_a_run_whose_process_has_gone_is_crashed_and_its_result_failed(plants: Plants) -> None:
    plant = plants.ready()
    run_id = going(plant)
    run = plant.engine.all_runs[run_id]
    assert plant.admissions.ask(run, Attempt(id=uuid4(), worker=gone()), plant.now)[0] == Go()
    plant.tick(2, seconds=31)
    assert plant.engine.all_runs[run_id].state_type == "CRASHED"
    result = plant.only(JobResult)
    assert (result.status, result.traceback) == (Status.FAILURE, f"Crashed: {GONE}")


def test_a_run_that_is_cancelled_while_its_worker_is_away_ends_revoked(plants: Plants) -> None:
    plant = plants.ready()
    going(plant, "CANCELLING")
    plant.tick(seconds=1)
    plant.start()
    plant.tick(4, seconds=31)
    assert plant.unended() == []
    assert plant.only(JobResult).status is Status.REVOKED


def test_a_held_run_that_nobody_recorded_is_dropped(plants: Plants) -> None:
    plant = plants.ready()
    spec = RunSpec(key="orphan", name="x", parameters={}, queue="default", message="")
    deployment_id = plant.only(Job).deployment_id
    assert deployment_id is not None
    run_id = asyncio.run(plant.engine.hold(deployment_id, spec))
    plant.tick(3, seconds=31)
    assert plant.engine.all_runs[run_id].state_type == "CANCELLED"
    assert plant.all(JobResult) == []


# What a job result learns


LEARNT = [
    pytest.param("COMPLETED", "Completed", True, Status.SUCCESS, None, id="completed"),
    pytest.param("FAILED", "Failed", True, Status.FAILURE, "Failed: why", id="failed"),
    pytest.param("FAILED", "Refused", False, Status.FAILURE, "Refused: why", id="refused"),
    pytest.param("CRASHED", "Crashed", True, Status.FAILURE, "Crashed: why", id="crashed"),
    pytest.param("CANCELLED", "Cancelled", True, Status.REVOKED, "Cancelled: why", id="cancelled"),
    pytest.param("COMPLETED", "Skipped", False, Status.REVOKED, "Skipped: why", id="skipped"),
    pytest.param(
        "COMPLETED", "Completed", False, Status.REVOKED, "Completed: why", id="completed by hand, and never executed"
    ),
]


@pytest.mark.parametrize(("state", "name", "let_go", "status", "why"), LEARNT)
def test_a_result_whose_process_told_nothing_learns_from_prefect(
    plants: Plants, state: str, name: str, let_go: bool, status: Status, why: str | None
) -> None:
    plant = plants.ready()
    run_id = going(plant)
    if let_go:
        plant.admissions.ask(plant.engine.all_runs[run_id], Attempt(id=uuid4(), worker=HERE), plant.now)
    plant.engine.set_state(run_id, state, name, "why")
    plant.tick(seconds=1)
    result = plant.only(JobResult)
    assert (result.status, result.traceback, result.date_done) == (status, why, NOW)


def test_a_result_whose_run_was_deleted_in_prefect_is_revoked(plants: Plants) -> None:
    plant = plants.ready()
    plant.engine.delete_run(going(plant))
    plant.tick(seconds=1)
    result = plant.only(JobResult)
    assert (result.status, result.traceback) == (Status.REVOKED, "The run was deleted in Prefect.")


def test_what_its_process_told_first_stays(plants: Plants) -> None:
    plant = plants.ready()
    run_id = going(plant)
    plant.work(plant.engine.all_runs[run_id])
    plant.engine.set_state(run_id, "CRASHED", "Crashed")
    plant.tick(seconds=1)
    assert plant.only(JobResult).status is Status.SUCCESS


def test_more_results_than_one_page_are_all_learnt_of(plants: Plants) -> None:
    plant = plants.ready()
    plant.add(*(make_result(plant.job, plant.user, released=True) for _ in range(450)))
    plant.tick()
    assert {result.status for result in plant.all(JobResult)} == {Status.REVOKED}


# The loop itself


def test_what_fails_is_tried_ever_more_rarely_up_to_a_minute(plants: Plants) -> None:
    plant = plants.make()
    plant.engine.fail("prepare", times=-1)
    tries = []
    for second in range(300):
        plant.engine.calls.clear()
        plant.tick(seconds=1)
        if "prepare" in plant.engine.calls:
            tries.append(second)
    pauses = [after - before for before, after in pairwise(tries)]
    assert pauses == [1, 2, 4, 8, 16, 32, 60, 60, 60]


def test_the_loop_survives_a_prefect_that_is_away(plants: Plants, monkeypatch: pytest.MonkeyPatch) -> None:
    plant = plants.ready()
    asyncio.run(plant.request())
    monkeypatch.setattr("api_shim.watch.TICK", 0.001)
    plant.engine.fail("runs", times=3)

    async def for_a_while() -> None:
        loop = asyncio.create_task(plant.watch.run())
        await asyncio.sleep(0.5)
        assert plant.engine.faults[0].times == 0
        assert not loop.done()
        loop.cancel()

    asyncio.run(for_a_while())


def test_a_refresh_while_prefect_is_away_says_so(plants: Plants) -> None:
    plant = plants.ready()
    asyncio.run(plant.request())
    plant.engine.fail("runs")
    with pytest.raises(Unavailable):
        asyncio.run(plant.watch.refresh(plant.all(JobResult)))


# Everything at once


class Machine(RuleBasedStateMachine):
    """Requests, deletions, time, a scheduler, a worker, and a process that dies: no firing twice, none lost."""

    def __init__(self) -> None:
        super().__init__()
        self._folder = tempfile.TemporaryDirectory()
        self._plants = Plants(Path(self._folder.name))
        self._number = 0

    def teardown(self) -> None:
        self._plants.close()
        self._folder.cleanup()

    @initialize()
    def begin(self) -> None:
        self.plant = self._plants.ready()
        self.gone: list[tuple[UUID, Any]] = []

    def _doing(self, work: Any, dies_at: int) -> None:
        """Do something, perhaps dying of it, and start anew."""
        self.plant.start(dies_at)
        self.plant.dies(work)
        self.plant.start()

    @rule(kind=st.sampled_from(["future", "hourly", None]), dies_at=st.integers(0, 14))
    def request(self, kind: str | None, dies_at: int) -> None:
        self._number += 1
        start = (self.plant.now + timedelta(minutes=10)).replace(second=0).isoformat()
        schedule = kind and {"interval": kind, "name": f"schedule {self._number}", "start_time": start}
        self._doing(lambda: self.plant.request(schedule), dies_at)

    @precondition(lambda self: self.plant.all(ScheduledJob))
    @rule(data=st.data(), dies_at=st.integers(0, 10))
    def delete(self, data: st.DataObject, dies_at: int) -> None:
        row = data.draw(st.sampled_from(sorted(self.plant.all(ScheduledJob), key=lambda row: row.name)))
        self._doing(lambda: self.plant.schedules.delete(self.plant.actor, row.id), dies_at)

    @rule(minutes=st.sampled_from([1, 10, 55, 150]))
    def time_passes(self, minutes: int) -> None:
        self.plant.now += timedelta(minutes=minutes)

    @rule()
    def the_scheduler_makes_the_next_firings(self) -> None:
        for deployment_id, spec in self.plant.own().items():
            row = next((row for row in self.plant.all(ScheduledJob) if str(row.id) == spec.schedule.slug), None)
            if row is None or not spec.schedule.active:
                continue
            nominal = self.plant.now.replace(minute=row.start_time.minute)
            nominal += HOUR if nominal <= self.plant.now else timedelta(0)
            runs = self.plant.engine.all_runs.values()
            if not any(r.by_schedule and (r.deployment_id, r.expected_start) == (deployment_id, nominal) for r in runs):
                self.plant.engine.make_firing(deployment_id, nominal)

    @rule()
    def a_worker_works(self) -> None:
        self.plant.work_off()

    @rule(dies_at=st.integers(0, 20))
    def the_loop_ticks(self, dies_at: int) -> None:
        self._doing(self.plant.watch.tick, dies_at)

    @rule(call=st.sampled_from(["hold", "release", "write_deployment", "runs", "end"]), after=st.booleans())
    def prefect_fails_once(self, call: str, after: bool) -> None:
        self.plant.engine.fail(call, after=after)
        with contextlib.suppress(Unavailable):
            self.plant.tick(seconds=1)
        self.plant.engine.faults.clear()

    @rule(data=st.data())
    def a_hand_retries_or_cancels(self, data: st.DataObject) -> None:
        runs = list(self.plant.engine.all_runs.values())
        if runs:
            run = runs[data.draw(st.integers(0, len(runs) - 1))]
            if run.final:
                self.plant.engine.set_state(
                    run.id, "SCHEDULED", "AwaitingRetry", scheduled_for=self.plant.now, ended=None
                )
            elif run.waits:
                self.plant.engine.set_state(run.id, "CANCELLED", "Cancelled")

    @invariant()
    def no_firing_is_executed_twice_or_early(self) -> None:
        if not hasattr(self, "plant"):
            return
        results = self.plant.all(JobResult)
        firings = [(r.scheduled_job_id, r.nominal_time) for r in results if r.scheduled_job_id]
        assert len(set(firings)) == len(firings)
        for result in results:
            if result.attempt is not None and result.nominal_time is not None:
                assert result.date_started is not None
                assert result.date_started >= result.nominal_time
        went = [(r.scheduled_job_id) for r in results if r.attempt is not None]
        assert all(row.total_run_count == went.count(row.id) for row in self.plant.all(ScheduledJob))

    @rule()
    def in_the_end_everything_is_in_line(self) -> None:
        self.plant.start()
        for _ in range(12):
            self.plant.tick(seconds=31)
            self.plant.work_off()
        self.plant.tick(2, seconds=31)
        rows = self.plant.all(ScheduledJob)
        assert {str(row.id) for row in rows if not row.one_off} == {
            spec.schedule.slug for spec in self.plant.own().values()
        }
        assert all(result.status.final for result in self.plant.all(JobResult))
        waiting = {run.id: run.scheduled_for for run in self.plant.unended() if not run.by_schedule}
        assert waiting == {row.flow_run_id: row.start_time for row in rows if row.one_off and row.enabled}
        assert all(row.start_time > self.plant.now for row in rows if row.one_off and row.enabled)
        firings = {(r.scheduled_job_id, r.nominal_time) for r in self.plant.all(JobResult)}
        for row in rows:
            due = newest_due(self.plant, row)
            assert due is None or (row.id, due) in firings, "a firing that was due is lost"


def newest_due(plant: Plant, row: ScheduledJob) -> Any:
    """Return the newest firing that must have been executed by now, or recorded."""
    if row.one_off:
        return row.start_time if row.start_time < plant.now - 5 * MINUTE else None
    hours = (plant.now - 5 * MINUTE - row.start_time) // HOUR
    return row.start_time + hours * HOUR if hours >= 0 else None


Machine.TestCase.settings = settings(
    max_examples=15, stateful_step_count=20, deadline=None, suppress_health_check=list(HealthCheck)
)
TestEverythingAtOnce = pytest.mark.slow(Machine.TestCase)
