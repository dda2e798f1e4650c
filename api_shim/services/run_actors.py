"""Runs that act here as their users, and what they have requested.

* A run acts with its own credential, as the user that it executes as, from when it is let go until it is over. What it
  may is what that user may now, cut down to requests and reading (``approval_gate.model``).
* What it asks is counted with what its user asks; the address of its worker is nobody's.
* What a run has requested, it may watch in Prefect; also what was requested before with the same key as that user, for
  that is what it was answered with.
"""

from __future__ import annotations

from functools import partial
from uuid import UUID

from api_shim.domain.audit import EventType
from api_shim.domain.model import JobResult, RequestKey, ScheduledJob
from api_shim.services.authentication import actor_of
from api_shim.services.request_rates import RequestRates
from api_shim.services.run_credentials import RunCaller
from api_shim.services.run_origins import acting_as_user
from api_shim.store import Store, Transaction
from approval_gate.model import Actor

ENDED_BY = (EventType.DENIED, EventType.WITHDRAWN, EventType.DELETED)
"""What removes a scheduled job, and leaves its run in Prefect for a while."""


class RunActors:
    """Says as whom runs act, and what they have requested.

    Args:
        store: the store.
        rates: counts requests.
    """

    def __init__(self, store: Store, rates: RequestRates) -> None:
        self._store = store
        self._rates = rates

    async def acting(self, caller: RunCaller, *, writes: bool) -> Actor:
        """Return the user of a run, as they act by it now.

        Args:
            caller: the run.
            writes: whether it is to change something.

        Raises:
            Forbidden: it has not been let go, is over or cancelled, or executes as nobody.
            TooManyAttempts: too much was asked by that user, or by their runs.
        """
        actor = await self._store.read(partial(_acting, caller.run_id))
        self._rates.count(actor, "", writes=writes)
        return actor

    async def has_requested(self, actor: Actor, run_id: UUID) -> bool:
        """Say whether the run by which somebody acts has requested another one, also if that has been denied since.

        Args:
            actor: who acts by a run.
            run_id: the other one, in Prefect.
        """
        return await self._store.read(partial(_has_requested, actor, run_id))


def _acting(run_id: UUID, tx: Transaction) -> Actor:
    result, user = acting_as_user(tx, tx.get(JobResult, flow_run_id=run_id))
    return actor_of(tx, user).within_run(result.id)


def _has_requested(actor: Actor, run_id: UUID, tx: Transaction) -> bool:
    if actor.by_run is None:
        return False
    result, scheduled = tx.get(JobResult, flow_run_id=run_id), tx.get(ScheduledJob, flow_run_id=run_id)
    for found, kept_in in ((result, "job_result_id"), (scheduled, "scheduled_job_id")):
        if found is None:
            continue
        if found.requested_from == actor.by_run or tx.exists(RequestKey, user_id=actor.id, **{kept_in: found.id}):
            return True
    ended = tx.last_event(ENDED_BY, flow_run_id=run_id)
    return ended is not None and ended.data.get("requested_from") == str(actor.by_run)
