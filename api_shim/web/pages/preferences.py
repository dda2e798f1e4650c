"""``/signoff/preferences``: a form for what the visitor prefers: their time zone, and the length of lists."""

from __future__ import annotations

from collections.abc import Mapping

from fastapi import APIRouter
from starlette.responses import Response

from api_shim.domain.accounts import PAGE_SIZES
from api_shim.domain.recurrence import time_zones
from api_shim.parsing.fields import read_count
from api_shim.web.errors import status_of
from api_shim.web.pages.visit import USUAL, Here, Posted, Visit, browser_zone, text_of
from approval_gate.errors import Invalid

router = APIRouter(prefix="/signoff/preferences")
HOME = "/signoff/preferences"
LABELS = {"time_zone": "Time zone", "page_size": "Rows per page"}


@router.get("")
async def form(here: Here) -> Response:
    stored = here.visitor.preferences
    return await _show(here, {"time_zone": stored.time_zone, "page_size": str(stored.page_size)})


@router.post("")
async def save(here: Here, sent: Posted) -> Response:
    typed = {name: text_of(sent, name) for name in LABELS}
    try:
        await here.use.preferences.change(here.actor, {**typed, "page_size": read_count(typed["page_size"], -1)})
    except Invalid as error:
        return await _show(here, typed, error)
    return await here.go(HOME, "Your preferences were saved.")


async def _show(here: Visit, typed: Mapping[str, str], error: Invalid | None = None) -> Response:
    return await here.show(
        "preferences.html",
        200 if error is None else status_of(error),
        typed=typed,
        faults=error.detail if error is not None else {},
        labels=LABELS,
        zones=time_zones(),
        browser_zone=browser_zone(here.request),
        sizes=PAGE_SIZES,
        usual=USUAL,
    )
