"""Review of a request: everything that an approver should see before they decide.

* What is shown, and the version that the decision is bound to, are read in one transaction.
* The request is compared with the last approval that is still stored: with its own last approved run if it has
  returned to the queue, otherwise with the last approved scheduled job of the same Job. The caller must be able to
  view it.
* The inputs of a Job with sensitive variables are neither shown nor compared.
* With what job variables the work pool would start it, is shown too. Of those that were approved a hash is kept, so it
  is told whether they were the same, not what they were.
* Values are compared as JSON, so ``1`` and ``true`` differ. The order is that of the later request; what only the
  earlier one has comes last. Without an earlier one, nothing counts as different.
* The run that has requested it is named to everybody, and its job result to who may view that.
* A caller who looks at a request that was denied or withdrawn is told by whom, if they could have viewed it.

Contract 6, 7, 9.7 and 10.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from api_shim.domain.approval import binding_of, when_and_where
from api_shim.domain.audit import AuditEvent, EventType
from api_shim.domain.model import Job, JobResult, ScheduledJob
from api_shim.services.accounts import usernames
from api_shim.services.approval_queue import asked_since
from api_shim.services.authorization import (
    KIND,
    AuthzContext,
    authorize_view,
    load_contexts,
    permitted_ids,
    raise_if_already_decided,
)
from api_shim.services.run_origins import seen_origins
from api_shim.services.stored_inputs import read_again, why_unfit
from api_shim.store import Transaction
from approval_gate import policy
from approval_gate.lifecycle import ApprovalState
from approval_gate.model import Action, Actor, Allowed, ObjectType

NOTHING_YET = "There is nothing to compare with: no request of this Job has been approved before."


NOT_KEPT = "There is nothing to compare with: the approved requests of this Job are no longer stored."


JOB_VARIABLES = "Job variables"
OTHERS = "others, which are not stored"
"""What is told of job variables that were approved and are not those of today."""


NONE_SEEN = "There is nothing to compare with."
"""What is told where several requests are reviewed; the review of one says why."""


UNSEEN = "There is nothing to compare with: you may not view the last approved request of this Job."

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
"""The events of a request itself, without those of its runs."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Earlier:
    """The earlier approval that a request is compared with.

    Args:
        name: the name of the scheduled job.
        approved_by: the approver's name at that time.
        approved_at: when it was approved.
        inputs: the approved inputs.
        circumstances: the approved times, queue and job variables; None if they are not stored.
        scheduled_id: the other scheduled job, if it is compared with one.
        result_id: the run, if it is compared with one.
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
    """A dry run of a request.

    Args:
        by: the name of the user who started it.
        at: when it was started.
        result: its job result; None if that was deleted or the caller may not view it.
        outdated: whether the inputs of the request have changed since.
    """

    by: str
    at: datetime
    result: JobResult | None
    outdated: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class Review:
    """A request as an approver sees it.

    Args:
        case: the request, with its Job and its requester.
        version: the version that a decision is bound to.
        asked: since when it waits.
        owner: the name of the owner; empty if they have been removed.
        origin: the job result of the run that has requested it; None without one, or if the caller may not view it.
        unfit: why its inputs do not fit the variables of its Job any more; empty if they do.
        inputs: its inputs; empty if the Job has sensitive variables.
        circumstances: when and where it runs, and with which job variables.
        earlier: the approval that it is compared with; None if there is none.
        nothing_earlier: the sentence on why there is none; empty otherwise.
        dry_runs: its dry runs, the oldest first.
        history: its events, the oldest first.
    """

    case: AuthzContext
    version: str
    asked: datetime
    owner: str
    origin: UUID | None
    unfit: str
    inputs: list[Difference]
    circumstances: list[Difference]
    earlier: Earlier | None
    nothing_earlier: str
    dry_runs: list[DryRun]
    history: list[AuditEvent]


def review(actor: Actor, by: Mapping[str, Any], now: datetime, tx: Transaction) -> Review:
    """Return a request for review.

    Args:
        actor: the caller.
        by: the field that identifies the request.
        now: the current time.
        tx: the transaction.

    Raises:
        Forbidden: the caller may not view scheduled jobs.
        NotFound: the request does not exist, or the caller may not view it.
        Conflict: it was denied or withdrawn; the message says by whom.
    """
    if policy.check_type(actor, Action.VIEW, KIND) == Allowed() and not tx.exists(ScheduledJob, **by):
        raise_if_already_decided(tx, actor, Action.VIEW, by)
    case = authorize_view(tx, actor, by, now)
    row, job = case.row, case.job
    [seen] = _seen(tx, actor, [case])
    return replace(
        seen,
        nothing_earlier="" if seen.earlier else _why_nothing(tx, row),
        dry_runs=_dry_runs(tx, actor, row, job),
        history=tx.all(AuditEvent, order="number", scheduled_job_id=row.id, act=HISTORY),
    )


def reviews(actor: Actor, ids: Collection[UUID], now: datetime, tx: Transaction) -> list[Review]:
    """Return several requests for review, sorted by name, without their dry runs and their events.

    What does not exist any more, or the caller may not view, is left out. It takes a fixed number of queries.

    Args:
        actor: the caller.
        ids: the ids of the scheduled jobs.
        now: the current time.
        tx: the transaction.

    Raises:
        Forbidden: the caller may not view scheduled jobs.
    """
    policy.enforce(policy.check_type(actor, Action.VIEW, KIND), KIND)
    rows = tx.all(ScheduledJob, order="name", id=permitted_ids(tx, actor, Action.VIEW, KIND, ids))
    return _seen(tx, actor, load_contexts(tx, rows, now)) if rows else []


def _seen(tx: Transaction, actor: Actor, cases: Sequence[AuthzContext]) -> list[Review]:
    """Return requests with what they are compared with, without their dry runs and their events."""
    earlier = _earlier(tx, actor, cases)
    owners = usernames(tx, [case.row.owner_id for case in cases])
    since = asked_since(tx, [case.row for case in cases])
    origins = seen_origins(tx, actor, [case.row for case in cases])

    def seen(case: AuthzContext) -> Review:
        row, job, before = case.row, case.job, earlier.get(case.row.id)
        inputs = differences(before.inputs if before else None, {} if row.hides_inputs(job) else row.inputs)
        return Review(
            case=case,
            version=case.version,
            asked=since[row.id],
            owner=owners.get(row.owner_id, ""),
            origin=row.requested_from if row.requested_from in origins else None,
            unfit=why_unfit(row, job),
            inputs=inputs,
            circumstances=differences(before.circumstances if before else None, circumstances(row, job)),
            earlier=before,
            nothing_earlier="" if before else NONE_SEEN,
            dry_runs=[],
            history=[],
        )

    return [seen(case) for case in cases]


def _earlier(tx: Transaction, actor: Actor, cases: Sequence[AuthzContext]) -> dict[UUID, Earlier]:
    """Return what each of these requests is compared with, by the id of its scheduled job."""
    shown = [case for case in cases if not case.row.hides_inputs(case.job)]
    if not shown:
        return {}
    ids = {case.row.id for case in shown}
    approved = tx.newest_approved(actor, {case.job.id for case in shown}, but=ids)
    others = {other.job_id: other for other in approved if not other.sensitive}
    found = {case.row.id: _other_request(others[case.job.id], case.job) for case in shown if case.job.id in others}
    if actor.may(Action.VIEW, ObjectType.JOB_RESULT):
        runs = {run.scheduled_job_id: run for run in tx.newest_results_of(actor, ids)}
        own = ((case.row, runs.get(case.row.id)) for case in shown)
        found |= {row.id: before for row, run in own if run is not None and (before := _own_run(row, run))}
    return found


def _own_run(row: ScheduledJob, run: JobResult) -> Earlier | None:
    if not run.approval or run.inputs is None or run.sensitive:
        return None
    return Earlier(
        name=row.name,
        approved_by=run.approval["by"],
        approved_at=datetime.fromisoformat(run.approval["at"]),
        inputs=run.inputs,
        circumstances=None,
        result_id=run.id,
    )


def _other_request(other: ScheduledJob, job: Job) -> Earlier:
    if other.approved_at is None:
        raise LookupError("This scheduled job has not been approved.")
    return Earlier(
        name=other.name,
        approved_by=other.approved_by,
        approved_at=other.approved_at,
        inputs=other.inputs,
        circumstances=_approved_circumstances(other, job),
        scheduled_id=other.id,
    )


def _why_nothing(tx: Transaction, row: ScheduledJob) -> str:
    last = tx.last_event((EventType.APPROVED,), job_id=row.job_id)
    if last is None or last.scheduled_job_id == row.id:
        return NOTHING_YET
    is_stored = tx.exists(ScheduledJob, id=last.scheduled_job_id, approval=ApprovalState.APPROVED)
    return UNSEEN if is_stored else NOT_KEPT


def _dry_runs(tx: Transaction, actor: Actor, row: ScheduledJob, job: Job) -> list[DryRun]:
    events = tx.all(AuditEvent, order="number", scheduled_job_id=row.id, act=EventType.DRY_RUN)
    ids = [result_id for event in events if (result_id := _result_of(event))]
    seen = tx.visible(ObjectType.JOB_RESULT, actor, Action.VIEW, ids)
    results = {result.id: result for result in tx.all(JobResult, id=seen)} if seen else {}

    def dry_run(event: AuditEvent) -> DryRun:
        result_id = _result_of(event)
        result = results.get(result_id) if result_id else None
        hidden = result is None or result.sensitive or row.hides_inputs(job)
        has = None if result is None or hidden else result.inputs
        outdated = has is not None and dict(has) not in _asked_by(row, job)
        return DryRun(by=event.actor, at=event.at, result=result, outdated=outdated)

    return [dry_run(event) for event in events]


def _asked_by(row: ScheduledJob, job: Job) -> tuple[dict[str, Any], ...]:
    """Return the inputs of a dry run of a request: as they are stored, and as the Job reads them now."""
    asked = {**row.inputs, "dryrun": True}
    return asked, dict(read_again(job, asked, hidden=True).inputs)


# Comparison


def _result_of(event: AuditEvent) -> UUID | None:
    """Return the id of the result that a dry run has; of those from before results had ids of their own, the run's."""
    named = event.data.get("job_result")
    return UUID(named) if named else event.flow_run_id


class Change(StrEnum):
    """How a value differs from the earlier one."""

    SAME = "same"
    CHANGED = "changed"
    NEW = "new"
    REMOVED = "removed"


@dataclass(frozen=True, kw_only=True, slots=True)
class Difference:
    """One value, as it is and as it was.

    Args:
        name: its name.
        change: how it differs.
        now: the value; None if it was removed.
        before: the earlier value; None if it is new.
    """

    name: str
    change: Change
    now: Any = None
    before: Any = None


def differences(before: Mapping[str, Any] | None, now: Mapping[str, Any]) -> list[Difference]:
    """Compare values by name.

    Args:
        before: the earlier values; None if there is nothing to compare with.
        now: the values.
    """
    known = now if before is None else before
    present = [
        Difference(name=name, change=_change(known, name, value), now=value, before=known.get(name))
        for name, value in now.items()
    ]
    removed = [
        Difference(name=name, change=Change.REMOVED, before=value) for name, value in known.items() if name not in now
    ]
    return present + removed


def _change(before: Mapping[str, Any], name: str, value: Any) -> Change:
    if name not in before:
        return Change.NEW
    return Change.SAME if _written(before[name]) == _written(value) else Change.CHANGED


def _written(value: Any) -> str:
    return json.dumps(value, sort_keys=True)


def circumstances(row: ScheduledJob, job: Job) -> dict[str, str]:
    """Return when and where a scheduled job runs, and with which job variables, as labelled text."""
    return when_and_where(row) | ({JOB_VARIABLES: _written(job.job_variables)} if job.job_variables else {})


def _approved_circumstances(row: ScheduledJob, job: Job) -> dict[str, str]:
    """Return the circumstances that were approved, whatever the job variables of the Job are by now."""
    approved = (row.approved or {}).get("job_variables")
    if approved == binding_of(row, job).get("job_variables"):
        return circumstances(row, job)
    return when_and_where(row) | ({JOB_VARIABLES: OTHERS} if approved else {})
