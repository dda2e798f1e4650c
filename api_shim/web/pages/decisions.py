"""``/signoff/approval-queue/decisions``: approve or deny several requests at once.

* One page shows all that were selected, each with its inputs and what has changed in them, and asks. Those that the
  visitor cannot decide about are named there with the reason.
* Each decision is one of its own, by the same rules as that about one request, and bound to the version that the page
  showed: a request that has changed since is not decided about. One that has become past due since is not, either.
* Where a denial needs a comment, nothing is denied without.
* The answer tells what became of each.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any
from uuid import UUID

from fastapi import APIRouter
from starlette.datastructures import FormData
from starlette.responses import Response

from api_shim.parsing.decision import Decision, read_decision
from api_shim.parsing.fields import read_id
from api_shim.services.approval_queue import why_not_approve, why_not_deny
from api_shim.services.approvals import SAY_WHY
from api_shim.services.review import Review, reviews
from api_shim.web.errors import status_of
from api_shim.web.pages import labels
from api_shim.web.pages.approval_queue import GONE, QUEUE
from api_shim.web.pages.lists import selected_in, versions_in
from api_shim.web.pages.visit import UNSHOWN, Here, Posted, Visit, text_of, within
from approval_gate import policy
from approval_gate.errors import GateError, Invalid, NotFound, sentences

router = APIRouter(prefix="/signoff/approval-queue/decisions")
AT_ONCE = 100
"""How many requests one form decides about at most."""
PAST_DUE_SINCE = "Its start time has passed since it was shown to you. Open it to approve it anyway."
WHY_NOT = {"approve": why_not_approve, "deny": why_not_deny}
"""The decisions, and what says why somebody may not decide so."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Outcome:
    """What became of one of several decisions.

    Args:
        id: the id of the request.
        title: its title.
        said: what was done; empty if nothing was.
        why_not: why nothing was done, in sentences; empty otherwise.
    """

    id: UUID
    title: str
    said: str = ""
    why_not: Sequence[str] = ()


@router.get("")
async def ask(here: Here) -> Response:
    query = here.request.query_params
    ids = [each for each in map(read_id, query.getlist("id")) if each is not None]
    back = within(query.get("back", QUEUE))
    if not ids or query.get("decision") not in WHY_NOT:
        return await here.go(back, "Select the requests to decide about.")
    return await _ask(here, query["decision"], ids[:AT_ONCE], back)


@router.post("")
async def decide(here: Here, form: Posted) -> Response:
    what, back = text_of(form, "decision"), within(text_of(form, "back", QUEUE))
    ids = [*dict.fromkeys(selected_in(form))][:AT_ONCE]
    if what not in WHY_NOT:
        raise NotFound("There is no such decision.")
    if not ids:
        return await here.go(back, "Select the requests to decide about.")
    shown = await _reviews(here, ids)
    try:
        decision = _read(here, what, form, shown)
    except Invalid as error:
        return await _ask(here, what, ids, back, error, comment=text_of(form, "comment"))
    titles = {seen.case.row.id: labels.title(seen.case.row.name) for seen in shown}
    versions, past_due = versions_in(form), {*form.getlist("past_due")}
    done = []
    for each in ids:
        bound = {"version": versions.get(each) or UNSHOWN, "force": str(each) in past_due}
        title = titles.get(each, "A request")
        done.append(await _decide(here, what, each, title, decision.model_copy(update=bound)))
    return await here.show("decided_several.html", done=done, back=back, what=what)


async def _ask(
    here: Visit, what: str, ids: Sequence[UUID], back: str, error: Invalid | None = None, comment: str = ""
) -> Response:
    """Ask whether to decide so about several requests; after a refusal with what it says of the comment."""
    shown = await _reviews(here, ids)
    why_not = {seen.case.row.id: WHY_NOT[what](here.actor, seen.case) for seen in shown}
    possible = [seen for seen in shown if not why_not[seen.case.row.id]]
    detail: Any = error.detail if error is not None else {}
    return await here.show(
        "decide_several.html",
        200 if error is None else status_of(error),
        what=what,
        possible=possible,
        impossible=[seen for seen in shown if why_not[seen.case.row.id]],
        why_not=why_not,
        gone=len({*ids}) - len(shown),
        own={seen.case.row.id for seen in shown if seen.case.row.requester_id == here.actor.id},
        needs_comment=what == "deny" and _needs_comment(here, possible),
        back=back,
        comment=comment,
        faults=detail.get("comment", []),
    )


async def _reviews(here: Visit, ids: Sequence[UUID]) -> list[Review]:
    return await here.use.store.read(partial(reviews, here.actor, ids, here.use.clock()))


def _needs_comment(here: Visit, shown: Sequence[Review]) -> bool:
    """Say whether a denial of these requests needs a comment: who withdraws their own need not say why."""
    others = any(seen.case.row.requester_id != here.actor.id for seen in shown)
    return others and here.use.approvals.needs_comment(on_page=True)


def _read(here: Visit, what: str, form: FormData, shown: Sequence[Review]) -> Decision:
    decision = read_decision((), {"comment": text_of(form, "comment").replace("\r\n", "\n")})
    if what == "deny" and not decision.comment and _needs_comment(here, shown):
        raise Invalid({"comment": [SAY_WHY]})
    return decision


async def _decide(here: Visit, what: str, request_id: UUID, title: str, decision: Decision) -> Outcome:
    """Decide about one request, and return what became of it."""
    by = {"id": request_id}
    try:
        if what == "approve":
            row = await here.use.approvals.approve(here.actor, by, decision)
            said = "approved"
        else:
            row = await here.use.approvals.deny(here.actor, by, decision, on_page=True)
            said = "withdrawn" if row.requester_id == here.actor.id else "denied"
    except NotFound:
        return Outcome(id=request_id, title=title, why_not=[GONE])
    except GateError as error:
        told = [PAST_DUE_SINCE if each == policy.PAST_DUE else each for each in sentences(error.detail)]
        return Outcome(id=request_id, title=title, why_not=told)
    return Outcome(id=request_id, title=title, said=said)
