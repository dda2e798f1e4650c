"""Let a command line sign in: its user confirms that in a browser, and it exchanges a code for a token.

* A code belongs to the session in which somebody has confirmed it, is good for a minute and for one exchange, and
  whoever exchanges it has to have what its challenge is the hash of (PKCE, S256).
* A wrong exchange uses the code up as a right one does.
* The token lasts no longer than the session was good for then: an hour at most where an identity provider has to vouch
  for its user. One from a session that a token has started belongs to that token, as any that is made with it.
* The tokens of earlier sign-ins that have expired are removed, which is in the audit.
"""

from __future__ import annotations

import hmac
import re
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import partial
from uuid import uuid4

from api_shim.domain.accounts import Session, SignInCode, Token, User
from api_shim.keys import challenge_of, new_key
from api_shim.parsing.account import LONGEST_DESCRIPTION
from api_shim.services.accounts import add_account, remove_account
from api_shim.services.authentication import Unauthenticated, actor_with, hash_key, makers
from api_shim.services.sessions import Visitor
from api_shim.settings import SignInRules
from api_shim.store import Store, Transaction
from approval_gate import policy
from approval_gate.model import ObjectType

CODE_LASTS = timedelta(minutes=1)
CHALLENGE = re.compile(r"[A-Za-z0-9_-]{43}")
NOT_GOOD = "This sign-in is no longer valid. Start again with signoff login."
MADE_FOR = "signoff login"


@dataclass(frozen=True, kw_only=True, slots=True)
class Login:
    """What a command line is given.

    Args:
        key: the key of its token.
        token: the token.
        username: whose it is.
    """

    key: str = field(repr=False)
    token: Token
    username: str


class CommandLineSignIn:
    """Signs command lines in.

    Args:
        store: the store.
        rules: how long sessions last.
        clock: returns the current time, timezone-aware.
    """

    def __init__(self, store: Store, rules: SignInRules, clock: Callable[[], datetime]) -> None:
        self._store = store
        self._rules = rules
        self._clock = clock

    async def confirm(self, visitor: Visitor, challenge: str) -> str:
        """Return the code that a command line exchanges, whose user has just confirmed that.

        Args:
            visitor: the user.
            challenge: the hash of what the command line alone knows.
        """
        code = secrets.token_urlsafe(32)
        kept = SignInCode(
            id=uuid4(),
            session_id=visitor.session.id,
            code_hash=hash_key(code),
            challenge=challenge,
            created=self._clock(),
        )
        await self._store.write(partial(_replace, kept))
        return code

    async def exchange(self, code: str, verifier: str, machine: str) -> Login:
        """Give a command line its token.

        Args:
            code: what the browser has brought it.
            verifier: what it alone knows.
            machine: what it calls the machine that it runs on.

        Raises:
            Unauthenticated: the code is not good, or not for this command line.
        """
        kept = await self._store.write(partial(_taken, hash_key(code)))
        if kept is None or self._clock() - kept.created > CODE_LASTS or not _fits(verifier, kept.challenge):
            raise Unauthenticated(NOT_GOOD)
        return await self._store.write(partial(self._made, kept, machine))

    def _made(self, kept: SignInCode, machine: str, tx: Transaction) -> Login:
        now, key = self._clock(), new_key()
        session = tx.get(Session, id=kept.session_id)
        user = tx.get(User, id=session.user_id, lock=True) if session is not None else None
        if session is None or user is None or not user.is_active or session.is_over(now, self._rules.longest):
            raise Unauthenticated(NOT_GOOD)
        if user.is_agent:
            # It has a token that its person has given it, and grants itself none.
            raise Unauthenticated(NOT_GOOD)
        latest = session.created + self._rules.longest
        called = "".join(each for each in machine if each.isprintable())
        token = Token(
            id=uuid4(),
            user_id=user.id,
            key_hash=hash_key(key),
            expires=min(session.renew_by or latest, latest),
            created=now,
            description=f"{MADE_FOR} on {called}"[:LONGEST_DESCRIPTION],
        )
        if session.token_id is not None:
            token = _belonging(tx, user, session, token)
        if token.expires is None or token.expires <= now:
            raise Unauthenticated(NOT_GOOD)
        _forget_old(tx, user, now)
        add_account(tx, token, {"user": user.id, "expires": token.expires}, now, user)
        return Login(key=key, token=token, username=user.username)


def _replace(kept: SignInCode, tx: Transaction) -> None:
    """Keep a code in the place of the one that its session had."""
    for old in tx.all(SignInCode, session_id=kept.session_id):
        tx.remove(old)
    tx.add(kept)


def _taken(code_hash: str, tx: Transaction) -> SignInCode | None:
    kept = tx.get(SignInCode, code_hash=code_hash, lock=True)
    if kept is not None:
        tx.remove(kept)
    return kept


def _fits(verifier: str, challenge: str) -> bool:
    return hmac.compare_digest(challenge_of(verifier), challenge)


def _belonging(tx: Transaction, user: User, session: Session, token: Token) -> Token:
    """Return a token that belongs to the one that a session was started with, and lasts no longer.

    Raises:
        Unauthenticated: that one is not valid.
    """
    maker = tx.get(Token, id=session.token_id)
    if maker is None:
        raise Unauthenticated(NOT_GOOD)
    actor_with(tx, user, maker, token.created)
    line = [maker, *makers(tx, maker)]
    policy.enforce(policy.may_make_token(line=len(line)), ObjectType.TOKEN)
    ends = min(each.expires for each in (token, *line) if each.expires is not None)
    return replace(token, made_with_id=maker.id, expires=ends)


def _forget_old(tx: Transaction, user: User, now: datetime) -> None:
    old = [each for each in tx.all(Token, user_id=user.id) if each.expires is not None and each.expires <= now]
    for token in old:
        # One may have gone with another, which it was made with.
        if token.description.startswith(MADE_FOR) and tx.get(Token, id=token.id) is not None:
            remove_account(tx, token, now, user)
