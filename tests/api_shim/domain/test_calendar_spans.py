"""Days, weeks and months that follow each other, whatever the clocks do, and bands that leave out no firing."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from itertools import pairwise, takewhile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api_shim.domain import recurrence
from api_shim.domain.calendar_spans import PARTS, Span, bands, day_after, day_before, ends_of, first_day, read_day
from api_shim.domain.crontab import check_crontab
from api_shim.domain.recurrence import TICK, Interval, Recurrence, times_after
from tests.strategies import crontabs

HOUR, MINUTE = timedelta(hours=1), timedelta(minutes=1)
ZONES = (
    *("UTC", "Europe/Berlin", "America/Havana", "Asia/Beirut"),
    *("Australia/Lord_Howe", "Asia/Kathmandu", "Pacific/Apia"),
)
DAYS = st.dates(date(2012, 1, 1), date(2031, 1, 1))
CHANGES = st.sampled_from([date(2026, 3, 29), date(2026, 10, 25), date(2026, 11, 1), date(2026, 5, 4)])


@pytest.mark.parametrize(
    ("span", "day", "zone", "begin", "hours"),
    [
        pytest.param(Span.DAY, "2026-03-29", "Europe/Berlin", "2026-03-28T23:00", 23, id="a day in spring"),
        pytest.param(Span.DAY, "2026-10-25", "Europe/Berlin", "2026-10-24T22:00", 25, id="a day in autumn"),
        pytest.param(Span.DAY, "2026-03-29", "Asia/Beirut", "2026-03-28T22:00", 23, id="a day that has no midnight"),
        pytest.param(Span.DAY, "2026-11-01", "America/Havana", "2026-11-01T04:00", 25, id="a day with two midnights"),
        pytest.param(Span.DAY, "2026-04-05", "Australia/Lord_Howe", "2026-04-04T13:00", 24.5, id="half an hour more"),
        pytest.param(Span.DAY, "2026-05-04", "Asia/Kathmandu", "2026-05-03T18:15", 24, id="a zone with an odd offset"),
        pytest.param(Span.WEEK, "2026-03-29", "Europe/Berlin", "2026-03-22T23:00", 167, id="a week by its Sunday"),
        pytest.param(Span.WEEK, "2026-03-23", "Europe/Berlin", "2026-03-22T23:00", 167, id="a week by its Monday"),
        pytest.param(Span.MONTH, "2026-10-31", "Europe/Berlin", "2026-09-30T22:00", 745, id="a month in autumn"),
        pytest.param(Span.MONTH, "2028-02-29", "UTC", "2028-02-01T00:00", 29 * 24, id="February of a leap year"),
    ],
)
def test_a_span_has_the_hours_that_its_days_have(span: Span, day: str, zone: str, begin: str, hours: float) -> None:
    first, last = ends_of(span, date.fromisoformat(day), zone)
    assert first == datetime.fromisoformat(begin).replace(tzinfo=UTC)
    assert last - first == hours * HOUR


@given(span=st.sampled_from(Span), day=DAYS, zone=st.sampled_from(ZONES))
def test_spans_follow_each_other_without_gaps(span: Span, day: date, zone: str) -> None:
    begin, end = ends_of(span, day, zone)
    assert begin < end
    assert ends_of(span, day_after(span, day), zone)[0] == end
    assert ends_of(span, day_before(span, day), zone)[1] == begin
    assert first_day(span, day) <= day < day_after(span, day)
    assert day_before(span, day_after(span, day)) == first_day(span, day)


@pytest.mark.parametrize(
    ("text", "day"),
    [
        ("2026-05-04", date(2026, 5, 4)),
        ("", None),
        ("today", None),
        ("2026-02-30", None),
        ("0001-01-01", None),
        ("9999-12-31", None),
        ("<script>", None),
    ],
)
def test_a_day_is_read_from_an_address(text: str, day: date | None) -> None:
    assert read_day(text) == day


@given(crontab=crontabs(), zone=st.sampled_from(ZONES), day=CHANGES, span=st.sampled_from([Span.DAY, Span.WEEK]))
def test_bands_begin_and_end_with_firings_and_leave_none_out(
    crontab: tuple[str, object], zone: str, day: date, span: Span
) -> None:
    begin, end = ends_of(span, day, zone)
    touching = (end - begin) / PARTS
    text = check_crontab(crontab[0])
    r = Recurrence(interval=Interval.CUSTOM, start_time=begin - HOUR, time_zone=zone, crontab=text)
    expected: list[tuple[datetime, datetime]] = []
    for firing in takewhile(lambda time: time < end, times_after(r, begin - TICK)):
        if expected and firing - expected[-1][1] <= touching:
            expected[-1] = (expected[-1][0], firing)
        else:
            expected.append((firing, firing))
    assert [*bands(r, begin, end, touching)] == expected


def test_what_fires_every_minute_of_a_month_is_one_band_found_in_few_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    steps: list[datetime] = []
    found = recurrence._newest

    def counted(spec: recurrence.CronSpec, until: datetime) -> datetime | None:
        steps.append(until)
        return found(spec, until)

    monkeypatch.setattr(recurrence, "_newest", counted)
    begin, end = ends_of(Span.MONTH, date(2026, 5, 4), "Europe/Berlin")
    r = Recurrence(interval=Interval.CUSTOM, start_time=begin, time_zone="UTC", crontab="* * * * *")
    assert [*bands(r, begin, end, (end - begin) / PARTS)] == [(begin, end - MINUTE)]
    assert len(steps) <= 2 * PARTS


def test_bands_are_apart() -> None:
    begin, end = ends_of(Span.DAY, date(2026, 5, 4), "UTC")
    r = Recurrence(interval=Interval.CUSTOM, start_time=begin, time_zone="UTC", crontab="0,10,20 6-18/6 * * *")
    found = [*bands(r, begin, end, 30 * MINUTE)]
    assert [(first.hour, last - first) for first, last in found] == [(hour, 20 * MINUTE) for hour in (6, 12, 18)]
    assert all(later[0] - earlier[1] > 30 * MINUTE for earlier, later in pairwise(found))
