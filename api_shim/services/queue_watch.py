"""Tells those who look at the approval queue when it changes.

* One question, every two seconds, is asked for all who watch on this server, and none while nobody does.
* It tells that something has changed, not what: each watcher asks for what they may see, as themselves.
* Who signs out is told with the same question that their watching is over, and so is everybody when the server stops.
* An account has so many watchers at most, and so has a server.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from uuid import UUID

from api_shim.domain.accounts import Session
from api_shim.store import Store, Transaction
from approval_gate.errors import TooManyAttempts

logger = logging.getLogger("signoff")

EVERY = 2.0
"""Seconds between two questions."""
MOST, MOST_OF_ONE = 200, 4
"""How many watchers there are at most: in all, and of one account."""
TOO_MANY = "The approval queue is being watched too often already."
AFTER = 60.0
"""Seconds after which who was one too many may try again."""


class Watcher:
    """Somebody who looks at the approval queue.

    Args:
        account_id: their account.
        session_id: the session that they are signed in with.

    Attributes:
        over: whether they may watch no longer.
    """

    def __init__(self, account_id: UUID, session_id: UUID) -> None:
        self.account_id = account_id
        self.session_id = session_id
        self.over = False
        self._told = asyncio.Event()

    def tell(self, *, over: bool = False) -> None:
        """Wake whoever waits, or waits next."""
        self.over = self.over or over
        self._told.set()

    async def wait(self, seconds: float) -> bool:
        """Wait for a change, for so many seconds at most; return whether there was one."""
        try:
            await asyncio.wait_for(self._told.wait(), seconds)
        except TimeoutError:
            return False
        self._told.clear()
        return True


class QueueWatch:
    """Looks at the approval queue for all who watch it.

    Args:
        store: the store.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._watchers: set[Watcher] = set()
        self._mark: object = None
        self._fails = False

    @contextmanager
    def watching(self, account_id: UUID, session_id: UUID) -> Iterator[Watcher]:
        """Be a watcher while this is entered.

        Raises:
            TooManyAttempts: there are too many already.
        """
        own = sum(each.account_id == account_id for each in self._watchers)
        if own >= MOST_OF_ONE or len(self._watchers) >= MOST:
            raise TooManyAttempts(TOO_MANY, after=AFTER)
        watcher = Watcher(account_id, session_id)
        self._watchers.add(watcher)
        try:
            yield watcher
        finally:
            self._watchers.discard(watcher)

    async def run(self) -> None:
        """Ask until cancelled."""
        while True:
            await asyncio.sleep(EVERY)
            await self.tick()

    async def tick(self) -> None:
        """Ask once, if anybody watches, and tell what has changed."""
        if not self._watchers:
            return
        try:
            mark, signed_in = await self._store.read(self._look)
        except Exception as error:
            # Said once: it would be said every two seconds for as long as the database is away.
            if not self._fails:
                logger.warning("The approval queue cannot be watched: %s", error)
            self._fails = True
            return
        self._fails = False
        changed, self._mark = mark != self._mark, mark
        for watcher in [*self._watchers]:
            if (over := watcher.session_id not in signed_in) or changed:
                watcher.tell(over=over)

    def _look(self, tx: Transaction) -> tuple[object, set[UUID]]:
        sessions = [watcher.session_id for watcher in [*self._watchers]]
        return tx.mark_of_queue(), {session.id for session in tx.all(Session, id=sessions)}

    def close(self) -> None:
        """Let everybody go, as the server stops."""
        for watcher in [*self._watchers]:
            watcher.tell(over=True)
