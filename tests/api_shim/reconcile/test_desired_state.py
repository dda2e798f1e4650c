"""What Prefect should look like."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest

from api_shim.domain.ports import DeploymentSpec, RunSpec, ScheduleSpec
from api_shim.domain.recurrence import CronSpec, Interval
from api_shim.reconcile.desired_state import (
    allowed_name,
    base_deployment,
    deployment_name,
    one_off_key,
    own_deployment,
    result_key,
    result_named_by,
    run_spec,
    scheduled_named_by,
)
from api_shim.reconcile.drift import describe_drift, differs
from approval_gate.lifecycle import ApprovalState
from tests.factories import NOW, make_job, make_scheduled

HOUR = timedelta(hours=1)
INPUTS = {"who": "Ada", "count": 3}


def test_a_deployment_looks_as_the_store_says() -> None:
    job = make_job(
        name="A/B & C",
        module_name="my.jobs",
        job_class_name="Greet",
        parameter_schema={"type": "object"},
        job_variables={"image": "jobs:1"},
        tags=("nightly",),
    )
    row = make_scheduled(job, None, name="50% <done>", inputs=INPUTS, queue="bulk")
    spec = own_deployment(row, job, NOW, {})
    assert (spec.flow, spec.name) == ("A-B - C", f"50- -done- ({str(row.id)[:8]})")
    assert (spec.entrypoint, spec.queue) == ("flows.prefect_flow.my-jobs-Greet", "bulk")
    assert (spec.parameters, spec.parameter_schema) == (INPUTS, {"type": "object"})
    assert spec.schedule == ScheduleSpec(slug=str(row.id), cron=CronSpec(cron="0 * * * *", timezone="UTC"), active=True)
    assert base_deployment(job, {}).schedule is None
    assert spec.job_variables == base_deployment(job, {}).job_variables == {"image": "jobs:1"}
    assert spec.tags == base_deployment(job, {}).tags == ("nightly",)


@pytest.mark.parametrize(
    ("to", "active"),
    [
        pytest.param({}, True, id="one that may fire"),
        pytest.param({"enabled": False}, False, id="a disabled one"),
        pytest.param({"approval": ApprovalState.PENDING}, False, id="one that waits for approval"),
        pytest.param({"approval": ApprovalState.APPROVED}, True, id="an approved one"),
        pytest.param({"approval": ApprovalState.DENIED}, False, id="one that was denied"),
        pytest.param({"approval": ApprovalState.EXPIRED}, False, id="one that has expired"),
        pytest.param({"approval": ApprovalState.WITHDRAWN}, False, id="one that was withdrawn"),
        pytest.param({"start_time": NOW + 3 * HOUR}, False, id="one long before its start"),
        pytest.param({"start_time": NOW + HOUR / 2}, True, id="one whose next match is its first firing"),
    ],
)
def test_a_schedule_is_active_while_it_may_fire_and_not_before_its_start(to: dict[str, Any], active: bool) -> None:
    job = make_job()
    now = NOW + timedelta(seconds=1)
    spec = own_deployment(make_scheduled(job, None, **to), job, now, {})
    assert spec.schedule is not None
    assert spec.schedule.active is active


@pytest.mark.parametrize(
    ("to", "said"),
    [
        pytest.param({}, "nightly", id="one that may fire"),
        pytest.param({"enabled": False}, "nightly\n\nIt is disabled.", id="a disabled one"),
        pytest.param(
            {"approval": ApprovalState.PENDING},
            "nightly\n\nIt waits for approval; until then its schedule is inactive here.",
            id="one that waits for approval",
        ),
        pytest.param({"approval": ApprovalState.DENIED}, "nightly\n\nIt is disabled.", id="one that was denied"),
        pytest.param(
            {"start_time": datetime(2026, 12, 1, 9, 30, tzinfo=UTC), "time_zone": "Europe/Berlin"},
            "nightly\n\nIt fires from 2026-12-01 10:30 CET on; until shortly before, its schedule is inactive here.",
            id="one long before its start",
        ),
    ],
)
def test_the_description_of_a_deployment_tells_why_its_schedule_is_inactive(to: dict[str, Any], said: str) -> None:
    job = make_job()
    row = make_scheduled(job, None, description="nightly", interval=Interval.DAILY, **to)
    assert own_deployment(row, job, NOW, {}).description == said


def test_names_are_made_unique_and_short_enough_for_prefect() -> None:
    one, other = uuid4(), uuid4()
    assert deployment_name("x" * 255, one) != deployment_name("x" * 255, other)
    assert len(deployment_name("x" * 255, one)) <= 255
    assert allowed_name("a/b%c&d>e<f ü") == "a-b-c-d-e-f ü"


@pytest.mark.parametrize(
    ("awaits", "name"),
    [
        pytest.param(False, "nightly", id="one that is to start"),
        pytest.param(True, "nightly (waiting for approval)", id="one that waits for a decision"),
    ],
)
def test_a_run_is_called_after_what_it_does_and_can_be_found_while_it_waits(awaits: bool, name: str) -> None:
    state = ApprovalState.PENDING if awaits else ApprovalState.APPROVED
    row = make_scheduled(make_job(), None, name="nightly", inputs=INPUTS, queue="bulk", approval=state)
    expected = RunSpec(
        key=one_off_key(row.id), name=name, parameters=INPUTS, queue="bulk", message="Held.", awaits=awaits
    )
    assert run_spec(row, "Held.") == expected


def test_the_run_of_a_one_off_is_found_by_its_id() -> None:
    row = make_scheduled(make_job(), None)
    assert one_off_key(row.id) == f"signoff:{row.id}"


ID = UUID("6a561bb5-d814-485a-9f31-becc67470eea")


@pytest.mark.parametrize(
    ("key", "result", "scheduled"),
    [
        pytest.param(one_off_key(ID), None, (ID, 0), id="the first run of a scheduled job"),
        pytest.param(one_off_key(ID, 3), None, (ID, 3), id="one that has taken the place of others"),
        pytest.param(result_key(ID), ID, None, id="the run of a job result"),
        pytest.param(f"signoff:{ID}/{ID}", None, None, id="a place that is no number"),
        pytest.param(f"signoff:{ID}/-1", None, None, id="a place before the first"),
        pytest.param("signoff:result:nonsense", None, None, id="no id"),
        pytest.param(str(ID), None, None, id="somebody else's key"),
        pytest.param("", None, None, id="none"),
    ],
)
def test_a_key_tells_what_a_run_was_made_for(key: str, result: UUID | None, scheduled: tuple[UUID, int] | None) -> None:
    assert (result_named_by(key), scheduled_named_by(key)) == (result, scheduled)


def test_names_alone_are_no_difference() -> None:
    spec = base_deployment(make_job(), {})
    assert not differs(replace(spec, name="x", flow="y"), spec)
    assert differs(None, spec)
    assert differs(replace(spec, entrypoint="evil.module.run"), spec)
    assert differs(replace(spec, foreign=True), spec)


SCHEDULE = ScheduleSpec(slug="it", cron=CronSpec(cron="0 * * * *", timezone="UTC"), active=True)
OFF = replace(SCHEDULE, active=False)
OTHER_TIMES = replace(SCHEDULE, cron=CronSpec(cron="* * * * *", timezone="UTC"))
SPEC = DeploymentSpec(
    flow="Job", name="it", entrypoint="flows.it", queue="default", parameters=INPUTS, schedule=SCHEDULE
)
HANDIWORK = [
    pytest.param(SPEC, SPEC, "", id="nothing"),
    pytest.param(None, SPEC, "Its deployment was deleted in Prefect.", id="the deployment is gone"),
    pytest.param(replace(SPEC, schedule=OFF), SPEC, "Its schedule was switched off in Prefect.", id="switched off"),
    pytest.param(SPEC, replace(SPEC, schedule=OFF), "Its schedule was switched on in Prefect.", id="switched on"),
    pytest.param(
        replace(SPEC, schedule=OTHER_TIMES), SPEC, "Its schedule was changed in Prefect.", id="it fires at other times"
    ),
    pytest.param(
        replace(SPEC, schedule=replace(SCHEDULE, slug="another")),
        SPEC,
        "Its schedule was changed in Prefect.",
        id="it is another schedule",
    ),
    pytest.param(
        replace(SPEC, schedule=replace(OTHER_TIMES, active=False)),
        SPEC,
        "Its schedule was switched off in Prefect.",
        id="switched off, and at other times",
    ),
    pytest.param(replace(SPEC, schedule=None), SPEC, "Its schedule was removed in Prefect.", id="the schedule is gone"),
    pytest.param(
        SPEC, replace(SPEC, schedule=None), "Its schedule was added in Prefect.", id="a Job's deployment got one"
    ),
    pytest.param(replace(SPEC, schedule=None), replace(SPEC, schedule=None), "", id="a Job's deployment without one"),
    pytest.param(
        replace(SPEC, parameters={}), SPEC, "Its parameters were changed in Prefect.", id="the parameters are gone"
    ),
    pytest.param(replace(SPEC, queue="bulk"), SPEC, "Its work queue was changed in Prefect.", id="another queue"),
    pytest.param(
        replace(SPEC, foreign=True), SPEC, "How its runs are executed was changed in Prefect.", id="what we never write"
    ),
    pytest.param(
        replace(SPEC, schedule=OFF, parameters={}, queue="bulk", foreign=True),
        SPEC,
        "Its schedule was switched off in Prefect. Its parameters were changed in Prefect. Its work queue was changed "
        "in Prefect. How its runs are executed was changed in Prefect.",
        id="everything at once",
    ),
    # What follows from the Job alone
    pytest.param(replace(SPEC, parameter_schema={"type": "object"}), SPEC, "", id="another form"),
    pytest.param(replace(SPEC, entrypoint="flows.another"), SPEC, "", id="another flow"),
    pytest.param(replace(SPEC, description="Better."), SPEC, "", id="another description"),
    pytest.param(replace(SPEC, name="renamed", flow="Renamed"), SPEC, "", id="another name"),
]


@pytest.mark.parametrize(("found", "desired", "sentence"), HANDIWORK)
def test_what_a_hand_has_changed_is_told(found: DeploymentSpec | None, desired: DeploymentSpec, sentence: str) -> None:
    assert describe_drift(found, desired) == sentence
    if sentence:
        assert differs(found, desired), "what is told is taken back"
