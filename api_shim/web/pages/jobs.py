"""``/signoff/jobs``: the Jobs by grouping, the visitor's favourites first, and enabling and disabling them.

* Each Job has its newest result and its next run, as far as the visitor may view them.
* The query holds the search and the tags that all Jobs shown have, so that a list can be bookmarked.
* Hidden Jobs are shown only in search results and with ``hidden=yes``.
* What could not be registered on this server is told to superusers, for it names files.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import groupby
from typing import Any
from urllib.parse import urlencode
from uuid import UUID

from fastapi import APIRouter
from starlette.responses import Response

from api_shim.domain.model import Job
from api_shim.parsing.filters import read_conditions
from api_shim.services.job_views import JobSight
from api_shim.store import Listing, Page
from api_shim.web.pages.visit import Here, Posted, Visit, text_of
from approval_gate.errors import Invalid
from approval_gate.model import ObjectType

router = APIRouter(prefix="/signoff/jobs")
MOST = 1000
"""How many Jobs the page shows."""
FAVOURITES = "Favourites"


@router.get("")
async def listed(here: Here) -> Response:
    query = here.request.query_params
    search = query.get("q", "").replace("\0", "")
    tags = [*dict.fromkeys(filter(None, query.getlist("tags")))]
    page = await _page(here, search, tags)
    narrowed = bool(search or tags)
    shown = [each for each in page.rows if not each.job.hidden or narrowed or query.get("hidden") == "yes"]
    return await here.show(
        "jobs.html",
        groups=_groups(shown),
        search=search,
        tags=[(tag, address_of(search, [other for other in tags if other != tag])) for tag in tags],
        narrowed=narrowed,
        hidden=len(page.rows) - len(shown),
        more=page.count - len(page.rows),
        problems=here.use.catalogue.problems if here.actor.superuser else (),
    )


async def _page(here: Visit, search: str, tags: Sequence[str]) -> Page[JobSight]:
    try:
        where = read_conditions(ObjectType.JOB, {"tags": [*tags]})
        return await here.use.job_views.page(here.actor, Listing(where=where, limit=MOST, search=search))
    except Invalid:
        # No Job that they may view has such a tag any more.
        return Page(0, [])


def address_of(search: str = "", tags: Sequence[str] = ()) -> str:
    """Return the path and the query of the list.

    Args:
        search: the text that is searched for; empty for none.
        tags: the tags that all Jobs shown have.
    """
    asked: dict[str, Any] = {"q": search, "tags": tags}
    query = urlencode({name: value for name, value in asked.items() if value}, doseq=True)
    return f"/signoff/jobs?{query}" if query else "/signoff/jobs"


@router.post("/{job_id}/enabled")
async def set_enabled(job_id: UUID, here: Here, form: Posted) -> Response:
    enabled = text_of(form, "enabled") == "yes"
    job: Job = await here.use.catalogue.change(here.actor, job_id, {"enabled": enabled})
    return await here.go("/signoff/jobs", f"{job.name} {'is enabled' if enabled else 'is disabled'}.")


def _groups(shown: Iterable[JobSight]) -> list[tuple[str, list[JobSight]]]:
    """Return the Jobs by grouping, after those that are favourites."""
    favourites = [each for each in shown if each.favourite]
    others = groupby((each for each in shown if not each.favourite), lambda each: each.job.grouping)
    first = [(FAVOURITES, favourites)] if favourites else []
    return [*first, *((grouping, list(jobs)) for grouping, jobs in others)]
