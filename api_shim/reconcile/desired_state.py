"""What Prefect should look like, for what stands in the store.

* A Job is a flow of its name with a base deployment; a recurring scheduled job has a deployment of its own on it, with
  one schedule whose slug is its id.
* Inputs stand in Prefect as parameters, for people to see; what executes is the store's copy.
* The flow of a Job is an attribute of ``flows.prefect_flow`` that is called like its class path, with dashes.
* Names lose the characters that Prefect forbids.
"""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from api_shim.domain.model import Job, ScheduledJob
from api_shim.domain.ports import EMPTY_FORM, DeploymentSpec, RunSpec, ScheduleSpec
from api_shim.domain.recurrence import active_from, cron_spec
from api_shim.reconcile.approval_form import waiting_name
from approval_gate.lifecycle import ApprovalState

ENTRYPOINT = "flows.prefect_flow"
BASE_DEPLOYMENT = "default"


def base_deployment(job: Job) -> DeploymentSpec:
    """Return a Job's base deployment."""
    return DeploymentSpec(
        flow=allowed_name(job.name),
        name=BASE_DEPLOYMENT,
        entrypoint=entrypoint(job),
        queue=job.default_queue,
        description=job.description,
        parameter_schema=job.parameter_schema or EMPTY_FORM,
    )


def own_deployment(scheduled: ScheduledJob, job: Job, now: datetime) -> DeploymentSpec:
    """Return the deployment of a recurring scheduled job, as it should be at that time."""
    active = scheduled.may_fire and now >= active_from(scheduled.recurrence)
    return DeploymentSpec(
        flow=allowed_name(job.name),
        name=deployment_name(scheduled.name, scheduled.id),
        entrypoint=entrypoint(job),
        queue=scheduled.queue,
        description=scheduled.description or f"The scheduled job “{scheduled.name}” of signoff.",
        parameters=scheduled.inputs,
        parameter_schema=job.parameter_schema or EMPTY_FORM,
        schedule=ScheduleSpec(slug=str(scheduled.id), cron=cron_spec(scheduled.recurrence), active=active),
    )


def deployment_name(name: str, scheduled_id: UUID) -> str:
    """Return the name of a scheduled job's deployment: its own name, made unique."""
    return f"{allowed_name(name)[:200]} ({str(scheduled_id)[:8]})"


def allowed_name(name: str) -> str:
    """Return a name less the characters that Prefect forbids in it."""
    return "".join("-" if c in "/%&><" else c for c in name)


def entrypoint(job: Job) -> str:
    """Return the import path of a Job's flow."""
    return f"{ENTRYPOINT}.{job.class_path.replace('.', '-')}"


def one_off_key(scheduled_id: UUID) -> str:
    """Return the key of a one-off's run."""
    return f"signoff:{scheduled_id}"


def run_spec(key: str, scheduled: ScheduledJob, message: str, *, awaits: bool = False) -> RunSpec:
    """Return the run of a scheduled job."""
    return RunSpec(
        key=key,
        name=waiting_name(scheduled) if awaits else scheduled.name,
        parameters=scheduled.inputs,
        queue=scheduled.queue,
        message=message,
        awaits=awaits,
    )


def released(scheduled: ScheduledJob) -> str:
    """Return the message of a run that may start."""
    if not scheduled.approved_by:
        return "Scheduled by signoff."
    comment = f": {scheduled.approval_comment}" if scheduled.approval_comment else "."
    return f"Approved by {scheduled.approved_by}{comment}"


def ended(scheduled: ScheduledJob) -> tuple[str, str]:
    """Return the name and the message of the state of a run that will not execute."""
    if scheduled.approval is ApprovalState.EXPIRED:
        return "Expired", "Nobody decided about this request in time."
    return "Cancelled", "The scheduled job is disabled."
