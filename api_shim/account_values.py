"""What users, groups, tokens and permissions can be called and can hold, however they are made.

* A name can be printed, and written in a list of names; a user's also before the colon of ``user:token``.
* A key is too long to be guessed and can be sent in a header; no refusal repeats it.
* A permission has known types, known actions, and constraints that speak of what the types have.

Every refusal is one sentence. Contract 8.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime
from enum import StrEnum
from typing import Any, TypeVar

from api_shim.store.lookups import path_types
from approval_gate import constraints
from approval_gate.errors import Invalid
from approval_gate.model import Action, ObjectType

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
