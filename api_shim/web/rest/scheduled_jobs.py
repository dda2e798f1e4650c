"""``/api/extras/scheduled-jobs`` and ``/api/extras/approval-queue``: scheduled jobs, decisions and ownership.

Contract 5, 6 and 10.
"""

from __future__ import annotations

from functools import partial
from uuid import UUID

from fastapi import APIRouter, Request, Response

from api_shim import schemas
from api_shim.parsing.decision import Decision, read_decision
from api_shim.parsing.deletions import VersionedDeletions, read_ids, read_versions
from api_shim.parsing.fields import read_id
from api_shim.parsing.schedule_change import ScheduledJobChange, Transfer, read_receiver
from api_shim.parsing.seen import HEADER, Seen, read_seen
from api_shim.services.approval_queue import waiting_of
from api_shim.services.review import review as review_of
from api_shim.services.schedule_views import MOST_FIRINGS, SHOWN_FIRINGS
from api_shim.web.bodies import read_body
from api_shim.web.deps import Caller, Ref, Requester, Services, Use
from api_shim.web.rest.expansion import answer_one, answer_page, expanded, read_change
from api_shim.web.rest.openapi import a_file, a_list, answers, one
from api_shim.web.rest.protocol import (
    as_page,
    by_reference,
    check_query,
    no_content,
    permission_first,
    read_listing,
    respond,
    respond_file,
    root_of,
)
from api_shim.web.rest.serializers import Serializer, serializer
from approval_gate.errors import Invalid
from approval_gate.model import Actor, ObjectType

router = APIRouter(prefix="/api/extras/scheduled-jobs", tags=["scheduled-jobs"])
KIND = ObjectType.SCHEDULED_JOB
DECIDED = one(schemas.ScheduledJob, query=["force"], body=Decision, matched=True)


@router.get("", **a_list(schemas.ScheduledJob, KIND))
async def listed(request: Request, actor: Requester, use: Use) -> Response:
    """List the scheduled jobs."""
    return await answer_page(request, actor, use, KIND)


@router.delete("", **answers(None, 204, body=VersionedDeletions, also=[409]))
async def delete_several(request: Request, actor: Caller, use: Use) -> Response:
    """Delete several scheduled jobs; those that the caller may not delete are skipped.

    If one has another version than the one that is given for it, none is deleted.
    """
    with permission_first(request, actor, KIND):
        body = await read_body(request)
        ids, versions = read_ids(body), read_versions(body)
    await use.schedules.delete_all(actor, ids, versions)
    return no_content(request)


@router.get("/{ref}", **one(schemas.ScheduledJob))
async def detail(ref: Ref, request: Request, actor: Requester, use: Use) -> Response:
    """Show a scheduled job."""
    row = await use.queries.one(actor, KIND, **by_reference(ref))
    return await answer_one(request, actor, use, KIND, row)


@router.patch("/{ref}", **one(schemas.ScheduledJob, body=ScheduledJobChange, matched=True, also=[405]))
async def change(ref: Ref, request: Request, actor: Caller, use: Use) -> Response:
    """Change a scheduled job."""
    by = by_reference(ref)
    body = await read_change(request, actor, use, KIND, by, ScheduledJobChange.__annotations__)
    row = await use.schedule_changes.change(actor, by, body, _seen(request, body))
    return await answer_one(request, actor, use, KIND, row)


@router.delete("/{ref}", **answers(None, 204, body=Seen, matched=True))
async def delete(ref: Ref, request: Request, actor: Caller, use: Use) -> Response:
    """Delete a scheduled job."""
    seen = _seen(request, await read_body(request))
    await use.schedules.delete(actor, await _id_of(ref, actor, use), seen)
    return no_content(request)


@router.get("/{ref}/review", **answers(schemas.Review, also=[409]))
async def review(ref: Ref, request: Request, actor: Caller, use: Use) -> Response:
    """Show a request with everything that its approver should see before they decide."""
    seen = await use.store.read(partial(review_of, actor, by_reference(ref), use.clock()))
    shown = Serializer(root_of(request), {seen.case.job.id: seen.case.job})
    return respond(request, shown.review(seen, waiting_of(actor, seen.case, seen.asked)))


@router.get("/{ref}/files/{file_id}/download", **a_file())
async def file(ref: Ref, request: Request, actor: Caller, use: Use) -> Response:
    """Download a file that a request would give to its run, as its approver."""
    file_id = read_id(request.path_params["file_id"])
    return respond_file(request, *await use.input_files.review(actor, by_reference(ref), file_id))


@router.post("/{ref}/approve", **DECIDED)
async def approve(ref: Ref, request: Request, actor: Caller, use: Use) -> Response:
    """Approve a request."""
    row = await use.approvals.approve(actor, by_reference(ref), await _decision(request))
    return await answer_one(request, actor, use, KIND, row)


@router.post("/{ref}/deny", **DECIDED)
async def deny(ref: Ref, request: Request, actor: Caller, use: Use) -> Response:
    """Deny a request, or withdraw your own; the scheduled job is then removed."""
    row = await use.approvals.deny(actor, by_reference(ref), await _decision(request))
    return await answer_one(request, actor, use, KIND, row)


@router.post("/{ref}/dry-run", **answers(schemas.JobResult, body=Seen, matched=True, also=[405]))
async def dry_run(ref: Ref, request: Request, actor: Caller, use: Use) -> Response:
    """Start a dry run of a request, as the caller; the request is not affected."""
    seen = _seen(request, await read_body(request))
    result = await use.approvals.dry_run(actor, by_reference(ref), seen)
    return respond(request, (await serializer(request, use)).job_result(result))


@router.post("/{ref}/assume-ownership", **one(schemas.ScheduledJob, body=Seen, matched=True))
async def assume_ownership(ref: Ref, request: Request, actor: Caller, use: Use) -> Response:
    """Become the owner of a scheduled job; one that a failure has disabled is enabled again."""
    seen = _seen(request, await read_body(request))
    row = await use.ownership.assume(actor, by_reference(ref), seen)
    return await answer_one(request, actor, use, KIND, row)


@router.post("/{ref}/transfer", **one(schemas.ScheduledJob, body=Transfer, matched=True))
async def transfer(ref: Ref, request: Request, actor: Caller, use: Use) -> Response:
    """Transfer a scheduled job to another user."""
    body = await read_body(request)
    receiver = by_reference(read_receiver(body), "username")
    row = await use.ownership.transfer(actor, by_reference(ref), receiver, _seen(request, body))
    return await answer_one(request, actor, use, KIND, row)


@router.get("/{ref}/explain", **answers(schemas.Explanation, query=["user"]))
async def explain(ref: Ref, request: Request, actor: Caller, use: Use) -> Response:
    """Explain who can do what with a scheduled job, and when it runs next, or why not."""
    told = await use.explainer.explain(actor, by_reference(ref), _about(request))
    return respond(request, (await serializer(request, use)).explanation(told))


@router.get("/{ref}/upcoming", **answers(schemas.Upcoming, query=["count"]))
async def upcoming(ref: Ref, request: Request, actor: Caller, use: Use) -> Response:
    """Show when a scheduled job runs next."""
    told = await use.explainer.upcoming(actor, by_reference(ref), _count(request))
    return respond(request, (await serializer(request, use)).upcoming(told))


def _about(request: Request) -> dict[str, object] | None:
    """Return the lookup of the user to explain it for, if the query names one."""
    check_query(request, "user")
    name = request.query_params.get("user")
    return by_reference(name, "username") if name else None


def _count(request: Request) -> int:
    """Return the requested number of times."""
    check_query(request, "count")
    text = request.query_params.get("count", str(SHOWN_FIRINGS))
    if not (text.isdecimal() and text.isascii() and len(text) < 4 and 1 <= int(text) <= MOST_FIRINGS):
        raise Invalid({"count": [f"Enter a whole number from 1 to {MOST_FIRINGS}."]})
    return int(text)


async def _decision(request: Request) -> Decision:
    body = await read_body(request)
    return read_decision(request.query_params.getlist("force"), body, request.headers.getlist(HEADER))


def _seen(request: Request, body: object) -> str | None:
    """Return the version that the caller has seen, if the request names one."""
    return read_seen(request.headers.getlist(HEADER), body)


async def _id_of(ref: str, actor: Actor, use: Services) -> UUID:
    """Return the id of the scheduled job in the path; a name is looked up among those that the caller may view."""
    thing_id = read_id(ref)
    if thing_id is not None:
        return thing_id
    found: UUID = (await use.queries.one(actor, KIND, name=ref)).id
    return found


queue_router = APIRouter(prefix="/api/extras/approval-queue", tags=["approval-queue"])


@queue_router.get("", **a_list(schemas.Waiting, ObjectType.SCHEDULED_JOB))
async def list_waiting(request: Request, actor: Caller, use: Use) -> Response:
    """List the requests that wait for approval, and whether the caller can approve each."""
    listing = read_listing(request, ObjectType.SCHEDULED_JOB)
    page = await use.approval_queue.listed(actor, listing)
    shown = await serializer(request, use, (each.scheduled.job_id for each in page.rows))
    waiting = await expanded(request, actor, use, [shown.waiting(each) for each in page.rows])
    return respond(request, as_page(request, listing, page.count, waiting))
