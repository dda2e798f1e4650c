"""The use cases around job buttons and job hooks: make one, change it, and remove it.

* A button is of a ``JobButtonReceiver``, a hook of a ``JobHookReceiver``: their Jobs have the variables that they fill
  in.
* Neither is of a Job that needs approval: a hook asks nobody, and whoever makes a button would have others request what
  they then approve themselves.
* A hook is for creations, changes or deletions, at least one of them.
* Whoever makes or changes one that is enabled must be permitted to run its Job, and to have it be as it then is.
  Whether there is a Job that they may not run, they are not told.
* What was done is recorded in the audit in the same transaction.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any
from uuid import UUID, uuid4

from api_shim.domain.audit import EventType, account_event, changes
from api_shim.domain.model import Job
from api_shim.domain.triggers import JobButton, JobHook
from api_shim.parsing.trigger import read_trigger
from api_shim.services.authorization import check_still_active, get_authorized
from api_shim.store import Duplicate, Store, Transaction
from approval_gate import policy
from approval_gate.errors import Forbidden, Invalid
from approval_gate.model import Action, Actor, ObjectType

NAME_TAKEN = "This name is already in use."
NO_JOB = "There is no such Job."
NO_HOOK_RECEIVER = "{job} is not a JobHookReceiver, so it cannot be told of changes."
NO_CHANGES = "Set at least one of type_create, type_update and type_delete."
NEEDS_APPROVAL = "{job} needs approval, so neither a button nor a hook can start it."
NO_BUTTON_RECEIVER = "{job} is not a JobButtonReceiver, so it cannot be run on an object."


@dataclass(frozen=True, kw_only=True, slots=True)
class Sort:
    """What there is to know of a type.

    Args:
        make: its class.
        receives: the field of Jobs that says that they receive it.
        not_received: the sentence about a Job that does not.
        acts: what is recorded when one is made, changed or removed.
    """

    make: type[Any]
    receives: str
    not_received: str
    acts: Mapping[Action, EventType]


SORTS: Mapping[ObjectType, Sort] = {
    ObjectType.JOB_BUTTON: Sort(
        make=JobButton,
        receives="is_job_button_receiver",
        not_received=NO_BUTTON_RECEIVER,
        acts={
            Action.ADD: EventType.BUTTON_ADDED,
            Action.CHANGE: EventType.BUTTON_CHANGED,
            Action.DELETE: EventType.BUTTON_REMOVED,
        },
    ),
    ObjectType.JOB_HOOK: Sort(
        make=JobHook,
        receives="is_job_hook_receiver",
        not_received=NO_HOOK_RECEIVER,
        acts={
            Action.ADD: EventType.HOOK_ADDED,
            Action.CHANGE: EventType.HOOK_CHANGED,
            Action.DELETE: EventType.HOOK_REMOVED,
        },
    ),
}


class Triggers:
    """Makes, changes and removes them.

    Args:
        store: what is true.
        clock: tells the time, aware.
    """

    def __init__(self, store: Store, clock: Callable[[], datetime]) -> None:
        self._store = store
        self._clock = clock

    async def add(self, actor: Actor, kind: ObjectType, body: object) -> Any:
        """Make one.

        Args:
            actor: who makes it.
            kind: its type.
            body: its fields, as sent.

        Raises:
            Forbidden: they may make none, or not this one, or may not run its Job.
            Invalid: a fault in a field, its name is taken, or its Job is none that receives it.
        """
        policy.enforce(policy.check_type(actor, Action.ADD, kind), kind)
        asked = read_trigger(kind, body, new=True)
        return await self._written(partial(_add, actor, kind, asked, uuid4(), self._clock()))

    async def change(self, actor: Actor, kind: ObjectType, by: Mapping[str, Any], body: object) -> Any:
        """Change one; what is not sent stays.

        Args:
            actor: who changes it.
            kind: its type.
            by: the field that tells which one.
            body: the fields to change, as sent.

        Raises:
            Forbidden: they may change none, or not this one, or not into this, or may not run its Job.
            NotFound: there is none, or none that they may see.
            Invalid: a fault in a field, its name is taken, or its Job is none that receives it.
        """
        await self._store.read(lambda tx: get_authorized(tx, actor, Action.CHANGE, kind, **by))
        asked = read_trigger(kind, body, new=False)
        return await self._written(partial(_change, actor, kind, by, asked, self._clock()))

    async def remove(self, actor: Actor, kind: ObjectType, by: Mapping[str, Any]) -> None:
        """Remove one.

        Args:
            actor: who removes it.
            kind: its type.
            by: the field that tells which one.

        Raises:
            Forbidden: they may remove none, or not this one.
            NotFound: there is none, or none that they may see.
        """
        await self._store.write(partial(_remove, actor, kind, by, self._clock()))

    async def _written(self, write: Callable[[Transaction], Any]) -> Any:
        try:
            return await self._store.write(write)
        except Duplicate as error:
            raise Invalid({"name": [NAME_TAKEN]}) from error


def _add(actor: Actor, kind: ObjectType, asked: Mapping[str, Any], new_id: UUID, now: datetime, tx: Transaction) -> Any:
    check_still_active(tx, actor)
    fields = {name: value for name, value in asked.items() if name != "job"}
    job = _job(tx, actor, kind, asked["job"])
    made = SORTS[kind].make(id=new_id, job_id=job.id, created=now, last_updated=now, **fields)
    tx.add(made)
    return _recorded(tx, actor, kind, None, made, now)


def _change(
    actor: Actor, kind: ObjectType, by: Mapping[str, Any], asked: Mapping[str, Any], now: datetime, tx: Transaction
) -> Any:
    check_still_active(tx, actor)
    before = get_authorized(tx, actor, Action.CHANGE, kind, lock=True, **by)
    job_id = before.job_id
    # One whose Job does not receive it any more can be switched off all the same.
    if "job" in asked or asked.get("enabled", before.enabled):
        job_id = _job(tx, actor, kind, asked.get("job", before.job_id)).id
    fields = {name: value for name, value in asked.items() if name != "job"} | {"job_id": job_id}
    if all(getattr(before, name) == value for name, value in fields.items()):
        return before
    return _recorded(tx, actor, kind, before, tx.change(before, **fields, last_updated=now), now)


def _remove(actor: Actor, kind: ObjectType, by: Mapping[str, Any], now: datetime, tx: Transaction) -> None:
    check_still_active(tx, actor)
    found = get_authorized(tx, actor, Action.DELETE, kind, lock=True, **by)
    tx.remove(found)
    tx.record(account_event(found.id, found.name, SORTS[kind].acts[Action.DELETE], now, actor))


def _job(tx: Transaction, actor: Actor, kind: ObjectType, ref: UUID | str) -> Job:
    """Return the Job that is to be started, which the actor may run."""
    job = tx.get(Job, id=ref) if isinstance(ref, UUID) else tx.get(Job, name=ref)
    if job is None and policy.runs_every_job(actor):
        raise Invalid({"job": [NO_JOB]})
    if job is None or not actor.may(Action.RUN, ObjectType.JOB, tx.attributes(ObjectType.JOB, job.id)):
        raise Forbidden(policy.MAY_NOT_RUN)
    sort = SORTS[kind]
    if not getattr(job, sort.receives):
        raise Invalid({"job": [sort.not_received.format(job=job.name)]})
    if job.approval_required:
        raise Invalid({"job": [NEEDS_APPROVAL.format(job=job.name)]})
    return job


def _recorded(tx: Transaction, actor: Actor, kind: ObjectType, before: Any, after: Any, now: datetime) -> Any:
    """Record what was written, after having seen that it is complete, and within what the actor may add or change."""
    if isinstance(after, JobHook) and not (after.type_create or after.type_update or after.type_delete):
        raise Invalid({"non_field_errors": [NO_CHANGES]})
    action = Action.ADD if before is None else Action.CHANGE
    policy.enforce(policy.check_result(actor, action, kind, tx.attributes(kind, after.id)), kind)
    changed = changes(_told(before) if before is not None else {}, _told(after))
    tx.record(account_event(after.id, after.name, SORTS[kind].acts[action], now, actor, changed, changed))
    return after


def _told(row: Any) -> dict[str, Any]:
    return {name: getattr(row, name) for name in row.__slots__ if name not in {"id", "created", "last_updated"}}
