"""What the views of Jobs show to whom, and everybody's own favourites."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest

from api_shim.domain.accounts import FavouriteJob
from api_shim.domain.model import Job, Status
from api_shim.domain.recurrence import Interval
from api_shim.reconcile.firings import MISSED_AFTER
from api_shim.services.job_views import JobSight, JobViews
from api_shim.store import Listing, Store
from approval_gate.constraints import UNLIMITED, parse
from approval_gate.errors import Forbidden, NotFound
from approval_gate.model import Action, Actor, Grant, ObjectType
from tests.api_shim.origin import Origin
from tests.api_shim.statements import statements
from tests.conftest import Clock
from tests.factories import NOW, make_result, make_scheduled, make_user, remove_user

NOBODY = Actor(id=uuid4(), username="nobody")
ROOT = Actor(id=uuid4(), username="root", superuser=True)
ALL = Listing(limit=500)


def actor(user: Any, *grants: Grant) -> Actor:
    return Actor(id=user.id, username=user.username, grants=grants)


def grant(kind: ObjectType, *actions: Action, own: bool = False) -> Grant:
    constraint = parse({"user": "$user"}, {"user": UUID}) if own else UNLIMITED
    return Grant(object_types=frozenset({kind}), actions=frozenset(actions), constraint=constraint)


@pytest.fixture
def origin(sqlite_store: Store, clock: Clock) -> Origin:
    return Origin(sqlite_store, clock)


@pytest.fixture
def views(origin: Origin, clock: Clock) -> JobViews:
    return JobViews(origin.store, clock)


def seen(views: JobViews, who: Actor) -> dict[UUID, JobSight]:
    return {each.job.id: each for each in asyncio.run(views.page(who, ALL)).rows}


VIEW = grant(ObjectType.JOB, Action.VIEW)


def test_the_newest_result_of_each_job_is_that_which_they_may_view(origin: Origin, views: JobViews) -> None:
    jobs = [origin.job() for _ in range(3)]
    mine, others = origin.user("mine"), origin.user("others")
    older = [make_result(jobs[0], mine, status=Status.SUCCESS, date_created=NOW - timedelta(hours=n)) for n in (2, 1)]
    newest = make_result(jobs[0], others, status=Status.FAILURE)
    origin.add(*older, newest, only := make_result(jobs[1], mine, status=Status.SUCCESS))
    own = grant(ObjectType.JOB_RESULT, Action.VIEW, own=True)
    table = {
        "everything": (ROOT, [newest, only, None]),
        "their own": (actor(mine, VIEW, own), [older[1], only, None]),
        "another's own": (actor(others, VIEW, own), [newest, None, None]),
        "no results": (actor(mine, VIEW), [None, None, None]),
    }
    for row, (who, results) in table.items():
        found = seen(views, who)
        assert [found[job.id].newest for job in jobs] == results, row
        assert asyncio.run(views.detail(who, jobs[1].id)).results == [each for each in results[1:2] if each], row


def test_a_job_is_due_when_a_scheduled_job_that_they_may_view_runs_next(origin: Origin, views: JobViews) -> None:
    job, idle = origin.job(), origin.job()
    mine, others = origin.user("mine"), origin.user("others")
    later, sooner, off = (
        make_scheduled(job, owner, start_time=NOW + timedelta(hours=hours), interval=Interval.FUTURE, **to)
        for owner, hours, to in ((mine, 2, {}), (others, 1, {}), (mine, 0.5, {"enabled": False}))
    )
    origin.add(later, sooner, off)
    own = grant(ObjectType.SCHEDULED_JOB, Action.VIEW, own=True)
    table = {
        "everything": (ROOT, sooner.start_time),
        "their own": (actor(mine, VIEW, own), later.start_time),
        "no scheduled jobs": (actor(mine, VIEW), None),
    }
    for row, (who, due) in table.items():
        found = seen(views, who)
        assert (found[job.id].due, found[idle.id].due) == (due, None), row
        assert asyncio.run(views.detail(who, job.id)).sight.due == due, row


def test_what_runs_next_is_found_behind_any_number_of_others_that_do_not(origin: Origin, views: JobViews) -> None:
    job, other = origin.job(), origin.job()
    mine, gone = origin.user("mine"), origin.user("gone", superuser=False)
    stopped = (make_scheduled(job, gone, start_time=NOW) for _ in range(20))
    hour = timedelta(hours=1)
    followed = {"projected_version": 1, "interval": Interval.DAILY, "start_time": NOW - hour}
    looked_at = make_scheduled(job, mine, **followed, next_look_at=NOW + 23 * hour + MISSED_AFTER)
    late = make_scheduled(job, mine, start_time=NOW + 24 * hour)
    origin.add(*stopped, looked_at, late, *(make_scheduled(other, gone, start_time=NOW) for _ in range(5)))
    found = seen(views, ROOT)
    assert (found[job.id].due, found[other.id].due) == (NOW + 23 * hour, None)


def test_what_they_may_do_is_what_the_rules_say(origin: Origin, views: JobViews) -> None:
    user, job, off = origin.user("user"), origin.job(), origin.job(enabled=False)
    does = grant(ObjectType.JOB, Action.VIEW, Action.CHANGE, Action.RUN)
    table = {
        "only view": (actor(user, VIEW), (False, False, False)),
        "change and run": (actor(user, does), (True, True, False)),
        "by a token that only reads": (replace(actor(user, does), read_only=True), (False, False, False)),
    }
    for row, (who, may) in table.items():
        found = seen(views, who)
        assert (found[job.id].may_change, found[job.id].may_run, found[off.id].may_run) == may, row


def test_who_changed_a_job_is_told_to_who_may_change_it(origin: Origin, views: JobViews) -> None:
    user, job = origin.user("user"), origin.job()
    root = replace(actor(origin.user("root")), superuser=True)
    asyncio.run(origin.catalogue.change(root, job.id, {"time_limit": 60}))
    for who, events in ((root, 1), (actor(user, VIEW), 0)):
        found = asyncio.run(views.detail(who, job.id))
        assert [each.actor for each in found.events] == ["root"] * events
    changer = actor(user, grant(ObjectType.JOB, Action.VIEW, Action.CHANGE))
    assert "may approve" in asyncio.run(views.changeable(changer, job.id)).why_no_switch
    assert asyncio.run(views.changeable(ROOT, job.id)).why_no_switch == ""
    with pytest.raises(Forbidden):
        asyncio.run(views.changeable(actor(user, VIEW), job.id))


@pytest.mark.parametrize("ask", ["page", "detail", "changeable", "set_favourite"])
def test_who_may_not_view_a_job_does_not_learn_of_it(origin: Origin, views: JobViews, ask: str) -> None:
    job, user = origin.job(), origin.user("user")
    named = Grant(
        object_types=frozenset({ObjectType.JOB}),
        actions=frozenset({Action.VIEW, Action.CHANGE}),
        constraint=parse({"name": "Another"}, {"name": str}),
    )
    asks: dict[str, Any] = {
        "page": lambda who, _: views.page(who, ALL),
        "detail": views.detail,
        "changeable": views.changeable,
        "set_favourite": lambda who, job_id: views.set_favourite(who, job_id, favourite=True),
    }
    with pytest.raises(Forbidden):
        asyncio.run(asks[ask](NOBODY, job.id))
    if ask == "page":
        assert asyncio.run(views.page(actor(user, named), ALL)).rows == []
        return
    sentences = set()
    for job_id in (job.id, uuid4()):
        with pytest.raises(NotFound) as refused:
            asyncio.run(asks[ask](actor(user, named), job_id))
        sentences.add(str(refused.value))
    assert len(sentences) == 1


@pytest.mark.each_database
def test_favourites_are_everybodys_own_and_go_with_them(store: Store, clock: Clock) -> None:
    origin, alice, bob = Origin(store, clock), make_user("alice"), make_user("bob")
    job: Job = origin.job()
    origin.add(alice, bob)
    views = JobViews(store, clock)
    for favourite in (True, True, False, False, True):
        asyncio.run(views.set_favourite(actor(alice, VIEW), job.id, favourite=favourite))
        assert seen(views, actor(alice, VIEW))[job.id].favourite is favourite
        assert not seen(views, actor(bob, VIEW))[job.id].favourite
    with pytest.raises(Forbidden):
        asyncio.run(views.set_favourite(replace(actor(bob, VIEW), read_only=True), job.id, favourite=True))
    remove_user(store, "alice", NOW)
    with store.transaction(write=False) as tx:
        assert tx.all(FavouriteJob) == []


def test_a_list_asks_the_database_as_often_for_many_as_for_few(origin: Origin, views: JobViews) -> None:
    owner = origin.user("owner")
    counted = []
    for many in (2, 40):
        for _ in range(many):
            job = origin.job()
            origin.add(make_scheduled(job, owner), make_result(job, owner, status=Status.SUCCESS))
        with statements(origin.store) as said:
            asyncio.run(views.page(ROOT, ALL))
        counted.append(len(said))
    assert counted[0] == counted[1]
