"""Template filters: how the pages format times, durations, states and JSON."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote

from markupsafe import Markup, escape

from api_shim.domain.model import UNKNOWN_USER
from api_shim.domain.recurrence import plain_zone
from api_shim.domain.status_words import tone_of, word_of
from api_shim.web.pages import reader
from flows.files import GivenFile, is_reference

SHORT = 80
"""Maximum length in characters of JSON that is shown on one line."""

LONGEST_TABLE, WIDEST_TABLE = 500, 8
"""Maximum numbers of rows and columns of a result that is shown as a table."""


def moment(time: datetime | None, ago: bool = False) -> Markup:
    """Return a time in the zone of the reader as a ``<time>`` element, which tells it in UTC too.

    Args:
        time: the time; None for a dash.
        ago: whether to tell beside it how long ago it was.
    """
    if time is None:
        return Markup("–")
    now = reader.reader().now if ago else None
    shown = _element(time, reader.told(time))
    return shown if now is None else Markup('{} <span class="ago">{}</span>').format(shown, _distance(now - time))


def at(time: datetime) -> str:
    """Return a time in the zone of the reader as text, for what is heard alone or stands in an attribute."""
    on_clock = reader.local(time)
    seconds = f":{on_clock:%S}" if on_clock.second else ""
    return f"{on_clock.day} {on_clock:%B %Y, %H:%M}{seconds} {reader.abbreviation(on_clock)}"


def person(name: str, otherwise: str = "") -> Markup:
    """Return the name of a user, as a link to their page for a reader who may view every user.

    Args:
        name: the name.
        otherwise: where it leads for others; empty for nowhere.
    """
    leads_there = reader.reader().views_everybody and name != UNKNOWN_USER
    to = f"/signoff/people/{quote(name, safe='')}" if leads_there else otherwise
    return Markup('<a href="{}">{}</a>').format(to, name) if to else escape(name)


def weekday(time: datetime, zone: str = "") -> str:
    """Return the day of the week of a time in a zone, by default that of the reader."""
    return f"{reader.local(time, zone):%A}"


def elsewhere(time: datetime, zone: str) -> str:
    """Return a time in another zone than the reader's, with its day of the week; empty if the clocks are the same."""
    there = reader.local(time, zone)
    if there.utcoffset() == reader.local(time).utcoffset():
        return ""
    return f"{there:%A %H:%M} in {plain_zone(zone)}"


def _element(time: datetime, shown: str) -> Markup:
    exactly, in_utc = time.astimezone(UTC).isoformat(), reader.in_utc(time)
    return Markup('<time datetime="{}" title="{}">{}</time>').format(exactly, in_utc, shown)


def duration(span: timedelta) -> str:
    """Return a duration in its largest unit: days, hours, minutes or seconds."""
    seconds = span.total_seconds()
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds:.1f} s"


UNITS = ((86400, "day"), (3600, "hour"), (60, "minute"))
"""How distances in time are told: seconds and name of each unit."""


def ago(time: datetime | None, now: datetime) -> Markup:
    """Return how long ago something was, or how long it is until then, as a ``<time>`` element.

    Args:
        time: when it was or will be; None for never.
        now: the current time.
    """
    if time is None:
        return Markup("–")
    element = Markup('<time class="ago" datetime="{}" title="{} ({})">{}</time>')
    return element.format(time.isoformat(), reader.told(time), reader.in_utc(time), _distance(now - time))


def _distance(since: timedelta) -> str:
    seconds = since.total_seconds()
    size, unit = next((each for each in UNITS if abs(seconds) >= each[0]), (0, ""))
    count = int(abs(seconds) // size) if size else 0
    distance = f"{count} {unit}{'' if count == 1 else 's'}"
    if count:
        return f"{distance} ago" if seconds >= 0 else f"in {distance}"
    return "just now" if seconds >= 0 else "in less than a minute"


def pretty(value: Any) -> str:
    """Return a value as indented JSON."""
    return json.dumps(value, indent=2, ensure_ascii=False, default=str)


def columns(value: Any) -> list[str]:
    """Return the columns of a value that is a table: rows with the same few columns; nothing if it is none."""
    rows = value if isinstance(value, list) and len(value) <= LONGEST_TABLE else []
    first = rows[0] if rows and isinstance(rows[0], dict) and len(rows[0]) <= WIDEST_TABLE else {}
    alike = all(isinstance(row, dict) and row.keys() == first.keys() for row in rows)
    cells = (cell for row in rows for cell in row.values()) if alike else ()
    return [*first] if alike and not any(isinstance(cell, list | dict) for cell in cells) else []


def plain(value: Any) -> str:
    """Return the value of an input as text: yes, no, a dash for none, or JSON."""
    match value:
        case None | "" | []:
            return "–"
        case bool():
            return "yes" if value else "no"
        case str():
            return value
        case _ if is_reference(value):
            return str(GivenFile.kept(value))
        case _:
            return json.dumps(value, ensure_ascii=False, default=str)


def exact(value: Any) -> str:
    """Return a whole value for review, with unprintable characters escaped.

    Bidirectional and zero-width characters could otherwise make an input look different from what runs.
    """
    match value:
        case None:
            return "–"
        case "" | []:
            return "(empty)"
        case str():
            text = value
        case bool():
            return "yes" if value else "no"
        case _ if is_reference(value):
            text = str(GivenFile.kept(value))
        case _:
            short = json.dumps(value, ensure_ascii=False, default=str)
            text = short if len(short) <= SHORT else pretty(value)
    return "".join(c if c.isprintable() or c in "\n\t" else json.dumps(c)[1:-1] for c in text)


def on_the_clock(time: datetime) -> Markup:
    """Return the time of day in the zone of the reader, as a ``<time>`` element."""
    return _element(time, f"{reader.local(time):%H:%M:%S}")


def read_moment(text: str) -> datetime:
    """Return the datetime of an ISO 8601 text."""
    return datetime.fromisoformat(text)


def lines(text: str | None) -> Markup:
    """Return escaped text with its line breaks as ``<br>``."""
    return Markup("<br>").join(escape(line) for line in (text or "").splitlines())


FILTERS: Mapping[str, Callable[..., Any]] = {
    "moment": moment,
    "person": person,
    "at": at,
    "weekday": weekday,
    "elsewhere": elsewhere,
    "ago": ago,
    "duration": duration,
    "pretty": pretty,
    "columns": columns,
    "plain": plain,
    "in_words": word_of,
    "tone": tone_of,
    "exact": exact,
    "on_the_clock": on_the_clock,
    "read_moment": read_moment,
    "lines": lines,
}
