"""Runs that start now: recorded whole or not at all, and answered before Prefect follows."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any
from uuid import UUID, uuid4

import pytest

from api_shim.domain.audit import EventType, scheduled_job_event
from api_shim.domain.model import Job, JobResult, ScheduledJob, Status
from api_shim.store import Duplicate, Transaction
from approval_gate.admission import NOT_REQUESTED, Go, Refuse
from approval_gate.errors import Unavailable
from tests.api_shim.plant import HOUR, INPUTS, Plant, Plants
from tests.factories import NOW, make_result
from tests.live import PATIENCE

LATER = {"interval": "future", "name": "once", "start_time": (NOW + HOUR).isoformat()}
SECRET = {"password": "hunter2"}


def start(plant: Plant, inputs: dict[str, Any] = INPUTS, **how: Any) -> JobResult:
    # As the store has the Job: with its deployment, once there is one.
    return asyncio.run(plant.runs.start(plant.actor, plant.only(Job), inputs, "default", NOW, **how))


# Served


@pytest.mark.parametrize(
    ("queue", "served"),
    [
        pytest.param("default", True, id="a queue that a worker serves"),
        pytest.param("bulk", False, id="a queue that nobody serves"),
        pytest.param("Default", False, id="the name in another case"),
    ],
)
def test_a_queue_must_be_served(plants: Plants, queue: str, served: bool) -> None:
    plant = plants.make()
    # Not known yet, which is no reason to refuse.
    plant.runs.check_served(queue)
    asyncio.run(plant.served.look())
    if served:
        plant.runs.check_served(queue)
        return
    with pytest.raises(Unavailable) as refused:
        plant.runs.check_served(queue)
    assert refused.value.detail == f"Unable to process request: No Prefect workers running on queue {queue}."


# Started


def test_a_run_starts_as_who_asks_with_what_is_recorded(plants: Plants) -> None:
    plant = plants.ready()
    result = start(plant)
    [run], kept = plant.unended(), plant.only(JobResult)
    assert (kept.id, kept.released, plant.engine.calls.count("create_run")) == (result.id, True, 1)
    assert (run.id, run.name, run.parameters, run.scheduled_for) == (kept.flow_run_id, plant.job.name, INPUTS, NOW)
    assert (kept.user_id, kept.job_id, kept.name, kept.task_name) == (
        plant.user.id, plant.job.id, plant.job.name, plant.job.class_path,
    )  # fmt: skip
    assert (kept.inputs, kept.queue, kept.date_created, kept.released) == (INPUTS, "default", NOW, True)
    assert (kept.status, kept.sensitive, kept.scheduled_job_id, kept.nominal_time) == (
        Status.PENDING, False, None, None,
    )  # fmt: skip
    assert plant.work(run) == Go()


@pytest.mark.parametrize(
    ("supports_dryrun", "inputs", "marked"),
    [
        pytest.param(True, {"dryrun": True}, True, id="a dry run"),
        pytest.param(True, {"dryrun": False}, False, id="a run for good"),
        pytest.param(False, {"dryrun": True}, False, id="of a Job that has no dry runs"),
    ],
)
def test_a_dry_run_is_marked_as_soon_as_it_is_requested(
    plants: Plants, supports_dryrun: bool, inputs: dict[str, Any], marked: bool
) -> None:
    plant = plants.ready(supports_dryrun=supports_dryrun)
    result = start(plant, inputs)
    assert (result.status, result.dry_run, plant.only(JobResult).dry_run) == (Status.PENDING, marked, marked)


def test_what_was_checked_before_its_job_was_marked_is_recorded_as_sensitive(plants: Plants) -> None:
    plant = plants.ready()
    before = plant.only(Job)
    plant.change(before, has_sensitive_variables=True)
    result = asyncio.run(plant.runs.start(plant.actor, before, SECRET, "default", NOW))
    assert (result.sensitive, plant.only(JobResult).sensitive) == (True, True)
    assert [run.parameters for run in plant.unended()] == [{}]


def test_sensitive_inputs_are_recorded_and_kept_from_prefect(plants: Plants) -> None:
    plant = plants.ready(has_sensitive_variables=True)
    start(plant, SECRET)
    [run] = plant.unended()
    assert run.parameters == {}
    result = plant.only(JobResult)
    assert (result.inputs, result.sensitive) == (SECRET, True)


def test_a_job_that_prefect_does_not_know_yet_starts_when_it_does(plants: Plants) -> None:
    plant = plants.make()
    plant.engine.fail("create_deployment")
    result = start(plant)
    assert (plant.only(JobResult), plant.engine.all_runs) == (result, {})
    plant.settle()
    assert [run.id for run in plant.unended()] == [plant.only(JobResult).flow_run_id]


@pytest.fixture
def plant(plants: Plants) -> Plant:
    return plants.ready()


def test_what_else_is_written_is_written_with_the_result(plant: Plant) -> None:
    row = plant.one_off()

    def also(tx: Transaction, result: JobResult) -> None:
        tx.record(scheduled_job_event(row, EventType.DRY_RUN, NOW, plant.actor, run=str(result.id)))

    result = start(plant, also=also)
    with plant.store.transaction(write=False) as tx:
        [event] = tx.events(0, 10)
    assert (event.act, event.data) == (EventType.DRY_RUN, {"run": str(result.id)})
    assert plant.only(JobResult).id == result.id


def test_what_cannot_be_written_with_the_result_leaves_nothing_that_runs(plant: Plant) -> None:
    def also(tx: Transaction, result: JobResult) -> None:
        tx.add(make_result(plant.job, plant.user, id=result.id))

    with pytest.raises(Duplicate):
        start(plant, also=also)
    plant.settle()
    assert plant.all(JobResult) == []
    assert plant.unended() == []


def test_the_same_request_twice_is_two_runs(plants: Plants) -> None:
    plant = plants.ready()
    assert start(plant).id != start(plant).id
    assert len(plant.all(JobResult)) == len(plant.unended()) == 2


# Whole, at the speed of a commit


@pytest.mark.parametrize("after", [False, True], ids=["before its effect", "after its effect"])
@pytest.mark.parametrize("call", ["create_run", "create_deployment"])
@pytest.mark.parametrize("schedule", [None, LATER], ids=["now", "later"])
def test_what_is_accepted_while_prefect_fails_is_one_run_when_it_is_back(
    plants: Plants, call: str, after: bool, schedule: Any
) -> None:
    plant = plants.make()
    plant.engine.fail(call, after=after, times=3)
    accepted = asyncio.run(plant.request(schedule))
    assert (accepted.job_result is None) is (schedule is not None)
    plant.settle()
    plant.check_in_line()
    assert len(plant.unended()) == 1


@pytest.mark.parametrize("schedule", [None, LATER], ids=["now", "later"])
def test_a_prefect_that_hangs_does_not_hold_up_the_answer(
    plants: Plants, monkeypatch: pytest.MonkeyPatch, schedule: Any
) -> None:
    plant = plants.ready()

    async def asked() -> None:
        queue = asyncio.create_task(plant.queue.run())
        with monkeypatch.context() as away:
            away.setattr(plant.engine, "create_run", lambda *_args: asyncio.sleep(30))
            away.setattr(plant.queue, "drain", lambda: asyncio.sleep(0.05))
            await asyncio.wait_for(plant.request(schedule), PATIENCE)
        queue.cancel()
        await asyncio.gather(queue, return_exceptions=True)

    asyncio.run(asked())
    assert plant.unended() == []
    plant.settle()
    plant.check_in_line()
    assert len(plant.unended()) == 1


# Before it is recorded


@pytest.mark.parametrize("schedule", [None, {**LATER, "start_time": NOW.isoformat()}], ids=["now", "as a one-off"])
def test_a_worker_that_is_quicker_than_the_record_is_let_go_once(plants: Plants, schedule: Any) -> None:
    plant = plants.ready()
    plant.engine.fail("create_run", after=True)
    asyncio.run(plant.request(schedule))
    [run] = plant.unended()
    assert [row.flow_run_id for row in (*plant.all(JobResult), *plant.all(ScheduledJob))] == [None]
    assert plant.work(run) == Go()
    assert plant.work(run) != Go()
    plant.settle()
    plant.work_off()
    assert (plant.only(JobResult).flow_run_id, plant.only(JobResult).status) == (run.id, Status.SUCCESS)
    assert len(plant.engine.all_runs) == 1


@pytest.mark.parametrize(
    "to",
    [
        pytest.param({"deployment_id": UUID(int=7)}, id="on another deployment"),
        pytest.param({"deployment_id": None}, id="on none"),
        pytest.param({"key": "signoff:result:00000000-0000-0000-0000-000000000007"}, id="under another key"),
        pytest.param({"key": ""}, id="under none"),
    ],
)
@pytest.mark.parametrize("schedule", [None, {**LATER, "start_time": NOW.isoformat()}], ids=["now", "as a one-off"])
def test_a_run_that_was_made_elsewhere_is_not_taken_for_one_that_is_not_recorded(
    plants: Plants, schedule: Any, to: dict[str, Any]
) -> None:
    plant = plants.ready()
    plant.engine.fail("create_run", after=True)
    asyncio.run(plant.request(schedule))
    [run] = plant.unended()
    plant.engine.all_runs[run.id] = replace(run, **to)
    assert plant.work(plant.engine.all_runs[run.id]) == Refuse(NOT_REQUESTED)


def test_another_run_under_the_key_of_one_that_is_recorded_does_not_execute(plants: Plants) -> None:
    plant = plants.ready()
    start(plant)
    [run] = plant.unended()
    other = uuid4()
    plant.engine.all_runs[other] = replace(run, id=other)
    assert plant.work(plant.engine.all_runs[other]) == Refuse(NOT_REQUESTED)
    assert plant.work(run) == Go()
