"""Queries for lists: conditions, sorting and paging, for the store to evaluate, or to evaluate in memory.

* One attribute is compared by a ``Lookup``, as in the constraints of permissions; ``$user`` has no meaning here.
* A negated condition holds wherever the condition does not, including for null values.
* Regular expressions are limited to those that match in linear time, so that no pattern keeps a server busy.

Contract 2.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Generic, TypeVar

import re2

from approval_gate.constraints import Lookup, compares

LONGEST_PATTERN = 1000
"""How many characters a regular expression may have."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Pattern:
    """One text in which a regular expression is found.

    Args:
        path: which attribute.
        regex: the expression.
        ignore_case: whether upper and lower case are the same.
    """

    path: str
    regex: str
    ignore_case: bool

    def holds(self, thing: Mapping[str, Any]) -> bool:
        """Say whether it is found in an object's attribute."""
        has = thing.get(self.path)
        return has is not None and found_in(self.regex, has, ignore_case=self.ignore_case)


@dataclass(frozen=True, kw_only=True, slots=True)
class Condition:
    """What one field of a query asks for.

    Args:
        tests: any of them must hold.
        negated: none of them may hold.
        parameter: under which name the query asks it.
    """

    tests: tuple[Lookup | Pattern, ...]
    negated: bool = False
    parameter: str = field(default="", compare=False)

    def holds(self, thing: Mapping[str, Any]) -> bool:
        """Say whether an object is what is asked for.

        Args:
            thing: value by lookup path.
        """
        return any(_holds(test, thing) for test in self.tests) is not self.negated


def _holds(test: Lookup | Pattern, thing: Mapping[str, Any]) -> bool:
    """Say whether one test holds; its value is what was sent, and ``$user`` a text like any other."""
    return test.holds(thing) if isinstance(test, Pattern) else compares(thing.get(test.path), test.op, test.value)


@lru_cache(maxsize=256)
def _compiled(regex: str, *, ignore_case: bool) -> Any:
    options = re2.Options()
    options.case_sensitive = not ignore_case
    options.log_errors = False
    return re2.compile(regex, options)


def found_in(regex: str, text: str, *, ignore_case: bool) -> bool:
    """Say whether a regular expression, read before by ``read_pattern``, is found in a text."""
    return _compiled(regex, ignore_case=ignore_case).search(text) is not None


def read_pattern(text: str) -> str:
    """Return a regular expression.

    Raises:
        ValueError: it is none, or one that cannot be decided in linear time.
    """
    if len(text) > LONGEST_PATTERN:
        raise ValueError(f"A regular expression may have {LONGEST_PATTERN} characters at most.")
    try:
        _compiled(text, ignore_case=False)
    except re2.error as error:
        reason = error.args[0].decode("utf-8", "replace")
        raise ValueError(f"Not a regular expression that can be used here: {reason}.") from None
    return text


FAILING = "failing"
"""The path in lists of scheduled jobs that says whether one fails: it was disabled by a failure, or its last run has
failed, as far as the caller may view that."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """One page of a list, and the number of rows in the whole list."""

    count: int
    rows: list[T]


@dataclass(frozen=True, kw_only=True, slots=True)
class Listing:
    """The conditions, order and page of a list.

    Args:
        where: conditions, all of which must hold.
        search: text that one of the searched fields must contain; empty matches all.
        sort: lookup paths, with a leading ``-`` for descending; ties have a stable order.
        limit: the most rows to return.
        offset: the number of rows to skip.
    """

    where: tuple[Condition, ...] = ()
    search: str = ""
    sort: tuple[str, ...] = ()
    limit: int
    offset: int = 0
