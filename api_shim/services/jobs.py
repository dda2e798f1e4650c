"""The use cases around Jobs: what the code declares meets what administrators decide.

* Jobs found at start are recorded; a new one is disabled until somebody enables it; one whose code is gone stays,
  marked as not installed, with everything that was scheduled.
* What an administrator overrides stays when the code changes; taken back, the code's value holds again.
* A Job cannot both have sensitive variables and need approval by an administrator's decision.
* What was approved or scheduled before its Job's code changed, or before it needed approval, is decided about again.
* A receiver's demand for approval is ignored, since nobody asks for its runs; the start warns.

Contract 3.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Mapping
from dataclasses import asdict
from datetime import datetime
from functools import partial
from typing import Any
from uuid import UUID, uuid4

from api_shim.domain.model import DEFAULT_QUEUE, OVERRIDABLE, Job, queue_of
from api_shim.parsing.fields import collect, read_flag, read_object
from api_shim.services.approval_state import return_stale
from api_shim.services.authorization import get_authorized
from api_shim.store import Store, Transaction
from approval_gate.errors import Invalid, NotFound
from approval_gate.model import Action, Actor, ObjectType
from flows.definition import JobDefinition, is_queue_name
from flows.inputs import is_storable
from flows.job import validate
from flows.registry import load

logger = logging.getLogger("signoff")

BOTH_FLAGS = "A job that may have sensitive variables cannot be marked as requiring approval"
FLAGS = frozenset({"approval_required", "has_sensitive_variables", "is_singleton", "hidden", "dryrun_default"})
LIMITS = frozenset({"soft_time_limit", "time_limit"})
ALIASES = {"task_queues": "job_queues", "task_queues_override": "job_queues_override"}


class JobCode:
    """The Jobs' code, which knows their variables."""

    def validate(self, job: Job, data: object) -> Mapping[str, Any]:
        """Return the complete inputs of a run.

        Raises:
            Invalid: a fault in the data, in the contract's shape.
            NotRunnable: the code cannot be loaded.
        """
        if job.supports_dryrun and isinstance(data, Mapping):
            # The administrator's default, which may be another than the code's.
            data = {"dryrun": job.dryrun_default, **data}
        return validate(load(job.class_path), data)


class JobCatalogue:
    """What Jobs there are.

    Args:
        store: what is true.
        clock: tells the time, aware.
    """

    def __init__(self, store: Store, clock: Callable[[], datetime]) -> None:
        self._store = store
        self._clock = clock

    def record(self, found: Collection[JobDefinition]) -> None:
        """Record the Jobs that were found, and that others are gone."""
        with self._store.transaction() as tx:
            known = {job.class_path: job for job in tx.all(Job, order="id", lock=True)}
            declared = {definition.class_path: definition for definition in found}
            for class_path in known.keys() - declared.keys():
                _retire(tx, known[class_path], {definition.name for definition in found})
            for class_path in known.keys() & declared.keys():
                known[class_path] = _make_way(tx, known[class_path], declared[class_path])
            changed = [_declare(tx, known.get(path), each, self._clock()) for path, each in declared.items()]
            _offer(tx, {queue for job in tx.all(Job) for queue in job.queues} | {DEFAULT_QUEUE})
        for job_id in filter(None, changed):
            with self._store.transaction() as tx:
                return_stale(job_id, self._clock(), tx)

    def jobs(self) -> list[Job]:
        """Return every Job, by name."""
        with self._store.transaction(write=False) as tx:
            return tx.all(Job, order="name")

    def set_enabled(self, name: str, *, enabled: bool) -> Job:
        """Let a Job run, or no longer; for whoever administers this machine.

        Raises:
            NotFound: there is no Job of this name or class path.
        """
        with self._store.transaction() as tx:
            job = next((job for job in tx.all(Job) if name in (job.name, job.class_path)), None)
            if job is None:
                raise NotFound(f"There is no Job {name!r}; `signoff job list` names those that were found.")
            return tx.change(job, enabled=enabled, last_updated=self._clock())

    async def change(self, actor: Actor, job_id: UUID, body: object) -> Job:
        """Change what an administrator decides about a Job.

        Args:
            actor: who changes it.
            job_id: the Job.
            body: the fields to change, as sent.

        Raises:
            Forbidden: he may change none, or not this one.
            NotFound: there is none, or none that he may see.
            Invalid: a value that the field cannot take.
        """
        job = await self._store.write(partial(_change, actor, job_id, body, self._clock()))
        # Admission would find it too, but people are to be asked before its time comes.
        await self._store.write(partial(return_stale, job.id, self._clock()))
        return job


def _offer(tx: Transaction, queues: Collection[str]) -> None:
    tx.add_missing([queue_of(name) for name in sorted(queues)])


def _retire(tx: Transaction, job: Job, names: set[str]) -> None:
    if job.name not in names:
        tx.change(job, installed=False)
        return
    # A Job that moved to another module keeps its name, and the deployment of that name; the old record gives way.
    name = f"{job.name[:200]} (not installed, {job.id})"
    tx.change(job, installed=False, name=name, deployment_id=None, version=job.version + 1)


def _make_way(tx: Transaction, job: Job, definition: JobDefinition) -> Job:
    # The new name may be the old one of another Job that is renamed too.
    return job if job.name == definition.name else tx.change(job, name=str(job.id))


def _declare(tx: Transaction, known: Job | None, definition: JobDefinition, now: datetime) -> UUID | None:
    """Record a Job; return its id if it was known and has changed."""
    fields = {**asdict(definition), "installed": True}
    # The first is for who installs it, the second for the worker, which asks the code.
    del fields["warnings"], fields["isolated"]
    declared = {name: list(value) if isinstance(value := fields[name], tuple) else value for name in OVERRIDABLE}
    if known is None:
        tx.add(Job(id=uuid4(), **fields, declared=declared, created=now, last_updated=now))
        return None
    kept = {name: value for name, value in fields.items() if name not in known.overridden}
    if any(getattr(known, name) != value for name, value in kept.items()) or known.declared != declared:
        return tx.change(known, **kept, declared=declared, last_updated=now, version=known.version + 1).id
    return None


def _change(actor: Actor, job_id: UUID, body: object, now: datetime, tx: Transaction) -> Job:
    job: Job = get_authorized(tx, actor, Action.CHANGE, ObjectType.JOB, lock=True, id=job_id)
    to = _decisions(job, read_object(body))
    if to.get("has_sensitive_variables", job.has_sensitive_variables) and to.get(
        "approval_required", job.approval_required
    ):
        raise Invalid({"approval_required": [BOTH_FLAGS]})
    changed = tx.change(job, **to, last_updated=now, version=job.version + 1)
    _offer(tx, changed.queues)
    return changed


def _decisions(job: Job, body: Mapping[str, Any]) -> dict[str, Any]:
    """Read what is to change; setting a field overrides it, unless its override is taken back with it."""
    sent = {ALIASES.get(name, name): value for name, value in body.items() if ALIASES.get(name) not in body}
    faults: dict[str, list[str]] = {}
    read = {name: collect(faults, name, READERS[name], sent[name]) for name in sent.keys() & READERS.keys()}
    if faults:
        raise Invalid(faults)
    overridden = set(job.overridden)
    to = {"enabled": read["enabled"]} if "enabled" in read else {}
    for field in OVERRIDABLE:
        if read.get(f"{field}_override", field in read):
            to[field] = read.get(field, getattr(job, field))
            overridden.add(field)
        elif f"{field}_override" in read:
            to[field] = READERS[field](job.declared[field])
            overridden.discard(field)
    return {**to, "overridden": tuple(sorted(overridden))}


def _read_limit(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 10_000_000:
        raise Invalid("A time limit is a number of seconds from 0 (none) to 10000000.")
    return float(value)


def _read_text(value: Any) -> str:
    if not isinstance(value, str) or len(value) > 10_000 or not is_storable(value):
        raise Invalid("Not a valid string of at most 10000 characters.")
    return value


def _read_queues(value: Any) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(map(is_queue_name, value)):
        raise Invalid("Expected a list of names of work queues.")
    return tuple(dict.fromkeys(value))


READERS: Mapping[str, Callable[[Any], Any]] = {
    "description": _read_text,
    "job_queues": _read_queues,
    **dict.fromkeys(FLAGS, read_flag),
    **dict.fromkeys(LIMITS, _read_limit),
    **dict.fromkeys(("enabled", *(f"{field}_override" for field in OVERRIDABLE)), read_flag),
}
"""What can be changed, and how it is read; ``Invalid`` with a sentence for what it cannot be."""
