"""The constraints of permissions: what they say, what they match, what is refused."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from approval_gate.constraints import HOLDS, MAX_VALUES, UNLIMITED, Constraint, Lookup, Op, parse
from approval_gate.errors import Invalid, TooLarge


class Colour(StrEnum):
    RED = "red"


ANN = UUID("11111111-1111-1111-1111-111111111111")
BOB = UUID("22222222-2222-2222-2222-222222222222")
PATHS: dict[str, type] = {
    "name": str,
    "enabled": bool,
    "total_run_count": int,
    "ratio": float,
    "user": UUID,
    "user__username": str,
    "start_time": datetime,
    "colour": str,
    "plugged__in": bool,
    "plugged": str,
}
BACKUP: dict[str, Any] = {
    "name": "Nightly Backup 100%",
    "enabled": True,
    "total_run_count": 7,
    "ratio": 0.5,
    "user": ANN,
    "user__username": None,
    "start_time": datetime(2030, 1, 31, 8, tzinfo=UTC),
    "colour": Colour.RED,
    "plugged__in": True,
}
"""What Ann owns; it has no username to look at, and nothing at all under ``plugged``."""


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        pytest.param(None, True, id="null does not limit"),
        pytest.param({}, True, id="an empty object does not limit"),
        pytest.param({"name": "Nightly Backup 100%"}, True, id="a path alone is exact"),
        pytest.param({"name": "nightly backup 100%"}, False, id="exact minds case"),
        pytest.param({"name__exact": "Nightly"}, False, id="exact is the whole text"),
        pytest.param({"name__iexact": "nIGHTLY bACKUP 100%"}, True, id="iexact ignores the case of A to Z"),
        pytest.param({"name__contains": "Backup"}, True, id="contains finds it in the middle"),
        pytest.param({"name__contains": "backup"}, False, id="contains minds case"),
        pytest.param({"name__icontains": "BACKUP"}, True, id="icontains does not mind case"),
        pytest.param({"name__contains": "y_B"}, False, id="an underscore is an underscore, not any character"),
        pytest.param({"name__contains": "N%B"}, False, id="a percent sign is a percent sign, not any text"),
        pytest.param({"name__endswith": "100%"}, True, id="a percent sign is found as such"),
        pytest.param({"name__contains": ""}, True, id="every text contains the empty one"),
        pytest.param({"user__username__contains": ""}, False, id="but null does not"),
        pytest.param({"name__startswith": "Nightly"}, True, id="startswith finds the start"),
        pytest.param({"name__startswith": "nightly"}, False, id="startswith minds case"),
        pytest.param({"name__istartswith": "nightly"}, True, id="istartswith does not"),
        pytest.param({"name__endswith": "Nightly"}, False, id="endswith does not find the start"),
        pytest.param({"name__iendswith": "BACKUP 100%"}, True, id="iendswith ignores case"),
        pytest.param({"name__in": ["a", "Nightly Backup 100%"]}, True, id="in finds one of several"),
        pytest.param({"name__in": ["Nightly"]}, False, id="in compares the whole text"),
        pytest.param({"name__in": []}, False, id="in an empty list is nothing"),
        pytest.param({"name__gt": "Night"}, True, id="a longer text comes later"),
        pytest.param({"name__lt": "a"}, True, id="capitals come before small letters, by code point"),
        pytest.param({"colour": "red"}, True, id="a member of an enumeration is its value"),
        pytest.param({"colour__startswith": "re"}, True, id="a member of an enumeration is text"),
        pytest.param({"enabled": True}, True, id="true is true"),
        pytest.param({"enabled": False}, False, id="true is not false"),
        pytest.param({"enabled__in": [False, True]}, True, id="true is in a list of both"),
        pytest.param({"total_run_count": 7}, True, id="a number is itself"),
        pytest.param({"total_run_count__gt": 7}, False, id="gt leaves out the bound"),
        pytest.param({"total_run_count__gte": 7}, True, id="gte takes in the bound"),
        pytest.param({"total_run_count__lt": 7}, False, id="lt leaves out the bound"),
        pytest.param({"total_run_count__lte": 7}, True, id="lte takes in the bound"),
        pytest.param({"ratio__lt": 1}, True, id="a whole number is a number too"),
        pytest.param({"start_time": "2030-01-31T09:00:00+01:00"}, True, id="a moment is one in every zone"),
        pytest.param({"start_time__gt": "2030-01-31T08:00:00Z"}, False, id="a moment is not after itself"),
        pytest.param({"start_time__lt": "2030-01-31T08:00:00.000001Z"}, True, id="microseconds count"),
        pytest.param({"user": "$user"}, True, id="$user is the caller, and Ann calls"),
        pytest.param({"user": str(ANN)}, True, id="an id is written as text"),
        pytest.param({"user": ANN.hex.upper()}, True, id="an id without dashes is the same id"),
        pytest.param({"user": str(BOB)}, False, id="another id is another"),
        pytest.param({"user__in": [str(BOB), "$user"]}, True, id="$user can stand in a list"),
        pytest.param({"user__username": None}, True, id="exact null finds null"),
        pytest.param({"user__username__isnull": True}, True, id="isnull true finds null"),
        pytest.param({"user__username__isnull": False}, False, id="isnull false does not find null"),
        pytest.param({"name__isnull": False}, True, id="isnull false finds a value"),
        pytest.param({"name__isnull": True}, False, id="isnull true does not find a value"),
        pytest.param({"name": None}, False, id="exact null does not find a value"),
        pytest.param({"user__username": "ann"}, False, id="null is no text"),
        pytest.param({"user__username__lt": "ann"}, False, id="null is not less than anything"),
        pytest.param({"plugged": "x"}, False, id="what an object does not have does not match"),
        pytest.param({"plugged__isnull": True}, False, id="what an object does not have is not null either"),
        pytest.param({"plugged__in": True}, True, id="a path that ends like a lookup is the path"),
        pytest.param({"enabled": True, "total_run_count": 7}, True, id="all of an object match"),
        pytest.param({"enabled": True, "total_run_count": 8}, False, id="one of an object does not"),
        pytest.param([{"enabled": False}, {"total_run_count": 7}], True, id="one of a list matches"),
        pytest.param([{"enabled": False}, {"total_run_count": 8}], False, id="none of a list matches"),
    ],
)
def test_a_constraint_matches(raw: object, expected: bool) -> None:
    assert parse(raw, PATHS).matches(BACKUP, user=ANN) is expected


@pytest.mark.parametrize(
    ("raw", "sentence"),
    [
        pytest.param([], "An empty list of constraints would match nothing", id="an empty list"),
        pytest.param([{"name": "a"}, {}], "An empty object in a list", id="an empty object in a list"),
        pytest.param([None], "Constraints must be an object", id="null in a list"),
        pytest.param([[{"name": "a"}]], "Constraints must be an object", id="a list in a list"),
        pytest.param("name", "Constraints must be an object", id="text"),
        pytest.param(True, "Constraints must be an object", id="a boolean"),
        pytest.param(0, "Constraints must be an object", id="zero"),
        pytest.param("", "Constraints must be an object", id="empty text"),
        pytest.param({"nmae": "a"}, "no lookup 'nmae'. The paths that exist are name, enabled", id="unknown path"),
        pytest.param({"secret__contains": "a"}, "no lookup 'secret__contains'. The paths", id="unknown path with op"),
        pytest.param({"name__near": "a"}, "no lookup 'near' of name. The lookups that exist", id="unknown lookup"),
        pytest.param({"name__": "a"}, "no lookup '' of name", id="no lookup after the underscores"),
        pytest.param({"name__CONTAINS": "a"}, "no lookup 'CONTAINS' of name", id="a lookup in capitals"),
        pytest.param({"user__password": "a"}, "no lookup 'password' of user", id="a field that is not offered"),
        pytest.param({"start_time__year__gt": 1}, "no lookup 'start_time__year__gt'", id="a lookup on a lookup"),
        pytest.param({7: "a"}, "no lookup ''", id="a lookup that is no text"),
        pytest.param({"name__regex": "a"}, "'name__regex' cannot be used, because databases", id="regex"),
        pytest.param({"name__iregex": "a"}, "'name__iregex' cannot be used, because", id="iregex"),
        pytest.param(
            {"enabled__gt": True},
            "enabled is true or false, which has the lookups exact, in, isnull",
            id="gt bool",
        ),
        pytest.param({"user__contains": "1"}, "'user__contains' cannot be used: user is a UUID", id="contains id"),
        pytest.param({"total_run_count__startswith": 1}, "is a whole number", id="startswith of a number"),
        pytest.param({"enabled": "yes"}, "A value of 'enabled' must be true or false.", id="a word for a boolean"),
        pytest.param({"enabled": 1}, "must be true or false", id="a number for a boolean"),
        pytest.param({"enabled__in": [True, None]}, "must be true or false", id="null in a list of booleans"),
        pytest.param({"name": 5}, "A value of 'name' must be text", id="a number for text"),
        pytest.param({"name__contains": None}, "A value of 'name__contains' must be text", id="contains null"),
        pytest.param({"name__in": ["a", None]}, "must be text", id="null in a list of text"),
        pytest.param({"name__in": "abc"}, "The value of 'name__in' must be a list.", id="text where a list belongs"),
        pytest.param({"name__in": {"a": 1}}, "must be a list", id="an object where a list belongs"),
        pytest.param({"name__in": [["a"]]}, "must be text", id="a list in a list of values"),
        pytest.param({"name": {"a": 1}}, "must be text", id="an object for text"),
        pytest.param({"user__username": "$user"}, '"$user" is an id, not text', id="$user for text"),
        pytest.param({"name__in": ["$user"]}, '"$user" is an id, not text', id="$user in a list of text"),
        pytest.param({"name": "a\0b"}, "must be text without NUL", id="NUL"),
        pytest.param({"name": "\ud800"}, "must be text", id="half of a surrogate pair"),
        pytest.param({"user": "not-a-uuid"}, "must be a UUID", id="text that is no id"),
        pytest.param({"user": 5}, "must be a UUID", id="a number for an id"),
        pytest.param({"start_time__gt": "not a date"}, "must be an ISO 8601", id="text that is no moment"),
        pytest.param({"start_time": "2030-01-31T08:00:00"}, "with its offset from UTC", id="a moment without zone"),
        pytest.param({"start_time": "0001-01-01T00:00:00+14:00"}, "ISO 8601", id="a moment before time began"),
        pytest.param({"start_time": 1893456000}, "must be an ISO 8601", id="seconds for a moment"),
        pytest.param({"start_time": "$user"}, "must be an ISO 8601", id="$user for a moment"),
        pytest.param({"total_run_count": "7"}, "must be a whole number", id="text for a number"),
        pytest.param({"total_run_count": 7.0}, "must be a whole number", id="a fraction for a whole number"),
        pytest.param({"total_run_count": True}, "must be a whole number", id="a boolean for a number"),
        pytest.param({"total_run_count": 2**63}, "of at most 64 bits", id="a number too large to store"),
        pytest.param({"total_run_count": 10**5000}, "of at most 64 bits", id="a number too long to print"),
        pytest.param({"ratio": math.nan}, "must be a finite number", id="not a number"),
        pytest.param({"ratio": math.inf}, "must be a finite number", id="infinity"),
        pytest.param({"ratio": 10**400}, "must be a finite number", id="a whole number beyond fractions"),
        pytest.param({"ratio": False}, "must be a finite number", id="a boolean for a fraction"),
        pytest.param({"name__isnull": "true"}, "A value of 'name__isnull' must be true or false.", id="isnull a word"),
        pytest.param({"name__isnull": None}, "must be true or false", id="isnull null"),
    ],
)
def test_a_constraint_is_refused(raw: object, sentence: str) -> None:
    with pytest.raises(Invalid) as refusal:
        parse(raw, PATHS)
    assert sentence in str(refusal.value)


@pytest.mark.parametrize(
    "raw",
    [
        pytest.param({"n" * 1_000_000: "a"}, id="a path of a megabyte"),
        pytest.param({"name__" + "n" * 1_000_000: "a"}, id="a lookup of a megabyte"),
        pytest.param({"enabled": "n" * 1_000_000}, id="a value of a megabyte"),
        pytest.param({"start_time": "2" * 1_000_000}, id="a moment of a megabyte"),
        pytest.param({"\ud800": "a"}, id="a path that cannot be written"),
    ],
)
def test_a_refusal_repeats_nothing_that_cannot_be_shown(raw: object) -> None:
    with pytest.raises(Invalid) as refusal:
        parse(raw, PATHS)
    assert len(str(refusal.value).encode()) < 500
    assert refusal.value.__cause__ is None


@pytest.mark.parametrize(
    "raw",
    [
        pytest.param({"name__in": ["a"] * (MAX_VALUES + 1)}, id="in one list of values"),
        pytest.param([{"name": "a"}] * (MAX_VALUES + 1), id="in one list of objects"),
        pytest.param([{"name__in": []}] * (MAX_VALUES + 1), id="in many lists without values"),
        pytest.param([{"name__in": ["a"] * MAX_VALUES}, {"name": "a"}], id="taken together"),
    ],
)
def test_more_values_than_fit_into_a_query_are_refused(raw: object) -> None:
    with pytest.raises(TooLarge, match=f"Constraints can hold {MAX_VALUES} values at most"):
        parse(raw, PATHS)


def test_as_many_values_as_fit_are_taken() -> None:
    constraint = parse({"name__in": [str(number) for number in range(MAX_VALUES)]}, PATHS)
    assert constraint.matches({"name": str(MAX_VALUES - 1)}, user=ANN)


def test_values_are_converted_once() -> None:
    constraint = parse({"user__in": [str(BOB), "$user"], "start_time__lt": "2030-01-31T09:00:00+01:00"}, PATHS)
    assert constraint == Constraint(
        (
            (
                Lookup(path="user", op=Op.IN, value=(BOB, "$user")),
                Lookup(path="start_time", op=Op.LT, value=datetime(2030, 1, 31, 8, tzinfo=UTC)),
            ),
        )
    )


def test_no_limit_is_one_and_the_same() -> None:
    assert parse(None, PATHS) is parse({}, PATHS) is UNLIMITED
    assert UNLIMITED.matches({}, user=ANN)


def test_no_alternative_at_all_matches_nothing() -> None:
    assert not Constraint(()).matches(BACKUP, user=ANN)


def test_the_caller_is_whoever_calls() -> None:
    mine = parse({"user": "$user"}, PATHS)
    assert mine.matches({"user": BOB}, user=BOB)
    assert not mine.matches({"user": ANN}, user=BOB)
    assert not mine.matches({"user": "$user"}, user=BOB)


def test_case_beyond_a_to_z_counts() -> None:
    assert parse({"name__iexact": "É"}, PATHS).matches({"name": "É"}, user=ANN)
    assert not parse({"name__iexact": "É"}, PATHS).matches({"name": "é"}, user=ANN)
    assert not parse({"name__iexact": "strasse"}, PATHS).matches({"name": "straße"}, user=ANN)


def test_every_lookup_is_defined() -> None:
    assert set(HOLDS) == set(Op)


VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(),
    st.uuids(),
    st.datetimes(),
    st.datetimes(timezones=st.just(UTC)),
    st.just(Colour.RED),
    st.lists(st.text(), max_size=2),
    st.dictionaries(st.text(), st.text(), max_size=2),
)
ASKED = {Op.IN: st.lists(VALUES, max_size=3).map(tuple), Op.ISNULL: st.booleans()}


@given(
    has=VALUES,
    lookup=st.sampled_from(Op).flatmap(
        lambda op: st.builds(Lookup, path=st.just("name"), op=st.just(op), value=ASKED.get(op, VALUES))
    ),
)
def test_what_does_not_compare_does_not_match(has: Any, lookup: Lookup) -> None:
    assert lookup.holds({"name": has}, user=ANN) in {True, False}


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.sampled_from(["$user", str(ANN)]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=5,
)
KEYS = st.sampled_from([*PATHS, *(f"{path}__{op}" for path in PATHS for op in Op)])


@given(raw=JSON | st.dictionaries(KEYS, JSON, max_size=3) | st.lists(st.dictionaries(KEYS, JSON), max_size=3))
def test_whatever_is_written_is_read_or_refused(raw: object) -> None:
    try:
        constraint = parse(raw, PATHS)
    except Invalid as error:
        refusal = str(error)
    else:
        refusal = ""
        assert constraint.matches(BACKUP, user=ANN) in {True, False}
    assert refusal.endswith(".") or not refusal


def test_nesting_of_any_depth_is_refused() -> None:
    nested: list[Any] = []
    for _ in range(100_000):
        nested = [nested]
    for raw in (nested, {"name": nested}, {"name__in": nested}):
        with pytest.raises(Invalid):
            parse(raw, PATHS)
