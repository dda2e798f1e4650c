"""How the pages write things: times, states, intervals, JSON."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from markupsafe import Markup, escape

from api_shim.domain.model import Status

WORDS = {
    Status.PENDING: "waiting",
    Status.STARTED: "running",
    Status.SUCCESS: "succeeded",
    Status.FAILURE: "failed",
    Status.REVOKED: "cancelled",
}
SHORT = 80
"""Characters of JSON that are shown in one line."""


def moment(time: datetime | None, zone: str = "UTC") -> Markup:
    """Return a time on the clocks of a zone, marked up so that scripts can tell it on the reader's."""
    if time is None:
        return Markup("–")
    local, zone = _local(time, zone)
    shown = f"{local:%Y-%m-%d %H:%M:%S} {zone}" if local.second else f"{local:%Y-%m-%d %H:%M} {zone}"
    return Markup('<time datetime="{}">{}</time>').format(time.isoformat(), shown)


def _local(time: datetime, zone: str) -> tuple[datetime, str]:
    try:
        return time.astimezone(ZoneInfo(zone)), zone
    except (ZoneInfoNotFoundError, ValueError):
        return time.astimezone(UTC), "UTC"


def duration(span: timedelta) -> str:
    """Return how long something took, or takes."""
    seconds = span.total_seconds()
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds:.1f} s"


def pretty(value: Any) -> str:
    """Return JSON that people can read."""
    return json.dumps(value, indent=2, ensure_ascii=False, default=str)


def plain(value: Any) -> str:
    """Return one value of an input as people read it."""
    match value:
        case None | "":
            return "–"
        case bool():
            return "yes" if value else "no"
        case str():
            return value
        case _:
            return json.dumps(value, ensure_ascii=False, default=str)


def in_words(status: Status) -> str:
    """Return how a run stands, for people."""
    return WORDS[status]


def exact(value: Any) -> str:
    """Return all of a value, for somebody who decides about it: what cannot be seen is written out.

    Such characters could turn the line around that they stand in, or hide.
    """
    match value:
        case None:
            return "–"
        case "":
            return "(empty)"
        case str():
            text = value
        case bool():
            return "yes" if value else "no"
        case _:
            short = json.dumps(value, ensure_ascii=False, default=str)
            text = short if len(short) <= SHORT else pretty(value)
    return "".join(c if c.isprintable() or c in "\n\t" else json.dumps(c)[1:-1] for c in text)


def on_the_clock(time: datetime, zone: str = "UTC") -> Markup:
    """Return the time of day of a moment, marked up as the moment that it is."""
    return Markup('<time datetime="{}">{}</time>').format(time.isoformat(), f"{_local(time, zone)[0]:%H:%M:%S}")


def read_moment(text: str) -> datetime:
    """Return the moment that is written in JSON."""
    return datetime.fromisoformat(text)


def lines(text: str | None) -> Markup:
    """Return text with its line breaks."""
    return Markup("<br>").join(escape(line) for line in (text or "").splitlines())


FILTERS: Mapping[str, Callable[..., Any]] = {
    "moment": moment,
    "duration": duration,
    "pretty": pretty,
    "plain": plain,
    "in_words": in_words,
    "exact": exact,
    "on_the_clock": on_the_clock,
    "read_moment": read_moment,
    "lines": lines,
}
