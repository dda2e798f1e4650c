"""What people prefer: everybody's own, and nothing that could not be."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any
from uuid import uuid4

import pytest

from api_shim.domain.accounts import UserPreferences
from api_shim.services.preferences import Preferences
from api_shim.store import Store
from approval_gate.errors import Forbidden, Invalid
from approval_gate.model import Actor
from tests.factories import NOW, make_user, remove_user

ALICE, BOB = make_user("alice"), make_user("bob")


def acting(user: Any, **to: Any) -> Actor:
    return replace(Actor(id=user.id, username=user.username, superuser=False), **to)


@pytest.fixture
def preferences(store: Store) -> Preferences:
    with store.transaction() as tx:
        tx.add(ALICE, BOB)
    return Preferences(store)


@pytest.mark.each_database
def test_everybody_has_their_own_and_keeps_what_they_do_not_change(store: Store, preferences: Preferences) -> None:
    alice, bob = acting(ALICE), acting(BOB)
    asyncio.run(preferences.change(alice, {"time_zone": " Europe/Berlin "}))
    changed = asyncio.run(preferences.change(alice, {"page_size": 50}))
    assert changed == UserPreferences(user_id=ALICE.id, time_zone="Europe/Berlin", page_size=50)
    assert asyncio.run(preferences.change(alice, {})) == asyncio.run(preferences.of(alice)) == changed
    assert asyncio.run(preferences.of(bob)) == UserPreferences(user_id=BOB.id)
    asyncio.run(preferences.change(alice, {"time_zone": "", "page_size": 0}))
    assert asyncio.run(preferences.of(alice)) == UserPreferences(user_id=ALICE.id)
    remove_user(store, "alice", NOW)
    with store.transaction(write=False) as tx:
        assert tx.all(UserPreferences) == []


@pytest.mark.parametrize("name", ["UTC", "Etc/UTC", "Etc/UCT", "Zulu", "GMT"])
def test_utc_has_one_name(preferences: Preferences, name: str) -> None:
    assert asyncio.run(preferences.change(acting(ALICE), {"time_zone": name})).time_zone == "UTC"


@pytest.mark.parametrize(
    ("asked", "fields"),
    [
        pytest.param({"time_zone": "Europe/Atlantis"}, {"time_zone"}, id="a zone that is none"),
        pytest.param({"time_zone": "../../etc/passwd"}, {"time_zone"}, id="a path"),
        pytest.param({"time_zone": "localtime"}, {"time_zone"}, id="what is a zone on some machines only"),
        pytest.param({"time_zone": 1}, {"time_zone"}, id="a zone that is no text"),
        pytest.param({"page_size": 7}, {"page_size"}, id="a length that nobody offers"),
        pytest.param({"page_size": True}, {"page_size"}, id="a length that is no number"),
        pytest.param({"page_size": [25]}, {"page_size"}, id="several lengths"),
        pytest.param({"time_zone": "x", "page_size": -1}, {"time_zone", "page_size"}, id="all faults at once"),
        pytest.param({"time_zone": "UTC", "user_id": str(uuid4())}, {"user_id"}, id="whose it is"),
    ],
)
def test_what_cannot_be_changes_nothing(preferences: Preferences, asked: dict[str, Any], fields: set[str]) -> None:
    with pytest.raises(Invalid) as told:
        asyncio.run(preferences.change(acting(ALICE), asked))
    assert isinstance(told.value.detail, dict)
    assert told.value.detail.keys() == fields
    assert asyncio.run(preferences.of(acting(ALICE))) == UserPreferences(user_id=ALICE.id)


@pytest.mark.parametrize("to", [{"read_only": True}, {"by_run": uuid4()}], ids=["a read-only token", "a run"])
def test_who_may_only_read_changes_nothing(preferences: Preferences, to: dict[str, Any]) -> None:
    with pytest.raises(Forbidden):
        asyncio.run(preferences.change(acting(ALICE, **to), {"time_zone": "UTC"}))
