"""``/api/`` and ``/api/status/``: what this is and whether it is well (contract 2)."""

from __future__ import annotations

import contextlib
from importlib.metadata import version

from fastapi import APIRouter, Request, Response

from api_shim.conventions import respond
from api_shim.deps import Caller, Use
from api_shim.openapi import answers
from api_shim.shapes import Status
from approval_gate.errors import Unavailable

router = APIRouter(prefix="/api", tags=["service"])

PARTS = {
    "jobs": "/api/extras/jobs/",
    "scheduled-jobs": "/api/extras/scheduled-jobs/",
    "approval-queue": "/api/extras/approval-queue/",
    "job-results": "/api/extras/job-results/",
    "job-logs": "/api/extras/job-logs/",
    "job-queues": "/api/extras/job-queues/",
    "users": "/api/users/users/",
    "groups": "/api/users/groups/",
    "tokens": "/api/users/tokens/",
    "permissions": "/api/users/permissions/",
    "status": "/api/status/",
    "schema": "/api/schema/",
    "docs": "/api/docs/",
}


@router.get("", **answers(dict[str, str]))
async def root(request: Request, _actor: Caller) -> Response:
    """Tell where everything is."""
    origin = str(request.base_url).rstrip("/")
    return respond(request, {name: origin + path for name, path in PARTS.items()})


@router.get("/status", **answers(Status))
async def status(request: Request, _actor: Caller, use: Use) -> Response:
    """Tell whether the server is well, and what it is."""
    workers: bool | None = None
    with contextlib.suppress(Unavailable):
        workers = await use.engine.has_worker("default")
    shape = Status(
        signoff_version=version("prefect-signoff"),
        prefect_version=version("prefect"),
        prefect="unavailable" if workers is None else "ok",
        default_queue_has_worker=bool(workers),
    )
    return respond(request, shape)
