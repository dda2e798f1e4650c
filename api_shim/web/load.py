"""Counts the requests of people, so that what can wait lets them go first."""

from __future__ import annotations

from starlette.types import ASGIApp, Receive, Scope, Send

from api_shim.reconcile.load import Load


class Measured:
    """An application whose requests are counted.

    Args:
        app: it.
        load: counts them.
    """

    def __init__(self, app: ASGIApp, load: Load) -> None:
        self._app = app
        self._load = load

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        self._load.begin()
        try:
            await self._app(scope, receive, send)
        finally:
            self._load.end()
