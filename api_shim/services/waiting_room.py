"""Where attempts wait that are slowed: as many as there are seats, so that what waits has a most."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable


class WaitingRoom:
    """Lets its guests wait.

    Args:
        seats: how many may wait at the same time.
        sleep: waits for so many seconds.
    """

    def __init__(self, seats: int, sleep: Callable[[float], Awaitable[None]]) -> None:
        self._seats = asyncio.Semaphore(seats)
        self._sleep = sleep

    async def wait(self, seconds: float) -> bool:
        """Wait for so many seconds, and say whether there was a seat to do so; without one, return at once."""
        if not seconds:
            return True
        if self._seats.locked():
            return False
        async with self._seats:
            await self._sleep(seconds)
        return True
