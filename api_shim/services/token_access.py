"""Access with a token: who calls with it, what becomes of wrong ones, and when each was last used.

* A right token is never slowed, wherever it comes from and whatever else comes from there.
* A wrong one is answered the later, the more have come from its address. What waits has a most; beyond it the answers
  come at once, because whoever has so many connections learns nothing by them that they could guess a key with.
* The last use of a token and its address are recorded once a minute at most. The request does not wait for that, and
  what cannot be recorded is told to the log and to nobody else.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from uuid import UUID

from api_shim.domain.accounts import USED_EVERY, Token
from api_shim.domain.slowdown import PATIENCE, Slowdown, network_of
from api_shim.services.authentication import Credentials, Unauthenticated, authenticate_token
from api_shim.services.waiting_room import WaitingRoom
from api_shim.store import Store, Transaction
from approval_gate.model import Actor

logger = logging.getLogger("signoff")

LONGEST_ADDRESS = 64
"""How many characters of an address are kept."""
SEATS = 1_000
"""How many wrong tokens wait for their answer at the same time."""
GATHERS = 1.0
"""Seconds for which uses are gathered before they are written."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Use:
    """When and from where a token was used."""

    at: datetime
    address: str


class TokenAccess:
    """Finds out whose token it is that a request comes with.

    Args:
        store: has the users and their tokens.
        clock: returns the current time, timezone-aware.
        sleep: waits for so many seconds.
    """

    def __init__(self, store: Store, clock: Callable[[], datetime], sleep: Callable[[float], Awaitable[None]]) -> None:
        self._store = store
        self._clock = clock
        self._pace = Slowdown(free=20, every=0.5)
        self._room = WaitingRoom(SEATS, sleep)
        self._uses: dict[UUID, Use] = {}
        self._used = asyncio.Event()

    async def caller(self, credentials: Credentials, address: str) -> Actor:
        """Return who calls.

        Args:
            credentials: what the request came with.
            address: the address that it came from.

        Raises:
            Unauthenticated: the token is not valid; with the contract's message.
        """
        now = self._clock()
        try:
            actor, token = await self._store.read(lambda tx: authenticate_token(tx, credentials, now))
        except Unauthenticated:
            await self._slow(network_of(address), now)
            raise
        self.note(token, address)
        return actor

    async def _slow(self, source: str, now: datetime) -> None:
        seconds = min(PATIENCE, self._pace.wait(source, now))
        self._pace.count(source, now)
        await self._room.wait(seconds)

    def note(self, token: Token, address: str) -> None:
        """Let the use of a token be recorded, unless one has been within ``USED_EVERY``; within the event loop only.

        Args:
            token: the token, as it was read for this use.
            address: where it was used.
        """
        now = self._clock()
        if _is_due(token, now):
            self._uses[token.id] = Use(at=now, address=address[:LONGEST_ADDRESS])
            self._used.set()

    async def run(self) -> None:
        """Record what is noted, until cancelled."""
        while True:
            await self._used.wait()
            await self.write()
            await asyncio.sleep(GATHERS)

    async def write(self) -> None:
        """Record what has been noted."""
        self._used.clear()
        uses, self._uses = self._uses, {}
        # Each by itself: who removes tokens locks several, in an order of their own.
        for token_id, use in uses.items():
            try:
                await self._store.write(partial(_record, token_id, use))
            except Exception as error:
                logger.warning("The last use of a token could not be recorded: %s", error)


def _is_due(token: Token, now: datetime) -> bool:
    return token.last_used is None or now - token.last_used >= USED_EVERY


def _record(token_id: UUID, use: Use, tx: Transaction) -> None:
    token = tx.get(Token, id=token_id, lock=True)
    # Another server may have recorded one since it was noted.
    if token is not None and _is_due(token, use.at):
        tx.change(token, last_used=use.at, last_used_from=use.address)
