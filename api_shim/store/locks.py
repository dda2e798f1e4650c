"""Locks that all servers of one PostgreSQL database see, so that no two of them do the same at the same time.

* They are PostgreSQL's advisory locks, on one connection of each server: whatever becomes of the server, its locks end
  with that connection. They keep nobody from reading or writing anything.
* A server takes a lock once at a time; those who would share one within a process take turns there first.
* That a lock was lost with the connection is not noticed by who had it: whatever is done under one is safe to be done
  again, and is only not to be done twice.
* An SQLite database has one server, which is given every lock.
"""

from __future__ import annotations

import threading
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from enum import IntEnum
from typing import TYPE_CHECKING, LiteralString
from uuid import UUID

import anyio
import anyio.to_thread
from sqlalchemy import Engine

from api_shim.store.postgresql import connect, is_postgresql, translated
from approval_gate.errors import Unavailable

if TYPE_CHECKING:
    import psycopg

ELSEWHERE = "Another server is doing this just now; please try again."
EVERY = 0.05
"""Seconds between two attempts to take a lock that another server has."""


class Duty(IntEnum):
    """What one server does at a time, by the number of its lock: any that nobody else takes."""

    MIGRATE = 0x5160FF
    START = 0x516100
    PUBLISH = 0x516101
    SWEEP = 0x516102
    PRUNE = 0x516103
    NOTIFY = 0x516104


@dataclass(frozen=True, slots=True)
class _Had:
    """A lock that was taken.

    Args:
        number: its.
        on: the connection that has it.
    """

    number: int
    on: psycopg.Connection


class HeldElsewhere(Unavailable):
    """Another server has this lock."""


def number_of(what: UUID | Duty) -> int:
    """Return the number of a lock: the whole of an id, folded into PostgreSQL's 64 bits."""
    if isinstance(what, Duty):
        return what.value
    return (int.from_bytes(what.bytes[:8]) ^ int.from_bytes(what.bytes[8:])) - (1 << 63)


class ServerLocks:
    """The locks of one server; made by ``Store``.

    Args:
        engine: the database.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._is_shared = is_postgresql(engine)
        self._turn = threading.Lock()
        self._connection: psycopg.Connection | None = None

    @contextmanager
    def held_by_thread(self, what: UUID | Duty, patience: float = 0.0) -> Iterator[None]:
        """Hold a lock while this is entered, where there is no event loop.

        Args:
            what: an object, or a duty.
            patience: how many seconds to wait for another server that has it.

        Raises:
            HeldElsewhere: another server has it.
            Unavailable: the database cannot be reached.
        """
        if not self._is_shared:
            yield
            return
        number = number_of(what)
        had = self._try(number)
        for _ in range(int(patience / EVERY)):
            if had is not None:
                break
            time.sleep(EVERY)
            had = self._try(number)
        if had is None:
            raise HeldElsewhere(ELSEWHERE)
        try:
            yield
        finally:
            self._give_back(had)

    @asynccontextmanager
    async def held(self, what: UUID | Duty, patience: float = 0.0) -> AsyncIterator[None]:
        """Hold a lock while this is entered; see ``held_by_thread``."""
        if not self._is_shared:
            yield
            return
        number = number_of(what)
        had = await anyio.to_thread.run_sync(self._try, number)
        for _ in range(int(patience / EVERY)):
            if had is not None:
                break
            await anyio.sleep(EVERY)
            had = await anyio.to_thread.run_sync(self._try, number)
        if had is None:
            raise HeldElsewhere(ELSEWHERE)
        try:
            yield
        finally:
            # Also where what is done under the lock was given only so long, and that is over.
            with anyio.CancelScope(shield=True):
                await anyio.to_thread.run_sync(self._give_back, had)

    def _try(self, number: int) -> _Had | None:
        with self._turn:
            if self._connection is not None:
                try:
                    return self._asked_for(number, self._connection)
                except Unavailable:
                    # The connection is gone, and what was held with it. There may be another.
                    self._drop()
            self._connection = self._connected()
            return self._asked_for(number, self._connection)

    def _asked_for(self, number: int, on: psycopg.Connection) -> _Had | None:
        return _Had(number, on) if _answer(on, "SELECT pg_try_advisory_lock(%s)", number) else None

    def _give_back(self, had: _Had) -> None:
        """Let others have a lock; one that was lost with its connection is theirs already."""
        with self._turn:
            if had.on is not self._connection:
                return
            try:
                _answer(had.on, "SELECT pg_advisory_unlock(%s)", had.number)
            except Unavailable:
                self._drop()

    def _connected(self) -> psycopg.Connection:
        with translated():
            return connect(self._engine)

    def close(self) -> None:
        """Give back whatever is held."""
        with self._turn:
            self._drop()

    def _drop(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None


def _answer(on: psycopg.Connection, question: LiteralString, number: int) -> bool:
    with translated():
        row = on.execute(question, [number]).fetchone()
    return row is not None and row[0] is True
