"""Copies of databases that are in use: of one moment, private, and checked."""

from __future__ import annotations

import sqlite3
import stat
import threading
from contextlib import closing
from pathlib import Path

import pytest

from api_shim.store.snapshot import check, copy, dump_command, file_of
from approval_gate.errors import Unavailable


def made(file: Path, rows: int) -> Path:
    with closing(sqlite3.connect(file)) as connection, connection:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("CREATE TABLE pairs (number INTEGER PRIMARY KEY, double INTEGER, filler TEXT)")
        values = ((number, 2 * number, "x" * 2000) for number in range(rows))
        connection.executemany("INSERT INTO pairs VALUES (?, ?, ?)", values)
    return file


def test_a_copy_is_of_one_moment_whatever_is_written_meanwhile(tmp_path: Path) -> None:
    source, target = made(tmp_path / "live.db", 3000), tmp_path / "copy.db"
    over, wrote = threading.Event(), threading.Event()
    moves: list[tuple[int, int]] = []

    def write() -> None:
        with closing(sqlite3.connect(source, timeout=30)) as connection:
            while not over.is_set():
                with connection:
                    # Half of it would be a fault.
                    connection.execute("UPDATE pairs SET number = -1 - number")
                    connection.execute("UPDATE pairs SET double = 2 * number")
                wrote.set()

    def tell(done: int, total: int) -> None:
        moves.append((done, total))
        # Somebody commits between any two parts of the copy.
        wrote.clear()
        assert wrote.wait(60)

    writer = threading.Thread(target=write)
    writer.start()
    try:
        copy(source, target, tell)
    finally:
        over.set()
        writer.join()
    with closing(sqlite3.connect(target)) as copied:
        count, odd = copied.execute("SELECT count(*), sum(double != 2 * number) FROM pairs").fetchone()
    assert (count, odd) == (3000, 0)
    assert len(moves) > 1
    assert moves[-1][0] == moves[-1][1]
    check(target)
    assert stat.S_IMODE(target.stat().st_mode) == 0o600
    assert {path.name for path in tmp_path.glob("copy*")} == {"copy.db"}


@pytest.mark.parametrize("content", [b"", b"no database"], ids=["nothing", "something else"])
def test_what_is_no_database_is_no_copy(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "copy.db"
    file.write_bytes(content * 1000)
    if content:
        with pytest.raises(Unavailable, match=r"copy\.db of the backup is damaged"):
            check(file)
    with pytest.raises(Unavailable, match="cannot be copied"):
        copy(tmp_path / "missing.db", tmp_path / "other.db")


def test_a_copy_replaces_nothing(tmp_path: Path) -> None:
    source, target = made(tmp_path / "live.db", 1), tmp_path / "copy.db"
    target.write_text("mine")
    with pytest.raises(Unavailable, match="File exists"):
        copy(source, target)
    assert target.read_text() == "mine"


@pytest.mark.parametrize(
    ("url", "file", "command"),
    [
        pytest.param("sqlite:////a/b.db", Path("/a/b.db"), "", id="SQLite"),
        pytest.param("sqlite+aiosqlite:////a/b.db", Path("/a/b.db"), "", id="SQLite, as Prefect has it"),
        pytest.param("sqlite://", None, "", id="in memory"),
        pytest.param(
            "postgresql+asyncpg://me:secret@db:5433/it",
            None,
            "pg_dump --format=custom --file=x.dump postgresql://me@db:5433/it",
            id="PostgreSQL, without the password",
        ),
        pytest.param("what is this", None, "", id="no address"),
    ],
)
def test_where_a_database_is_and_what_backs_it_up(url: str, file: Path | None, command: str) -> None:
    assert (file_of(url), dump_command(url, "x")) == (file, command)
