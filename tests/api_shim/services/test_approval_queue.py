"""The two views of the approval queue, their numbers, filters, orders and pages."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta
from typing import Any

import pytest

from api_shim.domain.accounts import Permission, PermissionUser, User
from api_shim.domain.model import Job, Participant, ScheduledJob
from api_shim.services import approval_queue
from api_shim.services.approval_queue import ApprovalQueue, Queue, QueueFilter, QueueView
from api_shim.services.authentication import actor_of
from api_shim.store import Store
from approval_gate.errors import Forbidden
from approval_gate.lifecycle import ApprovalState
from approval_gate.model import Actor
from tests.factories import NOW, make_approval_request, make_job, make_scheduled, make_user

MINE, OTHERS = QueueView.MINE, QueueView.OTHERS
HOUR = timedelta(hours=1)


class Office:
    """People who ask, and bob, who decides.

    Args:
        store: an empty store.
    """

    def __init__(self, store: Store) -> None:
        self.store = store
        self.users: dict[str, User] = {}
        self.job = self.makes(make_job(name="Compact", job_class_name="Compact", approval_required=True))
        self.secret = self.makes(
            make_job(name="Secret", job_class_name="Secret", approval_required=True, has_sensitive_variables=True)
        )

    def makes(self, thing: Any) -> Any:
        with self.store.transaction() as tx:
            tx.add(thing)
        return thing

    def user(self, name: str, **to: Any) -> User:
        if name not in self.users:
            self.users[name] = self.makes(make_user(name, **to))
        return self.users[name]

    def actor(self, name: str, **to: Any) -> Actor:
        user = self.user(name, **to)
        with self.store.transaction(write=False) as tx:
            return actor_of(tx, user)

    def may(self, name: str, action: str, kind: str, **limits: Any) -> None:
        given = Permission(
            id=make_user().id, name=f"{name} {action} {kind}", object_types=(kind,), actions=(action,), **limits
        )
        self.makes(given)
        self.makes(PermissionUser(permission_id=given.id, user_id=self.user(name).id))

    def asks(
        self, name: str, who: str = "alice", job: Job | None = None, asked: datetime | None = None, **to: Any
    ) -> ScheduledJob:
        job, user = job or self.job, self.user(who)
        row = make_scheduled(job, user, name=name, approval=ApprovalState.PENDING, **to)
        self.makes(row)
        self.makes(Participant(scheduled_job_id=row.id, user_id=user.id, username=user.username))
        if asked is not None:
            self.makes(make_approval_request(row, job, user, created=asked))
        return row

    def sees(self, who: str = "bob", now: datetime = NOW, **asked: Any) -> Queue:
        actor = self.actor(who, is_superuser=who == "bob")
        return asyncio.run(ApprovalQueue(self.store, lambda: now).page(actor, QueueFilter(**asked)))

    def names(self, **asked: Any) -> list[str]:
        return [waiting.scheduled.name for waiting in self.sees(**asked).rows]


@pytest.fixture
def office(sqlite_store: Store) -> Office:
    return Office(sqlite_store)


def test_what_one_can_approve_waits_for_one_and_the_rest_for_others(office: Office) -> None:
    office.user("bob", is_superuser=True)
    office.asks("theirs")
    office.asks("own", who="bob")
    mine, others = office.sees(), office.sees(view=OTHERS)
    assert [(each.scheduled.name, each.why_not) for each in mine.rows] == [("theirs", "")]
    [own] = others.rows
    assert (own.scheduled.name, own.why_not) == ("own", "You cannot approve your own job request!")
    assert own.why_not_deny == ""  # they can withdraw it
    assert mine.counts == others.counts == {MINE: 1, OTHERS: 1}


def test_the_numbers_are_those_of_who_asks_and_of_what_they_may_view(office: Office) -> None:
    office.asks("a")
    office.asks("b", who="carol")
    office.may("alice", "view", "extras.scheduledjob", constraints={"name": "a"})
    queue = ApprovalQueue(office.store, lambda: NOW)
    people = {who: office.actor(who, is_superuser=who == "bob") for who in ("alice", "bob", "carol")}
    told = {who: asyncio.run(queue.counts(actor)) for who, actor in people.items()}
    assert told == {"alice": {MINE: 0, OTHERS: 1}, "bob": {MINE: 2, OTHERS: 0}, "carol": {MINE: 0, OTHERS: 0}}
    assert {who: asyncio.run(queue.count(actor)) for who, actor in people.items()} == {"alice": 0, "bob": 2, "carol": 0}


def test_who_may_view_no_scheduled_jobs_is_told_so(office: Office) -> None:
    with pytest.raises(Forbidden):
        office.sees("carol")


def test_since_when_a_request_waits_is_when_it_was_asked_last(office: Office) -> None:
    office.asks("new", asked=NOW + HOUR, created=NOW - HOUR)
    office.asks("not kept", created=NOW - HOUR)
    assert {each.scheduled.name: each.asked for each in office.sees().rows} == {
        "new": NOW + HOUR,
        "not kept": NOW - HOUR,
    }


def stocked(office: Office) -> None:
    office.asks("b", asked=NOW, inputs={"file": "/tmp/app.db"}, start_time=NOW + HOUR, expires_at=NOW + 9 * HOUR)
    office.asks("A", who="carol", asked=NOW + HOUR, start_time=NOW + 2 * HOUR, description="Before the audit")
    office.asks("c", job=office.secret, asked=NOW + 2 * HOUR, inputs={"file": "hush"}, expires_at=NOW + 3 * HOUR)


@pytest.mark.parametrize(
    ("asked", "names"),
    [
        pytest.param({}, ["b", "A", "c"], id="everything, the longest waiting first"),
        pytest.param({"requester": "CAR"}, ["A"], id="who asked"),
        pytest.param({"search": "App.DB"}, ["b"], id="an input"),
        pytest.param({"search": "FILE"}, ["b"], id="the name of an input"),
        pytest.param({"search": "hush"}, [], id="a hidden input"),
        pytest.param({"search": "audit"}, ["A"], id="the description"),
        pytest.param({"search": "secret"}, ["c"], id="the Job"),
        pytest.param({"search": "carol"}, ["A"], id="who asked, in the search"),
        pytest.param({"asked_from": NOW + HOUR}, ["A", "c"], id="from then"),
        pytest.param({"asked_before": NOW + HOUR}, ["b"], id="before then"),
        pytest.param({"asked_from": NOW + HOUR, "asked_before": NOW + 2 * HOUR}, ["A"], id="within"),
        pytest.param({"sort": "-asked"}, ["c", "A", "b"], id="the newest first"),
        pytest.param({"sort": "expires"}, ["c", "b", "A"], id="what expires next, then what never does"),
        pytest.param({"sort": "name"}, ["A", "b", "c"], id="by name"),
        pytest.param({"sort": "start"}, ["c", "b", "A"], id="by start"),
        pytest.param({"sort": "job"}, ["b", "A", "c"], id="by Job"),
        pytest.param({"sort": "requester"}, ["b", "c", "A"], id="by who asked"),
        pytest.param({"limit": 2}, ["b", "A"], id="the first page"),
        pytest.param({"limit": 2, "offset": 2}, ["c"], id="the second page"),
        pytest.param({"offset": 3}, [], id="a page that there is not"),
    ],
)
def test_a_view_is_filtered_ordered_and_paged(office: Office, asked: dict[str, Any], names: list[str]) -> None:
    stocked(office)
    assert office.names(**asked) == names


def test_a_view_is_filtered_by_the_job_and_its_numbers_are_not(office: Office) -> None:
    stocked(office)
    found = office.sees(job=office.secret.id)
    assert [each.scheduled.name for each in found.rows] == ["c"]
    assert (found.found, found.counts[MINE]) == (1, 3)
    assert [job.name for job in found.jobs] == ["Compact", "Secret"]


def test_what_is_too_much_to_judge_is_counted(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(approval_queue, "JUDGED", 2)
    stocked(office)
    found = office.sees()
    assert (len(found.rows), found.counts[MINE], found.unjudged) == (2, 2, 1)
