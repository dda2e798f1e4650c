"""Connections to PostgreSQL: how soon one is given up, and those beside the pool, for locks and notices.

* That the other end has gone without a word is noticed within half a minute, whatever a connection is used for.
* A connection for locks or notices stays open, and its statements may take as long as they do.
* Locks and notices belong to a session. A proxy that gives each transaction another one, as PgBouncer does in its
  transaction mode, cannot carry them.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from sqlalchemy import URL, Engine

from approval_gate.errors import Unavailable

if TYPE_CHECKING:
    import psycopg

UNREACHABLE = "The store cannot be reached now; please try again."

KEEPALIVE = {"idle": 10, "interval": 5, "count": 3}
"""Seconds until it is asked whether the other end is there, and until it is asked again; how often it may be silent."""
CONNECTS_WITHIN = 10
"""Seconds."""


def is_postgresql(engine: Engine) -> bool:
    """Say whether a database is PostgreSQL, which several servers can share."""
    return engine.dialect.name == "postgresql"


def patience(address: URL) -> dict[str, Any]:
    """Return the parameters by which a connection is given up, but for those that its address has itself."""
    silent = KEEPALIVE["idle"] + KEEPALIVE["interval"] * KEEPALIVE["count"]
    ours = {
        **{f"keepalives_{name}": value for name, value in KEEPALIVE.items()},
        "tcp_user_timeout": silent * 1000,
        "connect_timeout": CONNECTS_WITHIN,
    }
    return {name: value for name, value in ours.items() if name not in address.query}


def _parameters(engine: Engine) -> dict[str, Any]:
    _, told = engine.dialect.create_connect_args(engine.url)
    return {**told, **patience(engine.url), "autocommit": True}


@contextmanager
def translated() -> Iterator[None]:
    """Say of whatever fails on such a connection what it means to who asked.

    Raises:
        Unavailable: the database cannot be reached.
    """
    import psycopg

    try:
        yield
    except psycopg.Error as error:
        raise Unavailable(UNREACHABLE) from error


def connect(engine: Engine) -> psycopg.Connection:
    """Return a connection that commits each statement; the caller closes it."""
    import psycopg

    connection: psycopg.Connection = psycopg.connect(**_parameters(engine))
    for name, value in KEEPALIVE.items():
        # Else what a machine held that has lost its power would stay held for hours.
        connection.execute("SELECT set_config(%s, %s, false)", [f"tcp_keepalives_{name}", str(value)])
    return connection


async def connect_async(engine: Engine) -> psycopg.AsyncConnection:
    """Return a connection, for an event loop, that commits each statement; the caller closes it."""
    import psycopg

    return await psycopg.AsyncConnection.connect(**_parameters(engine))
