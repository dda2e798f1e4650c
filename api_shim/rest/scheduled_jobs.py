"""``/api/extras/scheduled-jobs``: list, detail, change, delete, and who owns and decides (contract 5, 6 and 10)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from fastapi import APIRouter, Request, Response

from api_shim import shapes
from api_shim.bodies import read_body
from api_shim.conventions import (
    MAX_LIMIT,
    as_page,
    by_reference,
    check_query,
    no_content,
    read_id,
    read_listing,
    respond,
)
from api_shim.decision_form import Decision, read_decision
from api_shim.deps import Caller, Ref, Services, Use, wire
from api_shim.model import ScheduledJob
from api_shim.openapi import a_list, answers, one
from api_shim.request_shapes import Deletions, ScheduledJobChange, SentDecision, Transfer
from approval_gate.errors import Invalid, TooLarge
from approval_gate.model import Actor, ObjectType
from flows.inputs import is_storable

router = APIRouter(prefix="/api/extras/scheduled-jobs", tags=["scheduled-jobs"])
KIND = ObjectType.SCHEDULED_JOB
DECIDED = answers(shapes.ScheduledJob, query=("force",), body=SentDecision, also=[409])
BAD_ID = "Must be a valid UUID."


@router.get("", **a_list(shapes.ScheduledJob, KIND))
async def listed(request: Request, actor: Caller, use: Use) -> Response:
    """List the scheduled jobs."""
    listing = read_listing(request, KIND)
    page = await use.viewing.page(actor, KIND, listing)
    shown = await wire(request, use, (row.job_id for row in page.rows))
    return respond(request, as_page(request, listing, page.count, [shown.scheduled_job(row) for row in page.rows]))


@router.delete("", **answers(None, 204, body=Deletions))
async def delete_several(request: Request, actor: Caller, use: Use) -> Response:
    """Delete several scheduled jobs; those that the caller may not delete are passed over."""
    await use.schedules.delete_all(actor, read_ids(await read_body(request)))
    return no_content(request)


@router.get("/{ref}", **one(shapes.ScheduledJob))
async def detail(ref: Ref, request: Request, actor: Caller, use: Use) -> Response:
    """Show a scheduled job."""
    row = await use.viewing.one(actor, KIND, **by_reference(ref))
    return await _shown(request, use, row)


@router.patch("/{ref}", **answers(shapes.ScheduledJob, body=ScheduledJobChange, also=[405, 409]))
async def change(ref: Ref, request: Request, actor: Caller, use: Use) -> Response:
    """Change a scheduled job."""
    row = await use.edits.change(actor, by_reference(ref), await read_body(request))
    return await _shown(request, use, row)


@router.delete("/{ref}", **answers(None, 204))
async def delete(ref: Ref, request: Request, actor: Caller, use: Use) -> Response:
    """Delete a scheduled job."""
    await use.schedules.delete(actor, await _id_of(ref, actor, use))
    return no_content(request)


@router.post("/{ref}/approve", **DECIDED)
async def approve(ref: Ref, request: Request, actor: Caller, use: Use) -> Response:
    """Approve a request."""
    row = await use.approvals.approve(actor, by_reference(ref), await _decision(request))
    return await _shown(request, use, row)


@router.post("/{ref}/deny", **DECIDED)
async def deny(ref: Ref, request: Request, actor: Caller, use: Use) -> Response:
    """Deny a request, or withdraw one's own; it is gone then."""
    row = await use.approvals.deny(actor, by_reference(ref), await _decision(request))
    return await _shown(request, use, row)


@router.post("/{ref}/dry-run", **answers(shapes.JobResult, also=[405, 409]))
async def dry_run(ref: Ref, request: Request, actor: Caller, use: Use) -> Response:
    """Run a request with its inputs, as the caller, without changing anything."""
    await read_body(request)
    result = await use.approvals.dry_run(actor, by_reference(ref))
    return respond(request, (await wire(request, use)).job_result(result))


@router.post("/{ref}/assume-ownership", **answers(shapes.ScheduledJob, also=[409]))
async def assume_ownership(ref: Ref, request: Request, actor: Caller, use: Use) -> Response:
    """Become the owner of a scheduled job, and enable it again if a failure had disabled it."""
    await read_body(request)
    row = await use.ownership.assume(actor, by_reference(ref))
    return await _shown(request, use, row)


@router.post("/{ref}/transfer", **answers(shapes.ScheduledJob, body=Transfer, required=["user"], also=[409]))
async def transfer(ref: Ref, request: Request, actor: Caller, use: Use) -> Response:
    """Hand a scheduled job to somebody else."""
    row = await use.ownership.transfer(actor, by_reference(ref), read_receiver(await read_body(request)))
    return await _shown(request, use, row)


@router.get("/{ref}/explain", **answers(shapes.Explanation, query=("user",)))
async def explain(ref: Ref, request: Request, actor: Caller, use: Use) -> Response:
    """Tell who may do what with a scheduled job and why not, and when it fires next."""
    told = await use.explaining.explain(actor, by_reference(ref), _about(request))
    return respond(request, (await wire(request, use)).explanation(told))


def read_receiver(body: Any) -> dict[str, object]:
    """Read to whom something is handed: ``{"user": "<name or id>"}``.

    Raises:
        Invalid: nobody is named.
    """
    name = body.get("user") if isinstance(body, Mapping) else None
    if not isinstance(name, str) or not name or not is_storable(name):
        raise Invalid({"user": ["Give the name or the id of a user."]})
    return by_reference(name, "username")


def _about(request: Request) -> dict[str, object] | None:
    """Return whom an explanation is to be about, if the query says."""
    check_query(request, "user")
    name = request.query_params.get("user")
    return by_reference(name, "username") if name else None


async def _shown(request: Request, use: Services, row: ScheduledJob) -> Response:
    return respond(request, (await wire(request, use, [row.job_id])).scheduled_job(row))


async def _decision(request: Request) -> Decision:
    return read_decision(request.query_params.getlist("force"), await read_body(request))


async def _id_of(ref: str, actor: Actor, use: Services) -> UUID:
    """Return the id that a path names; what is no id is the name of one that the caller may see."""
    thing_id = read_id(ref)
    if thing_id is not None:
        return thing_id
    found: UUID = (await use.viewing.one(actor, KIND, name=ref)).id
    return found


def read_ids(body: Any) -> list[UUID]:
    """Read the body of a bulk deletion: ``["<uuid>", …]`` or ``[{"id": "<uuid>"}, …]`` (contract 9.3).

    Raises:
        Invalid: not a list, or with the fault at its place in a list.
        TooLarge: more of them than one transaction should take.
    """
    if not isinstance(body, list):
        message = f'Expected a list of items but got type "{type(body).__name__}".'
        raise Invalid({"non_field_errors": [message]})
    if len(body) > MAX_LIMIT:
        message = f"At most {MAX_LIMIT} can be deleted at once; these are {len(body)}."
        raise TooLarge({"non_field_errors": [message]})
    ids = [_item(item) for item in body]
    if None in ids:
        raise Invalid([{} if thing_id else {"id": [BAD_ID]} for thing_id in ids])
    return [thing_id for thing_id in ids if thing_id is not None]


def _item(item: Any) -> UUID | None:
    text = item.get("id") if isinstance(item, dict) else item
    return read_id(text) if isinstance(text, str) else None
