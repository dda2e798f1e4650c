"""What its own code has paused or suspended goes on, once, when somebody who may run its Job says so."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from api_shim.domain.audit import AuditEvent, EventType
from api_shim.domain.model import JobResult, Status
from api_shim.domain.ports import Run
from api_shim.services.results import Results
from api_shim.services.suspensions import NOT_FILLED_IN, NOT_SUSPENDED, Suspensions
from approval_gate.admission import ALREADY_RUN, Go, Refuse
from approval_gate.errors import Conflict, Forbidden, Invalid, NotFound, Unavailable
from approval_gate.model import Action, ObjectType
from approval_gate.policy import MAY_NOT_RUN
from tests.api_shim.plant import Plant, Plants
from tests.api_shim.services.test_approvals import may, person

NO_PERMISSION = "You do not have permission to perform this action."
OTHERS = (may(ObjectType.JOB, Action.RUN), may(ObjectType.JOB_RESULT, Action.VIEW, limit={"name": "another"}))


def of(plant: Plant) -> Suspensions:
    made: Suspensions = plant.prompt(Suspensions(plant.store, plant.engine, lambda: plant.now))
    return made


def begun(plant: Plant) -> Run:
    """Let a run begin, and return it."""
    asyncio.run(plant.request())
    [run] = plant.unended()
    plant.let_go(run)
    return run


def suspended(plant: Plant, *, without_process: bool = True) -> Run:
    """Let a run begin, which then has itself suspended, or pauses."""
    run = begun(plant)
    asyncio.run(of(plant).note(run.id))
    held = plant.engine.set_state(run.id, "PAUSED", "Suspended" if without_process else "Paused")
    plant.engine.all_runs[run.id] = held = replace(held, without_process=without_process)
    return held


def resume(plant: Plant, answer: object = None, who: Any = None) -> JobResult:
    return asyncio.run(of(plant).resume(who or plant.actor, plant.only(JobResult).id, answer))


def test_a_run_that_is_suspended_goes_on_once_as_the_same_execution(plants: Plants) -> None:
    plant = plants.ready()
    run = suspended(plant)
    before = plant.only(JobResult)
    resume(plant, {"number": 7})
    assert plant.engine.answers == {run.id: {"number": 7}}
    resumed = plant.engine.all_runs[run.id]
    assert resumed.state_name == "Resuming"
    assert plant.work(resumed) == Go()
    [result] = plant.all(JobResult)
    assert (result.id, result.status, result.date_started) == (before.id, Status.SUCCESS, before.date_started)
    assert plant.work(resumed) == Refuse(ALREADY_RUN)
    event = next(event for event in plant.all(AuditEvent) if event.act is EventType.RESULT_RESUMED)
    assert (event.actor, event.flow_run_id) == ("alice", run.id)


def test_a_run_that_pauses_goes_on_in_its_process(plants: Plants) -> None:
    plant = plants.ready()
    run = suspended(plant, without_process=False)
    attempt = plant.only(JobResult).attempt
    resume(plant)
    assert plant.engine.all_runs[run.id].state_type == "RUNNING"
    result = plant.only(JobResult)
    assert (result.attempt, result.suspended) == (attempt, False)


def test_nobody_else_goes_on(plants: Plants) -> None:
    plant = plants.ready()
    run = suspended(plant)
    # Somebody has Prefect start it again, past us.
    assert plant.work(plant.engine.set_state(run.id, "SCHEDULED", "Resuming")) == Refuse(ALREADY_RUN)


def test_a_run_that_prefect_does_not_suspend_is_not_suspended(plants: Plants) -> None:
    plant = plants.ready()
    run = begun(plant)
    asyncio.run(of(plant).note(run.id))
    asyncio.run(of(plant).forget(run.id))
    assert not plant.only(JobResult).suspended


@pytest.mark.parametrize("state", ["RUNNING", "PAUSED"])
def test_what_its_own_code_has_not_suspended_is_not_resumed(plants: Plants, state: str) -> None:
    plant = plants.ready()
    run = begun(plant)
    plant.engine.set_state(run.id, state, "Suspended")
    with pytest.raises(Conflict, match=NOT_SUSPENDED):
        resume(plant)
    assert asyncio.run(of(plant).resume_run(plant.actor, run.id, None)) is False


def test_what_has_not_been_let_go_is_not_suspended_by_its_code(plants: Plants) -> None:
    plant = plants.ready()
    asyncio.run(plant.request())
    [run] = plant.unended()
    asyncio.run(of(plant).note(run.id))
    assert not plant.only(JobResult).suspended


@pytest.mark.parametrize(
    ("permissions", "error", "says"),
    [
        pytest.param((), Forbidden, NO_PERMISSION, id="who may do nothing"),
        pytest.param((may(ObjectType.JOB_RESULT, Action.VIEW),), Forbidden, MAY_NOT_RUN, id="who may only view it"),
        pytest.param((may(ObjectType.JOB, Action.RUN),), Forbidden, NO_PERMISSION, id="who may view no results"),
        pytest.param(OTHERS, NotFound, "No JobResult", id="who may view others"),
    ],
)
def test_who_may_not_run_its_job_does_not_resume_it(
    plants: Plants, permissions: tuple[Any, ...], error: type[Exception], says: str
) -> None:
    plant = plants.ready()
    run = suspended(plant)
    with pytest.raises(error, match=says):
        resume(plant, who=person(plant, "carol", *permissions))
    assert plant.engine.all_runs[run.id].held
    assert plant.only(JobResult).attempt is not None


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param({"__prefect_kind": "jinja", "template": "{{ x }}"}, id="a template"),
        pytest.param({"a": [{"__prefect_kind": "workspace_variable", "variable_name": "x"}]}, id="a variable, within"),
    ],
)
def test_nothing_is_filled_in_by_prefect(plants: Plants, answer: object) -> None:
    plant = plants.ready()
    suspended(plant)
    with pytest.raises(Invalid) as caught:
        resume(plant, answer)
    assert caught.value.detail == {"run_input": [NOT_FILLED_IN]}
    assert plant.engine.answers == {}
    resume(plant, {"a": {"__prefect_kind": "json", "value": "1"}})


@pytest.mark.parametrize("answer", ["yes", [7], 7])
def test_what_is_no_object_is_refused(plants: Plants, answer: object) -> None:
    plant = plants.ready()
    suspended(plant)
    with pytest.raises(Invalid) as caught:
        resume(plant, answer)
    assert caught.value.detail == {"run_input": ["Expected an object."]}
    assert plant.engine.answers == {}


def test_it_is_resumed_again_while_prefect_has_not_followed(plants: Plants) -> None:
    plant = plants.ready()
    run = suspended(plant)
    plant.engine.fail("resume")
    with pytest.raises(Unavailable):
        resume(plant)
    plant.tick(4, minutes=20)
    assert plant.engine.all_runs[run.id].held
    resume(plant)
    assert plant.work(plant.engine.all_runs[run.id]) == Go()


def test_what_prefect_refuses_is_told_and_leaves_the_run_as_it_was(
    plants: Plants, monkeypatch: pytest.MonkeyPatch
) -> None:
    plant = plants.ready()
    suspended(plant)
    before = plant.only(JobResult)

    async def refuse(_run: Any, _answer: Any) -> str:
        return "Reason: 'number' is a required property"

    monkeypatch.setattr(plant.engine, "resume", refuse)
    with pytest.raises(Invalid) as caught:
        resume(plant, {})
    assert caught.value.detail == {"run_input": ["Reason: 'number' is a required property"]}
    assert plant.only(JobResult) == before


def test_what_was_resumed_and_lost_before_it_went_on_starts_again(plants: Plants) -> None:
    plant = plants.ready()
    run = suspended(plant)
    resume(plant)
    plant.engine.set_state(run.id, "CRASHED", "Crashed", "The process died.")
    plant.tick(4, seconds=31)
    plant.work_off()
    assert plant.only(JobResult).status is Status.SUCCESS


def test_a_suspended_run_is_cancelled(plants: Plants) -> None:
    plant = plants.ready()
    run = suspended(plant)
    results = plant.prompt(
        Results(store=plant.store, schedules=plant.schedules, wake=plant.queue.wake, clock=lambda: plant.now)
    )
    asyncio.run(results.cancel(plant.actor, plant.only(JobResult).id))
    plant.tick(4, seconds=31)
    assert plant.only(JobResult).status is Status.REVOKED
    assert plant.engine.all_runs[run.id].final
    with pytest.raises(Conflict, match=NOT_SUSPENDED):
        resume(plant)
