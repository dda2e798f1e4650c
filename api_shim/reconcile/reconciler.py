"""Brings Prefect into line with the store, one object at a time: idempotent, repeated until it holds.

* A Job has a base deployment; it is made again when somebody removed it, written again when it differs.
* A one-off that may fire is a run on the base deployment, held until its id is recorded, then released for its time.
* A request that waits for a decision is a held run that asks people: of a one-off the very run that will execute, of
  a recurring one a run of its deployment that stands for the request and ends with the decision.
* A recurring one has a deployment of its own with one schedule, inactive until its id is recorded, and then active
  while it may fire and no firing before its start is left that Prefect could still make.
* Of the firings that nobody executed in time, the newest is made up for; older ones are recorded as passed over.
* What was deleted here is removed there, also if its id was never recorded: its name is known.

The store's row says how far its projection has come (``projected_version``) and when to look again
(``next_look_at``); nothing is kept in memory.

Lets Prefect forget the runs whose results were deleted, and then forgets that itself, once it is safe.

* Done again until it holds, after a deletion and by the loop.
* That a firing was taken is remembered as long as its scheduled job is there.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import datetime
from functools import partial
from typing import Any
from uuid import UUID

from api_shim.domain.model import NEVER, UNKNOWN_USER, DeletedRun, Job, Participant, PendingCleanup, ScheduledJob
from api_shim.domain.ports import ApprovalForm, DeploymentSpec, Orchestrator, Run
from api_shim.domain.recurrence import active_from, newest_time, next_times
from api_shim.reconcile.approval_form import build_approval_form, fingerprint
from api_shim.reconcile.desired_state import (
    allowed_name,
    base_deployment,
    ended,
    one_off_key,
    own_deployment,
    released,
    run_spec,
)
from api_shim.reconcile.drift import differs, manual_change, record_reverted
from api_shim.reconcile.firings import (
    MISSED_AFTER,
    TAKEN_AHEAD,
    firing_of,
    is_taken,
    mark_released,
    record_catch_up,
    record_lost,
    record_passed_over,
)
from api_shim.store import Store, Transaction
from approval_gate.admission import OUTDATED, SUPERSEDED


class Reconciler:
    """The only writer to Prefect from outside a run.

    Args:
        store: what is true.
        engine: Prefect.
        clock: tells the time, aware.
    """

    def __init__(self, store: Store, engine: Orchestrator, clock: Callable[[], datetime]) -> None:
        self._store = store
        self._engine = engine
        self._clock = clock
        # Two passes over one object at once would each be right and do the work twice.
        self._one_at_a_time = asyncio.Lock()

    # Jobs

    async def reconcile_job(self, job_id: UUID) -> None:
        """Make a Job's base deployment be as the store says."""
        async with self._one_at_a_time:
            job = await self._store.read(lambda tx: tx.get(Job, id=job_id))
            if job is not None:
                await self._reconcile_job(job)

    async def _reconcile_job(self, job: Job) -> None:
        desired = base_deployment(job)
        await self._engine.prepare(job.queues)
        found = was = await self._engine.read_deployment(job.deployment_id) if job.deployment_id else None
        deployment_id = job.deployment_id
        if found is None or deployment_id is None:
            deployment_id = await self._engine.create_deployment(desired)
        elif found.flow != desired.flow:
            # The Job was renamed: a deployment cannot move to another flow.
            await self._engine.remove_deployment(deployment_id)
            deployment_id = await self._engine.create_deployment(desired)
        if differs(await self._engine.read_deployment(deployment_id), desired):
            await self._engine.write_deployment(deployment_id, desired)
        await self._take_back(job, was, desired)
        await self._note(job, deployment_id=deployment_id, projected_version=job.version)

    # Scheduled jobs

    async def reconcile(self, scheduled_id: UUID) -> None:
        """Make Prefect be as the store says of one scheduled job."""
        async with self._one_at_a_time:
            scheduled = await self._store.read(lambda tx: tx.get(ScheduledJob, id=scheduled_id))
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
        if scheduled.awaits_decision:
            return await self._await(scheduled, job, _deployment_of(job))
        run = await self._own_run(scheduled, _deployment_of(job))
        if not scheduled.may_fire:
            if run is not None and run.waits:
                await self._engine.end(run.id, "CANCELLED", *ended(scheduled))
            return NEVER
        now = self._clock()
        if run is not None and run.final and scheduled.start_time <= now and not scheduled.run_outdated:
            # It was its turn, and it ended before it could ask.
            await self._store.write(partial(record_lost, scheduled, job, run, scheduled.start_time, now))
            return NEVER
        if run is None or run.final:
            run = await self._hold(_deployment_of(job), one_off_key(scheduled.id), scheduled, "Being scheduled.")
            await self._note(scheduled, flow_run_id=run.id, run_outdated=False)
        if run.waits:
            await self._engine.release(run.id, scheduled.start_time, released(scheduled), name=scheduled.name)
        return max(scheduled.start_time, now) + MISSED_AFTER

    async def _await(self, scheduled: ScheduledJob, job: Job, deployment_id: UUID) -> datetime:
        """Let a held run ask people about a request; return when the question changes by itself."""
        asked = await self._question(scheduled, job)
        run = await self._own_run(scheduled, deployment_id)
        if run is None or run.final:
            run = await self._hold(deployment_id, one_off_key(scheduled.id), scheduled, asked.message)
            # It has not asked yet: until it has, this is not done.
            await self._note(scheduled, flow_run_id=run.id, run_outdated=False, projected_version=scheduled.version - 1)
        now = self._clock()
        # One that a worker may be taking now dies with that worker if it is stopped; it asks for admission, and is
        # put back then.
        if run.held or (run.scheduled_for is not None and run.scheduled_for > now + TAKEN_AHEAD):
            await self._engine.ask(run.id, asked)
        return scheduled.start_time if scheduled.one_off and scheduled.start_time >= now else NEVER

    async def put_back(self, run_id: UUID) -> None:
        """Let the run of a request, which somebody has let start in Prefect, stand and ask again."""
        async with self._one_at_a_time:
            scheduled = await self._store.read(lambda tx: tx.get(ScheduledJob, flow_run_id=run_id))
            if scheduled is not None and scheduled.awaits_decision:
                await self._engine.ask(run_id, await self._question(scheduled, await self._job(scheduled.job_id)))

    async def _question(self, scheduled: ScheduledJob, job: Job) -> ApprovalForm:
        """Return what to ask, after having noted how to know it again."""
        requester = await self._store.read(partial(requester_name, scheduled))
        asked = build_approval_form(scheduled, job, requester, self._clock())
        if scheduled.question_mark != fingerprint(asked):
            # Until it has been asked this is not done.
            await self._note(scheduled, question_mark=fingerprint(asked), projected_version=scheduled.version - 1)
        return asked

    async def _hold(self, deployment_id: UUID, key: str, scheduled: ScheduledJob, message: str) -> Run:
        """Return a held run; one that was ended under its key is not brought back, but replaced."""
        lost = ""
        while True:
            spec = run_spec(f"{key}{lost}", scheduled, message, awaits=scheduled.awaits_decision)
            run_id = await self._engine.hold(deployment_id, spec)
            run = await self._run(run_id)
            if run is not None and not run.final:
                return run
            lost = f"/{run_id}"

    async def _recurring(self, scheduled: ScheduledJob, job: Job) -> datetime:
        now = self._clock()
        desired = own_deployment(scheduled, job, now)
        deployment_id = scheduled.deployment_id
        found = was = await self._engine.read_deployment(deployment_id) if deployment_id else None
        if found is None or deployment_id is None:
            deployment_id = await self._engine.create_deployment(desired)
            await self._note(scheduled, deployment_id=deployment_id)
            found = await self._engine.read_deployment(deployment_id)
        if differs(found, desired):
            await self._engine.write_deployment(deployment_id, desired)
        await self._take_back(scheduled, was, desired)
        if scheduled.awaits_decision:
            return await self._await(scheduled, job, deployment_id)
        await self._close_request(scheduled)
        if not scheduled.may_fire:
            return NEVER
        if now < (switch_on := active_from(scheduled.recurrence)):
            return switch_on
        return await self._make_up(scheduled, job, deployment_id, now)

    async def _take_back(self, thing: Job | ScheduledJob, was: DeploymentSpec | None, desired: DeploymentSpec) -> None:
        """Remember what a hand had changed on a deployment that is now as it should be."""
        if hand := manual_change(thing, was, desired, self._clock()):
            await self._store.write(partial(record_reverted, thing, hand, self._clock()))

    async def _close_request(self, scheduled: ScheduledJob) -> None:
        """End the run that stood for the request of a recurring one."""
        run = await self._run(scheduled.flow_run_id)
        if run is None or run.final:
            return
        if scheduled.may_fire:
            await self._engine.end(run.id, "COMPLETED", "Approved", released(scheduled))
        else:
            await self._engine.end(run.id, "CANCELLED", *ended(scheduled))

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
        if await self._store.read(lambda tx: is_taken(tx, scheduled, newest)):
            return look_again
        at_newest = [run for run in runs if firing_of(scheduled, run) == newest]
        if any(not run.final for run in at_newest):
            return now + MISSED_AFTER
        if at_newest:
            await self._store.write(partial(record_lost, scheduled, job, at_newest[0], newest, now))
        else:
            await self._catch_up(scheduled, job, deployment_id, newest, now)
        return look_again

    async def _pass_over(self, scheduled: ScheduledJob, job: Job, run: Run, now: datetime) -> None:
        # In this order: a run that has ended would not be found here again, and its firing never be recorded.
        await self._store.write(partial(record_passed_over, scheduled, job, run, now))
        await self._engine.end(run.id, "CANCELLED", "Skipped", SUPERSEDED)

    async def _catch_up(
        self, scheduled: ScheduledJob, job: Job, deployment_id: UUID, firing: datetime, now: datetime
    ) -> None:
        key = f"signoff:{scheduled.id}@{firing.isoformat()}"
        run = await self._hold(deployment_id, key, scheduled, "Makes up for a missed firing.")
        if await self._store.write(partial(record_catch_up, scheduled, job, run.id, firing, now)):
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
        await self._store.write(partial(mark_released, run_id))

    # What was deleted

    async def clean(self, leftover: PendingCleanup) -> None:
        """Remove from Prefect what a deleted scheduled job has left there."""
        async with self._one_at_a_time:
            job = await self._job(leftover.job_id)
            deployment_id = leftover.deployment_id
            if deployment_id is None:
                deployment_id = await self._engine.find_deployment(allowed_name(job.name), leftover.name)
            # First the run that people look at, so that it tells them why.
            run = await self._run(leftover.flow_run_id or await self._engine.find_run(one_off_key(leftover.id)))
            if run is not None and run.waits:
                await self._engine.end(run.id, "CANCELLED", "Cancelled", leftover.message)
            if deployment_id is not None:
                await self._engine.remove_deployment(deployment_id)
            await self._store.write(lambda tx: tx.remove(leftover))

    async def _own_run(self, scheduled: ScheduledJob, deployment_id: UUID) -> Run | None:
        """Return a scheduled job's run, less one that waits and could not start, or not as it should."""
        run = await self._run(scheduled.flow_run_id)
        if run is None or not run.waits:
            return run
        if run.deployment_id != deployment_id:
            await self._engine.end(run.id, "CANCELLED", "Cancelled", "Its deployment was deleted in Prefect.")
            return None
        # One that was approved before it could show its new inputs is let go with them, not with the old ones.
        if scheduled.run_outdated or (run.held and scheduled.may_fire and run.parameters != scheduled.inputs):
            await self._engine.end(run.id, "CANCELLED", "Replaced", OUTDATED)
            return None
        return run

    async def _run(self, run_id: UUID | None) -> Run | None:
        return None if run_id is None else (await self._engine.runs([run_id])).get(run_id)

    async def _job(self, job_id: UUID) -> Job:
        job = await self._store.read(lambda tx: tx.get(Job, id=job_id))
        if job is None:
            raise LookupError(f"There is no Job {job_id}.")
        return job

    async def _note(self, thing: Any, **to: Any) -> None:
        await self._store.write(lambda tx: tx.change(thing, **to))


def _deployment_of(job: Job) -> UUID:
    if job.deployment_id is None:
        raise LookupError(f"{job.class_path} has no deployment yet.")
    return job.deployment_id


def requester_name(scheduled: ScheduledJob, tx: Transaction) -> str:
    """Return the name, at that time, of the person who asked for a scheduled job."""
    found = tx.get(Participant, scheduled_job_id=scheduled.id, user_id=scheduled.requester_id)
    return found.username if found is not None else UNKNOWN_USER


async def forget(store: Store, engine: Orchestrator, spent: DeletedRun) -> None:
    """Remove a run from Prefect, and record that.

    Raises:
        Unavailable: Prefect does not answer.
    """
    if not spent.run_gone:
        await engine.remove_run(spent.id)
    await store.write(partial(_record, spent))


def _record(spent: DeletedRun, tx: Transaction) -> None:
    seen = tx.get(DeletedRun, id=spent.id, lock=True)
    if seen is not None and seen.scheduled_job_id is None:
        tx.remove(seen)
    elif seen is not None and not seen.run_gone:
        tx.change(seen, run_gone=True)
