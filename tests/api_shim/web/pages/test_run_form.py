"""The fields of a Job's variables, what is read from them, and where each fault stands."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from typing import Any

import pytest
from pydantic import BaseModel
from starlette.datastructures import FormData

from api_shim.domain.model import Job
from api_shim.web.pages.run_form import (
    Field,
    faults_in,
    fields_of,
    filled_in,
    read_request,
    typed_at_first,
    typed_in,
)
from flows import (
    BooleanVar,
    ChoiceVar,
    DateVar,
    DryRunVar,
    IntegerVar,
    IPNetworkVar,
    JSONVar,
    MultiChoiceVar,
    StringVar,
    TextVar,
)
from flows.inputs import read_inputs
from flows.signatures import parameters_of
from flows.variables import Variable, build_model, describe
from tests.factories import make_job

CHOICES = (("r", "Red"), (2, "Two"))


class HostVar(StringVar):
    """A variable of a Job's own."""


class ColourVar(ChoiceVar):
    """Another."""


class ColoursVar(MultiChoiceVar):
    """Another."""


class SwitchVar(BooleanVar):
    """Another."""


class Feed(BaseModel):
    url: str
    delimiter: str = ","
    columns: list[str] = []
    rows: int = 1


class Limits(BaseModel):
    most: int = 1


IN_JSON = "JSON. Strings are in double quotes."


def of_type(kind: Any) -> Variable:
    """Return the variable that a parameter of this type has."""

    def function(parameter: Any) -> None: ...

    function.__annotations__["parameter"] = kind
    return parameters_of(function, {})["parameter"].variable


def job_with(**variables: Variable) -> Job:
    schema = build_model("Job", variables).model_json_schema()
    return make_job(
        variables=tuple(describe(variables)), parameter_schema=schema, supports_dryrun="dryrun" in variables
    )


def field_of(variable: Variable) -> Field:
    return fields_of(job_with(each=variable))[0]


@pytest.mark.parametrize(
    ("variable", "kind", "help_text", "initial"),
    [
        (StringVar(), "line", "", ()),
        (StringVar(default="a", max_length=5), "line", "At most 5 characters.", ("a",)),
        (StringVar(min_length=2), "line", "At least 2 characters.", ()),
        (StringVar(min_length=2, max_length=5, description="A name"), "line", "A name. From 2 to 5 characters.", ()),
        (TextVar(default="a\nb"), "lines", "", ("a\nb",)),
        (IntegerVar(), "number", "A whole number.", ()),
        (IntegerVar(default=0, min_value=0), "number", "A whole number, at least 0.", ("0",)),
        (IntegerVar(max_value=9), "number", "A whole number, at most 9.", ()),
        (IntegerVar(min_value=1, max_value=9, description="Now?"), "number", "Now? A whole number from 1 to 9.", ()),
        (BooleanVar(), "box", "", ()),
        (BooleanVar(default=True), "box", "", ("on",)),
        (ChoiceVar(CHOICES), "one", "", ()),
        (ChoiceVar(CHOICES, default=2), "one", "", ("2",)),
        (MultiChoiceVar(CHOICES, default=["r", 2]), "many", "", ("r", "2")),
        (BooleanVar(default="off"), "box", "", ()),
        (StringVar(widget="Textarea"), "lines", "", ()),
        (DateVar(default="2030-01-31"), "date", "", ("2030-01-31",)),
        (
            IPNetworkVar(min_prefix_length=8, max_prefix_length=24),
            "line",
            "A network, such as 192.0.2.0/24. Its prefix is at least /8 long. Its prefix is at most /24 long.",
            (),
        ),
        (JSONVar(), "json", "JSON. Strings are in double quotes.", ()),
        (JSONVar(default={"a": [1]}), "json", "JSON. Strings are in double quotes.", ('{\n  "a": [\n    1\n  ]\n}',)),
        (JSONVar(default="a"), "json", "JSON. Strings are in double quotes.", ('"a"',)),
        (HostVar(default="here"), "lines", "", ("here",)),
        (of_type(dict[str, int]), "json", "JSON. Strings are in double quotes.", ()),
        (of_type(Feed), "json", f"{IN_JSON} It has url, and may have delimiter, columns and rows.", ()),
        (of_type(Feed | None), "json", f"{IN_JSON} It has url, and may have delimiter, columns and rows.", ()),
        (of_type(Limits), "json", f"{IN_JSON} It may have most.", ()),
        (of_type(list[Feed]), "json", IN_JSON, ()),
        (of_type(date | None), "lines", "", ()),
        (ColourVar(CHOICES), "one", "", ()),
        (ColoursVar(CHOICES), "many", "", ()),
        (SwitchVar(), "box", "", ()),
        (Variable(default={"a": 1}), "lines", "", ('{"a": 1}',)),
    ],
    ids=lambda each: repr(each)[:60],
)  # fmt: skip
def test_a_variable_is_asked_for_by_its_type(
    variable: Variable, kind: str, help_text: str, initial: tuple[str, ...]
) -> None:
    field = field_of(variable)
    assert (field.kind, field.help, field.initial) == (kind, help_text, initial)


def test_a_choice_without_a_default_begins_with_none() -> None:
    assert field_of(ChoiceVar(CHOICES)).choices == (("", "Choose one"), ("r", "Red"), ("2", "Two"))
    assert field_of(ChoiceVar(CHOICES, required=False)).choices[0] == ("", "None")
    assert field_of(ChoiceVar(CHOICES, default="r")).choices == (("r", "Red"), ("2", "Two"))


def test_a_variable_is_called_by_its_label_or_readably_by_its_name() -> None:
    fields = fields_of(job_with(first_name=StringVar(), other=StringVar(label="Another one"), _=StringVar()))
    assert [field.label for field in fields] == ["First name", "Another one", "_"]


@pytest.mark.parametrize("default", [True, False])
def test_whether_a_dry_run_is_the_default_is_what_is_in_force(default: bool) -> None:
    job = make_job(
        variables=tuple(describe({"dryrun": DryRunVar(default=not default)})),
        supports_dryrun=True,
        dryrun_default=default,
    )
    assert fields_of(job)[0].initial == (("on",) if default else ())


# What was typed

EVERY = {
    "line": StringVar(required=False, default="d"),
    "lines": TextVar(required=False),
    "number": IntegerVar(required=False, default=7),
    "box": BooleanVar(default=True),
    "one": ChoiceVar(CHOICES, required=False),
    "many": MultiChoiceVar(CHOICES, required=False, default=["r"]),
    "json": JSONVar(required=False),
}


def inputs_of(sent: list[tuple[str, str]]) -> Mapping[str, Any]:
    job = job_with(**EVERY)
    request = read_request(job, fields_of(job), typed_in(FormData(sent)))
    return read_inputs(build_model("Job", EVERY), request.data)


def test_what_is_typed_is_read_by_the_variables() -> None:
    sent = [
        ("input.line", " a "),
        ("input.lines", "a\r\nb\r\n"),
        ("input.number", " 12 "),
        ("input.box", "on"),
        ("input.one", "2"),
        ("input.many", "r"),
        ("input.many", "2"),
        ("input.json", '{"a":\r\n[1]}'),
        ("input.strange", "is passed over"),
        ("csrf", "x"),
    ]
    assert inputs_of(sent) == {
        "line": "a",
        "lines": "a\nb",
        "number": 12,
        "box": True,
        "one": 2,
        "many": ["r", 2],
        "json": {"a": [1]},
    }


def test_what_is_left_empty_is_none_and_what_browsers_do_not_send_is_an_answer() -> None:
    sent = [(f"input.{name}", "") for name in ("line", "lines", "number", "one", "json")]
    assert inputs_of(sent) == {
        "line": "",
        "lines": "",
        "number": 7,
        "box": False,
        "one": None,
        "many": [],
        "json": None,
    }


def test_the_form_as_it_is_at_first_is_what_the_job_takes_without_any_answer() -> None:
    job = job_with(**EVERY)
    fields = fields_of(job)
    request = read_request(job, fields, typed_at_first(fields, "UTC"))
    assert request.schedule == {"interval": "immediately"}
    with_nothing = read_inputs(build_model("Job", EVERY), {})
    assert read_inputs(build_model("Job", EVERY), request.data) == with_nothing
    # A browser sends every field but boxes, also those that are empty.
    empty = [(field.name, "") for field in fields if field.kind not in {"box", "many"} and not field.initial]
    shown = [(field.name, value) for field in fields for value in field.initial]
    assert inputs_of(empty + shown) == with_nothing


def test_a_link_fills_in_what_it_names() -> None:
    fields = fields_of(job_with(**EVERY))
    asked = {"line": ["prefilled"], "box": ["off"], "many": ["r", "2"], "strange": ["x"]}
    assert filled_in(fields, asked) == {"input.line": ["prefilled"], "input.box": [], "input.many": ["r", "2"]}
    assert filled_in(fields, {"box": ["true"]}) == {"input.box": ["true"]}


@pytest.mark.parametrize(
    ("interval", "approval", "needed"),
    [
        ("immediately", False, {"interval"}),
        ("immediately", True, {"interval", "name"}),
        ("future", False, {"interval", "name", "start_time", "time_zone"}),
        ("hourly", False, {"interval", "name", "start_time", "time_zone"}),
        ("daily", False, {"interval", "name", "start_time", "time_zone"}),
        ("weekly", True, {"interval", "name", "start_time", "time_zone"}),
        ("custom", False, {"interval", "name", "start_time", "time_zone", "crontab"}),
        ("monthly", False, {"interval"}),
        ("", False, set()),
    ],
)
def test_only_what_the_type_of_schedule_needs_is_asked_for(interval: str, approval: bool, needed: set[str]) -> None:
    typed = {name: ["x"] for name in ("name", "start_time", "time_zone", "crontab")} | {"interval": [interval]}
    schedule = read_request(make_job(approval_required=approval), [], typed).schedule
    assert isinstance(schedule, dict)
    assert schedule.keys() == needed


def test_what_is_empty_is_not_asked_for_and_a_queue_is() -> None:
    typed = {"interval": ["custom"], "name": [" "], "crontab": [" * * * * * "], "queue": ["bulk"]}
    request = read_request(make_job(), [], typed)
    assert (request.schedule, request.task_queue) == ({"interval": "custom", "crontab": "* * * * *"}, "bulk")
    assert read_request(make_job(), [], {"queue": [""]}).task_queue is None


# What is wrong

PRESENT = {"name", "queue", "input-count"}


@pytest.mark.parametrize(
    ("detail", "faults"),
    [
        ({"schedule": {"name": ["No name."]}}, {"name": ["No name."]}),
        ({"schedule": {"crontab": ["No crontab."]}}, {"": ["crontab: No crontab."]}),
        ({"schedule": {"non_field_errors": ["No."]}}, {"": ["No."]}),
        ({"errors": {"count": ["Too few.", "Odd."]}}, {"input-count": ["Too few.", "Odd."]}),
        ({"errors": {"bogus": ["Not known."]}}, {"": ["bogus: Not known."]}),
        ({"errors": ["Job data needs to be a dict"]}, {"": ["Job data needs to be a dict"]}),
        ({"task_queue": ["Not there."]}, {"queue": ["Not there."]}),
        ({"task_queue": "Both."}, {"queue": ["Both."]}),
        (["A sentence."], {"": ["A sentence."]}),
        ("A sentence.", {"": ["A sentence."]}),
        ({"detail": "A sentence."}, {"": ["A sentence."]}),
    ],
)
def test_a_fault_stands_beside_its_field_if_there_is_one(detail: object, faults: Mapping[str, list[str]]) -> None:
    assert faults_in([detail], PRESENT) == faults


def test_every_fault_is_told() -> None:
    details = [{"schedule": {"name": ["No name."]}}, {"errors": {"count": ["Too few."]}}, "Not now."]
    assert faults_in(details, PRESENT) == {"name": ["No name."], "input-count": ["Too few."], "": ["Not now."]}
