"""Databases for tests. The tables are migrated once for each kind of database, and copied for each test."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from functools import cache
from pathlib import Path
from uuid import uuid4

from sqlalchemy import Engine, create_engine, text

from api_shim.store import Store


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
