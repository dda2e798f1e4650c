"""An identity provider that somebody else wrote, asked in this process, whose answers can be made wrong."""

from __future__ import annotations

import asyncio
import re
import warnings
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
from joserfc import jwt
from joserfc.jwk import RSAKey

from api_shim.oidc import OidcProvider
from api_shim.settings import ProviderSettings

with warnings.catch_warnings():
    # It uses what its own libraries are about to give up.
    warnings.simplefilter("ignore")
    import flask
    from authlib import jose
    from oidc_provider_mock import app as provider_app

ISSUER = "http://localhost"
CLIENT = "signoff"
SECRET = "client-secret/%&"
TOLD = ProviderSettings(issuer=ISSUER, client_id=CLIENT, client_secret=SECRET, name="Login")

Claims = dict[str, Any]


class Provider(httpx.AsyncBaseTransport):
    """The provider, and the way there.

    Args:
        clock: tells the time, as signoff is told it.
        to: how the settings differ.
    """

    def __init__(self, clock: Callable[[], Any], **to: Any) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            self.app = provider_app()
        self._wsgi = httpx.WSGITransport(self.app)
        self.asked: list[httpx.Request] = []
        self.away = False
        self.claims: Callable[[Claims], Claims] = lambda claims: claims
        self.answers: Callable[[httpx.Request, httpx.Response], httpx.Response] = lambda _asked, answer: answer
        told = {"issuer": ISSUER, "client_id": CLIENT, "client_secret": SECRET, "name": "Login", **to}
        self.adapter = OidcProvider(ProviderSettings(**told), clock, self)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Answer what signoff asks."""
        await request.aread()
        self.asked.append(request)
        if self.away:
            raise httpx.ConnectError("Connection refused", request=request)
        return self.answers(request, self._resigned(self._answer(request)))

    def _answer(self, request: httpx.Request) -> httpx.Response:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            answer = self._wsgi.handle_request(
                httpx.Request(request.method, request.url, headers=request.headers, content=request.content)
            )
            answer.read()
        # Read as a whole, it can be read by whoever waits and by whoever does not.
        return httpx.Response(answer.status_code, headers=answer.headers, content=answer.content)

    def _resigned(self, answer: httpx.Response) -> httpx.Response:
        """Return an answer with other claims in its ID token."""
        if not answer.content.startswith(b"{") or "id_token" not in answer.json():
            return answer
        tokens = answer.json()
        key = self._key()
        claims = jwt.decode(tokens["id_token"], key).claims
        tokens["id_token"] = jwt.encode({"alg": "RS256"}, self.claims(claims), key)
        return httpx.Response(200, json=tokens)

    def _key(self) -> RSAKey:
        return RSAKey.import_key(self._storage().jwk.as_dict(is_private=True))

    def _storage(self) -> Any:
        with warnings.catch_warnings(), self.app.test_request_context():
            warnings.simplefilter("ignore")
            self.app.preprocess_request()
            return flask.g.oidc_provider_mock_storage

    def rotate_key(self) -> None:
        """Sign with another key from now on."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            self._storage().jwk = jose.RSAKey.generate_key(is_private=True)

    def person(self, subject: str, **claims: Any) -> None:
        """Let there be somebody, or let something else be true of them."""
        answer = self._answer(httpx.Request("PUT", f"{ISSUER}/users/{subject}", json=claims))
        assert answer.status_code == 204, answer.text

    def throw_out(self, subject: str) -> None:
        """Vouch for somebody no more."""
        answer = self._answer(httpx.Request("POST", f"{ISSUER}/users/{subject}/revoke-tokens"))
        assert answer.status_code == 204

    def signs_in(self, url: str, subject: str) -> dict[str, str]:
        """Sign somebody in with their browser, and return what it is sent back with."""
        answer = self._answer(httpx.Request("POST", url, data={"sub": subject}))
        assert answer.status_code == 302, answer.text
        return {name: value for name, [value] in parse_qs(urlsplit(answer.headers["location"]).query).items()}

    def forms(self) -> list[dict[str, str]]:
        """Return the forms that signoff has sent."""
        sent = [each.content.decode() for each in self.asked if each.method == "POST"]
        return [{name: value for name, [value] in parse_qs(each).items()} for each in sent]


def cookie_in(answer: httpx.Response, name: str) -> str:
    """Return the value that an answer gives to a cookie; empty if it takes it away."""
    for header in answer.headers.get_list("set-cookie"):
        if found := re.match(rf"{name}=([^;]*);", header):
            return found[1].strip('"')
    raise AssertionError(f"{name} is not among {answer.headers.get_list('set-cookie')}")


def run(awaitable: Any) -> Any:
    """Wait for something."""
    return asyncio.run(awaitable)
