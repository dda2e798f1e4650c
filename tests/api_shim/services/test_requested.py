"""What stands behind a run, and which facts follow; what is answered then is tested with admission."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest

from api_shim.domain.model import Job
from api_shim.domain.ports import Run
from api_shim.services.admission import Attempt, Requested, behind, facts
from api_shim.services.stored_inputs import Reread
from api_shim.store import Store
from approval_gate.admission import Facts, RunsAs
from approval_gate.binding import NEEDS_APPROVAL
from approval_gate.lifecycle import ApprovalState
from tests.api_shim.services.test_admission import INPUTS, World, make_run, run_of
from tests.factories import NOW, make_user

HOUR = timedelta(hours=1)
CODE = "2::c0de"
CODE_CHANGED = "The Job's code changed after bob approved it."


@pytest.fixture
def world(store: Store) -> World:
    return World(store, code_digest=CODE)


@pytest.fixture
def few(sqlite_store: Store) -> World:
    """One on SQLite, where the database makes no difference."""
    return World(sqlite_store, code_digest=CODE)


def found(world: World, run: Run) -> Requested | None:
    with world.store.transaction() as tx:
        return behind(tx, run, "")


def known(world: World, run: Run, code: str = CODE) -> Facts:
    with world.store.transaction() as tx:
        attempt = Attempt(id=uuid4(), worker="host:1", code=code)
        return facts(tx, run, behind(tx, run, attempt.code), attempt, NOW)


# What stands behind it


def test_behind_a_run_that_was_requested_stands_its_result(world: World) -> None:
    result = world.requested()
    assert found(world, make_run(id=result.id)) == Requested(
        job=world.job,
        result=result,
        scheduled=None,
        due=None,
        inputs=INPUTS,
        given=Reread(INPUTS),
        sensitive=False,
        owner=world.owner,
    )


@pytest.mark.each_database
def test_behind_a_firing_stands_its_scheduled_job_with_its_time(world: World) -> None:
    row = world.recurring()
    assert found(world, run_of(row, NOW + HOUR)) == Requested(
        job=world.job,
        result=None,
        scheduled=row,
        due=NOW + HOUR,
        inputs=INPUTS,
        given=Reread(INPUTS),
        sensitive=False,
        owner=world.owner,
    )


def test_behind_a_one_off_s_run_stands_its_start_whatever_prefect_expects(world: World) -> None:
    row = world.one_off(start_time=NOW - HOUR)
    request = found(world, run_of(row, NOW + 3 * HOUR))
    assert request is not None
    assert (request.scheduled, request.due) == (row, NOW - HOUR)


def test_behind_a_run_that_makes_up_for_a_firing_stands_that_firing(world: World) -> None:
    row = world.recurring()
    result = world.requested(scheduled_job_id=row.id, nominal_time=NOW - HOUR, inputs={"count": 9})
    request = found(world, make_run(id=result.id, deployment_id=row.deployment_id, expected_start=NOW))
    assert request is not None
    assert (request.result, request.scheduled, request.due) == (result, row, NOW - HOUR)
    assert request.inputs == {"count": 9}, "what was recorded with it"


def test_behind_a_run_of_a_new_owner_stands_the_owner_and_not_who_was_recorded(world: World) -> None:
    root = make_user("root")
    world.add(root)
    row = world.recurring(owner_id=root.id)
    result = world.requested(scheduled_job_id=row.id, nominal_time=NOW)
    request = found(world, make_run(id=result.id))
    assert request is not None
    assert request.owner == root


def test_behind_an_event_s_run_stands_its_receiver_with_the_event(store: Store) -> None:
    world = World(store, is_job_hook_receiver=True)
    event = {"event": {"id": 1}}
    request = found(world, make_run(deployment_id=world.job.deployment_id, parameters=event))
    assert request == Requested(
        job=world.job,
        result=None,
        scheduled=None,
        due=None,
        inputs=event,
        given=Reread(event),
        sensitive=False,
        owner=None,
    )


NOBODY = [
    pytest.param(lambda w: make_run(), id="one that a hand made"),
    pytest.param(lambda w: make_run(deployment_id=None), id="one without a deployment"),
    pytest.param(lambda w: make_run(deployment_id=w.job.deployment_id), id="one that a hand started of a Job"),
    pytest.param(lambda w: run_of(w.recurring(), by_schedule=False), id="one that a hand started of a schedule"),
    pytest.param(lambda w: run_of(w.one_off(), id=uuid4()), id="another run than the one-off's"),
    pytest.param(lambda w: run_of(w.recurring(), deployment_id=None), id="a firing of no deployment"),
]


@pytest.mark.parametrize("make", NOBODY)
def test_behind_a_run_that_was_not_requested_stands_nothing(few: World, make: Callable[[World], Run]) -> None:
    run = make(few)
    assert found(few, run) is None
    known_of_it = known(few, run)
    assert (known_of_it.requested, known_of_it.firing, known_of_it.runs_as) == (False, None, None)
    assert (known_of_it.job_enabled, known_of_it.job_installed, known_of_it.needs_approval) == (False, False, False)


# The facts


@pytest.mark.parametrize(
    ("result", "parameters", "unchanged"),
    [
        pytest.param({}, INPUTS, True, id="what was requested"),
        pytest.param({}, {**INPUTS, "count": 3}, False, id="another value"),
        pytest.param({}, {"count": 2}, False, id="one less"),
        pytest.param({}, {**INPUTS, "more": 1}, False, id="one more"),
        pytest.param({"sensitive": True}, {}, True, id="nothing, of a sensitive run"),
        pytest.param({"sensitive": True}, INPUTS, True, id="what was requested, of a run that is sensitive since"),
        pytest.param({"inputs": None}, {}, True, id="nothing, where nothing was given"),
    ],
)
def test_whether_parameters_are_what_was_requested(
    few: World, result: dict[str, Any], parameters: dict[str, Any], unchanged: bool
) -> None:
    run = make_run(id=few.requested(**result).id, parameters=parameters)
    assert known(few, run).unchanged is unchanged


@pytest.mark.parametrize("kind", ["recurring", "one_off"])
def test_a_run_carries_the_request_if_it_is_the_one_that_stands_for_it(few: World, kind: str) -> None:
    row = getattr(few, kind)(flow_run_id=uuid4())
    firing = known(few, make_run(id=row.flow_run_id, deployment_id=row.deployment_id)).firing
    assert firing is not None
    assert firing.carries_request


def test_a_firing_does_not_carry_the_request(few: World) -> None:
    firing = known(few, run_of(few.recurring(flow_run_id=uuid4()))).firing
    assert firing is not None
    assert not firing.carries_request


@pytest.mark.parametrize(
    ("required", "approved", "code", "stale"),
    [
        pytest.param(True, True, CODE, "", id="approved, and the same code"),
        pytest.param(True, True, "2::0ther", CODE_CHANGED, id="approved, other code"),
        pytest.param(False, True, "2::0ther", CODE_CHANGED, id="approved needlessly"),
        pytest.param(False, False, "2::0ther", "", id="not approved, and other code"),
        pytest.param(True, False, CODE, NEEDS_APPROVAL, id="not approved, and needs it by now"),
    ],
)
def test_the_code_that_counts_is_the_one_of_the_process_that_asks(
    few: World, required: bool, approved: bool, code: str, stale: str
) -> None:
    row = few.recurring()
    row = few.approve(row) if approved else row
    few.change(few.job, approval_required=required)
    firing = known(few, run_of(row), code).firing
    assert firing is not None
    assert firing.stale == stale
    assert firing.approval is (ApprovalState.APPROVED if approved else ApprovalState.NOT_REQUIRED)


@pytest.mark.parametrize(
    ("required", "supports_dryrun", "inputs", "needs"),
    [
        pytest.param(False, False, INPUTS, False, id="a Job that needs none"),
        pytest.param(True, True, INPUTS, True, id="one that does"),
        pytest.param(True, False, {"dryrun": True}, True, id="one that has no dry run"),
        pytest.param(True, True, {"dryrun": True}, False, id="a dry run"),
    ],
)
def test_whether_a_run_needs_approval(
    few: World, required: bool, supports_dryrun: bool, inputs: dict[str, Any], needs: bool
) -> None:
    few.change(few.job, approval_required=required, supports_dryrun=supports_dryrun)
    assert known(few, make_run(id=few.requested(inputs=inputs).id, parameters=inputs)).needs_approval is needs


@pytest.mark.parametrize(
    ("bend", "expected"),
    [
        pytest.param(lambda w: None, RunsAs(exists=True, active=True, may_run=True), id="one who may"),
        pytest.param(
            lambda w: w.change(w.owner, is_active=False),
            RunsAs(exists=True, active=False, may_run=True),
            id="one who was deactivated",
        ),
        pytest.param(
            lambda w: w.change(w.permission, enabled=False),
            RunsAs(exists=True, active=True, may_run=False),
            id="one who may no longer",
        ),
        pytest.param(
            lambda w: w.remove(w.owner), RunsAs(exists=False, active=False, may_run=False), id="one who was removed"
        ),
    ],
)
def test_who_it_runs_as(few: World, bend: Callable[[World], object], expected: RunsAs) -> None:
    row = few.recurring()
    bend(few)
    assert known(few, run_of(row)).runs_as == expected


def test_what_is_read_of_the_job_is_as_it_is_now(few: World) -> None:
    row = few.recurring()
    few.change(few.job, enabled=False, installed=False)
    known_of_it = known(few, run_of(row))
    assert (known_of_it.job_enabled, known_of_it.job_installed) == (False, False)
    request = found(few, run_of(row))
    assert request is not None
    assert isinstance(request.job, Job)
    assert not request.job.enabled


@pytest.mark.parametrize(
    ("ahead", "one_off", "unchanged"),
    [
        pytest.param(timedelta(0), False, True, id="at the moment of the last change"),
        pytest.param(timedelta(seconds=29), False, True, id="so soon after it that a worker may have had it before"),
        pytest.param(timedelta(seconds=30), False, False, id="later than that"),
        pytest.param(HOUR, False, False, id="much later"),
        pytest.param(timedelta(0), True, False, id="a one-off, whose run is replaced"),
    ],
)
def test_other_parameters_are_those_of_before_a_change_only_where_a_worker_may_have_had_them(
    few: World, ahead: timedelta, one_off: bool, unchanged: bool
) -> None:
    make = few.one_off if one_off else few.recurring
    row = make(created=NOW - HOUR, due_from=NOW, start_time=NOW + ahead)
    run = run_of(row, NOW + ahead, parameters={"count": 99})
    assert known(few, run).unchanged is unchanged
    fresh = make(created=NOW, due_from=NOW, start_time=NOW + ahead)
    assert known(few, run_of(fresh, NOW + ahead, parameters={"count": 99})).unchanged is False, "never changed"
    result = few.requested(scheduled_job_id=row.id, nominal_time=NOW + ahead)
    assert known(few, replace(run, id=result.id)).unchanged is False, "what is recorded has its own"
