"""What is sent, and what becomes of it when it cannot be, when a server dies, or when things change meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import anyio.to_thread
import pytest

from api_shim.domain.accounts import Permission, User
from api_shim.domain.model import ApprovalRequest, ScheduledJob
from api_shim.domain.notifications import (
    Frequency,
    Notification,
    NotificationChoice,
    NotificationMark,
    NotificationTarget,
    Way,
)
from api_shim.services.notification_loop import UNREADABLE
from api_shim.store import Duty, HeldElsewhere, InputsKey
from approval_gate.model import Actor
from tests.api_shim.plant import Plants
from tests.api_shim.services.telling import ORIGIN, Telling
from tests.api_shim.services.test_approvals import APPROVAL, APPROVER, AT_ONCE, LATER, asked, decide, person
from tests.factories import NOW
from tests.live import eventually

BOB, WAITS = "bob@example.com", "“once” waits for your approval"
SOON = {**LATER, "name": "soon"}


@pytest.fixture
def telling(plants: Plants) -> Telling:
    return Telling(plants.ready(**APPROVAL, approval_expires=3600.0 * 24 * 7))


@pytest.fixture
def bob(telling: Telling) -> Actor:
    return person(telling.plant, "bob", *APPROVER)


@pytest.fixture
def target(telling: Telling, bob: Actor) -> NotificationTarget:
    return telling.target(bob)


@pytest.fixture
def _sent_by_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    at_once = anyio.to_thread.run_sync

    async def sending_elsewhere(work: Callable[..., Any], *args: Any, **how: Any) -> Any:
        sends = args and isinstance(args[0], NotificationTarget)
        return await (asyncio.to_thread(work, *args) if sends else at_once(work, *args, **how))

    monkeypatch.setattr(anyio.to_thread, "run_sync", sending_elsewhere)


def now_of(telling: Telling, target: NotificationTarget) -> NotificationTarget:
    return next(each for each in telling.plant.all(NotificationTarget) if each.id == target.id)


def test_what_happened_is_sent_once(telling: Telling, target: NotificationTarget) -> None:
    row = asked(telling.plant, LATER)
    assert telling.pass_on() == [(BOB, WAITS)]
    [(_, message)] = telling.sender.sent
    assert f"{ORIGIN}/signoff/approval-queue/{row.id}" in message.body
    assert telling.pass_on(hours=1) == []
    assert telling.plant.all(Notification) == []
    assert now_of(telling, target).sent_at is not None


def test_what_cannot_be_sent_is_tried_again_ever_more_rarely(telling: Telling, target: NotificationTarget) -> None:
    telling.sender.failing.add(BOB)
    asked(telling.plant, LATER)
    began = telling.plant.now
    pauses = []
    for _ in range(6):
        telling.tick()
        failing = now_of(telling, target)
        assert (failing.failed_at, failing.failure) == (telling.plant.now, "It is not there.")
        assert failing.retry_at is not None
        pauses.append(failing.retry_at - telling.plant.now)
        telling.plant.now = failing.retry_at
    assert pauses == [timedelta(minutes=2**number) for number in range(6)]
    assert (failing.failing_since, failing.switched_off) == (began, False)
    telling.sender.failing.clear()
    assert telling.pass_on() == [(BOB, WAITS)]
    assert now_of(telling, target) == replace(target, sent_at=telling.plant.now)


def test_what_happens_meanwhile_waits_for_the_next_attempt_too_but_for_a_test(
    telling: Telling, bob: Actor, target: NotificationTarget
) -> None:
    telling.sender.failing.add(BOB)
    asked(telling.plant, LATER)
    telling.tick()
    telling.sender.failing.clear()
    asked(telling.plant, SOON)
    assert telling.pass_on(seconds=59) == []
    asyncio.run(telling.notifications.test(bob, target.id))
    assert telling.pass_on() == [(BOB, "3 notifications")]
    assert now_of(telling, target).retry_at is None


def test_a_target_that_fails_for_days_is_switched_off(telling: Telling, target: NotificationTarget) -> None:
    telling.sender.failing.add(BOB)
    asked(telling.plant, LATER)
    for _ in range(40):
        telling.pass_on(hours=2)
    assert (now_of(telling, target).switched_off, telling.plant.all(Notification)) == (True, [])
    telling.sender.failing.clear()
    asked(telling.plant, AT_ONCE)
    assert telling.pass_on() == []


def test_one_that_fails_keeps_no_other_waiting(telling: Telling, bob: Actor, target: NotificationTarget) -> None:
    telling.target(bob, "json://example.com", way=Way.APPRISE)
    telling.sender.failing.add(BOB)
    asked(telling.plant, LATER)
    assert telling.pass_on() == [("json://example.com", WAITS)]
    assert telling.pass_on() == []


@pytest.mark.usefixtures("_sent_by_threads")
def test_targets_that_do_not_answer_keep_their_owner_waiting_and_nobody_else(
    telling: Telling, bob: Actor, target: NotificationTarget, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("api_shim.services.notification_loop.TICK", 0.01)
    eve = person(telling.plant, "eve", *APPROVER)
    for number in range(10):
        telling.target(eve, address := f"json://{number}", way=Way.APPRISE, created=NOW - timedelta(days=1))
        telling.sender.hanging.add(address)

    async def tell() -> None:
        telling_all = asyncio.ensure_future(telling.loop.tick())
        await asyncio.to_thread(telling.sender.started.wait, 20)
        await asyncio.to_thread(eventually, lambda: telling.sender.sent and telling.sender.waiting, every=0.01)
        # Something happens while eve's targets keep the round going.
        telling.sender.sent.clear()
        await asyncio.to_thread(asked, telling.plant, SOON)
        await asyncio.to_thread(eventually, lambda: telling.sender.sent, every=0.01)
        assert [len(telling.sender.waiting), telling_all.done()] == [1, False]
        telling.sender.stop()
        await telling_all

    asked(telling.plant, LATER)
    asyncio.run(asyncio.wait_for(tell(), 20))
    assert telling.said() == [(BOB, "“soon” waits for your approval")]
    assert len(telling.sender.waiting) == 10


def test_a_server_that_dies_before_it_has_noted_what_was_sent_sends_it_again_and_only_then(
    telling: Telling, target: NotificationTarget
) -> None:
    asked(telling.plant, LATER)
    telling.sender.dies = True
    with pytest.raises(MemoryError):
        telling.tick()
    [(_, first)] = telling.sender.sent
    telling.sender.dies = False
    telling.start()
    assert telling.pass_on() == [(BOB, WAITS)]
    assert telling.sender.sent[0][1].key == first.key
    telling.start()
    assert telling.pass_on() == []


def test_a_server_that_dies_before_anything_is_sent_loses_nothing(telling: Telling, target: NotificationTarget) -> None:
    asked(telling.plant, LATER)
    telling.start()
    assert telling.pass_on() == [(BOB, WAITS)]


@pytest.mark.usefixtures("_sent_by_threads")
def test_a_server_that_ends_waits_for_no_message_and_leaves_it_to_the_next(
    telling: Telling, target: NotificationTarget, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("api_shim.services.notification_loop.GRACE", 0.0)

    async def end_while_sending() -> None:
        running = asyncio.ensure_future(telling.loop.run())
        await asyncio.to_thread(telling.sender.started.wait, 20)
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running

    asked(telling.plant, LATER)
    telling.sender.hanging.add(BOB)
    asyncio.run(end_while_sending())
    assert telling.sender.sent == []
    [left] = telling.plant.all(Notification)
    assert (left.attempts, now_of(telling, target).failing_since) == (0, None)
    telling.sender.hanging.clear()
    telling.start()
    assert telling.pass_on() == [(BOB, WAITS)]


def test_one_server_at_a_time_sends(
    telling: Telling, target: NotificationTarget, monkeypatch: pytest.MonkeyPatch
) -> None:
    def elsewhere(what: Duty) -> None:
        assert what is Duty.NOTIFY
        raise HeldElsewhere("Another server is doing this just now.")

    asked(telling.plant, LATER)
    with monkeypatch.context() as patch:
        patch.setattr(telling.store.locks, "held", elsewhere)
        assert telling.pass_on() == []
    assert telling.pass_on() == [(BOB, WAITS)]


# What has changed meanwhile


def deactivate(telling: Telling, bob: Actor) -> None:
    with telling.store.transaction() as tx:
        user = tx.get(User, id=bob.id)
        assert user is not None
        tx.change(user, is_active=False)


def take_permissions(telling: Telling, _bob: Actor) -> None:
    for permission in telling.plant.all(Permission):
        telling.plant.change(permission, enabled=False)


def decided(telling: Telling, _bob: Actor) -> None:
    carol = person(telling.plant, "carol", *APPROVER)
    [request] = telling.plant.all(ApprovalRequest)
    row = next(each for each in telling.plant.all(ScheduledJob) if each.id == request.scheduled_job_id)
    decide(telling.plant, "approve", carol, row)


@pytest.mark.parametrize("happens", [deactivate, take_permissions, decided])
def test_who_is_not_to_be_told_any_more_is_not(
    telling: Telling, bob: Actor, target: NotificationTarget, happens: Callable[[Telling, Actor], None]
) -> None:
    telling.sender.failing.add(BOB)
    asked(telling.plant, LATER)
    telling.tick()
    telling.sender.failing.clear()
    happens(telling, bob)
    assert telling.pass_on(hours=1) == []
    assert telling.plant.all(Notification) == []


def test_an_address_that_cannot_be_read_is_told(telling: Telling, target: NotificationTarget) -> None:
    asked(telling.plant, LATER)
    telling.store.inputs_key = InputsKey(b"x" * 32)
    telling.tick()
    assert now_of(telling, target).failure == UNREADABLE


# Several at once


def test_what_is_told_hourly_is_one_message(telling: Telling, bob: Actor, target: NotificationTarget) -> None:
    telling.plant.add(NotificationChoice(user_id=bob.id, frequency=Frequency.HOURLY))
    asked(telling.plant, LATER)
    telling.pass_on(minutes=1)
    row = asked(telling.plant, SOON)
    assert telling.pass_on(minutes=58) == []
    assert telling.pass_on(minutes=1) == [(BOB, "2 notifications")]
    [(_, message)] = telling.sender.sent
    assert message.body.index(WAITS) < message.body.index(f"/signoff/approval-queue/{row.id}")


# What waits


def test_who_may_approve_is_reminded_once_of_what_waits_for_long(telling: Telling, target: NotificationTarget) -> None:
    asked(telling.plant, {**LATER, "start_time": (telling.plant.now + timedelta(days=30)).isoformat()})
    assert telling.pass_on() == [(BOB, WAITS)]
    assert telling.pass_on(hours=23) == []
    assert telling.pass_on(hours=1) == [(BOB, "“once” still waits for approval")]
    assert telling.pass_on(hours=1) == []
    telling.start()
    assert telling.pass_on(hours=24) == []


def test_who_requested_is_told_once_that_it_is_about_to_expire(telling: Telling) -> None:
    telling.target(telling.plant.actor)
    asked(telling.plant, {**LATER, "start_time": (telling.plant.now + timedelta(days=30)).isoformat()})
    assert telling.pass_on(days=5) == []
    ends = f"{telling.plant.now + timedelta(days=2):%Y-%m-%d %H:%M} UTC"
    assert telling.pass_on(days=1) == [("alice@example.com", f"“once” expires at {ends} if nobody decides about it")]
    assert telling.pass_on(hours=1) == []


def test_marks_go_with_what_they_mark(telling: Telling, bob: Actor, target: NotificationTarget) -> None:
    row = asked(telling.plant, {**LATER, "start_time": (telling.plant.now + timedelta(days=30)).isoformat()})
    telling.pass_on(hours=25)
    assert len(telling.plant.all(NotificationMark)) == 1
    decide(telling.plant, "approve", bob, row)
    assert telling.plant.all(NotificationMark) == []
