"""Brings Prefect into line with the store, object by object: idempotent, repeated until it holds.

* A Job has a base deployment; it is made again when somebody removed it, written again when it differs.
* A run that starts now, or at its time, is made in that state with one call, under a key that names what is recorded.
* A one-off that may fire is a run on the base deployment.
* A request that waits for a decision is a held run that asks people: of a one-off the very run that will execute, of
  a recurring one a run of its deployment that stands for the request and ends with the decision.
* A recurring one has a deployment of its own with one schedule, inactive until its id is recorded, and then active
  while it may fire and no firing before its start is left that Prefect could still make.
* Of the firings that nobody executed in time, the newest is made up for, and older ones are recorded as passed over,
  unless the schedule says otherwise (``missed.py``).
* What was deleted here is removed there, also if its id was never recorded: its name is known.

Several objects are followed at the same time, each by one pass at once, in whatever server of the same database. What
another server is at is left to it, and found again by the loop should that server not come to an end with it.

The store's row says how far its projection has come (``projected_version``) and when to look again
(``next_look_at``); nothing is kept in memory.

Lets Prefect forget the runs whose results were deleted, and then forgets that itself, once it is safe.

* Done again until it holds, after a deletion and by the loop.
* That a firing was taken is remembered as long as its scheduled job is there.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from datetime import datetime, timedelta
from functools import partial
from typing import Any, TypeVar
from uuid import UUID
from weakref import WeakValueDictionary

from api_shim.domain.accounts import User
from api_shim.domain.model import (
    NEVER,
    UNKNOWN_USER,
    DeletedRun,
    Job,
    JobResult,
    Participant,
    PendingCleanup,
    ScheduledJob,
    Status,
)
from api_shim.domain.ports import ApprovalForm, DeploymentSpec, Orchestrator, Run, RunSpec
from api_shim.domain.recurrence import active_from, newest_time, next_times
from api_shim.reconcile.approval_form import build_approval_form, decided_name, fingerprint
from api_shim.reconcile.desired_state import (
    Pools,
    allowed_name,
    base_deployment,
    ended,
    one_off_key,
    own_deployment,
    placed,
    released,
    result_key,
    result_spec,
    run_spec,
)
from api_shim.reconcile.drift import differs, manual_change, record_reverted
from api_shim.reconcile.firings import (
    MISSED_AFTER,
    TAKEN_AHEAD,
    cancelled,
    firing_of,
    is_taken,
    leave_queue,
    mark_released,
    missed_firings,
    record_catch_up,
    record_lost,
    record_missed,
    record_passed_over,
)
from api_shim.reconcile.missed import (
    ask_about,
    drop_turns,
    end_requests,
    has_requests,
    has_turns,
    next_turn,
    record_not_run,
    why_not_run,
)
from api_shim.reconcile.pools import pools_of
from api_shim.reconcile.recovery import LONGEST_PAUSE, is_lost, pause_after, wanted_since
from api_shim.reconcile.wake_queue import Kind
from api_shim.settings import LIMITS
from api_shim.store import HeldElsewhere, Store, Transaction
from approval_gate.admission import OUTDATED, SUPERSEDED, Misfire
from approval_gate.verdicts import APPROVED, COMPLETED, REPLACED, SKIPPED, verdict_in

T = TypeVar("T")

TURN_AFTER = timedelta(seconds=5)
"""How long after a missed firing began it is looked whether the next one can."""
BEFORE = timedelta(seconds=1)
"""Less than between two firings."""
AHEAD = timedelta(days=3660)
"""Longer than Prefect makes runs ahead of their time."""
LOOKS_ONCE_MORE = timedelta(minutes=2)
"""Longer than Prefect's scheduler takes from reading a schedule to making its runs."""
PATIENCE = 5.0
"""Seconds that somebody who waits for an answer waits for another server that is at the same object."""


class Reconciler:
    """The only writer to Prefect from outside a run.

    Args:
        store: what is true.
        engine: Prefect.
        clock: tells the time, aware.
        catch_up_limit: how many missed firings of one scheduled job may wait to be made up for.
    """

    def __init__(
        self,
        store: Store,
        engine: Orchestrator,
        clock: Callable[[], datetime],
        catch_up_limit: int = LIMITS.catch_up_limit,
    ) -> None:
        self._store = store
        self._engine = engine
        self._clock = clock
        self._catch_up_limit = catch_up_limit
        self._locks: WeakValueDictionary[UUID, asyncio.Lock] = WeakValueDictionary()

    @asynccontextmanager
    async def _one_at_a_time(self, thing_id: UUID, patience: float = PATIENCE) -> AsyncIterator[None]:
        """Hold the lock of an object: two passes over it at once would each be right and do the work twice.

        Who has a scheduled job's may take its Job's and its results', and nobody the other way round.

        Raises:
            HeldElsewhere: another server has had it all the time.
        """
        # In this process first, where a lock of the database is one for all.
        turn = self._locks.setdefault(thing_id, asyncio.Lock())
        async with turn, self._store.locks.held(thing_id, patience):
            yield

    async def follow(self, kind: Kind, thing_id: UUID, patience: float = 0.0) -> None:
        """Make Prefect be as the store says of one thing; nothing if that is gone, or another server is at it.

        Args:
            kind: what it is.
            thing_id: its id.
            patience: how many seconds to wait for another server that is at it.

        Raises:
            Unavailable: Prefect does not answer.
        """
        with suppress(HeldElsewhere):
            match kind:
                case Kind.JOB | Kind.JOB_DIFFERS:
                    await self.reconcile_job(thing_id, patience, look=kind is Kind.JOB_DIFFERS)
                case Kind.SCHEDULED_JOB | Kind.SCHEDULED_JOB_DIFFERS:
                    await self.reconcile(thing_id, patience, look=kind is Kind.SCHEDULED_JOB_DIFFERS)
                case Kind.JOB_RESULT:
                    await self.start(thing_id, patience)
                case Kind.LEFTOVER:
                    await self.clean(thing_id, patience)
                case Kind.SPENT:
                    await self.forget(thing_id)
                case Kind.LOST_RUN:
                    await self.start_again(thing_id, patience)

    # Jobs

    async def reconcile_job(self, job_id: UUID, patience: float = PATIENCE, *, look: bool = True) -> None:
        """Make a Job's base deployment be as the store says; see ``reconcile``."""
        async with self._one_at_a_time(job_id, patience):
            job = await self._store.read(lambda tx: tx.get(Job, id=job_id))
            if job is not None and (look or job.lags):
                await self._reconcile_job(job)

    async def _reconcile_job(self, job: Job) -> None:
        pools = await self._pools()
        desired = base_deployment(job, pools)
        for pool in {pools.get(queue, "") for queue in job.queues}:
            await self._engine.prepare([queue for queue in job.queues if pools.get(queue, "") == pool], pool)
        found = was = await self._engine.read_deployment(job.deployment_id) if job.deployment_id else None
        deployment_id = job.deployment_id
        if found is None or deployment_id is None:
            deployment_id, found = await self._engine.create_deployment(desired)
        elif found.flow != desired.flow:
            # The Job was renamed: a deployment cannot move to another flow.
            await self._engine.remove_deployment(deployment_id)
            deployment_id, found = await self._engine.create_deployment(desired)
        if differs(found, desired):
            await self._engine.write_deployment(deployment_id, found, desired)
        await self._take_back(job, was, desired)
        await self._note(job, deployment_id=deployment_id, projected_version=job.version)

    # Scheduled jobs

    async def reconcile(self, scheduled_id: UUID, patience: float = PATIENCE, *, look: bool = True) -> None:
        """Make Prefect be as the store says of one scheduled job.

        Args:
            scheduled_id: its id.
            patience: how many seconds to wait for another server that is at it.
            look: look at it in Prefect also where it should be as the store says already.

        Raises:
            HeldElsewhere: another server is at it.
            Unavailable: Prefect does not answer.
        """
        async with self._one_at_a_time(scheduled_id, patience):
            scheduled = await self._store.read(lambda tx: tx.get(ScheduledJob, id=scheduled_id))
            if scheduled is None or not (look or scheduled.lags or scheduled.next_look_at <= self._clock()):
                return
            job = await self._ready_job(scheduled.job_id)
            follow = self._one_off if scheduled.one_off else self._recurring
            stands = await follow(scheduled, job)
            if scheduled.one_off and scheduled.deployment_id is not None:
                await self._leave_deployment(scheduled, scheduled.deployment_id)
            await self._note(scheduled, projected_version=scheduled.version, **stands)

    async def _leave_deployment(self, scheduled: ScheduledJob, deployment_id: UUID) -> None:
        """Remove what a scheduled job that runs once now has left in Prefect from when it recurred."""
        await self._end_requests(scheduled.id, scheduled.job_id)
        await self._engine.remove_deployment(deployment_id)
        await self._note(scheduled, deployment_id=None)

    async def _pools(self) -> Pools:
        return await self._store.read(partial(pools_of, own=self._engine.pool))

    async def _placed(self, run: RunSpec, deployment_queue: str) -> RunSpec:
        """Return a run of a deployment, whose own queue is that one, with the work pool of its queue."""
        # On the same queue it is in the same pool, whichever that is.
        return run if run.queue == deployment_queue else placed(run, deployment_queue, await self._pools())

    async def _ready_job(self, job_id: UUID) -> Job:
        """Return a Job that has its deployment, in the work pool where it belongs."""
        job = await self._job(job_id)
        if job.deployment_id is None or job.lags:
            await self.reconcile_job(job_id)
            job = await self._job(job_id)
        return job

    async def _one_off(self, scheduled: ScheduledJob, job: Job) -> Mapping[str, Any]:
        if scheduled.awaits_decision:
            return {"next_look_at": await self._await(scheduled, job, _deployment_of(job), job.default_queue)}
        run = await self._own_run(scheduled, _deployment_of(job))
        if not scheduled.may_fire:
            if run is not None and run.waits:
                await self._end_request(run, "CANCELLED", *ended(scheduled))
            return {"next_look_at": NEVER}
        now = self._clock()
        if run is not None and run.final and scheduled.start_time <= now and not scheduled.run_outdated:
            # It was its turn, and it ended before it could ask.
            if await self.start_again(run.id):
                return {"next_look_at": now + MISSED_AFTER}
            await self._store.write(partial(record_lost, scheduled, job, run, scheduled.start_time, now))
            return {"next_look_at": NEVER}
        if run is None or run.final:
            at = scheduled.start_time
            run = await self._make_run(_deployment_of(job), job.default_queue, scheduled, released(scheduled), at)
        elif run.waits and not _starts_again(run, scheduled.start_time, now):
            await self._engine.release(run.id, scheduled.start_time, released(scheduled), name=scheduled.called)
        return {"flow_run_id": run.id, "next_look_at": max(scheduled.start_time, now) + MISSED_AFTER}

    async def _await(self, scheduled: ScheduledJob, job: Job, deployment_id: UUID, queue: str) -> datetime:
        """Let a held run ask people about a request; return when the question changes by itself."""
        asked = await self._question(scheduled, job)
        run = await self._own_run(scheduled, deployment_id)
        if run is None or run.final:
            run = await self._make_run(deployment_id, queue, scheduled, asked.message)
            # It has not asked yet: until it has, this is not done.
            await self._note(scheduled, flow_run_id=run.id, projected_version=scheduled.version - 1)
        now = self._clock()
        # One that a worker may be taking now dies with that worker if it is stopped; it asks for admission, and is
        # put back then.
        if run.held or _starts_much_later(run, now):
            await self._engine.ask(run.id, asked)
        return scheduled.start_time if scheduled.one_off and scheduled.start_time >= now else NEVER

    async def put_back(self, run_id: UUID) -> None:
        """Let the run of a request, which somebody has let start in Prefect, stand and ask again."""
        found = await self._store.read(lambda tx: tx.get(ScheduledJob, flow_run_id=run_id))
        if found is None:
            return
        async with self._one_at_a_time(found.id):
            scheduled = await self._store.read(lambda tx: tx.get(ScheduledJob, flow_run_id=run_id))
            if scheduled is not None and scheduled.awaits_decision:
                await self._engine.ask(run_id, await self._question(scheduled, await self._job(scheduled.job_id)))

    async def _question(self, scheduled: ScheduledJob, job: Job) -> ApprovalForm:
        """Return what to ask, after having noted how to know it again."""
        requester, owner = await self._store.read(partial(names_of, scheduled))
        asked = build_approval_form(scheduled, job, requester, owner, self._clock())
        if scheduled.question_mark != fingerprint(asked):
            # Until it has been asked this is not done.
            await self._note(scheduled, question_mark=fingerprint(asked), projected_version=scheduled.version - 1)
        return asked

    async def _make_run(
        self, deployment_id: UUID, queue: str, scheduled: ScheduledJob, message: str, at: datetime | None = None
    ) -> Run:
        """Return a new run that starts at that time, or is held; one that has ended is replaced.

        Args:
            deployment_id: the deployment.
            queue: the deployment's own.
            scheduled: what it is the run of.
            message: of its state.
            at: when it starts; it is held if there is no such time.
        """
        if scheduled.flow_run_id is not None or scheduled.run_outdated:
            scheduled = await self._next_run(scheduled)
        while True:
            spec = await self._placed(run_spec(scheduled, message, at), queue)
            if not (run := await self._engine.create_run(deployment_id, spec)).final:
                return run
            scheduled = await self._next_run(scheduled)

    async def _next_run(self, scheduled: ScheduledJob) -> ScheduledJob:
        """Record that the next run takes the place of the last one, which from now on is not let go."""
        number = scheduled.run_number + 1
        to = {"flow_run_id": None, "run_number": number, "run_outdated": False}
        return await self._store.write(partial(_replace_run, scheduled, to, self._clock()))

    async def _recurring(self, scheduled: ScheduledJob, job: Job) -> Mapping[str, Any]:
        now = self._clock()
        if await self._store.read(partial(has_turns, scheduled)):
            await self._store.write(partial(drop_turns, scheduled, now))
        if await self._store.read(partial(has_requests, scheduled)):
            await self._end_requests(scheduled.id, scheduled.job_id)
        pools = await self._pools()
        desired = own_deployment(scheduled, job, now, pools)
        deployment_id = scheduled.deployment_id
        found = was = await self._engine.read_deployment(deployment_id) if deployment_id else None
        if found is None or deployment_id is None:
            deployment_id, found = await self._engine.create_deployment(desired)
            await self._note(scheduled, deployment_id=deployment_id)
        if is_changed := differs(found, desired):
            await self._engine.write_deployment(deployment_id, found, desired)
        await self._take_back(scheduled, was, desired)
        if scheduled.awaits_decision:
            return {"next_look_at": await self._await(scheduled, job, deployment_id, scheduled.queue)}
        await self._close_request(scheduled)
        if not scheduled.may_fire:
            left = await self._remove_upcoming(scheduled, deployment_id, now)
            return {"next_look_at": now + LOOKS_ONCE_MORE if is_changed or left else NEVER}
        if now < (switch_on := active_from(scheduled.recurrence)):
            return {"next_look_at": switch_on}
        return {"next_look_at": await self._make_up(scheduled, job, deployment_id, now)}

    async def _remove_upcoming(self, scheduled: ScheduledJob, deployment_id: UUID, now: datetime) -> int:
        """Remove the runs that Prefect has made ahead for what does not fire any more; return how many there were.

        Prefect removes them with the schedule, but its scheduler may just have read that, and make them afterwards.
        """
        others = await self._store.read(partial(_not_missed, scheduled.id))
        runs = await self._engine.due_runs(deployment_id, now + AHEAD)
        left = [run for run in runs if run.by_schedule and run.waits and run.id not in others]
        for run in left:
            await self._engine.remove_run(run.id)
        return len(left)

    async def _end_requests(self, scheduled_id: UUID, job_id: UUID) -> None:
        """End what asks about firings that a scheduled job does not owe any more."""
        for leftover in await self._store.write(partial(end_requests, scheduled_id, job_id, self._clock())):
            await self.follow(Kind.LEFTOVER, leftover.id)

    async def _take_back(self, thing: Job | ScheduledJob, was: DeploymentSpec | None, desired: DeploymentSpec) -> None:
        """Remember what a hand had changed on a deployment that is now as it should be."""
        if hand := manual_change(thing, was, desired, self._clock()):
            await self._store.write(partial(record_reverted, thing, hand, self._clock()))

    async def _close_request(self, scheduled: ScheduledJob) -> None:
        """End the run that stood for the request of a recurring one."""
        run = await self._run(scheduled.flow_run_id)
        if run is None or run.final:
            return
        if scheduled.run_outdated:
            # It was made when this was to run once.
            await self._end_request(run, "CANCELLED", REPLACED, OUTDATED)
        elif scheduled.may_fire:
            verdict = APPROVED if scheduled.approved_by else COMPLETED
            await self._end_request(run, "COMPLETED", verdict, released(scheduled))
        else:
            await self._end_request(run, "CANCELLED", *ended(scheduled))

    async def _end_request(self, run: Run, state: str, verdict: str, message: str) -> None:
        """End the run of a request, such that its name tells what has become of that."""
        await self._engine.end(run.id, state, verdict, message, called=decided_name(run.name, verdict))

    # Missed firings

    async def _make_up(self, scheduled: ScheduledJob, job: Job, deployment_id: UUID, now: datetime) -> datetime:
        """Make up for the newest firing that nobody executed in time; return when to look again."""
        newest = newest_time(scheduled.recurrence, now - MISSED_AFTER)
        upcoming = next_times(scheduled.recurrence, newest or now - MISSED_AFTER, 1)
        look_again = upcoming[0] + MISSED_AFTER if upcoming else NEVER
        if newest is None or newest < scheduled.due_from:
            return look_again
        others = await self._store.read(partial(_not_missed, scheduled.id))
        due = await self._engine.due_runs(deployment_id, newest)
        runs = [run for run in due if run.by_schedule and run.id not in others]
        if scheduled.misfire is not Misfire.LAST:
            return min(look_again, await self._settle(scheduled, job, newest, runs, now))
        # Of two of which the newer one has executed, the older one is not made up for any more.
        is_late = await self._store.read(lambda tx: any(is_taken(tx, scheduled, each) for each in upcoming))
        before = newest if is_late else newest - BEFORE
        for run in runs:
            if firing_of(scheduled, run) <= before and run.waits:
                await self._pass_over(scheduled, job, run, now)
        going = [firing_of(scheduled, run) for run in runs if run.going and firing_of(scheduled, run) <= before]
        if before > (scheduled.recorded_until or scheduled.due_from):
            await self._store.write(partial(record_missed, scheduled, job, before, going, now))
        if await self._store.read(lambda tx: is_taken(tx, scheduled, newest)):
            return look_again
        at_newest = [run for run in runs if firing_of(scheduled, run) == newest]
        if any(not run.final for run in at_newest):
            return now + MISSED_AFTER
        if at_newest:
            if await self.start_again(at_newest[0].id):
                return now + MISSED_AFTER
            await self._store.write(partial(record_lost, scheduled, job, at_newest[0], newest, now))
        else:
            await self._catch_up(scheduled, job, newest, now)
        return look_again

    async def _pass_over(self, scheduled: ScheduledJob, job: Job, run: Run, now: datetime) -> None:
        # In this order: a run that has ended would not be found here again, and its firing never be recorded.
        await self._store.write(partial(record_passed_over, scheduled, job, run, now))
        await self._engine.end(run.id, "CANCELLED", SKIPPED, SUPERSEDED)

    async def _settle(
        self, scheduled: ScheduledJob, job: Job, newest: datetime, runs: list[Run], now: datetime
    ) -> datetime:
        """Do about all missed firings what the schedule says; return when to look again."""
        again = {run.id for run in runs if firing_of(scheduled, run) == newest and await self._starts_again(run)}
        going = {firing_of(scheduled, run) for run in runs if run.going or run.id in again}
        missed = await self._store.read(partial(missed_firings, scheduled, newest, going))
        for run in runs:
            # What was ended by a hand was not missed.
            by_hand = run.final and run.state_name != SKIPPED and not is_lost(run)
            if by_hand and (firing := firing_of(scheduled, run)) in missed:
                await self._store.write(partial(record_lost, scheduled, job, run, firing, now))
        if missed and scheduled.misfire is Misfire.ASK:
            await self._store.write(partial(ask_about, scheduled, job, newest, going, now))
        if missed or newest > (scheduled.recorded_until or scheduled.due_from):
            limit = self._catch_up_limit
            await self._store.write(partial(record_not_run, scheduled, job, newest, going, limit, now))
        for run in runs:
            if run.waits and run.id not in again:
                await self._engine.end(run.id, "CANCELLED", SKIPPED, why_not_run(scheduled, job))
        turn, more = await self._store.write(partial(next_turn, scheduled))
        if turn is not None:
            await self.start(turn)
        return now + TURN_AFTER if more else now + MISSED_AFTER if going else NEVER

    async def _starts_again(self, run: Run) -> bool:
        """Say whether a firing's run was lost after a worker had taken it, and waits for its next attempt."""
        if run.waits:
            return run.scheduled_for is not None and run.scheduled_for > run.expected_start
        return is_lost(run) and await self.start_again(run.id)

    async def _catch_up(self, scheduled: ScheduledJob, job: Job, firing: datetime, now: datetime) -> None:
        result = await self._store.write(partial(record_catch_up, scheduled, job, firing, now))
        if result is not None:
            await self.start(result.id)

    # Runs that start now

    async def start(self, result_id: UUID, patience: float = PATIENCE) -> None:
        """Let the run of a job result start, after having made it if it is not there yet."""
        async with self._one_at_a_time(result_id, patience):
            result = await self._store.read(lambda tx: tx.get(JobResult, id=result_id))
            if result is None or result.released:
                return
            if result.cancelled_by:
                run_id = await self._cancel(result)
            else:
                run_id = None if result.status.final else await self._start(result)
            await self._store.write(partial(mark_released, result, run_id))

    async def _start(self, result: JobResult) -> UUID:
        now = self._clock()
        if result.flow_run_id is None:
            deployment_id, queue, name = await self._place_of(result)
            spec = await self._placed(result_spec(result, name, now), queue)
            run_id = (await self._engine.create_run(deployment_id, spec)).id
        else:
            run_id = result.flow_run_id
            run = await self._run(run_id)
            # One that a worker has taken already, or may be taking, must not be put back: it would be started twice.
            if run is not None and run.held:
                await self._engine.release(run_id, now, "Requested through signoff.")
            elif result.waits_its_turn and run is not None and _starts_much_later(run, now):
                await self._engine.release(run_id, now, "The run before it is over.")
        return run_id

    async def _cancel(self, result: JobResult) -> UUID | None:
        """End the run of a result, if there is one: at once what waits; what a worker has is ended by that worker."""
        run_id = result.flow_run_id or await self._engine.find_run(result_key(result.id))
        run = await self._run(run_id)
        if run is not None and not run.final:
            state, name = ("CANCELLED", "Cancelled") if run.waits else ("CANCELLING", "Cancelling")
            await self._engine.end(run.id, state, name, cancelled(result))
        return run_id

    async def start_again(self, run_id: UUID, patience: float = PATIENCE) -> bool:
        """Start a run again that has ended by a fault before it was let go; say whether it was to be."""
        async with self._one_at_a_time(run_id, patience):
            now = self._clock()
            run = await self._run(run_id)
            if run is None or not is_lost(run):
                return False
            since = await self._store.read(partial(wanted_since, run, now))
            if since is None:
                return False
            message = f"Started again, because it was never admitted: {run.state_name}. {run.message}".strip()
            await self._engine.restart(run_id, now + pause_after(since, now), message[:1000])
            return True

    async def _place_of(self, result: JobResult) -> tuple[UUID, str, str]:
        """Return the deployment on which the run of a result is made, with its queue, and the run's name."""
        if result.job_id is None:
            raise LookupError(f"The Job of the result {result.id} is gone.")
        job = await self._ready_job(result.job_id)
        by = result.scheduled_job_id
        scheduled = await self._store.read(lambda tx: tx.get(ScheduledJob, id=by)) if by else None
        if scheduled is None or scheduled.deployment_id is None:
            return _deployment_of(job), job.default_queue, result.run_name or result.name
        return scheduled.deployment_id, scheduled.queue, scheduled.name

    # What was deleted

    async def forget(self, spent_id: UUID) -> None:
        """Remove the run of a deleted job result from Prefect."""
        spent = await self._store.read(lambda tx: tx.get(DeletedRun, id=spent_id))
        if spent is None:
            return
        if not spent.run_gone and spent.flow_run_id is not None:
            await self._engine.remove_run(spent.flow_run_id)
        await self._store.write(partial(_record, spent))

    async def clean(self, leftover_id: UUID, patience: float = PATIENCE) -> None:
        """Remove from Prefect what a deleted scheduled job has left there."""
        async with self._one_at_a_time(leftover_id, patience):
            leftover = await self._store.read(lambda tx: tx.get(PendingCleanup, id=leftover_id))
            if leftover is None:
                return
            await self._end_requests(leftover.id, leftover.job_id)
            job = await self._job(leftover.job_id)
            deployment_id = leftover.deployment_id
            if deployment_id is None:
                deployment_id = await self._engine.find_deployment(allowed_name(job.name), leftover.name)
            # First the run that people look at, so that it tells them why.
            key = one_off_key(leftover.id, leftover.run_number)
            run = await self._run(leftover.flow_run_id or await self._engine.find_run(key))
            if run is not None and run.waits:
                await self._end_request(run, "CANCELLED", verdict_in(leftover.message), leftover.message)
            if deployment_id is not None:
                await self._engine.remove_deployment(deployment_id)
            await self._store.write(lambda tx: tx.remove(leftover))

    async def _own_run(self, scheduled: ScheduledJob, deployment_id: UUID) -> Run | None:
        """Return a scheduled job's run, less one that waits and could not start, or not as it should."""
        run = await self._run(scheduled.flow_run_id)
        if run is None or not run.waits:
            return run
        leave = partial(leave_queue, scheduled, self._clock())
        if run.deployment_id != deployment_id and not scheduled.run_outdated:
            # In this order: what waits ends with its run, and the next run would find that it has had its turn.
            await self._store.write(leave)
            await self._engine.end(run.id, "CANCELLED", "Cancelled", "Its deployment was deleted in Prefect.")
            return None
        # One that was approved before it could show its new inputs is let go with them, not with the old ones; and one
        # that was made while its Job was marked as sensitive has them in clear.
        replaced = scheduled.may_fire and (run.held or scheduled.sensitive)
        if scheduled.run_outdated or (replaced and run.parameters != scheduled.parameters):
            await self._store.write(leave)
            await self._end_request(run, "CANCELLED", REPLACED, OUTDATED)
            return None
        return run

    async def _run(self, run_id: UUID | None) -> Run | None:
        return None if run_id is None else (await self._engine.runs([run_id])).get(run_id)

    async def _job(self, job_id: UUID) -> Job:
        job = await self._store.read(lambda tx: tx.get(Job, id=job_id))
        if job is None:
            raise LookupError(f"There is no Job {job_id}.")
        return job

    async def _note(self, thing: T, **to: Any) -> T:
        return await self._store.write(lambda tx: tx.change(thing, **to))


def _deployment_of(job: Job) -> UUID:
    if job.deployment_id is None:
        raise LookupError(f"{job.class_path} has no deployment yet.")
    return job.deployment_id


def _starts_much_later(run: Run, now: datetime) -> bool:
    """Say whether a run waits for so long yet that no worker can be taking it."""
    return run.waits and run.scheduled_for is not None and run.scheduled_for > now + TAKEN_AHEAD


def _replace_run(scheduled: ScheduledJob, to: Mapping[str, Any], now: datetime, tx: Transaction) -> ScheduledJob:
    leave_queue(scheduled, now, tx)
    return tx.change(scheduled, **to)


def _not_missed(scheduled_id: UUID, tx: Transaction) -> set[UUID | None]:
    """Return the runs of a scheduled job that have asked and wait for their turn, or were let go.

    What was let go may be scheduled or held once more, if its code suspends it.
    """
    open_ = tx.all(JobResult, scheduled_job_id=scheduled_id, status=[Status.PENDING, Status.STARTED])
    return {result.flow_run_id for result in open_ if result.waits_its_turn or result.status is Status.STARTED}


def _starts_again(run: Run, due: datetime, now: datetime) -> bool:
    """Say whether a run whose time has come waits for its next attempt, and no longer than that takes."""
    return due <= now and run.scheduled_for is not None and run.scheduled_for <= now + LONGEST_PAUSE


def names_of(scheduled: ScheduledJob, tx: Transaction) -> tuple[str, str]:
    """Return the names of who asked for a scheduled job, at that time, and of its owner; empty if they are gone."""
    found = tx.get(Participant, scheduled_job_id=scheduled.id, user_id=scheduled.requester_id)
    owner = tx.get(User, id=scheduled.owner_id) if scheduled.owner_id else None
    return found.username if found else UNKNOWN_USER, owner.username if owner else ""


def _record(spent: DeletedRun, tx: Transaction) -> None:
    seen = tx.get(DeletedRun, id=spent.id, lock=True)
    if seen is not None and seen.scheduled_job_id is None:
        tx.remove(seen)
    elif seen is not None and not seen.run_gone:
        tx.change(seen, run_gone=True)
