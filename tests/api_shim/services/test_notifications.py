"""What people choose for themselves: topics, how often, and targets that nobody else sees."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import replace
from typing import Any
from uuid import uuid4

import pytest

from api_shim.domain.audit import EventType
from api_shim.domain.notifications import (
    CHOICES,
    MOST_CODES,
    MOST_TARGETS,
    Frequency,
    NotificationTarget,
    Topic,
    Way,
)
from api_shim.services.notifications import (
    ENOUGH_CODES,
    GONE,
    JUST_SENT,
    KNOWN,
    MOST_ADDED,
    TOO_MANY,
    WRONG_CODE,
    WRONG_CODES,
    Chosen,
    Notifications,
)
from approval_gate.errors import Conflict, Forbidden, GateError, Invalid, NotFound, TooManyAttempts, Unavailable
from approval_gate.model import Actor
from tests.api_shim.plant import Plants
from tests.api_shim.services.telling import Telling
from tests.api_shim.services.test_approvals import APPROVAL, APPROVER, AT_ONCE, asked, events, person

Act = Callable[[Notifications, Actor, NotificationTarget], Coroutine[Any, Any, object]]
SECRET = "json://user:secret@hooks.example.com/secret"


@pytest.fixture
def telling(plants: Plants) -> Telling:
    return Telling(plants.ready(**APPROVAL))


@pytest.fixture
def bob(telling: Telling) -> Actor:
    return person(telling.plant, "bob", *APPROVER)


def chosen(telling: Telling, actor: Actor) -> Chosen:
    return asyncio.run(telling.notifications.chosen(actor))


def added(telling: Telling, actor: Actor, address: str = SECRET, way: Way = Way.APPRISE) -> NotificationTarget:
    return asyncio.run(telling.notifications.add_target(actor, way, address))


def refused(work: Coroutine[Any, Any, object]) -> tuple[type[GateError], Any]:
    with pytest.raises(GateError) as caught:
        asyncio.run(work)
    return caught.type, caught.value.detail


def code_in(telling: Telling) -> str:
    """Return the code that is sent, as whoever reads there sees it."""
    telling.tick()
    return telling.sender.sent[-1][1].subject.rpartition(" ")[2]


def test_who_has_chosen_nothing_is_told_everything_at_once(telling: Telling, bob: Actor) -> None:
    found = chosen(telling, bob)
    assert (found.choice.topics, found.choice.frequency, found.targets) == (CHOICES, Frequency.AT_ONCE, [])


def test_what_somebody_chooses_is_theirs_alone(telling: Telling, bob: Actor) -> None:
    for topics in ([Topic.FAILED, Topic.WAITING], [Topic.FAILED]):
        asyncio.run(telling.notifications.choose(bob, topics, Frequency.DAILY, 7))
    found = chosen(telling, bob).choice
    assert (found.topics, found.frequency, found.hour) == ((Topic.FAILED,), Frequency.DAILY, 7)
    assert chosen(telling, telling.plant.actor).choice.topics == CHOICES


def test_a_service_is_used_at_once_and_its_address_is_kept_from_everybody(telling: Telling, bob: Actor) -> None:
    target = added(telling, bob)
    assert (target.label, target.is_used) == ("json://…", True)
    assert "secret" not in f"{target!r} {target.address} {chosen(telling, bob)!r}"
    recorded = events(telling.plant)[-1]
    assert (recorded.act, recorded.actor, recorded.data["target"]) == (EventType.TARGET_ADDED, "bob", "json://…")
    assert "secret" not in repr(recorded)


def test_a_mailbox_is_told_nothing_until_its_code_is_given(telling: Telling, bob: Actor) -> None:
    target = added(telling, bob, "bob@example.com", Way.MAIL)
    assert not target.is_used
    code = code_in(telling)
    asked(telling.plant, AT_ONCE)
    assert telling.pass_on(hours=1) == []
    wrong = f"{(int(code) + 1) % 10**8:08}"
    assert refused(telling.notifications.confirm(bob, target.id, wrong)) == (Invalid, {"code": [WRONG_CODE]})
    asyncio.run(telling.notifications.confirm(bob, target.id, f" {code} "))
    [confirmed] = chosen(telling, bob).targets
    assert confirmed.is_used
    asked(telling.plant, {**AT_ONCE, "name": "another"})
    assert telling.pass_on() == [("bob@example.com", "“another” waits for your approval")]


def test_a_few_wrong_codes_remove_a_target(telling: Telling, bob: Actor) -> None:
    target = added(telling, bob, "bob@example.com", Way.MAIL)
    said = [refused(telling.notifications.confirm(bob, target.id, "")) for _ in range(MOST_CODES)]
    assert [detail["code"] for _, detail in said] == [[WRONG_CODE]] * (MOST_CODES - 1) + [[WRONG_CODES]]
    assert chosen(telling, bob).targets == []
    assert refused(telling.notifications.confirm(bob, target.id, "")) == (NotFound, GONE)


def test_whoever_does_not_want_a_code_is_sent_a_few_only(telling: Telling, bob: Actor) -> None:
    target = added(telling, bob, "victim@example.com", Way.MAIL)
    code = code_in(telling)
    for _ in range(MOST_CODES - 1):
        telling.pass_on(minutes=2)
        asyncio.run(telling.notifications.test(bob, target.id))
        assert [to for to, _ in telling.pass_on()] == ["victim@example.com"]
    telling.pass_on(minutes=2)
    assert refused(telling.notifications.test(bob, target.id)) == (Conflict, ENOUGH_CODES)
    assert telling.pass_on(hours=1) == []
    asyncio.run(telling.notifications.confirm(bob, target.id, code))
    [confirmed] = chosen(telling, bob).targets
    assert (confirmed.is_used, confirmed.wrong_codes) == (True, 0)


def test_codes_differ(telling: Telling, bob: Actor) -> None:
    codes = set()
    for number in range(3):
        added(telling, bob, f"bob{number}@example.com", Way.MAIL)
        codes.add(code_in(telling))
    assert len(codes) == 3


def test_a_test_is_sent_and_only_one_a_minute(telling: Telling, bob: Actor) -> None:
    target = added(telling, bob)
    asyncio.run(telling.notifications.test(bob, target.id))
    assert refused(telling.notifications.test(bob, target.id)) == (Conflict, JUST_SENT)
    assert telling.pass_on() == [(SECRET, "This is a test")]
    assert refused(telling.notifications.test(bob, target.id)) == (Conflict, JUST_SENT)
    telling.pass_on(minutes=2)
    asyncio.run(telling.notifications.test(bob, target.id))
    assert telling.pass_on() == [(SECRET, "This is a test")]


def test_a_test_that_fails_is_told_on_the_page_and_not_tried_again(telling: Telling, bob: Actor) -> None:
    target = added(telling, bob)
    telling.sender.failing.add(SECRET)
    asyncio.run(telling.notifications.test(bob, target.id))
    telling.tick()
    [failing] = chosen(telling, bob).targets
    assert failing.failure == "It is not there."
    telling.sender.failing.clear()
    assert telling.pass_on(hours=7) == []


def test_what_was_switched_off_is_used_again(telling: Telling, bob: Actor) -> None:
    target = telling.target(bob, switched_off=True, failing_since=telling.plant.now, failure="It is not there.")
    asyncio.run(telling.notifications.switch_on(bob, target.id))
    [found] = chosen(telling, bob).targets
    assert (found.is_used, found.failing_since, found.failure) == (True, None, "")


def test_what_is_removed_is_told_nothing_any_more(telling: Telling, bob: Actor) -> None:
    target = added(telling, bob)
    asked(telling.plant, AT_ONCE)
    telling.sender.failing.add(SECRET)
    telling.tick()
    asyncio.run(telling.notifications.remove_target(bob, target.id))
    telling.sender.failing.clear()
    assert (chosen(telling, bob).targets, telling.pass_on(hours=1)) == ([], [])
    assert events(telling.plant)[-1].act is EventType.TARGET_REMOVED


# Who may not


ACTS: dict[str, Act] = {
    "confirm": lambda use, actor, target: use.confirm(actor, target.id, "00000000"),
    "test": lambda use, actor, target: use.test(actor, target.id),
    "switch on": lambda use, actor, target: use.switch_on(actor, target.id),
    "remove": lambda use, actor, target: use.remove_target(actor, target.id),
}
OF_ONES_OWN: dict[str, Act] = {
    "choose": lambda use, actor, _target: use.choose(actor, [], Frequency.HOURLY, 0),
    "add": lambda use, actor, _target: use.add_target(actor, Way.APPRISE, SECRET),
}


@pytest.mark.parametrize("act", ACTS.values(), ids=list(ACTS))
def test_what_is_anothers_is_not_there_not_even_for_a_superuser(telling: Telling, bob: Actor, act: Act) -> None:
    target = added(telling, bob)
    anothers = refused(act(telling.notifications, telling.plant.actor, target))
    nobodys = refused(act(telling.notifications, telling.plant.actor, replace(target, id=uuid4())))
    assert anothers == nobodys == (NotFound, GONE)
    assert chosen(telling, bob).targets == [target]


@pytest.mark.parametrize("act", (ACTS | OF_ONES_OWN).values(), ids=[*ACTS, *OF_ONES_OWN])
def test_who_may_only_read_changes_nothing(telling: Telling, bob: Actor, act: Act) -> None:
    target = added(telling, bob)
    kind, _ = refused(act(telling.notifications, replace(bob, read_only=True), target))
    assert kind is Forbidden
    assert chosen(telling, bob).targets == [target]


def test_what_is_no_address_is_refused(telling: Telling, bob: Actor) -> None:
    assert refused(telling.notifications.add_target(bob, Way.APPRISE, "json://bad"))[0] is Invalid
    assert chosen(telling, bob).targets == []


def test_a_mailbox_is_given_once_and_there_are_not_too_many(telling: Telling, bob: Actor) -> None:
    added(telling, bob, "bob@example.com", Way.MAIL)
    again = telling.notifications.add_target(bob, Way.MAIL, "bob@example.com")
    assert refused(again) == (Conflict, KNOWN)
    for _ in range(MOST_TARGETS - 1):
        added(telling, bob)
    assert refused(telling.notifications.add_target(bob, Way.APPRISE, SECRET)) == (Conflict, TOO_MANY)


def test_who_adds_and_removes_again_and_again_is_told_to_wait(telling: Telling, bob: Actor) -> None:
    for _ in range(MOST_ADDED):
        target = added(telling, bob, "victim@example.com", Way.MAIL)
        asyncio.run(telling.notifications.remove_target(bob, target.id))
    assert refused(telling.notifications.add_target(bob, Way.MAIL, "victim@example.com"))[0] is TooManyAttempts
    telling.pass_on(hours=1)
    added(telling, bob, "victim@example.com", Way.MAIL)


def test_without_the_key_no_address_is_kept(telling: Telling, bob: Actor) -> None:
    telling.store.inputs_key = None
    assert refused(telling.notifications.add_target(bob, Way.APPRISE, SECRET))[0] is Unavailable
