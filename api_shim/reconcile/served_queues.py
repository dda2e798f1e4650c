"""Which work queues a worker serves, and which workers have gone, known from a look at Prefect a few seconds ago.

* Nobody who asks for a run waits for Prefect: what it last said counts, as long as that is fresh. So does what this
  server has heard: under load, Prefect writes down only later that a worker has asked.
* Unknown is not “none”: while Prefect is silent, and until the workers have had the time to come back after this server
  has started, runs are accepted and wait.
* A worker that has not told for 30 seconds that it is there has gone; and so has one that Prefect does not know. While
  Prefect, its database or this server stood still there may have been nobody to tell: those seconds do not count.
* Prefect is away when it has not answered such a look for a while.
* A queue is served by workers of its own work pool; one of its name in another pool is another queue.

Contract 4.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Collection, Mapping
from datetime import datetime, timedelta
from itertools import chain

from api_shim.domain.ports import Orchestrator
from api_shim.reconcile.desired_state import Pools
from approval_gate.errors import Unavailable

logger = logging.getLogger("signoff")

EVERY = 5.0
"""Seconds between two looks."""
FRESH = timedelta(seconds=10)
"""How long a look says that there is no worker."""
SILENT_AFTER = timedelta(seconds=30)
"""How long after its last poll of a queue a worker counts as gone; the slowest that we know poll every 15 seconds.

Prefect notes polls at most every ten seconds (``prefect_polls``), so what it says of one of those is at most 25 seconds
old. The same holds for a worker's heartbeat, which ours send every 10 seconds.
"""
AWAY_AFTER = timedelta(seconds=15)
"""How long Prefect may not answer before it counts as away; one that is only busy answers sooner."""
COMES_BACK_WITHIN = timedelta(seconds=30)
"""How long after the start of this server workers may take to come back."""


async def in_one_pool() -> Pools:
    """Say that every queue belongs to the work pool of the server."""
    return {}


class ServedQueues:
    """What is known of who serves the queues.

    Args:
        engine: Prefect.
        clock: tells the time, aware.
        patience: how long after now, or after a while without a look, workers may take to come back.
        pools: returns the work pools of the queues.
    """

    def __init__(
        self,
        engine: Orchestrator,
        clock: Callable[[], datetime],
        patience: timedelta = COMES_BACK_WITHIN,
        pools: Callable[[], Awaitable[Pools]] = in_one_pool,
    ) -> None:
        self._engine = engine
        self._clock = clock
        self._pools_of = pools
        self._pools: Pools = {}
        self._began = clock()
        self._patience = patience
        self._looked: datetime | None = None
        self._looking_since = self._began
        self._unanswered: datetime | None = None
        self._polls: Mapping[str, datetime | None] = {}
        self._heard: dict[str, datetime] = {}
        self._heartbeats: Mapping[str, datetime] = {}

    async def run(self) -> None:
        """Look every now and then until cancelled."""
        while True:
            try:
                await self.look()
            except Unavailable:
                logger.debug("Prefect does not say which queues are served.")
            await asyncio.sleep(EVERY)

    async def look(self) -> None:
        """Ask Prefect.

        Raises:
            Unavailable: it does not answer.
        """
        now = self._clock()
        pools = await self._pools_of()
        self._unanswered = self._unanswered or now
        polls = {pool: await self._engine.queue_polls(pool) for pool in {"", *pools.values()}}
        beats = [await self._engine.worker_heartbeats(pool) for pool in polls]
        own = {queue: polled for queue, polled in polls[""].items() if queue not in pools}
        self._polls = own | {queue: polls[pool].get(queue) for queue, pool in pools.items()}
        # Of workers that are called alike in two pools the newer counts: nothing is ended that may go on.
        self._heartbeats = {
            name: max(each[name] for each in beats if name in each) for name in {*chain.from_iterable(beats)}
        }
        self._pools = pools
        if not self._is_fresh(now):
            self._looking_since = now
        self._looked, self._unanswered = now, None

    def away_since(self) -> datetime | None:
        """Return since when Prefect has not answered; None if it does, or has been silent for a short while only."""
        since = self._unanswered
        return since if since is not None and self._clock() - since >= AWAY_AFTER else None

    def heard(self, queues: Collection[str], pool: str = "") -> None:
        """Note that a worker has just asked for runs, of these queues of a work pool or of all that are known."""
        asked = [queue for queue in queues or self._polls if self._pools.get(queue, "") == pool]
        self._heard |= dict.fromkeys(asked, self._clock())

    def is_served(self, queue: str) -> bool | None:
        """Say whether a worker serves this queue; None if that is not known."""
        now = self._clock()
        for polled in (self._heard.get(queue), self._polls.get(queue)):
            if polled is not None and now - polled < SILENT_AFTER:
                return True
        return False if self._is_fresh(now) and self._workers_are_back(now) else None

    def has_gone(self, worker: str) -> bool:
        """Say whether the worker of this name is known to be there no more."""
        now = self._clock()
        heartbeat = self._heartbeats.get(worker)
        if heartbeat is not None and now - heartbeat < SILENT_AFTER:
            return False
        return self._is_fresh(now) and now - self._looking_since >= self._patience

    def has_lost_one_since(self, then: datetime) -> bool:
        """Say whether a worker has been silent for so long since then that it counts as gone.

        Args:
            then: aware.
        """
        silent = self._clock() - SILENT_AFTER
        return any(then - SILENT_AFTER < heartbeat <= silent for heartbeat in self._heartbeats.values())

    def _is_fresh(self, now: datetime) -> bool:
        return self._looked is not None and now - self._looked <= FRESH

    def _workers_are_back(self, now: datetime) -> bool:
        seen = any(polled is not None and polled > self._began for polled in self._polls.values())
        return seen or now - self._began >= self._patience
