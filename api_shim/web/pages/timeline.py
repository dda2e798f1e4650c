"""Draws a day of scheduled jobs: a row for each, with a mark where it fires.

* The picture is as wide as the page: what lies along the day is given in per cent, what lies across it in ``em``.
* Firings that come so quickly that their marks would touch are one band, however many they are.
* What runs, what waits for approval and what will not run differ in shape, and not in colour alone.
* The same is told in words, for those who do not see the picture.
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
"""How high the hours and each row are, in ``em``."""
NARROWEST = 0.7
"""Per cent: what a band is wide at least."""
TOLD = 6
"""How many marks of a row are told in words one by one."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Mark:
    """One firing, or a band of many.

    Args:
        x: where it begins, in per cent.
        width: of a band, in per cent; empty for one firing.
        said: in words.
    """

    x: str
    width: str
    said: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    """The firings of one scheduled job.

    Args:
        row: it.
        kind: ``fires``, ``waits`` or ``stopped``.
        y: where its middle lies, in ``em``.
        marks: its firings.
        said: all of them in words.
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
        x: where, in per cent.
        label: the hour, or the date at midnight; empty between the labels.
        midnight: a day begins.
    """

    x: str
    label: str
    midnight: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class Picture:
    """A day, drawn.

    Args:
        height: in ``em``.
        said: what it shows, in a sentence.
    """

    rows: list[Row]
    ticks: list[Tick]
    height: str
    said: str


def draw(day: Day, zone: str) -> Picture:
    """Return the picture of a day on the clocks of a zone."""
    clock = ZoneInfo(zone)
    rows = [_row(place, lane, day, clock) for place, lane in enumerate(day.lanes)]
    waiting = sum(row.kind == "waits" for row in rows)
    said = f"{_counted(len(rows) + day.more)} in the 24 hours from {day.begin.astimezone(clock):%a %H:%M} {zone}"
    said += f"; {waiting} of those drawn here wait{'s' * (waiting == 1)} for approval." if waiting else "."
    return Picture(rows=rows, ticks=[*_ticks(day, clock)], height=f"{AXIS + ROW * len(rows):.2f}", said=said)


def _counted(number: int) -> str:
    return f"{number} scheduled job{' fires' if number == 1 else 's fire'}"


def _row(place: int, lane: Lane, day: Day, zone: ZoneInfo) -> Row:
    marks = [_mark(cluster, day, zone) for cluster in _clusters(lane.times)]
    told = [mark.said for mark in marks[:TOLD]]
    rest = len(marks) - len(told)
    return Row(
        row=lane.row,
        kind=KINDS.get(lane.prospect.standing, "stopped"),
        y=f"{AXIS + ROW * (place + 0.5):.2f}",
        marks=marks,
        said=f"{', '.join(told)}{f' and {rest} times more' if rest else ''}",
    )


KINDS = {ScheduleStatus.FIRES: "fires", ScheduleStatus.WAITS: "waits"}


def _clusters(times: list[datetime]) -> list[list[datetime]]:
    """Return firings, in order, with those that touch drawn together."""
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
    # Not every zone is whole hours away from UTC.
    time = day.begin.replace(minute=0, second=0, microsecond=0)
    while time <= day.end:
        local = time.astimezone(zone)
        if time >= day.begin and local.minute == 0 and local.hour % TICK_HOURS == 0:
            midnight = local.hour == 0
            label = f"{local:%a %d}" if midnight else f"{local:%H:%M}"
            labelled = local.hour % LABEL_HOURS == 0 and _along(time, day) < 97
            yield Tick(x=f"{_along(time, day):.2f}", label=label if labelled else "", midnight=midnight)
        time += step
