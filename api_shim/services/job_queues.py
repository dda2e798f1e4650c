"""The use cases around job queues: make one in a work pool, move it to another pool, and remove it.

* A queue belongs to one work pool, and keeps its name. The pool must exist in Prefect: only people know of what type it
  is to be.
* What was approved for a queue runs where the queue was at that time: one for which anything is scheduled, waits or
  runs is not moved.
* One that a Job names besides is not removed. The default one stays where it is, for every Job that names none.
* Jobs are locked before it is looked what uses a queue: whoever asks for a run of one of them comes before or after.
* What was done is recorded in the audit in the same transaction.

Contract 3.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from functools import partial
from typing import Any

from api_shim.domain.audit import EventType, account_event, changes
from api_shim.domain.model import DEFAULT_QUEUE, Job, JobQueue, JobResult, ScheduledJob, Status, queue_of
from api_shim.domain.ports import Orchestrator
from api_shim.parsing.job_queue import read_new_queue, read_pool
from api_shim.services.authorization import check_still_active, get_authorized
from api_shim.store import Duplicate, Store, Transaction
from approval_gate import policy
from approval_gate.errors import Conflict, Invalid
from approval_gate.model import Action, Actor, ObjectType

KIND = ObjectType.JOB_QUEUE
NAME_TAKEN = "A job queue with this name already exists."
NO_POOL = "There is no work pool {pool!r} in Prefect; make it there first."
IS_DEFAULT = "The default queue stays in the work pool of the server."
HAS_RUNS = "The queue {name} is in use: something is scheduled, waits or runs on it."
ONGOING = frozenset(status for status in Status if not status.final)
HAS_JOBS = "The queue {name} is in use: the Job {job!r} names it."


class JobQueues:
    """Makes, moves and removes job queues.

    Args:
        store: what is true.
        engine: Prefect.
        clock: tells the time, aware.
    """

    def __init__(self, store: Store, engine: Orchestrator, clock: Callable[[], datetime]) -> None:
        self._store = store
        self._engine = engine
        self._clock = clock

    async def add(self, actor: Actor, body: object) -> JobQueue:
        """Make a job queue.

        Args:
            actor: who makes it.
            body: its fields, as sent.

        Raises:
            Forbidden: they may make none, or not this one.
            Invalid: a fault in a field, its name is taken, or there is no such work pool.
            Unavailable: Prefect, which knows the work pools, does not answer.
        """
        policy.enforce(policy.check_type(actor, Action.ADD, KIND), KIND)
        name, pool = read_new_queue(body)
        queue = queue_of(name, await self._existing(pool))
        try:
            await self._store.write(partial(_add, actor, queue, self._clock()))
        except Duplicate as error:
            raise Invalid({"name": [NAME_TAKEN]}) from error
        return queue

    async def change(self, actor: Actor, by: Mapping[str, Any], body: object) -> JobQueue:
        """Move a job queue to another work pool.

        Args:
            actor: who moves it.
            by: the field that tells which one.
            body: the fields to change, as sent.

        Raises:
            Forbidden: they may change none, or not this one, or not into this.
            NotFound: there is none, or none that they may see.
            Invalid: a fault in a field, or there is no such work pool.
            Conflict: it is in use, or the default one.
            Unavailable: Prefect, which knows the work pools, does not answer.
        """
        found: JobQueue = await self._store.read(lambda tx: get_authorized(tx, actor, Action.CHANGE, KIND, **by))
        pool = read_pool(body)
        if pool is None:
            return found
        return await self._store.write(partial(_move, actor, found, await self._existing(pool), self._clock()))

    async def remove(self, actor: Actor, by: Mapping[str, Any]) -> None:
        """Remove a job queue.

        Args:
            actor: who removes it.
            by: the field that tells which one.

        Raises:
            Forbidden: they may remove none, or not this one.
            NotFound: there is none, or none that they may see.
            Conflict: it is in use, or the default one.
        """
        await self._store.write(partial(_remove, actor, by, self._clock()))

    async def _existing(self, pool: str) -> str:
        """Return a work pool that exists, as it is kept: that of the server has no name."""
        if pool in {"", self._engine.pool}:
            return ""
        if not await self._engine.has_pool(pool):
            raise Invalid({"pool": [NO_POOL.format(pool=pool)]})
        return pool


def _add(actor: Actor, queue: JobQueue, now: datetime, tx: Transaction) -> None:
    check_still_active(tx, actor)
    tx.add(queue)
    _check_outcome(tx, actor, Action.ADD, queue)
    tx.record(account_event(queue.id, queue.name, EventType.QUEUE_ADDED, now, actor, pool=queue.pool))


def _move(actor: Actor, found: JobQueue, pool: str, now: datetime, tx: Transaction) -> JobQueue:
    jobs = _locked_jobs(tx, found.name)
    check_still_active(tx, actor)
    queue: JobQueue = get_authorized(tx, actor, Action.CHANGE, KIND, lock=True, id=found.id)
    if queue.pool == pool:
        return queue
    _check_movable(tx, queue)
    for job in jobs:
        # Prefect follows: the queue is made there, and a deployment of this queue moves.
        tx.change(job, version=job.version + 1)
    moved = tx.change(queue, pool=pool)
    _check_outcome(tx, actor, Action.CHANGE, moved)
    changed = changes({"pool": queue.pool}, {"pool": pool})
    tx.record(account_event(queue.id, queue.name, EventType.QUEUE_CHANGED, now, actor, ["pool"], changed))
    return moved


def _remove(actor: Actor, by: Mapping[str, Any], now: datetime, tx: Transaction) -> None:
    found: JobQueue = get_authorized(tx, actor, Action.DELETE, KIND, **by)
    jobs = _locked_jobs(tx, found.name)
    check_still_active(tx, actor)
    queue: JobQueue = get_authorized(tx, actor, Action.DELETE, KIND, lock=True, id=found.id)
    if jobs and queue.name != DEFAULT_QUEUE:
        raise Conflict(HAS_JOBS.format(name=queue.name, job=jobs[0].name))
    _check_movable(tx, queue)
    tx.remove(queue)
    tx.record(account_event(queue.id, queue.name, EventType.QUEUE_REMOVED, now, actor))


def _locked_jobs(tx: Transaction, queue: str) -> list[Job]:
    """Return the Jobs that name a queue; no Job gets another one until the transaction ends."""
    return [job for job in tx.all(Job, order="id", lock=True) if queue in job.queues]


def _check_outcome(tx: Transaction, actor: Actor, action: Action, queue: JobQueue) -> None:
    """See that a queue is within what they may add or change, as it is now."""
    policy.enforce(policy.check_result(actor, action, KIND, tx.attributes(KIND, queue.id)), KIND)


def _check_movable(tx: Transaction, queue: JobQueue) -> None:
    """See that a queue may leave its work pool: it is not the default one, and nothing would run elsewhere for it."""
    if queue.name == DEFAULT_QUEUE:
        raise Conflict(IS_DEFAULT)
    scheduled = any(not row.is_spent for row in tx.all(ScheduledJob, queue=queue.name))
    if scheduled or tx.exists(JobResult, queue=queue.name, status=ONGOING):
        raise Conflict(HAS_RUNS.format(name=queue.name))
