"""What a hand has changed on a deployment in Prefect: told from what is ours, and remembered when it is taken back.

* It is ours as long as Prefect has not followed the store, and at the moment at which a schedule begins by time.
* It is remembered once, and not if the store has changed meanwhile: then it may have been another server's.
"""

from __future__ import annotations

from datetime import datetime

from api_shim.audit import Act, AuditEvent, about
from api_shim.mapping import handiwork
from api_shim.model import Job, ScheduledJob
from api_shim.ports import DeploymentSpec
from api_shim.recurrence import active_from
from api_shim.store import Transaction


def hand_in(thing: Job | ScheduledJob, found: DeploymentSpec | None, desired: DeploymentSpec, now: datetime) -> str:
    """Return the sentence on what a hand has changed on the deployment of a thing; empty for nothing.

    Args:
        thing: a Job, or a scheduled job, as it stood before its deployment was read.
        found: the deployment; None if it is gone.
        desired: how it should be.
        now: the time.
    """
    followed = thing.projected_version == thing.version
    return handiwork(found, desired) if followed and not _begins(thing, now) else ""


def _begins(thing: Job | ScheduledJob, now: datetime) -> bool:
    """Say whether the schedule of a thing becomes active just now."""
    if not isinstance(thing, ScheduledJob):
        return False
    return thing.next_look_at <= now and thing.next_look_at == active_from(thing.recurrence)


def remember(thing: Job | ScheduledJob, hand: str, now: datetime, tx: Transaction) -> None:
    """Remember what has been taken back."""
    still = tx.one(type(thing), id=thing.id, lock=True)
    if still is None or not still.projected_version == still.version == thing.version:
        return
    if isinstance(thing, ScheduledJob):
        tx.remember(about(thing, Act.TAKEN_BACK, now, reason=hand))
        return
    tx.remember(
        AuditEvent(
            at=now,
            act=Act.TAKEN_BACK,
            name=thing.name,
            job_id=thing.id,
            deployment_id=thing.deployment_id,
            data={"reason": hand},
        )
    )
