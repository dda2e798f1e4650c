"""What can be asked of each type of object."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import select

from api_shim.domain.accounts import Group, Permission, Token
from api_shim.domain.model import AutomationAccount
from api_shim.store import TYPES, Listing, Store
from api_shim.store.columns import LOOKUPS, joined, path_types
from api_shim.store.tables import TABLES
from approval_gate.constraints import parse
from approval_gate.model import Action, Actor, Grant, ObjectType
from tests.factories import NOW, make_job, make_result, make_scheduled, make_user

pytestmark = pytest.mark.each_database

TIME = NOW.isoformat()


def test_the_paths_of_a_type_have_the_types_of_their_values() -> None:
    types = path_types([ObjectType.SCHEDULED_JOB])
    assert types["name"] is str
    assert types["interval"] is str, "an enumeration is asked for as text"
    assert types["enabled"] is bool
    assert types["start_time"] is datetime
    assert types["total_run_count"] is int
    assert types["user"] is types["job_model"] is UUID
    assert types["user__username"] is types["job_model__name"] is str


def test_several_types_have_the_paths_that_all_of_them_have() -> None:
    kinds = [ObjectType.JOB, ObjectType.SCHEDULED_JOB]
    assert set(path_types(kinds)) == set(path_types(kinds[:1])) & set(path_types(kinds[1:]))
    assert {"id", "name", "enabled"} <= set(path_types(kinds))
    assert "user" not in path_types(kinds)


@pytest.mark.parametrize(
    "kinds",
    [
        pytest.param([], id="no types"),
        pytest.param([ObjectType.PREFECT], id="Prefect has no objects of ours"),
        pytest.param([ObjectType.JOB, ObjectType.JOB_LOG_ENTRY], id="one of several that cannot be asked anything"),
    ],
)
def test_nothing_can_be_asked_of(kinds: list[ObjectType]) -> None:
    assert path_types(kinds) == {}


@pytest.mark.parametrize("kind", LOOKUPS)
def test_what_is_searched_and_ordered_by_can_be_asked(kind: ObjectType) -> None:
    lookups = LOOKUPS[kind]
    assert {"id", *lookups.searched, *(name.removeprefix("-") for name in lookups.order)} <= set(lookups.columns)


def test_the_documented_paths_can_be_asked() -> None:
    for kind in (ObjectType.SCHEDULED_JOB, ObjectType.JOB_RESULT):
        assert {"name", "user", "user__username", "job_model", "job_model__name"} <= set(LOOKUPS[kind].columns)
    assert {"name", "grouping", "module_name", "enabled"} <= set(LOOKUPS[ObjectType.JOB].columns)


@pytest.mark.parametrize(
    ("kind", "types"),
    [
        pytest.param(
            ObjectType.USER,
            {"id": UUID, "username": str, "is_active": bool, "is_superuser": bool, "created": datetime},
            id="users",
        ),
        pytest.param(ObjectType.GROUP, {"id": UUID, "name": str}, id="groups"),
        pytest.param(
            ObjectType.TOKEN,
            {
                "id": UUID,
                "user": UUID,
                "user__username": str,
                "write_enabled": bool,
                "expires": datetime,
                "created": datetime,
            },
            id="tokens, and nothing of their keys",
        ),
        pytest.param(
            ObjectType.AUTOMATION_ACCOUNT,
            {"id": UUID, "name": str, "user": UUID, "user__username": str, "bound_by": str, "created": datetime},
            id="accounts of automations",
        ),
        pytest.param(ObjectType.PERMISSION, {"id": UUID, "name": str, "enabled": bool}, id="permissions"),
    ],
)
def test_what_can_be_asked_of_accounts(kind: ObjectType, types: dict[str, type]) -> None:
    assert path_types([kind]) == types


def test_each_type_that_can_be_asked_is_one_that_is_kept() -> None:
    assert set(LOOKUPS) == set(TYPES)
    assert set(TYPES.values()) <= set(TABLES)


ALICE, BOB = (make_user(name, is_superuser=name == "bob") for name in ("alice", "bob"))
ACCOUNTS: dict[ObjectType, list[Any]] = {
    ObjectType.USER: [ALICE, BOB, make_user("Alice", is_active=False)],
    ObjectType.GROUP: [Group(id=uuid4(), name=name) for name in ("ops", "Ops", "o%s")],
    ObjectType.TOKEN: [
        Token(id=uuid4(), user_id=user.id, key_hash=str(number), created=NOW, **to)
        for number, (user, to) in enumerate([(ALICE, {}), (BOB, {"expires": NOW}), (ALICE, {"write_enabled": False})])
    ],
    ObjectType.AUTOMATION_ACCOUNT: [
        AutomationAccount(
            id=uuid4(), name=name, user_id=user.id, digest="0" * 64, bound_by_id=BOB.id, bound_by="bob", created=NOW
        )
        for name, user in (("nightly", ALICE), ("weekly", BOB))
    ],
    ObjectType.PERMISSION: [
        Permission(id=uuid4(), name=name, object_types=("prefect",), actions=("write",), enabled=name == "one")
        for name in ("one", "two")
    ],
}
RAWS: dict[ObjectType, list[Any]] = {
    ObjectType.USER: [{"username": "alice"}, {"username__icontains": "LIC"}, {"is_superuser": True}, {"id": "$user"}],
    ObjectType.GROUP: [{"name": "ops"}, {"name__startswith": "o%"}, [{"name": "ops"}, {"name": "Ops"}]],
    ObjectType.TOKEN: [{"user": "$user"}, {"user__username": "bob"}, {"expires__isnull": True}, {"expires__lte": TIME}],
    ObjectType.AUTOMATION_ACCOUNT: [{"user": "$user"}, {"user__username": "bob"}, {"name__startswith": "night"}],
    ObjectType.PERMISSION: [{"enabled": False}, {"name__in": ["one", "three"]}, None],
}


@pytest.mark.parametrize(("kind", "raw"), [(kind, raw) for kind, raws in RAWS.items() for raw in raws], ids=str)
def test_a_list_of_accounts_shows_what_the_rules_would_one_by_one(store: Store, kind: ObjectType, raw: Any) -> None:
    given = Grant(
        object_types=frozenset({kind}), actions=frozenset({Action.VIEW}), constraint=parse(raw, path_types([kind]))
    )
    who = Actor(id=ALICE.id, username="alice", grants=(given,))
    with store.transaction() as tx:
        for thing in (*ACCOUNTS[ObjectType.USER], *(ACCOUNTS[kind] if kind is not ObjectType.USER else ())):
            tx.add(thing)
    with store.transaction(write=False) as tx:
        told = tx.attributes_of(kind, [thing.id for thing in ACCOUNTS[kind]])
        shown = {row.id for row in tx.page(kind, who, Listing(limit=50)).rows}
    assert len(told) == len(ACCOUNTS[kind])
    assert shown == {each for each, thing in told.items() if who.may(Action.VIEW, kind, thing)}
    assert shown


def test_what_a_path_reaches_may_be_missing_and_the_object_is_still_there(store: Store) -> None:
    job, alice = make_job(), make_user("alice")
    orphan, owned = make_scheduled(job, None, name="a"), make_scheduled(job, alice, name="b")
    result = make_result(job, alice, job_id=None, user_id=None)
    with store.transaction() as tx:
        for thing in (job, alice, orphan, owned, result):
            tx.add(thing)
    columns = LOOKUPS[ObjectType.SCHEDULED_JOB].columns
    source = joined(ObjectType.SCHEDULED_JOB)
    query = select(columns["name"], columns["user__username"], columns["job_model__name"]).select_from(source)
    with store.transaction(write=False) as tx:
        rows = tx._connection.execute(query.order_by(columns["name"])).all()
        told = tx.attributes(ObjectType.JOB_RESULT, result.id)
    assert [tuple(row) for row in rows] == [("a", None, job.name), ("b", "alice", job.name)]
    assert told["user__username"] is told["job_model__name"] is told["job_model"] is None
    assert told["name"] == result.name


def test_only_what_a_condition_reaches_is_joined() -> None:
    kind = ObjectType.SCHEDULED_JOB
    columns = LOOKUPS[kind].every
    assert str(joined(kind, [])) == "scheduled_jobs"
    assert str(joined(kind, [columns["name"] == "a"])) == "scheduled_jobs"
    by_approver = str(joined(kind, [columns["approved_by_user__username"] == "bob", columns["name"] == "a"]))
    assert by_approver.count("JOIN") == 1
    assert "AS approvers" in by_approver
