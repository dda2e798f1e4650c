"""Who watches the approval queue is told when it changes, and when their session ends."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any
from uuid import uuid4

import pytest

from api_shim.domain.accounts import Session
from api_shim.domain.model import ScheduledJob
from api_shim.services import queue_watch
from api_shim.services.queue_watch import QueueWatch, Watcher
from api_shim.store import Store
from approval_gate.errors import TooManyAttempts
from approval_gate.lifecycle import ApprovalState
from tests.api_shim.statements import statements
from tests.factories import NOW, make_job, make_scheduled, make_user


class Room:
    """A store with a request, and somebody who is signed in."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.watch = QueueWatch(store)
        self.user, self.job = make_user(), make_job()
        self.session = Session(id=uuid4(), user_id=self.user.id, key_hash="h", csrf="c", created=NOW, seen=NOW)
        self.row = make_scheduled(self.job, self.user, approval=ApprovalState.PENDING)
        self.add(self.user, self.job, self.session, self.row)

    def add(self, *things: Any) -> None:
        with self.store.transaction() as tx:
            for thing in things:
                tx.add(thing)

    def change(self, **to: Any) -> None:
        with self.store.transaction() as tx:
            row = tx.get(ScheduledJob, id=self.row.id)
            assert row is not None
            tx.change(row, **to)

    def watching(self) -> Any:
        return self.watch.watching(self.user.id, self.session.id)


@pytest.fixture
def room(sqlite_store: Store) -> Room:
    return Room(sqlite_store)


def run(work: Callable[[], Awaitable[Any]]) -> Any:
    async def all_of_it() -> Any:
        return await work()

    return asyncio.run(all_of_it())


def told(watcher: Watcher) -> Awaitable[bool]:
    return watcher.wait(0.01)


def new(room: Room) -> None:
    room.add(make_scheduled(room.job, room.user, approval=ApprovalState.PENDING))


CHANGES = [
    pytest.param(new, True, id="a new request"),
    pytest.param(lambda room: room.change(approval=ApprovalState.APPROVED), True, id="an approval"),
    pytest.param(lambda room: room.change(enabled=False), True, id="the end of its time"),
    pytest.param(lambda room: room.change(inputs={"a": 1}, version=2), True, id="another input"),
    pytest.param(lambda room: None, False, id="nothing"),
    pytest.param(
        lambda room: room.add(make_scheduled(room.job, room.user)), False, id="a scheduled job that needs no approval"
    ),
]


@pytest.mark.parametrize(("change", "is_told"), CHANGES)
def test_a_watcher_is_told_of_what_changes_the_queue(room: Room, change: Callable[[Room], None], is_told: bool) -> None:
    async def watch() -> None:
        with room.watching() as watcher:
            await room.watch.tick()
            assert await told(watcher)  # of how it is to begin with
            change(room)
            await room.watch.tick()
            assert (await told(watcher), watcher.over) == (is_told, False)

    run(watch)


def test_who_signs_out_is_let_go_and_nobody_else(room: Room) -> None:
    other = Session(id=uuid4(), user_id=room.user.id, key_hash="i", csrf="c", created=NOW, seen=NOW)
    room.add(other)

    async def watch() -> None:
        with room.watching() as gone, room.watch.watching(room.user.id, other.id) as stays:
            with room.store.transaction() as tx:
                tx.remove(room.session)
            await room.watch.tick()
            assert await told(gone)
            assert (gone.over, stays.over) == (True, False)
            room.watch.close()
            assert stays.over

    run(watch)


def test_one_question_is_asked_for_all_and_none_for_nobody(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(queue_watch, "MOST_OF_ONE", 50)

    async def asked(watchers: int) -> int:
        entered = [room.watching() for _ in range(watchers)]
        for each in entered:
            each.__enter__()
        with statements(room.store) as said:
            await room.watch.tick()
        for each in entered:
            each.__exit__(None, None, None)
        return len(said)

    async def ask_all() -> list[int]:
        return [await asked(number) for number in (0, 1, 50)]

    none, one, many = run(ask_all)
    assert none == 0
    assert one == many


def test_an_account_has_so_many_watchers_and_a_server_too(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(queue_watch, "MOST_OF_ONE", 1)
    monkeypatch.setattr(queue_watch, "MOST", 2)
    with room.watching():
        with pytest.raises(TooManyAttempts):
            room.watching().__enter__()
        with room.watch.watching(uuid4(), uuid4()), pytest.raises(TooManyAttempts):
            room.watch.watching(uuid4(), uuid4()).__enter__()
    with room.watching():
        pass


def test_a_store_that_does_not_answer_is_said_once_and_asked_again(
    room: Room, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def watch() -> None:
        with room.watching() as watcher:
            with monkeypatch.context() as away:
                away.setattr(room.store, "read", _away)
                await room.watch.tick()
                await room.watch.tick()
            await room.watch.tick()
            assert await told(watcher)

    run(watch)
    assert [record.message for record in caplog.records] == ["The approval queue cannot be watched: gone"]


async def _away(_ask: object) -> None:
    raise OSError("gone")
