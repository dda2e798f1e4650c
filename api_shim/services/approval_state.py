"""How an approval or a request lapses without anybody deciding: by a change, or by time.

* An approval holds for exactly what was approved; when that changes, the request returns to the queue, with the reason.
* What was scheduled before its Job needed approval enters the queue when it does.
* A request that nobody decides about in its time expires, and never runs.
* All of it is recorded in the audit.

Contract 9.7; the decision is bound to what was decided about.
"""

from __future__ import annotations

from datetime import datetime
from functools import partial
from uuid import UUID

from api_shim.domain.approval import end_of, stale
from api_shim.domain.audit import Author, EventType, scheduled_job_event
from api_shim.domain.model import Job, ScheduledJob
from api_shim.metrics import decided
from api_shim.reconcile.approval_requests import ask, settle
from api_shim.reconcile.firings import leave_queue
from api_shim.store import Transaction
from approval_gate.lifecycle import Transition, next_state


def return_to_queue(
    tx: Transaction, scheduled: ScheduledJob, job: Job, reason: str, now: datetime, by: Author | None = None
) -> ScheduledJob:
    """Take an approval back; what has been decided stays remembered, and the time begins anew.

    Args:
        tx: the transaction.
        scheduled: the scheduled job, locked.
        job: its Job.
        reason: the sentence for who decides next.
        now: the current time.
        by: whose act it is; None for what follows by itself.
    """
    state = next_state(scheduled.approval, Transition.RETURN)
    if state is None:
        return scheduled
    # Nobody else of its Job waits for it while it is decided about.
    leave_queue(scheduled, now, tx)
    tx.record(scheduled_job_event(scheduled, EventType.RETURNED, now, by, reason=reason))
    waiting = tx.change(
        scheduled,
        approval=state,
        approval_note=reason,
        approved=None,
        approved_by_id=None,
        approved_by="",
        approved_at=None,
        approval_comment="",
        expires_at=end_of(job, scheduled.agent, now),
        date_changed=now,
        version=scheduled.version + 1,
    )
    ask(tx, waiting, job, now)
    return waiting


def revalidate(tx: Transaction, scheduled: ScheduledJob, job: Job, now: datetime) -> ScheduledJob:
    """Return a scheduled job as it stands after it was changed: in the queue if it may no longer run unasked."""
    reason = stale(scheduled, job)
    return return_to_queue(tx, scheduled, job, reason, now) if reason else scheduled


def return_stale(job_id: UUID, now: datetime, tx: Transaction, *, but: UUID | None = None) -> None:
    """Return to the queue whatever of a changed Job may no longer run unasked, but for one scheduled job.

    What waits is shown anew.
    In a transaction of its own, without a lock on the Job: admission locks the scheduled job first, and then the Job.
    """
    job = tx.get(Job, id=job_id)
    if job is None:
        return
    for scheduled in tx.all(ScheduledJob, order="id", lock=True, job_id=job.id, enabled=True):
        if reason := stale(scheduled, job):
            return_to_queue(tx, scheduled, job, reason, now)
        elif scheduled.awaits_decision and scheduled.id != but:
            # What its form shows is another thing now.
            tx.change(scheduled, version=scheduled.version + 1)


def expire(scheduled_id: UUID, now: datetime, tx: Transaction) -> None:
    """End a request whose time to be decided about is over."""
    scheduled = tx.get(ScheduledJob, id=scheduled_id, lock=True)
    if scheduled is None or scheduled.expires_at is None or scheduled.expires_at > now:
        return
    state = next_state(scheduled.approval, Transition.EXPIRE)
    if state is None:
        return
    tx.change(scheduled, approval=state, enabled=False, date_changed=now, version=scheduled.version + 1)
    tx.record(scheduled_job_event(scheduled, EventType.EXPIRED, now))
    if (job := tx.get(Job, id=scheduled.job_id)) is not None:
        settle(tx, [(scheduled, job)], state, now)
    tx.afterwards(partial(decided, "expired", now - scheduled.date_changed))
