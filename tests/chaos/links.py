"""The connections between the parts of a system: relays that can be cut, held up and slowed down.

* A relay passes on bytes to one of several places, whichever takes the connection.
* Cut: what is open is closed at once, and what is new is refused.
* Held up: nothing passes, and nothing is closed; nobody can tell that from a network that has lost everything. What was
  sent meanwhile arrives afterwards.
* Slow: each piece takes its time.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from contextlib import suppress

PIECE = 65536


class Link:
    """One relay.

    Args:
        name: who is connected with what.
        to: the ports of this machine that it leads to.
    """

    def __init__(self, name: str, to: Sequence[int]) -> None:
        self.name = name
        self.port = 0
        self._to = [*to]
        self._is_cut = False
        self._delay = 0.0
        self._flows = asyncio.Event()
        self._flows.set()
        self._open: set[asyncio.StreamWriter] = set()

    async def start(self) -> int:
        """Listen, and return the port."""
        server = await asyncio.start_server(self._relay, "127.0.0.1", 0)
        self.port = int(server.sockets[0].getsockname()[1])
        self._server = server
        return self.port

    def cut(self) -> None:
        """Close what is open, and refuse what is new."""
        self._is_cut = True
        for writer in [*self._open]:
            writer.transport.abort()

    def hold(self) -> None:
        """Let nothing pass."""
        self._flows.clear()

    def slow(self, seconds: float) -> None:
        """Let each piece take so long."""
        self._delay = seconds

    def mend(self) -> None:
        """Let everything pass again."""
        self._is_cut, self._delay = False, 0.0
        self._flows.set()

    async def _relay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._is_cut:
            writer.transport.abort()
            return
        self._open.add(writer)
        there = await self._connected()
        if there is None or self._is_cut:
            writer.transport.abort()
            self._open.discard(writer)
            return
        far_reader, far_writer = there
        self._open.add(far_writer)
        try:
            # At the end of all it is cancelled, of which asyncio would tell. Who is gone takes the other end along, as
            # with no relay between them: else the database would keep what a process that was killed had locked.
            with suppress(asyncio.CancelledError, OSError):
                await asyncio.gather(self._pass_on(reader, far_writer), self._pass_on(far_reader, writer))
        finally:
            for each in (writer, far_writer):
                self._open.discard(each)
                each.transport.abort()

    async def _connected(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter] | None:
        for port in random.sample(self._to, len(self._to)):
            with suppress(OSError):
                return await asyncio.open_connection("127.0.0.1", port)
        return None

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while piece := await reader.read(PIECE):
            await self._flows.wait()
            if self._delay:
                await asyncio.sleep(self._delay)
            writer.write(piece)
            await writer.drain()
        writer.write_eof()
