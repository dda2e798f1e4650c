"""What pydantic finds and what rules say becomes sentences by field, whatever is sent."""

from __future__ import annotations

import json
from typing import Annotated, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import AfterValidator, Field, TypeAdapter, ValidationInfo, with_config
from typing_extensions import TypedDict

from api_shim.parsing.sentences import MOST_FIELDS, STRICT, Identified, Later, all_as, not_null, of_text, read, rule
from approval_gate.errors import Invalid, TooLarge
from flows.inputs import MOST_TOLD

CANNOT_CHANGE = "This field cannot be changed."


def known(word: str) -> str:
    if word != "known":
        raise Invalid(f"There is no {word!r}.")
    return word


def is_the_context(number: int, info: ValidationInfo[int]) -> int:
    if number != info.context:
        raise Invalid(f"It is not {info.context}.")
    return number


@with_config(STRICT)
class Body(TypedDict, total=False):
    """What is read here."""

    flag: bool
    text: Annotated[str, Field(max_length=3)]
    given: Annotated[int | None, AfterValidator(not_null)]
    word: Annotated[str, of_text(known)]
    number: Annotated[int, AfterValidator(rule(is_the_context))]
    size: Annotated[float, Field(ge=0, le=9, allow_inf_nan=False), all_as("not_seconds", most=9)]
    words: Annotated[list[Annotated[str, of_text(known)]], all_as("not_words")]
    thing: Identified
    part: Annotated[Any, Later(dict[str, int])]


BODY: TypeAdapter[Any] = TypeAdapter(Body)
SIZE = "A time limit is a number of seconds from 0 (none) to 9."
DEEP: list[Any] = []
for _ in range(5000):
    DEEP = [DEEP]


def refused(sent: object, **more: Any) -> Any:
    with pytest.raises(Invalid) as caught:
        read(BODY, sent, context=7, **more)
    assert caught.value.__cause__ is caught.value.__context__ is None, "what was sent may be secret"
    return caught.value.detail


@pytest.mark.parametrize(
    ("sent", "sentence"),
    [
        pytest.param({"flag": 1}, "Must be a valid boolean.", id="a number for a flag"),
        pytest.param({"text": 5}, "Not a valid string.", id="a number for a text"),
        pytest.param({"text": "\ud800"}, "Not a valid string.", id="half a character"),
        pytest.param({"text": "four"}, "Ensure this field has no more than 3 characters.", id="too long a text"),
        pytest.param({"given": None}, "This field may not be null.", id="null"),
        pytest.param({"word": "\ud800"}, "There is no '\\ud800'.", id="a rule, about half a character"),
        pytest.param({"word": "{type}%s"}, "There is no '{type}%s'.", id="a rule, about what looks like a template"),
        pytest.param({"word": 5}, "Not a valid string.", id="no text for a rule"),
        pytest.param({"number": 8}, "It is not 7.", id="a rule that knows the context"),
        *[
            pytest.param({"size": value}, SIZE, id=f"the size {value!s:.9}")
            for value in (-1, 10, True, "5", None, float("nan"), float("inf"), 10**400)
        ],
        pytest.param({"size": DEEP}, SIZE, id="a size that is far too deep"),
        pytest.param({"words": "known"}, "Expected a list of words.", id="a text for a list"),
        pytest.param({"words": ["known", 5]}, "Expected a list of words.", id="a number in a list"),
        pytest.param({"words": ["known", "x"]}, "There is no 'x'.", id="a rule in a list"),
        pytest.param({"number": "7"}, "Enter a valid value.", id="a fault without a sentence of its own"),
        pytest.param({"bogus": DEEP}, CANNOT_CHANGE, id="an unknown field"),
    ],
)
def test_a_fault_is_told_under_its_field(sent: dict[str, Any], sentence: str) -> None:
    assert refused(sent) == {field: [sentence] for field in sent}


@pytest.mark.parametrize(
    ("sent", "kind"), [([], "list"), ("x", "str"), (None, "NoneType"), (5, "int"), (DEEP, "list")], ids=range(5)
)
def test_what_has_no_fields_is_refused_by_its_kind(sent: object, kind: str) -> None:
    assert refused(sent) == {"non_field_errors": [f"Invalid data. Expected a dictionary, but got {kind}."]}


def test_all_fields_are_told_at_once_and_a_body_may_have_words_of_its_own() -> None:
    own = {"extra_forbidden": "Not here.", "extra_forbidden.user": "Not you."}
    told = refused({"flag": 1, "x": 1, "user": 2}, sentences={"bool_type": "No.", **own})
    assert told == {"flag": ["No."], "x": ["Not here."], "user": ["Not you."]}


def test_no_more_is_told_than_anybody_reads() -> None:
    assert len(refused({f"field {number}": 1 for number in range(MOST_FIELDS)})) == MOST_TOLD
    with pytest.raises(TooLarge):
        read(BODY, {f"field {number}": 1 for number in range(MOST_FIELDS + 1)})


def test_what_is_sound_is_returned_and_what_is_judged_later_is_taken_as_it_is() -> None:
    thing = "6f1f4d9e-7a0b-4c6d-8e0f-0123456789ab"
    part = object()
    found = read(BODY, {"flag": True, "thing": {"id": thing, "url": "x"}, "part": part, "size": 3}, context=7)
    assert (found["flag"], str(found["thing"]["id"]), found["part"], found["size"]) == (True, thing, part, 3.0)
    assert BODY.json_schema()["properties"]["part"] == {
        "additionalProperties": {"type": "integer"}, "title": "Part", "type": "object"
    }  # fmt: skip


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(), max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


@given(JSON | st.dictionaries(st.sampled_from([*Body.__annotations__, "x"]) | st.text(max_size=3), JSON, max_size=5))
def test_whatever_is_sent_is_sound_or_told_in_sentences(sent: Any) -> None:
    try:
        read(BODY, sent, context=7)
    except Invalid as error:
        told = error.detail
        assert isinstance(told, dict)
        assert all(isinstance(each, str) and each for (each,) in told.values())
        json.dumps(told, ensure_ascii=False).encode()
