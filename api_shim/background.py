"""The loop that makes the projection hold: what a crash, a stopped Prefect or a hand left different is mended here.

Every ten seconds it is told, where there may be several servers, that this one makes Prefect follow.

Each second, if the store has anything to do, which is one question:
* what has changed in the store and not yet in Prefect, as what a crash left behind, is woken to be followed;
* scheduled jobs whose time has come are looked at again; what was deleted is cleaned up, runs of deleted results too;
* requests that nobody has decided about in their time expire; what has been remembered is announced to Prefect;
* every few seconds job results that are not final learn from Prefect how their runs stand.

Every minute the head of the audit is kept and told outside the store, if it has moved.

Every half minute, and when a worker has gone, all of our deployments and waiting runs in Prefect are compared with the
store, and runs that nobody executes any more are ended or started again. What a hand changed on a deployment, say by
switching its schedule on or off in Prefect's UI, is taken back, and remembered. Inputs that are not kept as the mark of
their Job says, since whoever marked it could not go on, are encrypted or decrypted. Automations that were changed are
bound to an account no longer.

Several servers of one database may do all of this. What must not be done twice is done by one at a time: to announce,
to compare, and what is done about each object.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import datetime, timedelta
from functools import partial
from uuid import UUID

import anyio.to_thread

from api_shim.domain.model import NEVER, Job, ScheduledJob
from api_shim.domain.ports import GOING, HELD, DeploymentSpec, Orchestrator, Run
from api_shim.domain.recurrence import Interval
from api_shim.metrics import REPAIRS, start_at_zero
from api_shim.reconcile.approval_form import waiting_name
from api_shim.reconcile.audit_heads import AuditHeads
from api_shim.reconcile.desired_state import base_deployment, own_deployment
from api_shim.reconcile.drift import differs
from api_shim.reconcile.outbox import publish_events
from api_shim.reconcile.pools import pools_of
from api_shim.reconcile.reconciler import Reconciler
from api_shim.reconcile.recovery import (
    ABANDONED_AFTER,
    LATE_TO_ASK,
    KnownRun,
    RecoveryAction,
    known_runs,
    recovery_action,
)
from api_shim.reconcile.run_status import RunStatus
from api_shim.reconcile.served_queues import ServedQueues
from api_shim.reconcile.wake_queue import NOW, Kind, Thing, WorkQueue
from api_shim.services.approval_state import expire
from api_shim.services.automations import end_changed
from api_shim.services.input_files import UnneededFiles
from api_shim.services.running_servers import FOLLOWS_EVERY, ThisServer, tell_following
from api_shim.services.sensitive_inputs import follow_marks
from api_shim.store import Duty, HeldElsewhere, Store, Transaction
from approval_gate.errors import Unavailable
from approval_gate.lifecycle import ApprovalState

logger = logging.getLogger("signoff")

TICK = 1.0
SWEEP_EVERY = timedelta(seconds=30)
REFRESH_EVERY = timedelta(seconds=3)
"""How often Prefect is asked about runs under way. Each tells its end itself, but for those that were killed."""
BATCH = 200
GONE = "The process that executed this run has gone."
DELETED = "Its scheduled job was deleted while Prefect planned this run."
NOT_REQUESTED = "This run was never recorded: the request for it was not accepted."
STARTED_AGAIN = "Started again: its process had gone before it was admitted."
DEPLOYMENT = "deployment"

start_at_zero(REPAIRS, (DEPLOYMENT, *(action for action in RecoveryAction if action is not RecoveryAction.LEAVE)))


class BackgroundLoop:
    """Repeats the projection until it holds.

    Args:
        store: what is true.
        engine: Prefect.
        projection: brings one object into line.
        queue: lets it do so for many.
        served: which queues have a worker.
        run_status: learns how runs stand.
        clock: tells the time, aware.
        server: what this server tells the others of itself; None for the only one.
    """

    def __init__(
        self,
        store: Store,
        engine: Orchestrator,
        projection: Reconciler,
        queue: WorkQueue,
        served: ServedQueues,
        run_status: RunStatus,
        clock: Callable[[], datetime],
        server: ThisServer | None = None,
    ) -> None:
        self._store = store
        self._engine = engine
        self._projection = projection
        self._queue = queue
        self._served = served
        self._run_status = run_status
        self._heads = AuditHeads(store, engine)
        self._unneeded_files = UnneededFiles(store)
        self._clock = clock
        self._server = server if store.notices else None
        self._told: datetime | None = None
        self._began = clock()
        self._swept: datetime | None = None
        self._refreshed: datetime | None = None
        self._ticked: datetime | None = None

    async def run(self) -> None:
        """Tick until cancelled."""
        while True:
            self._ticked = self._clock()
            try:
                await self.tick()
            except Exception:
                logger.exception("The reconcile loop failed and goes on.")
            await asyncio.sleep(TICK)

    def ticked(self) -> datetime | None:
        """Return when the last tick began; None where this loop is not run."""
        return self._ticked

    async def tick(self) -> None:
        """Do once what is due."""
        now = self._clock()
        # First, and whatever becomes of the rest: the end of the audit is kept elsewhere.
        await self._heads.tell(now)
        await self._tell_others(now)
        if await self._store.read(lambda tx: tx.has_work(now)):
            await self._work(now)
        if self._is_to_sweep(now):
            self._swept = now
            with suppress(HeldElsewhere):
                async with self._store.locks.held(Duty.SWEEP):
                    await self._follow_marks()
                    await self._unneeded_files.remove()
                    await self._sweep(now)

    async def _tell_others(self, now: datetime) -> None:
        server = self._server
        if server is not None and (self._told is None or now - self._told >= FOLLOWS_EVERY):
            await self._store.write(lambda tx: tell_following(tx, server, now))
            self._told = now

    async def _follow_marks(self) -> None:
        try:
            await anyio.to_thread.run_sync(follow_marks, self._store)
        except Unavailable as error:
            logger.warning("Inputs are not kept yet as the marks of their Jobs say: %s", error)

    async def _work(self, now: datetime) -> None:
        for thing, due in await self._store.read(partial(_behind, now)):
            self._queue.retry(*thing, due)
        for scheduled_id in await self._store.read(partial(_expiring, now)):
            await self._store.write(partial(expire, scheduled_id, now))
            self._queue.wake(Kind.SCHEDULED_JOB, scheduled_id)
        await self._publish(now)
        if self._refreshed is None or now - self._refreshed >= REFRESH_EVERY:
            self._refreshed = now
            await self._run_status.refresh_all()

    async def _publish(self, now: datetime) -> None:
        try:
            with suppress(HeldElsewhere):
                async with self._store.locks.held(Duty.PUBLISH):
                    await publish_events(self._store, self._engine, now)
        except Exception:
            # Nothing else waits for it.
            logger.exception("What is in the audit could not be told, which is tried again.")

    # What a hand or a crash changed in Prefect

    def _is_to_sweep(self, now: datetime) -> bool:
        swept = self._swept
        return swept is None or now - swept >= SWEEP_EVERY or self._served.has_lost_one_since(swept)

    async def _sweep(self, now: datetime) -> None:
        deployments = await self._engine.deployments()
        for thing in await self._store.read(partial(self._astray, deployments)):
            REPAIRS.labels(DEPLOYMENT).inc()
            self._queue.retry(*thing)
        await self._sweep_one_offs(now)
        await self._sweep_runs(now)
        await self._sweep_late_runs(deployments)
        await end_changed(self._store, self._engine, now)

    def _astray(self, found: Mapping[UUID, DeploymentSpec], tx: Transaction) -> list[Thing]:
        """Return what stands differently in Prefect."""
        now, pools = self._clock(), pools_of(tx, self._engine.pool)
        jobs = {job.id: job for job in tx.all(Job)}
        astray: list[Thing] = []
        for job in jobs.values():
            if job.deployment_id and differs(found.get(job.deployment_id), base_deployment(job, pools)):
                astray.append((Kind.JOB_DIFFERS, job.id))
        for row in tx.all(ScheduledJob):
            if row.deployment_id is None:
                continue
            # What runs once has none of its own: it has kept one from when it recurred.
            if row.one_off or differs(found.get(row.deployment_id), own_deployment(row, jobs[row.job_id], now, pools)):
                astray.append((Kind.SCHEDULED_JOB_DIFFERS, row.id))
        return astray

    async def _sweep_one_offs(self, now: datetime) -> None:
        rows = await self._store.read(lambda tx: tx.all(ScheduledJob, enabled=True, interval=Interval.FUTURE))
        waiting = {row.flow_run_id: row for row in rows if row.flow_run_id and row.approval.lets_run}
        runs = await self._engine.runs(waiting)
        for run_id, row in waiting.items():
            run = runs.get(run_id)
            moved = run is not None and run.waits and run.scheduled_for != row.start_time
            if run is None or run.final or (moved and row.start_time > now) or run.held:
                self._queue.retry(Kind.SCHEDULED_JOB_DIFFERS, row.id, row.start_time)

    async def _sweep_runs(self, now: datetime) -> None:
        runs = await self._engine.runs_in((*GOING, *HELD))
        pending = await self._store.read(_pending)
        await self._sweep_requests({run.id: run for run in runs}, pending)
        asking = {row.flow_run_id for row, _ in pending}
        due = [run for run in runs if run.going or (run.id not in asking and now - run.since > ABANDONED_AFTER)]
        known = await self._store.read(partial(known_runs, due))
        for run in due:
            try:
                await self._recover(run, known[run.id], now)
            except Exception:
                logger.warning("The run %s could not be recovered and is looked at again.", run.id, exc_info=True)

    async def _sweep_late_runs(self, deployments: Mapping[UUID, DeploymentSpec]) -> None:
        """End runs of deployments that are gone: Prefect's scheduler may make some while theirs is removed."""
        for run in await self._engine.late_runs():
            of = run.deployment_id
            # Prefect lists by pages, which may miss one that is there.
            if of is not None and of not in deployments and await self._engine.read_deployment(of) is None:
                REPAIRS.labels(RecoveryAction.DROP).inc()
                await self._engine.end(run.id, "CANCELLED", "Cancelled", DELETED)

    async def _sweep_requests(self, runs: Mapping[UUID, Run], pending: Waiting) -> None:
        """Let every request be asked about: its run may have been ended, deleted, written over, or cut off."""
        for row, deployment_id in pending:
            run = runs.get(row.flow_run_id) if row.flow_run_id else None
            shown = (run.name, run.parameters, run.deployment_id) if run is not None else None
            if run is None or (run.held and shown != (waiting_name(row), row.parameters, deployment_id)):
                self._queue.retry(Kind.SCHEDULED_JOB_DIFFERS, row.id)

    async def _taken_by(self, run: Run, known: KnownRun, now: datetime) -> str:
        """Return the worker that has taken a run and has not let it ask yet; empty if nobody is late."""
        if known.let_go or not run.going or now - run.since <= LATE_TO_ASK:
            return ""
        claim = await self._engine.claim(run.id)
        return claim.worker if claim is not None else ""

    async def _recover(self, run: Run, known: KnownRun, now: datetime) -> None:
        """End a run whose process is gone; start one again that nobody had let go; drop what nobody recorded."""
        alone = self._served.is_served(known.queue) is False if known.queue else False
        taken_by = await self._taken_by(run, known, now)
        lease = known.lease or taken_by
        orphaned = lease != "" and self._served.has_gone(lease)
        action = recovery_action(run, known, now, self._began, alone=alone, taken_by=taken_by, orphaned=orphaned)
        if action is not RecoveryAction.LEAVE:
            REPAIRS.labels(action).inc()
        match action:
            case RecoveryAction.END:
                await self._engine.end(run.id, "CRASHED", "Crashed", GONE)
            case RecoveryAction.CANCEL:
                await self._engine.end(run.id, "CANCELLED", "Cancelled", GONE)
            case RecoveryAction.DROP:
                await self._engine.end(run.id, "CANCELLED", "Cancelled", NOT_REQUESTED)
            case RecoveryAction.ASK_AGAIN:
                await self._projection.put_back(run.id)
            case RecoveryAction.FOLLOW if known.scheduled is not None:
                self._queue.wake(Kind.SCHEDULED_JOB_DIFFERS, known.scheduled.id)
            case RecoveryAction.START_AGAIN:
                at, name = (row.start_time, row.called) if (row := known.scheduled) is not None else (now, None)
                await self._engine.release(run.id, at, STARTED_AGAIN, name=name)
            case _:
                return


def _behind(now: datetime, tx: Transaction) -> list[tuple[Thing, datetime]]:
    """Return what Prefect has not followed, and when each is due."""
    scheduled = (*tx.lagging(ScheduledJob, BATCH), *tx.to_look_at(now, BATCH))
    return [
        *(((Kind.JOB, job.id), NOW) for job in tx.lagging(Job, BATCH)),
        *(((Kind.JOB_RESULT, result.id), NOW) for result in tx.unreleased(BATCH)),
        *(((Kind.SCHEDULED_JOB, row.id), row.start_time) for row in scheduled),
        *(((Kind.LEFTOVER, leftover.id), NEVER) for leftover in tx.leftovers(BATCH)),
        *(((Kind.SPENT, spent.id), NEVER) for spent in tx.spent(BATCH)),
    ]


def _expiring(now: datetime, tx: Transaction) -> list[UUID]:
    return [row.id for row in tx.undecided(now, BATCH)]


Waiting = list[tuple[ScheduledJob, UUID | None]]
"""Requests, each with the deployment that its run belongs to."""


def _pending(tx: Transaction) -> Waiting:
    """Return every request that waits."""
    base = {job.id: job.deployment_id for job in tx.all(Job)}
    rows = tx.all(ScheduledJob, enabled=True, approval=ApprovalState.PENDING)
    return [(row, base[row.job_id] if row.one_off else row.deployment_id) for row in rows]
