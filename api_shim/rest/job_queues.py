"""``/api/extras/job-queues``: the work queues, each with how many workers serve it now (contract 3)."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response

from api_shim import shapes
from api_shim.conventions import by_reference
from api_shim.deps import Caller, Ref, Use
from api_shim.openapi import a_list, one
from api_shim.rest.answers import answer_one, answer_page
from approval_gate.model import ObjectType

router = APIRouter(prefix="/api/extras/job-queues", tags=["job-queues"])
KIND = ObjectType.JOB_QUEUE


@router.get("", **a_list(shapes.JobQueue, KIND))
async def listed(request: Request, actor: Caller, use: Use) -> Response:
    """List the work queues, each with how many workers serve it now."""
    return await answer_page(request, actor, use, KIND)


@router.get("/{ref}", **one(shapes.JobQueue))
async def detail(ref: Ref, request: Request, actor: Caller, use: Use) -> Response:
    """Show a work queue."""
    return await answer_one(request, actor, use, KIND, await use.viewing.one(actor, KIND, **by_reference(ref)))
