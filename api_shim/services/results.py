"""The use cases of deleting job results, one or several.

* Only what is over can be deleted: a run under way needs its record.
* Of several, those that do not exist or that they may not delete are passed over; if one is under way, nothing goes.
* What was recorded to have run stays known to have run: nothing executes again because its result was deleted.
* Prefect's run goes with it, and its log.

Contract 7.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from datetime import datetime
from functools import partial
from uuid import UUID

from api_shim.domain.audit import AuditEvent, EventType
from api_shim.domain.model import DeletedRun, JobResult
from api_shim.domain.ports import Orchestrator
from api_shim.reconcile.reconciler import forget
from api_shim.services.authorization import get_authorized
from api_shim.services.runs import Runs
from api_shim.services.schedules import FOLLOWED_AT_ONCE
from api_shim.store import Store, Transaction
from approval_gate import policy
from approval_gate.errors import Conflict
from approval_gate.model import Action, Actor, ObjectType

KIND = ObjectType.JOB_RESULT
UNDER_WAY = "This run is not over; cancel it in Prefect, or wait until it has ended."


class Results:
    """Deletes job results.

    Args:
        store: what is true.
        engine: Prefect.
        runs: lets Prefect follow.
        clock: tells the time, aware.
    """

    def __init__(self, *, store: Store, engine: Orchestrator, runs: Runs, clock: Callable[[], datetime]) -> None:
        self._store = store
        self._engine = engine
        self._runs = runs
        self._clock = clock

    async def delete(self, actor: Actor, result_id: UUID) -> None:
        """Delete a job result.

        Raises:
            Forbidden: they may delete none, or not this one.
            NotFound: there is none, or none that they may see.
            Conflict: its run is not over.
        """
        await self._follow(await self._store.write(partial(_delete, actor, result_id, self._clock())))

    async def delete_all(self, actor: Actor, ids: Collection[UUID]) -> None:
        """Delete those of these that exist and that they may delete, in one transaction.

        Raises:
            Forbidden: they may delete none at all.
            Conflict: the run of one of them is not over.
        """
        await self._follow(await self._store.write(partial(_delete_all, actor, ids, self._clock())))

    async def _follow(self, spent: list[DeletedRun]) -> None:
        async def follow() -> None:
            for each in spent[:FOLLOWED_AT_ONCE]:
                await forget(self._store, self._engine, each)

        await self._runs.promptly(follow)


def _delete(actor: Actor, result_id: UUID, now: datetime, tx: Transaction) -> list[DeletedRun]:
    result: JobResult = get_authorized(tx, actor, Action.DELETE, KIND, lock=True, id=result_id)
    if not result.status.final:
        raise Conflict(UNDER_WAY)
    return _deleted(actor, [result], now, tx)


def _delete_all(actor: Actor, ids: Collection[UUID], now: datetime, tx: Transaction) -> list[DeletedRun]:
    policy.enforce(policy.check_type(actor, Action.DELETE, KIND), KIND)
    deletable = tx.visible(KIND, actor, Action.DELETE, ids)
    # In order, so that two who delete the same at once never wait for each other.
    found = tx.all(JobResult, order="id", lock=True, id=deletable)
    if under_way := [result for result in found if not result.status.final]:
        raise Conflict({str(result.id): [UNDER_WAY] for result in under_way})
    return _deleted(actor, found, now, tx)


def _deleted(actor: Actor, results: list[JobResult], now: datetime, tx: Transaction) -> list[DeletedRun]:
    spent = [
        DeletedRun(id=result.id, scheduled_job_id=result.scheduled_job_id, nominal_time=result.nominal_time)
        for result in results
    ]
    for result in results:
        tx.record(_about(result, now, actor))
    tx.remove_all(JobResult, [result.id for result in results])
    tx.add_missing(spent)
    return spent


def _about(result: JobResult, now: datetime, actor: Actor) -> AuditEvent:
    return AuditEvent(
        at=now,
        act=EventType.RESULT_DELETED,
        actor_id=actor.id,
        actor=actor.username,
        name=result.name,
        scheduled_job_id=result.scheduled_job_id,
        job_id=result.job_id,
        flow_run_id=result.id,
        data={"status": str(result.status)},
    )
