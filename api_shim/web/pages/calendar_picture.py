"""The picture of a calendar: a row for each scheduled job, with a mark for each of its firings in a day, week or month.

* The drawing is as wide as the page: horizontal positions are percentages, vertical ones are in ``em``.
* Firings that are close to each other are drawn as one band.
* Jobs that run, wait for approval or will not run have marks of different shapes, not only colours, and so has what
  succeeded, failed, is under way or did not run. A band of what is past is drawn as the worst in it.
* A line says where now is; what is past is shaded.
* Every mark has a text equivalent, and all are told in a table, for screen readers.
* All times are those of the reader.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from itertools import chain

from api_shim.domain.calendar_spans import Fired, Span, Went, first_day, midnight
from api_shim.domain.model import ScheduledJob, Status
from api_shim.domain.status_words import ScheduleStatus, word_of
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
        kind: ``fires``, ``waits`` or ``stopped`` for those to come, one of ``WENT`` for those before.
        said: the text equivalent.
        link: the address of its job result, or of those of a band; empty for what is to come.
    """

    x: str
    width: str
    kind: str
    said: str
    link: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    """The firings of one scheduled job.

    Args:
        row: the scheduled job.
        kind: ``fires``, ``waits`` or ``stopped``; empty if nothing of it is to come.
        y: the position of its middle, in ``em``.
        marks: its firings, drawn.
        told: those that are listed: the last of what is past, and the first of what is to come.
    """

    row: ScheduledJob
    kind: str
    y: str
    marks: list[Mark]
    told: list[Mark]

    @property
    def untold(self) -> int:
        """How many marks are counted only."""
        return len(self.marks) - len(self.told)


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
        past_kinds: which of ``WENT`` it has, with their labels.
    """

    title: str
    rows: list[Row]
    ticks: list[Tick]
    now: str
    past: str
    height: str
    said: str
    past_kinds: Mapping[str, str]


def draw(calendar: Calendar, span: Span) -> Picture:
    """Return the picture of a calendar, for the reader."""
    title = title_of(span, local(calendar.begin).date())
    rows = [_row(place, lane, calendar, span) for place, lane in enumerate(calendar.lanes)]
    marks = [*chain.from_iterable(row.marks for row in rows)]
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
        past_kinds={kind: LABELS[kind] for kind in LABELS if any(kind == mark.kind for mark in marks)},
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
    kind = KINDS.get(lane.prospect.standing, "stopped")
    past = [_past_mark(fired, calendar, span) for fired in lane.past]
    coming = [
        Mark(**_place(first, last, calendar), kind=kind, said=_when(first, last, span)) for first, last in lane.bands
    ]
    return Row(
        row=lane.row,
        kind=kind if coming else "",
        y=f"{AXIS + ROW * (place + 0.5):.2f}",
        marks=past + coming,
        told=past[-TOLD:] + coming[:TOLD],
    )


KINDS = {ScheduleStatus.FIRES: "fires", ScheduleStatus.WAITS: "waits"}
WENT: Mapping[Went, tuple[str, str]] = {
    Went.FAILED: ("failed", word_of(Status.FAILURE)),
    Went.SKIPPED: ("skipped", "did not run"),
    Went.CANCELLED: ("skipped", word_of(Status.REVOKED)),
    Went.UNDER_WAY: ("running", "under way"),
    Went.SUCCEEDED: ("done", word_of(Status.SUCCESS)),
}
"""How a firing that is past is drawn and told; the worst first."""
LABELS = {
    "done": WENT[Went.SUCCEEDED][1],
    "failed": WENT[Went.FAILED][1],
    "running": WENT[Went.UNDER_WAY][1],
    "skipped": "did not run, or was cancelled",
}
"""What the legend says of what is past."""


def _past_mark(fired: Fired, calendar: Calendar, span: Span) -> Mark:
    counts = {went: fired.counts[went] for went in WENT if went in fired.counts}
    kind, word = WENT[next(iter(counts))]
    place = _place(fired.first, fired.last, calendar)
    if fired.number == 1:
        said = f"{_when(fired.first, fired.last, span)}, {word}"
        return Mark(**place, kind=kind, said=said, link=f"/signoff/results/{fired.result_id}")
    told = ", ".join(f"{count} {WENT[went][1]}" for went, count in counts.items())
    said = f"{_when(fired.first, fired.last, span)}: {told}"
    return Mark(**place, kind=kind, said=said, link=f"/signoff/results?schedule={fired.scheduled_id}")


def _place(first: datetime, last: datetime, calendar: Calendar) -> dict[str, str]:
    """Return where a firing or a band stands, as fields of its mark."""
    begins = _along(first, calendar)
    width = min(max(_along(last, calendar) - begins, NARROWEST), 100 - begins)
    return {"x": f"{begins:.2f}", "width": "" if first == last else f"{width:.2f}"}


def _when(first: datetime, last: datetime, span: Span) -> str:
    return _said(first, span) if first == last else f"repeatedly from {_said(first, span)} to {_said(last, span)}"


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
        # On a phone two days of a week keep their labels, and every other Monday of a month.
        keeps = day.weekday() in {0, 3} if span is Span.WEEK else (day.day - 1) // 7 % 2 == 0
        yield Tick(x=f"{x:.2f}", label=label, main=main, noon=keeps)
        day += timedelta(days=1)
