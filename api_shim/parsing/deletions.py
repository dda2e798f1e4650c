"""Reads which things are to be deleted at once: their ids, in either of two forms.

Contract 5, 7 and 9.3.
"""

from __future__ import annotations

from typing import Annotated, Any
from uuid import UUID

from pydantic import Field, PlainValidator, TypeAdapter, ValidationError

from api_shim.parsing.fields import read_id
from api_shim.parsing.sentences import NO_ID, Identified
from approval_gate.errors import Invalid, TooLarge
from flows.inputs import fault

AT_ONCE = 1000
"""How many one request may delete."""


def _id(item: Any) -> UUID:
    text = item.get("id") if isinstance(item, dict) else item
    found = read_id(text) if isinstance(text, str) else None
    if found is None:
        raise fault("no_id")
    return found


Deletions = Annotated[
    list[Annotated[UUID, PlainValidator(_id, json_schema_input_type=UUID | Identified)]],
    Field(max_length=AT_ONCE, description="Those to delete."),
]
_DELETIONS: TypeAdapter[list[UUID]] = TypeAdapter(Deletions)


def read_ids(body: Any) -> list[UUID]:
    """Read the body of a bulk deletion: ``["<uuid>", …]`` or ``[{"id": "<uuid>"}, …]`` (contract 9.3).

    Raises:
        Invalid: not a list, or with the fault at its place in a list.
        TooLarge: more of them than one transaction should take.
    """
    if not isinstance(body, list):
        message = f'Expected a list of items but got type "{type(body).__name__}".'
        raise Invalid({"non_field_errors": [message]})
    if len(body) > AT_ONCE:
        message = f"At most {AT_ONCE} can be deleted at once; these are {len(body)}."
        raise TooLarge({"non_field_errors": [message]})
    try:
        return _DELETIONS.validate_python(body)
    except ValidationError as error:
        places = {each["loc"][0] for each in error.errors(include_url=False)}
    raise Invalid([{"id": [NO_ID]} if place in places else {} for place in range(len(body))])
