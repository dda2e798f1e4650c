"""Copies of databases: of SQLite's while they are in use; PostgreSQL has a command for that.

* A copy is of one moment: it is read within one transaction, which keeps nobody from writing (in WAL mode, as both we
  and Prefect use it).
* A copy is one file, without what SQLite lays beside it; it is checked before it is trusted.
"""

from __future__ import annotations

import shlex
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from sqlalchemy import URL
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError

from api_shim.settings import OWNER_FILE
from approval_gate.errors import Unavailable

PAGES = 1000
"""How many pages are copied at a time."""
WAITS = 30.0
"""Seconds to wait for who has locked the database."""


def file_of(url: str) -> Path | None:
    """Return the file of an SQLite database; None for another database.

    Args:
        url: its address, as SQLAlchemy writes it.
    """
    try:
        address = make_url(url)
    except (ArgumentError, ValueError):
        return None
    return Path(address.database) if address.get_backend_name() == "sqlite" and address.database else None


def dump_command(url: str, name: str) -> str:
    """Return the command that backs a PostgreSQL database up; empty for another database.

    Args:
        url: its address, as SQLAlchemy writes it; the command has no password.
        name: of the file that the command writes, without its ending.
    """
    try:
        address = make_url(url)
    except (ArgumentError, ValueError):
        return ""
    if not address.get_backend_name().startswith("postgres"):
        return ""
    plain = URL.create("postgresql", address.username, None, address.host, address.port, address.database)
    return f"pg_dump --format=custom --file={name}.dump {shlex.quote(plain.render_as_string())}"


def copy(source: Path, target: Path, tell: Callable[[int, int], None] = lambda _done, _total: None) -> None:
    """Copy a database, as it is at this moment.

    Args:
        source: its file, which may be in use.
        target: a file that is not there yet; it is for its owner alone.
        tell: is called with how many pages are copied, and of how many.

    Raises:
        Unavailable: it cannot be read, or the copy not be written.
    """
    try:
        target.touch(mode=OWNER_FILE, exist_ok=False)
        with (
            closing(sqlite3.connect(f"{source.absolute().as_uri()}?mode=ro", uri=True, timeout=WAITS)) as live,
            closing(sqlite3.connect(target)) as saved,
        ):
            live.isolation_level = None
            # Within a transaction, or each commit of somebody else would let the copy begin anew.
            live.execute("BEGIN")
            live.execute("SELECT count(*) FROM sqlite_master").fetchone()
            live.backup(saved, pages=PAGES, progress=lambda _, left, total: tell(total - left, total))
            saved.execute("PRAGMA journal_mode=DELETE")
    except (sqlite3.Error, OSError) as error:
        raise Unavailable(f"The database {source} cannot be copied: {error}.") from error


def check(file: Path) -> None:
    """Check that a copy is whole.

    Raises:
        Unavailable: it is not.
    """
    try:
        with closing(sqlite3.connect(f"{file.absolute().as_uri()}?mode=ro", uri=True)) as copied:
            (verdict,) = copied.execute("PRAGMA quick_check(1)").fetchone()
    except sqlite3.Error as error:
        verdict = str(error)
    if verdict != "ok":
        raise Unavailable(f"The database {file.name} of the backup is damaged: {verdict}.")
