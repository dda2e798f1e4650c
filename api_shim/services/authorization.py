"""How every use case comes to an object: through the permission for what it is about to do with it.

* The type comes first: who lacks the action on the type learns nothing of any object (403).
* Whoever writes something that names him must still be there, though he has just signed in.
* Then the object: what is not there and what he may not see look the same (404); what he may see but not do says why.

Contract 2.

Scheduled jobs with all that the rules want to know of them, and how a use case comes to one through the rules.

* The facts are read in the same number of queries however many scheduled jobs they are about.
* Who changes one locks it first: of several at once the first holds, and the others are judged by what it left.
* Who decides about one that has been denied is told by whom, if he could have decided about it.

Contract 2, 6, 9.6 and 9.7.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from api_shim.domain.accounts import User
from api_shim.domain.audit import EventType, restored
from api_shim.domain.model import UNKNOWN_USER, Job, Participant, ScheduledJob
from api_shim.store import TYPES, Transaction
from api_shim.store.columns import path_types
from approval_gate import policy
from approval_gate.errors import Conflict, Forbidden
from approval_gate.lifecycle import ApprovalState
from approval_gate.model import Action, Actor, Allowed, Hidden, ObjectType, Verdict


def get_authorized(
    tx: Transaction, actor: Actor, action: Action, kind: ObjectType, *, lock: bool = False, **by: Any
) -> Any:
    """Return the object that the actor may do this with.

    Args:
        tx: the transaction.
        actor: who asks.
        action: what he wants to do.
        kind: the type of object.
        lock: nobody else may change it until the transaction ends.
        by: the fields that tell which one.

    Raises:
        Forbidden: he may do it with none, or not with this one, which he may see.
        NotFound: there is none, or none that he may see.
    """
    policy.enforce(policy.check_type(actor, action, kind), kind)
    found = tx.one(TYPES[kind], lock=lock, **by)
    thing = tx.attributes(kind, found.id) if found is not None else None
    policy.enforce(policy.check_object(actor, action, kind, thing), kind)
    return found


def permitted_ids(tx: Transaction, actor: Actor, action: Action, kind: ObjectType, ids: Collection[UUID]) -> set[UUID]:
    """Return those of these objects with which the actor may do this; none where he may do it with none at all."""
    return tx.visible(kind, actor, action, ids) if policy.check_type(actor, action, kind) == Allowed() else set()


def check_still_active(tx: Transaction, actor: Actor) -> None:
    """See that who acts has not been removed or deactivated since he signed in.

    Raises:
        Forbidden: he has.
    """
    user = tx.one(User, id=actor.id, lock=True)
    if user is None or not user.is_active:
        raise Forbidden("This user has been removed or deactivated.")


KIND = ObjectType.SCHEDULED_JOB


@dataclass(frozen=True, kw_only=True, slots=True)
class AuthzContext:
    """A scheduled job, its Job, the name of who asked for it, and it as the rules see it."""

    row: ScheduledJob
    job: Job
    requester: str
    request: policy.RequestFacts


def authorize(
    tx: Transaction,
    actor: Actor,
    action: Action,
    by: Mapping[str, Any],
    now: datetime,
    judge: Callable[[policy.RequestFacts], Verdict],
) -> AuthzContext:
    """Return the scheduled job that the actor may do this with, locked if that changes it.

    Args:
        tx: the transaction.
        actor: who does something.
        action: the permission that it needs first.
        by: the field that tells with which.
        now: the time.
        judge: the rule.

    Raises:
        GateError: the rule refuses, with its reason.
        NotFound: there is none, or none that he may see.
        Conflict: it has been denied, and by whom.
    """
    row = tx.one(ScheduledJob, lock=action is not Action.VIEW, **by)
    if row is None:
        verdict = judge(NOTHING)
        if verdict == Hidden() and action is not Action.VIEW:
            raise_if_already_decided(tx, actor, action, by)
        policy.enforce(verdict, KIND)
        raise policy.missing(KIND)
    [case] = load_contexts(tx, [row], now)
    policy.enforce(judge(case.request), KIND)
    return case


def authorize_view(tx: Transaction, actor: Actor, by: Mapping[str, Any], now: datetime) -> AuthzContext:
    """Return a scheduled job that somebody may view.

    Raises:
        Forbidden: he may view none.
        NotFound: there is none, or none that he may see.
    """

    def may_view(request: policy.RequestFacts) -> Verdict:
        return policy.check_object(actor, Action.VIEW, KIND, request.thing)

    return authorize(tx, actor, Action.VIEW, by, now, may_view)


def load_contexts(tx: Transaction, rows: list[ScheduledJob], now: datetime) -> list[AuthzContext]:
    """Return scheduled jobs as the rules see them."""
    jobs = {job.id: job for job in tx.all(Job, id=[row.job_id for row in rows])}
    things = tx.attributes_of(KIND, [row.id for row in rows])
    job_things = tx.attributes_of(ObjectType.JOB, jobs)
    people: dict[UUID, list[Participant]] = defaultdict(list)
    for participant in tx.all(Participant, scheduled_job_id=[row.id for row in rows]):
        people[participant.scheduled_job_id].append(participant)

    def case(row: ScheduledJob) -> AuthzContext:
        job = jobs[row.job_id]
        request = policy.RequestFacts(
            thing=things[row.id],
            job=job_things[job.id],
            requester=row.requester_id,
            owner=row.owner_id,
            owners=frozenset(filter(None, (*(each.user_id for each in people[row.id] if each.owned), row.owner_id))),
            editors=frozenset(each.user_id for each in people[row.id] if not each.owned),
            names=frozenset(each.username for each in people[row.id]),
            approval=ApprovalState.EXPIRED if _is_over(row, now) else row.approval,
            decided_by=row.approved_by_id,
            settled=_settled(row, now),
            runnable=job.runnable,
            supports_dryrun=job.supports_dryrun,
            past_due=row.is_past_due(now),
        )
        names = {each.user_id: each.username for each in people[row.id]}
        requester = names.get(row.requester_id, UNKNOWN_USER) if row.requester_id else UNKNOWN_USER
        return AuthzContext(row=row, job=job, requester=requester, request=request)

    return [case(row) for row in rows]


NOTHING = policy.RequestFacts(
    thing=None,
    job={},
    requester=None,
    owner=None,
    owners=frozenset(),
    editors=frozenset(),
    names=frozenset(),
    approval=ApprovalState.PENDING,
    decided_by=None,
    settled="",
    runnable=policy.Runnable(enabled=False, installed=False, is_job_hook_receiver=False),
    supports_dryrun=False,
    past_due=False,
)
"""What is not there, as the rules see it."""


def _is_over(row: ScheduledJob, now: datetime) -> bool:
    """Say whether the time to decide has ended, also if nobody has written that down yet."""
    return row.approval is ApprovalState.PENDING and row.expires_at is not None and row.expires_at <= now


def _settled(row: ScheduledJob, now: datetime) -> str:
    if row.approval is ApprovalState.APPROVED and row.approved_at is not None:
        return _decided("approved", row.approved_by, row.approved_at)
    if row.approval is ApprovalState.EXPIRED or _is_over(row, now):
        return EXPIRED
    return ""


EXPIRED = "This request has expired, because nobody decided about it in time; request it again."


def _decided(how: str, who: str, when: datetime) -> str:
    return f"{who} {how} this request on {when.astimezone(UTC):%Y-%m-%d at %H:%M:%S} UTC."


def raise_if_already_decided(tx: Transaction, actor: Actor, action: Action, by: Mapping[str, Any]) -> None:
    """Tell somebody who could have done this with a request that has gone, by whom it was denied or withdrawn.

    Raises:
        Conflict: it has been, by somebody.
    """
    about = {"scheduled_job_id" if field == "id" else field: value for field, value in by.items()}
    event = tx.last_event((EventType.DENIED, EventType.WITHDRAWN), **about)
    if event is None:
        return
    if actor.may(action, KIND, restored(event.data.get("seen", {}), path_types([KIND]))):
        raise Conflict(_decided("denied" if event.act is EventType.DENIED else "withdrew", event.actor, event.at))


def add_participant(tx: Transaction, scheduled: ScheduledJob, user_id: UUID, username: str, *, owned: bool) -> None:
    """Note that somebody owns a scheduled job, or has changed what it runs; who ever owned it stays an owner."""
    known = tx.one(Participant, scheduled_job_id=scheduled.id, user_id=user_id)
    if known is None:
        tx.add(Participant(scheduled_job_id=scheduled.id, user_id=user_id, username=username, owned=owned))
    elif owned and not known.owned:
        tx.change(known, owned=True)
