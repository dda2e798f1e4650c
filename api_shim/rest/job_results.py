"""``/api/extras/job-results``: list, detail, logs and deletion (contract 7)."""

from __future__ import annotations

from uuid import UUID

from fastapi import APIRouter, Request, Response

from api_shim.bodies import read_body
from api_shim.conventions import no_content, read_id, respond
from api_shim.deletions import read_ids
from api_shim.deps import Caller, Ref, Use, wire
from api_shim.rest.answers import answer_one, answer_page
from approval_gate.model import ObjectType
from approval_gate.policy import missing

router = APIRouter(prefix="/api/extras/job-results")
KIND = ObjectType.JOB_RESULT


@router.get("")
async def listed(request: Request, actor: Caller, use: Use) -> Response:
    return await answer_page(request, actor, use, KIND)


@router.delete("")
async def delete_several(request: Request, actor: Caller, use: Use) -> Response:
    await use.results.delete_all(actor, read_ids(await read_body(request)))
    return no_content(request)


@router.get("/{ref}")
async def detail(ref: Ref, request: Request, actor: Caller, use: Use) -> Response:
    return await answer_one(request, actor, use, KIND, await use.viewing.one(actor, KIND, id=_id(ref)))


@router.delete("/{ref}")
async def delete(ref: Ref, request: Request, actor: Caller, use: Use) -> Response:
    await use.results.delete(actor, _id(ref))
    return no_content(request)


@router.get("/{ref}/logs")
async def logs(ref: Ref, request: Request, actor: Caller, use: Use) -> Response:
    entries = await use.viewing.logs(actor, _id(ref))
    shapes = await wire(request, use)
    return respond(request, [shapes.log_entry(entry) for entry in entries])


@router.get("/{ref}/logs/{entry_id}")
async def log_entry(ref: Ref, entry_id: str, request: Request, actor: Caller, use: Use) -> Response:
    entries = await use.viewing.logs(actor, _id(ref))
    found = next((entry for entry in entries if entry.id == read_id(entry_id)), None)
    if found is None:
        raise missing(ObjectType.JOB_LOG_ENTRY)
    return respond(request, (await wire(request, use)).log_entry(found))


def _id(text: str) -> UUID:
    thing_id = read_id(text)
    if thing_id is None:
        raise missing(KIND)
    return thing_id
