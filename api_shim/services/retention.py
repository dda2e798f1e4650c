"""Removes what has been over for a while: job results with their runs in Prefect, and scheduled jobs that are finished.

* Over is a run that has ended, and of which Prefect knows all. Finished is a scheduled job for one run that has had it,
  or that expired, is not enabled any more, and has no result left. Everything else stays, however old.
* What goes is recorded, goes from Prefect, and stays known to have run, in the ways in which people delete it. The
  servers see to Prefect, and repeat that until it holds.
* It goes in batches, each one transaction, and one that is interrupted is gone on with. Between them is a pause: who
  waits to write to SQLite asks only now and then whether they may, and would never come at the right moment.
* The audit is not cut: every other proof goes back to its first event.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from uuid import UUID

from api_shim.domain.audit import Author, EventType, scheduled_job_event
from api_shim.domain.model import JobResult, ScheduledJob
from api_shim.services.results import delete_results
from api_shim.services.schedules import delete_rows
from api_shim.store import Store, Transaction

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
    """

    results: int = 0
    schedules: int = 0


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
            return Amount(tx.count_over(before), tx.count_finished(before))

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
