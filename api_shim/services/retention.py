"""Removes what has been over for a while: job results with their runs in Prefect, finished scheduled jobs, requests.

* Over is a run that has ended, and of which Prefect knows all. Finished is a scheduled job for one run that has had it,
  or that expired, is not enabled any more, and has no result left. A request for approval is over when it has been
  decided, and its scheduled job is gone. Everything else stays, however old.
* What goes is recorded, goes from Prefect, and stays known to have run, in the ways in which people delete it. The
  servers see to Prefect, and repeat that until it holds.
* It goes in batches, each one transaction, and one that is interrupted is gone on with. Between them is a pause: who
  waits to write to SQLite asks only now and then whether they may, and would never come at the right moment.
* A setting has the services do so every hour, one of them at a time. One that is told to end does so after its batch.
* The audit is not cut: every other proof goes back to its first event.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import partial
from uuid import UUID

import anyio.to_thread

from api_shim.domain.audit import Author, EventType, LocalAdministrator, scheduled_job_event
from api_shim.domain.model import ApprovalRequest, JobResult, ScheduledJob
from api_shim.services.results import delete_results
from api_shim.services.schedules import delete_rows
from api_shim.store import Duty, HeldElsewhere, Store, Transaction
from approval_gate.errors import Unavailable

logger = logging.getLogger("signoff")

EVERY = timedelta(hours=1)
"""How often what has been over for long enough is removed, where a setting says how long that is."""
BY_SETTING = LocalAdministrator("retention setting")
"""Who removes it, for the audit."""
BATCH = 200
PAUSE = 0.15
"""Seconds between batches, and no fewer than the last one took: SQLite has its writers ask at least every 0.1."""

Work = Callable[[list[UUID], Transaction], int]
"""Removes what has these ids, if it still may, and returns how much that was."""


@dataclass(frozen=True, slots=True)
class Amount:
    """How much is, or was, to go.

    Args:
        results: how many job results.
        schedules: how many scheduled jobs.
        requests: how many requests for approval.
    """

    results: int = 0
    schedules: int = 0
    requests: int = 0

    def __str__(self) -> str:
        named = {"job result": self.results, "scheduled job": self.schedules, "decided request": self.requests}
        *first, last = (f"{count} {name}(s)" for name, count in named.items())
        return f"{', '.join(first)} and {last}"

    @property
    def total(self) -> int:
        """How much that is together."""
        return self.results + self.schedules + self.requests


class Retention:
    """Counts and removes.

    Args:
        store: what is true.
        by: who removes.
        sleep: waits for so many seconds.
        seconds: counts them.
    """

    def __init__(
        self,
        store: Store,
        by: Author,
        sleep: Callable[[float], None] = time.sleep,
        seconds: Callable[[], float] = time.monotonic,
    ) -> None:
        self._store = store
        self._by = by
        self._sleep = sleep
        self._seconds = seconds

    def amount(self, before: datetime) -> Amount:
        """Return how much was over before that moment, and would go."""
        with self._store.transaction(write=False) as tx:
            return Amount(tx.count_over(before), tx.count_finished(before), tx.count_settled(before))

    def prune(self, before: datetime, now: datetime, tell: Callable[[Amount], None] = lambda _: None) -> Amount:
        """Remove what was over before that moment.

        Args:
            before: the moment, aware.
            now: the time.
            tell: is called after each batch, with what has gone so far.

        Returns:
            how much has gone.
        """
        gone = Amount()
        for count in self._batches(lambda tx: tx.over(before, BATCH), partial(self._results, now)):
            gone = Amount(gone.results + count)
            tell(gone)
        for count in self._batches(lambda tx: tx.finished(before, BATCH), partial(self._schedules, now)):
            gone = Amount(gone.results, gone.schedules + count)
            tell(gone)
        for count in self._batches(lambda tx: tx.settled(before, BATCH), self._requests):
            gone = replace(gone, requests=gone.requests + count)
            tell(gone)
        return gone

    def _batches(self, find: Callable[[Transaction], list[UUID]], work: Work) -> Iterator[int]:
        """Work until nothing is found any more; yield how much went with each batch."""
        while True:
            begun = self._seconds()
            with self._store.transaction() as tx:
                ids = find(tx)
                count = work(ids, tx)
            if not ids:
                return
            yield count
            self._sleep(max(PAUSE, self._seconds() - begun))

    def _results(self, now: datetime, ids: list[UUID], tx: Transaction) -> int:
        # In order, so that two who delete the same at once never wait for each other.
        found = tx.all(JobResult, order="id", lock=True, id=ids)
        delete_results(found, self._by, now, tx)
        return len(found)

    def _schedules(self, now: datetime, ids: list[UUID], tx: Transaction) -> int:
        # Somebody may have changed one meanwhile.
        found = [row for row in tx.all(ScheduledJob, order="id", lock=True, id=ids) if not row.enabled]
        for row in found:
            tx.record(scheduled_job_event(row, EventType.DELETED, now, self._by))
        delete_rows(tx, found, f"Deleted by {self._by.username}.", now)
        return len(found)

    def _requests(self, ids: list[UUID], tx: Transaction) -> int:
        tx.remove_all(ApprovalRequest, ids)
        return len(ids)


class _Ending(Exception):
    """The process is about to end."""


class RetentionLoop:
    """Removes every hour what has been over for a while.

    Args:
        store: what is true.
        kept: how long it is kept.
        clock: returns the current time, aware.
    """

    def __init__(self, store: Store, kept: timedelta, clock: Callable[[], datetime]) -> None:
        self._store = store
        self._kept = kept
        self._clock = clock
        self._ending = threading.Event()

    async def run(self) -> None:
        """Do so until cancelled."""
        try:
            while True:
                await self.prune()
                await asyncio.sleep(EVERY.total_seconds())
        finally:
            self._ending.set()

    async def prune(self) -> None:
        """Do so once, unless another server does."""
        try:
            with suppress(HeldElsewhere, _Ending):
                async with self._store.locks.held(Duty.PRUNE):
                    await self._prune()
        except Unavailable as error:
            logger.warning("What has been over for a while is not removed yet: %s", error)
        except Exception:
            logger.exception("What has been over for a while could not be removed, which is tried again.")

    async def _prune(self) -> None:
        now = self._clock()
        before = now - self._kept
        retention = Retention(self._store, BY_SETTING, self._sleep)
        removing = asyncio.ensure_future(anyio.to_thread.run_sync(retention.prune, before, now))
        try:
            gone = await asyncio.shield(removing)
        except asyncio.CancelledError:
            # The batch that is being removed is waited for: it needs the database that is about to be closed.
            self._ending.set()
            await asyncio.gather(removing, return_exceptions=True)
            raise
        if gone != Amount():
            logger.info("Removed %s that ended before %s.", gone, f"{before:%Y-%m-%d %H:%M} UTC")

    def _sleep(self, seconds: float) -> None:
        if self._ending.wait(seconds):
            raise _Ending
