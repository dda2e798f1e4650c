"""Readers of single values in the bodies that clients send.

* An error is one sentence under its field; the errors of several fields are reported together.
* A flag is true or false, and nothing that merely looks like it.
* A bulk deletion has a list of ids, or of objects with an id.

Contract 2, 5, 7 and 9.3.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any
from uuid import UUID

from approval_gate.errors import Invalid, TooLarge

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


BAD_ID = "Must be a valid UUID."


AT_ONCE = 1000
"""The most objects that one request may delete."""


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
    ids = [_item(item) for item in body]
    if None in ids:
        raise Invalid([{} if thing_id else {"id": [BAD_ID]} for thing_id in ids])
    return [thing_id for thing_id in ids if thing_id is not None]


def _item(item: Any) -> UUID | None:
    text = item.get("id") if isinstance(item, dict) else item
    return read_id(text) if isinstance(text, str) else None
