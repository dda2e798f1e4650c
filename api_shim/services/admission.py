"""The use cases of a run: it asks whether it may go, and later tells how it went.

* The facts are read and the answer recorded in one transaction, so two runs that ask at once cannot both be let go.
* What admission records: the process that was let go, the count and time of the firing, the end of a one-off;
  a failed job result where a firing's turn was refused, a revoked one where it was passed over.
* What goes, and what is refused, is recorded; what goes back into the queue goes there in the same transaction.
* The audit names the account of the worker that asked.
* Runs of a Job that may not overlap are told one after the other: the Job's row is the lock. Which wait for their turn,
  and since when, is recorded; when one is over, the next is called. A run whose process or worker has gone is over.
  Dry runs take no part in it. Who has no worker that lets it ask again, or awaits a decision, holds nobody up.
* A run that its own code has suspended, and that was resumed, is let go once more. It is the same execution: nothing is
  counted again.
* An outcome counts only from the process that was let go, and only once.
* The inputs of sensitive Jobs are forgotten when their run is over.

Design: every run passes admission, whoever started it. Contract 5 and 7.

What stands in the store behind a run that asks for admission, and the facts about it that the rules go by.

* Nothing that Prefect says of a run is believed but which run it is, and which schedule made it.
* A worker may be quicker than the record of which run it has. Then the run's key tells what it was made for, and that
  counts only while no other run is recorded for it, and on the deployment where ours are made.
* What the answer rests on is read behind a lock: two runs that ask at once are told one after the other.
* The code that counts is the one that the asking process has. Inputs are read by the variables that this process knows,
  and once more by those of the run.
* An approval does not count that the owner has given, under whatever account or name: earlier versions let it stand
  when they took the scheduled job over.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from typing import Any
from uuid import UUID

from api_shim.domain.accounts import User
from api_shim.domain.approval import holds_code, is_dry_run, needs_approval, stale
from api_shim.domain.audit import AuditEvent, EventType, origin_in
from api_shim.domain.model import NEVER, DeletedRun, Job, JobResult, ScheduledJob, Status
from api_shim.domain.ports import Run
from api_shim.domain.recurrence import TICK, is_firing, newest_time
from api_shim.metrics import ADMISSIONS, LATENESS
from api_shim.reconcile.desired_state import KEY, result_named_by, scheduled_named_by
from api_shim.reconcile.firings import (
    TAKEN_AHEAD,
    call_next,
    ending,
    firing_of,
    is_missed,
    is_spent,
    is_taken,
    look_after,
    new_result,
    waiting_of,
)
from api_shim.services.agents import asks_for_nobody, people_behind
from api_shim.services.approval_state import return_stale, return_to_queue
from api_shim.services.authentication import actor_of
from api_shim.services.authorization import AuthzContext, approver_of
from api_shim.services.stored_inputs import Reread, read_again, why_unfit
from api_shim.settings import LIMITS
from api_shim.store import Store, Transaction
from approval_gate import admission, ownership
from approval_gate.admission import Answer, Facts, Finish, Firing, Go, Hold, Misfire, Overlap, Refuse, RunsAs, Wait
from approval_gate.binding import is_of_module_alone
from approval_gate.errors import NotFound, Unavailable
from approval_gate.lifecycle import ApprovalState
from approval_gate.model import Action, Actor, Attributes, ObjectType
from flows.inputs import storable_json, storable_text


@dataclass(frozen=True, kw_only=True, slots=True)
class Ticket:
    """What a run that goes is given.

    Args:
        job: its Job.
        result: its result.
        user: who it executes as; None where an event starts it.
        holds_code: whether it may import nothing but the code that it has asked with.
    """

    job: Job
    result: JobResult
    user: User | None
    holds_code: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class Outcome:
    """How a run went, as its own process tells it."""

    status: Status
    result: Any
    traceback: str | None


class Admissions:
    """Lets runs go, once each, and hears how they went.

    Args:
        store: what is true.
        most_waiting: how many runs of one Job may wait for their turn.
    """

    def __init__(self, store: Store, most_waiting: int = LIMITS.catch_up_limit) -> None:
        self._store = store
        self._most_waiting = most_waiting

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
            request = behind(tx, run, attempt.code)
            answer = admission.admit(facts(tx, run, request, attempt, now, self._most_waiting))
            ticket = None if request is None else _record(tx, run, request, attempt, answer, now)
            _audit(tx, run, request, attempt, answer, ticket, now)
            tx.afterwards(ADMISSIONS.labels(type(answer).__name__.lower()).inc)
        if request is not None and isinstance(answer, Hold | Refuse) and answer.returns:
            with self._store.transaction() as tx:
                return_stale(request.job.id, now, tx, but=request.scheduled.id if request.scheduled else None)
        return answer, ticket

    def tell(self, run_id: UUID, attempt: UUID, outcome: Outcome, now: datetime) -> None:
        """Record how a run went; the second time, and after it was ended otherwise, nothing changes.

        Raises:
            NotFound: no such process of such a run was ever let go.
        """
        with self._store.transaction() as tx:
            result = tx.get(JobResult, flow_run_id=run_id, lock=True)
            if result is None or result.attempt != attempt:
                raise NotFound("No such run has been admitted.")
            if not result.status.final:
                tx.change(
                    result,
                    **ending(result, outcome.status, now),
                    result=storable_json(outcome.result),
                    traceback=None if outcome.traceback is None else storable_text(outcome.traceback),
                )
                call_next(result, now, tx)


def name_of_firing(run: Run, tx: Transaction) -> str:
    """Return what the run of a firing is to be called: like its scheduled job. Prefect calls each by a name of chance.

    Args:
        run: a run that asks for admission.
        tx: the transaction.

    Returns:
        its name; empty for one that Prefect's scheduler has not made for a scheduled job of ours, or that has it.
    """
    by_schedule = run.by_schedule and run.deployment_id is not None
    row = tx.get(ScheduledJob, deployment_id=run.deployment_id) if by_schedule else None
    return row.name if row is not None and row.name != run.name else ""


def _record(
    tx: Transaction, run: Run, request: Requested, attempt: Attempt, answer: Answer, now: datetime
) -> Ticket | None:
    match answer:
        case Go():
            return Ticket(
                job=request.job,
                result=_let_go(tx, run, request, attempt, now),
                user=request.owner,
                holds_code=request.scheduled is not None and holds_code(request.scheduled),
            )
        case Hold(reason=reason, returns=True):
            _return(tx, request, attempt, reason, now)
        case Refuse(recorded=True):
            _record_refusal(tx, run, request, answer, now)
            if answer.returns:
                _return(tx, request, attempt, answer.reason, now)
        case Wait(until=until, in_turn=True):
            result = request.result or _first_result(tx, run, request, now)
            result = tx.change(result, waits_since=result.waits_since or now, asks_at=until)
            if request.job.overlap is Overlap.CANCEL:
                _cancel_older(tx, request.job, result, now)
        case Finish(recorded=True):
            _close(tx, run, request, Status.REVOKED, answer.message, now)
            if request.scheduled is not None and request.scheduled.one_off:
                tx.change(request.scheduled, enabled=False, next_look_at=NEVER)
    return None


def _cancel_older(tx: Transaction, job: Job, newer: JobResult, now: datetime) -> None:
    """Cancel what is under way of a Job of which only the newest run goes on; what waits finds out when it asks."""
    for each in tx.all(JobResult, order="id", lock=True, job_id=job.id, status=Status.STARTED):
        if each.id != newer.id and not each.cancelled_by and not each.dry_run:
            tx.record(
                AuditEvent(
                    at=now,
                    act=EventType.RESULT_CANCELLED,
                    actor_id=None,
                    actor="",
                    name=each.name,
                    scheduled_job_id=each.scheduled_job_id,
                    job_id=each.job_id,
                    flow_run_id=each.flow_run_id,
                    data={"status": str(each.status), "job_result": str(each.id), "newer": str(newer.id)},
                )
            )
            # In words that follow "Cancelled by".
            tx.change(each, cancelled_by=f"a newer run of {job.name}"[:150], released=False)


def _return(tx: Transaction, request: Requested, attempt: Attempt, reason: str, now: datetime) -> None:
    if request.scheduled is None:
        return
    if attempt.code and not attempt.is_of_earlier_version:
        # What is decided about next is the code that the workers have; there may be some that lack it.
        tx.change(request.job, code_digest=attempt.code, module_digest=attempt.module)
    return_to_queue(tx, request.scheduled, request.job, reason, now)


def _audit(
    tx: Transaction,
    run: Run,
    request: Requested | None,
    attempt: Attempt,
    answer: Answer,
    ticket: Ticket | None,
    now: datetime,
) -> None:
    match answer:
        case Go() if ticket is not None and not _was_let_go(request):
            act, said = EventType.ADMITTED, _approved(ticket.result)
        case Refuse(reason=reason, tampered=tampered):
            act, said = (EventType.TAMPERED if tampered else EventType.REFUSED), {"reason": reason}
        case Hold(reason=reason, returns=False):
            act, said = EventType.REFUSED, {"reason": reason}
        case _:
            return
    scheduled = request.scheduled if request else None
    owner = request.owner if request else None
    tx.record(
        AuditEvent(
            at=now,
            act=act,
            actor_id=owner.id if owner else None,
            actor=owner.username if owner else "",
            name=scheduled.name if scheduled else request.job.name if request else "",
            scheduled_job_id=scheduled.id if scheduled else None,
            job_id=request.job.id if request else None,
            flow_run_id=run.id,
            deployment_id=run.deployment_id,
            data=said | ({"asked_by": attempt.asked_by} if attempt.asked_by else {}),
        )
    )


def _was_let_go(request: Requested | None) -> bool:
    return request is not None and request.result is not None and request.result.attempt is not None


def _approved(result: JobResult) -> dict[str, Any]:
    """Return who approved a run, or who had switched its approval off, and which run has requested it."""
    if result.approval:
        return {"approved_by": result.approval["by"]} | origin_in(result)
    return ({"approval_off": result.approval_off} if result.approval_off else {}) | origin_in(result)


def _let_go(tx: Transaction, run: Run, request: Requested, attempt: Attempt, now: datetime) -> JobResult:
    result = request.result or _first_result(tx, run, request, now)
    if result.attempt == attempt.id:
        return result
    if result.resumed:
        return tx.change(result, attempt=attempt.id, worker=attempt.worker, lease=attempt.lease, suspended=False)
    if request.scheduled is not None:
        _count(tx, request.scheduled, request.due, now)
    tx.afterwards(partial(LATENESS.observe, max(0.0, (now - _owed_since(request, result)).total_seconds())))
    # What goes is recorded as it goes: while it waited it may have been changed, and approved anew.
    return tx.change(
        result,
        inputs=request.given.inputs,
        user_id=request.owner.id if request.owner else None,
        nominal_time=request.due,
        dry_run=is_dry_run(request.job, request.given.inputs),
        attempt=attempt.id,
        worker=attempt.worker,
        lease=attempt.lease,
        status=Status.STARTED,
        date_started=now,
        approval=_approval(request.scheduled),
    )


def _owed_since(request: Requested, result: JobResult) -> datetime:
    """Return when a run was to be let go: at its nominal time, but not before it was requested, and approved."""
    scheduled, due = request.scheduled, request.due
    return result.date_created if scheduled is None or due is None else max(due, scheduled.due_from)


def _approval(scheduled: ScheduledJob | None) -> dict[str, Any] | None:
    if scheduled is None or scheduled.approved_at is None:
        return None
    return {
        "by": scheduled.approved_by,
        "at": scheduled.approved_at.isoformat(),
        "comment": scheduled.approval_comment,
    }


def _first_result(tx: Transaction, run: Run, request: Requested, now: datetime) -> JobResult:
    result = new_result(run.id, request.job, request.scheduled, request.due, request.owner, now)
    result = replace(result, inputs=request.inputs, dry_run=is_dry_run(request.job, request.inputs))
    tx.add(result)
    return result


def _count(tx: Transaction, scheduled: ScheduledJob, due: datetime | None, now: datetime) -> None:
    counted = {"total_run_count": scheduled.total_run_count + 1, "last_run_at": now}
    if scheduled.one_off:
        tx.change(scheduled, enabled=False, next_look_at=NEVER, **counted)
    else:
        look = look_after(scheduled, due or now)
        # What it has missed may be under way, or not be recorded yet, and does not wait for its next firing.
        if scheduled.misfire is Misfire.ALL or _has_missed(tx, scheduled, due or now):
            look = min(look, scheduled.next_look_at)
        tx.change(scheduled, next_look_at=look, **counted)


def _has_missed(tx: Transaction, scheduled: ScheduledJob, due: datetime) -> bool:
    """Say whether the firing before this one has no record, as one for which Prefect had made no run."""
    before = newest_time(scheduled.recurrence, due - TICK)
    since = max(scheduled.due_from, scheduled.recorded_until or scheduled.due_from)
    return before is not None and before >= since and not is_taken(tx, scheduled, before)


def _record_refusal(tx: Transaction, run: Run, request: Requested, refusal: Refuse, now: datetime) -> None:
    _close(tx, run, request, Status.FAILURE, refusal.reason, now)
    scheduled = request.scheduled
    if scheduled is not None and (refusal.ends_schedule or scheduled.one_off):
        failure = refusal.reason if refusal.ends_schedule else ""
        tx.change(scheduled, enabled=False, failure=failure, date_changed=now, version=scheduled.version + 1)


def _close(tx: Transaction, run: Run, request: Requested, status: Status, why: str, now: datetime) -> None:
    result = request.result or _first_result(tx, run, request, now)
    tx.change(result, **ending(result, status, now), traceback=why)
    call_next(result, now, tx)


@dataclass(frozen=True, kw_only=True, slots=True)
class Requested:
    """What stands in the store behind a run.

    Args:
        inputs: its inputs, as they are stored.
        unreadable: why its inputs cannot be read; empty if they can.
        given: what the variables of its Job read of them, with which it executes.
    """

    job: Job
    result: JobResult | None
    scheduled: ScheduledJob | None
    due: datetime | None
    inputs: Mapping[str, Any]
    unreadable: str = ""
    given: Reread
    sensitive: bool
    owner: User | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Attempt:
    """A process that executes a run, or wants to.

    Args:
        id: its own; a new one for each start of a process.
        worker: where it is, as ``host:number``.
        lease: the name of the worker with which it ends; empty if it may outlive its worker.
        asked_by: the account of the worker that has taken the run, or that asks for it.
        code: the digest of the Job's code as it has it.
        module: that of the Job's module alone, for approvals that are bound to it.
    """

    id: UUID
    worker: str
    code: str
    module: str = ""
    lease: str = ""
    asked_by: str = ""

    @property
    def is_of_earlier_version(self) -> bool:
        """Whether it knows no other digest than that of the module; nothing new is bound to it."""
        return self.code != "" and is_of_module_alone(self.code)


def behind(tx: Transaction, run: Run, code: str) -> Requested | None:
    """Return what stands behind a run; None for one that nobody requested, or that has had its turn.

    Args:
        tx: the transaction.
        run: the run.
        code: the digest of the Job's code as the run has it.
    """
    if tx.exists(DeletedRun, flow_run_id=run.id):
        return None
    seen = _result_behind(tx, run)
    scheduled = _scheduled_behind(tx, run, seen)
    if seen is None and scheduled is None and run.key.startswith(KEY):
        # What it was made for is gone, or has another run.
        return None
    job_id = seen.job_id if seen is not None else scheduled.job_id if scheduled is not None else None
    job = tx.get(Job, id=job_id) if job_id is not None else _receiver_behind(tx, run)
    # Read again behind the lock of what it belongs to: another process of this run may have been let go meanwhile.
    result = _result_behind(tx, run, lock=True)
    if job is None or (result is not None and result.nominal_time is not None and scheduled is None):
        return None
    if result is not None and result.flow_run_id is None:
        result = tx.change(result, flow_run_id=run.id, released=True)
    owner_id = scheduled.owner_id if scheduled else result.user_id if result else None
    inputs, unreadable = _inputs(run, result, scheduled)
    sensitive = result.sensitive if result else scheduled is not None and scheduled.sensitive
    hidden = sensitive or job.has_sensitive_variables
    return Requested(
        job=job,
        result=result,
        scheduled=scheduled,
        due=_due(run, result, scheduled),
        inputs=inputs,
        unreadable=unreadable,
        given=Reread(inputs) if unreadable else read_again(job, inputs, hidden=hidden, code=code),
        sensitive=sensitive,
        owner=tx.get(User, id=owner_id) if owner_id else None,
    )


def _result_behind(tx: Transaction, run: Run, *, lock: bool = False) -> JobResult | None:
    by_run = tx.get(JobResult, flow_run_id=run.id, lock=lock)
    named = result_named_by(run.key)
    if by_run is not None or named is None:
        return by_run
    # One that waits for its turn has not been asked of Prefect: a run with its key was made by somebody else.
    result = tx.get(JobResult, id=named, flow_run_id=None, released=False, lock=lock)
    if result is None:
        return None
    scheduled = tx.get(ScheduledJob, id=result.scheduled_job_id) if result.scheduled_job_id else None
    return result if run.deployment_id == _made_on(tx, scheduled, result.job_id) else None


def _made_on(tx: Transaction, scheduled: ScheduledJob | None, job_id: UUID | None) -> UUID:
    """Return the deployment on which a run is made: a recurring scheduled job's own, or else its Job's."""
    if scheduled is not None and not scheduled.one_off:
        return scheduled.deployment_id or NOWHERE
    job = tx.get(Job, id=job_id) if job_id else None
    return (job.deployment_id if job else None) or NOWHERE


def _scheduled_behind(tx: Transaction, run: Run, result: JobResult | None) -> ScheduledJob | None:
    if result is not None:
        by_result = result.scheduled_job_id
        return tx.get(ScheduledJob, id=by_result, lock=True) if by_result else None
    by_run = tx.get(ScheduledJob, flow_run_id=run.id, lock=True) or _scheduled_named(tx, run)
    if by_run is not None or not run.by_schedule or run.deployment_id is None:
        return by_run
    return tx.get(ScheduledJob, deployment_id=run.deployment_id, lock=True)


def _scheduled_named(tx: Transaction, run: Run) -> ScheduledJob | None:
    """Return the scheduled job that the key of a run names, after having recorded that this is its run."""
    named = scheduled_named_by(run.key)
    if named is None:
        return None
    scheduled_id, number = named
    row = tx.get(ScheduledJob, id=scheduled_id, run_number=number, flow_run_id=None, lock=True)
    if row is None or run.deployment_id != _made_on(tx, row, row.job_id):
        return None
    return tx.change(row, flow_run_id=run.id)


def _receiver_behind(tx: Transaction, run: Run) -> Job | None:
    if run.deployment_id is None:
        return None
    return tx.get(Job, deployment_id=run.deployment_id, is_job_hook_receiver=True, lock=True)


def _due(run: Run, result: JobResult | None, scheduled: ScheduledJob | None) -> datetime | None:
    if scheduled is None:
        return None
    if scheduled.one_off:
        return scheduled.start_time
    if result is not None and result.nominal_time is not None:
        return result.nominal_time
    # Prefect keeps the nominal time of its scheduler's runs only.
    return firing_of(scheduled, run)


def _inputs(run: Run, result: JobResult | None, scheduled: ScheduledJob | None) -> tuple[Mapping[str, Any], str]:
    """Return the inputs of a run, or why they cannot be read."""
    # What was approved of a one-off may be newer than what its run first asked with, before it had to wait.
    if scheduled is not None and (scheduled.one_off or result is None):
        found: Mapping[str, Any] | None = scheduled.inputs
    else:
        # An event's run was made by Prefect; what it carries is the event.
        found = result.inputs if result is not None else run.parameters
    try:
        return dict(found or {}), ""
    except Unavailable as error:
        return {}, str(error)


def facts(
    tx: Transaction,
    run: Run,
    request: Requested | None,
    attempt: Attempt,
    now: datetime,
    most_waiting: int = LIMITS.catch_up_limit,
) -> Facts:
    result = request.result if request else None
    others = _others(tx, request, now) if request else NO_OTHERS
    return Facts(
        now=now,
        requested=request is not None,
        attempt=attempt.id,
        let_go=result.attempt if result else None,
        over=result is not None and result.status.final,
        resumed=result is not None and result.resumed,
        unchanged=_is_unchanged(run, request),
        unreadable=request.unreadable if request else "",
        unfit=request.given.unfit if request else "",
        needs_approval=request is not None and _needs_approval(request),
        firing=_firing_behind(tx, run, request, attempt, now) if request else None,
        runs_as=_runs_as(tx, request) if request else None,
        job_enabled=request is not None and request.job.enabled,
        job_installed=request is not None and request.job.installed,
        is_singleton=request is not None and request.job.is_singleton,
        overlap=request.job.overlap if request else Overlap.ALLOW,
        under_way=others.under_way,
        before=others.before,
        full=others.waiting >= most_waiting,
    )


def _is_unchanged(run: Run, request: Requested | None) -> bool:
    """Say whether a run in Prefect has the parameters that were requested, as Prefect was given them, and no more."""
    if run.job_variables:
        return False
    if request is None or (request.sensitive and run.parameters == {}):
        return run.parameters == {}
    # Prefect's database may give 1.0 back as 1, which is equal all the same. Of what is sensitive, the run may have
    # been made before.
    return run.parameters == request.inputs or _may_have_none(run, request) or _overtaken(request)


def _may_have_none(run: Run, request: Requested) -> bool:
    """Say whether a firing was made while its inputs were kept from Prefect, perhaps; it goes with the store's."""
    scheduled = request.scheduled
    return run.parameters == {} and scheduled is not None and not scheduled.one_off and _is_first(request)


def _overtaken(request: Requested) -> bool:
    """Say whether a worker may have taken this firing before its inputs were changed; it goes with the new ones."""
    scheduled, due = request.scheduled, request.due
    if scheduled is None or scheduled.one_off or due is None or not _is_first(request):
        return False
    return scheduled.created < scheduled.due_from and due < scheduled.due_from + TAKEN_AHEAD


def _is_first(request: Requested) -> bool:
    """Say whether a firing was not recorded before its run asked; one that waits for its turn was then."""
    return request.result is None or request.result.waits_its_turn


def foreseen(
    case: AuthzContext, due: datetime, then: datetime, *, owner: User | None, runs_as: RunsAs | None, taken: bool
) -> Facts:
    """Return the facts about the run of a firing to come, as they are then if nothing changes.

    Args:
        case: what fires.
        due: the firing's nominal time.
        then: when it would ask.
        owner: who owns it; None if they have been removed.
        runs_as: who it would execute as, see ``who_runs``.
        taken: a run has, or has had, this firing.
    """
    request, job = case.request, case.job
    unfit = why_unfit(case.row, job)
    by_owner = ownership.lapse(owner.id, owner.username, request.approval, request.approver) if owner else ""
    void = by_owner or stale(case.row, job)
    missed = is_missed(case.row, due, then)
    return Facts(
        now=then,
        requested=True,
        attempt=NO_PROCESS,
        let_go=None,
        over=False,
        resumed=False,
        unchanged=True,
        unreadable="",
        unfit=unfit,
        needs_approval=False,
        firing=_firing(
            case.row, due, then, void=void, own=False, outdated=False, taken=taken, missed=missed, made_up=False
        ),
        runs_as=runs_as,
        job_enabled=job.enabled,
        job_installed=job.installed,
        is_singleton=job.is_singleton,
        overlap=job.overlap,
        under_way="",
        before=0,
        full=False,
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class Others:
    """The other runs of a Job, where they concern one that asks.

    Args:
        under_way: which is under way, as a sentence; empty if none is.
        before: how many go before it of those that wait; or where older ones are cancelled, how many are newer.
        waiting: how many wait for their turn, if it does not wait yet.
    """

    under_way: str = ""
    before: int = 0
    waiting: int = 0


NO_OTHERS = Others()
NO_PROCESS = NOWHERE = UUID(int=0)


def _needs_approval(request: Requested) -> bool:
    asked = request.scheduled or request.result
    return not request.job.is_job_hook_receiver and needs_approval(
        request.job, request.inputs, asked.agent if asked is not None else None
    )


def _firing_behind(tx: Transaction, run: Run, request: Requested, attempt: Attempt, now: datetime) -> Firing | None:
    scheduled, due = request.scheduled, request.due
    if scheduled is None or due is None:
        return None
    other = tx.get(JobResult, scheduled_job_id=scheduled.id, nominal_time=due)
    taken = other.flow_run_id != run.id if other is not None else is_spent(tx, scheduled, due)
    own = run.id == scheduled.flow_run_id
    # One that a worker has taken in time is not passed over because its process took long to start, or waited its turn.
    waits_since = request.result.waits_since if request.result else None
    seen = min((now, *(at for at in (run.claimed, waits_since) if at is not None)))
    # One that was taken in time, and lost, was not missed.
    taken_at = min(seen, run.first_claimed or seen)
    job = replace(request.job, code_digest=attempt.code, module_digest=attempt.module)
    void = _approved_by_owner(tx, scheduled, request.owner) or stale(scheduled, job)
    # What makes up for a firing was recorded before there was a run.
    made_up = request.result is not None and not scheduled.one_off
    # Of a one-off only its own run goes: one that was replaced while it waited for its turn does not come back.
    outdated = scheduled.run_outdated if own else scheduled.one_off
    missed = is_missed(scheduled, due, taken_at)
    return _firing(
        scheduled, due, seen, void=void, own=own, outdated=outdated, taken=taken, missed=missed, made_up=made_up
    )


def _approved_by_owner(tx: Transaction, scheduled: ScheduledJob, owner: User | None) -> str:
    if owner is None or scheduled.approval is not ApprovalState.APPROVED:
        return ""
    return ownership.lapse(owner.id, owner.username, scheduled.approval, approver_of(tx, scheduled))


def _firing(
    scheduled: ScheduledJob,
    due: datetime,
    now: datetime,
    *,
    void: str,
    own: bool,
    outdated: bool,
    taken: bool,
    missed: bool,
    made_up: bool,
) -> Firing:
    repeats = not scheduled.one_off
    return Firing(
        name=scheduled.name,
        enabled=scheduled.enabled,
        approval=scheduled.approval,
        stale=void,
        outdated=outdated,
        carries_request=own,
        due=due,
        on_time=is_firing(scheduled.recurrence, due) if repeats else True,
        owed=due >= scheduled.due_from if repeats else True,
        newest=newest_time(scheduled.recurrence, now) if repeats else None,
        taken=taken,
        misfire=scheduled.misfire,
        missed=missed,
        made_up=made_up,
    )


def _runs_as(tx: Transaction, request: Requested) -> RunsAs | None:
    owner = request.owner
    if request.job.is_job_hook_receiver or owner is None:
        return who_runs(request.job, None, None, {})
    thing = tx.attributes(ObjectType.JOB, request.job.id)
    for_nobody = asks_for_nobody(owner, people_behind(tx, [owner]), thing)
    return who_runs(request.job, owner, actor_of(tx, owner), thing, for_nobody=for_nobody)


def who_runs(
    job: Job, owner: User | None, actor: Actor | None, thing: Attributes, *, for_nobody: bool = False
) -> RunsAs | None:
    """Return who a run of a Job executes as; None where an event starts it.

    Args:
        job: the Job.
        owner: who owns what runs; None when they have been removed.
        actor: the owner as the rules see them.
        thing: the Job, as constraints see it.
        for_nobody: whether they are an agent whose person may not run it, or not any more.
    """
    if job.is_job_hook_receiver:
        return None
    if owner is None or actor is None:
        return RunsAs(exists=False, active=False, may_run=False)
    may_run = actor.may(Action.RUN, ObjectType.JOB, thing)
    return RunsAs(exists=True, active=owner.is_active, may_run=may_run, for_nobody=for_nobody)


def _others(tx: Transaction, request: Requested, now: datetime) -> Others:
    """Return which other runs of the Job are under way, or wait for their turn."""
    job, own = request.job, request.result
    # A dry run needs no approval: it takes no turn from one that has been approved, and waits for none.
    free = not job.is_singleton and (job.overlap is Overlap.ALLOW or is_dry_run(job, request.inputs))
    if free or (own is not None and own.attempt is not None):
        return NO_OTHERS
    # The Job's row is the lock: two of its runs that ask at once are told one after the other.
    tx.get(Job, id=job.id, lock=True)
    started = tx.all(JobResult, order="date_started", job_id=job.id, status=Status.STARTED)
    counted = [each for each in started if job.is_singleton or not each.dry_run]
    others = [each for each in counted if own is None or each.id != own.id]
    under_way = f"the run {others[0].id} is under way." if others else ""
    since = own.waits_since if own is not None else None
    waiting = [each for each in waiting_of(job.id, now, tx) if own is None or each.id != own.id]
    if job.overlap is not Overlap.CANCEL:
        before = [each for each in waiting if since is None or (each.waits_since or since) < since]
        return Others(under_way=under_way, before=len(before), waiting=len(waiting) if since is None else 0)
    times = (each.date_started if each in others else each.waits_since for each in (*others, *waiting))
    newer = [at for at in times if since is not None and at is not None and at > since]
    return Others(under_way=under_way, before=len(newer))
