"""``/api/extras/approval-queue``: the requests that wait for a decision (contract 10)."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response

from api_shim import shapes
from api_shim.conventions import as_page, read_listing, respond
from api_shim.deps import Caller, Use, wire
from api_shim.openapi import a_list
from api_shim.rest.answers import expanded
from approval_gate.model import ObjectType

router = APIRouter(prefix="/api/extras/approval-queue", tags=["approval-queue"])


@router.get("", **a_list(shapes.Waiting, ObjectType.SCHEDULED_JOB))
async def listed(request: Request, actor: Caller, use: Use) -> Response:
    """List the requests that wait for a decision, and whether the caller may approve each."""
    listing = read_listing(request, ObjectType.SCHEDULED_JOB)
    page = await use.approvals.queue(actor, listing)
    shown = await wire(request, use, (each.scheduled.job_id for each in page.rows))
    waiting = await expanded(request, actor, use, [shown.waiting(each) for each in page.rows])
    return respond(request, as_page(request, listing, page.count, waiting))
