"""How a query writes the values that lists are filtered by, and how values of each kind can be compared.

* A value that cannot be read is one sentence.
* Without regard to case is without regard to that of A to Z.

Contract 2.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from approval_gate.constraints import Op


def read_text(text: str) -> str:
    """Return a text that the store can be asked for.

    Raises:
        ValueError: it has null characters.
    """
    if "\0" in text:
        raise ValueError("A text may not have null characters.")
    return text


def _read_id(text: str) -> UUID:
    try:
        return UUID(text)
    except ValueError:
        raise ValueError(f"“{text[:100]}” is not a valid UUID.") from None


_FLAGS = {"true": True, "1": True, "yes": True, "on": True, "false": False, "0": False, "no": False, "off": False}


def _read_flag(text: str) -> bool:
    if text.lower() not in _FLAGS:
        raise ValueError("Must be true or false.")
    return _FLAGS[text.lower()]


def _read_time(text: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
        # As all times are answered in UTC, one without a zone is in UTC too.
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError):
        raise ValueError("Enter a valid date/time.") from None


def _read_number(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        raise ValueError("Enter a number.") from None
    if not math.isfinite(number):
        raise ValueError("Enter a number.")
    return number


def _read_whole(text: str) -> int:
    if not text.removeprefix("-").isdecimal() or not text.isascii() or len(text) > 18:
        raise ValueError("Enter a whole number.")
    return int(text)


def _choice(choices: Iterable[str]) -> Callable[[str], str]:
    known = frozenset(choices)

    def read(text: str) -> str:
        if text not in known:
            raise ValueError(f"Select a valid choice. {text[:100]} is not one of the available choices.")
        return text

    return read


@dataclass(frozen=True, kw_only=True, slots=True)
class Kind:
    """A kind of values.

    Args:
        read: reads one, or raises ValueError with a sentence.
        schema: as JSON schema describes one.
        suffixes: how it can be compared: by suffix, the operator and whether it is negated.
    """

    read: Callable[[str], Any]
    schema: Mapping[str, Any]
    suffixes: Mapping[str, tuple[Op, bool]]


_SAME = {"": (Op.EXACT, False), "n": (Op.EXACT, True)}
_ORDER = _SAME | {op.value: (op, False) for op in (Op.GT, Op.GTE, Op.LT, Op.LTE)}
_PARTS = {"ic": Op.ICONTAINS, "ie": Op.IEXACT, "isw": Op.ISTARTSWITH, "iew": Op.IENDSWITH}
WORDS = _SAME | {f"{no}{suffix}": (op, bool(no)) for suffix, op in _PARTS.items() for no in ("", "n")}
PATTERNS: Mapping[str, tuple[bool, bool]] = {
    "re": (False, False),
    "nre": (False, True),
    "ire": (True, False),
    "nire": (True, True),
}
"""The suffixes of regular expressions: whether case is ignored, and whether it is negated."""

TEXT = Kind(read=read_text, schema={"type": "string"}, suffixes=WORDS)
ID = Kind(read=_read_id, schema={"type": "string", "format": "uuid"}, suffixes=_SAME)
FLAG = Kind(read=_read_flag, schema={"type": "boolean"}, suffixes={"": (Op.EXACT, False)})
TIME = Kind(read=_read_time, schema={"type": "string", "format": "date-time"}, suffixes=_ORDER)
NUMBER = Kind(read=_read_number, schema={"type": "number"}, suffixes=_ORDER)
WHOLE = Kind(read=_read_whole, schema={"type": "integer"}, suffixes=_ORDER)


def one_of(choices: Iterable[str]) -> Kind:
    words = [str(choice) for choice in choices]
    return Kind(read=_choice(words), schema={"type": "string", "enum": words}, suffixes=WORDS)
