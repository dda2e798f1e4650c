"""The picture of a day: where each mark stands, what is one band, and what is told in words."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest

from api_shim.services.forecast import Forecast, ScheduleStatus
from api_shim.services.schedule_views import Day, Lane
from api_shim.web.pages.timeline import draw
from tests.factories import NOW, make_job, make_scheduled, make_user

HOUR, MINUTE = timedelta(hours=1), timedelta(minutes=1)
ROW = make_scheduled(make_job(), make_user(), name="nightly")


def day(
    *lanes: list[datetime], standing: ScheduleStatus = ScheduleStatus.FIRES, begin: datetime = NOW, more: int = 0
) -> Day:
    return Day(
        begin=begin,
        end=begin + 24 * HOUR,
        lanes=[
            Lane(row=ROW, prospect=Forecast(standing=standing, due=times[0], why_not=""), times=times)
            for times in lanes
        ],
        more=more,
        partly=False,
    )


def marks(*times: datetime) -> list[tuple[str, str, str]]:
    [row] = draw(day([*times]), "UTC").rows
    return [(mark.x, mark.width, mark.said) for mark in row.marks]


def test_a_firing_stands_where_its_time_is_in_the_day() -> None:
    assert marks(NOW, NOW + 6 * HOUR) == [("0.00", "", "Mon 12:00"), ("25.00", "", "Mon 18:00")]


def test_firings_that_would_touch_are_one_band() -> None:
    assert marks(*(NOW + 15 * MINUTE * n for n in range(25))) == [
        ("0.00", "25.00", "25 times from Mon 12:00 to Mon 18:00")
    ]
    assert [width for _x, width, _said in marks(*(NOW + 16 * MINUTE * n for n in range(3)))] == ["", "", ""]


def test_every_minute_of_a_day_is_one_band_within_the_picture() -> None:
    [(x, width, said)] = marks(*(NOW + MINUTE * n for n in range(1, 1440)))
    assert float(x) + float(width) <= 100
    assert said == "1439 times from Mon 12:01 to Tue 11:59"


def test_a_short_band_can_be_seen_and_does_not_leave_the_picture() -> None:
    [(_x, width, _said)] = marks(NOW, NOW + MINUTE)
    assert float(width) > 0.5
    [(x, width, _said)] = marks(NOW + 24 * HOUR - 2 * MINUTE, NOW + 24 * HOUR - MINUTE)
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
    assert draw(day([NOW], standing=standing), "UTC").rows[0].kind == kind


def test_many_marks_are_told_in_few_words() -> None:
    [row] = draw(day([NOW + HOUR * n for n in range(24)]), "UTC").rows
    assert row.said.startswith("Mon 12:00, Mon 13:00")
    assert row.said.endswith("and 18 more")


@pytest.mark.parametrize(
    ("picture", "said"),
    [
        pytest.param(day([NOW]), "1 scheduled job runs in the 24 hours from Mon 12:00 UTC.", id="one"),
        pytest.param(
            day([NOW], [NOW], standing=ScheduleStatus.WAITS, more=3),
            "5 scheduled jobs run in the 24 hours from Mon 12:00 UTC; 2 of those shown wait for approval.",
            id="some wait",
        ),
    ],
)
def test_the_picture_is_described_in_a_sentence(picture: Day, said: str) -> None:
    assert draw(picture, "UTC").said == said


def ticks(zone: str, **of: Any) -> dict[str, str]:
    return {tick.label: tick.x for tick in draw(day([NOW], **of), zone).ticks if tick.label}


def test_the_hours_are_those_of_the_zone() -> None:
    assert ticks("UTC") == {
        "12:00": "0.00",
        "15:00": "12.50",
        "18:00": "25.00",
        "21:00": "37.50",
        "Tue 05": "50.00",
        "03:00": "62.50",
        "06:00": "75.00",
        "09:00": "87.50",
    }
    # Half an hour off the full hours of UTC.
    assert ticks("Asia/Kolkata")["18:00"] == "2.08"


def test_an_hour_that_the_clocks_skip_is_not_there() -> None:
    spring = datetime.fromisoformat("2026-03-28T12:00:00+00:00")
    picture = draw(day([spring], begin=spring), "Europe/Berlin")
    assert len(picture.ticks) == 25
    assert [tick.label for tick in picture.ticks if tick.midnight] == ["Sun 29"]
    assert "03:00" in {tick.label for tick in picture.ticks}
