"""What Prefect writes down of the polls of workers.

* At each poll Prefect notes that the queues and all their deployments are ready, with the time. A warm worker polls for
  each run, and a queue may have thousands of deployments.
* Here a poll that says what an earlier one has said is noted once in ten seconds. Prefect takes what was not polled for
  sixty seconds for not ready, and we take a queue for unserved after thirty.
* That a queue becomes ready is noted at once.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import cache
from typing import Any

EVERY = 10.0
"""Seconds between two notes of the same."""
QUEUES = ("polled_work_queue_ids", "work_queue_ids")
"""The arguments that name the queues, of the two tasks that note it."""


class SeldomNoting:
    """Has a queue of background work, Prefect's, take a note of a poll only if there is no recent one like it.

    Args:
        clock: tells seconds.
    """

    def __init__(self, *args: Any, clock: Callable[[], float] = time.monotonic, **named: Any) -> None:
        super().__init__(*args, **named)
        self._clock = clock
        self._noted: dict[object, float] = {}

    def add(self, function: Any, *args: Any, **named: Any) -> Any:
        """Return what adds a task when it is called with the task's arguments, as Prefect's does."""
        docket: Any = super()
        add = docket.add(function, *args, **named)

        async def add_unless_noted(*args: Any, **arguments: Any) -> Any:
            note = _note_of(function, arguments)
            if note is not None and not arguments.get("ready_work_queue_ids") and self._is_noted(note):
                return None
            added = await add(*args, **arguments)
            if note is not None:
                # Only now: what could not be added is to be with the next poll.
                self._noted[note] = self._clock()
            return added

        return add_unless_noted

    def _is_noted(self, note: object) -> bool:
        """Say whether this was noted a short while ago."""
        now = self._clock()
        self._noted = {each: at for each, at in self._noted.items() if now - at < EVERY}
        return note in self._noted


def _note_of(function: Any, arguments: dict[str, Any]) -> object | None:
    """Return what two notes of the same polls have in common; None for what is no note of a poll."""
    queues = next((frozenset(arguments[name]) for name in QUEUES if name in arguments), None)
    return None if queues is None else (function, queues)


@cache
def note_polls_seldom() -> None:
    """Have Prefect's server note polls seldom in this process."""
    from prefect.server.api import server

    # No setting of Prefect's says it.
    module: Any = server
    module.Docket = type("SeldomNotingDocket", (SeldomNoting, module.Docket), {})
