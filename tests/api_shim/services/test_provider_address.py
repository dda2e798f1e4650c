"""The mail address that an identity provider has of somebody, as where they are told of what happens."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from api_shim.delivery.sender import Delivery
from api_shim.domain.accounts import User
from api_shim.domain.audit import EventType
from api_shim.domain.identity_providers import Vouched
from api_shim.domain.notifications import NotificationTarget, Way
from api_shim.services.notifications import Notifications
from api_shim.store import Store
from approval_gate.model import Actor
from tests.api_shim.services.test_provider_sign_in import ALICE, ISSUER, Door
from tests.conftest import Clock
from tests.factories import administering

OWN, OTHER = "a@example.com", "alice@example.org"


@pytest.fixture
def door(sqlite_store: Store, clock: Clock) -> Door:
    return Door(sqlite_store, clock)


def notifications(door: Door) -> Notifications:
    return Notifications(door.store, door.sender, door.clock)


def alice(door: Door) -> Actor:
    [user] = door.all(User, username="alice")
    return Actor(id=user.id, username="alice")


def targets(door: Door) -> list[tuple[str, bool]]:
    """Return where somebody is told, each with whether it was taken from the provider."""
    return [(each.label, each.from_provider) for each in door.all(NotificationTarget)]


def test_who_signs_in_is_told_at_the_address_that_the_provider_has(door: Door) -> None:
    door.enters()
    [target] = door.all(NotificationTarget)
    assert (target.label, target.way, target.is_used, target.from_provider) == (OWN, Way.MAIL, True, True)
    assert OWN not in target.address
    [told] = [each for each in door.told() if each.act is EventType.TARGET_ADDED]
    assert (told.actor, told.name, told.data["target"]) == (f"provider: {ISSUER}", "alice", OWN)
    door.enters()
    assert targets(door) == [(OWN, True)]


@pytest.mark.parametrize(
    "says",
    [
        pytest.param({"mail_is_verified": False}, id="which nobody has verified"),
        pytest.param({"mail": ""}, id="none"),
        pytest.param({"mail": "bad"}, id="which is none"),
    ],
)
def test_what_is_not_taken(door: Door, says: dict[str, Any]) -> None:
    door.enters(replace(ALICE, **says))
    assert targets(door) == []
    door.enters()
    assert targets(door) == [(OWN, True)]


def test_without_a_mail_server_none_is_taken(door: Door) -> None:
    door.sender = Delivery()
    door.enters()
    assert targets(door) == []


def test_who_has_given_an_address_keeps_it(door: Door) -> None:
    door.enters(replace(ALICE, mail=""))
    asyncio.run(notifications(door).add_target(alice(door), Way.APPRISE, "jsons://example.com"))
    door.enters()
    assert targets(door) == [("jsons://…", False)]


def test_who_has_removed_it_does_not_get_it_again(door: Door) -> None:
    door.enters()
    [target] = door.all(NotificationTarget)
    asyncio.run(notifications(door).remove_target(alice(door), target.id))
    door.enters()
    assert targets(door) == []


def test_it_changes_as_it_does_at_the_provider(door: Door) -> None:
    door.enters()
    said: Vouched = replace(ALICE, mail=OTHER)
    door.enters(said)
    assert targets(door) == [(OTHER, True)]
    acts = [(each.act, each.data["target"]) for each in door.told() if each.act.startswith("notification-target")]
    assert acts == [(EventType.TARGET_ADDED, OWN), (EventType.TARGET_REMOVED, OWN), (EventType.TARGET_ADDED, OTHER)]


@pytest.mark.parametrize(
    "says",
    [pytest.param({"mail": ""}, id="none"), pytest.param({"mail_is_verified": False}, id="none that is verified")],
)
def test_it_goes_when_the_provider_has_none_any_more_and_comes_again(door: Door, says: dict[str, Any]) -> None:
    door.enters()
    door.enters(replace(ALICE, **says))
    assert targets(door) == []
    door.enters()
    assert targets(door) == [(OWN, True)]


def test_it_goes_with_the_link(door: Door) -> None:
    door.enters()
    administering(door.store).unlink("alice", door.clock())
    assert targets(door) == []
    assert [each.data["target"] for each in door.told() if each.act is EventType.TARGET_REMOVED] == [OWN]
