"""Crontabs: which are read, which are refused in which words, and which wall times they match."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from api_shim.domain.crontab import MINUTE, check_crontab, walls_after, walls_until
from approval_gate.errors import Invalid
from tests.strategies import DAY, crontabs, fires, wall_matches

WALLS = st.datetimes(datetime(2024, 1, 1), datetime(2105, 1, 1))  # noqa: DTZ001 - a wall time has no zone


@given(crontabs())
def test_a_crontab_is_refused_exactly_if_it_never_fires(drawn: tuple[str, list[frozenset[int]]]) -> None:
    text, values = drawn
    if fires(values):
        assert check_crontab(check_crontab(text)) == check_crontab(text)
    else:
        with pytest.raises(Invalid, match="never fires"):
            check_crontab(text)


def brute_force(values: list[frozenset[int]], wall: datetime, step: int) -> datetime:
    """Return the nearest match after a full minute, or up to it with step -1: day by day, then minute by minute."""
    _, _, days, months, weekdays = values
    day, sought = wall.date(), wall + MINUTE if step > 0 else wall
    while True:
        if day.day in days and day.month in months and day.isoweekday() % 7 in weekdays:
            midnight = datetime(day.year, day.month, day.day)  # noqa: DTZ001 - a wall time has no zone
            minutes = [midnight + n * MINUTE for n in range(1440)][::step]
            for minute in minutes:
                if (minute - sought) * step >= timedelta() and wall_matches(values, minute):
                    return minute
        day += step * DAY


@given(crontabs(), WALLS)
def test_the_nearest_wall_times_are_those_that_the_fields_say(
    drawn: tuple[str, list[frozenset[int]]], wall: datetime
) -> None:
    text, values = drawn
    assume(fires(values))
    kept, minute = check_crontab(text), wall.replace(second=0, microsecond=0)
    assert next(walls_after(kept, wall)) == brute_force(values, minute, 1)
    assert next(walls_until(kept, wall)) == brute_force(values, minute, -1)


@pytest.mark.parametrize(
    ("text", "wall", "until", "after"),
    [
        pytest.param("* * * * *", "2026-05-01T00:07:00", "2026-05-01T00:07", "2026-05-01T00:08",
                     id="a match itself is newest, and not after"),
        pytest.param("* * * * *", "2026-05-01T00:07:59.999999", "2026-05-01T00:07", "2026-05-01T00:08",
                     id="a fraction before the next"),
        pytest.param("* * * * *", "9000-12-31T23:58:59.999999", "9000-12-31T23:58", "9000-12-31T23:59",
                     id="a fraction before the next in a far year"),
        pytest.param("0 0 29 2 1", "2072-02-29T00:01", "2072-02-29T00:00", "2112-02-29T00:00",
                     id="29 February on a Monday, around a year without one: 40 years on"),
        pytest.param("0 0 29 2 1", "2112-02-28T23:59", "2072-02-29T00:00", "2112-02-29T00:00",
                     id="and 40 years back"),
    ],
)  # fmt: skip
def test_walls_until_and_after(text: str, wall: str, until: str, after: str) -> None:
    moment = datetime.fromisoformat(wall)
    assert next(walls_until(text, moment)) == datetime.fromisoformat(until)
    assert next(walls_after(text, moment)) == datetime.fromisoformat(after)


def test_the_wall_times_end_with_the_calendar() -> None:
    leap = "0 0 29 2 *"
    assert list(walls_after(leap, datetime(9095, 1, 1))) == [datetime(9096, 2, 29)]  # noqa: DTZ001 - wall times
    assert list(walls_until(leap, datetime(1875, 1, 1))) == [datetime(1872, 2, 29)]  # noqa: DTZ001 - wall times


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        pytest.param("", "Please enter a valid crontab.", id="empty"),
        pytest.param(" \t\n", "Please enter a valid crontab.", id="blank"),
        pytest.param(
            "* * * *",
            "needs exactly five fields (minute, hour, day of month, month, day of week); this one has 4.",
            id="four fields",
        ),
        pytest.param("0 * * * * *", "exactly five fields", id="six fields, with seconds"),
        pytest.param("@often", "There is no '@often'; the names of crontabs are @yearly,", id="no such name"),
        pytest.param("@reboot", "@reboot names no time", id="no time"),
        pytest.param("*" * 1_000_000, "up to 255 characters; this one has 1000000.", id="a megabyte"),
        pytest.param("1," * 5_000_000 + "1 * * * *", "up to 255 characters", id="ten megabytes"),
        pytest.param(",".join(["59-58/2"] * 3) + " * * * *", "up to 255 characters",
                     id="too long once ranges are replaced"),
        pytest.param("60 * * * *", "The minute field must be between 0 and 59: 60.", id="minute too high"),
        pytest.param("* 25 * * *", "The hour field must be between 0 and 23: 25.", id="hour too high"),
        pytest.param("* * 0 * *", "The day of month field must be between 1 and 31: 0.", id="day zero"),
        pytest.param("* * * 13 *", "The month field must be between 1 and 12: 13.", id="month too high"),
        pytest.param("* * * * 8", "The day of week field must be between 0 and 7: 8.", id="weekday too high"),
        pytest.param("10-99 * * * *", "The minute field must be between 0 and 59: 99.", id="end of a range"),
        pytest.param("9999999999999999 * * * *", "must be between 0 and 59: 9999999999999999.", id="huge"),
        pytest.param("*/0 * * * *", "The minute step must be between 1 and 60: 0.", id="step zero"),
        pytest.param("*/90 * * * *", "The minute step must be between 1 and 60: 90.", id="step too wide"),
        pytest.param("5/15 * * * *", "The minute field cannot be read: '5/15'. Write values,",
                     id="a step without a range"),
        pytest.param("1,,2 * * * *", "The minute field cannot be read: ''.", id="an empty part"),
        pytest.param("-5 * * * *", "The minute field cannot be read: '-5'.", id="negative"),
        pytest.param("1-2-3 * * * *", "cannot be read: '1-2-3'.", id="a range of three"),
        pytest.param("* * L * *", "The day of month field does not know 'L'.", id="last day of the month"),
        pytest.param("* * * * 5L", "The day of week field does not know '5L'", id="last Friday"),
        pytest.param("* * 15W * *", "The day of month field does not know '15W'.", id="nearest weekday"),
        pytest.param("* * * * fri#2", "The day of week field cannot be read: 'fri#2'.", id="second Friday"),
        pytest.param("* * ? * *", "The day of month field cannot be read: '?'.", id="question mark"),
        pytest.param("H * * * *", "The minute field does not know 'H'.", id="hashed"),
        pytest.param("R R * * *", "The minute field does not know 'R'.", id="random"),
        pytest.param("* * * * mondae", "does not know 'mondae'; it knows sun, mon, tue, wed, thu, fri, sat.",
                     id="no name"),
        pytest.param("* * * sun *", "The month field does not know 'sun'; it knows jan, feb", id="a day"),
        pytest.param("\u0663 * * * *", "The minute field cannot be read:", id="digits of another script"),
        pytest.param("\ud800 * * * *", r"cannot be read: '\ud800'.", id="half a character"),
        pytest.param("\0 * * * *", r"cannot be read: '\x00'.", id="a zero byte"),
        pytest.param("0 0 31 2 *", "This crontab never fires", id="31 February"),
        pytest.param("0 0 30 2 1", "This crontab never fires", id="30 February on a Monday"),
        pytest.param("0 0 31 4,jun,9-9,11 *", "This crontab never fires", id="the 31st of short months"),
    ],
)  # fmt: skip
def test_crontabs_are_refused_with_a_sentence(text: str, sentence: str) -> None:
    with pytest.raises(Invalid) as refused:
        check_crontab(text)
    assert sentence in str(refused.value)
    assert str(refused.value).encode()


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        pytest.param("*/15 * * * *", "*/15 * * * *", id="kept as it is"),
        pytest.param("  0\t9   * *\n1-5 ", "0 9 * * 1-5", id="single spaces"),
        pytest.param("0 0 1 JAN-Mar Mon", "0 0 1 JAN-Mar Mon", id="names in any case"),
        pytest.param("0 0 29 2 *", "0 0 29 2 *", id="leap years"),
        pytest.param("0 0 29 2 mon", "0 0 29 2 mon", id="leap years with a Monday"),
        pytest.param("0 22-4 * nov-feb fri-mon", "0 22-4 * nov-feb fri-mon", id="ranges across the turn"),
        pytest.param("0 0 * * 5-7", "0 0 * * 5-7", id="7 is Sunday"),
        pytest.param("5-5 22-4/2 * * 5-7/2", "5 22,0,2,4 * * 5,0", id="ranges that croniter reads otherwise"),
        pytest.param("0 0 * * 7-0", "0 0 * * 0", id="Sunday to Sunday, which croniter takes for all days"),
    ],
)
def test_crontabs_are_accepted(text: str, kept: str) -> None:
    assert check_crontab(text) == kept


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        pytest.param("0 0 * * sunday", "0 0 * * sun", id="a day in full"),
        pytest.param("0 0 * * Monday-FRIDAY", "0 0 * * Mon-FRI", id="days in full, in any case"),
        pytest.param("0 0 * january,sept *", "0 0 * jan,sep *", id="months, one cut short"),
        pytest.param("@daily", "0 0 * * *", id="daily"),
        pytest.param(" @Hourly ", "0 * * * *", id="hourly, with space around"),
        pytest.param("@weekly", "0 0 * * 0", id="weekly"),
        pytest.param("@monthly", "0 0 1 * *", id="monthly"),
        pytest.param("@yearly", "0 0 1 1 *", id="yearly"),
    ],
)
def test_names_stand_for_their_fields(text: str, kept: str) -> None:
    assert check_crontab(text) == kept
