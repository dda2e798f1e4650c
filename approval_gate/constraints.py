"""Constraints: which objects a permission is limited to (contract 8).

* A constraint is an object, all of whose lookups must match, or a list of objects, one of which must match.
* ``null`` and ``{}`` mean no limit. An empty list, and an empty object inside a list, are refused: some limit was
  meant, and either reading would be a guess.
* A lookup is ``path`` or ``path__op``. Its value is converted and checked once, by the type of its path.
* ``$user`` is the caller's id. It is compared with ids only.
* A value that is null, missing or of another type does not match; only ``isnull`` and an ``exact`` null match nulls.
* Text is compared by code points, and case is ignored for A to Z only, so that all databases agree.
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
"""The most values in one constraint, so that several constraints still fit into one query."""


class Op(StrEnum):
    """How a lookup compares; a lookup without an operator is ``exact``."""

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
    """Return ``text`` with only A to Z in lower case; raise TypeError if it is not a string."""
    return str.translate(text, _LOWER)


# Each takes the object's value, which is never None, and the lookup's; TypeError means that they do not compare.
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
    """Say whether a value matches; null or a value of another type does not, except that ``isnull`` matches null."""
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
        path: the attribute.
        op: how to compare it.
        value: the value to compare with, in the type of the path; a tuple for ``in``, a bool for ``isnull``.
            ``$user`` stands for the caller.
    """

    path: str
    op: Op
    value: Any

    def asked_by(self, user: UUID) -> Any:
        """Return the value with ``$user`` replaced by the caller's id."""
        if self.op is Op.IN:
            return tuple(user if item == CALLER else item for item in self.value)
        return user if self.value == CALLER else self.value

    def holds(self, thing: Mapping[str, Any], *, user: UUID) -> bool:
        """Say whether the object has the attribute and it matches; never raises."""
        return self.path in thing and compares(thing[self.path], self.op, self.asked_by(user))


@dataclass(frozen=True, slots=True)
class Constraint:
    """Which objects a permission is limited to.

    Args:
        alternatives: one of them must match, with all its lookups; one without lookups matches everything.
    """

    alternatives: tuple[tuple[Lookup, ...], ...] = ((),)

    @property
    def unlimited(self) -> bool:
        """Say whether it matches every object."""
        return () in self.alternatives

    def matches(self, thing: Mapping[str, Any], *, user: UUID) -> bool:
        """Say whether an object is within the limits; never raises.

        Args:
            thing: the object's attributes by lookup path.
            user: the caller's id, which replaces ``$user``.
        """
        return any(all(lookup.holds(thing, user=user) for lookup in lookups) for lookups in self.alternatives)


UNLIMITED = Constraint()


def parse(raw: object, paths: Mapping[str, type]) -> Constraint:
    """Read the constraints of a permission (contract 8).

    Args:
        raw: the constraints as decoded from JSON.
        paths: the lookup paths of the object types that the permission covers, each with the type of its
            values: str, bool, int, float, UUID or datetime.

    Returns:
        the constraint, its values converted to the types of their paths.

    Raises:
        Invalid: a lookup, path or value is wrong; the message says which, and what is accepted.
        TooLarge: there are more than ``MAX_VALUES`` values.
    """
    if raw is None or (isinstance(raw, dict) and not raw):
        return UNLIMITED
    objects = raw if isinstance(raw, list) else [raw]
    if not objects:
        raise Invalid("An empty list of constraints would match nothing; give null for no constraint.")
    constraint = Constraint(tuple(_lookups(item, paths) for item in objects))
    if sum(_size(lookup) for lookups in constraint.alternatives for lookup in lookups) > MAX_VALUES:
        raise TooLarge(f"Constraints can hold {MAX_VALUES} values at most; split them over several permissions.")
    return constraint


def _size(lookup: Lookup) -> int:
    return max(1, len(lookup.value)) if lookup.op is Op.IN else 1


def _lookups(item: object, paths: Mapping[str, type]) -> tuple[Lookup, ...]:
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
        raise Invalid(f"{key!r} cannot be used: {path} is {kind.wanted}, which has the lookups {usable}.")
    if op is Op.ISNULL:
        return Lookup(path=path, op=op, value=_read(key, value, _KINDS[bool]))
    if op is not Op.IN:
        return Lookup(path=path, op=op, value=_read(key, value, kind))
    if not isinstance(value, list):
        raise Invalid(f"The value of {key!r} must be a list.")
    return Lookup(path=path, op=op, value=tuple(_read(key, item, kind) for item in value))


def _split(key: object, paths: Mapping[str, type]) -> tuple[str, Op]:
    """Split a lookup into path and operator; a path that itself ends like an operator stays a path."""
    name = key if isinstance(key, str) else ""
    if name in paths:
        return name, Op.EXACT
    path, _, suffix = name.rpartition("__")
    if path not in paths:
        raise Invalid(f"There is no lookup {name[:80]!r}. The paths that exist are {', '.join(paths)}.")
    if suffix in {"regex", "iregex"}:
        raise Invalid(f"{name!r} cannot be used, because databases differ in how they read regular expressions.")
    if suffix not in set(Op):
        known = ", ".join(Op)
        raise Invalid(f"There is no lookup {suffix[:80]!r} of {path}. The lookups that exist are {known}.")
    return path, Op(suffix)


@dataclass(frozen=True, kw_only=True, slots=True)
class _Kind:
    """A type of values: what messages call it, how it is read (ValueError if it cannot be), and its operators."""

    wanted: str
    read: Callable[[object], Any]
    ops: frozenset[Op]


def _read(key: object, value: object, kind: _Kind) -> Any:
    try:
        return kind.read(value)
    except (ValueError, OverflowError):
        # The cause is dropped, because its text may repeat a value of any size.
        raise Invalid(f"A value of {key!r} must be {kind.wanted}.") from None


def _text(value: object) -> str:
    # Text that UTF-8 cannot encode or PostgreSQL cannot store matches no object, and a query with it would raise.
    if not isinstance(value, str) or value == CALLER or "\0" in value:
        raise ValueError
    value.encode()
    return value


def _boolean(value: object) -> bool:
    if not isinstance(value, bool):
        raise ValueError  # noqa: TRY004 - refuses input; not a programming error
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
        raise ValueError  # noqa: TRY004 - refuses input; not a programming error
    return CALLER if value == CALLER else UUID(value)


def _moment(value: object) -> datetime:
    moment = datetime.fromisoformat(value) if isinstance(value, str) else None
    if moment is None or moment.tzinfo is None:
        raise ValueError
    return moment.astimezone(UTC)


_EQUALITY = frozenset({Op.EXACT, Op.IN, Op.ISNULL})
_ORDER = _EQUALITY | {Op.GT, Op.GTE, Op.LT, Op.LTE}
_KINDS: Mapping[type, _Kind] = {
    str: _Kind(wanted='text without NUL (and "$user" is an id, not text)', read=_text, ops=frozenset(Op)),
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
