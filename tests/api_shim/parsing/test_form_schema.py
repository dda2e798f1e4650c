"""Which schema that a page sends back is the form that it was given."""

from __future__ import annotations

import json
from typing import Any

import pytest

from api_shim.parsing.form_schema import is_same_form

FORM: dict[str, Any] = {
    "title": "Greet",
    "type": "object",
    "additionalProperties": False,
    "definitions": {"Size": {"title": "Size", "type": "integer", "minimum": 1}},
    "required": ["who"],
    "properties": {
        "who": {"title": "who", "type": "string", "maxLength": 50, "pattern": "^a", "position": 0},
        "size": {"anyOf": [{"$ref": "#/definitions/Size"}, {"type": "null"}], "default": None, "position": 1},
    },
}


def changed(**to: Any) -> dict[str, Any]:
    copy: dict[str, Any] = json.loads(json.dumps(FORM))
    copy["properties"]["who"] |= to
    return copy


@pytest.mark.parametrize(
    "sent",
    [
        pytest.param(FORM, id="the form"),
        pytest.param(dict(reversed(FORM.items())), id="in another order"),
        pytest.param({**FORM, "properties": {**FORM["properties"]}, "additionalProperties": True}, id="an unkept key"),
        pytest.param(changed(pattern=None, maxLength=5), id="unkept keys of a property"),
        pytest.param(changed(example=None, const=None), id="with nulls"),
        pytest.param(changed(pattern="(a+)+$"), id="with an expression of the client's, which nobody evaluates"),
    ],
)
def test_what_pages_send_of_the_form_is_the_form(sent: object) -> None:
    assert is_same_form(sent, FORM)


@pytest.mark.parametrize(
    "sent",
    [
        pytest.param(None, id="nothing"),
        pytest.param([FORM], id="a list"),
        pytest.param({}, id="an empty schema"),
        pytest.param({**FORM, "title": "Other"}, id="another title"),
        pytest.param({**FORM, "required": []}, id="another requirement"),
        pytest.param({**FORM, "properties": {"who": FORM["properties"]["who"]}}, id="a property less"),
        pytest.param({**FORM, "properties": "who"}, id="properties that are none"),
        pytest.param({**FORM, "definitions": {}}, id="no definitions"),
        pytest.param(changed(enum=["x"]), id="a property with choices"),
        pytest.param(changed(**{"$ref": "#"}), id="a property that refers to the whole"),
        pytest.param(changed(allOf=[{"pattern": "(a+)+$"}]), id="a property with more to hold"),
        pytest.param(changed(properties={"x": {"type": "string"}}), id="a property with properties"),
    ],
)
def test_anything_else_is_not(sent: object) -> None:
    assert not is_same_form(sent, FORM)


def test_a_form_without_definitions_may_be_sent_with_none() -> None:
    form = {"type": "object", "properties": {}, "definitions": {}}
    assert is_same_form({"type": "object"}, form)
    assert is_same_form({"type": "object", "properties": {}, "definitions": {}}, form)
