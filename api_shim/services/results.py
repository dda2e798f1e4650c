"""The use cases of what is done with job results: cancel a run, request it again, delete one or several.

* A run that has not been let go is over with the commit that cancels it. One that has been is told to end by its
  worker, and killed if it does not; it is over when it has ended.
* A run again is a new request with the same inputs, by whoever asks and by all rules. Sensitive inputs are not kept, so
  that what had them cannot run again; nor are files that it was given. Who fills them in anew requests it by the form
  of its Job, which has the other inputs already.
* Only what is over can be deleted: a run under way needs its record.
* Of several, those that do not exist or that they may not delete are passed over; if one is under way, nothing goes.
* What was recorded to have run stays known to have run: nothing executes again because its result was deleted.
* Prefect's run goes with it, and its log.

Contract 7.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from functools import partial
from typing import Any
from uuid import UUID

from api_shim.domain.audit import AuditEvent, Author, EventType
from api_shim.domain.model import NEVER, DeletedRun, Job, JobResult, Status
from api_shim.parsing.run_request import RunRequest
from api_shim.reconcile.firings import call_next, cancelled, ending
from api_shim.reconcile.wake_queue import Kind, Wake
from api_shim.services.authorization import check_still_active, get_authorized
from api_shim.services.schedules import Accepted, Schedules
from api_shim.services.stored_inputs import as_sent
from api_shim.store import Store, Transaction
from approval_gate import policy
from approval_gate.errors import Conflict
from approval_gate.model import Action, Actor, Allowed, Attributes, ObjectType, Verdict
from flows.files import ids_in

KIND = ObjectType.JOB_RESULT
UNDER_WAY = "This run has not ended; cancel it, or wait until it has."
IS_OVER = "This run has already ended."
NOT_KEPT = "The inputs of this run may be sensitive and are not kept; enter them again in a new request."
NO_FILES = "The files that this run was given are not kept; add them again to a new request."


class ResultAction(StrEnum):
    """What can be done with a run."""

    CANCEL = "cancel"
    RUN_AGAIN = "run-again"
    RESUME = "resume"


@dataclass(frozen=True, kw_only=True, slots=True)
class Again:
    """What of a run is kept to request it again.

    Args:
        result: its job result.
        job: its Job.
        inputs: its inputs, without those that are not kept.
        files: the names of the inputs that were files.
    """

    result: JobResult
    job: Job
    inputs: Mapping[str, Any]
    files: tuple[str, ...]

    @property
    def whole(self) -> bool:
        """Whether all that it was given is kept."""
        return not self.result.sensitive and not self.files


class Results:
    """Cancels, requests again and deletes.

    Args:
        store: what is true.
        schedules: takes requests.
        wake: lets Prefect follow.
        clock: tells the time, aware.
    """

    def __init__(self, *, store: Store, schedules: Schedules, wake: Wake, clock: Callable[[], datetime]) -> None:
        self._store = store
        self._schedules = schedules
        self._wake = wake
        self._clock = clock

    async def cancel(self, actor: Actor, result_id: UUID) -> JobResult:
        """Cancel a run; one that has been cancelled stays so.

        Returns:
            its job result, as it stands then.

        Raises:
            Forbidden: it is not theirs, and they may not change it.
            NotFound: there is none, or none that they may see.
            Conflict: it is over, and was not cancelled.
        """
        result = await self._store.write(partial(_cancel, actor, result_id, self._clock()))
        self._wake(Kind.JOB_RESULT, result.id)
        return result

    async def run_again(self, actor: Actor, result_id: UUID, key: str | None = None) -> Accepted:
        """Request what a job result has run once more, now.

        Args:
            actor: who asks, and whom it will run as.
            result_id: whose inputs and queue it takes.
            key: makes asking twice be one request.

        Raises:
            Forbidden: they may not run its Job.
            NotFound: there is no such result, or none that they may see.
            Conflict: its inputs are not kept.
            GateError: the refusals of a request.
        """
        job_id, request = await self._store.read(partial(_request_of, actor, result_id))
        return await self._schedules.request(actor, job_id, request, key)

    async def again(self, actor: Actor, result_id: UUID, job_id: UUID) -> Again:
        """Return what is kept of a run, for the form of its Job.

        Args:
            actor: who asks.
            result_id: the job result of the run.
            job_id: the Job whose form it is.

        Raises:
            Forbidden: they may not run its Job.
            NotFound: there is no such result of that Job, or none that they may see.
        """
        kept = await self._store.read(partial(_again, actor, result_id))
        if kept.job.id != job_id:
            raise policy.missing(KIND)
        return kept

    async def offers(self, actor: Actor, result: JobResult) -> frozenset[ResultAction]:
        """Return what somebody may do with a run as it stands; each is checked again when it is done."""
        return await self._store.read(partial(_offers, actor, result))

    async def delete(self, actor: Actor, result_id: UUID) -> None:
        """Delete a job result.

        Raises:
            Forbidden: they may delete none, or not this one.
            NotFound: there is none, or none that they may see.
            Conflict: its run is not over.
        """
        self._follow(await self._store.write(partial(_delete, actor, result_id, self._clock())))

    async def delete_all(self, actor: Actor, ids: Collection[UUID]) -> None:
        """Delete those of these that exist and that they may delete, in one transaction.

        Raises:
            Forbidden: they may delete none at all.
            Conflict: the run of one of them is not over.
        """
        self._follow(await self._store.write(partial(_delete_all, actor, ids, self._clock())))

    def _follow(self, spent: list[DeletedRun]) -> None:
        for each in spent:
            self._wake(Kind.SPENT, each.id, NEVER)


def _cancel(actor: Actor, result_id: UUID, now: datetime, tx: Transaction) -> JobResult:
    result = tx.get(JobResult, id=result_id, lock=True)
    policy.enforce(_may_cancel(actor, result, tx), KIND)
    if result is None:
        raise policy.missing(KIND)
    if result.cancelled_by:
        return result
    if result.status.final:
        raise Conflict(IS_OVER)
    check_still_active(tx, actor)
    tx.record(about(result, EventType.RESULT_CANCELLED, now, actor))
    result = tx.change(result, cancelled_by=actor.username, released=False)
    if result.attempt is not None:
        return result
    # Admission locks this row before it lets a run go: nothing of this one executes any more.
    result = tx.change(result, **ending(result, Status.REVOKED, now), traceback=cancelled(result))
    call_next(result, now, tx)
    return result


def _again(actor: Actor, result_id: UUID, tx: Transaction) -> Again:
    result = tx.get(JobResult, id=result_id)
    policy.enforce(may_run_again(actor, result, tx), KIND)
    if result is None or result.job_id is None:
        raise policy.missing(KIND)
    job = tx.get(Job, id=result.job_id)
    if job is None:
        raise policy.missing(ObjectType.JOB)
    given = {} if result.sensitive else result.inputs or {}
    files = tuple(name for name, value in given.items() if ids_in({name: value}))
    inputs = {name: value for name, value in given.items() if name not in files}
    return Again(result=result, job=job, inputs=inputs, files=files)


def _request_of(actor: Actor, result_id: UUID, tx: Transaction) -> tuple[UUID, RunRequest]:
    """Return the Job of a result, and the request to run that again."""
    kept = _again(actor, result_id, tx)
    if not kept.whole:
        raise Conflict(NOT_KEPT if kept.result.sensitive else NO_FILES)
    return kept.job.id, RunRequest(data=as_sent(kept.job, kept.inputs), job_queue=kept.result.queue)


def _offers(actor: Actor, result: JobResult, tx: Transaction) -> frozenset[ResultAction]:
    cancel = not result.status.final and not result.cancelled_by and _may_cancel(actor, result, tx) == Allowed()
    again = result.status.final and may_run_again(actor, result, tx) == Allowed()
    resume = result.can_be_resumed and may_resume(actor, result, tx) == Allowed()
    may = {ResultAction.CANCEL: cancel, ResultAction.RUN_AGAIN: again, ResultAction.RESUME: resume}
    return frozenset(action for action, offered in may.items() if offered)


def _may_cancel(actor: Actor, result: JobResult | None, tx: Transaction) -> Verdict:
    seen = tx.attributes(KIND, result.id) if result is not None else None
    return policy.cancel(actor, seen, result.user_id if result is not None else None)


def may_run_again(actor: Actor, result: JobResult | None, tx: Transaction) -> Verdict:
    """Say whether somebody may run the Job of a result that they may view."""
    return policy.run_again(actor, *_seen_with_job(result, tx))


def may_resume(actor: Actor, result: JobResult | None, tx: Transaction) -> Verdict:
    """Say whether somebody may answer a run that its own code has suspended."""
    return policy.resume(actor, *_seen_with_job(result, tx))


def _seen_with_job(result: JobResult | None, tx: Transaction) -> tuple[Attributes | None, Attributes | None]:
    if result is None:
        return None, None
    job = tx.attributes(ObjectType.JOB, result.job_id) if result.job_id else None
    return tx.attributes(KIND, result.id), job


def _delete(actor: Actor, result_id: UUID, now: datetime, tx: Transaction) -> list[DeletedRun]:
    result: JobResult = get_authorized(tx, actor, Action.DELETE, KIND, lock=True, id=result_id)
    if not result.status.final:
        raise Conflict(UNDER_WAY)
    return delete_results([result], actor, now, tx)


def _delete_all(actor: Actor, ids: Collection[UUID], now: datetime, tx: Transaction) -> list[DeletedRun]:
    policy.enforce(policy.check_type(actor, Action.DELETE, KIND), KIND)
    deletable = tx.visible(KIND, actor, Action.DELETE, ids)
    # In order, so that two who delete the same at once never wait for each other.
    found = tx.all(JobResult, order="id", lock=True, id=deletable)
    if under_way := [result for result in found if not result.status.final]:
        raise Conflict({str(result.id): [UNDER_WAY] for result in under_way})
    return delete_results(found, actor, now, tx)


def delete_results(results: list[JobResult], by: Author, now: datetime, tx: Transaction) -> list[DeletedRun]:
    """Remove job results, and note what is left of them for Prefect to forget.

    Args:
        results: they, locked; their runs are over.
        by: who does.
        now: the current time.
        tx: the transaction.
    """
    spent = [
        DeletedRun(
            id=result.id,
            flow_run_id=result.flow_run_id,
            scheduled_job_id=result.scheduled_job_id,
            nominal_time=result.nominal_time,
        )
        for result in results
    ]
    for result in results:
        tx.record(about(result, EventType.RESULT_DELETED, now, by))
    tx.remove_all(JobResult, [result.id for result in results])
    tx.add_missing(spent)
    return spent


def about(result: JobResult, act: EventType, now: datetime, by: Author) -> AuditEvent:
    """Return the event of the audit for what somebody has done with a job result."""
    return AuditEvent(
        at=now,
        act=act,
        actor_id=by.id,
        actor=by.username,
        name=result.name,
        scheduled_job_id=result.scheduled_job_id,
        job_id=result.job_id,
        flow_run_id=result.flow_run_id,
        data={"status": str(result.status), "job_result": str(result.id)},
    )
