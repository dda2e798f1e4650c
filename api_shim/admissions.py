"""The use cases of a run: it asks whether it may go, and later tells how it went.

* The facts are read and the answer recorded in one transaction, so two runs that ask at once cannot both be let go.
* What admission records: the process that was let go, the count and time of the firing, the end of a one-off;
  a failed job result where a firing's turn was refused, a revoked one where it was passed over.
* An outcome counts only from the process that was let go, and only once.
* The inputs of sensitive Jobs are forgotten when their run is over.

Design: every run passes admission, whoever started it. Contract 5 and 7.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from api_shim.actors import actor_of
from api_shim.model import NEVER, Job, JobResult, ScheduledJob, Status, User
from api_shim.ports import Run
from api_shim.recurrence import is_firing, newest_time, next_times, nominal_time
from api_shim.store import Store, Transaction
from approval_gate import admission
from approval_gate.admission import Answer, Facts, Finish, Firing, Go, Refuse, RunsAs
from approval_gate.errors import NotFound
from approval_gate.model import Action, ObjectType
from flows.inputs import storable_json, storable_text

MISSED_AFTER = timedelta(seconds=90)
"""How long after its nominal time a firing that no run has taken counts as missed."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Ticket:
    """What a run that goes is given."""

    job: Job
    result: JobResult
    user: User | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Attempt:
    """A process that executes a run, or wants to.

    Args:
        id: its own; a new one for each start of a process.
        worker: where it is, as ``host:number``.
    """

    id: UUID
    worker: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Outcome:
    """How a run went, as its own process tells it."""

    status: Status
    result: Any
    traceback: str | None


@dataclass(frozen=True, kw_only=True, slots=True)
class _Request:
    """What stands in the store behind a run."""

    job: Job
    result: JobResult | None
    scheduled: ScheduledJob | None
    due: datetime | None
    inputs: Mapping[str, Any]
    sensitive: bool
    owner: User | None


class Admissions:
    """Lets runs go, once each, and hears how they went."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def ask(self, run: Run, attempt: Attempt, now: datetime) -> tuple[Answer, Ticket | None]:
        """Answer a run that asks whether it may go, and record the answer.

        Args:
            run: the flow run, as Prefect shows it.
            attempt: the process that asks.
            now: the time.

        Returns:
            the answer, and with ``Go`` what the run is to execute.
        """
        with self._store.transaction() as tx:
            request = _behind(tx, run)
            answer = admission.admit(_facts(tx, run, request, attempt, now))
            if request is None:
                return answer, None
            return answer, _record(tx, run, request, attempt, answer, now)

    def tell(self, run_id: UUID, attempt: UUID, outcome: Outcome, now: datetime) -> None:
        """Record how a run went; the second time, and after it was ended otherwise, nothing changes.

        Raises:
            NotFound: no such process of such a run was ever let go.
        """
        with self._store.transaction() as tx:
            result = tx.one(JobResult, id=run_id, lock=True)
            if result is None or result.attempt != attempt:
                raise NotFound("No such run was let go.")
            if not result.status.final:
                tx.change(
                    result,
                    **ending(result, outcome.status, now),
                    result=storable_json(outcome.result),
                    traceback=None if outcome.traceback is None else storable_text(outcome.traceback),
                )


def ending(result: JobResult, status: Status, now: datetime) -> dict[str, Any]:
    """Return the fields that change when a result becomes final."""
    forgotten = {"inputs": None} if result.sensitive else {}
    return {"status": status, "date_done": now, **forgotten}


def _behind(tx: Transaction, run: Run) -> _Request | None:
    seen = tx.one(JobResult, id=run.id)
    scheduled = _scheduled_behind(tx, run, seen)
    job_id = seen.job_id if seen is not None else scheduled.job_id if scheduled is not None else None
    job = tx.one(Job, id=job_id) if job_id is not None else _receiver_behind(tx, run)
    # Read again behind the lock of what it belongs to: another process of this run may have been let go meanwhile.
    result = tx.one(JobResult, id=run.id, lock=True)
    if job is None or (result is not None and result.nominal_time is not None and scheduled is None):
        return None
    owner_id = scheduled.owner_id if scheduled else result.user_id if result else None
    return _Request(
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


def firing_of(scheduled: ScheduledJob, run: Run) -> datetime:
    """Return the nominal time of a run that Prefect's scheduler made; what is no firing stays as it is."""
    return nominal_time(scheduled.recurrence, run.expected_start) or run.expected_start


def _inputs(run: Run, result: JobResult | None, scheduled: ScheduledJob | None) -> Mapping[str, Any]:
    if result is not None:
        return result.inputs or {}
    # An event's run was made by Prefect; what it carries is the event.
    return scheduled.inputs if scheduled is not None else run.parameters


def _facts(tx: Transaction, run: Run, request: _Request | None, attempt: Attempt, now: datetime) -> Facts:
    result = request.result if request else None
    shown = {} if request is None or request.sensitive else request.inputs
    return Facts(
        now=now,
        requested=request is not None,
        attempt=attempt.id,
        let_go=result.attempt if result else None,
        over=result is not None and result.status.final,
        # Prefect's database may give 1.0 back as 1, which is equal all the same.
        unchanged=run.parameters == shown,
        firing=_firing(tx, run, request, now) if request else None,
        runs_as=_runs_as(tx, request) if request else None,
        job_enabled=request is not None and request.job.enabled,
        job_installed=request is not None and request.job.installed,
        singleton_busy=request is not None and _busy(tx, request.job, run.id),
    )


def _firing(tx: Transaction, run: Run, request: _Request, now: datetime) -> Firing | None:
    scheduled, due = request.scheduled, request.due
    if scheduled is None or due is None:
        return None
    repeats = not scheduled.one_off
    other = tx.one(JobResult, scheduled_job_id=scheduled.id, nominal_time=due)
    return Firing(
        name=scheduled.name,
        enabled=scheduled.enabled,
        approved=scheduled.approval.lets_run,
        due=due,
        on_time=is_firing(scheduled.recurrence, due) if repeats else True,
        newest=newest_time(scheduled.recurrence, now) if repeats else None,
        taken=other is not None and other.id != run.id,
    )


def _runs_as(tx: Transaction, request: _Request) -> RunsAs | None:
    if request.job.is_job_hook_receiver:
        return None
    owner = request.owner
    if owner is None:
        return RunsAs(exists=False, active=False, may_run=False)
    thing = tx.attributes(ObjectType.JOB, request.job.id)
    may_run = actor_of(tx, owner).may(Action.RUN, ObjectType.JOB, thing)
    return RunsAs(exists=True, active=owner.is_active, may_run=may_run)


def _busy(tx: Transaction, job: Job, run_id: UUID) -> bool:
    if not job.is_singleton:
        return False
    # The Job's row is the lock: two runs of a singleton that ask at once are told one after the other.
    tx.one(Job, id=job.id, lock=True)
    under_way = tx.all(JobResult, job_id=job.id, status=Status.STARTED)
    return any(result.id != run_id for result in under_way)


def _record(
    tx: Transaction, run: Run, request: _Request, attempt: Attempt, answer: Answer, now: datetime
) -> Ticket | None:
    match answer:
        case Go():
            return Ticket(job=request.job, result=_let_go(tx, run, request, attempt, now), user=request.owner)
        case Refuse(recorded=True):
            _record_refusal(tx, run, request, answer, now)
        case Finish(message=admission.SUPERSEDED):
            _close(tx, run, request, Status.REVOKED, answer.message, now)
    return None


def _let_go(tx: Transaction, run: Run, request: _Request, attempt: Attempt, now: datetime) -> JobResult:
    result = request.result or _first_result(tx, run, request, now)
    if result.attempt == attempt.id:
        return result
    if request.scheduled is not None:
        _count(tx, request.scheduled, request.due, now)
    return tx.change(result, attempt=attempt.id, worker=attempt.worker, status=Status.STARTED, date_started=now)


def _first_result(tx: Transaction, run: Run, request: _Request, now: datetime) -> JobResult:
    result = new_result(run.id, request.job, request.scheduled, request.due, request.owner, now)
    result = replace(result, inputs=request.inputs)
    tx.add(result)
    return result


def _count(tx: Transaction, scheduled: ScheduledJob, due: datetime | None, now: datetime) -> None:
    counted = {"total_run_count": scheduled.total_run_count + 1, "last_run_at": now}
    if scheduled.one_off:
        tx.change(scheduled, enabled=False, next_look_at=NEVER, **counted)
    else:
        tx.change(scheduled, next_look_at=look_after(scheduled, due or now), **counted)


def look_after(scheduled: ScheduledJob, firing: datetime) -> datetime:
    """Return when the firing that follows this one will count as missed."""
    following = next_times(scheduled.recurrence, firing, 1)
    return following[0] + MISSED_AFTER if following else NEVER


def new_result(
    run_id: UUID,
    job: Job,
    scheduled: ScheduledJob | None,
    due: datetime | None,
    user: User | None,
    now: datetime,
) -> JobResult:
    """Return the job result of a firing, as its run begins."""
    return JobResult(
        id=run_id,
        job_id=job.id,
        scheduled_job_id=scheduled.id if scheduled else None,
        user_id=user.id if user else None,
        name=job.name,
        task_name=job.class_path,
        queue=scheduled.queue if scheduled else job.default_queue,
        nominal_time=due,
        sensitive=job.has_sensitive_variables,
        date_created=now,
        released=True,
    )


def _record_refusal(tx: Transaction, run: Run, request: _Request, refusal: Refuse, now: datetime) -> None:
    _close(tx, run, request, Status.FAILURE, refusal.reason, now)
    scheduled = request.scheduled
    if scheduled is not None and (refusal.ends_schedule or scheduled.one_off):
        tx.change(scheduled, enabled=False, date_changed=now, version=scheduled.version + 1)


def _close(tx: Transaction, run: Run, request: _Request, status: Status, why: str, now: datetime) -> None:
    result = request.result or _first_result(tx, run, request, now)
    tx.change(result, **ending(result, status, now), traceback=why)
