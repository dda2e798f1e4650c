"""The rules of ``api_shim.domain.recurrence``, most of them against the generator of Prefect's own scheduler."""

import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import pairwise, takewhile
from zoneinfo import ZoneInfo

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from prefect.server.schemas.schedules import CronSchedule

from api_shim.domain.crontab import check_crontab
from api_shim.domain.recurrence import (
    CronSpec,
    Interval,
    Recurrence,
    active_from,
    check_start_time,
    check_time_zone,
    cron_spec,
    first_time,
    is_firing,
    newest_time,
    next_times,
    nominal_time,
    times_after,
    times_within,
)
from approval_gate.errors import Invalid
from tests.strategies import crontabs, fires, wall_matches

MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
SECOND = timedelta(seconds=1)
LONG_AGO = datetime(2018, 1, 1, tzinfo=UTC)


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(UTC)


def recurrence(interval: str, start: str | datetime, zone: str = "UTC", crontab: str = "") -> Recurrence:
    start_time = at(start) if isinstance(start, str) else start
    return Recurrence(interval=Interval(interval), start_time=start_time, time_zone=zone, crontab=crontab)


def custom(crontab: str, zone: str = "UTC", start: str | datetime = LONG_AGO) -> Recurrence:
    return recurrence("custom", start, zone, check_crontab(crontab))


def prefect_times(spec: CronSpec, start: datetime, n: int) -> list[datetime]:
    """Return what Prefect's scheduler generates from ``start`` on."""
    # Without validation, which reads the names of all zones from disk each time; one test has it.
    schedule = CronSchedule.model_construct(cron=spec.cron, timezone=spec.timezone, day_or=spec.day_or)
    made = asyncio.run(schedule.get_dates(n=n, start=start))
    return [datetime.fromtimestamp(moment.timestamp(), UTC) for moment in made]


# What Prefect is told


@pytest.mark.parametrize(
    ("r", "cron", "zone"),
    [
        pytest.param(
            recurrence("hourly", "2026-05-01T10:00+05:30", "Asia/Kolkata"), "30 * * * *", "UTC",
            id="hourly translates the minute of a half-hour zone",
        ),
        pytest.param(
            recurrence("daily", "2026-05-01T04:30Z", "Asia/Kolkata"), "0 10 * * *", "Asia/Kolkata",
            id="daily keeps the wall clock of the zone",
        ),
        pytest.param(
            recurrence("weekly", "2026-05-03T00:05+02:00", "Europe/Berlin"), "5 0 * * 0", "Europe/Berlin",
            id="weekly takes the day in the zone, Sunday, not Saturday as in UTC",
        ),
        pytest.param(
            recurrence("weekly", "2026-05-02T12:00Z"), "0 12 * * 6", "UTC", id="weekly on a Saturday is day 6"
        ),
        pytest.param(
            recurrence("daily", "2026-05-01T01:00:30Z"), "1 1 * * *", "UTC",
            id="seconds round the start up to the next minute",
        ),
        pytest.param(
            recurrence("weekly", "2026-05-02T23:59:00.000001Z"), "0 0 * * 0", "UTC",
            id="rounding up may reach the next day",
        ),
        pytest.param(
            custom("0 0 13 * fri", "Asia/Kolkata"), "0 0 13 * fri", "Asia/Kolkata", id="custom goes as it is"
        ),
    ],
)  # fmt: skip
def test_cron_spec(r: Recurrence, cron: str, zone: str) -> None:
    assert cron_spec(r) == CronSpec(cron=cron, timezone=zone, day_or=False)


def test_only_what_recurs_is_a_recurrence() -> None:
    assert [interval for interval in Interval if not interval.recurring] == ["immediately", "future"]
    with pytest.raises(ValueError, match="future does not recur"):
        recurrence("future", LONG_AGO)
    with pytest.raises(ValueError, match="without a zone"):
        recurrence("daily", datetime(2026, 1, 1))  # noqa: DTZ001 - the fault that is tested


# Clocks that change. Expected moments are written by hand, as the clocks on the wall show them.

CLOCK_CHANGES = [
    # New York skips 02:00-03:00 on 8 March and repeats 01:00-02:00 on 1 November.
    ("America/New_York", "hourly", "spring", "",
     "2026-03-08T00:30-05:00 2026-03-08T01:30-05:00 2026-03-08T03:30-04:00 2026-03-08T04:30-04:00"),
    ("America/New_York", "daily", "spring", "",
     "2026-03-07T02:30-05:00 2026-03-08T03:30-04:00 2026-03-09T02:30-04:00"),
    ("America/New_York", "weekly", "spring", "",
     "2026-03-01T02:30-05:00 2026-03-08T03:30-04:00 2026-03-15T02:30-04:00"),
    ("America/New_York", "custom", "spring", "*/30 1-3 * * *",
     "2026-03-08T01:00-05:00 2026-03-08T01:30-05:00 2026-03-08T03:00-04:00 2026-03-08T03:30-04:00"
     " 2026-03-09T01:00-04:00"),
    ("America/New_York", "hourly", "autumn", "",
     "2026-11-01T00:30-04:00 2026-11-01T01:30-04:00 2026-11-01T01:30-05:00 2026-11-01T02:30-05:00"),
    ("America/New_York", "daily", "autumn", "",
     "2026-10-31T01:30-04:00 2026-11-01T01:30-04:00 2026-11-02T01:30-05:00"),
    ("America/New_York", "weekly", "autumn", "",
     "2026-10-25T01:30-04:00 2026-11-01T01:30-04:00 2026-11-08T01:30-05:00"),
    ("America/New_York", "custom", "autumn", "*/30 * * * *",
     "2026-11-01T01:00-04:00 2026-11-01T01:30-04:00 2026-11-01T02:00-05:00 2026-11-01T02:30-05:00"),
    # Berlin skips 02:00-03:00 on 29 March and repeats 02:00-03:00 on 25 October.
    ("Europe/Berlin", "hourly", "spring", "",
     "2026-03-29T00:15+01:00 2026-03-29T01:15+01:00 2026-03-29T03:15+02:00 2026-03-29T04:15+02:00"),
    ("Europe/Berlin", "daily", "spring", "",
     "2026-03-28T02:00+01:00 2026-03-29T03:00+02:00 2026-03-30T02:00+02:00"),
    ("Europe/Berlin", "weekly", "spring", "",
     "2026-03-22T02:59+01:00 2026-03-29T03:59+02:00 2026-04-05T02:59+02:00"),
    ("Europe/Berlin", "custom", "spring", "15,45 2 * * sun",
     "2026-03-22T02:15+01:00 2026-03-22T02:45+01:00 2026-03-29T03:15+02:00 2026-03-29T03:45+02:00"
     " 2026-04-05T02:15+02:00"),
    ("Europe/Berlin", "hourly", "autumn", "",
     "2026-10-25T01:15+02:00 2026-10-25T02:15+02:00 2026-10-25T02:15+01:00 2026-10-25T03:15+01:00"),
    ("Europe/Berlin", "daily", "autumn", "",
     "2026-10-24T02:00+02:00 2026-10-25T02:00+02:00 2026-10-26T02:00+01:00"),
    ("Europe/Berlin", "weekly", "autumn", "",
     "2026-10-18T02:59+02:00 2026-10-25T02:59+02:00 2026-11-01T02:59+01:00"),
    ("Europe/Berlin", "custom", "autumn", "15,45 2 * * *",
     "2026-10-25T02:15+02:00 2026-10-25T02:45+02:00 2026-10-26T02:15+01:00"),
    # Auckland repeats 02:00-03:00 on 5 April and skips 02:00-03:00 on 27 September.
    ("Pacific/Auckland", "hourly", "spring", "",
     "2026-09-27T01:30+12:00 2026-09-27T03:30+13:00 2026-09-27T04:30+13:00"),
    ("Pacific/Auckland", "daily", "spring", "",
     "2026-09-26T02:30+12:00 2026-09-27T03:30+13:00 2026-09-28T02:30+13:00"),
    ("Pacific/Auckland", "weekly", "spring", "",
     "2026-09-20T02:30+12:00 2026-09-27T03:30+13:00 2026-10-04T02:30+13:00"),
    ("Pacific/Auckland", "custom", "spring", "0 0-4/2 * * *",
     "2026-09-27T00:00+12:00 2026-09-27T03:00+13:00 2026-09-27T04:00+13:00 2026-09-28T00:00+13:00"),
    ("Pacific/Auckland", "hourly", "autumn", "",
     "2026-04-05T01:30+13:00 2026-04-05T02:30+13:00 2026-04-05T02:30+12:00 2026-04-05T03:30+12:00"),
    ("Pacific/Auckland", "daily", "autumn", "",
     "2026-04-04T02:30+13:00 2026-04-05T02:30+13:00 2026-04-06T02:30+12:00"),
    ("Pacific/Auckland", "weekly", "autumn", "",
     "2026-03-29T02:30+13:00 2026-04-05T02:30+13:00 2026-04-12T02:30+12:00"),
    ("Pacific/Auckland", "custom", "autumn", "0 0-4/2 * * *",
     "2026-04-05T00:00+13:00 2026-04-05T02:00+13:00 2026-04-05T04:00+12:00 2026-04-06T00:00+12:00"),
    # Lord Howe repeats 01:30-02:00 on 5 April and skips 02:00-02:30 on 4 October.
    ("Australia/Lord_Howe", "hourly", "spring", "",
     "2026-10-04T00:45+10:30 2026-10-04T01:45+10:30 2026-10-04T03:15+11:00 2026-10-04T04:15+11:00"),
    ("Australia/Lord_Howe", "daily", "spring", "",
     "2026-10-03T02:15+10:30 2026-10-04T02:45+11:00 2026-10-05T02:15+11:00"),
    ("Australia/Lord_Howe", "weekly", "spring", "",
     "2026-09-27T02:15+10:30 2026-10-04T02:45+11:00 2026-10-11T02:15+11:00"),
    ("Australia/Lord_Howe", "custom", "spring", "15,35 2 * * *",
     "2026-10-03T02:15+10:30 2026-10-03T02:35+10:30 2026-10-04T02:35+11:00 2026-10-04T02:45+11:00"
     " 2026-10-05T02:15+11:00"),
    ("Australia/Lord_Howe", "hourly", "autumn", "",
     "2026-04-05T00:45+11:00 2026-04-05T01:45+11:00 2026-04-05T02:15+10:30 2026-04-05T03:15+10:30"),
    ("Australia/Lord_Howe", "daily", "autumn", "",
     "2026-04-04T01:45+11:00 2026-04-05T01:45+11:00 2026-04-06T01:45+10:30"),
    ("Australia/Lord_Howe", "weekly", "autumn", "",
     "2026-03-29T01:45+11:00 2026-04-05T01:45+11:00 2026-04-12T01:45+10:30"),
    ("Australia/Lord_Howe", "custom", "autumn", "*/15 1 * * *",
     "2026-04-05T01:00+11:00 2026-04-05T01:15+11:00 2026-04-05T01:30+11:00 2026-04-05T01:45+11:00"
     " 2026-04-06T01:00+10:30"),
    # Sao Paulo, when it still had summer time, skipped 00:00-01:00 on 4 November 2018 and repeated
    # 23:00-24:00 on 16 February 2019.
    ("America/Sao_Paulo", "hourly", "spring", "",
     "2018-11-03T22:30-03:00 2018-11-03T23:30-03:00 2018-11-04T01:30-02:00 2018-11-04T02:30-02:00"),
    ("America/Sao_Paulo", "daily", "spring", "",
     "2018-11-03T00:00-03:00 2018-11-04T01:00-02:00 2018-11-05T00:00-02:00"),
    ("America/Sao_Paulo", "weekly", "spring", "",
     "2018-10-28T00:30-03:00 2018-11-04T01:30-02:00 2018-11-11T00:30-02:00"),
    ("America/Sao_Paulo", "custom", "spring", "0,40 0 * * *",
     "2018-11-03T00:40-03:00 2018-11-04T01:00-02:00 2018-11-04T01:40-02:00 2018-11-05T00:00-02:00"),
    ("America/Sao_Paulo", "hourly", "autumn", "",
     "2019-02-16T22:30-02:00 2019-02-16T23:30-02:00 2019-02-16T23:30-03:00 2019-02-17T00:30-03:00"),
    ("America/Sao_Paulo", "daily", "autumn", "",
     "2019-02-15T23:30-02:00 2019-02-16T23:30-02:00 2019-02-17T23:30-03:00"),
    ("America/Sao_Paulo", "weekly", "autumn", "",
     "2019-02-09T23:30-02:00 2019-02-16T23:30-02:00 2019-02-23T23:30-03:00"),
    ("America/Sao_Paulo", "custom", "autumn", "0 0,23 * * *",
     "2019-02-16T23:00-02:00 2019-02-17T00:00-03:00 2019-02-17T23:00-03:00"),
    # Nuuk skips the last hour of 28 March and repeats the last hour of 24 October.
    ("America/Nuuk", "hourly", "spring", "",
     "2026-03-28T21:30-02:00 2026-03-28T22:30-02:00 2026-03-29T00:30-01:00 2026-03-29T01:30-01:00"),
    ("America/Nuuk", "daily", "spring", "",
     "2026-03-27T23:30-02:00 2026-03-29T00:30-01:00 2026-03-29T23:30-01:00"),
    ("America/Nuuk", "weekly", "spring", "",
     "2026-03-21T23:30-02:00 2026-03-29T00:30-01:00 2026-04-04T23:30-01:00"),
    ("America/Nuuk", "custom", "spring", "10,50 23,0 * * *",
     "2026-03-28T00:10-02:00 2026-03-28T00:50-02:00 2026-03-29T00:10-01:00 2026-03-29T00:50-01:00"
     " 2026-03-29T23:10-01:00"),
    ("America/Nuuk", "hourly", "autumn", "",
     "2026-10-24T22:30-01:00 2026-10-24T23:30-01:00 2026-10-24T23:30-02:00 2026-10-25T00:30-02:00"),
    ("America/Nuuk", "daily", "autumn", "",
     "2026-10-23T23:30-01:00 2026-10-24T23:30-01:00 2026-10-25T23:30-02:00"),
    ("America/Nuuk", "weekly", "autumn", "",
     "2026-10-17T23:30-01:00 2026-10-24T23:30-01:00 2026-10-31T23:30-02:00"),
    ("America/Nuuk", "custom", "autumn", "10,50 23,0 * * *",
     "2026-10-24T23:10-01:00 2026-10-24T23:50-01:00 2026-10-25T00:10-02:00 2026-10-25T00:50-02:00"),
    # Kolkata never changes.
    ("Asia/Kolkata", "hourly", "spring", "", "2026-03-29T01:15+05:30 2026-03-29T02:15+05:30"),
    ("Asia/Kolkata", "daily", "spring", "", "2026-03-29T02:30+05:30 2026-03-30T02:30+05:30"),
    ("Asia/Kolkata", "weekly", "spring", "", "2026-03-29T02:30+05:30 2026-04-05T02:30+05:30"),
    ("Asia/Kolkata", "custom", "spring", "30 2 29 3 *", "2026-03-29T02:30+05:30 2027-03-29T02:30+05:30"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("zone", "interval", "crontab", "expected"),
    [
        pytest.param(zone, interval, crontab, expected.split(), id=f"{interval} in {zone} in {season}")
        for zone, interval, season, crontab, expected in CLOCK_CHANGES
    ],
)
def test_clock_changes(zone: str, interval: str, crontab: str, expected: list[str]) -> None:
    moments = [at(text) for text in expected]
    r = recurrence(interval, expected[0], zone, crontab)
    assert next_times(r, LONG_AGO, len(moments)) == moments
    # Prefect may merge times that it moves back, and sorts only what it makes: ask for some more.
    made = [nominal_time(r, moment) for moment in prefect_times(cron_spec(r), moments[0], len(moments) + 4)]
    assert None not in made
    assert sorted(set(filter(None, made)))[: len(moments)] == moments


def test_prefect_accepts_what_it_is_given() -> None:
    for zone, interval, _, crontab, expected in CLOCK_CHANGES:
        spec = cron_spec(recurrence(interval, expected.split()[0], zone, crontab))
        assert CronSchedule(cron=spec.cron, timezone=spec.timezone, day_or=spec.day_or).cron == spec.cron


@pytest.mark.parametrize(
    ("moment", "firing"),
    [
        pytest.param("2026-03-08T03:30-04:00", "2026-03-08T03:30-04:00", id="moved on: the firing itself"),
        pytest.param("2026-03-08T01:30-05:00", "2026-03-08T03:30-04:00", id="moved back: it is later"),
        pytest.param("2026-03-09T01:30-04:00", None, id="moved back on a day without a change"),
        pytest.param("2026-03-08T03:30:00.000001-04:00", None, id="a microsecond late is no firing"),
        pytest.param("2026-02-27T02:30-05:00", None, id="before the start is no firing"),
    ],
)
def test_nominal_time_of_a_skipped_time(moment: str, firing: str | None) -> None:
    r = custom("30 2 * * *", "America/New_York", "2026-03-01T00:00Z")
    assert nominal_time(r, at(moment)) == (at(firing) if firing else None)
    assert is_firing(r, at(moment)) is (firing is not None)


@pytest.mark.parametrize(
    ("crontab", "moment", "firing"),
    [
        pytest.param(
            "30 1,2 * * *", "2026-03-08T01:30-05:00", "2026-03-08T01:30-05:00",
            id="a time that fires itself is not taken for one that was moved back",
        ),
        pytest.param(
            "30 2,3 * * *", "2026-03-08T01:30-05:00", "2026-03-08T03:30-04:00",
            id="moved back and not moved are one firing when both land on it",
        ),
        pytest.param("30 3 * * *", "2026-03-08T01:30-05:00", None, id="nothing was moved back"),
        pytest.param("30 1 * * *", "2026-11-01T01:30-05:00", None, id="the second time of two is no firing"),
    ],
)  # fmt: skip
def test_nominal_time_beside_other_firings(crontab: str, moment: str, firing: str | None) -> None:
    assert nominal_time(custom(crontab, "America/New_York"), at(moment)) == (at(firing) if firing else None)


def test_a_start_between_moved_back_and_firing_does_not_refuse_it() -> None:
    r = custom("30 1,2 * * *", "America/New_York", "2026-03-08T03:00-04:00")
    assert nominal_time(r, at("2026-03-08T01:30-05:00")) == at("2026-03-08T03:30-04:00")


@pytest.mark.parametrize(
    ("zone", "change", "crontab"),
    [
        pytest.param("America/New_York", "2026-03-08T07:00Z", "30 2 * * *", id="daily in the gap"),
        pytest.param("America/New_York", "2026-03-08T07:00Z", "*/20 * * * *", id="often across the gap"),
        pytest.param("America/New_York", "2026-11-01T06:00Z", "30 1 * * *", id="daily in the double hour"),
        pytest.param("America/New_York", "2026-11-01T06:00Z", "*/20 * * * *", id="often in the double hour"),
        pytest.param("Australia/Lord_Howe", "2026-10-03T15:30Z", "15,35 2 * * *", id="gap of half an hour"),
        pytest.param("Australia/Lord_Howe", "2026-04-04T15:00Z", "*/15 * * * *", id="double half-hour"),
        pytest.param("America/Nuuk", "2026-03-29T01:00Z", "10,50 23,0 * * *", id="gap to midnight"),
        pytest.param("America/Nuuk", "2026-10-25T01:00Z", "10,50 23,0 * * *", id="double hour to midnight"),
    ],
)
def test_a_scheduler_that_looks_often_makes_every_firing_and_nothing_else(zone: str, change: str, crontab: str) -> None:
    begin, end = at(change) - 30 * HOUR, at(change) + 30 * HOUR
    r = custom(crontab, zone)
    made: set[datetime] = set()
    look = begin
    while look <= end:
        runs = [nominal_time(r, moment) for moment in prefect_times(cron_spec(r), look, 4)]
        assert None not in runs, look
        made |= set(filter(None, runs))
        look += timedelta(minutes=17, seconds=0.3)
    assert {moment for moment in made if begin <= moment <= end} == set(between(r, begin, end))


def between(r: Recurrence, begin: datetime, end: datetime) -> Iterator[datetime]:
    """Yield the firings from ``begin`` to ``end``, both included."""
    moment = begin - SECOND
    while upcoming := next_times(r, moment, 50):
        for moment in upcoming:
            if moment > end:
                return
            yield moment


# By property

AMERICA = ("America/New_York", "America/Nuuk", "America/Santiago")
EUROPE_AND_AFRICA = ("UTC", "Europe/Berlin", "Europe/Dublin", "Africa/Casablanca")
ASIA_AND_SOUTH = ("Asia/Kolkata", "Australia/Lord_Howe", "Pacific/Auckland", "Antarctica/Troll")
ZONES = st.sampled_from((*AMERICA, *EUROPE_AND_AFRICA, *ASIA_AND_SOUTH))
MOMENTS = st.integers(int(at("2024-01-01T00:00Z").timestamp()), int(at("2031-01-01T00:00Z").timestamp())).map(
    lambda seconds: datetime.fromtimestamp(seconds, UTC)
)


@st.composite
def customs(draw: st.DrawFn) -> Recurrence:
    text, values = draw(crontabs())
    assume(fires(values))
    return custom(text, draw(ZONES), draw(MOMENTS))


RECURRENCES = customs() | st.builds(
    recurrence, st.sampled_from(["hourly", "daily", "weekly"]), MOMENTS, ZONES, st.just("")
)


CHANGES = [
    (zone, at(moment))
    for zone, moment in [
        ("America/New_York", "2026-03-08T07:00Z"),
        ("America/New_York", "2026-11-01T06:00Z"),
        ("America/Nuuk", "2026-03-29T01:00Z"),
        ("America/Nuuk", "2026-10-25T01:00Z"),
        ("Australia/Lord_Howe", "2026-10-03T15:30Z"),
        ("Australia/Lord_Howe", "2026-04-04T15:00Z"),
        ("Antarctica/Troll", "2026-03-29T01:00Z"),
        ("Antarctica/Troll", "2026-10-25T01:00Z"),
        ("Pacific/Apia", "2011-12-30T10:00Z"),  # it skipped a whole day
    ]
]


@st.composite
def zoned_moments(draw: st.DrawFn) -> tuple[str, datetime]:
    """Draw a zone and a moment, often beside a change of its clocks."""
    if draw(st.booleans()):
        return draw(ZONES), draw(MOMENTS)
    zone, change = draw(st.sampled_from(CHANGES))
    return zone, change + draw(st.integers(-30 * 3600, 30 * 3600)) * SECOND


@given(crontabs(), zoned_moments())
def test_firings_are_the_wall_times_whose_minutes_the_fields_say(
    drawn: tuple[str, list[frozenset[int]]], zoned: tuple[str, datetime]
) -> None:
    (text, values), (zone, moment) = drawn, zoned
    assume(fires(values))
    begin, end = moment - 6 * HOUR, moment + 6 * HOUR
    # Minute by minute; all clocks are between 12 hours behind UTC and 14 hours ahead of it.
    first = (begin - 13 * HOUR).replace(second=0, tzinfo=None)
    walls = (first + n * MINUTE for n in range((13 + 12 + 15) * 60))
    fired = {wall.replace(tzinfo=ZoneInfo(zone)).astimezone(UTC) for wall in walls if wall_matches(values, wall)}
    earlier = [each for each in sorted(fired) if begin <= each <= moment]
    later = [each for each in sorted(fired) if moment < each <= end]
    r = custom(text, zone, begin)
    assert newest_time(r, moment) == (earlier[-1] if earlier else None)
    assert list(takewhile(lambda each: each <= end, times_after(r, moment))) == later
    assert first_time(check_crontab(text), zone, moment) == next_times(r, moment, 1)[0]


def clocks_changed(zone: str, moment: datetime) -> bool:
    """Say whether the clocks went forward or back in the day before."""
    local = [(moment - n * timedelta(minutes=30)).astimezone(ZoneInfo(zone)) for n in range(49)]
    return len({each.utcoffset() for each in local}) > 1


def may_be_left_out(zone: str, moment: datetime) -> bool:
    """Say whether Prefect may lack a firing: a skipped time, merged with another, or the first days of March.

    From late in February it steps to "the 31st", which is 3 March, and then sees only what follows.
    """
    local = moment.astimezone(ZoneInfo(zone))
    return clocks_changed(zone, moment) or (local.month == 3 and local.day <= 2)


@given(RECURRENCES, MOMENTS)
def test_prefects_generator_makes_the_next_times(r: Recurrence, moment: datetime) -> None:
    spec, start = cron_spec(r), max(moment, r.start_time)
    # From amid a change it makes less or more, which the scheduler's other looks make good.
    assume(not clocks_changed(spec.timezone, start))
    made = [nominal_time(r, each) for each in prefect_times(spec, start, 12)]
    assert None not in made
    # It sorts what it makes, but stops by another order: the end may lack what was to come in between.
    known = sorted(set(filter(None, made)))[:-2]
    firings = list(between(r, start, known[-1]))
    assert set(known) <= set(firings)
    assert all(may_be_left_out(spec.timezone, each) for each in set(firings) - set(known))


@given(RECURRENCES, MOMENTS)
def test_newest_next_and_is_firing_agree(r: Recurrence, moment: datetime) -> None:
    newest, upcoming = newest_time(r, moment), next_times(r, moment, 4)
    assert upcoming[0] > moment
    assert upcoming[0] >= r.start_time
    assert all(earlier < later for earlier, later in pairwise(upcoming))
    assert all(is_firing(r, each) and newest_time(r, each) == each for each in upcoming)
    assert newest_time(r, upcoming[1] - SECOND) == upcoming[0]
    if newest is None:
        assert next_times(r, LONG_AGO, 1) == upcoming[:1]
    else:
        assert r.start_time <= newest <= moment
        assert is_firing(r, newest)
        assert next_times(r, newest, 1) == upcoming[:1]


@given(RECURRENCES)
def test_a_schedule_switched_on_in_time_makes_nothing_before_its_start(r: Recurrence) -> None:
    first = next_times(r, LONG_AGO, 1)[0]
    switch_on = active_from(r)
    assert switch_on <= first
    made = [nominal_time(r, each) for each in prefect_times(cron_spec(r), switch_on, 3)]
    assert None not in made
    if not may_be_left_out(cron_spec(r).timezone, first):
        assert made[0] == first


# The start


@pytest.mark.parametrize(
    ("r", "first", "switch_on"),
    [
        pytest.param(
            custom("* * * * *", start="2026-05-01T01:00:00Z"), "2026-05-01T01:00Z", "2026-05-01T00:59:01Z",
            id="every minute: after the minute before",
        ),
        pytest.param(
            recurrence("daily", "2026-05-01T01:00:30Z"), "2026-05-01T01:01Z", "2026-04-30T01:01:01Z",
            id="daily with seconds: the same day, a minute later",
        ),
        pytest.param(
            recurrence("weekly", "2026-05-01T01:00Z"), "2026-05-01T01:00Z", "2026-04-24T01:00:01Z",
            id="weekly: a week before",
        ),
        pytest.param(
            custom("0 0 29 2 1", start="2026-05-01T00:00Z"), "2044-02-29T00:00Z", "2016-02-29T00:00:01Z",
            id="a Monday that is 29 February: 28 years before",
        ),
        pytest.param(
            custom("0 0 13 * fri", start="2026-05-01T00:00Z"), "2026-11-13T00:00Z", "2026-03-13T00:00:01Z",
            id="Friday the 13th",
        ),
        pytest.param(
            recurrence("daily", "2026-11-01T01:30-05:00", "America/New_York"),
            "2026-11-02T01:30-05:00", "2026-11-01T01:30:01-05:00",
            id="from the second time of a double hour: when the clocks have shown it twice",
        ),
        pytest.param(
            custom("*/30 * * * *", "America/New_York", "2026-11-01T01:10-04:00"),
            "2026-11-01T01:30-04:00", "2026-11-01T01:00:01-04:00",
            id="in the first time of a double hour: in time for the first firing",
        ),
    ],
)  # fmt: skip
def test_start(r: Recurrence, first: str, switch_on: str) -> None:
    assert next_times(r, LONG_AGO, 1) == [at(first)]
    assert active_from(r) == at(switch_on)
    assert newest_time(r, at(first) - SECOND) is None
    assert newest_time(r, at(first)) == at(first)


def test_what_was_before_the_calendar_began_needs_no_waiting() -> None:
    r = custom("0 0 29 2 *", start="1872-01-01T00:00Z")
    assert active_from(r) == r.start_time


def test_a_first_time_is_strictly_later() -> None:
    assert first_time("*/5 * * * *", "UTC", at("2026-05-01T00:05Z")) == at("2026-05-01T00:10Z")
    assert first_time("0 9 * * *", "Europe/Berlin", at("2026-05-01T00:00Z")) == at("2026-05-01T09:00+02:00")


def test_what_prefect_leaves_out_is_due_all_the_same() -> None:
    r = custom("0 0 */5 * *", start="2026-02-20T00:00Z")
    march = at("2026-03-01T00:00Z")
    assert march in next_times(r, LONG_AGO, 3)
    assert newest_time(r, march + HOUR) == march
    assert set(prefect_times(cron_spec(r), r.start_time, 6)) <= set(next_times(r, LONG_AGO, 7))


@pytest.mark.parametrize("year", [1, 1969, 9001, 9999])
def test_start_times_out_of_reach_are_refused(year: int) -> None:
    with pytest.raises(Invalid, match="between the years 1970 and 9000"):
        check_start_time(datetime(year, 12, 31, 23, 59, tzinfo=ZoneInfo("America/New_York")))


@pytest.mark.parametrize("zone", ["Pacific/Kiritimati", "Pacific/Niue"])
@pytest.mark.parametrize("interval", ["hourly", "daily", "weekly", "custom"])
def test_the_last_start_times_fire(zone: str, interval: str) -> None:
    start = check_start_time(datetime(9000, 12, 31, 23, 59, 30, tzinfo=UTC))
    r = recurrence(interval, start, zone, "0 0 29 2 1")
    assert len(next_times(r, LONG_AGO, 2)) == 2
    assert active_from(r) < start


# Refusals


@pytest.mark.parametrize(
    ("crontab", "weekdays"),
    [
        pytest.param("0 0 * * 0", "Sun", id="0 is Sunday"),
        pytest.param("0 0 * * 7", "Sun", id="7 is Sunday"),
        pytest.param("0 0 * * 7-7", "Sun", id="from Sunday to Sunday is one day"),
        pytest.param("0 0 * * 7-0", "Sun", id="from Sunday to Sunday is one day, however it is written"),
        pytest.param("0 0 * * 7-2", "Sun Mon Tue", id="7 begins a range"),
        pytest.param("0 0 * * 5-7", "Sun Fri Sat", id="7 ends a range"),
        pytest.param("0 0 * * sat-sun", "Sun Sat", id="sun ends a range"),
        pytest.param("0 0 * * 0-7", "Sun Mon Tue Wed Thu Fri Sat", id="0 to 7 is every day"),
        pytest.param("0 0 * * 1-7/2", "Sun Mon Wed Fri", id="steps up to 7"),
        pytest.param("0 0 * * */3", "Sun Wed Sat", id="steps begin with Sunday"),
    ],
)
def test_days_of_the_week(crontab: str, weekdays: str) -> None:
    sunday = at("2026-05-03T00:00Z")
    r = custom(crontab)
    week = list(between(r, sunday, sunday + 6 * DAY))
    assert [moment.strftime("%a") for moment in week] == weekdays.split()
    assert prefect_times(cron_spec(r), sunday, len(week)) == week


@pytest.mark.parametrize(
    "name",
    [
        pytest.param("", id="empty"),
        pytest.param("Europe/Atlantis", id="unknown"),
        pytest.param("europe/berlin", id="in lower case"),
        pytest.param("America", id="a folder"),
        pytest.param("Europe/Berlin/", id="with a slash after it"),
        pytest.param("../UTC", id="a folder up"),
        pytest.param("/usr/share/zoneinfo/UTC", id="an absolute path"),
        pytest.param("UTC\0", id="a zero byte"),
        pytest.param("\ud800", id="half a character"),
        pytest.param("A" * 1_000_000, id="a megabyte"),
        pytest.param("UTC+2", id="an offset"),
        pytest.param("localtime", id="whatever the machine has"),
        pytest.param("Factory", id="the zone of an unset machine"),
        pytest.param("right/UTC", id="with leap seconds"),
    ],
)
def test_time_zones_are_refused(name: str) -> None:
    with pytest.raises(Invalid) as refused:
        check_time_zone(name)
    assert str(refused.value).startswith("There is no time zone ")
    assert len(str(refused.value).encode()) < 200


@pytest.mark.parametrize("name", ["UTC", "Europe/Berlin", "America/Argentina/Buenos_Aires", "Etc/GMT+5"])
def test_time_zones_are_accepted(name: str) -> None:
    assert check_time_zone(name) == name


# Those that have been


@pytest.mark.parametrize(
    ("since", "until", "most", "hours"),
    [
        pytest.param(0, 3, 9, [3, 2, 1, 0], id="both ends are included"),
        pytest.param(-5, 2.5, 9, [2, 1, 0], id="none before the start"),
        pytest.param(0.5, 2.9, 9, [2, 1], id="ends that are no firings"),
        pytest.param(0, 100, 3, [100, 99, 98], id="of many the newest"),
        pytest.param(3, 2, 9, [], id="no time at all"),
        pytest.param(-5, -1, 9, [], id="before the start"),
    ],
)
def test_the_firings_within_a_time(since: float, until: float, most: int, hours: list[int]) -> None:
    start = at("2026-05-04T12:00Z")
    found = times_within(recurrence("hourly", start), start + since * HOUR, start + until * HOUR, most)
    assert found == [start + hour * HOUR for hour in hours]
