"""The credentials of HTTP requests and websockets: tokens, and the session cookie of the pages.

* A token's key is in the ``Authorization`` header, in one of three schemes, or in the first message of a websocket.
* The session of a user who is signed in to the pages also signs them in to Prefect's UI.
* Browsers send the cookie with requests that pages of other origins make, too. So it counts only for requests that
  ``Sec-Fetch-Site`` or ``Origin`` marks as same-origin. Without either header it counts only for reads, whose answers
  pages of other origins cannot see.
* Over TLS the names of cookies begin with ``__Host-``: browsers take such a cookie from this very host and over TLS
  alone, so that nobody who owns a neighbouring host or the network can plant one. A session that was begun before
  under the name without it counts only where there is none with it.
* While there is a session, Prefect's UI is configured not to ask for a login. The session takes precedence over a login
  that the UI has stored, so that the UI acts as the user whose name the pages show.
"""

from __future__ import annotations

import base64
import binascii
import json

from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.types import Message, Scope, Send

from api_shim.domain.accounts import COOKIE
from api_shim.domain.browsers import browser_called
from api_shim.services.authentication import INVALID_TOKEN, Credentials, Unauthenticated
from api_shim.web.rewriting import rewritten


def read_credentials(header: str | None) -> Credentials | None:
    """Read an ``Authorization`` header: ``Token key``, ``Bearer key`` or ``Basic`` with ``user:key``.

    Returns:
        the credentials; None if there is no header, or one of another scheme.

    Raises:
        Unauthenticated: the header is malformed.
    """
    scheme, _, value = (header or "").strip().partition(" ")
    match scheme.lower():
        case "token":
            return _key(value)
        case "bearer" | "basic":
            return read_auth_string(value if scheme.lower() == "bearer" else _decoded(value))
        case _:
            return None


def read_auth_string(text: str) -> Credentials:
    """Read ``user:key``, or only a key.

    Raises:
        Unauthenticated: the key is empty.
    """
    username, colon, key = text.strip().partition(":")
    return Credentials(key=key, username=username) if colon and key else _key(username)


def _key(value: str) -> Credentials:
    if not value.strip():
        raise Unauthenticated(INVALID_TOKEN)
    return Credentials(key=value.strip())


def _decoded(value: str) -> str:
    try:
        return base64.b64decode(value, validate=True).decode()
    except (binascii.Error, ValueError) as error:
        raise Unauthenticated(INVALID_TOKEN) from error


def credentials_of(message: Message) -> Credentials | None:
    """Read the credentials in the first message of a websocket; None if it is not an ``auth`` message."""
    try:
        said = json.loads(message.get("text") or message.get("bytes") or "")
    except (ValueError, RecursionError):
        return None
    token = said.get("token") if isinstance(said, dict) and said.get("type") == "auth" else None
    return read_auth_string(token) if isinstance(token, str) else None


def address_of(scope: Scope) -> str:
    """Return the address that a request or a websocket comes from; empty if it is not known."""
    client = scope.get("client")
    return client[0] if client else ""


def browser_of(scope: Scope) -> str:
    """Return what the browser that a request comes from is called, for people; empty if it is not known."""
    return browser_called(Headers(scope=scope).get("user-agent", ""))


UI_SETTINGS = "/ui-settings"
"""The path where Prefect's UI reads its settings, among them whether to ask for a login."""


ALONE = frozenset({"GET", "HEAD"})
"""Methods for which browsers may omit the ``Origin`` header."""


def session_key(scope: Scope) -> str:
    """Return the session key of a request; empty if it has none, or is not same-origin.

    Args:
        scope: the ASGI scope of an HTTP request.
    """
    request = Request(scope)
    return session_cookie(request) if _asks_itself(request) else ""


PROTECTED = "__Host-"
"""The prefix of the names of cookies over TLS; such a cookie must be secure, and for all paths."""


def cookie_name(name: str, *, secure: bool) -> str:
    """Return the name under which a browser keeps a cookie.

    Args:
        name: the name of the cookie.
        secure: whether the browser has come over TLS.
    """
    return PROTECTED + name if secure else name


def is_secure(request: Request) -> bool:
    """Say whether a request has come over TLS."""
    return request.url.scheme == "https"


def session_cookie(request: Request) -> str:
    """Return the key of the session of a request for a page; empty if there is none."""
    protected = request.cookies.get(cookie_name(COOKIE, secure=True)) if is_secure(request) else None
    return protected or request.cookies.get(COOKIE, "")


def _asks_itself(request: Request) -> bool:
    """Say whether a request is same-origin."""
    site, origin = request.headers.get("sec-fetch-site"), request.headers.get("origin")
    if origin is not None and origin != f"{request.url.scheme}://{request.url.netloc}":
        return False
    if site is not None:
        return site == "same-origin"
    return origin is not None or request.method in ALONE


def asking_no_login(send: Send) -> Send:
    """Wrap ``send`` for the settings of Prefect's UI, so that the UI does not ask for a login.

    Args:
        send: the ASGI callable to wrap.
    """
    return rewritten(send, _without_login)


def _without_login(body: bytes) -> bytes:
    return json.dumps({**json.loads(body), "auth": None}).encode()
