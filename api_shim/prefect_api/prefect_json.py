"""Prefect's JSON, read into what ``ports`` speaks of, and a schedule written the other way.

What we never write and what changes what a deployment runs makes it ``foreign``: pull steps, a path, a pause, a limit,
no pool, a second schedule, parameters of a schedule, or our tag removed.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Mapping
from datetime import datetime
from typing import Any, cast
from uuid import UUID

from api_shim.domain.ports import (
    NOTICES,
    Announcement,
    ApprovalForm,
    Automation,
    Claim,
    DeploymentSpec,
    LogLine,
    Run,
    ScheduleSpec,
)
from api_shim.domain.recurrence import CronSpec
from approval_gate.admission import TAKEN_BY
from approval_gate.verdicts import AWAITING, told, understood
from approval_gate.verdicts import OURS as TAG

KEYS = {
    "description": "approval-description",
    "schema": "approval-schema",
    "response": "approval-response",
}
"""Where Prefect keeps what a held run asks. Nothing is ever read from the response: whoever may write can plant one."""

Json = Any


def schedule_row(schedule: ScheduleSpec, *, active: bool) -> dict[str, Json]:
    cron = schedule.cron
    return {
        "slug": schedule.slug,
        "active": active,
        "schedule": {"cron": cron.cron, "timezone": cron.timezone, "day_or": cron.day_or},
        "parameters": {},
    }


def suspended(message: str, *, asks: bool) -> dict[str, Json]:
    """Return the state of a run that is held."""
    details = {"pause_reschedule": True, **({"pause_key": "approval", "run_input_keyset": KEYS} if asks else {})}
    return {"type": "PAUSED", "name": "Suspended", "message": message, "state_details": details}


def scheduled(at: datetime, message: str) -> dict[str, Json]:
    """Return the state of a run that starts at that time."""
    details = {"scheduled_time": at.isoformat()}
    return {"type": "SCHEDULED", "name": "Scheduled", "message": message, "state_details": details}


def ended(state_type: str, name: str, message: str) -> dict[str, Json]:
    """Return the state of a run that ends, or is to end, with a verdict or a name of Prefect's."""
    standard, said = told(name, message)
    return {"type": state_type, "name": standard, "message": said}


def asks(row: Mapping[str, Json]) -> bool:
    """Say whether a run is held and shows people its question."""
    details = row["state"]["state_details"]
    return bool(row["state"]["type"] == "PAUSED" and details.get("run_input_keyset") == KEYS)


def event_row(announcement: Announcement) -> dict[str, Json]:
    """Return an event as Prefect takes it."""
    resource, name = announcement.resource
    return {
        "id": str(announcement.id),
        "occurred": announcement.occurred.isoformat(),
        "event": announcement.event,
        "resource": {"prefect.resource.id": resource, "prefect.resource.name": name},
        "related": [
            {"prefect.resource.id": thing, "prefect.resource.role": role}
            for role, thing in announcement.related.items()
        ],
        "payload": dict(announcement.payload),
    }


def log_row(run_id: UUID, message: str, at: datetime) -> dict[str, Json]:
    """Return a line of ours for the log of a run."""
    line = {"name": NOTICES, "level": logging.INFO, "message": message, "timestamp": at.isoformat()}
    return {**line, "flow_run_id": str(run_id)}


def read_spec(row: Mapping[str, Json], flow: str, pool: str) -> DeploymentSpec:
    schedules = row["schedules"]
    return DeploymentSpec(
        flow=flow,
        name=row["name"],
        entrypoint=row["entrypoint"] or "",
        queue=row["work_queue_name"] or "",
        pool="" if row["work_pool_name"] == pool else row["work_pool_name"] or "",
        description=row["description"] or "",
        parameters=row["parameters"] or {},
        parameter_schema=row["parameter_openapi_schema"] or {},
        job_variables=row["job_variables"] or {},
        tags=tuple(tag for tag in row["tags"] if tag != TAG),
        schedule=_read_schedule(schedules[0]) if schedules else None,
        foreign=_is_foreign(row),
    )


def _is_foreign(row: Mapping[str, Json]) -> bool:
    return bool(
        row["pull_steps"]
        or row["path"]
        or row["paused"]
        or row["global_concurrency_limit"]
        or row["enforce_parameter_schema"]
        or not row["work_pool_name"]
        or TAG not in row["tags"]
        or len(row["schedules"]) > 1
        or any(schedule["parameters"] for schedule in row["schedules"])
    )


def _read_schedule(row: Mapping[str, Json]) -> ScheduleSpec:
    cron = row["schedule"]
    return ScheduleSpec(
        slug=row["slug"] or "",
        active=row["active"],
        cron=CronSpec(
            cron=cron.get("cron", ""), timezone=cron.get("timezone") or "UTC", day_or=cron.get("day_or", True)
        ),
    )


def read_run(row: Mapping[str, Json]) -> Run:
    state = row["state"] or {"type": row["state_type"], "name": row["state_name"], "message": None}
    name, message = understood(state["type"], state["name"] or "", state["message"] or "")
    return Run(
        id=UUID(row["id"]),
        key=row["idempotency_key"] or "",
        name=row["name"] or "",
        deployment_id=UUID(row["deployment_id"]) if row["deployment_id"] else None,
        state_type=state["type"],
        state_name=name,
        message=message,
        expected_start=cast(datetime, read_time(row["expected_start_time"])),
        scheduled_for=read_time(row["next_scheduled_start_time"]),
        parameters=row["parameters"] or {},
        by_schedule=bool(row["auto_scheduled"]) and (row["created_by"] or {}).get("type") == "SCHEDULE",
        started=read_time(row["start_time"]),
        ended=read_time(row["end_time"]),
        since=cast(datetime, read_time(state.get("timestamp") or row["updated"])),
        pool=row.get("work_pool_name") or "",
        job_variables=row.get("job_variables") or {},
        without_process=bool((state.get("state_details") or {}).get("pause_reschedule", True)),
    )


def read_claim(state: Mapping[str, Json]) -> Claim:
    """Return how a worker has taken a run, from the state that it put it in."""
    message = str(state["message"] or "")
    worker = message.removeprefix(TAKEN_BY) if message.startswith(TAKEN_BY) else ""
    at = cast(datetime, read_time(state["timestamp"]))
    return Claim(at=at, worker=worker, first=at)


def read_question(row: Mapping[str, Json], inputs: Mapping[str, str]) -> ApprovalForm | None:
    """Return what a run asks; None for what nobody could read there."""
    try:
        description, form = json.loads(inputs[KEYS["description"]]), json.loads(inputs[KEYS["schema"]])
    except (ValueError, RecursionError):
        return None
    run = read_run(row)
    return ApprovalForm(
        name=run.name,
        message=run.message,
        parameters=run.parameters,
        description=description,
        form=form,
        tags=tuple(tag for tag in row["tags"] if tag not in (TAG, AWAITING)),
    )


def read_line(row: Mapping[str, Json]) -> LogLine:
    return LogLine(
        id=UUID(row["id"]),
        level=row["level"],
        source=row["name"],
        message=row["message"],
        created=cast(datetime, read_time(row["timestamp"])),
    )


def read_time(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)


LONGEST_NAME = 255
"""How many characters of the name of an automation are kept."""
ACTIONS = ("actions", "actions_on_trigger", "actions_on_resolve")
PASSING = ("id", "created", "updated", "enabled")
"""What of an automation says nothing of when it does what."""


def read_automation(row: Mapping[str, Json]) -> Automation:
    """Return an automation.

    Args:
        row: it, as its API has it, or as its services do.
    """
    # What is not said is left out: a later version of Prefect may have more to say.
    said = {name: value for name, value in row.items() if name not in PASSING and value not in (None, [], {})}
    said["trigger"] = _settled(row["trigger"])
    whole = json.dumps(said, sort_keys=True, separators=(",", ":"))
    runs = (action for where in ACTIONS for action in row.get(where) or () if action["type"] == "run-deployment")
    return Automation(
        id=UUID(row["id"]),
        name=row["name"][:LONGEST_NAME],
        digest=hashlib.sha256(whole.encode()).hexdigest(),
        runs=frozenset(UUID(action["deployment_id"]) for action in runs if action.get("deployment_id")),
    )


def _settled(trigger: Json) -> Json:
    """Return a trigger, or a part of it, as it is each time: Prefect gives it new ids, and has sets of words in it."""
    if isinstance(trigger, Mapping):
        is_trigger = "type" in trigger and ("posture" in trigger or "triggers" in trigger)
        return {name: _settled(value) for name, value in trigger.items() if name != "id" or not is_trigger}
    if isinstance(trigger, list):
        return sorted(trigger) if all(isinstance(each, str) for each in trigger) else [*map(_settled, trigger)]
    return trigger
