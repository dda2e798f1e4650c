"""The shapes of accounts, and what is read for them."""

from __future__ import annotations

from typing import Any
from unittest.mock import ANY
from uuid import UUID

import pytest

from api_shim.domain.accounts import Group, Identity, Permission, PermissionGroup, PermissionUser, Token, UserGroup
from api_shim.services.authentication import hash_key
from api_shim.store import Store
from api_shim.web.rest.serializers import PATHS, AccountSerializer, Related, related
from approval_gate.model import ObjectType
from tests.factories import NOW, make_user

ROOT = "https://signoff.example"
KEY = "0123456789abcdef0123"
IDS = [UUID(int=number) for number in range(1, 7)]
ALICE, BOB = make_user("alice", id=IDS[0]), make_user("bob", id=IDS[1], is_active=False, is_superuser=True)
OPS, NONE = Group(id=IDS[2], name="ops"), Group(id=IDS[3], name="none")
TOKEN = Token(
    id=IDS[4],
    user_id=ALICE.id,
    key_hash=hash_key(KEY),
    expires=NOW,
    created=NOW,
    description="deploys",
    last_used=NOW,
    last_used_from="192.0.2.1",
    made_with_id=IDS[4],
)
PERMISSION = Permission(
    id=IDS[5], name="see", object_types=("extras.job",), actions=("view",), constraints={"name": "a"}
)
LINKS = [
    UserGroup(user_id=ALICE.id, group_id=OPS.id),
    UserGroup(user_id=BOB.id, group_id=OPS.id),
    PermissionUser(permission_id=PERMISSION.id, user_id=BOB.id),
    PermissionUser(permission_id=PERMISSION.id, user_id=ALICE.id),
    PermissionGroup(permission_id=PERMISSION.id, group_id=OPS.id),
]

LOGIN = Identity(id=IDS[0], user_id=ALICE.id, issuer="https://login.example.com", subject="248", created=NOW)


def ref(kind: str, path: str, thing_id: UUID) -> dict[str, str]:
    return {"id": str(thing_id), "object_type": kind, "url": f"{ROOT}/api/users/{path}/{thing_id}/"}


def user_ref(thing_id: UUID) -> dict[str, str]:
    return ref("users.user", "users", thing_id)


def shapes(store: Store, kind: ObjectType, *things: Any) -> list[Any]:
    with store.transaction() as tx:
        for each in (ALICE, BOB, OPS, NONE, TOKEN, PERMISSION, LOGIN, *LINKS):
            tx.add(each)
    with store.transaction(write=False) as tx:
        wire = AccountSerializer(ROOT, related(kind, things, tx))
    return [wire.account(thing) for thing in things]


NOW_AS_SHOWN = "2026-05-04T12:00:00Z"
SHAPES = [
    pytest.param(
        ObjectType.USER,
        ALICE,
        {
            **user_ref(ALICE.id),
            "display": "alice",
            "natural_slug": "alice_0000",
            "username": "alice",
            "is_active": True,
            "is_superuser": False,
            "is_agent": False,
            "provider": "https://login.example.com",
            "date_joined": NOW_AS_SHOWN,
            "groups": [ref("auth.group", "groups", OPS.id)],
        },
        id="a user",
    ),
    pytest.param(
        ObjectType.GROUP,
        OPS,
        {
            **ref("auth.group", "groups", OPS.id),
            "display": "ops",
            "natural_slug": "ops_0000",
            "name": "ops",
            "user_count": 2,
        },
        id="a group",
    ),
    pytest.param(
        ObjectType.TOKEN,
        TOKEN,
        {
            **ref("users.token", "tokens", TOKEN.id),
            "display": "alice (00000000)",
            "natural_slug": "alice-00000000_0000",
            "user": user_ref(ALICE.id),
            "created": NOW_AS_SHOWN,
            "expires": NOW_AS_SHOWN,
            "write_enabled": True,
            "description": "deploys",
            "last_used": NOW_AS_SHOWN,
            "last_used_from": "192.0.2.1",
            "made_with": ref("users.token", "tokens", TOKEN.id),
        },
        id="a token",
    ),
    pytest.param(
        ObjectType.PERMISSION,
        PERMISSION,
        {
            **ref("users.objectpermission", "permissions", PERMISSION.id),
            "display": "see",
            "natural_slug": "see_0000",
            "name": "see",
            "enabled": True,
            "object_types": ["extras.job"],
            "actions": ["view"],
            "constraints": {"name": "a"},
            "users": [user_ref(ALICE.id), user_ref(BOB.id)],
            "groups": [ref("auth.group", "groups", OPS.id)],
        },
        id="a permission",
    ),
]


@pytest.mark.parametrize(("kind", "thing", "shape"), SHAPES)
def test_what_is_shown(store: Store, kind: ObjectType, thing: Any, shape: dict[str, Any]) -> None:
    (shown,) = shapes(store, kind, thing)
    assert shown.model_dump(mode="json") == shape
    assert hash_key(KEY) not in shown.model_dump_json()


def test_the_key_of_a_new_token_is_told_but_not_logged(sqlite_store: Store) -> None:
    (old,) = shapes(sqlite_store, ObjectType.TOKEN, TOKEN)
    new = AccountSerializer(ROOT, Related()).account(TOKEN, KEY)
    assert new.model_dump() == {**old.model_dump(), "display": new.display, "natural_slug": ANY, "key": KEY}
    assert KEY not in repr(new)


def test_a_page_shows_each_with_its_own(sqlite_store: Store) -> None:
    ops, none = shapes(sqlite_store, ObjectType.GROUP, OPS, NONE)
    assert (ops.user_count, none.user_count) == (2, 0)


@pytest.mark.parametrize("kind", PATHS)
def test_an_empty_page_shows_nothing(sqlite_store: Store, kind: ObjectType) -> None:
    assert shapes(sqlite_store, kind) == []
