"""The lines of a run's log, as clients know them; Prefect keeps them, so lists of them are made here.

* A line is called by the level and the section that the contract has for it.
* Lists are filtered, searched, ordered and divided as the store does it with what it keeps.

Contract 2 and 7.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from api_shim.conditions import Condition
from api_shim.ports import LogLine

LEVELS = (
    (50, "critical"),
    (40, "error"),
    (35, "failure"),
    (30, "warning"),
    (25, "success"),
    (20, "info"),
)
"""Python's log levels, from the highest, as the contract names them."""


@dataclass(frozen=True, kw_only=True, slots=True)
class LogEntry:
    """A line of a job result's log."""

    id: UUID
    job_result: UUID
    log_level: str
    grouping: str
    message: str
    created: datetime


def entry_of(line: LogLine, result_id: UUID) -> LogEntry:
    """Return a line of Prefect's as an entry of a job result's log."""
    return LogEntry(
        id=line.id,
        job_result=result_id,
        log_level=level_name(line.level),
        grouping=grouping(line.source),
        message=line.message,
        created=line.created,
    )


def selected(
    entries: Sequence[LogEntry], where: Sequence[Condition], search: str, sort: Sequence[str]
) -> list[LogEntry]:
    """Return the entries that are asked for, in order; the oldest first when nobody says.

    Args:
        entries: what there is.
        where: conditions, all of which must hold.
        search: a part of the message, whatever its case; empty matches all.
        sort: attributes, a leading ``-`` for descending.
    """
    things: list[Mapping[str, Any]] = [asdict(entry) for entry in entries]
    kept = [
        (thing, entry)
        for thing, entry in zip(things, entries, strict=True)
        if search.lower() in entry.message.lower() and all(condition.holds(thing) for condition in where)
    ]
    # The last key first: sorting keeps the order of what is equal.
    for name in reversed((*(sort or ("created",)), "id")):
        path, down = name.removeprefix("-"), name.startswith("-")
        kept.sort(key=lambda pair: pair[0][path], reverse=down)
    return [entry for _, entry in kept]


def level_name(level: int) -> str:
    """Return the contract's name of a Python log level."""
    return next((name for least, name in LEVELS if level >= least), "debug")


def grouping(source: str) -> str:
    """Return the section of a log line: what its logger is called below Prefect's own, ``run`` by default."""
    return source.removeprefix("prefect.flow_runs").strip(".") or "run"
