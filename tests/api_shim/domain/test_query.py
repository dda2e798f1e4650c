"""Conditions on what is at hand; that the databases decide alike is shown in ``store/test_where.py``."""

from __future__ import annotations

import time
from typing import Any

import pytest

from api_shim.domain.query import LONGEST_PATTERN, Condition, Pattern, found_in, read_pattern
from approval_gate.constraints import CALLER, Lookup, Op

GREET = {"name": "Greet", "count": 3, "note": None, "dollar": CALLER}


def compare(path: str, op: Op, value: Any, *, negated: bool = False) -> Condition:
    return Condition(tests=(Lookup(path=path, op=op, value=value),), negated=negated)


@pytest.mark.parametrize(
    ("condition", "holds"),
    [
        pytest.param(compare("name", Op.IN, ("Greet", "Other")), True, id="any of several"),
        pytest.param(compare("name", Op.IN, ()), False, id="none of none"),
        pytest.param(compare("name", Op.ICONTAINS, "REE"), True, id="contains without case"),
        pytest.param(compare("name", Op.EXACT, CALLER), False, id="nobody stands for the caller"),
        pytest.param(compare("dollar", Op.IN, (CALLER,)), True, id="it is a text like any other"),
        pytest.param(compare("count", Op.GTE, 3), True, id="at least"),
        pytest.param(compare("count", Op.GTE, 3, negated=True), False, id="not at least"),
        pytest.param(compare("note", Op.IEXACT, "x"), False, id="what is empty is not"),
        pytest.param(compare("note", Op.IEXACT, "x", negated=True), True, id="so it is the opposite"),
        pytest.param(compare("note", Op.ISNULL, True), True, id="is empty"),
        pytest.param(compare("name", Op.ISNULL, True), False, id="is not empty"),
        pytest.param(compare("name", Op.ISNULL, False), True, id="has something"),
        pytest.param(
            Condition(tests=(Pattern(path="name", regex="^g.*t$", ignore_case=True),)), True, id="an expression"
        ),
        pytest.param(
            Condition(tests=(Pattern(path="name", regex="^g", ignore_case=False),)), False, id="an expression with case"
        ),
        pytest.param(
            Condition(tests=(Pattern(path="note", regex="", ignore_case=False),), negated=True),
            True,
            id="no expression is found in what is empty",
        ),
    ],
)
def test_a_condition(condition: Condition, holds: bool) -> None:
    assert condition.holds(GREET) is holds


@pytest.mark.parametrize(
    ("pattern", "fault"),
    [
        pytest.param("(", "missing", id="a bracket that is not closed"),
        pytest.param(r"(a)\1", "invalid escape sequence", id="what needs a second look"),
        pytest.param("(?=a)", "invalid perl operator", id="what looks ahead"),
        pytest.param("a" * (LONGEST_PATTERN + 1), "characters at most", id="a long one"),
    ],
)
def test_an_expression_that_cannot_be_used_says_why(pattern: str, fault: str) -> None:
    with pytest.raises(ValueError, match=fault):
        read_pattern(pattern)


def test_no_expression_takes_long() -> None:
    began = time.monotonic()
    assert not found_in("(a+)+$", "a" * 10_000 + "b", ignore_case=False)
    assert time.monotonic() - began < 1
