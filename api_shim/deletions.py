"""How several things are named that are to be deleted at once: by their ids, in either of two forms.

Contract 5, 7 and 9.3.
"""

from __future__ import annotations

from typing import Any
from uuid import UUID

from api_shim.fields import read_id
from approval_gate.errors import Invalid, TooLarge

BAD_ID = "Must be a valid UUID."
AT_ONCE = 1000
"""How many one request may delete."""


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
