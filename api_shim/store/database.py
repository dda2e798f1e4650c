"""Opens the database and its transactions, and brings its tables up to date.

* SQLite runs in WAL mode with full synchronisation: what was committed survives the power cut too.
* A transaction that writes begins as a writer, so two of them never deadlock half-way.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import anyio.to_thread
from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.engine import make_url
from sqlalchemy.exc import IntegrityError, OperationalError

from api_shim.store.transaction import Transaction
from approval_gate.errors import GateError, Unavailable

T = TypeVar("T")

MIGRATIONS = Path(__file__).parent.parent / "migrations"
SQLITE_PRAGMAS = ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", "busy_timeout=30000")


class Duplicate(GateError):
    """Something of this name exists already."""


class Store:
    """The database.

    Args:
        url: where it is, as SQLAlchemy writes it: ``sqlite:///…`` or ``postgresql+psycopg://…``.
    """

    def __init__(self, url: str) -> None:
        self._engine = _open(url)

    @contextmanager
    def transaction(self, *, write: bool = True) -> Iterator[Transaction]:
        """Open a transaction: committed when the block ends, rolled back when it raises.

        Args:
            write: whether it will write; one that only reads never waits for a writer.

        Yields:
            the transaction.

        Raises:
            Duplicate: a unique name was taken, perhaps by somebody else at the same moment.
            Unavailable: the database cannot be reached or stayed locked.
        """
        try:
            with self._engine.connect() as connection:
                connection.execution_options(signoff_write=write)
                with connection.begin():
                    yield Transaction(connection)
        except IntegrityError as error:
            raise Duplicate(str(error.orig)) from error
        except OperationalError as error:
            raise Unavailable("The store cannot be reached now; please try again.") from error

    async def read(self, ask: Callable[[Transaction], T]) -> T:
        """Ask within a transaction of its own, off the event loop."""
        return await anyio.to_thread.run_sync(self._transact, ask, False)

    async def write(self, tell: Callable[[Transaction], T]) -> T:
        """Write within a transaction of its own, off the event loop."""
        return await anyio.to_thread.run_sync(self._transact, tell, True)

    def _transact(self, work: Callable[[Transaction], T], write: bool) -> T:
        with self.transaction(write=write) as tx:
            return work(tx)

    def migrate(self) -> None:
        """Create or upgrade the tables; safe to call at every start."""
        config = Config()
        config.set_main_option("script_location", str(MIGRATIONS))
        with self._engine.begin() as connection:
            config.attributes["connection"] = connection
            command.upgrade(config, "head")

    def close(self) -> None:
        """Close every connection."""
        self._engine.dispose()


def _open(url: str) -> Engine:
    if make_url(url).get_backend_name() != "sqlite":
        return create_engine(url, pool_pre_ping=True)
    engine = create_engine(url, connect_args={"timeout": 30})
    event.listen(engine, "connect", _prepare_sqlite)
    event.listen(engine, "begin", _begin_sqlite)
    return engine


def _prepare_sqlite(connection: Any, _record: Any) -> None:
    # The driver must not begin transactions by itself: it would begin them as readers.
    connection.isolation_level = None
    for pragma in SQLITE_PRAGMAS:
        connection.execute(f"PRAGMA {pragma}")


def _begin_sqlite(connection: Connection) -> None:
    write = connection.get_execution_options().get("signoff_write", True)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if write else "BEGIN")
