"""Browser sessions: sign in, stay signed in and sign out.

* People sign in with a user name and a password, or with a token's key, with or without its user's name.
* Failed attempts are counted by address, and by user name if one is given. After too many, all attempts are refused
  for some minutes, including correct ones.
* An unknown user name and a wrong password take equally long, and get the same message.
* Each sign-in starts a new session with a new key; nothing that the browser sent before is reused.
* A user who is removed or deactivated, or whose token is removed after they signed in with it, is signed out.

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
from api_shim.services.authentication import Credentials, Unauthenticated, actor_of, authenticate_token, hash_key
from api_shim.store import Store, Transaction
from approval_gate.errors import Invalid, TooManyAttempts
from approval_gate.model import Actor
from flows.inputs import is_storable

WRONG = "Wrong user name, password or token."
SIGN_IN_FIRST = "Please sign in first."
TOO_MANY = "Too many failed attempts to sign in. Please wait a few minutes and try again."
PER_NAME = parse("10 per 5 minutes")
PER_ADDRESS = parse("50 per 5 minutes")
SHORTEST, LONGEST_PASSWORD = 10, 1000
AT_ONCE = 2
"""How many passwords are verified at the same time; each verification briefly needs 64 MB."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Visitor:
    """A user who is signed in with a browser.

    Args:
        actor: the user and their permissions.
        session: their session.
    """

    actor: Actor
    session: Session


class Sessions:
    """Signs users in and out.

    Args:
        store: the store.
        clock: returns the current time, aware.
    """

    def __init__(self, store: Store, clock: Callable[[], datetime]) -> None:
        self._store = store
        self._clock = clock
        self._attempts = MovingWindowRateLimiter(MemoryStorage())
        self._hasher = PasswordHasher()
        self._unknown = self._hasher.hash(secrets.token_urlsafe())
        self._at_once = anyio.CapacityLimiter(AT_ONCE)

    async def sign_in(self, username: str, secret: str, address: str) -> tuple[str, Session]:
        """Start a session.

        Args:
            username: the user name; may be empty with a token's key.
            secret: the password, or a token's key.
            address: the address that the attempt comes from.

        Returns:
            the session's key, which is not available later, and the session.

        Raises:
            TooManyAttempts: too many attempts have failed.
            Unauthenticated: the credentials are wrong.
        """
        who, token = await self._authenticate_counted(username, secret, address)
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

    async def _authenticate_counted(self, username: str, secret: str, address: str) -> tuple[UUID, UUID | None]:
        counted: list[tuple[RateLimitItem, str]] = [(PER_ADDRESS, f"from:{address}")]
        if username:
            # Without a user name only a token's key can match, so there is no name to count by.
            counted.append((PER_NAME, f"name:{username}"))
        self._check_limits(counted)
        # The limit is checked again inside, so that many attempts at the same moment are counted too.
        async with self._at_once:
            self._check_limits(counted)
            try:
                return await self._authenticate(username, secret)
            except Unauthenticated as error:
                for item, whose in counted:
                    self._attempts.hit(item, whose)
                raise Unauthenticated(WRONG) from error

    def _check_limits(self, counted: list[tuple[RateLimitItem, str]]) -> None:
        if not all(self._attempts.test(item, whose) for item, whose in counted):
            raise TooManyAttempts(TOO_MANY)

    async def _authenticate(self, username: str, secret: str) -> tuple[UUID, UUID | None]:
        """Return the id of the user, and of the token if they sign in with one."""
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
        """Return the user who has the session with this key.

        Raises:
            Unauthenticated: the session does not exist or has ended.
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
        """End the session with this key, if there is one."""
        await self._store.write(partial(_end, hash_key(key)))

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


def _begin(session: Session, tx: Transaction) -> None:
    for old in tx.all(Session, user_id=session.user_id):
        if session.created - old.created > LONGEST:
            tx.remove(old)
    tx.add(session)


def _end(key_hash: str, tx: Transaction) -> None:
    session = tx.get(Session, key_hash=key_hash)
    if session is not None:
        tx.remove(session)


def _by_token(username: str, secret: str, now: datetime, tx: Transaction) -> Token | None:
    token = tx.get(Token, key_hash=hash_key(secret.strip()))
    if token is None:
        return None
    authenticate_token(tx, Credentials(key=secret.strip(), username=username or None), now)
    return token


def _password_of(username: str, tx: Transaction) -> Password | None:
    user = tx.get(User, username=username) if is_storable(username) else None
    return tx.get(Password, user_id=user.id) if user is not None and user.is_active else None


def _is_valid(token: Token | None, now: datetime) -> bool:
    return token is not None and (token.expires is None or token.expires > now)


def _visitor(key: str, now: datetime, tx: Transaction) -> Visitor:
    hashed = hash_key(key)
    session = tx.get(Session, key_hash=hashed)
    if session is None or not hmac.compare_digest(session.key_hash, hashed) or session.is_over(now):
        raise Unauthenticated(SIGN_IN_FIRST)
    user = tx.get(User, id=session.user_id)
    token = tx.get(Token, id=session.token_id) if session.token_id is not None else None
    if user is None or not user.is_active or (session.token_id is not None and not _is_valid(token, now)):
        raise Unauthenticated(SIGN_IN_FIRST)
    actor = actor_of(tx, user)
    return Visitor(actor=replace(actor, read_only=token is not None and not token.write_enabled), session=session)
