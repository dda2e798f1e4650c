"""Who asks, what they ask for, and what the rules answer.

* An actor is a user with the permissions that hold for him now; there is no actor without a user.
* A permission is additive: it gives actions on types of objects, perhaps only on those that match its constraints.
* What no permission gives is refused, but for a user's own tokens. Superusers may everything that an account can.
* A verdict is a value: allowed, denied with a reason that is shown to the person, or hidden (act as if it did
  not exist).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any
from uuid import UUID

from approval_gate.constraints import CALLER, Constraint, Lookup, Op
from approval_gate.errors import Forbidden, GateError

Attributes = Mapping[str, Any]
"""What constraints can ask about one object: value by lookup path (``job_model__name``)."""


class Action(StrEnum):
    """What can be permitted (contract 8)."""

    VIEW = "view"
    ADD = "add"
    CHANGE = "change"
    DELETE = "delete"
    RUN = "run"
    APPROVE = "approve"
    WRITE = "write"


class ObjectType(StrEnum):
    """What it can be permitted on (contract 8); ``prefect`` is Prefect's own API."""

    JOB = "extras.job"
    SCHEDULED_JOB = "extras.scheduledjob"
    JOB_RESULT = "extras.jobresult"
    JOB_LOG_ENTRY = "extras.joblogentry"
    JOB_QUEUE = "extras.jobqueue"
    USER = "users.user"
    GROUP = "auth.group"
    TOKEN = "users.token"  # noqa: S105 - the name of a type, not a secret
    PERMISSION = "users.objectpermission"
    PREFECT = "prefect"


@dataclass(frozen=True, kw_only=True, slots=True)
class Grant:
    """One permission as it reaches one actor.

    Args:
        object_types: the types it speaks of.
        actions: what it gives on them.
        constraint: which objects it is limited to; one that is empty does not limit.
    """

    object_types: frozenset[ObjectType]
    actions: frozenset[Action]
    constraint: Constraint

    def covers(self, action: Action, kind: ObjectType) -> bool:
        return action in self.actions and kind in self.object_types


IMPLICIT_GRANT = Grant(
    object_types=frozenset({ObjectType.TOKEN}),
    actions=frozenset({Action.VIEW, Action.ADD, Action.CHANGE, Action.DELETE}),
    constraint=Constraint(((Lookup(path="user", op=Op.EXACT, value=CALLER),),)),
)
"""What every user has without being given it: what concerns his own tokens (contract 8)."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Actor:
    """A user and what he may do at this moment.

    Args:
        id: the user's id, what ``$user`` in a constraint stands for.
        username: for messages and logs.
        superuser: may everything.
        grants: every enabled permission that reaches him, directly or through a group.
        read_only: he came with a read-only token: no write, whatever he may otherwise.
    """

    id: UUID
    username: str
    superuser: bool = False
    grants: tuple[Grant, ...] = ()
    read_only: bool = False

    def may(self, action: Action, kind: ObjectType, thing: Attributes | None = None) -> bool:
        """Say whether some permission gives this action on this type or, with ``thing``, on this very object."""
        if self.superuser:
            return True
        constraints = self.constraints(action, kind)
        if thing is None:
            return bool(constraints)
        return any(constraint.matches(thing, user=self.id) for constraint in constraints)

    def constraints(self, action: Action, kind: ObjectType) -> tuple[Constraint, ...]:
        """Return the alternatives under which the action is given; none at all means that it is not given."""
        return tuple(grant.constraint for grant in (*self.grants, IMPLICIT_GRANT) if grant.covers(action, kind))


@dataclass(frozen=True, slots=True)
class Allowed:
    """The rules allow it."""


@dataclass(frozen=True, slots=True)
class Denied:
    """The rules refuse it, for a reason that the person is told.

    Args:
        reason: for people.
        error: what kind of refusal it is.
    """

    reason: str
    error: type[GateError] = Forbidden


@dataclass(frozen=True, slots=True)
class Hidden:
    """The person may not even know that it exists."""


Verdict = Allowed | Denied | Hidden
