"""What is woken is followed: at once, in order of urgency, several at a time, and never lost for a fault."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from uuid import UUID

import pytest
from opentelemetry.trace import NonRecordingSpan, SpanContext, get_current_span, use_span

from api_shim.domain.request_id import current_request, within_request
from api_shim.reconcile.load import Load
from api_shim.reconcile.wake_queue import AT_ONCE, LETS_GO_FIRST, SOON, Kind, WorkQueue
from tests.conftest import Clock
from tests.factories import NOW
from tests.live import PATIENCE
from tests.measured import Measured

ONE, OTHER, THIRD = (UUID(int=number) for number in (1, 2, 3))
ROW = Kind.SCHEDULED_JOB


class Follower:
    """Remembers what was followed; fails when told to, and waits when told to."""

    def __init__(self) -> None:
        self.followed: list[tuple[Kind, UUID]] = []
        self.fails = 0
        self.together = self.most = 0
        self.goes_on = asyncio.Event()
        self.goes_on.set()

    async def __call__(self, kind: Kind, thing_id: UUID) -> None:
        self.followed.append((kind, thing_id))
        self.together += 1
        self.most = max(self.most, self.together)
        try:
            await self.goes_on.wait()
        finally:
            self.together -= 1
        if self.fails:
            self.fails -= 1
            raise RuntimeError("Prefect does not answer.")


@pytest.fixture
def follower() -> Follower:
    return Follower()


@pytest.fixture
def queue(follower: Follower, clock: Clock) -> WorkQueue:
    return WorkQueue(follower, clock)


def test_what_is_due_earlier_goes_first_and_then_what_came_first(queue: WorkQueue, follower: Follower) -> None:
    queue.wake(ROW, ONE, NOW + timedelta(hours=1))
    queue.wake(ROW, OTHER)
    queue.wake(Kind.JOB_RESULT, OTHER)
    queue.wake(ROW, THIRD, NOW)
    asyncio.run(queue.drain())
    assert follower.followed == [(ROW, OTHER), (Kind.JOB_RESULT, OTHER), (ROW, THIRD), (ROW, ONE)]


def test_what_waits_is_followed_once_and_as_early_as_anybody_said(queue: WorkQueue, follower: Follower) -> None:
    queue.wake(ROW, ONE, NOW + timedelta(hours=2))
    queue.wake(ROW, OTHER, NOW + timedelta(hours=1))
    queue.wake(ROW, ONE, NOW)
    queue.wake(ROW, ONE, NOW + timedelta(hours=3))
    asyncio.run(queue.drain())
    assert follower.followed == [(ROW, ONE), (ROW, OTHER)]


async def running(queue: WorkQueue) -> asyncio.Task[None]:
    task = asyncio.create_task(queue.run())
    await asyncio.sleep(0)
    return task


def test_several_are_followed_together_and_each_by_one_pass(queue: WorkQueue, follower: Follower) -> None:
    async def burst() -> None:
        follower.goes_on.clear()
        task = await running(queue)
        for number in range(AT_ONCE * 3):
            queue.wake(ROW, UUID(int=number))
        await asyncio.sleep(0.01)
        assert follower.together == AT_ONCE
        # It changes again while it is being followed: what was read before is not what stands there now.
        for _ in range(3):
            queue.wake(ROW, UUID(int=0))
        follower.goes_on.set()
        await asyncio.wait_for(queue.settled(), PATIENCE)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    asyncio.run(burst())
    assert follower.most == AT_ONCE
    assert follower.followed.count((ROW, UUID(int=0))) == 2
    assert len(follower.followed) == AT_ONCE * 3 + 1


def test_it_begins_at_once_when_idle(queue: WorkQueue, follower: Follower) -> None:
    async def idle() -> float:
        task = await running(queue)
        await asyncio.sleep(0.01)
        loop = asyncio.get_running_loop()
        begun = loop.time()
        queue.wake(ROW, ONE)
        while not follower.followed:  # noqa: ASYNC110 - the follower is what is measured, and tells nobody
            await asyncio.sleep(0)
        took = loop.time() - begun
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        return took

    assert asyncio.run(idle()) < 0.05


def test_what_failed_is_tried_ever_more_rarely_but_for_a_commit(
    queue: WorkQueue, follower: Follower, clock: Clock
) -> None:
    def retried() -> bool:
        before = len(follower.followed)
        queue.retry(ROW, ONE)
        asyncio.run(queue.drain())
        return len(follower.followed) > before

    follower.fails = 3
    assert retried()
    assert not retried()
    clock.forward(seconds=1)
    assert retried()
    clock.forward(seconds=1)
    assert not retried()
    clock.forward(seconds=1)
    assert retried()
    queue.wake(ROW, ONE)
    asyncio.run(queue.drain())
    assert (len(follower.followed), follower.fails) == (4, 0)
    assert retried(), "it has succeeded"


def test_a_fault_ends_nothing_else(queue: WorkQueue, follower: Follower) -> None:
    async def burst() -> None:
        task = await running(queue)
        follower.fails = 2
        for number in range(5):
            queue.wake(ROW, UUID(int=number))
        await asyncio.wait_for(queue.settled(), PATIENCE)
        assert not task.done()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    asyncio.run(burst())
    assert len(follower.followed) == 5


def test_what_is_due_later_lets_requests_go_first_and_what_is_due_now_does_not(
    follower: Follower, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    load = Load()
    queue = WorkQueue(follower, clock, load)
    monkeypatch.setattr("api_shim.reconcile.load.LULL", 0.0)

    async def busy() -> None:
        load.begin()
        task = await running(queue)
        queue.wake(ROW, ONE, NOW + timedelta(hours=1))
        queue.wake(ROW, OTHER)
        queue.wake(ROW, THIRD, NOW + SOON)
        await asyncio.sleep(0.1)
        assert follower.followed == [(ROW, OTHER), (ROW, THIRD)]
        load.end()
        await asyncio.wait_for(queue.settled(), PATIENCE)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    asyncio.run(busy())
    assert follower.followed[-1] == (ROW, ONE)


def test_it_does_not_let_requests_go_first_for_ever(follower: Follower, clock: Clock) -> None:
    load = Load()
    queue = WorkQueue(follower, clock, load)

    async def busy() -> None:
        load.begin()
        queue.wake(ROW, ONE, NOW + timedelta(hours=1))
        clock.now += LETS_GO_FIRST + timedelta(seconds=1)
        queue.wake(ROW, ONE, NOW + timedelta(hours=1))
        await asyncio.wait_for(queue.drain(), PATIENCE)

    asyncio.run(busy())
    assert follower.followed == [(ROW, ONE)]


class Naming(Follower):
    """Remembers as part of which request things were followed."""

    def __init__(self) -> None:
        super().__init__()
        self.requests: list[str] = []

    async def __call__(self, kind: Kind, thing_id: UUID) -> None:
        self.requests.append(current_request())
        await super().__call__(kind, thing_id)


def test_what_a_request_has_woken_is_followed_as_part_of_it_also_later(clock: Clock) -> None:
    follower = Naming()
    queue = WorkQueue(follower, clock)

    async def after_a_request(name: str) -> None:
        with within_request(name):
            queue.wake(ROW, ONE)
        await queue.drain()

    async def lived() -> None:
        follower.fails = 1
        await after_a_request("first")
        clock.forward(minutes=1)
        queue.retry(ROW, ONE)
        queue.wake(ROW, OTHER)
        await queue.drain()
        await after_a_request("second")

    asyncio.run(lived())
    assert follower.requests == ["first", "first", "", "second"]
    assert current_request() == ""


def test_what_a_request_has_woken_is_followed_within_its_trace(clock: Clock) -> None:
    followed = []

    async def follow(_kind: Kind, _id: UUID) -> None:
        followed.append(get_current_span().get_span_context())

    queue = WorkQueue(follow, clock)
    traced = SpanContext(trace_id=0xABC, span_id=0xDEF, is_remote=False)

    async def lived() -> None:
        with within_request("first"), use_span(NonRecordingSpan(traced)):
            queue.wake(ROW, ONE)
        # Woken again by nobody, it stays of who has asked.
        queue.wake(ROW, ONE)
        queue.wake(ROW, OTHER)
        await queue.drain()

    asyncio.run(lived())
    assert [each.trace_id for each in followed] == [0xABC, 0]


def test_what_is_woken_again_meanwhile_belongs_to_who_woke_it_last(clock: Clock) -> None:
    follower = Naming()
    queue = WorkQueue(follower, clock)

    async def lived() -> None:
        follower.goes_on.clear()
        task = await running(queue)
        for name in ("first", "second"):
            with within_request(name):
                queue.wake(ROW, ONE)
            await asyncio.sleep(0)
        follower.goes_on.set()
        await queue.settled()
        task.cancel()

    asyncio.run(lived())
    assert follower.requests == ["first", "second"]


def test_how_long_prefect_took_to_follow_is_counted_from_when_it_was_woken(
    queue: WorkQueue, follower: Follower, clock: Clock
) -> None:
    lag, count = (Measured(f"signoff_projection_lag_seconds_{end}") for end in ("sum", "count"))
    follower.fails = 1
    queue.wake(ROW, ONE)
    asyncio.run(queue.drain())
    assert count.more() == 0
    clock.forward(minutes=1)
    queue.retry(ROW, ONE)
    asyncio.run(queue.drain())
    assert (count.more(), lag.more()) == (1, 60)
