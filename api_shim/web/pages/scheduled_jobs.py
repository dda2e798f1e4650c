"""``/signoff/scheduled-jobs``: the list, and deletion of several at once.

* What has no owner is named above every view: it does not run until somebody takes it over.
* The query holds the search, the filters, the order and the page, so that a list can be bookmarked.
* Deletion is confirmed on a page of its own, which lists only what the visitor may delete. It applies to the versions
  that were shown; if one has changed since, nothing is deleted, and the page says which.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from urllib.parse import urlencode
from uuid import UUID

from fastapi import APIRouter
from starlette.responses import Response

from api_shim.domain.accounts import PAGE_SIZES
from api_shim.domain.model import ScheduledJob
from api_shim.domain.query import Condition
from api_shim.domain.status_words import ScheduleStatus
from api_shim.parsing.fields import read_count
from api_shim.parsing.filters import read_sort
from api_shim.services.schedule_views import Sight
from api_shim.store import Listing, Page
from api_shim.web.errors import status_of
from api_shim.web.pages import labels
from api_shim.web.pages.lists import headings, selected_in, versions_in
from api_shim.web.pages.schedule_filters import conditions_of, filters, filters_in, link, listing_of
from api_shim.web.pages.visit import UNSHOWN, Here, Posted, Visit, text_of, within
from approval_gate.errors import Outdated
from approval_gate.model import ObjectType

router = APIRouter(prefix="/signoff/scheduled-jobs")
HOME = "/signoff/scheduled-jobs"
FURTHER = ("sort", "limit")
"""The parameters of the query besides the filters, except for ``offset``."""
ORPHANS = 5
"""How many scheduled jobs without an owner are named above the list."""

COLUMNS = (
    ("name", "Name"),
    ("job_model", "Job"),
    ("user", "Owner"),
    ("enabled", "State"),
    ("last_run_at", "Last run"),
)
"""The columns: field to sort by, and heading."""


@router.get("")
async def listed(here: Here) -> Response:
    asked, views = filters_in(here.request.query_params, FURTHER), conditions_of(here.actor)
    view = asked.get("view", "")
    every = listing_of(asked, here.page_size)
    listing = replace(
        every,
        where=(*every.where, *views[view]),
        sort=read_sort(ObjectType.SCHEDULED_JOB, [asked.get("sort", ""), "name"]),
        offset=read_count(here.request.query_params.get("offset", "")),
    )
    counts = await here.use.schedule_views.counts(here.actor, every, views)
    return await here.show(
        "scheduled_jobs.html",
        page=await here.use.schedule_views.page(here.actor, listing),
        listing=listing,
        query=urlencode(asked),
        columns=headings(COLUMNS, asked, "name"),
        orphans=await _orphans(here, every, views, counts) if view != "ownerless" else None,
        sizes=PAGE_SIZES,
        size=here.page_size,
        as_calendar=link({name: text for name, text in asked.items() if name not in FURTHER}),
        Standing=ScheduleStatus,
        **await filters(here, asked, counts),
    )


async def _orphans(
    here: Visit, every: Listing, views: Mapping[str, tuple[Condition, ...]], counts: Mapping[str, int]
) -> Page[Sight] | None:
    """Return the first scheduled jobs of a list that have no owner; None if all have one."""
    if not counts["ownerless"]:
        return None
    lost = replace(every, where=(*every.where, *views["ownerless"]), limit=ORPHANS)
    return await here.use.schedule_views.page(here.actor, lost)


@router.post("/delete")
async def delete(here: Here, form: Posted) -> Response:
    ids = selected_in(form)
    back = within(text_of(form, "back", HOME))
    if not ids:
        return await here.go(back, "Select the scheduled jobs to delete.")
    found = await here.use.schedule_views.deletable(here.actor, ids)
    rows, seen = [row for row, _ in found], versions_in(form)
    others = len(set(ids)) - len(rows)
    if text_of(form, "confirmed") != "yes":
        # The page that led here may have shown more of it than this one does.
        return await _confirm(here, found, others, back, seen)
    try:
        shown = [(row.id, seen.get(row.id, UNSHOWN)) for row in rows]
        await here.use.schedules.delete_all(here.actor, [row.id for row in rows], shown)
    except Outdated as error:
        return await _confirm(here, await here.use.schedule_views.deletable(here.actor, ids), others, back, {}, error)
    what = rows[0].name if len(rows) == 1 else f"{len(rows)} scheduled jobs"
    # The page of a deleted scheduled job does not exist any more.
    is_list = back.partition("?")[0] == HOME
    return await here.go(back if is_list else HOME, f"Deleted {what}.")


async def _confirm(
    here: Visit,
    found: list[tuple[ScheduledJob, str]],
    others: int,
    back: str,
    seen: Mapping[UUID, str],
    error: Outdated | None = None,
) -> Response:
    """Ask whether to delete; after a refusal with what has changed since it was shown."""
    changed = error.detail if error is not None and isinstance(error.detail, Mapping) else {}
    return await here.show(
        "delete_scheduled_jobs.html",
        200 if error is None else status_of(error),
        rows=[row for row, _ in found],
        versions={row.id: seen.get(row.id, version) for row, version in found},
        others=others,
        back=back,
        faults=[
            f"“{labels.title(row.name)}” has changed since it was shown to you."
            for row, _ in found
            if str(row.id) in changed
        ],
    )
