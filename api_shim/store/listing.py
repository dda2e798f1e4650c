"""What is asked of a list, and the part of it that is given."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Generic, TypeVar

from api_shim.conditions import Condition

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """A part of a list: how many there are in all, and these."""

    count: int
    rows: list[T]


@dataclass(frozen=True, kw_only=True, slots=True)
class Listing:
    """What is asked of a list.

    Args:
        where: conditions, all of which must hold.
        search: a part of a text that must stand in one of the searched fields; empty matches all.
        sort: lookup paths, a leading ``-`` for descending; ties keep a stable order.
        limit: how many at most.
        offset: how many to pass over.
    """

    where: tuple[Condition, ...] = ()
    search: str = ""
    sort: tuple[str, ...] = ()
    limit: int
    offset: int = 0
