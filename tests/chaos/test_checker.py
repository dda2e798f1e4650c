"""The checker finds violations: each rule is told of facts that violate it, and of the same without the fault."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from tests.chaos.checker import violations
from tests.chaos.facts import Facts
from tests.chaos.load import Asked

START = datetime(2026, 1, 1, 12, tzinfo=UTC)
KEY = Ed25519PrivateKey.from_private_bytes(b"k" * 32)

Shape = dict[str, Any]
Change = Callable[[Facts], Facts]


def at(seconds: float) -> str:
    return (START + timedelta(seconds=seconds)).isoformat()


def chained(*events: Shape) -> list[Shape]:
    """Return the lines of an export."""
    lines: list[Shape] = []
    last = "0" * 64
    for number, event in enumerate(events, 1):
        line = {"actor": "", "name": "", "scheduled_job_id": None, "flow_run_id": None, "data": {}, **event}
        line |= {"number": number, "at": at(number), "previous_hash": last}
        last = hashlib.sha256(json.dumps(line, sort_keys=True, separators=(",", ":")).encode()).hexdigest()
        lines.append({**line, "hash": last})
    signature = KEY.sign(f"signoff audit head {len(lines)} {last}".encode()).hex()
    lines[-1] |= {"key": KEY.public_key().public_bytes_raw().hex(), "signature": signature}
    return lines


def event(act: str, actor: str, attempt: str = "", **to: Any) -> Shape:
    data = {"request_id": attempt} if attempt else {}
    return {"act": act, "actor": actor, "scheduled_job_id": "s", "data": data, **to}


REQUESTED = event("approval.requested", "anna", "create-0")
APPROVED = event("approval.approved", "ben", "approve-0")
CHANGED = event("schedule.changed", "anna", "edit-0")
ADMITTED = event("run.admitted", "anna", flow_run_id="f")


def asked(kind: str, who: str, made: Shape | None = None, **about: Any) -> Asked:
    began = START.timestamp()
    return Asked(kind, who, [f"{kind}-0"], began, about, began + 1, 201, made or {})


def a_result(**to: Any) -> Shape:
    return {
        "id": "r",
        "name": "Guarded",
        "status": {"value": "SUCCESS"},
        "flow_run_id": "f",
        "scheduled_job": {"id": "s"},
        "nominal_time": at(0),
        "date_started": at(4),
        "traceback": None,
        "task_kwargs": {"token": "t"},
        **to,
    }


def a_run(**to: Any) -> Shape:
    run = {"id": "f", "name": "f", "state_type": "COMPLETED", "state_name": "", "deployment_id": "base"}
    return {**run, "idempotency_key": "signoff:s", **to}


EXECUTION = {
    "result": "r",
    "run": "f",
    "schedule": "s",
    "nominal": at(0),
    "job": "Guarded",
    "user": "anna",
    "token": "t",
    "dryrun": False,
    "code": 0,
    "at": START.timestamp() + 5,
}
SCHEDULE = {"id": "s", "task": "x", "one_off": True, "enabled": False, "approval_state": "approved"}
BASE = {"id": "base", "name": "default", "schedules": []}
SOUND = Facts(
    asked=[asked("create", "anna", {"scheduled_job": "s"}), asked("approve", "ben", token="t")],
    executions=[EXECUTION],
    results={"r": a_result()},
    schedules={"s": SCHEDULE},
    audit=chained(REQUESTED, APPROVED, ADMITTED),
    flow_runs=[a_run()],
    deployments=[BASE],
    code=[(1, 0.0), (2, START.timestamp() + 1000)],
)
"""A request that was approved, and has executed."""


def with_results(*results: Shape) -> Change:
    return lambda facts: replace(facts, results={each["id"]: each for each in results})


def executed(**to: Any) -> Change:
    return lambda facts: replace(facts, executions=[{**EXECUTION, **to}])


def audited(*events: Shape) -> Change:
    return lambda facts: replace(facts, audit=chained(*events))


def steady(misfire: str = "last", *, harmed: bool = False, **missed: Any) -> Change:
    """Return a change that adds a schedule with three firings, the second of which is as told; None for not there."""

    def change(facts: Facts) -> Facts:
        firings = [
            a_result(id=f"n{minute}", name="Free", flow_run_id=None, scheduled_job={"id": "m"}, nominal_time=at(minute))
            for minute in (60, 120, 180)
        ]
        firings[1] |= missed
        kept = [each for each in firings if each["status"] is not None]
        lines = [{**EXECUTION, "result": each["id"], "nominal": each["nominal_time"]} for each in kept]
        ran = [
            {**line, "job": "Free", "run": line["result"], "schedule": "m", "at": START.timestamp() + 150}
            for line, each in zip(lines, kept, strict=True)
            if each["date_started"]
        ]
        admissions = [event("run.admitted", "anna", flow_run_id=line["run"], scheduled_job_id="m") for line in ran]
        return replace(
            facts,
            asked=[*facts.asked, asked("create", "anna", {"scheduled_job": "m"})],
            executions=[*facts.executions, *ran],
            results={**facts.results, **{each["id"]: each for each in kept}},
            schedules={**facts.schedules, "m": {**SCHEDULE, "id": "m", "one_off": False}},
            audit=chained(REQUESTED, APPROVED, ADMITTED, *admissions),
            steady=[{"id": "m", "since": START.timestamp(), "misfire": misfire}],
            harm=[{"began": START.timestamp() + 100, "ended": START.timestamp() + 110}] if harmed else [],
        )

    return change


PASSED_OVER = {"status": {"value": "REVOKED"}, "date_started": None, "traceback": "passed over"}


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda facts: facts, id="a request that was approved"),
        pytest.param(steady(), id="each minute"),
        pytest.param(steady(harmed=True, **PASSED_OVER), id="a minute in which the system was harmed"),
        pytest.param(
            lambda facts: replace(facts, audit_before=facts.audit[:2]), id="an audit that is longer than it was"
        ),
    ],
)
def test_nothing_is_found_where_nothing_is_wrong(change: Change) -> None:
    assert violations(change(SOUND)) == []


@pytest.mark.parametrize(
    ("rule", "change"),
    [
        pytest.param("nothing_acknowledged_is_lost", audited(REQUESTED, ADMITTED), id="an approval that is lost"),
        pytest.param("nothing_acknowledged_is_lost", lambda f: replace(f, schedules={}), id="a request that is lost"),
        pytest.param(
            "nothing_acknowledged_is_lost",
            lambda f: replace(f, asked=[*f.asked, asked("run", "anna", {"job_result": "lost"})]),
            id="a run that is lost",
        ),
        pytest.param(
            "everything_ends", with_results(a_result(status={"value": "STARTED"})), id="a run that does not end"
        ),
        pytest.param(
            "everything_ends",
            lambda f: replace(f, schedules={"s": {**SCHEDULE, "enabled": True}}, results={}, executions=[]),
            id="an approval after which nothing runs",
        ),
        pytest.param(
            "nothing_is_made_twice",
            audited(REQUESTED, {**REQUESTED, "scheduled_job_id": "s2"}, APPROVED, ADMITTED),
            id="a request that became two",
        ),
        pytest.param(
            "nothing_is_made_twice",
            with_results(*(a_result(id=each, name="Free", scheduled_job=None, nominal_time=None) for each in "rq")),
            id="a run that became two",
        ),
        pytest.param(
            "executes_once", lambda f: replace(f, executions=[EXECUTION, EXECUTION]), id="an execution of two"
        ),
        pytest.param("executes_once", lambda f: replace(f, executions=[]), id="success without an execution"),
        pytest.param("executes_once", with_results(), id="an execution without a result"),
        pytest.param("executes_once", with_results(a_result(date_started=None)), id="an execution that was not let go"),
        pytest.param(
            "executes_once",
            lambda f: with_results(a_result(date_started=None, status={"value": "FAILURE"}))(replace(f, executions=[])),
            id="a failure of what was not let go",
        ),
        pytest.param(
            "executes_what_was_decided", audited(REQUESTED, ADMITTED, APPROVED), id="an approval that came later"
        ),
        pytest.param(
            "executes_what_was_decided",
            audited(REQUESTED, event("approval.denied", "ben"), ADMITTED),
            id="a request that was denied",
        ),
        pytest.param(
            "executes_what_was_decided",
            audited(REQUESTED, APPROVED, CHANGED, ADMITTED),
            id="a request that was changed after its approval",
        ),
        pytest.param(
            "executes_what_was_decided",
            audited(REQUESTED, {**APPROVED, "actor": "anna"}, ADMITTED),
            id="an approval by who had requested it",
        ),
        pytest.param(
            "executes_what_was_decided",
            audited(REQUESTED, event("schedule.assumed", "ben"), APPROVED, {**ADMITTED, "actor": "ben"}),
            id="an approval by who owns it",
        ),
        pytest.param("executes_what_was_decided", executed(token="other"), id="inputs that nobody has approved"),
        pytest.param("executes_what_was_decided", executed(code=2), id="code that nobody has approved"),
        pytest.param("executes_what_was_decided", executed(schedule=None), id="an execution without a request"),
        pytest.param("executes_as_the_right_user", executed(user="ben"), id="an execution as somebody else"),
        pytest.param(
            "executes_as_the_right_user",
            audited(REQUESTED, event("schedule.assumed", "carla"), APPROVED, ADMITTED),
            id="an execution as an earlier owner",
        ),
        pytest.param(
            "executes_as_the_right_user",
            audited(REQUESTED, APPROVED, event("user.removed", "admin", name="anna", scheduled_job_id=None), ADMITTED),
            id="an execution as somebody who was removed",
        ),
        pytest.param("executes_as_the_right_user", audited(REQUESTED, APPROVED), id="an execution nobody let go"),
        pytest.param(
            "a_nominal_time_executes_once",
            lambda f: replace(f, executions=[EXECUTION, {**EXECUTION, "result": "r2"}]),
            id="a nominal time that executed twice",
        ),
        pytest.param(
            "a_nominal_time_executes_once",
            with_results(a_result(), a_result(id="r2", flow_run_id=None)),
            id="a nominal time with two records",
        ),
        pytest.param("each_nominal_time_is_recorded", steady(status=None), id="a nominal time without a record"),
        pytest.param("each_nominal_time_is_recorded", steady(**PASSED_OVER), id="passed over while nothing was wrong"),
        pytest.param(
            "each_nominal_time_is_recorded",
            steady("all", harmed=True, **PASSED_OVER),
            id="passed over though all are made up for",
        ),
        pytest.param(
            "the_audit_is_whole", lambda f: replace(f, audit=[f.audit[0], f.audit[2]]), id="an event that is missing"
        ),
        pytest.param("the_audit_is_whole", lambda f: replace(f, audit=f.audit[:2]), id="an end that is missing"),
        pytest.param(
            "the_audit_is_whole",
            lambda f: replace(f, audit=[f.audit[0], {**f.audit[1], "actor": "carla"}, f.audit[2]]),
            id="an event that was changed",
        ),
        pytest.param(
            "the_audit_is_whole",
            lambda f: replace(f, audit_before=chained(REQUESTED, CHANGED)),
            id="an audit that was written anew",
        ),
        pytest.param("the_audit_is_whole", lambda f: replace(f, audit_fault="broken"), id="what verify finds"),
        pytest.param(
            "nothing_is_orphaned",
            lambda f: replace(f, flow_runs=[a_run(state_type="SCHEDULED")]),
            id="a run of what is over",
        ),
        pytest.param(
            "nothing_is_orphaned",
            lambda f: replace(f, flow_runs=[a_run(), a_run(id="g", state_type="PAUSED", idempotency_key=None)]),
            id="a run of nothing",
        ),
        pytest.param("nothing_is_orphaned", lambda f: replace(f, flow_runs=[]), id="a result without its run"),
        pytest.param(
            "nothing_is_orphaned",
            lambda f: replace(f, deployments=[BASE, {"id": "d", "name": "gone", "schedules": [{"slug": "gone"}]}]),
            id="a deployment of a schedule that is gone",
        ),
    ],
)
def test_what_must_not_be_is_found(rule: str, change: Change) -> None:
    assert rule in {each.partition(":")[0] for each in violations(change(SOUND))}
