"""What the variables of a Job are as a JSON schema, by which a model knows what it may give.

It is less strict than the API, which judges what is given.
"""

from __future__ import annotations

from typing import Any

from api_shim import schemas

TYPES = {
    "BooleanVar": "boolean",
    "DryRunVar": "boolean",
    "IntegerVar": "integer",
    "FloatVar": "number",
    "MultiChoiceVar": "array",
    "MultiObjectVar": "array",
    "JSONVar": None,
}
"""The JSON type of the values of a variable; a string for all others."""
BOUNDS = {
    "min_value": "minimum",
    "max_value": "maximum",
    "min_length": "minLength",
    "max_length": "maxLength",
}


def input_schema(variables: list[schemas.Variable]) -> dict[str, Any]:
    """Return the inputs of a Job as a JSON schema, which the API judges more strictly."""
    return {
        "type": "object",
        "properties": {each.name: _property(each) for each in variables},
        "required": [each.name for each in variables if each.required and each.default is None],
        "additionalProperties": False,
    }


def _property(variable: schemas.Variable) -> dict[str, Any]:
    kind = TYPES.get(variable.type, "string")
    choices = [each[0] if isinstance(each, list) else each for each in variable.choices or ()]
    items = {"items": {"enum": choices} if kind == "array" and choices else None}
    said = {
        "type": kind,
        "title": variable.label,
        "description": variable.help_text,
        "default": variable.default,
        "enum": choices if choices and kind != "array" else None,
    }
    bounds = {of: getattr(variable, name) for name, of in BOUNDS.items()}
    return {name: value for name, value in (said | bounds | items).items() if value is not None}
