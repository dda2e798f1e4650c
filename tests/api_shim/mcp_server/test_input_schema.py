"""What a model is told of the variables of a Job."""

from __future__ import annotations

from typing import Any

import pytest

from api_shim.mcp_server.input_schema import input_schema
from api_shim.schemas import Variable


@pytest.mark.parametrize(
    ("variable", "told"),
    [
        ({"type": "StringVar", "max_length": 5}, {"type": "string", "maxLength": 5}),
        ({"type": "IntegerVar", "min_value": 0, "default": 0}, {"type": "integer", "minimum": 0, "default": 0}),
        ({"type": "BooleanVar", "default": False}, {"type": "boolean", "default": False}),
        ({"type": "DryRunVar"}, {"type": "boolean"}),
        (
            {"type": "ChoiceVar", "choices": [["a", "Alpha"], ["b", "Beta"]]},
            {"type": "string", "enum": ["a", "b"]},
        ),
        ({"type": "MultiChoiceVar", "choices": ["a"]}, {"type": "array", "items": {"enum": ["a"]}}),
        ({"type": "MultiObjectVar"}, {"type": "array"}),
        ({"type": "JSONVar", "label": "What", "help_text": "Anything."}, {"title": "What", "description": "Anything."}),
        ({"type": "DateVar"}, {"type": "string"}),
    ],
    ids=lambda told: told["type"] if told.get("type", "").endswith("Var") else "",
)
def test_each_kind_of_variable_has_its_type_and_its_bounds(variable: dict[str, Any], told: dict[str, Any]) -> None:
    schema = input_schema([Variable(name="it", required=False, **variable)])
    assert schema["properties"] == {"it": told}


def test_what_is_required_is_said_and_nothing_else_is_taken() -> None:
    schema = input_schema([Variable(name=name, type="StringVar", required=name == "a") for name in "ab"])
    assert (schema["type"], schema["required"], schema["additionalProperties"]) == ("object", ["a"], False)
