"""Readers of single values in the bodies that clients send.

* An error is one sentence under its field; the errors of several fields are reported together.
* A flag is true or false, and nothing that merely looks like it.
* A bulk deletion has a list of ids, or of objects with an id.

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
