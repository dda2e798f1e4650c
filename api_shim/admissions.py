"""The use cases of a run: it asks whether it may go, and later tells how it went.

* The facts are read and the answer recorded in one transaction, so two runs that ask at once cannot both be let go.
* What admission records: the process that was let go, the count and time of the firing, the end of a one-off;
  a failed job result where a firing's turn was refused, a revoked one where it was passed over.
* What goes, and what is refused, is remembered; what goes back into the queue goes there in the same transaction.
* An outcome counts only from the process that was let go, and only once.
* The inputs of sensitive Jobs are forgotten when their run is over.

Design: every run passes admission, whoever started it. Contract 5 and 7.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any
from uuid import UUID

from api_shim.audit import Act, AuditEvent
from api_shim.firings import ending, look_after, new_result
from api_shim.lapses import return_stale, return_to_queue
from api_shim.model import NEVER, Job, JobResult, ScheduledJob, Status, User
from api_shim.ports import Run
from api_shim.requested import Attempt, Requested, behind, facts
from api_shim.store import Store, Transaction
from approval_gate import admission
from approval_gate.admission import Answer, Finish, Go, Hold, Refuse
from approval_gate.errors import NotFound
from flows.inputs import storable_json, storable_text


@dataclass(frozen=True, kw_only=True, slots=True)
class Ticket:
    """What a run that goes is given."""

    job: Job
    result: JobResult
    user: User | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Outcome:
    """How a run went, as its own process tells it."""

    status: Status
    result: Any
    traceback: str | None


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
            request = behind(tx, run)
            answer = admission.admit(facts(tx, run, request, attempt, now))
            ticket = None if request is None else _record(tx, run, request, attempt, answer, now)
            _remember(tx, run, request, answer, ticket, now)
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


def _record(
    tx: Transaction, run: Run, request: Requested, attempt: Attempt, answer: Answer, now: datetime
) -> Ticket | None:
    match answer:
        case Go():
            return Ticket(job=request.job, result=_let_go(tx, run, request, attempt, now), user=request.owner)
        case Hold(reason=reason, returns=True):
            _return(tx, request, attempt, reason, now)
        case Refuse(recorded=True):
            _record_refusal(tx, run, request, answer, now)
            if answer.returns:
                _return(tx, request, attempt, answer.reason, now)
        case Finish(message=admission.SUPERSEDED):
            _close(tx, run, request, Status.REVOKED, answer.message, now)
    return None


def _return(tx: Transaction, request: Requested, attempt: Attempt, reason: str, now: datetime) -> None:
    if request.scheduled is None:
        return
    # What is decided about next is the code that the workers have.
    tx.change(request.job, code_digest=attempt.code)
    return_to_queue(tx, request.scheduled, request.job, reason, now)


def _remember(
    tx: Transaction, run: Run, request: Requested | None, answer: Answer, ticket: Ticket | None, now: datetime
) -> None:
    match answer:
        case Go() if ticket is not None and not _was_let_go(request):
            act, said = Act.ADMITTED, _approver(ticket.result)
        case Refuse(reason=reason, tampered=tampered):
            act, said = (Act.TAMPERED if tampered else Act.REFUSED), {"reason": reason}
        case Hold(reason=reason, returns=False):
            act, said = Act.REFUSED, {"reason": reason}
        case _:
            return
    scheduled = request.scheduled if request else None
    owner = request.owner if request else None
    tx.remember(
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
            data=said,
        )
    )


def _was_let_go(request: Requested | None) -> bool:
    return request is not None and request.result is not None and request.result.attempt is not None


def _approver(result: JobResult) -> dict[str, Any]:
    return {"approved_by": result.approval["by"]} if result.approval else {}


def _let_go(tx: Transaction, run: Run, request: Requested, attempt: Attempt, now: datetime) -> JobResult:
    result = request.result or _first_result(tx, run, request, now)
    if result.attempt == attempt.id:
        return result
    if request.scheduled is not None:
        _count(tx, request.scheduled, request.due, now)
    return tx.change(
        result,
        attempt=attempt.id,
        worker=attempt.worker,
        status=Status.STARTED,
        date_started=now,
        approval=_approval(request.scheduled),
    )


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
    result = replace(result, inputs=request.inputs)
    tx.add(result)
    return result


def _count(tx: Transaction, scheduled: ScheduledJob, due: datetime | None, now: datetime) -> None:
    counted = {"total_run_count": scheduled.total_run_count + 1, "last_run_at": now}
    if scheduled.one_off:
        tx.change(scheduled, enabled=False, next_look_at=NEVER, **counted)
    else:
        tx.change(scheduled, next_look_at=look_after(scheduled, due or now), **counted)


def _record_refusal(tx: Transaction, run: Run, request: Requested, refusal: Refuse, now: datetime) -> None:
    _close(tx, run, request, Status.FAILURE, refusal.reason, now)
    scheduled = request.scheduled
    if scheduled is not None and (refusal.ends_schedule or scheduled.one_off):
        failure = refusal.reason if refusal.ends_schedule else ""
        tx.change(scheduled, enabled=False, failure=failure, date_changed=now, version=scheduled.version + 1)


def _close(tx: Transaction, run: Run, request: Requested, status: Status, why: str, now: datetime) -> None:
    result = request.result or _first_result(tx, run, request, now)
    tx.change(result, **ending(result, status, now), traceback=why)
