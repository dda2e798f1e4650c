"""What a server says, in the contract's words: shapes with everything that a test does not care about filled in."""

from __future__ import annotations

from typing import Any
from uuid import UUID, uuid5

from api_shim.domain.model import AutomationAccount, queue_of
from api_shim.domain.ports import LogLine
from api_shim.domain.triggers import JobButton, JobHook
from api_shim.services.approval_requests import Comparison, Outcomes
from api_shim.services.queries import entry_of
from api_shim.services.review import differences
from api_shim.web.rest.serializers import AccountSerializer, Related, Serializer
from approval_gate.lifecycle import ApprovalState
from tests.factories import NOW, make_approval_request, make_job, make_result, make_scheduled, make_user

ROOT = "http://here"
SPACE = UUID("3f0a4d7e-0000-4000-8000-000000000000")


def id_of(name: str) -> UUID:
    """Return an id that is the same in every run of the tests."""
    return uuid5(SPACE, name)


JOB = make_job(id=id_of("job"), module_name="flows.examples", job_class_name="BackUp", name="Back up")
USER = make_user(id=id_of("alice"))
WIRE = Serializer(ROOT, {JOB.id: JOB})


def job(**to: Any) -> dict[str, Any]:
    return WIRE.job(JOB).model_dump(mode="json") | to


def queue(name: str = "gpu", pool: str = "big") -> dict[str, Any]:
    """Return a job queue of another work pool, which two workers serve."""
    return WIRE.job_queue(queue_of(name, pool), {name: 2}).model_dump(mode="json")


def button() -> dict[str, Any]:
    """Return a job button on the pages of results."""
    kinds = ("extras.jobresult",)
    row = JobButton(
        id=id_of("button"),
        name="inspect",
        text="Inspect",
        job_id=JOB.id,
        content_types=kinds,
        created=NOW,
        last_updated=NOW,
    )
    return WIRE.job_button(row).model_dump(mode="json")


def hook() -> dict[str, Any]:
    """Return a job hook for new scheduled jobs, and their end."""
    row = JobHook(
        id=id_of("hook"),
        name="watch",
        job_id=JOB.id,
        content_types=("extras.scheduledjob",),
        type_create=True,
        type_delete=True,
        created=NOW,
        last_updated=NOW,
    )
    return WIRE.job_hook(row).model_dump(mode="json")


def bound(name: str = "nightly") -> dict[str, Any]:
    """Return the account that an automation acts as, with its user."""
    account = AutomationAccount(
        id=id_of(name), name=name, user_id=USER.id, digest="", bound_by_id=USER.id, bound_by="bob", created=NOW
    )
    user = AccountSerializer(ROOT, Related()).user(USER).model_dump(mode="json")
    return WIRE.automation_account(account).model_dump(mode="json") | {"user": user}


def scheduled(name: str = "nightly", **to: Any) -> dict[str, Any]:
    """Return a scheduled job: daily at seven in the evening in Berlin."""
    shape = WIRE.scheduled_job(make_scheduled(JOB, USER, id=id_of(name), name=name)).model_dump(mode="json")
    daily = {"interval": "daily", "start_time": "2100-01-31T18:00:00Z", "time_zone": "Europe/Berlin"}
    return shape | daily | {"kwargs": {"keep": 7}} | to


def waiting(name: str = "nightly", **to: Any) -> dict[str, Any]:
    seen = {
        "requested_by": "alice",
        "asked_at": "2026-05-04T12:00:00Z",
        "may_approve": True,
        "why_not_approve": "",
        "may_deny": True,
        "why_not_deny": "",
        "approval_state": "pending",
        "unfit": "",
    }
    return scheduled(name) | seen | to


def approval_request(name: str = "nightly", **to: Any) -> dict[str, Any]:
    """Return a request that bob has denied."""
    denied = {"state": ApprovalState.DENIED, "decided_at": NOW, "decided_by": "bob", "comment": "Not today."}
    row = make_approval_request(make_scheduled(JOB, USER, name=name), JOB, USER, id=id_of(name), **denied)
    return WIRE.approval_request(row, Outcomes()).model_dump(mode="json") | to


def comparison() -> dict[str, Any]:
    """Return a comparison of a request with nothing."""
    found = Comparison(inputs=[], circumstances=differences(None, {"Interval": "daily"}), earlier=None)
    return WIRE.comparison(found).model_dump(mode="json")


def review(name: str = "nightly", row: dict[str, Any] | None = None, **to: Any) -> dict[str, Any]:
    """Return the review of a request: other inputs than were approved last, on the same queue."""
    same = {"change": "same", "before": None}
    told = {
        "scheduled_job": row or waiting(name),
        "runs_as": "carol",
        "past_due": False,
        "inputs": [
            {"name": "keep", "change": "changed", "now": 7, "before": 14},
            {"name": "path", "change": "new", "now": "/a\n/b", "before": None},
            {"name": "old", "change": "removed", "now": None, "before": True},
        ],
        "circumstances": [{"name": "Interval", "now": "daily", **same}, {"name": "Queue", "now": "default", **same}],
        "compared_with": {"name": "weekly", "approved_by": "bob", "approved_at": "2100-01-01T00:00:00Z"},
        "nothing_to_compare": "",
    }
    return told | to


def result(status: str = "SUCCESS", name: str = "run", **to: Any) -> dict[str, Any]:
    shape = WIRE.job_result(make_result(JOB, USER, id=id_of(name))).model_dump(mode="json")
    return shape | {"status": {"value": status, "label": status}} | to


def line(message: str, **to: Any) -> dict[str, Any]:
    told = LogLine(id=id_of(message), level=20, source="", message=message, created=NOW)
    return WIRE.log_entry(entry_of(told, make_result(JOB, USER, id=id_of("run")))).model_dump(mode="json") | to


def page(*rows: dict[str, Any], following: str | None = None) -> dict[str, Any]:
    return {"count": len(rows), "next": following, "previous": None, "results": list(rows)}


def explanation(**to: Any) -> dict[str, Any]:
    alice = {"id": str(USER.id), "object_type": "users.user", "url": f"{ROOT}/u/", "username": "alice"}
    told = {
        "user": alice,
        "may": {"approve": {"allowed": False, "reason": "It is yours."}, "dry_run": {"allowed": True, "reason": ""}},
        "who": {"approve": [], "dry_run": [alice]},
        "others": {"approve": True, "dry_run": False},
        "needs_force": False,
        "next_firing": "2100-01-31T18:00:00Z",
        "why_not": "",
        "unfit": "",
    }
    return told | to


def accepted(scheduled_job: dict[str, Any] | None = None, job_result: dict[str, Any] | None = None) -> dict[str, Any]:
    return {"scheduled_job": scheduled_job, "job_result": job_result}
