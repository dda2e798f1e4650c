"""Reads the audit: the newest events, all of them in order, and whether they are what was recorded.

* All of them are read in pages, however many there are.
* The check sees one moment, so that what is recorded meanwhile is no fault.
* An event that cannot even be read is told of like any other that was changed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from api_shim.domain.audit import AuditEvent, fault
from api_shim.store import Store, Transaction
from approval_gate.errors import Conflict

PAGE = 500
"""How many events are read at once."""
BELOW_ALL = -(2**31)
"""The least number of a column: an event that somebody put before the first is to be found too."""


class AuditTrail:
    """All that was recorded.

    Args:
        store: what is true.
    """

    def __init__(self, store: Store) -> None:
        self._store = store

    def newest(self, limit: int) -> list[AuditEvent]:
        """Return the last events, the newest first.

        Raises:
            Conflict: one of them cannot be read.
        """
        with _legible("the newest events"), self._store.transaction(write=False) as tx:
            return tx.newest_events(limit)

    def events(self) -> Iterator[AuditEvent]:
        """Yield every event, the oldest first; no transaction stays open for who takes his time.

        Raises:
            Conflict: one of them cannot be read.
        """
        return _in_order(self._page)

    def _page(self, after: int) -> list[AuditEvent]:
        with self._store.transaction(write=False) as tx:
            return _page(tx, after)

    def verify(self) -> int:
        """Return how many events there are, all of them as they were recorded.

        Raises:
            Conflict: they are not; the sentence tells of the first fault.
        """
        with self._store.transaction(write=False) as tx:
            try:
                head = tx.audit_head()
            except LookupError as error:
                raise Conflict(str(error)) from error
            wrong = fault(_in_order(lambda after: _page(tx, after)), head)
        if wrong:
            raise Conflict(wrong)
        return head.number


def _in_order(page: Callable[[int], list[AuditEvent]]) -> Iterator[AuditEvent]:
    last = BELOW_ALL
    while found := page(last):
        yield from found
        last = found[-1].number


def _page(tx: Transaction, after: int) -> list[AuditEvent]:
    with _legible(f"the events after event {max(after, 0)}"):
        return tx.events(after, PAGE)


@contextmanager
def _legible(which: str) -> Iterator[None]:
    try:
        yield
    except (TypeError, ValueError) as error:
        raise Conflict(f"One of {which} cannot be read, so it is not what was recorded.") from error
