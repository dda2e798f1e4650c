"""Logs and counts each request that was answered: its method, path, status and how long it took.

* The query and the headers are no part of it: somebody may have sent a secret there.
* A stream of events lasts as long as somebody listens; it has taken until it began.
"""

from __future__ import annotations

import asyncio
import logging

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api_shim.metrics import HTTP_REQUESTS
from api_shim.web.gateway import OURS, PAGES

logger = logging.getLogger("signoff")

LONGEST_PATH = 500
"""How many characters of a path are logged."""


class Logged:
    """ASGI middleware that logs and counts requests.

    Args:
        app: the wrapped application.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        # What ends without an answer is answered so by the server.
        status = 500
        ended: float | None = None
        loop = asyncio.get_running_loop()
        began = loop.time()

        async def noted(message: Message) -> None:
            nonlocal status, ended
            if message["type"] == "http.response.start":
                status = message["status"]
                if MutableHeaders(scope=message).get("Content-Type", "").startswith("text/event-stream"):
                    ended = loop.time()
            await send(message)

        try:
            await self._app(scope, receive, noted)
        finally:
            seconds = (loop.time() if ended is None else ended) - began
            _log(scope, status, seconds)
            HTTP_REQUESTS.labels(_part(scope["path"]), f"{status // 100}xx").observe(seconds)


def _part(path: str) -> str:
    return "api" if OURS.fullmatch(path) else "pages" if PAGES.fullmatch(path) else "prefect"


def _log(scope: Scope, status: int, seconds: float) -> None:
    method, path = scope["method"], scope["path"][:LONGEST_PATH]
    fields = {"method": method, "path": path, "status": status, "seconds": round(seconds, 4)}
    logger.info("%s %s: %d", method, path, status, extra=fields)
