"""Deleting job results: what goes, what stays known, and that it holds whatever happens."""

from __future__ import annotations

import asyncio
from typing import Any
from uuid import UUID, uuid4

import pytest

from api_shim.domain.audit import AuditEvent, EventType
from api_shim.domain.model import DeletedRun, JobResult, ScheduledJob, Status
from api_shim.services.results import UNDER_WAY, Results
from approval_gate.admission import NOT_REQUESTED, Go, Refuse
from approval_gate.errors import Conflict, Forbidden, NotFound
from approval_gate.model import Actor
from tests.api_shim.plant import HOUR, Plant, Plants
from tests.factories import make_result


def results(plant: Plant) -> Results:
    return Results(store=plant.store, engine=plant.engine, runs=plant.runs, clock=lambda: plant.now)


def delete(plant: Plant, *ids: UUID, who: Actor | None = None) -> None:
    asyncio.run(results(plant).delete_all(who or plant.actor, ids))


def fired(plant: Plant) -> tuple[ScheduledJob, JobResult]:
    """Let a recurring scheduled job fire once."""
    row = plant.recurring()
    plant.tick(2, hours=1)
    plant.engine.make_firing(plant.own_id(), row.start_time)
    plant.work_off()
    return row, plant.only(JobResult)


def test_a_result_goes_with_its_run_and_is_remembered(plants: Plants) -> None:
    plant = plants.ready()
    _, result = fired(plant)
    asyncio.run(results(plant).delete(plant.actor, result.id))
    assert plant.all(JobResult) == []
    assert result.id not in plant.engine.all_runs
    event = plant.all(AuditEvent)[-1]
    assert (event.act, event.actor, event.flow_run_id) == (EventType.RESULT_DELETED, "alice", result.id)


def test_a_firing_whose_result_was_deleted_stays_taken(plants: Plants) -> None:
    plant = plants.ready()
    row, result = fired(plant)
    delete(plant, result.id)
    again = plant.engine.make_firing(plant.own_id(), row.start_time)
    assert not isinstance(plant.work(again), Go)
    assert plant.all(JobResult) == []


def test_a_run_whose_result_was_deleted_does_not_execute_again(plants: Plants) -> None:
    plant = plants.ready()
    _, result = fired(plant)
    run = plant.engine.all_runs[result.id]
    plant.engine.fail("remove_run", times=-1)
    delete(plant, result.id)
    # Somebody has it retried in Prefect before Prefect has forgotten it.
    answer = plant.work(plant.engine.set_state(run.id, "SCHEDULED", "AwaitingRetry", scheduled_for=plant.now))
    assert isinstance(answer, Refuse)
    assert answer.reason == NOT_REQUESTED


def test_what_is_left_goes_with_the_scheduled_job(plants: Plants) -> None:
    plant = plants.ready()
    row, result = fired(plant)
    delete(plant, result.id)
    assert [spent.run_gone for spent in plant.all(DeletedRun)] == [True]
    asyncio.run(plant.schedules.delete(plant.actor, row.id))
    plant.tick()
    assert plant.all(DeletedRun) == []


def test_of_a_run_without_a_schedule_nothing_is_left(plants: Plants) -> None:
    plant = plants.ready()
    plant.add(result := make_result(plant.job, plant.user, status=Status.SUCCESS))
    delete(plant, result.id)
    assert plant.all(DeletedRun) == []


def test_several_go_at_once_and_those_that_are_not_there_are_passed_over(plants: Plants) -> None:
    plant = plants.ready()
    made = [make_result(plant.job, plant.user, status=Status.FAILURE) for _ in range(3)]
    plant.add(*made)
    delete(plant, made[0].id, uuid4(), made[1].id, made[0].id)
    assert [result.id for result in plant.all(JobResult)] == [made[2].id]


def test_what_is_under_way_stays_and_with_it_all_others(plants: Plants) -> None:
    plant = plants.ready()
    over, under_way = make_result(plant.job, None, status=Status.SUCCESS), make_result(plant.job, None)
    plant.add(over, under_way)
    with pytest.raises(Conflict) as refused:
        delete(plant, over.id, under_way.id)
    assert refused.value.detail == {str(under_way.id): [UNDER_WAY]}
    with pytest.raises(Conflict, match="not over"):
        asyncio.run(results(plant).delete(plant.actor, under_way.id))
    assert {result.id for result in plant.all(JobResult)} == {over.id, under_way.id}


def test_who_may_delete_none_is_refused(plants: Plants) -> None:
    plant = plants.ready()
    plant.add(result := make_result(plant.job, None, status=Status.SUCCESS))
    with pytest.raises(Forbidden):
        delete(plant, result.id, who=Actor(id=uuid4(), username="carol"))
    with pytest.raises(NotFound):
        asyncio.run(results(plant).delete(plant.actor, uuid4()))
    assert plant.only(JobResult) == result


def test_it_holds_wherever_the_process_dies(plants: Plants) -> None:
    def ready() -> Plant:
        plant = plants.ready()
        fired(plant)
        return plant

    async def work(plant: Plant) -> Any:
        await results(plant).delete_all(plant.actor, [result.id for result in plant.all(JobResult)])

    for plant in plants.dying(ready, work):
        left = {result.id for result in plant.all(JobResult)}
        gone = {spent.id for spent in plant.all(DeletedRun)}
        assert (len(left), len(gone)) in {(1, 0), (0, 1)}
        plant.start()
        plant.tick(3, seconds=1)
        assert left <= plant.engine.all_runs.keys()
        assert not gone & plant.engine.all_runs.keys()
        assert all(spent.run_gone for spent in plant.all(DeletedRun))


def test_it_waits_for_prefect(plants: Plants) -> None:
    plant = plants.ready()
    _, result = fired(plant)
    plant.engine.fail("remove_run", times=2)
    delete(plant, result.id)
    assert result.id in plant.engine.all_runs
    plant.tick(5, seconds=HOUR.total_seconds())
    assert result.id not in plant.engine.all_runs
