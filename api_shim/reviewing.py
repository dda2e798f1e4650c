"""The use case of reviewing a request: all that somebody should have seen before he decides about it.

* What is shown and the version that a decision is then bound to are of one moment.
* It is compared with what was approved last and is still stored: with its own last run that was approved, if it is in
  the queue again, and else with the last approved scheduled job of the same Job; both only if the caller may see them.
* The inputs of a Job that may have sensitive ones are neither shown nor compared.
* Who looks at a request that has gone is told who denied it, if he could have seen it.

Contract 6, 7, 9.7 and 10.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from api_shim.audit import Act, AuditEvent
from api_shim.cases import KIND, Case, tell_who_decided, viewed
from api_shim.comparison import Difference, circumstances, differences
from api_shim.model import Job, JobResult, ScheduledJob, User
from api_shim.question import version_of
from api_shim.store import Listing, Transaction
from approval_gate import policy
from approval_gate.lifecycle import ApprovalState
from approval_gate.model import Action, Actor, Allowed, ObjectType

NOTHING_YET = "No request of this Job has been approved before, so there is nothing to compare this one with."
NOT_KEPT = "No approved request of this Job is stored any more, so there is nothing to compare this one with."
UNSEEN = "You may not see the last approved request of this Job, so there is nothing to compare this one with."

HISTORY = [
    Act.REQUESTED,
    Act.APPROVED,
    Act.RETURNED,
    Act.EXPIRED,
    Act.CHANGED,
    Act.ENABLED,
    Act.DISABLED,
    Act.ASSUMED,
    Act.TRANSFERRED,
    Act.TAKEN_BACK,
]
"""What has happened to a request itself, its runs aside."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Earlier:
    """What was approved last.

    Args:
        name: of the scheduled job, or of the Job.
        approved_by: the name that the approver had.
        approved_at: when.
        inputs: what was approved.
        circumstances: when and where; None where that is not kept.
        scheduled_id: the scheduled job, if it is another one.
        result_id: the run, if it is compared with a run.
    """

    name: str
    approved_by: str
    approved_at: datetime
    inputs: Mapping[str, Any]
    circumstances: Mapping[str, Any] | None
    scheduled_id: UUID | None = None
    result_id: UUID | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class DryRun:
    """Somebody has tried a request.

    Args:
        by: his name.
        at: when.
        result: how it went; None if that is gone, or not for the caller.
        outdated: it had other inputs than the request has now.
    """

    by: str
    at: datetime
    result: JobResult | None
    outdated: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class Review:
    """A request as somebody sees it who is to decide.

    Args:
        case: it, with its Job and who asked for it.
        version: what a decision about exactly this is bound to.
        owner: the name of whom it runs as; empty when he has been removed.
        inputs: each input; empty where they may be sensitive.
        circumstances: when and where it runs.
        earlier: what it has been compared with.
        nothing_earlier: why it has been compared with nothing.
        dry_runs: who has tried it.
        history: what has happened to it.
    """

    case: Case
    version: str
    owner: str
    inputs: list[Difference]
    circumstances: list[Difference]
    earlier: Earlier | None
    nothing_earlier: str
    dry_runs: list[DryRun]
    history: list[AuditEvent]


def review(actor: Actor, scheduled_id: UUID, now: datetime, tx: Transaction) -> Review:
    """Return a request as somebody sees it.

    Args:
        actor: who looks.
        scheduled_id: at what.
        now: the time.
        tx: the transaction.

    Raises:
        Forbidden: he may see no scheduled jobs.
        NotFound: there is no such request, or none that he may see.
        Conflict: it has been denied or withdrawn, and by whom.
    """
    by = {"id": scheduled_id}
    if policy.on_type(actor, Action.VIEW, KIND) == Allowed() and not tx.exists(ScheduledJob, **by):
        tell_who_decided(tx, actor, Action.VIEW, by)
    case = viewed(tx, actor, by, now)
    row, job = case.row, case.job
    earlier = _earlier(tx, actor, row, job)
    owner = tx.one(User, id=row.owner_id) if row.owner_id else None
    before = earlier.circumstances if earlier else None
    return Review(
        case=case,
        version=version_of(row, job),
        owner=owner.username if owner else "",
        inputs=[] if job.has_sensitive_variables else differences(earlier.inputs if earlier else None, row.inputs),
        circumstances=differences(before, circumstances(row)),
        earlier=earlier,
        nothing_earlier="" if earlier else _why_nothing(tx, row),
        dry_runs=_dry_runs(tx, actor, row, job),
        history=tx.all(AuditEvent, order="number", scheduled_job_id=row.id, act=HISTORY),
    )


def _earlier(tx: Transaction, actor: Actor, row: ScheduledJob, job: Job) -> Earlier | None:
    if job.has_sensitive_variables:
        return None
    return _own_run(tx, actor, row) or _other_request(tx, actor, row)


def _own_run(tx: Transaction, actor: Actor, row: ScheduledJob) -> Earlier | None:
    if not actor.may(Action.VIEW, ObjectType.JOB_RESULT):
        return None
    newest = Listing(limit=1, sort=("-date_created",))
    for run in tx.page(ObjectType.JOB_RESULT, actor, newest, scheduled_job_id=row.id).rows:
        if run.approval and run.inputs is not None:
            return Earlier(
                name=row.name,
                approved_by=run.approval["by"],
                approved_at=datetime.fromisoformat(run.approval["at"]),
                inputs=run.inputs,
                circumstances=None,
                result_id=run.id,
            )
    return None


def _other_request(tx: Transaction, actor: Actor, row: ScheduledJob) -> Earlier | None:
    newest = Listing(limit=2, sort=("-approved_at",))
    found = tx.page(KIND, actor, newest, job_id=row.job_id, approval=ApprovalState.APPROVED).rows
    for other in found:
        if other.id != row.id and other.approved_at is not None:
            return Earlier(
                name=other.name,
                approved_by=other.approved_by,
                approved_at=other.approved_at,
                inputs=other.inputs,
                circumstances=circumstances(other),
                scheduled_id=other.id,
            )
    return None


def _why_nothing(tx: Transaction, row: ScheduledJob) -> str:
    last = tx.last_event((Act.APPROVED,), job_id=row.job_id)
    if last is None or last.scheduled_job_id == row.id:
        return NOTHING_YET
    is_there = tx.exists(ScheduledJob, id=last.scheduled_job_id, approval=ApprovalState.APPROVED)
    return UNSEEN if is_there else NOT_KEPT


def _dry_runs(tx: Transaction, actor: Actor, row: ScheduledJob, job: Job) -> list[DryRun]:
    tried = tx.all(AuditEvent, order="number", scheduled_job_id=row.id, act=Act.DRY_RUN)
    ids = [event.flow_run_id for event in tried if event.flow_run_id]
    seen = tx.visible(ObjectType.JOB_RESULT, actor, Action.VIEW, ids)
    results = {result.id: result for result in tx.all(JobResult, id=seen)} if seen else {}

    def dry_run(event: AuditEvent) -> DryRun:
        result = results.get(event.flow_run_id) if event.flow_run_id else None
        has = result.inputs if result is not None and not job.has_sensitive_variables else None
        outdated = has is not None and dict(has) != {**row.inputs, "dryrun": True}
        return DryRun(by=event.actor, at=event.at, result=result, outdated=outdated)

    return [dry_run(event) for event in tried]
