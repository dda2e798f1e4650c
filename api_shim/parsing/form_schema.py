"""Tells whether the JSON schema that one of Prefect's pages sends back is the form that signoff gave it.

* A page may leave out keys that it does not know, and what is null. So only the keys that every page keeps are
  compared.
* A schema that is sent is only compared, and never evaluated: a client could write one that takes hours.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

KEPT = frozenset(
    {
        "$ref",
        "allOf",
        "anyOf",
        "const",
        "default",
        "description",
        "enum",
        "example",
        "format",
        "items",
        "maxItems",
        "minItems",
        "position",
        "prefixItems",
        "required",
        "title",
        "type",
    }
)
"""The keys that every page of Prefect's keeps, besides those whose values are schemas by name."""
SCHEMAS_BY_NAME = frozenset({"definitions", "properties"})


def is_same_form(sent: object, ours: Mapping[str, Any]) -> bool:
    """Say whether a schema is that of a form, as far as pages keep it.

    Args:
        sent: what a client has sent, decoded from JSON.
        ours: the schema of the form.
    """
    return isinstance(sent, Mapping) and _kept(sent) == _kept(ours)


def _kept(schema: object) -> object:
    if not isinstance(schema, Mapping):
        return schema
    kept = {key: value for key, value in schema.items() if key in KEPT and value is not None}
    named = {key: schema[key] for key in SCHEMAS_BY_NAME & schema.keys() if isinstance(schema[key], Mapping)}
    return kept | {key: {name: _kept(each) for name, each in of.items()} for key, of in named.items() if of}
