"""``/signoff/jobs``: the Jobs by grouping, and enabling those that may run."""

from __future__ import annotations

from itertools import groupby
from uuid import UUID

from fastapi import APIRouter
from starlette.responses import Response

from api_shim.model import Job
from api_shim.pages.visit import Here, Posted, text_of
from api_shim.store import Listing
from approval_gate.model import Action, ObjectType

router = APIRouter(prefix="/signoff/jobs")
MOST = 1000
"""How many Jobs the page shows."""


@router.get("")
async def listed(here: Here) -> Response:
    search = here.request.query_params.get("q", "").replace("\0", "")
    page = await here.use.viewing.page(here.actor, ObjectType.JOB, Listing(limit=MOST, search=search))
    changeable = await _changeable(here, [job.id for job in page.rows])
    groups = [(grouping, list(jobs)) for grouping, jobs in groupby(page.rows, lambda job: job.grouping)]
    return await here.show("jobs.html", groups=groups, changeable=changeable, search=search)


@router.post("/{job_id}/enabled")
async def set_enabled(job_id: UUID, here: Here, form: Posted) -> Response:
    enabled = text_of(form, "enabled") == "yes"
    job: Job = await here.use.catalogue.change(here.actor, job_id, {"enabled": enabled})
    return await here.go("/signoff/jobs", f"{job.name} {'may run now' if enabled else 'may no longer run'}.")


async def _changeable(here: Here, ids: list[UUID]) -> set[UUID]:
    return await here.use.store.read(lambda tx: tx.visible(ObjectType.JOB, here.actor, Action.CHANGE, ids))
