"""Runs of one Job that would overlap: passed over, in a queue, or in place of the older ones; whoever runs them."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest

from api_shim.domain.approval import binding_of, version_of
from api_shim.domain.audit import AuditEvent, EventType
from api_shim.domain.model import Job, JobResult, ScheduledJob, Status
from api_shim.domain.ports import Run
from api_shim.domain.status_words import ScheduleStatus
from api_shim.parsing.decision import Decision
from api_shim.reconcile.firings import TAKEN_AHEAD
from api_shim.services.admission import Admissions
from api_shim.services.approval_state import return_to_queue
from api_shim.services.authorization import authorize_view
from api_shim.services.forecast import WAITS_ITS_TURN, forecast_of
from api_shim.services.results import Results
from approval_gate.admission import (
    CANCEL_PAUSE,
    CHANGED,
    NOT_APPROVED,
    NOT_REQUESTED,
    OUTDATED,
    OUTRUN,
    QUEUE_FULL,
    SINGLETON,
    TURN_PAUSE,
    Finish,
    Go,
    Hold,
    Overlap,
    Refuse,
    Wait,
)
from approval_gate.lifecycle import ApprovalState
from approval_gate.model import Actor
from tests.api_shim.plant import HOUR, Plant, Plants
from tests.factories import NOW, make_user


def begun(plants: Plants, overlap: Overlap, **job: object) -> tuple[Plant, Run, list[Run]]:
    """Return a plant with a run under way, and more that have been made for the next hours of its schedule."""
    plant = plants.ready(overlap=overlap, **job)
    plant.recurring()
    plant.tick(seconds=1)
    first, *others = [plant.engine.make_firing(plant.own_id(), NOW + hour * HOUR) for hour in (1, 2, 3)]
    plant.now = NOW + HOUR
    plant.let_go(first)
    plant.now = NOW + 2 * HOUR
    return plant, first, others


def end(plant: Plant, run: Run, state: str = "COMPLETED") -> None:
    plant.engine.set_state(run.id, state, state.title())
    plant.tick(seconds=4)


def result_of(plant: Plant, run: Run) -> JobResult:
    [found] = [each for each in plant.all(JobResult) if each.flow_run_id == run.id]
    return found


def test_skip_records_for_which_run_it_was_passed_over(plants: Plants) -> None:
    plant, first, (second, third) = begun(plants, Overlap.SKIP)
    why = f"the run {result_of(plant, first).id} is under way."
    passed_over = f"Passed over, because runs of its Job may not overlap: {why}"
    assert plant.work(second) == Finish(passed_over, recorded=True)
    assert (result_of(plant, second).status, result_of(plant, second).traceback) == (Status.REVOKED, passed_over)
    end(plant, first)
    plant.now = NOW + 3 * HOUR
    assert plant.work(third) == Go()


def test_queue_goes_in_order_of_asking_and_is_called_when_one_is_over(plants: Plants) -> None:
    plant, first, (second, third) = begun(plants, Overlap.QUEUE)
    assert plant.work(second) == Wait(plant.now + TURN_PAUSE, in_turn=True)
    plant.now = NOW + 3 * HOUR
    assert plant.work(third) == Wait(plant.now + TURN_PAUSE, in_turn=True)
    plant.tick(4, seconds=40)
    assert plant.work(second) == Wait(plant.now + TURN_PAUSE, in_turn=True), "It was not passed over meanwhile."
    end(plant, first)
    assert plant.work(third) == Wait(plant.now + 2 * TURN_PAUSE, in_turn=True), "The second is before it."
    plant.tick(seconds=1)
    called = plant.engine.all_runs[second.id]
    assert called.scheduled_for is not None
    assert called.scheduled_for <= plant.now
    assert plant.work(second) == Go()
    assert plant.work(third) == Go()
    assert [each.status for each in plant.all(JobResult)] == [Status.SUCCESS] * 3


def test_what_a_worker_may_be_taking_is_not_called(plants: Plants) -> None:
    plant, first, (second, _) = begun(plants, Overlap.QUEUE)
    plant.work(second)
    asks = plant.engine.all_runs[second.id].scheduled_for
    plant.now += TURN_PAUSE - TAKEN_AHEAD
    end(plant, first)
    plant.tick(seconds=1)
    assert plant.engine.all_runs[second.id].scheduled_for == asks


def test_the_next_is_called_when_one_that_waits_is_cancelled(plants: Plants) -> None:
    plant, first, (second, third) = begun(plants, Overlap.QUEUE)
    plant.work(second)
    plant.now = NOW + 3 * HOUR
    plant.work(second)
    plant.work(third)
    end(plant, first)
    schedules: Any = plant.schedules  # what is asked here
    results = Results(store=plant.store, schedules=schedules, wake=plant.queue.wake, clock=lambda: plant.now)
    asyncio.run(results.cancel(plant.actor, result_of(plant, second).id))
    plant.tick()
    called = plant.engine.all_runs[third.id].scheduled_for
    assert called is not None
    assert called <= plant.now
    assert plant.work(third) == Go()


def test_no_more_runs_of_a_job_wait_than_may(plants: Plants) -> None:
    plant, _, (second, third) = begun(plants, Overlap.QUEUE)
    plant.admissions = Admissions(plant.store, most_waiting=1)
    plant.work(second)
    plant.now = NOW + 3 * HOUR
    assert plant.work(second) == Wait(plant.now + TURN_PAUSE, in_turn=True)
    assert plant.work(third) == Finish(QUEUE_FULL, recorded=True)


def test_queue_goes_on_after_the_process_of_a_run_was_lost(plants: Plants) -> None:
    plant, first, (second, _) = begun(plants, Overlap.QUEUE)
    plant.work(second)
    end(plant, first, "CRASHED")
    plant.tick(seconds=1)
    assert plant.work(second) == Go()


def test_a_cancelled_run_that_waits_lets_the_others_go(plants: Plants) -> None:
    plant, first, (second, third) = begun(plants, Overlap.QUEUE)
    plant.work(second)
    plant.now = NOW + 3 * HOUR
    plant.work(third)
    end(plant, second, "CANCELLED")
    end(plant, first)
    assert plant.work(third) == Go()


def test_cancel_ends_the_older_one_and_the_newest_goes_when_it_is_over(plants: Plants) -> None:
    plant, first, (second, third) = begun(plants, Overlap.CANCEL)
    assert plant.work(second) == Wait(plant.now + CANCEL_PAUSE, in_turn=True)
    plant.tick(seconds=1)
    assert plant.engine.all_runs[first.id].state_type == "CANCELLING"
    plant.now += timedelta(seconds=1)
    plant.now = NOW + 3 * HOUR
    assert plant.work(third) == Wait(plant.now + CANCEL_PAUSE, in_turn=True)
    assert plant.work(second) == Finish(OUTRUN, recorded=True)
    end(plant, first, "CANCELLED")
    assert result_of(plant, first).traceback == f"Cancelled by a newer run of {plant.job.name}."
    assert plant.work(third) == Go()
    told = [event for event in plant.all(AuditEvent) if event.act is EventType.RESULT_CANCELLED]
    assert [(event.flow_run_id, event.actor) for event in told] == [(first.id, "")]


@pytest.mark.parametrize("overlap", [Overlap.ALLOW, Overlap.QUEUE])
def test_a_singleton_refuses_whatever_it_says_of_overlaps(plants: Plants, overlap: Overlap) -> None:
    plant, _, (second, _) = begun(plants, overlap, is_singleton=True)
    assert plant.work(second) == Refuse(SINGLETON, recorded=True)


# One-offs that are changed while they wait


def waits_behind(plants: Plants, **to: Any) -> tuple[Plant, Run, ScheduledJob]:
    """Return a plant with the run of one approved request under way, and another one whose run waits for it."""
    plant = plants.ready(overlap=Overlap.QUEUE, approval_required=True, supports_dryrun=True)
    first, row = (plant.one_off(name=name, approval=ApprovalState.PENDING, **to) for name in ("first", "second"))
    plant.tick(seconds=1)
    approve(plant, first)
    approve(plant, row)
    plant.now = NOW + 2 * HOUR
    plant.let_go(run_of(plant, first))
    assert plant.work(run_of(plant, row)) == Wait(plant.now + TURN_PAUSE, in_turn=True)
    return plant, run_of(plant, first), row


def approve(plant: Plant, row: ScheduledJob) -> None:
    bob = make_user(f"bob {uuid4()}", is_superuser=True)
    plant.add(bob)
    who = Actor(id=bob.id, username=bob.username, superuser=True)
    by_now = now_of(plant, row)
    seen = version_of(by_now, plant.only(Job))
    asyncio.run(plant.approvals.approve(who, {"id": row.id}, Decision(force=True, version=seen)))


def edit(plant: Plant, row: ScheduledJob, **body: object) -> None:
    asyncio.run(plant.schedule_changes.change(plant.actor, {"id": row.id}, body))


def now_of(plant: Plant, row: ScheduledJob) -> ScheduledJob:
    [found] = [each for each in plant.all(ScheduledJob) if each.id == row.id]
    return found


def run_of(plant: Plant, row: ScheduledJob) -> Run:
    return plant.engine.all_runs[now_of(plant, row).flow_run_id]  # type: ignore[index]  # or there is none, and it fails


def lapse(plant: Plant, row: ScheduledJob) -> None:
    """Take an approval back, as a change of the code does."""
    with plant.store.transaction() as tx:
        return_to_queue(tx, now_of(plant, row), plant.job, "Its code was changed.", plant.now)
    asyncio.run(plant.projection.reconcile(row.id))


OTHER = {"count": 3}


def test_what_goes_after_it_waited_is_what_was_approved_last(plants: Plants) -> None:
    plant, first, row = waits_behind(plants)
    run, carol = run_of(plant, row), make_user("carol", is_superuser=True)
    plant.add(carol)
    # As if nothing had replaced its run, which somebody has let stand in Prefect.
    plant.change(now_of(plant, row), inputs=OTHER, owner_id=carol.id)
    plant.change(now_of(plant, row), approved=binding_of(now_of(plant, row), plant.only(Job)))
    end(plant, first)
    plant.engine.all_runs[run.id] = replace(plant.engine.all_runs[run.id], parameters=OTHER)
    assert plant.work(run) == Go()
    done = result_of(plant, run)
    assert (done.inputs, done.user_id) == (OTHER, carol.id)


def test_a_run_that_waited_does_not_go_with_what_it_first_asked_with(plants: Plants) -> None:
    plant, first, row = waits_behind(plants)
    plant.change(now_of(plant, row), inputs=OTHER)
    plant.change(now_of(plant, row), approved=binding_of(now_of(plant, row), plant.only(Job)))
    end(plant, first)
    assert plant.work(run_of(plant, row)) == Refuse(CHANGED, tampered=True)


def test_an_edit_while_it_waits_makes_a_new_run_that_waits_and_goes(plants: Plants) -> None:
    plant, first, row = waits_behind(plants)
    old = run_of(plant, row)
    edit(plant, row, data=OTHER)
    assert [each.flow_run_id for each in plant.all(JobResult)] == [first.id], "It has left the queue."
    approve(plant, row)
    new = run_of(plant, row)
    assert (new.id != old.id, plant.work(new)) == (True, Wait(plant.now + TURN_PAUSE, in_turn=True))
    end(plant, first)
    plant.tick(2, seconds=40)
    assert plant.work(old) == Refuse(NOT_REQUESTED), "Somebody has put it back."
    assert plant.work(new) == Go()
    assert result_of(plant, new).inputs == OTHER


def test_the_replaced_run_of_a_one_off_does_not_go_with_the_record_of_its_waiting(plants: Plants) -> None:
    plant, _, row = waits_behind(plants)
    old = run_of(plant, row)
    plant.change(now_of(plant, row), flow_run_id=uuid4(), run_number=1)
    assert plant.work(old) == Refuse(OUTDATED)


def test_who_waits_for_a_decision_holds_nobody_up(plants: Plants) -> None:
    plant, first, row = waits_behind(plants)
    third = plant.one_off(name="third", approval=ApprovalState.PENDING, start_time=plant.now + HOUR)
    plant.tick(seconds=1)
    approve(plant, third)
    lapse(plant, row)
    end(plant, first)
    plant.now += HOUR
    assert plant.work(run_of(plant, row)) == Hold(NOT_APPROVED)
    assert plant.work(run_of(plant, third)) == Go()
    approve(plant, row)
    assert plant.work(run_of(plant, row)) == Go()


def test_who_has_no_worker_to_ask_any_more_holds_nobody_up(plants: Plants) -> None:
    plant, first, (second, third) = begun(plants, Overlap.QUEUE)
    plant.work(second)
    end(plant, first)
    plant.now = NOW + 3 * HOUR
    assert plant.work(third) == Go()
    assert plant.work(second) == Go(), "It keeps its claim."


@pytest.mark.parametrize("overlap", [Overlap.SKIP, Overlap.QUEUE, Overlap.CANCEL])
def test_a_dry_run_takes_no_turn_and_ends_nothing(plants: Plants, overlap: Overlap) -> None:
    plant, first, (second, _) = begun(plants, overlap, supports_dryrun=True)
    made = asyncio.run(plant.request(data={"dryrun": True}))
    assert made.job_result is not None
    tried = plant.engine.all_runs[next(run.id for run in plant.waiting() if not run.by_schedule)]
    plant.let_go(tried)
    assert not result_of(plant, first).cancelled_by
    end(plant, first)
    assert plant.work(second) == Go(), "The dry run is under way, and does not count."
    assert not result_of(plant, tried).cancelled_by


def test_the_forecast_says_of_a_one_off_that_waits_that_it_does(plants: Plants) -> None:
    plant, _, row = waits_behind(plants)
    with plant.store.transaction(write=False) as tx:
        forecast = forecast_of(tx, authorize_view(tx, plant.actor, {"id": row.id}, plant.now), plant.now)
    assert (forecast.standing, forecast.due, forecast.why_not) == (ScheduleStatus.FIRES, plant.now, WAITS_ITS_TURN)
