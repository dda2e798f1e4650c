"""The audit on the pages: its events by who, what and when, its verification, and its export.

* This is for superusers; for others there is no audit.
* A verification reads all events, so that only one of them goes on at a time.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain
from typing import Any
from uuid import UUID

import anyio

from api_shim.domain.audit import AuditEvent
from api_shim.domain.query import Condition
from api_shim.services.audit_trail import AuditTrail, Verified, reading
from api_shim.store import Store, Transaction
from approval_gate import policy
from approval_gate.model import Action, Actor, ObjectType

USER, SCHEDULED_JOB = ObjectType.USER, ObjectType.SCHEDULED_JOB


@dataclass(frozen=True, kw_only=True, slots=True)
class AuditPage:
    """A page of the audit.

    Args:
        events: the events, the newest first.
        older: the number before which the next page begins; None if there is none.
        scheduled: the ids of the scheduled jobs among them that there still are.
    """

    events: Sequence[AuditEvent]
    older: int | None
    scheduled: set[UUID]


class AuditReading:
    """Reads the audit for people.

    Args:
        store: the store.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._trail = AuditTrail(store)
        self._one = anyio.CapacityLimiter(1)

    async def page(self, actor: Actor, where: Sequence[Condition], before: int | None, limit: int) -> AuditPage:
        """Return a page of the audit.

        Args:
            actor: who asks.
            where: what the events must fulfil.
            before: the number that they come before; None for the newest.
            limit: the most events.

        Raises:
            NotFound: the actor is no superuser.
            Conflict: an event cannot be read.
        """
        policy.enforce(policy.may_administer(actor), USER)
        return await self._store.read(partial(_page, actor, where, before, limit))

    async def verify(self, actor: Actor) -> Verified:
        """Verify all events, and the signature of the head.

        Raises:
            NotFound: the actor is no superuser.
            Conflict: an event is missing or was changed, or the head was not signed; the message says which.
        """
        policy.enforce(policy.may_administer(actor), USER)
        return await anyio.to_thread.run_sync(self._trail.verify, limiter=self._one)

    async def export(self, actor: Actor) -> Iterator[dict[str, Any]]:
        """Return every event in JSON form, the oldest first; the last with the signature of the audit's head.

        Raises:
            NotFound: the actor is no superuser.
            Conflict: an event cannot be read, or the audit has no head.
        """
        policy.enforce(policy.may_administer(actor), USER)
        lines = self._trail.export()
        # What is wrong with the end of the audit is told before the first line.
        first = await anyio.to_thread.run_sync(partial(next, lines, None))
        return chain([] if first is None else [first], lines)


def _page(actor: Actor, where: Sequence[Condition], before: int | None, limit: int, tx: Transaction) -> AuditPage:
    with reading("these events"):
        found = tx.asked_events(where, before, limit + 1)
    events = found[:limit]
    ids = {event.scheduled_job_id for event in events if event.scheduled_job_id is not None}
    return AuditPage(
        events=events,
        older=events[-1].number if len(found) > limit else None,
        scheduled=tx.visible(SCHEDULED_JOB, actor, Action.VIEW, ids) if ids else set(),
    )
