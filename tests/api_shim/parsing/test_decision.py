"""What somebody decides with: every spelling that can be meant, and a sentence for what cannot."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api_shim.parsing.decision import CHOOSE, LONGEST_COMMENT, Decision, read_answer, read_decision
from approval_gate.errors import Invalid

NOT_A_FLAG = "Must be true or false."
NOT_A_STRING = "Not a valid string."
TOO_LONG = "Ensure this field has no more than 2000 characters."
DIFFERENTLY = "It is given more than once, with different values."

TRUE = ["true", "True", "TRUE", "1", "yes", "Yes", "on", "ON", " true ", "\tyes\n"]
FALSE = ["false", "False", "FALSE", "0", "no", "No", "off", "OFF", "", " ", " false "]
NEITHER = [
    "maybe",
    "2",
    "-1",
    "00",
    "t",
    "f",
    "y",
    "n",
    "truetrue",
    "null",
    "None",
    "1.0",
    "true,false",
    "yes no",
    "ja",
]


def refused(read: Any, *args: Any) -> Any:
    with pytest.raises(Invalid) as caught:
        read(*args)
    return caught.value.detail


# Force


@pytest.mark.parametrize(
    ("text", "force"), [*((text, True) for text in TRUE), *((text, False) for text in FALSE)], ids=repr
)
def test_force_is_read_in_any_usual_spelling_from_the_query_and_from_the_body(text: str, force: bool) -> None:
    assert read_decision([text], {}) == read_decision([], {"force": text}) == Decision(force=force)


@pytest.mark.parametrize("text", NEITHER, ids=repr)
def test_force_in_no_usual_spelling_is_refused(text: str) -> None:
    assert refused(read_decision, [text], {}) == {"force": [NOT_A_FLAG]}
    assert refused(read_decision, [], {"force": text}) == {"force": [NOT_A_FLAG]}


@pytest.mark.parametrize(
    ("value", "force"), [(True, True), (False, False), (None, False), (1, True), (0, False)], ids=repr
)
def test_force_in_a_body_may_be_no_text(value: object, force: bool) -> None:
    assert read_decision([], {"force": value}) == Decision(force=force)


@pytest.mark.parametrize("value", [2, -1, 1.0, 0.0, 1.5, float("nan"), [], [True], {}, {"force": True}], ids=repr)
def test_force_in_a_body_that_is_neither_is_refused(value: object) -> None:
    assert refused(read_decision, [], {"force": value}) == {"force": [NOT_A_FLAG]}


@pytest.mark.parametrize(
    ("query", "body", "force"),
    [
        pytest.param([], {}, False, id="nowhere"),
        pytest.param(["true", "yes", "1"], {}, True, id="several times yes"),
        pytest.param(["false", "no", ""], {}, False, id="several times no"),
        pytest.param(["true"], {"force": True}, True, id="yes in both"),
        pytest.param(["off"], {"force": False}, False, id="no in both"),
        pytest.param([""], {"force": None}, False, id="nothing in both"),
    ],
)
def test_force_may_be_said_more_than_once(query: list[str], body: dict[str, Any], force: bool) -> None:
    assert read_decision(query, body) == Decision(force=force)


@pytest.mark.parametrize(
    ("query", "body"),
    [
        pytest.param(["true", "false"], {}, id="yes and no"),
        pytest.param(["false", "true"], {}, id="no and yes"),
        pytest.param(["true", ""], {}, id="yes and nothing"),
        pytest.param(["yes", "on", "0"], {}, id="yes, yes and no"),
        pytest.param(["true"], {"force": False}, id="yes, and no in the body"),
        pytest.param(["false"], {"force": True}, id="no, and yes in the body"),
        pytest.param(["true"], {"force": None}, id="yes, and null in the body"),
    ],
)
def test_force_said_differently_is_refused(query: list[str], body: dict[str, Any]) -> None:
    assert refused(read_decision, query, body) == {"force": [DIFFERENTLY]}


@given(text=st.text())
def test_no_text_but_the_usual_ones_forces(text: str) -> None:
    word = text.strip().lower()
    if word in {"true", "1", "yes", "on"}:
        assert read_decision([text], {}).force
    elif word in {"false", "0", "no", "off", ""}:
        assert not read_decision([text], {}).force
    else:
        assert refused(read_decision, [text], {}) == {"force": [NOT_A_FLAG]}


# Comments and versions


COMMENTS = [
    pytest.param({}, "", id="none"),
    pytest.param({"comment": None}, "", id="null"),
    pytest.param({"comment": ""}, "", id="empty"),
    pytest.param({"comment": "  \n "}, "", id="white space alone"),
    pytest.param({"comment": " Looks good.\n"}, "Looks good.", id="white space around"),
    pytest.param({"comment": "two\nlines"}, "two\nlines", id="lines"),
    pytest.param({"comment": "zoë 🐻"}, "zoë 🐻", id="any letters"),
    pytest.param({"comment": "x" * LONGEST_COMMENT}, "x" * LONGEST_COMMENT, id="the longest"),
]
BAD_COMMENTS = [
    *[pytest.param(value, NOT_A_STRING, id=repr(value)) for value in (5, 0, True, False, 1.5, [], ["x"], {}, {"a": 1})],
    pytest.param("a\0b", NOT_A_STRING, id="a null character"),
    pytest.param("\ud800", NOT_A_STRING, id="half a character"),
    pytest.param("x" * (LONGEST_COMMENT + 1), TOO_LONG, id="one character too long"),
    pytest.param("x" * 1_000_000, TOO_LONG, id="far too long"),
]


@pytest.mark.parametrize(("body", "comment"), COMMENTS)
def test_a_comment_is_kept_as_written(body: dict[str, Any], comment: str) -> None:
    assert read_decision([], body) == Decision(comment=comment)
    assert read_answer({"decision": "deny", **body}) == ("deny", Decision(comment=comment))


@pytest.mark.parametrize(("comment", "reason"), BAD_COMMENTS)
def test_a_comment_that_nobody_can_keep_or_read_is_refused(comment: object, reason: str) -> None:
    assert refused(read_decision, [], {"comment": comment}) == {"comment": [reason]}
    assert refused(read_answer, {"decision": "approve", "comment": comment}) == f"comment: {reason}"


@pytest.mark.parametrize(
    ("body", "version"),
    [({}, None), ({"version": None}, None), ({"version": ""}, None), ({"version": "abc"}, "abc")],
    ids=str,
)
def test_the_version_that_was_seen_may_be_said(body: dict[str, Any], version: str | None) -> None:
    assert read_decision([], body) == Decision(version=version)


@pytest.mark.parametrize("version", [5, True, False, [], {}, ["abc"]], ids=repr)
def test_a_version_that_is_no_text_is_refused(version: object) -> None:
    assert refused(read_decision, [], {"version": version}) == {"version": [NOT_A_STRING]}


@pytest.mark.parametrize(
    ("body", "kind"),
    [([], "list"), ("approve", "str"), (None, "NoneType"), (5, "int"), (True, "bool"), ([{}], "list")],
    ids=repr,
)
def test_a_body_that_is_no_object_is_refused(body: object, kind: str) -> None:
    reason = f"Invalid data. Expected a dictionary, but got {kind}."
    assert refused(read_decision, ["true"], body) == {"non_field_errors": [reason]}


def test_what_else_is_in_a_body_is_passed_over() -> None:
    body = {"comment": "x", "force": "yes", "version": "v", "decision": "deny", "more": [1]}
    assert read_decision([], body) == Decision(comment="x", force=True, version="v")


# Prefect's form


@pytest.mark.parametrize("way", ["approve", "deny"])
def test_an_answer_tells_the_way_and_what_it_is_decided_with(way: str) -> None:
    filled = {"decision": way, "comment": "Looks good.", "confirm_past_due": True, "request": "abc"}
    assert read_answer(filled) == (way, Decision(comment="Looks good.", force=True, version="abc"))
    assert read_answer({"decision": way}) == (way, Decision())


@pytest.mark.parametrize(
    "answer",
    [
        {},
        None,
        [],
        "approve",
        ["approve"],
        5,
        {"decision": None},
        {"decision": ""},
        {"decision": "Approve"},
        {"decision": " approve"},
        {"decision": "yes"},
        {"decision": True},
        {"decision": ["approve"]},
        {"decision": {"approve": True}},
        {"comment": "approve", "request": "abc"},
    ],
    ids=repr,
)
def test_an_answer_without_a_decision_is_none(answer: object) -> None:
    assert refused(read_answer, answer) == CHOOSE


@pytest.mark.parametrize(
    ("confirmed", "force"),
    [
        *((value, True) for value in (True, 1, "true", "On")),
        *((value, False) for value in (None, False, 0, "false", "")),
    ],
    ids=repr,
)
def test_the_past_is_confirmed_in_any_usual_spelling(confirmed: object, force: bool) -> None:
    assert read_answer({"decision": "approve", "confirm_past_due": confirmed}) == ("approve", Decision(force=force))


@pytest.mark.parametrize("confirmed", ["maybe", 2, [], {}], ids=repr)
def test_the_past_that_is_confirmed_in_no_usual_spelling_is_refused(confirmed: object) -> None:
    reason = refused(read_answer, {"decision": "approve", "confirm_past_due": confirmed})
    assert reason == f"confirm_past_due: {NOT_A_FLAG}"


@pytest.mark.parametrize(
    "answer",
    [
        {"force": True},
        {"version": "abc"},
        {"request": 5},
        {"request": ""},
        {"request": None},
        {"request": ["abc"]},
        {"request": "\ud800"},
    ],
    ids=ascii,
)
def test_what_is_no_field_of_the_form_does_not_count(answer: dict[str, Any]) -> None:
    assert read_answer({"decision": "approve", **answer}) == ("approve", Decision())
