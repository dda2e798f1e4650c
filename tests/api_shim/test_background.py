"""The loop: what job results learn, what becomes of abandoned runs, and everything at once against a simple model."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import subprocess
import sys
from dataclasses import replace
from datetime import timedelta
from functools import partial
from itertools import pairwise
from typing import Any
from uuid import UUID, uuid4

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import initialize, invariant, precondition, rule

from api_shim.background import DELETED, GONE
from api_shim.domain.audit import AuditEvent, AuditHead, EventType
from api_shim.domain.model import Job, JobResult, PendingCleanup, ScheduledJob, Status
from api_shim.domain.ports import RunSpec
from api_shim.domain.recurrence import Interval
from api_shim.parsing.decision import Decision
from api_shim.reconcile.approval_form import fingerprint, waiting_name
from api_shim.reconcile.desired_state import own_deployment
from api_shim.reconcile.drift import record_reverted as remember_hand
from api_shim.reconcile.outbox import AT_ONCE, WAITS, announcement
from api_shim.reconcile.recovery import (
    ABANDONED_AFTER,
    SLOW_START,
    KnownRun,
    RecoveryAction,
    known_runs,
    recovery_action,
)
from api_shim.services.admission import Attempt
from api_shim.services.approval_state import return_stale
from api_shim.store import Store
from approval_gate.admission import ALREADY_RUN, NOT_APPROVED, TAKEN_BY, Go, Refuse
from approval_gate.errors import Conflict, Unavailable
from approval_gate.lifecycle import ApprovalState
from approval_gate.model import Actor
from tests.api_shim.plant import HOUR, INPUTS, OverPlants, Plant, Plants
from tests.api_shim.services.test_admission import make_run
from tests.factories import NOW, make_job, make_result, make_scheduled, make_user

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
ONE_OFF = make_scheduled(JOB, None, interval=Interval.FUTURE)
UNDECIDED = make_scheduled(JOB, None, approval=ApprovalState.PENDING)
NOT_ENABLED = replace(UNDECIDED, enabled=False)
APPROVED = replace(UNDECIDED, approval=ApprovalState.APPROVED)

REMEDIES = [
    pytest.param("PENDING", NOW, False, None, None, RecoveryAction.LEAVE, id="unknown and young is left"),
    pytest.param("PENDING", LONG_AGO, False, None, None, RecoveryAction.END, id="unknown and old is ended"),
    pytest.param(
        "RUNNING", LONG_AGO, False, RECORDED, None, RecoveryAction.START_AGAIN, id="recorded and stuck starts again"
    ),
    pytest.param("PENDING", LONG_AGO, True, None, None, RecoveryAction.START_AGAIN, id="a stuck firing starts again"),
    pytest.param(
        "RUNNING", LONG_AGO, False, None, ONE_OFF, RecoveryAction.START_AGAIN, id="a stuck one-off starts again"
    ),
    pytest.param("RUNNING", NOW - MINUTE, False, RECORDED, None, RecoveryAction.LEAVE, id="within a minute it is left"),
    pytest.param(
        "CANCELLING", LONG_AGO, False, RECORDED, None, RecoveryAction.CANCEL, id="what is cancelled never starts again"
    ),
    pytest.param(
        "CANCELLING", LONG_AGO, True, None, None, RecoveryAction.CANCEL, id="nor does a firing that is cancelled"
    ),
    pytest.param(
        "CANCELLING", NOW, False, RECORDED, None, RecoveryAction.LEAVE, id="its worker has a minute to cancel it"
    ),
    pytest.param(
        "CANCELLING", NOW, False, LET_GO_AND_GONE, None, RecoveryAction.CANCEL, id="cancelled, and its process gone"
    ),
    pytest.param(
        "RUNNING", NOW, False, LET_GO_AND_GONE, None, RecoveryAction.END, id="its process gone: ended at once"
    ),
    pytest.param(
        "PENDING", NOW, False, LET_GO_AND_GONE, None, RecoveryAction.END, id="put back to pending, process gone"
    ),
    pytest.param("RUNNING", LONG_AGO, False, LET_GO_HERE, None, RecoveryAction.LEAVE, id="its process alive"),
    pytest.param(
        "RUNNING", LONG_AGO, False, LET_GO_ELSEWHERE, None, RecoveryAction.LEAVE, id="a process of another machine"
    ),
    pytest.param("RUNNING", LONG_AGO, False, STARTED, None, RecoveryAction.LEAVE, id="a process of no known place"),
    pytest.param(
        "PAUSED", LONG_AGO, False, LET_GO_AND_GONE, None, RecoveryAction.LEAVE, id="held by hand after it was let go"
    ),
    pytest.param("PAUSED", LONG_AGO, False, None, None, RecoveryAction.DROP, id="held for nobody is dropped"),
    pytest.param("PAUSED", NOW, False, None, None, RecoveryAction.LEAVE, id="held for nobody yet is left"),
    pytest.param("PAUSED", LONG_AGO, False, RECORDED, None, RecoveryAction.LEAVE, id="held and recorded waits rightly"),
    pytest.param("PAUSED", LONG_AGO, False, None, ONE_OFF, RecoveryAction.FOLLOW, id="a held one-off is let start"),
    pytest.param(
        "PAUSED", NOW, False, None, ONE_OFF, RecoveryAction.LEAVE, id="a held one-off is just being let start"
    ),
    pytest.param("PAUSED", LONG_AGO, False, None, APPROVED, RecoveryAction.FOLLOW, id="held for what was approved"),
    pytest.param("PAUSED", LONG_AGO, False, None, NOT_ENABLED, RecoveryAction.FOLLOW, id="held for what was disabled"),
    pytest.param(
        "RUNNING", LONG_AGO, False, None, UNDECIDED, RecoveryAction.ASK_AGAIN, id="a request let run asks again"
    ),
    pytest.param(
        "PENDING", LONG_AGO, False, None, UNDECIDED, RecoveryAction.ASK_AGAIN, id="a request let start asks again"
    ),
    pytest.param(
        "CANCELLING", LONG_AGO, False, None, UNDECIDED, RecoveryAction.ASK_AGAIN, id="so does one being cancelled"
    ),
    pytest.param(
        "RUNNING", NOW, False, None, UNDECIDED, RecoveryAction.LEAVE, id="its process has a minute to ask itself"
    ),
    pytest.param(
        "PAUSED", LONG_AGO, False, None, UNDECIDED, RecoveryAction.LEAVE, id="a request that stands waits rightly"
    ),
    pytest.param(
        "RUNNING", LONG_AGO, False, None, APPROVED, RecoveryAction.START_AGAIN, id="approved and stuck starts again"
    ),
    pytest.param(
        "CANCELLING", LONG_AGO, False, None, APPROVED, RecoveryAction.CANCEL, id="approved and being cancelled ends"
    ),
    pytest.param(
        "RUNNING",
        LONG_AGO,
        False,
        None,
        NOT_ENABLED,
        RecoveryAction.START_AGAIN,
        id="disabled: started again, and refused",
    ),
]


@pytest.mark.parametrize(("state", "since", "by_schedule", "result", "scheduled", "expected"), REMEDIES)
def test_the_remedy_for_a_run(
    state: str, since: Any, by_schedule: bool, result: JobResult | None, scheduled: Any, expected: RecoveryAction
) -> None:
    run = make_run(state_type=state, since=since, by_schedule=by_schedule)
    assert recovery_action(run, KnownRun(result=result, scheduled=scheduled), NOW, began=NOW) is expected


def test_a_run_that_is_held_for_what_was_denied_is_left_to_the_denial_which_says_so(sqlite_store: Store) -> None:
    run, job = make_run(state_type="PAUSED", since=LONG_AGO), make_job()
    left = PendingCleanup(id=uuid4(), job_id=job.id, name="gone", message="Denied by bob.", flow_run_id=run.id)
    with sqlite_store.transaction() as tx:
        tx.add(job)
        tx.add(left)
        known = known_runs([run], tx)
    assert recovery_action(run, known[run.id], NOW, began=NOW) is RecoveryAction.LEAVE


@pytest.mark.parametrize(
    ("state", "age", "result", "expected"),
    [
        pytest.param("PENDING", 31, RECORDED, RecoveryAction.START_AGAIN, id="not let go starts again"),
        pytest.param("RUNNING", 31, RECORDED, RecoveryAction.START_AGAIN, id="not let go, and on its way"),
        pytest.param("PENDING", 29, RECORDED, RecoveryAction.LEAVE, id="just taken, for its worker may be late to ask"),
        pytest.param("CANCELLING", 31, RECORDED, RecoveryAction.CANCEL, id="cancelled before it was let go"),
        pytest.param("CANCELLING", 0, LET_GO_ELSEWHERE, RecoveryAction.CANCEL, id="cancelled, with nobody to end it"),
        pytest.param(
            "RUNNING", 3600, LET_GO_ELSEWHERE, RecoveryAction.LEAVE, id="let go: its process may go on without it"
        ),
        pytest.param("RUNNING", 0, LET_GO_AND_GONE, RecoveryAction.END, id="let go, and its process gone"),
    ],
)
def test_the_remedy_for_a_run_whose_queue_no_worker_serves_any_more(
    state: str, age: float, result: JobResult, expected: RecoveryAction
) -> None:
    run = make_run(state_type=state, since=NOW - timedelta(seconds=age))
    assert recovery_action(run, KnownRun(result=result, scheduled=None), NOW, began=NOW - HOUR, alone=True) is expected


@pytest.mark.parametrize(
    ("state", "result", "expected"),
    [
        pytest.param("RUNNING", LET_GO_ELSEWHERE, RecoveryAction.END, id="let go on another machine: it has ended"),
        pytest.param("CANCELLING", LET_GO_ELSEWHERE, RecoveryAction.CANCEL, id="and was being cancelled: it is"),
        pytest.param("RUNNING", LET_GO_HERE, RecoveryAction.LEAVE, id="let go here: its process is alive"),
        pytest.param("COMPLETED", LET_GO_ELSEWHERE, RecoveryAction.LEAVE, id="it was over before"),
    ],
)
def test_the_remedy_for_a_run_whose_worker_has_gone(state: str, result: JobResult, expected: RecoveryAction) -> None:
    run = make_run(state_type=state, since=NOW)
    known = KnownRun(result=result, scheduled=None)
    assert recovery_action(run, known, NOW, began=NOW - HOUR, orphaned=True) is expected


@pytest.mark.parametrize(
    ("state", "taken_by", "orphaned", "expected"),
    [
        pytest.param("PENDING", ELSEWHERE, True, RecoveryAction.START_AGAIN, id="gone from another machine"),
        pytest.param("PENDING", ELSEWHERE, False, RecoveryAction.LEAVE, id="alive on another machine"),
        pytest.param("PENDING", LET_GO_AND_GONE.worker, False, RecoveryAction.START_AGAIN, id="ended on this machine"),
        pytest.param("PENDING", HERE, False, RecoveryAction.LEAVE, id="alive on this machine"),
        pytest.param("PENDING", HERE, True, RecoveryAction.START_AGAIN, id="silent, its number another process's"),
        pytest.param("RUNNING", ELSEWHERE, True, RecoveryAction.START_AGAIN, id="gone before the run had asked"),
        pytest.param("CANCELLING", ELSEWHERE, True, RecoveryAction.CANCEL, id="gone, and the run was cancelled"),
        pytest.param("PENDING", "", True, RecoveryAction.LEAVE, id="of a kind that its runs outlive"),
    ],
)
def test_the_remedy_for_a_run_that_a_worker_has_taken_and_not_let_ask(
    state: str, taken_by: str, orphaned: bool, expected: RecoveryAction
) -> None:
    run, known = make_run(state_type=state, since=NOW), KnownRun(result=RECORDED, scheduled=None)
    name = f"signoff up {taken_by}" if taken_by else ""
    assert recovery_action(run, known, NOW, began=NOW - HOUR, taken_by=name, orphaned=orphaned) is expected


@pytest.mark.parametrize("state", ["PENDING", "RUNNING"])
def test_a_run_that_was_taken_by_a_worker_that_has_gone_starts_again(plants: Plants, state: str) -> None:
    plant = plants.ready()
    plant.engine.workers["a worker"] = plant.now
    run_id = going(plant, "PENDING", f"{TAKEN_BY}a worker")
    if state == "RUNNING":
        plant.engine.set_state(run_id, state, "Running")
    asyncio.run(plant.served.look())
    plant.now += timedelta(seconds=11)
    plant.tick()
    assert plant.engine.all_runs[run_id].state_type == state
    plant.now += timedelta(seconds=31)
    asyncio.run(plant.served.look())
    plant.tick()
    assert plant.engine.all_runs[run_id].state_type == "SCHEDULED"


@pytest.mark.parametrize(
    ("lease", "expected"),
    [
        pytest.param("", Status.STARTED, id="it may outlive its worker"),
        pytest.param("a worker", Status.FAILURE, id="it ends with its worker"),
    ],
)
def test_a_run_on_another_machine_whose_worker_has_gone(plants: Plants, lease: str, expected: Status) -> None:
    plant = plants.ready()
    run = plant.engine.all_runs[going(plant)]
    plant.engine.workers["a worker"] = plant.now - timedelta(seconds=25)
    plant.admissions.ask(run, Attempt(id=uuid4(), worker=ELSEWHERE, code=plant.code, lease=lease), plant.now)
    asyncio.run(plant.served.look())
    plant.tick(seconds=1)
    assert plant.only(JobResult).status is Status.STARTED
    # Before everything is compared again: that it has gone is a reason of its own.
    plant.now += timedelta(seconds=5)
    asyncio.run(plant.served.look())
    plant.tick(2, seconds=3)
    assert plant.only(JobResult).status is expected


def test_a_run_that_its_worker_left_starts_again_and_one_that_is_cancelled_ends(plants: Plants) -> None:
    plant = plants.ready()
    taken, cancelled = going(plant, "PENDING"), going(plant, "CANCELLING")
    plant.engine.served.clear()
    asyncio.run(plant.served.look())
    plant.now += timedelta(seconds=31)
    asyncio.run(plant.served.look())
    plant.tick()
    states = {run_id: plant.engine.all_runs[run_id].state_type for run_id in (taken, cancelled)}
    assert states == {taken: "SCHEDULED", cancelled: "CANCELLED"}


@pytest.mark.parametrize(
    ("age", "expected"),
    [
        pytest.param(10 * MINUTE, RecoveryAction.LEAVE, id="a worker may take ten minutes to pull an image"),
        pytest.param(20 * MINUTE, RecoveryAction.START_AGAIN, id="after twenty it is stuck"),
    ],
)
def test_a_run_that_was_taken_while_this_server_runs_has_longer_to_ask(
    age: timedelta, expected: RecoveryAction
) -> None:
    run = make_run(state_type="PENDING", since=NOW - age)
    assert recovery_action(run, KnownRun(result=RECORDED, scheduled=None), NOW, began=NOW - 30 * MINUTE) is expected


@pytest.mark.parametrize(
    ("asks_at", "began", "orphaned", "expected"),
    [
        pytest.param(NOW, NOW - HOUR, False, RecoveryAction.LEAVE, id="it asks all the time"),
        pytest.param(NOW - HOUR, NOW - MINUTE, False, RecoveryAction.LEAVE, id="it could not ask without a server"),
        pytest.param(NOW - HOUR, NOW - 2 * MINUTE, False, RecoveryAction.START_AGAIN, id="it asks no more"),
        pytest.param(NOW, NOW - HOUR, True, RecoveryAction.START_AGAIN, id="its worker has gone"),
    ],
)
def test_the_remedy_for_a_run_that_waits_for_its_turn_with_its_process(
    asks_at: Any, began: Any, orphaned: bool, expected: RecoveryAction
) -> None:
    run = make_run(state_type="RUNNING", since=NOW - HOUR)
    known = KnownRun(result=replace(RECORDED, waits_since=NOW - HOUR, asks_at=asks_at), scheduled=None)
    name = f"signoff up {ELSEWHERE}"
    assert recovery_action(run, known, NOW, began=began, taken_by=name, orphaned=orphaned) is expected


def going(plant: Plant, state: str = "RUNNING", message: str = "") -> UUID:
    """Let a run be requested and taken by a worker that then does nothing."""
    asyncio.run(plant.request())
    [run] = plant.waiting()
    plant.engine.set_state(run.id, state, state.title(), message)
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
    assert plant.admissions.ask(run, Attempt(id=uuid4(), worker=gone(), code=""), plant.now)[0] == Go()
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


def test_a_run_that_prefect_plans_while_its_deployment_is_removed_is_ended_once_it_is_late(plants: Plants) -> None:
    plant = plants.ready()
    rows = [plant.recurring(name=name) for name in ("goes", "stays")]
    plant.tick(2, hours=1)
    goes, stays = (row.deployment_id for row in sorted(plant.all(ScheduledJob), key=lambda row: row.name))
    planned, kept = (plant.engine.make_firing(each, rows[0].start_time) for each in (goes, stays))
    asyncio.run(plant.schedules.delete(plant.actor, rows[0].id))
    plant.settle()
    # Prefect's scheduler had read the deployment before it was removed.
    plant.engine.all_runs[planned.id] = planned
    for each in (planned, kept):
        plant.engine.set_state(each.id, "SCHEDULED", "Late", scheduled_for=each.scheduled_for)
    plant.settle()
    found = plant.engine.all_runs
    assert (found[planned.id].state_type, found[planned.id].message) == ("CANCELLED", DELETED)
    assert found[kept.id].state_name == "Late"


def test_a_held_run_that_nobody_recorded_is_dropped(plants: Plants) -> None:
    plant = plants.ready()
    spec = RunSpec(key="orphan", name="x", parameters={}, queue="default", message="")
    deployment_id = plant.only(Job).deployment_id
    assert deployment_id is not None
    run_id = asyncio.run(plant.engine.create_run(deployment_id, spec)).id
    plant.tick(3, seconds=31)
    assert plant.engine.all_runs[run_id].state_type == "CANCELLED"
    assert plant.all(JobResult) == []


# Requests that wait for a decision


ONCE = {"interval": "future", "name": "once", "start_time": (NOW + HOUR).isoformat()}
HOURLY = {"interval": "hourly", "name": "often", "start_time": (NOW + HOUR).isoformat()}
KINDS = [pytest.param(ONCE, id="once"), pytest.param(HOURLY, id="again and again")]
BOB = make_user("bob", is_superuser=True)
AS_BOB = Actor(id=BOB.id, username="bob", superuser=True)


def requested(plants: Plants, schedule: Any = None, **job: Any) -> Plant:
    """Return a plant where alice has asked for a run and nobody has decided."""
    plant = plants.ready(approval_required=True, **job)
    plant.add(BOB)
    asyncio.run(plant.request(schedule))
    return plant


async def approve(plant: Plant) -> None:
    decision = Decision(comment="fine", force=True)
    await plant.approvals.approve(AS_BOB, {"id": plant.only(ScheduledJob).id}, decision)


def its_run(plant: Plant) -> Any:
    return plant.engine.all_runs[plant.only(ScheduledJob).flow_run_id]


@pytest.mark.parametrize(
    ("schedule", "state"),
    [
        pytest.param(ONCE, "RUNNING", id="once"),
        pytest.param(HOURLY, "CANCELLING", id="again and again"),
        pytest.param(None, "PENDING", id="at once"),
    ],
)
@pytest.mark.parametrize(
    ("restarted", "patience"),
    [
        pytest.param(False, SLOW_START, id="while this server runs, after long"),
        pytest.param(True, ABANDONED_AFTER, id="from before this server began, soon"),
    ],
)
def test_a_request_that_a_hand_let_run_stands_again_after_a_while(
    plants: Plants, schedule: Any, state: str, restarted: bool, patience: timedelta
) -> None:
    plant = requested(plants, schedule)
    plant.tick(seconds=31)
    run = plant.engine.set_state(its_run(plant).id, state, state.title())
    plant.tick(seconds=1)
    if restarted:
        plant.start()
    plant.now = run.since + patience
    plant.tick()
    assert its_run(plant).state_type == state
    plant.tick(2, seconds=31)
    assert [(run.id, run.held) for run in plant.unended()] == [(run.id, True)]
    assert plant.only(ScheduledJob).awaits_decision
    asked = asyncio.run(plant.engine.asked(run.id))
    assert asked is not None
    assert asked.name == waiting_name(plant.only(ScheduledJob))
    assert plant.all(JobResult) == []


@pytest.mark.parametrize("schedule", [ONCE, None])
def test_a_request_that_a_hand_let_run_and_that_is_approved_then_executes_once(plants: Plants, schedule: Any) -> None:
    plant = requested(plants, schedule)
    run_id = its_run(plant).id
    plant.engine.set_state(run_id, "RUNNING", "Running")
    asyncio.run(approve(plant))
    plant.now = NOW + HOUR
    plant.tick(40, seconds=31)
    plant.work_off()
    plant.tick(3, seconds=31)
    assert [(result.flow_run_id, result.status) for result in plant.all(JobResult)] == [(run_id, Status.SUCCESS)]
    assert plant.unended() == []


@pytest.mark.parametrize("schedule", KINDS)
def test_a_request_that_nobody_decides_about_in_its_time_expires(plants: Plants, schedule: Any) -> None:
    plant = requested(plants, schedule, approval_expires=60.0)
    run = its_run(plant)
    plant.tick(59, seconds=1)
    assert plant.only(ScheduledJob).awaits_decision
    assert its_run(plant).held
    plant.tick(2, seconds=1)
    row = plant.only(ScheduledJob)
    assert (row.approval, row.enabled) == (ApprovalState.EXPIRED, False)
    ended = plant.engine.all_runs[run.id]
    assert (ended.state_type, ended.state_name) == ("CANCELLED", "Expired")
    assert ended.message == "Nobody decided about this request in time."
    assert not any(spec.schedule.active for spec in plant.own().values())
    with pytest.raises(Conflict, match="has expired"):
        asyncio.run(approve(plant))
    plant.tick(5, seconds=600)
    assert (plant.unended(), plant.all(JobResult)) == ([], [])
    assert [event.act for event in events(plant)] == [EventType.REQUESTED, EventType.EXPIRED]
    assert told(plant) == [event.number for event in events(plant)]


def test_what_has_been_decided_in_time_does_not_expire(plants: Plants) -> None:
    plant = requested(plants, ONCE, approval_expires=60.0)
    plant.now += timedelta(seconds=59)
    asyncio.run(approve(plant))
    plant.tick(5, seconds=31)
    assert plant.only(ScheduledJob).approval is ApprovalState.APPROVED
    assert [event.act for event in events(plant)] == [EventType.REQUESTED, EventType.APPROVED]


def test_what_has_expired_while_a_hand_let_it_run_does_not_execute(plants: Plants) -> None:
    plant = requested(plants, None, approval_expires=60.0)
    run = plant.engine.set_state(its_run(plant).id, "PENDING", "Pending")
    plant.tick(3, seconds=31)
    assert plant.work(run) == Refuse(NOT_APPROVED)
    plant.tick(3, seconds=31)
    assert plant.unended() == []
    assert [result for result in plant.all(JobResult) if result.attempt is not None] == []


def test_a_request_expires_also_while_prefect_is_away_and_is_cancelled_when_it_is_back(plants: Plants) -> None:
    plant = requested(plants, ONCE, approval_expires=60.0)
    for call in ("runs", "deployments", "announce", "end", "runs_in", "ask"):
        plant.engine.fail(call, times=-1)
    for _ in range(3):
        plant.now += timedelta(seconds=31)
        with contextlib.suppress(Unavailable):
            asyncio.run(plant.round())
    assert plant.only(ScheduledJob).approval is ApprovalState.EXPIRED
    assert its_run(plant).held
    plant.engine.faults.clear()
    plant.tick(3, seconds=61)
    assert its_run(plant).state_name == "Expired"


def test_wherever_an_expiry_dies_it_happens_once_and_is_told_once(plants: Plants) -> None:
    def over() -> Plant:
        plant = requested(plants, HOURLY, approval_expires=60.0)
        plant.now += timedelta(seconds=61)
        return plant

    async def twice(plant: Plant) -> None:
        await plant.round()
        await plant.round()

    for plant in plants.dying(over, twice):
        plant.settle()
        assert [event.act for event in events(plant)] == [EventType.REQUESTED, EventType.EXPIRED]
        assert told(plant) == [1, 2]
        assert plant.only(ScheduledJob).approval is ApprovalState.EXPIRED
        assert (plant.unended(), plant.all(JobResult)) == ([], [])
        plant.check_in_line()


def test_of_many_requests_that_end_at_once_all_expire(plants: Plants, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("api_shim.background.BATCH", 10)
    plant = plants.ready()
    ends = NOW + timedelta(minutes=1)
    rows = waiting_rows(plant, 25, expires_at=ends)
    plant.now = ends
    plant.tick(6, seconds=31)
    assert {row.approval for row in plant.all(ScheduledJob)} == {ApprovalState.EXPIRED}
    assert plant.unended() == []
    assert {event.scheduled_job_id for event in events(plant)} == {row.id for row in rows}
    assert told(plant) == list(range(1, 26))


def waiting_rows(plant: Plant, count: int, **to: Any) -> list[ScheduledJob]:
    """Let requests stand in the store and in Prefect alike, as after everything has settled."""
    job = plant.only(Job)

    async def stand() -> list[ScheduledJob]:
        return [await waiting_row(plant, job, number, **to) for number in range(count)]

    rows = asyncio.run(stand())
    plant.add(*rows)
    return rows


async def waiting_row(plant: Plant, job: Job, number: int, **to: Any) -> ScheduledJob:
    """Let a request stand in Prefect, and return it as the store is to have it."""
    interval = Interval.FUTURE if number % 2 else Interval.HOURLY
    row = make_scheduled(
        plant.job,
        plant.user,
        **{
            "name": f"request {number}",
            "interval": interval,
            "start_time": NOW + 30 * 24 * HOUR,
            "inputs": INPUTS,
            "approval": ApprovalState.PENDING,
            "projected_version": 1,
            **to,
        },
    )
    home = job.deployment_id
    if interval is Interval.HOURLY:
        home, _ = await plant.engine.create_deployment(own_deployment(row, job, plant.now, {}))
        row = replace(row, deployment_id=home)
    assert home is not None
    spec = RunSpec(key=str(row.id), name=waiting_name(row), parameters=INPUTS, queue="default", message="", awaits=True)
    return replace(row, flow_run_id=(await plant.engine.create_run(home, spec)).id)


def cost(plants: Plants, monkeypatch: pytest.MonkeyPatch, number: int) -> tuple[list[str], int, int]:
    """Return what one tick with a sweep calls in Prefect and in the store, with so many requests that wait."""
    plant = plants.ready()
    waiting_rows(plant, number)
    plant.tick(2, seconds=61)
    reads, writes = [], []
    read, write = plant.store.read, plant.store.write
    monkeypatch.setattr(plant.store, "read", lambda ask: reads.append(ask) or read(ask))
    monkeypatch.setattr(plant.store, "write", lambda tell: writes.append(tell) or write(tell))
    plant.engine.calls.clear()
    plant.tick(seconds=61)
    return plant.engine.calls, len(reads), len(writes)


def test_a_sweep_over_many_requests_costs_as_much_as_over_ten(plants: Plants, monkeypatch: pytest.MonkeyPatch) -> None:
    few, many = cost(plants, monkeypatch, 10), cost(plants, monkeypatch, 300)
    assert many == few
    calls, reads, writes = many
    assert calls == ["deployments", "runs", "runs_in", "late_runs"]
    assert reads < 10
    assert writes == 0


# What a hand changes in Prefect


def handled(plant: Plant) -> list[tuple[UUID | None, str]]:
    """Return what was taken back: of which scheduled job, and what a hand had done."""
    taken = [event for event in events(plant) if event.act is EventType.TAKEN_BACK]
    return [(event.scheduled_job_id, event.data["reason"]) for event in taken]


def switch(plant: Plant, row: ScheduledJob) -> None:
    """Let a hand switch the schedule of a deployment, as Prefect's UI does."""
    spec = plant.engine.made[deployment_id(plant, row)]
    assert spec.schedule is not None
    plant.engine.made[deployment_id(plant, row)] = replace(
        spec, schedule=replace(spec.schedule, active=not spec.schedule.active)
    )


def deployment_id(plant: Plant, row: ScheduledJob) -> UUID:
    [found] = [each.deployment_id for each in plant.all(ScheduledJob) if each.id == row.id]
    assert found is not None
    return found


SWITCHED_OFF = "Its schedule was switched off in Prefect."
SWITCHED_ON = "Its schedule was switched on in Prefect."
SWITCHES = [
    pytest.param({"start_time": NOW - HOUR}, SWITCHED_OFF, id="that fires every hour"),
    pytest.param(
        {"interval": Interval.CUSTOM, "crontab": "* * * * *", "start_time": NOW - HOUR},
        SWITCHED_OFF,
        id="that fires every minute",
    ),
    pytest.param({"start_time": NOW - HOUR, "enabled": False}, SWITCHED_ON, id="that is disabled"),
    pytest.param(
        {"start_time": NOW - HOUR, "approval": ApprovalState.PENDING}, SWITCHED_ON, id="that waits for approval"
    ),
    pytest.param({"start_time": NOW + 5 * HOUR}, SWITCHED_ON, id="before its start"),
]


@pytest.mark.parametrize(("to", "reason"), SWITCHES)
def test_a_schedule_that_a_hand_switches_is_taken_back_and_that_is_remembered_once(
    plants: Plants, to: dict[str, Any], reason: str
) -> None:
    plant = plants.ready()
    row = plant.recurring(**to)
    plant.tick(9, seconds=7)
    before = plant.engine.made[deployment_id(plant, row)]
    switch(plant, row)
    plant.tick(5, seconds=7)
    assert plant.engine.made[deployment_id(plant, row)] == before
    assert handled(plant) == [(row.id, reason)]
    plant.tick(10, seconds=10)
    assert handled(plant) == [(row.id, reason)]


def test_what_else_a_hand_changes_is_taken_back_and_remembered(plants: Plants) -> None:
    plant = plants.ready()
    row = plant.recurring(start_time=NOW - HOUR)
    plant.tick(2, seconds=31)
    its_id, job = deployment_id(plant, row), plant.only(Job)
    spec = plant.engine.made[its_id]
    plant.engine.made[its_id] = replace(spec, parameters={}, queue="bulk", foreign=True)
    plant.tick(seconds=31)
    assert plant.engine.made[its_id] == spec
    plant.engine.delete_deployment(its_id)
    assert job.deployment_id is not None
    base = plant.engine.made[job.deployment_id]
    plant.engine.made[job.deployment_id] = replace(base, queue="bulk")
    plant.tick(seconds=31)
    changed = (
        "Its parameters were changed in Prefect. Its work queue was changed in Prefect. "
        "How its runs are executed was changed in Prefect."
    )
    queue, deleted = "Its work queue was changed in Prefect.", "Its deployment was deleted in Prefect."
    assert handled(plant) == [(row.id, changed), (None, queue), (row.id, deleted)]
    [about_the_job] = [event for event in events(plant) if event.data["reason"] == queue]
    assert (about_the_job.job_id, about_the_job.name) == (job.id, job.name)
    assert (about_the_job.deployment_id, about_the_job.actor) == (job.deployment_id, "")
    plant.check_in_line()
    plant.tick(4, seconds=31)
    assert len(handled(plant)) == 3


def test_what_a_hand_changes_while_prefect_cannot_be_written_is_remembered_when_it_is_taken_back(
    plants: Plants,
) -> None:
    plant = plants.ready()
    row = plant.recurring(start_time=NOW - HOUR)
    plant.tick(2, seconds=31)
    switch(plant, row)
    # Its time to be looked at has come, and it differs: each is a reason of its own to try.
    plant.engine.fail("write_deployment", times=2)
    plant.tick(seconds=31)
    assert handled(plant) == []
    plant.tick(3, seconds=31)
    assert handled(plant) == [(row.id, SWITCHED_OFF)]


@pytest.mark.parametrize("enabled", [True, False], ids=["active", "disabled"])
def test_a_deployment_that_a_hand_deletes_is_made_again_and_that_is_remembered(plants: Plants, enabled: bool) -> None:
    plant = plants.ready()
    row = plant.recurring(start_time=NOW - HOUR, enabled=enabled)
    plant.tick(2, seconds=31)
    plant.engine.delete_deployment(deployment_id(plant, row))
    plant.tick(3, seconds=31)
    assert handled(plant) == [(row.id, "Its deployment was deleted in Prefect.")]
    plant.check_in_line()


@pytest.mark.parametrize(
    ("meanwhile", "told"),
    [
        pytest.param({}, 1, id="nothing"),
        pytest.param({"version": 2}, 0, id="a change that Prefect has not followed yet"),
        pytest.param({"version": 2, "projected_version": 2}, 0, id="a change that it has followed"),
        pytest.param(None, 0, id="its deletion"),
    ],
)
def test_what_another_server_changed_meanwhile_is_no_hand_s(
    plants: Plants, meanwhile: dict[str, Any] | None, told: int
) -> None:
    plant = plants.ready()
    row = plant.recurring(start_time=NOW - HOUR)
    plant.tick(2, seconds=31)
    row = plant.only(ScheduledJob)
    assert (row.version, row.projected_version) == (1, 1)
    with plant.store.transaction() as tx:
        if meanwhile is None:
            tx.remove(row)
        elif meanwhile:
            tx.change(row, **meanwhile)
    with plant.store.transaction() as tx:
        remember_hand(row, SWITCHED_OFF, plant.now, tx)
    assert len(handled(plant)) == told


@pytest.mark.parametrize(
    "change",
    [
        pytest.param({"inputs": {"count": 9}}, id="inputs"),
        pytest.param({"queue": "bulk"}, id="queue"),
        pytest.param({"enabled": False}, id="disabled"),
        pytest.param({"approval": ApprovalState.PENDING}, id="back in the queue"),
        pytest.param({"start_time": NOW + 90 * MINUTE}, id="its start"),
    ],
)
@pytest.mark.parametrize("fails", [0, 2])
def test_a_change_of_our_own_that_prefect_has_not_followed_is_no_hand_s(
    plants: Plants, change: dict[str, Any], fails: int
) -> None:
    plant = plants.ready()
    row = plant.recurring(start_time=NOW - HOUR)
    plant.tick(2, seconds=31)
    plant.engine.fail("write_deployment", times=fails)
    plant.change(row, **change, version=row.version + 1)
    plant.tick(6, seconds=31)
    assert handled(plant) == []
    row = plant.only(ScheduledJob)
    assert row.projected_version == row.version


@pytest.mark.parametrize(
    "change",
    [
        pytest.param({"parameter_schema": {"type": "object", "properties": {"count": {}}}}, id="its form"),
        pytest.param({"description": "Better."}, id="its description"),
        pytest.param({"job_queues": ("bulk",)}, id="its queues"),
        pytest.param({"module_name": "moved"}, id="its module"),
    ],
)
@pytest.mark.parametrize("noted", [True, False], ids=["with its version", "behind its back"])
def test_a_changed_job_is_no_hand_s(plants: Plants, change: dict[str, Any], noted: bool) -> None:
    plant = plants.ready()
    plant.recurring(start_time=NOW - HOUR)
    plant.tick(2, seconds=31)
    job = plant.only(Job)
    plant.change(job, **change, version=job.version + noted)
    plant.tick(4, seconds=31)
    queue = "job_queues" in change and not noted
    assert len(handled(plant)) == queue, "of a queue that changed behind its back nobody can tell"
    row = plant.only(ScheduledJob)
    assert plant.engine.made[deployment_id(plant, row)].parameter_schema == plant.only(Job).parameter_schema


@pytest.mark.parametrize(
    ("to", "step"),
    [
        pytest.param({}, 400, id="every hour"),
        pytest.param({"interval": Interval.CUSTOM, "crontab": "*/7 * * * *"}, 13, id="every seven minutes"),
    ],
)
def test_the_moment_at_which_a_schedule_becomes_active_is_no_hand_s(
    plants: Plants, to: dict[str, Any], step: int
) -> None:
    plant = plants.ready()
    row = plant.recurring(start_time=NOW + 70 * MINUTE, **to)
    plant.tick(11, seconds=400)
    while plant.now < NOW + 76 * MINUTE:
        plant.tick(seconds=step)
    spec = plant.engine.made[deployment_id(plant, row)]
    assert spec.schedule is not None
    assert spec.schedule.active
    assert handled(plant) == []


# What is announced


def events(plant: Plant) -> list[AuditEvent]:
    with plant.store.transaction(write=False) as tx:
        return tx.events(0, 10_000)


def head(plant: Plant) -> AuditHead:
    with plant.store.transaction(write=False) as tx:
        return tx.audit_head()


def told(plant: Plant) -> list[int]:
    """Return the numbers of the events that Prefect has been told, in the order in which it heard of them."""
    return [each.payload["number"] for each in plant.engine.announced.values()]


def remember(plant: Plant, number: int) -> None:
    """Let so much happen."""
    with plant.store.transaction() as tx:
        for each in range(number):
            tx.record(AuditEvent(at=plant.now, act=EventType.REFUSED, name=f"event {each}", flow_run_id=uuid4()))


def batches(plant: Plant) -> list[int]:
    """Return a list that will have how many events each call told."""
    announce, sizes = plant.engine.announce, []

    async def counted(announcements: Any) -> None:
        sizes.append(len(announcements))
        await announce(announcements)

    plant.engine.announce = counted  # type: ignore[method-assign]
    return sizes


IDS = [UUID(int=number) for number in range(1, 6)]
SCHEDULED, RUN, DEPLOYMENT, JOB_ID, SOMEBODY = IDS
EVENT = AuditEvent(number=7, at=NOW, act=EventType.APPROVED, actor="bob", name="nightly", hash="f" * 64)

TOLD = [
    pytest.param(
        {"scheduled_job_id": SCHEDULED, "flow_run_id": RUN, "deployment_id": DEPLOYMENT},
        f"signoff.scheduled-job.{SCHEDULED}",
        {"flow-run": f"prefect.flow-run.{RUN}", "deployment": f"prefect.deployment.{DEPLOYMENT}"},
        {},
        id="of a scheduled job with a run and a deployment",
    ),
    pytest.param(
        {"scheduled_job_id": SCHEDULED}, f"signoff.scheduled-job.{SCHEDULED}", {}, {}, id="of one that has neither"
    ),
    pytest.param(
        {"flow_run_id": RUN},
        f"signoff.flow-run.{RUN}",
        {"flow-run": f"prefect.flow-run.{RUN}"},
        {},
        id="of a run alone",
    ),
    pytest.param(
        {"flow_run_id": RUN, "data": {"comment": "fine – ü", "force": True}},
        f"signoff.flow-run.{RUN}",
        {"flow-run": f"prefect.flow-run.{RUN}"},
        {"comment": "fine – ü", "force": True},
        id="with what was said",
    ),
    pytest.param(
        {"flow_run_id": RUN, "data": {"reason": "why", "approved_by": "bob", "seen": {"name": "x"}, "inputs": {}}},
        f"signoff.flow-run.{RUN}",
        {"flow-run": f"prefect.flow-run.{RUN}"},
        {"reason": "why", "approved_by": "bob"},
        id="without what is not for everybody",
    ),
    pytest.param(
        {"flow_run_id": RUN, "actor_id": SOMEBODY, "job_id": JOB_ID},
        f"signoff.flow-run.{RUN}",
        {"flow-run": f"prefect.flow-run.{RUN}"},
        {},
        id="without ids that mean nothing there",
    ),
    pytest.param(
        {"job_id": JOB_ID, "data": {"changes": {"enabled": {"new": True}}, "approvers": ["carol"]}},
        f"signoff.job.{JOB_ID}",
        {},
        {"changes": {"enabled": {"new": True}}, "approvers": ["carol"]},
        id="about a Job: what has changed, and who is to know",
    ),
    pytest.param(
        {"actor_id": SOMEBODY, "data": {"reason": "No.", "count": 7, "address": "192.0.2.1"}},
        f"signoff.approval.{SOMEBODY}",
        {},
        {"reason": "No.", "count": 7},
        id="about nothing: whose act it was",
    ),
    pytest.param({}, "signoff.approval", {}, {}, id="about nothing, by nobody"),
]


@pytest.mark.parametrize(("about", "resource", "related", "said"), TOLD)
def test_what_prefect_is_told_of_an_event(
    about: dict[str, Any], resource: str, related: dict[str, str], said: dict[str, Any]
) -> None:
    it = announcement(replace(EVENT, **about))
    assert (it.event, it.occurred) == ("signoff.approval.approved", NOW)
    assert (it.resource, it.related) == ((resource, "nightly"), related)
    assert it.payload == {"actor": "bob", "number": 7, "hash": "f" * 64, **said}


@pytest.mark.parametrize(
    ("act", "noun"),
    [
        pytest.param(EventType.USER_REMOVED, "user", id="a user"),
        pytest.param(EventType.GROUP_CHANGED, "group", id="a group"),
        pytest.param(EventType.TOKEN_ADDED, "token", id="a token"),
        pytest.param(EventType.PERMISSION_CHANGED, "permission", id="a permission"),
    ],
)
def test_what_prefect_is_told_of_an_account(act: EventType, noun: str) -> None:
    it = announcement(replace(EVENT, act=act, data={"id": str(SOMEBODY), "fields": ["name"], "changes": {"name": {}}}))
    assert (it.event, it.related) == (f"signoff.{act}", {})
    assert it.resource == (f"signoff.{noun}.{SOMEBODY}", "nightly")
    assert it.payload == {"actor": "bob", "number": 7, "hash": "f" * 64, "fields": ["name"]}


@pytest.mark.parametrize("act", EventType)
def test_every_act_has_a_name_of_its_own_in_prefect(act: EventType) -> None:
    assert announcement(replace(EVENT, act=act)).event == f"signoff.{act}"


def test_an_event_has_the_same_id_whenever_it_is_told_and_no_other_has_it() -> None:
    placed = replace(EVENT, flow_run_id=RUN, deployment_id=DEPLOYMENT)
    assert announcement(EVENT).id == announcement(placed).id
    assert announcement(EVENT).id != announcement(replace(EVENT, hash="e" * 64)).id


def test_events_are_told_in_order_and_each_once(plants: Plants) -> None:
    plant = plants.ready()
    sizes = batches(plant)
    remember(plant, 2 * AT_ONCE + 50)
    plant.tick(5, seconds=1)
    assert sizes == [AT_ONCE, AT_ONCE, 50]
    assert told(plant) == [event.number for event in events(plant)]
    assert [each.resource[1] for each in plant.engine.announced.values()][:2] == ["event 0", "event 1"]
    assert head(plant).announced == 2 * AT_ONCE + 50
    plant.start()
    plant.tick(3, seconds=31)
    assert len(sizes) == 3
    remember(plant, 1)
    plant.tick(seconds=1)
    assert told(plant)[-1] == 2 * AT_ONCE + 51


@pytest.mark.parametrize("after", [False, True], ids=["before it hears", "after it has heard"])
def test_what_prefect_does_not_take_is_told_again_as_the_same_event(plants: Plants, after: bool) -> None:
    plant = plants.ready()
    sizes = batches(plant)
    plant.engine.fail("announce", after=after, times=3)
    remember(plant, 3)
    plant.tick(2, seconds=1)
    remember(plant, 2)
    assert head(plant).announced == 0
    plant.tick(3, seconds=1)
    assert sizes == [3, 3, 5, 5]
    assert told(plant) == [1, 2, 3, 4, 5]
    assert head(plant).announced == 5


def test_a_prefect_that_takes_no_events_delays_nothing_else(plants: Plants) -> None:
    plant = requested(plants, ONCE)
    plant.engine.fail("announce", times=-1)
    asyncio.run(approve(plant))
    plant.engine.set_state(its_run(plant).id, "CANCELLED", "Cancelled")
    plant.now = NOW + timedelta(minutes=1)
    plant.tick(2, seconds=31)
    assert [run.scheduled_for for run in plant.unended()] == [NOW + HOUR]
    assert told(plant) == []
    plant.engine.faults.clear()
    plant.tick(seconds=1)
    assert told(plant) == [1, 2]


def test_wherever_the_telling_dies_each_event_is_told_once_and_in_order(plants: Plants) -> None:
    def decided() -> Plant:
        plant = requested(plants, ONCE)
        asyncio.run(approve(plant))
        remember(plant, 3)
        return plant

    for plant in plants.dying(decided, lambda plant: plant.round()):
        plant.settle()
        assert told(plant) == [1, 2, 3, 4, 5]
        assert [each.id for each in plant.engine.announced.values()] == [announcement(e).id for e in events(plant)]
        assert head(plant).announced == 5


def test_wherever_a_request_and_its_approval_die_what_is_remembered_is_told_once(plants: Plants) -> None:
    async def all_of_it(plant: Plant) -> None:
        await plant.request(HOURLY)
        await plant.round()
        await approve(plant)
        await plant.round()

    def ready() -> Plant:
        plant = plants.ready(approval_required=True)
        plant.add(BOB)
        return plant

    for plant in plants.dying(ready, all_of_it):
        plant.settle()
        assert told(plant) == [event.number for event in events(plant)]
        acts = [event.act for event in events(plant)]
        assert acts == [EventType.REQUESTED, EventType.APPROVED][: len(acts)]
    assert acts == [EventType.REQUESTED, EventType.APPROVED]


def test_the_news_of_a_request_waits_for_its_run_and_what_follows_waits_too(plants: Plants) -> None:
    plant = plants.ready(approval_required=True)
    plant.engine.fail("create_run", times=3)
    asyncio.run(plant.request(ONCE))
    remember(plant, 1)
    plant.tick(seconds=1)
    assert told(plant) == []
    plant.tick(20, seconds=1)
    assert told(plant) == [1, 2]
    news = next(iter(plant.engine.announced.values()))
    row = plant.only(ScheduledJob)
    assert news.related == {
        "flow-run": f"prefect.flow-run.{row.flow_run_id}",
        "deployment": f"prefect.deployment.{plant.only(Job).deployment_id}",
    }


def test_the_news_of_a_recurring_request_tells_its_own_deployment(plants: Plants) -> None:
    plant = requested(plants, HOURLY)
    plant.tick(seconds=1)
    row = plant.only(ScheduledJob)
    [news] = plant.engine.announced.values()
    assert news.related == {
        "flow-run": f"prefect.flow-run.{row.flow_run_id}",
        "deployment": f"prefect.deployment.{row.deployment_id}",
    }


def test_the_news_of_a_request_does_not_wait_for_ever_for_its_run(plants: Plants) -> None:
    plant = plants.ready(approval_required=True)
    plant.engine.fail("create_run", times=-1)
    asyncio.run(plant.request(ONCE))
    plant.now += WAITS
    plant.tick()
    assert told(plant) == []
    plant.tick(seconds=1)
    assert told(plant) == [1]
    [news] = plant.engine.announced.values()
    assert set(news.related) == {"deployment"}
    plant.engine.faults.clear()
    plant.tick(4, seconds=31)
    assert told(plant) == [1]


def test_the_news_of_a_request_that_was_withdrawn_before_its_run_came_does_not_wait(plants: Plants) -> None:
    plant = plants.ready(approval_required=True)
    plant.engine.fail("create_run", times=-1)
    asyncio.run(plant.request(ONCE))
    asyncio.run(plant.schedules.delete(plant.actor, plant.only(ScheduledJob).id))
    plant.tick(seconds=1)
    assert told(plant) == [1, 2]
    assert [each.event for each in plant.engine.announced.values()] == [
        "signoff.approval.requested",
        "signoff.approval.withdrawn",
    ]


def test_where_nothing_has_happened_prefect_is_told_nothing(plants: Plants) -> None:
    plant = plants.ready()
    plant.engine.calls.clear()
    plant.tick(3, seconds=31)
    assert "announce" not in plant.engine.calls


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
        plant.admissions.ask(plant.engine.all_runs[run_id], Attempt(id=uuid4(), worker=HERE, code=""), plant.now)
    plant.engine.set_state(run_id, state, name, "why")
    plant.tick(seconds=3)
    result = plant.only(JobResult)
    assert (result.status, result.traceback, result.date_done) == (status, why, NOW)


def test_a_result_whose_run_was_deleted_in_prefect_is_revoked(plants: Plants) -> None:
    plant = plants.ready()
    plant.engine.delete_run(going(plant))
    plant.tick(seconds=3)
    result = plant.only(JobResult)
    assert (result.status, result.traceback) == (Status.REVOKED, "The run was deleted in Prefect.")


def test_what_its_process_told_first_stays(plants: Plants) -> None:
    plant = plants.ready()
    run_id = going(plant)
    plant.work(plant.engine.all_runs[run_id])
    plant.engine.set_state(run_id, "CRASHED", "Crashed")
    plant.tick(seconds=3)
    assert plant.only(JobResult).status is Status.SUCCESS


def test_more_results_than_one_page_are_all_learnt_of(plants: Plants, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("api_shim.reconcile.run_status.BATCH", 10)
    plant = plants.ready()
    plant.add(*(make_result(plant.job, plant.user, released=True) for _ in range(25)))
    plant.tick(seconds=3)
    assert {result.status for result in plant.all(JobResult)} == {Status.REVOKED}


# The loop itself


def test_what_fails_is_tried_ever_more_rarely_up_to_a_minute(plants: Plants) -> None:
    plant = plants.make()
    plant.engine.fail("prepare", times=-1)
    tries = []
    for second in range(130):
        plant.engine.calls.clear()
        plant.tick(seconds=1)
        if "prepare" in plant.engine.calls:
            tries.append(second)
    pauses = [after - before for before, after in pairwise(tries)]
    assert pauses == [1, 2, 4, 8, 16, 32, 60]


def test_the_loop_survives_a_prefect_that_is_away(plants: Plants, monkeypatch: pytest.MonkeyPatch) -> None:
    plant = plants.ready()
    asyncio.run(plant.request())
    monkeypatch.setattr("api_shim.background.TICK", 0.001)
    monkeypatch.setattr("api_shim.background.REFRESH_EVERY", timedelta(0))
    plant.engine.fail("runs", times=3)

    async def for_a_while() -> None:
        loop = asyncio.create_task(plant.loop.run())
        for _ in range(1000):
            await asyncio.sleep(0.01)
            if not plant.engine.faults[0].times:
                break
        assert plant.engine.faults[0].times == 0
        assert not loop.done()
        loop.cancel()

    asyncio.run(for_a_while())


def test_a_refresh_while_prefect_is_away_says_so(plants: Plants) -> None:
    plant = plants.ready()
    asyncio.run(plant.request())
    plant.engine.fail("runs")
    with pytest.raises(Unavailable):
        asyncio.run(plant.run_status.refresh(plant.all(JobResult)))


# Everything at once


class Machine(OverPlants):
    """Requests, deletions, time, a scheduler, a worker, and a process that dies: no firing twice, none lost."""

    @initialize()
    def begin(self) -> None:
        self.plant = self._plants.ready()
        self.gone: list[tuple[UUID, Any]] = []

    def _doing(self, work: Any, dies_at: int) -> None:
        """Do something, perhaps dying of it, and start anew."""
        self.plant.start(dies_at)
        try:
            self.plant.dies(work)
        finally:
            # Also after a refusal: who has not died of this does not die of the next.
            self.plant.start()

    @rule(kind=st.sampled_from(["future", "hourly", None]), dies_at=st.integers(0, 14))
    def request(self, kind: str | None, dies_at: int) -> None:
        self._request(kind, dies_at)

    def _request(self, kind: str | None, dies_at: int) -> None:
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
            nominal = self.plant.now.replace(minute=row.start_time.minute, second=0)
            nominal += HOUR if nominal <= self.plant.now else timedelta(0)
            runs = self.plant.engine.all_runs.values()
            if not any(r.by_schedule and (r.deployment_id, r.expected_start) == (deployment_id, nominal) for r in runs):
                self.plant.engine.make_firing(deployment_id, nominal)

    @rule()
    def a_worker_works(self) -> None:
        self.plant.work_off()

    @rule(dies_at=st.integers(0, 20))
    def the_loop_ticks(self, dies_at: int) -> None:
        self._doing(self.plant.round, dies_at)

    @rule(call=st.sampled_from(["create_run", "release", "write_deployment", "runs", "end"]), after=st.booleans())
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


class Guarded(Machine):
    """The same with a Job that needs approval: nothing executes that was not approved as it stands, nothing is lost."""

    @initialize()
    def begin(self) -> None:
        self.plant = self._plants.ready(approval_required=True, approval_expires=3 * 3600.0)
        self.plant.add(BOB)

    @rule(kind=st.sampled_from(["future", "hourly", None]), dies_at=st.integers(0, 14))
    def request(self, kind: str | None, dies_at: int) -> None:
        # Two that are made in the same moment, with no name of their own, would have the same.
        self.plant.now += timedelta(seconds=1)
        self._request(kind, dies_at)

    def _drawn(self, data: st.DataObject) -> ScheduledJob:
        rows = sorted(self.plant.all(ScheduledJob), key=lambda row: (row.name, row.created))
        return data.draw(st.sampled_from(rows))

    @precondition(lambda self: self.plant.all(ScheduledJob))
    @rule(data=st.data(), dies_at=st.integers(0, 16))
    def bob_approves(self, data: st.DataObject, dies_at: int) -> None:
        row, decision = self._drawn(data), Decision(comment="fine", force=True)
        with contextlib.suppress(Conflict):
            self._doing(lambda: self.plant.approvals.approve(AS_BOB, {"id": row.id}, decision), dies_at)

    @precondition(lambda self: self.plant.all(ScheduledJob))
    @rule(data=st.data(), dies_at=st.integers(0, 10))
    def bob_denies(self, data: st.DataObject, dies_at: int) -> None:
        row = self._drawn(data)
        with contextlib.suppress(Conflict):
            self._doing(lambda: self.plant.approvals.deny(AS_BOB, {"id": row.id}, Decision()), dies_at)

    @precondition(lambda self: self.plant.waiting())
    @rule(data=st.data(), state=st.sampled_from(["SCHEDULED", "PENDING", "RUNNING", "PAUSED"]))
    def a_hand_lets_a_run_start(self, data: st.DataObject, state: str) -> None:
        run = data.draw(st.sampled_from(self.plant.waiting()))
        at = self.plant.now if state == "SCHEDULED" else None
        self.plant.engine.set_state(run.id, state, state.title(), scheduled_for=at)

    @rule()
    def the_code_changes(self) -> None:
        job = self.plant.only(Job)
        self.plant.code = f"{self.plant.code or '2::'}+"
        self.plant.change(job, code_digest=self.plant.code)
        asyncio.run(self.plant.store.write(partial(return_stale, job.id, self.plant.now)))

    @rule()
    def the_code_changes_where_the_workers_are(self) -> None:
        self.plant.code = f"{self.plant.code or '2::'}+"

    @rule(call=st.sampled_from(["create_run", "ask", "release", "runs", "end", "announce"]), after=st.booleans())
    def prefect_fails_once(self, call: str, after: bool) -> None:
        self.plant.engine.fail(call, after=after)
        with contextlib.suppress(Unavailable):
            self.plant.tick(seconds=1)
        self.plant.engine.faults.clear()

    @invariant()
    def nothing_executes_that_nobody_approved(self) -> None:
        if not hasattr(self, "plant"):
            return
        for result in self.plant.all(JobResult):
            if result.attempt is not None:
                assert result.approval is not None
                assert result.approval["by"] == "bob"
                assert result.inputs == INPUTS

    @invariant()
    def what_is_told_is_the_beginning_of_what_is_remembered(self) -> None:
        if hasattr(self, "plant"):
            assert told(self.plant) == list(range(1, len(told(self.plant)) + 1))

    @rule()
    def in_the_end_everything_is_in_line(self) -> None:
        self.plant.now += timedelta(seconds=1)
        self.plant.start()
        for _ in range(12):
            self.plant.tick(seconds=31)
            self.plant.work_off()
        self.plant.tick(2, seconds=31)
        rows = self.plant.all(ScheduledJob)
        active = {spec.schedule.slug: spec.schedule.active for spec in self.plant.own().values()}
        assert set(active) == {str(row.id) for row in rows if not row.one_off}
        assert not any(active[str(row.id)] for row in rows if not row.one_off and not row.may_fire)
        assert all(result.status.final for result in self.plant.all(JobResult))
        shown = {run.id: run.scheduled_for for run in self.plant.unended() if not run.by_schedule}
        waits = {row.flow_run_id: None for row in rows if row.awaits_decision}
        assert shown == {**waits, **{row.flow_run_id: row.start_time for row in rows if row.one_off and row.may_fire}}
        for row in rows:
            if row.awaits_decision:
                asked = asyncio.run(self.plant.engine.asked(row.flow_run_id))
                assert asked is not None
                assert (fingerprint(asked), asked.name) == (row.question_mark, waiting_name(row))
            assert not (row.one_off and row.may_fire and row.start_time <= self.plant.now)
        assert told(self.plant) == [event.number for event in events(self.plant)]
        firings = {(r.scheduled_job_id, r.nominal_time) for r in self.plant.all(JobResult)}
        for row in rows:
            due = newest_due(self.plant, row) if row.approval is ApprovalState.APPROVED else None
            assert due is None or due < row.due_from or (row.id, due) in firings, "a firing that was due is lost"


Machine.TestCase.settings = Guarded.TestCase.settings = settings(
    max_examples=settings.default.max_examples // 4,
    stateful_step_count=20,
    # The same each time: what a longer search finds becomes a test of its own.
    derandomize=True,
    suppress_health_check=list(HealthCheck),
)
TestEverythingAtOnce = pytest.mark.slow(Machine.TestCase)
TestEverythingAtOnceWithApproval = pytest.mark.slow(Guarded.TestCase)


# Lost before it was let go


@pytest.mark.parametrize(
    ("schedule", "fault"),
    [
        pytest.param(None, ("CRASHED", "Crashed", "Failed to submit flow run to infrastructure."), id="a run crashed"),
        pytest.param(
            ONCE, ("FAILED", "Failed", "The server could not be asked (ConnectError)."), id="a one-off failed"
        ),
        pytest.param(HOURLY, ("CANCELLED", "Cancelled", "Runner is shutting down."), id="a firing's worker ended"),
    ],
)
def test_a_run_that_was_never_let_go_starts_again_until_it_is(
    plants: Plants, schedule: Any, fault: tuple[str, str, str]
) -> None:
    plant = plants.ready()
    asyncio.run(plant.request(schedule))
    plant.now = NOW + HOUR
    if schedule is HOURLY:
        plant.engine.make_firing(plant.own_id(), plant.now)
    plant.tick(seconds=1)
    for _ in range(3):
        [run] = plant.unended()
        plant.engine.set_state(run.id, *fault)
        plant.tick(7, seconds=31)
        assert [run.id for run in plant.unended()] == [run.id]
        assert "never admitted" in plant.engine.all_runs[run.id].message
    plant.now += timedelta(minutes=5)
    plant.work_off()
    plant.tick(2, seconds=31)
    result = plant.only(JobResult)
    assert (result.status, result.flow_run_id) == (Status.SUCCESS, run.id)
    assert plant.unended() == []


def test_attempts_come_ever_more_rarely(plants: Plants) -> None:
    plant = plants.ready()
    asyncio.run(plant.request())
    waits = []
    while plant.now < NOW + HOUR:
        [run] = plant.unended()
        plant.engine.set_state(run.id, "CRASHED", "Crashed")
        plant.tick(seconds=3)
        [run] = plant.unended()
        assert run.scheduled_for is not None
        waits.append(run.scheduled_for - plant.now)
        plant.now = run.scheduled_for
    assert waits == sorted(waits)
    assert (waits[0], waits[-1]) == (timedelta(seconds=2), timedelta(minutes=5))
    assert plant.only(JobResult).status is Status.PENDING


@pytest.mark.parametrize("schedule", [pytest.param(None, id="a run now"), pytest.param(HOURLY, id="a firing")])
def test_a_run_that_was_let_go_is_not_started_again(plants: Plants, schedule: Any) -> None:
    plant = plants.ready()
    asyncio.run(plant.request(schedule))
    plant.now = NOW + HOUR
    if schedule is HOURLY:
        plant.engine.make_firing(plant.own_id(), plant.now)
    [run] = plant.unended()
    assert plant.work(run, crash=True) == Go()
    plant.tick(8, seconds=31)
    assert plant.only(JobResult).status is Status.FAILURE
    assert plant.unended() == []


def test_a_process_that_is_late_and_the_one_that_was_started_again_are_let_go_once(plants: Plants) -> None:
    plant = plants.ready()
    asyncio.run(plant.request())
    [run] = plant.unended()
    plant.engine.set_state(run.id, "CRASHED", "Crashed")
    late = plant.engine.all_runs[run.id]
    plant.tick(seconds=1)
    attempts = [Attempt(id=uuid4(), worker="elsewhere:1", code=plant.code) for _ in range(2)]
    answers = [plant.admissions.ask(late, attempt, plant.now)[0] for attempt in attempts]
    assert answers == [Go(), Refuse(ALREADY_RUN)]


UNWANTED: list[Any] = [
    pytest.param(("CANCELLED", "Cancelled", ""), None, id="somebody cancelled it in Prefect"),
    pytest.param(("FAILED", "Refused", "No."), None, id="it was refused"),
    pytest.param(("CRASHED", "Crashed", ""), {"cancelled_by": "alice"}, id="somebody cancelled it here"),
]


@pytest.mark.parametrize(("state", "to"), UNWANTED)
def test_what_nobody_wants_any_more_is_not_started_again(plants: Plants, state: Any, to: Any) -> None:
    plant = plants.ready()
    asyncio.run(plant.request())
    [run] = plant.unended()
    if to:
        plant.change(plant.only(JobResult), **to)
    plant.engine.set_state(run.id, *state)
    plant.tick(3, seconds=31)
    assert plant.unended() == []
    assert plant.only(JobResult).status.final


def test_a_firing_that_was_lost_is_passed_over_when_the_next_one_is_due(plants: Plants) -> None:
    plant = plants.ready()
    asyncio.run(plant.request(HOURLY))
    plant.now = NOW + HOUR
    run = plant.engine.make_firing(plant.own_id(), plant.now)
    plant.now = NOW + 2 * HOUR
    plant.engine.set_state(run.id, "CRASHED", "Crashed")
    plant.engine.make_firing(plant.own_id(), plant.now)
    plant.work_off()
    plant.tick(6, seconds=31)
    statuses = {at: result.status for at, result in plant.results().items()}
    assert statuses[NOW + 2 * HOUR] is Status.SUCCESS
    assert plant.engine.all_runs[run.id].final


def test_wherever_starting_again_dies_it_is_one_run_that_executes_once(plants: Plants) -> None:
    def lost() -> Plant:
        plant = plants.ready()
        asyncio.run(plant.request())
        plant.engine.set_state(plant.unended()[0].id, "CRASHED", "Crashed")
        return plant

    for plant in plants.dying(lost, lambda plant: plant.round()):
        plant.settle()
        plant.now += timedelta(minutes=5)
        plant.work_off()
        plant.tick(seconds=31)
        assert [result.status for result in plant.all(JobResult)] == [Status.SUCCESS]
        assert len(plant.engine.all_runs) == 1
