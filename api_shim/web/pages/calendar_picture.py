"""The picture of a calendar: a row for each scheduled job, with a mark for each of its firings in a day, week or month.

* The drawing is as wide as the page: horizontal positions are percentages, vertical ones are in ``em``.
* Firings that are close to each other are drawn as one band.
* Jobs that run, wait for approval or will not run have marks of different shapes, not only colours.
* A line says where now is; what is past is shaded.
* Every mark has a text equivalent, and all are told in a table, for screen readers.
* All times are those of the reader.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime, timedelta

from api_shim.domain.calendar_spans import Span, first_day, midnight
from api_shim.domain.model import ScheduledJob
from api_shim.domain.status_words import ScheduleStatus
from api_shim.services.schedule_views import Calendar, Lane
from api_shim.web.pages.reader import abbreviation, local, reader

LABEL_HOURS = 3
AXIS, ROW = 1.9, 1.75
"""The height of the axis and of each row, in ``em``."""
NARROWEST = 0.7
"""The minimum width of a band, in per cent."""
ROOM = 6
"""How much room a label needs before the right end, in per cent."""
TOLD = 12
"""How many marks of a row are listed in its text; the rest is counted."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Mark:
    """One firing, or a band of many.

    Args:
        x: the position of its start, in per cent.
        width: the width of a band, in per cent; empty for a single firing.
        said: the text equivalent.
    """

    x: str
    width: str
    said: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    """The firings of one scheduled job.

    Args:
        row: the scheduled job.
        kind: ``fires``, ``waits`` or ``stopped``.
        y: the position of its middle, in ``em``.
        marks: its firings, drawn.
        said: the text equivalent of all its marks.
    """

    row: ScheduledJob
    kind: str
    y: str
    marks: list[Mark]
    said: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Tick:
    """A line of the grid.

    Args:
        x: its position, in per cent.
        label: the hour or the day; empty for lines without a label.
        main: it is one of those by which one finds one's way: a midnight, or in a month a Monday.
        noon: it keeps its label where there is little room.
    """

    x: str
    label: str
    main: bool
    noon: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Picture:
    """The drawn calendar.

    Args:
        title: which day, week or month it is.
        rows: a row for each scheduled job.
        ticks: the grid.
        now: the position of now, in per cent; empty where that is not within it.
        past: how much of it is past, in per cent.
        height: the total height, in ``em``.
        said: a summary in one sentence.
    """

    title: str
    rows: list[Row]
    ticks: list[Tick]
    now: str
    past: str
    height: str
    said: str


def draw(calendar: Calendar, span: Span) -> Picture:
    """Return the picture of a calendar, for the reader."""
    title = title_of(span, local(calendar.begin).date())
    rows = [_row(place, lane, calendar, span) for place, lane in enumerate(calendar.lanes)]
    waiting = sum(row.kind == "waits" for row in rows)
    said = f"{_counted(len(rows) + calendar.more)} in it, by the time in {reader().zone}"
    said += f"; {waiting} of those shown wait{'s' * (waiting == 1)} for approval." if waiting else "."
    past = min(max(_along(calendar.now, calendar), 0), 100)
    within = calendar.begin <= calendar.now < calendar.end
    return Picture(
        title=title,
        rows=rows,
        ticks=[*(_hours if span is Span.DAY else _days)(calendar, span)],
        now=f"{past:.2f}" if within else "",
        past=f"{past:.2f}",
        height=f"{AXIS + ROW * len(rows):.2f}",
        said=f"{title}: {said}",
    )


def title_of(span: Span, day: date) -> str:
    """Return the name of the day, week or month that a day is in."""
    first = first_day(span, day)
    match span:
        case Span.DAY:
            return f"{first:%A}, {first.day} {first:%B %Y}"
        case Span.WEEK:
            last = first + timedelta(days=6)
            return f"{first.day} {first:%B %Y} to {last.day} {last:%B %Y}"
        case Span.MONTH:
            return f"{first:%B %Y}"


def _counted(number: int) -> str:
    return f"{number} scheduled job{' runs' if number == 1 else 's run'}"


def _row(place: int, lane: Lane, calendar: Calendar, span: Span) -> Row:
    marks = [_mark(first, last, calendar, span) for first, last in lane.bands]
    told = [mark.said for mark in marks[:TOLD]]
    rest = len(marks) - len(told)
    return Row(
        row=lane.row,
        kind=KINDS.get(lane.prospect.standing, "stopped"),
        y=f"{AXIS + ROW * (place + 0.5):.2f}",
        marks=marks,
        said=f"{'; '.join(told)}{f'; and {rest} more' if rest else ''}",
    )


KINDS = {ScheduleStatus.FIRES: "fires", ScheduleStatus.WAITS: "waits"}


def _mark(first: datetime, last: datetime, calendar: Calendar, span: Span) -> Mark:
    begins = _along(first, calendar)
    if first == last:
        return Mark(x=f"{begins:.2f}", width="", said=_said(first, span))
    width = min(max(_along(last, calendar) - begins, NARROWEST), 100 - begins)
    said = f"repeatedly from {_said(first, span)} to {_said(last, span)}"
    return Mark(x=f"{begins:.2f}", width=f"{width:.2f}", said=said)


def _said(time: datetime, span: Span) -> str:
    on_clock = local(time)
    if span is Span.DAY:
        # An hour may come twice within a day.
        twice = on_clock.utcoffset() != on_clock.replace(fold=1 - on_clock.fold).utcoffset()
        return f"{on_clock:%H:%M}{f' {abbreviation(on_clock)}' if twice else ''}"
    return f"{on_clock:%a} {on_clock.day} {on_clock:%b %H:%M}"


def _along(time: datetime, calendar: Calendar) -> float:
    return 100 * ((time - calendar.begin) / (calendar.end - calendar.begin))


def _hours(calendar: Calendar, _span: Span) -> Iterator[Tick]:
    # The offset of some zones is not a whole number of hours.
    step, time = timedelta(minutes=15), calendar.begin
    while time <= calendar.end:
        on_clock, x = local(time), _along(time, calendar)
        if on_clock.minute == 0:
            labelled = on_clock.hour % LABEL_HOURS == 0 and x < 100 - ROOM
            label = f"{on_clock:%H:%M}" if labelled else ""
            yield Tick(x=f"{x:.2f}", label=label, main=on_clock.hour == 0, noon=on_clock.hour in {0, 12})
        time += step


def _days(calendar: Calendar, span: Span) -> Iterator[Tick]:
    day, last = local(calendar.begin).date(), local(calendar.end).date()
    while day <= last:
        x = _along(midnight(day, reader().zone), calendar)
        main = span is Span.WEEK or day.weekday() == 0
        label = f"{day:%a} {day.day}" if main and x < 100 - ROOM else ""
        yield Tick(x=f"{x:.2f}", label=label, main=main, noon=day.weekday() in {0, 3})
        day += timedelta(days=1)
