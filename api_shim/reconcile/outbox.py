"""Tells Prefect what has been remembered, so that its automations can notify people.

* Every event of the audit is told, in order; how far that has come is part of the store.
* What may have been told already is told under the same id, so it is one event in Prefect.
* A request is told of when its run is there to be looked at; not for ever, should Prefect not make it.
* With what was told it is noted, in the same transaction, what job hooks start for it (``job_hooks``).
* Inputs are no part of what is told, nor is what accounts were and are; what has changed of a Job is. The hash is, too:
  whoever keeps it elsewhere can have the audit verified against it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from itertools import takewhile
from uuid import NAMESPACE_OID, UUID, uuid5

from api_shim.domain.audit import AuditEvent, AuditHead, EventType
from api_shim.domain.model import Job, ScheduledJob
from api_shim.domain.ports import Announcement, Orchestrator
from api_shim.reconcile.job_hooks import start_hooks
from api_shim.store import Store, Transaction
from approval_gate.errors import Unavailable

Rows = Mapping[UUID | None, ScheduledJob]
Jobs = Mapping[UUID | None, Job]

AT_ONCE = 200
WAITS = timedelta(seconds=30)
"""How long the news of a request waits for its run."""

TOLD = frozenset(
    {"comment", "reason", "approved_by", "approval_off", "force", "fields", "approvers", "count", "request_id"}
)
"""What is told of an event's data."""


async def publish_events(store: Store, engine: Orchestrator, now: datetime) -> None:
    """Tell Prefect what it has not been told; what it does not take now is told later."""
    head, events = await store.read(partial(_untold, now))
    if not events:
        return
    told = [(event, announcement(event)) for event in events]
    try:
        await engine.announce([announced for _, announced in told])
    except Unavailable:
        return
    await store.write(partial(_note, head, told, now))


def _note(head: AuditHead, told: Sequence[tuple[AuditEvent, Announcement]], now: datetime, tx: Transaction) -> None:
    start_hooks(told, now, tx)
    tx.change(head, announced=told[-1][0].number)


def _untold(now: datetime, tx: Transaction) -> tuple[AuditHead, list[AuditEvent]]:
    head = tx.audit_head()
    events = tx.events(head.announced, AT_ONCE)
    rows: Rows = {row.id: row for row in tx.all(ScheduledJob, id={event.scheduled_job_id for event in events})}
    jobs: Jobs = {job.id: job for job in tx.all(Job, id={event.job_id for event in events})}

    def can_be_told(event: AuditEvent) -> bool:
        row = rows.get(event.scheduled_job_id)
        soon = event.act is EventType.REQUESTED and row is not None and row.flow_run_id is None
        return not soon or now - event.at > WAITS

    return head, [_placed(event, rows, jobs) for event in takewhile(can_be_told, events)]


def _placed(event: AuditEvent, rows: Rows, jobs: Jobs) -> AuditEvent:
    """Return an event with the run and the deployment that came to be after it."""
    row, job = rows.get(event.scheduled_job_id), jobs.get(event.job_id)
    run = event.flow_run_id or (row.flow_run_id if row else None)
    deployment = event.deployment_id or (row.deployment_id if row else None) or (job.deployment_id if job else None)
    return replace(event, flow_run_id=run, deployment_id=deployment)


def announcement(event: AuditEvent) -> Announcement:
    """Return what Prefect is told of an event."""
    related = {"flow-run": event.flow_run_id, "deployment": event.deployment_id}
    told = TOLD | {"changes"} if event.job_id else TOLD
    said = {name: value for name, value in event.data.items() if name in told}
    return Announcement(
        id=uuid5(NAMESPACE_OID, f"signoff:{event.hash}"),
        event=f"signoff.{event.act}",
        occurred=event.at,
        resource=(f"signoff.{_subject(event)}", event.name),
        related={role: f"prefect.{role}.{thing}" for role, thing in related.items() if thing},
        payload={"actor": event.actor, "number": event.number, "hash": event.hash, **said},
    )


def _subject(event: AuditEvent) -> str:
    """Return what an event is about: a scheduled job, a run, a Job, an account, the audit, or else whose act it was."""
    if event.scheduled_job_id:
        return f"scheduled-job.{event.scheduled_job_id}"
    if event.flow_run_id:
        return f"flow-run.{event.flow_run_id}"
    if event.job_id:
        return f"job.{event.job_id}"
    noun = event.act.partition(".")[0]
    thing = event.data.get("id") or event.actor_id
    return f"{noun}.{thing}" if thing else noun
