"""Prefect follows the store: wherever the process dies, whenever Prefect is away, whatever a hand has done there."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from api_shim.model import Job, JobResult, Leftover, ScheduledJob, Status
from api_shim.recurrence import CronSpec, Interval
from approval_gate.admission import SUPERSEDED, Go
from approval_gate.errors import Unavailable
from approval_gate.model import ApprovalState
from tests.api_shim.plant import HOUR, Plant, Plants
from tests.factories import NOW

LATER = {"interval": "future", "name": "once", "start_time": (NOW + HOUR).isoformat()}
HOURLY = {"interval": "hourly", "name": "often", "start_time": (NOW + HOUR).isoformat()}
MINUTE = timedelta(minutes=1)


# A crash at any point


def in_line_after_a_crash(plants: Plants, ready: Callable[[], Plant], work: Callable[[Plant], Awaitable[Any]]) -> None:
    for plant in plants.dying(ready, work):
        plant.settle()
        plant.check_in_line()


def test_wherever_an_immediate_run_dies_there_is_one_run_or_none(plants: Plants) -> None:
    for plant in plants.dying(plants.ready, Plant.request):
        plant.settle()
        plant.check_in_line()
        results = plant.all(JobResult)
        assert [run.id for run in plant.unended()] == [result.id for result in results]
        assert all(result.released for result in results)
        plant.work_off()
        assert [result.status for result in plant.all(JobResult)] == [Status.SUCCESS] * len(results)
    assert len(results) == 1


def test_wherever_a_one_off_dies_there_is_one_run_for_its_time_or_nothing(plants: Plants) -> None:
    for plant in plants.dying(plants.ready, lambda plant: plant.request(LATER)):
        plant.settle()
        plant.check_in_line()
        assert [run.scheduled_for for run in plant.unended()] == [NOW + HOUR] * len(plant.all(ScheduledJob))
        plant.now = NOW + HOUR
        plant.work_off()
        plant.tick(seconds=1)
        assert [result.status for result in plant.all(JobResult)] == [Status.SUCCESS] * len(plant.all(ScheduledJob))
    assert not plant.only(ScheduledJob).enabled


def test_wherever_a_recurring_one_dies_there_is_one_deployment_that_is_active_or_none(plants: Plants) -> None:
    for plant in plants.dying(plants.ready, lambda plant: plant.request(HOURLY)):
        plant.settle()
        plant.check_in_line()
        assert [spec.schedule.active for spec in plant.own().values()] == [True] * len(plant.all(ScheduledJob))
        assert plant.all(JobResult) == []
    assert len(plant.own()) == 1


def test_wherever_the_record_of_a_job_dies_there_is_one_base_deployment(plants: Plants) -> None:
    in_line_after_a_crash(plants, plants.make, lambda plant: plant.watch.tick())


def with_both(plants: Plants) -> Plant:
    plant = plants.ready()
    plant.one_off()
    plant.recurring()
    plant.tick(seconds=1)
    plant.engine.make_firing(plant.own_id(), NOW + HOUR)
    return plant


def test_wherever_a_deletion_dies_everything_is_as_before_or_nothing_is_left(plants: Plants) -> None:
    async def delete(plant: Plant) -> None:
        await plant.schedules.delete_all(plant.actor, [row.id for row in plant.all(ScheduledJob)])

    for plant in plants.dying(lambda: with_both(plants), delete):
        plant.settle()
        plant.check_in_line()
        assert len(plant.all(ScheduledJob)) in (0, 2)
        assert len(plant.unended()) == len(plant.all(ScheduledJob))
    assert plant.all(ScheduledJob) == []


def unprojected(plants: Plants, interval: Interval) -> Plant:
    plant = plants.ready()
    plant._scheduled(interval=interval, start_time=NOW + HOUR)
    return plant


@pytest.mark.parametrize("interval", [Interval.FUTURE, Interval.HOURLY])
def test_what_is_deleted_while_it_was_half_projected_leaves_nothing(plants: Plants, interval: Interval) -> None:
    for plant in plants.dying(lambda: unprojected(plants, interval), lambda plant: plant.watch.tick()):
        plant.start()
        asyncio.run(plant.schedules.delete(plant.actor, plant.only(ScheduledJob).id))
        plant.settle()
        plant.check_in_line()
        assert plant.own() == {}
        assert plant.unended() == []


@pytest.mark.parametrize("to", [{"enabled": False}, {"approval": ApprovalState.PENDING}], ids=["disabled", "pending"])
@pytest.mark.parametrize("interval", [Interval.FUTURE, Interval.HOURLY])
def test_wherever_disabling_dies_nothing_can_start_in_prefect(
    plants: Plants, interval: Interval, to: dict[str, Any]
) -> None:
    def disabled() -> Plant:
        plant = unprojected(plants, interval)
        plant.tick(seconds=1)
        row = plant.only(ScheduledJob)
        plant.change(row, **to, version=row.version + 1)
        return plant

    for plant in plants.dying(disabled, lambda plant: plant.watch.tick()):
        plant.settle()
        plant.check_in_line()
        assert plant.unended() == []
        assert [spec.schedule.active for spec in plant.own().values()] in ([], [False])


# Prefect away


@pytest.mark.parametrize("after", [False, True], ids=["before its effect", "after its effect"])
@pytest.mark.parametrize(
    "call",
    ["prepare", "read_deployment", "create_deployment", "write_deployment", "hold", "release", "runs", "deployments",
     "remove_deployment", "end", "find_deployment", "find_run", "runs_in"],
)  # fmt: skip
def test_a_call_that_fails_for_two_minutes_delays_and_loses_nothing(plants: Plants, call: str, after: bool) -> None:
    plant = plants.make()
    one, other = plant.one_off(), plant.recurring()
    gone, vanished = plant.one_off(name="gone"), plant.recurring(name="vanished")
    plant.engine.fail(call, after=after, times=-1)
    tick_on(plant, 4, seconds=1)
    asyncio.run(plant.schedules.delete_all(plant.actor, [gone.id, vanished.id]))
    tick_on(plant, 12, seconds=10)
    plant.engine.faults.clear()
    tick_on(plant, 8, seconds=30)
    plant.check_in_line()
    assert {row.id for row in plant.all(ScheduledJob)} == {one.id, other.id}
    assert [run.scheduled_for for run in plant.unended()] == [NOW + HOUR]
    assert [spec.schedule.active for spec in plant.own().values()] == [True]


def tick_on(plant: Plant, times: int, **by: float) -> None:
    """Tick as the loop does: whatever happens, it goes on."""
    for _ in range(times):
        plant.now += timedelta(**by)
        asyncio.run(suppressed(plant))


async def suppressed(plant: Plant) -> None:
    with contextlib.suppress(Unavailable):
        await plant.watch.tick()


def test_a_one_off_whose_hold_was_dropped_while_prefect_was_away_still_runs(plants: Plants) -> None:
    plant = plants.ready()
    plant.one_off(start_time=NOW + MINUTE)
    plant.engine.fail("hold", after=True)
    tick_on(plant, 1)
    plant.engine.fail("hold", times=4)
    tick_on(plant, 8, seconds=20)
    plant.work_off()
    assert [result.status for result in plant.all(JobResult)] == [Status.SUCCESS]


def test_what_prefect_refuses_for_one_thing_delays_no_other(plants: Plants) -> None:
    plant = plants.ready()
    bad, good = plant.recurring(name="bad"), plant.recurring(name="good")
    write = plant.engine.write_deployment

    async def refuse_bad(deployment_id: Any, spec: Any) -> None:
        if "bad" in spec.name:
            raise ValueError("Prefect refused.")
        await write(deployment_id, spec)

    plant.engine.write_deployment = refuse_bad  # type: ignore[method-assign]
    plant.tick(seconds=1)
    active = {spec.schedule.slug: spec.schedule.active for spec in plant.own().values()}
    assert active == {str(bad.id): False, str(good.id): True}


# A hand in Prefect


def meddle(plant: Plant, **to: Any) -> None:
    own = plant.own_id()
    plant.engine.made[own] = replace(plant.engine.made[own], **to)


def switched_off(plant: Plant) -> None:
    schedule = plant.own()[plant.own_id()].schedule
    meddle(plant, schedule=replace(schedule, active=False))


def other_cron(plant: Plant) -> None:
    schedule = plant.own()[plant.own_id()].schedule
    meddle(plant, schedule=replace(schedule, cron=CronSpec(cron="* * * * *", timezone="UTC")))


HANDS = [
    pytest.param(lambda plant: plant.engine.delete_deployment(plant.own_id()), id="deleted its deployment"),
    pytest.param(
        lambda plant: plant.engine.delete_deployment(plant.only(Job).deployment_id), id="deleted the base deployment"
    ),
    pytest.param(switched_off, id="switched its schedule off"),
    pytest.param(other_cron, id="let it fire each minute"),
    pytest.param(lambda plant: meddle(plant, schedule=None), id="deleted its schedule"),
    pytest.param(lambda plant: meddle(plant, foreign=True), id="set job variables, or a second schedule"),
    pytest.param(lambda plant: meddle(plant, entrypoint="evil.py:run"), id="let it run other code"),
    pytest.param(lambda plant: meddle(plant, parameters={"count": 99}), id="changed its inputs"),
    pytest.param(lambda plant: meddle(plant, queue="elsewhere"), id="moved it to another queue"),
    pytest.param(lambda plant: cancel(plant), id="cancelled a one-off"),
    pytest.param(lambda plant: plant.engine.delete_run(plant.waiting()[0].id), id="deleted a one-off"),
    pytest.param(lambda plant: move(plant, NOW), id="moved a one-off to another time"),
    pytest.param(lambda plant: suspend(plant), id="suspended a one-off"),
]


def cancel(plant: Plant) -> None:
    plant.engine.set_state(plant.unended()[0].id, "CANCELLED", "Cancelled")


def move(plant: Plant, to: datetime) -> None:
    plant.engine.set_state(plant.unended()[0].id, "SCHEDULED", "Scheduled", scheduled_for=to)


def suspend(plant: Plant) -> None:
    plant.engine.set_state(plant.unended()[0].id, "PAUSED", "Suspended")


@pytest.mark.parametrize("meddles", HANDS)
def test_what_a_hand_changed_is_mended_within_half_a_minute(plants: Plants, meddles: Callable[[Plant], None]) -> None:
    plant = plants.ready()
    plant.one_off()
    plant.recurring()
    plant.tick(seconds=1)
    plant.check_in_line()
    before = {row.deployment_id: plant.engine.made.get(row.deployment_id) for row in plant.all(ScheduledJob)}
    meddles(plant)
    plant.tick(30, seconds=1)
    plant.check_in_line()
    assert [run.scheduled_for for run in plant.unended()] == [NOW + HOUR]
    after = {row.deployment_id: plant.engine.made.get(row.deployment_id) for row in plant.all(ScheduledJob)}
    assert list(after.values()) == list(before.values())


def test_a_cancelled_one_off_is_replaced_again_and_again_and_executes_once(plants: Plants) -> None:
    plant = plants.ready()
    plant.one_off()
    for _ in range(3):
        plant.tick(seconds=31)
        cancel(plant)
    plant.tick(seconds=31)
    plant.now = NOW + HOUR
    plant.work_off()
    plant.tick(2, seconds=31)
    assert plant.unended() == []
    assert [result.status for result in plant.all(JobResult)] == [Status.SUCCESS]


def test_nothing_is_written_when_nothing_differs(plants: Plants) -> None:
    plant = with_both(plants)
    plant.tick(2, seconds=40)
    plant.engine.calls.clear()
    plant.tick(4, seconds=40)
    writes = {"create_deployment", "write_deployment", "remove_deployment", "hold", "release", "end", "prepare"}
    assert not writes & set(plant.engine.calls)


def test_a_renamed_job_moves_to_the_flow_of_its_new_name(plants: Plants) -> None:
    plant = plants.ready()
    job = plant.only(Job)
    plant.one_off()
    plant.tick()
    plant.change(job, name="New name", version=job.version + 1)
    plant.settle()
    plant.check_in_line()
    assert [spec.flow for spec in plant.engine.made.values()] == ["New name"]


# When a schedule begins


def test_a_schedule_is_switched_on_when_no_firing_before_its_start_is_left(plants: Plants) -> None:
    plant = plants.ready()
    plant.recurring(interval=Interval.DAILY, start_time=NOW + timedelta(days=3))
    plant.tick(seconds=1)
    assert plant.own()[plant.own_id()].schedule.active is False
    assert plant.only(ScheduledJob).next_look_at == NOW + timedelta(days=2, seconds=1)
    plant.now = NOW + timedelta(days=2)
    plant.tick()
    assert plant.own()[plant.own_id()].schedule.active is False
    plant.tick(seconds=1)
    assert plant.own()[plant.own_id()].schedule.active is True
    assert plant.all(JobResult) == []


# Missed firings


def missed(plants: Plants, hours: int = 3) -> Plant:
    """Return a plant that was away for some hours, with an hourly schedule since noon."""
    plant = plants.ready()
    plant.recurring()
    plant.tick(seconds=1)
    plant.now = NOW + hours * HOUR + timedelta(seconds=100)
    return plant


def test_a_firing_that_nobody_made_is_made_up_once_and_older_ones_are_not(plants: Plants) -> None:
    plant = missed(plants)
    plant.tick(3, seconds=31)
    [run] = plant.unended()
    assert run.scheduled_for is not None
    assert run.scheduled_for <= plant.now
    assert plant.work(run) == Go()
    plant.tick(3, seconds=31)
    assert {at: result.status for at, result in plant.results().items()} == {NOW + 3 * HOUR: Status.SUCCESS}
    assert plant.only(ScheduledJob).total_run_count == 1


def test_wherever_making_up_dies_the_newest_is_made_up_once_and_older_runs_are_recorded(plants: Plants) -> None:
    def away() -> Plant:
        plant = missed(plants)
        for hour in (1, 2):
            plant.engine.make_firing(plant.own_id(), NOW + hour * HOUR)
        return plant

    for plant in plants.dying(away, lambda plant: plant.watch.tick()):
        plant.settle()
        plant.work_off()
        plant.settle()
        statuses = {at: result.status for at, result in plant.results().items()}
        assert statuses == {
            NOW + HOUR: Status.REVOKED,
            NOW + 2 * HOUR: Status.REVOKED,
            NOW + 3 * HOUR: Status.SUCCESS,
        }
        assert plant.unended() == []
        assert plant.only(ScheduledJob).total_run_count == 1
    assert plant.results()[NOW + HOUR].traceback == SUPERSEDED


def test_a_run_of_the_newest_firing_that_still_waits_is_not_made_up_for(plants: Plants) -> None:
    plant = missed(plants)
    late = plant.engine.make_firing(plant.own_id(), NOW + 3 * HOUR)
    plant.tick(3, seconds=31)
    assert [run.id for run in plant.unended()] == [late.id]
    assert plant.all(JobResult) == []


@pytest.mark.parametrize(
    ("state", "name", "status"),
    [
        pytest.param("CANCELLED", "Cancelled", Status.REVOKED, id="cancelled"),
        pytest.param("CRASHED", "Crashed", Status.FAILURE, id="crashed"),
        pytest.param("FAILED", "Failed", Status.FAILURE, id="failed"),
        pytest.param("COMPLETED", "Completed", Status.FAILURE, id="set to completed by hand"),
    ],
)
@pytest.mark.parametrize("interval", [Interval.FUTURE, Interval.HOURLY])
def test_a_run_that_ended_before_it_was_let_go_is_recorded_and_not_repeated(
    plants: Plants, interval: Interval, state: str, name: str, status: Status
) -> None:
    plant = plants.ready()
    plant._scheduled(interval=interval, start_time=NOW + HOUR)
    plant.tick(seconds=1)
    plant.now = NOW + HOUR
    if interval is Interval.HOURLY:
        plant.engine.make_firing(plant.own_id(), NOW + HOUR)
    plant.engine.set_state(plant.unended()[0].id, state, name, "so it was")
    plant.tick(8, seconds=31)
    [result] = plant.all(JobResult)
    assert (result.status, result.nominal_time) == (status, NOW + HOUR)
    assert result.traceback == f"The run ended before it was let go: {name}. so it was"
    assert plant.only(ScheduledJob).enabled is (interval is Interval.HOURLY)
    assert plant.unended() == []


def test_firings_before_a_schedule_was_made_are_not_owed(plants: Plants) -> None:
    plant = plants.ready()
    plant.recurring(start_time=NOW - 10 * HOUR, due_from=NOW + timedelta(seconds=1))
    plant.tick(10, seconds=31)
    assert plant.unended() == []


def test_a_disabled_schedule_makes_up_for_nothing(plants: Plants) -> None:
    plant = missed(plants)
    row = plant.only(ScheduledJob)
    plant.change(row, enabled=False, version=row.version + 1)
    plant.tick(3, seconds=31)
    assert plant.unended() == []


def test_what_was_deleted_is_cleaned_up_only_there(plants: Plants) -> None:
    plant = with_both(plants)
    other = plant.recurring(name="other")
    plant.tick(seconds=1)
    asyncio.run(plant.schedules.delete_all(plant.actor, [r.id for r in plant.all(ScheduledJob) if r.id != other.id]))
    assert plant.all(Leftover) == []
    assert plant.only(ScheduledJob).id == other.id
    plant.check_in_line()
