"""``/signoff/results``: the runs, and each with its log, which follows along while it runs.

* While a run is under way its page asks every now and then for what is new; without scripts it is loaded again.
* Of a long log the last lines are shown, and all of them if wanted.
* Logs are Prefect's: while it does not answer, all else is shown.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlencode
from uuid import UUID

from fastapi import APIRouter
from starlette.responses import Response

from api_shim.domain.model import Job, JobResult, ScheduledJob, Status
from api_shim.parsing.fields import read_count, read_id
from api_shim.parsing.filters import read_conditions
from api_shim.services.accounts import usernames
from api_shim.services.queries import LogEntry
from api_shim.store import Listing, Transaction
from api_shim.web.pages.visit import Here, Visit, render
from approval_gate.errors import Unavailable
from approval_gate.model import Action, Actor, ObjectType

router = APIRouter(prefix="/signoff/results")
KIND = ObjectType.JOB_RESULT
PAGE = 50
MOST_JOBS = 1000
"""How many Jobs can be chosen from."""
LAST = 500
"""How many lines of a log are shown at first."""
LATE_LINES = timedelta(seconds=10)


@router.get("")
async def listed(here: Here) -> Response:
    asked = _asked(here)
    conditions = {"status": asked["status"], "job_model": asked["job"]}
    where = read_conditions(KIND, {name: [value] for name, value in conditions.items() if value})
    offset = read_count(here.request.query_params.get("offset", ""))
    listing = Listing(where=where, search=asked["q"], limit=PAGE, offset=offset)
    page = await here.use.queries.page(here.actor, KIND, listing)
    return await here.show(
        "results.html",
        page=page,
        limit=PAGE,
        offset=offset,
        query=urlencode({name: value for name, value in asked.items() if value}),
        asked=asked,
        jobs=await _jobs(here),
        states=[*Status],
        names=await here.use.store.read(lambda tx: usernames(tx, [row.user_id for row in page.rows])),
    )


@router.get("/{result_id}")
async def detail(result_id: UUID, here: Here) -> Response:
    result: JobResult = await here.use.queries.one(here.actor, KIND, id=result_id)
    entries = await _log(here, result_id)
    everything = here.request.query_params.get("log") == "all"
    shown = entries if entries is None or everything else entries[-LAST:]
    about = await here.use.store.read(lambda tx: _about(here.actor, result, tx))
    total = len(entries or [])
    follows = not result.status.final or _has_just_ended(result, here.use.clock())
    return await here.show("result.html", result=result, entries=shown, total=total, follows=follows, **about)


@router.get("/{result_id}/follow")
async def follow(result_id: UUID, here: Here) -> Response:
    result: JobResult = await here.use.queries.one(here.actor, KIND, id=result_id)
    after = read_count(here.request.query_params.get("after", ""))
    entries = await _log(here, result_id, after)
    about = await here.use.store.read(lambda tx: _about(here.actor, result, tx))
    now = here.use.clock()
    # A part of a page: the sentence for the next page is not for this one.
    return render("_following.html", result=result, entries=entries, after=after, now=now, **about)


async def _log(here: Visit, result_id: UUID, after: int = 0) -> list[LogEntry] | None:
    """Return the log, less so many lines; None while Prefect does not answer."""
    try:
        return await here.use.queries.logs(here.actor, result_id, after)
    except Unavailable:
        return None


def _has_just_ended(result: JobResult, now: datetime) -> bool:
    """Say whether lines of its log may still be on their way: a run sends the last ones when it has ended."""
    return result.date_done is not None and now - result.date_done < LATE_LINES


def _asked(here: Visit) -> dict[str, str]:
    """Return what the list is filtered by; what cannot be asked for is passed over."""
    query = here.request.query_params
    status, job = query.get("status", ""), query.get("job", "")
    return {
        "status": status if status in {*Status} else "",
        "job": job if read_id(job) else "",
        "q": query.get("q", "").replace("\0", ""),
    }


async def _jobs(here: Visit) -> list[Job]:
    """Return the Jobs that he can choose from."""
    if not here.actor.may(Action.VIEW, ObjectType.JOB):
        return []
    page = await here.use.queries.page(here.actor, ObjectType.JOB, Listing(limit=MOST_JOBS, sort=("name",)))
    return page.rows


def _about(actor: Actor, result: JobResult, tx: Transaction) -> dict[str, Any]:
    """Return what is to be known of a result besides: whom it ran as, and what scheduled it, if he may see that."""
    by = result.scheduled_job_id
    seen = tx.visible(ObjectType.SCHEDULED_JOB, actor, Action.VIEW, [by]) if by else set()
    scheduled = tx.one(ScheduledJob, id=by) if by in seen else None
    job = tx.one(Job, id=result.job_id) if result.job_id else None
    return {
        "scheduled": scheduled,
        "zone": scheduled.time_zone if scheduled else "UTC",
        "ran_as": usernames(tx, [result.user_id]).get(result.user_id, ""),
        "labels": {each["name"]: each.get("label", "") for each in job.variables} if job else {},
    }
