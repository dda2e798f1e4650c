"""Who may do what: the one rulebook, read from top to bottom.

* Default deny: what no rule below allows is refused.
* A read-only token writes nothing, whoever holds it.
* The type comes first: without the action on the type of object, the answer is no, whatever the object (403).
* Then the object: without the action on this very object it is no (403) to those who may see it, and
  unknown (404) to those who may not.
* A Job must also be enabled, installed and one that people start, before anybody runs it.

Contract 2, 4, 5 and 8.
"""

from __future__ import annotations

from dataclasses import dataclass

from approval_gate.errors import Forbidden, NotFound, NotRunnable
from approval_gate.model import Action, Actor, Allowed, Attributes, Denied, Hidden, ObjectType, Verdict

NO_PERMISSION = "You do not have permission to perform this action."

REASONS: dict[tuple[Action, ObjectType], str] = {
    (Action.RUN, ObjectType.JOB): "This user does not have permission to run jobs.",
}
"""What the person is told where the contract has a sentence of its own."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Runnable:
    """What matters of a Job when somebody wants to run it."""

    enabled: bool
    installed: bool
    is_job_hook_receiver: bool


def on_type(actor: Actor, action: Action, kind: ObjectType) -> Verdict:
    """Say whether the actor has this action on this type at all."""
    if actor.read_only and action is not Action.VIEW:
        return Denied(NO_PERMISSION)
    if not actor.may(action, kind):
        return Denied(reason(action, kind))
    return Allowed()


def on_object(actor: Actor, action: Action, kind: ObjectType, thing: Attributes | None) -> Verdict:
    """Say whether the actor has this action on this object.

    Args:
        actor: who asks.
        action: what he wants to do.
        kind: the object's type.
        thing: the object, as constraints see it; None when there is no such object.
    """
    verdict = on_type(actor, action, kind)
    if verdict != Allowed():
        return verdict
    if thing is None:
        return Hidden()
    if actor.may(action, kind, thing):
        return Allowed()
    return Denied(reason(action, kind)) if actor.may(Action.VIEW, kind, thing) else Hidden()


def reason(action: Action, kind: ObjectType) -> str:
    """Return the sentence for a missing permission."""
    return REASONS.get((action, kind), NO_PERMISSION)


def enforce(verdict: Verdict, kind: ObjectType) -> None:
    """Let an allowed one pass.

    Raises:
        Forbidden: denied, with the reason.
        NotFound: hidden, in the contract's words.
    """
    match verdict:
        case Allowed():
            return
        case Denied(reason=why):
            raise Forbidden(why)
        case Hidden():
            raise missing(kind)


def missing(kind: ObjectType) -> NotFound:
    """Return the contract's answer for an object that is not there, or not for this person."""
    return NotFound(f"No {NOUNS[kind]} matches the given query.")


NOUNS = {
    ObjectType.JOB: "Job",
    ObjectType.SCHEDULED_JOB: "ScheduledJob",
    ObjectType.JOB_RESULT: "JobResult",
}


def check_runnable(job: Runnable) -> None:
    """Let only a Job pass that people can start now.

    Raises:
        Forbidden: nobody has enabled it.
        NotRunnable: its code is gone, or it is started by events only.
    """
    if not job.enabled:
        raise Forbidden("This job is not enabled to be run.")
    if not job.installed:
        raise NotRunnable("This job is not presently installed and cannot be run.")
    if job.is_job_hook_receiver:
        raise NotRunnable("This job is started by events and cannot be run directly.")
