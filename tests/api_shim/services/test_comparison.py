"""What counts as different between two requests."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from api_shim.domain.recurrence import Interval
from api_shim.services.review import Change, Difference, circumstances, differences
from tests.factories import make_job, make_scheduled


@pytest.mark.parametrize(
    ("before", "now", "change"),
    [
        pytest.param(1, 1, Change.SAME, id="equal"),
        pytest.param({"a": 1, "b": [2]}, {"b": [2], "a": 1}, Change.SAME, id="equal in another order"),
        pytest.param(1, 2, Change.CHANGED, id="another value"),
        pytest.param(1, True, Change.CHANGED, id="a number and a truth"),
        pytest.param(0, False, Change.CHANGED, id="nothing and no"),
        pytest.param("1", 1, Change.CHANGED, id="a text and a number"),
        pytest.param(None, "", Change.CHANGED, id="none and empty"),
        pytest.param([1, 2], [2, 1], Change.CHANGED, id="a list in another order"),
    ],
)
def test_equal_is_what_is_equal_as_json(before: Any, now: Any, change: Change) -> None:
    assert differences({"it": before}, {"it": now}) == [Difference(name="it", change=change, now=now, before=before)]


def test_what_has_come_and_what_has_gone_is_told_apart() -> None:
    found = differences({"gone": 1, "kept": None}, {"come": 2, "kept": None})
    assert [(each.name, each.change, each.now, each.before) for each in found] == [
        ("come", Change.NEW, 2, None),
        ("kept", Change.SAME, None, None),
        ("gone", Change.REMOVED, None, 1),
    ]


def test_without_an_earlier_one_nothing_is_different() -> None:
    assert [each.change for each in differences(None, {"a": 1, "b": None})] == [Change.SAME, Change.SAME]


def test_when_and_where_is_told_on_the_clocks_of_the_schedule() -> None:
    start = datetime(2026, 7, 1, 22, 30, tzinfo=UTC)
    job = make_job()
    row = make_scheduled(job, None, start_time=start, time_zone="Europe/Berlin", queue="bulk")
    expected = {"Interval": "hourly", "Start": "2026-07-02 00:30:00", "Time zone": "Europe/Berlin", "Queue": "bulk"}
    assert circumstances(row, job) == expected


def test_what_runs_as_soon_as_it_is_approved_has_no_time() -> None:
    job = make_job()
    told = circumstances(make_scheduled(job, None, interval=Interval.FUTURE, immediate=True), job)
    assert (told["Interval"], told["Start"]) == ("immediately", "as soon as it is approved")


def test_a_crontab_is_told_where_there_is_one() -> None:
    job = make_job()
    assert circumstances(make_scheduled(job, None, crontab="0 4 * * 1"), job)["Crontab"] == "0 4 * * 1"


def test_job_variables_are_told_where_there_are_some() -> None:
    job = make_job(job_variables={"image": "jobs:1", "env": {"A": "\u202e"}})
    told = circumstances(make_scheduled(job, None), job)
    assert told["Job variables"] == r'{"env": {"A": "\u202e"}, "image": "jobs:1"}'
