"""Renew the sessions of people who have signed in at an identity provider, for as long as it vouches for them.

* A session is good for an hour after the provider has vouched for its user, and no longer. In the second half of that
  hour whatever its user does has it renewed, with the provider's refresh token.
* Whom the provider does not vouch for any more is signed out, and that is in the audit.
* While the provider is away, sessions go on until their hour is over. Then nobody is let in, but told that it is away;
  once it is back, they go on.
* Without a refresh token, or at another provider than the settings name now, a session ends with its hour.
* Of several requests in one session, on whichever server, one renews it: providers may take a refresh token that is
  used twice for stolen. In an hour that is not over, the others do not wait.
* A refresh token that the provider has given is kept, also where the rest of the renewal fails, or whoever asked has
  gone meanwhile: the one before may be good no more.
* With each renewal the groups follow that the provider says.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from typing import Any
from uuid import UUID
from weakref import WeakValueDictionary

import anyio

from api_shim.domain.accounts import Identity, Session, User
from api_shim.domain.audit import EventType, account_event
from api_shim.domain.identity_providers import HalfRenewed, IdentityProvider, NotVouched, Vouched
from api_shim.services.authentication import Unauthenticated
from api_shim.services.provider_accounts import follow
from api_shim.settings import SignInRules
from api_shim.store import Store, Transaction
from approval_gate.errors import Unavailable

GOOD_FOR = timedelta(hours=1)
"""How long what a provider has said of somebody is good for."""
EARLY = GOOD_FOR / 2
"""How long before its end a session begins to be renewed."""
TAKES = timedelta(seconds=30)
"""How long nobody else renews a session that somebody has begun to renew, or has failed to."""
SIGN_IN_AGAIN = "Your session could not be renewed. Please sign in again."
NOT_RENEWABLE = "The session cannot be renewed at its identity provider."
AWAY = "The identity provider that you signed in with is not responding. You can continue once it is."


class SessionRenewal:
    """Renews sessions.

    Args:
        store: the store.
        provider: the provider; None without one.
        rules: which of our groups those of the provider are.
        clock: returns the current time, timezone-aware.
    """

    def __init__(
        self, store: Store, provider: IdentityProvider | None, rules: SignInRules, clock: Callable[[], datetime]
    ) -> None:
        self._store = store
        self._provider = provider
        self._rules = rules
        self._clock = clock
        self._turns: WeakValueDictionary[UUID, asyncio.Lock] = WeakValueDictionary()

    def is_due(self, session: Session) -> bool:
        """Say whether a session has to be renewed, now or soon."""
        if session.provider is None:
            return False
        # Without a refresh token there is nothing to do before its hour is over.
        return self._is_over(session) or (session.refresh_token is not None and self._left(session) <= EARLY)

    async def renew(self, session: Session) -> None:
        """Renew a session that is due, unless somebody else does.

        Args:
            session: it, as it was read.

        Raises:
            Unauthenticated: it has ended.
            Unavailable: its hour is over, and the provider does not answer.
        """
        turn = self._turns.setdefault(session.id, asyncio.Lock())
        if turn.locked() and not self._is_over(session):
            return
        async with turn:
            # Whoever has asked may go meanwhile; what the provider gives is kept all the same.
            with anyio.CancelScope(shield=True):
                await self._take_turn(session)

    async def _take_turn(self, session: Session) -> None:
        there, is_ours = await self._store.write(partial(_claimed, session.id, self._clock()))
        if there is None:
            raise Unauthenticated(SIGN_IN_AGAIN)
        if is_ours and self.is_due(there):
            await self._ask(there)
        elif not is_ours:
            # Another server renews it, or somebody has just failed to.
            self._check_good(there)

    def _left(self, session: Session) -> timedelta:
        return (session.renew_by or self._clock()) - self._clock()

    def _is_over(self, session: Session) -> bool:
        return self._left(session) <= timedelta(0)

    def _check_good(self, session: Session) -> None:
        if self._is_over(session):
            raise Unavailable(AWAY)

    async def _ask(self, session: Session) -> None:
        """Ask the provider whether it still vouches for the user of a session."""
        provider = self._provider
        identity = await self._store.read(lambda tx: tx.get(Identity, user_id=session.user_id, issuer=session.provider))
        token = self._token(session)
        if provider is None or provider.issuer != session.provider or token is None or identity is None:
            if self._is_over(session) or identity is None:
                await self._store.write(partial(_ended, session, "", self._clock()))
                raise Unauthenticated(SIGN_IN_AGAIN)
            return
        try:
            vouched = await provider.renew(token, identity.subject)
        except NotVouched as error:
            await self._store.write(partial(_ended, session, str(error), self._clock()))
            raise Unauthenticated(SIGN_IN_AGAIN) from error
        except Unavailable as error:
            if isinstance(error, HalfRenewed):
                await self._store.write(partial(self._rotate, session, error.refresh_token))
            self._check_good(session)
            return
        await self._store.write(partial(self._keep, session, vouched))

    def _token(self, session: Session) -> str | None:
        """Return the refresh token of a session; None if there is none, or another key has sealed it."""
        with contextlib.suppress(Unavailable):
            return self._store.open_secret(session.id, session.refresh_token) if session.refresh_token else None
        return None

    def _rotate(self, session: Session, refresh_token: str, tx: Transaction) -> None:
        there = tx.get(Session, id=session.id, lock=True)
        if there is not None:
            tx.change(there, refresh_token=sealed(self._store, there, refresh_token).refresh_token)

    def _keep(self, session: Session, vouched: Vouched, tx: Transaction) -> None:
        now = self._clock()
        identity = tx.get(Identity, user_id=session.user_id, issuer=session.provider)
        there = tx.get(Session, id=session.id, lock=True)
        if identity is None or there is None:
            return
        renewed = sealed(self._store, there, vouched.refresh_token)
        tx.change(there, refresh_token=renewed.refresh_token, renew_by=now + GOOD_FOR, renewing=None)
        follow(tx, identity, vouched, self._rules, now)


def sealed(store: Store, session: Session, refresh_token: str | None) -> Session:
    """Return a session with a refresh token, as it is kept."""
    return replace(
        session, refresh_token=None if refresh_token is None else store.seal_secret(session.id, refresh_token)
    )


def _claimed(session_id: UUID, now: datetime, tx: Transaction) -> tuple[Session | None, bool]:
    """Return a session, or None if it has ended, and whether it has been taken over to be renewed."""
    session = tx.get(Session, id=session_id, lock=True)
    if session is None or (session.renewing is not None and session.renewing > now):
        return session, False
    return tx.change(session, renewing=now + TAKES), True


def _ended(session: Session, reason: str, now: datetime, tx: Transaction) -> None:
    """End a session, and record why if the provider has said so."""
    there, user = tx.get(Session, id=session.id), tx.get(User, id=session.user_id)
    if there is None or user is None:
        # Somebody else has ended it, or removed its user with it.
        return
    tx.remove(there)
    said: dict[str, Any] = {"issuer": session.provider, "reason": reason or NOT_RENEWABLE, "count": 1}
    tx.record(account_event(user.id, user.username, EventType.SIGN_IN_REFUSED, now, None, **said))
