"""Idempotency keys: who asks for a run twice, not knowing whether the first request came through, gets one run.

* A key belongs to who used it, for a day. With the same request it stands for what that has become; with another one
  it is refused.
* Key and request are recorded in one transaction: there is never one without the other.
* Kept are fingerprints: nothing of a request, as a sensitive input, can be guessed from them. Those that earlier
  versions have kept are not recognised, and go after their day.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from api_shim.domain.model import JobResult, RequestKey, ScheduledJob
from api_shim.store import Transaction
from approval_gate.errors import Conflict, Invalid

HEADER = "Idempotency-Key"
LONGEST = 255
KEPT = timedelta(days=1)

UNREADABLE = f"Use 1 to {LONGEST} printable ASCII characters."
OTHER_REQUEST = f"This {HEADER} was used for another request; use a new one."
DELETED = f"What was requested with this {HEADER} has been deleted since; use a new one."


def read_key(sent: object) -> str | None:
    """Read the key of a request, as its header or its body has it; None if it has none.

    Raises:
        Invalid: it is no key.
    """
    if sent is None:
        return None
    if not (isinstance(sent, str) and 0 < len(sent) <= LONGEST and sent.isascii() and sent.isprintable()):
        raise Invalid({HEADER: [UNREADABLE]})
    return sent


def request_key(user_id: UUID, key: str, request: Any, now: datetime, fingerprint: Callable[[str], str]) -> RequestKey:
    """Return the record of a request, whatever it becomes; of equal requests it is the same.

    Args:
        user_id: the id of who asks.
        key: what they have sent as key.
        request: what they ask for, as JSON; or what turns into a string that is the same whenever it is.
        now: when.
        fingerprint: returns what a text is recognised by (``Store.fingerprint``).
    """
    whole = json.dumps(request, sort_keys=True, default=str)
    return RequestKey(user_id=user_id, key=fingerprint(key), request=fingerprint(f"{key}\n{whole}"), created=now)


def requested_before(tx: Transaction, asked: RequestKey) -> ScheduledJob | JobResult | None:
    """Return what the same request has become before; None if there was none.

    Raises:
        Conflict: the key was used for another request, or what it requested is gone.
    """
    found = tx.get(RequestKey, user_id=asked.user_id, key=asked.key)
    if found is None or asked.created - found.created > KEPT:
        return None
    if found.request != asked.request:
        raise Conflict(OTHER_REQUEST)
    became: ScheduledJob | JobResult | None = (
        tx.get(ScheduledJob, id=found.scheduled_job_id)
        if found.scheduled_job_id
        else tx.get(JobResult, id=found.job_result_id)
    )
    if became is None:
        raise Conflict(DELETED)
    return became


def keep(tx: Transaction, asked: RequestKey) -> None:
    """Record a request with what it has become; those from before the day that they are kept for go."""
    tx.remove_created_before(RequestKey, asked.created - KEPT)
    tx.add(asked)
