"""Where the approval of a scheduled job stands, and what may happen to it: one table; what it does not list cannot be.

* A request is pending until somebody approves or denies it, its requester withdraws it, or its time to decide ends.
* Decided is decided: no decision follows another.
* Only a change of what was approved, or of what needs approval, puts it back into the queue.
* Only what needs no approval, or has it, lets a run go.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum


class ApprovalState(StrEnum):
    """Where the approval of a scheduled job stands."""

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
"""The state after a step, for every step that can be taken."""


def next_state(state: ApprovalState, step: Transition) -> ApprovalState | None:
    """Return the state after a step, or None if the step cannot be taken."""
    return STEPS.get((state, step))
