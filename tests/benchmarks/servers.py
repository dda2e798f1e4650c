"""The servers that benchmarks start, in an empty home: on SQLite, or on PostgreSQL with ``--database postgresql``.

With ``--database apart`` a server, services and a worker are processes of their own, on PostgreSQL and Redis.
What they commit would survive a power cut on each.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path

from tests.databases import PostgreSQL
from tests.live import MARK, Live, free_port, mark_of, start
from tests.postgresql import postgresql_cluster
from tests.roles import Roles, running


class Database(StrEnum):
    """Where a server and its Prefect keep what they know, and in how many processes it is served."""

    SQLITE = "sqlite"
    POSTGRESQL = "postgresql"
    APART = "apart"


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
    if database is Database.APART:
        with apart() as server:
            yield server
        return
    with tempfile.TemporaryDirectory() as folder, settings_of(database) as shared:
        server = start(Path(folder) / "home", free_port(), *options, **shared)
        try:
            yield server
        finally:
            server.stop()


@contextmanager
def apart() -> Iterator[Live]:
    """Have a server for a while whose services and worker are processes of their own, which count as its family."""
    with tempfile.TemporaryDirectory() as folder, postgresql_cluster(lasts=True) as url:
        postgresql, home = PostgreSQL(url), Path(folder) / "server"
        with running(postgresql, Path(folder), ["services"], **{MARK: mark_of(home)}) as roles:
            yield live("server", roles.port, roles)
            roles.stop()
        postgresql.close()


def live(name: str, port: int, roles: Roles) -> Live:
    """Return one of several servers, as benchmarks know a server."""
    return Live(
        origin=f"http://127.0.0.1:{port}",
        home=roles.folder / name,
        port=port,
        process=roles.processes[name],
        log=roles.log(name),
        keys=roles.keys,
        shared=roles.shared,
    )
