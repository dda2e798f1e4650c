"""The audit trail: reads its newest events or all of them, and verifies that none has been changed.

* All events are read in pages, however many there are.
* The verification runs in one transaction, so that events recorded meanwhile do not disturb it.
* An event that cannot be read is reported in the same way as one that was changed.
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
"""The least number that the column can hold, so that an event inserted before the first is found too."""


class AuditTrail:
    """Reads and verifies the audit events.

    Args:
        store: the store.
    """

    def __init__(self, store: Store) -> None:
        self._store = store

    def newest(self, limit: int) -> list[AuditEvent]:
        """Return the latest events, the newest first.

        Raises:
            Conflict: one of them cannot be read.
        """
        with _reading("the newest events"), self._store.transaction(write=False) as tx:
            return tx.newest_events(limit)

    def events(self) -> Iterator[AuditEvent]:
        """Yield every event, the oldest first; no transaction stays open between pages.

        Raises:
            Conflict: one of them cannot be read.
        """
        return _in_order(self._page)

    def _page(self, after: int) -> list[AuditEvent]:
        with self._store.transaction(write=False) as tx:
            return _page(tx, after)

    def verify(self) -> int:
        """Verify all events, and return how many there are.

        Raises:
            Conflict: an event is missing or was changed; the message describes the first such event.
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
    with _reading(f"the events after event {max(after, 0)}"):
        return tx.events(after, PAGE)


@contextmanager
def _reading(which: str) -> Iterator[None]:
    try:
        yield
    except (TypeError, ValueError) as error:
        raise Conflict(f"One of {which} cannot be read, so it is not what was recorded.") from error
