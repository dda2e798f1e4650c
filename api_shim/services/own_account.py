"""What people do with their own account on the pages: change their password, and end their sessions.

* Whoever changes their password has signed in with one, and gives it again; wrong ones slow further attempts down as at
  the sign-in, and are recorded as such. Every other session of theirs ends; this one goes on, and so do tokens.
* Sessions are seen and ended by their own user alone: one of somebody else's does not exist for them. That they ended
  some is in the audit, with how many others than the one that asked.
* Who has signed in with a token that only reads changes nothing of this.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Any
from uuid import UUID

from api_shim.domain.accounts import Password, Session, Token, User
from api_shim.domain.audit import EventType, account_event
from api_shim.services.accounts import end_sessions, replace_password
from api_shim.services.authentication import Unauthenticated
from api_shim.services.authorization import check_still_active
from api_shim.services.refusals import Refusals
from api_shim.services.sessions import Sessions, Visitor, hash_password
from api_shim.store import Store, Transaction
from approval_gate import policy
from approval_gate.errors import Conflict, Invalid, NotFound, TooManyAttempts
from approval_gate.model import ObjectType

NOT_YOURS = "This is not your current password."
CHANGED_MEANWHILE = "Your password has just been changed elsewhere."
NO_SESSION = "This session no longer exists."


@dataclass(frozen=True, kw_only=True, slots=True)
class SignedIn:
    """A session as its user sees it.

    Args:
        session: it.
        token: the token that it was started with; None for a password, or an identity provider.
        here: whether it is the one that asks.
    """

    session: Session
    token: Token | None
    here: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class Own:
    """A user's account.

    Args:
        user: the user.
        sessions: their sessions, the one that was used last first.
        why_no_password: why they cannot change a password here; empty if they can.
    """

    user: User
    sessions: list[SignedIn]
    why_no_password: str


class OwnAccount:
    """The use cases.

    Args:
        store: the store.
        sessions: checks passwords.
        refusals: records what was refused.
        clock: tells the time, aware.
    """

    def __init__(self, store: Store, sessions: Sessions, refusals: Refusals, clock: Callable[[], datetime]) -> None:
        self._store = store
        self._sessions = sessions
        self._refusals = refusals
        self._clock = clock

    async def own(self, visitor: Visitor) -> Own:
        """Return the account of a visitor."""
        return await self._store.read(partial(_own, visitor, self._clock(), self._sessions.rules.longest))

    async def change_password(self, visitor: Visitor, present: str, new: str, address: str) -> None:
        """Change the visitor's password.

        Args:
            visitor: whose.
            present: the one that they have.
            new: the one that they want.
            address: the address that they ask from.

        Raises:
            Forbidden: they have not signed in with a password.
            Invalid: the present one is another, or the new one is too short or too long.
            TooManyAttempts: too many attempts have failed; the sentence says when the next may be.
            Conflict: it was changed meanwhile.
        """
        actor = visitor.actor
        by_password = visitor.session.by_password
        policy.enforce(policy.may_change_password(actor, by_password=by_password), ObjectType.USER)
        try:
            known = await self._sessions.check_password(actor.username, present, address)
        except TooManyAttempts as error:
            await self._refusals.signing_in(error, address, actor.username)
            raise
        except Unauthenticated as error:
            await self._refusals.signing_in(error, address, actor.username)
            raise Invalid({"present": [NOT_YOURS]}) from error
        try:
            hashed = hash_password(new)
        except Invalid as error:
            raise Invalid({"new": [str(error)]}) from error
        await self._store.write(partial(_change_password, visitor, known, hashed, self._clock()))

    async def end(self, visitor: Visitor, session_id: UUID) -> None:
        """End one of the visitor's sessions.

        Raises:
            Forbidden: they may not write.
            NotFound: they have no such session.
        """
        policy.enforce(policy.may_write(visitor.actor), ObjectType.USER)
        await self._store.write(partial(_end, visitor, session_id, self._clock()))

    async def end_others(self, visitor: Visitor) -> int:
        """End all of the visitor's sessions except the one that asks, and return how many.

        Raises:
            Forbidden: they may not write.
        """
        policy.enforce(policy.may_write(visitor.actor), ObjectType.USER)
        return await self._store.write(partial(_end_others, visitor, self._clock()))


def _own(visitor: Visitor, now: datetime, longest: timedelta, tx: Transaction) -> Own:
    [user] = tx.all(User, id=[visitor.actor.id])
    rows = [row for row in tx.all(Session, order="seen", user_id=user.id) if not row.is_over(now, longest)]
    tokens = {token.id: token for token in tx.all(Token, id={row.token_id for row in rows if row.token_id})}
    may = policy.may_change_password(visitor.actor, by_password=visitor.session.by_password)
    return Own(
        user=user,
        sessions=[
            SignedIn(
                session=row, token=tokens.get(row.token_id) if row.token_id else None, here=row.id == visitor.session.id
            )
            for row in reversed(rows)
        ],
        why_no_password=policy.why_not(may, hidden=""),
    )


def _change_password(visitor: Visitor, known: Password, hashed: str, now: datetime, tx: Transaction) -> None:
    check_still_active(tx, visitor.actor)
    [user] = tx.all(User, id=[visitor.actor.id])
    if known.user_id != user.id or tx.get(Password, user_id=user.id) != known:
        raise Conflict(CHANGED_MEANWHILE)
    replace_password(tx, user, hashed, now, visitor.actor, but=visitor.session.id)


def _end(visitor: Visitor, session_id: UUID, now: datetime, tx: Transaction) -> None:
    session = tx.get(Session, id=session_id, user_id=visitor.actor.id)
    if session is None:
        raise NotFound(NO_SESSION)
    tx.remove(session)
    _record(tx, visitor, now, others=int(session.id != visitor.session.id))


def _end_others(visitor: Visitor, now: datetime, tx: Transaction) -> int:
    [user] = tx.all(User, id=[visitor.actor.id])
    if others := end_sessions(tx, user, but=visitor.session.id):
        _record(tx, visitor, now, others=others)
    return others


def _record(tx: Transaction, visitor: Visitor, now: datetime, *, others: int) -> None:
    who = visitor.actor
    said: dict[str, Any] = {"others": others} if others else {}
    tx.record(account_event(who.id, who.username, EventType.SIGNED_OUT, now, who, **said))
