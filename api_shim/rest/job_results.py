"""``/api/extras/job-results``: list, detail, logs and deletion (contract 7)."""

from __future__ import annotations

from uuid import UUID

from fastapi import APIRouter, Request, Response

from api_shim import shapes
from api_shim.bodies import read_body
from api_shim.conventions import no_content, respond
from api_shim.deletions import read_ids
from api_shim.deps import Caller, Ref, Use, wire
from api_shim.fields import read_id
from api_shim.openapi import a_list, answers, one
from api_shim.request_shapes import Deletions
from api_shim.rest.answers import answer_one, answer_page
from approval_gate.model import ObjectType
from approval_gate.policy import missing

router = APIRouter(prefix="/api/extras/job-results", tags=["job-results"])
KIND = ObjectType.JOB_RESULT


@router.get("", **a_list(shapes.JobResult, KIND))
async def listed(request: Request, actor: Caller, use: Use) -> Response:
    """List the job results, the newest first."""
    return await answer_page(request, actor, use, KIND)


@router.delete("", **answers(None, 204, body=Deletions, also=[409]))
async def delete_several(request: Request, actor: Caller, use: Use) -> Response:
    """Delete several job results; those that the caller may not delete are passed over."""
    await use.results.delete_all(actor, read_ids(await read_body(request)))
    return no_content(request)


@router.get("/{ref}", **one(shapes.JobResult))
async def detail(ref: Ref, request: Request, actor: Caller, use: Use) -> Response:
    """Show a job result."""
    return await answer_one(request, actor, use, KIND, await use.viewing.one(actor, KIND, id=_id(ref)))


@router.delete("/{ref}", **answers(None, 204, also=[409]))
async def delete(ref: Ref, request: Request, actor: Caller, use: Use) -> Response:
    """Delete a job result."""
    await use.results.delete(actor, _id(ref))
    return no_content(request)


@router.get("/{ref}/logs", **answers(list[shapes.JobLogEntry]))
async def logs(ref: Ref, request: Request, actor: Caller, use: Use) -> Response:
    """List the log of a job result, the oldest line first."""
    entries = await use.viewing.logs(actor, _id(ref))
    shown = await wire(request, use)
    return respond(request, [shown.log_entry(entry) for entry in entries])


@router.get("/{ref}/logs/{entry_id}", **answers(shapes.JobLogEntry))
async def log_entry(ref: Ref, request: Request, actor: Caller, use: Use) -> Response:
    """Show a line of the log of a job result."""
    entries = await use.viewing.logs(actor, _id(ref))
    entry_id = read_id(request.path_params["entry_id"])
    found = next((entry for entry in entries if entry.id == entry_id), None)
    if found is None:
        raise missing(ObjectType.JOB_LOG_ENTRY)
    return respond(request, (await wire(request, use)).log_entry(found))


def _id(text: str) -> UUID:
    thing_id = read_id(text)
    if thing_id is None:
        raise missing(KIND)
    return thing_id
