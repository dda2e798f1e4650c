"""How the pages write things: times, states, intervals, JSON."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from markupsafe import Markup, escape

UNNAMED = frozenset({"detail", "errors", "non_field_errors", "schedule"})
"""Keys in a refusal that are no fields."""


def moment(time: datetime | None, zone: str = "UTC") -> Markup:
    """Return a time on the clocks of a zone, marked up so that scripts can tell it on the reader's."""
    if time is None:
        return Markup("–")
    try:
        local = time.astimezone(ZoneInfo(zone))
    except (ZoneInfoNotFoundError, ValueError):
        local, zone = time, "UTC"
    shown = f"{local:%Y-%m-%d %H:%M:%S} {zone}" if local.second else f"{local:%Y-%m-%d %H:%M} {zone}"
    return Markup('<time datetime="{}">{}</time>').format(time.isoformat(), shown)


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


def lines(text: str | None) -> Markup:
    """Return text with its line breaks."""
    return Markup("<br>").join(escape(line) for line in (text or "").splitlines())


def sentences(detail: Any, field: str = "") -> Iterator[str]:
    """Yield the sentences of a refusal, each with the field that it is about."""
    match detail:
        case Mapping():
            for name, inner in detail.items():
                yield from sentences(inner, field if name in UNNAMED else str(name))
        case list() | tuple():
            for inner in detail:
                yield from sentences(inner, field)
        case str():
            yield f"{field}: {detail}" if field else detail


FILTERS: Mapping[str, Callable[..., Any]] = {
    "moment": moment,
    "duration": duration,
    "pretty": pretty,
    "plain": plain,
    "lines": lines,
}
