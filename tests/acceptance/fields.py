"""The fields of what clients see, each with the type of its value (contract 3, 5 and 7)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from tests.acceptance.asking import Body

TEXT, FLAG, LIST, NUMBER = str, bool, list, (int, float)
OBJECT = {"id": TEXT, "object_type": TEXT, "display": TEXT, "url": TEXT, "natural_slug": TEXT}
OVERRIDABLE = (
    "description",
    "approval_required",
    "has_sensitive_variables",
    "is_singleton",
    "hidden",
    "dryrun_default",
    "soft_time_limit",
    "time_limit",
    "job_queues",
)
JOB: Body = {
    **OBJECT,
    **dict.fromkeys(("module_name", "job_class_name", "grouping", "name", "description"), TEXT),
    **dict.fromkeys(("installed", "enabled", "is_job_hook_receiver", "is_job_button_receiver"), FLAG),
    **dict.fromkeys(("has_sensitive_variables", "is_singleton", "approval_required", "hidden"), FLAG),
    **dict.fromkeys(("dryrun_default", "read_only", "supports_dryrun"), FLAG),
    **dict.fromkeys(("soft_time_limit", "time_limit"), NUMBER),
    **dict.fromkeys(("task_queues", "job_queues", "tags"), LIST),
    **dict.fromkeys((f"{field}_override" for field in OVERRIDABLE), FLAG),
    **dict.fromkeys((f"{field}_override" for field in ("default_job_queue", "grouping", "name", "task_queues")), FLAG),
    **dict.fromkeys(("default_job_queue", "custom_fields", "computed_fields", "relationships"), dict),
    "notes_url": type(None),
    **dict.fromkeys(("created", "last_updated"), TEXT),
    # Ours.
    "overlap": TEXT,
    "job_variables": dict,
    "approval_off": (dict, type(None)),
}
SCHEDULED_JOB: Body = {
    **OBJECT,
    **dict.fromkeys(("queue", "time_zone", "name", "task", "interval", "start_time"), TEXT),
    **dict.fromkeys(("date_changed", "description", "crontab"), TEXT),
    **dict.fromkeys(("kwargs", "celery_kwargs", "job_model", "job_queue", "user"), dict),
    **dict.fromkeys(("one_off", "enabled", "approval_required"), FLAG),
    **dict.fromkeys(("last_run_at", "approved_at", "approved_by_user"), type(None)),
    # Ours (contract 10).
    **dict.fromkeys(("approval_state", "approval_version", "approval_comment", "approval_note"), TEXT),
    **dict.fromkeys(("failure", "reason"), TEXT),
    "misfire": TEXT,
    **dict.fromkeys(("missed", "requested_from", "automation", "agent"), type(None)),
    "expires_at": type(None),
    "approval_off": (dict, type(None)),
    "args": LIST,
    "total_run_count": int,
}
JOB_RESULT: Body = {
    **OBJECT,
    **dict.fromkeys(("flow_run_id", "name", "task_name", "date_created", "date_started", "date_done", "worker"), TEXT),
    "reason": TEXT,
    **dict.fromkeys(("status", "task_kwargs", "celery_kwargs", "meta", "job_model", "user", "custom_fields"), dict),
    **dict.fromkeys(("traceback", "scheduled_job"), type(None)),
    **dict.fromkeys(("nominal_time", "requested_from", "automation", "agent"), type(None)),
    **dict.fromkeys(("task_args", "files"), LIST),
    "result": dict,
}
LOG: Body = {
    **OBJECT,
    **dict.fromkeys(("log_level", "grouping", "message", "log_object", "absolute_url", "created"), TEXT),
    "job_result": dict,
}


def check_fields(shape: Mapping[str, Any], expected: Body) -> None:
    assert shape.keys() == expected.keys()
    wrong = {name: shape[name] for name, kind in expected.items() if not isinstance(shape[name], kind)}
    assert wrong == {}
    UUID(shape["id"])
