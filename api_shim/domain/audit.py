"""The audit: append-only events on who did what, each hashed with the one before.

* An event is recorded in the same transaction as the change that it describes.
* Its hash covers its contents and the hash before it, so that a change, a gap or a different order is detected. The
  head keeps the last hash, so that a missing end is detected too.
* Anyone can compute hashes anew. So each head is signed (``audit_key``), in the transaction that makes it, with a key
  from outside the database; and nothing is recorded after a head that this key has not signed.
* Events contain comments, and what settings and accounts were and are; but no inputs and no secrets.
* A Job whose need for approval is switched has an event for that alone, which names everybody who may approve it.
* What was refused again and again is one event with a count.
* What a request has done names that request, by which its lines in the log are found.
* A local administrator has no account; they are named after the user of the operating system.
* Every event is sent to Prefect as ``signoff.<act>``, so that automations can notify people.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, Protocol
from uuid import UUID

from api_shim.domain.model import OVERRIDABLE, Job, JobResult, ScheduledJob

LONGEST_NAME = 150
"""How many characters of a name an event keeps."""
LONGEST_TEXT = 200
"""How many characters an event keeps of a text that was changed."""
FIRST_HASH = "0" * 64
"""What the first event is hashed with."""


class EventType(StrEnum):
    """What happened."""

    REQUESTED = "approval.requested"
    SCHEDULED = "schedule.added"
    APPROVED = "approval.approved"
    DENIED = "approval.denied"
    WITHDRAWN = "approval.withdrawn"
    EXPIRED = "approval.expired"
    RETURNED = "approval.returned"
    DRY_RUN = "approval.dry-run"
    CHANGED = "schedule.changed"
    ENABLED = "schedule.enabled"
    DISABLED = "schedule.disabled"
    ASSUMED = "schedule.assumed"
    TRANSFERRED = "schedule.transferred"
    TAKEN_BACK = "schedule.taken-back"
    DELETED = "schedule.deleted"
    ADMITTED = "run.admitted"
    REFUSED = "run.refused"
    TAMPERED = "run.tampered"
    JOB_CHANGED = "job.changed"
    APPROVAL_SWITCHED_OFF = "job.approval-off"
    APPROVAL_SWITCHED_ON = "job.approval-on"
    SENSITIVITY_CHANGED = "job.sensitivity-changed"
    RESULT_CANCELLED = "result.cancelled"
    RESULT_RESUMED = "result.resumed"
    RESULT_DELETED = "result.deleted"
    USER_ADDED = "user.added"
    USER_CHANGED = "user.changed"
    USER_REMOVED = "user.removed"
    USER_LINKED = "user.linked"
    USER_UNLINKED = "user.unlinked"
    GROUP_ADDED = "group.added"
    GROUP_CHANGED = "group.changed"
    GROUP_REMOVED = "group.removed"
    TOKEN_ADDED = "token.added"  # noqa: S105 - the name of an act, not a secret
    TOKEN_CHANGED = "token.changed"  # noqa: S105 - the name of an act, not a secret
    TOKEN_REMOVED = "token.removed"  # noqa: S105 - the name of an act, not a secret
    PERMISSION_ADDED = "permission.added"
    PERMISSION_CHANGED = "permission.changed"
    PERMISSION_REMOVED = "permission.removed"
    QUEUE_ADDED = "queue.added"
    QUEUE_CHANGED = "queue.changed"
    QUEUE_REMOVED = "queue.removed"
    BUTTON_ADDED = "job-button.added"
    BUTTON_CHANGED = "job-button.changed"
    BUTTON_REMOVED = "job-button.removed"
    HOOK_ADDED = "job-hook.added"
    HOOK_CHANGED = "job-hook.changed"
    HOOK_REMOVED = "job-hook.removed"
    AUTOMATION_BOUND = "automation.bound"
    AUTOMATION_UNBOUND = "automation.unbound"
    AUTOMATION_LAPSED = "automation.lapsed"
    AUTOMATION_REFUSED = "automation.refused"
    TARGET_ADDED = "notification-target.added"
    TARGET_REMOVED = "notification-target.removed"
    SIGNED_IN = "sign-in.accepted"
    SIGN_IN_REFUSED = "sign-in.refused"
    SIGNED_OUT = "sign-in.ended"
    DECISION_REFUSED = "approval.refused"
    REQUEST_REFUSED = "request.refused"
    AUDIT_SIGNED = "audit.signed"
    AUDIT_ACCEPTED = "audit.accepted"


class Author(Protocol):
    """Whose act something is: a user with an account (``Actor``), or a ``LocalAdministrator``."""

    @property
    def id(self) -> UUID | None:
        """The id of the account; None without one."""

    @property
    def username(self) -> str:
        """The name that the audit shows."""


@dataclass(frozen=True, slots=True)
class LocalAdministrator:
    """Somebody who administers the server on its own machine, where what they may is the machine's to say.

    Args:
        system_user: their name on that machine.
    """

    system_user: str

    @property
    def id(self) -> None:
        return None

    @property
    def username(self) -> str:
        """The name that the audit shows; no account can be called that, for its name has no colon."""
        return f"local: {self.system_user}"[:LONGEST_NAME]


@dataclass(frozen=True, kw_only=True, slots=True)
class AuditEvent:
    """One event.

    Args:
        number: its place, from 1 without a gap; 0 until it has one.
        at: when.
        act: what.
        actor_id: who; None for a local administrator, and for what happened by itself.
        actor: the actor's name at that time; empty for what happened by itself.
        name: of the scheduled job, or of the Job where there is none; of the user, group or permission.
        data: what else is to be known: a comment, a reason.
        previous_hash: the hash of the event before.
        hash: its own.
    """

    number: int = 0
    at: datetime
    act: EventType
    actor_id: UUID | None = None
    actor: str = ""
    name: str = ""
    scheduled_job_id: UUID | None = None
    job_id: UUID | None = None
    flow_run_id: UUID | None = None
    deployment_id: UUID | None = None
    data: Mapping[str, Any] = field(default_factory=dict)
    previous_hash: str = ""
    hash: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class AuditHead:
    """The end of the chain.

    Args:
        number: of the last event; 0 before the first.
        hash: of the last event.
        announced: the number of the last event that Prefect has been told.
        key: the public half of the key that signed it; empty before the first signature.
        signature: covers ``number`` and ``hash``, in hexadecimal digits.
    """

    id: int = 1
    number: int = 0
    hash: str = FIRST_HASH
    announced: int = 0
    key: str = ""
    signature: str = ""


def snapshot(thing: Mapping[str, Any]) -> dict[str, Any]:
    """Return what can be asked about a thing that goes, in JSON form, so that it can still be asked later."""
    return {path: _plain(value) for path, value in thing.items()}


def _plain(value: Any) -> Any:
    match value:
        case datetime():
            return value.isoformat()
        case UUID() | StrEnum():
            return str(value)
        case _:
            return value


def restored(kept: Mapping[str, Any], types: Mapping[str, type]) -> dict[str, Any]:
    """Return what a snapshot has kept, in the types of its paths; what is no path any more is left out."""

    def value_of(path: str, value: Any) -> Any:
        if value is None:
            return None
        return datetime.fromisoformat(value) if types[path] is datetime else types[path](value)

    return {path: value_of(path, value) for path, value in kept.items() if path in types}


def scheduled_job_event(
    scheduled: ScheduledJob, act: EventType, now: datetime, who: Author | None = None, **data: Any
) -> AuditEvent:
    """Return an event about a scheduled job; it names the run or the automation that has requested it.

    Args:
        scheduled: it.
        act: what happened.
        now: when.
        who: whose act it was; None for what happened by itself.
        data: what else is to be known.
    """
    return AuditEvent(
        at=now,
        act=act,
        actor_id=who.id if who else None,
        actor=who.username if who else "",
        name=scheduled.name,
        scheduled_job_id=scheduled.id,
        job_id=scheduled.job_id,
        flow_run_id=scheduled.flow_run_id,
        deployment_id=scheduled.deployment_id,
        data={name: value for name, value in data.items() if value} | origin_in(scheduled),
    )


def origin_in(requested: ScheduledJob | JobResult) -> dict[str, Any]:
    """Return what an event says of the run, automation or agent that has requested what it is about, and of why."""
    said: dict[str, Any] = {}
    if requested.requested_from is not None:
        said["requested_from"] = str(requested.requested_from)
    if requested.automation is not None:
        said["automation"] = dict(requested.automation)
    if requested.agent is not None:
        said["agent_for"] = requested.agent["for"]
    if requested.reason:
        said["requested_because"] = requested.reason
    return said


def of_request(event: AuditEvent, request_id: str) -> AuditEvent:
    """Return an event as what a request has done; as it is if there is none.

    Args:
        event: it.
        request_id: the id of the request; empty for what happened by itself.
    """
    return replace(event, data={**event.data, "request_id": request_id}) if request_id else event


Changes = Mapping[str, Mapping[str, Any]]
"""What has changed: by field, what it was (``old``) and what it is (``new``), in JSON form."""


def changes(before: Mapping[str, Any], after: Mapping[str, Any]) -> Changes:
    """Return what differs between two states of a thing.

    Args:
        before: what it was, by field; nothing for a thing that is new.
        after: what it is, by field; nothing for a thing that is removed.
    """
    sides = {"old": before, "new": after}
    return {
        name: {side: _short(state[name]) for side, state in sides.items() if name in state}
        for name in sorted({*before, *after})
        if name not in before or name not in after or before[name] != after[name]
    }


def _short(value: Any) -> Any:
    match value:
        case str() if len(value) > LONGEST_TEXT:
            return f"{value[:LONGEST_TEXT]}…"
        case tuple() | list():
            return [_plain(each) for each in value]
        case _:
            return _plain(value)


SETTINGS = ("enabled", "installed", *OVERRIDABLE, "overridden")
"""The fields of a Job whose changes are recorded."""


def job_events(
    before: Job, after: Job, now: datetime, who: Author | None = None, approvers: Collection[str] = ()
) -> list[AuditEvent]:
    """Return the events about a change of a Job: its need for approval and its sensitivity have their own.

    Args:
        before: the Job as it was.
        after: the Job as it is.
        now: when.
        who: whose act it was; None for what its code has changed.
        approvers: the names of all who may approve it, who are to be told of a switch.
    """
    found = dict(changes(*({name: getattr(job, name) for name in SETTINGS} for job in (before, after))))
    switch = EventType.APPROVAL_SWITCHED_ON if after.approval_required else EventType.APPROVAL_SWITCHED_OFF
    own = {"approval_required": switch, "has_sensitive_variables": EventType.SENSITIVITY_CHANGED}
    told = {act: {name: found.pop(name)} for name, act in own.items() if name in found}

    def event(act: EventType, changed: Changes, **data: Any) -> AuditEvent:
        return AuditEvent(
            at=now,
            act=act,
            actor_id=who.id if who else None,
            actor=who.username if who else "",
            name=after.name,
            job_id=after.id,
            data={"changes": changed, **data},
        )

    switched = [event(act, changed, approvers=sorted(approvers)) for act, changed in told.items()]
    return [*switched, *([event(EventType.JOB_CHANGED, found)] if found else [])]


def account_event(
    thing_id: UUID,
    name: str,
    act: EventType,
    now: datetime,
    who: Author | None,
    fields: Iterable[str] = (),
    changed: Changes | None = None,
    **data: Any,
) -> AuditEvent:
    """Return an event about an account or what belongs to one, a job queue, a job button, a job hook or an automation.

    Args:
        thing_id: its id.
        name: its name; of a token, its user's.
        act: what happened.
        now: when.
        who: whose act it was; None for what happened by itself.
        fields: the names of the fields that were given or changed.
        changed: what those that are no secret were and are.
        data: what else is to be known.
    """
    said: dict[str, Any] = {"id": str(thing_id), **data}
    if names := sorted(fields):
        said["fields"] = names
    if changed:
        said["changes"] = changed
    return AuditEvent(
        at=now, act=act, actor_id=who.id if who else None, actor=who.username if who else "", name=name, data=said
    )


def chain_event(event: AuditEvent, head: AuditHead) -> AuditEvent:
    """Return the event as the one that follows the head."""
    event = replace(event, number=head.number + 1, previous_hash=head.hash)
    return replace(event, hash=hash_of(event))


def chain_events(events: Iterable[AuditEvent], head: AuditHead) -> list[AuditEvent]:
    """Return events as those that follow the head, one after the other."""
    chain: list[AuditEvent] = []
    for event in events:
        chain.append(chain_event(event, head))
        head = replace(head, number=chain[-1].number, hash=chain[-1].hash)
    return chain


def hash_of(event: AuditEvent) -> str:
    """Return the hash of all that an event says, and of the hash before it."""
    return hash_of_shape(shape(event))


def hash_of_shape(event: Mapping[str, Any]) -> str:
    """Return the hash of an event in JSON form, whatever hash it tells."""
    said = {name: value for name, value in event.items() if name != "hash"}
    return hashlib.sha256(json.dumps(said, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def shape(event: AuditEvent) -> dict[str, Any]:
    """Return an event in JSON form."""

    def text(thing: object) -> str | None:
        return None if thing is None else str(thing)

    return {
        "number": event.number,
        "at": event.at.astimezone(UTC).isoformat(),
        "act": str(event.act),
        "actor_id": text(event.actor_id),
        "actor": event.actor,
        "name": event.name,
        "scheduled_job_id": text(event.scheduled_job_id),
        "job_id": text(event.job_id),
        "flow_run_id": text(event.flow_run_id),
        "deployment_id": text(event.deployment_id),
        "data": event.data,
        "previous_hash": event.previous_hash,
        "hash": event.hash,
    }


def fault(events: Iterable[AuditEvent], head: AuditHead) -> str:
    """Return the sentence on the first thing that is wrong with a whole chain; empty if nothing is.

    Args:
        events: all of them, in the order of their numbers.
        head: the end, as the store keeps it.
    """
    last = AuditHead()
    for event in events:
        if event.number != last.number + 1:
            return f"Event {last.number + 1} is missing."
        if event.previous_hash != last.hash or event.hash != hash_of(event):
            return f"Event {event.number} is not what was recorded."
        last = replace(last, number=event.number, hash=event.hash)
    if last.number < head.number:
        return f"Event {last.number + 1} is missing."
    return "" if (last.number, last.hash) == (head.number, head.hash) else "The last event is not what was recorded."
