"""What is a change in a body that ``GET`` gave, and what is none."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import pytest

from api_shim.parsing.sent_back import is_sent_back, what_changes
from api_shim.schemas import Group, Reference, User
from tests.factories import NOW

OPS = {"id": str(UUID(int=1)), "object_type": "auth.group", "url": "https://signoff.example/1/"}
ALICE = User(
    id=UUID(int=2),
    display="alice",
    url="https://signoff.example/2/",
    natural_slug="alice_0000",
    username="alice",
    is_active=True,
    is_superuser=False,
    is_agent=False,
    provider="",
    date_joined=NOW,
    groups=[Reference(**OPS)],
)
SHOWN = ALICE.model_dump(mode="json")
FULL = Group(**{**OPS, "display": "ops", "natural_slug": "ops_0", "name": "ops", "user_count": 5})


@pytest.mark.parametrize(
    ("body", "sent_back"),
    [
        pytest.param({}, False, id="nothing"),
        pytest.param({"username": "alice"}, False, id="what can be changed"),
        pytest.param({"username": "alice", "id": "x"}, True, id="with an id"),
        pytest.param({"bogus": 1}, True, id="what there is not"),
        pytest.param([SHOWN], False, id="a list"),
        pytest.param(None, False, id="null"),
    ],
)
def test_a_body_with_what_cannot_be_changed_is_sent_back(body: object, sent_back: bool) -> None:
    assert is_sent_back(body, {"username", "groups"}) is sent_back


@pytest.mark.parametrize(
    ("to", "changes"),
    [
        pytest.param({}, [], id="as it is"),
        pytest.param({"groups": [FULL.model_dump(mode="json")]}, [], id="with related objects in full"),
        pytest.param({"groups": [OPS["id"]]}, [], id="with related objects by id"),
        pytest.param({"groups": []}, ["groups"], id="without its groups"),
        pytest.param({"groups": [OPS, OPS]}, ["groups"], id="with a group twice"),
        pytest.param({"groups": OPS}, ["groups"], id="with a group that is no list"),
        pytest.param({"groups": None}, ["groups"], id="with null for groups"),
        pytest.param({"username": "bob", "is_active": False}, ["username", "is_active"], id="with other values"),
        pytest.param({"is_active": 1}, ["is_active"], id="with a number for a flag"),
        pytest.param({"id": str(UUID(int=3))}, ["id"], id="with another id"),
        pytest.param({"bogus": None}, ["bogus"], id="with what there is not"),
        pytest.param({"date_joined": "2020-01-01T00:00:00Z"}, ["date_joined"], id="with another time"),
        pytest.param({"display": {"a": [1]}}, ["display"], id="with an object for a text"),
    ],
)
def test_what_is_as_it_is_shown_is_no_change(to: dict[str, Any], changes: list[str]) -> None:
    assert [*what_changes({**SHOWN, **to}, ALICE)] == changes
