"""How the run of a job result stands, learned from Prefect where the run's own process has told nothing.

* What its own process told first stays.
* A run that has ended by a fault before it was let go is started again.
* A run that was deleted in Prefect ends its result as revoked, with that reason.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from functools import partial
from uuid import UUID

from api_shim.domain.model import JobResult, Status
from api_shim.domain.ports import Orchestrator, Run
from api_shim.reconcile.firings import call_next, cancelled, ending
from api_shim.reconcile.recovery import is_lost
from api_shim.reconcile.wake_queue import Kind, WorkQueue
from api_shim.store import Store, Transaction

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
        queue: lets a lost run start again.
        clock: tells the time, aware.
    """

    def __init__(self, store: Store, engine: Orchestrator, queue: WorkQueue, clock: Callable[[], datetime]) -> None:
        self._store = store
        self._engine = engine
        self._queue = queue
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
        # One that Prefect has not been told of is not missing there.
        ongoing = {result.flow_run_id: result for result in results if result.flow_run_id and not result.status.final}
        if not ongoing:
            return
        runs = await self._engine.runs(ongoing)
        for run_id, result in ongoing.items():
            run = runs.get(run_id)
            if run is not None and result.attempt is None and is_lost(run) and not result.cancelled_by:
                self._queue.retry(Kind.LOST_RUN, run.id)
            elif run is None or run.final:
                await self._store.write(partial(_learn, result.id, run, self._clock()))


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
        status, why = _outcome(result, run)
        tx.change(result, **ending(result, status, run.ended or now), traceback=why)
    call_next(result, now, tx)


def _outcome(result: JobResult, run: Run) -> tuple[Status, str | None]:
    """Return what the end of a run means for its result, and why."""
    executed = result.attempt is not None or run.state_type != "COMPLETED"
    if result.cancelled_by and run.state_type != "COMPLETED":
        return Status.REVOKED, cancelled(result)
    status = STATUS_OF[run.state_type] if executed else Status.REVOKED
    return status, None if status is Status.SUCCESS else f"{run.state_name}: {run.message}".rstrip(": ")
