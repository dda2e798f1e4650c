"""``/signoff/jobs``: the Jobs by grouping, with their newest results, and enabling and disabling them.

* Hidden Jobs are shown only in search results and with ``hidden=yes``.
* What could not be registered on this server is told to superusers, for it names files.
"""

from __future__ import annotations

from itertools import groupby
from uuid import UUID

from fastapi import APIRouter
from starlette.responses import Response

from api_shim.domain.model import Job, Status
from api_shim.services.schedules import why_never
from api_shim.store import Listing
from api_shim.web.pages.visit import Here, Posted, text_of
from approval_gate import policy
from approval_gate.model import Action, Allowed, ObjectType

router = APIRouter(prefix="/signoff/jobs")
KIND = ObjectType.JOB
MOST = 1000
"""How many Jobs the page shows."""
TONES = {Status.SUCCESS: "good", Status.FAILURE: "bad"}
"""The badge style of a result by its status; plain for all others."""


@router.get("")
async def listed(here: Here) -> Response:
    query = here.request.query_params
    search = query.get("q", "").replace("\0", "")
    page = await here.use.queries.page(here.actor, KIND, Listing(limit=MOST, search=search))
    shown = [job for job in page.rows if not job.hidden or search or query.get("hidden") == "yes"]
    ids = [job.id for job in shown]
    viewing = here.use.queries
    return await here.show(
        "jobs.html",
        groups=[(grouping, list(jobs)) for grouping, jobs in groupby(shown, lambda job: job.grouping)],
        changeable=await viewing.possible(here.actor, Action.CHANGE, KIND, ids),
        runnable=await viewing.possible(here.actor, Action.RUN, KIND, _ready(shown)),
        newest=await viewing.newest_results(here.actor, ids),
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


def _ready(jobs: list[Job]) -> list[UUID]:
    """Return the ids of the Jobs that can be started now."""
    return [job.id for job in jobs if policy.runnable(job.runnable) == Allowed() and not why_never(job)]
