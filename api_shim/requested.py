"""What stands in the store behind a run that asks for admission, and the facts about it that the rules go by.

* Nothing that Prefect says of a run is believed but which run it is, and which schedule made it.
* What the answer rests on is read behind a lock: two runs that ask at once are told one after the other.
* The code that counts is the one that the asking process has.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from api_shim.actors import actor_of
from api_shim.firings import TAKEN_AHEAD, firing_of, is_spent
from api_shim.lapses import is_dry_run, stale
from api_shim.model import Job, JobResult, ScheduledJob, Status, User
from api_shim.ports import Run
from api_shim.recurrence import is_firing, newest_time
from api_shim.spent import Spent
from api_shim.store import Transaction
from approval_gate.admission import Facts, Firing, RunsAs
from approval_gate.model import Action, Actor, Attributes, ObjectType


@dataclass(frozen=True, kw_only=True, slots=True)
class Requested:
    """What stands in the store behind a run."""

    job: Job
    result: JobResult | None
    scheduled: ScheduledJob | None
    due: datetime | None
    inputs: Mapping[str, Any]
    sensitive: bool
    owner: User | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Attempt:
    """A process that executes a run, or wants to.

    Args:
        id: its own; a new one for each start of a process.
        worker: where it is, as ``host:number``.
        code: the digest of the Job's code as it has it.
    """

    id: UUID
    worker: str
    code: str


def behind(tx: Transaction, run: Run) -> Requested | None:
    """Return what stands behind a run; None for one that nobody requested, or that has had its turn."""
    if tx.exists(Spent, id=run.id):
        return None
    seen = tx.one(JobResult, id=run.id)
    scheduled = _scheduled_behind(tx, run, seen)
    job_id = seen.job_id if seen is not None else scheduled.job_id if scheduled is not None else None
    job = tx.one(Job, id=job_id) if job_id is not None else _receiver_behind(tx, run)
    # Read again behind the lock of what it belongs to: another process of this run may have been let go meanwhile.
    result = tx.one(JobResult, id=run.id, lock=True)
    if job is None or (result is not None and result.nominal_time is not None and scheduled is None):
        return None
    owner_id = scheduled.owner_id if scheduled else result.user_id if result else None
    return Requested(
        job=job,
        result=result,
        scheduled=scheduled,
        due=_due(run, result, scheduled),
        inputs=_inputs(run, result, scheduled),
        sensitive=result.sensitive if result else False,
        owner=tx.one(User, id=owner_id) if owner_id else None,
    )


def _scheduled_behind(tx: Transaction, run: Run, result: JobResult | None) -> ScheduledJob | None:
    if result is not None:
        by_result = result.scheduled_job_id
        return tx.one(ScheduledJob, id=by_result, lock=True) if by_result else None
    by_run = tx.one(ScheduledJob, flow_run_id=run.id, lock=True)
    if by_run is not None or not run.by_schedule or run.deployment_id is None:
        return by_run
    return tx.one(ScheduledJob, deployment_id=run.deployment_id, lock=True)


def _receiver_behind(tx: Transaction, run: Run) -> Job | None:
    if run.deployment_id is None:
        return None
    return tx.one(Job, deployment_id=run.deployment_id, is_job_hook_receiver=True, lock=True)


def _due(run: Run, result: JobResult | None, scheduled: ScheduledJob | None) -> datetime | None:
    if scheduled is None:
        return None
    if result is not None and result.nominal_time is not None:
        return result.nominal_time
    # Prefect keeps the nominal time of its scheduler's runs only; of a one-off it shows the time of creation.
    return scheduled.start_time if scheduled.one_off else firing_of(scheduled, run)


def _inputs(run: Run, result: JobResult | None, scheduled: ScheduledJob | None) -> Mapping[str, Any]:
    if result is not None:
        return result.inputs or {}
    # An event's run was made by Prefect; what it carries is the event.
    return scheduled.inputs if scheduled is not None else run.parameters


def facts(tx: Transaction, run: Run, request: Requested | None, attempt: Attempt, now: datetime) -> Facts:
    result = request.result if request else None
    shown = {} if request is None or request.sensitive else request.inputs
    return Facts(
        now=now,
        requested=request is not None,
        attempt=attempt.id,
        let_go=result.attempt if result else None,
        over=result is not None and result.status.final,
        # Prefect's database may give 1.0 back as 1, which is equal all the same.
        unchanged=run.parameters == shown or (request is not None and _overtaken(request)),
        needs_approval=request is not None and _needs_approval(request),
        firing=_firing_behind(tx, run.id, request, attempt, now) if request else None,
        runs_as=_runs_as(tx, request) if request else None,
        job_enabled=request is not None and request.job.enabled,
        job_installed=request is not None and request.job.installed,
        singleton_busy=request is not None and _busy(tx, request.job, run.id),
    )


def _overtaken(request: Requested) -> bool:
    """Say whether a worker may have taken this firing before its inputs were changed; it goes with the new ones."""
    scheduled, due = request.scheduled, request.due
    if scheduled is None or scheduled.one_off or due is None or request.result is not None:
        return False
    return scheduled.created < scheduled.due_from and due < scheduled.due_from + TAKEN_AHEAD


def foreseen(
    scheduled: ScheduledJob, job: Job, due: datetime, then: datetime, *, runs_as: RunsAs | None, taken: bool
) -> Facts:
    """Return the facts about the run of a firing to come, as they are then if nothing changes.

    Args:
        scheduled: what fires.
        job: its Job.
        due: the firing's nominal time.
        then: when it would ask.
        runs_as: who it would execute as, see ``who_runs``.
        taken: a run has, or has had, this firing.
    """
    return Facts(
        now=then,
        requested=True,
        attempt=NO_PROCESS,
        let_go=None,
        over=False,
        unchanged=True,
        needs_approval=False,
        firing=_firing(scheduled, job, due, job.code_digest, then, own=False, taken=taken),
        runs_as=runs_as,
        job_enabled=job.enabled,
        job_installed=job.installed,
        singleton_busy=False,
    )


NO_PROCESS = UUID(int=0)


def _needs_approval(request: Requested) -> bool:
    by_event = request.job.is_job_hook_receiver
    return request.job.approval_required and not by_event and not is_dry_run(request.job, request.inputs)


def _firing_behind(tx: Transaction, run_id: UUID, request: Requested, attempt: Attempt, now: datetime) -> Firing | None:
    scheduled, due = request.scheduled, request.due
    if scheduled is None or due is None:
        return None
    other = tx.one(JobResult, scheduled_job_id=scheduled.id, nominal_time=due)
    taken = other.id != run_id if other is not None else is_spent(tx, scheduled, due)
    return _firing(scheduled, request.job, due, attempt.code, now, own=run_id == scheduled.flow_run_id, taken=taken)


def _firing(
    scheduled: ScheduledJob, job: Job, due: datetime, code: str, now: datetime, *, own: bool, taken: bool
) -> Firing:
    repeats = not scheduled.one_off
    return Firing(
        name=scheduled.name,
        enabled=scheduled.enabled,
        approval=scheduled.approval,
        stale=stale(scheduled, job, code),
        outdated=own and scheduled.run_outdated,
        carries_request=own,
        due=due,
        on_time=is_firing(scheduled.recurrence, due) if repeats else True,
        owed=due >= scheduled.due_from if repeats else True,
        newest=newest_time(scheduled.recurrence, now) if repeats else None,
        taken=taken,
    )


def _runs_as(tx: Transaction, request: Requested) -> RunsAs | None:
    owner = request.owner
    if request.job.is_job_hook_receiver or owner is None:
        return who_runs(request.job, None, None, {})
    return who_runs(request.job, owner, actor_of(tx, owner), tx.attributes(ObjectType.JOB, request.job.id))


def who_runs(job: Job, owner: User | None, actor: Actor | None, thing: Attributes) -> RunsAs | None:
    """Return who a run of a Job executes as; None where an event starts it.

    Args:
        job: the Job.
        owner: who owns what runs; None when he has been removed.
        actor: the owner as the rules see him.
        thing: the Job, as constraints see it.
    """
    if job.is_job_hook_receiver:
        return None
    if owner is None or actor is None:
        return RunsAs(exists=False, active=False, may_run=False)
    return RunsAs(exists=True, active=owner.is_active, may_run=actor.may(Action.RUN, ObjectType.JOB, thing))


def _busy(tx: Transaction, job: Job, run_id: UUID) -> bool:
    if not job.is_singleton:
        return False
    # The Job's row is the lock: two runs of a singleton that ask at once are told one after the other.
    tx.one(Job, id=job.id, lock=True)
    under_way = tx.all(JobResult, job_id=job.id, status=Status.STARTED)
    return any(result.id != run_id for result in under_way)
