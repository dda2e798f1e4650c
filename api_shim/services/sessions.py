"""Browser sessions: sign in, stay signed in and sign out.

* People sign in with a user name and a password, or with a token's key, with or without its user's name. Names are
  compared in their normal form, also to count attempts.
* After some failed attempts the next ones have to wait, so that passwords cannot be tried quickly, and nobody can keep
  somebody out by trying their name from elsewhere (``domain.slowdown``). A token's key never waits.
* An unknown user name and a wrong password take equally long, and get the same message.
* Where passwords are switched off, one account may still have one that is good (``SignInRules.break_glass``); it is
  slowed, counted and recorded as others are, and whoever tries others' learns nothing by that.
* An agent signs in to no page, with whatever it has: it asks through the API for a person.
* Each sign-in starts a new session with a new key; nothing that the browser sent before is reused.
* Each sign-in, and each end of a session by its user, is recorded in the audit.
* From where, and with which browser, a session was last used is kept for its user to recognise it. It is written with
  when that was, and decides nothing.
* A user who is removed or deactivated, or whose token is removed after they signed in with it, is signed out.

Design, section 8.
"""

from __future__ import annotations

import contextlib
import hmac
import secrets
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any, Protocol
from uuid import UUID, uuid4

import anyio
from argon2 import PasswordHasher
from argon2.exceptions import VerificationError

from api_shim.domain.accounts import SEEN_EVERY, Password, Session, Token, User, UserPreferences
from api_shim.domain.audit import EventType, account_event
from api_shim.domain.slowdown import PATIENCE, SignInPace, too_many
from api_shim.services.authentication import (
    Credentials,
    Unauthenticated,
    actor_of,
    actor_with,
    authenticate_token,
    hash_key,
)
from api_shim.services.preferences import preferences_of
from api_shim.services.token_access import LONGEST_ADDRESS
from api_shim.services.user_names import user_called
from api_shim.services.waiting_room import WaitingRoom
from api_shim.settings import SIGN_IN_RULES, SignInRules
from api_shim.store import Store, Transaction
from approval_gate.errors import Invalid
from approval_gate.identity import normal_form
from approval_gate.model import Actor

WRONG = "Wrong user name, password or token."
SIGN_IN_FIRST = "Please sign in first."
SHORTEST, LONGEST_PASSWORD = 10, 1000
SEATS = 1_000
"""How many attempts wait at the same time because others have failed."""
AT_ONCE = 2
"""How many passwords are verified at the same time; each verification briefly needs 64 MB."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Visitor:
    """A user who is signed in with a browser.

    Args:
        actor: the user and their permissions.
        session: their session.
        preferences: what they prefer.
    """

    actor: Actor
    session: Session
    preferences: UserPreferences


class Renewal(Protocol):
    """Renews the sessions that were started at an identity provider; see ``services.session_renewal``."""

    def is_due(self, session: Session) -> bool:
        """Say whether a session has to be renewed, now or soon."""

    async def renew(self, session: Session) -> None:
        """Renew a session that is due."""


class Sessions:
    """Signs users in and out.

    Args:
        store: the store.
        clock: returns the current time, aware.
        note: records that a token has been used, and from which address.
        sleep: waits for so many seconds.
        rules: how people sign in, and for how long.
        renewal: renews the sessions that were started at an identity provider; without it they are over.
    """

    def __init__(
        self,
        store: Store,
        clock: Callable[[], datetime],
        note: Callable[[Token, str], None],
        sleep: Callable[[float], Awaitable[None]],
        rules: SignInRules = SIGN_IN_RULES,
        renewal: Renewal | None = None,
    ) -> None:
        self.rules = rules
        self._renewal = renewal
        self._store = store
        self._clock = clock
        self._note = note
        self._pace = SignInPace()
        self._room = WaitingRoom(SEATS, sleep)
        self._hasher = PasswordHasher()
        self._unknown = self._hasher.hash(secrets.token_urlsafe())
        self._at_once = anyio.CapacityLimiter(AT_ONCE)

    async def sign_in(self, username: str, secret: str, address: str, browser: str = "") -> tuple[str, Session]:
        """Start a session.

        Args:
            username: the user name; may be empty with a token's key.
            secret: the password, or a token's key.
            address: the address that the attempt comes from.
            browser: what it comes with, for people.

        Returns:
            the session's key, which is not available later, and the session.

        Raises:
            TooManyAttempts: too many attempts have failed; the sentence says when the next may be.
            Unauthenticated: the credentials are wrong.
        """
        who, token = await self._authenticate(username, secret, address)
        key, session = new_session(who, self._clock(), token_id=token, **used(address, browser))
        way = "password" if token is None else "token"
        await self._store.write(lambda tx: begin(tx, session, self.rules, address, way))
        return key, session

    async def _authenticate(self, username: str, secret: str, address: str) -> tuple[UUID, UUID | None]:
        """Return the id of the user, and of the token if they sign in with one."""
        with contextlib.suppress(Unauthenticated):
            token = await self._store.read(partial(_by_token, username, secret, self._clock()))
            # Nobody guesses a key, so whoever has one does not wait for others.
            self._note(token, address)
            return token.user_id, token.id
        return (await self.check_password(username, secret, address)).user_id, None

    async def check_password(self, username: str, secret: str, address: str) -> Password:
        """Return what is kept of a user's password, if this is it.

        Args:
            username: the user name.
            secret: the password.
            address: the address that the attempt comes from.

        Raises:
            TooManyAttempts: too many attempts have failed; the sentence says when the next may be.
            Unauthenticated: it is not, or there is no such user.
        """
        attempt = self._pace.begin(normal_form(username), address, self._clock())
        if not await self._room.wait(attempt.wait):
            raise too_many(PATIENCE)
        known = await self._by_password(username, secret)
        self._pace.succeeded(attempt)
        return known

    async def _by_password(self, username: str, secret: str) -> Password:
        known = await self._store.read(partial(_password_of, username, self.rules))
        hashed = known.hash if known is not None else self._unknown
        async with self._at_once:
            fits = await anyio.to_thread.run_sync(self._fits, hashed, secret)
        if known is None or not fits:
            raise Unauthenticated(WRONG)
        return known

    def _fits(self, hashed: str, secret: str) -> bool:
        try:
            return self._hasher.verify(hashed, secret[:LONGEST_PASSWORD].encode("utf-8", "surrogatepass"))
        except VerificationError:
            return False

    async def resume(self, key: str, address: str = "", browser: str = "") -> Visitor:
        """Return the user who has the session with this key, and record that they use it.

        Args:
            key: the key.
            address: the address that they use it from.
            browser: what they use it with, for people.

        Raises:
            Unauthenticated: the session does not exist or has ended.
            Unavailable: it has to be renewed at an identity provider, which does not answer.
        """
        now, visitor = self._clock(), await self.look_up(key)
        if now - visitor.session.seen > SEEN_EVERY:
            to = {"seen": now, **used(address, browser)}
            await self._store.write(lambda tx: tx.change(visitor.session, **to))
        return visitor

    async def look_up(self, key: str, *, renew: bool = True) -> Visitor:
        """Return the user who has the session with this key, without using it.

        Args:
            key: the key.
            renew: whether it is renewed if that is due; who only ends a session need not wait for a provider.

        Raises:
            Unauthenticated: the session does not exist or has ended.
            Unavailable: it has to be renewed at an identity provider, which does not answer.
        """
        look = partial(_visitor, key, self._clock(), self.rules)
        visitor = await self._store.read(look)
        if not renew:
            return visitor
        if visitor.session.provider is not None and self._renewal is None:
            raise Unauthenticated(SIGN_IN_FIRST)
        if self._renewal is None or not self._renewal.is_due(visitor.session):
            return visitor
        await self._renewal.renew(visitor.session)
        return await self._store.read(look)

    async def sign_out(self, key: str) -> None:
        """End the session with this key, if there is one."""
        await self._store.write(partial(_sign_out, hash_key(key), self._clock()))

    async def tell(self, session: Session, notice: str) -> None:
        """Store a sentence for the next page to show."""
        await self._store.write(lambda tx: tx.change(session, notice=notice))


def hash_password(password: str) -> str:
    """Return what is kept of a password.

    Raises:
        Invalid: the password is too short or too long.
    """
    if not SHORTEST <= len(password) <= LONGEST_PASSWORD:
        raise Invalid(f"A password must have {SHORTEST} to {LONGEST_PASSWORD} characters.")
    return PasswordHasher().hash(password)


def new_session(user_id: UUID, now: datetime, **of: Any) -> tuple[str, Session]:
    """Return the key of a new session, and the session.

    Args:
        user_id: whose it is.
        now: the current time.
        of: its other fields, by name.
    """
    key = secrets.token_urlsafe(32)
    how = {"key_hash": hash_key(key), "csrf": secrets.token_urlsafe(32), "created": now, "seen": now}
    return key, Session(**{"id": uuid4(), "user_id": user_id, **how, **of})


def used(address: str, browser: str) -> dict[str, str]:
    """Return the fields of a session that tell from where and with what it is used."""
    return {"used_from": address[:LONGEST_ADDRESS], "browser": browser}


def begin(tx: Transaction, session: Session, rules: SignInRules, address: str, way: str, **said: str) -> None:
    """Start a session, end those of its user that are over, and record that.

    Args:
        tx: the transaction.
        session: the session.
        rules: how long sessions last.
        address: where its user signs in from.
        way: what they sign in with.
        said: what else is to be known, by name.
    """
    for old in tx.all(Session, user_id=session.user_id):
        if old.is_over(session.created, rules.longest):
            tx.remove(old)
    tx.add(session)
    _record(tx, EventType.SIGNED_IN, session, session.created, address=address, way=way, **said)


def _record(tx: Transaction, act: EventType, session: Session, now: datetime, **said: Any) -> None:
    user = tx.get(User, id=session.user_id)
    if user is not None:
        tx.record(account_event(user.id, user.username, act, now, user, **said))


def _sign_out(key_hash: str, now: datetime, tx: Transaction) -> None:
    session = tx.get(Session, key_hash=key_hash)
    if session is not None:
        tx.remove(session)
        _record(tx, EventType.SIGNED_OUT, session, now)


def _by_token(username: str, secret: str, now: datetime, tx: Transaction) -> Token:
    actor, token = authenticate_token(tx, Credentials(key=secret.strip(), username=username or None), now)
    if actor.agent:
        raise Unauthenticated(WRONG)
    return token


def _password_of(username: str, rules: SignInRules, tx: Transaction) -> Password | None:
    user = user_called(tx, username)
    if user is None or not user.is_active or not may_have_password(user, rules):
        return None
    return tx.get(Password, user_id=user.id)


def may_have_password(user: User, rules: SignInRules) -> bool:
    """Say whether the password of a user is good."""
    is_kept = bool(rules.break_glass) and normal_form(rules.break_glass) == normal_form(user.username)
    return not user.is_agent and (rules.passwords or is_kept)


def _visitor(key: str, now: datetime, rules: SignInRules, tx: Transaction) -> Visitor:
    hashed = hash_key(key)
    session = tx.get(Session, key_hash=hashed)
    if session is None or not hmac.compare_digest(session.key_hash, hashed) or session.is_over(now, rules.longest):
        raise Unauthenticated(SIGN_IN_FIRST)
    user = tx.get(User, id=session.user_id)
    if user is None or not user.is_active or user.is_agent:
        raise Unauthenticated(SIGN_IN_FIRST)
    if session.by_password and not may_have_password(user, rules):
        raise Unauthenticated(SIGN_IN_FIRST)
    actor = actor_of(tx, user) if session.token_id is None else _with_token(tx, user, session.token_id, now)
    return Visitor(actor=actor, session=session, preferences=preferences_of(actor, tx))


def _with_token(tx: Transaction, user: User, token_id: UUID, now: datetime) -> Actor:
    token = tx.get(Token, id=token_id)
    if token is None:
        raise Unauthenticated(SIGN_IN_FIRST)
    return actor_with(tx, user, token, now)
