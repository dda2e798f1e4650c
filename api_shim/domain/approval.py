"""What an approval is bound to, until when a request waits for one, and who has spared a request its approval."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from api_shim.domain.model import AskingAgent, Encrypted, Job, ScheduledJob, SwitchedOff
from approval_gate.admission import Misfire
from approval_gate.binding import NEEDS_APPROVAL, NO_CODE, Binding, bind, digest, is_of_module_alone, what_changed
from approval_gate.errors import Unavailable
from approval_gate.lifecycle import ApprovalState


def binding_of(scheduled: ScheduledJob, job: Job) -> Binding:
    """Return what an approval of this request is bound to."""
    return _bound(scheduled, job, job.code_digest or NO_CODE)


def _bound(scheduled: ScheduledJob, job: Job, code: str) -> Binding:
    start = "immediately" if scheduled.immediate else scheduled.start_time.isoformat()
    # What was approved by earlier versions, which knew no other, stays approved.
    misfire = () if scheduled.misfire is Misfire.LAST else (str(scheduled.misfire),)
    return bind(
        job=job.class_path,
        code=code,
        inputs=_bound_inputs(scheduled.inputs),
        schedule=(str(scheduled.interval), start, scheduled.crontab, scheduled.time_zone, *misfire),
        queue=scheduled.queue,
        job_variables=job.job_variables,
    )


def _bound_inputs(inputs: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return what stands for inputs: encrypted ones as they are encrypted, as their own hash could be guessed from."""
    # No variable has an empty name.
    return {"": inputs.text} if isinstance(inputs, Encrypted) else inputs


def version_of(scheduled: ScheduledJob, job: Job) -> str:
    """Return the name of what is to be decided about: another one as soon as what would run changes, or as whom.

    Also as soon as more was missed of what is asked about.
    """
    asked = {} if scheduled.missed is None else {"missed": str(scheduled.missed["last"])}
    return digest({**binding_of(scheduled, job), "run_as": str(scheduled.owner_id), **asked})


def when_and_where(scheduled: ScheduledJob) -> dict[str, str]:
    """Return when and where a scheduled job is to run, as labelled text."""
    start = scheduled.start_time.astimezone(ZoneInfo(scheduled.time_zone))
    return {
        "Interval": "immediately" if scheduled.immediate else str(scheduled.interval),
        "Start": "as soon as it is approved" if scheduled.immediate else f"{start:%Y-%m-%d %H:%M:%S}",
        **({"Crontab": scheduled.crontab} if scheduled.crontab else {}),
        "Time zone": scheduled.time_zone,
        **({} if scheduled.misfire is Misfire.LAST else {"Missed runs": str(scheduled.misfire)}),
        "Queue": scheduled.queue,
    }


def is_dry_run(job: Job, inputs: Mapping[str, Any]) -> bool:
    """Say whether a run with these inputs tries the Job without effect, and so needs no approval (contract 4)."""
    try:
        return job.supports_dryrun and inputs.get("dryrun") is True
    except Unavailable:
        # What cannot be read may be anything.
        return False


def needs_approval(job: Job, inputs: Mapping[str, Any], agent: AskingAgent | None) -> bool:
    """Say whether a run with these inputs needs approval: because its Job asks for it, or because an agent asks.

    Args:
        job: the Job.
        inputs: the inputs.
        agent: for whom an agent asks that requests it; None if none does.
    """
    if is_dry_run(job, inputs) and (agent is None or job.dryrun_is_safe):
        return False
    return job.approval_required or (agent is not None and agent["needs_approval"])


def holds_code(scheduled: ScheduledJob) -> bool:
    """Say whether the runs of a scheduled job go by an approval that is bound to all the code of its Job."""
    approved = scheduled.approved or {}
    return scheduled.approval is ApprovalState.APPROVED and not is_of_module_alone(approved.get("code", ""))


def stale(scheduled: ScheduledJob, job: Job) -> str:
    """Return the sentence on why a scheduled job may no longer run unasked; empty while it may.

    Args:
        scheduled: it.
        job: its Job, with the code that would run.
    """
    match scheduled.approval:
        case ApprovalState.APPROVED:
            now = binding_of(scheduled, job) if holds_code(scheduled) else _bound(scheduled, job, job.module_digest)
            return what_changed(scheduled.approved or {}, now, scheduled.approved_by)
        case ApprovalState.NOT_REQUIRED if needs_approval(job, scheduled.inputs, scheduled.agent):
            return NEEDS_APPROVAL
        case _:
            return ""


def approval_off(before: Job, after: Job, by: str, now: datetime) -> SwitchedOff | None:
    """Return who has switched the approval of a Job off; None while it is on, or if neither a person nor its code asks.

    Args:
        before: the Job as it was.
        after: the Job as it is.
        by: the name of who changed it; empty for its code.
        now: when.
    """
    if after.approval_required:
        return None
    if before.approval_off is not None:
        return before.approval_off
    by_hand = bool(by) and before.approval_required
    return {"by": by, "at": now.isoformat()} if by_hand or after.declared.get("approval_required") else None


def unasked(job: Job, inputs: Mapping[str, Any]) -> SwitchedOff | None:
    """Return who has spared a request its approval by having switched it off; None if it needs none anyway."""
    return None if is_dry_run(job, inputs) or job.is_job_hook_receiver else job.approval_off


def end_of(job: Job, agent: AskingAgent | None, now: datetime) -> datetime | None:
    """Return when a request that is made now ends if nobody decides about it; None for never.

    Args:
        job: the Job.
        agent: for whom an agent asks that requests it; None if none does.
        now: the time.
    """
    limits = [job.approval_expires, agent["expires_after"] if agent is not None else 0]
    seconds = min(filter(None, limits), default=0)
    return now + timedelta(seconds=seconds) if seconds else None
