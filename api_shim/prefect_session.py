"""Opens Prefect's UI to who is signed in to our pages: the session in his browser speaks for him there too.

* A browser sends the session's cookie with whatever it asks of this origin, also when a page of another one makes it
  ask. So the cookie counts only where the browser says that a page of this origin asks.
* A browser that does not say who asks names the origin with all that is more than a read; a read that names none cannot
  be looked at by another origin.
* Prefect's UI is told that it need not ask for a login while there is a session. The session comes before what the UI
  has stored of an earlier login, so that it acts as the one whose name our pages show.

Design, section 8.
"""

from __future__ import annotations

import json

from starlette.datastructures import MutableHeaders
from starlette.requests import Request
from starlette.types import Message, Scope, Send

from api_shim.sessions import COOKIE

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
