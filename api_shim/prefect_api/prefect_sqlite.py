"""Prefect's SQLite, with one transaction that writes at a time.

* SQLite has one writer. Prefect's transactions begin as readers, and of two that then write one fails at once, however
  long it would have waited. So each begins as a writer here, and waits for its turn, in the order in which they came.
* That holds for Prefect's services as for its API. With a few hundred runs that are late, a service that marks them
  would else fail as often as it succeeds, begin again every five seconds, and keep the runs themselves from starting.
* A transaction within another one of the same task waits for nobody, and begins as Prefect has it.
* What only reads goes on beside it. PostgreSQL needs none of this.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
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
