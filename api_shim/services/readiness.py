"""Whether this server can do its work, and what it lacks.

* Anybody may ask: what is answered names no user, Job, address, file or version, and repeats no error.
* Whoever asks again within two seconds is answered the same, so that nobody keeps a server busy by asking.
* Whether Prefect answers is known from the regular look at it (``reconcile.served_queues``).
* The store is there when it can be written. A try that takes too long is left to its end, and no other begun before.
* Whether services are there a server that has none of its own knows from what they tell (``services.running_servers``).
  It is ready without them all the same: what is requested is kept, and without any server nothing would be.
* Where the loop is not run, or nothing is kept on a disk, there is nothing to check of it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta

from api_shim.reconcile.served_queues import ServedQueues
from api_shim.services.running_servers import Following
from api_shim.store import Store, Transaction

logger = logging.getLogger("signoff")

KEPT = timedelta(seconds=2)
"""How long an answer is good for."""
STORE_ANSWERS_WITHIN = 5.0
"""Seconds."""
STUCK_AFTER = timedelta(minutes=2)
"""How long a tick of the loop may take; one that compares thousands of deployments with a busy Prefect takes long."""
SERVICES = "services"
"""The check without which a server is ready all the same."""
ENOUGH_DISK = 100 * 1024**2
"""Bytes."""


class Readiness:
    """Checks what this server needs.

    Attributes:
        following: looks whether services are there, where the loop is not run.

    Args:
        store: what is true.
        served: knows since when Prefect is away.
        ticked: returns when the loop last began anew; None where it is not run.
        free_disk: returns how many bytes are left where data is kept; None where none is.
        clock: tells the time, aware.
    """

    def __init__(
        self,
        store: Store,
        served: ServedQueues,
        ticked: Callable[[], datetime | None],
        free_disk: Callable[[], int] | None,
        clock: Callable[[], datetime],
    ) -> None:
        self._store = store
        self._served = served
        self._ticked = ticked
        self._free_disk = free_disk
        self._clock = clock
        self.following = Following(store, clock)
        self._turn = asyncio.Lock()
        self._checked: tuple[datetime, Mapping[str, str]] | None = None
        self._trying: asyncio.Future[None] | None = None

    def prefect_away_since(self) -> datetime | None:
        """Return since when Prefect has not answered; None if it does."""
        return self._served.away_since()

    def services_away_since(self) -> datetime | None:
        """Return since when no services have been there; None if there are some, in this process or elsewhere."""
        return self.following.away_since() if self._ticked() is None else None

    def followed(self) -> datetime | None:
        """Return when this process last began to make Prefect follow; None where it does not."""
        return self._ticked()

    async def checks(self) -> Mapping[str, str]:
        """Return what is wrong, by check; an empty sentence where nothing is."""
        async with self._turn:
            now = self._clock()
            if self._checked is None or now - self._checked[0] >= KEPT:
                found = await self._check(now)
                # From when it was found: who waited meanwhile for a store that hangs is answered the same.
                self._checked = self._clock(), found
            return self._checked[1]

    async def _check(self, now: datetime) -> Mapping[str, str]:
        found = {"store": await self._check_store(), "prefect": self._check_prefect()}
        if (ticked := self._ticked()) is not None:
            found["loop"] = "The background loop has stopped." if now - ticked >= STUCK_AFTER else ""
        if self._free_disk is not None:
            found["disk"] = self._check_disk(self._free_disk)
        if (since := self.services_away_since()) is not None:
            found[SERVICES] = f"The background services have not reported since {since:%H:%M:%S} UTC."
        return found

    async def _check_store(self) -> str:
        if self._trying is None:
            self._trying = asyncio.ensure_future(self._store.write(Transaction.check_writable))
        done, _ = await asyncio.wait([self._trying], timeout=STORE_ANSWERS_WITHIN)
        if not done:
            return "The store does not answer."
        tried, self._trying = self._trying, None
        if (error := tried.exception()) is None:
            return ""
        logger.warning("The store cannot be written: %s", error)
        return "The store cannot be written."

    def _check_prefect(self) -> str:
        since = self.prefect_away_since()
        return "" if since is None else f"Prefect has not answered since {since:%H:%M:%S} UTC."

    @staticmethod
    def _check_disk(free_disk: Callable[[], int]) -> str:
        try:
            return "" if free_disk() >= ENOUGH_DISK else "The disk is full, or nearly so."
        except OSError as error:
            logger.warning("The free space on the disk is unknown: %s", error.strerror)
            return "The data folder cannot be reached."
