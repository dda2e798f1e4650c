"""Authorization: every use case gets its objects here, with the permission for what it is about to do.

* The type is checked first: a caller without the action on the type learns nothing about any object (403).
* Then the object: one that does not exist and one that the caller may not view look the same (404). For one that they
  may view, the error has the reason.
* A use case that records the caller's name checks that their account is still active, even if they have just signed
  in.
* A use case that changes a scheduled job locks it first, so that of several callers at once, each is judged by what
  the one before has left.
* A caller who names the version that they have seen acts on no other one.
* A caller who decides about a request that has been denied or withdrawn is told by whom, if they could have decided
  about it.
* The facts for the rules are read in a fixed number of queries, however many scheduled jobs there are.

Contract 2, 6, 9.6 and 9.7.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from api_shim.domain.accounts import User
from api_shim.domain.approval import version_of
from api_shim.domain.audit import EventType, restored
from api_shim.domain.model import UNKNOWN_USER, Job, Participant, ScheduledJob
from api_shim.services.authentication import actors_of
from api_shim.services.user_names import history_of, referred_user
from api_shim.store import TYPES, Transaction
from api_shim.store.columns import path_types
from approval_gate import policy
from approval_gate.errors import Conflict, Forbidden
from approval_gate.identity import NOBODY, Identity, normal_form
from approval_gate.lifecycle import ApprovalState
from approval_gate.model import Action, Actor, Allowed, Hidden, ObjectType, Verdict

# Objects of any type


def get_authorized(
    tx: Transaction, actor: Actor, action: Action, kind: ObjectType, *, lock: bool = False, **by: Any
) -> Any:
    """Return an object on which the actor has the action.

    Args:
        tx: the transaction.
        actor: the caller.
        action: the action.
        kind: the type of the object.
        lock: whether to lock the object until the transaction ends.
        by: the fields that identify the object.

    Raises:
        Forbidden: the caller lacks the action on the type, or on this object, which they may view.
        NotFound: the object does not exist, or the caller may not view it.
    """
    policy.enforce(policy.check_type(actor, action, kind), kind)
    found = referred_user(tx, by, lock=lock) if kind is ObjectType.USER else tx.get(TYPES[kind], lock=lock, **by)
    thing = tx.attributes(kind, found.id) if found is not None else None
    policy.enforce(policy.check_object(actor, action, kind, thing), kind)
    return found


def permitted_ids(tx: Transaction, actor: Actor, action: Action, kind: ObjectType, ids: Collection[UUID]) -> set[UUID]:
    """Return the ids on which the actor has the action; an empty set if they lack the action on the type."""
    return tx.visible(kind, actor, action, ids) if policy.check_type(actor, action, kind) == Allowed() else set()


def check_still_active(tx: Transaction, actor: Actor) -> None:
    """Check that the actor has not been removed or deactivated since they signed in.

    Raises:
        Forbidden: the actor has been removed or deactivated.
    """
    user = tx.get(User, id=actor.id, lock=True)
    if user is None or not user.is_active:
        raise Forbidden("This user has been removed or deactivated.")


def approvers_of(tx: Transaction, job_id: UUID) -> list[str]:
    """Return the names of the active users who may approve requests of a Job."""
    job = tx.attributes(ObjectType.JOB, job_id)
    users = tx.all(User, order="username", is_active=True)
    return [actor.username for actor in actors_of(tx, users) if actor.may(Action.APPROVE, ObjectType.JOB, job)]


# Scheduled jobs

KIND = ObjectType.SCHEDULED_JOB


@dataclass(frozen=True, kw_only=True, slots=True)
class AuthzContext:
    """A scheduled job, its Job, the requester's name, and the facts for the rules."""

    row: ScheduledJob
    job: Job
    requester: str
    request: policy.RequestFacts

    @property
    def version(self) -> str:
        """The name of what is seen of it, and of nothing else."""
        return version_of(self.row, self.job)


def authorize(
    tx: Transaction,
    actor: Actor,
    action: Action,
    by: Mapping[str, Any],
    now: datetime,
    judge: Callable[[policy.RequestFacts], Verdict],
) -> AuthzContext:
    """Return a scheduled job for which the rule allows the action; it is locked unless the action is view.

    Args:
        tx: the transaction.
        actor: the caller.
        action: the action on scheduled jobs that the rule requires first.
        by: the field that identifies the scheduled job.
        now: the current time.
        judge: the rule.

    Raises:
        GateError: the rule refuses; with its reason.
        NotFound: the scheduled job does not exist, or the caller may not view it.
        Conflict: the request has been denied or withdrawn; the message says by whom.
    """
    row = tx.get(ScheduledJob, lock=action is not Action.VIEW, **by)
    if row is None:
        verdict = judge(NOTHING)
        if verdict == Hidden() and action is not Action.VIEW:
            raise_if_already_decided(tx, actor, action, by)
        policy.enforce(verdict, KIND)
        raise policy.missing(KIND)
    [case] = load_contexts(tx, [row], now)
    policy.enforce(judge(case.request), KIND)
    return case


def check_seen(case: AuthzContext, seen: str | None, *, needed: str = "") -> None:
    """Check that a scheduled job is what the caller has seen.

    Args:
        case: the scheduled job, locked.
        seen: the version that the caller has seen; None if they name none.
        needed: why they must name one; empty if they need not.

    Raises:
        Outdated: it has another version.
        Conflict: the caller names no version, but must.
    """
    policy.enforce(policy.acts_on_what_was_seen(seen, case.version, needed=needed), KIND)


def versions_of(tx: Transaction, rows: Collection[ScheduledJob]) -> dict[UUID, str]:
    """Return the versions of scheduled jobs, by id."""
    jobs = {job.id: job for job in tx.all(Job, id={row.job_id for row in rows})} if rows else {}
    return {row.id: version_of(row, jobs[row.job_id]) for row in rows}


def authorize_view(tx: Transaction, actor: Actor, by: Mapping[str, Any], now: datetime) -> AuthzContext:
    """Return a scheduled job that the actor may view.

    Raises:
        Forbidden: the caller may not view scheduled jobs.
        NotFound: the scheduled job does not exist, or the caller may not view it.
    """

    def may_view(request: policy.RequestFacts) -> Verdict:
        return policy.check_object(actor, Action.VIEW, KIND, request.thing)

    return authorize(tx, actor, Action.VIEW, by, now, may_view)


def load_contexts(tx: Transaction, rows: list[ScheduledJob], now: datetime) -> list[AuthzContext]:
    """Return scheduled jobs with the facts for the rules."""
    jobs = {job.id: job for job in tx.all(Job, id=[row.job_id for row in rows])}
    things = tx.attributes_of(KIND, [row.id for row in rows])
    job_things = tx.attributes_of(ObjectType.JOB, jobs)
    participants: dict[UUID, list[Participant]] = defaultdict(list)
    for participant in tx.all(Participant, scheduled_job_id=[row.id for row in rows]):
        participants[participant.scheduled_job_id].append(participant)
    behind = _asked_for(tx, rows)
    who = _Identities(tx, rows, [each for several in participants.values() for each in several])

    def case(row: ScheduledJob) -> AuthzContext:
        job, involved = jobs[row.job_id], participants[row.id]
        request = policy.RequestFacts(
            thing=things[row.id],
            job=job_things[job.id],
            requester=row.requester_id,
            owner=row.owner_id,
            owners=frozenset(filter(None, (*(each.user_id for each in involved if each.owned), row.owner_id))),
            editors=frozenset(each.user_id for each in involved if not each.owned) | behind.get(row.id, frozenset()),
            people=who.had_a_hand_in(row, involved),
            approval=ApprovalState.EXPIRED if _has_expired(row, now) else row.approval,
            decided_by=row.approved_by_id,
            approver=who.approved(row),
            settled=_settled(row, now),
            runnable=job.runnable,
            supports_dryrun=job.supports_dryrun,
            past_due=row.is_past_due(now),
            from_run=row.requested_from is not None,
            from_automation=row.automation is not None,
            from_agent=row.agent is not None,
            dryrun_is_safe=job.dryrun_is_safe,
        )
        names = {each.user_id: each.username for each in involved}
        requester = names.get(row.requester_id, UNKNOWN_USER) if row.requester_id else UNKNOWN_USER
        return AuthzContext(row=row, job=job, requester=requester, request=request)

    return [case(row) for row in rows]


def _asked_for(tx: Transaction, rows: Collection[ScheduledJob]) -> dict[UUID, frozenset[UUID]]:
    """Return for whom the agent asks now that has requested a scheduled job, who need not be for whom it asked then."""
    agents = {row.id: row.requester_id for row in rows if row.agent is not None and row.requester_id is not None}
    people = {user.id: user.acts_for_id for user in tx.all(User, id={*agents.values()})} if agents else {}
    named = {row_id: people.get(agent_id) for row_id, agent_id in agents.items()}
    return {row_id: frozenset({person}) for row_id, person in named.items() if person is not None}


class _Identities:
    """Who counts as whom, among those who had a hand in some scheduled jobs.

    Args:
        tx: the transaction.
        rows: the scheduled jobs.
        participants: all that is recorded of who took part in them.
    """

    def __init__(self, tx: Transaction, rows: Collection[ScheduledJob], participants: Collection[Participant]) -> None:
        ids = {each.user_id for each in participants}
        ids |= {
            each for row in rows for each in (row.requester_id, row.owner_id, row.approved_by_id) if each is not None
        }
        names = {*_names(each.username for each in participants), *_names(row.approved_by for row in rows)}
        self._history = history_of(tx, ids, names)

    def had_a_hand_in(self, row: ScheduledJob, involved: Collection[Participant]) -> Identity:
        ids = filter(None, (row.requester_id, row.owner_id, *(each.user_id for each in involved)))
        return self._history.identity(ids, _names(each.username for each in involved))

    def approved(self, row: ScheduledJob) -> Identity:
        return self._history.identity(filter(None, [row.approved_by_id]), _names([row.approved_by]))


def approver_of(tx: Transaction, row: ScheduledJob) -> Identity:
    """Return every account and name that counts as the approver of a scheduled job."""
    return _Identities(tx, [row], []).approved(row)


def _names(usernames: Iterable[str]) -> set[str]:
    return {normal_form(name) for name in usernames if name}


NOTHING = policy.RequestFacts(
    thing=None,
    job={},
    requester=None,
    owner=None,
    owners=frozenset(),
    editors=frozenset(),
    people=NOBODY,
    approval=ApprovalState.PENDING,
    decided_by=None,
    approver=NOBODY,
    settled="",
    runnable=policy.Runnable(enabled=False, installed=False, is_job_hook_receiver=False),
    supports_dryrun=False,
    past_due=False,
)
"""The facts about a scheduled job that does not exist."""


def _has_expired(row: ScheduledJob, now: datetime) -> bool:
    """Say whether a pending request has expired, even if that is not recorded yet."""
    return row.approval is ApprovalState.PENDING and row.expires_at is not None and row.expires_at <= now


def _settled(row: ScheduledJob, now: datetime) -> str:
    if row.approval is ApprovalState.APPROVED and row.approved_at is not None:
        return _decided("approved", row.approved_by, row.approved_at)
    if row.approval is ApprovalState.EXPIRED or _has_expired(row, now):
        return EXPIRED
    return ""


EXPIRED = "This request has expired, because nobody decided about it in time; request it again."


def _decided(how: str, who: str, when: datetime) -> str:
    return f"{who} {how} this request on {when.astimezone(UTC):%Y-%m-%d at %H:%M:%S} UTC."


def raise_if_already_decided(tx: Transaction, actor: Actor, action: Action, by: Mapping[str, Any]) -> None:
    """Check whether a request that no longer exists was denied or withdrawn, for an actor who had the action on it.

    Raises:
        Conflict: it was denied or withdrawn; the message says by whom.
    """
    about = {"scheduled_job_id" if field == "id" else field: value for field, value in by.items()}
    event = tx.last_event((EventType.DENIED, EventType.WITHDRAWN), **about)
    if event is None:
        return
    if actor.may(action, KIND, restored(event.data.get("seen", {}), path_types([KIND]))):
        raise Conflict(_decided("denied" if event.act is EventType.DENIED else "withdrew", event.actor, event.at))


def add_participant(tx: Transaction, scheduled: ScheduledJob, user_id: UUID, username: str, *, owned: bool) -> None:
    """Record that a user owns a scheduled job, or has changed what it runs; whoever has owned it stays an owner."""
    known = tx.get(Participant, scheduled_job_id=scheduled.id, user_id=user_id)
    if known is None:
        tx.add(Participant(scheduled_job_id=scheduled.id, user_id=user_id, username=username, owned=owned))
    elif owned and not known.owned:
        tx.change(known, owned=True)
