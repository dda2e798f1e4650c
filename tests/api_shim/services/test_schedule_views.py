"""Looking at scheduled jobs: only what one may see, with what one may do, and in few queries."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest

from api_shim.domain.audit import EventType, scheduled_job_event
from api_shim.domain.recurrence import Interval
from api_shim.domain.status_words import ScheduleStatus
from api_shim.services.schedule_views import LANES, OFFERED, ScheduleViews
from api_shim.store import Listing
from approval_gate.errors import Forbidden, NotFound
from approval_gate.model import Actor, ObjectType
from tests.api_shim.plant import HOUR, Plant, Plants
from tests.api_shim.services.test_approvals import (
    APPROVAL,
    CHANGE,
    DELETE,
    GONE,
    HOURLY,
    JOB,
    LATER,
    RUN,
    SCHEDULED,
    VIEW,
    asked,
    may,
    person,
    statements,
)
from tests.api_shim.services.test_schedule_changes import NIGHTLY, approved, edit
from tests.factories import NOW, make_scheduled

ALL = Listing(limit=100)
TOMORROW = (NOW, NOW + timedelta(days=1))
NO = "You do not have permission to perform this action."


def outlook(plant: Plant) -> ScheduleViews:
    return ScheduleViews(store=plant.store, clock=lambda: plant.now)


def look(plant: Plant, what: str, who: Actor, *scheduled_job_event: Any) -> Any:
    return asyncio.run(getattr(outlook(plant), what)(who, *scheduled_job_event))


@pytest.mark.parametrize(("what", "further"), [("page", ()), ("calendar", (TOMORROW,)), ("counts", ({},))])
def test_who_may_view_no_scheduled_jobs_is_told_so(plants: Plants, what: str, further: tuple[Any, ...]) -> None:
    plant = plants.ready()
    with pytest.raises(Forbidden, match=NO):
        look(plant, what, person(plant, "zoe"), ALL, *further)


def test_a_list_has_what_one_may_view_and_says_what_one_may_delete(plants: Plants) -> None:
    plant = plants.ready()
    for name in ("mine", "yours", "theirs"):
        asked(plant, {**NIGHTLY, "name": name})
    zoe = person(
        plant,
        "zoe",
        may(SCHEDULED, VIEW, limit={"name__in": ["mine", "yours"]}),
        may(SCHEDULED, DELETE, limit={"name": "yours"}),
    )
    page = look(plant, "page", zoe, ALL)
    assert page.count == 2
    assert [(each.row.name, each.owner, each.may_delete) for each in page.rows] == [
        ("mine", "alice", False),
        ("yours", "alice", True),
    ]
    ids = [each.row.id for each in look(plant, "page", plant.actor, ALL).rows]
    assert [row.name for row, _ in look(plant, "deletable", zoe, [*ids, uuid4()])] == ["yours"]


def test_who_came_with_a_token_that_only_reads_deletes_nothing(plants: Plants) -> None:
    plant = plants.ready()
    row = asked(plant, NIGHTLY)
    zoe = person(plant, "zoe", may(SCHEDULED, VIEW, DELETE), read_only=True)
    assert [each.may_delete for each in look(plant, "page", zoe, ALL).rows] == [False]
    with pytest.raises(Forbidden, match=NO):
        look(plant, "deletable", zoe, [row.id])


def test_a_list_and_a_calendar_ask_as_often_for_many_as_for_one(plants: Plants) -> None:
    plant = plants.ready()
    zoe = person(plant, "zoe", may(SCHEDULED, VIEW, DELETE))
    plant.add(*(make_scheduled(plant.job, plant.user, start_time=NOW + HOUR) for _ in range(50)))
    asked_for = {}
    for limit in (1, 50):
        with statements(plant.store) as said:
            assert len(look(plant, "page", zoe, Listing(limit=limit)).rows) == limit
        asked_for[limit] = len(said)
    assert asked_for[1] == asked_for[50] <= 15
    with statements(plant.store) as said:
        look(plant, "calendar", zoe, Listing(limit=1), TOMORROW)
        look(plant, "counts", zoe, Listing(limit=1), {"all": (), "none": ()})
    assert len(said) <= 15


def test_a_calendar_has_what_fires_first_and_counts_the_others(plants: Plants) -> None:
    plant = plants.ready()
    late = [make_scheduled(plant.job, plant.user, start_time=NOW + HOUR * 30) for _ in range(3)]
    soon = [make_scheduled(plant.job, plant.user, start_time=NOW + timedelta(minutes=n)) for n in range(1, LANES + 3)]
    plant.add(*late, *soon, make_scheduled(plant.job, plant.user, enabled=False))
    day = look(plant, "calendar", plant.actor, Listing(limit=1, offset=5), TOMORROW)
    assert [lane.row.id for lane in day.lanes] == [row.id for row in soon[:LANES]]
    assert (day.more, day.partly) == (2, False)
    minutes = [NOW + timedelta(minutes=n) for n in (1, 2)]
    assert [lane.bands[0][0] for lane in day.lanes][:2] == minutes
    assert {lane.prospect.standing for lane in day.lanes} == {ScheduleStatus.FIRES}


@pytest.mark.parametrize(
    ("begin", "end", "fires"),
    [
        pytest.param(-2, -1, [], id="what is past"),
        pytest.param(-1, 1, [], id="what is not yet"),
        pytest.param(-1, 3, [2], id="what is partly past"),
        pytest.param(24, 72, [26, 50], id="what is far"),
    ],
)
def test_a_calendar_has_what_fires_in_it_from_now_on(plants: Plants, begin: int, end: int, fires: list[int]) -> None:
    plant = plants.ready()
    daily = {"interval": Interval.DAILY, "due_from": NOW, "time_zone": "UTC"}
    plant.add(make_scheduled(plant.job, plant.user, start_time=NOW - HOUR * 22, **daily))
    lanes = look(plant, "calendar", plant.actor, ALL, (NOW + begin * HOUR, NOW + end * HOUR)).lanes
    assert [first for lane in lanes for first, _ in lane.bands] == [NOW + hours * HOUR for hours in fires]


def test_one_that_one_may_not_see_is_not_there(plants: Plants) -> None:
    plant = plants.ready()
    row = asked(plant, NIGHTLY)
    zoe = person(plant, "zoe", may(SCHEDULED, VIEW, limit={"name": "another"}))
    with pytest.raises(NotFound, match=GONE):
        look(plant, "detail", zoe, row.id)
    with pytest.raises(NotFound, match=GONE):
        look(plant, "detail", plant.actor, uuid4())


@pytest.mark.parametrize(
    ("permissions", "allowed"),
    [
        pytest.param([], set(), id="only looks"),
        pytest.param([may(SCHEDULED, DELETE)], {"delete"}, id="may delete it"),
        pytest.param([may(SCHEDULED, CHANGE)], {"change"}, id="may change it, and not run its Job"),
        pytest.param(
            [may(SCHEDULED, CHANGE), may(JOB, RUN)], {"change", "change_times", "assume", "copy"}, id="may take it over"
        ),
        pytest.param(
            [may(SCHEDULED, CHANGE), may(ObjectType.USER, CHANGE)], {"change", "transfer"}, id="may hand it over"
        ),
    ],
)
def test_what_one_may_do_is_what_the_rules_say(plants: Plants, permissions: Any, allowed: set[str]) -> None:
    plant = plants.ready()
    row = asked(plant, NIGHTLY)
    detail = look(plant, "detail", person(plant, "zoe", may(SCHEDULED, VIEW), *permissions), row.id)
    assert {name for name in OFFERED if detail.allows(name)} == allowed


def test_its_owner_changes_its_inputs_and_does_not_take_it_over(plants: Plants) -> None:
    plant = plants.ready()
    detail = look(plant, "detail", plant.actor, asked(plant, NIGHTLY).id)
    assert detail.owner == "alice"
    assert {name for name in OFFERED if not detail.allows(name)} == {"assume"}


def test_what_happened_is_told_newest_first_without_the_runs_and_without_others(plants: Plants) -> None:
    plant = plants.ready(**APPROVAL)
    row = approved(plant, HOURLY)
    asked(plant, LATER)
    edit(plant, plant.actor, row, name="renamed")
    with plant.store.transaction() as tx:
        tx.record(scheduled_job_event(row, EventType.ADMITTED, plant.now))
    told = look(plant, "detail", plant.actor, row.id).events
    assert [(event.act, event.actor) for event in told] == [
        (EventType.CHANGED, "alice"),
        (EventType.APPROVED, "bob"),
        (EventType.REQUESTED, "alice"),
    ]


def test_jobs_are_those_that_one_may_view(plants: Plants) -> None:
    plant = plants.ready()
    assert look(plant, "jobs", person(plant, "zoe")) == []
    assert [job.id for job in look(plant, "jobs", replace(plant.actor))] == [plant.job.id]
