"""Cancelling, running again and deleting: what is over, what stays known, and that it holds whatever happens."""

from __future__ import annotations

import asyncio
from typing import Any
from uuid import UUID, uuid4

import pytest

from api_shim.domain.audit import AuditEvent, EventType
from api_shim.domain.model import DeletedRun, JobResult, ScheduledJob, Status
from api_shim.services.results import IS_OVER, NOT_KEPT, UNDER_WAY, Results
from approval_gate.admission import ALREADY_RUN, NOT_REQUESTED, Go, Refuse
from approval_gate.errors import Conflict, Forbidden, NotFound
from approval_gate.model import Actor
from flows.files import GivenFile
from tests.api_shim.plant import HOUR, INPUTS, Plant, Plants
from tests.factories import make_result


def results(plant: Plant) -> Results:
    made: Results = plant.prompt(
        Results(store=plant.store, schedules=plant.schedules, wake=plant.queue.wake, clock=lambda: plant.now)
    )
    return made


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
    assert result.flow_run_id not in plant.engine.all_runs
    event = plant.all(AuditEvent)[-1]
    assert (event.act, event.actor, event.flow_run_id) == (EventType.RESULT_DELETED, "alice", result.flow_run_id)


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
    run = plant.engine.all_runs[result.flow_run_id]
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
    with pytest.raises(Conflict, match="not ended"):
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
        left = {result.flow_run_id for result in plant.all(JobResult)}
        gone = {spent.flow_run_id for spent in plant.all(DeletedRun)}
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
    assert result.flow_run_id in plant.engine.all_runs
    plant.tick(5, seconds=HOUR.total_seconds())
    assert result.flow_run_id not in plant.engine.all_runs


# Cancelled


def requested(plant: Plant) -> JobResult:
    result: JobResult = asyncio.run(plant.request()).job_result
    return result


def cancel(plant: Plant, result: JobResult, who: Actor | None = None) -> JobResult:
    return asyncio.run(results(plant).cancel(who or plant.actor, result.id))


def test_a_run_that_waits_is_over_with_the_commit_that_cancels_it(plants: Plants) -> None:
    plant = plants.ready()
    result = requested(plant)
    answer = cancel(plant, result)
    assert (answer.status, answer.traceback, answer.cancelled_by) == (Status.REVOKED, "Cancelled by alice.", "alice")
    [run] = plant.engine.all_runs.values()
    assert (run.state_type, run.state_name, run.message) == ("CANCELLED", "Cancelled", "Cancelled by alice.")
    assert plant.only(JobResult).released
    event = plant.all(AuditEvent)[-1]
    assert (event.act, event.actor, event.data["job_result"]) == (EventType.RESULT_CANCELLED, "alice", str(result.id))
    assert cancel(plant, result) == plant.only(JobResult), "again"
    assert len(plant.all(AuditEvent)) == 1


def test_a_run_that_prefect_does_not_have_yet_is_never_made(plants: Plants) -> None:
    plant = plants.ready()
    plant.engine.fail("create_run")
    result = requested(plant)
    cancel(plant, result)
    plant.settle()
    assert plant.engine.all_runs == {}
    assert (plant.only(JobResult).status, plant.only(JobResult).released) == (Status.REVOKED, True)


def test_a_run_whose_id_is_not_recorded_is_found_and_ended(plants: Plants) -> None:
    plant = plants.ready()
    plant.engine.fail("create_run", after=True)
    cancel(plant, requested(plant))
    plant.settle()
    assert [run.state_type for run in plant.engine.all_runs.values()] == ["CANCELLED"]
    assert plant.only(JobResult).flow_run_id in plant.engine.all_runs


def test_a_run_that_a_worker_has_taken_does_not_execute_after_that(plants: Plants) -> None:
    plant = plants.ready()
    result = requested(plant)
    [run] = plant.unended()
    plant.engine.set_state(run.id, "PENDING", "Pending")
    cancel(plant, result)
    assert plant.engine.all_runs[run.id].state_type == "CANCELLING"
    assert plant.work(plant.engine.all_runs[run.id]) == Refuse(ALREADY_RUN)


def test_a_run_that_was_let_go_is_told_to_end_and_is_over_when_it_has(plants: Plants) -> None:
    plant = plants.ready()
    result = requested(plant)
    [run] = plant.unended()
    plant.let_go(run)
    answer = cancel(plant, result)
    assert (answer.status, answer.cancelled_by) == (Status.STARTED, "alice")
    assert plant.engine.all_runs[run.id].state_type == "CANCELLING"
    plant.engine.set_state(run.id, "CRASHED", "Crashed", "The process was killed.")
    plant.tick(seconds=3)
    assert (plant.only(JobResult).status, plant.only(JobResult).traceback) == (Status.REVOKED, "Cancelled by alice.")


def test_a_run_that_was_quicker_than_its_cancelling_has_succeeded(plants: Plants) -> None:
    plant = plants.ready()
    result = requested(plant)
    [run] = plant.unended()
    plant.let_go(run)
    cancel(plant, result)
    plant.engine.set_state(run.id, "COMPLETED", "Completed")
    plant.tick(seconds=3)
    assert plant.only(JobResult).status is Status.SUCCESS


def test_what_is_over_is_not_cancelled(plants: Plants) -> None:
    plant = plants.ready()
    plant.add(result := make_result(plant.job, None, status=Status.SUCCESS))
    with pytest.raises(Conflict, match=IS_OVER):
        cancel(plant, result)


def test_who_may_not_cancel_cancels_nothing(plants: Plants) -> None:
    plant = plants.ready()
    plant.add(result := make_result(plant.job, None))
    carol = Actor(id=uuid4(), username="carol")
    with pytest.raises(Forbidden):
        cancel(plant, result, carol)
    with pytest.raises(NotFound):
        cancel(plant, make_result(plant.job, None))
    assert plant.only(JobResult) == result


def test_wherever_cancelling_dies_the_run_ends_and_does_not_execute(plants: Plants) -> None:
    def ready() -> Plant:
        plant = plants.ready()
        requested(plant)
        return plant

    async def work(plant: Plant) -> Any:
        await results(plant).cancel(plant.actor, plant.only(JobResult).id)

    for plant in plants.dying(ready, work):
        plant.settle()
        result = plant.only(JobResult)
        assert bool(result.cancelled_by) is (plant.unended() == [])
        assert (result.status is Status.REVOKED) is bool(result.cancelled_by)


def test_a_cancelling_that_prefect_does_not_take_is_repeated(plants: Plants) -> None:
    plant = plants.ready()
    result = requested(plant)
    plant.engine.fail("end", times=3)
    cancel(plant, result)
    assert len(plant.unended()) == 1
    plant.settle()
    assert plant.unended() == []


# Again


def test_a_run_again_is_a_new_request_with_the_same_inputs_by_whoever_asks(plants: Plants) -> None:
    plant = plants.ready()
    plant.add(first := make_result(plant.job, None, inputs=INPUTS, status=Status.FAILURE))
    accepted = asyncio.run(results(plant).run_again(plant.actor, first.id))
    [again] = [result for result in plant.all(JobResult) if result.id != first.id]
    assert accepted.job_result is not None
    assert (accepted.job_result.id, again.inputs, again.user_id, again.queue) == (
        again.id, INPUTS, plant.user.id, "default",
    )  # fmt: skip
    assert [run.parameters for run in plant.unended()] == [INPUTS]


def test_a_run_again_needs_the_approval_that_its_job_needs(plants: Plants) -> None:
    plant = plants.ready(approval_required=True)
    plant.add(first := make_result(plant.job, None, inputs=INPUTS, status=Status.SUCCESS))
    accepted = asyncio.run(results(plant).run_again(plant.actor, first.id))
    assert accepted.scheduled_job is not None
    assert plant.only(ScheduledJob).awaits_decision


def test_sensitive_inputs_are_not_kept_and_so_not_run_again(plants: Plants) -> None:
    plant = plants.ready(has_sensitive_variables=True)
    plant.add(first := make_result(plant.job, None, sensitive=True, status=Status.SUCCESS))
    with pytest.raises(Conflict, match=NOT_KEPT):
        asyncio.run(results(plant).run_again(plant.actor, first.id))


def test_what_is_kept_of_a_run_is_told_to_who_may_run_its_job(plants: Plants) -> None:
    plant = plants.ready()
    file = GivenFile.sent(uuid4(), "a.txt", b"hello").reference
    plant.add(first := make_result(plant.job, None, inputs={**INPUTS, "table": file}, status=Status.FAILURE))
    kept = asyncio.run(results(plant).again(plant.actor, first.id, plant.job.id))
    assert (kept.inputs, kept.files, kept.whole) == (INPUTS, ("table",), False)
    with pytest.raises(NotFound):
        asyncio.run(results(plant).again(plant.actor, first.id, uuid4()))
    with pytest.raises(Forbidden):
        asyncio.run(results(plant).again(Actor(id=uuid4(), username="carol"), first.id, plant.job.id))
    plant.change(first, sensitive=True)
    kept = asyncio.run(results(plant).again(plant.actor, first.id, plant.job.id))
    assert (kept.inputs, kept.files, kept.whole) == ({}, (), False)
