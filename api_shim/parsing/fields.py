"""Readers of single values in bodies, forms and addresses.

* A body is an object; anything else is refused by its kind.
* One table of words says what is true and what is false, for forms, filters and Jobs' variables alike.
* What is no id or no count in an address is None or the default: the caller says what that means.

Contract 2.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from approval_gate.errors import Invalid
from flows.variables import TRUTH_WORDS


def read_object(body: object) -> Mapping[str, Any]:
    """Return a body that has fields.

    Raises:
        Invalid: it is something else.
    """
    if not isinstance(body, Mapping):
        raise Invalid({"non_field_errors": [f"Invalid data. Expected a dictionary, but got {type(body).__name__}."]})
    return body


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
