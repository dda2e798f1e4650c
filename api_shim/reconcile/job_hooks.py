"""Has job hooks start their Jobs, in the transaction that notes which events of the audit have been told.

* A start is a job result, which Prefect follows like any other. Its id is made of those of the hook and the event: who
  tells an event again, after a crash or beside another server, finds it there, and starts nothing twice.
* A hook hears of what happens after it was made. One whose Job is disabled, or receives no changes any more, starts
  nothing.
* What the run of a receiver is and becomes starts no hook, whoever has brought that about.
* The receiver is told of the object what everybody may know who may view it, and no inputs.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID, uuid5

from api_shim.domain.audit import AuditEvent
from api_shim.domain.model import DeletedRun, Job, JobResult, ScheduledJob
from api_shim.domain.ports import Announcement
from api_shim.domain.triggers import CHANGES, Change, JobHook
from api_shim.store import Transaction
from approval_gate.model import ObjectType

Json = dict[str, Any]


@dataclass(frozen=True, kw_only=True, slots=True)
class Changed:
    """A change of an object.

    Args:
        kind: the type of the object.
        change: what has become of it.
        id: its id; None if that is not known any more.
        shown: what the receiver is told of it; None if it is gone.
        of_receiver: whether it is the run of a receiver.
    """

    kind: ObjectType
    change: Change
    id: UUID | None
    shown: Json | None
    of_receiver: bool = False


def start_hooks(told: Iterable[tuple[AuditEvent, Announcement]], now: datetime, tx: Transaction) -> None:
    """Start the Jobs of the hooks that hear of these events.

    Args:
        told: the events, each as Prefect is told of it.
        now: the time.
        tx: the transaction.
    """
    hooks = tx.all(JobHook, order="name", enabled=True)
    if not hooks:
        return
    # Their marks as they are now: whoever changes those afterwards finds what is recorded here.
    jobs = {job.id: job for job in tx.all(Job, order="id", lock=True, id={hook.job_id for hook in hooks})}
    for event, announced in told:
        changed = changed_by(event, tx)
        if changed is None or changed.of_receiver:
            continue
        for hook in hooks:
            job = jobs[hook.job_id]
            starts = job.enabled and job.is_job_hook_receiver and not job.approval_required
            if starts and hook.hears(changed.kind, changed.change, event.at):
                _start(hook, job, event, announced, changed, now, tx)


def _start(
    hook: JobHook,
    job: Job,
    event: AuditEvent,
    announced: Announcement,
    changed: Changed,
    now: datetime,
    tx: Transaction,
) -> None:
    result = JobResult(
        id=uuid5(hook.id, str(announced.id)),
        job_id=job.id,
        user_id=None,
        name=job.name,
        task_name=job.class_path,
        queue=job.default_queue,
        inputs={"event": _as_json(event, announced, changed)},
        sensitive=job.has_sensitive_variables,
        date_created=now,
    )
    if not tx.exists(JobResult, id=result.id) and not tx.exists(DeletedRun, id=result.id):
        tx.add(result)


def _as_json(event: AuditEvent, announced: Announcement, changed: Changed) -> Json:
    """Return an event as Prefect's automations tell it, and what else the receiver of a change is told."""
    resource, name = announced.resource
    return {
        "id": str(announced.id),
        "event": announced.event,
        "occurred": announced.occurred.isoformat(),
        "resource": {"prefect.resource.id": resource, "prefect.resource.name": name},
        "related": [
            {"prefect.resource.id": each, "prefect.resource.role": role} for role, each in announced.related.items()
        ],
        "payload": dict(announced.payload),
        "action": str(changed.change),
        "time": announced.occurred.isoformat(),
        "user_name": event.actor,
        "changed_object_type": str(changed.kind),
        "changed_object_id": str(changed.id) if changed.id else None,
        "object_repr": event.name,
        "changed_object": changed.shown,
    }


def changed_by(event: AuditEvent, tx: Transaction) -> Changed | None:
    """Return the change of an object that an event is; None if it is none.

    Args:
        event: it.
        tx: the transaction.
    """
    if event.act not in CHANGES:
        return None
    kind, change = CHANGES[event.act]
    job = tx.get(Job, id=event.job_id) if event.job_id else None
    match kind:
        case ObjectType.JOB:
            shown = _shown(kind, "jobs", job, enabled=job.enabled) if job is not None else None
            return Changed(kind=kind, change=change, id=event.job_id, shown=shown)
        case ObjectType.SCHEDULED_JOB:
            row = tx.get(ScheduledJob, id=event.scheduled_job_id)
            shown = _shown(kind, "scheduled-jobs", row, enabled=row.enabled, **_of(job)) if row is not None else None
            return Changed(kind=kind, change=change, id=event.scheduled_job_id, shown=shown)
        case _:
            return _changed_result(event, change, job, tx)


def _changed_result(event: AuditEvent, change: Change, job: Job | None, tx: Transaction) -> Changed:
    by_run = {"flow_run_id": event.flow_run_id} if event.flow_run_id else {"id": None}
    result = tx.get(JobResult, **by_run)
    known = result or tx.get(DeletedRun, **by_run)
    of_receiver = job is not None and job.is_job_hook_receiver
    shown = None
    if result is not None:
        shown = _shown(ObjectType.JOB_RESULT, "job-results", result, status=str(result.status), **_of(job))
    result_id = UUID(told) if (told := event.data.get("job_result")) else known.id if known is not None else None
    return Changed(kind=ObjectType.JOB_RESULT, change=change, id=result_id, shown=shown, of_receiver=of_receiver)


def _shown(kind: ObjectType, path: str, thing: Job | ScheduledJob | JobResult | None, **more: Any) -> Json | None:
    if thing is None:
        return None
    url = f"/api/extras/{path}/{thing.id}/"
    return {"id": str(thing.id), "object_type": str(kind), "name": thing.name, "url": url, **more}


def _of(job: Job | None) -> Mapping[str, Any]:
    return {} if job is None else {"job": {"id": str(job.id), "name": job.name}}
