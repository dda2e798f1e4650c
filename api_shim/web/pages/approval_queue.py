"""``/signoff/approval-queue``: the pending requests, and the decisions about them.

* The list has two views: the requests that wait for the visitor, and those that wait for others, which say why the
  visitor cannot approve them. The query holds the view, the filters, the order and the page, so that a list can be
  bookmarked.
* A decision and a dry run apply to the version that the page showed: a request that has changed since is shown again,
  with its last change.
* A denial is confirmed on a page of its own, with the reason.
* Approval of a request whose start time has passed is confirmed on a page of its own.
* The address of a request that is gone leads to what stays of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime, time, timedelta
from functools import partial
from typing import Any
from urllib.parse import urlencode
from uuid import UUID
from zoneinfo import ZoneInfo

from fastapi import APIRouter
from starlette.datastructures import FormData
from starlette.responses import RedirectResponse, Response

from api_shim.domain.accounts import PAGE_SIZES
from api_shim.domain.files import file_variables
from api_shim.parsing.decision import Decision, read_decision
from api_shim.parsing.fields import read_count, read_id
from api_shim.services.approval_queue import QueueFilter, QueueView
from api_shim.services.approval_requests import newest_of
from api_shim.services.review import Review, review
from api_shim.web.downloads import download
from api_shim.web.errors import status_of
from api_shim.web.pages import labels
from api_shim.web.pages.lists import asked_in
from api_shim.web.pages.visit import UNSHOWN, Here, Posted, Visit, text_of, version_in
from approval_gate import policy
from approval_gate.errors import Conflict, GateError, Invalid, NotFound, Outdated, Unavailable, sentences
from approval_gate.model import Allowed, Verdict
from flows.files import is_reference

router = APIRouter(prefix="/signoff/approval-queue")
QUEUE = "/signoff/approval-queue"
NARROWING = ("q", "job", "requester", "from", "to")
"""The parameters of the query that filter."""
ASKED = ("view", *NARROWING, "sort", "limit")
"""The parameters of the query, except for ``offset``."""
SORTS: Mapping[str, str] = {
    "asked": "Longest waiting",
    "-asked": "Newest",
    "expires": "Expires next",
    "start": "Starts next",
    "name": "Name",
    "job": "Job",
    "requester": "Requested by",
}
"""The orders of the list, and what each is called."""
FIRINGS = 5
GONE = "This request no longer exists, or you do not have permission to view it."

UNKNOWN_REASONS = {
    "approve": policy.MAY_NOT_APPROVE,
    "deny": policy.MAY_NOT_DENY,
    "dry_run": policy.MAY_NOT_RUN,
}
"""The reason shown when the verdict itself would reveal an object that the visitor may not view."""


@router.get("")
async def listed(here: Here) -> Response:
    asked = asked_in(here.request.query_params, ASKED)
    wanted = _wanted(here, asked)
    queue = await here.use.approval_queue.page(here.actor, wanted)
    return await here.show(
        "approval_queue.html",
        queue=queue,
        jobs={job.id: job for job in queue.jobs},
        asked=asked,
        wanted=wanted,
        query=urlencode(asked),
        narrowed=bool(asked.keys() & {*NARROWING}),
        unfolded=bool(asked.keys() & {*NARROWING} - {"q"}),
        sorts=SORTS,
        sizes=PAGE_SIZES,
        waiting=queue.counts[QueueView.MINE],
    )


def _wanted(here: Visit, asked: Mapping[str, str]) -> QueueFilter:
    """Return the filter that an address asks for; what cannot be read is passed over."""
    view, sort, zone = asked.get("view", ""), asked.get("sort", ""), ZoneInfo(here.zone)
    until = _day(asked.get("to", ""), zone)
    return QueueFilter(
        view=QueueView(view) if view in {*QueueView} else QueueView.MINE,
        job=read_id(asked.get("job", "")),
        requester=asked.get("requester", ""),
        asked_from=_day(asked.get("from", ""), zone),
        asked_before=until + timedelta(days=1) if until else None,
        search=asked.get("q", ""),
        sort=sort if sort in SORTS else "asked",
        limit=here.page_size,
        offset=read_count(here.request.query_params.get("offset", "")),
    )


def _day(text: str, zone: ZoneInfo) -> datetime | None:
    """Return the beginning of a day; None for what is no date on which anything can have been asked."""
    try:
        day = date.fromisoformat(text)
    except ValueError:
        return None
    return datetime.combine(day, time(), zone) if 1970 <= day.year <= 9000 else None


@router.get("/{request_id}")
async def detail(request_id: UUID, here: Here) -> Response:
    try:
        return await _show(here, await _review(here, request_id))
    except (Conflict, NotFound):
        if (over := await here.use.store.read(partial(newest_of, here.actor, request_id))) is None:
            raise
        return RedirectResponse(f"/signoff/approval-requests/{over.id}", 303)


@router.get("/{request_id}/files/{file_id}")
async def file(request_id: UUID, file_id: UUID, here: Here) -> Response:
    return download(*await here.use.input_files.review(here.actor, {"id": request_id}, file_id))


@router.post("/{request_id}/approve")
async def approve(request_id: UUID, here: Here, form: Posted) -> Response:
    try:
        row = await here.use.approvals.approve(here.actor, {"id": request_id}, _decision(form))
    except (Conflict, Invalid) as error:
        seen = await _review(here, request_id)
        if str(error) == policy.PAST_DUE:
            # What they confirm is what they were shown, which may not be what there is now.
            asked = {"version": version_in(form), **_typed(form)}
            return await _show(here, seen, template="past_due.html", status=status_of(error), **asked)
        return await _anew(here, seen, error, form)
    return await here.go(QUEUE, f"You approved “{labels.title(row.name)}”.")


@router.get("/{request_id}/deny")
async def ask_to_deny(request_id: UUID, here: Here) -> Response:
    return await _ask_to_deny(here, request_id, here.request.query_params.get("version", UNSHOWN))


@router.post("/{request_id}/deny")
async def deny(request_id: UUID, here: Here, form: Posted) -> Response:
    try:
        row = await here.use.approvals.deny(here.actor, {"id": request_id}, _decision(form), on_page=True)
    except Invalid as error:
        return await _ask_to_deny(here, request_id, version_in(form), error, **_typed(form))
    except Conflict as error:
        return await _anew(here, await _review(here, request_id), error, form)
    word = "withdrew" if row.requester_id == here.actor.id else "denied"
    return await here.go(QUEUE, f"You {word} “{labels.title(row.name)}”.")


@router.post("/{request_id}/dry-run")
async def dry_run(request_id: UUID, here: Here, form: Posted) -> Response:
    try:
        result = await here.use.approvals.dry_run(here.actor, {"id": request_id}, version_in(form))
    except (Invalid, Outdated, Unavailable) as error:
        return await _anew(here, await _review(here, request_id), error, form)
    return await here.go(f"/signoff/results/{result.id}", "The dry run has been started. The request is still waiting.")


async def _ask_to_deny(
    here: Visit, request_id: UUID, version: str, error: Invalid | None = None, comment: str = ""
) -> Response:
    """Ask whether to deny the version that the visitor was shown, and why."""
    seen = await _review(here, request_id)
    own = seen.case.row.requester_id == here.actor.id
    return await here.show(
        "deny.html",
        200 if error is None else status_of(error),
        seen=seen,
        row=seen.case.row,
        job=seen.case.job,
        version=version,
        own=own,
        needs_comment=here.use.approvals.needs_comment(on_page=True) and not own,
        faults=_about_comment(error) if error is not None else [],
        comment=comment,
    )


async def _review(here: Here, request_id: UUID) -> Review:
    now = here.use.clock()
    try:
        return await here.use.store.read(partial(review, here.actor, {"id": request_id}, now))
    except NotFound as error:
        raise NotFound(GONE) from error


async def _show(
    here: Here, seen: Review, *, template: str = "request.html", status: int = 200, **context: Any
) -> Response:
    by = {"id": seen.case.row.id}
    explained = await here.use.explainer.explain(here.actor, by, None)
    upcoming = await here.use.explainer.upcoming(here.actor, by, FIRINGS)
    shown: Mapping[str, Any] = {
        "seen": seen,
        "row": seen.case.row,
        "job": seen.case.job,
        "labels": {each["name"]: each.get("label", "") for each in seen.case.job.variables},
        "downloads": _downloads(here, seen),
        "why_not": {asked: _why_not(asked, explained.verdicts[asked]) for asked in UNKNOWN_REASONS},
        "approvers": [user.username for user in explained.people["approve"]],
        "others_approve": explained.others["approve"],
        "firings": upcoming.times,
        "own": seen.case.row.requester_id == here.actor.id,
        "comment": "",
        "faults": [],
        "happened": [],
        **context,
    }
    return await here.show(template, status, **shown)


def _downloads(here: Visit, seen: Review) -> Mapping[str, str]:
    """Return the addresses of the files of a request, by variable, for who may have them."""
    if policy.has_right_to_approve(here.actor, seen.case.request) != Allowed():
        return {}
    files = {*file_variables(seen.case.job)}
    given = {each.name: each.now for each in seen.inputs if each.name in files and is_reference(each.now)}
    return {name: f"{QUEUE}/{seen.case.row.id}/files/{reference['id']}" for name, reference in given.items()}


async def _anew(here: Here, seen: Review, error: GateError, form: FormData) -> Response:
    """Show a request again, with the reason for the refusal and the typed comment."""
    faults = _about_comment(error)
    happened = [] if faults else list(sentences(error.detail))
    if isinstance(error, Outdated):
        with here.reading():
            happened += labels.last_change(reversed(seen.history))
    return await _show(here, seen, status=status_of(error), faults=faults, happened=happened, **_typed(form))


def _about_comment(error: GateError) -> list[str]:
    return error.detail.get("comment", []) if isinstance(error.detail, Mapping) else []


def _why_not(asked: str, verdict: Verdict) -> str:
    return policy.why_not(verdict, hidden=UNKNOWN_REASONS[asked])


def _typed(form: FormData) -> dict[str, str]:
    return {"comment": text_of(form, "comment")}


def _decision(form: FormData) -> Decision:
    """Return the submitted decision; without a version it matches no request."""
    said = {
        "comment": text_of(form, "comment").replace("\r\n", "\n"),
        "force": text_of(form, "force"),
        "version": version_in(form),
    }
    return read_decision((), said)
