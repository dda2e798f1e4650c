"""Makes the model's values with everything that a test does not care about filled in."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

from api_shim.domain.accounts import User
from api_shim.domain.audit import LocalAdministrator
from api_shim.domain.model import ApprovalRequest, Job, JobResult, ScheduledJob
from api_shim.domain.recurrence import Interval
from api_shim.services.account_admin import AccountAdmin
from api_shim.services.authentication import Credentials, authenticate_token
from api_shim.store import Store
from approval_gate.model import Actor

NOW = datetime(2026, 5, 4, 12, 0, tzinfo=UTC)


OPERATOR = LocalAdministrator("operator")
"""Who administers the machine of the tests."""


def administering(store: Store) -> AccountAdmin:
    """Return what the command line administers accounts with."""
    return AccountAdmin(store, OPERATOR)


def authenticate(store: Store, credentials: Credentials, now: datetime) -> Actor:
    """Return who signs in with a token."""
    with store.transaction(write=False) as tx:
        return authenticate_token(tx, credentials, now)[0]


def remove_user(store: Store, username: str, now: datetime) -> None:
    """Remove a user, after it has been seen to that this is not the last superuser."""
    admin = administering(store)
    admin.add_user(f"keeper-{uuid4()}", now, superuser=True)
    admin.remove_user(username, now)


def make_user(username: str = "alice", **to: Any) -> User:
    return User(**{"id": uuid4(), "username": username, "created": NOW, **to})


def make_job(**to: Any) -> Job:
    number = str(uuid4())[:8]
    job: dict[str, Any] = {
        "id": uuid4(),
        "module_name": "jobs_of_tests",
        "job_class_name": f"Job{number}",
        "grouping": "Tests",
        "name": f"Job {number}",
        "enabled": True,
        "has_sensitive_variables": False,
        "declared": {},
        "parameter_schema": {"type": "object", "properties": {}},
        "created": NOW,
        "last_updated": NOW,
    }
    return Job(**{**job, **to})


def make_scheduled(job: Job, owner: User | None, **to: Any) -> ScheduledJob:
    number = str(uuid4())[:8]
    row: dict[str, Any] = {
        "id": uuid4(),
        "name": f"schedule {number}",
        "job_id": job.id,
        "owner_id": owner.id if owner else None,
        "requester_id": owner.id if owner else None,
        "interval": Interval.HOURLY,
        "start_time": NOW,
        "time_zone": "UTC",
        "inputs": {},
        "queue": "default",
        "created": NOW,
        "date_changed": NOW,
        "due_from": NOW,
    }
    return ScheduledJob(**{**row, **to})


def make_approval_request(scheduled: ScheduledJob, job: Job, user: User, **to: Any) -> ApprovalRequest:
    """Return the request for approval of a scheduled job, by default one that waits."""
    request = ApprovalRequest(
        id=uuid4(),
        scheduled_job_id=scheduled.id,
        job_id=job.id,
        name=scheduled.name,
        task_name=job.class_path,
        user_id=user.id,
        requested_by=user.username,
        owner_id=user.id,
        created=NOW,
    )
    return replace(request, **to)


def make_result(job: Job, user: User | None, **to: Any) -> JobResult:
    row: dict[str, Any] = {
        "id": uuid4(),
        "job_id": job.id,
        "user_id": user.id if user else None,
        "name": job.name,
        "task_name": job.class_path,
        "queue": "default",
        "date_created": NOW,
    }
    row |= to
    # A run may have its result's id, as all had once.
    return JobResult(**{"flow_run_id": row["id"], "released": True, **row})
