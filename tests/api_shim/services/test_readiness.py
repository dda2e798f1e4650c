"""Readiness: what is checked where, when it fails, what is said then, and how often anything is asked."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from api_shim.reconcile.served_queues import AWAY_AFTER, ServedQueues
from api_shim.services import readiness
from api_shim.services.readiness import ENOUGH_DISK, KEPT, STUCK_AFTER, Readiness
from api_shim.store import Store
from approval_gate.errors import Unavailable
from tests.conftest import Clock
from tests.fakes import FakeEngine

WELL = {"store": "", "prefect": "", "loop": "", "disk": ""}
STORE = {"store": "The store cannot be written."}


class Server:
    """What a server needs, each part of which can be away."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self.store, self.clock, self.engine = store, clock, FakeEngine(clock)
        self.served = ServedQueues(self.engine, clock)
        self.ticked: datetime | None = clock.now
        self.free = ENOUGH_DISK
        self.readiness = self.with_disk(lambda: self.free)

    def with_disk(self, free_disk: Callable[[], int] | None) -> Readiness:
        return Readiness(self.store, self.served, lambda: self.ticked, free_disk, self.clock)

    def checks(self) -> Mapping[str, str]:
        return asyncio.run(self.readiness.checks())

    def look(self) -> None:
        """Look at Prefect, as is done every few seconds."""
        try:
            asyncio.run(self.served.look())
        except Unavailable:
            return


@pytest.fixture
def server(sqlite_store: Store, clock: Clock) -> Server:
    return Server(sqlite_store, clock)


def gone(path: str) -> None:
    Path(path).unlink()


@pytest.mark.each_database
def test_a_server_that_lacks_nothing_is_ready(store: Store, clock: Clock) -> None:
    assert Server(store, clock).checks() == WELL


def test_where_the_loop_is_not_run_and_nothing_is_kept_neither_is_checked(server: Server) -> None:
    server.ticked = None
    server.readiness = server.with_disk(None)
    assert server.checks() == {"store": "", "prefect": ""}


def test_a_store_that_cannot_be_written_is_told_without_what_it_says(server: Server) -> None:
    gone(str(server.store._engine.url.database))
    assert server.checks() == WELL | STORE


def test_a_postgresql_store_that_is_there_to_be_read_only_is_not_ready(postgresql_url: str, clock: Clock) -> None:
    store = Store(f"{postgresql_url}?options=-c%20default_transaction_read_only%3Don")
    try:
        assert Server(store, clock).checks() == WELL | STORE
    finally:
        store.close()


def test_a_store_that_takes_too_long_is_asked_once_until_it_answers(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked, answers = 0, asyncio.Event()

    async def write(_tell: Any) -> None:
        nonlocal asked
        asked += 1
        await answers.wait()

    async def asking() -> list[str]:
        told = []
        for _ in range(3):
            told.append((await server.readiness.checks())["store"])
            server.clock.now += KEPT
        answers.set()
        return [*told, (await server.readiness.checks())["store"]]

    monkeypatch.setattr(server.store, "write", write)
    monkeypatch.setattr(readiness, "STORE_ANSWERS_WITHIN", 0.01)
    assert (asyncio.run(asking()), asked) == ([*["The store does not answer."] * 3, ""], 1)


def test_who_asks_while_a_check_takes_long_is_answered_by_it(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = 0

    async def write(_tell: Any) -> None:
        nonlocal asked
        asked += 1
        await asyncio.sleep(0)
        server.clock.now += 2 * KEPT

    async def several() -> None:
        await asyncio.gather(*(server.readiness.checks() for _ in range(3)))

    monkeypatch.setattr(server.store, "write", write)
    asyncio.run(several())
    assert asked == 1


def test_prefect_is_away_since_it_has_not_answered_and_back_when_it_does(server: Server, clock: Clock) -> None:
    server.look()
    server.engine.fail("queue_polls", times=3)
    clock.forward(seconds=5)
    since = clock.now
    for _ in range(3):
        server.look()
        assert server.checks() == WELL, "busy for a moment"
        clock.now += AWAY_AFTER / 3
    assert server.readiness.prefect_away_since() == since
    assert server.checks() == WELL | {"prefect": f"Prefect has not answered since {since:%H:%M:%S} UTC."}
    server.look()
    clock.now += KEPT
    assert server.readiness.prefect_away_since() is None
    assert server.checks() == WELL


def test_prefect_is_away_while_a_look_at_it_hangs(server: Server, clock: Clock) -> None:
    async def hanging(_pool: str = "") -> None:
        await asyncio.Event().wait()

    async def looked() -> datetime | None:
        server.engine.queue_polls = hanging  # type: ignore[method-assign, assignment]  # as if it never answered
        look = asyncio.create_task(server.served.look())
        await asyncio.sleep(0)
        clock.now += AWAY_AFTER
        look.cancel()
        return server.readiness.prefect_away_since()

    began = clock.now
    assert asyncio.run(looked()) == began


def test_a_loop_that_hangs_is_told(server: Server, clock: Clock) -> None:
    clock.now += STUCK_AFTER
    assert server.checks() == WELL | {"loop": "The background loop has stopped."}
    server.ticked = clock.now
    clock.now += KEPT
    assert server.checks() == WELL


def test_a_disk_that_is_nearly_full_or_gone_is_told(server: Server) -> None:
    def unplugged() -> int:
        raise OSError(5, "Input/output error", "/srv/secret")

    server.free = ENOUGH_DISK - 1
    assert server.checks() == WELL | {"disk": "The disk is full, or nearly so."}
    server.readiness = server.with_disk(unplugged)
    assert server.checks() == WELL | {"disk": "The data folder cannot be reached."}


def test_who_asks_again_at_once_is_answered_the_same(server: Server, clock: Clock) -> None:
    assert server.checks() == WELL
    server.free = 0
    assert server.checks() == WELL
    clock.now += KEPT
    assert server.checks()["disk"]
