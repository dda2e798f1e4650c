"""Who may do what: the one rulebook, read from top to bottom.

* Default deny: what no rule below allows is refused.
* A read-only token writes nothing, whoever holds it.
* The type comes first: without the action on the type of object, the answer is no, whatever the object (403).
* Then the object: without the action on this very object it is no (403) to those who may see it, and
  unknown (404) to those who may not.
* What is added or changed must be something that the actor may add or change, also as it is afterwards.
* Only a superuser touches a superuser or his tokens, or makes somebody one; one that can sign in must remain.
* A Job must also be enabled, installed and one that people start, before anybody runs it.
* A request is approved by somebody who may change it and may approve its Job; by nobody who asked for it, ever
  owned it or changed what it runs, superusers included; once, in time, and knowingly if its start has passed.
* It is denied by somebody who may delete it and may approve its Job; who asked for it withdraws it that way.
* A dry run of it is started by somebody who may see it and may run its Job.
* A run is cancelled by who it runs as, or by somebody who may change its result; it is requested again by somebody who
  may see its result and may run its Job.
* Who takes over, hands over and changes a scheduled job stands in ``ownership``.

Contract 2, 4 to 6, 8, and 9.4 to 9.7.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from uuid import UUID

from approval_gate.errors import Conflict, Forbidden, GateError, Invalid, NotFound, NotRunnable
from approval_gate.lifecycle import ApprovalState, Transition, next_state
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


def check_type(actor: Actor, action: Action, kind: ObjectType) -> Verdict:
    """Say whether the actor has this action on this type at all."""
    if actor.read_only and action is not Action.VIEW:
        return Denied(NO_PERMISSION)
    if not actor.may(action, kind):
        return Denied(reason(action, kind))
    return Allowed()


def check_object(actor: Actor, action: Action, kind: ObjectType, thing: Attributes | None) -> Verdict:
    """Say whether the actor has this action on this object.

    Args:
        actor: who asks.
        action: what he wants to do.
        kind: the object's type.
        thing: the object, as constraints see it; None when there is no such object.
    """
    verdict = check_type(actor, action, kind)
    if verdict != Allowed():
        return verdict
    if thing is None:
        return Hidden()
    if actor.may(action, kind, thing):
        return Allowed()
    return Denied(reason(action, kind)) if actor.may(Action.VIEW, kind, thing) else Hidden()


def check_result(actor: Actor, action: Action, kind: ObjectType, thing: Attributes) -> Verdict:
    """Say whether the actor may add such an object, or make it of another.

    Args:
        actor: who asks.
        action: what he does, to add or to change.
        kind: the object's type.
        thing: the object as it is afterwards, as constraints see it.
    """
    return Allowed() if actor.may(action, kind, thing) else Denied(reason(action, kind))


def reason(action: Action, kind: ObjectType) -> str:
    """Return the sentence for a missing permission."""
    return REASONS.get((action, kind), NO_PERMISSION)


def enforce(verdict: Verdict, kind: ObjectType) -> None:
    """Let an allowed one pass.

    Raises:
        GateError: denied, with the reason, as the kind of error that the verdict names.
        NotFound: hidden, in the contract's words.
    """
    match verdict:
        case Allowed():
            return
        case Denied(reason=why, error=error):
            raise error(why)
        case Hidden():
            raise missing(kind)


def why_not(verdict: Verdict, *, hidden: str) -> str:
    """Return the sentence of a verdict; empty if it allows.

    Args:
        verdict: it.
        hidden: the sentence where the person may not even know that there is something.
    """
    match verdict:
        case Allowed():
            return ""
        case Denied(reason=reason):
            return reason
        case Hidden():
            return hidden


def missing(kind: ObjectType) -> NotFound:
    """Return the contract's answer for an object that is not there, or not for this person."""
    return NotFound(f"No {NOUNS[kind]} matches the given query.")


NOUNS = {
    ObjectType.JOB: "Job",
    ObjectType.SCHEDULED_JOB: "ScheduledJob",
    ObjectType.JOB_RESULT: "JobResult",
    ObjectType.JOB_LOG_ENTRY: "JobLogEntry",
    ObjectType.JOB_QUEUE: "JobQueue",
    ObjectType.USER: "User",
    ObjectType.GROUP: "Group",
    ObjectType.TOKEN: "Token",
    ObjectType.PERMISSION: "ObjectPermission",
}


# Superusers

SUPERUSERS_ONLY = "Only a superuser can do this to a superuser."
LAST_SUPERUSER = "At least one active superuser must remain."


def may_touch_superuser(actor: Actor, *, superuser: bool) -> Verdict:
    """Say whether the actor may write what concerns a user or his tokens.

    Args:
        actor: who asks.
        superuser: whether that user is a superuser, or would become one.
    """
    return Denied(SUPERUSERS_ONLY) if superuser and not actor.superuser else Allowed()


def may_lose_superuser(*, others: int) -> Verdict:
    """Say whether an active superuser may cease to be one.

    Args:
        others: how many other active superusers there are.
    """
    return Allowed() if others else Denied(LAST_SUPERUSER, Conflict)


def runnable(job: Runnable) -> Verdict:
    """Say whether people can start a Job now."""
    if not job.enabled:
        return Denied("This job is not enabled to be run.")
    if not job.installed:
        return Denied("This job is not presently installed and cannot be run.", NotRunnable)
    if job.is_job_hook_receiver:
        return Denied("This job is started by events and cannot be run directly.", NotRunnable)
    return Allowed()


# Deciding about requests

MAY_NOT_APPROVE = "You do not have permission to approve this request."
MAY_NOT_DENY = "You do not have permission to deny this request."
MAY_NOT_RUN = "You do not have permission to run this job."
OWN_REQUEST = "You cannot approve your own job request!"
ONCE_OWNED = "You have owned this request, so someone else must approve it."
ONCE_CHANGED = "You have changed what this request runs, so someone else must approve it."
NOT_NEEDED = "This scheduled job needs no approval."
JOB_GONE = "The job of this run is gone."
NO_DRY_RUN = "This job does not support dry runs."
PAST_DUE = "The job's start time is in the past. If you want to force a run anyway, add the `force` query parameter."


@dataclass(frozen=True, kw_only=True, slots=True)
class RequestFacts:
    """A scheduled job, as the rules about decisions see it.

    Args:
        thing: it, as constraints see it; None when there is no such scheduled job.
        job: its Job, as constraints see it.
        requester: the id of who asked for it.
        owner: the id of who owns it now; None when he has been removed.
        owners: the ids of all who ever owned it.
        editors: the ids of those who did not, and have changed what it runs.
        names: the names that all those had, so that nobody comes back under a new id.
        approval: where its approval stands.
        decided_by: the id of who approved it.
        settled: the sentence on who decided what, when; for one that is not pending any more.
        runnable: whether its Job can be started.
        supports_dryrun: whether its Job can be tried without effect.
        past_due: its only start has passed.
    """

    thing: Attributes | None
    job: Attributes
    requester: UUID | None
    owner: UUID | None
    owners: frozenset[UUID]
    editors: frozenset[UUID]
    names: frozenset[str]
    approval: ApprovalState
    decided_by: UUID | None
    settled: str
    runnable: Runnable
    supports_dryrun: bool
    past_due: bool


def approve(actor: Actor, request: RequestFacts, *, force: bool) -> Verdict:
    """Say whether the actor may approve a request (contract 6, 9.4 to 9.7).

    Args:
        actor: who decides.
        request: about what.
        force: he knows that its start has passed.
    """
    kind = ObjectType.SCHEDULED_JOB
    verdict = first(
        (check_object(actor, Action.CHANGE, kind, request.thing), _decides(actor, request, MAY_NOT_APPROVE))
    )
    if verdict != Allowed():
        return verdict
    if request.approval is ApprovalState.APPROVED and request.decided_by == actor.id:
        return Allowed()
    return first(
        (
            _four_eyes(actor, request),
            _can_be(Transition.APPROVE, request),
            runnable(request.runnable),
            refused_if(request.past_due and not force, PAST_DUE, Invalid),
        )
    )


def deny(actor: Actor, request: RequestFacts) -> Verdict:
    """Say whether the actor may deny a request, or withdraw his own (contract 6)."""
    seen = check_object(actor, Action.DELETE, ObjectType.SCHEDULED_JOB, request.thing)
    return first(
        (
            may_write(actor),
            Denied(MAY_NOT_DENY) if isinstance(seen, Denied) else seen,
            _decides(actor, request, MAY_NOT_DENY),
            _can_be(Transition.DENY, request),
        )
    )


def dry_run(actor: Actor, request: RequestFacts) -> Verdict:
    """Say whether the actor may try a request without effect (contract 6)."""
    able = runnable(request.runnable)
    return first(
        (
            may_write(actor),
            check_object(actor, Action.VIEW, ObjectType.SCHEDULED_JOB, request.thing),
            may_run_job(actor, request),
            Denied(able.reason, NotRunnable) if isinstance(able, Denied) else able,
            refused_if(not request.supports_dryrun, NO_DRY_RUN, NotRunnable),
        )
    )


def cancel(actor: Actor, result: Attributes | None, runs_as: UUID | None) -> Verdict:
    """Say whether the actor may cancel a run.

    Args:
        actor: who asks.
        result: its job result, as constraints see it; None when there is no such one.
        runs_as: the id of the user that it runs as; None when they have been removed.
    """
    if result is not None and runs_as == actor.id:
        return may_write(actor)
    return check_object(actor, Action.CHANGE, ObjectType.JOB_RESULT, result)


def run_again(actor: Actor, result: Attributes | None, job: Attributes | None) -> Verdict:
    """Say whether the actor may request a run again.

    Args:
        actor: who asks.
        result: its job result, as constraints see it; None when there is no such one.
        job: its Job, likewise; None when that is gone.
    """
    return first(
        (
            may_write(actor),
            check_object(actor, Action.VIEW, ObjectType.JOB_RESULT, result),
            refused_if(job is None, JOB_GONE, NotRunnable),
            refused_if(not _may(actor, Action.RUN, job or {}), MAY_NOT_RUN),
        )
    )


def first(verdicts: Iterable[Verdict]) -> Verdict:
    """Return the first verdict that does not allow."""
    return next((verdict for verdict in verdicts if verdict != Allowed()), Allowed())


def refused_if(fault: bool, reason: str, error: type[GateError] = Forbidden) -> Verdict:
    """Return the refusal for a fault, if it is one."""
    return Denied(reason, error) if fault else Allowed()


def may_write(actor: Actor) -> Verdict:
    """Say whether the actor came with a token that may write."""
    return refused_if(actor.read_only, NO_PERMISSION)


def _may(actor: Actor, action: Action, job: Attributes) -> bool:
    return check_type(actor, action, ObjectType.JOB) == Allowed() and actor.may(action, ObjectType.JOB, job)


def may_run_job(actor: Actor, request: RequestFacts) -> Verdict:
    """Say whether the actor may run the Job of a scheduled job."""
    return refused_if(not _may(actor, Action.RUN, request.job), MAY_NOT_RUN)


def _decides(actor: Actor, request: RequestFacts, otherwise: str) -> Verdict:
    return refused_if(not _may(actor, Action.APPROVE, request.job), otherwise)


def _four_eyes(actor: Actor, request: RequestFacts) -> Verdict:
    owned = actor.id in request.owners or actor.username in request.names
    return first(
        (
            refused_if(actor.id == request.requester, OWN_REQUEST),
            refused_if(actor.id in request.editors, ONCE_CHANGED),
            refused_if(owned, ONCE_OWNED),
        )
    )


def _can_be(step: Transition, request: RequestFacts) -> Verdict:
    if next_state(request.approval, step) is not None:
        return Allowed()
    return Denied(request.settled or NOT_NEEDED, Conflict)
