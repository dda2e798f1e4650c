"""How times are told."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from api_shim.cli.times import local, moment, what_follows, when
from api_shim.schemas import ScheduledJob
from tests.api_shim import said
from tests.factories import NOW

ONCE = {"interval": "future", "one_off": True}
PAST = {"start_time": "2000-01-31T18:00:00Z"}


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        pytest.param(ONCE, "once at 2100-01-31 19:00 Europe/Berlin", id="once"),
        pytest.param({"interval": "hourly"}, "hourly from 2100-01-31 19:00 Europe/Berlin", id="hourly"),
        pytest.param({"interval": "weekly", "time_zone": "UTC"}, "weekly from 2100-01-31 18:00 UTC", id="weekly"),
        pytest.param({"interval": "custom", "crontab": "0 2 * * *"}, "0 2 * * * (Europe/Berlin)", id="a crontab"),
        pytest.param({"time_zone": "Mars/Base"}, "daily from 2100-01-31 18:00:00 UTC", id="a zone unknown here"),
    ],
)
def test_when_is_told_on_the_clocks_of_the_schedule(changes: dict[str, Any], text: str) -> None:
    assert when(row(changes)) == text


def row(changes: dict[str, Any]) -> ScheduledJob:
    return ScheduledJob.model_validate(said.scheduled(**changes))


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        pytest.param({}, "it runs on its schedule", id="again and again"),
        pytest.param(PAST, "it runs on its schedule", id="again and again, begun"),
        pytest.param(ONCE, "it runs at 2100-01-31 19:00 Europe/Berlin", id="once, later"),
        pytest.param(ONCE | PAST, "it runs now", id="once, its time has come"),
        pytest.param(ONCE | {"start_time": NOW.isoformat()}, "it runs now", id="once, this moment"),
        pytest.param({"enabled": False}, "it is disabled, so it does not run", id="disabled"),
        pytest.param(
            ONCE | PAST | {"enabled": False, "last_run_at": PAST["start_time"]}, "it has run already", id="done"
        ),
        pytest.param({"last_run_at": PAST["start_time"]}, "it runs on its schedule", id="fired before"),
    ],
)
def test_what_an_approval_leads_to_is_told(changes: dict[str, Any], text: str) -> None:
    assert what_follows(row(changes), NOW) == text


def test_a_moment_is_told_to_the_second_in_utc() -> None:
    time = datetime(2030, 1, 1, 2, 3, 4, 567, tzinfo=UTC)
    assert (moment(time), moment(None)) == ("2030-01-01 02:03:04 UTC", None)
    assert local(time, "../etc/passwd") == "2030-01-01 02:03:04 UTC"
