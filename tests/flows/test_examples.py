"""The examples, run on loopback sockets and on files of their own."""

from __future__ import annotations

import csv
import logging
import socket
import sqlite3
import tarfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from flows import examples
from flows.examples import BackUp, CheckHosts, SummariseCSV
from flows.job import Job, validate
from flows.registry import discover, load


def run(job: Job, **inputs: object) -> Any:
    return job.run(**validate(type(job), inputs))


def test_what_is_scheduled_has_them_by_class_paths_that_stay() -> None:
    assert [load(f"flows.examples.{name}").__name__ for name in ("BackUp", "CheckHosts", "SummariseCSV")]


def test_they_are_jobs_that_can_be_installed() -> None:
    found = discover(["flows.examples"])
    mine = {path: each for path, each in found.jobs.items() if path.startswith("flows.examples.")}
    assert {each.name for each in mine.values()} == {
        *("Check hosts", "Back up", "Summarise CSV"),
        *("Back up devices", "Check certificates", "Check compliance", "Import feed"),
    }
    assert {each.grouping for each in mine.values()} == {"Examples"}
    assert not any(each.has_sensitive_variables or each.warnings for each in mine.values())
    assert {each.name for each in mine.values() if each.approval_required} == {
        *("Back up", "Back up devices", "Import feed"),
    }
    assert {each.name for each in mine.values() if each.supports_dryrun} == {"Back up", "Back up devices"}
    assert not any("flows.examples" in str(problem) for problem in found.problems)


@pytest.fixture
def listening() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


@pytest.fixture
def closed() -> Iterator[int]:
    """Give a port that is taken, but where nobody listens."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield taken.getsockname()[1]


def test_check_hosts_tells_who_answers(listening: int, closed: int, caplog: pytest.LogCaptureFixture) -> None:
    job = CheckHosts()
    with caplog.at_level(logging.INFO):
        result = run(job, hosts=f"127.0.0.1:{listening}\n\n 127.0.0.1:{closed}\n127.0.0.1:{listening}", timeout=2)
    assert result["reachable"] == [f"127.0.0.1:{listening}"]
    assert list(result["unreachable"]) == [f"127.0.0.1:{closed}"]
    (failure,) = job.failures
    assert failure.startswith(f"127.0.0.1:{closed} cannot be reached: ")
    assert "refused" in failure
    assert {each.levelname for each in caplog.records} == {"SUCCESS", "FAILURE"}


def test_check_hosts_succeeds_when_all_answer(listening: int) -> None:
    job = CheckHosts()
    assert run(job, hosts=f"127.0.0.1:{listening}")["unreachable"] == {}
    assert job.failures == []


@pytest.fixture
def target(tmp_path: Path) -> Path:
    folder = tmp_path / "backups"
    folder.mkdir()
    return folder


@pytest.fixture
def database(tmp_path: Path) -> Path:
    path = tmp_path / "a ?#.db"
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("CREATE TABLE t (n)")
        connection.executemany("INSERT INTO t VALUES (?)", [(n,) for n in range(1000)])
    return path


def test_back_up_copies_a_database_that_is_in_use(database: Path, target: Path) -> None:
    job = BackUp()
    with closing(sqlite3.connect(database)) as writer:
        writer.execute("INSERT INTO t VALUES (1000)")
        result = run(job, source=str(database), target=str(target))
        writer.rollback()
    (backup,) = target.iterdir()
    assert result == {"backup": str(backup), "removed": [], "dryrun": False}
    assert backup.name.startswith("a ?#.db-")
    assert backup.suffix == ".sqlite"
    assert backup.stat().st_mode & 0o777 == 0o600
    with closing(sqlite3.connect(backup)) as copy:
        assert copy.execute("SELECT count(*), sum(n) FROM t").fetchone() == (1000, 499500)
    assert job.failures == []


def test_back_up_packs_a_folder(tmp_path: Path, target: Path) -> None:
    source = tmp_path / "site"
    (source / "inner").mkdir(parents=True)
    (source / "inner" / "a.txt").write_text("content")
    (source / "link").symlink_to("/etc")
    result = run(BackUp(), source=str(source), target=str(target))
    with tarfile.open(result["backup"]) as archive:
        assert sorted(archive.getnames()) == ["site", "site/inner", "site/inner/a.txt", "site/link"]
        assert archive.getmember("site/link").issym(), "what a link leads to is not followed"
        assert archive.extractfile("site/inner/a.txt").read() == b"content"  # type: ignore[union-attr]  # a file


@pytest.mark.parametrize(
    ("keep", "kept"),
    [
        pytest.param(1, [], id="the new one only"),
        pytest.param(2, ["20240103"], id="the newest but one too"),
        pytest.param(4, ["20240101", "20240102", "20240103"], id="as many as there are"),
        pytest.param(9, ["20240101", "20240102", "20240103"], id="more than there are"),
    ],
)
def test_back_up_keeps_the_newest_of_this_source_and_all_else(
    tmp_path: Path, target: Path, keep: int, kept: list[str]
) -> None:
    source = tmp_path / "a.txt"
    source.write_text("content")
    dates = ("20240102", "20240101", "20240103")
    for date in dates:
        (target / f"a.txt-{date}T000000000000Z.tar.gz").write_text("old")
    others = ["b.txt-20240101T000000000000Z.tar.gz", "a.txt", "a.txt-20240101T000000000000Z.tar.gz.part"]
    for other in others:
        (target / other).write_text("other")
    result = run(BackUp(), source=str(source), target=str(target), keep=keep)
    left = {path.name for path in target.iterdir()}
    assert left == {
        Path(result["backup"]).name,
        *others,
        *(f"a.txt-{each}T000000000000Z.tar.gz" for each in kept),
    }
    assert [Path(each).name[6:14] for each in result["removed"]] == sorted(set(dates) - set(kept))


def test_a_dry_run_says_what_it_would_do_and_does_nothing(
    tmp_path: Path, target: Path, caplog: pytest.LogCaptureFixture
) -> None:
    source = tmp_path / "a.txt"
    source.write_text("content")
    old = target / "a.txt-20240101T000000000000Z.tar.gz"
    old.write_text("old")
    with caplog.at_level(logging.INFO):
        result = run(BackUp(), source=str(source), target=str(target), keep=1, dryrun=True)
    assert result["removed"] == [str(old)]
    assert result["dryrun"]
    assert list(target.iterdir()) == [old]
    assert "Would write" in caplog.text


def test_a_backup_that_fails_leaves_nothing_and_removes_nothing(database: Path, target: Path) -> None:
    content = bytearray(database.read_bytes())
    content[4096:] = b"\xff" * (len(content) - 4096)
    database.write_bytes(content)
    old = target / f"{database.name}-20240101T000000000000Z.sqlite"
    old.write_text("old")
    with pytest.raises((sqlite3.DatabaseError, ValueError)):
        run(BackUp(), source=str(database), target=str(target), keep=1)
    assert list(target.iterdir()) == [old]


def test_a_backup_that_fails_halfway_leaves_nothing(
    tmp_path: Path, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = tmp_path / "a.txt"
    source.write_text("content")

    def full(_origin: Path, archive: Path) -> None:
        archive.write_text("half")
        raise OSError("No space left on device")

    monkeypatch.setattr(examples, "_pack", full)
    with pytest.raises(OSError, match="No space left"):
        run(BackUp(), source=str(source), target=str(target))
    assert list(target.iterdir()) == []


def test_back_up_refuses_what_cannot_work(tmp_path: Path, target: Path) -> None:
    file = tmp_path / "a.txt"
    file.write_text("content")
    with pytest.raises(FileNotFoundError):
        run(BackUp(), source=str(tmp_path / "absent"), target=str(target))
    with pytest.raises(FileNotFoundError):
        run(BackUp(), source=str(file), target=str(tmp_path / "absent"))
    with pytest.raises(NotADirectoryError):
        run(BackUp(), source=str(file), target=str(file))
    with pytest.raises(ValueError, match="each backup would contain earlier ones"):
        run(BackUp(), source=str(tmp_path), target=str(target))


def test_summarise_csv_tells_the_range_of_each_column(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    with path.open("w", newline="", encoding="utf-8-sig") as file:
        rows = [
            ["n", "word", "mixed", "none"],
            ["2", "b", "1", ""],
            ["", "a, c", "x", " "],
            ["-1.5", "é", "nan", ""],
        ]
        csv.writer(file).writerows(rows)
    job = SummariseCSV()
    assert run(job, path=str(path)) == {
        "rows": 3,
        "uneven": 0,
        "columns": [
            {"name": "n", "filled": 2, "empty": 1, "min": -1.5, "max": 2.0, "mean": 0.25},
            {"name": "word", "filled": 3, "empty": 0, "min": "a, c", "max": "é"},
            {"name": "mixed", "filled": 3, "empty": 0, "min": "1", "max": "x"},
            {"name": "none", "filled": 0, "empty": 3},
        ],
    }
    assert job.failures == []


@pytest.mark.parametrize(
    ("strict", "failures", "level"),
    [
        pytest.param(True, ["2 rows have the wrong length; the first is on line 3."], "FAILURE", id="strict"),
        pytest.param(False, [], "WARNING", id="not strict"),
    ],
)
def test_summarise_csv_tells_of_uneven_rows(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, strict: bool, failures: list[str], level: str
) -> None:
    path = tmp_path / "a.csv"
    path.write_text("a;b\n1;2\n3\n\n4;5;6\n")
    job = SummariseCSV()
    result = run(job, path=str(path), delimiter="semicolon", strict=strict)
    assert (result["rows"], result["uneven"]) == (3, 2)
    assert result["columns"][0] == {"name": "a", "filled": 3, "empty": 0, "min": 1, "max": 4, "mean": 8 / 3}
    assert job.failures == failures
    assert [each.levelname for each in caplog.records if "wrong length" in each.message] == [level]


def test_summarise_csv_of_nothing_is_nothing(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("")
    assert run(SummariseCSV(), path=str(path)) == {"rows": 0, "uneven": 0, "columns": []}
