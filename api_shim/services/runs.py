"""Runs that start now: recorded, and answered; the commit wakes whoever lets Prefect follow.

* What is answered is durable, and nobody waits for Prefect.
* A run that nobody serves is not begun, as far as that is known.

Contract 4.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime
from functools import partial
from typing import Any
from uuid import uuid4

from api_shim.domain.approval import unasked
from api_shim.domain.model import Job, JobResult
from api_shim.reconcile.served_queues import ServedQueues
from api_shim.reconcile.wake_queue import Kind, Wake
from api_shim.services.authorization import check_still_active
from api_shim.store import Store, Transaction
from approval_gate.errors import Unavailable
from approval_gate.model import Actor


class Runs:
    """Starts runs.

    Args:
        store: what is true.
        served: which queues have a worker.
        wake: lets Prefect follow.
    """

    def __init__(self, store: Store, served: ServedQueues, wake: Wake) -> None:
        self._store = store
        self._served = served
        self._wake = wake

    def check_served(self, queue: str) -> None:
        """See that a worker serves this queue; what is not known is no reason to refuse.

        Raises:
            Unavailable: none does.
        """
        if self._served.is_served(queue) is False:
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
        """
        result = JobResult(
            id=uuid4(),
            job_id=job.id,
            user_id=actor.id,
            name=job.name,
            task_name=job.class_path,
            queue=queue,
            inputs=inputs,
            date_created=now,
            approval_off=unasked(job, inputs),
        )
        result = await self._store.write(partial(_record, actor, result, also))
        self._wake(Kind.JOB_RESULT, result.id)
        return result


def _record(
    actor: Actor, result: JobResult, also: Callable[[Transaction, JobResult], None], tx: Transaction
) -> JobResult:
    # Its mark as it is now: whoever changes that afterwards finds what is recorded here.
    job = tx.get(Job, id=result.job_id, lock=True)
    check_still_active(tx, actor)
    result = replace(result, sensitive=job is None or job.has_sensitive_variables)
    tx.add(result)
    also(tx, result)
    return result
