"""The use case of removing a user, and what becomes of the scheduled jobs that he owns.

* They stay, without an owner: each fails when it would next run, and can be taken over.
* Those that somebody else may run can be handed to him with the removal, in the same transaction.
* What would happen can be seen before.

Contract 1.3; for whoever administers this machine.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from api_shim.actors import actor_of
from api_shim.cases import cases
from api_shim.identity import user_named
from api_shim.model import ScheduledJob, User
from api_shim.ownership import hand_over
from api_shim.store import Store, Transaction
from approval_gate import ownership
from approval_gate.errors import Conflict, Invalid
from approval_gate.model import Denied


@dataclass(frozen=True, kw_only=True, slots=True)
class Left:
    """A scheduled job whose owner leaves.

    Args:
        scheduled: it.
        owner: who owns it then; none if it was not handed over.
        kept_back: why it was not; empty if it was, or was not to be.
    """

    scheduled: ScheduledJob
    owner: User | None = None
    kept_back: str = ""


def remove_user(
    store: Store, username: str, now: datetime, *, heir: str | None = None, dry_run: bool = False
) -> list[Left]:
    """Remove a user with his tokens.

    Args:
        store: what is true.
        username: whom.
        now: the time.
        heir: who is to own those of his scheduled jobs that he may run.
        dry_run: only tell what would happen.

    Returns:
        what he leaves, by name.

    Raises:
        NotFound: there is no such user, or no such heir.
        Invalid: he would be his own heir.
        Conflict: the heir has been deactivated.
    """
    with store.transaction(write=not dry_run) as tx:
        user = user_named(tx, username, lock=False)
        receiver = _heir(tx, user, heir) if heir is not None else None
        # Before the user himself: who changes his own scheduled job locks it first, and then himself.
        rows = tx.all(ScheduledJob, order="id", lock=not dry_run, owner_id=user.id)
        left = _divide(tx, rows, receiver, now, dry_run=dry_run)
        if not dry_run:
            tx.remove(user)
    return sorted(left, key=lambda each: each.scheduled.name)


def _divide(
    tx: Transaction, rows: list[ScheduledJob], heir: User | None, now: datetime, *, dry_run: bool
) -> list[Left]:
    if heir is None:
        return [Left(scheduled=row) for row in rows]
    left, receiver = [], actor_of(tx, heir)
    for case in cases(tx, rows, now):
        verdict = ownership.inherit(receiver, case.request)
        if isinstance(verdict, Denied):
            left.append(Left(scheduled=case.row, kept_back=verdict.reason))
            continue
        if not dry_run:
            hand_over(tx, case, heir.id, heir.username, now, None)
        left.append(Left(scheduled=case.row, owner=heir))
    return left


def _heir(tx: Transaction, user: User, username: str) -> User:
    heir = user_named(tx, username, lock=False)
    if heir.id == user.id:
        raise Invalid("Somebody else must be given what a removed user owns.")
    if not heir.is_active:
        raise Conflict(f"{heir.username} has been deactivated.")
    return heir
