"""What is over for long enough goes, with its run in Prefect; everything else stays."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta
from typing import Any

import anyio.to_thread
import pytest
from anyio.to_thread import run_sync as in_another_thread

from api_shim.domain.audit import AuditEvent, EventType
from api_shim.domain.model import DeletedRun, JobResult, ScheduledJob, Status
from api_shim.domain.recurrence import Interval
from api_shim.services import retention
from api_shim.services.retention import Amount, Retention, RetentionLoop
from api_shim.store import Store, Transaction
from approval_gate.lifecycle import ApprovalState
from tests.api_shim.plant import Plants
from tests.factories import NOW, OPERATOR, make_approval_request, make_job, make_result, make_scheduled, make_user
from tests.live import eventually

OLD, NEW = NOW - timedelta(days=100), NOW - timedelta(days=10)
BEFORE = NOW - timedelta(days=90)
OVER: dict[str, Any] = {"status": Status.SUCCESS, "date_created": OLD, "date_done": OLD}
HAD: dict[str, Any] = {
    "interval": Interval.FUTURE,
    "enabled": False,
    "total_run_count": 1,
    "date_changed": OLD,
    "last_run_at": OLD,
    "projected_version": 1,
}


def kept(store: Store, *things: Any) -> Amount:
    with store.transaction() as tx:
        for thing in things:
            tx.add(thing)
    retention = Retention(store, OPERATOR, lambda _: None)
    found = retention.amount(BEFORE)
    assert retention.prune(BEFORE, NOW) == found
    assert retention.prune(BEFORE, NOW) == Amount()
    return found


@pytest.mark.parametrize(
    ("to", "goes"),
    [
        pytest.param({}, True, id="over for long enough"),
        pytest.param({"status": Status.FAILURE}, True, id="failed"),
        pytest.param({"status": Status.REVOKED, "date_done": None}, True, id="never began"),
        pytest.param({"date_done": BEFORE}, False, id="not a moment less"),
        pytest.param({"date_done": NEW}, False, id="ran for long"),
        pytest.param({"date_created": NEW, "date_done": NEW}, False, id="of lately"),
        pytest.param({"status": Status.PENDING, "date_done": None}, False, id="waits"),
        pytest.param({"status": Status.STARTED, "date_done": None}, False, id="under way"),
        pytest.param({"released": False}, False, id="Prefect has not followed"),
    ],
)
def test_which_results_go(store: Store, to: dict[str, Any], goes: bool) -> None:
    user, job = make_user(), make_job()
    assert kept(store, user, job, make_result(job, user, **OVER | to)) == Amount(results=int(goes))


@pytest.mark.parametrize(
    ("to", "goes"),
    [
        pytest.param({}, True, id="has had its run"),
        pytest.param(
            {"total_run_count": 0, "last_run_at": None, "approval": ApprovalState.EXPIRED}, True, id="expired"
        ),
        pytest.param({"enabled": True}, False, id="is to run once more"),
        pytest.param({"total_run_count": 0, "last_run_at": None}, False, id="was switched off before it ran"),
        pytest.param({"enabled": True, "approval": ApprovalState.PENDING}, False, id="waits for approval"),
        pytest.param({"interval": Interval.HOURLY}, False, id="repeats, though it is off"),
        pytest.param({"date_changed": NEW}, False, id="was changed lately"),
        pytest.param({"last_run_at": NEW}, False, id="ran lately"),
        pytest.param({"version": 2}, False, id="Prefect has not followed"),
    ],
)
def test_which_scheduled_jobs_go(store: Store, to: dict[str, Any], goes: bool) -> None:
    user, job = make_user(), make_job()
    assert kept(store, user, job, make_scheduled(job, user, **HAD | to)) == Amount(schedules=int(goes))


@pytest.mark.each_database
def test_a_scheduled_job_goes_with_its_result_and_not_before_it(store: Store) -> None:
    user, job = make_user(), make_job()
    both, one = (make_scheduled(job, user, **HAD) for _ in range(2))
    lately = make_result(job, user, **OVER | {"date_done": NEW}, scheduled_job_id=one.id)
    found = kept(store, user, job, both, one, make_result(job, user, **OVER, scheduled_job_id=both.id), lately)
    assert found == Amount(results=1, schedules=1)
    with store.transaction(write=False) as tx:
        assert (tx.all(ScheduledJob), tx.all(JobResult)) == ([one], [lately])


@pytest.mark.each_database
@pytest.mark.parametrize(
    ("decided_at", "stored", "goes"),
    [
        pytest.param(OLD, False, True, id="decided for long enough"),
        pytest.param(OLD, True, False, id="of what is stored"),
        pytest.param(NEW, False, False, id="decided lately"),
        pytest.param(None, False, False, id="waits"),
    ],
)
def test_a_request_goes_when_what_it_was_about_is_gone(
    store: Store, decided_at: datetime | None, stored: bool, goes: bool
) -> None:
    user, job = make_user(), make_job()
    row = make_scheduled(job, user)
    request = make_approval_request(row, job, user, decided_at=decided_at)
    assert kept(store, user, job, *([row] if stored else []), request) == Amount(requests=int(goes))


@pytest.mark.each_database
def test_it_goes_in_batches_that_are_told_and_recorded(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retention, "BATCH", 2)
    user, job = make_user(), make_job()
    with store.transaction() as tx:
        tx.add(user)
        tx.add(job)
        tx.add(*(make_result(job, user, **OVER) for _ in range(5)))
    told: list[Amount] = []
    pauses: list[float] = []
    Retention(store, OPERATOR, pauses.append).prune(BEFORE, NOW, told.append)
    assert [amount.results for amount in told] == [2, 4, 5]
    assert len(pauses) == 3
    assert min(pauses) >= 0.15, "SQLite's writers ask at least every 0.1 seconds"
    with store.transaction(write=False) as tx:
        events = tx.all(AuditEvent)
        assert [(event.act, event.actor) for event in events] == [(EventType.RESULT_DELETED, OPERATOR.username)] * 5
        assert len(tx.all(DeletedRun)) == 5


def test_a_pause_is_no_shorter_than_the_batch_before_it(store: Store) -> None:
    user, job = make_user(), make_job()
    with store.transaction() as tx:
        for thing in (user, job, make_result(job, user, **OVER)):
            tx.add(thing)
    times = iter([10.0, 12.5, 20.0, 30.0, 40.0])
    pauses: list[float] = []
    Retention(store, OPERATOR, pauses.append, lambda: next(times)).prune(BEFORE, NOW)
    assert pauses == [2.5]


def test_a_batch_that_others_have_changed_is_not_the_last(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retention, "BATCH", 1)
    user, job = make_user(), make_job()
    changed, other = (make_scheduled(job, user, **HAD) for _ in range(2))
    with store.transaction() as tx:
        for thing in (user, job, changed, other):
            tx.add(thing)
    batches = iter([[changed.id], [other.id], []])
    monkeypatch.setattr(Transaction, "finished", lambda _tx, _before, _limit: next(batches))
    with store.transaction() as tx:
        tx.change(changed, enabled=True)
    assert Retention(store, OPERATOR, lambda _: None).prune(BEFORE, NOW) == Amount(schedules=1)


def test_its_run_goes_from_prefect_once_prefect_answers(plants: Plants) -> None:
    plant = plants.ready()
    plant.recurring()
    plant.tick(2, hours=1)
    plant.engine.make_firing(plant.own_id(), plant.only(ScheduledJob).start_time)
    plant.work_off()
    run = plant.only(JobResult).flow_run_id
    plant.engine.fail("remove_run", times=2)
    gone = Retention(plant.store, OPERATOR, lambda _: None).prune(plant.now + timedelta(days=1), plant.now)
    assert gone == Amount(results=1)
    plant.tick(5, hours=1)
    assert run not in plant.engine.all_runs
    assert len(plant.all(ScheduledJob)) == 1


# By a setting


def old_results(store: Store, how_many: int) -> None:
    user, job = make_user(), make_job()
    with store.transaction() as tx:
        for thing in (user, job, *(make_result(job, user, **OVER) for _ in range(how_many))):
            tx.add(thing)


def left(store: Store) -> int:
    with store.transaction(write=False) as tx:
        return len(tx.all(JobResult))


def test_a_setting_removes_what_is_over_and_the_audit_says_so(store: Store) -> None:
    old_results(store, 2)
    asyncio.run(RetentionLoop(store, timedelta(days=90), lambda: NOW).prune())
    assert left(store) == 0
    with store.transaction(write=False) as tx:
        events = tx.all(AuditEvent, act=EventType.RESULT_DELETED)
    assert [event.actor for event in events] == ["local: retention setting"] * 2


def test_a_process_that_ends_waits_for_the_batch_and_no_longer(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retention, "BATCH", 1)
    monkeypatch.setattr(retention, "PAUSE", 60)
    monkeypatch.setattr(anyio.to_thread, "run_sync", in_another_thread)
    old_results(store, 2)

    loop = RetentionLoop(store, timedelta(days=90), lambda: NOW)

    async def run() -> None:
        running = asyncio.create_task(loop.run())
        await in_another_thread(eventually, lambda: left(store) == 1)
        running.cancel()
        async with asyncio.timeout(10):
            await asyncio.gather(running, return_exceptions=True)

    asyncio.run(run())
    assert left(store) == 1
