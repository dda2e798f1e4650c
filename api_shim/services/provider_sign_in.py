"""Sign in at an identity provider: send a browser there, and let in whom the provider vouches for.

* What a browser has begun with, it alone has, in a cookie: an answer that another one has got is worth nothing to it.
* Whoever is let in gets a session as with a password, which knows the provider, and has to be renewed there
  (``services.session_renewal``).
* Every sign-in, every refusal and every account that is made or linked is in the audit.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from datetime import datetime
from functools import partial

from api_shim.domain.accounts import Session
from api_shim.domain.identity_providers import Attempt, IdentityProvider, NotVouched, Vouched
from api_shim.domain.notifications import Sender
from api_shim.services.provider_accounts import TAKEN, NotLetIn, let_in
from api_shim.services.provider_address import take_address
from api_shim.services.session_renewal import GOOD_FOR, sealed
from api_shim.services.sessions import begin, new_session, used
from api_shim.settings import SignInRules
from api_shim.store import Duplicate, Store, Transaction
from approval_gate.errors import NotFound

NO_PROVIDER = "This page does not exist."


class ProviderSignIn:
    """Signs people in whom an identity provider vouches for.

    Args:
        store: the store.
        provider: the provider; None without one.
        rules: who may sign in, and for how long.
        sender: knows to which addresses people can be told of what happens.
        clock: returns the current time, timezone-aware.
    """

    def __init__(
        self,
        store: Store,
        provider: IdentityProvider | None,
        rules: SignInRules,
        sender: Sender,
        clock: Callable[[], datetime],
    ) -> None:
        self._store = store
        self._provider = provider
        self._rules = rules
        self._sender = sender
        self._clock = clock

    @property
    def name(self) -> str:
        """What people call the provider; empty without one."""
        return self._provider.name if self._provider else ""

    @property
    def issuer(self) -> str:
        """The address of the provider; empty without one."""
        return self._provider.issuer if self._provider else ""

    async def begin(self, redirect_uri: str) -> tuple[str, Attempt]:
        """Return the address at which a browser signs in, and what it has to come back with.

        Args:
            redirect_uri: where it comes back to.

        Raises:
            Unavailable: the provider does not answer.
        """
        attempt = Attempt(**{name: secrets.token_urlsafe(32) for name in ("state", "nonce", "verifier")})
        return await self._there().begin(attempt, redirect_uri), attempt

    async def finish(
        self, attempt: Attempt, code: str, redirect_uri: str, address: str, browser: str = ""
    ) -> tuple[str, Session]:
        """Start a session of whoever has signed in there.

        Args:
            attempt: what their browser has begun with.
            code: what the provider has sent it back with.
            redirect_uri: as it was begun.
            address: where they sign in from.
            browser: what they sign in with, for people.

        Returns:
            the session's key, which is not available later, and the session.

        Raises:
            NotLetIn: the provider does not vouch for them, or they have no account here.
            Unavailable: the provider does not answer.
        """
        provider = self._there()
        try:
            vouched = await provider.finish(attempt, code, redirect_uri)
        except NotVouched as error:
            raise NotLetIn(str(error)) from error
        try:
            return await self._store.write(partial(self._enter, provider.issuer, vouched, address, browser))
        except Duplicate as error:
            raise NotLetIn(TAKEN.format(subject=vouched.subject, name=vouched.username)) from error

    async def leave(self, back: str) -> str:
        """Return the address at which a browser signs out of the provider too; empty if there is none.

        Args:
            back: where it comes back to.

        Raises:
            Unavailable: the provider does not answer.
        """
        return await self._provider.leave(back) if self._provider else ""

    def _there(self) -> IdentityProvider:
        if self._provider is None:
            raise NotFound(NO_PROVIDER)
        return self._provider

    def _enter(self, issuer: str, vouched: Vouched, address: str, browser: str, tx: Transaction) -> tuple[str, Session]:
        now = self._clock()
        user = let_in(tx, issuer, vouched, self._rules, now)
        take_address(tx, user, issuer, vouched, self._sender, self._store.inputs_key, now)
        how = {"provider": issuer, "renew_by": now + GOOD_FOR, **used(address, browser)}
        key, session = new_session(user.id, now, **how)
        session = sealed(self._store, session, vouched.refresh_token)
        begin(tx, session, self._rules, address, "provider", issuer=issuer, subject=vouched.subject)
        return key, session
