"""Which servers run, and which Jobs each has, as far as they have told.

* A server tells at its start and every minute. One that has told nothing for a while is not there any more, nor is
  one of the same place whose process has ended: a server that starts again takes the place of the one before, at once.
* While the database or this server stood still, nobody could tell: that silence says nothing of the others.
* A server that was thought to be gone, and tells again, is there again.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import UUID

from api_shim.domain.model import HeldJob, RunningServer
from api_shim.store import Transaction
from api_shim.worker.process import is_alive

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
    tx.change(told, seen=now)
    tx.add_missing([HeldJob(server_id=me.id, job_id=job_id) for job_id in job_ids])
