"""What people are told of requests for approval: what became of each, and how it differs from the one before.

* A request is told to who made it, who decided it, as whom it runs, and who may view requests; to nobody else.
* Its outcome is its scheduled job, as long as that is stored, and its newest run, each only if the caller may view it.
* It is compared with the newest request of the same Job that was approved before it was decided about, among those
  that the caller may view.
* Inputs that may be sensitive are neither told nor compared.

Contract 6 and 10.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from api_shim.domain.model import ApprovalRequest, Job, JobResult
from api_shim.domain.query import Condition
from api_shim.services.authorization import get_authorized, permitted_ids
from api_shim.services.review import NOTHING_YET, Difference, differences
from api_shim.store import Listing, Transaction
from approval_gate import policy
from approval_gate.constraints import Lookup, Op
from approval_gate.errors import Conflict
from approval_gate.lifecycle import ApprovalState
from approval_gate.model import Action, Actor, Allowed, ObjectType

KIND = ObjectType.APPROVAL_REQUEST
UNDECIDED = "This request has not been decided yet; see its review in the approval queue."


@dataclass(frozen=True, kw_only=True, slots=True)
class Outcomes:
    """What became of some requests.

    Args:
        scheduled: the ids of the scheduled jobs that are stored and that the caller may view.
        results: the newest run of each scheduled job that has one, by the id of that.
        sensitive: the ids of Jobs that may have sensitive inputs.
    """

    scheduled: frozenset[UUID] = frozenset()
    results: Mapping[UUID, JobResult] = field(default_factory=dict)
    sensitive: frozenset[UUID] = frozenset()

    def inputs_of(self, request: ApprovalRequest) -> Mapping[str, Any] | None:
        """Return the inputs that a request was decided about, as far as they may be told."""
        return None if request.job_id in self.sensitive else request.decided_inputs


@dataclass(frozen=True, kw_only=True, slots=True)
class Comparison:
    """How what was decided about differs from what was approved before.

    Args:
        inputs: its inputs; empty if they are hidden.
        circumstances: when and where it was to run.
        earlier: what it is compared with; None for nothing.
        hidden: whether its inputs may be sensitive.
    """

    inputs: list[Difference]
    circumstances: list[Difference]
    earlier: ApprovalRequest | None
    hidden: bool = False

    @property
    def nothing_earlier(self) -> str:
        """Why it is compared with nothing, as a sentence; empty otherwise."""
        return "" if self.earlier else NOTHING_YET


def outcomes(actor: Actor, requests: Sequence[ApprovalRequest], tx: Transaction) -> Outcomes:
    """Return what became of requests, as far as the actor may be told.

    Args:
        actor: the caller.
        requests: they.
        tx: the transaction.
    """
    if not requests:
        return Outcomes()
    ids = {request.scheduled_job_id for request in requests}
    stored = permitted_ids(tx, actor, Action.VIEW, ObjectType.SCHEDULED_JOB, ids)
    approved = {each.scheduled_job_id for each in requests if each.state is ApprovalState.APPROVED}
    may = policy.check_type(actor, Action.VIEW, ObjectType.JOB_RESULT) == Allowed()
    found = tx.newest_results_of(actor, approved) if approved and may else []
    jobs = tx.all(Job, id={request.job_id for request in requests}, has_sensitive_variables=True)
    return Outcomes(
        scheduled=frozenset(stored),
        results={result.scheduled_job_id: result for result in found if result.scheduled_job_id is not None},
        sensitive=frozenset(job.id for job in jobs),
    )


def newest_of(actor: Actor, scheduled_id: UUID, tx: Transaction) -> ApprovalRequest | None:
    """Return the newest request about a scheduled job that is decided and that the actor may view; None for none.

    Args:
        actor: the caller.
        scheduled_id: the id of the scheduled job, which may be gone.
        tx: the transaction.
    """
    return _newest(tx, actor, Lookup(path="decided_at", op=Op.ISNULL, value=False), scheduled_job_id=scheduled_id)


def compare(actor: Actor, request_id: UUID, tx: Transaction) -> Comparison:
    """Compare what was decided about with what was approved before.

    Args:
        actor: the caller.
        request_id: the id of the request.
        tx: the transaction.

    Raises:
        NotFound: there is no such request, or none that the actor may view.
        Conflict: it has not been decided.
    """
    request: ApprovalRequest = get_authorized(tx, actor, Action.VIEW, KIND, id=request_id)
    if request.decided_at is None:
        raise Conflict(UNDECIDED)
    before = Lookup(path="decided_at", op=Op.LT, value=request.decided_at)
    earlier = _newest(tx, actor, before, job_id=request.job_id, state=ApprovalState.APPROVED)
    is_sensitive = tx.exists(Job, id=request.job_id, has_sensitive_variables=True)
    inputs = None if is_sensitive else request.decided_inputs
    return Comparison(
        inputs=[] if inputs is None else differences(earlier.decided_inputs if earlier else None, inputs),
        circumstances=differences(earlier.circumstances if earlier else None, request.circumstances or {}),
        earlier=earlier,
        hidden=inputs is None,
    )


def _newest(tx: Transaction, actor: Actor, decided_at: Lookup, **of: Any) -> ApprovalRequest | None:
    """Return the newest request of those that were decided at such a time and that the actor may view."""
    newest = Listing(where=(Condition(tests=(decided_at,)),), limit=1, sort=("-decided_at",))
    found = tx.page(KIND, actor, newest, **of).rows
    return found[0] if found else None
