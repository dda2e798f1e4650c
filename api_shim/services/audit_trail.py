"""The audit trail: reads its newest events or all of them, exports them, and verifies that none has been changed.

* All events are read in pages, however many there are.
* The verification runs in one transaction, so that events recorded meanwhile do not disturb it.
* An event that cannot be read is reported in the same way as one that was changed.
* Whoever has the key can sign a history of their own. That only a head or an export shows that was kept elsewhere; so
  the audit can be verified against either.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import takewhile
from typing import Any

from api_shim.domain.audit import AuditEvent, AuditHead, EventType, fault
from api_shim.domain.audit_export import Export, exported
from api_shim.store import Seal, Store, Transaction
from approval_gate.errors import Conflict

PAGE = 500
"""How many events are read at once."""
ALL_THERE_ARE = 1000
"""Of events that hardly ever happen."""
BELOW_ALL = -(2**31)
"""The least number that the column can hold, so that an event inserted before the first is found too."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Verified:
    """What a verification has found: nothing that is wrong.

    Args:
        count: how many events there are.
        key: the public half of the key that signed the head; empty for an audit that is not signed.
        signed_from: the number of the first event whose head was signed.
        accepted: the events after which the audit was gone on with although its end was not as it should be.
    """

    count: int
    key: str
    signed_from: int
    accepted: list[AuditEvent]


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
        with reading("the newest events"), self._store.transaction(write=False) as tx:
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

    def export(self) -> Iterator[dict[str, Any]]:
        """Yield every event in JSON form, the oldest first; the last with the signature of the audit's head.

        Raises:
            Conflict: one of them cannot be read, or the audit has no head.
        """
        with self._store.transaction(write=False) as tx:
            head = _head(tx)
        # What is recorded meanwhile has another head.
        return exported(takewhile(lambda event: event.number <= head.number, self.events()), head)

    def verify(self, *, against: Export | None = None, known: str | None = None) -> Verified:
        """Verify all events, and the signature of the head.

        Args:
            against: an export that the audit must contain.
            known: the hash of an event that the audit must contain, as that of a head that was kept elsewhere.

        Raises:
            Conflict: an event is missing or was changed, or the head was not signed; the message describes the first
                such event.
        """
        with self._store.transaction(write=False) as tx:
            head = _head(tx)
            wrong = next(filter(None, _faults(tx, head, self._store.seal, against, known)), "")
            if wrong:
                raise Conflict(wrong)
            return Verified(
                count=head.number,
                key=head.key,
                signed_from=_signed_from(tx),
                accepted=tx.newest_events(ALL_THERE_ARE, act=EventType.AUDIT_ACCEPTED)[::-1],
            )


def _faults(
    tx: Transaction, head: AuditHead, seal: Seal | None, against: Export | None, known: str | None
) -> Iterator[str]:
    """Yield what is wrong with the audit, in sentences, and empty ones where nothing is."""
    if against is not None:
        # First, for it knows which event has been rewritten; what was changed without the key has no such end.
        genuine = seal is not None and against.is_genuine(seal.key, _signed_from(tx))
        yield "" if genuine else "The export is not signed with the key of this audit."
        yield against.fault(_all(tx))
    yield fault(_all(tx), head)
    yield seal.fault(tx) if seal is not None else ""
    if known is not None and not tx.exists(AuditEvent, hash=known):
        yield f"No event has the hash {known}: the audit has been rewritten or set back since."


def _head(tx: Transaction) -> AuditHead:
    try:
        return tx.audit_head()
    except LookupError as error:
        raise Conflict(str(error)) from error


def _signed_from(tx: Transaction) -> int:
    with reading("the events on the audit itself"):
        began = tx.last_event([EventType.AUDIT_SIGNED])
    return began.number if began is not None else 1


def _all(tx: Transaction) -> Iterator[AuditEvent]:
    return _in_order(partial(_page, tx))


def _in_order(page: Callable[[int], list[AuditEvent]]) -> Iterator[AuditEvent]:
    last = BELOW_ALL
    while found := page(last):
        yield from found
        last = found[-1].number


def _page(tx: Transaction, after: int) -> list[AuditEvent]:
    with reading(f"the events after event {max(after, 0)}"):
        return tx.events(after, PAGE)


@contextmanager
def reading(which: str) -> Iterator[None]:
    """Read events while this is entered.

    Args:
        which: which events, in a sentence.

    Raises:
        Conflict: one of them cannot be read.
    """
    try:
        yield
    except (TypeError, ValueError) as error:
        raise Conflict(f"One of {which} cannot be read, so it is not what was recorded.") from error
