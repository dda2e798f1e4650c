"""The approvals that users have given, when these users leave or may approve no longer.

* What a user has approved stands, whatever becomes of them. Whoever takes away their account or their right to approve
  is told what that is.
* With an account that is removed or deactivated its approvals can be revoked: what has not run for good waits for
  approval again. Each is recorded in the audit, as the act of who did this.
* What is told is restricted to what the caller may view.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from api_shim.domain.accounts import User
from api_shim.domain.audit import Author
from api_shim.domain.model import Job, ScheduledJob
from api_shim.services.approval_state import return_to_queue
from api_shim.services.authentication import actors_of
from api_shim.services.authorization import KIND, AuthzContext, load_contexts, permitted_ids
from api_shim.store import Transaction
from approval_gate import policy
from approval_gate.lifecycle import ApprovalState
from approval_gate.model import Action, Actor, Allowed


@dataclass(frozen=True, kw_only=True, slots=True)
class Approvals:
    """What has become of the approvals of users.

    Args:
        standing: the scheduled jobs whose approvals stand, though who gave them may approve them no longer.
        revoked: those whose approvals have been revoked.
    """

    standing: tuple[ScheduledJob, ...] = ()
    revoked: tuple[ScheduledJob, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.standing or self.revoked)

    def seen_by(self, tx: Transaction, actor: Actor) -> Approvals:
        """Return those of scheduled jobs that the actor may view."""
        ids = permitted_ids(tx, actor, Action.VIEW, KIND, {row.id for row in (*self.standing, *self.revoked)})
        return Approvals(
            standing=tuple(row for row in self.standing if row.id in ids),
            revoked=tuple(row for row in self.revoked if row.id in ids),
        )


def told(approvals: Approvals, *, dry_run: bool = False) -> str:
    """Return what has become of approvals, or would, in sentences that begin with a space; empty for none."""
    standing, revoked = (", ".join(row.name for row in rows) for rows in (approvals.standing, approvals.revoked))
    said = f" What they approved {'would stand' if dry_run else 'stands'}: {standing}." if standing else ""
    if revoked:
        said += f" What they approved {'would wait' if dry_run else 'waits'} for approval again: {revoked}."
    return said


def standing_approvals(tx: Transaction, user_ids: Collection[UUID], *, lock: bool = False) -> list[ScheduledJob]:
    """Return the scheduled jobs that these users have approved and that have not run for good.

    Args:
        tx: the transaction.
        user_ids: the ids of the users.
        lock: whether to lock them until the transaction ends.
    """
    if not user_ids:
        return []
    found = tx.all(ScheduledJob, order="id", lock=lock, approval=ApprovalState.APPROVED, approved_by_id=set(user_ids))
    return [row for row in found if not row.is_spent]


class GivenApprovals:
    """The approvals of some users before a change, to be compared with what they may approve after it.

    Args:
        tx: the transaction.
        user_ids: the ids of the users whom the change concerns.
        now: the current time.
    """

    def __init__(self, tx: Transaction, user_ids: Collection[UUID], now: datetime) -> None:
        self._tx = tx
        rows = standing_approvals(tx, user_ids)
        self._cases = load_contexts(tx, rows, now) if rows else []
        self._before = self._permitted()

    def lost(self) -> tuple[ScheduledJob, ...]:
        """Return what was approved by somebody who could approve it before, and cannot now; by name."""
        return self._rows(self._before - self._permitted())

    def would_be_lost(self) -> tuple[ScheduledJob, ...]:
        """Return what was approved by somebody who can approve it as it stands; by name."""
        return self._rows(self._before)

    def _rows(self, ids: set[UUID]) -> tuple[ScheduledJob, ...]:
        return _by_name(case.row for case in self._cases if case.row.id in ids)

    def _permitted(self) -> set[UUID]:
        """Return the ids of those that their approvers may approve as it stands."""
        ids = {case.row.approved_by_id for case in self._cases}
        users = self._tx.all(User, id=ids, is_active=True) if ids else []
        actors = {actor.id: actor for actor in actors_of(self._tx, users)}

        def may(case: AuthzContext) -> bool:
            actor = actors.get(case.row.approved_by_id) if case.row.approved_by_id else None
            return actor is not None and policy.has_right_to_approve(actor, case.request) == Allowed()

        return {case.row.id for case in self._cases if may(case)}


def approvals_without(tx: Transaction, user: User, now: datetime, *, revokes: bool) -> Approvals:
    """Return what would become of the approvals of a user who was removed, and change nothing.

    Args:
        tx: the transaction.
        user: the user.
        now: the current time.
        revokes: whether the approvals would be revoked.
    """
    if revokes:
        return Approvals(revoked=_by_name(standing_approvals(tx, [user.id])))
    return Approvals(standing=GivenApprovals(tx, [user.id], now).would_be_lost())


def revoke(tx: Transaction, user: User, why: str, now: datetime, by: Author) -> tuple[ScheduledJob, ...]:
    """Revoke the approvals that a user has given, and return what waits for approval again, by name.

    Args:
        tx: the transaction.
        user: the user; their approvals are locked.
        why: what has become of their account, as a participle.
        now: the current time.
        by: whose act it is.
    """
    rows = standing_approvals(tx, [user.id], lock=True)
    jobs = {job.id: job for job in tx.all(Job, id={row.job_id for row in rows})} if rows else {}
    reason = f"The approval of {user.username} was revoked, because their account was {why}."
    return _by_name(return_to_queue(tx, row, jobs[row.job_id], reason, now, by) for row in rows)


def _by_name(rows: Iterable[ScheduledJob]) -> tuple[ScheduledJob, ...]:
    return tuple(sorted(rows, key=lambda row: row.name))
