"""Removing a user: what they leave, what is handed over, and what is only foreseen."""

from __future__ import annotations

from typing import Any

import pytest

from api_shim.domain.accounts import Token, User
from api_shim.domain.audit import EventType
from api_shim.domain.model import Participant, ScheduledJob
from api_shim.services.account_admin import Left
from api_shim.store import Store
from approval_gate.errors import Conflict, Invalid, NotFound
from approval_gate.model import Action, ObjectType
from tests.factories import NOW, OPERATOR, administering, make_job, make_scheduled, make_user


class World:
    """Alice, who owns two scheduled jobs of two Jobs; bob, who may run one of them."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.alice, self.bob = make_user("alice"), make_user("bob")
        self.jobs = [make_job(name=name) for name in ("Back up", "Wipe")]
        self.rows = [
            make_scheduled(job, self.alice, name=name, enabled=enabled, failure=failure)
            for job, name, enabled, failure in (
                (self.jobs[0], "nightly", False, "It failed."),
                (self.jobs[0], "weekly", True, ""),
                (self.jobs[1], "wipe", True, ""),
            )
        ]
        self.add(self.alice, self.bob, *self.jobs, *self.rows)
        run, job = Action.RUN, ObjectType.JOB
        administering(store).add_permission(
            "bob backs up", NOW, types=[job], actions=[run], users=["bob"], constraint={"name": "Back up"}
        )
        administering(store).add_token("alice", NOW)

    def add(self, *things: Any) -> None:
        with self.store.transaction() as tx:
            for thing in things:
                tx.add(thing)

    def all(self, kind: type[Any], order: str) -> list[Any]:
        with self.store.transaction(write=False) as tx:
            return tx.all(kind, order=order)

    def owners(self) -> dict[str, Any]:
        return {row.name: row.owner_id for row in self.all(ScheduledJob, "name")}


@pytest.fixture
def world(store: Store) -> World:
    return World(store)


def said(left: list[Left]) -> list[tuple[str, str | None, str]]:
    return [(each.scheduled.name, each.owner.username if each.owner else None, each.kept_back) for each in left]


NOT_BOB = "bob does not have permission to run this job."


def test_what_they_own_stays_and_has_no_owner(world: World) -> None:
    left = administering(world.store).remove_user("alice", NOW).left
    assert said(left) == [("nightly", None, ""), ("weekly", None, ""), ("wipe", None, "")]
    assert world.owners() == {"nightly": None, "weekly": None, "wipe": None}
    assert [user.username for user in world.all(User, "username")] == ["bob"]
    assert world.all(Token, "id") == []


@pytest.mark.each_database
def test_an_heir_gets_what_they_may_run_and_that_is_remembered(world: World) -> None:
    left = administering(world.store).remove_user("alice", NOW, heir="bob").left
    assert said(left) == [("nightly", "bob", ""), ("weekly", "bob", ""), ("wipe", None, NOT_BOB)]
    assert world.owners() == {"nightly": world.bob.id, "weekly": world.bob.id, "wipe": None}
    nightly, *_ = world.all(ScheduledJob, "name")
    assert (nightly.enabled, nightly.failure) == (True, ""), "What a failure had disabled fires again."
    assert {row.user_id for row in world.all(Participant, "username")} == {world.bob.id}
    with world.store.transaction(write=False) as tx:
        events = [event for event in tx.events(0, 100) if event.act is not EventType.TOKEN_REMOVED]
    *_, first, second, last = [(each.act, each.name, each.data.get("was")) for each in events]
    assert {first, second} == {(EventType.TRANSFERRED, name, "alice") for name in ("nightly", "weekly")}
    assert last == (EventType.USER_REMOVED, "alice", None)
    assert {(each.actor, each.actor_id) for each in events} == {(OPERATOR.username, None)}


@pytest.mark.parametrize("heir", [None, "bob"])
def test_what_is_foreseen_happens_and_foreseeing_changes_nothing(world: World, heir: str | None) -> None:
    before = (world.owners(), world.all(User, "username"), world.all(Token, "id"))
    foreseen = administering(world.store).remove_user("alice", NOW, heir=heir, dry_run=True).left
    assert (world.owners(), world.all(User, "username"), world.all(Token, "id")) == before
    assert said(administering(world.store).remove_user("alice", NOW, heir=heir).left) == said(foreseen)


def _inactive(world: World) -> None:
    administering(world.store).set_active("bob", NOW, active=False)


@pytest.mark.parametrize(
    ("username", "heir", "error", "sentence"),
    [
        pytest.param("nobody", None, NotFound, "named 'nobody'", id="a user who is not there"),
        pytest.param("alice", "nobody", NotFound, "named 'nobody'", id="an heir who is not there"),
        pytest.param("alice", "alice", Invalid, "somebody else", id="their own heir"),
        pytest.param("alice", "bob", Conflict, "bob has been deactivated", id="an heir who cannot sign in"),
    ],
)
def test_what_cannot_be_changes_nothing(
    world: World, username: str, heir: str | None, error: type[Exception], sentence: str
) -> None:
    _inactive(world)
    before = (world.owners(), world.all(User, "username"))
    with pytest.raises(error, match=sentence):
        administering(world.store).remove_user(username, NOW, heir=heir)
    assert (world.owners(), world.all(User, "username")) == before
