"""The use cases of signing in with a browser, and of staying signed in.

* With a name and a password, or with a token's key, alone or with its user's name.
* Every attempt that fails is counted, by name if it has one and by address; too many are refused for a while, right
  ones too.
* Who is not known takes as long to refuse as who gives a wrong password, and is told the same.
* To sign in begins a new session with a new key; nothing that the browser sent before is kept.
* Whoever is removed, deactivated or loses the token that he signed in with is signed out.

Design, section 8.
"""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from uuid import UUID, uuid4

import anyio
from argon2 import PasswordHasher
from argon2.exceptions import VerificationError
from limits import RateLimitItem, parse
from limits.storage import MemoryStorage
from limits.strategies import MovingWindowRateLimiter

from api_shim.domain.accounts import LONGEST, SEEN_EVERY, Password, Session, Token, User
from api_shim.services.account_admin import end_sessions, user_named
from api_shim.services.authentication import Credentials, Unauthenticated, actor_of, authenticate_token, hash_key
from api_shim.store import Store, Transaction
from approval_gate.errors import Invalid, TooManyAttempts
from approval_gate.model import Actor
from flows.inputs import is_storable

WRONG = "Wrong user name, password or token."
SIGN_IN_FIRST = "Sign in first."
TOO_MANY = "Too many attempts to sign in; please wait some minutes."
PER_NAME = parse("10 per 5 minutes")
PER_ADDRESS = parse("50 per 5 minutes")
SHORTEST, LONGEST_PASSWORD = 10, 1000
AT_ONCE = 2
"""How many passwords are tried at once: each takes 64 MB for a moment."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Visitor:
    """Somebody who is signed in with a browser.

    Args:
        actor: who he is, and may.
        session: his session.
    """

    actor: Actor
    session: Session


class Sessions:
    """Signs people in and out.

    Args:
        store: what is true.
        clock: tells the time, aware.
    """

    def __init__(self, store: Store, clock: Callable[[], datetime]) -> None:
        self._store = store
        self._clock = clock
        self._attempts = MovingWindowRateLimiter(MemoryStorage())
        self._hasher = PasswordHasher()
        self._unknown = self._hasher.hash(secrets.token_urlsafe())
        self._at_once = anyio.CapacityLimiter(AT_ONCE)

    async def sign_in(self, username: str, secret: str, address: str) -> tuple[str, Session]:
        """Begin a session.

        Args:
            username: the name; empty where a token's key is enough.
            secret: the password, or a token's key.
            address: where the attempt comes from.

        Returns:
            the session's key, which is told nowhere else, and the session.

        Raises:
            TooManyAttempts: too many have failed.
            Unauthenticated: the user name, password or token is wrong.
        """
        who, token = await self._counting(username, secret, address)
        key = secrets.token_urlsafe(32)
        now = self._clock()
        session = Session(
            id=uuid4(),
            user_id=who,
            key_hash=hash_key(key),
            csrf=secrets.token_urlsafe(32),
            token_id=token,
            created=now,
            seen=now,
        )
        await self._store.write(partial(_begin, session))
        return key, session

    async def _counting(self, username: str, secret: str, address: str) -> tuple[UUID, UUID | None]:
        counted: list[tuple[RateLimitItem, str]] = [(PER_ADDRESS, f"from:{address}")]
        if username:
            # Who gives no name tries to guess no password; all of them together are nobody.
            counted.append((PER_NAME, f"name:{username}"))
        self._check(counted)
        # Few at once, and looked at again, so that who tries many at the same moment is counted all the same.
        async with self._at_once:
            self._check(counted)
            try:
                return await self._who(username, secret)
            except Unauthenticated as error:
                for item, whose in counted:
                    self._attempts.hit(item, whose)
                raise Unauthenticated(WRONG) from error

    def _check(self, counted: list[tuple[RateLimitItem, str]]) -> None:
        if not all(self._attempts.test(item, whose) for item, whose in counted):
            raise TooManyAttempts(TOO_MANY)

    async def _who(self, username: str, secret: str) -> tuple[UUID, UUID | None]:
        """Return the user, and the token that he signs in with if it is one."""
        token = await self._store.read(partial(_by_token, username, secret, self._clock()))
        if token is not None:
            return token.user_id, token.id
        known = await self._store.read(partial(_password_of, username))
        hashed = known.hash if known is not None else self._unknown
        fits = await anyio.to_thread.run_sync(self._fits, hashed, secret)
        if known is None or not fits:
            raise Unauthenticated(WRONG)
        return known.user_id, None

    def _fits(self, hashed: str, secret: str) -> bool:
        try:
            return self._hasher.verify(hashed, secret[:LONGEST_PASSWORD].encode("utf-8", "surrogatepass"))
        except VerificationError:
            return False

    async def resume(self, key: str) -> Visitor:
        """Return who has this session.

        Raises:
            Unauthenticated: there is no such session, or it has ended.
        """
        now = self._clock()
        visitor = await self._store.read(partial(_visitor, key, now))
        if now - visitor.session.seen > SEEN_EVERY:
            await self._store.write(lambda tx: tx.change(visitor.session, seen=now))
        return visitor

    async def sign_out(self, session: Session) -> None:
        """End a session."""
        await self._store.write(lambda tx: tx.remove(session))

    async def forget(self, key: str) -> None:
        """End the session that has this key, if there is one."""
        await self._store.write(partial(_end, hash_key(key)))

    async def tell(self, session: Session, notice: str) -> None:
        """Keep a sentence for the next page."""
        await self._store.write(lambda tx: tx.change(session, notice=notice))

    def set_password(self, username: str, password: str) -> None:
        """Set a user's password, and end his sessions.

        Raises:
            NotFound: there is no such user.
            Invalid: it is too short or too long.
        """
        if not SHORTEST <= len(password) <= LONGEST_PASSWORD:
            raise Invalid(f"A password has {SHORTEST} to {LONGEST_PASSWORD} characters.")
        hashed = self._hasher.hash(password)
        with self._store.transaction() as tx:
            user = user_named(tx, username)
            tx.remove(Password(user_id=user.id, hash=""))
            tx.add(Password(user_id=user.id, hash=hashed))
            end_sessions(tx, user)


def _begin(session: Session, tx: Transaction) -> None:
    for old in tx.all(Session, user_id=session.user_id):
        if session.created - old.created > LONGEST:
            tx.remove(old)
    tx.add(session)


def _end(key_hash: str, tx: Transaction) -> None:
    session = tx.one(Session, key_hash=key_hash)
    if session is not None:
        tx.remove(session)


def _by_token(username: str, secret: str, now: datetime, tx: Transaction) -> Token | None:
    token = tx.one(Token, key_hash=hash_key(secret.strip()))
    if token is None:
        return None
    authenticate_token(tx, Credentials(key=secret.strip(), username=username or None), now)
    return token


def _password_of(username: str, tx: Transaction) -> Password | None:
    user = tx.one(User, username=username) if is_storable(username) else None
    return tx.one(Password, user_id=user.id) if user is not None and user.is_active else None


def _is_valid(token: Token | None, now: datetime) -> bool:
    return token is not None and (token.expires is None or token.expires > now)


def _visitor(key: str, now: datetime, tx: Transaction) -> Visitor:
    hashed = hash_key(key)
    session = tx.one(Session, key_hash=hashed)
    if session is None or not hmac.compare_digest(session.key_hash, hashed) or session.is_over(now):
        raise Unauthenticated(SIGN_IN_FIRST)
    user = tx.one(User, id=session.user_id)
    token = tx.one(Token, id=session.token_id) if session.token_id is not None else None
    if user is None or not user.is_active or (session.token_id is not None and not _is_valid(token, now)):
        raise Unauthenticated(SIGN_IN_FIRST)
    actor = actor_of(tx, user)
    return Visitor(actor=replace(actor, read_only=token is not None and not token.write_enabled), session=session)
