"""What users, groups, tokens and permissions can be called and can hold, however they are made.

* A name can be printed, and written in a list of names; a user's also before the colon of ``user:token``.
* A key is too long to be guessed and can be sent in a header; no refusal repeats it.
* A permission has known types, known actions, and constraints that speak of what the types have.

Every refusal is one sentence. Contract 8.

Reads what somebody wants to be written of a user, a group, a token or a permission.

* Every fault is told under its field, all of them at once.
* What cannot be set is refused, not passed over: whoever sends it means something by it.
* Other users and groups are named by their id, their name, or an object with their id.
* Whose a token is and what its key is are settled when it is made.

Contract 8.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from functools import partial
from typing import Any, TypeVar
from uuid import UUID

from api_shim.domain.accounts import Permission
from api_shim.parsing.fields import collect, read_flag, read_id, read_object
from api_shim.parsing.run_request import NOT_A_STRING, REQUIRED, read_time
from api_shim.store.columns import path_types
from approval_gate import constraints
from approval_gate.errors import Invalid
from approval_gate.model import Action, ObjectType
from flows.inputs import is_storable

Member = TypeVar("Member", bound=StrEnum)

MIN_KEY_LENGTH = 20


def check_username(name: str) -> str:
    """Return a user's name.

    Raises:
        Invalid: it is empty, too long, or has characters that do not fit into ``user:token``.
    """
    if not name or len(name) > 150 or not all(c.isalnum() or c in "@.+-_" for c in name):
        raise Invalid("A user name has 1 to 150 letters, digits, and @ . + - _ only.")
    return name


def check_group_name(name: str) -> str:
    """Return a group's name.

    Raises:
        Invalid: it is empty, too long, or cannot be printed or listed with others.
    """
    if not _is_name(name, 150) or "," in name:
        raise Invalid("A group name has 1 to 150 printable characters, no comma, and no space around it.")
    return name


def check_permission_name(name: str) -> str:
    """Return a permission's name.

    Raises:
        Invalid: it is empty, too long, or cannot be printed.
    """
    if not _is_name(name, 255):
        raise Invalid("A permission's name has 1 to 255 printable characters, and no space around it.")
    return name


def check_key(key: str) -> str:
    """Return a token's key.

    Raises:
        Invalid: it is too short, or cannot be sent.
    """
    if len(key) < MIN_KEY_LENGTH or not key.isascii() or not key.isprintable() or " " in key:
        raise Invalid(f"A token has at least {MIN_KEY_LENGTH} printable ASCII characters, and no space.")
    return key


def check_end(expires: datetime | None, now: datetime) -> datetime | None:
    """Return when a token stops working; None for never.

    Raises:
        Invalid: it is past that already.
    """
    if expires is not None and expires <= now:
        raise Invalid("The token would have expired already.")
    return expires


def read_types(words: Sequence[str]) -> tuple[ObjectType, ...]:
    """Return the types that a permission speaks of, each once.

    Raises:
        Invalid: one is unknown, or there is none.
    """
    return _members(ObjectType, words, "type")


def read_actions(words: Sequence[str]) -> tuple[Action, ...]:
    """Return the actions that a permission gives, each once.

    Raises:
        Invalid: one is unknown, or there is none.
    """
    return _members(Action, words, "action")


def check_constraints(raw: Any, types: Collection[ObjectType]) -> None:
    """See that the constraints of a permission speak of what its types have.

    Raises:
        Invalid: they do not; the sentence says what would be.
    """
    constraints.parse(raw, path_types(frozenset(types)))


def _is_name(name: str, longest: int) -> bool:
    return 0 < len(name) <= longest and name.isprintable() and name == name.strip()


def _members(kind: type[Member], words: Sequence[str], noun: str) -> tuple[Member, ...]:
    known = {str(member): member for member in kind}
    for word in words:
        if word not in known:
            raise Invalid(f"There is no {noun} {word[:100]!r}; there are {', '.join(known)}.")
    if not words:
        raise Invalid(f"Give at least one {noun}: {', '.join(known)}.")
    return tuple(known[word] for word in dict.fromkeys(words))


Reference = UUID | str
Reader = Callable[[Any], Any]

CANNOT_BE_SET = "This field cannot be set."
MOST = 1000
"""How many users or groups one request can name."""

NEEDED: Mapping[ObjectType, tuple[str, ...]] = {
    ObjectType.USER: ("username",),
    ObjectType.GROUP: ("name",),
    ObjectType.TOKEN: (),
    ObjectType.PERMISSION: ("name", "object_types", "actions"),
}
"""What must be given of a new one; the rest has defaults."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Reading:
    """What a form is read with.

    Args:
        now: the time.
        zone: IANA name of the zone in which a time without an offset is meant.
        ids_of: returns the ids of the users or groups that are named; ``Invalid`` for one that is unknown.
    """

    now: datetime
    zone: str
    ids_of: Callable[[ObjectType, Sequence[Reference]], tuple[UUID, ...]]


def read_form(kind: ObjectType, body: object, reading: Reading, before: Any = None) -> dict[str, Any]:
    """Return the fields that are given, with what they are to hold; users and groups as their ids.

    Args:
        kind: the type of account.
        body: what the client sent, decoded.
        reading: what it is read with.
        before: what is to be changed; None for a new one.

    Raises:
        Invalid: with ``{field: [sentence]}``.
    """
    sent = read_object(body)
    readers = _readers(kind, reading, new=before is None)
    faults = {name: [CANNOT_BE_SET] for name in sent if name not in readers}
    if before is None:
        faults |= {name: [REQUIRED] for name in NEEDED[kind] if name not in sent}
    known = [name for name in sent if name in readers]
    values = {name: collect(faults, name, readers[name], sent[name]) for name in known}
    if kind is ObjectType.PERMISSION and "object_types" not in faults:
        faults |= _limits(values, before)
    if faults:
        raise Invalid(faults)
    return values


def _readers(kind: ObjectType, reading: Reading, *, new: bool) -> Mapping[str, Reader]:
    users, groups = (partial(_several, reading, each) for each in (ObjectType.USER, ObjectType.GROUP))
    readers: Mapping[ObjectType, Mapping[str, Reader]] = {
        ObjectType.USER: {
            "username": partial(_text, check_username),
            "is_active": read_flag,
            "is_superuser": read_flag,
            "groups": groups,
        },
        ObjectType.GROUP: {"name": partial(_text, check_group_name)},
        ObjectType.TOKEN: {
            "write_enabled": read_flag,
            "expires": partial(_end, reading),
            **({"user": partial(_one, reading), "key": _key} if new else {}),
        },
        ObjectType.PERMISSION: {
            "name": partial(_text, check_permission_name),
            "enabled": read_flag,
            "object_types": partial(_words, read_types),
            "actions": partial(_words, read_actions),
            "constraints": lambda raw: raw,
            "users": users,
            "groups": groups,
        },
    }
    return readers[kind]


def _limits(values: Mapping[str, Any], before: Permission | None) -> dict[str, list[str]]:
    """Return the fault of constraints that do not fit the types, whichever of the two is new."""
    if not {"object_types", "constraints"} & values.keys():
        return {}
    types = values.get("object_types", before.object_types if before else ())
    try:
        check_constraints(values.get("constraints", before.constraints if before else None), types)
    except Invalid as error:
        return {"constraints": [str(error)]}
    return {}


def _text(check: Callable[[str], str], value: Any) -> str:
    if not isinstance(value, str):
        raise Invalid(NOT_A_STRING)
    return check(value)


def _key(value: Any) -> str | None:
    return None if value is None else _text(check_key, value)


def _end(reading: Reading, value: Any) -> datetime | None:
    return None if value is None else check_end(read_time(value, reading.zone), reading.now)


def _words(read: Callable[[Sequence[str]], Any], value: Any) -> Any:
    if not isinstance(value, list) or not all(isinstance(word, str) for word in value):
        raise Invalid("Expected a list of words.")
    return read(value)


def _several(reading: Reading, kind: ObjectType, value: Any) -> tuple[UUID, ...]:
    if not isinstance(value, list) or len(value) > MOST:
        raise Invalid(f"Expected a list of at most {MOST} ids or names.")
    return reading.ids_of(kind, [_reference(item) for item in value])


def _one(reading: Reading, value: Any) -> UUID:
    (found,) = reading.ids_of(ObjectType.USER, [_reference(value)])
    return found


def _reference(value: Any) -> Reference:
    named = value.get("id") if isinstance(value, Mapping) else value
    if not isinstance(named, str) or not is_storable(named):
        raise Invalid("Expected an id, a name, or an object with an id.")
    return read_id(named) or named
