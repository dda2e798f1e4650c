"""``/api/extras/job-results`` and ``/api/extras/job-logs``: job results, their logs, cancel, run again and deletion.

* Logs are read from Prefect, for a few results at a time: a list of log lines is of the job results that it names, or
  else of the newest.
* What Prefect's engine says of a run is left out, unless a list asks about the ``grouping``.

Contract 7 and 10.
"""

from __future__ import annotations

from collections.abc import Collection
from uuid import UUID

from fastapi import APIRouter, Request, Response

from api_shim import schemas
from api_shim.parsing.deletions import Deletions, read_ids
from api_shim.parsing.resumption import Resumption, read_resumption
from api_shim.services.queries import LOG_ENTRY, LOGS_AT_ONCE, without_engine
from api_shim.services.request_keys import HEADER, read_key
from api_shim.store import Listing
from api_shim.web.bodies import read_body
from api_shim.web.deps import Caller, Ref, Requester, Use
from api_shim.web.rest.expansion import answer_accepted, answer_one, answer_page, expanded
from api_shim.web.rest.openapi import a_list, answers, one
from api_shim.web.rest.protocol import as_page, id_in, no_content, permission_first, read_listing, respond
from api_shim.web.rest.serializers import serializer
from approval_gate.constraints import Lookup
from approval_gate.errors import Invalid
from approval_gate.model import ObjectType

router = APIRouter(prefix="/api/extras/job-results", tags=["job-results"])
KIND = ObjectType.JOB_RESULT


@router.get("", **a_list(schemas.JobResult, KIND))
async def listed(request: Request, actor: Requester, use: Use) -> Response:
    """List the job results, the newest first."""
    return await answer_page(request, actor, use, KIND)


@router.delete("", **answers(None, 204, body=Deletions, also=[409]))
async def delete_several(request: Request, actor: Caller, use: Use) -> Response:
    """Delete several job results; those that the caller may not delete are skipped."""
    with permission_first(request, actor, KIND):
        ids = read_ids(await read_body(request))
    await use.results.delete_all(actor, ids)
    return no_content(request)


@router.get("/{ref}", **one(schemas.JobResult))
async def detail(ref: Ref, request: Request, actor: Requester, use: Use) -> Response:
    """Show a job result."""
    return await answer_one(request, actor, use, KIND, await use.queries.one(actor, KIND, id=id_in(ref, KIND)))


@router.delete("/{ref}", **answers(None, 204, also=[409]))
async def delete(ref: Ref, request: Request, actor: Caller, use: Use) -> Response:
    """Delete a job result."""
    await use.results.delete(actor, id_in(ref, KIND))
    return no_content(request)


@router.post("/{ref}/cancel", **one(schemas.JobResult, also=[409]))
async def cancel(ref: Ref, request: Request, actor: Caller, use: Use) -> Response:
    """Cancel a run.

    One that has not begun is over at once. One that has is asked to end, and killed if it does not.
    """
    await read_body(request)
    return await answer_one(request, actor, use, KIND, await use.results.cancel(actor, id_in(ref, KIND)))


@router.post("/{ref}/run-again", **answers(schemas.Accepted, 201, keyed=True, also=[405, 409]))
async def run_again(ref: Ref, request: Request, actor: Caller, use: Use) -> Response:
    """Request what has run once more, with the same inputs, as the caller.

    Inputs that may be sensitive are not kept: what had them is to be requested anew.
    """
    key = read_key(request.headers.get(HEADER))
    await read_body(request)
    return await answer_accepted(request, use, await use.results.run_again(actor, id_in(ref, KIND), key))


@router.post("/{ref}/resume", **one(schemas.JobResult, body=Resumption, also=[409]))
async def resume(ref: Ref, request: Request, actor: Caller, use: Use) -> Response:
    """Let a run go on that its own code has paused or suspended, with what it asks for."""
    answer = read_resumption(await read_body(request))
    return await answer_one(request, actor, use, KIND, await use.suspensions.resume(actor, id_in(ref, KIND), answer))


@router.get("/{ref}/logs", **answers(list[schemas.JobLogEntry]))
async def logs(ref: Ref, request: Request, actor: Requester, use: Use) -> Response:
    """List the log lines of a job result, the oldest first."""
    entries = without_engine(await use.queries.logs(actor, id_in(ref, KIND)))
    shown = await serializer(request, use)
    return respond(request, [shown.log_entry(entry) for entry in entries])


logs_router = APIRouter(prefix="/api/extras/job-logs", tags=["job-logs"])


@logs_router.get("", **a_list(schemas.JobLogEntry, LOG_ENTRY))
async def list_log_entries(request: Request, actor: Requester, use: Use) -> Response:
    """List the log lines of the job results that the query names, or else of the newest 20."""
    listing = read_listing(request, LOG_ENTRY)
    page = await use.queries.log_entries(actor, _named(listing), listing)
    shown = await serializer(request, use)
    entries = [shown.log_entry(entry) for entry in page.rows]
    return respond(request, as_page(request, listing, page.count, await expanded(request, actor, use, entries)))


@logs_router.get("/{ref}", **one(schemas.JobLogEntry))
async def log_entry(ref: Ref, request: Request, actor: Requester, use: Use) -> Response:
    """Show a log line."""
    entry = await use.queries.log_entry(actor, id_in(ref, LOG_ENTRY))
    shown = (await serializer(request, use)).log_entry(entry)
    return respond(request, (await expanded(request, actor, use, [shown]))[0])


def _named(listing: Listing) -> Collection[UUID] | None:
    """Return the job results that the query names; None if it names none."""
    tests = (test for condition in listing.where if not condition.negated for test in condition.tests)
    named = [test.value for test in tests if isinstance(test, Lookup) and test.path == "job_result"]
    if not named:
        return None
    ids: tuple[UUID, ...] = named[0]
    if len(ids) > LOGS_AT_ONCE:
        raise Invalid({"job_result": [f"Name at most {LOGS_AT_ONCE} job results to list the logs of."]})
    return ids
