"""``/signoff/scheduled-jobs``: the list, a timeline of the next 24 hours, and deletion of several at once.

* What is one's own, waits, fails, is disabled or has no owner is one click away, with its number.
* What has no owner is named above every view: it does not run until somebody takes it over.
* The query holds the search, the filters, the order and the page, so that a list can be bookmarked.
* Deletion is confirmed on a page of its own, which lists only what the visitor may delete. It applies to the versions
  that were shown; if one has changed since, nothing is deleted, and the page says which.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any
from urllib.parse import urlencode
from uuid import UUID

from fastapi import APIRouter
from starlette.datastructures import FormData, QueryParams
from starlette.responses import Response

from api_shim.domain.accounts import PAGE_SIZES
from api_shim.domain.model import ScheduledJob
from api_shim.domain.query import FAILING, Condition
from api_shim.parsing.fields import read_count, read_id
from api_shim.parsing.filters import read_sort
from api_shim.services.forecast import ScheduleStatus
from api_shim.services.schedule_views import Sight
from api_shim.store import Listing, Page
from api_shim.web.errors import status_of
from api_shim.web.pages.timeline import draw
from api_shim.web.pages.visit import UNSHOWN, Here, Posted, Visit, text_of, within
from approval_gate.constraints import Lookup, Op
from approval_gate.errors import Outdated
from approval_gate.lifecycle import ApprovalState
from approval_gate.model import Actor, ObjectType

router = APIRouter(prefix="/signoff/scheduled-jobs")
HOME = "/signoff/scheduled-jobs"
ASKED = ("q", "job", "owner", "view", "sort", "limit")
"""The parameters of the query, except for ``offset``."""
ORPHANS = 5
"""How many scheduled jobs without an owner are named above the list."""

VIEWS: Mapping[str, str] = {
    "": "All",
    "mine": "Mine",
    "waiting": "Waiting",
    "failing": "Failing",
    "disabled": "Disabled",
    "ownerless": "Without owner",
}
"""The views of the list, by the value of their parameter: what is in each says ``_views``."""

COLUMNS = (
    ("name", "Name"),
    ("job_model", "Job"),
    ("user", "Owner"),
    ("enabled", "State"),
    ("last_run_at", "Last run"),
)
"""The columns: field to sort by (empty if the column cannot be sorted) and heading."""


@router.get("")
async def listed(here: Here) -> Response:
    asked, views = _asked(here.request.query_params), _views(here.actor)
    view = asked.get("view", "")
    every = Listing(where=_conditions(asked), search=asked.get("q", ""), limit=here.page_size)
    listing = replace(
        every,
        where=(*every.where, *views[view]),
        sort=read_sort(ObjectType.SCHEDULED_JOB, [asked.get("sort", ""), "name"]),
        offset=read_count(here.request.query_params.get("offset", "")),
    )
    counts = await here.use.schedule_views.counts(here.actor, every, views)
    day = await here.use.schedule_views.day(here.actor, listing)
    return await here.show(
        "scheduled_jobs.html",
        page=await here.use.schedule_views.page(here.actor, listing),
        listing=listing,
        asked=asked,
        query=urlencode(asked),
        narrowed=bool(asked.keys() & {"q", "job", "owner"}),
        columns=_columns(asked),
        jobs=await here.use.schedule_views.jobs(here.actor),
        view=view,
        views=[(name, label, _link(asked, view=name), counts[name]) for name, label in VIEWS.items()],
        orphans=await _orphans(here, every, views, counts) if view != "ownerless" else None,
        sizes=PAGE_SIZES,
        size=here.page_size,
        day=day,
        picture=draw(day, here.zone),
        Standing=ScheduleStatus,
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
    ids = _ids(form)
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


def _asked(query: QueryParams) -> dict[str, str]:
    asked = {name: query.get(name, "").replace("\0", "").strip() for name in ASKED}
    return {name: text for name, text in asked.items() if text and (name != "view" or text in VIEWS)}


def _link(asked: Mapping[str, str], **to: str) -> str:
    """Return the link to the list with other parameters."""
    return f"?{urlencode({name: text for name, text in {**asked, **to}.items() if text})}"


def _views(actor: Actor) -> dict[str, tuple[Condition, ...]]:
    """Return the conditions for what is in each view."""
    waits = ApprovalState.PENDING
    return {
        "": (),
        "mine": (_exactly("user", actor.id),),
        "waiting": (_exactly("enabled", True), _exactly("approval_state", waits)),
        "failing": (_exactly(FAILING, True),),
        "disabled": (_exactly("enabled", False),),
        "ownerless": (_tested("user", Op.ISNULL, True),),
    }


def _exactly(path: str, value: Any) -> Condition:
    # As a list of one: that is how a value which is an id is compared.
    return _tested(path, Op.EXACT, value) if isinstance(value, bool) else _tested(path, Op.IN, (value,))


def _tested(path: str, op: Op, value: Any) -> Condition:
    return Condition(tests=(Lookup(path=path, op=op, value=value),))


def _conditions(asked: Mapping[str, str]) -> tuple[Condition, ...]:
    job, owner = read_id(asked.get("job", "")), asked.get("owner")
    of_job = () if job is None else (_exactly("job_model", job),)
    return (*of_job, _tested("user__username", Op.ICONTAINS, owner)) if owner else of_job


def _ids(form: FormData) -> list[UUID]:
    sent = (read_id(text) for text in form.getlist("id") if isinstance(text, str))
    return [scheduled_id for scheduled_id in sent if scheduled_id is not None]


def _columns(asked: Mapping[str, str]) -> list[dict[str, str]]:
    """Return the column headings, each with the link that sorts by it."""
    sort = asked.get("sort", "name")
    order = {sort.removeprefix("-"): "descending" if sort.startswith("-") else "ascending"}

    def link(field: str) -> str:
        return _link(asked, sort=f"-{field}" if order.get(field) == "ascending" else field)

    return [
        {"name": name, "link": link(field) if field else "", "order": order.get(field, "") if field else ""}
        for field, name in COLUMNS
    ]
