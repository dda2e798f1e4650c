"""Who may own a scheduled job, and who may change what it runs.

* Assume ownership: the caller may change the scheduled job and run its Job, and does not own it.
* Transfer: the caller may change the scheduled job and the new owner's account, because the scheduled job runs in the
  new owner's name. The new owner must be somebody who could assume ownership.
* Change when, where or with what it runs: the caller may change the scheduled job and run its Job. Only the owner
  changes the inputs, superusers included, because it runs as the owner.
* The approval stands, unless the owner is who gave it: nobody approves what runs as themselves. Anyone who has owned
  the scheduled job, or changed what it runs, may not approve it (``policy``).

Contract 1.4 and 10.
"""

from __future__ import annotations

from uuid import UUID

from approval_gate.errors import Conflict
from approval_gate.identity import Identity
from approval_gate.lifecycle import ApprovalState
from approval_gate.model import Action, Actor, Allowed, ObjectType, Verdict
from approval_gate.policy import (
    RequestFacts,
    check_object,
    check_type,
    first,
    may_be_more,
    may_run_job,
    may_write,
    refused_if,
    runnable,
)

ALREADY_OWNER = "You already own this scheduled job."
NOT_OWNER = "Only the owner can change the inputs, because the scheduled job runs as its owner; assume ownership first."


def assume(actor: Actor, request: RequestFacts) -> Verdict:
    """Say whether the actor may assume ownership of a scheduled job (contract 1.4)."""
    return first(
        (
            check_object(actor, Action.CHANGE, ObjectType.SCHEDULED_JOB, request.thing),
            refused_if(actor.id == request.owner, ALREADY_OWNER, Conflict),
            may_run_job(actor, request),
        )
    )


def hand_over(actor: Actor, request: RequestFacts) -> Verdict:
    """Say whether the actor may transfer a scheduled job at all; the new owner's account is checked separately."""
    return first(
        (
            check_object(actor, Action.CHANGE, ObjectType.SCHEDULED_JOB, request.thing),
            check_type(actor, Action.CHANGE, ObjectType.USER),
        )
    )


def receive(receiver: Actor, request: RequestFacts, *, active: bool) -> Verdict:
    """Say whether a user can become the owner: whether they could assume ownership if it were already theirs.

    Args:
        receiver: the new owner.
        request: the scheduled job.
        active: whether the new owner's account is active.
    """
    kind, whose = ObjectType.SCHEDULED_JOB, {"user": receiver.id, "user__username": receiver.username}
    may_change = check_object(receiver, Action.CHANGE, kind, {**(request.thing or {}), **whose}) == Allowed()
    name = receiver.username
    return first(
        (
            refused_if(not active, f"{name} has been deactivated.", Conflict),
            refused_if(receiver.id == request.owner, f"{name} already owns this scheduled job.", Conflict),
            refused_if(not may_change, f"{name} does not have permission to change this scheduled job."),
            inherit(receiver, request),
        )
    )


def inherit(heir: Actor, request: RequestFacts) -> Verdict:
    """Say whether a user can inherit the scheduled jobs of a user who is removed."""
    may_run = may_run_job(heir, request) == Allowed()
    return first(
        (
            may_be_more(agent=heir.agent),
            refused_if(not may_run, f"{heir.username} does not have permission to run this job."),
        )
    )


def lapse(owner: UUID, username: str, approval: ApprovalState, approver: Identity) -> str:
    """Return why the approval of a scheduled job does not count with this owner; empty if it does, or there is none.

    Args:
        owner: the id of the owner.
        username: their name.
        approval: the state of its approval.
        approver: every account and name that counts as the approver.
    """
    approved = approval is ApprovalState.APPROVED and approver.includes(owner, username)
    return f"{username} has approved this and owns it now, so someone else must approve it." if approved else ""


def change(actor: Actor, request: RequestFacts, *, runs_otherwise: bool, inputs: bool) -> Verdict:
    """Say whether the actor may change a scheduled job (contract 10).

    Args:
        actor: the caller.
        request: the scheduled job.
        runs_otherwise: the change affects when, where or with what inputs it runs.
        inputs: the change affects its inputs.
    """
    return first(
        (
            check_object(actor, Action.CHANGE, ObjectType.SCHEDULED_JOB, request.thing),
            may_run_job(actor, request) if runs_otherwise else Allowed(),
            refused_if(inputs and actor.id != request.owner, NOT_OWNER),
        )
    )


def run(actor: Actor, request: RequestFacts) -> Verdict:
    """Say whether the actor may run the Job of a scheduled job (contract 4)."""
    return first((may_write(actor), may_run_job(actor, request), runnable(request.runnable)))
