"""The variables of a Job: what is accepted, what is refused in which words, and how they are described."""

from __future__ import annotations

import enum
import ipaddress
import re
from datetime import UTC, date, datetime, timedelta, timezone
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest

from approval_gate.errors import Invalid
from flows.files import UNNAMEABLE, GivenFile
from flows.inputs import DEEPEST, read_inputs
from flows.variables import (
    BadJob,
    BooleanVar,
    ChoiceVar,
    DateTimeVar,
    DateVar,
    DryRunVar,
    FileVar,
    IntegerVar,
    IPAddressVar,
    IPAddressWithMaskVar,
    IPNetworkVar,
    JSONVar,
    MultiChoiceVar,
    ScriptVariable,
    StringVar,
    TextVar,
    Variable,
    build_model,
    describe,
)

REQUIRED = "This field is required."
WHOLE = "Enter a whole number."
TRUE_OR_FALSE = "Enter true or false."
LEFT_OUT = object()


def no_choice(value: str) -> str:
    return f"Select a valid choice. {value} is not one of the available choices."


def nested(levels: int) -> list[Any]:
    value: list[Any] = []
    for _ in range(levels - 1):
        value = [value]
    return value


def read(variable: Variable, value: object) -> Any:
    data = {} if value is LEFT_OUT else {"it": value}
    return read_inputs(build_model("Example", {"it": variable}), data)["it"]


def refusal(variable: Variable, value: object) -> object:
    with pytest.raises(Invalid) as refused:
        read(variable, value)
    return refused.value.detail


class Colour(enum.Enum):
    RED = "r"
    GREEN = "g"


COLOURS = [("r", "Red"), ("g", "Green")]
SIZES = [1, 2]

ACCEPTED = [
    pytest.param(StringVar(), "x", "x", id="a text"),
    pytest.param(StringVar(), 100, "100", id="a number for a text"),
    pytest.param(StringVar(), 1.5, "1.5", id="a number with a fraction for a text"),
    pytest.param(StringVar(), "  x y\n", "x y", id="a text loses the white space around it"),
    pytest.param(StringVar(required=False), LEFT_OUT, "", id="an optional text left out"),
    pytest.param(StringVar(required=False, min_length=2), None, "", id="null for an optional text"),
    pytest.param(StringVar(required=False), "", "", id="an optional text left empty"),
    pytest.param(
        StringVar(required=False, min_length=2, regex="x"),
        "",
        "",
        id="an optional text left empty is not judged",
    ),
    pytest.param(StringVar(default="d"), LEFT_OUT, "d", id="a required text with a default, left out"),
    pytest.param(StringVar(required=False, default="d"), None, "d", id="null for an optional text is its default"),
    pytest.param(StringVar(regex="^b"), "bc", "bc", id="a text that the expression matches"),
    pytest.param(StringVar(regex="b"), "abc", "abc", id="an expression is searched, not matched"),
    pytest.param(StringVar(regex=re.compile("B", re.IGNORECASE)), "abc", "abc", id="an expression with flags"),
    pytest.param(StringVar(regex=r"(?<=a)b"), "ab", "ab", id="an expression that only Python understands"),
    pytest.param(StringVar(min_length=2, max_length=2), "äö", "äö", id="lengths are characters"),
    pytest.param(TextVar(), "a\nb", "a\nb", id="lines"),
    pytest.param(IntegerVar(), 5, 5, id="a whole number"),
    pytest.param(IntegerVar(), "5", 5, id="a number from a form"),
    pytest.param(IntegerVar(), " -5.0 ", -5, id="a number from a form with zeros and spaces"),
    pytest.param(IntegerVar(), 5.0, 5, id="a float that is whole"),
    pytest.param(IntegerVar(min_value=1, max_value=1), 1, 1, id="both bounds are allowed"),
    pytest.param(IntegerVar(), 2**63 - 1, 2**63 - 1, id="the largest number of 64 bits"),
    pytest.param(IntegerVar(required=False), "", None, id="an optional number left empty"),
    pytest.param(IntegerVar(required=False, default=3), "", 3, id="an optional number with a default, left empty"),
    pytest.param(IntegerVar(default=3), LEFT_OUT, 3, id="a number with a default, left out"),
    pytest.param(IntegerVar(default=0), LEFT_OUT, 0, id="zero is a default"),
    *[pytest.param(BooleanVar(), yes, True, id=f"{yes!r} is true") for yes in (True, 1, "true", "1", "Yes", "ON")],
    *[
        pytest.param(BooleanVar(default=True), no, False, id=f"{no!r} is false")
        for no in (False, 0, "false", "0", "No", "OFF", "", " ")
    ],
    pytest.param(BooleanVar(), LEFT_OUT, False, id="a box left out is not ticked"),
    pytest.param(BooleanVar(default=True), LEFT_OUT, True, id="a box with a default, left out"),
    pytest.param(BooleanVar(default=True), None, True, id="null for a box is its default"),
    pytest.param(DryRunVar(), LEFT_OUT, False, id="a dry run is asked for"),
    pytest.param(ChoiceVar(COLOURS), "g", "g", id="a choice"),
    pytest.param(ChoiceVar(["a", "b"]), "b", "b", id="a choice of plain values"),
    pytest.param(ChoiceVar(SIZES), "2", 2, id="a number chosen in a form"),
    pytest.param(ChoiceVar(["1", "2"]), 2, "2", id="a text chosen as a number"),
    pytest.param(ChoiceVar(COLOURS, required=False), "", None, id="an optional choice not made"),
    pytest.param(ChoiceVar(COLOURS, default="r"), LEFT_OUT, "r", id="a choice with a default, left out"),
    pytest.param(MultiChoiceVar(COLOURS), ["g", "r"], ["g", "r"], id="several choices"),
    pytest.param(MultiChoiceVar(COLOURS), "g", ["g"], id="one choice from a form"),
    pytest.param(MultiChoiceVar(SIZES), ["1", 2], [1, 2], id="several numbers from a form"),
    pytest.param(MultiChoiceVar(COLOURS, required=False), [], [], id="no choice at all, optional"),
    pytest.param(MultiChoiceVar(COLOURS, required=False), LEFT_OUT, [], id="optional choices left out"),
    pytest.param(MultiChoiceVar(COLOURS, default=("r",)), LEFT_OUT, ["r"], id="choices with a default, left out"),
    pytest.param(DateVar(), " 2030-01-31 ", "2030-01-31", id="a date"),
    pytest.param(DateVar(default=date(2030, 1, 31)), LEFT_OUT, "2030-01-31", id="a date as a default"),
    pytest.param(DateVar(required=False), "", None, id="an optional date left empty"),
    pytest.param(DateTimeVar(), "2030-01-31T14:30+01:00", "2030-01-31T13:30:00Z", id="a time with an offset"),
    pytest.param(DateTimeVar(), "2030-01-31 13:30:00Z", "2030-01-31T13:30:00Z", id="the same time in UTC"),
    pytest.param(DateTimeVar(), "2030-01-31T13:30:00.250", "2030-01-31T13:30:00.250000Z", id="a time without one"),
    pytest.param(
        DateTimeVar(default=datetime(2030, 1, 31, 14, tzinfo=timezone(timedelta(hours=1)))),
        LEFT_OUT,
        "2030-01-31T13:00:00Z",
        id="a time as a default",
    ),
    pytest.param(IPAddressVar(), "192.0.2.1", "192.0.2.1", id="an address"),
    pytest.param(IPAddressVar(), "2001:DB8:0::1", "2001:db8::1", id="an address in the canonical form"),
    pytest.param(IPAddressVar(default=ipaddress.ip_address("::1")), LEFT_OUT, "::1", id="an address as a default"),
    pytest.param(IPAddressWithMaskVar(), "192.0.2.1/255.255.255.0", "192.0.2.1/24", id="an address with its mask"),
    pytest.param(IPNetworkVar(), "2001:db8::/32", "2001:db8::/32", id="a network"),
    pytest.param(
        IPNetworkVar(min_prefix_length=24, max_prefix_length=24), "192.0.2.0/24", "192.0.2.0/24", id="both lengths"
    ),
    *[
        pytest.param(JSONVar(), value, value, id=f"JSON: {value!r}")
        for value in ({}, [], 0, False, 1.5, {"a": [None, "ü"]}, -(2**63))
    ],
    pytest.param(JSONVar(), '{"a": [1]}', {"a": [1]}, id="JSON as the text of a form"),
    pytest.param(JSONVar(), '"a"', "a", id="JSON that is a text"),
    pytest.param(JSONVar(required=False), "null", None, id="JSON null for an optional one"),
    pytest.param(JSONVar(required=False, default={"a": 1}), "", {"a": 1}, id="JSON left empty is its default"),
    pytest.param(JSONVar(default='"a"'), LEFT_OUT, "a", id="JSON that is a text as a default"),
    pytest.param(JSONVar(), nested(DEEPEST), nested(DEEPEST), id="JSON as deep as allowed"),
    pytest.param(JSONVar(), {"prefect_kind": 1}, {"prefect_kind": 1}, id="a key like the reserved one"),
    pytest.param(JSONVar(), ["__prefect_kind"], ["__prefect_kind"], id="the reserved key as a value"),
]


@pytest.mark.parametrize(("variable", "value", "expected"), ACCEPTED)
def test_accepts(variable: Variable, value: object, expected: object) -> None:
    accepted = read(variable, value)
    assert accepted == expected
    assert type(accepted) is type(expected)


REFUSED = [
    *[
        pytest.param(variable, value, REQUIRED, id=f"a required {type(variable).__name__}: {words}")
        for variable in (
            StringVar(),
            TextVar(),
            IntegerVar(),
            ChoiceVar(COLOURS),
            MultiChoiceVar(SIZES),
            JSONVar(),
            DateVar(),
            IPNetworkVar(),
        )
        for value, words in ((LEFT_OUT, "left out"), (None, "null"), ("", "empty"))
    ],
    pytest.param(StringVar(), " \n", REQUIRED, id="a required text of white space"),
    pytest.param(StringVar(default="d"), None, REQUIRED, id="null for a required text with a default"),
    pytest.param(StringVar(default="d"), "", REQUIRED, id="a required text with a default, left empty"),
    pytest.param(StringVar(default=""), LEFT_OUT, REQUIRED, id="an empty default is none"),
    pytest.param(MultiChoiceVar(SIZES), [], REQUIRED, id="no choice at all, required"),
    pytest.param(JSONVar(), "null", REQUIRED, id="JSON null for a required one"),
    *[
        pytest.param(StringVar(), value, "Enter text.", id=f"for a text: {value!r}")
        for value in (2**65, True, ["a"], {"a": 1})
    ],
    pytest.param(
        StringVar(max_length=5),
        "abcdef",
        "Ensure this value has at most 5 characters (it has 6).",
        id="too long",
    ),
    pytest.param(
        StringVar(max_length=1),
        "ab",
        "Ensure this value has at most 1 character (it has 2).",
        id="one too long",
    ),
    pytest.param(
        StringVar(min_length=2),
        "a",
        "Ensure this value has at least 2 characters (it has 1).",
        id="too short",
    ),
    pytest.param(
        StringVar(required=False, min_length=3),
        " ab ",
        "Ensure this value has at least 3 characters (it has 2).",
        id="an optional text too short without its white space",
    ),
    pytest.param(StringVar(regex="^b"), "ab", "Enter a valid value.", id="no match"),
    *[
        pytest.param(IntegerVar(), value, WHOLE, id=f"for a number: {value!r}")
        for value in (
            True,
            False,
            1.5,
            float("nan"),
            float("inf"),
            "a",
            "1.5",
            "1e3",
            "1e999",
            "1_000",
            "٣",
            "nan",
            "\ud800",
            [1],
            {},
        )
    ],
    pytest.param(IntegerVar(), "9" * 5000, WHOLE, id="more digits than Python reads"),
    pytest.param(
        IntegerVar(max_value=100),
        101,
        "Ensure this value is less than or equal to 100.",
        id="more than the most",
    ),
    pytest.param(IntegerVar(max_value=100), 10**5000, "Ensure this value is less than or equal to 100.", id="far more"),
    pytest.param(
        IntegerVar(min_value=1),
        "0",
        "Ensure this value is greater than or equal to 1.",
        id="less than the least",
    ),
    pytest.param(IntegerVar(min_value=0), -1, "Ensure this value is greater than or equal to 0.", id="a bound of zero"),
    *[
        pytest.param(BooleanVar(), value, TRUE_OR_FALSE, id=f"for a box: {value!r}")
        for value in (2, -1, 1.0, "maybe", "2", "y", "\ud800", [], {}, 2**70)
    ],
    pytest.param(ChoiceVar(COLOURS), "x", no_choice("x"), id="no choice of these"),
    pytest.param(ChoiceVar(COLOURS), "Red", no_choice("Red"), id="a label is no choice"),
    pytest.param(ChoiceVar(COLOURS), ["r"], no_choice("That value"), id="a list for one choice"),
    pytest.param(ChoiceVar(COLOURS), "x" * 100, no_choice("x" * 79 + "…"), id="a long one is cut in the message"),
    pytest.param(ChoiceVar(SIZES), True, no_choice("true"), id="true is not the choice 1"),
    pytest.param(ChoiceVar(SIZES), 10**5000, no_choice("That value"), id="a huge number for a choice"),
    pytest.param(MultiChoiceVar(COLOURS), {"r": 1}, "Enter a list of values.", id="an object for a list"),
    pytest.param(MultiChoiceVar(COLOURS), True, "Enter a list of values.", id="true for a list"),
    pytest.param(MultiChoiceVar(COLOURS), ["r", "x", "y"], no_choice("x"), id="one of several is none of these"),
    pytest.param(MultiChoiceVar(COLOURS), [nested(10_000)], no_choice("That value"), id="a deep choice"),
    *[
        pytest.param(DateVar(), value, "Enter a valid date, such as 2030-01-31.", id=f"for a date: {value!r}")
        for value in ("2030-02-30", "20300131", "31.1.2030", 5, ["2030-01-31"], "٢٠٣٠-01-31")
    ],
    *[
        pytest.param(
            DateTimeVar(),
            value,
            "Enter a valid date and time, such as 2030-01-31T14:30:00+01:00.",
            id=f"a time: {value}",
        )
        for value in ("now", "2030-01-31T25:00", "0001-01-01T00:00+01:00", "2030-01-31T10:00:00." + "0" * 100, 5, {})
    ],
    *[
        pytest.param(
            IPAddressVar(), value, "Enter a valid IPv4 or IPv6 address (without a mask).", id=f"an address: {value}"
        )
        for value in ("192.0.2.1/24", "1.2.3", "fe80::1%eth0", 5, True, "01.2.3.4")
    ],
    pytest.param(IPAddressWithMaskVar(), "192.0.2.1", "CIDR mask (e.g. /24) is required.", id="no mask"),
    pytest.param(
        IPAddressWithMaskVar(),
        "192.0.2.1/33",
        "Enter a valid IPv4 or IPv6 address (with CIDR mask).",
        id="no such mask",
    ),
    pytest.param(
        IPNetworkVar(),
        "192.0.2.1/24",
        "192.0.2.1/24 is not a valid prefix. Did you mean 192.0.2.0/24?",
        id="an address for a network",
    ),
    pytest.param(
        IPNetworkVar(min_prefix_length=25),
        "192.0.2.0/24",
        "The prefix length must be greater than or equal to 25.",
        id="a network too wide",
    ),
    pytest.param(
        IPNetworkVar(max_prefix_length=8),
        "192.0.2.0/24",
        "The prefix length must be less than or equal to 8.",
        id="a network too narrow",
    ),
]


@pytest.mark.parametrize(("variable", "value", "sentence"), REFUSED)
def test_refuses(variable: Variable, value: object, sentence: str) -> None:
    assert refusal(variable, value) == {"errors": {"it": [sentence]}}


@pytest.mark.parametrize(
    ("variable", "value", "argument"),
    [
        pytest.param(DateVar(), "2030-01-31", date(2030, 1, 31), id="a date"),
        pytest.param(DateTimeVar(), "2030-01-31T14:30+01:00", datetime(2030, 1, 31, 13, 30, tzinfo=UTC), id="a time"),
        pytest.param(IPAddressVar(), "192.0.2.1", ipaddress.ip_address("192.0.2.1"), id="an address"),
        pytest.param(
            IPAddressWithMaskVar(), "192.0.2.1/24", ipaddress.ip_interface("192.0.2.1/24"), id="an address with a mask"
        ),
        pytest.param(IPNetworkVar(), "192.0.2.0/24", ipaddress.ip_network("192.0.2.0/24"), id="a network"),
        pytest.param(DateVar(required=False), "", None, id="no date"),
        pytest.param(JSONVar(), '"2030-01-31"', "2030-01-31", id="anything else as it is stored"),
    ],
)
def test_run_gets_the_object_of_a_text(variable: Variable, value: object, argument: object) -> None:
    got = variable.argument(read(variable, value))
    assert got == argument
    assert type(got) is type(argument)


def test_a_time_without_an_offset_is_in_the_zone_of_who_reads_it() -> None:
    model = build_model("Example", {"at": DateTimeVar()})
    zone = ZoneInfo("Europe/Berlin")
    assert read_inputs(model, {"at": "2030-01-31 14:30"}, zone) == {"at": "2030-01-31T13:30:00Z"}
    assert read_inputs(model, {"at": "2030-01-31 14:30Z"}, zone) == {"at": "2030-01-31T14:30:00Z"}


@pytest.mark.parametrize(
    "value", [pytest.param("a", id="a text"), pytest.param({"a": 1}, id="an object"), pytest.param(None, id="null")]
)
def test_what_is_stored_is_read_again_as_it_is(value: object) -> None:
    variable = JSONVar(required=False)
    assert read(variable, variable.sent_again(value)) == value


@pytest.mark.parametrize(
    ("written", "the_same"),
    [
        pytest.param(
            StringVar(1, 5, "a", "Label"), StringVar(label="Label", min_length=1, max_length=5, regex="a"), id="text"
        ),
        pytest.param(IntegerVar(1, 5), IntegerVar(min_value=1, max_value=5), id="a number"),
        pytest.param(
            BooleanVar("Label", "Help.", True), BooleanVar(label="Label", description="Help.", default=True), id="box"
        ),
        pytest.param(DryRunVar("Label"), DryRunVar(label="Label"), id="a dry run, which has a description"),
        pytest.param(ChoiceVar(COLOURS, "Label"), ChoiceVar(choices=COLOURS, label="Label"), id="a choice"),
        pytest.param(IPNetworkVar(8, 24), IPNetworkVar(min_prefix_length=8, max_prefix_length=24), id="a network"),
        pytest.param(TextVar(widget="Textarea"), TextVar(), id="the widget that it has anyway"),
    ],
)
def test_options_may_be_given_by_position(written: Variable, the_same: Variable) -> None:
    assert written == the_same
    assert not written.problem


@pytest.mark.parametrize(
    "choices",
    [
        pytest.param(dict(COLOURS), id="a mapping"),
        pytest.param(lambda: COLOURS, id="a function"),
        pytest.param((each for each in COLOURS), id="a generator"),
        pytest.param([*map(list, COLOURS)], id="lists"),
    ],
)
def test_choices_may_have_any_documented_form(choices: object) -> None:
    assert ChoiceVar(choices).choices == [["r", "Red"], ["g", "Green"]]


def test_choices_may_be_an_enumeration_or_in_groups() -> None:
    assert MultiChoiceVar(Colour).choices == [["r", "RED"], ["g", "GREEN"]]
    grouped = ChoiceVar([("Warm", COLOURS[:1]), ("Cold", {"b": "Blue"}), "x"])
    assert grouped.choices == [["r", "Warm: Red"], ["b", "Cold: Blue"], ["x", "x"]]


def test_a_type_of_an_authors_own_cannot_have_what_would_have_no_effect() -> None:
    with pytest.raises(BadJob, match="form_field has no effect"):
        type("Own", (ScriptVariable,), {"form_field": object()})
    with pytest.raises(BadJob, match="max_length has no effect"):
        type("Own", (StringVar,), {"max_length": 5})


def test_a_default_is_not_shared_between_runs() -> None:
    model = build_model("Shared", {"a": JSONVar(default=[1]), "b": JSONVar(required=False, default=[1])})
    read_inputs(model, {"b": None})["b"].append(2)  # type: ignore[union-attr]  # it is a list
    read_inputs(model, {})["a"].append(2)  # type: ignore[union-attr]  # it is a list
    assert read_inputs(model, {"b": None}) == {"a": [1], "b": [1]}


@pytest.mark.parametrize("name", ["json", "copy", "schema", "model_config", "validate", "dict", "variable_1"])
def test_a_variable_may_be_called_like_something_of_pydantic(name: str) -> None:
    model = build_model("Names", {name: IntegerVar(), "other": IntegerVar(default=2)})
    assert read_inputs(model, {name: 1}) == {name: 1, "other": 2}
    assert list(model.model_json_schema()["properties"]) == [name, "other"]


def test_the_schema_has_titles_help_order_and_limits() -> None:
    variables = {
        "b": StringVar(label="The b", description="Help.", min_length=1, max_length=3),
        "a": IntegerVar(min_value=0, max_value=9, default=4),
        "c": ChoiceVar(["x"], required=False),
        "d": MultiChoiceVar(COLOURS),
        "e": BooleanVar(),
        "f": StringVar(required=False, min_length=2),
        "g": JSONVar(required=False),
        "h": DateTimeVar(),
        "i": IPNetworkVar(required=False, max_prefix_length=8),
    }
    assert build_model("Shown", variables).model_json_schema() == {
        "title": "Shown",
        "type": "object",
        "additionalProperties": False,
        "required": ["b", "d", "h"],
        "properties": {
            "b": {
                "title": "The b",
                "description": "Help.",
                "type": "string",
                "minLength": 1,
                "maxLength": 3,
                "position": 0,
            },
            "a": {"title": "a", "type": "integer", "minimum": 0, "maximum": 9, "default": 4, "position": 1},
            "c": {
                "title": "c",
                "anyOf": [{"enum": ["x"], "type": "string"}, {"type": "null"}],
                "default": None,
                "position": 2,
            },
            "d": {
                "title": "d",
                "type": "array",
                "items": {"enum": ["r", "g"], "type": "string"},
                "position": 3,
            },
            "e": {"title": "e", "type": "boolean", "default": False, "position": 4},
            "f": {"title": "f", "type": "string", "default": "", "position": 5},
            "g": {"title": "g", "default": None, "position": 6},
            "h": {"title": "h", "type": "string", "format": "date-time", "position": 7},
            "i": {"title": "i", "anyOf": [{"type": "string"}, {"type": "null"}], "default": None, "position": 8},
        },
    }


def test_describes_variables_as_the_api_shows_them() -> None:
    variables = {
        "a": IntegerVar(label="A", description="Help.", min_value=0, max_value=9, default=0),
        "b": StringVar(required=False, min_length=1, max_length=2),
        "c": ChoiceVar(["x", ("y", "Y")]),
        "d": BooleanVar(),
        "e": IPNetworkVar(min_prefix_length=8, default=ipaddress.ip_network("192.0.2.0/24")),
        "f": StringVar(widget="Textarea"),
        "g": BooleanVar(default="off"),
        "h": JSONVar(default="[1]"),
    }
    assert describe(variables) == [
        {
            "name": "a",
            "type": "IntegerVar",
            "label": "A",
            "help_text": "Help.",
            "required": True,
            "default": 0,
            "min_value": 0,
            "max_value": 9,
        },
        {"name": "b", "type": "StringVar", "required": False, "min_length": 1, "max_length": 2},
        {"name": "c", "type": "ChoiceVar", "required": True, "choices": [["x", "x"], ["y", "Y"]]},
        {"name": "d", "type": "BooleanVar", "required": False, "default": False},
        {"name": "e", "type": "IPNetworkVar", "required": True, "default": "192.0.2.0/24", "min_prefix_length": 8},
        {"name": "f", "type": "StringVar", "required": True, "widget": "Textarea"},
        {"name": "g", "type": "BooleanVar", "required": False, "default": False},
        {"name": "h", "type": "JSONVar", "required": True, "default": [1]},
    ]


@pytest.mark.parametrize(
    ("kind", "arguments", "message"),
    [
        pytest.param(ChoiceVar, {"choices": []}, "not be empty", id="no choices"),
        pytest.param(ChoiceVar, {"choices": "abc"}, "must be a list", id="a text for choices"),
        pytest.param(ChoiceVar, {"choices": [True]}, "is not a choice", id="a choice that is a box"),
        pytest.param(ChoiceVar, {"choices": [("a", "A", "x")]}, "is not a choice", id="a choice of three"),
        pytest.param(ChoiceVar, {}, "must not be empty", id="choices left out"),
        pytest.param(ChoiceVar, {"choices": [("", "None")]}, "an empty value is no choice", id="an empty choice"),
        pytest.param(ChoiceVar, {"choices": [("a", [("b", [("c", "C")])])]}, "is not a choice", id="groups in groups"),
        pytest.param(MultiChoiceVar, {"choices": [1, "1"]}, "same value twice", id="choices that look the same"),
        pytest.param(StringVar, {"regex": "("}, "not a regular expression", id="a broken expression"),
        pytest.param(StringVar, {"regex": 5}, "not a regular expression", id="a number as expression"),
        pytest.param(
            StringVar, {"min_lenght": 5}, "StringVar has no option min_lenght. Did you mean min_length?", id="a typo"
        ),
        pytest.param(StringVar, {"widget": "PasswordInput"}, "no widget PasswordInput for a StringVar", id="a widget"),
        pytest.param(DateVar, {"widget": enum.Enum}, "no widget Enum for a DateVar", id="a widget that is a class"),
        pytest.param(IntegerVar, {"min_value": "1"}, "min_value must be a whole number, not '1'", id="a bound as text"),
        pytest.param(IntegerVar, {"min_value": 2, "max_value": 1}, "min_value must not be greater", id="bounds"),
        pytest.param(StringVar, {"required": "no"}, "required must be True or False", id="a flag as text"),
        pytest.param(DateTimeVar, {"default": datetime(2030, 1, 31)}, "needs a time zone", id="a time without zone"),  # noqa: DTZ001 - it is refused
    ],
)
def test_what_cannot_work_is_kept_as_the_problem_of_a_variable(
    kind: type[Variable], arguments: dict[str, Any], message: str
) -> None:
    assert message in kind(**arguments).problem


def test_what_is_given_twice_or_too_often_cannot_work() -> None:
    assert "label is given twice" in BooleanVar("Label", label="Label").problem
    assert "BooleanVar has 5 options, not 6" in BooleanVar(*"abcdef").problem


# Files

SENT = GivenFile.sent(UUID(int=7), "a.txt", b"hello")
NO_FILE = "Send a file, as a part of multipart/form-data."


def test_a_file_is_what_was_sent_and_stands_for_itself_as_a_reference() -> None:
    assert read(FileVar(), SENT) == SENT.reference
    assert read(FileVar(required=False), LEFT_OUT) is None
    assert read(FileVar(required=False), "") is None


@pytest.mark.parametrize(
    ("value", "told"),
    [
        pytest.param(LEFT_OUT, REQUIRED, id="none"),
        pytest.param("", REQUIRED, id="none, as a form sends it"),
        pytest.param("hello", NO_FILE, id="text"),
        pytest.param(SENT.reference, NO_FILE, id="a reference that a client has written"),
        pytest.param([SENT, SENT], NO_FILE, id="two"),
        pytest.param(GivenFile.sent(UUID(int=7), "..", b""), UNNAMEABLE, id="a name that is none"),
    ],
)
def test_nothing_else_is_a_file(value: object, told: str) -> None:
    assert refusal(FileVar(), value) == {"errors": {"it": [told]}}


def test_a_file_is_of_no_other_variable() -> None:
    for variable in (StringVar(), JSONVar(), IntegerVar(), MultiChoiceVar(choices=("a",))):
        assert "hello" not in str(refusal(variable, SENT))


def test_a_file_has_no_default() -> None:
    assert "no default" in FileVar(default="a.txt").problem


def test_a_file_that_is_kept_is_read_again_as_it_is() -> None:
    assert read(FileVar(), FileVar().sent_again(SENT.reference)) == SENT.reference
    assert read(FileVar(required=False), FileVar(required=False).sent_again(None)) is None


@pytest.mark.parametrize("required", [True, False])
def test_the_schema_says_what_is_a_file(required: bool) -> None:
    model = build_model("Example", {"it": FileVar(required=required)})
    schema = model.model_json_schema()["properties"]["it"]
    assert [each.get("format") for each in (schema, *schema.get("anyOf", ()))].count("file") == 1
