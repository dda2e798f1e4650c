"""How the pages write things."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from api_shim.web.pages.reader import in_utc, reading, told
from api_shim.web.pages.template_filters import (
    ago,
    at,
    columns,
    elsewhere,
    exact,
    moment,
    on_the_clock,
    weekday,
)

NOON = datetime(2026, 7, 1, 12, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        pytest.param(None, "–", id="nothing"),
        pytest.param("", "(empty)", id="an empty text"),
        pytest.param([], "(empty)", id="none of several"),
        pytest.param("  two  spaces ", "  two  spaces ", id="spaces stay"),
        pytest.param("one\ntwo\tthree", "one\ntwo\tthree", id="lines and tabs stay"),
        pytest.param("Zürich 北京 🚀", "Zürich 北京 🚀", id="all that can be seen stays"),
        pytest.param("a\u202eb", "a\\u202eb", id="what turns the line around"),
        pytest.param("a\u200bb\x1b[31m", "a\\u200bb\\u001b[31m", id="what hides"),
        pytest.param(True, "yes", id="true"),
        pytest.param(0, "0", id="a number"),
        pytest.param({"a": [1, None]}, '{"a": [1, null]}', id="a structure"),
        pytest.param({"a": "\u202e"}, '{"a": "\\u202e"}', id="what turns around in a structure"),
        pytest.param(["x" * 80], f'[\n  "{"x" * 80}"\n]', id="a long structure"),
    ],
)
def test_who_decides_is_shown_all_of_a_value(value: Any, shown: str) -> None:
    assert exact(value) == shown


@pytest.mark.parametrize(
    ("value", "found"),
    [
        pytest.param([{"a": 1, "b": None}, {"b": "x", "a": True}], ["a", "b"], id="rows, in whatever order"),
        pytest.param([{"a": 1}, {"b": 1}], [], id="rows with other columns"),
        pytest.param([{"a": 1}, "a"], [], id="not only rows"),
        pytest.param([{"a": [1]}], [], id="a cell that is a structure"),
        pytest.param([{str(number): 0 for number in range(9)}], [], id="too wide"),
        pytest.param([{"a": 1}] * 501, [], id="too long"),
        pytest.param([{}], [], id="empty rows"),
        pytest.param([], [], id="no rows"),
        pytest.param({"a": 1}, [], id="a mapping"),
        pytest.param("abc", [], id="a text"),
    ],
)
def test_what_is_a_table_has_columns(value: Any, found: list[str]) -> None:
    assert columns(value) == found


def test_a_moment_is_told_on_the_clocks_of_its_reader_and_in_utc() -> None:
    element = '<time datetime="2026-07-01T12:00:00+00:00" title="2026-07-01 12:00:00 UTC">'
    with reading("Europe/Berlin", NOON + timedelta(hours=3)):
        assert moment(NOON) == f"{element}2026-07-01 14:00 CEST</time>"
        assert moment(NOON, ago=True) == f'{element}2026-07-01 14:00 CEST</time> <span class="ago">3 hours ago</span>'
        assert on_the_clock(NOON) == f"{element}14:00:00</time>"
        assert moment(NOON.astimezone(ZoneInfo("Asia/Tokyo"))) == f"{element}2026-07-01 14:00 CEST</time>"
    assert moment(NOON, ago=True) == f"{element}2026-07-01 12:00 UTC</time>"
    assert moment(None, ago=True) == "–"


def test_a_moment_that_is_heard_is_told_in_words_on_the_clocks_of_its_reader() -> None:
    with reading("Europe/Berlin", NOON):
        assert at(NOON) == "1 July 2026, 14:00 CEST"
        assert at(NOON + timedelta(seconds=5)) == "1 July 2026, 14:00:05 CEST"


@pytest.mark.parametrize(
    ("zone", "said"),
    [
        pytest.param("Asia/Tokyo", "Wednesday 21:00 in Asia/Tokyo", id="another"),
        pytest.param("Etc/UTC", "Wednesday 12:00 in UTC", id="UTC by another name"),
        pytest.param("Europe/Paris", "", id="one whose clocks are the same"),
    ],
)
def test_a_time_elsewhere_is_told_where_the_clocks_differ(zone: str, said: str) -> None:
    with reading("Europe/Berlin", NOON):
        assert (weekday(NOON), elsewhere(NOON, zone)) == ("Wednesday", said)


@pytest.mark.parametrize(
    ("before", "said"),
    [
        pytest.param(timedelta(), "just now", id="this moment"),
        pytest.param(timedelta(seconds=59), "just now", id="less than a minute"),
        pytest.param(timedelta(seconds=60), "1 minute ago", id="one minute"),
        pytest.param(timedelta(minutes=59, seconds=59), "59 minutes ago", id="just below an hour"),
        pytest.param(timedelta(hours=23), "23 hours ago", id="hours"),
        pytest.param(timedelta(days=1, hours=23), "1 day ago", id="a day and more"),
        pytest.param(timedelta(days=400), "400 days ago", id="long ago"),
        pytest.param(timedelta(seconds=-1), "in less than a minute", id="soon"),
        pytest.param(timedelta(hours=-1), "in 1 hour", id="in an hour"),
        pytest.param(timedelta(days=-14), "in 14 days", id="in days"),
    ],
)
def test_a_distance_in_time_is_told_in_its_largest_unit(before: timedelta, said: str) -> None:
    then = NOON - before
    title = f"{told(then)} ({in_utc(then)})"
    assert ago(then, NOON) == f'<time class="ago" datetime="{then.isoformat()}" title="{title}">{said}</time>'


def test_never_is_no_distance() -> None:
    assert ago(None, NOON) == "–"
