"""Asks a running server to run Jobs, in both ways of sending, and reads what it says."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

import httpx

from tests.acceptance.people import FAR, RESULTS
from tests.live import eventually

JOBS = "/api/extras/jobs/"
UNKNOWN = "00000000-0000-4000-8000-000000000000"
"""The id of nothing."""

Body = dict[str, Any]


def run(client: httpx.Client, body: Any, job: str = "Greet") -> httpx.Response:
    return client.post(f"{JOBS}{quote(job, safe='')}/run/", json=body)


def run_form(client: httpx.Client, fields: Mapping[str, str], job: str = "Greet") -> httpx.Response:
    parts = {name: (None, value) for name, value in fields.items()}
    return client.post(f"{JOBS}{quote(job, safe='')}/run/", files=parts)


def accepts_runs(client: httpx.Client) -> bool:
    """Say whether a server accepts runs; it does not once it has waited long for a worker that is slow to come."""
    return run(client, {}).status_code == 201


def answered(response: httpx.Response) -> tuple[int, Any]:
    return response.status_code, response.json()


def future(**to: Any) -> Body:
    """Return a request for a run in the far future; what is None is left out."""
    asked = {"name": "refused", "interval": "future", "start_time": FAR, **to}
    return {"schedule": {name: value for name, value in asked.items() if value is not None}}


def custom(**to: Any) -> Body:
    """Return a request for runs by a crontab."""
    return future(interval="custom", start_time=to.pop("start_time", None), **to)


def as_fields(body: Body) -> dict[str, str]:
    """Return a request as the fields of a form."""
    own = {f"_schedule_{name}": str(value) for name, value in body.get("schedule", {}).items()}
    queues = {f"_{name}": str(body[name]) for name in ("task_queue", "job_queue") if name in body}
    return {**own, **queues, **{name: str(value) for name, value in body.get("data", {}).items()}}


def ended(client: httpx.Client, made: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """Return the job result of what was asked for, a run or a scheduled job; None until there is one that is over."""
    if made["object_type"] == "extras.jobresult":
        # Wherever it was asked for, this server is asked.
        rows = [client.get(f"{RESULTS}{made['id']}/").json()]
    else:
        rows = client.get(RESULTS, params={"scheduled_job": made["id"]}).json()["results"]
    return next((row for row in rows if row["date_done"]), None)


def keep_secret(admin: httpx.Client, name: str, value: str) -> None:
    """Have Prefect keep a secret, as an administrator."""
    kind = eventually(lambda: admin.get("/api/block_types/slug/secret").json().get("id"))
    asked = {"block_schemas": {"block_type_id": {"any_": [kind]}}}
    schema = admin.post("/api/block_schemas/filter", json=asked).json()[0]["id"]
    block = {"name": name, "block_type_id": kind, "block_schema_id": schema, "data": {"value": value}}
    admin.post("/api/block_documents/", json=block).raise_for_status()
