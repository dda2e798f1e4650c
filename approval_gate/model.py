"""Actors, the permissions they have, and the verdicts of the rules.

* An actor is a user with the permissions they have now; there is no actor without a user.
* Permissions are additive: each grants actions on object types, optionally limited by constraints.
* What no permission grants is refused, except for a user's own tokens, and requests that they had a part in. A
  superuser has every permission.
* Who acts by a run of theirs has what they have of ``BY_RUNS``, and nothing else, superusers too.
* An agent, a program that asks for a person, has what it was given of ``BY_AGENTS``, and may take back what it has
  asked for (``OF_AGENTS``); it has nothing else, whatever it was given.
* A verdict is a value: allowed, denied with a reason for the caller, or hidden (answered as if the object did not
  exist).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any
from uuid import UUID

from approval_gate.constraints import CALLER, UNLIMITED, Constraint, Lookup, Op
from approval_gate.errors import Forbidden, GateError

Attributes = Mapping[str, Any]
"""The attributes of one object that constraints can use: values by lookup path (``job_model__name``)."""


class Action(StrEnum):
    """An action that a permission can grant (contract 8)."""

    VIEW = "view"
    ADD = "add"
    CHANGE = "change"
    DELETE = "delete"
    RUN = "run"
    APPROVE = "approve"
    WRITE = "write"


class ObjectType(StrEnum):
    """A type of objects that a permission can cover (contract 8); ``prefect`` is Prefect's own API.

    ``signoff.metrics`` are the metrics of the server.
    """

    JOB = "extras.job"
    SCHEDULED_JOB = "extras.scheduledjob"
    JOB_RESULT = "extras.jobresult"
    JOB_LOG_ENTRY = "extras.joblogentry"
    JOB_QUEUE = "extras.jobqueue"
    JOB_BUTTON = "extras.jobbutton"
    JOB_HOOK = "extras.jobhook"
    AUTOMATION_ACCOUNT = "extras.automationaccount"
    APPROVAL_REQUEST = "extras.approvalrequest"
    USER = "users.user"
    GROUP = "auth.group"
    TOKEN = "users.token"  # noqa: S105 - the name of a type, not a secret
    PERMISSION = "users.objectpermission"
    PREFECT = "prefect"
    METRICS = "signoff.metrics"


@dataclass(frozen=True, kw_only=True, slots=True)
class Grant:
    """One permission of one actor.

    Args:
        object_types: the object types it covers.
        actions: the actions it grants on them.
        constraint: the objects it is limited to; an empty constraint does not limit.
    """

    object_types: frozenset[ObjectType]
    actions: frozenset[Action]
    constraint: Constraint

    def covers(self, action: Action, kind: ObjectType) -> bool:
        return action in self.actions and kind in self.object_types


def _of_the_caller(*paths: str) -> Constraint:
    """Return the constraint that one of these fields is the caller."""
    return Constraint(tuple((Lookup(path=path, op=Op.EXACT, value=CALLER),) for path in paths))


IMPLICIT_GRANTS = (
    Grant(
        object_types=frozenset({ObjectType.TOKEN}),
        actions=frozenset({Action.VIEW, Action.ADD, Action.CHANGE, Action.DELETE}),
        constraint=_of_the_caller("user"),
    ),
    Grant(
        object_types=frozenset({ObjectType.APPROVAL_REQUEST}),
        actions=frozenset({Action.VIEW}),
        constraint=_of_the_caller("user", "owner", "decided_by_user"),
    ),
)
"""What every user may do without a permission: view and manage their own tokens (contract 8), and view the requests
for approval that they have made or decided about, and those to run something as them.
"""


BY_RUNS: frozenset[tuple[Action, ObjectType]] = frozenset(
    {
        (Action.VIEW, ObjectType.JOB),
        (Action.RUN, ObjectType.JOB),
        (Action.VIEW, ObjectType.SCHEDULED_JOB),
        (Action.VIEW, ObjectType.JOB_RESULT),
        (Action.VIEW, ObjectType.JOB_LOG_ENTRY),
    }
)
"""What somebody may do by a run of theirs, if they may do it at all: request, and read what comes of it."""

OF_SUPERUSERS_BY_RUNS = tuple(
    Grant(object_types=frozenset({kind}), actions=frozenset({action}), constraint=UNLIMITED) for action, kind in BY_RUNS
)
"""The same as permissions, for who has every permission."""


BY_AGENTS = BY_RUNS | {
    (Action.VIEW, ObjectType.APPROVAL_REQUEST),
    (Action.VIEW, ObjectType.JOB_QUEUE),
    (Action.VIEW, ObjectType.TOKEN),
}
"""What an agent may do, if it may do it at all: request, and read what comes of it."""

OF_AGENTS = Grant(
    object_types=frozenset({ObjectType.SCHEDULED_JOB}),
    actions=frozenset({Action.DELETE}),
    constraint=_of_the_caller("user"),
)
"""What every agent may do without a permission: delete the scheduled jobs that it owns, which are those that it has
requested; one that waits for approval is withdrawn by that.
"""


@dataclass(frozen=True, kw_only=True, slots=True)
class Actor:
    """A user and what they may do now.

    Args:
        id: the user's id, which replaces ``$user`` in a constraint.
        username: the user's name, for messages and logs.
        superuser: whether they have every permission.
        grants: every enabled permission that they have, directly or through a group.
        read_only: they authenticated with a read-only token, so they may not write.
        token_id: the token that they authenticated with; None for none.
        works_for: the work pool whose runs the account executes; empty if it is no worker's.
        by_run: the job result of the run by whose credential they act (``within_run``); None if they do it themselves.
        by_automation: Prefect's automation that acts as them, because it was bound to their account; None if none does.
        agent: whether the account is that of a program that asks for a person (``as_agent``).

    Raises:
        ValueError: they act by a run, or are an agent, and yet have more than those may do.
    """

    id: UUID
    username: str
    superuser: bool = False
    grants: tuple[Grant, ...] = ()
    read_only: bool = False
    token_id: UUID | None = None
    works_for: str = ""
    by_run: UUID | None = None
    by_automation: UUID | None = None
    agent: bool = False

    def __post_init__(self) -> None:
        if self.agent and (self.superuser or self.works_for):
            raise ValueError("An agent is neither a superuser nor a worker; see as_agent().")
        if self.by_run is not None and (self.superuser or self.works_for):
            raise ValueError("Who acts by a run is neither a superuser nor a worker; see within_run().")

    def within_run(self, result_id: UUID) -> Actor:
        """Return the same user as they act by a run of theirs.

        Args:
            result_id: the job result of the run.
        """
        grants = OF_SUPERUSERS_BY_RUNS if self.superuser else self.grants
        return replace(self, superuser=False, works_for="", grants=grants, token_id=None, by_run=result_id)

    def as_agent(self) -> Actor:
        """Return the same account as that of an agent."""
        grants = OF_SUPERUSERS_BY_RUNS if self.superuser else self.grants
        return replace(self, superuser=False, works_for="", grants=grants, agent=True)

    def may(self, action: Action, kind: ObjectType, thing: Attributes | None = None) -> bool:
        """Say whether a permission grants the action on the type or, with ``thing``, on that object."""
        if self.superuser:
            return True
        constraints = self.constraints(action, kind)
        if thing is None:
            return bool(constraints)
        return any(constraint.matches(thing, user=self.id) for constraint in constraints)

    def constraints(self, action: Action, kind: ObjectType) -> tuple[Constraint, ...]:
        """Return the constraints under which the action is granted; an empty tuple means that it is not granted."""
        return tuple(grant.constraint for grant in self._grants_for(action, kind) if grant.covers(action, kind))

    def _grants_for(self, action: Action, kind: ObjectType) -> tuple[Grant, ...]:
        """Return the permissions that count for an action, whether they grant it or not."""
        if self.by_run is not None and (action, kind) not in BY_RUNS:
            return ()
        if self.agent and (action, kind) not in BY_AGENTS:
            return (OF_AGENTS,)
        return (*self.grants, *IMPLICIT_GRANTS)


@dataclass(frozen=True, slots=True)
class Allowed:
    """The rules allow it."""


@dataclass(frozen=True, slots=True)
class Denied:
    """The rules refuse it, and the caller is told why.

    Args:
        reason: the sentence for the caller.
        error: the error to raise.
    """

    reason: str
    error: type[GateError] = Forbidden


@dataclass(frozen=True, slots=True)
class Hidden:
    """The caller may not know that the object exists."""


Verdict = Allowed | Denied | Hidden
