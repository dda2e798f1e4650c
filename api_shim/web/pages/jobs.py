"""``/signoff/jobs``: the Jobs by grouping, the visitor's favourites first, and enabling and disabling them.

* Each Job has its newest result and its next run, as far as the visitor may view them.
* Hidden Jobs are shown only in search results and with ``hidden=yes``.
* What could not be registered on this server is told to superusers, for it names files.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import groupby
from uuid import UUID

from fastapi import APIRouter
from starlette.responses import Response

from api_shim.domain.model import Job, Status
from api_shim.services.job_views import JobSight
from api_shim.store import Listing
from api_shim.web.pages.visit import Here, Posted, text_of

router = APIRouter(prefix="/signoff/jobs")
MOST = 1000
"""How many Jobs the page shows."""
TONES = {Status.SUCCESS: "good", Status.FAILURE: "bad"}
"""The badge style of a result by its status; plain for all others."""
FAVOURITES = "Favourites"


@router.get("")
async def listed(here: Here) -> Response:
    query = here.request.query_params
    search = query.get("q", "").replace("\0", "")
    page = await here.use.job_views.page(here.actor, Listing(limit=MOST, search=search))
    shown = [each for each in page.rows if not each.job.hidden or search or query.get("hidden") == "yes"]
    return await here.show(
        "jobs.html",
        groups=_groups(shown),
        tones=TONES,
        search=search,
        hidden=len(page.rows) - len(shown),
        more=page.count - len(page.rows),
        problems=here.use.catalogue.problems if here.actor.superuser else (),
    )


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
