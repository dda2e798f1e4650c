"""The use cases around accounts: what each does, who may, and that a refusal has changed nothing."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import partial
from threading import Barrier
from typing import Any
from uuid import UUID, uuid4

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from api_shim.domain.accounts import (
    Group,
    Password,
    Permission,
    PermissionGroup,
    PermissionUser,
    Token,
    User,
    UserGroup,
)
from api_shim.domain.audit import AuditEvent, EventType
from api_shim.domain.model import ScheduledJob
from api_shim.services.account_admin import AccountAdmin
from api_shim.services.accounts import ACTS, NAMED_BY, Accounts, Added
from api_shim.services.authentication import (
    EXPIRED,
    INACTIVE,
    INVALID_TOKEN,
    Credentials,
    Unauthenticated,
    actor_of,
    hash_key,
)
from api_shim.services.authorization import versions_of
from api_shim.services.ownership import Transfer
from api_shim.store import TYPES, Store
from api_shim.store.columns import path_types
from approval_gate.constraints import parse
from approval_gate.errors import Conflict, Forbidden, GateError, Invalid, NotFound
from approval_gate.lifecycle import ApprovalState
from approval_gate.model import Action, Actor, Grant, ObjectType
from approval_gate.policy import (
    LAST_SUPERUSER,
    NO_PERMISSION,
    NOT_AN_AGENT,
    OUTLASTS,
    OWN_PASSWORD,
    PASSWORD_OUTLASTS,
    SIGNS_IN_AS_THEM,
    SUPERUSERS_ONLY,
    TOO_LONG_A_LINE,
)
from tests.conftest import Clock
from tests.factories import NOW, OPERATOR, administering, authenticate, make_job, make_scheduled

USER, GROUP, TOKEN, PERMISSION = ObjectType.USER, ObjectType.GROUP, ObjectType.TOKEN, ObjectType.PERMISSION
VIEW, ADD, CHANGE, DELETE = Action.VIEW, Action.ADD, Action.CHANGE, Action.DELETE
KINDS = (USER, GROUP, TOKEN, PERMISSION)
KEPT = (User, Group, Token, Permission, UserGroup, PermissionUser, PermissionGroup, AuditEvent)
KEY = "0123456789abcdef0123"
ANOTHER = {"name": "another"}


def grant(kind: ObjectType, *actions: Action, limit: Any = None) -> Grant:
    constraint = parse(limit, path_types([kind]))
    return Grant(object_types=frozenset({kind}), actions=frozenset(actions), constraint=constraint)


ALL = tuple(grant(kind, VIEW, ADD, CHANGE, DELETE) for kind in KINDS)


@dataclass
class Place:
    """Root, the only superuser; alice and bob, who have nothing; a group with alice; a permission for both.

    Args:
        store: what is true.
        accounts: the use cases.
        identity: local administration.
        things: a user, a group, a token and a permission to do something with: bob's, but for the group.
    """

    store: Store
    accounts: Accounts
    identity: AccountAdmin
    things: dict[ObjectType, Any]

    def user(self, name: str) -> User:
        return next(user for user in self.identity.users() if user.username == name)

    def actor(self, name: str, *grants: Grant, **to: Any) -> Actor:
        """Return a user as they sign in, with grants besides."""
        with self.store.transaction(write=False) as tx:
            return replace(actor_of(tx, self.user(name)), **({"grants": grants} if grants else {}), **to)

    def token(self, name: str) -> Token:
        """Return the token of somebody who has one."""
        with self.store.transaction(write=False) as tx:
            (token,) = tx.all(Token, user_id=self.user(name).id)
            return token

    def add(self, actor: Actor, kind: ObjectType, body: object) -> Added:
        return asyncio.run(self.accounts.add(actor, kind, body))

    def change(self, actor: Actor, kind: ObjectType, by: Any, body: object, **how: Any) -> Any:
        return asyncio.run(self.accounts.change(actor, kind, _by(kind, by), body, **how)).thing

    def remove(self, actor: Actor, kind: ObjectType, by: Any) -> None:
        asyncio.run(self.accounts.remove(actor, kind, _by(kind, by)))

    def rows(self) -> dict[str, set[str]]:
        """Return all that there is of accounts, and all that is remembered."""
        with self.store.transaction(write=False) as tx:
            return {kind.__name__: {f"{row!r}{getattr(row, 'key_hash', '')}" for row in tx.all(kind)} for kind in KEPT}

    def one(self, kind: type[Any], **by: Any) -> Any:
        with self.store.transaction(write=False) as tx:
            return tx.get(kind, **by)

    def all_events(self) -> list[AuditEvent]:
        with self.store.transaction(write=False) as tx:
            return tx.events(0, 100)

    def events(self) -> list[AuditEvent]:
        """Return what was done here, without what furnished the place."""
        return [event for event in self.all_events() if event.actor != OPERATOR.username]


def _by(kind: ObjectType, by: Any) -> Mapping[str, Any]:
    return {NAMED_BY[kind]: by} if isinstance(by, str) else {"id": by if isinstance(by, UUID) else by.id}


def furnished(store: Store, clock: Clock) -> Place:
    identity = administering(store)
    for name in ("root", "alice", "bob"):
        identity.add_user(name, NOW, superuser=name == "root")
        identity.add_token(name, NOW)
    ops = identity.add_group("ops", NOW)
    identity.set_member("ops", "alice", NOW, member=True)
    sees = identity.add_permission("see", NOW, types=["extras.job"], actions=["view"], users=["bob"], groups=["ops"])
    place = Place(store, Accounts(store, clock, "UTC"), identity, {GROUP: ops, PERMISSION: sees})
    place.things |= {USER: place.user("bob"), TOKEN: place.token("bob")}
    return place


@pytest.fixture
def place(store: Store, clock: Clock) -> Place:
    return furnished(store, clock)


@pytest.fixture
def few(sqlite_store: Store, clock: Clock) -> Place:
    """One on SQLite, where the database makes no difference."""
    return furnished(sqlite_store, clock)


def refusal(call: Callable[[], object]) -> tuple[type[Exception], Any]:
    with pytest.raises(GateError) as refused:
        call()
    return type(refused.value), refused.value.detail


BODIES: dict[ObjectType, dict[str, Any]] = {
    USER: {"username": "carol", "is_active": False, "is_superuser": True, "groups": ["ops"]},
    GROUP: {"name": "Night shift"},
    TOKEN: {"user": "alice", "key": KEY, "write_enabled": False, "expires": "2030-01-31T08:00:00Z"},
    PERMISSION: {
        "name": "run",
        "enabled": False,
        "object_types": ["extras.job", "extras.scheduledjob"],
        "actions": ["view", "run"],
        "constraints": [{"name": "a"}, {"enabled": True}],
        "users": ["alice", "bob", "alice"],
        "groups": ["ops"],
    },
}
CHANGES: dict[ObjectType, dict[str, Any]] = {
    USER: {"username": "robert", "is_superuser": True, "groups": ["ops"]},
    GROUP: {"name": "operators"},
    TOKEN: {"write_enabled": False, "expires": "2030-01-31T08:00:00Z"},
    PERMISSION: {"name": "look", "actions": ["view", "run"], "users": ["alice"], "groups": []},
}


# Adding


def test_a_user_is_added_with_all_that_is_given(place: Place) -> None:
    carol = place.add(place.actor("root"), USER, BODIES[USER]).thing
    assert place.user("carol") == carol
    assert carol == User(id=carol.id, username="carol", is_active=False, is_superuser=True, created=NOW)
    assert {group.name: names for group, names in place.identity.groups()} == {"ops": ["alice", "carol"]}


def test_a_permission_is_added_with_all_that_is_given(place: Place) -> None:
    made = place.add(place.actor("root"), PERMISSION, BODIES[PERMISSION]).thing
    assert place.one(Permission, id=made.id) == made
    assert {name: list(value) if isinstance(value := getattr(made, name), tuple) else value
            for name in ("name", "enabled", "object_types", "actions", "constraints")} == {
        name: value for name, value in BODIES[PERMISSION].items() if name not in {"users", "groups"}
    }  # fmt: skip
    assert place.identity.receivers(made.id) == (["alice", "bob"], ["ops"])


def test_what_is_not_given_has_defaults(few: Place) -> None:
    root = few.actor("root")
    user = few.add(root, USER, {"username": "carol"}).thing
    assert user == User(id=user.id, username="carol", created=NOW)
    token = few.add(root, TOKEN, {}).thing
    assert (token.user_id, token.write_enabled, token.expires, token.created) == (root.id, True, None, NOW)
    permission = few.add(root, PERMISSION, {"name": "p", "object_types": ["prefect"], "actions": ["write"]}).thing
    assert (permission.enabled, permission.constraints) == (True, None)
    assert few.identity.receivers(permission.id) == ([], [])


def test_a_key_is_told_once_and_kept_as_its_hash_alone(place: Place) -> None:
    alice = place.actor("alice")
    made = [place.add(alice, TOKEN, body) for body in ({}, {}, {"key": KEY}, {"key": None})]
    keys = [each.key for each in made]
    assert keys[2] == KEY
    assert len({*keys}) == len(keys)
    for each in made:
        assert place.one(Token, id=each.thing.id).key_hash == hash_key(each.key)
        assert authenticate(place.store, Credentials(key=each.key), NOW).id == alice.id
        told = f"{each!r} {place.rows()} {place.events()}"
        assert each.key not in told
        assert hash_key(each.key) not in f"{each!r} {place.events()}"


def test_a_token_that_only_reads_is_one(few: Place) -> None:
    made = few.add(few.actor("alice"), TOKEN, {"write_enabled": False})
    assert authenticate(few.store, Credentials(key=made.key), NOW).read_only


# Tokens that are made with tokens


@dataclass
class Holder:
    """Somebody who has signed in with the key of a token."""

    place: Place
    key: str

    @property
    def actor(self) -> Actor:
        return authenticate(self.place.store, Credentials(key=self.key), NOW)

    def makes(self, **fields: Any) -> Holder:
        return Holder(self.place, self.place.add(self.actor, TOKEN, fields).key)

    @property
    def token(self) -> Token:
        token: Token = self.place.one(Token, key_hash=hash_key(self.key))
        return token

    def is_in(self) -> bool:
        try:
            return bool(self.actor)
        except Unauthenticated:
            return False

    def refused(self, at: datetime = NOW) -> str:
        with pytest.raises(Unauthenticated) as refused:
            authenticate(self.place.store, Credentials(key=self.key), at)
        return str(refused.value)


def holder(place: Place, name: str, **to: Any) -> Holder:
    return Holder(place, place.identity.add_token(name, NOW, **to))


HOUR, DAY = NOW + timedelta(hours=1), NOW + timedelta(days=1)


def _by_who_holds_it(place: Place, first: Holder) -> None:
    place.remove(first.actor, TOKEN, first.token)


def _by_a_superuser(place: Place, first: Holder) -> None:
    place.remove(place.actor("root"), TOKEN, first.token)


def _on_the_machine(place: Place, first: Holder) -> None:
    assert place.identity.remove_token(str(first.token.id), NOW).others == 2


def _with_its_key(place: Place, first: Holder) -> None:
    assert place.identity.remove_key(first.key, NOW).others == 2


def _with_its_user(place: Place, _first: Holder) -> None:
    place.identity.remove_user("carol", NOW)


REMOVALS = [_by_who_holds_it, _by_a_superuser, _on_the_machine, _with_its_key, _with_its_user]


@pytest.mark.parametrize("removed", REMOVALS, ids=lambda how: how.__name__.strip("_").replace("_", " "))
def test_a_token_made_with_a_token_ends_with_it(place: Place, removed: Callable[[Place, Holder], None]) -> None:
    place.identity.add_user("carol", NOW, superuser=True)
    first, other = holder(place, "carol"), holder(place, "bob")
    second = first.makes(user="bob")
    third = second.makes()
    assert third.token.made_with_id == second.token.id
    removed(place, first)
    assert [each.is_in() for each in (first, second, third, other)] == [False, False, False, True]
    left = {event.name for event in place.all_events() if event.act is EventType.TOKEN_REMOVED}
    assert "bob" in left, "the audit tells of each that has gone with it"
    assert place.one(Token, made_with_id=first.token.id if first.token else uuid4()) is None


def test_what_ends_one_ends_those_that_come_from_it(few: Place) -> None:
    few.identity.add_user("carol", NOW, superuser=True)
    first = holder(few, "carol")
    third = first.makes(user="bob").makes()
    root = few.actor("root")
    few.change(root, TOKEN, first.token, {"write_enabled": False})
    assert third.actor.read_only
    few.change(root, TOKEN, first.token, {"write_enabled": True, "expires": HOUR.isoformat()})
    assert not third.actor.read_only
    assert third.refused(HOUR) == EXPIRED
    few.identity.set_active("carol", NOW, active=False)
    assert third.refused() == INACTIVE
    few.identity.set_active("carol", NOW, active=True)
    assert third.is_in()


def test_one_whose_maker_has_gone_without_a_trace_is_refused(few: Place) -> None:
    first = holder(few, "bob")
    second = first.makes()
    with few.store.transaction() as tx:
        tx.remove(first.token)
    assert second.refused() == INVALID_TOKEN


@pytest.mark.parametrize(
    ("ends", "asked", "expires"),
    [
        pytest.param(None, {}, None, id="neither has an end"),
        pytest.param(HOUR, {}, HOUR, id="without an end of its own it has its maker's"),
        pytest.param(HOUR, {"expires": None}, HOUR, id="and when it is to have none"),
        pytest.param(DAY, {"expires": HOUR.isoformat()}, HOUR, id="an earlier one"),
    ],
)
def test_a_token_made_with_a_token_shows_when_it_ends(
    few: Place, ends: datetime | None, asked: dict[str, Any], expires: datetime | None
) -> None:
    first = holder(few, "bob", expires=ends)
    assert first.makes(**asked).token.expires == expires
    assert first.makes().makes(**asked).token.expires == expires


def test_a_token_that_ends_lets_none_last_longer(few: Place) -> None:
    first, forever = holder(few, "bob", expires=HOUR), holder(few, "bob")
    late = (Invalid, {"expires": [OUTLASTS]})
    second = first.makes()
    for each, end in ((first, None), (first, DAY), (second, None), (second, DAY), (forever, DAY)):
        changes = {"expires": end and end.isoformat()}
        assert refusal(partial(few.change, second.actor, TOKEN, each.token, changes)) == late
    assert refusal(partial(first.makes, expires=DAY.isoformat())) == late
    as_it_is = {"expires": None, "description": "deploys"}
    assert few.change(second.actor, TOKEN, forever.token, as_it_is).description == "deploys"
    assert few.change(forever.actor, TOKEN, first.token, {"expires": None}).expires is None


def test_a_line_of_tokens_comes_to_an_end(few: Place) -> None:
    last = holder(few, "bob")
    for _ in range(4):
        last = last.makes()
    assert refusal(last.makes) == (Forbidden, TOO_LONG_A_LINE)


def test_one_that_was_removed_while_it_makes_another_makes_none(few: Place) -> None:
    first = holder(few, "bob")
    actor = first.actor
    few.remove(actor, TOKEN, first.token)
    assert refusal(lambda: few.add(actor, TOKEN, {})) == (Unauthenticated, INVALID_TOKEN)


# Changing


def test_a_user_is_changed(place: Place) -> None:
    bob = place.things[USER]
    root = place.actor("root")
    after = place.change(root, USER, "bob", CHANGES[USER])
    assert after == replace(bob, username="robert", is_superuser=True) == place.user("robert")
    assert place.identity.groups() == [(place.things[GROUP], ["alice", "robert"])]
    place.change(root, USER, bob, {"groups": [], "is_active": False})
    assert place.identity.groups() == [(place.things[GROUP], ["alice"])]
    assert not place.user("robert").is_active


def test_a_token_is_changed_and_keeps_its_key(place: Place) -> None:
    token = place.things[TOKEN]
    after = place.change(place.actor("bob"), TOKEN, token, CHANGES[TOKEN])
    assert (after.write_enabled, after.key_hash) == (False, token.key_hash)
    assert place.one(Token, id=token.id) == after
    assert place.change(place.actor("bob"), TOKEN, token, {"expires": None}).expires is None


@pytest.mark.each_database
def test_a_permission_is_changed_with_those_whom_it_reaches(place: Place) -> None:
    sees = place.things[PERMISSION]
    after = place.change(place.actor("root"), PERMISSION, "see", CHANGES[PERMISSION])
    assert place.one(Permission, id=sees.id) == after == replace(sees, name="look", actions=("view", "run"))
    assert place.identity.receivers(sees.id) == (["alice"], [])


def test_a_group_is_changed_and_keeps_its_users(few: Place) -> None:
    few.change(few.actor("root"), GROUP, "ops", CHANGES[GROUP])
    assert few.identity.groups() == [(replace(few.things[GROUP], name="operators"), ["alice"])]


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_as_it_was_is_not_remembered(few: Place, kind: ObjectType) -> None:
    same = {
        USER: {"username": "bob", "is_active": True, "groups": []},
        GROUP: {"name": "ops"},
        TOKEN: {"write_enabled": True, "expires": None},
        PERMISSION: {"actions": ["view"], "users": ["bob"], "groups": ["ops"], "constraints": None},
    }
    before = few.rows()
    for body in ({}, same[kind]):
        few.change(few.actor("root"), kind, few.things[kind], body)
    assert few.rows() == before


# Removing


@pytest.mark.each_database
def test_a_user_is_removed_with_their_tokens_and_leaves_their_schedules_behind(place: Place) -> None:
    bob, job = place.things[USER], make_job()
    scheduled = make_scheduled(job, bob)
    with place.store.transaction() as tx:
        tx.add(job)
        tx.add(scheduled)
    place.remove(place.actor("root"), USER, "bob")
    assert [user.username for user in place.identity.users()] == ["alice", "root"]
    assert place.one(Token, user_id=bob.id) is None
    assert place.identity.receivers(place.things[PERMISSION].id) == ([], ["ops"])
    assert place.one(ScheduledJob, id=scheduled.id) == replace(scheduled, owner_id=None)


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_removed_is_gone_and_others_are_not(place: Place, kind: ObjectType) -> None:
    place.remove(place.actor("root"), kind, place.things[kind])
    assert place.one(TYPES[kind], id=place.things[kind].id) is None
    left = {"root", "alice", "bob"} - ({"bob"} if kind is USER else set())
    assert {user.username for user in place.identity.users()} == left


def test_who_removes_themselves_is_gone(few: Place) -> None:
    few.remove(few.actor("bob", *ALL), USER, "bob")
    assert few.one(User, username="bob") is None


# Who may


def calls(place: Place, actor: Actor, kind: ObjectType) -> dict[Action, Callable[[], object]]:
    thing = place.things[kind]
    harmless = {USER: {"is_active": False}, PERMISSION: {"enabled": False}}
    change = harmless.get(kind, CHANGES[kind])
    body = {**BODIES[kind], "is_superuser": False} if kind is USER else BODIES[kind]
    return {
        ADD: lambda: place.add(actor, kind, body),
        CHANGE: lambda: place.change(actor, kind, thing, change),
        DELETE: lambda: place.remove(actor, kind, thing),
    }


@pytest.mark.parametrize("action", [ADD, CHANGE, DELETE])
@pytest.mark.parametrize("kind", [USER, GROUP, PERMISSION])
def test_without_the_action_on_the_type_nothing_is_done_or_learned(
    few: Place, kind: ObjectType, action: Action
) -> None:
    others = [grant(kind, each) for each in Action if each is not action]
    others += [grant(each, action) for each in KINDS if each is not kind]
    before = few.rows()
    for grants in ([grant(kind, VIEW)], others):
        actor = few.actor("alice", *grants)
        assert refusal(calls(few, actor, kind)[action]) == (Forbidden, NO_PERMISSION)
        if action is not ADD:
            few.things[kind] = replace(few.things[kind], id=uuid4())
            assert refusal(calls(few, actor, kind)[action]) == (Forbidden, NO_PERMISSION)
    assert few.rows() == before


@pytest.mark.parametrize("action", [CHANGE, DELETE])
@pytest.mark.parametrize("kind", KINDS)
def test_what_they_may_only_do_with_another_is_forbidden_if_they_see_it_and_else_unknown(
    few: Place, kind: ObjectType, action: Action
) -> None:
    limit = {NAMED_BY.get(kind, "user__username"): "another"}
    before = few.rows()
    sees = few.actor("alice", grant(kind, action, limit=limit), grant(kind, VIEW))
    assert refusal(calls(few, sees, kind)[action]) == (Forbidden, NO_PERMISSION)
    blind = few.actor("alice", grant(kind, action, limit=limit))
    assert refusal(calls(few, blind, kind)[action])[0] is NotFound
    assert few.rows() == before


@pytest.mark.parametrize("action", [ADD, CHANGE, DELETE])
@pytest.mark.parametrize("kind", KINDS)
def test_who_has_the_permission_can(place: Place, kind: ObjectType, action: Action) -> None:
    naming = [grant(each, VIEW) for each in (USER, GROUP)] if action is ADD else []
    calls(place, place.actor("alice", grant(kind, action), *naming), kind)[action]()
    event = place.events()[-1]
    assert (event.act, event.actor, event.at) == (ACTS[kind, action], "alice", NOW)


@pytest.mark.parametrize("action", [ADD, CHANGE, DELETE])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", ["root", "bob"])
def test_a_read_only_token_writes_nothing(few: Place, name: str, kind: ObjectType, action: Action) -> None:
    reader = few.actor(name, *(ALL if name == "bob" else ()), read_only=True)
    before = few.rows()
    assert refusal(calls(few, reader, kind)[action]) == (Forbidden, NO_PERMISSION)
    assert few.rows() == before


@pytest.mark.parametrize("gone", ["removed", "deactivated"])
@pytest.mark.parametrize("action", [ADD, CHANGE, DELETE])
@pytest.mark.parametrize("kind", [GROUP, PERMISSION])
def test_who_is_no_longer_there_writes_nothing(few: Place, kind: ObjectType, action: Action, gone: str) -> None:
    alice = few.actor("alice", *ALL)
    if gone == "removed":
        administering(few.store).remove_user("alice", NOW)
    else:
        few.identity.set_active("alice", NOW, active=False)
    before = few.rows()
    words = "This user has been removed or deactivated."
    assert refusal(calls(few, alice, kind)[action]) == (Forbidden, words)
    assert few.rows() == before


@pytest.mark.parametrize(
    ("limit", "call"),
    [
        pytest.param({"name": "new"}, lambda p, a: p.add(a, GROUP, {"name": "other"}), id="a group that is added"),
        pytest.param({"name": "ops"}, lambda p, a: p.change(a, GROUP, "ops", {"name": "x"}), id="a group's new name"),
        pytest.param(
            {"username__startswith": "b"},
            lambda p, a: p.change(a, USER, "bob", {"username": "carol"}),
            id="a user's new name",
        ),
        pytest.param(
            {"is_active": True}, lambda p, a: p.add(a, USER, {"username": "x", "is_active": False}), id="a new user"
        ),
        pytest.param(
            {"is_active": True}, lambda p, a: p.change(a, USER, "bob", {"is_active": False}), id="a deactivation"
        ),
        pytest.param(
            {"user__username": "bob"}, lambda p, a: p.add(a, TOKEN, {"user": "root2"}), id="a token for another"
        ),
        pytest.param(
            {"write_enabled": False}, lambda p, a: p.add(a, TOKEN, {"user": "bob"}), id="a token that may write"
        ),
        pytest.param(
            {"expires__isnull": True},
            lambda p, a: p.change(a, TOKEN, p.things[TOKEN], CHANGES[TOKEN]),
            id="a token that ends",
        ),
        pytest.param(
            {"enabled": True},
            lambda p, a: p.change(a, PERMISSION, "see", {"enabled": False, "users": []}),
            id="a permission that is disabled",
        ),
    ],
)
def test_what_becomes_of_it_is_within_their_limits_too_or_nothing_happens(
    place: Place, limit: dict[str, Any], call: Callable[[Place, Actor], object]
) -> None:
    place.identity.add_user("root2", NOW)
    limited = [grant(kind, ADD, CHANGE, limit=limit) for kind in KINDS if set(limit_paths(limit)) <= paths(kind)]
    actor = place.actor("alice", *limited, *(grant(kind, VIEW) for kind in KINDS))
    before = place.rows()
    assert refusal(lambda: call(place, actor)) == (Forbidden, NO_PERMISSION)
    assert place.rows() == before


def limit_paths(limit: dict[str, Any]) -> list[str]:
    return [path.removesuffix("__startswith").removesuffix("__isnull") for path in limit]


def paths(kind: ObjectType) -> set[str]:
    return {*path_types([kind])}


# Their own tokens


def test_everybody_sees_to_their_own_tokens(place: Place) -> None:
    bob = place.actor("bob", grant(USER, VIEW, limit={"username": "nobody"}))
    made = place.add(bob, TOKEN, {"user": "bob", "write_enabled": False})
    assert place.change(bob, TOKEN, made.thing, {"write_enabled": True}).write_enabled
    place.remove(bob, TOKEN, made.thing)
    place.remove(bob, TOKEN, place.things[TOKEN])
    assert place.one(Token, user_id=bob.id) is None


def test_nobody_sees_to_those_of_others(few: Place) -> None:
    alice = few.actor("alice", grant(USER, VIEW))
    before = few.rows()
    assert refusal(lambda: few.add(alice, TOKEN, {"user": "bob"})) == (Forbidden, NO_PERMISSION)
    unknown = (NotFound, "No Token matches the given query.")
    for token in (few.things[TOKEN], uuid4()):
        assert refusal(partial(few.change, alice, TOKEN, token, {"write_enabled": False})) == unknown
        assert refusal(partial(few.remove, alice, TOKEN, token)) == unknown
    assert few.rows() == before


# Who is named


@pytest.mark.parametrize(
    ("kind", "body", "field"),
    [
        pytest.param(USER, {"username": "x", "groups": ["nothing"]}, "groups", id="no such group"),
        pytest.param(USER, {"username": "x", "groups": ["ops"]}, "groups", id="a group that they may not see"),
        pytest.param(TOKEN, {"user": "nobody"}, "user", id="no such user"),
        pytest.param(TOKEN, {"user": "bob"}, "user", id="a user whom they may not see"),
        pytest.param(TOKEN, {"user": str(uuid4())}, "user", id="no user of such an id"),
        pytest.param(PERMISSION, {**BODIES[PERMISSION], "groups": []}, "users", id="users whom they may not see"),
    ],
)
def test_who_is_unknown_or_unseen_is_told_alike(few: Place, kind: ObjectType, body: Any, field: str) -> None:
    alice = few.actor("alice", *(grant(each, ADD) for each in KINDS))
    before = few.rows()
    kind_of_refusal, told = refusal(lambda: few.add(alice, kind, body))
    assert kind_of_refusal is Invalid
    assert told.keys() == {field}
    assert told[field][0].startswith("There is no ")
    assert told[field][0].endswith(", or none that you may see.")
    assert few.rows() == before


def test_everybody_may_name_themselves(few: Place) -> None:
    alice = few.actor("alice", grant(PERMISSION, ADD))
    body = {"name": "p", "object_types": ["prefect"], "actions": ["write"], "users": [str(alice.id), "alice"]}
    made = few.add(alice, PERMISSION, body).thing
    assert few.identity.receivers(made.id) == (["alice"], [])


# Who is added and taken away one by one


@pytest.mark.parametrize("kind", [USER, PERMISSION])
@pytest.mark.each_database
def test_of_two_who_add_at_once_both_are_heard(place: Place, kind: ObjectType) -> None:
    root, thing, start = place.actor("root"), place.things[kind], Barrier(2)
    names = [place.identity.add_group(name, NOW).name for name in ("one", "two")]

    def add(name: str) -> None:
        start.wait(10)
        place.change(root, kind, thing, {"groups": [name]}, without={})

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(add, names))
    if kind is USER:
        assert {group.name for group, users in place.identity.groups() if "bob" in users} == {*names}
    else:
        assert place.identity.receivers(thing.id) == (["bob"], ["one", "ops", "two"])


def test_whom_they_may_not_see_they_neither_add_nor_take_away(few: Place) -> None:
    for name in ("seen", "also seen", "hidden"):
        few.identity.add_group(name, NOW)
    for name in ("seen", "hidden"):
        few.identity.set_member(name, "bob", NOW, member=True)
    groups = {group.name: group.id for group, _ in few.identity.groups()}
    limit = {"name__icontains": "seen"}
    clerk = few.actor("alice", grant(USER, VIEW, CHANGE), grant(GROUP, VIEW, limit=limit))
    few.change(clerk, USER, "bob", {"groups": ["also seen"]}, without={"groups": {groups["seen"], groups["hidden"]}})
    assert {group.name for group, users in few.identity.groups() if "bob" in users} == {"also seen", "hidden"}
    kind, told = refusal(lambda: few.change(clerk, USER, "bob", {"groups": [str(groups["ops"])]}, without={}))
    assert (kind, [*told]) == (Invalid, ["groups"])


# What is taken


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.each_database
def test_of_two_who_take_a_name_at_once_one_is_told_that_it_is_taken(place: Place, kind: ObjectType) -> None:
    root, start = place.actor("root"), Barrier(2)

    def add(_: int) -> Any:
        start.wait(10)
        try:
            return place.add(root, kind, BODIES[kind])
        except Invalid as error:
            return error.detail

    with ThreadPoolExecutor(2) as pool:
        answers = list(pool.map(add, range(2)))
    assert [isinstance(each, Added) for each in answers].count(True) == 1
    told = {
        USER: {"username": ["A user with this name already exists."]},
        GROUP: {"name": ["A group with this name already exists."]},
        TOKEN: {"key": ["This key is already in use."]},
        PERMISSION: {"name": ["A permission with this name already exists."]},
    }
    assert told[kind] in answers
    assert len(place.events()) == 1


@pytest.mark.parametrize("kind", [USER, GROUP, PERMISSION])
def test_nothing_is_called_what_another_is_called(place: Place, kind: ObjectType) -> None:
    root = place.actor("root")
    place.add(root, kind, BODIES[kind])
    before, field = place.rows(), NAMED_BY[kind]
    taken = refusal(lambda: place.change(root, kind, place.things[kind], {field: BODIES[kind][field]}))
    assert taken[0] is Invalid
    assert "already exists" in taken[1][field][0]
    assert place.rows() == before


# Superusers


@pytest.mark.parametrize(
    "call",
    [
        pytest.param(lambda p, a: p.add(a, USER, {"username": "x", "is_superuser": True}), id="make one"),
        pytest.param(lambda p, a: p.change(a, USER, "bob", {"is_superuser": True}), id="make somebody one"),
        pytest.param(lambda p, a: p.change(a, USER, "alice", {"is_superuser": True}), id="make themselves one"),
        pytest.param(lambda p, a: p.change(a, USER, "root", {"is_superuser": False}), id="demote one"),
        pytest.param(lambda p, a: p.change(a, USER, "root", {"is_active": False}), id="deactivate one"),
        pytest.param(lambda p, a: p.change(a, USER, "root", {"username": "x"}), id="rename one"),
        pytest.param(lambda p, a: p.change(a, USER, "root", {"groups": ["ops"]}), id="put one into a group"),
        pytest.param(lambda p, a: p.remove(a, USER, "root"), id="remove one"),
        pytest.param(lambda p, a: p.remove(a, USER, "asleep"), id="remove one who is not active"),
        pytest.param(lambda p, a: p.change(a, USER, "asleep", {"is_active": True}), id="activate one"),
        pytest.param(lambda p, a: p.add(a, TOKEN, {"user": "root"}), id="make a token for one"),
        pytest.param(lambda p, a: p.add(a, TOKEN, {"user": "root", "key": KEY}), id="make a token with a key for one"),
        pytest.param(
            lambda p, a: p.change(a, TOKEN, p.token("root"), {"write_enabled": False}), id="change their token"
        ),
        pytest.param(lambda p, a: p.remove(a, TOKEN, p.token("root")), id="remove their token"),
    ],
)
def test_only_a_superuser_does_this_to_a_superuser(place: Place, call: Callable[[Place, Actor], object]) -> None:
    place.identity.add_user("asleep", NOW, superuser=True)
    place.identity.set_active("asleep", NOW, active=False)
    place.identity.add_user("second", NOW, superuser=True)
    before = place.rows()
    assert refusal(lambda: call(place, place.actor("alice", *ALL))) == (Forbidden, SUPERUSERS_ONLY)
    assert place.rows() == before
    call(place, place.actor("second"))


def test_who_sees_no_superuser_is_not_told_that_there_is_one(few: Place) -> None:
    limit = {"is_superuser": False}
    alice = few.actor("alice", grant(USER, VIEW, CHANGE, DELETE, limit=limit))
    for call in (lambda: few.remove(alice, USER, "root"), lambda: few.change(alice, USER, "root", {"username": "x"})):
        assert refusal(call) == (NotFound, "No User matches the given query.")


@pytest.mark.parametrize(
    "call",
    [
        pytest.param(lambda p, a: p.remove(a, USER, "root"), id="removed"),
        pytest.param(lambda p, a: p.change(a, USER, "root", {"is_active": False}), id="deactivated"),
        pytest.param(lambda p, a: p.change(a, USER, "root", {"is_superuser": False}), id="demoted"),
        pytest.param(
            lambda p, a: p.change(a, USER, "root", {"is_superuser": False, "username": "x", "groups": ["ops"]}),
            id="demoted among other things",
        ),
    ],
)
def test_the_last_active_superuser_is_not(place: Place, call: Callable[[Place, Actor], object]) -> None:
    place.identity.add_user("asleep", NOW, superuser=True)
    place.identity.set_active("asleep", NOW, active=False)
    root, before = place.actor("root"), place.rows()
    assert refusal(lambda: call(place, root)) == (Conflict, LAST_SUPERUSER)
    assert place.rows() == before
    place.identity.set_active("asleep", NOW, active=True)
    call(place, root)


def test_the_last_superuser_can_be_renamed_and_others_can_go(few: Place) -> None:
    root = few.actor("root")
    assert few.change(root, USER, "root", {"username": "toor"}).username == "toor"
    few.remove(root, USER, "bob")
    few.change(root, USER, "alice", {"is_active": False})
    assert [user.username for user in few.identity.users()] == ["alice", "toor"]


@pytest.mark.parametrize("what", ["themselves", "each other"])
@pytest.mark.each_database
def test_of_two_superusers_who_end_it_at_once_one_remains(place: Place, what: str) -> None:
    place.identity.add_user("second", NOW, superuser=True)
    names, start = ("root", "second"), Barrier(2)
    actors = {name: place.actor(name) for name in names}

    def demote(name: str) -> bool:
        target = name if what == "themselves" else next(each for each in names if each != name)
        start.wait(10)
        try:
            place.change(actors[name], USER, target, {"is_superuser": False})
        except Conflict:
            return False
        return True

    with ThreadPoolExecutor(2) as pool:
        assert sorted(pool.map(demote, names)) == [False, True]
    assert [user.is_superuser for user in place.identity.users()].count(True) == 1


# The audit


ENDS = "2030-01-31T08:00:00+00:00"
SEE = {"enabled": True, "object_types": ["extras.job"], "constraints": None}
CHANGED: dict[ObjectType, tuple[dict[str, Any], dict[str, tuple[Any, Any]], dict[str, Any]]] = {
    USER: (
        {"username": "carol", "is_active": False, "is_superuser": True, "groups": ["ops"]},
        {"username": ("bob", "robert"), "is_superuser": (False, True), "groups": ([], ["ops"])},
        {"username": "robert", "is_active": True, "is_superuser": True, "groups": ["ops"]},
    ),
    GROUP: (
        {"name": "Night shift", "users": []},
        {"name": ("ops", "operators")},
        {"name": "operators", "users": ["alice"]},
    ),
    TOKEN: (
        {"write_enabled": False, "expires": ENDS},
        {"write_enabled": (True, False), "expires": (None, ENDS)},
        {"write_enabled": False, "expires": ENDS},
    ),
    PERMISSION: (
        {**BODIES[PERMISSION], "users": ["alice", "bob"]},
        {"name": ("see", "look"), "actions": (["view"], ["view", "run"]), "users": (["bob"], ["alice"]),
         "groups": (["ops"], [])},
        {**SEE, "name": "look", "actions": ["view", "run"], "users": ["alice"], "groups": []},
    ),
}  # fmt: skip
"""What is recorded by field: of what was added, changed (from what, to what) and removed."""


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_done_is_remembered_with_whose_act_it_was_and_what_was_and_is(place: Place, kind: ObjectType) -> None:
    root, thing = place.actor("root"), place.things[kind]
    added = place.add(root, kind, BODIES[kind]).thing
    place.change(root, kind, thing, CHANGES[kind])
    place.remove(root, kind, thing)
    name = {USER: "carol", GROUP: "Night shift", TOKEN: "alice", PERMISSION: "run"}[kind]
    was = {USER: "bob", GROUP: "ops", TOKEN: "bob", PERMISSION: "see"}[kind]
    became = {USER: "robert", GROUP: "operators", TOKEN: "bob", PERMISSION: "look"}[kind]
    new, changed, old = CHANGED[kind]
    added_changes = {field: {"new": value} for field, value in new.items()}
    both = {field: {"old": before, "new": after} for field, (before, after) in changed.items()}
    gone = {field: {"old": value} for field, value in old.items()}
    events = [event for event in place.events() if kind is TOKEN or event.act is not EventType.TOKEN_REMOVED]
    assert [(event.act, event.name, event.data) for event in events] == [
        (ACTS[kind, ADD], name, {"id": str(added.id), "fields": sorted(BODIES[kind]), "changes": added_changes}),
        (ACTS[kind, CHANGE], was, {"id": str(thing.id), "fields": sorted(CHANGES[kind]), "changes": both}),
        (ACTS[kind, DELETE], became, {"id": str(thing.id), "changes": gone}),
    ]
    assert KEY not in str(events)
    assert {(event.actor_id, event.actor, event.at) for event in place.events()} == {(root.id, "root", NOW)}


def test_a_user_who_is_removed_takes_their_tokens_along_each_recorded(few: Place) -> None:
    token = few.token("bob")
    few.remove(few.actor("root"), USER, "bob")
    assert [(event.act, event.name, event.data["id"]) for event in few.events()] == [
        (EventType.TOKEN_REMOVED, "bob", str(token.id)),
        (EventType.USER_REMOVED, "bob", str(few.things[USER].id)),
    ]


def test_every_act_on_an_account_has_its_words() -> None:
    assert set(ACTS) == {(kind, action) for kind in KINDS for action in (ADD, CHANGE, DELETE)}
    assert len({*ACTS.values()}) == len(ACTS)
    nouns = {str(act).partition(".")[0] for act in ACTS.values()}
    others = {act for act in EventType if act.partition(".")[0] not in nouns}
    # An identity of an identity provider is linked with a user, who stays as they are.
    others |= {EventType.USER_LINKED, EventType.USER_UNLINKED}
    assert {*ACTS.values()} == {*EventType} - others


def test_what_cannot_be_remembered_is_not_done(few: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object, **__: object) -> AuditEvent:
        raise LookupError("The audit has no head: its last number and hash are missing.")

    before = few.rows()
    monkeypatch.setattr("api_shim.services.accounts.account_event", broken)
    for kind in KINDS:
        for call in calls(few, few.actor("root"), kind).values():
            with pytest.raises(LookupError):
                call()
    assert few.rows() == before


def test_the_time_is_the_clocks(few: Place, clock: Clock) -> None:
    clock.forward(hours=1)
    made = few.add(few.actor("root"), USER, {"username": "carol"}).thing
    assert made.created == NOW + timedelta(hours=1)
    assert [event.at for event in few.events()] == [clock.now]


# Whatever is sent

ODD = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.text(max_size=4)
    | st.sampled_from(["\ud800", "\0", "root", "bob", "ops", "see", "extras.job", "view", "x" * 300, KEY])
    | st.sampled_from(["2030-01-01T00:00", "9999-12-31T23:59:59-14:00", "0001-01-01T00:00+14:00"]),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(["id", "name", "name__in"]), inner),
    max_leaves=4,
)
FIELDS = sorted({*BODIES[USER], *BODIES[TOKEN], *BODIES[PERMISSION], "id", "key_hash"})
SENT = st.dictionaries(st.sampled_from(FIELDS), ODD, max_size=3)


def superusers(place: Place) -> list[User]:
    return [user for user in place.identity.users() if user.is_superuser]


# Passwords of others, and what somebody leaves


def sets_password(place: Place, actor: Actor, whose: str, password: str = "battery staple") -> None:
    asyncio.run(place.accounts.set_password(actor, USER, {"username": whose}, password))


SETS = (grant(USER, VIEW, CHANGE), grant(TOKEN, ADD))


@pytest.mark.parametrize(
    ("who", "whose", "error", "told"),
    [
        pytest.param(lambda place: place.actor("root"), "bob", None, "", id="a superuser"),
        pytest.param(lambda place: place.actor("alice", *SETS), "bob", None, "", id="who may sign in as them"),
        pytest.param(lambda place: place.actor("alice", SETS[1]), "bob", Forbidden, NO_PERMISSION, id="no change"),
        pytest.param(
            lambda place: place.actor("alice", SETS[0]), "bob", Forbidden, SIGNS_IN_AS_THEM, id="who may change them"
        ),
        pytest.param(
            lambda place: place.actor("alice", SETS[0], grant(TOKEN, ADD, limit={"write_enabled": False})),
            "bob",
            Forbidden,
            SIGNS_IN_AS_THEM,
            id="who may make tokens that only read",
        ),
        pytest.param(lambda place: place.actor("root"), "root", Forbidden, OWN_PASSWORD, id="their own"),
        pytest.param(lambda place: place.actor("alice", *SETS), "root", Forbidden, SUPERUSERS_ONLY, id="a superuser's"),
        pytest.param(
            lambda place: holder(place, "root", expires=HOUR).actor,
            "bob",
            Forbidden,
            PASSWORD_OUTLASTS,
            id="with a token that ends",
        ),
        pytest.param(
            lambda place: place.actor("root", read_only=True), "bob", Forbidden, NO_PERMISSION, id="who only reads"
        ),
        pytest.param(
            lambda place: place.actor("alice", grant(USER, VIEW, CHANGE, limit={"username": "root"}), SETS[1]),
            "bob",
            NotFound,
            "No User matches the given query.",
            id="one whom they may not see",
        ),
        pytest.param(lambda place: place.actor("root"), "helper", Conflict, NOT_AN_AGENT, id="an agent's"),
        pytest.param(
            lambda place: place.actor("alice", SETS[0]), "helper", Forbidden, SIGNS_IN_AS_THEM, id="an agent's, neither"
        ),
    ],
)
def test_who_may_set_a_password(
    place: Place, who: Callable[[Place], Actor], whose: str, error: type[GateError] | None, told: str
) -> None:
    if whose == "helper":
        place.identity.add_user(whose, NOW, acts_for="bob")
    actor = who(place)
    before = place.rows()
    if error is None:
        sets_password(place, actor, whose)
        event = place.all_events()[-1]
        assert (event.act, event.actor, event.name) == (EventType.USER_CHANGED, actor.username, whose)
        assert event.data["fields"] == ["password"]
        assert place.one(Password, user_id=place.user(whose).id) is not None
        return
    with pytest.raises(error) as refusal:
        sets_password(place, actor, whose)
    assert str(refusal.value) == told
    assert place.rows() == before
    assert place.one(Password, user_id=place.user(whose).id) is None


def test_a_password_that_is_too_short_is_not_set(place: Place) -> None:
    with pytest.raises(Invalid) as refusal:
        sets_password(place, place.actor("root"), "bob", "short")
    assert refusal.value.detail == {"password": ["A password must have 10 to 1000 characters."]}


def test_what_a_user_would_leave_is_told_to_who_may_remove_them(place: Place) -> None:
    job, bob = make_job(), place.user("bob")
    with place.store.transaction() as tx:
        for thing in (job, make_scheduled(job, bob, name="seen"), make_scheduled(job, bob, name="hidden")):
            tx.add(thing)
    sees = (grant(USER, VIEW, DELETE), grant(ObjectType.SCHEDULED_JOB, VIEW, limit={"name": "seen"}))
    before = place.rows()
    departure = asyncio.run(place.accounts.departure(place.actor("alice", *sees), DELETE, {"username": "bob"}))
    assert ([row.name for row in departure.scheduled], departure.hidden, departure.tokens) == (["seen"], 1, 1)
    assert place.rows() == before
    for who, whose, error in (("alice", "root", Forbidden), ("root", "root", Conflict), ("root", "nobody", NotFound)):
        actor = place.actor(who, *(sees if who == "alice" else ()))
        with pytest.raises(error):
            asyncio.run(place.accounts.departure(actor, DELETE, {"username": whose}))


@pytest.mark.parametrize("action", [CHANGE, DELETE])
def test_what_they_own_is_transferred_by_the_rules_and_what_one_may_not_view_is_not(few: Place, action: Action) -> None:
    job, bob, schedules = make_job(), few.user("bob"), ObjectType.SCHEDULED_JOB
    carol = few.identity.add_user("carol", NOW)
    few.identity.add_permission("run", NOW, types=[ObjectType.JOB], actions=["run"], users=["carol"])
    approved = {"approval": ApprovalState.APPROVED, "approved_by_id": carol.id}
    seen, hidden = make_scheduled(job, bob, name="seen", **approved), make_scheduled(job, bob, name="hidden")
    with few.store.transaction() as tx:
        for thing in (job, seen, hidden):
            tx.add(thing)
        versions = versions_of(tx, [seen, hidden])
    transfer = Transfer(to={"username": "carol"}, seen=versions)
    administers = grant(USER, VIEW, CHANGE, DELETE)

    def leaves(*actions: Action) -> object:
        clerk = few.actor("alice", administers, grant(schedules, *actions, limit={"name": "seen"}))
        if action is DELETE:
            return asyncio.run(few.accounts.remove(clerk, USER, {"id": bob.id}, transfer=transfer))
        return few.change(clerk, USER, bob, {"is_active": False}, transfer=transfer)

    before = few.rows()
    for may_change, told in ((False, NO_PERMISSION), (True, "carol does not have permission to change this")):
        kind, detail = refusal(partial(leaves, VIEW, *([CHANGE] if may_change else [])))
        assert (kind, [*detail], told in detail["transfer_to"][0]) == (Invalid, ["transfer_to"], True)
    assert few.rows() == before
    few.identity.add_permission("change", NOW, types=[schedules], actions=["change"], users=["carol"])
    leaves(VIEW, CHANGE)
    seen, hidden = (few.one(ScheduledJob, id=row.id) for row in (seen, hidden))
    assert (seen.owner_id, hidden.owner_id) == (carol.id, None if action is DELETE else bob.id)
    # Who has approved it and owns it now has approved nothing.
    assert seen.approval is ApprovalState.PENDING


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    kind=st.sampled_from(KINDS),
    action=st.sampled_from([ADD, CHANGE, DELETE]),
    who=st.sampled_from(["root", "alice"]),
    whose=st.sampled_from(["root", "alice", "bob"]),
    body=SENT,
    sound=st.booleans(),
)
def test_whatever_is_sent_is_done_or_refused_with_a_sentence_and_superusers_are_safe(
    place: Place, kind: ObjectType, action: Action, who: str, whose: str, body: Any, sound: bool
) -> None:
    before = superusers(place)
    root = next(user for user in before if user.is_active)
    actor = Actor(id=root.id, username=root.username, superuser=True)
    if who == "alice":
        alice = place.one(User, username="alice", is_active=True)
        assume(alice is not None)
        actor = Actor(id=alice.id, username="alice", grants=ALL)
    thing = {USER: whose, GROUP: "ops", PERMISSION: "see"}.get(kind, place.things[TOKEN])
    sent = {**(BODIES[kind] if action is ADD else CHANGES[kind]), **body} if sound else body
    with contextlib.suppress(Invalid, Forbidden, NotFound, Conflict):
        if action is ADD:
            place.add(actor, kind, sent)
        elif action is CHANGE:
            place.change(actor, kind, thing, sent)
        else:
            place.remove(actor, kind, thing)
    assert any(user.is_active for user in superusers(place))
    if who == "alice":
        assert superusers(place) == before
