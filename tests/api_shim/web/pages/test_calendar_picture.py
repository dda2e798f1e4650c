"""The picture of a calendar: where each mark stands, what is told in words, and how the grid goes with the clocks."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from uuid import uuid4

import pytest

from api_shim.domain.calendar_spans import Fired, Span, Went, ends_of
from api_shim.domain.status_words import ScheduleStatus
from api_shim.services.forecast import Forecast
from api_shim.services.schedule_views import Calendar, Lane
from api_shim.web.pages.calendar_picture import Picture, Row, draw, title_of
from api_shim.web.pages.reader import reading
from tests.factories import NOW, make_job, make_scheduled, make_user

HOUR, MINUTE = timedelta(hours=1), timedelta(minutes=1)
ROW = make_scheduled(make_job(), make_user(), name="nightly")
TODAY = NOW.date()
RESULT = uuid4()

Band = tuple[datetime, datetime]


def drawn(
    *lanes: list[Band],
    standing: ScheduleStatus = ScheduleStatus.FIRES,
    span: Span = Span.DAY,
    day: date = TODAY,
    zone: str = "UTC",
    more: int = 0,
) -> Picture:
    begin, end = ends_of(span, day, zone)
    prospect = Forecast(standing=standing, due=NOW, why_not="")
    rows = [Lane(row=ROW, prospect=prospect, bands=bands, past=[]) for bands in lanes]
    with reading(zone, NOW):
        return draw(Calendar(begin=begin, end=end, now=NOW, lanes=rows, more=more, partly=False), span)


def said(row: Row) -> str:
    """Return what is told of a row."""
    return "; ".join(mark.said for mark in row.told) + (f"; and {row.untold} more" if row.untold else "")


def once(*times: datetime) -> list[Band]:
    return [(time, time) for time in times]


def marks(*bands: Band) -> list[tuple[str, str, str]]:
    [row] = drawn([*bands]).rows
    return [(mark.x, mark.width, mark.said) for mark in row.marks]


def test_a_firing_stands_where_its_time_is_in_the_day() -> None:
    assert marks(*once(NOW, NOW + 6 * HOUR)) == [("50.00", "", "12:00"), ("75.00", "", "18:00")]


def test_a_band_reaches_from_its_first_firing_to_its_last() -> None:
    assert marks((NOW, NOW + 6 * HOUR)) == [("50.00", "25.00", "repeatedly from 12:00 to 18:00")]


def test_a_short_band_can_be_seen_and_does_not_leave_the_picture() -> None:
    [(_x, width, _said)] = marks((NOW, NOW + MINUTE))
    assert float(width) > 0.5
    [(x, width, _said)] = marks((NOW + 12 * HOUR - 2 * MINUTE, NOW + 12 * HOUR - MINUTE))
    assert float(x) + float(width) <= 100.01


@pytest.mark.parametrize(
    ("standing", "kind"),
    [
        (ScheduleStatus.FIRES, "fires"),
        (ScheduleStatus.WAITS, "waits"),
        (ScheduleStatus.STOPPED, "stopped"),
        (ScheduleStatus.FAILED, "stopped"),
    ],
)
def test_what_runs_what_waits_and_what_will_not_run_are_told_apart(standing: ScheduleStatus, kind: str) -> None:
    assert drawn(once(NOW), standing=standing).rows[0].kind == kind


def test_many_marks_are_told_in_few_words() -> None:
    [row] = drawn(once(*(NOW + MINUTE * 30 * n for n in range(24)))).rows
    assert said(row).startswith("12:00; 12:30; 13:00")
    assert said(row).endswith("; and 12 more")


@pytest.mark.parametrize(
    ("picture", "said"),
    [
        pytest.param(drawn(once(NOW)), "Monday, 4 May 2026: 1 scheduled job runs in it, by the time in UTC.", id="one"),
        pytest.param(
            drawn(once(NOW), once(NOW), standing=ScheduleStatus.WAITS, more=3, span=Span.MONTH),
            "May 2026: 5 scheduled jobs run in it, by the time in UTC; 2 of those shown wait for approval.",
            id="some wait",
        ),
    ],
)
def test_the_picture_is_described_in_a_sentence(picture: Picture, said: str) -> None:
    assert picture.said == said


@pytest.mark.parametrize(
    ("span", "day", "title"),
    [
        (Span.DAY, date(2026, 5, 4), "Monday, 4 May 2026"),
        (Span.WEEK, date(2027, 1, 2), "28 December 2026 to 3 January 2027"),
        (Span.MONTH, date(2026, 5, 31), "May 2026"),
    ],
)
def test_a_span_has_a_name(span: Span, day: date, title: str) -> None:
    assert title_of(span, day) == title


@pytest.mark.parametrize(
    ("day", "now", "past"),
    [
        pytest.param(TODAY, "50.00", "50.00", id="today"),
        pytest.param(TODAY - timedelta(days=1), "", "100.00", id="yesterday"),
        pytest.param(TODAY + timedelta(days=1), "", "0.00", id="tomorrow"),
    ],
)
def test_a_line_says_where_now_is_and_what_is_past(day: date, now: str, past: str) -> None:
    picture = drawn(day=day)
    assert (picture.now, picture.past) == (now, past)


def labels(picture: Picture) -> dict[str, str]:
    return {tick.label: tick.x for tick in picture.ticks if tick.label}


def test_the_hours_are_those_of_the_reader() -> None:
    every_third = {f"{hour:02}:00": f"{100 * hour / 24:.2f}" for hour in range(0, 24, 3)}
    assert labels(drawn(zone="Asia/Kolkata")) == every_third


def test_an_hour_that_the_clocks_skip_is_not_there_and_one_that_comes_twice_is_told_apart() -> None:
    spring = drawn(day=date(2026, 3, 29), zone="Europe/Berlin")
    assert len(spring.ticks) == 24
    assert labels(spring)["12:00"] == f"{100 * 11 / 23:.2f}"
    twice = datetime(2026, 10, 25, 0, 30, tzinfo=UTC)
    [row] = drawn(once(twice, twice + HOUR, twice + 2 * HOUR), day=date(2026, 10, 25), zone="Europe/Berlin").rows
    assert said(row) == "02:30 CEST; 02:30 CET; 03:30"


def test_a_week_has_its_days_and_a_month_its_mondays() -> None:
    assert [*labels(drawn(span=Span.WEEK))] == ["Mon 4", "Tue 5", "Wed 6", "Thu 7", "Fri 8", "Sat 9", "Sun 10"]
    assert [*labels(drawn(span=Span.MONTH))] == ["Mon 4", "Mon 11", "Mon 18", "Mon 25"]
    assert len(drawn(span=Span.MONTH).ticks) == 32
    [row] = drawn(once(NOW), span=Span.WEEK).rows
    assert said(row) == "Mon 4 May 12:00"


def past(*counts: tuple[timedelta, dict[Went, int]], bands: Sequence[Band] = ()) -> Picture:
    """Return the picture of today with firings that were so long ago, each a band of an hour if there were several."""
    begin, end = ends_of(Span.DAY, TODAY, "UTC")
    prospect = Forecast(standing=ScheduleStatus.FIRES, due=NOW, why_not="")
    fired = [
        Fired(
            scheduled_id=ROW.id,
            first=NOW - ago,
            last=NOW - ago + (HOUR if sum(went.values()) > 1 else 0 * HOUR),
            result_id=RESULT,
            counts=went,
        )
        for ago, went in counts
    ]
    lane = Lane(row=ROW, prospect=prospect, bands=[*bands], past=fired)
    with reading("UTC", NOW):
        return draw(Calendar(begin=begin, end=end, now=NOW, lanes=[lane], more=0, partly=False), Span.DAY)


@pytest.mark.parametrize(
    ("counts", "kind", "told", "link"),
    [
        pytest.param({Went.SUCCEEDED: 1}, "done", "06:00, succeeded", f"/signoff/results/{RESULT}", id="one"),
        pytest.param({Went.SKIPPED: 1}, "skipped", "06:00, did not run", f"/signoff/results/{RESULT}", id="skipped"),
        pytest.param(
            {Went.SUCCEEDED: 8, Went.UNDER_WAY: 1},
            "running",
            "repeatedly from 06:00 to 07:00: 1 under way, 8 succeeded",
            f"/signoff/results?schedule={ROW.id}",
            id="some",
        ),
        pytest.param(
            {Went.SUCCEEDED: 1, Went.FAILED: 2, Went.CANCELLED: 3},
            "failed",
            "repeatedly from 06:00 to 07:00: 2 failed, 3 cancelled, 1 succeeded",
            f"/signoff/results?schedule={ROW.id}",
            id="some of which failed",
        ),
    ],
)
def test_what_is_past_is_drawn_as_the_worst_of_it_and_leads_to_its_results(
    counts: dict[Went, int], kind: str, told: str, link: str
) -> None:
    picture = past((6 * HOUR, counts))
    [mark] = picture.rows[0].marks
    assert (mark.x, mark.kind, mark.said, mark.link) == ("25.00", kind, told, link)
    assert ([*picture.past_kinds], picture.rows[0].kind) == ([kind], "")


def test_what_is_past_and_what_is_to_come_stand_in_one_row() -> None:
    [row] = past((HOUR, {Went.SUCCEEDED: 1}), bands=once(NOW + HOUR)).rows
    assert [mark.kind for mark in row.marks] == ["done", "fires"]
    assert (said(row), row.kind) == ("11:00, succeeded; 13:00", "fires")
