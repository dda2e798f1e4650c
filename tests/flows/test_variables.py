"""The variables of a Job: what is accepted, what is refused in which words, and how they are described."""

from __future__ import annotations

import json
import re
from typing import Any

import jsonschema
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from approval_gate.errors import Invalid, TooLarge
from flows.variables import (
    DEEPEST,
    LARGEST,
    BadJob,
    BooleanVar,
    ChoiceVar,
    DryRunVar,
    IntegerVar,
    JSONVar,
    MultiChoiceVar,
    StringVar,
    TextVar,
    Variable,
    build_model,
    describe,
    read_inputs,
)

REQUIRED = "This field is required."
WHOLE = "Enter a whole number."
TRUE_OR_FALSE = "Enter true or false."
NOT_JSON = "Enter a valid JSON."
NOT_UTF8 = "Characters that cannot be written as UTF-8 are not allowed."
NULL = "Null characters are not allowed."
TOO_BIG = "Ensure every number in this value fits in 64 bits."
TOO_DEEP = "Ensure this value is nested no deeper than 100 levels."
TEMPLATE = "The key __prefect_kind is not allowed."
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


COLOURS = [("r", "Red"), ("g", "Green")]
SIZES = [1, 2]

ACCEPTED = [
    pytest.param(StringVar(), "x", "x", id="a text"),
    pytest.param(StringVar(), "  x y\n", "x y", id="a text loses the white space around it"),
    pytest.param(StringVar(required=False), LEFT_OUT, None, id="an optional text left out"),
    pytest.param(StringVar(required=False), "", "", id="an optional text left empty"),
    pytest.param(
        StringVar(required=False, min_length=2, regex="x"),
        "",
        "",
        id="an optional text left empty is not judged",
    ),
    pytest.param(StringVar(default="d"), LEFT_OUT, "d", id="a required text with a default, left out"),
    pytest.param(
        StringVar(required=False, default="d"), None, "d", id="null for an optional text is its default"
    ),
    pytest.param(StringVar(regex="^b"), "bc", "bc", id="a text that the expression matches"),
    pytest.param(StringVar(regex="b"), "abc", "abc", id="an expression is searched, not matched"),
    pytest.param(
        StringVar(regex=re.compile("B", re.IGNORECASE)), "abc", "abc", id="an expression with flags"
    ),
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
    pytest.param(
        IntegerVar(required=False, default=3), "", 3, id="an optional number with a default, left empty"
    ),
    pytest.param(IntegerVar(default=3), LEFT_OUT, 3, id="a number with a default, left out"),
    pytest.param(IntegerVar(default=0), LEFT_OUT, 0, id="zero is a default"),
    *[
        pytest.param(BooleanVar(), yes, True, id=f"{yes!r} is true")
        for yes in (True, 1, "true", "1", "Yes", "ON")
    ],
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
    pytest.param(MultiChoiceVar(COLOURS, required=False), LEFT_OUT, None, id="optional choices left out"),
    pytest.param(
        MultiChoiceVar(COLOURS, default=("r",)), LEFT_OUT, ["r"], id="choices with a default, left out"
    ),
    *[
        pytest.param(JSONVar(), value, value, id=f"JSON: {value!r}")
        for value in ({}, [], 0, False, 1.5, {"a": [None, "ü"]}, -(2**63))
    ],
    pytest.param(JSONVar(), '{"a": [1]}', {"a": [1]}, id="JSON as the text of a form"),
    pytest.param(JSONVar(), '"a"', "a", id="JSON that is a text"),
    pytest.param(JSONVar(required=False), "null", None, id="JSON null for an optional one"),
    pytest.param(
        JSONVar(required=False, default={"a": 1}), "", {"a": 1}, id="JSON left empty is its default"
    ),
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
        for value in (1, 1.5, True, ["a"], {"a": 1})
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
    pytest.param(StringVar(), "a\0b", NULL, id="a null character"),
    pytest.param(TextVar(), "a\0b", NULL, id="a null character in lines"),
    pytest.param(StringVar(), "\ud800", NOT_UTF8, id="a lone surrogate"),
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
    pytest.param(IntegerVar(), 10**5000, TOO_BIG, id="a number that Python cannot print"),
    pytest.param(IntegerVar(), -(2**63) - 1, TOO_BIG, id="a number of more than 64 bits"),
    pytest.param(IntegerVar(), 1e300, TOO_BIG, id="a huge float"),
    pytest.param(
        IntegerVar(max_value=100),
        101,
        "Ensure this value is less than or equal to 100.",
        id="more than the most",
    ),
    pytest.param(
        IntegerVar(max_value=100), 10**5000, "Ensure this value is less than or equal to 100.", id="far more"
    ),
    pytest.param(
        IntegerVar(min_value=1),
        "0",
        "Ensure this value is greater than or equal to 1.",
        id="less than the least",
    ),
    pytest.param(
        IntegerVar(min_value=0), -1, "Ensure this value is greater than or equal to 0.", id="a bound of zero"
    ),
    *[
        pytest.param(BooleanVar(), value, TRUE_OR_FALSE, id=f"for a box: {value!r}")
        for value in (2, -1, 1.0, "maybe", "2", "y", "\ud800", [], {}, 2**70)
    ],
    pytest.param(ChoiceVar(COLOURS), "x", no_choice("x"), id="no choice of these"),
    pytest.param(ChoiceVar(COLOURS), "Red", no_choice("Red"), id="a label is no choice"),
    pytest.param(ChoiceVar(COLOURS), ["r"], no_choice("That value"), id="a list for one choice"),
    pytest.param(
        ChoiceVar(COLOURS), "x" * 100, no_choice("x" * 79 + "…"), id="a long one is cut in the message"
    ),
    pytest.param(ChoiceVar(COLOURS), "\ud800", NOT_UTF8, id="a lone surrogate for a choice"),
    pytest.param(ChoiceVar(SIZES), True, no_choice("true"), id="true is not the choice 1"),
    pytest.param(ChoiceVar(SIZES), 10**5000, no_choice("That value"), id="a huge number for a choice"),
    pytest.param(MultiChoiceVar(COLOURS), {"r": 1}, "Enter a list of values.", id="an object for a list"),
    pytest.param(MultiChoiceVar(COLOURS), True, "Enter a list of values.", id="true for a list"),
    pytest.param(
        MultiChoiceVar(COLOURS), ["r", "x", "y"], no_choice("x"), id="one of several is none of these"
    ),
    pytest.param(MultiChoiceVar(COLOURS), [nested(10_000)], no_choice("That value"), id="a deep choice"),
    *[
        pytest.param(JSONVar(), value, NOT_JSON, id=f"no JSON: {value!r}")
        for value in (
            "{",
            "a",
            "NaN",
            "[Infinity]",
            [float("nan")],
            {"a": float("inf")},
            {1: 2},
            [(1,)],
            [b"x"],
        )
    ],
    pytest.param(JSONVar(), "1" * 5000, NOT_JSON, id="JSON with more digits than Python reads"),
    pytest.param(JSONVar(), [10**5000], TOO_BIG, id="JSON with a huge number"),
    pytest.param(JSONVar(), "[1e999]", NOT_JSON, id="JSON with a float beyond all"),
    pytest.param(JSONVar(), {"a": "\0"}, NULL, id="a null character within JSON"),
    pytest.param(JSONVar(), {"\0": 1}, NULL, id="a null character in a key"),
    pytest.param(JSONVar(), r'["\ud800"]', NOT_UTF8, id="a lone surrogate within JSON"),
    pytest.param(JSONVar(), {"\ud800": 1}, NOT_UTF8, id="a lone surrogate in a key"),
    pytest.param(JSONVar(), {"__prefect_kind": "jinja"}, TEMPLATE, id="a template"),
    pytest.param(JSONVar(), [{"a": [{"__prefect_kind": 0}]}], TEMPLATE, id="a template further down"),
    pytest.param(JSONVar(), '{"__prefect_kind": "json"}', TEMPLATE, id="a template in the text of a form"),
    pytest.param(JSONVar(), nested(DEEPEST + 1), TOO_DEEP, id="JSON one level too deep"),
    pytest.param(JSONVar(), nested(10_000), TOO_DEEP, id="JSON that is far too deep"),
    pytest.param(JSONVar(), "[" * 100_000, TOO_DEEP, id="JSON text that is far too deep"),
]


@pytest.mark.parametrize(("variable", "value", "sentence"), REFUSED)
def test_refuses(variable: Variable, value: object, sentence: str) -> None:
    assert refusal(variable, value) == {"errors": {"it": [sentence]}}


MODEL = build_model(
    "Everything",
    {
        "string": StringVar(min_length=2, max_length=5, regex="a"),
        "text": TextVar(required=False, min_length=2),
        "integer": IntegerVar(min_value=1, max_value=100),
        "boolean": BooleanVar(),
        "choice": ChoiceVar(COLOURS),
        "size": ChoiceVar([5], default=5),
        "several": MultiChoiceVar(SIZES, required=False),
        "json": JSONVar(required=False),
        "dryrun": DryRunVar(),
    },
)
VALID = {"string": "abc", "integer": 1, "choice": "r"}


@pytest.mark.parametrize(
    ("data", "errors"),
    [
        *[
            pytest.param(data, ["Job data needs to be a dict"], id=f"not an object: {words}")
            for data, words in (
                ([], "a list"),
                (None, "null"),
                ("{}", "a text"),
                (nested(10_000), "a deep list"),
            )
        ],
        pytest.param(
            {"integer": "x"},
            {"string": [REQUIRED], "integer": [WHOLE], "choice": [REQUIRED]},
            id="every wrong variable is told",
        ),
        pytest.param(
            {"bogus": 1},
            {"bogus": ["Job data contained an unknown property"]},
            id="what is unknown is told first",
        ),
        pytest.param(
            VALID | {"__prefect_kind": 1, "b\0": 2},
            {key: ["Job data contained an unknown property"] for key in ("__prefect_kind", "b\0")},
            id="unknown variables with strange names",
        ),
        pytest.param(VALID | {"\ud800": 1}, [NOT_UTF8], id="a name that cannot be written"),
        pytest.param(
            VALID | {7: 1}, {"7": ["Job data contained an unknown property"]}, id="a name that is no text"
        ),
    ],
)
def test_tells_faults_in_the_structure_of_the_contract(data: object, errors: object) -> None:
    with pytest.raises(Invalid) as refused:
        read_inputs(MODEL, data)
    assert refused.value.detail == {"errors": errors}
    assert refused.value.__cause__ is None


def test_inputs_as_large_as_allowed_are_taken_and_one_byte_more_is_not() -> None:
    model = build_model("Large", {"a": TextVar(), "b": JSONVar()})
    fits = {"a": "x" * (LARGEST - len('{"a":"","b":"é"}'.encode())), "b": '"é"'}
    size = len(json.dumps(read_inputs(model, fits), separators=(",", ":"), ensure_ascii=False).encode())
    assert size == LARGEST
    with pytest.raises(TooLarge) as refused:
        read_inputs(model, fits | {"a": fits["a"] + "x"})
    assert refused.value.detail == {
        "errors": [f"Job data is too large: {LARGEST + 1} bytes; {LARGEST} bytes are the most."]
    }


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
    }
    assert build_model("Shown", variables).model_json_schema() == {
        "title": "Shown",
        "type": "object",
        "additionalProperties": False,
        "required": ["b", "d"],
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
            "f": {
                "title": "f",
                "anyOf": [{"type": "string"}, {"type": "null"}],
                "default": None,
                "position": 5,
            },
            "g": {"title": "g", "default": None, "position": 6},
        },
    }


def test_describes_variables_as_the_api_shows_them() -> None:
    variables = {
        "a": IntegerVar(label="A", description="Help.", min_value=0, max_value=9, default=0),
        "b": StringVar(required=False, min_length=1, max_length=2),
        "c": ChoiceVar(["x", ("y", "Y")]),
        "d": BooleanVar(),
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
    ]


@pytest.mark.parametrize(
    ("kind", "arguments", "message"),
    [
        pytest.param(ChoiceVar, {"choices": []}, "not be empty", id="no choices"),
        pytest.param(ChoiceVar, {"choices": "abc"}, "must be a list", id="a text for choices"),
        pytest.param(ChoiceVar, {"choices": [True]}, "is no choice", id="a choice that is a box"),
        pytest.param(ChoiceVar, {"choices": [("a", "A", "x")]}, "is no choice", id="a choice of three"),
        pytest.param(
            ChoiceVar,
            {"choices": [("Group", [("a", "A")])]},
            "is no choice",
            id="choices in groups are not known",
        ),
        pytest.param(
            MultiChoiceVar, {"choices": [1, "1"]}, "same value twice", id="choices that look the same"
        ),
        pytest.param(StringVar, {"regex": "("}, "not a regular expression", id="a broken expression"),
        pytest.param(StringVar, {"regex": 5}, "not a regular expression", id="a number as expression"),
    ],
)
def test_refuses_variables_that_cannot_work(
    kind: type[Variable], arguments: dict[str, Any], message: str
) -> None:
    with pytest.raises(BadJob, match=message):
        kind(**arguments)


ANY_TEXT = st.text(
    st.characters(exclude_categories=()), max_size=8
)  # lone surrogates and null characters too
ANY_NUMBER = st.integers() | st.floats() | st.just(10**400)
ANYTHING = st.recursive(
    st.none()
    | st.booleans()
    | ANY_NUMBER
    | ANY_TEXT
    | st.sampled_from(["5", "on", "r", "[1]", '{"a":', "abc"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(ANY_TEXT, inner, max_size=3),
    max_leaves=8,
)
NAMES = st.sampled_from([*MODEL.model_json_schema()["properties"], "bogus"])


@settings(deadline=None)  # the machine may be busy
@given(ANYTHING | st.dictionaries(NAMES | ANY_TEXT, ANYTHING, max_size=6))
@example({"json": "[" * 3000})
@example({"size": 10**400})
def test_anything_at_all_is_accepted_or_refused_in_sentences_that_can_be_sent(data: object) -> None:
    try:
        accepted = read_inputs(MODEL, data)
    except Invalid as refused:
        json.dumps(refused.detail, ensure_ascii=False).encode()
    else:
        check_accepted(accepted)


LIKELY = st.fixed_dictionaries(
    {"string": st.text("ab ", max_size=6), "integer": st.integers(-1, 101), "choice": st.sampled_from("rgx")},
    optional={
        "text": st.none() | st.text("a ", max_size=3),
        "boolean": st.none() | st.booleans() | st.sampled_from(["on", "off", ""]),
        "size": st.sampled_from([5, "5"]),
        "several": st.none() | st.lists(st.sampled_from([1, "2"]), max_size=2) | st.just("1"),
        "json": st.recursive(
            st.none() | st.booleans() | st.integers(-99, 99),
            lambda x: st.lists(x) | st.dictionaries(ANY_TEXT, x),
        ),
    },
)


@settings(deadline=None)  # the machine may be busy
@given(LIKELY)
@example({"string": "ab", "integer": 1, "choice": "r"})
def test_likely_data_is_accepted_or_refused_the_same_way(data: dict[str, object]) -> None:
    try:
        accepted = read_inputs(MODEL, data)
    except Invalid as refused:
        json.dumps(refused.detail, ensure_ascii=False).encode()
    else:
        check_accepted(accepted)


def check_accepted(accepted: dict[str, Any]) -> None:
    """What was accepted is complete, survives JSON, fits the schema, and is accepted again as it is."""
    schema = MODEL.model_json_schema()
    assert list(accepted) == list(schema["properties"])
    assert json.loads(json.dumps(accepted, ensure_ascii=False, allow_nan=False).encode()) == accepted
    jsonschema.validate(accepted, schema)
    if not isinstance(accepted["json"], str):  # a text is read as JSON each time
        assert read_inputs(MODEL, accepted) == accepted


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(VALID, id="what is required"),
        pytest.param(
            VALID | {"text": "ab", "boolean": True, "several": [1], "json": {"a": 1}}, id="all of it"
        ),
        pytest.param(VALID | {"integer": 0}, id="too small"),
        pytest.param(VALID | {"string": "abcdef"}, id="too long"),
        pytest.param(VALID | {"string": "a"}, id="too short"),
        pytest.param(VALID | {"choice": "x"}, id="no such choice"),
        pytest.param(VALID | {"several": [3]}, id="no such choice among several"),
        pytest.param(VALID | {"bogus": 1}, id="unknown"),
        pytest.param({"string": "abc"}, id="incomplete"),
    ],
)
def test_the_schema_and_the_model_agree(data: dict[str, object]) -> None:
    try:
        read_inputs(MODEL, data)
    except Invalid:
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(data, MODEL.model_json_schema())
    else:
        jsonschema.validate(data, MODEL.model_json_schema())
