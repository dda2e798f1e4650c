"""The constraints as SQL: the database returns exactly the rows that match."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import (
    Boolean,
    Column,
    ColumnElement,
    DateTime,
    Dialect,
    Engine,
    Float,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    TypeDecorator,
    Uuid,
    create_engine,
    event,
    insert,
    select,
)
from sqlalchemy.engine import make_url

from api_shim.domain.query import Condition, Pattern, found_in
from api_shim.store.sql_filters import CONDITIONS, FOUND, fulfilling, restriction, value_types
from approval_gate.constraints import MAX_VALUES, UNLIMITED, Constraint, Lookup, Op, parse

ANN = UUID("11111111-1111-1111-1111-111111111111")
BOB = UUID("22222222-2222-2222-2222-222222222222")

DIALECTS: dict[str, Dialect] = {
    name: make_url(f"{name}://").get_dialect()() for name in ("sqlite", "postgresql+psycopg")
}

# Turkish has its own order and its own small letter for I: what depended on the locale would show.
TURKISH = String(100).with_variant(String(100, collation="tr-x-icu"), "postgresql")


class Colour(StrEnum):
    RED = "red"
    RED_TOO = "Red"
    ODD = "%_"


class Moment(TypeDecorator[datetime]):
    """An aware time, stored in UTC."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        return None if value is None else value.astimezone(UTC)


class Word(TypeDecorator[StrEnum]):
    """A member of an enumeration, stored as its value; it takes nothing else."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:
        return None if value is None else Colour(value).value


things = Table(
    "things",
    MetaData(),
    Column("number", Integer, primary_key=True),
    Column("name", TURKISH),
    Column("colour", Word),
    Column("enabled", Boolean),
    Column("count", Integer),
    Column("ratio", Float),
    Column("owner", Uuid),
    Column("start", Moment),
)
COLUMNS: dict[str, Any] = {
    "name": things.c.name,
    "colour": things.c.colour,
    "enabled": things.c.enabled,
    "count": things.c.count,
    "ratio": things.c.ratio,
    "user": things.c.owner,
    "user__start_time": things.c.start,
}
PATHS = {**value_types(COLUMNS), "elsewhere": str}
"""What constraints may speak of: every column, and something that these rows do not have."""


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def engine(request: pytest.FixtureRequest) -> Iterator[Engine]:
    url = "sqlite://" if request.param == "sqlite" else f"{request.getfixturevalue('postgresql_server')}/postgres"
    engine = create_engine(url)
    if request.param == "sqlite":
        event.listen(engine, "connect", lambda connection, _: connection.create_function(FOUND, 3, _found_in))
    things.metadata.drop_all(engine)
    things.metadata.create_all(engine)
    yield engine
    things.metadata.drop_all(engine)
    engine.dispose()


def _found_in(pattern: str, text: str | None, ignore_case: int) -> bool | None:
    return None if text is None else found_in(pattern, text, ignore_case=bool(ignore_case))


def found(engine: Engine, rows: Sequence[dict[str, Any]], constraints: Sequence[Constraint]) -> list[int]:
    """Return the places of the rows that the database finds, of rows by lookup path."""
    return selected(engine, rows, restriction(constraints, COLUMNS, user=ANN))


def selected(engine: Engine, rows: Sequence[dict[str, Any]], condition: ColumnElement[bool]) -> list[int]:
    query = select(things.c.number).where(condition).order_by("number")
    with engine.connect() as connection, connection.begin() as transaction:
        for number, row in enumerate(rows):
            values = {COLUMNS[path].name: value for path, value in row.items()}
            connection.execute(insert(things).values(number=number, **values))
        numbers = list(connection.scalars(query))
        transaction.rollback()
    return numbers


def matching(rows: Sequence[dict[str, Any]], constraints: Sequence[Constraint]) -> list[int]:
    """Return the places of the rows that the rules let through."""
    return [
        number
        for number, row in enumerate(rows)
        if any(constraint.matches(row, user=ANN) for constraint in constraints)
    ]


# Few and nasty, so that they meet: patterns, quotes, letters whose case depends on who asks, an order that
# depends on the encoding, a letter and its look-alike in two code points.
TEXT = st.text("aAbBiIıİéÉßẞ%_*?[]\\'\"$ \n\uffff😀\u0301", max_size=4)
MOMENTS = st.sampled_from(
    [
        datetime.min.replace(tzinfo=UTC),
        datetime(2030, 1, 31, 8, tzinfo=UTC),
        datetime(2030, 1, 31, 8, 0, 0, 1, tzinfo=UTC),
        datetime(2030, 10, 27, 1, 30, tzinfo=UTC),
        datetime.max.replace(tzinfo=UTC),
    ]
)
NUMBERS = st.sampled_from([-(2**31), -1, 0, 1, 2, 2**31 - 1])
FRACTIONS = st.sampled_from([-1e300, -0.0, 0.1, 0.30000000000000004, 1.0, 2.0**53])
ROW = st.fixed_dictionaries(
    {
        "name": st.none() | TEXT,
        "colour": st.none() | st.sampled_from(Colour),
        "enabled": st.none() | st.booleans(),
        "count": st.none() | NUMBERS,
        "ratio": st.none() | FRACTIONS,
        "user": st.sampled_from([None, ANN, BOB]),
        "user__start_time": st.none() | MOMENTS,
    }
)
WRITTEN: dict[str, st.SearchStrategy[Any]] = {
    "name": TEXT,
    "colour": st.sampled_from([*map(str, Colour), "r", "RED", "", "nothing"]),
    "enabled": st.booleans(),
    "count": NUMBERS | st.sampled_from([-(2**63), 2**63 - 1, 2**31]),
    "ratio": FRACTIONS | st.just(1),
    "user": st.sampled_from(["$user", str(ANN), str(BOB)]),
    "user__start_time": MOMENTS.map(datetime.isoformat) | st.just("2030-01-31T10:00:00+02:00"),
    "elsewhere": TEXT,
}
ORDER = [Op.EXACT, Op.IN, Op.GT, Op.GTE, Op.LT, Op.LTE, Op.ISNULL]
OPS = {path: list(Op) if kind is str else ORDER for path, kind in PATHS.items()} | {
    path: [Op.EXACT, Op.IN, Op.ISNULL] for path in ("enabled", "user")
}


@st.composite
def lookups(draw: st.DrawFn) -> tuple[str, Any]:
    path = draw(st.sampled_from(sorted(PATHS)))
    op = draw(st.sampled_from(OPS[path]))
    written: dict[Op, st.SearchStrategy[Any]] = {
        Op.ISNULL: st.booleans(),
        Op.IN: st.lists(WRITTEN[path], max_size=3),
        Op.EXACT: st.none() | WRITTEN[path],
    }
    return f"{path}__{op}", draw(written.get(op, WRITTEN[path]))


OBJECTS = st.lists(lookups(), min_size=1, max_size=3).map(dict)
CONSTRAINTS = (st.just({}) | OBJECTS | st.lists(OBJECTS, min_size=1, max_size=3)).map(lambda raw: parse(raw, PATHS))


@given(rows=st.lists(ROW, max_size=6), constraints=st.lists(CONSTRAINTS, max_size=3))
def test_the_database_finds_what_matches(
    engine: Engine, rows: list[dict[str, Any]], constraints: list[Constraint]
) -> None:
    assert found(engine, rows, constraints) == matching(rows, constraints)


@given(
    names=st.lists(TEXT, min_size=1, max_size=8),
    op=st.sampled_from(sorted(set(Op) - {Op.IN, Op.ISNULL})),
    data=st.data(),
)
def test_the_database_reads_text_as_we_do(engine: Engine, names: list[str], op: Op, data: st.DataObject) -> None:
    # A piece of what is there, perhaps in the other case, finds more than text of its own would.
    name = data.draw(st.sampled_from(names))
    piece = name[data.draw(st.integers(0, 2)) :][: data.draw(st.integers(1, 4))]
    asked = data.draw(st.sampled_from([piece, piece.swapcase()]))
    rows = [{"name": name} for name in names]
    constraints = [parse({f"name__{op}": asked}, PATHS)]
    assert found(engine, rows, constraints) == matching(rows, constraints)


def comparison(row: dict[str, Any], path: str, op: Op) -> Lookup:
    has = row[path] if row[path] is not None else {"name": "a", "count": 0}.get(path)
    return Lookup(path=path, op=op, value={Op.IN: (has,), Op.ISNULL: True}.get(op, has))


TESTS = st.builds(
    comparison, ROW, st.sampled_from(["name", "count"]), st.sampled_from([Op.IN, Op.GTE, Op.LT, Op.ISNULL])
) | st.builds(comparison, ROW, st.just("name"), st.sampled_from([Op.ICONTAINS, Op.IEXACT, Op.ISTARTSWITH]))
ASKED = st.builds(Condition, tests=st.lists(TESTS, min_size=1, max_size=3).map(tuple), negated=st.booleans())


@given(rows=st.lists(ROW, max_size=6), asked=ASKED)
def test_the_database_finds_what_a_list_is_asked_for(
    engine: Engine, rows: list[dict[str, Any]], asked: Condition
) -> None:
    expected = [number for number, row in enumerate(rows) if asked.holds(row)]
    assert selected(engine, rows, fulfilling(asked, COLUMNS)) == expected


@pytest.mark.parametrize("negated", [False, True])
@pytest.mark.parametrize("ignore_case", [False, True])
@pytest.mark.parametrize("regex", ["^B", "100%$", "[a-c]+k", "a|z", "", r"\d{2,}", "x*"])
def test_the_database_finds_expressions_as_we_do(engine: Engine, regex: str, ignore_case: bool, negated: bool) -> None:
    tests = (Pattern(path="name", regex=regex, ignore_case=ignore_case),)
    asked = Condition(tests=tests, negated=negated)
    expected = [number for number, row in enumerate(ROWS) if asked.holds(row)]
    assert selected(engine, ROWS, fulfilling(asked, COLUMNS)) == expected


ROWS: list[dict[str, Any]] = [
    {"name": "Backup", "enabled": True, "user": ANN, "count": 0},
    {"name": "backup 100%", "enabled": False, "user": BOB, "count": 2**31 - 1},
    {"name": None, "enabled": None, "user": None, "count": None},
]


@pytest.mark.parametrize(
    ("raws", "numbers"),
    [
        pytest.param([], [], id="no permission finds nothing"),
        pytest.param([None], [0, 1, 2], id="one without limits finds everything"),
        pytest.param([{"name": "Backup"}, {}], [0, 1, 2], id="one without limits lifts those of the others"),
        pytest.param([{"name": "Backup"}, {"enabled": False}], [0, 1], id="permissions add up"),
        pytest.param([[{"name": "Backup"}, {"enabled": False}]], [0, 1], id="so do the objects of a list"),
        pytest.param([{"name": "Backup", "enabled": False}], [], id="all of an object must match"),
        pytest.param([{"user": "$user"}], [0], id="$user finds what is the caller's"),
        pytest.param([{"name__contains": "BACKUP"}], [], id="contains minds case"),
        pytest.param([{"name__icontains": "BACKUP"}], [0, 1], id="icontains does not"),
        pytest.param([{"name__contains": "%"}], [1], id="a percent sign is no pattern"),
        pytest.param([{"name__contains": "_"}], [], id="an underscore is no pattern"),
        pytest.param([{"name__contains": ""}], [0, 1], id="null contains nothing"),
        pytest.param([{"name__in": []}], [], id="in an empty list is nothing"),
        pytest.param([{"name": None}], [2], id="exact null finds null"),
        pytest.param([{"enabled__isnull": False}], [0, 1], id="isnull false finds values"),
        pytest.param([{"name": None, "enabled": False}], [], id="null and false are different things"),
        pytest.param([{"elsewhere": "x"}], [], id="a path without column finds nothing"),
        pytest.param([{"elsewhere__isnull": True}], [], id="nor is it null"),
        pytest.param([[{"elsewhere": "x"}, {"name": "Backup"}]], [0], id="nor does it spoil the others"),
        pytest.param([{"count__lt": 2**62}], [0, 1], id="a bound that is wider than the column"),
        pytest.param([{"count__in": [0, 2**62]}], [0], id="a list with a number that is wider than the column"),
    ],
)
def test_a_list_shows(engine: Engine, raws: list[Any], numbers: list[int]) -> None:
    constraints = [parse(raw, PATHS) for raw in raws]
    assert found(engine, ROWS, constraints) == matching(ROWS, constraints) == numbers


@pytest.mark.parametrize(
    "hostile",
    [
        pytest.param("' OR 1=1 --", id="a quote that would end the text"),
        pytest.param("'); DROP TABLE things; --", id="a second statement"),
        pytest.param("%(name)s :name ? $1 {name}", id="the parameters of every driver"),
        pytest.param("\\", id="a backslash alone"),
        pytest.param("%%__" * 1000, id="patterns that take for ever"),
        pytest.param("\u202e😀\x01\x7f", id="what cannot be seen"),
        pytest.param("é" * 500_000, id="a megabyte"),
    ],
)
def test_a_hostile_value_is_a_value(engine: Engine, hostile: str) -> None:
    rows = [*ROWS, {"name": hostile[:100]}]
    for op in sorted(set(Op) - {Op.IN, Op.ISNULL}):
        constraints = [parse({f"name__{op}": hostile}, PATHS)]
        assert found(engine, rows, constraints) == matching(rows, constraints), op
    assert found(engine, ROWS, [UNLIMITED]) == [0, 1, 2]


def test_many_permissions_are_one_query(engine: Engine) -> None:
    alternatives = [[{"name": f"{number} {start}"} for number in range(100)] for start in range(50)]
    constraints = [parse(raw, PATHS) for raw in alternatives]
    rows = [{"name": "7 0"}, {"name": "99 49"}, {"name": "100 0"}]
    assert found(engine, rows, constraints) == [0, 1]


def test_as_many_values_as_a_permission_may_have_are_one_query(engine: Engine) -> None:
    constraint = parse({"count__in": list(range(MAX_VALUES))}, PATHS)
    assert found(engine, [{"count": MAX_VALUES - 1}, {"count": MAX_VALUES}], [constraint]) == [0]


def test_the_same_constraint_twice_is_asked_once() -> None:
    constraint = parse({"name": "a"}, PATHS)
    once = restriction([constraint], COLUMNS, user=ANN)
    assert once.compare(restriction([constraint, constraint], COLUMNS, user=ANN))


def test_no_value_is_written_into_the_query() -> None:
    every = tuple(
        Lookup(path="name", op=op, value=("hostile",) if op is Op.IN else "hostile") for op in Op if op is not Op.ISNULL
    )
    condition = restriction([Constraint((every,))], COLUMNS, user=ANN)
    for dialect in DIALECTS.values():
        assert "hostile" not in str(condition.compile(dialect=dialect))


def test_exact_text_can_use_an_index() -> None:
    condition = restriction([parse({"name": "a"}, PATHS)], COLUMNS, user=ANN)
    assert "COLLATE" not in str(condition.compile(dialect=DIALECTS["postgresql+psycopg"]))


def test_every_lookup_is_defined() -> None:
    assert set(CONDITIONS) == set(Op)


def test_the_types_of_values_are_those_of_the_columns() -> None:
    assert value_types(COLUMNS) == {
        "name": str,
        "colour": str,
        "enabled": bool,
        "count": int,
        "ratio": float,
        "user": UUID,
        "user__start_time": datetime,
    }
