"""``/signoff/results``: the list of job results, an export of it, and deletion of several at once.

* The query holds the filters, the order and the page, so that a list can be bookmarked. Invalid values are ignored.
* The days that a list is limited to are days in the time zone in which the visitor reads times.
* An export has what the filters show, up to a limit. A cell of a table that a spreadsheet would compute is quoted.
* Deletion is confirmed on a page of its own, which lists only what is over and what the visitor may delete.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from io import StringIO
from typing import Any
from urllib.parse import urlencode
from zoneinfo import ZoneInfo

from fastapi import APIRouter
from starlette.responses import Response

from api_shim.domain.accounts import PAGE_SIZES
from api_shim.domain.model import Status
from api_shim.domain.query import Condition
from api_shim.domain.status_words import word_of
from api_shim.parsing.fields import read_count, read_id
from api_shim.parsing.filters import read_conditions, read_sort
from api_shim.services.result_views import MOST_EXPORTED, ResultSight
from api_shim.store import Listing
from api_shim.web.csv_cells import not_a_formula
from api_shim.web.downloads import saved
from api_shim.web.errors import status_of
from api_shim.web.pages.lists import asked_in, by_name, day_begins, headings, selected_in
from api_shim.web.pages.visit import Here, Posted, Visit, text_of, within
from approval_gate.errors import Conflict, NotFound, sentences
from approval_gate.model import ObjectType

router = APIRouter(prefix="/signoff/results")
HOME = "/signoff/results"
KIND = ObjectType.JOB_RESULT
NEWEST = "-date_created"
FILTERS = ("q", "job", "status", "user", "schedule", "dry_run", "since", "until")
ASKED = (*FILTERS, "sort", "limit")
"""The parameters of the query, except for ``offset``."""

COLUMNS = (
    ("name", "Job"),
    ("status", "Status"),
    ("user", "Ran as"),
    ("", "Came from"),
    ("date_created", "Created"),
    ("", "Duration"),
)
"""The columns: field to sort by (empty if the column cannot be sorted) and heading."""

DRY_RUN = {"true": "Dry runs", "false": "No dry runs"}
"""The choices of the filter for dry runs."""


@router.get("")
async def listed(here: Here) -> Response:
    asked = asked_in(here.request.query_params, ASKED)
    listing = _listing(here, asked, read_count(here.request.query_params.get("offset", "")))
    page = await here.use.result_views.page(here.actor, listing, asked.get("schedule", ""))
    return await here.show(
        "results.html",
        page=page,
        listing=listing,
        asked=asked,
        query=urlencode(asked),
        narrowed=bool(asked.keys() & {*FILTERS}),
        columns=headings(COLUMNS, asked, NEWEST),
        jobs=await here.use.schedule_views.jobs(here.actor),
        states=[*Status],
        dry_run=DRY_RUN,
        sizes=PAGE_SIZES,
        most_exported=MOST_EXPORTED,
    )


@router.get("/export")
async def export(here: Here) -> Response:
    query = here.request.query_params
    write = WRITERS.get(query.get("format", "csv"))
    if write is None:
        raise NotFound("This page does not exist.")
    asked = asked_in(query, ASKED)
    found = await here.use.result_views.exported(here.actor, _listing(here, asked), asked.get("schedule", ""))
    text, kind, name = write([{name: read(each) for name, read in EXPORTED.items()} for each in found])
    return saved(name, text, kind)


@router.post("/delete")
async def delete(here: Here, form: Posted) -> Response:
    ids = selected_in(form)
    back = within(text_of(form, "back", HOME))
    # The page of a deleted result does not exist any more.
    back = back if back.partition("?")[0] == HOME else HOME
    if not ids:
        return await here.go(back, "Select the results to delete.")
    found = await here.use.result_views.deletable(here.actor, ids)
    others = len({*ids}) - len(found)
    if text_of(form, "confirmed") != "yes":
        return await _confirm(here, found, others, back)
    try:
        await here.use.results.delete_all(here.actor, [each.row.id for each in found])
    except Conflict as error:
        return await _confirm(here, found, others, back, error)
    what = f"the result of {found[0].row.name}" if len(found) == 1 else f"{len(found)} results"
    return await here.go(back, f"Deleted {what}.")


async def _confirm(
    here: Visit, found: Sequence[ResultSight], others: int, back: str, error: Conflict | None = None
) -> Response:
    """Ask whether to delete; after a refusal with what it says."""
    return await here.show(
        "delete_results.html",
        200 if error is None else status_of(error),
        found=found,
        others=others,
        back=back,
        faults=[] if error is None else [*dict.fromkeys(sentences(error.detail))],
    )


def _listing(here: Visit, asked: Mapping[str, str], offset: int = 0) -> Listing:
    return Listing(
        where=_conditions(asked, ZoneInfo(here.zone)),
        search=asked.get("q", ""),
        sort=read_sort(KIND, [asked.get("sort", NEWEST)]),
        limit=here.page_size,
        offset=offset,
    )


def _conditions(asked: Mapping[str, str], zone: ZoneInfo) -> tuple[Condition, ...]:
    status, job, dry_run = (asked.get(name, "") for name in ("status", "job", "dry_run"))
    query = {
        "status": status if status in {*Status} else "",
        "job_model": job if read_id(job) else "",
        "dry_run": dry_run if dry_run in DRY_RUN else "",
        "date_created__gte": _midnight(asked.get("since", ""), zone),
        "date_created__lt": _midnight(asked.get("until", ""), zone, days=1),
    }
    where = read_conditions(KIND, {name: [value] for name, value in query.items() if value})
    return (*where, by_name("user__username", asked["user"])) if asked.get("user") else where


def _midnight(day: str, zone: ZoneInfo, days: int = 0) -> str:
    """Return when a day, or one so many days later, begins; empty if it is none."""
    begins = day_begins(day, zone, days)
    return begins.isoformat() if begins is not None else ""


def _when(moment: datetime | None) -> str:
    return moment.isoformat() if moment else ""


EXPORTED: Mapping[str, Callable[[ResultSight], Any]] = {
    "id": lambda each: str(each.row.id),
    "job": lambda each: each.row.name,
    "status": lambda each: word_of(each.row.status),
    "dry_run": lambda each: each.row.dry_run,
    "ran_as": lambda each: each.ran_as,
    "scheduled_job": lambda each: each.scheduled.name if each.scheduled else "",
    "approved_by": lambda each: each.row.approval["by"] if each.row.approval else "",
    "due": lambda each: _when(each.row.nominal_time),
    "created": lambda each: _when(each.row.date_created),
    "started": lambda each: _when(each.row.date_started),
    "ended": lambda each: _when(each.row.date_done),
    "cancelled_by": lambda each: each.row.cancelled_by,
    "queue": lambda each: each.row.queue,
}
"""What an export has of each result."""


def _as_csv(rows: Sequence[Mapping[str, Any]]) -> tuple[str, str, str]:
    written = StringIO()
    table = csv.writer(written)
    table.writerow(EXPORTED)
    table.writerows([*map(_cell, row.values())] for row in rows)
    return written.getvalue(), "text/csv; charset=utf-8", "results.csv"


def _as_json(rows: Sequence[Mapping[str, Any]]) -> tuple[str, str, str]:
    return json.dumps(rows, ensure_ascii=False, indent=1), "application/json", "results.json"


WRITERS = {"csv": _as_csv, "json": _as_json}
"""The formats of an export."""


def _cell(value: Any) -> str:
    return not_a_formula({True: "yes", False: "no"}[value] if isinstance(value, bool) else str(value))
