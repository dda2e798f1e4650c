"""The inputs of a run: what is refused in which words, whatever is sent; and that what is accepted can be stored."""

from __future__ import annotations

import json
from typing import Annotated, Any

import jsonschema
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from pydantic import AfterValidator, create_model

from approval_gate.errors import Invalid, TooLarge
from flows.inputs import DEEPEST, LARGEST, read_inputs
from flows.variables import (
    BooleanVar,
    ChoiceVar,
    DateTimeVar,
    DateVar,
    DryRunVar,
    IntegerVar,
    IPNetworkVar,
    JSONVar,
    MultiChoiceVar,
    StringVar,
    TextVar,
    Variable,
    build_model,
)

REQUIRED = "This field is required."
WHOLE = "Enter a whole number."
NOT_JSON = "Enter a valid JSON."
NOT_UTF8 = "Characters that cannot be written as UTF-8 are not allowed."
NULL = "Null characters are not allowed."
TOO_BIG = "Ensure every number in this value fits in 64 bits."
TOO_DEEP = "Ensure this value is nested no deeper than 100 levels."
TEMPLATE = "The key __prefect_kind is not allowed."
COLOURS = [("r", "Red"), ("g", "Green")]
SIZES = [1, 2]


def nested(levels: int) -> list[Any]:
    value: list[Any] = []
    for _ in range(levels - 1):
        value = [value]
    return value


@pytest.mark.parametrize(
    ("variable", "value", "sentence"),
    [
        pytest.param(StringVar(), "a\0b", NULL, id="a null character"),
        pytest.param(TextVar(), "a\0b", NULL, id="a null character in lines"),
        pytest.param(StringVar(), "\ud800", NOT_UTF8, id="a lone surrogate"),
        pytest.param(IntegerVar(), 10**5000, TOO_BIG, id="a number that Python cannot print"),
        pytest.param(IntegerVar(), -(2**63) - 1, TOO_BIG, id="a number of more than 64 bits"),
        pytest.param(IntegerVar(), 1e300, TOO_BIG, id="a huge float"),
        pytest.param(ChoiceVar(COLOURS), "\ud800", NOT_UTF8, id="a lone surrogate for a choice"),
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
    ],
)
def test_refuses_what_cannot_be_stored(variable: Variable, value: object, sentence: str) -> None:
    with pytest.raises(Invalid) as refused:
        read_inputs(build_model("Example", {"it": variable}), {"it": value})
    assert refused.value.detail == {"errors": {"it": [sentence]}}


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
        "day": DateVar(required=False),
        "at": DateTimeVar(required=False),
        "network": IPNetworkVar(required=False, max_prefix_length=24),
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
        pytest.param(VALID | {7: 1}, {"7": ["Job data contained an unknown property"]}, id="a name that is no text"),
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
    assert refused.value.detail == {"errors": [f"Job data is too large: {LARGEST + 1} bytes, of at most {LARGEST}."]}


ANY_TEXT = st.text(st.characters(exclude_categories=()), max_size=8)  # lone surrogates and null characters too
ANY_NUMBER = st.integers() | st.floats() | st.just(10**400)
ANYTHING = st.recursive(
    st.none() | st.booleans() | ANY_NUMBER | ANY_TEXT | st.sampled_from(["5", "on", "r", "[1]", '{"a":', "abc"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(ANY_TEXT, inner, max_size=3),
    max_leaves=8,
)
NAMES = st.sampled_from([*MODEL.model_json_schema()["properties"], "bogus"])


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
        "day": st.dates().map(str) | st.text("0123456789-", max_size=10),
        "at": st.datetimes().map(str) | st.datetimes(timezones=st.timezones()).map(str),
        "network": st.ip_addresses().map(lambda each: f"{each}/24"),
    },
)


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
        pytest.param(VALID | {"text": "ab", "boolean": True, "several": [1], "json": {"a": 1}}, id="all of it"),
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


def test_code_of_an_author_that_cannot_read_inputs_refuses_them_and_tells_nothing_of_them() -> None:
    def read(value: str) -> str:
        return {"north": "n"}[value]

    model = create_model("Example", region=(Annotated[str, AfterValidator(read)], ...))
    assert read_inputs(model, {"region": "north"}) == {"region": "n"}
    with pytest.raises(Invalid) as refused:
        read_inputs(model, {"region": "secret"})
    assert refused.value.detail == {"errors": ["The code of this Job cannot read them: KeyError."]}
