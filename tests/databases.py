"""Databases for tests: what each of thousands would do anew is done once for each kind of database.

* The tables are migrated once, and copied for each test.
* SQLite waits for no disk. What survives a power cut is SQLite's own promise; the test of the pragmas holds us to it.
* Statements are compiled once. SQLAlchemy keeps them for each engine, and each test opens an engine of its own.
"""

from __future__ import annotations

import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any
from uuid import uuid4

from sqlalchemy import Connection, Engine, create_engine, event, text

from api_shim.domain.audit import AuditHead, chain_events, fault
from api_shim.services.audit_signing import open_store
from api_shim.settings import Settings
from api_shim.store import InputsKey, Store, database

MOST_STATEMENTS = 2000
"""How many compiled statements are kept: more than ours are, fewer than tests by example make up."""
INPUTS_KEY = InputsKey(b"i" * 32)
"""What the stores of tests encrypt sensitive inputs with."""


@cache
def _sqlite_tables() -> bytes:
    """Return the content of a SQLite file in which nothing but the tables is."""
    with tempfile.TemporaryDirectory(prefix="signoff-tables-") as folder:
        path = Path(folder) / "store.db"
        _migrate(f"sqlite:///{path}")
        return path.read_bytes()


def _migrate(url: str) -> None:
    with closing(Store(url)) as store:
        store.migrate()


def sqlite_with_tables(path: Path) -> str:
    """Make a SQLite file with the tables, for its owner alone, and return its URL."""
    path.touch(mode=0o600)
    path.write_bytes(_sqlite_tables())
    return f"sqlite:///{path}"


def store_of(home: Path) -> Store:
    """Open the store of a home folder, as the server and the commands do; the caller closes it."""
    return open_store(Settings(home=home), datetime.now(UTC))


def rewrite_audit(home: Path, actor: str) -> str:
    """Make the first event somebody else's, and all hashes and the head fit: without the key. Return the last hash."""
    with closing(sqlite3.connect(home / "signoff.db")) as connection, connection:
        connection.executescript("DROP TRIGGER audit_events_no_update;")
        connection.execute("UPDATE audit_events SET actor = ? WHERE number = 1", [actor])
    with closing(Store(f"sqlite:///{home / 'signoff.db'}")) as store, store.transaction(write=False) as tx:
        chain, head = chain_events(tx.events(0, 10_000), AuditHead()), tx.audit_head()
    with closing(sqlite3.connect(home / "signoff.db")) as connection, connection:
        for event in chain:
            fits = (event.previous_hash, event.hash, event.number)
            connection.execute("UPDATE audit_events SET previous_hash = ?, hash = ? WHERE number = ?", fits)
        connection.execute("UPDATE audit_heads SET hash = ?", [chain[-1].hash])
    # Hashes alone tell nothing.
    assert fault(chain, replace(head, hash=chain[-1].hash)) == ""
    return chain[-1].hash


class _Statements(dict[Any, Any]):
    """Compiled statements by SQLAlchemy's own key, in which the dialect's class stands for the engine's dialect."""

    def get(self, key: Any, default: Any = None) -> Any:
        return super().get(_of_any_engine(key), default)

    def __setitem__(self, key: Any, compiled: Any) -> None:
        if len(self) >= MOST_STATEMENTS:
            self.clear()
        super().__setitem__(_of_any_engine(key), compiled)


def _of_any_engine(key: Any) -> Any:
    dialect, *rest = key
    return (type(dialect), *rest)


@contextmanager
def no_disk_waited_for() -> Iterator[None]:
    """Let SQLite return from a commit as soon as the operating system has it."""
    kept = database.SQLITE_PRAGMAS
    database.SQLITE_PRAGMAS = (*kept, "synchronous=OFF")
    yield
    database.SQLITE_PRAGMAS = kept


@contextmanager
def statements_compiled_once() -> Iterator[None]:
    """Let all engines that are opened meanwhile share their compiled statements."""
    shared = _Statements()

    def share(connection: Connection) -> None:
        connection.execution_options(compiled_cache=shared)

    event.listen(Engine, "engine_connect", share)
    yield
    event.remove(Engine, "engine_connect", share)


def cut_off(url: str) -> None:
    """End every connection to a PostgreSQL database, as its restart does."""
    others = "FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
    engine = create_engine(url)
    with engine.connect() as connection:
        connection.execute(text(f"SELECT pg_terminate_backend(pid, 10000) {others}"))
    engine.dispose()


class PostgreSQL:
    """A PostgreSQL server whose databases are had for a while.

    Args:
        server: its URL, without a database.
    """

    def __init__(self, server: str) -> None:
        self.server = server
        self._admin: Engine = create_engine(f"{server}/postgres", isolation_level="AUTOCOMMIT")
        self._template: str | None = None

    @contextmanager
    def empty(self) -> Iterator[str]:
        """Make a database in which nothing is, and yield its URL."""
        with self._database("template0") as name:
            yield f"{self.server}/{name}"

    @contextmanager
    def of_a_server(self) -> Iterator[dict[str, str]]:
        """Make the two databases of a server, in which nothing is, and yield the settings that say where they are."""
        with self.empty() as ours, self.empty() as prefects:
            yield {
                "SIGNOFF_DATABASE_URL": ours,
                "PREFECT_SERVER_DATABASE_CONNECTION_URL": prefects.replace("+psycopg", "+asyncpg"),
            }

    @contextmanager
    def with_tables(self) -> Iterator[str]:
        """Make a database with the tables, and yield its URL."""
        if self._template is None:
            self._template = self._create("template0")
            _migrate(f"{self.server}/{self._template}")
        with self._database(self._template) as name:
            yield f"{self.server}/{name}"

    @contextmanager
    def _database(self, template: str) -> Iterator[str]:
        name = self._create(template)
        yield name
        self._drop(name)

    def _create(self, template: str) -> str:
        name = f"signoff_{uuid4().hex}"
        self._execute(f"CREATE DATABASE {name} TEMPLATE {template}")
        return name

    def _drop(self, name: str) -> None:
        self._execute(f"DROP DATABASE {name} WITH (FORCE)")

    def _execute(self, statement: str) -> None:
        with self._admin.connect() as connection:
            connection.execute(text(statement))

    def close(self) -> None:
        """Remove the tables that were copied, and close every connection."""
        if self._template is not None:
            self._drop(self._template)
        self._admin.dispose()
