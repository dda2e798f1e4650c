"""The states of an approval and the transitions between them: one table, and nothing else is allowed.

* A request is pending until it is approved, denied or withdrawn, or until it expires.
* A request is decided once; no decision follows another.
* A request returns to the queue only if what was approved, or the need for approval, has changed.
* A run executes only if its request is approved or needs no approval.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum


class ApprovalState(StrEnum):
    """The state of a scheduled job's approval."""

    NOT_REQUIRED = "not_required"
    PENDING = "pending"
    APPROVED = "approved"
    DENIED = "denied"
    EXPIRED = "expired"
    WITHDRAWN = "withdrawn"

    @property
    def lets_run(self) -> bool:
        return self in {ApprovalState.NOT_REQUIRED, ApprovalState.APPROVED}


class Transition(StrEnum):
    """What happens to an approval."""

    APPROVE = "approve"
    DENY = "deny"
    WITHDRAW = "withdraw"
    EXPIRE = "expire"
    RETURN = "return"


STEPS: Mapping[tuple[ApprovalState, Transition], ApprovalState] = {
    (ApprovalState.PENDING, Transition.APPROVE): ApprovalState.APPROVED,
    (ApprovalState.PENDING, Transition.DENY): ApprovalState.DENIED,
    (ApprovalState.PENDING, Transition.WITHDRAW): ApprovalState.WITHDRAWN,
    (ApprovalState.PENDING, Transition.EXPIRE): ApprovalState.EXPIRED,
    (ApprovalState.APPROVED, Transition.RETURN): ApprovalState.PENDING,
    (ApprovalState.NOT_REQUIRED, Transition.RETURN): ApprovalState.PENDING,
}
"""The next state, for every transition that is allowed."""


def next_state(state: ApprovalState, step: Transition) -> ApprovalState | None:
    """Return the state after a transition, or None if the transition is not allowed."""
    return STEPS.get((state, step))
