"""Prefect on SQLite: a call that met another writer is made again.

* SQLite has one writer. Transactions take turns (``prefect_api.prefect_sqlite``), but for what Prefect writes without
  one. Who meets that gets 503, has changed nothing, and is asked again here, where it takes milliseconds; each client
  would wait for seconds. Prefect says it in words of its own: 503 of anybody else, as of a proxy, may be of a call that
  has changed something, and is passed on.
* A worker that would tell of itself on a websocket, where every message is a write, is refused there: it does so by
  HTTP then. One of a Prefect of which it is not known that it is on SQLite is not.
* A call is read before it is made, so that it can be made again.
* A Prefect that is known to be on PostgreSQL needs none of this.
"""

from __future__ import annotations

import asyncio
import json
import re

from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api_shim.asgi import receive_whole, received_again
from api_shim.web.errors import body_of, status_of
from api_shim.web.prefect_reads import READING_METHODS, needs_write
from approval_gate.errors import TooLarge

WORKERS_SOCKET = re.compile(r"/api/work_pools/[^/]+/workers/connect/?")

BUSY = {"exception_message": "Service Unavailable"}
"""Prefect's answer, with 503, to a call that met another writer."""
PAUSES = tuple(0.01 * attempt for attempt in range(1, 11))
"""Seconds before a call is tried again that met another writer."""


class WritesAgain:
    """Prefect's application, which is asked again to write when it was busy.

    Args:
        app: Prefect's ASGI application.
        on_sqlite: whether it is known to be on SQLite.
    """

    def __init__(self, app: ASGIApp, *, on_sqlite: bool = True) -> None:
        self._app = app
        self._on_sqlite = on_sqlite

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one call."""
        if scope["type"] == "websocket" and self._on_sqlite and WORKERS_SOCKET.fullmatch(scope["path"]):
            await send({"type": "websocket.close"})
            return
        if scope["type"] != "http" or not writes(scope["method"], scope["path"]):
            await self._app(scope, receive, send)
            return
        try:
            body = await receive_whole(receive)
        except TooLarge as error:
            await JSONResponse(body_of(error), status_of(error))(scope, receive, send)
            return
        if body is None:
            return
        answer = await self._answer(scope, body, receive)
        for pause in PAUSES:
            if not _met_another_writer(answer):
                break
            await asyncio.sleep(pause)
            answer = await self._answer(scope, body, receive)
        for message in answer:
            await send(message)

    async def _answer(self, scope: Scope, body: bytes, receive: Receive) -> list[Message]:
        answer: list[Message] = []

        async def keep(message: Message) -> None:
            answer.append(message)

        try:
            await self._app({**scope}, received_again(body, receive), keep)
        except Exception:
            # Prefect raises what it has answered too, for a server to print.
            if not _is_complete(answer):
                raise
        return answer


def writes(method: str, path: str) -> bool:
    """Say whether a call of Prefect's API may write."""
    return method not in READING_METHODS and needs_write(method, path)


def _met_another_writer(answer: list[Message]) -> bool:
    if not answer or answer[0]["status"] != 503:
        return False
    try:
        return bool(json.loads(b"".join(message.get("body", b"") for message in answer[1:])) == BUSY)
    except (ValueError, RecursionError):
        return False


def _is_complete(answer: list[Message]) -> bool:
    return bool(answer) and answer[-1]["type"] == "http.response.body" and not answer[-1].get("more_body", False)
