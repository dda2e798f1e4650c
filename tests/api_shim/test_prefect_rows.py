"""What Prefect shows is read as it is, and what a hand has put there is seen."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import pytest

from api_shim.ports import ScheduleSpec
from api_shim.prefect_rows import read_run, read_spec, schedule_row
from api_shim.recurrence import CronSpec

SLUG = str(uuid4())
SCHEDULE = {
    "slug": SLUG,
    "active": True,
    "schedule": {"cron": "0 2 * * *", "timezone": "Europe/Berlin", "day_or": False},
    "parameters": {},
}
DEPLOYMENT: dict[str, Any] = {
    "name": "nightly",
    "entrypoint": "flows.prefect_flow.jobs-Check",
    "work_queue_name": "default",
    "work_pool_name": "signoff",
    "description": None,
    "parameters": {"file": "app.db"},
    "parameter_openapi_schema": {"type": "object"},
    "schedules": [SCHEDULE],
    "job_variables": {},
    "pull_steps": [],
    "path": None,
    "paused": False,
    "global_concurrency_limit": None,
    "enforce_parameter_schema": False,
    "tags": ["signoff"],
}


@pytest.mark.parametrize(
    ("hand", "foreign"),
    [
        pytest.param({}, False, id="nothing: ours"),
        pytest.param({"job_variables": {"command": "evil"}}, True, id="job variables"),
        pytest.param({"pull_steps": [{"prefect.deployments.steps.run_shell_script": {}}]}, True, id="pull steps"),
        pytest.param({"path": "/tmp"}, True, id="a path"),
        pytest.param({"paused": True}, True, id="a pause"),
        pytest.param({"work_pool_name": "other"}, True, id="another pool"),
        pytest.param({"work_pool_name": None}, True, id="no pool"),
        pytest.param({"global_concurrency_limit": {"limit": 1}}, True, id="a limit"),
        pytest.param({"enforce_parameter_schema": True}, True, id="enforcement of the schema"),
        pytest.param({"tags": ["mine"]}, True, id="our tag removed"),
        pytest.param({"tags": ["signoff", "mine"]}, False, id="another tag beside ours"),
        pytest.param({"schedules": [SCHEDULE, SCHEDULE]}, True, id="a second schedule"),
        pytest.param({"schedules": [SCHEDULE | {"parameters": {"x": 1}}]}, True, id="parameters of a schedule"),
    ],
)
def test_what_a_hand_put_on_a_deployment_makes_it_foreign(hand: dict[str, Any], foreign: bool) -> None:
    assert read_spec(DEPLOYMENT | hand, "Check", "signoff").foreign is foreign


def test_a_schedule_is_read_as_it_was_written() -> None:
    cron = CronSpec(cron="0 2 * * *", timezone="Europe/Berlin")
    spec = ScheduleSpec(slug=SLUG, cron=cron, active=True)
    assert schedule_row(spec, active=True) == SCHEDULE
    assert read_spec(DEPLOYMENT, "Check", "signoff").schedule == spec


@pytest.mark.parametrize(
    ("maker", "automatic", "expected"),
    [
        pytest.param({"type": "SCHEDULE"}, True, True, id="the scheduler's"),
        pytest.param(None, False, False, id="a hand's"),
        pytest.param({"type": "AUTOMATION"}, True, False, id="an automation's that says it is automatic"),
        pytest.param({"type": "SCHEDULE"}, False, False, id="one that only says who made it"),
    ],
)
def test_a_run_is_a_firing_only_if_the_scheduler_made_it(maker: Any, automatic: bool, expected: bool) -> None:
    row = {
        "id": str(uuid4()),
        "deployment_id": str(uuid4()),
        "state": {"type": "SCHEDULED", "name": "Late", "message": None, "timestamp": "2026-05-04T12:00:00Z"},
        "expected_start_time": "2026-05-04T12:00:00Z",
        "next_scheduled_start_time": None,
        "parameters": None,
        "auto_scheduled": automatic,
        "created_by": maker,
        "start_time": None,
        "end_time": None,
    }
    run = read_run(row)
    assert run.by_schedule is expected
    assert (run.message, run.parameters, run.waits) == ("", {}, True)
