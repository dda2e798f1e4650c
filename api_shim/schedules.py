"""The use cases around running: request a run, now or by schedule; delete what is scheduled.

* A request is refused whole or accepted whole. It is checked in this order: who asks, the Job, the schedule, the
  queue, the data, and last whether anybody would run it.
* A Job with sensitive variables runs immediately or not at all; one that also needs approval cannot run.
* A Job that needs approval gets a scheduled job that waits, also for ``immediately``; a dry run needs none.
* A schedule is durable before it is answered, and follows in Prefect. Who asked for it is its first owner.
* What is deleted leaves a note of what it may have left in Prefect, in the same transaction.

Contract 4, 5, 9.12 and 9.14.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any
from uuid import UUID, uuid4

import anyio.to_thread

from api_shim.access import check_still_there, find
from api_shim.audit import Act, about, snapshot
from api_shim.jobs import JobCode
from api_shim.lapses import end_of, is_dry_run
from api_shim.mapping import deployment_name
from api_shim.model import Job, JobResult, Leftover, Participant, ScheduledJob
from api_shim.projection import Projection
from api_shim.recurrence import Interval
from api_shim.runs import Runs
from api_shim.schedule_form import NAME_TAKEN, Schedule, read_schedule
from api_shim.store import Duplicate, Store, Transaction
from approval_gate import policy
from approval_gate.errors import Invalid
from approval_gate.lifecycle import ApprovalState
from approval_gate.model import Action, Actor, ObjectType

SENSITIVE = "Unable to schedule job: Job may have sensitive input variables"
SENSITIVE_AND_APPROVAL = (
    "Unable to run or schedule job: This job is flagged as possibly having sensitive variables but is also flagged "
    "as requiring approval. One of these two flags must be removed before this job can be scheduled or run."
)
BOTH_QUEUES = "task_queue and job_queue are both specified. Please specify only one or another."


@dataclass(frozen=True, kw_only=True, slots=True)
class RunRequest:
    """What somebody asks to run.

    Args:
        data: the variables, as sent.
        schedule: when, as sent; None for now.
        task_queue: the work queue, as sent.
        job_queue: the same, under its newer name.
    """

    data: object
    schedule: object = None
    task_queue: object = None
    job_queue: object = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Accepted:
    """What became of a request: exactly one of the two."""

    scheduled_job: ScheduledJob | None = None
    job_result: JobResult | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class _Plan:
    """A request that has been found sound."""

    job: Job
    schedule: Schedule
    queue: str
    inputs: Mapping[str, Any]
    waits: bool

    @property
    def runs_now(self) -> bool:
        return self.schedule.interval is Interval.IMMEDIATELY and not self.waits


class Schedules:
    """Requests and deletions.

    Args:
        store: what is true.
        runs: starts those that begin now.
        projection: brings Prefect into line.
        code: the Jobs' code, which knows their variables.
        clock: tells the time, aware.
        zone: IANA name of the server's time zone.
    """

    def __init__(
        self,
        *,
        store: Store,
        runs: Runs,
        projection: Projection,
        code: JobCode,
        clock: Callable[[], datetime],
        zone: str,
    ) -> None:
        self._store = store
        self._runs = runs
        self._projection = projection
        self._code = code
        self._clock = clock
        self.zone = zone

    def parts(self, job: Job, request: RunRequest, now: datetime) -> tuple[Callable[[], Any], ...]:
        """Return what reads the parts of a request: its schedule, its queue and its data; ``Invalid`` for a fault."""
        return (
            partial(_read_when, job, request.schedule, now, self.zone),
            partial(read_queue, job, request.task_queue, request.job_queue),
            partial(self._code.validate, job, request.data),
        )

    async def request(self, actor: Actor, job_ref: str | UUID, request: RunRequest) -> Accepted:
        """Run a Job, or schedule it.

        Args:
            actor: who asks, and whom it will run as.
            job_ref: the Job's id or name.
            request: what to run, and when.

        Returns:
            the job result of a run that starts now, or else the scheduled job.

        Raises:
            Forbidden: he may not run it, or nobody may because it is not enabled.
            NotFound: there is no such Job, or none that he may know of.
            NotRunnable: its code is not installed, or only events start it.
            Invalid: a fault in the schedule, the queue or the data, in the contract's shape.
            Unavailable: no worker serves the queue, or Prefect does not answer.
        """
        now = self._clock()
        job = await self._store.read(partial(runnable_job, actor, job_ref))
        # Off the event loop: a large request is long to check, and the first one of a Job imports its module.
        plan = await anyio.to_thread.run_sync(self._plan, job, request, now)
        await self._runs.check_served(plan.queue)
        if plan.runs_now:
            return Accepted(job_result=await self._runs.start(actor, plan.job, plan.inputs, plan.queue, now))
        return Accepted(scheduled_job=await self._schedule(actor, plan, now))

    def _plan(self, job: Job, request: RunRequest, now: datetime) -> _Plan:
        if refusal := why_never(job):
            raise Invalid([refusal])
        when, queue, inputs = (read() for read in self.parts(job, request, now))
        waits = job.approval_required and not is_dry_run(job, inputs)
        return _Plan(job=job, schedule=when, queue=queue, inputs=inputs, waits=waits)

    async def _schedule(self, actor: Actor, plan: _Plan, now: datetime) -> ScheduledJob:
        immediately = plan.schedule.interval is Interval.IMMEDIATELY
        scheduled = ScheduledJob(
            id=uuid4(),
            name=plan.schedule.name or default_name(plan.job, now),
            job_id=plan.job.id,
            owner_id=actor.id,
            requester_id=actor.id,
            interval=Interval.FUTURE if immediately else plan.schedule.interval,
            immediate=immediately,
            start_time=plan.schedule.start_time,
            time_zone=plan.schedule.time_zone,
            crontab=plan.schedule.crontab,
            inputs=plan.inputs,
            queue=plan.queue,
            approval=ApprovalState.PENDING if plan.waits else ApprovalState.NOT_REQUIRED,
            expires_at=end_of(plan.job, now) if plan.waits else None,
            created=now,
            date_changed=now,
            due_from=now,
        )
        try:
            await self._store.write(partial(_add, actor, scheduled, now))
        except Duplicate as error:
            raise Invalid({"schedule": {"name": [NAME_TAKEN]}}) from error
        await self._runs.follow(scheduled.id)
        return scheduled

    async def delete(self, actor: Actor, scheduled_id: UUID) -> None:
        """Delete a scheduled job; what it has run stays recorded.

        Raises:
            Forbidden: he may delete none, or not this one.
            NotFound: there is no such one, or none that he may know of.
        """
        leftover = await self._store.write(partial(_delete, actor, scheduled_id, self._clock()))
        await self._runs.promptly(partial(self._projection.clean, leftover))

    async def delete_all(self, actor: Actor, ids: list[UUID]) -> None:
        """Delete those of these that exist and that he may delete, in one transaction; pass over the others.

        Raises:
            Forbidden: he may delete none at all.
        """
        leftovers = await self._store.write(partial(_delete_all, actor, ids, self._clock()))
        await self._runs.promptly(partial(self._clean, leftovers))

    async def _clean(self, leftovers: list[Leftover]) -> None:
        for leftover in leftovers:
            await self._projection.clean(leftover)


def runnable_job(actor: Actor, job_ref: str | UUID, tx: Transaction) -> Job:
    """Return a Job that the actor may run now, or raise why not."""
    by = {"id": job_ref} if isinstance(job_ref, UUID) else {"name": job_ref}
    job: Job = find(tx, actor, Action.RUN, ObjectType.JOB, **by)
    policy.enforce(policy.runnable(runnable_of(job)), ObjectType.JOB)
    return job


def why_never(job: Job) -> str:
    """Return why a Job can neither run nor be scheduled, whoever asks; empty if it can."""
    return SENSITIVE_AND_APPROVAL if job.has_sensitive_variables and job.approval_required else ""


def why_only_now(job: Job) -> str:
    """Return why a Job can only run immediately; empty if it can be scheduled."""
    return SENSITIVE if job.has_sensitive_variables else ""


def _read_when(job: Job, raw: object, now: datetime, zone: str) -> Schedule:
    schedule = {"interval": "immediately"} if raw is None else raw
    interval = schedule.get("interval") if isinstance(schedule, Mapping) else None
    if interval != Interval.IMMEDIATELY and (refusal := why_only_now(job)):
        raise Invalid({"schedule": {"interval": [refusal]}})
    return read_schedule(schedule, now, zone)


def read_queue(job: Job, task_queue: object, job_queue: object) -> str:
    """Read the work queue that somebody asks for, under either of its names; the Job's first one if he asks for none.

    Raises:
        Invalid: both names are used, or the Job has no such queue.
    """
    if task_queue is not None and job_queue is not None:
        raise Invalid({"task_queue": BOTH_QUEUES})
    asked = task_queue if job_queue is None else job_queue
    if asked is None or asked == "":
        return job.default_queue
    if not isinstance(asked, str) or asked not in job.queues:
        raise Invalid({"task_queue": [f'"{str(asked)[:100]}" is not a valid choice.']})
    return asked


def default_name(job: Job, now: datetime) -> str:
    """Return the name of a scheduled job that was asked for without one (contract 4)."""
    return f"{job.name[:200]} - {now.isoformat()}"


def runnable_of(job: Job) -> policy.Runnable:
    """Return what matters of a Job when somebody wants to run it."""
    return policy.Runnable(enabled=job.enabled, installed=job.installed, is_job_hook_receiver=job.is_job_hook_receiver)


def _add(actor: Actor, scheduled: ScheduledJob, now: datetime, tx: Transaction) -> None:
    check_still_there(tx, actor)
    tx.add(scheduled)
    tx.add(Participant(scheduled_job_id=scheduled.id, user_id=actor.id, username=actor.username))
    if scheduled.awaits_decision:
        tx.remember(about(scheduled, Act.REQUESTED, now, actor))


def _delete(actor: Actor, scheduled_id: UUID, now: datetime, tx: Transaction) -> Leftover:
    scheduled = find(tx, actor, Action.DELETE, ObjectType.SCHEDULED_JOB, lock=True, id=scheduled_id)
    return _deleted(actor, scheduled, now, tx)


def _delete_all(actor: Actor, ids: list[UUID], now: datetime, tx: Transaction) -> list[Leftover]:
    kind = ObjectType.SCHEDULED_JOB
    policy.enforce(policy.on_type(actor, Action.DELETE, kind), kind)
    # In order, so that two who delete the same at once never wait for each other.
    deletable = sorted(tx.visible(kind, actor, Action.DELETE, ids))
    found = (tx.one(ScheduledJob, id=scheduled_id, lock=True) for scheduled_id in deletable)
    return [_deleted(actor, scheduled, now, tx) for scheduled in found if scheduled is not None]


def _deleted(actor: Actor, scheduled: ScheduledJob, now: datetime, tx: Transaction) -> Leftover:
    own_request = scheduled.awaits_decision and actor.id == scheduled.requester_id
    if own_request:
        thing = tx.attributes(ObjectType.SCHEDULED_JOB, scheduled.id)
        tx.remember(about(scheduled, Act.WITHDRAWN, now, actor, seen=snapshot(thing)))
    else:
        tx.remember(about(scheduled, Act.DELETED, now, actor))
    return leave(tx, scheduled, f"Deleted by {actor.username}.")


def leave(tx: Transaction, scheduled: ScheduledJob, message: str) -> Leftover:
    """Remove a scheduled job, and note what it may have left in Prefect.

    Args:
        tx: the transaction.
        scheduled: it.
        message: what its run is ended with, for people.
    """
    leftover = Leftover(
        id=scheduled.id,
        job_id=scheduled.job_id,
        name=deployment_name(scheduled.name, scheduled.id),
        message=message,
        deployment_id=scheduled.deployment_id,
        flow_run_id=scheduled.flow_run_id,
    )
    tx.remove(scheduled)
    tx.add(leftover)
    return leftover
