"""``/api/`` and ``/api/status/``: what this is and whether it is well (contract 2)."""

from __future__ import annotations

from importlib.metadata import version

from fastapi import APIRouter, Request, Response

from api_shim.conventions import respond
from api_shim.deps import Caller, Use
from approval_gate.errors import Unavailable

router = APIRouter(prefix="/api")

PARTS = {
    "jobs": "/api/extras/jobs/",
    "scheduled-jobs": "/api/extras/scheduled-jobs/",
    "approval-queue": "/api/extras/approval-queue/",
    "job-results": "/api/extras/job-results/",
    "users": "/api/users/users/",
    "groups": "/api/users/groups/",
    "tokens": "/api/users/tokens/",
    "permissions": "/api/users/permissions/",
    "status": "/api/status/",
}


@router.get("")
async def root(request: Request, _actor: Caller) -> Response:
    origin = str(request.base_url).rstrip("/")
    return respond(request, {name: origin + path for name, path in PARTS.items()})


@router.get("/status")
async def status(request: Request, _actor: Caller, use: Use) -> Response:
    try:
        workers = await use.engine.has_worker("default")
        prefect = "ok"
    except Unavailable:
        workers, prefect = False, "unavailable"
    return respond(
        request,
        {
            "signoff-version": version("prefect-signoff"),
            "prefect-version": version("prefect"),
            "prefect": prefect,
            "default-queue-has-worker": workers,
        },
    )
