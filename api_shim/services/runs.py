"""Runs that start now: recorded, and answered; the commit wakes whoever lets Prefect follow.

* What is answered is durable, and nobody waits for Prefect.
* A run that nobody serves is not begun, as far as that is known.
* What a run or an automation has requested (``run_origins``) names that one.

Contract 4.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from typing import Any
from uuid import uuid4

from api_shim.domain.approval import is_dry_run, unasked
from api_shim.domain.model import AskingAgent, Job, JobResult
from api_shim.parsing.run_request import NO_LABELS, RunLabels
from api_shim.reconcile.served_queues import ServedQueues
from api_shim.reconcile.wake_queue import Kind, Wake
from api_shim.services.authorization import check_still_active
from api_shim.services.run_origins import origin_of
from api_shim.store import Store, Transaction
from approval_gate.errors import Unavailable
from approval_gate.model import Actor


@dataclass(frozen=True, kw_only=True, slots=True)
class AskedAs:
    """How a run is asked for, where that is to be known of it.

    Args:
        labels: what the run is called in Prefect.
        agent: for whom an agent asks that requests it; None if none does.
        reason: why it is requested; empty if nobody says.
    """

    labels: RunLabels = NO_LABELS
    agent: AskingAgent | None = None
    reason: str = ""


PLAINLY = AskedAs()


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
        asked_as: AskedAs = PLAINLY,
    ) -> JobResult:
        """Run a Job now, as the actor.

        Args:
            actor: whom it runs as.
            job: the Job.
            inputs: what it is given, validated.
            queue: the work queue.
            now: the time.
            also: what else is written with the result, in the same transaction.
            asked_as: how it is asked for.

        Raises:
            Forbidden: the actor has just been removed or deactivated, or may not request this by a run of theirs.
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
            dry_run=is_dry_run(job, inputs),
            run_name=asked_as.labels.name,
            run_tags=asked_as.labels.tags,
            agent=asked_as.agent,
            reason=asked_as.reason,
        )
        result = await self._store.write(partial(_record, actor, job, result, also))
        self._wake(Kind.JOB_RESULT, result.id)
        return result


def _record(
    actor: Actor, asked: Job, result: JobResult, also: Callable[[Transaction, JobResult], None], tx: Transaction
) -> JobResult:
    origin = origin_of(tx, actor, for_dry_run=is_dry_run(asked, result.inputs or {}))
    # Its mark as it is now: whoever changes that afterwards finds what is recorded here.
    job = tx.get(Job, id=result.job_id, lock=True)
    check_still_active(tx, actor)
    result = replace(result, sensitive=job is None or job.has_sensitive_variables)
    if origin is not None:
        result = origin.named_by(result)
    tx.add(result)
    also(tx, result)
    return result
