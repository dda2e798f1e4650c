"""``/signoff/scheduled-jobs``: the list, a timeline of the next 24 hours, and deletion of several at once.

* The query holds the search, the filters, the order and the page, so that a list can be bookmarked.
* Deletion is confirmed on a page of its own, which lists only what the visitor may delete. It applies to the versions
  that were shown; if one has changed since, nothing is deleted, and the page says which.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode
from uuid import UUID

from fastapi import APIRouter
from starlette.datastructures import FormData
from starlette.responses import Response

from api_shim.domain.model import ScheduledJob
from api_shim.domain.query import Condition
from api_shim.domain.recurrence import check_time_zone
from api_shim.parsing.fields import read_count, read_id
from api_shim.parsing.filters import read_sort
from api_shim.services.forecast import ScheduleStatus
from api_shim.services.schedule_views import Day
from api_shim.store import Listing
from api_shim.web.errors import status_of
from api_shim.web.pages.lists import asked_in, headings, selected_in
from api_shim.web.pages.timeline import draw
from api_shim.web.pages.visit import UNSHOWN, Here, Posted, Visit, text_of, within
from approval_gate.constraints import Lookup, Op
from approval_gate.errors import Invalid, Outdated
from approval_gate.lifecycle import ApprovalState
from approval_gate.model import ObjectType

router = APIRouter(prefix="/signoff/scheduled-jobs")
HOME = "/signoff/scheduled-jobs"
SHOWN = 25
ASKED = ("q", "job", "owner", "state", "zone", "sort")
"""The parameters of the query, except for ``offset``."""

STATES: Mapping[str, tuple[str, tuple[tuple[str, Op, Any], ...]]] = {
    "enabled": ("Enabled", (("enabled", Op.EXACT, True),)),
    "waits": (
        "Waiting for approval",
        (("enabled", Op.EXACT, True), ("approval_state", Op.IN, (ApprovalState.PENDING,))),
    ),
    "disabled": ("Disabled", (("enabled", Op.EXACT, False),)),
    "ownerless": ("Owner removed", (("user", Op.ISNULL, True),)),
}
"""The choices of the state filter: label and conditions."""

COLUMNS = (
    ("name", "Name"),
    ("job_model", "Job"),
    ("user", "Owner"),
    ("", "State"),
    ("last_run_at", "Last run"),
)
"""The columns: field to sort by (empty if the column cannot be sorted) and heading."""


@router.get("")
async def listed(here: Here) -> Response:
    asked = asked_in(here.request.query_params, ASKED)
    listing = Listing(
        where=_conditions(asked),
        search=asked.get("q", ""),
        sort=read_sort(ObjectType.SCHEDULED_JOB, [asked.get("sort", ""), "name"]),
        limit=SHOWN,
        offset=read_count(here.request.query_params.get("offset", "")),
    )
    page = await here.use.schedule_views.page(here.actor, listing)
    day = await here.use.schedule_views.day(here.actor, listing)
    zone = _zone(asked.get("zone", ""), here.use.schedule_views.zone)
    return await here.show(
        "scheduled_jobs.html",
        page=page,
        listing=listing,
        asked=asked,
        query=urlencode(asked),
        narrowed=bool(asked.keys() - {"sort", "zone"}),
        columns=headings(COLUMNS, asked, "name"),
        jobs=await here.use.schedule_views.jobs(here.actor),
        states={name: called for name, (called, _conditions) in STATES.items()},
        day=day,
        picture=draw(day, zone),
        zone=zone,
        zones=_zones(day, zone, here.use.schedule_views.zone),
        Standing=ScheduleStatus,
    )


@router.post("/delete")
async def delete(here: Here, form: Posted) -> Response:
    ids = selected_in(form)
    back = within(text_of(form, "back", HOME))
    if not ids:
        return await here.go(back, "Select the scheduled jobs to delete.")
    found = await here.use.schedule_views.deletable(here.actor, ids)
    rows, seen = [row for row, _ in found], _seen(form)
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
        faults=[f"“{row.name}” has changed since it was shown to you." for row, _ in found if str(row.id) in changed],
    )


def _seen(form: FormData) -> dict[UUID, str]:
    """Return the versions that were shown, each sent behind its id."""
    sent = (text.partition(" ") for text in form.getlist("seen") if isinstance(text, str))
    return {thing_id: version for named, _, version in sent if (thing_id := read_id(named)) is not None}


def _conditions(asked: Mapping[str, str]) -> tuple[Condition, ...]:
    tests: list[tuple[str, Op, Any]] = []
    if (job := read_id(asked.get("job", ""))) is not None:
        tests.append(("job_model", Op.IN, (job,)))
    if owner := asked.get("owner"):
        tests.append(("user__username", Op.ICONTAINS, owner))
    if (state := STATES.get(asked.get("state", ""))) is not None:
        tests += state[1]
    return tuple(Condition(tests=(Lookup(path=path, op=op, value=value),)) for path, op, value in tests)


def _zone(asked: str, default: str) -> str:
    try:
        return check_time_zone(asked) if asked else default
    except Invalid:
        return default


def _zones(day: Day, *others: str) -> list[str]:
    return sorted({"UTC", *others, *(lane.row.time_zone for lane in day.lanes)})
