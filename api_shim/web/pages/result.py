"""``/signoff/results/<id>``: a job result, with its log and what can be done with it.

* The page of a run in progress polls for its state and new log lines; without JavaScript it reloads.
* A run that has failed says why first of all.
* Logs are stored in Prefect: while it does not respond, the rest of the page is shown.
* Only actions that the visitor may take are offered. If one is refused all the same, the same page says why.
* To cancel is confirmed on a page of its own. To run again leads to the form of the Job, which has the inputs.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from functools import partial
from typing import Any
from uuid import UUID

from fastapi import APIRouter
from starlette.responses import RedirectResponse, Response

from api_shim.domain.model import Job, JobResult
from api_shim.services.result_files import MISSING
from api_shim.services.result_views import ResultSight
from api_shim.services.results import ResultAction
from api_shim.store import Transaction
from api_shim.web.downloads import download, saved
from api_shim.web.errors import status_of
from api_shim.web.pages.button_groups import buttons_on
from api_shim.web.pages.edit_form import told
from api_shim.web.pages.result_log import LEVELS, followed, has_crashed, reasons, saved_log, shown_log
from api_shim.web.pages.run_form import fields_of
from api_shim.web.pages.visit import Here, Posted, Visit
from approval_gate.errors import GateError, NotFound, sentences
from approval_gate.model import ObjectType

router = APIRouter(prefix="/signoff/results")
KIND = ObjectType.JOB_RESULT
LATE_LINES = timedelta(seconds=10)


@router.get("/{result_id}")
async def detail(result_id: UUID, here: Here) -> Response:
    return await _page(here, result_id)


@router.get("/{result_id}/files/{file_id}")
async def content(result_id: UUID, file_id: UUID, here: Here) -> Response:
    file, found = await here.use.result_files.download(here.actor, file_id)
    if file.job_result_id != result_id:
        raise NotFound(MISSING)
    return download(file.name, found)


@router.get("/{result_id}/cancel")
async def ask_to_cancel(result_id: UUID, here: Here) -> Response:
    result: JobResult = await here.use.queries.one(here.actor, KIND, id=result_id)
    if ResultAction.CANCEL not in await here.use.results.offers(here.actor, result):
        return RedirectResponse(f"/signoff/results/{result_id}", 303)
    return await here.show("cancel_result.html", result=result)


@router.post("/{result_id}/cancel")
async def cancel(result_id: UUID, here: Here, _form: Posted) -> Response:
    try:
        result = await here.use.results.cancel(here.actor, result_id)
    except NotFound:
        raise
    except GateError as error:
        return await _page(here, result_id, error)
    notice = (
        "The run was cancelled."
        if result.status.final
        else "The run was asked to stop, and will be killed if it does not."
    )
    return await here.go(f"/signoff/results/{result_id}", notice)


@router.post("/{result_id}/resume")
async def resume(result_id: UUID, here: Here, _form: Posted) -> Response:
    try:
        await here.use.suspensions.resume(here.actor, result_id)
    except NotFound:
        raise
    except GateError as error:
        return await _page(here, result_id, error)
    return await here.go(f"/signoff/results/{result_id}", "The run continues.")


async def _page(here: Visit, result_id: UUID, refusal: GateError | None = None) -> Response:
    result: JobResult = await here.use.queries.one(here.actor, KIND, id=result_id)
    log = await shown_log(here, result)
    sight = await here.use.result_views.sight(here.actor, result)
    about = await here.use.store.read(partial(_about, sight))
    follows = not log.paged and (not result.status.final or _has_just_ended(result, here.use.clock()))
    return await here.show(
        "result.html",
        status_of(refusal) if refusal else 200,
        result=result,
        log=log,
        levels=LEVELS,
        follows=follows,
        reasons=await reasons(here, result),
        crashed=has_crashed(result),
        faults=[*sentences(refusal.detail)] if refusal else [],
        offers=await here.use.results.offers(here.actor, result),
        tried=await here.use.result_views.tried(here.actor, result),
        files=(await here.use.result_files.of([result_id])).get(result_id, []),
        **about,
        **await buttons_on(here, KIND, result_id),
    )


@router.get("/{result_id}/follow")
async def follow(result_id: UUID, here: Here) -> Response:
    result: JobResult = await here.use.queries.one(here.actor, KIND, id=result_id)
    sections = await followed(here, result)
    sight = await here.use.result_views.sight(here.actor, result)
    now = here.use.clock()
    # Rendered without the layout: the pending notice of the session is for the next full page.
    return here.part("_following.html", sight=sight, sections=sections, now=now)


@router.get("/{result_id}/log")
async def save_log(result_id: UUID, here: Here) -> Response:
    result: JobResult = await here.use.queries.one(here.actor, KIND, id=result_id)
    text = await saved_log(here, result)
    return saved(f"log-{result_id}.txt", text, "text/plain; charset=utf-8")


def _has_just_ended(result: JobResult, now: datetime) -> bool:
    """Say whether log lines may still arrive: a run sends its last ones after it has ended."""
    return result.date_done is not None and now - result.date_done < LATE_LINES


def _about(sight: ResultSight, tx: Transaction) -> dict[str, Any]:
    """Return the inputs and the user of a run, and what it came from.

    Inputs that may be sensitive are left out.
    """
    result = sight.row
    shown = {} if result.sensitive else result.inputs or {}
    job = tx.get(Job, id=result.job_id) if result.job_id else None
    return {
        "sight": sight,
        "inputs": [*_labelled(shown, job)],
    }


def _labelled(inputs: Mapping[str, Any], job: Job | None) -> Iterator[tuple[str, Any]]:
    """Yield inputs as the form of the Job has them; those that it does not have any more, by their names."""
    fields = {field.variable: field for field in fields_of(job)} if job else {}
    for name, value in inputs.items():
        yield (fields[name].label, told(fields[name], value)) if name in fields else (name, value)
