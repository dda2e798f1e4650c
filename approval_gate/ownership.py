"""Whose a scheduled job is: who takes it over, to whom it is handed, and who changes what it runs.

* It is taken over by somebody who may change it and may run its Job, and does not own it yet.
* It is handed over by somebody who may change both it and the account of the receiver, for what it does is done in the
  receiver's name; and to somebody who could take it over.
* What it runs is changed by somebody who may change it and may run its Job; the inputs by its owner alone, superusers
  included, for it runs as him.
* None of that touches its approval; who ever owned it, or changed what it runs, does not approve it (``policy``).

Contract 1.4 and 10.
"""

from __future__ import annotations

from approval_gate.errors import Conflict
from approval_gate.model import Action, Actor, Allowed, ObjectType, Verdict
from approval_gate.policy import (
    RequestFacts,
    check_object,
    check_type,
    first,
    may_run_job,
    may_write,
    refused_if,
    runnable,
)

ALREADY_OWNER = "You own this scheduled job already."
NOT_OWNER = "This scheduled job runs as its owner, who alone can change its inputs; assume ownership of it first."


def assume(actor: Actor, request: RequestFacts) -> Verdict:
    """Say whether the actor may become the owner of a scheduled job (contract 1.4)."""
    return first(
        (
            check_object(actor, Action.CHANGE, ObjectType.SCHEDULED_JOB, request.thing),
            refused_if(actor.id == request.owner, ALREADY_OWNER, Conflict),
            may_run_job(actor, request),
        )
    )


def hand_over(actor: Actor, request: RequestFacts) -> Verdict:
    """Say whether the actor may hand a scheduled job to anybody; whose account he may change is asked of that one."""
    return first(
        (
            check_object(actor, Action.CHANGE, ObjectType.SCHEDULED_JOB, request.thing),
            check_type(actor, Action.CHANGE, ObjectType.USER),
        )
    )


def receive(receiver: Actor, request: RequestFacts, *, active: bool) -> Verdict:
    """Say whether somebody can be given a scheduled job: what he needs to assume it, once it is his to change."""
    kind, whose = ObjectType.SCHEDULED_JOB, {"user": receiver.id, "user__username": receiver.username}
    may_change = check_object(receiver, Action.CHANGE, kind, {**(request.thing or {}), **whose}) == Allowed()
    name = receiver.username
    return first(
        (
            refused_if(not active, f"{name} has been deactivated.", Conflict),
            refused_if(receiver.id == request.owner, f"{name} owns this scheduled job already.", Conflict),
            refused_if(not may_change, f"{name} does not have permission to change this scheduled job."),
            inherit(receiver, request),
        )
    )


def inherit(heir: Actor, request: RequestFacts) -> Verdict:
    """Say whether somebody can be left a scheduled job of a user who is removed."""
    may_run = may_run_job(heir, request) == Allowed()
    return refused_if(not may_run, f"{heir.username} does not have permission to run this job.")


def change(actor: Actor, request: RequestFacts, *, runs_otherwise: bool, inputs: bool) -> Verdict:
    """Say whether the actor may change a scheduled job (contract 10).

    Args:
        actor: who changes it.
        request: the scheduled job.
        runs_otherwise: it would run when, where or with what it does not now.
        inputs: it would run with other inputs.
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
