"""Prefect's SQLite, with one transaction that writes at a time.

* SQLite has one writer. Prefect's transactions begin as readers, and of two that then write one fails at once, however
  long it would have waited. So each begins as a writer here, and waits for its turn, in the order in which they came.
* That holds for Prefect's services as for its API. With a few hundred runs that are late, a service that marks them
  would else fail as often as it succeeds, begin again every five seconds, and keep the runs themselves from starting.
* A transaction within another one of the same task waits for nobody, and begins as Prefect has it.
* What only reads goes on beside it. PostgreSQL needs none of this.
* A statement, with what it answers, is one errand to the thread that has the connection. SQLAlchemy goes four times:
  for a cursor, to execute, to fetch and to close. There are some ninety statements for each run.
* A connection is told once to stop. Told again when its thread has ended, as SQLAlchemy does when a call is cut off
  while its connection closes, it would wait for ever, and the server that ends with it.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from functools import cache
from typing import Any
from weakref import WeakKeyDictionary


class Turn:
    """One task at a time, which may take it again while it has it."""

    def __init__(self) -> None:
        self._lock = asyncio.Lock()
        self._owner: asyncio.Task[Any] | None = None

    @asynccontextmanager
    async def taken(self) -> AsyncIterator[bool]:
        """Wait for the turn, and have it while this is entered; yields whether this task had it already."""
        task = asyncio.current_task()
        if self._owner is task:
            yield True
            return
        async with self._lock:
            self._owner = task
            try:
                yield False
            finally:
                self._owner = None


_turns: WeakKeyDictionary[asyncio.AbstractEventLoop, Turn] = WeakKeyDictionary()


@cache
def write_in_turn() -> None:
    """Have Prefect's transactions on SQLite take turns in this process."""
    from prefect.server.database.configurations import AioSqliteConfiguration

    begin = AioSqliteConfiguration.begin_transaction

    @asynccontextmanager
    async def begin_in_turn(self: Any, session: Any, with_for_update: bool = False) -> AsyncIterator[Any]:
        turn = _turns.setdefault(asyncio.get_running_loop(), Turn())
        async with turn.taken() as within, begin(self, session, with_for_update=with_for_update or not within) as begun:
            yield begun

    AioSqliteConfiguration.begin_transaction = begin_in_turn  # type: ignore[method-assign]  # Prefect has no hook for it


@cache
def execute_in_one_errand() -> None:
    """Have SQLAlchemy's statements on SQLite be one errand each in this process."""
    from sqlalchemy.dialects.sqlite.aiosqlite import AsyncAdapt_aiosqlite_cursor

    in_four = AsyncAdapt_aiosqlite_cursor.execute

    def execute(self: Any, statement: Any, parameters: Any = None) -> None:
        if self.server_side:
            in_four(self, statement, parameters)
            return

        def everything() -> tuple[Any, deque[Any], Any, int]:
            with closing(self._connection._conn.cursor()) as cursor:
                cursor.execute(statement, () if parameters is None else parameters)
                rows = deque(cursor.fetchall() if cursor.description else ())
                return cursor.description, rows, cursor.lastrowid, cursor.rowcount

        try:
            self.description, self._rows, last, count = self.await_(self._connection._execute(everything))
        except Exception as error:
            self._adapt_connection._handle_exception(error)
        self.lastrowid, self.rowcount = (-1, -1) if self.description else (last, count)

    AsyncAdapt_aiosqlite_cursor.execute = execute  # type: ignore[method-assign,assignment]  # SQLAlchemy has no hook


@cache
def stop_once() -> None:
    """Have connections to SQLite that are told again to stop wait for their one end, in this process."""
    from aiosqlite import Connection

    stop = Connection.stop
    told: WeakKeyDictionary[Connection, asyncio.Future[Any] | None] = WeakKeyDictionary()

    def stop_unless_told(self: Connection) -> asyncio.Future[Any] | None:
        if self not in told:
            told[self] = stop(self)
        return told[self]

    Connection.stop = stop_unless_told  # type: ignore[method-assign]  # aiosqlite has no hook for it
