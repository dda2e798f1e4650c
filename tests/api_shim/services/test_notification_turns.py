"""Whose turn it is to be sent something."""

from __future__ import annotations

from uuid import UUID, uuid5

import pytest

from api_shim.domain.notifications import NotificationTarget, Way
from api_shim.services.notification_turns import AT_ONCE, UNRELIABLE, next_to_send
from tests.factories import NOW

OWN = UUID(int=0)


def target(name: str) -> NotificationTarget:
    """Return a target by its name: whose it is, a letter for its state, and a number."""
    owner, state, number = name.split()
    return NotificationTarget(
        id=uuid5(OWN, name),
        user_id=uuid5(OWN, owner),
        way=Way.MAIL if state == "mail" else Way.APPRISE,
        label=f"{owner} {state} {number}",
        address="",
        created=NOW,
        sent_at=None if state in ("new", "mail") else NOW,
        failing_since=NOW if state == "fails" else None,
    )


def named(*names: str) -> list[NotificationTarget]:
    return [target(name) for name in names]


@pytest.mark.parametrize(
    ("due", "sending", "chosen"),
    [
        pytest.param([], [], [], id="nothing"),
        pytest.param(["eve works 1", "bob works 1"], [], ["eve works 1", "bob works 1"], id="in their order"),
        pytest.param(["eve fails 1", "eve fails 2", "eve new 3"], [], ["eve fails 1"], id="one that may not answer"),
        pytest.param(["eve works 1", "eve works 2"], [], ["eve works 1"], id="one that answers"),
        pytest.param(["eve fails 1", "eve mail 2"], [], ["eve fails 1", "eve mail 2"], id="one of each"),
        pytest.param(["eve works 1"], ["eve works 1"], [], id="what is being sent"),
        pytest.param(["eve works 2"], ["eve works 1"], [], id="theirs while another is being sent"),
        pytest.param(["eve works 1", "bob works 1"], ["eve fails 2"], ["bob works 1", "eve works 1"], id="least first"),
        pytest.param(
            [f"p{n} fails 1" for n in range(9)], [], [f"p{n} fails 1" for n in range(UNRELIABLE)], id="many that fail"
        ),
        pytest.param(
            [*(f"p{n} new 1" for n in range(9)), "bob mail 1"],
            [f"p{n} new 1" for n in range(UNRELIABLE)],
            ["bob mail 1"],
            id="room beside those that may not answer",
        ),
        pytest.param(
            [f"p{n} works 1" for n in range(9)],
            [],
            [f"p{n} works 1" for n in range(AT_ONCE)],
            id="as many as may be",
        ),
        pytest.param(["bob works 1"], [f"p{n} works 1" for n in range(AT_ONCE)], [], id="no place"),
    ],
)
def test_whose_turn_it_is(due: list[str], sending: list[str], chosen: list[str]) -> None:
    assert [each.label for each in next_to_send(named(*due), named(*sending))] == chosen
