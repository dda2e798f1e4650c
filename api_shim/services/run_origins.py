"""What stands behind a request that no person has made: the run, automation or agent, and who had a hand in it.

* A run that requests something is looked at behind a lock, in the transaction that records the request: nothing is
  requested by one that ends, or is cancelled, at the same moment.
* The request names the run's job result. Whoever had a hand in that run has one in the request, and cannot approve it:
  its user, and those who requested, owned or changed its scheduled job; of one that a run has requested to begin at
  once, also those of that run; of one that an automation has requested, also who bound that. Where that is not known
  any more, as a scheduled job was deleted while its run was under way, the run can request nothing.
* What an automation requests names it. Who bound it has a hand in it, beside the account that it acts as; it is looked
  at in the same transaction whether it still is bound to that.
* To whom a request is shown, its run is named too; the job result of that only to who may view it.
* The person for whom an agent asks has a hand in what it requests, itself or by a run of its own.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import TypeVar
from uuid import UUID

from api_shim.domain.accounts import User
from api_shim.domain.model import AskingAutomation, AutomationAccount, JobResult, Participant, ScheduledJob
from api_shim.services.agents import check_person
from api_shim.services.authorization import add_participant, permitted_ids
from api_shim.store import Transaction
from approval_gate import policy
from approval_gate.errors import Forbidden
from approval_gate.model import Action, Actor, ObjectType

R = TypeVar("R", ScheduledJob, JobResult)


@dataclass(frozen=True, kw_only=True, slots=True)
class Origin:
    """What a request comes from beside its requester.

    Args:
        result_id: the job result of the run; None if none has requested it.
        depth: how many requests from runs there are in the line, with this one.
        hands: the names of those who had a hand in it, by id.
        automation: the automation; None if none has requested it.
    """

    result_id: UUID | None = None
    depth: int = 0
    hands: Mapping[UUID, str]
    automation: AskingAutomation | None = None

    def named_by(self, requested: R) -> R:
        """Return what it has requested, with its name in it."""
        return replace(requested, requested_from=self.result_id, request_depth=self.depth, automation=self.automation)


def seen_origins(tx: Transaction, actor: Actor, requested: Iterable[ScheduledJob | JobResult]) -> set[UUID]:
    """Return the job results of the runs that have requested these, as far as the actor may view them."""
    ids = {each.requested_from for each in requested if each.requested_from is not None}
    return permitted_ids(tx, actor, Action.VIEW, ObjectType.JOB_RESULT, ids) if ids else set()


def origin_of(tx: Transaction, actor: Actor, *, for_dry_run: bool) -> Origin | None:
    """Return what stands behind a request; None where its requester alone does. A run is locked.

    Who locks a Job too locks this first, as admission does.

    Args:
        tx: the transaction.
        actor: who requests it.
        for_dry_run: whether a dry run is requested.

    Raises:
        Forbidden: the run, the automation or the agent may not request it, or not any more.
    """
    origin, person = _way_of(tx, actor, for_dry_run=for_dry_run), check_person(tx, actor)
    if person is None:
        return origin
    origin = origin or Origin(hands={})
    return replace(origin, hands={**origin.hands, person.id: person.username})


def _way_of(tx: Transaction, actor: Actor, *, for_dry_run: bool) -> Origin | None:
    """Return the run or automation by which somebody requests something; None if they do it themselves."""
    if actor.by_automation is not None:
        return _of_automation(tx, actor, actor.by_automation)
    if actor.by_run is None:
        return None
    result, _ = acting_as_user(tx, tx.get(JobResult, id=actor.by_run, lock=True))
    hands = _hands(tx, result)
    verdict = policy.requests_from_run(
        depth=result.request_depth,
        dry_run=result.dry_run,
        for_dry_run=for_dry_run,
        origin_known=hands is not None,
    )
    policy.enforce(verdict, ObjectType.JOB_RESULT)
    return Origin(result_id=result.id, depth=result.request_depth + 1, hands=hands or {})


def _of_automation(tx: Transaction, actor: Actor, automation_id: UUID) -> Origin:
    bound = tx.get(AutomationAccount, id=automation_id, user_id=actor.id)
    if bound is None:
        raise Forbidden(policy.NOT_BOUND)
    automation = {"id": str(bound.id), "name": bound.name, "bound_by_id": str(bound.bound_by_id)}
    return Origin(
        hands={} if bound.bound_by_id == actor.id else {bound.bound_by_id: bound.bound_by},
        automation={**automation, "bound_by": bound.bound_by},
    )


def add_hands(tx: Transaction, scheduled: ScheduledJob, origin: Origin | None) -> None:
    """Record who had a hand in the run or the automation that has requested a scheduled job."""
    for user_id, username in origin.hands.items() if origin is not None else ():
        add_participant(tx, scheduled, user_id, username, owned=False)


def acting_as_user(tx: Transaction, result: JobResult | None) -> tuple[JobResult, User]:
    """Return the job result of a run that acts as its user, and that user.

    Raises:
        Forbidden: it may not, or not any more.
    """
    user = _user_of(tx, result)
    facts = policy.RunFacts(
        let_go=result is not None and result.attempt is not None,
        over=result is not None and result.status.final,
        cancelled=result is not None and result.cancelled_by != "",
        has_user=user is not None and user.is_active,
    )
    policy.enforce(policy.acts_as_user(facts), ObjectType.JOB_RESULT)
    if result is None or user is None:
        raise policy.missing(ObjectType.JOB_RESULT)
    return result, user


def _user_of(tx: Transaction, result: JobResult | None) -> User | None:
    return tx.get(User, id=result.user_id) if result is not None and result.user_id is not None else None


def _hands(tx: Transaction, result: JobResult) -> Mapping[UUID, str] | None:
    """Return the names of those who had a hand in a run, by id; None if that is not known any more."""
    found: dict[UUID, str] = {}
    at: JobResult | None = result
    while at is not None:
        if (user := _user_of(tx, at)) is not None:
            found[user.id] = user.username
        if at.automation is not None:
            found[UUID(at.automation["bound_by_id"])] = at.automation["bound_by"]
        if at.agent is not None:
            found[UUID(at.agent["for_id"])] = at.agent["for"]
        if at.scheduled_job_id is not None:
            # Those of the run that has requested this one are among them.
            involved = tx.all(Participant, scheduled_job_id=at.scheduled_job_id)
            return found | {each.user_id: each.username for each in involved}
        if at.nominal_time is not None:
            # Its scheduled job was deleted.
            return None
        if at.requested_from is None:
            return found
        at = tx.get(JobResult, id=at.requested_from)
    return None
