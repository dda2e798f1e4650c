"""The servers that benchmarks start, in an empty home: on SQLite, or on PostgreSQL with ``--database postgresql``.

What they commit would survive a power cut on either.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path

from tests.databases import PostgreSQL
from tests.live import Live, free_port, start
from tests.postgresql import postgresql_cluster


class Database(StrEnum):
    """Where a server and its Prefect keep what they know."""

    SQLITE = "sqlite"
    POSTGRESQL = "postgresql"


def command_line() -> tuple[Database, list[str]]:
    """Return what the command line says: the kind of database, and all words but that."""
    parser = argparse.ArgumentParser(description="The module's docstring says what the words mean.")
    parser.add_argument("words", nargs="*")
    parser.add_argument("--database", type=Database, choices=[*Database], default=Database.SQLITE)
    said = parser.parse_args()
    return said.database, said.words


@contextmanager
def settings_of(database: Database) -> Iterator[dict[str, str]]:
    """Have empty databases for a while, and yield the settings of a server that say where they are."""
    if database is Database.SQLITE:
        yield {}
        return
    with postgresql_cluster(lasts=True) as url:
        server = PostgreSQL(url)
        with server.of_a_server() as settings:
            yield settings
        server.close()


@contextmanager
def started(database: Database, *options: str) -> Iterator[Live]:
    """Have a real server for a while.

    Args:
        database: the kind of its databases, which are empty.
        options: those of ``signoff up``.
    """
    with tempfile.TemporaryDirectory() as folder, settings_of(database) as shared:
        server = start(Path(folder) / "home", free_port(), *options, **shared)
        try:
            yield server
        finally:
            server.stop()
