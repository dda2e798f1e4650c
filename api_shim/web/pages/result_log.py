"""The log on the page of a job result: which part is shown, in which sections, and why a run failed.

* The newest lines are shown first of all; of a longer log one leafs through. No page asks for more than it shows, but
  for a search, which looks at the newest lines up to a limit.
* Lines of one grouping that follow each other are a section. What Prefect's engine says is folded away.
* Where nothing crashed there is no traceback: of what the engine says of such a run the first lines are shown.
* Logs are stored in Prefect: while it does not respond there is no log.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from itertools import groupby
from typing import Any
from urllib.parse import urlencode

from api_shim.domain.model import JobResult, Status
from api_shim.domain.ports import LogPart
from api_shim.parsing.fields import read_count
from api_shim.services.queries import LogEntry, without_engine
from api_shim.web.pages.lists import asked_in
from api_shim.web.pages.visit import Visit
from approval_gate.errors import Unavailable

LINES = 500
"""How many lines a page shows."""
SEARCHED = 5_000
"""How many lines a search looks at."""
SAVED = 20_000
"""How many lines are saved as text at most."""
MORE = "… The log has more lines."
FIRST_YEAR = 1970
"""Before it nothing was logged."""
OVERLAP = timedelta(seconds=3)
"""How far back who follows asks again, for lines that arrive late."""
FAILURE = 35
REASONS = 10
"""How many sentences of a failure are told."""
CRASHED = "Traceback (most recent call last)"

LEVELS: Mapping[str, tuple[int, str]] = {
    "info": (20, "Info and above"),
    "success": (25, "Success and above"),
    "warning": (30, "Warnings and above"),
    "failure": (35, "Failures and above"),
    "error": (40, "Errors"),
}
"""The choices of the filter by level: the lowest level, and the label."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Section:
    """Lines of one grouping that follow each other."""

    grouping: str
    by_engine: bool
    entries: list[LogEntry]


@dataclass(frozen=True, kw_only=True, slots=True)
class ShownLog:
    """The part of a log that a page shows.

    Args:
        sections: the lines; None if Prefect does not respond.
        asked: the filter, as the address has it.
        paged: whether it is another page than that of the newest lines.
        links: the queries of the links to other pages, by what they are called.
        partly: whether the search has not looked at all lines.
    """

    sections: list[Section] | None
    asked: Mapping[str, str] = field(default_factory=dict)
    paged: bool = False
    links: Mapping[str, str] = field(default_factory=dict)
    partly: bool = False

    @property
    def query(self) -> str:
        """The filter, as the beginning of a query to follow with."""
        return urlencode({**self.asked, "since": ""})


async def shown_log(here: Visit, result: JobResult) -> ShownLog:
    """Return the part of a log that the address asks for."""
    asked = _asked(here)
    try:
        return await (_found if "text" in asked else _part)(here, result, asked)
    except Unavailable:
        return ShownLog(sections=None, asked=asked)


async def _found(here: Visit, result: JobResult, asked: Mapping[str, str]) -> ShownLog:
    part = LogPart(limit=SEARCHED + 1, from_end=True, least=_least(asked))
    entries = await here.use.queries.logs(here.actor, result.id, part)
    found = _containing(entries[-SEARCHED:], asked["text"])
    partly = len(entries) > SEARCHED or len(found) > LINES
    return ShownLog(sections=sections_of(found[-LINES:], result), asked=asked, partly=partly)


async def _part(here: Visit, result: JobResult, asked: Mapping[str, str]) -> ShownLog:
    """Return a page of a log, counted from its beginning if the address has ``start``, and else from its end."""
    query = here.request.query_params
    name = "start" if "start" in query else "end"
    skip, from_end = read_count(query.get(name, "")), name == "end"
    # One more than is shown tells whether there are more.
    part = LogPart(skip=skip, limit=LINES + 1, from_end=from_end, least=_least(asked))
    entries = await here.use.queries.logs(here.actor, result.id, part)
    more = len(entries) > LINES
    back, on = (skip + LINES if more else None), (max(skip - LINES, 0) if skip else None)
    earlier, later = (back, on) if from_end else (on, back)
    offered: dict[str, Mapping[str, Any] | None] = {
        "First lines": {"start": 0} if earlier is not None else None,
        "Earlier lines": None if earlier is None else {name: earlier},
        "Later lines": None if later is None else {name: later},
        "Last lines": {} if later is not None else None,
    }
    return ShownLog(
        sections=sections_of(entries[-LINES:] if from_end else entries[:LINES], result),
        asked=asked,
        paged=skip > 0 or not from_end,
        links={called: urlencode({**asked, **at}) for called, at in offered.items() if at is not None},
    )


async def followed(here: Visit, result: JobResult) -> list[Section] | None:
    """Return the lines since those that a page shows; None while Prefect does not respond."""
    asked, since = _asked(here), _moment(here.request.query_params.get("since", ""))
    part = LogPart(limit=LINES, from_end=True, least=_least(asked), since=since and since - OVERLAP)
    try:
        entries = await here.use.queries.logs(here.actor, result.id, part)
    except Unavailable:
        return None
    return sections_of(_containing(entries, asked.get("text", "")), result)


async def saved_log(here: Visit, result: JobResult) -> str:
    """Return a log as text, the oldest line first.

    Raises:
        Unavailable: Prefect does not respond.
    """
    entries = await here.use.queries.logs(here.actor, result.id, LogPart(limit=SAVED + 1))
    lines = [
        f"{entry.created.isoformat(timespec='milliseconds')} {entry.log_level.upper():<8} [{entry.grouping}] "
        f"{entry.log_object + ': ' if entry.log_object and entry.grouping != 'initialization' else ''}{entry.message}\n"
        for section in sections_of(entries[:SAVED], result)
        for entry in section.entries
    ]
    return "".join([*lines, *([f"{MORE}\n"] if len(entries) > SAVED else [])])


async def reasons(here: Visit, result: JobResult) -> list[str]:
    """Return why a run failed or was not run, in sentences; none for one that is under way or has succeeded.

    A run that has returned something although it failed has told why in its log alone.
    """
    if told := reason_of(result):
        return [told]
    if result.status is not Status.FAILURE:
        return []
    try:
        entries = await here.use.queries.logs(here.actor, result.id, LogPart(limit=LINES, least=FAILURE))
    except Unavailable:
        return []
    return [entry.message for entry in without_engine(entries) if entry.log_level == "failure"][:REASONS]


def reason_of(result: JobResult) -> str:
    """Return why a run failed or was not run, as far as its result has it; empty if it does not."""
    if result.status is Status.SUCCESS or not result.status.final:
        return ""
    if result.traceback and not has_crashed(result):
        return result.traceback
    raised = result.result if isinstance(result.result, Mapping) else {}
    kind, said = raised.get("exc_type"), raised.get("exc_message")
    if isinstance(kind, str) and isinstance(said, list):
        message = ", ".join(map(str, said))
        return message if kind == "JobFailed" else f"{kind}: {message}" if message else kind
    return (result.traceback or "").strip().rpartition("\n")[2]


def has_crashed(result: JobResult) -> bool:
    """Say whether something was raised that nobody has caught."""
    return CRASHED in (result.traceback or "")


def sections_of(entries: Iterable[LogEntry], result: JobResult) -> list[Section]:
    """Return log entries by grouping, in their order.

    Args:
        entries: they, the oldest first.
        result: the job result that they are of.
    """
    shortened = result.status.final and result.traceback is None
    told = (_first_line(entry) if shortened and entry.by_engine else entry for entry in entries)
    groups = groupby(told, key=lambda entry: (entry.grouping, entry.by_engine))
    return [Section(grouping=name, by_engine=engine, entries=[*rows]) for (name, engine), rows in groups]


def _asked(here: Visit) -> dict[str, str]:
    """Return the filter that the address has; a level that there is not is ignored."""
    asked = asked_in(here.request.query_params, ("level", "text"))
    return {name: text for name, text in asked.items() if name != "level" or text in LEVELS}


def _first_line(entry: LogEntry) -> LogEntry:
    return replace(entry, message=entry.message.partition("\n")[0])


def _containing(entries: Sequence[LogEntry], text: str) -> list[LogEntry]:
    return [entry for entry in entries if text.lower() in entry.message.lower()]


def _least(asked: Mapping[str, str]) -> int:
    return LEVELS.get(asked.get("level", ""), (0, ""))[0]


def _moment(text: str) -> datetime | None:
    """Return a moment in UTC; None for what is none, or before there was anything to log."""
    try:
        told = datetime.fromisoformat(text)
        moment = told.astimezone(UTC) if told.tzinfo else None
    except (ValueError, OverflowError):
        return None
    return moment if moment is not None and moment.year >= FIRST_YEAR else None
