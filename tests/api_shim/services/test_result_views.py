"""Lists of job results: only what one may see, with what each came from, in few queries, and what of it may go."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest

from api_shim.domain.audit import EventType, scheduled_job_event
from api_shim.domain.model import JobResult, Status
from api_shim.services import result_views
from api_shim.services.result_views import ResultSight, ResultViews
from api_shim.store import Listing
from approval_gate.errors import Forbidden
from approval_gate.lifecycle import ApprovalState
from approval_gate.model import Action, Actor, ObjectType
from tests.api_shim.plant import Plant, Plants
from tests.api_shim.services.test_approvals import May, may, person, statements
from tests.factories import NOW, make_approval_request, make_result

ALL = Listing(limit=100)
OVER = {"status": Status.SUCCESS, "date_done": NOW}
RESULT, SCHEDULED, REQUEST = ObjectType.JOB_RESULT, ObjectType.SCHEDULED_JOB, ObjectType.APPROVAL_REQUEST
VIEW, DELETE = Action.VIEW, Action.DELETE


def views(plant: Plant) -> ResultViews:
    return ResultViews(plant.store)


def page(plant: Plant, who: Actor, listing: Listing = ALL, schedule: str = "") -> list[ResultSight]:
    return asyncio.run(views(plant).page(who, listing, schedule)).rows


def approved(plant: Plant) -> tuple[JobResult, UUID]:
    """Add a result of a scheduled job that was approved, and return it with the id of the request."""
    row = plant.recurring(approval=ApprovalState.APPROVED)
    earlier, request = (
        make_approval_request(row, plant.job, plant.user, state=ApprovalState.APPROVED, decided_at=at)
        for at in (NOW - timedelta(days=1), NOW)
    )
    approval = {"by": "bob", "at": NOW.isoformat(), "comment": ""}
    result = make_result(plant.job, plant.user, scheduled_job_id=row.id, approval=approval, **OVER)
    plant.add(earlier, request, result)
    return result, request.id


@pytest.mark.parametrize(
    ("permissions", "expected"),
    [
        pytest.param((may(RESULT, VIEW, DELETE), may(SCHEDULED, VIEW), may(REQUEST, VIEW)), (1, 1, True), id="all"),
        pytest.param((may(RESULT, VIEW), may(SCHEDULED, VIEW), may(REQUEST, VIEW)), (1, 1, False), id="view all"),
        pytest.param((may(RESULT, VIEW, DELETE),), (0, 0, True), id="results only"),
        pytest.param(
            (may(RESULT, VIEW), may(RESULT, DELETE, limit={"name": "another"}), may(REQUEST, VIEW)),
            (0, 1, False),
            id="may delete others only",
        ),
    ],
)
def test_what_a_result_came_from_is_told_as_far_as_one_may_view_it(
    plants: Plants, permissions: tuple[May, ...], expected: tuple[int, int, bool]
) -> None:
    plant = plants.ready()
    result, request_id = approved(plant)
    [sight] = page(plant, person(plant, "bob", *permissions))
    assert (sight.row.id, sight.ran_as) == (result.id, "alice")
    assert (sight.scheduled is not None, sight.request is not None, sight.may_delete) == expected
    assert sight.request is None or sight.request.id == request_id


def test_who_may_view_or_delete_none_is_told_so(plants: Plants) -> None:
    plant = plants.ready()
    result, _ = approved(plant)
    nobody, viewer = person(plant, "zoe"), person(plant, "vera", may(RESULT, VIEW))
    for asked in (views(plant).page(nobody, ALL), views(plant).exported(nobody, ALL)):
        with pytest.raises(Forbidden):
            asyncio.run(asked)
    with pytest.raises(Forbidden):
        asyncio.run(views(plant).deletable(viewer, [result.id]))


@pytest.mark.parametrize(
    ("permissions", "found"),
    [
        pytest.param((may(RESULT, VIEW), may(SCHEDULED, VIEW)), 1, id="who may view it"),
        pytest.param((may(RESULT, VIEW),), 0, id="who may not view it, so that nobody finds out what it is called"),
    ],
)
def test_results_are_found_by_their_scheduled_job(plants: Plants, permissions: tuple[May, ...], found: int) -> None:
    plant = plants.ready()
    result, _ = approved(plant)
    plant.add(make_result(plant.job, plant.user))
    who = person(plant, "bob", *permissions)
    [row] = [sight.scheduled for sight in page(plant, plant.actor) if sight.scheduled]
    for text in (str(row.id), row.name[1:-1].upper()):
        assert [sight.row.id for sight in page(plant, who, schedule=text)] == [result.id] * found
    for text in (str(uuid4()), "nothing is called so"):
        assert page(plant, who, schedule=text) == []


def test_what_can_be_deleted_is_over_and_the_newest_first(plants: Plants) -> None:
    plant = plants.ready()
    older = make_result(plant.job, None, **OVER, date_created=NOW - timedelta(hours=1))
    newer, under_way = make_result(plant.job, None, **OVER), make_result(plant.job, None)
    plant.add(older, newer, under_way)
    ids = [older.id, under_way.id, uuid4(), newer.id]
    found = asyncio.run(views(plant).deletable(plant.actor, ids))
    assert [sight.row.id for sight in found] == [newer.id, older.id]
    assert {sight.row.id: sight.may_delete for sight in page(plant, plant.actor)}[under_way.id] is False
    others = person(plant, "bob", may(RESULT, VIEW), may(RESULT, DELETE, limit={"name": "another"}))
    assert asyncio.run(views(plant).deletable(others, ids)) == []


def test_an_export_has_the_list_in_its_order_up_to_a_limit_and_not_what_was_answered(
    plants: Plants, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(result_views, "PART", 2)
    monkeypatch.setattr(result_views, "MOST_EXPORTED", 6)
    plant = plants.ready()
    times = [NOW - timedelta(hours=hours) for hours in range(5)]
    made = [make_result(plant.job, None, **OVER, result={"a": 1}, inputs={"b": 2}, date_created=at) for at in times]
    plant.add(*made)
    listing = Listing(limit=1, sort=("date_created",))
    found = asyncio.run(views(plant).exported(plant.actor, listing))
    assert [sight.row.id for sight in found] == [result.id for result in reversed(made)]
    assert {(sight.row.inputs, sight.row.result) for sight in found} == {(None, None)}
    plant.add(*(make_result(plant.job, None) for _ in range(5)))
    assert len(asyncio.run(views(plant).exported(plant.actor, listing))) == 6


def test_a_list_takes_as_many_queries_for_many_as_for_few(plants: Plants) -> None:
    plant = plants.ready()
    approved(plant)

    def asked() -> int:
        with statements(plant.store) as seen:
            page(plant, plant.actor)
        return len(seen)

    few = asked()
    [row] = [sight.row for sight in page(plant, plant.actor)]
    plant.add(*(replace(row, id=uuid4(), flow_run_id=uuid4()) for _ in range(30)))
    assert asked() == few


@pytest.mark.parametrize(
    ("tried", "permissions", "told"),
    [
        pytest.param(True, (may(SCHEDULED, VIEW),), True, id="the request may be viewed"),
        pytest.param(True, (), False, id="it may not"),
        pytest.param(False, (may(SCHEDULED, VIEW),), False, id="a dry run of nobody's request"),
    ],
)
def test_a_dry_run_leads_to_the_request_that_it_tries(
    plants: Plants, tried: bool, permissions: tuple[Any, ...], told: bool
) -> None:
    plant = plants.ready()
    row = plant.recurring()
    result, other = (make_result(plant.job, plant.user, dry_run=True) for _ in range(2))
    plant.add(result, other)
    with plant.store.transaction() as tx:
        about = result if tried else other
        tx.record(scheduled_job_event(row, EventType.DRY_RUN, NOW, plant.actor, job_result=str(about.id)))
    who = person(plant, "bob", may(RESULT, VIEW), *permissions)
    assert asyncio.run(views(plant).tried(who, result)) == (row.id if told else None)
    assert asyncio.run(views(plant).tried(plant.actor, replace(result, dry_run=False))) is None
