"""An identity provider that speaks OpenID Connect: authorization code with PKCE, discovery, and refresh tokens.

* What it has signed counts only if it is by a key that the provider publishes now, with an asymmetric algorithm, names
  this issuer, this client and the nonce of this attempt, and has not expired. A key that is not known yet is looked for
  once more, for providers change theirs.
* What the provider says besides (``userinfo``) counts only for the subject that was signed.
* Each call has a time limit. No redirect is followed, and nothing goes anywhere unencrypted but on this machine.
* That it gives tokens is what vouches; an answer without them does not, whatever its status.
* A refusal is ``NotVouched``; that the provider is away, or does not know us, is ``Unavailable``. What it answers is in
  no error but for the names of errors that the protocol has.
"""

from __future__ import annotations

import logging
import re
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlencode

import anyio
import httpx
from authlib.oauth2.rfc7636 import create_s256_code_challenge
from authlib.oidc.core import CodeIDToken
from authlib.oidc.discovery import get_well_known_url
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet

from api_shim.domain.identity_providers import Attempt, HalfRenewed, NotVouched, Vouched
from api_shim.settings import ProviderSettings
from approval_gate.addresses import is_private, trusts_environment
from approval_gate.errors import Unavailable

logger = logging.getLogger("signoff")

ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "Ed25519", "EdDSA")
"""Those by which nobody can sign who only knows how to verify."""
KNOWN_FOR = timedelta(hours=1)
"""How long is believed what the provider has told of itself."""
LEEWAY = 60
"""Seconds by which its clock may be wrong."""
LONGEST = 255
"""How many characters are kept of what the provider says of somebody; more in a subject is refused."""
LARGEST = 1_000_000
"""Maximum size of an answer, in bytes."""
ERROR = re.compile(r"[a-z_]{1,50}")
REFUSALS = frozenset({"invalid_grant", "access_denied", "login_required", "interaction_required", "consent_required"})
"""The errors that are about whoever signs in; the others are about us."""
UNTRUSTED = "What the identity provider has answered cannot be trusted: {why}."
NOT_ANY_MORE = "The identity provider does not vouch for this user ({error})."


@dataclass(frozen=True, kw_only=True, slots=True)
class _Known:
    """What the provider has told of itself, and when."""

    at: datetime
    metadata: Mapping[str, Any]


class OidcProvider:
    """The provider.

    Args:
        told: where it is, and what it knows us by.
        clock: returns the current time, timezone-aware.
        transport: what carries requests there; None for the network.
    """

    def __init__(
        self,
        told: ProviderSettings,
        clock: Callable[[], datetime],
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self._told = told
        self._clock = clock
        self._transport = transport
        self._known: _Known | None = None
        self._keys: KeySet | None = None

    def __repr__(self) -> str:
        return f"OidcProvider({self._told.issuer!r})"

    @property
    def issuer(self) -> str:
        """Its address, as its tokens name it."""
        return self._told.issuer

    @property
    def name(self) -> str:
        """What people call it."""
        return self._told.name

    async def begin(self, attempt: Attempt, redirect_uri: str) -> str:
        """Return the address at which a browser signs in; see ``IdentityProvider``."""
        async with self._asking() as client:
            metadata = await self._metadata(client)
        query = {
            "response_type": "code",
            "client_id": self._told.client_id,
            "redirect_uri": redirect_uri,
            "scope": " ".join(self._told.scopes),
            "state": attempt.state,
            "nonce": attempt.nonce,
            "code_challenge": create_s256_code_challenge(attempt.verifier),
            "code_challenge_method": "S256",
        }
        return _with_query(_endpoint(metadata, "authorization_endpoint"), query)

    async def finish(self, attempt: Attempt, code: str, redirect_uri: str) -> Vouched:
        """Exchange the code of a browser that has signed in; see ``IdentityProvider``."""
        how = {"code": code, "redirect_uri": redirect_uri, "code_verifier": attempt.verifier}
        async with self._asking() as client:
            tokens = await self._tokens(client, {"grant_type": "authorization_code", **how})
            if not isinstance(tokens.get("id_token"), str):
                raise NotVouched(UNTRUSTED.format(why="it has no ID token"))
            signed = await self._signed(client, tokens, attempt.nonce)
            return await self._vouched(client, tokens, signed, _text(signed, "sub"))

    async def renew(self, refresh_token: str, subject: str) -> Vouched:
        """Ask whether the provider still vouches for somebody; see ``IdentityProvider``."""
        how = {"grant_type": "refresh_token", "refresh_token": refresh_token}
        tokens: Mapping[str, Any] = {}
        try:
            async with self._asking() as client:
                tokens = await self._tokens(client, how)
                return await self._vouched_again(client, {"refresh_token": refresh_token, **tokens}, subject)
        except Unavailable as error:
            if (rotated := _text(tokens, "refresh_token")) and rotated != refresh_token:
                raise HalfRenewed(error.detail, rotated) from error
            raise

    async def _vouched_again(self, client: httpx.AsyncClient, tokens: Mapping[str, Any], subject: str) -> Vouched:
        """Return what the provider says of somebody with the tokens of a renewal."""
        # It need not sign anything again; what it does sign has to be right.
        signed = await self._signed(client, tokens, None) if tokens.get("id_token") else {"sub": subject}
        if signed.get("sub") != subject:
            raise NotVouched(UNTRUSTED.format(why="it is about somebody else"))
        return await self._vouched(client, tokens, signed, subject)

    async def leave(self, back: str) -> str:
        """Return the address at which a browser signs out there too; see ``IdentityProvider``."""
        async with self._asking() as client:
            metadata = await self._metadata(client)
        if "end_session_endpoint" not in metadata:
            return ""
        query = {"client_id": self._told.client_id, "post_logout_redirect_uri": back}
        return _with_query(_endpoint(metadata, "end_session_endpoint"), query)

    @asynccontextmanager
    async def _asking(self) -> AsyncIterator[httpx.AsyncClient]:
        """Open a client for what one sign-in asks.

        Raises:
            Unavailable: the provider does not answer within its time.
        """
        address = httpx.URL(self._told.issuer)
        how: dict[str, Any] = {"timeout": self._told.timeout, "trust_env": trusts_environment(address)}
        try:
            with anyio.fail_after(self._told.timeout):
                async with httpx.AsyncClient(transport=self._transport, **how) as client:
                    yield client
        except (httpx.HTTPError, httpx.InvalidURL, TimeoutError) as error:
            logger.warning("The identity provider %s does not answer: %s", self.issuer, type(error).__name__)
            raise Unavailable(f"The identity provider ({self.name}) does not answer.") from None

    async def _metadata(self, client: httpx.AsyncClient) -> Mapping[str, Any]:
        """Return what the provider tells of itself."""
        now = self._clock()
        if self._known is None or now - self._known.at > KNOWN_FOR:
            metadata = self._content(await client.get(get_well_known_url(self.issuer, external=True)))
            if metadata.get("issuer") != self.issuer:
                logger.warning("The identity provider %s calls itself something else.", self.issuer)
                raise Unavailable(f"The identity provider ({self.name}) is not the one that it should be.")
            self._known = _Known(at=now, metadata=metadata)
        return self._known.metadata

    async def _tokens(self, client: httpx.AsyncClient, form: Mapping[str, str]) -> Mapping[str, Any]:
        """Return what the provider gives for a code or a refresh token."""
        metadata = await self._metadata(client)
        told = self._told
        ways = metadata.get("token_endpoint_auth_methods_supported", ["client_secret_basic"])
        if told.client_secret and "client_secret_basic" in ways:
            # RFC 6749, section 2.3.1: each is encoded like a field of a form.
            pair = [urlencode({"": each})[1:] for each in (told.client_id, told.client_secret)]
            signed: dict[str, Any] = {"auth": httpx.BasicAuth(*pair), "data": dict(form)}
        else:
            secret = {"client_secret": told.client_secret} if told.client_secret else {}
            signed = {"data": {**form, "client_id": told.client_id, **secret}}
        answer = await client.post(_endpoint(metadata, "token_endpoint"), headers=JSON, **signed)
        if answer.status_code in {400, 401, 403}:
            raise self._refusal(answer)
        tokens = self._content(answer)
        if tokens.get("error") is not None:
            # Some refuse with the status of a success.
            raise self._refusal(answer)
        if not _text(tokens, "access_token"):
            # RFC 6749, section 5.1: what has none gives nothing.
            logger.warning("The identity provider %s has given no access token.", self.issuer)
            raise Unavailable(f"The identity provider ({self.name}) does not answer as it should.")
        return tokens

    def _refusal(self, answer: httpx.Response) -> NotVouched | Unavailable:
        """Return what it means that the provider has refused."""
        try:
            error = answer.json().get("error")
        except (ValueError, AttributeError):
            error = None
        error = error if isinstance(error, str) and ERROR.fullmatch(error) else "unnamed error"
        if error in REFUSALS:
            return NotVouched(NOT_ANY_MORE.format(error=error))
        logger.warning("The identity provider %s does not accept signoff: %s", self.issuer, error)
        return Unavailable(f"The identity provider ({self.name}) does not accept this server.")

    async def _signed(self, client: httpx.AsyncClient, tokens: Mapping[str, Any], nonce: str | None) -> dict[str, Any]:
        """Return what the provider has signed of somebody.

        Raises:
            NotVouched: it has not signed it, or not for this client or this attempt, or too long ago.
        """
        id_token, metadata = tokens["id_token"], await self._metadata(client)
        offered = metadata.get("id_token_signing_alg_values_supported", ["RS256"])
        if not (algorithms := [each for each in ALGORITHMS if each in offered]):
            # An empty list would mean any.
            raise NotVouched(UNTRUSTED.format(why="it is signed with no algorithm that can be trusted"))
        try:
            keys = self._keys or await self._fetched_keys(client)
            try:
                token = jwt.decode(id_token, key=keys, algorithms=algorithms)
            except (JoseError, ValueError):
                # It may have been signed with a key that is new.
                token = jwt.decode(id_token, key=await self._fetched_keys(client), algorithms=algorithms)
            about = {"nonce": nonce, "client_id": self._told.client_id, "access_token": tokens.get("access_token")}
            claims = CodeIDToken(token.claims, token.header, self._required(), about)
            claims.validate(now=int(self._clock().timestamp()), leeway=LEEWAY)
        except JoseError as error:
            raise NotVouched(UNTRUSTED.format(why=_named(error))) from None
        except (ValueError, TypeError, KeyError, AttributeError):
            raise NotVouched(UNTRUSTED.format(why="it cannot be read")) from None
        return dict(claims)

    def _required(self) -> dict[str, Any]:
        """Return what a token must say."""
        said = {"iss": self.issuer, "aud": self._told.client_id}
        return {name: {"essential": True, "value": value} for name, value in said.items()}

    async def _fetched_keys(self, client: httpx.AsyncClient) -> KeySet:
        metadata = await self._metadata(client)
        published: Any = self._content(await client.get(_endpoint(metadata, "jwks_uri"), headers=JSON))
        self._keys = KeySet.import_key_set(published)
        return self._keys

    async def _vouched(
        self, client: httpx.AsyncClient, tokens: Mapping[str, Any], signed: Mapping[str, Any], subject: str
    ) -> Vouched:
        """Return what the provider says of somebody, in what it has signed and besides."""
        if not subject or len(subject) > LONGEST:
            raise NotVouched(UNTRUSTED.format(why="its subject cannot be kept"))
        besides = await self._besides(client, tokens)
        said = {**signed, **besides}
        # Some say it in a string, and some not at all. It counts where the same address is.
        verified = {
            str(each["email_verified"]).lower()
            for each in (signed, besides)
            if "email_verified" in each and each.get("email") == said.get("email")
        }
        if said["sub"] != subject:
            raise NotVouched(UNTRUSTED.format(why="it is about somebody else"))
        given = tokens.get("refresh_token")
        return Vouched(
            subject=subject,
            username=_text(said, self._told.username_claim),
            name=_text(said, "name")[:LONGEST],
            mail=_text(said, "email")[:LONGEST],
            mail_is_verified=verified == {"true"},
            groups=self._groups(said, is_signed=bool(tokens.get("id_token"))),
            refresh_token=given if isinstance(given, str) and given else None,
        )

    def _groups(self, said: Mapping[str, Any], *, is_signed: bool) -> frozenset[str] | None:
        """Return the groups that the provider says; None if it has signed nothing, and says nothing of them besides."""
        claim = self._told.groups_claim
        if claim not in said and not is_signed:
            return None
        groups = said.get(claim)
        listed = groups if isinstance(groups, list) else [groups]
        return frozenset(each for each in listed if isinstance(each, str))

    async def _besides(self, client: httpx.AsyncClient, tokens: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return what the provider says of whoever an access token is of; nothing if it has no place for that."""
        metadata, token = await self._metadata(client), tokens.get("access_token")
        if "userinfo_endpoint" not in metadata or not isinstance(token, str):
            return {}
        headers = {**JSON, "Authorization": f"Bearer {token}"}
        answer = await client.get(_endpoint(metadata, "userinfo_endpoint"), headers=headers)
        if answer.status_code in {401, 403}:
            raise NotVouched(NOT_ANY_MORE.format(error="access_denied"))
        return self._content(answer)

    def _content(self, answer: httpx.Response) -> Mapping[str, Any]:
        """Return the object that an answer has.

        Raises:
            Unavailable: it has none.
        """
        try:
            content = answer.json() if answer.is_success and len(answer.content) <= LARGEST else None
        except (ValueError, RecursionError):
            content = None
        if not isinstance(content, dict):
            logger.warning("The identity provider %s answered with status %d.", self.issuer, answer.status_code)
            raise Unavailable(f"The identity provider ({self.name}) does not answer as it should.")
        return content


JSON = {"Accept": "application/json"}


def _endpoint(metadata: Mapping[str, Any], name: str) -> str:
    """Return an address that the provider has told.

    Raises:
        Unavailable: it has none, or others could read what is sent there.
    """
    told = metadata.get(name)
    if isinstance(told, str):
        address = httpx.URL(told)
        if address.host and is_private(address):
            return told
    raise Unavailable(f"The identity provider has no {name.replace('_', ' ')} that can be used.")


def _with_query(address: str, query: Mapping[str, str]) -> str:
    return str(httpx.URL(address).copy_merge_params(query))


def _text(said: Mapping[str, Any], name: str) -> str:
    value = said.get(name)
    return value.strip() if isinstance(value, str) else ""


def _named(error: JoseError) -> str:
    """Return what is wrong, without what the provider has sent."""
    claim = getattr(error, "claim", None)
    return f"{error.error} ({claim})" if isinstance(claim, str) else str(error.error)
