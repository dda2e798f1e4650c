"""Names over time: taken, given up, given again; who is called so; and that nobody becomes somebody else by them."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from api_shim.domain.accounts import User, UserName
from api_shim.domain.audit import EventType
from api_shim.domain.model import ScheduledJob
from api_shim.services.accounts import Accounts
from api_shim.services.authentication import actor_of
from api_shim.services.authorization import add_participant, load_contexts
from api_shim.services.user_names import history_of, user_called
from api_shim.store import Store
from approval_gate import policy
from approval_gate.errors import Conflict, Forbidden, GateError, Invalid
from approval_gate.identity import KEPT
from approval_gate.lifecycle import ApprovalState
from approval_gate.model import Actor, Allowed, ObjectType
from tests.api_shim.statements import statements
from tests.databases import sqlite_with_tables
from tests.factories import NOW, administering, make_job, make_scheduled, make_user

USER = ObjectType.USER
DAY = timedelta(days=1)


class House:
    """Root, the only superuser, who changes accounts through the REST API, as time passes."""

    def __init__(self, store: Store) -> None:
        self.store, self.now = store, NOW
        self.admin = administering(store)
        self.accounts = Accounts(store, lambda: self.now, "UTC")
        self.root = self.actor(self.admin.add_user("root", NOW, superuser=True))

    def actor(self, user: User) -> Actor:
        with self.store.transaction(write=False) as tx:
            return actor_of(tx, user)

    def add(self, name: str, by: Actor | None = None, **fields: Any) -> User:
        made: Any = asyncio.run(self.accounts.add(by or self.root, USER, {"username": name, **fields})).thing
        return made

    def rename(self, user: User, name: str, **fields: Any) -> User:
        body = {"username": name, **fields}
        changed: Any = asyncio.run(self.accounts.change(self.root, USER, {"id": user.id}, body)).thing
        return changed

    def remove(self, user: User) -> None:
        asyncio.run(self.accounts.remove(self.root, USER, {"id": user.id}))

    def called(self, name: str) -> User | None:
        with self.store.transaction(write=False) as tx:
            return user_called(tx, name)

    def names(self) -> set[tuple[str, int, int | None]]:
        """Return every name but root's, with from and until which day it was had."""
        with self.store.transaction(write=False) as tx:
            rows = [row for row in tx.all(UserName) if row.normal not in {"root", "clerk"}]
        return {(row.normal, (row.since - NOW).days, (row.until - NOW).days if row.until else None) for row in rows}

    def last(self) -> dict[str, Any]:
        with self.store.transaction(write=False) as tx:
            [event] = tx.newest_events(1)
        assert event.act in {EventType.USER_ADDED, EventType.USER_CHANGED}
        return dict(event.data)

    def refused(self, act: Callable[[], object]) -> tuple[type[GateError], Any]:
        before = self.names()
        with pytest.raises(GateError) as refused:
            act()
        assert self.names() == before
        return type(refused.value), refused.value.detail


@pytest.fixture
def house(store: Store) -> House:
    return House(store)


@pytest.fixture
def few(sqlite_store: Store) -> House:
    """One on SQLite, where the database makes no difference."""
    return House(sqlite_store)


TAKEN = (Invalid, {"username": ["A user with this name already exists."]})


def kept(until: datetime) -> tuple[type[GateError], Any]:
    sentence = (
        f"Another account had this name until {until:%Y-%m-%d}. It cannot be used again before "
        f"{until + KEPT:%Y-%m-%d}, unless a superuser allows it with `reuse_name` (`--reuse-name`)."
    )
    return Invalid, {"username": [sentence]}


def test_every_name_is_kept_with_when_it_was_had(house: House) -> None:
    alice = house.add("Alice")
    house.now += DAY
    alice = house.rename(alice, "Alicia")
    house.now += DAY
    house.remove(alice)
    assert house.names() == {("alice", 0, 1), ("alicia", 1, 2)}


@pytest.mark.parametrize("name", ["alice", "ALICE", "ａｌｉｃｅ"])
def test_no_two_have_names_that_differ_only_in_how_they_are_written(house: House, name: str) -> None:
    house.add("Alice")
    bob = house.add("bob")
    assert house.refused(lambda: house.add(name, reuse_name=True)) == TAKEN
    assert house.refused(lambda: house.rename(bob, name)) == TAKEN
    with pytest.raises(Conflict, match="already exists"):
        house.admin.add_user(name, NOW, reuse_name=True)


@pytest.mark.each_database
def test_the_database_lets_no_two_take_a_name_at_once(house: House) -> None:
    alice = house.add("alice")
    twin = UserName(id=uuid4(), user_id=uuid4(), normal="alice", since=NOW)
    with pytest.raises(GateError), house.store.transaction() as tx:
        tx.add(twin)
    assert house.called("Alice") == alice


def test_the_name_of_a_removed_user_is_given_again_after_its_time(house: House) -> None:
    house.remove(house.add("alice"))
    house.now += KEPT - timedelta(seconds=1)
    bob = house.add("bob")
    assert house.refused(lambda: house.add("Alice")) == kept(NOW)
    assert house.refused(lambda: house.rename(bob, "alice")) == kept(NOW)
    house.now += timedelta(seconds=1)
    assert house.add("Alice").username == "Alice"


def test_so_is_the_name_of_one_who_was_renamed_and_they_take_it_back_themselves(few: House) -> None:
    alice = few.rename(few.add("alice"), "alicia")
    assert few.refused(lambda: few.add("alice")) == kept(NOW)
    assert few.rename(alice, "alice").username == "alice"
    assert few.rename(alice, "Alice").username == "Alice", "their own name, written otherwise"
    few.now += DAY
    assert few.refused(lambda: few.add("alicia")) == kept(NOW)


@pytest.mark.parametrize("door", ["the API", "a rename", "the command line"])
def test_a_superuser_has_a_name_given_again_and_the_audit_tells_whose_it_was(few: House, door: str) -> None:
    gone = few.add("alice")
    bob = few.add("bob")
    few.remove(gone)
    match door:
        case "the API":
            few.add("alice", reuse_name=True)
        case "a rename":
            few.rename(bob, "alice", reuse_name=True)
        case _:
            with pytest.raises(Invalid, match="until"):
                few.admin.add_user("alice", NOW)
            few.admin.add_user("alice", NOW, reuse_name=True)
    assert few.last()["reused_name_of"] == [str(gone.id)]


def test_what_needs_no_superuser_to_say_so_is_not_recorded_as_said(few: House) -> None:
    few.add("alice", reuse_name=True)
    assert "reused_name_of" not in few.last()


def test_nobody_else_has_a_name_given_again(few: House) -> None:
    few.admin.add_user("clerk", NOW)
    few.admin.add_permission("accounts", NOW, types=["users.user"], actions=["view", "add"], users=["clerk"])
    clerk = few.actor(next(user for user in few.admin.users() if user.username == "clerk"))
    assert few.add("bob", clerk).username == "bob"
    few.remove(few.add("alice"))
    for name in ("alice", "carol"):
        assert few.refused(lambda name=name: few.add(name, clerk, reuse_name=True)) == (  # type: ignore[misc]  # bound
            Forbidden,
            policy.REUSED_BY_SUPERUSERS,
        )


def test_a_user_whom_an_earlier_server_has_added_keeps_their_name_too(few: House) -> None:
    alice = make_user("Alice")
    with few.store.transaction() as tx:
        tx.add(alice)
    few.now += DAY
    few.remove(alice)
    assert few.names() == {("alice", 0, 1)}


# Who is called so


@pytest.mark.each_database
def test_a_user_is_found_however_their_name_is_written(house: House) -> None:
    alice = house.add("Alice")
    assert [house.called(name) for name in ("Alice", "alice", "ALICE")] == [alice] * 3
    assert [house.called(name) for name in ("alic", "", "alice\0", "\ud800", "a" * 200)] == [None] * 5
    house.rename(alice, "bob")
    assert house.called("Alice") is None


def test_users_from_before_who_share_a_name_are_each_found_as_they_are_written(few: House) -> None:
    both = [make_user(name) for name in ("Alice", "alice")]
    with few.store.transaction() as tx:
        for user in both:
            tx.add(user)
            tx.add(UserName(id=uuid4(), user_id=user.id, normal="alice", since=NOW, shared=True))
    assert [few.called(name) for name in ("Alice", "alice", "ALICE")] == [*both, None]
    assert few.refused(lambda: few.add("ALICE", reuse_name=True)) == TAKEN
    few.rename(both[0], "carol")
    assert few.called("ALICE") == both[1]


def test_who_counts_as_whom_is_asked_in_two_questions_however_many_there_are(few: House) -> None:
    ids = {few.add(f"user{number}").id for number in range(20)}
    with few.store.transaction(write=False) as tx, statements(few.store) as said:
        history_of(tx, ids, {f"user{number}" for number in range(20)})
    assert len(said) == 2


# Nobody becomes somebody else


@dataclass(eq=False)
class Person:
    """Somebody, with their account while they have one, and all the names that they have had."""

    letter: str
    account: User | None = None
    names: list[str] = field(default_factory=list)

    def new_name(self) -> str:
        """Have a name that nobody has had."""
        self.names.append(f"{self.letter}{len(self.names)}")
        return self.names[-1]


WHO = st.sampled_from([0, 1])
SPELLING = st.sampled_from([str.lower, str.upper, str.capitalize])


class Identities(RuleBasedStateMachine):
    """Two people whose accounts are removed, made anew under a name that they had, and renamed; each makes requests."""

    def __init__(self) -> None:
        super().__init__()
        self._folder = tempfile.TemporaryDirectory()
        self.store = Store(sqlite_with_tables(Path(self._folder.name) / "store.db"))
        self.house = House(self.store)
        self.job = make_job(approval_required=True)
        self.requests: list[tuple[Person, ScheduledJob]] = []
        self.people = [Person(letter=letter) for letter in "ab"]
        with self.store.transaction() as tx:
            tx.add(self.job)
        for person in self.people:
            self._arrives(person, person.new_name())
            self._requests(person)

    def _arrives(self, person: Person, name: str) -> None:
        person.account = self.house.add(name, is_superuser=True, reuse_name=True)

    def _requests(self, person: Person) -> None:
        if person.account is not None:
            row = make_scheduled(self.job, person.account, approval=ApprovalState.PENDING)
            with self.store.transaction() as tx:
                tx.add(row)
                add_participant(tx, row, person.account.id, person.account.username, owned=True)
            self.requests.append((person, row))

    @rule(who=WHO)
    def requests_something(self, who: int) -> None:
        self._requests(self.people[who])

    @rule(who=WHO)
    def leaves(self, who: int) -> None:
        person = self.people[who]
        if person.account is not None:
            self.house.remove(person.account)
            person.account = None

    @rule(who=WHO, pick=st.integers(0, 5), spelled=SPELLING)
    def comes_back_under_a_name_that_they_had(self, who: int, pick: int, spelled: Callable[[str], str]) -> None:
        person = self.people[who]
        if person.account is None:
            self._arrives(person, spelled(person.names[pick % len(person.names)]))

    @rule(who=WHO)
    def gets_another_name(self, who: int) -> None:
        person = self.people[who]
        if person.account is not None:
            person.account = self.house.rename(person.account, person.new_name())

    @rule(days=st.sampled_from([1, 500]))
    def time_passes(self, days: int) -> None:
        self.house.now += timedelta(days=days)

    @invariant()
    def each_approves_what_the_other_has_requested_and_nothing_of_their_own(self) -> None:
        with self.store.transaction(write=False) as tx:
            cases = load_contexts(tx, [row for _, row in self.requests], NOW)
        for person in self.people:
            if person.account is not None:
                actor = Actor(id=person.account.id, username=person.account.username, superuser=True)
                may = [policy.approve(actor, case.request, force=True) == Allowed() for case in cases]
                assert may == [requester is not person for requester, _ in self.requests]

    def teardown(self) -> None:
        self.store.close()
        self._folder.cleanup()


def test_nobody_approves_their_own_whatever_becomes_of_their_accounts() -> None:
    run_state_machine_as_test(
        Identities, settings=settings(max_examples=settings.default.max_examples // 3, stateful_step_count=15)
    )
