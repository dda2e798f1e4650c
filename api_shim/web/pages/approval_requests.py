"""``/signoff/approval-requests``: the requests that the visitor has made or decided about, also those that are over.

* The list has two views, what the visitor has asked and what was decided; each has its own filters.
* A request that waits is shown in the approval queue; one that has been decided is shown here, with what was decided
  about, compared with what was approved before, and with what became of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any
from urllib.parse import urlencode
from uuid import UUID

from fastapi import APIRouter
from starlette.responses import RedirectResponse, Response

from api_shim.domain.model import ApprovalRequest, Job
from api_shim.domain.query import Condition
from api_shim.parsing.fields import read_count
from api_shim.services.approval_queue import QueueView
from api_shim.services.approval_requests import Outcomes, compare, outcomes
from api_shim.store import Listing, Transaction
from api_shim.web.pages.visit import Here, Visit
from approval_gate.constraints import Lookup, Op
from approval_gate.lifecycle import ApprovalState
from approval_gate.model import Actor, ObjectType

router = APIRouter(prefix="/signoff/approval-requests")
KIND = ObjectType.APPROVAL_REQUEST
PAGE = 50
VIEWS: Mapping[str, str] = {"mine": "My requests", "decided": "Decided"}
"""The views of the list, and what each is called."""


@router.get("")
async def listed(here: Here) -> Response:
    asked = _asked(here)
    offset = read_count(here.request.query_params.get("offset", ""))
    newest = "-created" if asked["view"] == "mine" else "-decided_at"
    listing = Listing(
        where=_conditions(here.actor, asked), search=asked["q"], sort=(newest,), limit=PAGE, offset=offset
    )
    page = await here.use.queries.page(here.actor, KIND, listing)
    counts = await here.use.approval_queue.counts(here.actor)
    told: Outcomes = await here.use.store.read(partial(outcomes, here.actor, page.rows))
    return await here.show(
        "approval_requests.html",
        page=page,
        counts=counts,
        waiting=counts[QueueView.MINE],
        told=told,
        asked=asked,
        limit=PAGE,
        offset=offset,
        query=urlencode({name: value for name, value in asked.items() if value}),
        narrowed=bool(asked["q"] or asked["state"]),
        views=VIEWS,
        states=[*_states(asked["view"])],
    )


@router.get("/{request_id}")
async def detail(request_id: UUID, here: Here) -> Response:
    request: ApprovalRequest = await here.use.queries.one(here.actor, KIND, id=request_id)
    if request.decided_at is None:
        return RedirectResponse(f"/signoff/approval-queue/{request.scheduled_job_id}", 303)
    return await here.show("approval_request.html", **await here.use.store.read(partial(_about, here.actor, request)))


def _about(actor: Actor, request: ApprovalRequest, tx: Transaction) -> dict[str, Any]:
    told = outcomes(actor, [request], tx)
    return {
        "request": request,
        "job": tx.get(Job, id=request.job_id),
        "comparison": compare(actor, request.id, tx),
        "scheduled": request.scheduled_job_id in told.scheduled,
        "result": told.results.get(request.scheduled_job_id),
        "own": actor.id == request.user_id,
    }


def _states(view: str) -> tuple[ApprovalState, ...]:
    """Return the states that requests of a view can have."""
    decided = (ApprovalState.APPROVED, ApprovalState.DENIED, ApprovalState.WITHDRAWN, ApprovalState.EXPIRED)
    return decided if view == "decided" else (ApprovalState.PENDING, *decided)


def _asked(here: Visit) -> dict[str, str]:
    """Return the view and the filters of the list; invalid values are ignored."""
    query = here.request.query_params
    view = query.get("view", "")
    view = view if view in VIEWS else "mine"
    state = query.get("state", "")
    return {
        "view": view,
        "state": state if state in {*_states(view)} else "",
        "q": query.get("q", "").replace("\0", ""),
    }


def _conditions(actor: Actor, asked: Mapping[str, str]) -> tuple[Condition, ...]:
    def one_of(*tests: tuple[str, Op, Any]) -> Condition:
        return Condition(tests=tuple(Lookup(path=path, op=op, value=value) for path, op, value in tests))

    if asked["view"] == "mine":
        of_view = one_of(("user", Op.EXACT, actor.id), ("owner", Op.EXACT, actor.id))
    else:
        of_view = one_of(("decided_at", Op.ISNULL, False))
    state = (one_of(("state", Op.EXACT, ApprovalState(asked["state"]))),) if asked["state"] else ()
    return (of_view, *state)
