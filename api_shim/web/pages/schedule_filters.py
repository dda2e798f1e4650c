"""The filters that the list of scheduled jobs and their calendar have in common, as the query of an address has them.

* What is one's own, waits, fails, is disabled or has no owner is one click away, with its number.
* A value that is none is ignored.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import urlencode

from starlette.datastructures import QueryParams

from api_shim.domain.query import FAILING, Condition
from api_shim.parsing.fields import read_id
from api_shim.store import Listing
from api_shim.web.pages.lists import asked_in, by_name, tested
from api_shim.web.pages.visit import Visit
from approval_gate.constraints import Op
from approval_gate.lifecycle import ApprovalState
from approval_gate.model import Actor

ASKED = ("q", "job", "owner", "view")
"""The parameters of the query."""

VIEWS: Mapping[str, str] = {
    "": "All",
    "mine": "Mine",
    "waiting": "Waiting",
    "failing": "Failing",
    "disabled": "Disabled",
    "ownerless": "Without owner",
}
"""The views, by the value of their parameter: what is in each says ``conditions_of``."""


def filters_in(query: QueryParams, further: Iterable[str] = ()) -> dict[str, str]:
    """Return those of the filters, and of further parameters, that an address has."""
    asked = asked_in(query, (*ASKED, *further))
    return {name: text for name, text in asked.items() if name != "view" or text in VIEWS}


def link(asked: Mapping[str, str], **to: str) -> str:
    """Return the query of a link with other parameters than those; an empty one is left out."""
    return f"?{urlencode({name: text for name, text in {**asked, **to}.items() if text})}"


def listing_of(asked: Mapping[str, str], limit: int) -> Listing:
    """Return what is asked for, in whichever view."""
    job, owner = read_id(asked.get("job", "")), asked.get("owner")
    of_job = () if job is None else (_exactly("job_model", job),)
    of_owner = (by_name("user__username", owner),) if owner else ()
    return Listing(where=(*of_job, *of_owner), search=asked.get("q", ""), limit=limit)


def conditions_of(actor: Actor) -> dict[str, tuple[Condition, ...]]:
    """Return the conditions for what is in each view."""
    return {
        "": (),
        "mine": (_exactly("user", actor.id),),
        "waiting": (_exactly("enabled", True), _exactly("approval_state", ApprovalState.PENDING)),
        "failing": (_exactly(FAILING, True),),
        "disabled": (_exactly("enabled", False),),
        "ownerless": (tested("user", Op.ISNULL, True),),
    }


def _exactly(path: str, value: Any) -> Condition:
    # As one of one value: so ids and words are compared, too.
    return tested(path, Op.EXACT, value) if isinstance(value, bool) else tested(path, Op.IN, (value,))


async def filters(here: Visit, asked: Mapping[str, str], counts: Mapping[str, int]) -> dict[str, Any]:
    """Return what the template of the filters shows.

    Args:
        here: the visit.
        asked: the parameters.
        counts: how much is in each view.
    """
    view = asked.get("view", "")
    return {
        "asked": asked,
        "narrowed": bool(asked.keys() & {"q", "job", "owner"}),
        "jobs": await here.use.schedule_views.jobs(here.actor),
        "view": view,
        "views": [(name, label, link(asked, view=name), counts[name]) for name, label in VIEWS.items()],
    }
