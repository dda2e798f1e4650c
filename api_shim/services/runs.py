"""Runs that start now: made in Prefect, held, so that its id is the job result's; then recorded; then let start.

* What is answered is durable; Prefect follows before the answer if it does so soon, and else later.
* A run that nobody serves is not begun.

Contract 4.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime
from functools import partial
from typing import Any
from uuid import UUID, uuid4

import anyio

from api_shim.domain.model import Job, JobResult
from api_shim.domain.ports import Orchestrator, RunSpec
from api_shim.reconcile.reconciler import Reconciler
from api_shim.services.authorization import check_still_active
from api_shim.store import Store, Transaction
from approval_gate.errors import Unavailable
from approval_gate.model import Actor

logger = logging.getLogger("signoff")

PROMPT = 5.0
"""Seconds that an answer waits for Prefect to follow; after that the loop sees to it."""


class Runs:
    """Starts runs.

    Args:
        store: what is true.
        engine: Prefect.
        projection: brings Prefect into line.
    """

    def __init__(self, store: Store, engine: Orchestrator, projection: Reconciler) -> None:
        self._store = store
        self._engine = engine
        self._projection = projection

    async def check_served(self, queue: str) -> None:
        """See that a worker serves this queue.

        Raises:
            Unavailable: none does, or Prefect does not answer.
        """
        if not await self._engine.has_worker(queue):
            raise Unavailable(f"Unable to process request: No Prefect workers running on queue {queue}.")

    async def start(
        self,
        actor: Actor,
        job: Job,
        inputs: Mapping[str, Any],
        queue: str,
        now: datetime,
        *,
        also: Callable[[Transaction, JobResult], None] = lambda _tx, _result: None,
    ) -> JobResult:
        """Run a Job now, as the actor.

        Args:
            actor: whom it runs as.
            job: the Job.
            inputs: what it is given, validated.
            queue: the work queue.
            now: the time.
            also: what else is written with the result, in the same transaction.

        Raises:
            Forbidden: the actor has just been removed or deactivated.
            Unavailable: Prefect does not answer, or does not know the Job yet.
        """
        if job.deployment_id is None:
            raise Unavailable("This job is not ready in Prefect yet; please try again.")
        run = RunSpec(
            key=f"signoff:{uuid4()}",
            name=job.name,
            parameters={} if job.has_sensitive_variables else inputs,
            queue=queue,
            message=f"Requested by {actor.username}.",
        )
        run_id = await self._engine.hold(job.deployment_id, run)
        result = JobResult(
            id=run_id,
            job_id=job.id,
            user_id=actor.id,
            name=job.name,
            task_name=job.class_path,
            queue=queue,
            inputs=inputs,
            sensitive=job.has_sensitive_variables,
            date_created=now,
        )
        await self._store.write(partial(_record, actor, result, also))
        await self.promptly(partial(self._projection.start, run_id))
        return result

    async def follow(self, scheduled_id: UUID) -> None:
        """Let Prefect follow a scheduled job."""
        await self.promptly(partial(self._projection.reconcile, scheduled_id))

    async def promptly(self, work: Callable[[], Awaitable[None]]) -> None:
        """Let Prefect follow before the answer if it does so soon; what is answered is durable either way."""
        try:
            with anyio.move_on_after(PROMPT):
                await work()
        except Exception:
            logger.warning("Prefect will follow later.", exc_info=True)


def _record(actor: Actor, result: JobResult, also: Callable[[Transaction, JobResult], None], tx: Transaction) -> None:
    check_still_active(tx, actor)
    tx.add(result)
    also(tx, result)
