"""``/signoff/results``: the list of job results, and each with its log and what can be done with it.

* The page of a run in progress polls for its state and new log lines; without JavaScript it reloads.
* Of a long log the last lines are shown, and all of them with ``log=all``.
* Logs are stored in Prefect: while it does not respond, the rest of the page is shown.
* Only actions that the visitor may take are offered. If one is refused all the same, the same page says why.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
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
from api_shim.services.result_files import MISSING
from api_shim.store import Listing, Transaction
from api_shim.web.downloads import download
from api_shim.web.errors import status_of
from api_shim.web.pages.button_groups import buttons_on
from api_shim.web.pages.edit_form import told
from api_shim.web.pages.run import go_to
from api_shim.web.pages.run_form import fields_of, link_with
from api_shim.web.pages.visit import Here, Posted, Visit
from approval_gate.errors import GateError, NotFound, Unavailable, sentences
from approval_gate.model import Action, Actor, ObjectType

router = APIRouter(prefix="/signoff/results")
KIND = ObjectType.JOB_RESULT
PAGE = 50
MOST_JOBS = 1000
"""Maximum number of Jobs in the filter."""
LAST = 500
"""How many log lines are shown by default."""
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
    return await _page(here, result_id)


@router.get("/{result_id}/files/{file_id}")
async def content(result_id: UUID, file_id: UUID, here: Here) -> Response:
    file, found = await here.use.result_files.download(here.actor, file_id)
    if file.job_result_id != result_id:
        raise NotFound(MISSING)
    return download(file.name, found)


@router.post("/{result_id}/cancel")
async def cancel(result_id: UUID, here: Here, _form: Posted) -> Response:
    try:
        result = await here.use.results.cancel(here.actor, result_id)
    except NotFound:
        raise
    except GateError as error:
        return await _page(here, result_id, error)
    notice = "The run is cancelled." if result.status.final else "The run is told to end, and killed if it does not."
    return await here.go(f"/signoff/results/{result_id}", notice)


@router.post("/{result_id}/resume")
async def resume(result_id: UUID, here: Here, _form: Posted) -> Response:
    try:
        await here.use.suspensions.resume(here.actor, result_id)
    except NotFound:
        raise
    except GateError as error:
        return await _page(here, result_id, error)
    return await here.go(f"/signoff/results/{result_id}", "The run goes on.")


@router.post("/{result_id}/run-again")
async def run_again(result_id: UUID, here: Here, _form: Posted) -> Response:
    result: JobResult = await here.use.queries.one(here.actor, KIND, id=result_id)
    try:
        accepted = await here.use.results.run_again(here.actor, result_id)
    except GateError as error:
        return await _page(here, result_id, error)
    return await go_to(here, result.name, accepted)


async def _page(here: Visit, result_id: UUID, refusal: GateError | None = None) -> Response:
    result: JobResult = await here.use.queries.one(here.actor, KIND, id=result_id)
    entries = await _log(here, result_id)
    everything = here.request.query_params.get("log") == "all"
    shown = entries if entries is None or everything else entries[-LAST:]
    about = await here.use.store.read(lambda tx: _about(here.actor, result, tx))
    total = len(entries or [])
    follows = not result.status.final or _has_just_ended(result, here.use.clock())
    return await here.show(
        "result.html",
        status_of(refusal) if refusal else 200,
        result=result,
        entries=shown,
        total=total,
        follows=follows,
        faults=[*sentences(refusal.detail)] if refusal else [],
        offers=await here.use.results.offers(here.actor, result),
        files=(await here.use.result_files.of([result_id])).get(result_id, []),
        **about,
        **await buttons_on(here, KIND, result_id),
    )


@router.get("/{result_id}/follow")
async def follow(result_id: UUID, here: Here) -> Response:
    result: JobResult = await here.use.queries.one(here.actor, KIND, id=result_id)
    after = read_count(here.request.query_params.get("after", ""))
    entries = await _log(here, result_id, after)
    about = await here.use.store.read(lambda tx: _about(here.actor, result, tx))
    now = here.use.clock()
    # Rendered without the layout: the pending notice of the session is for the next full page.
    return here.part("_following.html", result=result, entries=entries, after=after, now=now, **about)


async def _log(here: Visit, result_id: UUID, after: int = 0) -> list[LogEntry] | None:
    """Return the log without its first ``after`` lines; None while Prefect does not respond."""
    try:
        return await here.use.queries.logs(here.actor, result_id, after)
    except Unavailable:
        return None


def _has_just_ended(result: JobResult, now: datetime) -> bool:
    """Say whether log lines may still arrive: a run sends its last ones after it has ended."""
    return result.date_done is not None and now - result.date_done < LATE_LINES


def _asked(here: Visit) -> dict[str, str]:
    """Return the filters of the list; invalid values are ignored."""
    query = here.request.query_params
    status, job = query.get("status", ""), query.get("job", "")
    return {
        "status": status if status in {*Status} else "",
        "job": job if read_id(job) else "",
        "q": query.get("q", "").replace("\0", ""),
    }


async def _jobs(here: Visit) -> list[Job]:
    """Return the Jobs that the visitor can filter by."""
    if not here.actor.may(Action.VIEW, ObjectType.JOB):
        return []
    page = await here.use.queries.page(here.actor, ObjectType.JOB, Listing(limit=MOST_JOBS, sort=("name",)))
    return page.rows


def _about(actor: Actor, result: JobResult, tx: Transaction) -> dict[str, Any]:
    """Return the inputs and the user of a run, and the scheduled job that started it if the visitor may view it.

    ``edited`` is the address of the form with these inputs; empty where there is none. Inputs that may be sensitive are
    in neither.
    """
    shown = {} if result.sensitive else result.inputs or {}
    by = result.scheduled_job_id
    seen = tx.visible(ObjectType.SCHEDULED_JOB, actor, Action.VIEW, [by]) if by else set()
    scheduled = tx.get(ScheduledJob, id=by) if by in seen else None
    job = tx.get(Job, id=result.job_id) if result.job_id else None
    return {
        "scheduled": scheduled,
        "ran_as": usernames(tx, [result.user_id]).get(result.user_id, ""),
        "inputs": [*_labelled(shown, job)],
        "edited": f"/signoff/jobs/{job.id}/run?{query}" if job and (query := _query(shown, job)) else "",
    }


def _query(inputs: Mapping[str, Any], job: Job) -> str:
    return link_with(fields_of(job), inputs)


def _labelled(inputs: Mapping[str, Any], job: Job | None) -> Iterator[tuple[str, Any]]:
    """Yield inputs as the form of the Job has them; those that it does not have any more, by their names."""
    fields = {field.variable: field for field in fields_of(job)} if job else {}
    for name, value in inputs.items():
        yield (fields[name].label, told(fields[name], value)) if name in fields else (name, value)
