"""Users, groups, tokens and permissions: how they are made, and what is refused."""

from __future__ import annotations

import asyncio
import logging
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from threading import Barrier
from typing import Any
from uuid import uuid4

import pytest

from api_shim.domain.accounts import PermissionUser, Token, WorkerAccount
from api_shim.domain.audit import EventType, LocalAdministrator
from api_shim.parsing.account import check_username
from api_shim.services.account_admin import WORKERS_PERMISSION, AccountAdmin
from api_shim.services.accounts import Accounts
from api_shim.services.authentication import (
    EXPIRED,
    INACTIVE,
    INVALID_TOKEN,
    Credentials,
    Unauthenticated,
    hash_key,
)
from api_shim.store import Store
from approval_gate.errors import Conflict, GateError, Invalid, NotFound
from approval_gate.identity import LOCAL, WORKER
from approval_gate.model import Action, Actor, ObjectType
from tests.factories import NOW, OPERATOR, authenticate

KEY = "0123456789abcdef0123"
TYPES, VIEW = ["extras.job"], ["view"]


class Admin(AccountAdmin):
    """Local administration over a store that is looked at."""

    def __init__(self, store: Store) -> None:
        super().__init__(store, OPERATOR)
        self.store = store


@pytest.fixture
def admin(store: Store) -> Admin:
    return Admin(store)


@pytest.fixture
def few(sqlite_store: Store) -> Admin:
    """One on SQLite, where the database makes no difference."""
    return Admin(sqlite_store)


def signed_in(admin: Admin, key: str, username: str | None = None) -> Actor:
    return authenticate(admin.store, Credentials(key=key, username=username), NOW)


# Users and their tokens


def test_a_user_signs_in_with_each_of_their_keys_until_they_are_removed(admin: Admin, store: Store) -> None:
    alice = admin.add_user("alice", NOW)
    keys = [admin.add_token("alice", NOW) for _ in range(2)]
    assert [signed_in(admin, key, "alice").id for key in keys] == [alice.id, alice.id]
    assert len({*keys}) == 2
    assert all(key.startswith("signoff_") for key in keys)
    admin.remove_user("alice", NOW)
    for key in keys:
        with pytest.raises(Unauthenticated, match=INVALID_TOKEN):
            signed_in(admin, key)
    assert admin.users() == []


def test_a_user_who_is_deactivated_signs_in_again_when_they_are_activated(few: Admin) -> None:
    few.add_user("alice", NOW)
    key = few.add_token("alice", NOW)
    assert not few.set_active("alice", NOW, active=False).thing.is_active
    with pytest.raises(Unauthenticated, match=INACTIVE):
        signed_in(few, key)
    few.set_active("alice", NOW, active=True)
    assert signed_in(few, key).username == "alice"


def test_users_come_by_name(few: Admin) -> None:
    for name in ("carol", "alice", "bob"):
        few.add_user(name, NOW, superuser=name == "bob")
    assert [(user.username, user.is_superuser) for user in few.users()] == [
        ("alice", False),
        ("bob", True),
        ("carol", False),
    ]


@pytest.mark.parametrize("name", ["a", "a.b+c_d-e@f.org", "Zoë", "x" * 150])
def test_takes_user_names(admin: Admin, name: str) -> None:
    admin.add_user(name, NOW)
    assert signed_in(admin, admin.add_token(name, NOW), name).username == name


@pytest.mark.parametrize("name", ["", "a b", "a:b", "a,b", "a/b", "a\n", "\0", "\ud800", "x" * 151, " a"])
def test_refuses_user_names_that_cannot_be_written(few: Admin, name: str) -> None:
    with pytest.raises(Invalid, match="1 to 150 letters"):
        few.add_user(name, NOW)


def test_a_key_of_ones_own_and_a_token_that_only_reads_and_ends(few: Admin) -> None:
    few.add_user("alice", NOW)
    end = NOW + timedelta(seconds=1)
    assert few.add_token("alice", NOW, key=KEY, write_enabled=False, expires=end) == KEY
    assert signed_in(few, KEY).read_only
    with pytest.raises(Unauthenticated, match=EXPIRED):
        authenticate(few.store, Credentials(key=KEY), end)


@pytest.mark.parametrize("key", ["", "x" * 19, "x y" * 10, *(odd * 20 for odd in ("é", "x\n", "\0", "\ud800", " "))])
def test_refuses_keys_that_can_be_guessed_or_not_be_sent(few: Admin, key: str) -> None:
    few.add_user("alice", NOW)
    with pytest.raises(Invalid, match="at least 20 printable ASCII characters") as refused:
        few.add_token("alice", NOW, key=key)
    assert not key or key not in str(refused.value)


@pytest.mark.parametrize("ago", [0, 1])
def test_refuses_a_token_that_has_ended_already(few: Admin, ago: int) -> None:
    few.add_user("alice", NOW)
    with pytest.raises(Invalid, match="expired already"):
        few.add_token("alice", NOW, expires=NOW - timedelta(seconds=ago))


def test_a_key_is_one_users_alone(admin: Admin, caplog: pytest.LogCaptureFixture) -> None:
    for name in ("alice", "bob"):
        admin.add_user(name, NOW)
    admin.add_token("alice", NOW, key=KEY)
    with caplog.at_level(logging.DEBUG), pytest.raises(Conflict) as refused:
        admin.add_token("bob", NOW, key=KEY)
    told = f"{refused.value!r} {caplog.text} {refused.value.__cause__!r}"
    assert str(refused.value) == "This key is already in use."
    assert KEY not in told
    assert signed_in(admin, KEY).username == "alice"


def test_a_key_is_stored_as_its_hash_alone(few: Admin, sqlite_store: Store) -> None:
    few.add_user("alice", NOW)
    key = few.add_token("alice", NOW)
    with sqlite_store.transaction(write=False) as tx:
        (token,) = tx.all(Token)
    assert token.key_hash == hash_key(key)
    assert key not in repr(token)


# Groups


def test_who_is_in_a_group(admin: Admin) -> None:
    for name in ("alice", "bob"):
        admin.add_user(name, NOW)
    day, night = admin.add_group("Day shift", NOW), admin.add_group("Night shift", NOW)
    for name in ("bob", "alice", "alice"):
        admin.set_member("Day shift", name, NOW, member=True)
    assert admin.groups() == [(day, ["alice", "bob"]), (night, [])]
    for _ in range(2):
        admin.set_member("Day shift", "alice", NOW, member=False)
    admin.remove_group("Night shift", NOW)
    assert admin.groups() == [(day, ["bob"])]
    admin.remove_group("Day shift", NOW)
    assert len(admin.users()) == 2


@pytest.mark.each_database
def test_two_can_put_somebody_into_a_group_at_once(admin: Admin) -> None:
    admin.add_user("alice", NOW)
    admin.add_group("ops", NOW)
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: admin.set_member("ops", "alice", NOW, member=True), range(8)))
    assert [names for _, names in admin.groups()] == [["alice"]]


@pytest.mark.parametrize("name", ["", " a", "a ", "a,b", "a\n", "\0", "\ud800", "x" * 151])
def test_refuses_group_names_that_cannot_be_listed(few: Admin, name: str) -> None:
    with pytest.raises(Invalid, match="1 to 150 printable characters"):
        few.add_group(name, NOW)


# Permissions


@pytest.mark.each_database
def test_a_permission_reaches_users_and_members_until_it_is_removed(admin: Admin) -> None:
    for name in ("alice", "bob", "carol"):
        admin.add_user(name, NOW)
    admin.add_group("ops", NOW)
    admin.set_member("ops", "bob", NOW, member=True)
    made = admin.add_permission(
        "see Jobs", NOW, types=[*TYPES, *TYPES], actions=VIEW, users=["alice", "alice"], groups=["ops", "ops"]
    )
    assert made.object_types == ("extras.job",), "each once"
    keys = {name: admin.add_token(name, NOW) for name in ("alice", "bob", "carol")}

    def seeing() -> list[str]:
        return [name for name, key in keys.items() if signed_in(admin, key).may(Action.VIEW, ObjectType.JOB)]

    assert seeing() == ["alice", "bob"]
    assert admin.receivers(made.id) == (["alice"], ["ops"])
    admin.set_member("ops", "bob", NOW, member=False)
    assert seeing() == ["alice"]
    admin.remove_permission("see Jobs", NOW)
    assert seeing() == []
    assert admin.permissions() == []


@pytest.mark.parametrize(
    ("to", "refusal", "words"),
    [
        pytest.param({"types": ["extras.jobs"]}, Invalid, "no type 'extras.jobs'; there are extras.job, ", id="type"),
        pytest.param({"types": []}, Invalid, "at least one type: extras.job, ", id="no type"),
        pytest.param({"actions": ["view", "fly"]}, Invalid, "no action 'fly'; there are view, ", id="action"),
        pytest.param({"actions": []}, Invalid, "at least one action: view, ", id="no action"),
        pytest.param({"users": ["bob"]}, NotFound, "no user named 'bob'", id="user"),
        pytest.param({"groups": ["ops"]}, NotFound, "no group named 'ops'", id="group"),
        pytest.param({"constraint": {"nam": "x"}}, Invalid, "no lookup 'nam'. The paths that exist are", id="lookup"),
        pytest.param({"constraint": []}, Invalid, "would match nothing", id="an empty list of constraints"),
        pytest.param({"constraint": {"name": "\0"}}, Invalid, "text without NUL", id="a null character"),
        pytest.param({"types": ["prefect"], "constraint": {"name": "x"}}, Invalid, "no lookup", id="a limited Prefect"),
        pytest.param({"name": ""}, Invalid, "1 to 255 printable", id="no name"),
        pytest.param({"name": "a\0"}, Invalid, "1 to 255 printable", id="a name that cannot be printed"),
        pytest.param({"name": "x" * 256}, Invalid, "1 to 255 printable", id="a long name"),
        pytest.param({"name": "taken"}, Conflict, "named 'taken' already exists", id="a name that is taken"),
    ],
)
def test_refuses_permissions_and_leaves_nothing_of_them(
    few: Admin, to: dict[str, Any], refusal: type[GateError], words: str
) -> None:
    few.add_user("alice", NOW)
    taken = few.add_permission("taken", NOW, types=TYPES, actions=VIEW)
    asked = {"name": "new", "types": TYPES, "actions": VIEW, "users": ["alice"], **to}
    with pytest.raises(refusal) as refused:
        few.add_permission(asked.pop("name"), NOW, **asked)
    assert words in str(refused.value)
    assert few.permissions() == [taken]


@pytest.mark.parametrize("constraint", [None, {}, {"name__in": ["a"]}, [{"name": "ü"}, {"enabled": True}]])
def test_a_constraint_is_kept_as_it_was_written(admin: Admin, constraint: Any) -> None:
    admin.add_permission("p", NOW, types=TYPES, actions=VIEW, constraint=constraint)
    assert [permission.constraints for permission in admin.permissions()] == [constraint]


# What is not there, and what is there twice


@pytest.mark.parametrize(
    "call",
    [
        pytest.param(lambda i: i.set_active("none", NOW, active=False), id="deactivate a user"),
        pytest.param(lambda i: i.add_token("none", NOW), id="make a token"),
        pytest.param(lambda i: i.remove_group("none", NOW), id="remove a group"),
        pytest.param(lambda i: i.set_member("none", "alice", NOW, member=True), id="join a group"),
        pytest.param(lambda i: i.set_member("ops", "none", NOW, member=True), id="put nobody into a group"),
        pytest.param(lambda i: i.remove_permission("none", NOW), id="remove a permission"),
    ],
)
def test_what_is_not_there_is_told(few: Admin, call: Any) -> None:
    few.add_user("alice", NOW)
    few.add_group("ops", NOW)
    with pytest.raises(NotFound, match="named 'none'"):
        call(few)


@pytest.mark.parametrize(
    "call",
    [
        pytest.param(lambda i: i.add_user("ops", NOW), id="a user"),
        pytest.param(lambda i: i.add_group("ops", NOW), id="a group"),
        pytest.param(lambda i: i.add_permission("ops", NOW, types=TYPES, actions=VIEW), id="a permission"),
    ],
)
def test_what_is_there_already_is_told(admin: Admin, call: Any) -> None:
    call(admin)
    with pytest.raises(Conflict, match="named 'ops' already exists"):
        call(admin)


# The worker's account


THEIR_OWN = [
    (Action.VIEW, ObjectType.APPROVAL_REQUEST),
    *((action, ObjectType.TOKEN) for action in (Action.VIEW, Action.ADD, Action.CHANGE, Action.DELETE)),
]
"""Like everybody, they may what concerns their own tokens, and view requests that they had a part in."""


def given(actor: Actor) -> list[tuple[Action, ObjectType]]:
    """Return what somebody may do."""
    return [(action, kind) for action in Action for kind in ObjectType if actor.may(action, kind)]


def test_the_workers_account_works_for_its_pool_and_may_nothing_else(admin: Admin) -> None:
    for _ in range(2):
        admin.ensure_worker(KEY, NOW, pool="signoff")
    actor = signed_in(admin, KEY, WORKER)
    assert (actor.works_for, given(actor)) == ("signoff", THEIR_OWN)
    assert not actor.may(Action.VIEW, ObjectType.TOKEN, {"user": uuid4()})
    assert not actor.superuser
    assert (len(admin.users()), admin.permissions()) == (1, [])


def test_programs_on_the_servers_machine_write_to_prefect_and_may_nothing_else(admin: Admin) -> None:
    for _ in range(2):
        admin.ensure_local(KEY, NOW)
    actor = signed_in(admin, KEY, LOCAL)
    assert (actor.works_for, given(actor)) == ("", [*THEIR_OWN, (Action.WRITE, ObjectType.PREFECT)])
    assert not actor.superuser
    assert len(admin.users()) == len(admin.permissions()) == 1


def test_the_servers_own_accounts_are_made_again_whatever_of_them_was_removed(few: Admin, sqlite_store: Store) -> None:
    few.ensure_worker(KEY, NOW, pool="signoff")
    few.ensure_local(KEY[::-1], NOW)
    for name in (WORKER, LOCAL):
        few.remove_user(name, NOW)
    few.ensure_worker(KEY, NOW, pool="signoff")
    few.ensure_local(KEY[::-1], NOW)
    assert signed_in(few, KEY).works_for == "signoff"
    assert signed_in(few, KEY[::-1], LOCAL).may(Action.WRITE, ObjectType.PREFECT)
    with sqlite_store.transaction(write=False) as tx:
        assert len(tx.all(PermissionUser)) == 1


def test_what_an_administrator_takes_from_the_account_of_local_programs_is_not_given_back(few: Admin) -> None:
    few.ensure_local(KEY, NOW)
    (permission,) = few.permissions()
    few.remove_permission(permission.name, NOW)
    few.ensure_local(KEY * 2, NOW)
    assert not signed_in(few, KEY * 2, LOCAL).may(Action.WRITE, ObjectType.PREFECT)
    assert few.permissions() == []


def test_accounts_of_workers_keep_what_they_were_given_before_but_for_the_servers_own(few: Admin) -> None:
    old = few.add_user("old", NOW)
    few.ensure_worker(KEY, NOW, pool="signoff")
    users = ["old", WORKER]
    few.add_permission(WORKERS_PERMISSION, NOW, types=["prefect"], actions=["write"], users=users)
    few.make_worker("old", "signoff", NOW)
    few.ensure_worker(KEY, NOW, pool="signoff")
    assert few.writers() == {old.id}
    few.unmake_worker("old", NOW)
    assert few.writers() == set()


def test_an_account_is_made_a_workers_for_one_pool(admin: Admin) -> None:
    carol = admin.add_user("carol", NOW)
    for pool in ("signoff", "signoff", "bulk"):
        admin.make_worker("carol", pool, NOW)
    assert admin.workers() == {carol.id: "bulk"}
    actor = signed_in(admin, admin.add_token("carol", NOW))
    assert (actor.works_for, given(actor)) == ("bulk", THEIR_OWN)
    with admin.store.transaction(write=False) as tx:
        told = [event.data["changes"] for event in tx.events(0, 100) if event.act is EventType.USER_CHANGED]
    assert told == [{"works_for": {"old": old, "new": new}} for old, new in (("", "signoff"), ("signoff", "bulk"))]


def test_a_workers_account_becomes_one_like_others_again(admin: Admin) -> None:
    admin.add_user("carol", NOW)
    admin.make_worker("carol", "signoff", NOW)
    admin.unmake_worker("carol", NOW)
    assert admin.workers() == {}
    assert signed_in(admin, admin.add_token("carol", NOW)).works_for == ""
    with pytest.raises(Conflict):
        admin.unmake_worker("carol", NOW)
    with admin.store.transaction(write=False) as tx:
        told = [event.data["changes"] for event in tx.events(0, 100) if event.act is EventType.USER_CHANGED]
    assert told == [{"works_for": {"old": old, "new": new}} for old, new in (("", "signoff"), ("signoff", ""))]


def test_a_superuser_is_no_worker(admin: Admin) -> None:
    admin.add_user("root", NOW, superuser=True)
    with pytest.raises(Conflict):
        admin.make_worker("root", "signoff", NOW)
    assert admin.workers() == {}


def test_workers_of_before_pools_were_known_get_that_of_the_server(admin: Admin) -> None:
    old, moved = admin.add_user("old", NOW), admin.add_user("moved", NOW)
    with admin.store.transaction() as tx:
        tx.add(WorkerAccount(user_id=old.id, pool=""), WorkerAccount(user_id=moved.id, pool="bulk"))
    admin.ensure_worker(KEY, NOW, pool="signoff")
    admin.ensure_worker(KEY, NOW, pool="signoff")
    assert {old.id: "signoff", moved.id: "bulk"}.items() <= admin.workers().items()
    with admin.store.transaction(write=False) as tx:
        events = [event for event in tx.events(0, 100) if "works_for" in event.data.get("fields", ())]
    assert [event.name for event in events] == ["old", WORKER], "each once"
    assert [event.data["changes"] for event in events] == 2 * [{"works_for": {"old": "", "new": "signoff"}}]


# Who administers


def test_who_administers_is_named_as_no_account_can_be() -> None:
    assert LocalAdministrator("jane").username == "local: jane"
    with pytest.raises(Invalid):
        check_username(LocalAdministrator("jane").username)
    assert len(LocalAdministrator("x" * 300).username) == 150, "as long as the audit keeps"
    assert LocalAdministrator("jane").id is None


@pytest.mark.parametrize("door", ["the command line twice", "both doors"])
@pytest.mark.each_database
def test_of_two_superusers_who_are_deactivated_at_once_one_remains(admin: Admin, door: str) -> None:
    names, start = ("root", "second"), Barrier(2)
    roots = [admin.add_user(name, NOW, superuser=True) for name in names]
    accounts = Accounts(admin.store, lambda: NOW, "UTC")
    actor = Actor(id=roots[1].id, username="second", superuser=True)

    def deactivate(name: str) -> bool:
        start.wait(10)
        try:
            if name == "second" and door == "both doors":
                asyncio.run(accounts.change(actor, ObjectType.USER, {"username": name}, {"is_active": False}))
            else:
                admin.set_active(name, NOW, active=False)
        except Conflict:
            return False
        return True

    with ThreadPoolExecutor(2) as pool:
        assert sorted(pool.map(deactivate, names)) == [False, True]
    assert [user.is_active for user in admin.users()].count(True) == 1
