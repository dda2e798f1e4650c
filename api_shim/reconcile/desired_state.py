"""What Prefect should look like, for what stands in the store.

* A Job is a flow of its name with a base deployment; a recurring scheduled job has a deployment of its own on it, with
  one schedule whose slug is its id.
* Inputs stand in Prefect as parameters, for people to see, unless they may be sensitive; what executes is the store's
  copy.
* The flow of a Job is an attribute of ``flows.prefect_flow`` that is called like its class path, with dashes.
* Names lose the characters that Prefect forbids.
* The key of a run names what the store has recorded: a job result, or which run of a scheduled job it is. It tells what
  a run is that asks for admission before Prefect's id of it has been recorded.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from uuid import UUID
from zoneinfo import ZoneInfo

from api_shim.domain.model import Job, JobResult, PendingCleanup, ScheduledJob
from api_shim.domain.ports import EMPTY_FORM, DeploymentSpec, RunSpec, ScheduleSpec
from api_shim.domain.recurrence import TICK, active_from, cron_spec, next_times
from api_shim.parsing.fields import read_id
from api_shim.reconcile.approval_form import waiting_name
from approval_gate.lifecycle import ApprovalState
from approval_gate.verdicts import CANCELLED, EXPIRED

ENTRYPOINT = "flows.prefect_flow"
BASE_DEPLOYMENT = "default"
Pools = Mapping[str, str]
"""The work pools of queues, by the name of the queue; those that are not named belong to the server's."""
KEY = "signoff:"
RESULT_KEY = "signoff:result:"


def base_deployment(job: Job, pools: Pools) -> DeploymentSpec:
    """Return a Job's base deployment."""
    return DeploymentSpec(
        flow=allowed_name(job.name),
        name=BASE_DEPLOYMENT,
        entrypoint=entrypoint(job),
        queue=job.default_queue,
        pool=pools.get(job.default_queue, ""),
        description=job.description,
        parameter_schema=job.parameter_schema or EMPTY_FORM,
        job_variables=job.job_variables,
        tags=job.tags,
    )


def own_deployment(scheduled: ScheduledJob, job: Job, now: datetime, pools: Pools) -> DeploymentSpec:
    """Return the deployment of a recurring scheduled job, as it should be at that time."""
    active = scheduled.may_fire and now >= active_from(scheduled.recurrence)
    return DeploymentSpec(
        flow=allowed_name(job.name),
        name=deployment_name(scheduled.name, scheduled.id),
        entrypoint=entrypoint(job),
        queue=scheduled.queue,
        pool=pools.get(scheduled.queue, ""),
        description=_described(scheduled, active=active),
        parameters=scheduled.parameters,
        parameter_schema=job.parameter_schema or EMPTY_FORM,
        job_variables=job.job_variables,
        tags=job.tags,
        schedule=ScheduleSpec(slug=str(scheduled.id), cron=cron_spec(scheduled.recurrence), active=active),
    )


def _described(scheduled: ScheduledJob, *, active: bool) -> str:
    """Return the description of a scheduled job's deployment: where its schedule is inactive, also why."""
    described = scheduled.description or f"The scheduled job “{scheduled.name}” of signoff."
    if active:
        return described
    if scheduled.awaits_decision:
        why = "It waits for approval; until then its schedule is inactive here."
    elif scheduled.may_fire:
        first = next_times(scheduled.recurrence, scheduled.start_time - TICK, 1)[0]
        begins = first.astimezone(ZoneInfo(scheduled.time_zone))
        why = f"It fires from {begins:%Y-%m-%d %H:%M %Z} on; until shortly before, its schedule is inactive here."
    else:
        why = "It is disabled."
    return f"{described}\n\n{why}"


def deployment_name(name: str, scheduled_id: UUID) -> str:
    """Return the name of a scheduled job's deployment: its own name, made unique."""
    return f"{allowed_name(name)[:200]} ({str(scheduled_id)[:8]})"


def leftover_of(row: ScheduledJob, message: str) -> PendingCleanup:
    """Return what a scheduled job that is deleted may leave in Prefect.

    Args:
        row: it.
        message: what its run is ended with, for people.
    """
    return PendingCleanup(
        id=row.id,
        job_id=row.job_id,
        name=deployment_name(row.name, row.id),
        message=message,
        deployment_id=row.deployment_id,
        flow_run_id=row.flow_run_id,
        run_number=row.run_number,
    )


def allowed_name(name: str) -> str:
    """Return a name less the characters that Prefect forbids in it."""
    return "".join("-" if c in "/%&><" else c for c in name)


def entrypoint(job: Job) -> str:
    """Return the import path of a Job's flow."""
    return f"{ENTRYPOINT}.{job.class_path.replace('.', '-')}"


def one_off_key(scheduled_id: UUID, number: int = 0) -> str:
    """Return the key of a scheduled job's run, the first or one that has taken its place."""
    return f"{KEY}{scheduled_id}/{number}" if number else f"{KEY}{scheduled_id}"


def result_key(result_id: UUID) -> str:
    """Return the key of a job result's run."""
    return f"{RESULT_KEY}{result_id}"


def result_named_by(key: str) -> UUID | None:
    """Return the id of the job result that a key names."""
    return read_id(key.removeprefix(RESULT_KEY)) if key.startswith(RESULT_KEY) else None


def scheduled_named_by(key: str) -> tuple[UUID, int] | None:
    """Return the id of the scheduled job that a key names, and which of its runs."""
    name, _, number = key.removeprefix(KEY).partition("/")
    scheduled_id = read_id(name) if key.startswith(KEY) else None
    if scheduled_id is None or not (number.isdecimal() or not number):
        return None
    return scheduled_id, int(number or 0)


def run_spec(scheduled: ScheduledJob, message: str, at: datetime | None = None) -> RunSpec:
    """Return the run of a scheduled job: one that starts at that time, or else is held."""
    awaits = scheduled.awaits_decision
    return RunSpec(
        key=one_off_key(scheduled.id, scheduled.run_number),
        name=waiting_name(scheduled) if awaits else scheduled.called,
        parameters=scheduled.parameters,
        queue=scheduled.queue,
        message=message,
        at=at,
        awaits=awaits,
        tags=scheduled.run_tags,
    )


def result_spec(result: JobResult, name: str, at: datetime) -> RunSpec:
    """Return the run of a job result, called like this."""
    return RunSpec(
        key=result_key(result.id),
        name=name,
        parameters={} if result.sensitive else result.inputs or {},
        queue=result.queue,
        message="Requested through signoff." if result.nominal_time is None else "Makes up for a missed firing.",
        at=at,
        tags=result.run_tags,
    )


def placed(run: RunSpec, deployment_queue: str, pools: Pools) -> RunSpec:
    """Return a run of a deployment, whose own queue is that one, with the work pool of its queue."""
    pool = pools.get(run.queue, "")
    return run if pool == pools.get(deployment_queue, "") else replace(run, pool=pool)


def released(scheduled: ScheduledJob) -> str:
    """Return the message of a run that may start."""
    if not scheduled.approved_by:
        return "Scheduled by signoff."
    comment = f": {scheduled.approval_comment}" if scheduled.approval_comment else "."
    return f"Approved by {scheduled.approved_by}{comment}"


def ended(scheduled: ScheduledJob) -> tuple[str, str]:
    """Return the verdict about a run that will not execute, and the message of its state."""
    if scheduled.approval is ApprovalState.EXPIRED:
        return EXPIRED, "Nobody decided about this request in time."
    return CANCELLED, "The scheduled job is disabled."
