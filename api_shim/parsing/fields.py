"""What all forms that clients send are read with.

* A fault is one sentence, told under its field; those of several fields are told at once.
* A flag is true or false, and nothing that looks like it.

Contract 2.

How several things are named that are to be deleted at once: by their ids, in either of two forms.

Contract 5, 7 and 9.3.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Annotated, Any
from uuid import UUID

from pydantic import Field, PlainValidator, TypeAdapter, ValidationError

from api_shim.parsing.sentences import NO_ID, Identified
from approval_gate.errors import Invalid, TooLarge
from flows.inputs import fault
from flows.variables import TRUTH_WORDS

NOT_A_FLAG = "Must be a valid boolean."


def read_object(body: object) -> Mapping[str, Any]:
    """Return a body that has fields.

    Raises:
        Invalid: it is something else.
    """
    if not isinstance(body, Mapping):
        raise Invalid({"non_field_errors": [f"Invalid data. Expected a dictionary, but got {type(body).__name__}."]})
    return body


def read_flag(value: object) -> bool:
    """Return a flag.

    Raises:
        Invalid: it is something else.
    """
    if not isinstance(value, bool):
        raise Invalid(NOT_A_FLAG)
    return value


def truth_of(word: str) -> bool | None:
    """Return what a word for true or false says, in upper or lower case; None for any other word.

    The words are those that a Job's variables take too.
    """
    return TRUTH_WORDS.get(word.lower())


def read_id(text: str) -> UUID | None:
    """Return a UUID, or None for what is none."""
    try:
        return UUID(text)
    except ValueError:
        return None


def read_count(text: str, default: int = 0) -> int:
    """Return a whole number that is not negative, as an address tells it; the default for anything else."""
    return int(text) if text.isdecimal() and text.isascii() and len(text) < 10 else default


def collect(faults: dict[str, list[str]], field: str, read: Callable[..., Any], *args: Any) -> Any:
    """Return what is read; or None, after having noted the fault of this field."""
    try:
        return read(*args)
    except Invalid as error:
        faults[field] = [str(error)]
        return None


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
