"""Who calls: which credentials stand for whom, and what reaches them."""

from __future__ import annotations

import logging
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest

from api_shim.domain.accounts import Group, Permission, PermissionGroup, PermissionUser, Token, User, UserGroup
from api_shim.services.authentication import (
    EXPIRED,
    INACTIVE,
    INVALID_TOKEN,
    Credentials,
    Unauthenticated,
    actor_of,
    hash_key,
)
from api_shim.store import Store
from approval_gate.model import Action, Actor, ObjectType
from tests.factories import NOW, authenticate, make_user

KEY = "0123456789abcdef0123456789abcdef01234567"
TICK = timedelta(microseconds=1)


def add(store: Store, *things: Any) -> None:
    with store.transaction() as tx:
        for thing in things:
            tx.add(thing)


def make_token(user: User, key: str = KEY, **to: Any) -> Token:
    return Token(id=uuid4(), user_id=user.id, key_hash=hash_key(key), created=NOW, **to)


def signed_in(store: Store, credentials: Credentials, now: datetime = NOW) -> Actor:
    return authenticate(store, credentials, now)


@pytest.mark.parametrize(
    ("user", "token", "credentials", "refusal"),
    [
        pytest.param({}, {}, {}, None, id="the key of an active user"),
        pytest.param({}, {}, {"username": "alice"}, None, id="with their name"),
        pytest.param({}, {}, {"username": "bob"}, INVALID_TOKEN, id="with somebody else's name"),
        pytest.param({}, {}, {"username": ""}, INVALID_TOKEN, id="with an empty name"),
        pytest.param({}, {}, {"username": "Alice"}, None, id="with their name in another case"),
        pytest.param({}, {}, {"key": KEY[:-1]}, INVALID_TOKEN, id="a part of the key"),
        pytest.param({}, {}, {"key": KEY.upper()}, INVALID_TOKEN, id="the key in another case"),
        pytest.param({}, {}, {"key": hash_key(KEY)}, INVALID_TOKEN, id="what is stored is no key"),
        pytest.param({}, {}, {"key": ""}, INVALID_TOKEN, id="no key"),
        pytest.param({}, {}, {"key": "\ud800\0"}, INVALID_TOKEN, id="what is no text"),
        pytest.param({}, {"expires": NOW + TICK}, {}, None, id="it ends in a moment"),
        pytest.param({}, {"expires": NOW}, {}, EXPIRED, id="it ends now"),
        pytest.param({}, {"expires": NOW - TICK}, {}, EXPIRED, id="it has ended"),
        pytest.param({"is_active": False}, {}, {}, INACTIVE, id="they have been deactivated"),
        pytest.param({"is_active": False, "is_superuser": True}, {}, {}, INACTIVE, id="and so has a superuser"),
        pytest.param({"is_active": False}, {"expires": NOW}, {}, EXPIRED, id="both: the token is told first"),
        pytest.param(
            {"is_active": False}, {}, {"username": "bob"}, INVALID_TOKEN, id="who gives another name learns nothing"
        ),
    ],
)
def test_who_signs_in(
    sqlite_store: Store, user: dict[str, Any], token: dict[str, Any], credentials: dict[str, Any], refusal: str | None
) -> None:
    alice = make_user("alice", **user)
    add(sqlite_store, alice, make_user("bob"), make_token(alice, **token))
    given = Credentials(**{"key": KEY, **credentials})
    if refusal is None:
        assert replace(signed_in(sqlite_store, given), token_id=None) == Actor(id=alice.id, username="alice")
    else:
        with pytest.raises(Unauthenticated) as refused:
            signed_in(sqlite_store, given)
        assert str(refused.value) == refusal


def test_a_read_only_token_makes_a_read_only_actor_even_of_a_superuser(sqlite_store: Store) -> None:
    root = make_user("root", is_superuser=True)
    add(sqlite_store, root, make_token(root, write_enabled=False), make_token(root, KEY[::-1]))
    reader = signed_in(sqlite_store, Credentials(key=KEY))
    assert (reader.id, reader.superuser, reader.read_only) == (root.id, True, True)
    assert not signed_in(sqlite_store, Credentials(key=KEY[::-1])).read_only


def test_a_key_is_in_nothing_that_is_printed(sqlite_store: Store) -> None:
    alice = make_user("alice")
    token, credentials = make_token(alice, expires=NOW), Credentials(key=KEY, username="alice")
    add(sqlite_store, alice, token)
    with pytest.raises(Unauthenticated) as refused:
        signed_in(sqlite_store, credentials)
    printed = f"{token} {token!r} {credentials} {credentials!r} {refused.value!r} {refused.value.__cause__!r}"
    assert KEY not in printed
    assert hash_key(KEY) not in printed


# What reaches them


def make_permission(**to: Any) -> Permission:
    fields = {"id": uuid4(), "name": str(uuid4()), "object_types": ("extras.job",), "actions": ("view",)}
    return Permission(**{**fields, **to})


def reached(store: Store, user: User) -> Actor:
    with store.transaction(write=False) as tx:
        return actor_of(tx, user)


def may(actor: Actor) -> set[str]:
    """Return the actions that the actor has on Jobs of any kind."""
    return {str(action) for action in Action if actor.may(action, ObjectType.JOB)}


@pytest.mark.each_database
def test_permissions_add_up_from_the_user_and_their_groups_and_no_others(store: Store) -> None:
    alice, bob = make_user("alice"), make_user("bob")
    ours, more, theirs = (Group(id=uuid4(), name=name) for name in ("ours", "more", "theirs"))
    view, run, approve, delete, change = (
        make_permission(actions=(action,)) for action in ("view", "run", "approve", "delete", "change")
    )
    add(store, alice, bob, ours, more, theirs, view, run, approve, delete, change)
    add(store, *(UserGroup(user_id=alice.id, group_id=group.id) for group in (ours, more)))
    add(store, UserGroup(user_id=bob.id, group_id=theirs.id))
    add(store, PermissionUser(permission_id=view.id, user_id=alice.id))
    add(store, *(PermissionGroup(permission_id=run.id, group_id=group.id) for group in (ours, more)))
    add(store, PermissionGroup(permission_id=approve.id, group_id=more.id))
    add(store, PermissionGroup(permission_id=delete.id, group_id=theirs.id))
    add(store, PermissionUser(permission_id=change.id, user_id=bob.id))
    assert may(reached(store, alice)) == {"view", "run", "approve"}
    assert may(reached(store, bob)) == {"delete", "change"}
    assert len(reached(store, alice).grants) == 3, "what comes by two ways comes once"


def test_a_user_without_permissions_may_nothing_and_a_superuser_everything(sqlite_store: Store) -> None:
    alice, root = make_user("alice"), make_user("root", is_superuser=True)
    add(sqlite_store, alice, root)
    assert may(reached(sqlite_store, alice)) == set()
    assert may(reached(sqlite_store, root)) == set(Action)


def test_a_disabled_permission_gives_nothing(sqlite_store: Store) -> None:
    alice, permission = make_user("alice"), make_permission()
    add(sqlite_store, alice, permission, PermissionUser(permission_id=permission.id, user_id=alice.id))
    assert may(reached(sqlite_store, alice)) == {"view"}
    with sqlite_store.transaction() as tx:
        tx.change(permission, enabled=False)
    assert may(reached(sqlite_store, alice)) == set()


def test_a_constraint_limits_and_another_permission_lifts_it(sqlite_store: Store) -> None:
    alice = make_user("alice")
    narrow, wide = make_permission(constraints={"name": "Back up"}), make_permission()
    add(sqlite_store, alice, narrow, wide, PermissionUser(permission_id=narrow.id, user_id=alice.id))
    backup, other = ({"name": "Back up"}, {"name": "Other"})
    actor = reached(sqlite_store, alice)
    assert actor.may(Action.VIEW, ObjectType.JOB, backup)
    assert not actor.may(Action.VIEW, ObjectType.JOB, other)
    add(sqlite_store, PermissionUser(permission_id=wide.id, user_id=alice.id))
    assert reached(sqlite_store, alice).may(Action.VIEW, ObjectType.JOB, other)


def test_the_caller_in_a_constraint_is_who_it_reaches(sqlite_store: Store) -> None:
    alice = make_user("alice")
    mine = make_permission(object_types=("extras.scheduledjob",), constraints={"user": "$user"})
    add(sqlite_store, alice, mine, PermissionUser(permission_id=mine.id, user_id=alice.id))

    def sees(owner: UUID | None) -> bool:
        return reached(sqlite_store, alice).may(Action.VIEW, ObjectType.SCHEDULED_JOB, {"user": owner})

    assert sees(alice.id)
    assert not sees(uuid4())
    assert not sees(None)


@pytest.mark.parametrize(
    "broken",
    [
        pytest.param({"constraints": {"gone": "x"}}, id="a lookup that there is no more"),
        pytest.param({"constraints": {"name__gone": "x"}}, id="an operator that there is no more"),
        pytest.param({"constraints": {"enabled": "yes"}}, id="a value of another type"),
        pytest.param({"constraints": []}, id="an empty list"),
        pytest.param({"constraints": [{}]}, id="an empty object in a list"),
        pytest.param({"constraints": "name"}, id="a text"),
        pytest.param({"constraints": 0}, id="a number"),
        pytest.param({"constraints": False}, id="false"),
        pytest.param({"constraints": {"name__in": ["x"] * 1001}}, id="too many values"),
        pytest.param({"object_types": ("extras.gone",)}, id="a type that there is no more"),
        pytest.param({"object_types": ("extras.job", "extras.gone")}, id="one of several types"),
        pytest.param({"object_types": (5, None, [])}, id="no types at all"),
        pytest.param({"actions": ("view", "gone")}, id="an action that there is no more"),
    ],
)
def test_a_permission_that_is_no_longer_understood_grants_nothing_and_takes_nothing(
    sqlite_store: Store, broken: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    alice = make_user("alice")
    sound, odd = make_permission(actions=("run",)), make_permission(name="the odd one", **broken)
    add(sqlite_store, alice, make_token(alice), sound, odd)
    add(sqlite_store, *(PermissionUser(permission_id=each.id, user_id=alice.id) for each in (odd, sound)))
    with caplog.at_level(logging.WARNING):
        actor = signed_in(sqlite_store, Credentials(key=KEY, username="alice"))
    assert may(actor) == {"run"}
    assert len(actor.grants) == 1
    assert "'the odd one' cannot be read and grants nothing" in caplog.text


def test_a_hash_tells_keys_apart_and_is_always_the_same() -> None:
    assert hash_key(KEY) == hash_key(KEY) != hash_key(KEY + "0")
    assert len(hash_key("\ud800")) == 64
    assert replace(Credentials(key=KEY), username="x").key == KEY
