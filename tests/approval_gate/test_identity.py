"""Who is the same person over time: names in their normal form, who counts as whom, and when a name is given again."""

from __future__ import annotations

import string
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from approval_gate.errors import Conflict, Invalid
from approval_gate.identity import KEPT, LONGEST_NAME, TAKEN, Identity, NameHistory, may_take, normal_form
from approval_gate.model import Allowed, Denied, Verdict

ONE, TWO, THREE, FOUR = (UUID(int=number) for number in range(1, 5))
NOW = datetime(2026, 5, 4, 12, 0, tzinfo=UTC)

# Names


@pytest.mark.parametrize(
    ("one", "other"),
    [
        pytest.param("Alice", "alice", id="capital and small letters"),
        pytest.param("ＡＬＩＣＥ", "alice", id="letters of full width"),
        pytest.param("é", "e\u0301", id="a letter with an accent, and one beside it"),
        pytest.param("STRASSE", "straße", id="letters that fold to several"),
        pytest.param("ﬁn", "fin", id="a ligature"),
        pytest.param("\u212aelvin", "kelvin", id="a sign that is a letter"),
        pytest.param("ς", "σ", id="a letter with another form at the end of a word"),
    ],
)
def test_names_that_are_the_same(one: str, other: str) -> None:
    assert normal_form(one) == normal_form(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        pytest.param("alice", "alicé", id="an accent makes another name"),
        pytest.param("alice", "alice1", id="a digit makes another name"),
        pytest.param("а", "a", id="letters of two scripts that look the same"),
    ],
)
def test_names_that_differ(one: str, other: str) -> None:
    assert normal_form(one) != normal_form(other)


@given(st.text(st.characters(categories=["L", "Nd", "M"]) | st.sampled_from("@.+-_"), max_size=40))
def test_a_normal_form_is_its_own_normal_form(name: str) -> None:
    assert normal_form(normal_form(name)) == normal_form(name)


def test_a_text_that_is_no_name_is_not_compared_at_length() -> None:
    assert normal_form("a\u0323\u0301" * 1_000_000) == normal_form("a\u0323\u0301" * 50)
    assert len(normal_form("\ufdfa" * LONGEST_NAME)) == LONGEST_NAME


# Who counts as whom


@pytest.mark.parametrize(
    ("history", "same"),
    [
        pytest.param([(ONE, "a"), (TWO, "b")], {ONE}, id="nobody else, if no name is shared"),
        pytest.param([(ONE, "a"), (TWO, "a")], {ONE, TWO}, id="an account that was made anew under the same name"),
        pytest.param([(ONE, "a"), (ONE, "b"), (TWO, "b")], {ONE, TWO}, id="one that has the later name of this one"),
        pytest.param([(ONE, "b"), (TWO, "b"), (TWO, "c")], {ONE, TWO}, id="one that has been renamed since"),
        pytest.param(
            [(ONE, "a"), (TWO, "a"), (TWO, "b"), (THREE, "b"), (FOUR, "c")],
            {ONE, TWO, THREE},
            id="one that only a third account links",
        ),
    ],
)
def test_accounts_that_have_had_the_same_name_count_as_one(history: list[tuple[UUID, str]], same: set[UUID]) -> None:
    assert NameHistory(history).identity([ONE]).accounts == same
    for other in same:
        assert NameHistory(history).identity([other]).accounts == same


def test_a_name_of_which_no_account_is_known_counts_by_itself() -> None:
    found = NameHistory([(ONE, "a")]).identity([], ["carol"])
    assert found == Identity(names=frozenset({"carol"}))
    assert found.includes(TWO, "Carol")
    assert not found.includes(ONE, "a")


PAIRS = st.lists(st.tuples(st.sampled_from([ONE, TWO, THREE, FOUR]), st.sampled_from("abcd")), max_size=10)


@given(PAIRS)
def test_to_count_as_one_goes_both_ways_and_on(pairs: list[tuple[UUID, str]]) -> None:
    history = NameHistory(pairs)
    groups = {account: history.identity([account]) for account in (ONE, TWO, THREE, FOUR)}
    for one, group in groups.items():
        assert one in group.accounts
        assert all(groups[other] == group for other in group.accounts)
        assert group.names == {name for account, name in pairs if account in group.accounts}


# When a name is given again


def _before(**ago: float) -> datetime:
    return NOW - timedelta(**ago)


REFUSED = Denied(
    "Another account had this name until 2026-03-31. It cannot be used again before 2027-05-05, unless a superuser "
    "allows it with `reuse_name` (`--reuse-name`).",
    Invalid,
)
LATELY = datetime(2026, 3, 31, 8, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("held", "reuse", "verdict"),
    [
        pytest.param([], False, Allowed(), id="nobody has had it"),
        pytest.param([(TWO, None)], False, Denied(TAKEN, Conflict), id="another has it"),
        pytest.param([(TWO, None)], True, Denied(TAKEN, Conflict), id="another has it, whatever a superuser says"),
        pytest.param([(TWO, LATELY)], False, REFUSED, id="another had it lately"),
        pytest.param([(TWO, LATELY)], True, Allowed(), id="another had it lately, and a superuser says so"),
        pytest.param([(TWO, LATELY), (TWO, None)], True, Denied(TAKEN, Conflict), id="another has it again"),
        pytest.param([(TWO, NOW - KEPT)], False, Allowed(), id="another had it 400 days ago"),
        pytest.param([(TWO, _before(days=500)), (THREE, LATELY)], False, REFUSED, id="of several, the last one counts"),
        pytest.param([(ONE, LATELY)], False, Allowed(), id="they take back their own"),
        pytest.param([(ONE, None)], False, Allowed(), id="they write their own otherwise"),
        pytest.param([(ONE, None), (TWO, LATELY)], False, REFUSED, id="they have it, and another had it"),
    ],
)
def test_when_a_name_is_given(held: list[tuple[UUID, datetime | None]], reuse: bool, verdict: Verdict) -> None:
    assert may_take(ONE, held, NOW, reuse=reuse) == verdict


def test_a_name_is_kept_for_four_hundred_days_to_the_second() -> None:
    late = [(TWO, NOW - KEPT + timedelta(seconds=1))]
    assert isinstance(may_take(ONE, late, NOW, reuse=False), Denied)


def _spellings(names: Iterable[str]) -> st.SearchStrategy[str]:
    return st.sampled_from(list(names)).map(lambda name: name.upper()) | st.sampled_from(list(names))


@given(_spellings(string.ascii_lowercase), _spellings(string.ascii_lowercase))
def test_an_identity_knows_a_name_however_it_is_written(one: str, other: str) -> None:
    known = Identity(names=frozenset({normal_form(one)}))
    assert known.includes(ONE, other) is (one.lower() == other.lower())
