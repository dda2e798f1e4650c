"""``/api/extras/job-results``: list, detail and logs (contract 7)."""

from __future__ import annotations

from uuid import UUID

from fastapi import APIRouter, Request, Response

from api_shim import shapes
from api_shim.conventions import as_page, read_id, read_listing, respond
from api_shim.deps import Caller, Ref, Use, wire
from api_shim.openapi import a_list, answers, one
from approval_gate.model import ObjectType
from approval_gate.policy import missing

router = APIRouter(prefix="/api/extras/job-results", tags=["job-results"])
KIND = ObjectType.JOB_RESULT


@router.get("", **a_list(shapes.JobResult, KIND))
async def listed(request: Request, actor: Caller, use: Use) -> Response:
    """List the job results, the newest first."""
    listing = read_listing(request, KIND)
    page = await use.viewing.page(actor, KIND, listing)
    shown = await wire(request, use)
    return respond(request, as_page(request, listing, page.count, [shown.job_result(row) for row in page.rows]))


@router.get("/{ref}", **one(shapes.JobResult))
async def detail(ref: Ref, request: Request, actor: Caller, use: Use) -> Response:
    """Show a job result."""
    row = await use.viewing.one(actor, KIND, id=_id(ref))
    return respond(request, (await wire(request, use)).job_result(row))


@router.get("/{ref}/logs", **answers(list[shapes.JobLogEntry], query=("depth",)))
async def logs(ref: Ref, request: Request, actor: Caller, use: Use) -> Response:
    """List the log of a job result, the oldest line first."""
    thing_id = _id(ref)
    lines = await use.viewing.logs(actor, thing_id)
    shown = await wire(request, use)
    return respond(request, [shown.log_line(line, thing_id) for line in lines])


def _id(text: str) -> UUID:
    thing_id = read_id(text)
    if thing_id is None:
        raise missing(KIND)
    return thing_id
