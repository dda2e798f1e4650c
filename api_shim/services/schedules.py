"""The use cases around running: request a run, now or by schedule; delete what is scheduled.

* A request is refused whole or accepted whole. It is checked in this order: who asks, the Job, the schedule, the
  queue, the data, and last whether anybody would run it.
* A Job with sensitive variables runs immediately or not at all; one that also needs approval cannot run.
* A Job that needs approval gets a scheduled job that waits, also for ``immediately``; a dry run needs none. What an
  agent requests needs approval more often (``agents``).
* Of one person only so many requests wait at the same time, whoever they are; of an agent fewer.
* The files of a request are kept with what it has become, in the same transaction.
* A schedule is durable before it is answered, and follows in Prefect. Who asked for it is its first owner.
* What a run or an automation requests (``run_origins``) names that, and is approved by nobody who had a hand in it.
* What is deleted leaves a note of what it may have left in Prefect, in the same transaction.

Before a run, it tells what somebody can ask of a Job, and every fault of what they ask:

* People who may see the Job are told why they cannot run it, in the words with which their request would be refused.
* A request that is refused names its first fault; here all of them are found, for a form that shows each in its place.

Contract 1, 4, 5, 9.12 and 9.14.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from typing import Any
from uuid import UUID, uuid4

import anyio
import anyio.to_thread

from api_shim.domain.approval import end_of, is_dry_run, needs_approval, unasked
from api_shim.domain.audit import EventType, scheduled_job_event, snapshot
from api_shim.domain.model import (
    NEVER,
    AskingAgent,
    Job,
    JobResult,
    Participant,
    PendingCleanup,
    RequestKey,
    ScheduledJob,
)
from api_shim.domain.recurrence import Interval
from api_shim.metrics import REQUESTS, counting_refused_requests, decided
from api_shim.parsing.run_request import (
    NAME_TAKEN,
    NO_LABELS,
    RunLabels,
    RunRequest,
    Schedule,
    default_name,
    read_queue,
    read_schedule,
)
from api_shim.reconcile.approval_requests import ask, settle
from api_shim.reconcile.desired_state import leftover_of
from api_shim.reconcile.missed import drop_all_turns
from api_shim.reconcile.wake_queue import Kind, Wake
from api_shim.services.agents import asking_agent, check_person
from api_shim.services.authorization import check_still_active, get_authorized, versions_of
from api_shim.services.jobs import JobCode
from api_shim.services.request_keys import keep, request_key, requested_before
from api_shim.services.run_origins import add_hands, origin_of
from api_shim.services.runs import AskedAs, Runs
from api_shim.settings import LIMITS, Limits
from api_shim.store import Duplicate, Store, Transaction
from approval_gate import policy
from approval_gate.errors import Conflict, GateError, Invalid, Outdated
from approval_gate.lifecycle import ApprovalState
from approval_gate.model import Action, Actor, ObjectType
from flows.files import GivenFile

KIND = ObjectType.SCHEDULED_JOB
CODE_THREADS = 16
"""In how many threads code of Jobs' authors is asked, as the sources of objects: one that hangs takes none of those in
which everything else works."""
SENSITIVE = "Unable to schedule job: Job may have sensitive input variables"
SENSITIVE_AND_APPROVAL = (
    "Unable to run or schedule job: This job is flagged as possibly having sensitive variables but is also flagged "
    "as requiring approval. One of these two flags must be removed before this job can be scheduled or run."
)

SENSITIVE_FROM_AGENTS = (
    "Unable to run or schedule job: what an agent requests has to be approved, and this job is flagged as possibly "
    "having sensitive variables, which nobody is shown."
)

TOO_MANY_WAIT = (
    "{waiting} of your requests are waiting for approval, and no more are allowed: have some of them decided, or "
    "delete those that you do not need."
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Accepted:
    """What became of a request: exactly one of the two."""

    scheduled_job: ScheduledJob | None = None
    job_result: JobResult | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class _Plan:
    """A request that has been found sound."""

    job: Job
    schedule: Schedule
    queue: str
    inputs: Mapping[str, Any]
    files: Collection[GivenFile]
    waits: bool
    labels: RunLabels
    agent: AskingAgent | None
    reason: str

    @property
    def runs_now(self) -> bool:
        return self.schedule.interval is Interval.IMMEDIATELY and not self.waits

    @property
    def outcome(self) -> str:
        """What becomes of it, as the metrics have it."""
        return "started" if self.runs_now else "held" if self.waits else "scheduled"


class Schedules:
    """Requests and deletions.

    Args:
        store: what is true.
        runs: starts those that begin now.
        wake: lets Prefect follow.
        code: the Jobs' code, which knows their variables.
        clock: tells the time, aware.
        zone: IANA name of the server's time zone.
        limits: how many requests of one person may wait for their approval at the same time.
    """

    def __init__(
        self,
        *,
        store: Store,
        runs: Runs,
        wake: Wake,
        code: JobCode,
        clock: Callable[[], datetime],
        zone: str,
        limits: Limits = LIMITS,
    ) -> None:
        self._store = store
        self._runs = runs
        self._wake = wake
        self._code = code
        self._clock = clock
        self.zone = zone
        self.limits = limits
        self._threads = anyio.CapacityLimiter(CODE_THREADS)

    def parts(self, job: Job, request: RunRequest, now: datetime) -> tuple[Callable[[], Any], ...]:
        """Return what reads the parts of a request: its schedule, its queue and its data; ``Invalid`` for a fault."""
        return (
            partial(_read_when, job, request.schedule, now, self.zone),
            partial(read_queue, job, request.task_queue, request.job_queue),
            partial(self._code.validate, job, request.data),
        )

    async def check_data(self, job: Job, data: object) -> None:
        """Check the data of a request, and nothing else of it.

        Raises:
            Invalid: the data is invalid; in the contract's structure.
            NotRunnable: the Job's code cannot be loaded.
        """
        await anyio.to_thread.run_sync(self._code.validate, job, data, limiter=self._threads)

    async def objects(self, job: Job, variable: str) -> list[tuple[str, str]]:
        """Return the key and the title of each object that a variable of a Job offers.

        Raises:
            NotFound: the Job has no such variable.
            NotRunnable: the Job's code cannot be loaded.
            Unavailable: their source cannot be read.
        """
        return await anyio.to_thread.run_sync(self._code.objects, job, variable, limiter=self._threads)

    async def request(
        self,
        actor: Actor,
        job_ref: str | UUID,
        request: RunRequest,
        key: str | None = None,
        labels: RunLabels = NO_LABELS,
        sent: object = None,
    ) -> Accepted:
        """Run a Job, or schedule it.

        Args:
            actor: who asks, and whom it will run as.
            job_ref: the Job's id or name.
            request: what to run, and when.
            key: makes asking again within a day, not knowing whether it was heard, be the same request.
            labels: what its run is called in Prefect; a scheduled job is called like it too, if no other one is.
            sent: what is the same when it is asked again with its key, as JSON; None for the whole request.

        Returns:
            the job result of a run that starts now, or else the scheduled job.

        Raises:
            Forbidden: they may not run it, or nobody may because it is not enabled; or they ask by a run, which may not
                request it, or not any more.
            NotFound: there is no such Job, or none that they may know of.
            NotRunnable: its code is not installed, or only events start it.
            Invalid: a fault in the schedule, the queue or the data, in the contract's shape.
            Conflict: the key was used for another request, or too many of theirs wait for their approval.
            Unavailable: no worker serves the queue.
        """
        with counting_refused_requests():
            return await self._request(actor, job_ref, request, key, labels, sent)

    async def _request(
        self,
        actor: Actor,
        job_ref: str | UUID,
        request: RunRequest,
        key: str | None,
        labels: RunLabels,
        sent: object,
    ) -> Accepted:
        now = self._clock()
        job, agent = await self._store.read(partial(requestable, actor, job_ref, self.limits))
        whole = [str(job.id), request.told if sent is None else sent]
        asked = None if key is None else request_key(actor.id, key, whole, now, self._store.fingerprint)
        if asked is not None and (before := await self._before(asked)):
            return before
        # Off the event loop: a large request is long to check, and the first one of a Job imports its module.
        plan = await anyio.to_thread.run_sync(self._plan, job, request, now, labels, agent, limiter=self._threads)
        self._runs.check_served(plan.queue)
        try:
            accepted = await self._accept(actor, plan, asked, now)
        except Duplicate as error:
            # The same request may have been heard a moment ago.
            if asked is not None and (before := await self._before(asked)):
                return before
            raise Invalid({"schedule": {"name": [NAME_TAKEN]}}) from error
        REQUESTS.labels(plan.outcome).inc()
        return accepted

    async def _before(self, asked: RequestKey) -> Accepted | None:
        """Return what the same request has become before, if it was made."""
        became = await self._store.read(lambda tx: requested_before(tx, asked))
        if became is None:
            return None
        return Accepted(job_result=became) if isinstance(became, JobResult) else Accepted(scheduled_job=became)

    async def _accept(self, actor: Actor, plan: _Plan, asked: RequestKey | None, now: datetime) -> Accepted:
        if not plan.runs_now:
            return Accepted(scheduled_job=await self._schedule(actor, plan, asked, now))

        def also(tx: Transaction, result: JobResult) -> None:
            tx.keep_files(plan.files, result.id, now)
            if asked is not None:
                keep(tx, replace(asked, job_result_id=result.id))

        asked_as = AskedAs(labels=plan.labels, agent=plan.agent, reason=plan.reason)
        started = self._runs.start(actor, plan.job, plan.inputs, plan.queue, now, also=also, asked_as=asked_as)
        return Accepted(job_result=await started)

    def _plan(
        self, job: Job, request: RunRequest, now: datetime, labels: RunLabels, agent: AskingAgent | None
    ) -> _Plan:
        if refusal := why_never(job):
            raise Invalid([refusal])
        when, queue, inputs = (read() for read in self.parts(job, request, now))
        waits = needs_approval(job, inputs, agent)
        if waits and (refusal := why_not_asked(job)):
            raise Invalid([refusal])
        files = [each for each in dict(request.data).values() if isinstance(each, GivenFile)]
        return _Plan(
            job=job,
            schedule=when,
            queue=queue,
            inputs=inputs,
            files=files,
            waits=waits,
            labels=labels,
            agent=agent,
            reason=request.reason,
        )

    async def _schedule(self, actor: Actor, plan: _Plan, asked: RequestKey | None, now: datetime) -> ScheduledJob:
        immediately = plan.schedule.interval is Interval.IMMEDIATELY
        scheduled = ScheduledJob(
            id=uuid4(),
            name=plan.schedule.name or default_name(plan.job, now),
            job_id=plan.job.id,
            owner_id=actor.id,
            requester_id=actor.id,
            interval=Interval.FUTURE if immediately else plan.schedule.interval,
            immediate=immediately,
            start_time=plan.schedule.start_time,
            time_zone=plan.schedule.time_zone,
            crontab=plan.schedule.crontab,
            misfire=plan.schedule.misfire,
            inputs=plan.inputs,
            queue=plan.queue,
            description=_described(plan, actor),
            approval=ApprovalState.PENDING if plan.waits else ApprovalState.NOT_REQUIRED,
            expires_at=end_of(plan.job, plan.agent, now) if plan.waits else None,
            created=now,
            date_changed=now,
            due_from=now,
            approval_off=None if plan.waits else unasked(plan.job, plan.inputs),
            run_name=plan.labels.name,
            run_tags=plan.labels.tags,
            agent=plan.agent,
            reason=plan.reason,
        )
        limits, dry = self.limits, is_dry_run(plan.job, plan.inputs)
        limit = limits.waiting_requests if plan.agent is None else limits.agent_waiting_requests
        add = partial(_add, actor, scheduled, plan.files, asked, now, limit, for_dry_run=dry)
        scheduled = await self._store.write(add)
        self._wake(Kind.SCHEDULED_JOB, scheduled.id, scheduled.start_time)
        return scheduled

    async def delete(self, actor: Actor, scheduled_id: UUID, seen: str | None = None) -> None:
        """Delete a scheduled job; what it has run stays recorded.

        Args:
            actor: who deletes it.
            scheduled_id: its id.
            seen: the version that they have seen; None for whatever it is.

        Raises:
            Forbidden: they may delete none, or not this one.
            NotFound: there is no such one, or none that they may know of.
            Outdated: it is not what they have seen.
        """
        leftover = await self._store.write(partial(_delete, actor, scheduled_id, seen, self._clock()))
        self._wake(Kind.LEFTOVER, leftover.id, NEVER)

    async def delete_all(self, actor: Actor, ids: list[UUID], seen: Collection[tuple[UUID, str]] = ()) -> None:
        """Delete those of these that exist and that they may delete, in one transaction; pass over the others.

        Args:
            actor: who deletes them.
            ids: their ids.
            seen: the versions that they have seen, with the ids; those that are not among them are deleted as they are.

        Raises:
            Forbidden: they may delete none at all.
            Outdated: some are not what they have seen, by id; none is deleted.
        """
        for leftover in await self._store.write(partial(_delete_all, actor, ids, seen, self._clock())):
            self._wake(Kind.LEFTOVER, leftover.id, NEVER)


def requestable(actor: Actor, job_ref: str | UUID, limits: Limits, tx: Transaction) -> tuple[Job, AskingAgent | None]:
    """Return a Job that the actor may run now, and for whom they ask if they are an agent.

    Args:
        actor: who asks.
        job_ref: the id or the name of the Job.
        limits: what holds for agents.
        tx: the transaction.

    Raises:
        Forbidden: they may not run it, nor the person for whom they ask, or nobody may.
        NotFound: there is no such Job, or none that they may know of.
        NotRunnable: its code is not installed, or only events start it.
    """
    by = {"id": job_ref} if isinstance(job_ref, UUID) else {"name": job_ref}
    job: Job = get_authorized(tx, actor, Action.RUN, ObjectType.JOB, **by)
    thing = tx.attributes(ObjectType.JOB, job.id) if actor.agent else {}
    person = check_person(tx, actor, thing)
    policy.enforce(policy.runnable(job.runnable), ObjectType.JOB)
    return job, asking_agent(person, limits, thing)


def why_never(job: Job) -> str:
    """Return why a Job can neither run nor be scheduled, whoever asks; empty if it can."""
    return SENSITIVE_AND_APPROVAL if job.has_sensitive_variables and job.approval_required else ""


def why_not_asked(job: Job) -> str:
    """Return why nobody can be asked about runs of a Job; empty if some can."""
    return SENSITIVE_FROM_AGENTS if job.has_sensitive_variables else ""


def why_only_now(job: Job) -> str:
    """Return why a Job can only run immediately; empty if it can be scheduled."""
    return SENSITIVE if job.has_sensitive_variables else ""


def _read_when(job: Job, raw: object, now: datetime, zone: str) -> Schedule:
    schedule = {"interval": "immediately"} if raw is None else raw
    interval = schedule.get("interval") if isinstance(schedule, Mapping) else None
    if interval != Interval.IMMEDIATELY and (refusal := why_only_now(job)):
        raise Invalid({"schedule": {"interval": [refusal]}})
    return read_schedule(schedule, now, zone)


def _described(plan: _Plan, actor: Actor) -> str:
    """Return what was requested, for people: it stays as it is when that is changed."""
    immediately = plan.schedule.interval is Interval.IMMEDIATELY
    when = "immediately" if immediately else f"from {plan.schedule.start_time:%Y-%m-%d %H:%M} UTC"
    return f"{plan.job.name}, requested by {actor.username} to run {when}."


def _add(
    actor: Actor,
    scheduled: ScheduledJob,
    files: Collection[GivenFile],
    asked: RequestKey | None,
    now: datetime,
    waiting_limit: int,
    tx: Transaction,
    *,
    for_dry_run: bool,
) -> ScheduledJob:
    origin = origin_of(tx, actor, for_dry_run=for_dry_run)
    if scheduled.run_name and not tx.exists(ScheduledJob, name=scheduled.run_name):
        scheduled = replace(scheduled, name=scheduled.run_name, run_name="")
    # Its mark as it is now: whoever changes that afterwards finds what is added here.
    job = tx.get(Job, id=scheduled.job_id, lock=True)
    check_still_active(tx, actor)
    if job is not None and (refusal := why_only_now(job)):
        raise Invalid({"schedule": {"interval": [refusal]}})
    if scheduled.awaits_decision:
        _check_few_wait(tx, actor, waiting_limit)
    if origin is not None:
        scheduled = origin.named_by(scheduled)
    if asked is not None:
        keep(tx, replace(asked, scheduled_job_id=scheduled.id))
    tx.add(scheduled)
    tx.keep_files(files, scheduled.id, now)
    tx.add(Participant(scheduled_job_id=scheduled.id, user_id=actor.id, username=actor.username))
    add_hands(tx, scheduled, origin)
    if scheduled.awaits_decision and job is not None:
        ask(tx, scheduled, job, now)
    act = EventType.REQUESTED if scheduled.awaits_decision else EventType.SCHEDULED
    tx.record(scheduled_job_event(scheduled, act, now, actor))
    return scheduled


def _check_few_wait(tx: Transaction, actor: Actor, limit: int) -> None:
    """Check that another request of somebody may wait, whose account this transaction has locked."""
    waiting = tx.count_waiting(actor.id)
    if waiting >= limit:
        raise Conflict(TOO_MANY_WAIT.format(waiting=waiting))


def _delete(actor: Actor, scheduled_id: UUID, seen: str | None, now: datetime, tx: Transaction) -> PendingCleanup:
    scheduled = get_authorized(tx, actor, Action.DELETE, KIND, lock=True, id=scheduled_id)
    if seen is not None:
        version = versions_of(tx, [scheduled])[scheduled.id]
        policy.enforce(policy.acts_on_what_was_seen(seen, version), KIND)
    [leftover] = _deleted(actor, [scheduled], now, tx)
    return leftover


def _delete_all(
    actor: Actor, ids: list[UUID], seen: Collection[tuple[UUID, str]], now: datetime, tx: Transaction
) -> list[PendingCleanup]:
    policy.enforce(policy.check_type(actor, Action.DELETE, KIND), KIND)
    deletable = tx.visible(KIND, actor, Action.DELETE, ids)
    # In order, so that two who delete the same at once never wait for each other.
    rows = tx.all(ScheduledJob, order="id", lock=True, id=deletable)
    if seen:
        _check_all_seen(versions_of(tx, rows), seen)
    return _deleted(actor, rows, now, tx)


def _check_all_seen(versions: Mapping[UUID, str], seen: Collection[tuple[UUID, str]]) -> None:
    changed = {thing_id for thing_id, version in seen if versions.get(thing_id, version) != version}
    if changed:
        raise Outdated({str(thing_id): [policy.CHANGED] for thing_id in sorted(changed)})


def _deleted(actor: Actor, rows: list[ScheduledJob], now: datetime, tx: Transaction) -> list[PendingCleanup]:
    withdrawn = [row.id for row in rows if row.awaits_decision and actor.id == row.requester_id]
    seen = tx.attributes_of(KIND, withdrawn) if withdrawn else {}
    for row in rows:
        if row.id in seen:
            tx.record(scheduled_job_event(row, EventType.WITHDRAWN, now, actor, seen=snapshot(seen[row.id])))
            tx.afterwards(partial(decided, "withdrawn", now - row.date_changed))
        else:
            tx.record(scheduled_job_event(row, EventType.DELETED, now, actor))
    waiting = [row for row in rows if row.approval is ApprovalState.PENDING]
    jobs = {job.id: job for job in tx.all(Job, id={row.job_id for row in waiting})} if waiting else {}
    settle(tx, [(row, jobs[row.job_id]) for row in waiting], ApprovalState.WITHDRAWN, now, actor)
    return delete_rows(tx, rows, f"Deleted by {actor.username}.", now)


def delete_rows(tx: Transaction, rows: list[ScheduledJob], message: str, now: datetime) -> list[PendingCleanup]:
    """Remove scheduled jobs, and note what they may have left in Prefect.

    Args:
        tx: the transaction.
        rows: they.
        message: what their runs are ended with, for people.
        now: the time.
    """
    drop_all_turns([row.id for row in rows], message, now, tx)
    leftovers = [leftover_of(row, message) for row in rows]
    tx.remove_all(ScheduledJob, [row.id for row in rows])
    tx.add(*leftovers)
    return leftovers


@dataclass(frozen=True, kw_only=True, slots=True)
class RunOptions:
    """What somebody can ask of a Job.

    Args:
        job: the Job.
        why_not: why they cannot run it; empty if they can.
        why_only_now: why it cannot be scheduled; empty if it can.
    """

    job: Job
    why_not: str
    why_only_now: str


class RunPreview:
    """Says what can be asked.

    Args:
        store: what is true.
        schedules: takes requests.
        clock: tells the time, aware.
    """

    def __init__(self, store: Store, schedules: Schedules, clock: Callable[[], datetime]) -> None:
        self._store = store
        self._schedules = schedules
        self._clock = clock

    async def offer(self, actor: Actor, job_id: UUID) -> RunOptions:
        """Return what somebody can ask of a Job.

        Raises:
            Forbidden: they may see no Jobs.
            NotFound: there is no such Job, or none that they may see.
        """
        job, why_not = await self._store.read(partial(_offered, actor, job_id))
        return RunOptions(job=job, why_not=why_not, why_only_now=why_only_now(job))

    async def faults(self, job: Job, request: RunRequest) -> list[GateError]:
        """Return every fault of a request: of its schedule, of its queue, and of its data."""
        parts = self._schedules.parts(job, request, self._clock())
        return [fault for part in parts if (fault := await anyio.to_thread.run_sync(_fault, part))]


def _fault(read: Callable[[], object]) -> GateError | None:
    try:
        read()
    except GateError as fault:
        return fault
    return None


def _offered(actor: Actor, job_id: UUID, tx: Transaction) -> tuple[Job, str]:
    kind = ObjectType.JOB
    job: Job = get_authorized(tx, actor, Action.VIEW, kind, id=job_id)
    may_run = policy.check_object(actor, Action.RUN, kind, tx.attributes(kind, job.id))
    verdict = policy.first((may_run, policy.runnable(job.runnable)))
    return job, policy.why_not(verdict, hidden=policy.NO_PERMISSION) or why_never(job)
