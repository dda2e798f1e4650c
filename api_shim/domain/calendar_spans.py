"""Days, weeks and months of a calendar in a time zone, and the firings within them.

* A span begins at the first moment of its first day and ends at that of the day after it, however long its days are;
  so spans follow each other without gaps. Weeks begin on Mondays.
* Firings that are close to each other are one band, of which only the ends are found: what fires every minute takes
  about as long as what fires now and then.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from enum import StrEnum
from uuid import UUID
from zoneinfo import ZoneInfo

from api_shim.domain.crontab import FIRST_YEAR, LAST_YEAR
from api_shim.domain.recurrence import TICK, Recurrence, newest_time, times_after

PARTS = 48
"""Firings that are closer than this part of a span are one band."""


class Span(StrEnum):
    """How much of the calendar is looked at."""

    DAY = "day"
    WEEK = "week"
    MONTH = "month"


class Went(StrEnum):
    """How a firing went; the worst first."""

    FAILED = "failed"
    SKIPPED = "skipped"
    CANCELLED = "cancelled"
    UNDER_WAY = "under_way"
    SUCCEEDED = "succeeded"


@dataclass(frozen=True, kw_only=True, slots=True)
class Fired:
    """What became of the firings of one scheduled job in a part of a span.

    Args:
        scheduled_id: the scheduled job.
        first: when the first was due.
        last: when the last was due.
        result_id: the job result, if there was one firing; one of them otherwise.
        counts: how many went so.
    """

    scheduled_id: UUID
    first: datetime
    last: datetime
    result_id: UUID
    counts: Mapping[Went, int]

    @property
    def number(self) -> int:
        """How many there were."""
        return sum(self.counts.values())


def first_day(span: Span, day: date) -> date:
    """Return the first day of the span that a day is in."""
    match span:
        case Span.DAY:
            return day
        case Span.WEEK:
            return day - timedelta(days=day.weekday())
        case Span.MONTH:
            return day.replace(day=1)


def day_after(span: Span, day: date) -> date:
    """Return the first day of the next span."""
    first = first_day(span, day)
    match span:
        case Span.DAY:
            return first + timedelta(days=1)
        case Span.WEEK:
            return first + timedelta(days=7)
        case Span.MONTH:
            return (first + timedelta(days=31)).replace(day=1)


def day_before(span: Span, day: date) -> date:
    """Return the first day of the span before."""
    return first_day(span, first_day(span, day) - timedelta(days=1))


def ends_of(span: Span, day: date, zone: str) -> tuple[datetime, datetime]:
    """Return when the span that a day is in begins and ends in a time zone, in UTC."""
    return midnight(first_day(span, day), zone), midnight(day_after(span, day), zone)


def midnight(day: date, zone: str) -> datetime:
    """Return the first moment of a day in a time zone, in UTC; it is later than 00:00 where the clocks skip that."""
    return datetime.combine(day, time(), ZoneInfo(zone)).astimezone(UTC)


def read_day(text: str) -> date | None:
    """Return a day as an address names it, ``2026-05-04``; None for what is none, or too far away to reckon with."""
    try:
        day = date.fromisoformat(text)
    except ValueError:
        return None
    return day if FIRST_YEAR < day.year < LAST_YEAR else None


def parts_of(begin: datetime, end: datetime) -> list[datetime]:
    """Return the moments between the parts of a span."""
    return [begin + (end - begin) * number / PARTS for number in range(1, PARTS)]


def bands(r: Recurrence, since: datetime, until: datetime, touching: timedelta) -> Iterator[tuple[datetime, datetime]]:
    """Yield the first and the last firing of each band from ``since`` on and before ``until``, in order.

    Args:
        r: the recurrence.
        since: when to begin.
        until: when to end.
        touching: firings that are no further apart are in one band. It bounds the work: in as long a time, only a few
            firings are looked for, however many there are.
    """
    first = next(times_after(r, since - TICK), None)
    while first is not None and first < until:
        last = first
        while (further := newest_time(r, min(last + touching, until - TICK))) is not None and further > last:
            last = further
        yield first, last
        first = next(times_after(r, last), None)
