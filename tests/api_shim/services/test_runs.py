"""Runs that start now: recorded whole or not at all, and Prefect follows before the answer or after it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator
from typing import Any
from uuid import UUID

import pytest

from api_shim.domain.audit import EventType, scheduled_job_event
from api_shim.domain.model import Job, JobResult, ScheduledJob, Status
from api_shim.store import Duplicate, Transaction
from approval_gate.admission import Go
from approval_gate.errors import Unavailable
from tests.api_shim.plant import HOUR, INPUTS, Plant, Plants, opened_plant
from tests.factories import NOW, make_result

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
    check = plants.make().runs.check_served(queue)
    if served:
        asyncio.run(check)
        return
    with pytest.raises(Unavailable) as refused:
        asyncio.run(check)
    assert refused.value.detail == f"Unable to process request: No Prefect workers running on queue {queue}."


# Started


def test_a_run_starts_as_who_asks_with_what_is_recorded(plants: Plants) -> None:
    plant = plants.ready()
    result = start(plant)
    [run] = plant.unended()
    assert (run.id, run.name, run.parameters, run.scheduled_for) == (result.id, plant.job.name, INPUTS, NOW)
    kept = plant.only(JobResult)
    assert (kept.user_id, kept.job_id, kept.name, kept.task_name) == (
        plant.user.id, plant.job.id, plant.job.name, plant.job.class_path,
    )  # fmt: skip
    assert (kept.inputs, kept.queue, kept.date_created, kept.released) == (INPUTS, "default", NOW, True)
    assert (kept.status, kept.sensitive, kept.scheduled_job_id, kept.nominal_time) == (
        Status.PENDING, False, None, None,
    )  # fmt: skip
    assert plant.work(run) == Go()


def test_sensitive_inputs_are_recorded_and_kept_from_prefect(plants: Plants) -> None:
    plant = plants.ready(has_sensitive_variables=True)
    start(plant, SECRET)
    [run] = plant.unended()
    assert run.parameters == {}
    result = plant.only(JobResult)
    assert (result.inputs, result.sensitive) == (SECRET, True)


def test_a_job_that_prefect_does_not_know_yet_does_not_start(plants: Plants) -> None:
    plant = plants.make()
    with pytest.raises(Unavailable, match="not ready in Prefect yet"):
        start(plant)
    assert plant.all(JobResult) == []
    assert plant.engine.all_runs == {}


@pytest.fixture
def plant(store_url: str) -> Iterator[Plant]:
    """A plant on each kind of database."""
    yield from opened_plant(store_url)


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
    assert plant.all(JobResult) == []
    assert all(run.held for run in plant.unended())
    plant.settle()
    assert plant.unended() == []


def test_the_same_request_twice_is_two_runs(plants: Plants) -> None:
    plant = plants.ready()
    assert start(plant).id != start(plant).id
    assert len(plant.all(JobResult)) == len(plant.unended()) == 2


# Whole, and soon


@pytest.mark.parametrize("after", [False, True], ids=["before its effect", "after its effect"])
@pytest.mark.parametrize("call", ["has_worker", "hold", "release", "runs"])
def test_a_run_that_prefect_does_not_take_is_refused_whole_or_accepted_whole(
    plants: Plants, call: str, after: bool
) -> None:
    plant = plants.ready()
    plant.engine.fail(call, after=after)
    try:
        accepted = 1 if asyncio.run(plant.request()).job_result else 0
    except Unavailable:
        accepted = 0
    plant.settle()
    assert len(plant.all(JobResult)) == len(plant.unended()) == accepted
    plant.check_in_line()


def test_a_schedule_is_accepted_while_prefect_does_not_follow_yet(plants: Plants) -> None:
    plant = plants.ready()
    plant.engine.fail("hold")
    assert asyncio.run(plant.request(LATER)).scheduled_job is not None
    plant.settle()
    plant.check_in_line()


def test_a_prefect_that_hangs_does_not_hold_up_the_answer(plants: Plants, monkeypatch: pytest.MonkeyPatch) -> None:
    plant = plants.ready()
    monkeypatch.setattr("api_shim.services.runs.PROMPT", 0.05)
    hold, hangs = plant.engine.hold, True

    async def hanging(*args: Any) -> Any:
        if hangs:
            await asyncio.sleep(30)
        return await hold(*args)

    monkeypatch.setattr(plant.engine, "hold", hanging)
    assert asyncio.run(asyncio.wait_for(plant.request(LATER), 5)).scheduled_job is not None
    hangs = False
    plant.settle()
    plant.check_in_line()


def test_a_run_whose_release_hangs_is_answered_soon_and_starts_later(
    plants: Plants, monkeypatch: pytest.MonkeyPatch
) -> None:
    plant = plants.ready()
    monkeypatch.setattr("api_shim.services.runs.PROMPT", 0.05)
    with monkeypatch.context() as away:
        away.setattr(plant.engine, "release", lambda *_args: asyncio.sleep(30))
        result = asyncio.run(asyncio.wait_for(plant.request(), 5)).job_result
    assert result == plant.only(JobResult)
    assert [run.held for run in plant.unended()] == [True]
    plant.settle()
    assert [run.held for run in plant.unended()] == [False]


# Following


def test_prefect_follows_a_scheduled_job_before_the_answer(plants: Plants) -> None:
    plant = plants.ready()
    row = plant.one_off()
    asyncio.run(plant.runs.follow(row.id))
    assert [run.scheduled_for for run in plant.unended()] == [NOW + HOUR]
    plant.check_in_line()


def test_a_scheduled_job_that_is_gone_is_followed_by_nothing(plants: Plants) -> None:
    plant = plants.ready()
    plant.engine.calls.clear()
    asyncio.run(plant.runs.follow(UUID(int=0)))
    assert plant.engine.calls == []


def test_what_goes_wrong_while_prefect_follows_is_said_and_the_answer_stands(
    plants: Plants, caplog: pytest.LogCaptureFixture
) -> None:
    plant = plants.ready()
    row = plant.one_off()
    plant.engine.fail("hold")
    with caplog.at_level(logging.WARNING, logger="signoff"):
        asyncio.run(plant.runs.follow(row.id))
    assert [record.message for record in caplog.records] == ["Prefect will follow later."]
    assert plant.only(ScheduledJob).projected_version < row.version


def test_who_is_stopped_while_prefect_follows_is_stopped(plants: Plants) -> None:
    plant = plants.ready()

    async def stopped() -> None:
        following = asyncio.ensure_future(plant.runs.promptly(lambda: asyncio.sleep(30)))
        await asyncio.sleep(0)
        following.cancel()
        await following

    with pytest.raises(asyncio.CancelledError):
        asyncio.run(asyncio.wait_for(stopped(), 5))
