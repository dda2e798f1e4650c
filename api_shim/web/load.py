"""How busy this process is with the requests of people, so that what can wait lets them go first.

Prefect's server may run in this process: what it is asked for then takes its time from the answers to people.
"""

from __future__ import annotations

import asyncio

from starlette.types import ASGIApp, Receive, Scope, Send

LULL = 0.05
"""Seconds without a request after which nobody is taken to be asking."""


class Load:
    """Counts the requests that are being answered."""

    def __init__(self) -> None:
        self._under_way = 0
        self._last: float | None = None

    def is_quiet(self) -> bool:
        """Say whether nobody is being answered, or has just been. To be asked within the event loop."""
        if self._under_way:
            return False
        return self._last is None or asyncio.get_running_loop().time() - self._last > LULL

    def begin(self) -> None:
        """Count a request."""
        self._under_way += 1

    def end(self) -> None:
        """Count it as answered."""
        self._under_way -= 1
        self._last = asyncio.get_running_loop().time()


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
