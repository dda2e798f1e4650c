"""What stays of requests for approval: each is kept, with what was decided, by whom and why.

* A scheduled job that waits for approval has one request that is open. It is settled when it is approved, denied,
  withdrawn or expires, in the same transaction. One that returns to the queue is asked anew, by another request.
* What was requested is kept with the request, as it was then; inputs that may be sensitive are not.
* A request that an earlier version has made, and so is not kept, is kept when it is settled.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from uuid import uuid4

from api_shim.domain.accounts import User
from api_shim.domain.approval import when_and_where
from api_shim.domain.audit import Author
from api_shim.domain.model import ApprovalRequest, Job, ScheduledJob
from api_shim.store import Transaction
from approval_gate.lifecycle import ApprovalState


def ask(tx: Transaction, row: ScheduledJob, job: Job, now: datetime) -> None:
    """Keep that a scheduled job waits for approval from now on.

    Args:
        tx: the transaction.
        row: the scheduled job, as it waits.
        job: its Job.
        now: the current time.
    """
    tx.add(_asked(tx, row, job, now))


def settle(
    tx: Transaction,
    decided: Sequence[tuple[ScheduledJob, Job]],
    state: ApprovalState,
    now: datetime,
    by: Author | None = None,
    comment: str = "",
) -> None:
    """Keep what was decided about scheduled jobs that wait for approval, with as few statements for many as for one.

    Args:
        tx: the transaction.
        decided: the scheduled jobs, as they were decided about, each with its Job.
        state: what was decided.
        now: the current time.
        by: who decided; None if nobody has.
        comment: what they said.
    """
    if not decided:
        return
    ids = [row.id for row, _job in decided]
    waiting = tx.all(ApprovalRequest, scheduled_job_id=ids, state=ApprovalState.PENDING)
    known = {request.scheduled_job_id: request for request in waiting}
    # Whoever decides may have been removed a moment ago.
    by_id = by.id if by is not None and by.id is not None and tx.exists(User, id=by.id) else None
    settled = [
        replace(
            known.get(row.id) or _asked(tx, row, job, row.date_changed),
            name=row.name,
            owner_id=row.owner_id,
            state=state,
            decided_at=now,
            decided_by_id=by_id,
            decided_by=by.username if by else "",
            comment=comment,
            decided_inputs=None if row.hides_inputs(job) else dict(row.inputs),
            circumstances=when_and_where(row),
        )
        for row, job in decided
    ]
    tx.remove_all(ApprovalRequest, [request.id for request in waiting])
    tx.add(*settled)


def rename(tx: Transaction, row: ScheduledJob) -> None:
    """Keep the new name of a scheduled job, if it waits for approval; what has been decided stays as it was."""
    request = tx.get(ApprovalRequest, scheduled_job_id=row.id, state=ApprovalState.PENDING)
    if request is not None:
        tx.change(request, name=row.name)


def _asked(tx: Transaction, row: ScheduledJob, job: Job, since: datetime) -> ApprovalRequest:
    by = tx.get(User, id=row.requester_id) if row.requester_id else None
    return ApprovalRequest(
        id=uuid4(),
        scheduled_job_id=row.id,
        job_id=row.job_id,
        name=row.name,
        task_name=job.class_path,
        user_id=by.id if by else None,
        requested_by=by.username if by else "",
        owner_id=row.owner_id,
        created=since,
        reason=row.approval_note,
        expires_at=row.expires_at,
    )
