"""Ownership of scheduled jobs: assume it, or transfer it to somebody; also all that a user has, when they leave.

* The rules are in ``approval_gate.ownership``. Each use case is one transaction, which locks the scheduled job first.
* The next firing runs as the new owner. Earlier owners stay recorded, and may not approve the scheduled job.
* A recurring scheduled job that a failure disabled is enabled, and fires from now on. One that a person disabled, or
  that has already run its only time, stays as it is.
* Pending stays pending, and approved stays approved for exactly what was approved; but the approval of who becomes the
  owner lapses. What waits is approved only by who says that they have seen whom it runs as now.
* With a user who is removed or deactivated go all of their scheduled jobs that the caller may view, by the same rules,
  or nothing is done; what the caller has not seen so is not transferred unseen.

Contract 1.4, 9.7 and 10.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any
from uuid import UUID

from api_shim.domain.accounts import User
from api_shim.domain.audit import Author, EventType, scheduled_job_event
from api_shim.domain.model import ScheduledJob
from api_shim.reconcile.wake_queue import Kind, Wake
from api_shim.services.approval_state import return_to_queue, revalidate
from api_shim.services.authentication import actor_of
from api_shim.services.authorization import (
    AuthzContext,
    add_participant,
    authorize,
    check_seen,
    check_still_active,
    load_contexts,
    permitted_ids,
)
from api_shim.services.user_names import referred_user
from api_shim.store import Store, Transaction
from approval_gate import ownership, policy
from approval_gate.errors import Invalid
from approval_gate.model import Action, Actor, Allowed, Hidden, ObjectType, Verdict

NOT_SHOWN = "You have not seen it yet: check the list, and send it again."


@dataclass(frozen=True, kw_only=True, slots=True)
class Transfer:
    """To whom a user who leaves is to transfer what they own.

    Args:
        to: the field that identifies the new owner.
        seen: the versions of the scheduled jobs that the caller has seen, by id.
    """

    to: Mapping[str, Any]
    seen: Mapping[UUID, str]


class Ownership:
    """Changes the owners of scheduled jobs.

    Args:
        store: the store.
        wake: lets Prefect follow.
        clock: returns the current time, aware.
    """

    def __init__(self, *, store: Store, wake: Wake, clock: Callable[[], datetime]) -> None:
        self._store = store
        self._wake = wake
        self._clock = clock

    async def assume(self, actor: Actor, by: Mapping[str, Any], seen: str | None = None) -> ScheduledJob:
        """Make the actor the owner of a scheduled job.

        Args:
            actor: the caller.
            by: the field that identifies the scheduled job.
            seen: the version that the caller has seen; None for whatever it is.

        Returns:
            the changed scheduled job.

        Raises:
            Forbidden: the caller may not change the scheduled job, or may not run its Job.
            NotFound: the scheduled job does not exist, or the caller may not view it.
            Conflict: the caller already owns it.
            Outdated: it is not what the caller has seen.
        """
        row = await self._store.write(partial(_assume, actor, by, seen, self._clock()))
        self._wake(Kind.SCHEDULED_JOB, row.id, row.start_time)
        return row

    async def transfer(
        self, actor: Actor, by: Mapping[str, Any], to: Mapping[str, Any], seen: str | None = None
    ) -> ScheduledJob:
        """Make another user the owner of a scheduled job.

        Args:
            actor: the caller.
            by: the field that identifies the scheduled job.
            to: the field that identifies the new owner.
            seen: the version that the caller has seen; None for whatever it is.

        Returns:
            the changed scheduled job.

        Raises:
            Forbidden: the caller may not transfer it, or the new owner could not assume ownership.
            NotFound: the scheduled job does not exist, or the caller may not view it.
            Invalid: the user does not exist, or the caller may not view them.
            Conflict: the user already owns it, or has been deactivated.
            Outdated: it is not what the caller has seen.
        """
        row = await self._store.write(partial(_transfer, actor, by, to, seen, self._clock()))
        self._wake(Kind.SCHEDULED_JOB, row.id, row.start_time)
        return row


def _assume(actor: Actor, by: Mapping[str, Any], seen: str | None, now: datetime, tx: Transaction) -> ScheduledJob:
    case = authorize(tx, actor, Action.CHANGE, by, now, partial(ownership.assume, actor))
    check_seen(case, seen)
    check_still_active(tx, actor)
    return hand_over(tx, case, actor.id, actor.username, now, actor)


def _transfer(
    actor: Actor, by: Mapping[str, Any], to: Mapping[str, Any], seen: str | None, now: datetime, tx: Transaction
) -> ScheduledJob:
    case = authorize(tx, actor, Action.CHANGE, by, now, partial(ownership.hand_over, actor))
    check_seen(case, seen)
    receiver = receiver_of(tx, actor, to, "user")
    check_still_active(tx, actor)
    policy.enforce(may_receive(tx, receiver, case), ObjectType.USER)
    return hand_over(tx, case, receiver.id, receiver.username, now, actor)


def transfer_all(tx: Transaction, actor: Actor, owner: User, transfer: Transfer, now: datetime) -> None:
    """Transfer every scheduled job of a user who leaves that the actor may view.

    Args:
        tx: the transaction.
        actor: the caller.
        owner: who leaves, locked.
        transfer: to whom.
        now: the current time.

    Raises:
        Forbidden: the actor may not change the new owner.
        Invalid: there is no such new owner, or one of the scheduled jobs cannot be transferred to them; it says which.
    """
    rows = tx.all(ScheduledJob, order="id", lock=True, owner_id=owner.id)
    seen = permitted_ids(tx, actor, Action.VIEW, ObjectType.SCHEDULED_JOB, [row.id for row in rows])
    receiver = receiver_of(tx, actor, transfer.to, "transfer_to")
    cases = load_contexts(tx, sorted((row for row in rows if row.id in seen), key=lambda row: row.name), now)
    verdicts = [(case, _may_be_transferred(tx, actor, receiver, case, transfer)) for case in cases]
    if kept := [
        f"{case.row.name}: {policy.why_not(verdict, hidden=policy.NO_PERMISSION)}"
        for case, verdict in verdicts
        if verdict != Allowed()
    ]:
        raise Invalid({"transfer_to": kept})
    for case in cases:
        hand_over(tx, case, receiver.id, receiver.username, now, actor)


def _may_be_transferred(
    tx: Transaction, actor: Actor, receiver: User, case: AuthzContext, transfer: Transfer
) -> Verdict:
    return policy.first(
        (
            ownership.hand_over(actor, case.request),
            policy.acts_on_what_was_seen(transfer.seen.get(case.row.id), case.version, needed=NOT_SHOWN),
            may_receive(tx, receiver, case),
        )
    )


def receiver_of(tx: Transaction, actor: Actor, to: Mapping[str, Any], field: str) -> User:
    """Return the user that the actor names and may change, locked so that they cannot be removed meanwhile.

    Args:
        tx: the transaction.
        actor: the caller.
        to: the field that identifies the user.
        field: where they are named, for who names nobody.

    Raises:
        Forbidden: the actor may not change them.
        Invalid: the user does not exist, or the actor may not view them.
    """
    user = referred_user(tx, to, lock=True)
    account = tx.attributes(ObjectType.USER, user.id) if user else None
    verdict = policy.check_object(actor, Action.CHANGE, ObjectType.USER, account)
    if user is None or verdict == Hidden():
        raise Invalid({field: ["There is no such user."]})
    policy.enforce(verdict, ObjectType.USER)
    policy.enforce(policy.may_touch_superuser(actor, superuser=user.is_superuser), ObjectType.USER)
    return user


def may_receive(tx: Transaction, receiver: User, case: AuthzContext) -> Verdict:
    """Say whether a user can become the owner of a scheduled job."""
    return ownership.receive(actor_of(tx, receiver), case.request, active=receiver.is_active)


def hand_over(
    tx: Transaction, case: AuthzContext, user_id: UUID, username: str, now: datetime, by: Author
) -> ScheduledJob:
    """Make a user the owner of a scheduled job, after all checks.

    Args:
        tx: the transaction.
        case: the scheduled job, locked.
        user_id: the id of the new owner.
        username: the name of the new owner.
        now: the current time.
        by: the caller, or the local administrator.
    """
    row = case.row
    act = EventType.ASSUMED if by.id == user_id else EventType.TRANSFERRED
    tx.record(
        scheduled_job_event(row, act, now, by, owner=username, was=_name_of(tx, row.owner_id), failure=row.failure)
    )
    add_participant(tx, row, user_id, username, owned=True)
    # A one-off whose start time has passed would run at once, at a time that nobody has chosen.
    is_enabled_again = row.failure and not row.one_off
    enabling = {"enabled": True, "failure": "", "due_from": now} if is_enabled_again else {}
    row = tx.change(row, owner_id=user_id, edited=True, date_changed=now, version=row.version + 1, **enabling)
    reason = ownership.lapse(user_id, username, case.request.approval, case.request.approver)
    if reason and not row.is_spent:
        return return_to_queue(tx, row, case.job, reason, now, by)
    return revalidate(tx, row, case.job, now) if enabling else row


def _name_of(tx: Transaction, user_id: UUID | None) -> str:
    user = tx.get(User, id=user_id) if user_id else None
    return user.username if user else ""
