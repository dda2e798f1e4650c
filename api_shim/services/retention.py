"""Removes what has been over for a while: job results with their runs in Prefect, and scheduled jobs that are finished.

* Over is a run that has ended, and of which Prefect knows all. Finished is a scheduled job for one run that has had it,
  or that expired, is not enabled any more, and has no result left. Everything else stays, however old.
* What goes is recorded, goes from Prefect, and stays known to have run, in the ways in which people delete it. The
  servers see to Prefect, and repeat that until it holds.
* It goes in batches, each one transaction: servers work between them, and one that is interrupted is gone on with.
* The audit is not cut: every other proof goes back to its first event.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from api_shim.domain.audit import Author, EventType, scheduled_job_event
from api_shim.domain.model import JobResult, ScheduledJob
from api_shim.services.results import delete_results
from api_shim.services.schedules import delete_rows
from api_shim.store import Store, Transaction

BATCH = 200


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
    """

    def __init__(self, store: Store, by: Author) -> None:
        self._store = store
        self._by = by

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
        while count := self._batch(lambda tx: self._results(before, now, tx)):
            gone = Amount(gone.results + count)
            tell(gone)
        while count := self._batch(lambda tx: self._schedules(before, now, tx)):
            gone = Amount(gone.results, gone.schedules + count)
            tell(gone)
        return gone

    def _batch(self, work: Callable[[Transaction], int]) -> int:
        with self._store.transaction() as tx:
            return work(tx)

    def _results(self, before: datetime, now: datetime, tx: Transaction) -> int:
        # In order, so that two who delete the same at once never wait for each other.
        found = tx.all(JobResult, order="id", lock=True, id=tx.over(before, BATCH))
        delete_results(found, self._by, now, tx)
        return len(found)

    def _schedules(self, before: datetime, now: datetime, tx: Transaction) -> int:
        ids = tx.finished(before, BATCH)
        # Somebody may have changed one meanwhile.
        found = [row for row in tx.all(ScheduledJob, order="id", lock=True, id=ids) if not row.enabled]
        for row in found:
            tx.record(scheduled_job_event(row, EventType.DELETED, now, self._by))
        delete_rows(tx, found, f"Deleted by {self._by.username}.")
        return len(found)
