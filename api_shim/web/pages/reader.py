"""Who reads the page that is being rendered: in which time zone, and when. Filters and labels ask here.

* Times are told in the zone of the reader, with its abbreviation, which tells the two 02:30 of an autumn night apart.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import UTC, datetime
from zoneinfo import ZoneInfo


@dataclass(frozen=True, kw_only=True, slots=True)
class Reader:
    """The reader of a page.

    Args:
        zone: the IANA name of their time zone.
        now: the current time; None where nothing is told about how long ago it was.
        views_everybody: whether names lead to the pages of people, all of which they may see.
    """

    zone: str = "UTC"
    now: datetime | None = None
    views_everybody: bool = False


_READER: ContextVar[Reader] = ContextVar("reader", default=Reader())  # noqa: B039  # it is frozen


@contextmanager
def reading(zone: str, now: datetime, *, views_everybody: bool = False) -> Iterator[None]:
    """Render what is rendered within for a reader in this zone, at this moment, who may view every user or not."""
    before = _READER.set(Reader(zone=zone, now=now, views_everybody=views_everybody))
    try:
        yield
    finally:
        _READER.reset(before)


def reader() -> Reader:
    """Return who reads what is being rendered."""
    return _READER.get()


def local(time: datetime, zone: str = "") -> datetime:
    """Return a time on the clocks of a zone, by default that of the reader."""
    return time.astimezone(ZoneInfo(zone or reader().zone))


def abbreviation(time: datetime) -> str:
    """Return what a local time has behind it: the abbreviation of its zone, or the offset where there is none."""
    name = time.tzname() or ""
    offset = f"{time:%z}"
    return name if name.isalpha() else f"UTC{offset[:3]}:{offset[3:5]}"


def told(time: datetime, zone: str = "") -> str:
    """Return a date and time in a zone, by default that of the reader; with its seconds if it has any."""
    on_clock = local(time, zone)
    seconds = f":{on_clock:%S}" if on_clock.second else ""
    return f"{on_clock:%Y-%m-%d %H:%M}{seconds} {abbreviation(on_clock)}"


def in_utc(time: datetime) -> str:
    """Return a date and time in UTC, to the second."""
    return f"{time.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"
