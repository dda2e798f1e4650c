"""Which queues are served: as fresh as it is told, and unknown is not “none”."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from api_shim.reconcile.served_queues import COMES_BACK_WITHIN, EVERY, FRESH, SILENT_AFTER, ServedQueues
from approval_gate.errors import Unavailable
from tests.conftest import Clock
from tests.fakes import FakeEngine


@pytest.fixture
def engine(clock: Clock) -> FakeEngine:
    return FakeEngine(clock=clock, queues={"default", "bulk"})


@pytest.fixture
def served(engine: FakeEngine, clock: Clock) -> ServedQueues:
    return ServedQueues(engine, clock)


def look(served: ServedQueues) -> None:
    asyncio.run(served.look())


def keep_looking(served: ServedQueues, clock: Clock, time: timedelta) -> None:
    """Let time pass, with a look every few seconds."""
    for _ in range(int(time.total_seconds() / EVERY) + 1):
        look(served)
        clock.now += timedelta(seconds=EVERY)


def test_before_the_first_look_nothing_is_known(served: ServedQueues, clock: Clock) -> None:
    assert served.is_served("default") is None
    clock.now += 2 * COMES_BACK_WITHIN
    assert served.is_served("default") is None


def test_what_has_been_asked_about_is_served_and_another_queue_is_not(served: ServedQueues, clock: Clock) -> None:
    clock.forward(seconds=1)
    look(served)
    assert [served.is_served(queue) for queue in ("default", "bulk", "no such queue")] == [True, False, False]


def test_until_workers_have_had_the_time_to_come_back_none_is_not_known(
    engine: FakeEngine, served: ServedQueues, clock: Clock
) -> None:
    engine.served.clear()
    look(served)
    assert served.is_served("default") is None
    clock.now += COMES_BACK_WITHIN
    look(served)
    assert served.is_served("default") is False


def test_what_a_worker_of_before_the_start_asked_says_nothing_of_other_queues(
    served: ServedQueues, clock: Clock
) -> None:
    look(served)
    clock.forward(seconds=1)
    assert (served.is_served("default"), served.is_served("bulk")) == (True, None)


def test_a_worker_that_is_silent_is_gone_and_an_old_look_says_nothing(
    engine: FakeEngine, served: ServedQueues, clock: Clock
) -> None:
    clock.forward(seconds=1)
    look(served)
    clock.now += FRESH + timedelta(seconds=1)
    assert (served.is_served("default"), served.is_served("bulk")) == (True, None)
    clock.now += SILENT_AFTER
    assert served.is_served("default") is None
    engine.served.clear()
    look(served)
    assert served.is_served("default") is False


def test_while_prefect_is_silent_the_last_look_counts(engine: FakeEngine, served: ServedQueues, clock: Clock) -> None:
    clock.forward(seconds=1)
    look(served)
    engine.fail("queue_polls", times=-1)
    with pytest.raises(Unavailable):
        look(served)
    assert served.is_served("bulk") is False
    clock.now += FRESH + timedelta(seconds=1)
    assert served.is_served("bulk") is None


@pytest.mark.parametrize(
    ("queues", "default", "bulk"),
    [
        pytest.param(["default"], True, False, id="one queue"),
        pytest.param([], True, True, id="all queues of the pool"),
        pytest.param(["no such queue"], False, False, id="another one"),
    ],
)
def test_what_a_worker_was_heard_to_ask_counts_before_prefect_tells_of_it(
    engine: FakeEngine, served: ServedQueues, clock: Clock, queues: list[str], default: bool, bulk: bool
) -> None:
    engine.served.clear()
    clock.now += COMES_BACK_WITHIN
    look(served)
    served.heard(queues)
    assert (served.is_served("default"), served.is_served("bulk")) == (default, bulk)
    clock.now += SILENT_AFTER
    look(served)
    assert (served.is_served("default"), served.is_served("bulk")) == (False, False)


def test_a_queue_is_served_by_workers_of_its_own_pool(engine: FakeEngine, clock: Clock) -> None:
    async def pools() -> dict[str, str]:
        return {"bulk": "big", "gpu": "gone"}

    engine.other_pools = {"big": {"bulk"}}
    engine.served = {"default", "bulk"}
    served = ServedQueues(engine, clock, pools=pools)
    clock.forward(seconds=1)
    look(served)
    assert [served.is_served(queue) for queue in ("default", "bulk", "gpu")] == [True, False, False]
    served.heard([])
    served.heard(["bulk"])
    assert served.is_served("bulk") is False, "asked about in the pool of the server"
    served.heard([], "big")
    assert served.is_served("bulk") is True


@pytest.mark.parametrize(
    ("told", "looked", "gone"),
    [
        pytest.param(0, True, False, id="just told that it is there"),
        pytest.param(29, True, False, id="told a moment ago"),
        pytest.param(30, True, True, id="silent for half a minute"),
        pytest.param(None, True, True, id="never heard of"),
        pytest.param(30, False, False, id="silent, but nobody has looked lately"),
    ],
)
def test_a_worker_that_is_silent_has_gone(
    engine: FakeEngine, served: ServedQueues, clock: Clock, told: float | None, looked: bool, gone: bool
) -> None:
    keep_looking(served, clock, COMES_BACK_WITHIN)
    if told is not None:
        engine.workers["a worker"] = clock.now - timedelta(seconds=told)
    look(served)
    clock.now += timedelta(0) if looked else FRESH + timedelta(seconds=1)
    assert served.has_gone("a worker") is gone


@pytest.mark.parametrize(
    ("told", "since", "lost"),
    [
        pytest.param(30, 5, True, id="silent for half a minute by now, and not by then"),
        pytest.param(29, 5, False, id="told a moment too late to count as gone"),
        pytest.param(36, 5, False, id="gone by then already"),
        pytest.param(None, 5, False, id="there is none"),
    ],
)
def test_a_worker_is_lost_in_the_moment_that_it_has_been_silent_for_too_long(
    engine: FakeEngine, served: ServedQueues, clock: Clock, told: float | None, since: float, lost: bool
) -> None:
    if told is not None:
        engine.workers["a worker"] = clock.now - timedelta(seconds=told)
    look(served)
    assert served.has_lost_one_since(clock.now - timedelta(seconds=since)) is lost


def test_after_a_start_workers_have_the_time_to_come_back(served: ServedQueues, clock: Clock) -> None:
    look(served)
    assert served.has_gone("a worker") is False


def test_after_a_while_without_a_look_workers_have_the_time_to_come_back(
    engine: FakeEngine, served: ServedQueues, clock: Clock
) -> None:
    clock.now += 2 * COMES_BACK_WITHIN
    engine.workers["a worker"] = clock.now
    look(served)
    clock.now += timedelta(minutes=5)
    look(served)
    assert served.has_gone("a worker") is False
    keep_looking(served, clock, COMES_BACK_WITHIN)
    assert served.has_gone("a worker") is True


def test_it_goes_on_looking(engine: FakeEngine, served: ServedQueues, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("api_shim.reconcile.served_queues.EVERY", 0.001)
    engine.fail("queue_polls", times=2)

    async def a_while() -> None:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(served.run(), 0.2)

    asyncio.run(a_while())
    assert engine.calls.count("queue_polls") > 3
