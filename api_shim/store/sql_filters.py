"""The constraints of permissions and the conditions of lists as SQL, so that a list shows exactly what the rules would
allow one by one.

* A condition holds for exactly the rows that match (``approval_gate.constraints``), on SQLite and PostgreSQL.
* No constraint, an unknown path, null and unknown are all "no": nothing is shown that no constraint matches.
* A value is always a bound parameter, and never a pattern.
* Text is compared by code points and folded from A to Z alone, whatever the locale of the database.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import (
    BigInteger,
    Boolean,
    ColumnElement,
    Double,
    String,
    TypeDecorator,
    and_,
    false,
    func,
    literal,
    not_,
    true,
    type_coerce,
)
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement
from sqlalchemy.types import TypeEngine

from api_shim.domain.query import Condition as Asked
from api_shim.domain.query import Pattern
from approval_gate.constraints import Constraint, Lookup, Op, fold

Condition = ColumnElement[bool]


def restriction(
    constraints: Iterable[Constraint], columns: Mapping[str, ColumnElement[Any]], *, user: UUID
) -> Condition:
    """Return the condition under which some constraint matches (contract 8).

    Args:
        constraints: the alternatives; none at all means nothing.
        columns: column by lookup path. Text, also that of enumerations, is stored as its value.
        user: the caller's id, what ``$user`` stands for.

    Returns:
        a condition for WHERE. For a row that does not match it is false or unknown, so never negate it.
    """
    alternatives = dict.fromkeys(every for constraint in constraints for every in constraint.alternatives)
    if () in alternatives:
        return true()
    return _any([and_(*(_holds(lookup, columns, user) for lookup in every)) for every in alternatives])


def fulfilling(asked: Asked, columns: Mapping[str, ColumnElement[Any]]) -> Condition:
    """Return the condition under which a row is what a list is asked for (contract 2).

    Args:
        asked: what is asked for.
        columns: column by lookup path.
    """
    condition = _any([_passes(test, columns) for test in asked.tests])
    # Null, which is neither, is not what was asked for, and so its opposite.
    return not_(func.coalesce(condition, false())) if asked.negated else condition


def _passes(test: Lookup | Pattern, columns: Mapping[str, ColumnElement[Any]]) -> Condition:
    column = columns[test.path]
    if isinstance(test, Lookup):
        return _compares(column, test.op, test.value)
    found = FoundIgnoringCase if test.ignore_case else Found
    return found(column, literal(test.regex))


def value_types(columns: Mapping[str, ColumnElement[Any]]) -> dict[str, type]:
    """Return the Python type of each column's values, by lookup path: what ``parse`` wants to know."""
    return {path: _stored(column.type).python_type for path, column in columns.items()}


def _stored(kind: TypeEngine[Any]) -> TypeEngine[Any]:
    return kind.impl_instance if isinstance(kind, TypeDecorator) else kind


def _any(conditions: Sequence[Condition]) -> Condition:
    """Join with OR in halves: SQLite refuses expressions that are 1000 deep, and OR makes a level of each."""
    if len(conditions) < 2:
        return conditions[0] if conditions else false()
    half = len(conditions) // 2
    # or_() would undo the halves; an operator that SQLAlchemy does not know is left as it is written.
    return _any(conditions[:half]).bool_op("OR")(_any(conditions[half:]))


def _holds(lookup: Lookup, columns: Mapping[str, ColumnElement[Any]], user: UUID) -> Condition:
    if lookup.path not in columns:
        return false()
    return _compares(columns[lookup.path], lookup.op, lookup.asked_by(user))


def _compares(column: ColumnElement[Any], op: Op, asked: Any) -> Condition:
    return CONDITIONS[op](_typed(asked, column), asked)


# How a value is sent: the column's own type may be narrower (32 bits) or convert it (enumerations).
_SENT_AS: Mapping[type, TypeEngine[Any]] = {str: String(), int: BigInteger(), float: Double()}


def _typed(asked: Any, column: ColumnElement[Any]) -> ColumnElement[Any]:
    sample = asked[0] if isinstance(asked, tuple) and asked else asked
    sent_as = _SENT_AS.get(type(sample))
    return column if sent_as is None else type_coerce(column, sent_as)


class _ByCodePoint(FunctionElement[str]):
    """Text whose order and case do not depend on the locale of the database."""

    inherit_cache = True
    type = String()


@compiles(_ByCodePoint)
def _in_bytes(element: _ByCodePoint, compiler: SQLCompiler, **how: Any) -> str:
    # SQLite compares bytes of UTF-8, which is the order of code points, and its lower() knows A to Z alone.
    return compiler.process(element.clauses, **how)


@compiles(_ByCodePoint, "postgresql")
def _in_c(element: _ByCodePoint, compiler: SQLCompiler, **how: Any) -> str:
    return f'({compiler.process(element.clauses, **how)} COLLATE "C")'


def _ordered(column: ColumnElement[Any]) -> ColumnElement[Any]:
    return _ByCodePoint(column) if isinstance(column.type, String) else column


def _contains(text: ColumnElement[str], asked: str) -> Condition:
    # What contains it is changed by taking it out. SQLite's LIKE would ignore case and refuse long values.
    return text.is_not(None) if not asked else func.replace(text, asked, "") != text


def _starts(text: ColumnElement[str], asked: str) -> Condition:
    return func.substr(text, 1, func.length(literal(asked))) == asked


def _ends(text: ColumnElement[str], asked: str) -> Condition:
    return func.substr(text, func.length(text) - func.length(literal(asked)) + 1) == asked


def _folded(
    compare: Callable[[ColumnElement[str], str], Condition],
) -> Callable[[ColumnElement[str], str], Condition]:
    return lambda text, asked: compare(func.lower(_ByCodePoint(text)), fold(asked))


class Found(FunctionElement[bool]):
    """A regular expression is found in a text."""

    inherit_cache = True
    type = Boolean()
    ignore_case = False


class FoundIgnoringCase(Found):
    """The same, without regard to case."""

    inherit_cache = True
    ignore_case = True


FOUND = "signoff_found"
"""The function of ours that decides about regular expressions on SQLite: pattern, text, whether to ignore case."""


@compiles(Found)
def _found_by_us(element: Found, compiler: SQLCompiler, **how: Any) -> str:
    text, pattern = (compiler.process(part, **how) for part in element.clauses)
    return f"{FOUND}({pattern}, {text}, {int(element.ignore_case)})"


@compiles(Found, "postgresql")
def _found_by_it(element: Found, compiler: SQLCompiler, **how: Any) -> str:
    text, pattern = (compiler.process(part, **how) for part in element.clauses)
    return f"({text} {'~*' if element.ignore_case else '~'} {pattern})"


CONDITIONS: Mapping[Op, Callable[[ColumnElement[Any], Any], Condition]] = {
    Op.EXACT: operator.eq,
    Op.IEXACT: _folded(operator.eq),
    Op.IN: lambda column, asked: column.in_(asked),
    Op.CONTAINS: _contains,
    Op.ICONTAINS: _folded(_contains),
    Op.STARTSWITH: _starts,
    Op.ISTARTSWITH: _folded(_starts),
    Op.ENDSWITH: _ends,
    Op.IENDSWITH: _folded(_ends),
    Op.GT: lambda column, asked: _ordered(column) > asked,
    Op.GTE: lambda column, asked: _ordered(column) >= asked,
    Op.LT: lambda column, asked: _ordered(column) < asked,
    Op.LTE: lambda column, asked: _ordered(column) <= asked,
    Op.ISNULL: lambda column, asked: column.is_(None) if asked else column.is_not(None),
}
