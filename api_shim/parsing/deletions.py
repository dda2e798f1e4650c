"""Reads which things are to be deleted at once: their ids, in either of two forms, and which versions were seen.

Contract 5, 7, 9.3 and 9.18.
"""

from __future__ import annotations

from typing import Annotated, Any, NotRequired
from uuid import UUID

from pydantic import Field, PlainValidator, TypeAdapter, ValidationError

from api_shim.parsing.fields import read_id
from api_shim.parsing.seen import Version
from api_shim.parsing.sentences import NO_ID, NOT_A_STRING, Identified
from approval_gate.errors import Invalid, TooLarge
from flows.inputs import fault

AT_ONCE = 1000
"""How many one request may name."""


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


class Known(Identified):
    """Something, by its id, as it was seen."""

    version: NotRequired[Version]


VersionedDeletions = Annotated[
    list[Annotated[UUID, PlainValidator(_id, json_schema_input_type=UUID | Known)]],
    Field(max_length=AT_ONCE, description="Those to delete."),
]


def read_versions(body: list[Any]) -> list[tuple[UUID, str]]:
    """Read the versions in the body of a bulk deletion whose ids have been read: ``[{"id": …, "version": …}, …]``.

    Raises:
        Invalid: one is no text, with the fault at its place in a list.
    """
    said = [item.get("version") if isinstance(item, dict) else None for item in body]
    faults = [{} if isinstance(version, str | None) else {"version": [NOT_A_STRING]} for version in said]
    if any(faults):
        raise Invalid(faults)
    return [(_id(item), version) for item, version in zip(body, said, strict=True) if version is not None]


def read_ids(body: Any) -> list[UUID]:
    """Read which things a list names: ``["<uuid>", …]`` or ``[{"id": "<uuid>"}, …]`` (contract 9.3).

    Raises:
        Invalid: not a list, or with the fault at its place in a list.
        TooLarge: more of them than one transaction should take.
    """
    if not isinstance(body, list):
        message = f'Expected a list of items but got type "{type(body).__name__}".'
        raise Invalid({"non_field_errors": [message]})
    if len(body) > AT_ONCE:
        message = f"At most {AT_ONCE} can be named at once; these are {len(body)}."
        raise TooLarge({"non_field_errors": [message]})
    try:
        return _DELETIONS.validate_python(body)
    except ValidationError as error:
        places = {each["loc"][0] for each in error.errors(include_url=False)}
    raise Invalid([{"id": [NO_ID]} if place in places else {} for place in range(len(body))])
