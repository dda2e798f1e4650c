"""Sensitive inputs at the start of a server: those that stand in clear are encrypted, and unreadable ones are told.

* Earlier versions stored them in clear. Only a run that is not over has any, so these runs are all that is looked at.
* What was in clear is then removed from the files of an SQLite database too.
* With another key than they were encrypted with, their runs fail when they start. That is no reason for the server not
  to start, but the log says so.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from uuid import UUID

from api_shim.domain.model import JobResult
from api_shim.store import SealedInputs, Store, Transaction
from approval_gate.errors import Unavailable

logger = logging.getLogger("signoff")

BATCH = 200
LOST = (
    "The sensitive inputs of %d runs cannot be read, so these runs will fail: %s "
    "The key is derived from the one that signs the audit."
)
LEFT = "Sensitive inputs are encrypted now, but may still be in unused parts of the database: %s"


def prepare(store: Store) -> None:
    """Encrypt the sensitive inputs that stand in clear; any number of servers may do so, at each start.

    Args:
        store: the store, with its key.

    Raises:
        Unavailable: the store cannot be used.
    """
    clear: list[UUID] = []
    lost: list[str] = []
    for result in _with_inputs(store):
        if not isinstance(result.inputs, SealedInputs):
            clear.append(result.id)
        elif why := _fault(result.inputs):
            lost.append(why)
    if clear:
        _encrypt(store, clear)
    if lost:
        logger.warning(LOST, len(lost), lost[0])


def _with_inputs(store: Store) -> Iterator[JobResult]:
    after: UUID | None = None
    while True:
        with store.transaction(write=False) as tx:
            found = tx.unfinished(BATCH, after)
        yield from (result for result in found if result.sensitive and result.inputs is not None)
        if len(found) < BATCH:
            return
        after = found[-1].id


def _fault(inputs: SealedInputs) -> str:
    try:
        len(inputs)
    except Unavailable as error:
        return str(error)
    return ""


def _encrypt(store: Store, ids: list[UUID]) -> None:
    for start in range(0, len(ids), BATCH):
        with store.transaction() as tx:
            _encrypt_some(tx, ids[start : start + BATCH])
    try:
        store.rewrite()
    except Unavailable as error:
        logger.warning(LEFT, error)


def _encrypt_some(tx: Transaction, ids: list[UUID]) -> None:
    for result in tx.all(JobResult, order="id", lock=True, id=ids):
        if result.inputs is not None and not isinstance(result.inputs, SealedInputs):
            tx.change(result, inputs=result.inputs)
