"""How busy this process is with the requests of people, so that what can wait lets them go first.

Prefect's server may run in this process: what it is asked for then takes its time from the answers to people.
"""

from __future__ import annotations

import asyncio

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
