"""What somebody signs in with, as HTTP and websockets carry it.

* ``Authorization`` has a token's key in one of three schemes; the first message of a websocket has it too.

Opens Prefect's UI to who is signed in to our pages: the session in his browser speaks for him there too.

* A browser sends the session's cookie with whatever it asks of this origin, also when a page of another one makes it
  ask. So the cookie counts only where the browser says that a page of this origin asks.
* A browser that does not say who asks names the origin with all that is more than a read; a read that names none cannot
  be looked at by another origin.
* Prefect's UI is told that it need not ask for a login while there is a session. The session comes before what the UI
  has stored of an earlier login, so that it acts as the one whose name our pages show.

Design, section 8.
"""

from __future__ import annotations

import base64
import binascii
import json

from starlette.datastructures import MutableHeaders
from starlette.requests import Request
from starlette.types import Message, Scope, Send

from api_shim.domain.accounts import COOKIE
from api_shim.services.authentication import INVALID_TOKEN, Credentials, Unauthenticated


def read_credentials(header: str | None) -> Credentials | None:
    """Read an ``Authorization`` header: ``Token key``, ``Bearer key`` or ``Basic`` with ``user:key``.

    Returns:
        what it carries; None if there is no header, or one of another scheme.

    Raises:
        Unauthenticated: it cannot be read.
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
    """Read ``user:key``, or a key alone.

    Raises:
        Unauthenticated: there is no key.
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
    """Read what the first message of a websocket signs in with; None if it is no such message."""
    try:
        said = json.loads(message.get("text") or message.get("bytes") or "")
    except (ValueError, RecursionError):
        return None
    token = said.get("token") if isinstance(said, dict) and said.get("type") == "auth" else None
    return read_auth_string(token) if isinstance(token, str) else None


UI_SETTINGS = "/ui-settings"
"""Where Prefect's UI learns whether it is to ask for a login."""
ALONE = frozenset({"GET", "HEAD"})
"""What a browser asks without naming its origin."""


def session_key(scope: Scope) -> str:
    """Return the key of the session that speaks for a call; empty if none does.

    Args:
        scope: of a call over HTTP.
    """
    request = Request(scope)
    return request.cookies.get(COOKIE, "") if _asks_itself(request) else ""


def _asks_itself(request: Request) -> bool:
    """Say whether a page of this origin asks."""
    site, origin = request.headers.get("sec-fetch-site"), request.headers.get("origin")
    if origin is not None and origin != f"{request.url.scheme}://{request.url.netloc}":
        return False
    if site is not None:
        return site == "same-origin"
    return origin is not None or request.method in ALONE


def asking_no_login(send: Send) -> Send:
    """Return what sends the settings of Prefect's UI, so that it asks for no login.

    Args:
        send: where they go.
    """
    begun: list[Message] = []
    body = bytearray()

    async def told(message: Message) -> None:
        if message["type"] == "http.response.start":
            begun.append(message)
            return
        body.extend(message.get("body", b""))
        if message.get("more_body"):
            return
        start = begun[0]
        text = _without_login(bytes(body)) if start["status"] == 200 else bytes(body)
        headers = MutableHeaders(raw=list(start.get("headers", [])))
        headers["content-length"] = str(len(text))
        headers["cache-control"] = "no-store"
        await send({**start, "headers": headers.raw})
        await send({"type": "http.response.body", "body": text})

    return told


def _without_login(body: bytes) -> bytes:
    return json.dumps({**json.loads(body), "auth": None}).encode()
