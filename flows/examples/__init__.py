"""Example Jobs: small, useful on any machine, and written to be read.

Three stand here, where what is scheduled has them by their class paths; others have modules of their own, and a flow
that knows nothing of Jobs is made one.

* A Job reports every problem that it finds; it does not stop at the first.
* A backup appears under its name only when it is complete; the remains of a failed attempt are removed.
* Only older backups of the same source, in the same folder, are removed.
"""

from __future__ import annotations

import csv
import math
import re
import socket
import sqlite3
import tarfile
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from flows import (
    BooleanVar,
    ChoiceVar,
    DryRunVar,
    IntegerVar,
    Job,
    StringVar,
    TextVar,
    register_flows,
    register_jobs,
)
from flows.examples import certificates, compliance, device_backup
from flows.examples.addresses import WRITTEN, each_address, listed
from flows.examples.prefect_feed import import_feed

__all__ = ["certificates", "compliance", "device_backup"]

name = "Examples"

_SQLITE = b"SQLite format 3\0"


class CheckHosts(Job):
    """Checks which of a list of addresses accept connections."""

    class Meta:
        name = "Check hosts"
        description = "Connects to each host and port, and fails if one cannot be reached."
        has_sensitive_variables = False
        read_only = True

    hosts = TextVar(label="Hosts", description=f"One on each line: {WRITTEN}.")
    timeout = IntegerVar(label="Timeout", description="Seconds.", default=5, min_value=1, max_value=60)

    def run(self, *, hosts: str, timeout: int) -> dict[str, Any]:
        reachable, unreachable = [], {}
        for address, answer in each_address(listed(hosts), lambda host, port: _connect(host, port, timeout)):
            if isinstance(answer, Exception):
                unreachable[address] = str(answer)
                self.fail("%s cannot be reached: %s", address, answer)
            else:
                reachable.append(address)
                self.logger.success("%s answers after %.0f ms.", address, answer)
        return {"reachable": reachable, "unreachable": unreachable}


class BackUp(Job):
    """Copies a SQLite database or packs a folder, and keeps the newest copies."""

    class Meta:
        name = "Back up"
        description = "Backs up a SQLite database while it is in use, or any other file or folder as tar.gz."
        approval_required = True
        has_sensitive_variables = False
        is_singleton = True

    source = StringVar(label="Source", description="The file or folder, as the worker sees it.")
    target = StringVar(label="Target folder", description="The folder for the backups; it must exist.")
    keep = IntegerVar(
        label="Keep",
        description="How many backups of this source to keep.",
        default=7,
        min_value=1,
        max_value=1000,
    )
    dryrun = DryRunVar()

    def run(self, *, source: str, target: str, keep: int, dryrun: bool) -> dict[str, Any]:
        origin, folder = Path(source).resolve(strict=True), Path(target).resolve(strict=True)
        if not folder.is_dir():
            raise NotADirectoryError(f"The target folder {folder} is not a folder.")
        if origin.is_dir() and folder.is_relative_to(origin):
            raise ValueError(f"The target folder {folder} is inside {origin}: each backup would contain earlier ones.")
        write, suffix = (_copy_database, "sqlite") if _is_database(origin) else (_pack, "tar.gz")
        backup = folder / f"{origin.name}-{datetime.now(UTC):%Y%m%dT%H%M%S%fZ}.{suffix}"
        earlier = _backups_of(origin, folder, suffix)
        outdated = earlier[: max(0, len(earlier) + 1 - keep)]
        if dryrun:
            self.logger.info("Would write %s and remove %d older backups.", backup, len(outdated))
        else:
            self._replace(write, origin, backup, outdated)
        return {"backup": str(backup), "removed": [str(old) for old in outdated], "dryrun": dryrun}

    def _replace(self, write: Callable[[Path, Path], None], origin: Path, backup: Path, outdated: list[Path]) -> None:
        with _written_whole(backup) as unfinished:
            write(origin, unfinished)
        self.logger.success("Wrote %s (%d bytes).", backup, backup.stat().st_size)
        for old in outdated:
            old.unlink(missing_ok=True)
            self.logger.info("Removed %s.", old)


class SummariseCSV(Job):
    """Counts what is in a CSV file, column by column."""

    class Meta:
        name = "Summarise CSV"
        description = "Reads a CSV file and reports the range of each column; fails if rows have the wrong length."
        has_sensitive_variables = False
        read_only = True

    path = StringVar(label="File", description="The file, as the worker sees it; in UTF-8.")
    delimiter = ChoiceVar(
        label="Delimiter",
        choices=[("comma", "Comma"), ("semicolon", "Semicolon"), ("tab", "Tab")],
        default="comma",
    )
    strict = BooleanVar(label="Strict", description="Fail if rows have the wrong length.", default=True)

    def run(self, *, path: str, delimiter: str, strict: bool) -> dict[str, Any]:
        character = {"comma": ",", "semicolon": ";", "tab": "\t"}[delimiter]
        with Path(path).open(newline="", encoding="utf-8-sig") as file:
            reader = csv.reader(file, delimiter=character)
            columns = [_Column(title) for title in next(reader, [])]
            rows, uneven = 0, []
            for row in filter(None, reader):
                rows += 1
                if len(row) != len(columns):
                    uneven.append(reader.line_num)
                for column, cell in zip(columns, row, strict=False):
                    column.add(cell)
        self.logger.info("Read %d rows of %d columns.", rows, len(columns))
        if uneven:
            report = self.fail if strict else self.logger.warning
            report("%d rows have the wrong length; the first is on line %d.", len(uneven), uneven[0])
        return {"rows": rows, "uneven": len(uneven), "columns": [column.summary() for column in columns]}


class _Column:
    """A summary of one column, in constant space."""

    def __init__(self, title: str) -> None:
        self.title = title
        self.filled = self.empty = self.numbers = 0
        self.total = 0.0
        self.least, self.most = math.inf, -math.inf
        self.first, self.last = "", ""

    def add(self, cell: str) -> None:
        cell = cell.strip()
        if not cell:
            self.empty += 1
            return
        self.first = min(self.first or cell, cell)
        self.last = max(self.last, cell)
        self.filled += 1
        number = _number(cell)
        if number is not None:
            self.numbers += 1
            self.total += number
            self.least, self.most = min(self.least, number), max(self.most, number)

    def summary(self) -> dict[str, Any]:
        if self.numbers and self.numbers == self.filled and math.isfinite(self.total):
            seen: dict[str, Any] = {"min": self.least, "max": self.most, "mean": self.total / self.numbers}
        else:
            seen = {"min": self.first, "max": self.last} if self.filled else {}
        return {"name": self.title, "filled": self.filled, "empty": self.empty, **seen}


def _number(cell: str) -> float | None:
    try:
        number = float(cell)
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def _connect(host: str, port: int, timeout: float) -> float:
    """Connect, and return how long it took in milliseconds."""
    begun = time.perf_counter()
    with socket.create_connection((host, port), timeout):
        return (time.perf_counter() - begun) * 1000


def _is_database(path: Path) -> bool:
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return file.read(len(_SQLITE)) == _SQLITE


def _backups_of(origin: Path, folder: Path, suffix: str) -> list[Path]:
    """Return the backups of a source in a folder, oldest first."""
    named = re.compile(rf"{re.escape(origin.name)}-\d{{8}}T\d{{12}}Z\.{re.escape(suffix)}", re.ASCII)
    return sorted(path for path in folder.iterdir() if named.fullmatch(path.name) and path.is_file())


def _copy_database(origin: Path, copy: Path) -> None:
    with (
        closing(sqlite3.connect(f"{origin.as_uri()}?mode=ro", uri=True)) as live,
        closing(sqlite3.connect(copy)) as saved,
    ):
        live.backup(saved)
        (verdict,) = saved.execute("PRAGMA quick_check(1)").fetchone()
    if verdict != "ok":
        raise ValueError(f"The copy of {origin} is damaged: {verdict}")


def _pack(origin: Path, archive: Path) -> None:
    with tarfile.open(archive, "w:gz") as tar:
        tar.add(origin, arcname=origin.name)


@contextmanager
def _written_whole(path: Path) -> Iterator[Path]:
    """Yield a temporary path whose file moves to ``path``, readable by its owner only, if the block succeeds."""
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=".unfinished-") as folder:
        unfinished = Path(folder) / path.name
        yield unfinished
        unfinished.chmod(0o600)
        unfinished.replace(path)


register_jobs(CheckHosts, BackUp, SummariseCSV)
register_flows(import_feed, approval_required=True)
