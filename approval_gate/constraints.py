"""Which objects a permission is limited to (contract 8).

* A constraint is an object, all of whose lookups must match, or a list of objects, any of which must.
* ``null`` and ``{}`` do not limit. An empty list and an empty object inside a list are refused: whoever wrote
  it meant some limit, and either reading of it would be a guess.
* A lookup is ``path`` or ``path__op``; its value is converted and checked once, by the type of its path.
* ``$user`` is the caller's id; it is compared with ids only.
* What is null, missing or of another type than asked for does not match; only ``isnull`` and ``exact`` null
  find nulls.
* Text is compared by code points, and to ignore case is to ignore that of A to Z, so that databases agree.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from string import ascii_lowercase, ascii_uppercase
from typing import Any
from uuid import UUID

from approval_gate.errors import Invalid, TooLarge

CALLER = "$user"
MAX_VALUES = 1000
"""How many values one constraint may compare with, so that a few of them still fit into one query."""


class Op(StrEnum):
    """How a lookup compares; without one it is ``exact``."""

    EXACT = "exact"
    IEXACT = "iexact"
    IN = "in"
    CONTAINS = "contains"
    ICONTAINS = "icontains"
    STARTSWITH = "startswith"
    ISTARTSWITH = "istartswith"
    ENDSWITH = "endswith"
    IENDSWITH = "iendswith"
    GT = "gt"
    GTE = "gte"
    LT = "lt"
    LTE = "lte"
    ISNULL = "isnull"


_LOWER = str.maketrans(ascii_uppercase, ascii_lowercase)


def fold(text: str) -> str:
    """Return ``text`` with A to Z, and nothing else, in lower case; TypeError if it is no text."""
    return str.translate(text, _LOWER)


# Each gets what the object has, never null, and what the lookup asks for; TypeError: the two do not compare.
HOLDS: Mapping[Op, Callable[[Any, Any], bool]] = {
    Op.EXACT: operator.eq,
    Op.IEXACT: lambda has, asked: fold(has) == fold(asked),
    Op.IN: lambda has, asked: has in asked,
    Op.CONTAINS: lambda has, asked: str.find(has, asked) >= 0,
    Op.ICONTAINS: lambda has, asked: fold(asked) in fold(has),
    Op.STARTSWITH: str.startswith,
    Op.ISTARTSWITH: lambda has, asked: fold(has).startswith(fold(asked)),
    Op.ENDSWITH: str.endswith,
    Op.IENDSWITH: lambda has, asked: fold(has).endswith(fold(asked)),
    Op.GT: operator.gt,
    Op.GTE: operator.ge,
    Op.LT: operator.lt,
    Op.LTE: operator.le,
    Op.ISNULL: lambda _has, asked: asked is False,
}


def compares(has: Any, op: Op, asked: Any) -> bool:
    """Say whether a value compares as asked; what is null or of another type does not, and ``isnull`` finds nulls."""
    if has is None:
        return op is Op.ISNULL and asked is True
    try:
        return HOLDS[op](has, asked)
    except TypeError:
        return False


@dataclass(frozen=True, kw_only=True, slots=True)
class Lookup:
    """One condition on one attribute.

    Args:
        path: which attribute.
        op: how it is compared.
        value: with what, in the type of the path; a tuple of such for ``in``, a bool for ``isnull``;
            ``$user`` stands for the caller.
    """

    path: str
    op: Op
    value: Any

    def asked_by(self, user: UUID) -> Any:
        """Return the value as this caller means it: his own id for ``$user``."""
        if self.op is Op.IN:
            return tuple(user if item == CALLER else item for item in self.value)
        return user if self.value == CALLER else self.value

    def holds(self, thing: Mapping[str, Any], *, user: UUID) -> bool:
        """Say whether the object has the attribute and it compares as asked; never raises."""
        return self.path in thing and compares(thing[self.path], self.op, self.asked_by(user))


@dataclass(frozen=True, slots=True)
class Constraint:
    """Which objects a permission is limited to.

    Args:
        alternatives: any of them must match, with all its lookups; one without lookups matches everything.
    """

    alternatives: tuple[tuple[Lookup, ...], ...] = ((),)

    def matches(self, thing: Mapping[str, Any], *, user: UUID) -> bool:
        """Say whether an object is within the limits; never raises.

        Args:
            thing: value by lookup path.
            user: the caller's id, what ``$user`` stands for.
        """
        return any(all(lookup.holds(thing, user=user) for lookup in every) for every in self.alternatives)


UNLIMITED = Constraint()


def parse(raw: object, paths: Mapping[str, type]) -> Constraint:
    """Read the constraints of a permission (contract 8).

    Args:
        raw: what the person wrote, as it comes from JSON.
        paths: the lookup paths of the object types that the permission covers, each with the type of its
            values: str, bool, int, float, UUID or datetime.

    Returns:
        the constraint, its values converted to the types of their paths.

    Raises:
        Invalid: a lookup, path or value is not what it should be; the sentence says which and what would be.
        TooLarge: there are more than ``MAX_VALUES`` values.
    """
    if raw is None or (isinstance(raw, dict) and not raw):
        return UNLIMITED
    objects = raw if isinstance(raw, list) else [raw]
    if not objects:
        raise Invalid("An empty list of constraints would match nothing; give null for no constraint.")
    constraint = Constraint(tuple(_every(item, paths) for item in objects))
    if sum(_size(lookup) for every in constraint.alternatives for lookup in every) > MAX_VALUES:
        raise TooLarge(f"Constraints can hold {MAX_VALUES} values at most; make it several permissions.")
    return constraint


def _size(lookup: Lookup) -> int:
    return max(1, len(lookup.value)) if lookup.op is Op.IN else 1


def _every(item: object, paths: Mapping[str, type]) -> tuple[Lookup, ...]:
    if not isinstance(item, dict):
        raise Invalid("Constraints must be an object of lookups, a list of such objects, or null.")
    if not item:
        raise Invalid("An empty object in a list would lift all the other constraints; give null for no constraint.")
    return tuple(_lookup(key, value, paths) for key, value in item.items())


def _lookup(key: object, value: object, paths: Mapping[str, type]) -> Lookup:
    path, op = _split(key, paths)
    if value is None and op is Op.EXACT:
        return Lookup(path=path, op=Op.ISNULL, value=True)
    kind = _KINDS[paths[path]]
    if op not in kind.ops:
        usable = ", ".join(op for op in Op if op in kind.ops)
        raise Invalid(f"{key!r} cannot be asked: {path} is {kind.wanted}, which has the lookups {usable}.")
    if op is Op.ISNULL:
        return Lookup(path=path, op=op, value=_read(key, value, _KINDS[bool]))
    if op is not Op.IN:
        return Lookup(path=path, op=op, value=_read(key, value, kind))
    if not isinstance(value, list):
        raise Invalid(f"The value of {key!r} must be a list.")
    return Lookup(path=path, op=op, value=tuple(_read(key, item, kind) for item in value))


def _split(key: object, paths: Mapping[str, type]) -> tuple[str, Op]:
    """Take a lookup apart; a path that itself ends like an operator is the path."""
    name = key if isinstance(key, str) else ""
    if name in paths:
        return name, Op.EXACT
    path, _, suffix = name.rpartition("__")
    if path not in paths:
        raise Invalid(f"There is no lookup {name[:80]!r}. The paths that exist are {', '.join(paths)}.")
    if suffix in {"regex", "iregex"}:
        raise Invalid(f"{name!r} cannot be asked, because databases differ in how they read regular expressions.")
    if suffix not in set(Op):
        known = ", ".join(Op)
        raise Invalid(f"There is no lookup {suffix[:80]!r} of {path}. The lookups that exist are {known}.")
    return path, Op(suffix)


@dataclass(frozen=True, kw_only=True, slots=True)
class _Kind:
    """A type of values: what a person is told it is, how it is read (or ValueError), and how it compares."""

    wanted: str
    read: Callable[[object], Any]
    ops: frozenset[Op]


def _read(key: object, value: object, kind: _Kind) -> Any:
    try:
        return kind.read(value)
    except (ValueError, OverflowError):
        # Without the cause, whose text may repeat a value of any size.
        raise Invalid(f"A value of {key!r} must be {kind.wanted}.") from None


def _text(value: object) -> str:
    # No object has what UTF-8 cannot write or PostgreSQL cannot store, and to ask the database for it raises.
    if not isinstance(value, str) or value == CALLER or "\0" in value:
        raise ValueError
    value.encode()
    return value


def _boolean(value: object) -> bool:
    if not isinstance(value, bool):
        raise ValueError  # noqa: TRY004 - a refusal of what a person wrote, not a mistake of ours
    return value


def _whole(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not -(2**63) <= value < 2**63:
        raise ValueError
    return value


def _number(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise ValueError
    return float(value)


def _id(value: object) -> UUID | str:
    if not isinstance(value, str):
        raise ValueError  # noqa: TRY004 - a refusal of what a person wrote, not a mistake of ours
    return CALLER if value == CALLER else UUID(value)


def _moment(value: object) -> datetime:
    moment = datetime.fromisoformat(value) if isinstance(value, str) else None
    if moment is None or moment.tzinfo is None:
        raise ValueError
    return moment.astimezone(UTC)


_EQUALITY = frozenset({Op.EXACT, Op.IN, Op.ISNULL})
_ORDER = _EQUALITY | {Op.GT, Op.GTE, Op.LT, Op.LTE}
_KINDS: Mapping[type, _Kind] = {
    str: _Kind(wanted='text without NUL (and "$user" is no text, but an id)', read=_text, ops=frozenset(Op)),
    bool: _Kind(wanted="true or false", read=_boolean, ops=_EQUALITY),
    int: _Kind(wanted="a whole number of at most 64 bits", read=_whole, ops=_ORDER),
    float: _Kind(wanted="a finite number", read=_number, ops=_ORDER),
    UUID: _Kind(wanted='a UUID or "$user"', read=_id, ops=_EQUALITY),
    datetime: _Kind(
        wanted="an ISO 8601 date and time with its offset from UTC (2030-01-31T08:00:00Z)",
        read=_moment,
        ops=_ORDER,
    ),
}
