"""The timeline of scheduled jobs: a row for each, with a mark for each firing of the next 24 hours.

* The drawing is as wide as the page: horizontal positions are percentages, vertical ones are in ``em``.
* Firings whose marks would touch are drawn as one band.
* Jobs that run, wait for approval or will not run have marks of different shapes, not only colours.
* Every mark has a text equivalent, for screen readers.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from api_shim.domain.model import ScheduledJob
from api_shim.services.forecast import ScheduleStatus
from api_shim.services.schedule_views import Day, Lane

TOUCHING = timedelta(minutes=15)
"""Firings no further apart than this are drawn as one band."""
TICK_HOURS, LABEL_HOURS = 1, 3
AXIS, ROW = 1.9, 1.75
"""The height of the axis and of each row, in ``em``."""
NARROWEST = 0.7
"""The minimum width of a band, in per cent."""
TOLD = 6
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
    """A full hour.

    Args:
        x: its position, in per cent.
        label: the hour, or the date at midnight; empty for hours without a label.
        midnight: the tick is at midnight.
    """

    x: str
    label: str
    midnight: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class Picture:
    """The drawn timeline.

    Args:
        rows: a row for each scheduled job.
        ticks: the full hours.
        height: the total height, in ``em``.
        said: a summary in one sentence.
    """

    rows: list[Row]
    ticks: list[Tick]
    height: str
    said: str


def draw(day: Day, zone: str) -> Picture:
    """Return the timeline of a day, with its hours in a time zone."""
    clock = ZoneInfo(zone)
    rows = [_row(place, lane, day, clock) for place, lane in enumerate(day.lanes)]
    waiting = sum(row.kind == "waits" for row in rows)
    said = f"{_counted(len(rows) + day.more)} in the 24 hours from {day.begin.astimezone(clock):%a %H:%M} {zone}"
    said += f"; {waiting} of those shown wait{'s' * (waiting == 1)} for approval." if waiting else "."
    return Picture(rows=rows, ticks=[*_ticks(day, clock)], height=f"{AXIS + ROW * len(rows):.2f}", said=said)


def _counted(number: int) -> str:
    return f"{number} scheduled job{' runs' if number == 1 else 's run'}"


def _row(place: int, lane: Lane, day: Day, zone: ZoneInfo) -> Row:
    marks = [_mark(cluster, day, zone) for cluster in _clusters(lane.times)]
    told = [mark.said for mark in marks[:TOLD]]
    rest = len(marks) - len(told)
    return Row(
        row=lane.row,
        kind=KINDS.get(lane.prospect.standing, "stopped"),
        y=f"{AXIS + ROW * (place + 0.5):.2f}",
        marks=marks,
        said=f"{', '.join(told)}{f' and {rest} more' if rest else ''}",
    )


KINDS = {ScheduleStatus.FIRES: "fires", ScheduleStatus.WAITS: "waits"}


def _clusters(times: list[datetime]) -> list[list[datetime]]:
    """Group sorted firings; those within ``TOUCHING`` of each other are in one group."""
    clusters: list[list[datetime]] = []
    for time in times:
        if clusters and time - clusters[-1][-1] <= TOUCHING:
            clusters[-1].append(time)
        else:
            clusters.append([time])
    return clusters


def _mark(cluster: list[datetime], day: Day, zone: ZoneInfo) -> Mark:
    first, last = cluster[0], cluster[-1]
    begins = _along(first, day)
    if len(cluster) == 1:
        return Mark(x=f"{begins:.2f}", width="", said=_said(first, zone))
    width = min(max(_along(last, day) - begins, NARROWEST), 100 - begins)
    said = f"{len(cluster)} times from {_said(first, zone)} to {_said(last, zone)}"
    return Mark(x=f"{begins:.2f}", width=f"{width:.2f}", said=said)


def _said(time: datetime, zone: ZoneInfo) -> str:
    return f"{time.astimezone(zone):%a %H:%M}"


def _along(time: datetime, day: Day) -> float:
    return 100 * ((time - day.begin) / (day.end - day.begin))


def _ticks(day: Day, zone: ZoneInfo) -> Iterator[Tick]:
    step = timedelta(minutes=15)
    # The offset of some zones is not a whole number of hours.
    time = day.begin.replace(minute=0, second=0, microsecond=0)
    while time <= day.end:
        local = time.astimezone(zone)
        if time >= day.begin and local.minute == 0 and local.hour % TICK_HOURS == 0:
            midnight = local.hour == 0
            label = f"{local:%a %d}" if midnight else f"{local:%H:%M}"
            labelled = local.hour % LABEL_HOURS == 0 and _along(time, day) < 97
            yield Tick(x=f"{_along(time, day):.2f}", label=label if labelled else "", midnight=midnight)
        time += step
