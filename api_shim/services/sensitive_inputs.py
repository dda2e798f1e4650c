"""Sensitive inputs that stand in clear are encrypted: of earlier versions, and from before their Job was marked.

* Earlier versions stored them in clear. Of runs, only one that is not over has any, so these are all that is looked at.
* A Job can be marked as one that may have sensitive inputs after it was scheduled. Then the inputs of its scheduled
  jobs, and of its runs that are not over, are encrypted too, and are no longer given to Prefect; an approval of them
  stands. What requests for approval keep of them is forgotten. If the mark is taken away, those of scheduled jobs are
  as they were.
* It is done after the mark has been committed, by whoever changed it; what they could not do, the background loop does.
* What was in clear is then removed from the files of an SQLite database too.
* With another key than they were encrypted with, their runs fail when they start. That is no reason for the server not
  to start, but the log says so.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from uuid import UUID

from api_shim.domain.approval import binding_of
from api_shim.domain.model import Job, JobResult, ScheduledJob, Status
from api_shim.store import SealedInputs, Store, Transaction
from approval_gate.errors import Unavailable

logger = logging.getLogger("signoff")

BATCH = 200
ONGOING = frozenset(status for status in Status if not status.final)
LOST = (
    "The sensitive inputs of %d runs or scheduled jobs cannot be read, so their runs will fail: %s "
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
    lost += _lost_of_schedules(store)
    if any([_encrypt(store, clear), _follow_all(store)]):
        _rewrite(store)
    if lost:
        logger.warning(LOST, len(lost), lost[0])


def follow_marks(store: Store) -> None:
    """Do for every Job what ``follow_mark`` does, and remove what was in clear from the files of the database once.

    Raises:
        Unavailable: the store cannot be used.
    """
    if _follow_all(store):
        _rewrite(store)


def follow_mark(store: Store, job_id: UUID, *, rewrites: bool = True) -> bool:
    """Encrypt what a Job has been given, if it may have sensitive inputs now; otherwise decrypt what is scheduled.

    Args:
        store: the store, with its key.
        job_id: the id of the Job.
        rewrites: whether to remove what was in clear from the files of the database too.

    Returns:
        whether anything has been encrypted.

    Raises:
        Unavailable: the store cannot be used.
    """
    with store.transaction(write=False) as tx:
        job = tx.get(Job, id=job_id)
        if job is None or job_id not in tx.marked_otherwise():
            return False
    sensitive = job.has_sensitive_variables
    unlike = {"job_id": job_id, "sensitive": not sensitive}
    with store.transaction() as tx:
        # In the order of admission: the scheduled jobs, their results, and the Job last.
        rows = tx.all(ScheduledJob, order="id", lock=True, **unlike)
        results = tx.all(JobResult, order="id", lock=True, status=ONGOING, **unlike) if sensitive else []
        job = tx.get(Job, id=job_id, lock=True)
        if job is None or job.has_sensitive_variables != sensitive:
            # It has been marked otherwise since, and who did so follows that.
            return False
        for row in rows:
            _follow(tx, row, job)
        for result in results:
            tx.change(result, sensitive=True, inputs=result.inputs)
        if sensitive:
            tx.forget_asked_inputs(job_id)
    if sensitive and rewrites:
        _rewrite(store)
    return sensitive


def _lost_of_schedules(store: Store) -> list[str]:
    with store.transaction(write=False) as tx:
        rows = tx.all(ScheduledJob, sensitive=True)
    return [why for row in rows if isinstance(row.inputs, SealedInputs) and (why := _fault(row.inputs))]


def _follow_all(store: Store) -> bool:
    with store.transaction(write=False) as tx:
        lagging = tx.marked_otherwise()
    encrypted = [follow_mark(store, job_id, rewrites=False) for job_id in lagging]
    return any(encrypted)


def _follow(tx: Transaction, row: ScheduledJob, job: Job) -> None:
    """Keep the inputs of a scheduled job as the mark of its Job says; what was approved of them stays approved."""
    if isinstance(row.inputs, SealedInputs) and _fault(row.inputs):
        # They stay hidden, and runs with them fail.
        return
    approved = row.approved
    holds = approved is not None and approved.get("inputs") == binding_of(row, job)["inputs"]
    # A run that is held is shown anew; another one is replaced, for Prefect changes no parameters of it.
    outdated = row.one_off and not row.is_spent and not row.awaits_decision
    tx.change(
        row,
        sensitive=job.has_sensitive_variables,
        inputs=dict(row.inputs),
        run_outdated=row.run_outdated or outdated,
        version=row.version + 1,
    )
    if approved is not None and (again := tx.get(ScheduledJob, id=row.id)) is not None:
        tx.change(again, approved={**approved, "inputs": binding_of(again, job)["inputs"] if holds else ""})


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


def _encrypt(store: Store, ids: list[UUID]) -> bool:
    for start in range(0, len(ids), BATCH):
        with store.transaction() as tx:
            _encrypt_some(tx, ids[start : start + BATCH])
    return bool(ids)


def _encrypt_some(tx: Transaction, ids: list[UUID]) -> None:
    for result in tx.all(JobResult, order="id", lock=True, id=ids):
        if result.inputs is not None and not isinstance(result.inputs, SealedInputs):
            tx.change(result, inputs=result.inputs)


def _rewrite(store: Store) -> None:
    try:
        store.rewrite()
    except Unavailable as error:
        logger.warning(LEFT, error)
