"""The catalogue of Jobs: what their code declares, and what administrators override.

* Jobs found at start are recorded. A new Job is disabled until somebody enables it. A Job that no server has any more
  stays, marked as not installed, with its scheduled jobs; what another server has is left as it is.
* Of Jobs of one name in several modules, the one is installed that was found by the server that started last.
* An administrator's override stays when the code changes; without the override, the code's value applies again.
* An administrator cannot give a Job both sensitive variables and the need for approval.
* Every change of what decides how a Job runs is recorded in the audit, with the old and the new value; one of its need
  for approval or its sensitivity needs the permission to approve it, and names all who have that.
* When a Job's code changes, or the Job starts to need approval, its scheduled jobs return to the approval queue. When
  it starts to have sensitive variables, what it has been given is encrypted (``sensitive_inputs``).
* The need for approval of a ``JobHookReceiver`` is ignored, because nobody requests its runs; the start warns about it.

Contract 3.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Collection, Coroutine, Mapping
from dataclasses import asdict, replace
from datetime import datetime, timedelta
from functools import partial
from typing import Any, NamedTuple
from uuid import UUID, uuid4
from zoneinfo import ZoneInfo

import anyio.from_thread
import anyio.to_thread

from api_shim.domain.approval import approval_off
from api_shim.domain.audit import Author, job_events
from api_shim.domain.model import DEFAULT_QUEUE, OVERRIDABLE, Job, JobQueue, ScheduledJob, queue_of
from api_shim.parsing.job_change import read_job_change
from api_shim.services.approval_state import return_stale
from api_shim.services.authorization import approvers_of, check_still_active, get_authorized
from api_shim.services.running_servers import EVER, ThisServer, held_elsewhere, tell
from api_shim.services.sensitive_inputs import follow_mark, follow_marks
from api_shim.store import Store, Transaction
from approval_gate import policy
from approval_gate.errors import Invalid, NotFound, Unavailable
from approval_gate.model import Action, Actor, ObjectType
from flows.definition import JobDefinition
from flows.job import validate
from flows.objects import ObjectVar, reading_variables_with
from flows.registry import load

logger = logging.getLogger("signoff")

TELLS_EVERY = 60.0
"""Seconds between two times that a server tells that it is there."""
KIND = ObjectType.JOB
BOTH_FLAGS = "A job that may have sensitive variables cannot be marked as requiring approval"


class JobCode:
    """Validates inputs with the Jobs' code, which declares their variables.

    Args:
        zone: IANA name of the time zone of times that name none.
        variable: returns the value of one of Prefect's variables, in which objects may be; None for none.
    """

    def __init__(self, zone: str = "UTC", variable: Callable[[str], Coroutine[Any, Any, Any]] | None = None) -> None:
        self._zone = ZoneInfo(zone)
        self._variable = variable

    def validate(self, job: Job, data: object) -> Mapping[str, Any]:
        """Return the complete inputs of a run.

        Raises:
            Invalid: the data is invalid; in the contract's structure.
            NotRunnable: the code cannot be loaded.
            Unavailable: a source of objects cannot be read.
        """
        if job.supports_dryrun and isinstance(data, Mapping):
            # The administrator's default, which may differ from the code's.
            data = {"dryrun": job.dryrun_default, **data}
        with reading_variables_with(self._value_of):
            return validate(load(job.class_path), data, self._zone, look_up=True)

    def objects(self, job: Job, name: str) -> list[tuple[str, str]]:
        """Return the key and the title of each object that a variable offers.

        Raises:
            NotFound: the Job has no such variable.
            NotRunnable: the code cannot be loaded.
            Unavailable: their source cannot be read.
        """
        variable = load(job.class_path).variables().get(name)
        if not isinstance(variable, ObjectVar):
            raise NotFound(f"{job.name} has no object variable {name!r}.")
        with reading_variables_with(self._value_of):
            return [(key, variable.title_of(each)) for key, each in variable.objects().items()]

    def _value_of(self, name: str) -> Any:
        """Return the value of a variable of Prefect's, from a thread of its own."""
        return None if self._variable is None else anyio.from_thread.run(self._variable, name)


class JobCatalogue:
    """Records, lists and changes Jobs.

    Args:
        store: the store.
        clock: returns the current time, aware.
        server: the server that this is of; None where it is of none, or of the only one.
    """

    def __init__(self, store: Store, clock: Callable[[], datetime], server: ThisServer | None = None) -> None:
        self._store = store
        self._clock = clock
        self._server = server
        self._found: Collection[JobDefinition] = ()
        self._told: datetime | None = None
        self._telling_since = EVER
        self.problems: tuple[str, ...] = ()
        """What could not be registered on this server, each with file and line."""

    def record(self, found: Collection[JobDefinition], problems: Collection[str] = ()) -> None:
        """Record the Jobs that were found, and mark those as not installed that no server has.

        Args:
            found: the Jobs.
            problems: what could not be registered, each with file and line.
        """
        self._found = found
        self.problems = tuple(problems)
        with self._store.transaction() as tx:
            known = {job.class_path: job for job in tx.all(Job, order="id", lock=True)}
            declared = {definition.class_path: definition for definition in found}
            names = {definition.name for definition in found}
            others = held_elsewhere(tx, self._server, self._clock()) if self._server else set()
            for class_path in known.keys() - declared.keys():
                if known[class_path].id not in others or known[class_path].name in names:
                    _retire(tx, known[class_path], names, self._clock())
            for class_path in known.keys() & declared.keys():
                known[class_path] = _free_name(tx, known[class_path], declared[class_path])
            changed = [_declare(tx, known.get(path), each, self._clock()) for path, each in declared.items()]
            jobs = tx.all(Job)
            _record_queues(tx, {queue for job in jobs for queue in job.queues} | {DEFAULT_QUEUE})
            if self._server:
                tell(tx, self._server, {job.id for job in jobs if job.class_path in declared}, self._clock())
        self._told = self._clock()
        for change in filter(None, changed):
            with self._store.transaction() as tx:
                _follow(change, self._clock(), tx)
        follow_marks(self._store)

    async def run(self) -> None:
        """Tell every minute that this server is there, and see which Jobs are, until cancelled."""
        while self._server is not None:
            await asyncio.sleep(TELLS_EVERY)
            try:
                await self.tick()
            except Unavailable as error:
                logger.debug("It could not be told that this server is there: %s", error)
            except Exception:
                logger.exception("It could not be told that this server is there.")

    async def tick(self) -> None:
        """Tell once that this server is there; mark as not installed what none has, and as installed what this one has.

        What another server has taken the name of stays as it is.
        """
        if self._server is None:
            return
        now = self._clock()
        if self._told is not None and now - self._told > timedelta(seconds=2 * TELLS_EVERY):
            # The database or this server stood still, and perhaps so did the others.
            self._telling_since = now
        changed = await self._store.write(partial(_look, self._server, self._found, now, self._telling_since))
        self._told = now
        for change in changed:
            await self._store.write(partial(_follow, change, self._clock()))
        await anyio.to_thread.run_sync(follow_marks, self._store)

    def jobs(self) -> list[Job]:
        """Return every Job, sorted by name."""
        with self._store.transaction(write=False) as tx:
            return tx.all(Job, order="name")

    def set_enabled(self, name: str, by: Author, *, enabled: bool) -> Job:
        """Enable or disable a Job on the server's own machine.

        Args:
            name: the Job's name or class path.
            by: who does.
            enabled: whether it is to be enabled.

        Raises:
            NotFound: no Job has this name or class path.
        """
        with self._store.transaction() as tx:
            job = next((job for job in tx.all(Job) if name in (job.name, job.class_path)), None)
            if job is None:
                raise NotFound(f"There is no Job {name!r}; `signoff job list` names those that were found.")
            now = self._clock()
            changed = tx.change(job, enabled=enabled, last_updated=now)
            _record(tx, job, changed, now, by)
            return changed

    async def change(self, actor: Actor, job_id: UUID, body: object) -> Job:
        """Change the fields of a Job that an administrator controls.

        Args:
            actor: the caller.
            job_id: the id of the Job.
            body: the fields to change, as sent.

        Raises:
            Forbidden: the caller may not change Jobs, or not this one, or not in this way.
            NotFound: the Job does not exist, or the caller may not view it.
            Invalid: a value is not valid for its field.
        """
        job = await self._store.write(partial(_change, actor, job_id, body, self._clock()))
        await self._follow(job)
        return job

    async def change_all(self, actor: Actor, bodies: Mapping[UUID, object]) -> list[Job]:
        """Change several Jobs in one transaction; pass over those that there are not or that the caller may not change.

        Args:
            actor: the caller.
            bodies: the fields to change of each, as sent, by its id.

        Raises:
            Forbidden: the caller may not change Jobs, or not in this way.
            Invalid: a value is not valid for its field; nothing is changed.
        """
        jobs = await self._store.write(partial(_change_all, actor, bodies, self._clock()))
        for job in jobs:
            await self._follow(job)
        return jobs

    async def _follow(self, job: Job) -> None:
        """Have what there is of a Job that was changed follow it."""
        # Admission would return the requests too, but only when they are due, which is too late to decide.
        await self._store.write(partial(return_stale, job.id, self._clock()))
        await anyio.to_thread.run_sync(follow_mark, self._store, job.id)


def _look(
    me: ThisServer, found: Collection[JobDefinition], now: datetime, since: datetime, tx: Transaction
) -> list[_Change]:
    """Do what ``tick`` says; return the Jobs that are installed again, perhaps with other code."""
    # First the Jobs, and then who has them: whoever has one said so when it was recorded.
    # In one order, since some are locked.
    jobs = tx.all(Job, order="id")
    declared = {definition.class_path: definition for definition in found}
    held = {job.id for job in jobs if job.class_path in declared}
    tell(tx, me, held, now)
    there = held | held_elsewhere(tx, me, now, since)
    back: list[_Change | None] = []
    for job in jobs:
        definition = declared.get(job.class_path)
        if job.installed and job.id not in there:
            _retire(tx, _locked(tx, job), set(), now)
        elif not job.installed and definition is not None and definition.name == job.name:
            back.append(_declare(tx, _locked(tx, job), definition, now))
    return [*filter(None, back)]


def _locked(tx: Transaction, job: Job) -> Job:
    """Return a Job as it is now, and stays until the transaction ends; Jobs are never removed."""
    return tx.get(Job, id=job.id, lock=True) or job


def _record_queues(tx: Transaction, queues: Collection[str]) -> None:
    tx.add_missing([queue_of(name) for name in sorted(queues)])


def _record(tx: Transaction, before: Job, after: Job, now: datetime, who: Author | None = None) -> None:
    """Record a change of a Job in the audit; of one that switches its approval or sensitivity, whom to tell."""
    switched = any(getattr(before, name) != getattr(after, name) for name in policy.SWITCHES)
    for event in job_events(before, after, now, who, approvers_of(tx, after.id) if switched else ()):
        tx.record(event)


def _retire(tx: Transaction, job: Job, names: set[str], now: datetime) -> None:
    if job.name not in names:
        _record(tx, job, tx.change(job, installed=False), now)
        return
    # A Job that moved to another module keeps its name and the deployment of that name; the old record is renamed.
    name = f"{job.name[:200]} (not installed, {job.id})"
    _record(tx, job, tx.change(job, installed=False, name=name, deployment_id=None, version=job.version + 1), now)


def _free_name(tx: Transaction, job: Job, definition: JobDefinition) -> Job:
    # The new name may be the old name of another Job that is also renamed.
    return job if job.name == definition.name else tx.change(job, name=str(job.id))


class _Change(NamedTuple):
    """A Job whose code declares another thing than before."""

    before: Job
    after: Job


ON_DEPLOYMENTS = ("job_variables", "tags")
"""What the deployments of scheduled jobs have of their Job, and only its code can change."""


def _follow(change: _Change, now: datetime, tx: Transaction) -> None:
    """Have the scheduled jobs of a changed Job follow it.

    In a transaction of its own, as ``return_stale`` says. Deployments are written by the version of their scheduled
    job, enabled or not; what differs there without a new version would be taken for somebody's hand.
    """
    return_stale(change.after.id, now, tx)
    if all(getattr(change.before, name) == getattr(change.after, name) for name in ON_DEPLOYMENTS):
        return
    for scheduled in tx.all(ScheduledJob, order="id", lock=True, job_id=change.after.id):
        if not scheduled.one_off:
            tx.change(scheduled, version=scheduled.version + 1)


def _declare(tx: Transaction, known: Job | None, definition: JobDefinition, now: datetime) -> _Change | None:
    """Record a Job; return its change if it was already recorded and has changed."""
    fields = {**asdict(definition), "installed": True}
    # The first is for who installs it, the second for the worker, which asks the code.
    del fields["warnings"], fields["isolated"]
    declared = {name: list(value) if isinstance(value := fields[name], tuple) else value for name in OVERRIDABLE}
    if known is None:
        tx.add(Job(id=uuid4(), **fields, declared=declared, created=now, last_updated=now))
        return None
    kept = {name: value for name, value in fields.items() if name not in known.overridden}
    if any(getattr(known, name) != value for name, value in kept.items()) or known.declared != declared:
        kept["approval_off"] = approval_off(known, replace(known, **kept, declared=declared), "", now)
        changed = tx.change(known, **kept, declared=declared, last_updated=now, version=known.version + 1)
        _record(tx, known, changed, now)
        return _Change(known, changed)
    return None


def _change(actor: Actor, job_id: UUID, body: object, now: datetime, tx: Transaction) -> Job:
    job: Job = get_authorized(tx, actor, Action.CHANGE, KIND, lock=True, id=job_id)
    to = read_job_change(body, job, partial(_queue_names, tx, actor))
    if to.get("has_sensitive_variables", job.has_sensitive_variables) and to.get(
        "approval_required", job.approval_required
    ):
        raise Invalid({"approval_required": [BOTH_FLAGS]})
    policy.enforce(policy.change_job(actor, tx.attributes(KIND, job.id), _touched(job, to)), KIND)
    check_still_active(tx, actor)
    to["approval_off"] = approval_off(job, replace(job, **to), actor.username, now)
    changed = tx.change(job, **to, last_updated=now, version=job.version + 1)
    _record(tx, job, changed, now, actor)
    _record_queues(tx, changed.queues)
    return changed


def _change_all(actor: Actor, bodies: Mapping[UUID, object], now: datetime, tx: Transaction) -> list[Job]:
    policy.enforce(policy.check_type(actor, Action.CHANGE, KIND), KIND)
    changeable = tx.visible(KIND, actor, Action.CHANGE, bodies)
    # All of them first, and in order: two who change the same at once never wait for each other.
    tx.all(Job, order="id", lock=True, id=changeable)
    return [_change(actor, job_id, bodies[job_id], now, tx) for job_id in sorted(changeable)]


def _touched(job: Job, to: Mapping[str, Any]) -> set[str]:
    """Return the fields that get another value, or whose override is set or taken back."""
    return {name for name, value in to.items() if value != getattr(job, name)} | {
        *set(job.overridden).symmetric_difference(to["overridden"])
    }


def _queue_names(tx: Transaction, actor: Actor, ids: Collection[UUID]) -> Mapping[UUID, str]:
    seen = tx.visible(ObjectType.JOB_QUEUE, actor, Action.VIEW, ids)
    return {queue.id: queue.name for queue in tx.all(JobQueue, id=seen)}
