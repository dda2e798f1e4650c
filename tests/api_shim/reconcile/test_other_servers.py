"""Several servers of one database: what one commits another may follow, and what one is at no other does too."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, closing
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from api_shim.background import BackgroundLoop
from api_shim.domain.audit import EventType, scheduled_job_event
from api_shim.domain.model import PendingCleanup, ScheduledJob
from api_shim.domain.recurrence import Interval
from api_shim.reconcile import other_servers
from api_shim.reconcile.other_servers import OtherServers
from api_shim.reconcile.reconciler import Reconciler
from api_shim.reconcile.run_status import RunStatus
from api_shim.reconcile.served_queues import ServedQueues
from api_shim.reconcile.wake_queue import Kind, WorkQueue
from api_shim.store import WORKERS, HeldElsewhere, Store, Transaction
from tests.conftest import Clock
from tests.databases import cut_off
from tests.factories import NOW, make_job, make_result, make_scheduled, make_user
from tests.fakes import FakeEngine
from tests.live import PATIENCE

USER = make_user()
JOB = make_job()
LATER = {"interval": Interval.FUTURE, "start_time": NOW + timedelta(hours=1)}


def leftover_of(row: ScheduledJob) -> PendingCleanup:
    return PendingCleanup(
        id=row.id,
        job_id=row.job_id,
        name=row.name,
        flow_run_id=row.flow_run_id,
        deployment_id=row.deployment_id,
        run_number=row.run_number,
        message="Denied.",
    )


# Hearing of what others commit


class Listening:
    """A server that listens to others, and remembers what it wakes.

    Args:
        store: its store.
    """

    def __init__(self, store: Store) -> None:
        self.store = store
        self.woken: set[tuple[Kind, UUID]] = set()
        self.calls = 0
        self.others = OtherServers(store, self._wake, self._wake_workers)

    def _wake(self, kind: Kind, thing_id: UUID, due: datetime = NOW) -> None:
        self.woken.add((kind, thing_id))

    def _wake_workers(self) -> None:
        self.calls += 1

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        task = asyncio.create_task(self.others.run())
        try:
            yield
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def hears(self, does: Callable[[], Awaitable[Any]]) -> None:
        """Do something again and again until this server has been told to wake its workers."""
        before = self.calls
        async with asyncio.timeout(PATIENCE):
            while self.calls == before:
                await does()
                await asyncio.sleep(0.01)


@pytest.fixture
def stores(postgresql_url: str) -> Iterator[tuple[Store, Store]]:
    """The stores of two servers of one database, with an account and a Job."""
    with closing(Store(postgresql_url)) as first, closing(Store(postgresql_url)) as second:
        with first.transaction() as tx:
            tx.add(USER)
            tx.add(JOB)
        yield first, second


def test_what_another_server_commits_is_woken_here_unless_it_has_been_followed(stores: tuple[Store, Store]) -> None:
    first, second = stores
    row, result = make_scheduled(JOB, USER), replace(make_result(JOB, None), released=False)
    level, job = make_scheduled(JOB, USER, projected_version=1), make_job(projected_version=1)
    leftover = leftover_of(make_scheduled(JOB, USER))

    def adds(tx: Transaction) -> None:
        tx.add(job)
        tx.add(row, level)
        tx.add(result)
        tx.add(leftover)

    async def scenario() -> set[tuple[Kind, UUID]]:
        here = Listening(second)

        async def calls() -> None:
            await first.write(lambda tx: tx.tell(WORKERS))

        async with here.running():
            await here.hears(calls)
            await first.write(adds)
            async with asyncio.timeout(PATIENCE):
                while len(here.woken) < 3:  # noqa: ASYNC110 - what is waked tells nobody
                    await asyncio.sleep(0.01)
            # What is told later is heard later.
            await here.hears(calls)
        return here.woken

    assert asyncio.run(scenario()) == {
        (Kind.SCHEDULED_JOB, row.id),
        (Kind.JOB_RESULT, result.id),
        (Kind.LEFTOVER, leftover.id),
    }


def test_workers_of_other_servers_are_called_and_heard_again_when_the_database_is_back(
    stores: tuple[Store, Store],
    postgresql_url: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(other_servers, "SHORTEST_PAUSE", 0.01)
    first, second = (Listening(store) for store in stores)

    async def calls() -> None:
        first.others.call_workers()

    async def scenario() -> None:
        async with first.running(), second.running():
            await second.hears(calls)
            await asyncio.to_thread(cut_off, postgresql_url)
            await second.hears(calls)

    asyncio.run(scenario())
    assert first.calls == 0
    assert "listened to again" in caplog.text


def test_who_only_answers_hears_of_workers_and_of_nothing_else(stores: tuple[Store, Store]) -> None:
    first, second = stores
    asked: list[Any] = []

    async def reads(question: Any) -> Any:
        asked.append(question)

    async def scenario() -> None:
        here = Listening(second)
        here.others = OtherServers(second, None, here._wake_workers)
        second.read = reads  # type: ignore[method-assign]  # nothing is to be read

        async with here.running():
            await here.hears(lambda: first.write(lambda tx: (tx.add(make_scheduled(JOB, USER)), tx.tell(WORKERS))))

    asyncio.run(scenario())
    assert asked == []


def test_on_sqlite_there_is_nobody_to_be_heard(sqlite_store: Store) -> None:
    asyncio.run(asyncio.wait_for(Listening(sqlite_store).others.run(), PATIENCE))


# One at a time


class Halted:
    """A Prefect that lets one caller wait.

    Args:
        engine: what answers.
        at: the only call that waits; None for each.
    """

    def __init__(self, engine: FakeEngine, at: str | None = None) -> None:
        self._engine = engine
        self._at = at
        self.called = asyncio.Event()
        self.goes_on = asyncio.Event()

    def __getattr__(self, name: str) -> Callable[..., Awaitable[Any]]:
        method = getattr(self._engine, name)

        async def call(*args: Any, **to: Any) -> Any:
            if self._at in (None, name):
                self.called.set()
                await asyncio.wait_for(self.goes_on.wait(), PATIENCE)
            return await method(*args, **to)

        return call


class Pair:
    """Two servers of one database, of which the first is made to wait in a call of Prefect's.

    Args:
        stores: theirs.
        clock: tells the time.
    """

    def __init__(self, stores: tuple[Store, Store], clock: Clock) -> None:
        self.store, other = stores
        self.clock = clock
        self.engine = FakeEngine(clock)
        self.halted: Any = Halted(self.engine)
        self.first = Reconciler(self.store, self.halted, clock)
        self.second = Reconciler(other, self.engine, clock)
        asyncio.run(self.second.reconcile_job(JOB.id))
        self.job = self.store_has(lambda tx: tx.all(type(JOB), id=[JOB.id]))[0]

    def store_has(self, ask: Callable[[Transaction], Any]) -> Any:
        with self.store.transaction(write=False) as tx:
            return ask(tx)

    def add(self, *things: Any) -> None:
        with self.store.transaction() as tx:
            for thing in things:
                tx.add(thing)

    def effects(self) -> list[str]:
        """Return what was done in Prefect."""
        reads = {"runs", "find_run", "find_deployment", "read_deployment", "due_runs"}
        return [call for call in self.engine.calls if call not in reads]


@pytest.fixture
def pair(stores: tuple[Store, Store], clock: Clock) -> Pair:
    return Pair(stores, clock)


Work = tuple[Kind, UUID]


def a_job(pair: Pair) -> Work:
    job = make_job()
    pair.add(job)
    return Kind.JOB, job.id


def a_one_off(pair: Pair) -> Work:
    row = make_scheduled(JOB, USER, **LATER)
    pair.add(row)
    return Kind.SCHEDULED_JOB, row.id


def a_recurring_one(pair: Pair) -> Work:
    row = make_scheduled(JOB, USER, **{**LATER, "interval": Interval.HOURLY})
    pair.add(row)
    return Kind.SCHEDULED_JOB, row.id


def a_run(pair: Pair) -> Work:
    result = replace(make_result(JOB, USER), released=False, flow_run_id=None)
    pair.add(result)
    return Kind.JOB_RESULT, result.id


def a_deleted_one(pair: Pair) -> Work:
    row = make_scheduled(JOB, USER, **LATER)
    pair.add(row)
    asyncio.run(pair.second.reconcile(row.id))
    [row] = pair.store_has(lambda tx: tx.all(ScheduledJob, id=[row.id]))
    with pair.store.transaction() as tx:
        tx.remove(row)
        tx.add(leftover_of(row))
    return Kind.LEFTOVER, row.id


def a_lost_run(pair: Pair) -> Work:
    kind, result_id = a_run(pair)
    asyncio.run(pair.second.follow(kind, result_id))
    [run] = pair.engine.all_runs.values()
    pair.engine.set_state(run.id, "CRASHED", "Crashed", "Its worker was killed.")
    return Kind.LOST_RUN, run.id


@pytest.mark.parametrize("ready", [a_job, a_one_off, a_recurring_one, a_run, a_deleted_one, a_lost_run])
def test_what_one_server_is_at_another_leaves_and_does_not_do_again(pair: Pair, ready: Callable[[Pair], Work]) -> None:
    work = ready(pair)
    before = pair.effects()

    async def both() -> list[str]:
        at_it = asyncio.create_task(pair.first.follow(*work))
        await asyncio.wait_for(pair.halted.called.wait(), PATIENCE)
        await pair.second.follow(*work)
        assert pair.effects() == before
        pair.halted.goes_on.set()
        await at_it
        done = pair.effects()
        await pair.second.follow(*work)
        await pair.first.follow(*work)
        assert pair.effects() == done
        return done

    assert len(asyncio.run(both())) > len(before)


def test_what_a_server_was_at_that_was_killed_another_does(pair: Pair, postgresql_url: str) -> None:
    work = a_one_off(pair)

    async def scenario() -> None:
        at_it = asyncio.create_task(pair.first.follow(*work))
        await asyncio.wait_for(pair.halted.called.wait(), PATIENCE)
        at_it.cancel()
        cut_off(postgresql_url)
        await pair.second.follow(*work)
        # Had it only been cut off, it would not have made a second run.
        pair.halted.goes_on.set()
        await pair.first.reconcile(work[1])

    asyncio.run(scenario())
    [run] = pair.engine.all_runs.values()
    [row] = pair.store_has(lambda tx: tx.all(ScheduledJob))
    assert (row.flow_run_id, run.scheduled_for, row.lags) == (run.id, row.start_time, False)


def test_who_waits_for_an_answer_waits_for_the_other_server_but_not_for_ever(pair: Pair) -> None:
    kind, row_id = a_one_off(pair)

    async def scenario() -> None:
        at_it = asyncio.create_task(pair.first.follow(kind, row_id))
        await asyncio.wait_for(pair.halted.called.wait(), PATIENCE)
        with pytest.raises(HeldElsewhere):
            await pair.second.reconcile(row_id, patience=0.1)
        waits = asyncio.create_task(pair.second.follow(kind, row_id, PATIENCE))
        await asyncio.sleep(0.1)
        assert not waits.done()
        pair.halted.goes_on.set()
        await asyncio.gather(at_it, waits)

    asyncio.run(scenario())
    assert len(pair.engine.all_runs) == 1


@pytest.mark.parametrize("call", ["announce", "deployments"])
def test_what_one_loop_tells_or_compares_another_does_not_at_the_same_time(pair: Pair, call: str) -> None:
    row = make_scheduled(JOB, USER, projected_version=1)
    with pair.store.transaction() as tx:
        tx.add(row)
        tx.record(scheduled_job_event(row, EventType.APPROVED, NOW))
    halted: Any = Halted(pair.engine, at=call)

    def loop(reconciler: Reconciler, engine: Any) -> BackgroundLoop:
        store, queue = reconciler._store, WorkQueue(reconciler.follow, pair.clock)
        served, status = ServedQueues(engine, pair.clock), RunStatus(store, engine, queue, pair.clock)
        return BackgroundLoop(store, engine, reconciler, queue, served, status, pair.clock)

    first, second = loop(pair.first, halted), loop(pair.second, pair.engine)

    async def both() -> None:
        at_it = asyncio.create_task(first.tick())
        await asyncio.wait_for(halted.called.wait(), PATIENCE)
        await second.tick()
        assert call not in pair.engine.calls
        halted.goes_on.set()
        await at_it

    asyncio.run(both())
    assert pair.engine.calls.count(call) == 1
