"""Takes the head of the audit out of the database, so that a later rewriting shows: into a file, and to Prefect.

* Once a minute, if anything has been recorded since: a head covers everything before it, so none is needed in between.
* Prefect is told as ``signoff.audit.head``, which an automation can post to where neither who administers the database
  nor who has the key can change it. Several servers tell the same head under the same id, which is one event.
* A head that does not follow the kept one replaces nothing: it is logged, and told as ``signoff.audit.broken``.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from datetime import datetime, timedelta
from functools import partial
from typing import Any
from uuid import NAMESPACE_OID, uuid5

from api_shim.domain.audit import AuditHead
from api_shim.domain.ports import Announcement, Orchestrator
from api_shim.store import Seal, Store, Transaction
from approval_gate.errors import Unavailable

logger = logging.getLogger("signoff")

EVERY = timedelta(minutes=1)


class AuditHeads:
    """Tells the heads of a store's audit; nothing of an audit that is not signed.

    Args:
        store: the store.
        engine: Prefect.
    """

    def __init__(self, store: Store, engine: Orchestrator) -> None:
        self._store = store
        self._engine = engine
        self._looked: datetime | None = None
        self._told = 0

    async def tell(self, now: datetime) -> None:
        """Keep and tell the head, if it is time and there is a new one; what Prefect does not take is told later."""
        seal = self._store.seal
        if seal is None or (self._looked is not None and now - self._looked < EVERY):
            return
        self._looked = now
        try:
            wrong, head = await self._store.read(partial(_look, seal, self._told))
            if wrong:
                logger.error("%s", wrong)
                await self._engine.announce([_announcement("broken", now, wrong, {"reason": wrong})])
            elif head is not None:
                said = {"number": head.number, "hash": head.hash, "key": head.key, "signature": head.signature}
                await self._engine.announce([_announcement("head", now, head.hash, said)])
                self._told = head.number
        except Unavailable as error:
            logger.warning("The head of the audit could not be kept or told, and will be later: %s", error)


def _look(seal: Seal, told: int, tx: Transaction) -> tuple[str, AuditHead | None]:
    """Return what is wrong with the end of the audit; else keep it, and return it if it has moved."""
    if wrong := seal.fault(tx):
        return wrong, None
    head = tx.audit_head()
    if head.number == told:
        return "", None
    seal.keep(head)
    return "", head


def _announcement(what: str, now: datetime, key: str, payload: Mapping[str, Any]) -> Announcement:
    return Announcement(
        id=uuid5(NAMESPACE_OID, f"signoff:audit:{what}:{key}"),
        event=f"signoff.audit.{what}",
        occurred=now,
        resource=("signoff.audit", "audit"),
        related={},
        payload=payload,
    )
