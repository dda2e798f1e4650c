"""How the run of a job result stands, learned from Prefect where the run's own process has told nothing.

* What its own process told first stays.
* A run that was recorded but not yet released is released.
* A run that was deleted in Prefect ends its result as revoked, with that reason.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import datetime
from functools import partial
from uuid import UUID

from api_shim.domain.model import JobResult, Status
from api_shim.domain.ports import Orchestrator, Run
from api_shim.reconcile.firings import ending
from api_shim.reconcile.reconciler import Reconciler
from api_shim.store import Store, Transaction

logger = logging.getLogger("signoff")

BATCH = 200
"""How many job results are read, and asked of Prefect, at once."""

STATUS_OF = {
    "COMPLETED": Status.SUCCESS,
    "FAILED": Status.FAILURE,
    "CRASHED": Status.FAILURE,
    "CANCELLED": Status.REVOKED,
}
"""What Prefect's final states mean for a job result whose own process told nothing."""


class RunStatus:
    """Learns how the runs of job results stand.

    Args:
        store: what is true.
        engine: Prefect.
        projection: releases a run that was recorded but not released.
        clock: tells the time, aware.
    """

    def __init__(
        self, store: Store, engine: Orchestrator, projection: Reconciler, clock: Callable[[], datetime]
    ) -> None:
        self._store = store
        self._engine = engine
        self._projection = projection
        self._clock = clock

    async def refresh_all(self) -> None:
        """Learn how all runs stand whose results are not final.

        Raises:
            Unavailable: Prefect does not answer.
        """
        after: UUID | None = None
        while results := await self._store.read(partial(_unfinished, after)):
            await self.refresh(results)
            after = results[-1].id

    async def refresh(self, results: list[JobResult]) -> None:
        """Learn how the runs of these results stand.

        Raises:
            Unavailable: Prefect does not answer.
        """
        ongoing = [result for result in results if not result.status.final]
        if not ongoing:
            return
        runs = await self._engine.runs([result.id for result in ongoing])
        for result in ongoing:
            run = runs.get(result.id)
            if not result.released and run is not None and not run.final:
                await self._release(result.id)
            elif run is None or run.final:
                await self._store.write(partial(_learn, result.id, run, self._clock()))

    async def _release(self, run_id: UUID) -> None:
        try:
            await self._projection.start(run_id)
        except Exception:
            # It stays unreleased, and the next tick tries again; the others must not wait for it.
            logger.warning("The run %s could not be released.", run_id, exc_info=True)


def _unfinished(after: UUID | None, tx: Transaction) -> list[JobResult]:
    return tx.unfinished(BATCH, after)


def _learn(result_id: UUID, run: Run | None, now: datetime, tx: Transaction) -> None:
    """Record how a run stands; what its own process told first stays."""
    result = tx.get(JobResult, id=result_id, lock=True)
    if result is None or result.status.final:
        return
    if run is None:
        tx.change(result, **ending(result, Status.REVOKED, now), traceback="The run was deleted in Prefect.")
    else:
        executed = result.attempt is not None or run.state_type != "COMPLETED"
        status = STATUS_OF[run.state_type] if executed else Status.REVOKED
        why = None if status is Status.SUCCESS else f"{run.state_name}: {run.message}".rstrip(": ")
        tx.change(result, **ending(result, status, run.ended or now), traceback=why)
