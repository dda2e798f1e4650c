"""Runs of one Job that would overlap: passed over, in a queue, or in place of the older ones; whoever runs them."""

from __future__ import annotations

from datetime import timedelta

import pytest

from api_shim.domain.audit import AuditEvent, EventType
from api_shim.domain.model import JobResult, Status
from api_shim.domain.ports import Run
from approval_gate.admission import CANCEL_PAUSE, OUTRUN, SINGLETON, TURN_PAUSE, Finish, Go, Overlap, Refuse, Wait
from tests.api_shim.plant import HOUR, Plant, Plants
from tests.factories import NOW


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
    passed_over = f"Passed over, because its Job lets no two runs overlap: {why}"
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
    assert plant.work(third) == Wait(plant.now + TURN_PAUSE, in_turn=True), "The second is before it."
    plant.tick(seconds=1)
    called = plant.engine.all_runs[second.id]
    assert called.scheduled_for is not None
    assert called.scheduled_for <= plant.now
    assert plant.work(second) == Go()
    assert plant.work(third) == Go()
    assert [each.status for each in plant.all(JobResult)] == [Status.SUCCESS] * 3


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
