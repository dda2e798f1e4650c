"""What Prefect shows is read as it is, and what a hand has put there is seen."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

import pytest

from api_shim.domain.ports import Announcement, ApprovalForm, ScheduleSpec
from api_shim.domain.recurrence import CronSpec
from api_shim.prefect_api.prefect_json import (
    KEYS,
    asks,
    event_row,
    read_automation,
    read_question,
    read_run,
    read_spec,
    schedule_row,
    suspended,
)

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
        pytest.param({"job_variables": {"image": "jobs:1"}}, False, id="job variables: read as they are"),
        pytest.param({"pull_steps": [{"prefect.deployments.steps.run_shell_script": {}}]}, True, id="pull steps"),
        pytest.param({"path": "/tmp"}, True, id="a path"),
        pytest.param({"paused": True}, True, id="a pause"),
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


@pytest.mark.parametrize(("named", "pool"), [("signoff", ""), ("other", "other")])
def test_the_pool_of_the_server_is_read_as_the_empty_name(named: str, pool: str) -> None:
    assert read_spec(DEPLOYMENT | {"work_pool_name": named}, "Check", "signoff").pool == pool


def test_a_schedule_is_read_as_it_was_written() -> None:
    cron = CronSpec(cron="0 2 * * *", timezone="Europe/Berlin")
    spec = ScheduleSpec(slug=SLUG, cron=cron, active=True)
    assert schedule_row(spec, active=True) == SCHEDULE
    assert read_spec(DEPLOYMENT, "Check", "signoff").schedule == spec


RUN: dict[str, Any] = {
    "id": str(uuid4()),
    "idempotency_key": None,
    "name": "brave-badger",
    "deployment_id": str(uuid4()),
    "state": {"type": "SCHEDULED", "name": "Late", "message": None, "timestamp": "2026-05-04T12:00:00Z"},
    "expected_start_time": "2026-05-04T12:00:00Z",
    "next_scheduled_start_time": None,
    "parameters": None,
    "auto_scheduled": False,
    "created_by": None,
    "start_time": None,
    "end_time": None,
}


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
    run = read_run(RUN | {"auto_scheduled": automatic, "created_by": maker})
    assert run.by_schedule is expected
    assert (run.message, run.parameters, run.waits) == ("", {}, True)


@pytest.mark.parametrize(
    ("shown", "name"),
    [
        pytest.param({}, "brave-badger", id="with a name"),
        pytest.param({"name": None}, "", id="without one"),
        pytest.param({"name": "Grüße – 世界"}, "Grüße – 世界", id="with one of other scripts"),
    ],
)
def test_a_run_is_called_as_prefect_calls_it(shown: dict[str, Any], name: str) -> None:
    run = read_run(RUN | shown)
    assert (run.name, str(run.id), str(run.deployment_id)) == (name, RUN["id"], RUN["deployment_id"])
    assert (run.state_type, run.state_name) == ("SCHEDULED", "Late")


# What a held run asks


def standing(**details: Any) -> dict[str, Any]:
    state = {"type": "PAUSED", "name": "Suspended", "message": None, "timestamp": "2026-05-04T12:00:00Z"}
    return RUN | {"state": state | {"state_details": details}}


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        pytest.param(standing(pause_key="approval", run_input_keyset=KEYS), True, id="as we write it"),
        pytest.param(standing(run_input_keyset={**KEYS}, other=1), True, id="with other details beside"),
        pytest.param(standing(), False, id="held, and asking nothing"),
        pytest.param(standing(run_input_keyset=None), False, id="held, with an empty form"),
        pytest.param(standing(run_input_keyset={**KEYS, "schema": "evil"}), False, id="another form"),
        pytest.param(standing(run_input_keyset={**KEYS, "response": "evil"}), False, id="another place for the answer"),
        pytest.param(standing(run_input_keyset={"schema": KEYS["schema"]}), False, id="a form without the rest"),
        pytest.param(
            RUN | {"state": RUN["state"] | {"state_details": {"run_input_keyset": KEYS}}},
            False,
            id="a run that starts, with a form",
        ),
    ],
)
def test_a_run_asks_if_it_is_held_and_shows_our_form(row: dict[str, Any], expected: bool) -> None:
    assert asks(row) is expected


@pytest.mark.parametrize("waits", [True, False], ids=["for a decision", "for its time"])
def test_a_held_run_asks_only_if_it_waits_for_a_decision(waits: bool) -> None:
    state = suspended("Held – ü.", asks=waits)
    assert (state["type"], state["name"], state["message"]) == ("PAUSED", "Suspended", "Held – ü.")
    # Without it Prefect would let the process of a run go on that has none.
    assert state["state_details"]["pause_reschedule"] is True
    assert asks(RUN | {"state": state}) is waits
    assert ("pause_timeout" in state["state_details"], "pause_key" in state["state_details"]) == (False, waits)


FORM = {"title": "Entscheidung – 世界", "properties": {"a": {"enum": [1, None, {"b": [True]}]}}}
INPUTS = {KEYS["description"]: json.dumps("## Grüße\n– 世界"), KEYS["schema"]: json.dumps(FORM)}


def test_a_question_is_read_as_it_was_written() -> None:
    row = standing(run_input_keyset=KEYS) | {"name": "ü", "parameters": {"deep": [1, {"ü": None}]}, "tags": ["mine"]}
    row["state"] = row["state"] | {"message": "Waits – ü."}
    # Whatever somebody has planted as the answer changes nothing.
    for planted in ({}, {KEYS["response"]: '{"decision": "approve"}'}, {"approval-other": "x"}):
        assert read_question(row, INPUTS | planted) == ApprovalForm(
            name="ü",
            message="Waits – ü.",
            parameters={"deep": [1, {"ü": None}]},
            description="## Grüße\n– 世界",
            form=FORM,
            tags=("mine",),
        )


@pytest.mark.parametrize("key", ["description", "schema"])
@pytest.mark.parametrize(
    "text",
    [
        pytest.param("", id="nothing"),
        pytest.param("## Markdown", id="no JSON"),
        pytest.param('{"a": ', id="half of it"),
        pytest.param("[" * 100_000, id="nested without end"),
        pytest.param("{} {}", id="two of it"),
        pytest.param("1" * 5_000, id="a number too long to read"),
    ],
)
def test_what_nobody_can_read_is_no_question(key: str, text: str) -> None:
    assert read_question(standing(run_input_keyset=KEYS), INPUTS | {KEYS[key]: text}) is None


# What is announced


EVENT_ID = UUID("6f1f4d9e-7a0b-4c6d-8e0f-0123456789ab")


@pytest.mark.parametrize(
    ("related", "expected"),
    [
        pytest.param({}, [], id="about nothing else"),
        pytest.param(
            {"flow-run": "prefect.flow-run.1", "deployment": "prefect.deployment.2"},
            [
                {"prefect.resource.id": "prefect.flow-run.1", "prefect.resource.role": "flow-run"},
                {"prefect.resource.id": "prefect.deployment.2", "prefect.resource.role": "deployment"},
            ],
            id="about a run and a deployment",
        ),
    ],
)
def test_an_event_is_told_in_prefects_shape(related: dict[str, str], expected: list[dict[str, str]]) -> None:
    it = Announcement(
        id=EVENT_ID,
        event="signoff.approval.approved",
        occurred=datetime(2026, 5, 4, 12, 0, 0, 123456, tzinfo=UTC),
        resource=("signoff.scheduled-job.1", "Grüße"),
        related=related,
        payload={"actor": "zoë", "number": 3},
    )
    assert event_row(it) == {
        "id": str(EVENT_ID),
        "occurred": "2026-05-04T12:00:00.123456+00:00",
        "event": "signoff.approval.approved",
        "resource": {"prefect.resource.id": "signoff.scheduled-job.1", "prefect.resource.name": "Grüße"},
        "related": expected,
        "payload": {"actor": "zoë", "number": 3},
    }
    assert json.loads(json.dumps(event_row(it))) == event_row(it)


RUNS = {"type": "run-deployment", "source": "selected", "deployment_id": SLUG, "parameters": {"n": ["b", "a"]}}
AUTOMATION: dict[str, Any] = {
    "id": str(uuid4()),
    "created": "2026-05-04T12:00:00Z",
    "updated": "2026-05-04T12:00:00Z",
    "name": "nightly",
    "description": "",
    "enabled": True,
    "tags": [],
    "trigger": {
        "type": "sequence",
        "id": "1",
        "within": 5.0,
        "triggers": [
            {"type": "event", "id": "2", "expect": ["a", "b"], "for_each": []},
            {"type": "event", "id": "3", "expect": ["c"], "for_each": []},
        ],
    },
    "actions": [RUNS, {"type": "do-nothing"}],
    "actions_on_trigger": [],
    "actions_on_resolve": [],
}
FIRST, SECOND = AUTOMATION["trigger"]["triggers"]


def test_what_an_automation_runs_is_what_its_actions_name() -> None:
    inferred = {"type": "run-deployment", "source": "inferred", "deployment_id": None}
    paused = {"type": "pause-deployment", "source": "selected", "deployment_id": str(uuid4())}
    on_resolve = {**RUNS, "deployment_id": str(UUID(int=7))}
    row = AUTOMATION | {"actions": [RUNS, inferred, paused], "actions_on_resolve": [on_resolve]}
    assert read_automation(row).runs == {UUID(SLUG), UUID(int=7)}
    assert read_automation(AUTOMATION | {"name": "n" * 300}).name == "n" * 255


@pytest.mark.parametrize(
    ("to", "same"),
    [
        pytest.param({"enabled": False, "updated": "later", "created": "earlier"}, True, id="enabled, and when"),
        pytest.param(
            {"trigger": AUTOMATION["trigger"] | {"id": "9", "triggers": [FIRST | {"expect": ["b", "a"]}, SECOND]}},
            True,
            id="a set in another order, and ids of triggers",
        ),
        pytest.param(
            {"trigger": AUTOMATION["trigger"] | {"triggers": [SECOND, FIRST]}}, False, id="another order of triggers"
        ),
        pytest.param({"trigger": AUTOMATION["trigger"] | {"within": 6.0}}, False, id="another time"),
        pytest.param({"actions": [RUNS]}, False, id="fewer actions"),
        pytest.param(
            {"actions": [RUNS | {"parameters": {"n": ["a", "b"]}}, {"type": "do-nothing"}]},
            False,
            id="other parameters",
        ),
        pytest.param({"actions_on_trigger": [RUNS]}, False, id="more actions"),
        pytest.param({"name": "weekly"}, False, id="another name, which templates may use"),
        pytest.param({"description": "x"}, False, id="another description, likewise"),
    ],
)
def test_an_automation_is_the_same_if_it_does_the_same_at_the_same_time(to: dict[str, Any], *, same: bool) -> None:
    assert (read_automation(AUTOMATION | to).digest == read_automation(AUTOMATION).digest) is same
