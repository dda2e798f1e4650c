"""Brings Prefect into line with the store, one object at a time: idempotent, repeated until it holds.

* A Job has a base deployment; it is made again when somebody removed it, written again when it differs.
* A one-off that may fire is a run on the base deployment, held until its id is recorded, then released for its time.
* A recurring one has a deployment of its own with one schedule, inactive until its id is recorded, and then active
  while it may fire and no firing before its start is left that Prefect could still make.
* Of the firings that nobody executed in time, the newest is made up for; older ones are recorded as passed over.
* What was deleted here is removed there, also if its id was never recorded: its name is known.

The store's row says how far its projection has come (``projected_version``) and when to look again
(``next_look_at``); nothing is kept in memory.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from functools import partial
from typing import Any
from uuid import UUID

from api_shim.admissions import MISSED_AFTER, ending, firing_of, new_result
from api_shim.mapping import allowed_name, base_deployment, differs, one_off_key, own_deployment, run_spec
from api_shim.model import NEVER, Job, JobResult, Leftover, ScheduledJob, Status, User
from api_shim.ports import Engine, Run
from api_shim.recurrence import active_from, newest_time, next_times
from api_shim.store import Store, Transaction
from approval_gate.admission import SUPERSEDED


class Projection:
    """The only writer to Prefect from outside a run.

    Args:
        store: what is true.
        engine: Prefect.
        clock: tells the time, aware.
    """

    def __init__(self, store: Store, engine: Engine, clock: Callable[[], datetime]) -> None:
        self._store = store
        self._engine = engine
        self._clock = clock
        # Two passes over one object at once would each be right and do the work twice.
        self._one_at_a_time = asyncio.Lock()

    # Jobs

    async def reconcile_job(self, job_id: UUID) -> None:
        """Make a Job's base deployment be as the store says."""
        async with self._one_at_a_time:
            job = await self._store.read(lambda tx: tx.one(Job, id=job_id))
            if job is not None:
                await self._reconcile_job(job)

    async def _reconcile_job(self, job: Job) -> None:
        desired = base_deployment(job)
        await self._engine.prepare(job.queues)
        found = await self._engine.read_deployment(job.deployment_id) if job.deployment_id else None
        deployment_id = job.deployment_id
        if found is None or deployment_id is None:
            deployment_id = await self._engine.create_deployment(desired)
        elif found.flow != desired.flow:
            # The Job was renamed: a deployment cannot move to another flow.
            await self._engine.remove_deployment(deployment_id)
            deployment_id = await self._engine.create_deployment(desired)
        if differs(await self._engine.read_deployment(deployment_id), desired):
            await self._engine.write_deployment(deployment_id, desired)
        await self._note(job, deployment_id=deployment_id, projected_version=job.version)

    # Scheduled jobs

    async def reconcile(self, scheduled_id: UUID) -> None:
        """Make Prefect be as the store says of one scheduled job."""
        async with self._one_at_a_time:
            scheduled = await self._store.read(lambda tx: tx.one(ScheduledJob, id=scheduled_id))
            if scheduled is None:
                return
            job = await self._job_of(scheduled)
            follow = self._one_off if scheduled.one_off else self._recurring
            look_at = await follow(scheduled, job)
            await self._note(scheduled, projected_version=scheduled.version, next_look_at=look_at)

    async def _job_of(self, scheduled: ScheduledJob) -> Job:
        job = await self._job(scheduled.job_id)
        if job.deployment_id is None:
            await self._reconcile_job(job)
            job = await self._job(scheduled.job_id)
        return job

    async def _one_off(self, scheduled: ScheduledJob, job: Job) -> datetime:
        run = await self._run(scheduled.flow_run_id)
        if not scheduled.may_fire:
            if run is not None and run.waits:
                await self._engine.end(run.id, "CANCELLED", "Cancelled", "The scheduled job is disabled.")
            return NEVER
        now = self._clock()
        if run is not None and run.final and scheduled.start_time <= now:
            # It was its turn, and it ended before it could ask.
            await self._store.write(partial(_record_lost, scheduled, job, run, scheduled.start_time, now))
            return NEVER
        if run is None or run.final:
            run = await self._hold(_deployment_of(job), one_off_key(scheduled.id), scheduled, "Being scheduled.")
            await self._note(scheduled, flow_run_id=run.id)
        if run.waits:
            await self._engine.release(run.id, scheduled.start_time, "Scheduled by signoff.")
        return max(scheduled.start_time, now) + MISSED_AFTER

    async def _hold(self, deployment_id: UUID, key: str, scheduled: ScheduledJob, message: str) -> Run:
        """Return a held run; one that was ended under its key is not brought back, but replaced."""
        lost = ""
        while True:
            spec = run_spec(f"{key}{lost}", scheduled, message)
            run_id = await self._engine.hold(deployment_id, spec)
            run = await self._run(run_id)
            if run is not None and not run.final:
                return run
            lost = f"/{run_id}"

    async def _recurring(self, scheduled: ScheduledJob, job: Job) -> datetime:
        now = self._clock()
        desired = own_deployment(scheduled, job, now)
        deployment_id = scheduled.deployment_id
        found = await self._engine.read_deployment(deployment_id) if deployment_id else None
        if found is None or deployment_id is None:
            deployment_id = await self._engine.create_deployment(desired)
            await self._note(scheduled, deployment_id=deployment_id)
            found = await self._engine.read_deployment(deployment_id)
        if differs(found, desired):
            await self._engine.write_deployment(deployment_id, desired)
        if not scheduled.may_fire:
            return NEVER
        if now < (switch_on := active_from(scheduled.recurrence)):
            return switch_on
        return await self._make_up(scheduled, job, deployment_id, now)

    # Missed firings

    async def _make_up(self, scheduled: ScheduledJob, job: Job, deployment_id: UUID, now: datetime) -> datetime:
        """Make up for the newest firing that nobody executed in time; return when to look again."""
        newest = newest_time(scheduled.recurrence, now - MISSED_AFTER)
        upcoming = next_times(scheduled.recurrence, newest or now - MISSED_AFTER, 1)
        look_again = upcoming[0] + MISSED_AFTER if upcoming else NEVER
        if newest is None or newest < scheduled.due_from:
            return look_again
        runs = [run for run in await self._engine.due_runs(deployment_id, newest) if run.by_schedule]
        for run in runs:
            if firing_of(scheduled, run) < newest and run.waits:
                await self._pass_over(scheduled, job, run, now)
        if await self._store.read(lambda tx: _is_taken(tx, scheduled, newest)):
            return look_again
        at_newest = [run for run in runs if firing_of(scheduled, run) == newest]
        if any(not run.final for run in at_newest):
            return now + MISSED_AFTER
        if at_newest:
            await self._store.write(partial(_record_lost, scheduled, job, at_newest[0], newest, now))
        else:
            await self._catch_up(scheduled, job, deployment_id, newest, now)
        return look_again

    async def _pass_over(self, scheduled: ScheduledJob, job: Job, run: Run, now: datetime) -> None:
        # In this order: a run that has ended would not be found here again, and its firing never be recorded.
        await self._store.write(partial(_record_passed_over, scheduled, job, run, now))
        await self._engine.end(run.id, "CANCELLED", "Skipped", SUPERSEDED)

    async def _catch_up(
        self, scheduled: ScheduledJob, job: Job, deployment_id: UUID, firing: datetime, now: datetime
    ) -> None:
        key = f"signoff:{scheduled.id}@{firing.isoformat()}"
        run = await self._hold(deployment_id, key, scheduled, "Makes up for a missed firing.")
        if await self._store.write(partial(_record_catch_up, scheduled, job, run.id, firing, now)):
            await self._start(run.id)

    # Runs that start now

    async def start(self, run_id: UUID) -> None:
        """Release a held run whose job result is recorded."""
        async with self._one_at_a_time:
            await self._start(run_id)

    async def _start(self, run_id: UUID) -> None:
        run = await self._run(run_id)
        # One that a worker has taken already must not be put back: it would be started twice.
        if run is not None and run.held:
            await self._engine.release(run_id, self._clock(), "Requested through signoff.")
        await self._store.write(partial(_mark_released, run_id))

    # What was deleted

    async def clean(self, leftover: Leftover) -> None:
        """Remove from Prefect what a deleted scheduled job has left there."""
        async with self._one_at_a_time:
            job = await self._job(leftover.job_id)
            deployment_id = leftover.deployment_id
            if deployment_id is None:
                deployment_id = await self._engine.find_deployment(allowed_name(job.name), leftover.name)
            if deployment_id is not None:
                await self._engine.remove_deployment(deployment_id)
            run = await self._run(leftover.flow_run_id or await self._engine.find_run(one_off_key(leftover.id)))
            if run is not None and run.waits:
                await self._engine.end(run.id, "CANCELLED", "Cancelled", "The scheduled job was deleted.")
            await self._store.write(lambda tx: tx.remove(leftover))

    async def _run(self, run_id: UUID | None) -> Run | None:
        return None if run_id is None else (await self._engine.runs([run_id])).get(run_id)

    async def _job(self, job_id: UUID) -> Job:
        job = await self._store.read(lambda tx: tx.one(Job, id=job_id))
        if job is None:
            raise LookupError(f"There is no Job {job_id}.")
        return job

    async def _note(self, thing: Any, **to: Any) -> None:
        await self._store.write(lambda tx: tx.change(thing, **to))


def _deployment_of(job: Job) -> UUID:
    if job.deployment_id is None:
        raise LookupError(f"{job.class_path} has no deployment yet.")
    return job.deployment_id


# What is recorded on the way


def _is_taken(tx: Transaction, scheduled: ScheduledJob, firing: datetime) -> bool:
    return tx.exists(JobResult, scheduled_job_id=scheduled.id, nominal_time=firing)


def _is_free(tx: Transaction, scheduled: ScheduledJob, run_id: UUID, firing: datetime) -> bool:
    """Say whether neither the firing nor the run is recorded; until the transaction ends nobody else can."""
    still_there = tx.one(ScheduledJob, id=scheduled.id, lock=True) is not None
    return still_there and not _is_taken(tx, scheduled, firing) and not tx.exists(JobResult, id=run_id)


def _result(
    tx: Transaction, scheduled: ScheduledJob, job: Job, run_id: UUID, firing: datetime, now: datetime
) -> JobResult:
    owner = tx.one(User, id=scheduled.owner_id) if scheduled.owner_id else None
    return new_result(run_id, job, scheduled, firing, owner, now)


def _record_lost(scheduled: ScheduledJob, job: Job, run: Run, firing: datetime, now: datetime, tx: Transaction) -> None:
    if scheduled.one_off:
        tx.change(scheduled, enabled=False)
    if not _is_free(tx, scheduled, run.id, firing):
        return
    result = _result(tx, scheduled, job, run.id, firing, now)
    tx.add(result)
    status = Status.REVOKED if run.state_type == "CANCELLED" else Status.FAILURE
    why = f"The run ended before it was let go: {run.state_name}. {run.message}".strip()
    tx.change(result, **ending(result, status, now), traceback=why)


def _record_passed_over(scheduled: ScheduledJob, job: Job, run: Run, now: datetime, tx: Transaction) -> None:
    firing = firing_of(scheduled, run)
    if not _is_free(tx, scheduled, run.id, firing):
        return
    result = _result(tx, scheduled, job, run.id, firing, now)
    tx.add(result)
    tx.change(result, **ending(result, Status.REVOKED, now), traceback=SUPERSEDED)


def _record_catch_up(
    scheduled: ScheduledJob, job: Job, run_id: UUID, firing: datetime, now: datetime, tx: Transaction
) -> bool:
    """Record the run that makes up for a firing; False if another has it."""
    if not _is_free(tx, scheduled, run_id, firing):
        return False
    result = _result(tx, scheduled, job, run_id, firing, now)
    tx.add(replace(result, inputs=scheduled.inputs, released=False))
    return True


def _mark_released(run_id: UUID, tx: Transaction) -> None:
    result = tx.one(JobResult, id=run_id)
    if result is not None and not result.released:
        tx.change(result, released=True)
