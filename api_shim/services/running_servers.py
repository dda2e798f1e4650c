"""Which servers run, which Jobs each has, and whether any makes Prefect follow, as far as they have told.

* A server tells at its start and every minute. One that has told nothing for a while is not there any more, nor is
  one of the same place whose process has ended: a server that starts again takes the place of the one before, at once.
* While the database or this server stood still, nobody could tell: that silence says nothing of the others.
* A server that was thought to be gone, and tells again, is there again, and of its place as before.
* Services tell that they make Prefect follow, every few seconds. A server that does not do so itself looks as often, so
  that it can say since when nobody does.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import UUID

from api_shim.domain.model import HeldJob, RunningServer
from api_shim.store import Store, Transaction
from api_shim.worker.process import is_alive
from approval_gate.errors import Unavailable

logger = logging.getLogger("signoff")

FOLLOWS_EVERY = timedelta(seconds=10)
"""How often it is told that somebody makes Prefect follow, and looked."""
FOLLOWED_WITHIN = timedelta(minutes=1)
"""How long after it was last told nobody counts as doing so."""
EVER = datetime.min.replace(tzinfo=UTC)
"""Before all that was ever told."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ThisServer:
    """A server, as it tells of itself.

    Args:
        id: of this process, for as long as it runs.
        place: where it runs; another server of the same place runs on the same machine, or is gone.
        process: the number of its process there.
        silent_after: how long after it was last heard of a server is there.
        is_alive: says whether a process of this machine is there.
    """

    id: UUID
    place: str
    process: int
    silent_after: timedelta
    is_alive: Callable[[int], bool] = is_alive

    def has_gone(self, other: RunningServer, now: datetime, since: datetime) -> bool:
        """Say whether another server is not there any more.

        Args:
            other: the other one.
            now: the time.
            since: silence before that says nothing.
        """
        if now - max(other.seen, since) > self.silent_after:
            return True
        return other.place == self.place and (other.process == self.process or not self.is_alive(other.process))


def held_elsewhere(tx: Transaction, me: ThisServer, now: datetime, since: datetime = EVER) -> set[UUID]:
    """Forget the servers that have gone, and return the ids of the Jobs that the others have; see ``has_gone``."""
    others = [each for each in tx.all(RunningServer) if each.id != me.id]
    tx.remove_all(RunningServer, [each.id for each in others if me.has_gone(each, now, since)])
    there = {each.id for each in others if not me.has_gone(each, now, since)}
    return {held.job_id for held in tx.all(HeldJob, server_id=there)}


def tell(tx: Transaction, me: ThisServer, job_ids: Collection[UUID], now: datetime) -> None:
    """Tell that this server is there, and which Jobs it has."""
    told = RunningServer(id=me.id, place=me.place, process=me.process, seen=now)
    tx.add_missing([told])
    # With its place: where the server was forgotten, or had not told yet, ``tell_following`` adds it in none.
    tx.change(told, seen=now, place=me.place)
    tx.add_missing([HeldJob(server_id=me.id, job_id=job_id) for job_id in job_ids])


def tell_following(tx: Transaction, me: ThisServer, now: datetime) -> None:
    """Tell that this process makes Prefect follow."""
    # In no place, or a server with the same home folder would take it for one that was there before.
    told = RunningServer(id=me.id, place="", process=me.process, seen=now)
    tx.add_missing([told])
    tx.change(told, seen=now, followed=now)


class Following:
    """Knows whether any process makes Prefect follow.

    Args:
        store: where they tell.
        clock: tells the time, aware.
    """

    def __init__(self, store: Store, clock: Callable[[], datetime]) -> None:
        self._store = store
        self._clock = clock
        self._heard = self._looked = clock()

    async def run(self) -> None:
        """Look every now and then until cancelled."""
        while True:
            try:
                await self.look()
            except Unavailable as error:
                logger.debug("It is not known whether services are there: %s", error)
            await asyncio.sleep(FOLLOWS_EVERY.total_seconds())

    async def look(self) -> None:
        """Read when somebody last told.

        Raises:
            Unavailable: the store cannot be read.
        """
        servers = await self._store.read(lambda tx: tx.all(RunningServer))
        now = self._clock()
        if now - self._looked > 3 * FOLLOWS_EVERY:
            # The database or this server stood still, and so could nobody tell.
            self._heard = now
        self._heard = max([self._heard, *(each.followed for each in servers if each.followed is not None)])
        self._looked = now

    def away_since(self) -> datetime | None:
        """Return since when nobody has made Prefect follow; None if somebody does, or that is not known."""
        return self._heard if self._looked - self._heard >= FOLLOWED_WITHIN else None
