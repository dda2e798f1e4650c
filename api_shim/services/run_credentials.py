"""The credentials of runs, and the accounts of workers.

* A worker that takes a run is given a key for it, with the answer by which it has the run; no call is made for that.
  The run's process has this key and no other: the worker's stays with the worker.
* A key is stored as its hash, by which it is found; how long that takes tells nothing of a key. It is good for its run
  alone, until the run is over, is taken again, or the account of its worker is deactivated, removed, another pool's or
  a worker's no longer. What is left to say when a run is over, the end of its log and its final state, it may say
  within ``ENDING``.
* A run may be started again while a process of before still comes up, and so be taken twice. Whoever tells how an
  attempt has ended says by its key which one: of one that is over nothing is heard.
* Admission and outcome are answered to the run's own key. While the run has none, as Prefect's own workers ask for
  none, the account of the worker that has taken it may ask; nobody else may. Who asks in vain is recorded.
* On a Prefect server that others run, a worker may take a run past us. Who that was is not known here: any account of
  workers of its pool may ask then, as any of them may take it. That holds for a run, too, that was taken here before,
  has waited since, and was then taken past us: what was known of it ends, and with it the key of its process then.
* An account is a worker's by the word of a local administrator, for one work pool, and takes runs of that pool only.
  Nothing else is needed for that, and nothing else comes with it.

As its user, a run requests others with its credential, and reads of them (``run_actors``).

The rules are in ``approval_gate.policy``; what a run may do in Prefect stands in ``web.prefect_run_calls``, what the
account of a worker may in ``web.prefect_worker_calls``, and when a key is made in ``web.prefect_claims``.
"""

from __future__ import annotations

import asyncio
import hmac
import logging
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Any
from uuid import UUID

from api_shim.domain.accounts import RunCredential, User, WorkerAccount
from api_shim.domain.model import Job, JobQueue, JobResult, ScheduledJob, queue_id, queue_of
from api_shim.domain.ports import Orchestrator, Run
from api_shim.keys import RUN_PREFIX, new_key
from api_shim.reconcile.desired_state import result_named_by, scheduled_named_by
from api_shim.services.authentication import INACTIVE, INVALID_TOKEN, Credentials, Unauthenticated, hash_key
from api_shim.services.refusals import Refusals
from api_shim.store import Store, Transaction
from approval_gate import policy
from approval_gate.errors import Unavailable
from approval_gate.model import Actor, Allowed, ObjectType, Verdict

logger = logging.getLogger("signoff")

NOT_FOR_RUNS = (
    "The credential of a run is for this run alone: its admission and outcome, its own calls of Prefect, requests for "
    "other runs, and reading of Jobs, scheduled jobs, results and logs."
)
ENDING = timedelta(minutes=1)
"""How long after its end a run may still tell of it."""
CLOCKS_DIFFER = timedelta(seconds=5)
"""By how much the clock of a Prefect server that others run may differ from ours. Less than a run takes that is taken,
waits, and is taken again."""
WAITS_WITH_IT = frozenset({"Paused", "AwaitingRetry"})
"""The names of the states in which a run waits, and its process with it."""
LOOKS_EVERY = 60.0
"""Seconds between two looks for runs that are over."""


@dataclass(frozen=True, kw_only=True, slots=True)
class RunCaller:
    """A run that calls with its own credential.

    Args:
        run_id: the run.
        worker: the account of the worker that has taken it; it has no permissions here.
    """

    run_id: UUID
    worker: Actor


class RunCredentials:
    """Makes the credentials of runs, and says whose they are.

    Args:
        store: the store.
        engine: Prefect.
        refusals: records who asks in vain.
        clock: returns the current time, aware.
    """

    def __init__(self, store: Store, engine: Orchestrator, refusals: Refusals, clock: Callable[[], datetime]) -> None:
        self._store = store
        self._engine = engine
        self._refusals = refusals
        self._clock = clock

    # Workers

    async def pool_of(self, run_id: UUID) -> str:
        """Return the work pool of a run; empty if it has none, or does not exist.

        What is recorded here, and what our deployments have made, is of the pool of its queue. Prefect is believed of
        other runs only: who may write there can move a deployment to another pool.
        """
        recorded = await self._store.read(partial(_queue_of, {"flow_run_id": run_id}))
        if recorded is not None:
            return recorded.pool or self._engine.pool
        run = (await self._engine.runs([run_id])).get(run_id)
        if run is None:
            return ""
        ours = await self._store.read(partial(_queue_of_unrecorded, run))
        return run.pool if ours is None else ours.pool or self._engine.pool

    async def pools_of_deployment(self, deployment_id: UUID) -> set[str]:
        """Return the work pools whose workers execute runs of a deployment that we have made; none for another one."""
        pools = await self._store.read(partial(_pools_of_deployment, deployment_id))
        return {pool or self._engine.pool for pool in pools}

    async def has_taken(self, actor: Actor, run_id: UUID) -> bool:
        """Say whether a worker's account has taken a run, which is not long over, and nobody has since."""
        return await self._store.read(lambda tx: tx.exists(RunCredential, flow_run_id=run_id, user_id=actor.id))

    async def could_have_taken(self, actor: Actor, run_id: UUID) -> bool:
        """Say whether a worker's account has taken a run, or nobody is known to have."""
        taken = await self._store.read(lambda tx: tx.get(RunCredential, flow_run_id=run_id))
        return taken is None or taken.user_id == actor.id

    async def which_taken(self, actor: Actor, run_ids: Collection[UUID]) -> set[UUID]:
        """Return which of these runs it has so."""
        ids = [*run_ids]
        found = await self._store.read(lambda tx: tx.all(RunCredential, flow_run_id=ids, user_id=actor.id))
        return {each.flow_run_id for each in found}

    async def taken(self, actor: Actor, run_id: UUID, *, keyed: bool) -> str:
        """Record that a worker has taken a run: a key that was made for it before ends.

        Args:
            actor: the worker's account.
            run_id: the run.
            keyed: whether the worker asks for a key of the run's own.

        Returns:
            the new key, which nobody can be told again; empty if it was not asked for.
        """
        key = new_key(RUN_PREFIX) if keyed else ""
        key_hash = hash_key(key) if keyed else None
        made = RunCredential(flow_run_id=run_id, key_hash=key_hash, user_id=actor.id, created=self._clock())

        def write(tx: Transaction) -> None:
            tx.remove(made)
            tx.add(made)

        await self._store.write(write)
        return key

    async def is_under_way(self, run_id: UUID, key: str) -> bool:
        """Say whether an attempt to execute a run is still its last one: it is not taken again, nor to be.

        Args:
            run_id: the run.
            key: that which was given to who has taken it.

        Raises:
            Unavailable: Prefect does not answer.
        """
        if not await self._store.read(lambda tx: tx.exists(RunCredential, flow_run_id=run_id, key_hash=hash_key(key))):
            return False
        run = (await self._engine.runs([run_id])).get(run_id)
        return run is not None and not run.waits

    # Runs

    @staticmethod
    def are_meant(credentials: Credentials) -> bool:
        """Say whether credentials look like those of a run, and not like a token."""
        return credentials.key.startswith(RUN_PREFIX)

    async def caller(self, credentials: Credentials) -> RunCaller:
        """Return the run that a key belongs to.

        Raises:
            Unauthenticated: there is no such run, or it is over.
        """
        return await self._store.read(partial(_caller, hash_key(credentials.key), self._clock()))

    async def enforce(self, who: Actor | RunCaller, run_id: UUID, asked: str) -> str:
        """Return the name of the account that speaks for a run, to ask for admission or to tell its outcome.

        Args:
            who: who calls.
            run_id: the run.
            asked: what for, for the audit.

        Raises:
            Forbidden: they do not speak for this run; it is recorded.
        """
        if isinstance(who, RunCaller):
            verdict, worker, of_run = policy.speaks_for_run(run_id, credential_of=who.run_id), who.worker, who.run_id
        else:
            verdict, worker, of_run = await self._by_worker(who, run_id), who, None
        if verdict != Allowed():
            await self._refusals.request(worker, policy.why_not(verdict, hidden=""), asked, flow_run_id=of_run)
        policy.enforce(verdict, ObjectType.PREFECT)
        return worker.username

    async def _by_worker(self, actor: Actor, run_id: UUID) -> Verdict:
        taken = await self._store.read(lambda tx: tx.get(RunCredential, flow_run_id=run_id))
        # Prefect is not asked on behalf of those whose business it is not.
        is_worker = policy.works(actor)
        past_us = is_worker and self._engine.past_us and await self._is_taken_past_us(run_id, taken)
        known = None if past_us else taken
        verdict = policy.worker_speaks_for_run(
            actor,
            pool=await self.pool_of(run_id) if is_worker else "",
            has_credential=known is not None and known.key_hash is not None,
            taken_by=known.user_id if known is not None else None,
            taken_past_us=past_us,
        )
        if past_us and taken is not None and verdict == Allowed():
            await self._store.write(partial(_remove, [taken]))
        return verdict

    async def _is_taken_past_us(self, run_id: UUID, taken: RunCredential | None) -> bool:
        """Say whether somebody has taken a run that is under way, and did so past us, after what is known of it."""
        if not await self._is_going(run_id):
            return False
        if taken is None:
            return True
        claim = await self._engine.claim(run_id)
        return claim is not None and claim.at > taken.created + CLOCKS_DIFFER

    async def _is_going(self, run_id: UUID) -> bool:
        run = (await self._engine.runs([run_id])).get(run_id)
        return run is not None and not run.waits and not run.final

    # The end of runs

    async def run(self) -> None:
        """Remove the credentials of runs that are over, until cancelled."""
        while True:
            await asyncio.sleep(LOOKS_EVERY)
            try:
                await self.tick()
            except Unavailable as error:
                logger.debug("It is not known which runs are over: %s", error)
            except Exception:
                logger.exception("The credentials of runs that are over could not be removed.")

    async def tick(self) -> None:
        """Remove the credentials of runs that are over in Prefect, or gone.

        And of those that wait there to be taken again, where that may be past us.
        """
        before = self._clock() - ENDING
        known = [each for each in await self._store.read(lambda tx: tx.all(RunCredential)) if each.created < before]
        runs = await self._engine.runs([each.flow_run_id for each in known]) if known else {}
        over = [each for each in known if self._is_over(runs.get(each.flow_run_id), before)]
        if over:
            await self._store.write(partial(_remove, over))

    def _is_over(self, run: Run | None, before: datetime) -> bool:
        if run is None:
            return True
        left = self._engine.past_us and run.waits and run.state_name not in WAITS_WITH_IT
        return (run.final or left) and run.since < before


def _queue_of(by: Mapping[str, Any], tx: Transaction) -> JobQueue | None:
    """Return the queue of a run that is recorded here; None if none is."""
    # A firing is a result of its own, while its scheduled job may have another run that stands for its request.
    found = tx.get(JobResult, **by) or tx.get(ScheduledJob, **by)
    return _queue(found.queue, tx) if found is not None else None


def _queue_of_unrecorded(run: Run, tx: Transaction) -> JobQueue | None:
    """Return the queue of a run of ours whose id has yet to be recorded; None for another one."""
    if (result_id := result_named_by(run.key)) and (queue := _queue_of({"id": result_id}, tx)):
        return queue
    if (named := scheduled_named_by(run.key)) and (scheduled := tx.get(ScheduledJob, id=named[0])):
        return _queue(scheduled.queue, tx)
    if run.deployment_id is None:
        return None
    if scheduled := tx.get(ScheduledJob, deployment_id=run.deployment_id):
        return _queue(scheduled.queue, tx)
    job = tx.get(Job, deployment_id=run.deployment_id)
    return _queue(job.default_queue, tx) if job is not None else None


def _pools_of_deployment(deployment_id: UUID, tx: Transaction) -> set[str]:
    if scheduled := tx.get(ScheduledJob, deployment_id=deployment_id):
        return {_queue(scheduled.queue, tx).pool}
    job = tx.get(Job, deployment_id=deployment_id)
    return {_queue(name, tx).pool for name in job.queues} if job is not None else set()


def _queue(name: str, tx: Transaction) -> JobQueue:
    return tx.get(JobQueue, id=queue_id(name)) or queue_of(name)


def _caller(hashed: str, now: datetime, tx: Transaction) -> RunCaller:
    found = tx.get(RunCredential, key_hash=hashed)
    if found is None or found.key_hash is None or not hmac.compare_digest(found.key_hash, hashed):
        raise Unauthenticated(INVALID_TOKEN)
    user = tx.get(User, id=found.user_id)
    if user is None or not user.is_active:
        raise Unauthenticated(INACTIVE)
    if not tx.exists(WorkerAccount, user_id=user.id):
        raise Unauthenticated(INVALID_TOKEN)
    result = tx.get(JobResult, flow_run_id=found.flow_run_id)
    if result is not None and result.status.final and (result.date_done is None or now - result.date_done >= ENDING):
        raise Unauthenticated(INVALID_TOKEN)
    return RunCaller(run_id=found.flow_run_id, worker=Actor(id=user.id, username=user.username))


def _remove(credentials: Collection[RunCredential], tx: Transaction) -> None:
    for each in credentials:
        # The run may have been taken again meanwhile.
        if tx.get(RunCredential, flow_run_id=each.flow_run_id, lock=True) == each:
            tx.remove(each)
