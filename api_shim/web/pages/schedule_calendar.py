"""``/signoff/scheduled-jobs/calendar``: what has fired, and what fires, in a day, a week or a month.

* It has the filters of the list. Days are those of the reader's time zone; a day that is none is today.
* What it does not show, because there is too much, it says.
"""

from __future__ import annotations

from dataclasses import replace

from fastapi import APIRouter
from starlette.responses import Response

from api_shim.domain.calendar_spans import Span, day_after, day_before, ends_of, first_day, read_day
from api_shim.services.schedule_views import LOOKED_AT
from api_shim.web.pages.calendar_picture import draw
from api_shim.web.pages.reader import local
from api_shim.web.pages.schedule_filters import conditions_of, filters, filters_in, link, listing_of
from api_shim.web.pages.visit import Here

router = APIRouter(prefix="/signoff/scheduled-jobs/calendar")
FURTHER = ("span", "at")


@router.get("")
async def shown(here: Here) -> Response:
    asked, views = filters_in(here.request.query_params, FURTHER), conditions_of(here.actor)
    span = Span(asked["span"]) if asked.get("span") in {*Span} else Span.DAY
    with here.reading():
        today = local(here.now).date()
    at = first_day(span, read_day(asked.get("at", "")) or today)
    every = listing_of(asked, LOOKED_AT)
    listing = replace(every, where=(*every.where, *views[asked.get("view", "")]))
    calendar = await here.use.schedule_views.calendar(here.actor, listing, ends_of(span, at, here.zone))
    with here.reading():
        picture = draw(calendar, span)
    return await here.show(
        "schedule_calendar.html",
        calendar=calendar,
        picture=picture,
        span=span,
        spans=[(each, link(asked, span=each)) for each in Span],
        before=link(asked, at=day_before(span, at).isoformat()),
        after=link(asked, at=day_after(span, at).isoformat()),
        today=link(asked, at="") if at != first_day(span, today) else "",
        as_list=link({name: text for name, text in asked.items() if name not in FURTHER}),
        **await filters(here, asked, await here.use.schedule_views.counts(here.actor, every, views)),
    )
