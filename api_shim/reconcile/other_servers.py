"""What other servers of the same database have committed is followed here too, and workers hear of runs at any server.

* Who commits something follows it. What another server has committed is followed by the first that is free: by that
  one, or by this one if it still waits when this one looks. Each object has a lock.
* A run may be set to start at one server, and a worker be woken by another.
* Where the database was away, it is listened to again, after ever longer pauses; what was missed the loop finds.
* Who only answers requests follows nothing, and hears of workers alone.
* An SQLite database has one server, and nothing to be heard.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from datetime import datetime
from functools import partial
from typing import Any, TypeVar

from api_shim.domain.model import NEVER, Job, JobResult, PendingCleanup, ScheduledJob
from api_shim.reconcile.wake_queue import NOW, Kind, Thing, Wake
from api_shim.store import WORKERS, Notice, Notices, Store, Topic, Transaction
from approval_gate.errors import Unavailable

logger = logging.getLogger("signoff")

T = TypeVar("T")

AT_ONCE = 1000
"""How many notices one question to the store is about."""

SHORTEST_PAUSE = 1.0
LONGEST_PAUSE = 30.0
"""Seconds until the database is listened to again."""


class OtherServers:
    """Listens to the other servers of a database, and calls their workers.

    Args:
        store: what is true.
        wake: lets Prefect follow; None where others do that.
        wake_workers: wakes the workers of this server.
    """

    def __init__(self, store: Store, wake: Wake | None, wake_workers: Callable[[], None]) -> None:
        self._store = store
        self._wake = wake
        self._wake_workers = wake_workers
        self._workers_called = asyncio.Event()

    def call_workers(self) -> None:
        """Let workers that other servers wake look for runs; it returns at once, and is called in the event loop."""
        self._workers_called.set()

    async def run(self) -> None:
        """Listen and call until cancelled."""
        if (notices := self._store.notices) is None:
            return
        async with asyncio.TaskGroup() as group:
            group.create_task(self._listen(notices))
            group.create_task(self._pass_calls())

    async def _listen(self, notices: Notices) -> None:
        pause = SHORTEST_PAUSE
        while True:
            try:
                async with notices.listening() as heard:
                    pause = SHORTEST_PAUSE
                    while True:
                        await self._look(await heard())
            except Unavailable:
                logger.warning("What other servers do is not heard of now; it is listened to again in %g s.", pause)
            await asyncio.sleep(pause)
            pause = min(pause * 2, LONGEST_PAUSE)

    async def _pass_calls(self) -> None:
        while True:
            await self._workers_called.wait()
            self._workers_called.clear()
            try:
                await self._store.write(lambda tx: tx.tell(WORKERS))
            except Unavailable:
                logger.debug("Other servers could not be told of a run; their workers find it when they look.")

    async def _look(self, notices: list[Notice]) -> None:
        """Let be followed what still waits of all that was heard of."""
        if WORKERS in notices:
            self._wake_workers()
        if self._wake is None:
            return
        for start in range(0, len(notices), AT_ONCE):
            for thing, due in await self._store.read(partial(_waiting, notices[start : start + AT_ONCE])):
                self._wake(*thing, due)


def _waiting(notices: list[Notice], tx: Transaction) -> list[tuple[Thing, datetime]]:
    """Return what Prefect has not followed of all that was heard of, and when each is due."""

    def told(kind: type[T], topic: Topic, **by: Any) -> list[T]:
        ids = [notice.thing_id for notice in notices if notice.topic is topic]
        return tx.all(kind, id=ids, **by) if ids else []

    return [
        *(((Kind.JOB, job.id), NOW) for job in told(Job, Topic.JOB) if job.lags),
        *(((Kind.JOB_RESULT, each.id), NOW) for each in told(JobResult, Topic.JOB_RESULT, released=False)),
        *(
            ((Kind.SCHEDULED_JOB, row.id), row.start_time)
            for row in told(ScheduledJob, Topic.SCHEDULED_JOB)
            if row.lags
        ),
        *(((Kind.LEFTOVER, leftover.id), NEVER) for leftover in told(PendingCleanup, Topic.LEFTOVER)),
    ]
