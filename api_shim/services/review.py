"""The use case of reviewing a request: all that somebody should have seen before he decides about it.

* What is shown and the version that a decision is then bound to are of one moment.
* It is compared with what was approved last and is still stored: with its own last run that was approved, if it is in
  the queue again, and else with the last approved scheduled job of the same Job; both only if the caller may see them.
* The inputs of a Job that may have sensitive ones are neither shown nor compared.
* Who looks at a request that has gone is told who denied it, if he could have seen it.

Contract 6, 7, 9.7 and 10.

What is different between two requests, thing by thing, for somebody who is to decide about the later one.

* Equal is what is equal as JSON: ``1`` and ``true`` are not.
* What both have stands in the order of the later one; what only the earlier one has comes last.
* Without an earlier one nothing is different.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

from api_shim.domain.accounts import User
from api_shim.domain.approval import version_of
from api_shim.domain.audit import AuditEvent, EventType
from api_shim.domain.model import Job, JobResult, ScheduledJob
from api_shim.services.authorization import KIND, AuthzContext, authorize_view, raise_if_already_decided
from api_shim.store import Listing, Transaction
from approval_gate import policy
from approval_gate.lifecycle import ApprovalState
from approval_gate.model import Action, Actor, Allowed, ObjectType

NOTHING_YET = "No request of this Job has been approved before, so there is nothing to compare this one with."
NOT_KEPT = "No approved request of this Job is stored any more, so there is nothing to compare this one with."
UNSEEN = "You may not see the last approved request of this Job, so there is nothing to compare this one with."

HISTORY = [
    EventType.REQUESTED,
    EventType.APPROVED,
    EventType.RETURNED,
    EventType.EXPIRED,
    EventType.CHANGED,
    EventType.ENABLED,
    EventType.DISABLED,
    EventType.ASSUMED,
    EventType.TRANSFERRED,
    EventType.TAKEN_BACK,
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

    case: AuthzContext
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
    if policy.check_type(actor, Action.VIEW, KIND) == Allowed() and not tx.exists(ScheduledJob, **by):
        raise_if_already_decided(tx, actor, Action.VIEW, by)
    case = authorize_view(tx, actor, by, now)
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
    last = tx.last_event((EventType.APPROVED,), job_id=row.job_id)
    if last is None or last.scheduled_job_id == row.id:
        return NOTHING_YET
    is_there = tx.exists(ScheduledJob, id=last.scheduled_job_id, approval=ApprovalState.APPROVED)
    return UNSEEN if is_there else NOT_KEPT


def _dry_runs(tx: Transaction, actor: Actor, row: ScheduledJob, job: Job) -> list[DryRun]:
    tried = tx.all(AuditEvent, order="number", scheduled_job_id=row.id, act=EventType.DRY_RUN)
    ids = [result_id for event in tried if (result_id := _result_of(event))]
    seen = tx.visible(ObjectType.JOB_RESULT, actor, Action.VIEW, ids)
    results = {result.id: result for result in tx.all(JobResult, id=seen)} if seen else {}

    def dry_run(event: AuditEvent) -> DryRun:
        result_id = _result_of(event)
        result = results.get(result_id) if result_id else None
        has = result.inputs if result is not None and not job.has_sensitive_variables else None
        outdated = has is not None and dict(has) != {**row.inputs, "dryrun": True}
        return DryRun(by=event.actor, at=event.at, result=result, outdated=outdated)

    return [dry_run(event) for event in tried]


def _result_of(event: AuditEvent) -> UUID | None:
    """Return the id of the result that a dry run has; of those from before results had ids of their own, the run's."""
    named = event.data.get("job_result")
    return UUID(named) if named else event.flow_run_id


class Change(StrEnum):
    """What happened to a thing."""

    SAME = "same"
    CHANGED = "changed"
    NEW = "new"
    REMOVED = "removed"


@dataclass(frozen=True, kw_only=True, slots=True)
class Difference:
    """One thing, as it is and as it was.

    Args:
        name: what it is called.
        change: what happened to it.
        now: its value; None if it is removed.
        before: the value it had; None if it is new.
    """

    name: str
    change: Change
    now: Any = None
    before: Any = None


def differences(before: Mapping[str, Any] | None, now: Mapping[str, Any]) -> list[Difference]:
    """Return each thing with what happened to it.

    Args:
        before: value by name; None where there is nothing to compare with.
        now: value by name.
    """
    known = now if before is None else before
    present = [
        Difference(name=name, change=_change(known, name, value), now=value, before=known.get(name))
        for name, value in now.items()
    ]
    gone = [
        Difference(name=name, change=Change.REMOVED, before=value) for name, value in known.items() if name not in now
    ]
    return present + gone


def _change(before: Mapping[str, Any], name: str, value: Any) -> Change:
    if name not in before:
        return Change.NEW
    return Change.SAME if _written(before[name]) == _written(value) else Change.CHANGED


def _written(value: Any) -> str:
    return json.dumps(value, sort_keys=True)


def circumstances(row: ScheduledJob) -> dict[str, str]:
    """Return when and where a scheduled job runs, in words."""
    start = row.start_time.astimezone(ZoneInfo(row.time_zone))
    return {
        "Interval": "immediately" if row.immediate else str(row.interval),
        "Start": "as soon as it is approved" if row.immediate else f"{start:%Y-%m-%d %H:%M:%S}",
        **({"Crontab": row.crontab} if row.crontab else {}),
        "Time zone": row.time_zone,
        "Queue": row.queue,
    }
