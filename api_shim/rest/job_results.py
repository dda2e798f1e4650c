"""``/api/extras/job-results``: list, detail and logs (contract 7)."""

from __future__ import annotations

from uuid import UUID

from fastapi import APIRouter, Request, Response

from api_shim.conventions import as_page, read_id, read_listing, respond
from api_shim.deps import Caller, Ref, Use, wire
from approval_gate.model import ObjectType
from approval_gate.policy import missing

router = APIRouter(prefix="/api/extras/job-results")
KIND = ObjectType.JOB_RESULT


@router.get("")
async def listed(request: Request, actor: Caller, use: Use) -> Response:
    listing = read_listing(request, KIND)
    page = await use.viewing.page(actor, KIND, listing)
    shapes = await wire(request, use)
    return respond(request, as_page(request, listing, page.count, [shapes.job_result(row) for row in page.rows]))


@router.get("/{ref}")
async def detail(ref: Ref, request: Request, actor: Caller, use: Use) -> Response:
    row = await use.viewing.one(actor, KIND, id=_id(ref))
    return respond(request, (await wire(request, use)).job_result(row))


@router.get("/{ref}/logs")
async def logs(ref: Ref, request: Request, actor: Caller, use: Use) -> Response:
    thing_id = _id(ref)
    lines = await use.viewing.logs(actor, thing_id)
    shapes = await wire(request, use)
    return respond(request, [shapes.log_line(line, thing_id) for line in lines])


def _id(text: str) -> UUID:
    thing_id = read_id(text)
    if thing_id is None:
        raise missing(KIND)
    return thing_id
