"""What a process without pages and API answers: how it is, and its metrics.

* The gateway says who may have them, as it does where everything is served.
* Nothing else is there, and no websocket.
"""

from __future__ import annotations

import re

from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send

OPERATION = re.compile(r"/signoff/(healthz|readyz|metrics)/?")


class OperationOnly:
    """ASGI middleware that lets nothing through but what whoever operates a process asks.

    Args:
        app: the gateway.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one call."""
        if scope["type"] == "http" and OPERATION.fullmatch(scope["path"]):
            await self._app(scope, receive, send)
        elif scope["type"] == "http":
            await PlainTextResponse("Not Found", 404)(scope, receive, send)
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close"})
