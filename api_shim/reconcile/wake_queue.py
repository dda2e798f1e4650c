"""What commits have left for Prefect to follow: followed at once, the most urgent first, several at a time.

* A commit wakes what it has changed. What waits already is not queued twice; what is being followed just then is
  followed once more.
* What is due earlier goes first; of what is due at the same time, what was woken first.
* What a request has woken is followed as part of it, so that its id, and its trace, come as far as Prefect.
* What is due later lets people's requests go first, though not for ever.
* What fails is tried again ever more rarely when the loop finds it, and at once when a commit changes it.
* The queue is in memory and may be lost: the loop finds in the store whatever has not been followed.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from itertools import count
from typing import Protocol
from uuid import UUID

from opentelemetry.trace import get_tracer

from api_shim.domain.request_id import Cause, current_cause, within_cause
from api_shim.metrics import PROJECTION_LAG
from api_shim.reconcile.load import Load

logger = logging.getLogger("signoff")
tracer = get_tracer("signoff")

AT_ONCE = 8
"""How many things are followed at the same time."""

SOON = timedelta(minutes=1)
"""What is due within this does not wait for a lull."""
LETS_GO_FIRST = timedelta(minutes=1)
"""How long what is due later lets people's requests go first."""
LOOKS_AGAIN = 0.02
"""Seconds until it is looked again whether there is a lull."""

LONGEST_PAUSE = timedelta(seconds=60)
SHORTEST_PAUSE = timedelta(seconds=1)

NOW = datetime.min.replace(tzinfo=UTC)
"""Before everything that has a time."""


class Kind(StrEnum):
    """What can be followed.

    What was changed here has been followed when Prefect is level with it, whichever server saw to that. What was found
    to differ in Prefect is looked at there.
    """

    JOB = "job"
    JOB_DIFFERS = "job that differs in Prefect"
    SCHEDULED_JOB = "scheduled job"
    SCHEDULED_JOB_DIFFERS = "scheduled job that differs in Prefect"
    JOB_RESULT = "job result"
    LEFTOVER = "leftover"
    SPENT = "spent"
    LOST_RUN = "lost run"


Thing = tuple[Kind, UUID]


class Wake(Protocol):
    """Tells whoever follows that a commit has changed something; it returns at once."""

    def __call__(self, kind: Kind, thing_id: UUID, due: datetime = NOW) -> None:
        """Let this be followed.

        Args:
            kind: what it is.
            thing_id: its id.
            due: when it is to have an effect, aware; now if not given.
        """


class WorkQueue:
    """What waits to be followed.

    Args:
        follow: brings Prefect into line for one thing; it may be called for several at the same time.
        clock: tells the time, aware.
        load: how busy this process is.
    """

    def __init__(
        self,
        follow: Callable[[Kind, UUID], Awaitable[None]],
        clock: Callable[[], datetime],
        load: Load | None = None,
    ) -> None:
        self._follow = follow
        self._clock = clock
        self._load = load or Load()
        self._numbers = count()
        self._queue: asyncio.PriorityQueue[tuple[datetime, int, Kind, UUID]] = asyncio.PriorityQueue()
        # The place of each in the queue; an entry that is not the newest of its thing has been overtaken.
        self._waiting: dict[Thing, tuple[datetime, int]] = {}
        self._under_way: set[Thing] = set()
        self._again: dict[Thing, datetime] = {}
        self._first_woken: dict[Thing, datetime] = {}
        self._woken_by: dict[Thing, Cause] = {}
        self._failed: dict[Thing, tuple[datetime, timedelta]] = {}

    def wake(self, kind: Kind, thing_id: UUID, due: datetime = NOW) -> None:
        """Let this be followed; within the event loop only. See ``Wake``."""
        thing = kind, thing_id
        if (cause := current_cause()).request_id or thing not in self._woken_by:
            self._woken_by[thing] = cause
        if thing in self._under_way:
            self._again[thing] = min(due, self._again.get(thing, due))
            return
        place = self._waiting.get(thing)
        self._first_woken.setdefault(thing, self._clock())
        if place is None or due < place[0]:
            self._waiting[thing] = due, next(self._numbers)
            self._queue.put_nowait((*self._waiting[thing], *thing))

    def retry(self, kind: Kind, thing_id: UUID, due: datetime = NOW) -> None:
        """Let this be followed, unless it has failed too short a while ago. See ``Wake``."""
        not_before, _ = self._failed.get((kind, thing_id), (NOW, None))
        if self._clock() >= not_before:
            self.wake(kind, thing_id, due)

    async def run(self) -> None:
        """Follow what is woken until cancelled."""
        async with asyncio.TaskGroup() as group:
            for _ in range(AT_ONCE):
                group.create_task(self._work())

    async def _work(self) -> None:
        while True:
            await self._next()

    async def drain(self) -> None:
        """Follow what waits, one after the other, until nothing does."""
        while not self._queue.empty():
            await self._next()

    async def settled(self) -> None:
        """Wait until ``run`` has followed everything that waits."""
        await self._queue.join()

    async def _next(self) -> None:
        due, number, *_ = entry = await self._queue.get()
        thing = entry[2:]
        try:
            if self._waiting.get(thing) != (due, number):
                return
            if self._lets_go_first(thing, due):
                self._queue.put_nowait(entry)
                await asyncio.sleep(LOOKS_AGAIN)
                return
            del self._waiting[thing]
            await self._followed(thing)
        finally:
            self._queue.task_done()

    def _lets_go_first(self, thing: Thing, due: datetime) -> bool:
        now = self._clock()
        waits_long = now - self._first_woken[thing] > LETS_GO_FIRST
        return due > now + SOON and not waits_long and not self._load.is_quiet()

    async def _followed(self, thing: Thing) -> None:
        self._under_way.add(thing)
        woken_by = self._woken_by.pop(thing, Cause())
        told = {"signoff.id": str(thing[1])}
        try:
            with within_cause(woken_by), tracer.start_as_current_span(f"follow {thing[0]}", attributes=told):
                await self._try(thing, woken_by)
        finally:
            self._under_way.discard(thing)
            if (again := self._again.pop(thing, None)) is not None:
                self.wake(*thing, again)

    async def _try(self, thing: Thing, woken_by: Cause) -> None:
        try:
            await self._follow(*thing)
        except Exception as error:
            _, pause = self._failed.get(thing, (NOW, timedelta(0)))
            pause = min(LONGEST_PAUSE, max(SHORTEST_PAUSE, pause * 2))
            self._failed[thing] = self._clock() + pause, pause
            self._woken_by.setdefault(thing, woken_by)
            logger.warning("Prefect will follow later for the %s %s: %s", *thing, error, exc_info=True)
        else:
            self._failed.pop(thing, None)
            PROJECTION_LAG.observe((self._clock() - self._first_woken.pop(thing)).total_seconds())
