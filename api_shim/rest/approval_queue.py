"""``/api/extras/approval-queue``: the requests that wait for a decision (contract 10)."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response

from api_shim.conventions import as_page, read_listing, respond
from api_shim.deps import Caller, Use, wire
from api_shim.rest.answers import expanded
from approval_gate.model import ObjectType

router = APIRouter(prefix="/api/extras/approval-queue")


@router.get("")
async def listed(request: Request, actor: Caller, use: Use) -> Response:
    listing = read_listing(request, ObjectType.SCHEDULED_JOB)
    page = await use.approvals.queue(actor, listing)
    shapes = await wire(request, use, (each.scheduled.job_id for each in page.rows))
    waiting = await expanded(request, actor, use, [shapes.waiting(each) for each in page.rows])
    return respond(request, as_page(request, listing, page.count, waiting))
