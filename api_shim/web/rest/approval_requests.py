"""``/api/extras/approval-requests``: the requests for approval, also those that have been decided.

Contract 6 and 10.
"""

from __future__ import annotations

from functools import partial

from fastapi import APIRouter, Request, Response

from api_shim import schemas
from api_shim.services.approval_requests import compare
from api_shim.web.deps import Caller, Ref, Use
from api_shim.web.rest.expansion import answer_one, answer_page
from api_shim.web.rest.openapi import a_list, answers, one
from api_shim.web.rest.protocol import id_in, respond
from api_shim.web.rest.serializers import serializer
from approval_gate.model import ObjectType

router = APIRouter(prefix="/api/extras/approval-requests", tags=["approval-requests"])
KIND = ObjectType.APPROVAL_REQUEST


@router.get("", **a_list(schemas.ApprovalRequest, KIND))
async def listed(request: Request, actor: Caller, use: Use) -> Response:
    """List the requests that the caller has made or decided about, or may view otherwise; the newest first."""
    return await answer_page(request, actor, use, KIND)


@router.get("/{ref}", **one(schemas.ApprovalRequest))
async def detail(ref: Ref, request: Request, actor: Caller, use: Use) -> Response:
    """Show a request, and what became of it."""
    return await answer_one(request, actor, use, KIND, await use.queries.one(actor, KIND, id=id_in(ref, KIND)))


@router.get("/{ref}/comparison", **answers(schemas.Comparison, also=[409]))
async def comparison(ref: Ref, request: Request, actor: Caller, use: Use) -> Response:
    """Compare what was decided about with what was approved before."""
    found = await use.store.read(partial(compare, actor, id_in(ref, KIND)))
    return respond(request, (await serializer(request, use)).comparison(found))
