"""``/api/extras/job-logs``: the log lines of job results, which the query must name (contract 7)."""

from __future__ import annotations

from collections.abc import Collection
from uuid import UUID

from fastapi import APIRouter, Request, Response

from api_shim import shapes
from api_shim.conditions import Comparison
from api_shim.conventions import as_page, read_listing, respond
from api_shim.deps import Caller, Use, wire
from api_shim.openapi import a_list
from api_shim.rest.answers import expanded
from api_shim.store import Listing
from approval_gate.errors import Invalid
from approval_gate.model import ObjectType

router = APIRouter(prefix="/api/extras/job-logs", tags=["job-logs"])
KIND = ObjectType.JOB_LOG_ENTRY
AT_ONCE = 20
"""How many job results one list may be about: each is asked of Prefect."""


@router.get("", **a_list(shapes.JobLogEntry, KIND, needed=["job_result"]))
async def listed(request: Request, actor: Caller, use: Use) -> Response:
    """List the log lines of the job results that the query names."""
    listing = read_listing(request, KIND)
    page = await use.viewing.log_entries(actor, _named(listing), listing)
    shown = await wire(request, use)
    entries = [shown.log_entry(entry) for entry in page.rows]
    return respond(request, as_page(request, listing, page.count, await expanded(request, actor, use, entries)))


def _named(listing: Listing) -> Collection[UUID]:
    """Return the job results that the query names."""
    tests = (test for condition in listing.where if not condition.negated for test in condition.tests)
    named = [test.value for test in tests if isinstance(test, Comparison) and test.path == "job_result"]
    if not named or len(named[0]) > AT_ONCE:
        raise Invalid({"job_result": [f"Name the job results whose logs are wanted, at most {AT_ONCE}."]})
    ids: tuple[UUID, ...] = named[0]
    return ids
