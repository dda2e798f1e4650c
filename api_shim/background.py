"""The loop that makes the projection hold: what a crash, a stopped Prefect or a hand left different is mended here.

Each second:
* what has changed in the store and not yet in Prefect is reconciled; what failed before is tried ever more rarely;
* scheduled jobs whose time has come are looked at again; what was deleted is cleaned up, runs of deleted results too;
* requests that nobody has decided about in their time expire; what has been remembered is announced to Prefect;
* job results that are not final learn from Prefect how their runs stand.

Every half minute all of our deployments and waiting runs in Prefect are compared with the store, and runs that
nobody executes any more are ended or started again. What a hand changed on a deployment, say by switching its schedule
on or off in Prefect's UI, is taken back, and remembered.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from uuid import UUID

from api_shim.domain.model import DeletedRun, Job, PendingCleanup, ScheduledJob
from api_shim.domain.ports import GOING, HELD, DeploymentSpec, Orchestrator, Run
from api_shim.domain.recurrence import Interval
from api_shim.reconcile.approval_form import waiting_name
from api_shim.reconcile.desired_state import base_deployment, own_deployment
from api_shim.reconcile.drift import differs
from api_shim.reconcile.outbox import publish_events
from api_shim.reconcile.reconciler import Reconciler, forget
from api_shim.reconcile.recovery import ABANDONED_AFTER, KnownRun, RecoveryAction, known_runs, recovery_action
from api_shim.reconcile.run_status import RunStatus
from api_shim.services.approval_state import expire
from api_shim.store import Store, Transaction
from approval_gate.lifecycle import ApprovalState

logger = logging.getLogger("signoff")

TICK = 1.0
SWEEP_EVERY = timedelta(seconds=30)
BATCH = 200
LONGEST_PAUSE = timedelta(seconds=60)
GONE = "The process that executed this run has gone."
NOT_REQUESTED = "This run was never recorded: the request for it was not accepted."
STARTED_AGAIN = "Started again: its process had gone before it was let go."


class BackgroundLoop:
    """Repeats the projection until it holds.

    Args:
        store: what is true.
        engine: Prefect.
        projection: brings one object into line.
        run_status: learns how runs stand.
        clock: tells the time, aware.
    """

    def __init__(
        self,
        store: Store,
        engine: Orchestrator,
        projection: Reconciler,
        run_status: RunStatus,
        clock: Callable[[], datetime],
    ) -> None:
        self._store = store
        self._engine = engine
        self._projection = projection
        self._run_status = run_status
        self._clock = clock
        self._began = clock()
        self._swept: datetime | None = None
        self._failed: dict[UUID, tuple[datetime, timedelta]] = {}

    async def run(self) -> None:
        """Tick until cancelled."""
        while True:
            try:
                await self.tick()
            except Exception:
                logger.exception("The reconcile loop failed and goes on.")
            await asyncio.sleep(TICK)

    async def tick(self) -> None:
        """Do once what is due."""
        now = self._clock()
        work = await self._store.read(partial(_work, now))
        for job in work.jobs:
            await self._try(job.id, partial(self._projection.reconcile_job, job.id))
        for scheduled in work.scheduled:
            await self._try(scheduled.id, partial(self._projection.reconcile, scheduled.id))
        for leftover in work.leftovers:
            await self._try(leftover.id, partial(self._projection.clean, leftover))
        for spent in work.spent:
            await self._try(spent.id, partial(forget, self._store, self._engine, spent))
        for scheduled_id in work.undecided:
            await self._store.write(partial(expire, scheduled_id, now))
        await publish_events(self._store, self._engine, now)
        await self._run_status.refresh_all()
        if self._swept is None or now - self._swept >= SWEEP_EVERY:
            self._swept = now
            await self._sweep(now)

    async def _try(self, thing_id: UUID, work: Callable[[], Awaitable[None]]) -> None:
        not_before, pause = self._failed.get(thing_id, (self._clock(), timedelta(0)))
        if self._clock() < not_before:
            return
        try:
            await work()
        except Exception as error:
            pause = min(LONGEST_PAUSE, max(timedelta(seconds=1), pause * 2))
            self._failed[thing_id] = (self._clock() + pause, pause)
            logger.warning("Prefect could not be brought into line for %s: %s", thing_id, error, exc_info=True)
        else:
            self._failed.pop(thing_id, None)

    # What a hand or a crash changed in Prefect

    async def _sweep(self, now: datetime) -> None:
        deployments = await self._engine.deployments()
        for thing_id, again in await self._store.read(partial(self._astray, deployments)):
            await self._try(thing_id, again)
        await self._sweep_one_offs()
        await self._sweep_runs(now)

    def _astray(
        self, found: Mapping[UUID, DeploymentSpec], tx: Transaction
    ) -> list[tuple[UUID, Callable[[], Awaitable[None]]]]:
        """Return what stands differently in Prefect, with the way to mend it."""
        now = self._clock()
        jobs = {job.id: job for job in tx.all(Job)}
        astray: list[tuple[UUID, Callable[[], Awaitable[None]]]] = []
        for job in jobs.values():
            if job.deployment_id and differs(found.get(job.deployment_id), base_deployment(job)):
                astray.append((job.id, partial(self._projection.reconcile_job, job.id)))
        for row in tx.all(ScheduledJob):
            if row.deployment_id and differs(found.get(row.deployment_id), own_deployment(row, jobs[row.job_id], now)):
                astray.append((row.id, partial(self._projection.reconcile, row.id)))
        return astray

    async def _sweep_one_offs(self) -> None:
        rows = await self._store.read(lambda tx: tx.all(ScheduledJob, enabled=True, interval=Interval.FUTURE))
        waiting = {row.flow_run_id: row for row in rows if row.flow_run_id and row.approval.lets_run}
        runs = await self._engine.runs(waiting)
        for run_id, row in waiting.items():
            run = runs.get(run_id)
            if run is None or run.final or (run.waits and run.scheduled_for != row.start_time):
                await self._try(row.id, partial(self._projection.reconcile, row.id))

    async def _sweep_runs(self, now: datetime) -> None:
        runs = await self._engine.runs_in((*GOING, *HELD))
        pending = await self._store.read(_pending)
        await self._sweep_requests({run.id: run for run in runs}, pending)
        asking = {row.flow_run_id for row, _ in pending}
        due = [run for run in runs if run.going or (run.id not in asking and now - run.since > ABANDONED_AFTER)]
        known = await self._store.read(partial(known_runs, due))
        for run in due:
            await self._try(run.id, partial(self._recover, run, known[run.id], now))

    async def _sweep_requests(self, runs: Mapping[UUID, Run], pending: Waiting) -> None:
        """Let every request be asked about: its run may have been ended, deleted, written over, or cut off."""
        for row, deployment_id in pending:
            run = runs.get(row.flow_run_id) if row.flow_run_id else None
            shown = (run.name, run.parameters, run.deployment_id) if run is not None else None
            if run is None or (run.held and shown != (waiting_name(row), row.inputs, deployment_id)):
                await self._try(row.id, partial(self._projection.reconcile, row.id))

    async def _recover(self, run: Run, known: KnownRun, now: datetime) -> None:
        """End a run whose process is gone; start one again that nobody had let go; drop what nobody recorded."""
        match recovery_action(run, known, now, self._began):
            case RecoveryAction.END:
                await self._engine.end(run.id, "CRASHED", "Crashed", GONE)
            case RecoveryAction.CANCEL:
                await self._engine.end(run.id, "CANCELLED", "Cancelled", GONE)
            case RecoveryAction.DROP:
                await self._engine.end(run.id, "CANCELLED", "Cancelled", NOT_REQUESTED)
            case RecoveryAction.ASK_AGAIN:
                await self._projection.put_back(run.id)
            case RecoveryAction.FOLLOW if known.scheduled is not None:
                await self._projection.reconcile(known.scheduled.id)
            case RecoveryAction.START_AGAIN:
                at, name = (row.start_time, row.name) if (row := known.scheduled) is not None else (now, None)
                await self._engine.release(run.id, at, STARTED_AGAIN, name=name)
            case _:
                return


@dataclass(frozen=True, kw_only=True, slots=True)
class _Work:
    """What is due."""

    jobs: list[Job]
    scheduled: list[ScheduledJob]
    leftovers: list[PendingCleanup]
    spent: list[DeletedRun]
    undecided: list[UUID]


def _work(now: datetime, tx: Transaction) -> _Work:
    due = {row.id: row for row in (*tx.lagging(ScheduledJob, BATCH), *tx.to_look_at(now, BATCH))}
    return _Work(
        jobs=tx.lagging(Job, BATCH),
        scheduled=list(due.values()),
        leftovers=tx.leftovers(BATCH),
        spent=tx.spent(BATCH),
        undecided=[row.id for row in tx.undecided(now, BATCH)],
    )


Waiting = list[tuple[ScheduledJob, UUID | None]]
"""Requests, each with the deployment that its run belongs to."""


def _pending(tx: Transaction) -> Waiting:
    """Return every request that waits."""
    base = {job.id: job.deployment_id for job in tx.all(Job)}
    rows = tx.all(ScheduledJob, enabled=True, approval=ApprovalState.PENDING)
    return [(row, base[row.job_id] if row.one_off else row.deployment_id) for row in rows]
