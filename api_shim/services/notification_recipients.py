"""Who is told of what happened, and who may still be told when it is sent.

* Of a request that waits, or has waited for long, everybody is told who may approve it, as it is then.
* Of what was decided about a request, and of its end that comes near, who requested it and as whom it runs.
* Of a run that failed, as whom it ran. Of a schedule that stopped or has another owner, who has requested or owned it.
* Nobody is told of what they have done themselves.
* Whoever may not view a thing is told nothing of it; what they may is asked again when it is sent.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from api_shim.domain.accounts import User, UserPreferences
from api_shim.domain.model import ApprovalRequest, JobResult, Participant, ScheduledJob
from api_shim.domain.notifications import (
    ASKED_FOR,
    Notification,
    NotificationChoice,
    NotificationEvent,
    NotificationTarget,
    Topic,
    notification_of,
)
from api_shim.services.authentication import actors_of
from api_shim.services.authorization import AuthzContext, load_contexts, permitted_ids
from api_shim.store import Transaction
from approval_gate import policy
from approval_gate.lifecycle import ApprovalState
from approval_gate.model import Action, Actor, Allowed, ObjectType

ASKS_APPROVERS = (Topic.WAITING, Topic.REMINDER)
"""What those are told of who may approve."""
OF_REQUESTS = (*ASKS_APPROVERS, Topic.DECIDED, Topic.EXPIRING)
"""What is about a request for approval."""

BATCH = 200
ZONE = "UTC"
"""The zone of who has preferred none."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Audience:
    """Everybody who has given a target that is used.

    Args:
        actors: they, as they may act now, by id.
        choices: what each wants to be told.
        targets: where each is told.
        zones: in which zone each reads times, of those who prefer one.
    """

    actors: Mapping[UUID, Actor]
    choices: Mapping[UUID, NotificationChoice]
    targets: Mapping[UUID, list[NotificationTarget]]
    zones: Mapping[UUID, str]

    def wanting(self, topic: Topic) -> list[Actor]:
        """Return who wants to be told of a topic."""
        return [actor for actor in self.actors.values() if topic in self.choices[actor.id].topics]


def audience_in(tx: Transaction) -> Audience:
    """Return everybody who can be told something, in a fixed number of queries."""
    targets: dict[UUID, list[NotificationTarget]] = defaultdict(list)
    for target in tx.all(NotificationTarget, order="created", confirmed=True, switched_off=False):
        targets[target.user_id].append(target)
    users = tx.all(User, order="username", id=[*targets], is_active=True) if targets else []
    chosen = {each.user_id: each for each in tx.all(NotificationChoice, user_id=[user.id for user in users])}
    return Audience(
        actors={actor.id: actor for actor in actors_of(tx, users)},
        choices={user.id: chosen.get(user.id, NotificationChoice(user_id=user.id)) for user in users},
        targets=targets,
        zones=zones_of(tx, [user.id for user in users]),
    )


def zones_of(tx: Transaction, users: Collection[UUID]) -> Mapping[UUID, str]:
    """Return in which zone users read times, of those who prefer one."""
    preferred = tx.all(UserPreferences, user_id=[*users]) if users else []
    return {each.user_id: each.time_zone for each in preferred if each.time_zone}


def write_notifications(now: datetime, tx: Transaction) -> None:
    """Write down for everybody what they are to be told of what has happened."""
    events = tx.notification_events(BATCH)
    if events:
        address(tx, events, audience_in(tx), now)
        tx.remove_all(NotificationEvent, [event.id for event in events])


def address(tx: Transaction, events: Collection[NotificationEvent], audience: Audience, now: datetime) -> None:
    """Write down for everybody of an audience what they are to be told.

    Args:
        tx: the transaction.
        events: what happened.
        audience: who can be told.
        now: the current time.
    """
    if not audience.actors:
        return
    subjects = Subjects.of(tx, events, now)
    tx.add_missing(
        [
            notification_of(event, target, audience.choices[actor.id].due(now, audience.zones.get(actor.id, ZONE)))
            for event in events
            for actor in audience.wanting(event.topic)
            if actor.id != event.actor_id and subjects.concern(actor, event)
            for target in audience.targets[actor.id]
        ]
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class Subjects:
    """What events and notifications are about, as it is now.

    Args:
        requests: the requests for approval, by id.
        waiting: what waits for approval, with the facts for the rules, by the id of the scheduled job.
        results: the job results, by id.
        scheduled: the scheduled jobs, by id.
        parts: who has requested or owned each scheduled job.
    """

    requests: Mapping[UUID, ApprovalRequest]
    waiting: Mapping[UUID, AuthzContext]
    results: Mapping[UUID, JobResult]
    scheduled: Mapping[UUID, ScheduledJob]
    parts: Mapping[UUID, frozenset[UUID]]

    @classmethod
    def of(cls, tx: Transaction, told: Iterable[NotificationEvent | Notification], now: datetime) -> Subjects:
        """Read what some events or notifications are about, in a fixed number of queries."""
        ids: dict[type, set[UUID]] = defaultdict(set)
        for each in told:
            ids[_noun_of(each.topic)].add(each.subject_id)
        requests = {each.id: each for each in tx.all(ApprovalRequest, id=ids[ApprovalRequest])}
        open_ids = {each.scheduled_job_id for each in requests.values() if each.decided_at is None}
        pending = tx.all(ScheduledJob, id=open_ids, enabled=True, approval=ApprovalState.PENDING)
        parts: dict[UUID, set[UUID]] = defaultdict(set)
        for part in tx.all(Participant, scheduled_job_id=ids[ScheduledJob], owned=True):
            parts[part.scheduled_job_id].add(part.user_id)
        return cls(
            requests=requests,
            waiting={case.row.id: case for case in load_contexts(tx, pending, now)},
            results={each.id: each for each in tx.all(JobResult, id=ids[JobResult])},
            scheduled={row.id: row for row in tx.all(ScheduledJob, id=ids[ScheduledJob])},
            parts={row_id: frozenset(users) for row_id, users in parts.items()},
        )

    def concern(self, actor: Actor, told: NotificationEvent | Notification) -> bool:
        """Say whether something concerns a person as it is now, apart from whether they may view it."""
        match told.topic:
            case Topic.WAITING | Topic.REMINDER:
                return self._may_approve(actor, told.subject_id)
            case Topic.DECIDED | Topic.EXPIRING:
                request = self.requests.get(told.subject_id)
                is_open = told.topic is Topic.EXPIRING
                return (
                    request is not None
                    and (request.decided_at is None) is is_open
                    and actor.id in {request.user_id, request.owner_id}
                )
            case Topic.FAILED:
                result = self.results.get(told.subject_id)
                return result is not None and result.user_id == actor.id
            case Topic.SCHEDULE:
                row = self.scheduled.get(told.subject_id)
                return row is not None and actor.id in {row.owner_id, row.requester_id, *self.parts.get(row.id, ())}
            case Topic.TEST | Topic.CONFIRM:
                return True

    def _may_approve(self, actor: Actor, request_id: UUID) -> bool:
        request = self.requests.get(request_id)
        case = self.waiting.get(request.scheduled_job_id) if request is not None else None
        return case is not None and policy.approve(actor, case.request, force=True) == Allowed()


def _noun_of(topic: Topic) -> type:
    if topic in OF_REQUESTS:
        return ApprovalRequest
    return JobResult if topic is Topic.FAILED else ScheduledJob


KINDS: Mapping[type, ObjectType] = {
    ApprovalRequest: ObjectType.APPROVAL_REQUEST,
    JobResult: ObjectType.JOB_RESULT,
    ScheduledJob: ObjectType.SCHEDULED_JOB,
}


def still_told(tx: Transaction, actor: Actor, told: Collection[Notification], subjects: Subjects) -> list[Notification]:
    """Return what a person may be told, of what was to be told them: it still concerns them, and they may view it.

    Args:
        tx: the transaction.
        actor: the person, as they may act now.
        told: what was to be told.
        subjects: what it is about.
    """
    of_kind: dict[ObjectType, set[UUID]] = defaultdict(set)
    for each in told:
        kind, seen = _viewed(each, subjects)
        of_kind[kind].add(seen)
    may = {kind: permitted_ids(tx, actor, Action.VIEW, kind, ids) for kind, ids in of_kind.items()}

    def is_told(each: Notification) -> bool:
        kind, seen = _viewed(each, subjects)
        return each.topic in ASKED_FOR or (seen in may[kind] and subjects.concern(actor, each))

    return [each for each in told if is_told(each)]


def _viewed(each: Notification, subjects: Subjects) -> tuple[ObjectType, UUID]:
    """Return what a person has to be able to view to be told: who approves, the scheduled job that waits."""
    if each.topic in ASKS_APPROVERS and (request := subjects.requests.get(each.subject_id)) is not None:
        return ObjectType.SCHEDULED_JOB, request.scheduled_job_id
    return KINDS[_noun_of(each.topic)], each.subject_id
