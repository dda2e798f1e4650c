"""What the store notes of what happened, and what it finds of that, on both databases."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from api_shim.domain.accounts import User
from api_shim.domain.audit import EventType, account_event
from api_shim.domain.model import ApprovalRequest, Job, ScheduledJob
from api_shim.domain.notifications import (
    Happening,
    Notification,
    NotificationEvent,
    NotificationMark,
    NotificationTarget,
    Topic,
    Way,
    event_of,
    notification_of,
)
from api_shim.domain.recurrence import Interval
from api_shim.store import Store
from tests.factories import NOW, OPERATOR, make_approval_request, make_job, make_scheduled, make_user

pytestmark = pytest.mark.each_database
HOUR = timedelta(hours=1)


class Filled:
    """A store with a user, a Job, a schedule and a request."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.alice: User = make_user("alice")
        self.job: Job = make_job()
        self.row: ScheduledJob = make_scheduled(self.job, self.alice)
        self.request: ApprovalRequest = make_approval_request(self.row, self.job, self.alice, expires_at=NOW + HOUR)
        for thing in (self.alice, self.job, self.row, self.request):
            with store.transaction() as tx:
                tx.add(thing)

    def events(self) -> list[NotificationEvent]:
        with self.store.transaction(write=False) as tx:
            return tx.notification_events(10)

    def has_some(self, now: datetime = NOW) -> bool:
        with self.store.transaction(write=False) as tx:
            return tx.has_notifications(now)

    def unmarked(self, topic: Topic, before: datetime) -> int:
        with self.store.transaction(write=False) as tx:
            return len(tx.unmarked(topic, before, 10))


def half_of_a_change(filled: Filled) -> None:
    with filled.store.transaction() as tx:
        tx.change(filled.row, owner_id=None, date_changed=NOW + HOUR)
        raise RuntimeError("The power was cut.")


@pytest.fixture
def filled(store: Store) -> Filled:
    return Filled(store)


def test_what_happens_is_noted_with_it_and_not_without(filled: Filled) -> None:
    [waits] = filled.events()
    assert (waits.topic, waits.subject_id) == (Topic.WAITING, filled.request.id)
    with pytest.raises(RuntimeError):
        half_of_a_change(filled)
    assert filled.events() == [waits]


def test_several_at_once_are_one_statement_and_the_same_is_noted_once(filled: Filled) -> None:
    others = [replace(filled.request, id=make_user().id) for _ in range(3)]
    with filled.store.transaction() as tx:
        tx.add(*others)
        tx.add_missing(filled.events())
    assert len(filled.events()) == 4


def test_whoever_leaves_is_noted_with_who_removed_them(filled: Filled) -> None:
    once = make_scheduled(filled.job, filled.alice, interval=Interval.FUTURE)
    with filled.store.transaction() as tx:
        tx.add(once)
    with filled.store.transaction() as tx:
        tx.record(account_event(filled.alice.id, "alice", EventType.USER_REMOVED, NOW + HOUR, OPERATOR))
        tx.remove(filled.alice)
    [left] = [each for each in filled.events() if each.topic is Topic.SCHEDULE]
    assert (left.subject_id, left.what, left.at) == (filled.row.id, Happening.LOST_OWNER, NOW + HOUR)
    assert left.actor == OPERATOR.username


def test_what_is_due_is_found_when_it_is(filled: Filled) -> None:
    target = NotificationTarget(
        id=make_user().id, user_id=filled.alice.id, way=Way.MAIL, label="a@example.com", address="", created=NOW
    )
    [event] = filled.events()
    with filled.store.transaction() as tx:
        tx.add(target)
        tx.add_missing([notification_of(event, target, NOW + HOUR)] * 2)
        tx.remove_all(NotificationEvent, [event.id])
    assert [filled.has_some(NOW + HOUR * hours) for hours in (0, 1, 2)] == [False, True, True]
    with filled.store.transaction() as tx:
        assert (tx.due_targets(NOW, 10), tx.due_notifications(target, NOW, 10)) == ([], [])
        assert tx.due_targets(NOW + HOUR, 10) == [target]
        [due] = tx.due_notifications(target, NOW + HOUR, 10)
        assert due == notification_of(event, target, NOW + HOUR)
        tx.remove(target)
        assert tx.all(Notification) == []


def test_a_target_that_failed_is_left_alone_for_a_while_unless_somebody_asks(filled: Filled) -> None:
    known = {"user_id": filled.alice.id, "way": Way.MAIL, "address": "", "created": NOW}
    fails = NotificationTarget(id=make_user().id, label="a", failing_since=NOW, retry_at=NOW + HOUR, **known)  # type: ignore[arg-type]  # as above
    works = NotificationTarget(id=make_user().id, label="b", **known)  # type: ignore[arg-type]  # as above
    [event] = filled.events()
    with filled.store.transaction() as tx:
        tx.add(fails, works)
        tx.add_missing([notification_of(event, fails, NOW - HOUR), notification_of(event, works, NOW)])
        assert tx.due_targets(NOW, 10) == [works]
        assert tx.due_targets(NOW + HOUR, 10) == [works, fails]
        tx.remove_all(NotificationEvent, [event.id])
        tx.remove_all(Notification, [each.id for each in tx.all(Notification, target_id=works.id)])
    assert [filled.has_some(NOW + HOUR * hours) for hours in (0, 1)] == [False, True]
    with filled.store.transaction() as tx:
        tx.add_missing([notification_of(event_of(Topic.TEST, fails.id, NOW), fails, NOW)])
        assert tx.due_targets(NOW, 10) == [fails]


def test_what_waits_is_found_until_it_is_marked(filled: Filled) -> None:
    assert [filled.unmarked(Topic.REMINDER, NOW + HOUR * hours) for hours in (-1, 0)] == [0, 1]
    assert [filled.unmarked(Topic.EXPIRING, NOW + HOUR * hours) for hours in (0, 1)] == [0, 1]
    with filled.store.transaction() as tx:
        tx.add(NotificationMark(request_id=filled.request.id, topic=Topic.REMINDER))
    assert (filled.unmarked(Topic.REMINDER, NOW), filled.unmarked(Topic.EXPIRING, NOW + HOUR)) == (0, 1)
    with filled.store.transaction() as tx:
        tx.change(filled.request, state="approved", decided_at=NOW)
    assert filled.unmarked(Topic.EXPIRING, NOW + HOUR) == 0
