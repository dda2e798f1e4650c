"""What servers of one PostgreSQL database tell each other: that a commit has left work, or that workers have some.

* A transaction that leaves something for Prefect to follow tells of it by NOTIFY, and so by its commit: nothing is told
  of what is rolled back, and what is told of is there to be read.
* A notice says where to look, and nothing else: whoever can write to the database can send one, so what is true is read
  from the tables. One that cannot be understood is of another version, and is passed over.
* A notice may be lost, with the connection or because nobody listened. The loop finds in time what it was about.
* A server is not told of its own commits, whose work it knows of.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

from sqlalchemy import Connection, Engine, text

from api_shim.domain.model import Job, JobResult, PendingCleanup, ScheduledJob
from api_shim.parsing.fields import read_id
from api_shim.store.postgresql import connect_async, translated

if TYPE_CHECKING:
    import psycopg

LISTEN = "LISTEN signoff"
NOTIFY = text("SELECT pg_notify('signoff', told) FROM unnest(CAST(:told AS text[])) AS told")


class Topic(StrEnum):
    """What a notice is about."""

    JOB = "job"
    SCHEDULED_JOB = "scheduled-job"
    JOB_RESULT = "job-result"
    LEFTOVER = "leftover"
    WORKERS = "workers"


TOPICS: Mapping[type[Any], Topic] = {
    Job: Topic.JOB,
    ScheduledJob: Topic.SCHEDULED_JOB,
    JobResult: Topic.JOB_RESULT,
    PendingCleanup: Topic.LEFTOVER,
}
"""What Prefect follows soon after a commit."""


@dataclass(frozen=True, slots=True)
class Notice:
    """Where there is work.

    Args:
        topic: what kind of thing it is about.
        thing_id: which; none for workers, of which each looks for itself.
    """

    topic: Topic
    thing_id: UUID | None = None


WORKERS = Notice(Topic.WORKERS)
"""Some run has been set to start."""


def of_new(thing: Any) -> Notice | None:
    """Return what is told of a value that is added; None if it leaves nothing to follow."""
    topic = TOPICS.get(type(thing))
    if topic is None or (isinstance(thing, JobResult) and thing.released):
        return None
    return Notice(topic, thing.id)


def of_change(thing: Any, to: Mapping[str, Any]) -> Notice | None:
    """Return what is told of a value whose fields change to these; None if that leaves nothing to follow."""
    topic = TOPICS.get(type(thing))
    if topic is None or not ("version" in to or to.get("released") is False):
        return None
    return Notice(topic, thing.id)


class Notices:
    """What this server and others tell each other; made by ``Store`` on PostgreSQL.

    Args:
        engine: the database.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._sender = uuid4().hex

    def send(self, connection: Connection, notices: Iterable[Notice]) -> None:
        """Tell the other servers, by the commit of a transaction.

        Args:
            connection: of the transaction.
            notices: what is told; each once.
        """
        connection.execute(NOTIFY, {"told": [_written(self._sender, notice) for notice in dict.fromkeys(notices)]})

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[Callable[[], Awaitable[list[Notice]]]]:
        """Listen to the other servers while this is entered.

        Yields:
            what waits for what they tell, and returns all that has come; it may be nothing.

        Raises:
            Unavailable: the database cannot be reached, or not any more.
        """
        with translated():
            async with await connect_async(self._engine) as connection:
                await connection.execute(LISTEN)
                yield partial(self._heard, connection)

    async def _heard(self, connection: psycopg.AsyncConnection) -> list[Notice]:
        await _readable(connection.fileno())
        came = [_read(notify.payload) async for notify in connection.notifies(timeout=0)]
        return list(dict.fromkeys(notice for sender, notice in came if notice and sender != self._sender))


async def _readable(descriptor: int) -> None:
    """Wait until there is something to be read; the driver would look ten times a second."""
    loop, came = asyncio.get_running_loop(), asyncio.Event()
    loop.add_reader(descriptor, came.set)
    try:
        await came.wait()
    finally:
        loop.remove_reader(descriptor)


def _written(sender: str, notice: Notice) -> str:
    return f"{sender} {notice.topic} {notice.thing_id or ''}"


def _read(told: str) -> tuple[str, Notice | None]:
    """Return who tells something, and what; None for what cannot be understood."""
    sender, _, said = told.partition(" ")
    topic, _, which = said.partition(" ")
    thing_id = read_id(which)
    if topic not in {*Topic} or (thing_id is None) != (topic == Topic.WORKERS):
        return sender, None
    return sender, Notice(Topic(topic), thing_id)
