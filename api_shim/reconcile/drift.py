"""What a hand has changed on a deployment in Prefect: told from what is ours, and remembered when it is taken back.

* It is ours as long as Prefect has not followed the store, and at the moment at which a schedule begins by time.
* It is remembered once, and not if the store has changed meanwhile: then it may have been another server's.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any

from api_shim.domain.audit import AuditEvent, EventType, scheduled_job_event
from api_shim.domain.model import Job, ScheduledJob
from api_shim.domain.ports import DeploymentSpec
from api_shim.domain.recurrence import active_from
from api_shim.store import Transaction


def differs(found: DeploymentSpec | None, desired: DeploymentSpec) -> bool:
    """Say whether a deployment must be written; its names cannot be, so they do not count."""
    return found is None or replace(found, flow=desired.flow, name=desired.name) != desired


def describe_drift(found: DeploymentSpec | None, desired: DeploymentSpec) -> str:
    """Return the sentence on what a hand has changed on a deployment; empty for what follows from the Job alone."""
    if found is None:
        return "Its deployment was deleted in Prefect."
    is_there, should_be = found.schedule, desired.schedule
    if is_there is None or should_be is None:
        schedule = "" if is_there == should_be else "added" if is_there else "removed"
    else:
        switched = "" if is_there.active == should_be.active else "switched on" if is_there.active else "switched off"
        schedule = switched or ("" if is_there == should_be else "changed")
    changes = [
        f"Its schedule was {schedule} in Prefect." if schedule else "",
        "Its parameters were changed in Prefect." if found.parameters != desired.parameters else "",
        "Its work queue was changed in Prefect." if (found.pool, found.queue) != (desired.pool, desired.queue) else "",
        "How its runs are executed was changed in Prefect." if _executed(found) != _executed(desired) else "",
    ]
    return " ".join(filter(None, changes))


def _executed(spec: DeploymentSpec) -> tuple[bool, Mapping[str, Any]]:
    return spec.foreign, spec.job_variables


def manual_change(
    thing: Job | ScheduledJob, found: DeploymentSpec | None, desired: DeploymentSpec, now: datetime
) -> str:
    """Return the sentence on what a hand has changed on the deployment of a thing; empty for nothing.

    Args:
        thing: a Job, or a scheduled job, as it stood before its deployment was read.
        found: the deployment; None if it is gone.
        desired: how it should be.
        now: the time.
    """
    followed = thing.projected_version == thing.version
    return describe_drift(found, desired) if followed and not _begins(thing, now) else ""


def _begins(thing: Job | ScheduledJob, now: datetime) -> bool:
    """Say whether the schedule of a thing becomes active just now."""
    if not isinstance(thing, ScheduledJob):
        return False
    return thing.next_look_at <= now and thing.next_look_at == active_from(thing.recurrence)


def record_reverted(thing: Job | ScheduledJob, hand: str, now: datetime, tx: Transaction) -> None:
    """Remember what has been taken back."""
    still = tx.get(type(thing), id=thing.id, lock=True)
    if still is None or not still.projected_version == still.version == thing.version:
        return
    if isinstance(thing, ScheduledJob):
        tx.record(scheduled_job_event(thing, EventType.TAKEN_BACK, now, reason=hand))
        return
    tx.record(
        AuditEvent(
            at=now,
            act=EventType.TAKEN_BACK,
            name=thing.name,
            job_id=thing.id,
            deployment_id=thing.deployment_id,
            data={"reason": hand},
        )
    )
