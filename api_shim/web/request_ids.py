"""Gives each request its id, and repeats it in the answer as ``X-Request-ID``.

* It is the one that the client has sent, where that can be one (``domain.request_id``): a proxy may have given it.
* It is no proof of anything: whoever sends two requests may give both the same.
* Websockets have one too, which is not answered.
"""

from __future__ import annotations

from uuid import uuid4

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api_shim.domain.request_id import is_taken, within_request

HEADER = "X-Request-ID"


class Identified:
    """ASGI middleware that gives each request its id.

    Args:
        app: the wrapped application.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        request_id = _id_of(scope)

        async def identified(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message)[HEADER] = request_id
            await send(message)

        with within_request(request_id):
            await self._app(scope, receive, identified)


def _id_of(scope: Scope) -> str:
    sent = Headers(scope=scope).getlist(HEADER)
    return sent[0] if len(sent) == 1 and is_taken(sent[0]) else uuid4().hex
