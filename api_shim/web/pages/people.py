"""``/signoff/people/<name>``: who somebody is, and what they have scheduled, requested and run.

* Whoever may not view the user is told what is told of a name that nobody has.
* Of what is theirs, the visitor sees and counts what they may view; a type that they may view nothing of is left out.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode
from uuid import UUID

from fastapi import APIRouter
from starlette.responses import Response

from api_shim.store import Listing, Page
from api_shim.web.pages.lists import tested
from api_shim.web.pages.schedule_filters import conditions_of
from api_shim.web.pages.visit import Here, Visit
from approval_gate.constraints import Op
from approval_gate.lifecycle import ApprovalState
from approval_gate.model import Action, ObjectType

router = APIRouter(prefix="/signoff/people")
RECENT = 5
"""How many results and requests are shown."""


@router.get("/{name:path}")
async def person(name: str, here: Here) -> Response:
    found = await here.use.account_views.called(here.actor, name)
    user = found.seen.thing
    exactly = f'"{user.username}"'
    return await here.show(
        "person.html",
        found=found,
        who=user,
        scheduled=await _scheduled(here, user.id),
        requests=await _newest(here, ObjectType.APPROVAL_REQUEST, user.id, "-created", state=ApprovalState.PENDING),
        results=await _newest(here, ObjectType.JOB_RESULT, user.id, "-date_created"),
        of_owner=urlencode({"owner": exactly}),
        of_user=urlencode({"user": exactly}),
    )


async def _scheduled(here: Visit, user_id: UUID) -> dict[str, int] | None:
    """Return how many scheduled jobs somebody owns in each view of the list; None if the visitor may see none."""
    if not here.actor.may(Action.VIEW, ObjectType.SCHEDULED_JOB):
        return None
    theirs = Listing(where=(tested("user", Op.EXACT, user_id),), limit=1)
    return dict(await here.use.schedule_views.counts(here.actor, theirs, conditions_of(here.actor)))


async def _newest(here: Visit, kind: ObjectType, user_id: UUID, sort: str, **fields: Any) -> Page[Any] | None:
    """Return the newest of what somebody has requested or run; None if the visitor may see nothing of that type."""
    if not here.actor.may(Action.VIEW, kind):
        return None
    where = (tested("user", Op.EXACT, user_id), *(tested(name, Op.EXACT, value) for name, value in fields.items()))
    return await here.use.queries.page(here.actor, kind, Listing(where=where, sort=(sort,), limit=RECENT))
