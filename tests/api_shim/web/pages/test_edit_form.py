"""What of what was typed into the form is a change."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from api_shim.domain.recurrence import Interval
from api_shim.web.pages.edit_form import changed, shown, told
from api_shim.web.pages.run_form import fields_of
from tests.factories import make_job, make_scheduled, make_user

START = datetime(2026, 5, 4, 22, 30, tzinfo=UTC)
VARIABLES: tuple[dict[str, Any], ...] = (
    {"name": "who", "type": "StringVar", "required": False},
    {"name": "count", "type": "IntegerVar", "required": True},
    {"name": "flag", "type": "BooleanVar", "required": False},
    {"name": "colour", "type": "ChoiceVar", "required": True, "choices": [["r", "Red"], ["g", "Green"]]},
    {"name": "several", "type": "MultiChoiceVar", "required": False, "choices": [[1, "One"], [2, "Two"]]},
    {"name": "data", "type": "JSONVar", "required": False},
)
INPUTS = {"who": "", "count": 2, "flag": True, "colour": "g", "several": [2], "data": {"a": None}}
JOB = make_job(variables=VARIABLES)
FIELDS = fields_of(JOB)
STANDS = {
    "name": ["nightly"],
    "interval": ["daily"],
    "crontab": [""],
    "start_time": ["2026-05-05T00:30"],
    "time_zone": ["Europe/Berlin"],
    "misfire": ["last"],
    "queue": ["default"],
    "input.who": [""],
    "input.count": ["2"],
    "input.flag": ["on"],
    "input.colour": ["g"],
    "input.several": ["2"],
    "input.data": ['{\n  "a": null\n}'],
}


def make(**to: Any) -> Any:
    fields = {"name": "nightly", "interval": Interval.DAILY, "start_time": START, "time_zone": "Europe/Berlin", **to}
    return make_scheduled(JOB, make_user(), inputs=INPUTS, **fields)


def test_what_stands_in_the_form_at_first() -> None:
    assert shown(make(), FIELDS) == STANDS


def test_a_start_has_its_seconds_where_it_has_some_and_one_that_is_to_run_at_once_has_none() -> None:
    assert shown(make(start_time=START.replace(second=9)), FIELDS)["start_time"] == ["2026-05-05T00:30:09"]
    assert shown(make(interval=Interval.FUTURE, immediate=True), FIELDS)["start_time"] == [""]


@pytest.mark.parametrize(
    ("typed", "body"),
    [
        pytest.param({}, {}, id="nothing"),
        pytest.param({"name": ["weekly"]}, {"name": "weekly"}, id="the name"),
        pytest.param({"was": ["before"], "name": ["before"]}, {}, id="not a name that another has given meanwhile"),
        pytest.param({"was": ["before"], "name": ["weekly"]}, {"name": "weekly"}, id="the name, after another did"),
        pytest.param({"misfire": ["skip"]}, {"misfire": "skip"}, id="what becomes of missed runs"),
        pytest.param({"queue": ["bulk"]}, {"task_queue": "bulk"}, id="the queue"),
        pytest.param({"start_time": ["2026-06-01T10:00"]}, {"start_time": "2026-06-01T10:00"}, id="the start"),
        pytest.param({"interval": ["weekly"]}, {"interval": "weekly"}, id="the schedule type"),
        pytest.param({"crontab": ["0 1 * * *"]}, {}, id="not a crontab that its schedule type does not have"),
        pytest.param(
            {"interval": ["custom"], "crontab": ["0 1 * * *"]},
            {"interval": "custom", "crontab": "0 1 * * *"},
            id="to a crontab",
        ),
        pytest.param({"start_time": [""]}, {"start_time": ""}, id="no start"),
        pytest.param(
            {"time_zone": ["Asia/Tokyo"]},
            {"time_zone": "Asia/Tokyo", "start_time": "2026-05-05T00:30"},
            id="the zone, on whose clocks the start is meant then",
        ),
    ],
)
def test_what_was_typed_differently_is_a_change(typed: dict[str, list[str]], body: dict[str, Any]) -> None:
    assert changed({**STANDS, **typed}, make(), JOB, FIELDS) == body


def test_the_zone_of_a_crontab_does_not_move_its_start() -> None:
    row = make(interval=Interval.CUSTOM, crontab="0 2 * * *")
    typed = {**STANDS, "interval": ["custom"], "crontab": ["0 2 * * *"], "time_zone": ["Asia/Tokyo"]}
    assert changed(typed, row, JOB, FIELDS) == {"time_zone": "Asia/Tokyo"}


def test_inputs_are_sent_whole_when_one_of_them_differs() -> None:
    typed = {**STANDS, "input.count": ["seven"], "input.flag": []}
    assert changed(typed, make(), JOB, FIELDS) == {
        "data": {
            "who": "",
            "count": "seven",
            "flag": False,
            "colour": "g",
            "several": ["2"],
            "data": '{\n  "a": null\n}',
        }
    }


def test_what_the_form_did_not_have_is_no_change() -> None:
    assert changed({"csrf": ["x"], "name": ["nightly"]}, make(), JOB, ()) == {}


@pytest.mark.parametrize(
    ("variable", "value", "said"),
    [
        ("colour", "r", "Red"),
        ("several", [1, 2], "One, Two"),
        ("count", 2, 2),
        ("flag", False, False),
        ("data", [1], [1]),
    ],
)
def test_choices_are_told_by_what_they_are_called(variable: str, value: Any, said: Any) -> None:
    [field] = [field for field in FIELDS if field.variable == variable]
    assert told(field, value) == said
