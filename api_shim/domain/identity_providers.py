"""The port to an identity provider, at which people sign in: what it is asked, what it says, and what it may refuse.

* Who somebody is there is its ``subject``. What they are called, and their mail address, may change and be given to
  others, and decide nothing.
* It is asked with what the browser that signs in alone has (state, nonce, and the verifier of PKCE), and its answer
  counts for that browser.
* No secret is in a repr.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

from approval_gate.errors import GateError, Unavailable


class NotVouched(GateError):
    """The provider does not vouch for somebody, or not in a way that can be trusted."""


class HalfRenewed(Unavailable):
    """The provider has given another refresh token, and then was away; the one before may be good no more.

    Args:
        detail: one sentence for the caller.
        refresh_token: the other one; in no text of the error.
    """

    def __init__(self, detail: object, refresh_token: str) -> None:
        super().__init__(detail)
        self.refresh_token = refresh_token


@dataclass(frozen=True, kw_only=True, slots=True)
class Attempt:
    """What one browser has begun to sign in with; nobody else knows it.

    Args:
        state: what the provider sends back with its answer.
        nonce: what it signs.
        verifier: what its code is exchanged with.
    """

    state: str = field(repr=False)
    nonce: str = field(repr=False)
    verifier: str = field(repr=False)


@dataclass(frozen=True, kw_only=True, slots=True)
class Vouched:
    """What a provider says of somebody whom it vouches for.

    Args:
        subject: who they are; nobody else is ever.
        username: what a new account of theirs is to be called; empty if it does not say.
        name: what people call them.
        mail: their mail address.
        mail_is_verified: whether the provider says that it is verified.
        groups: the names of the groups that they are in there; None if it says nothing of that, nor of what they are
            called, as a renewal may.
        refresh_token: what it will vouch for them again for; None if it gives none.
    """

    subject: str
    username: str = ""
    name: str = ""
    mail: str = ""
    mail_is_verified: bool = False
    groups: frozenset[str] | None = frozenset()
    refresh_token: str | None = field(default=None, repr=False)


class IdentityProvider(Protocol):
    """An identity provider."""

    @property
    def issuer(self) -> str:
        """Its address, as its tokens name it."""

    @property
    def name(self) -> str:
        """What people call it."""

    async def begin(self, attempt: Attempt, redirect_uri: str) -> str:
        """Return the address at which a browser signs in.

        Raises:
            Unavailable: the provider does not answer.
        """

    async def finish(self, attempt: Attempt, code: str, redirect_uri: str) -> Vouched:
        """Exchange the code of a browser that has signed in.

        Raises:
            NotVouched: the code is not good, or what it is exchanged for cannot be trusted.
            Unavailable: the provider does not answer.
        """

    async def renew(self, refresh_token: str, subject: str) -> Vouched:
        """Ask whether the provider still vouches for somebody.

        Raises:
            NotVouched: it does not.
            HalfRenewed: it has given another refresh token, but does not answer what else it is asked.
            Unavailable: it does not answer.
        """

    async def leave(self, back: str) -> str:
        """Return the address at which a browser signs out there too, and from which it comes back; empty without one.

        Raises:
            Unavailable: the provider does not answer.
        """
