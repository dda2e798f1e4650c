"""The choices of variables whose values are objects of a source: in forms, and in ``/signoff/jobs/<id>/objects``.

* Who may not run the Job is offered no objects: they may not be theirs to see.
* Without JavaScript a field offers as many as a list can have; with it, it searches all of them as one types.
* What is chosen already is always offered, also if the source does not have it any more or cannot be read.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import replace
from uuid import UUID

from fastapi import APIRouter
from starlette.responses import Response

from api_shim.domain.model import Job
from api_shim.services.schedules import Schedules
from api_shim.web.pages.run_form import OBJECTS, Field, Typed
from api_shim.web.pages.visit import Here, render
from approval_gate.errors import Forbidden, GateError

router = APIRouter(prefix="/signoff/jobs/{job_id}")

MOST_LISTED = 500
"""The most objects that a list offers."""
MOST_FOUND = 50
"""The most objects that a search finds."""
MORE = "{more} more are not listed; search for them."


@router.get("/objects")
async def found(job_id: UUID, here: Here) -> Response:
    offer = await here.use.run_preview.offer(here.actor, job_id)
    if offer.why_not:
        raise Forbidden(offer.why_not)
    query = here.request.query_params
    objects = await here.use.schedules.objects(offer.job, query.get("variable", ""))
    return render("_objects.html", choices=matching(objects, query.get("q", ""))[:MOST_FOUND])


def matching(objects: Iterable[tuple[str, str]], text: str) -> list[tuple[str, str]]:
    """Return the objects, by key and title, that have every word of a text in either."""
    words = text.casefold().split()
    return [each for each in objects if all(word in " ".join(each).casefold() for word in words)]


async def offered(schedules: Schedules, job: Job, fields: Collection[Field], typed: Typed) -> list[Field]:
    """Return the fields of a form with the choices of those that offer objects.

    Args:
        schedules: knows the objects.
        job: the Job, which the visitor may run.
        fields: the fields.
        typed: what is chosen.
    """
    return [await _with_choices(schedules, job, each, typed) if each.kind in OBJECTS else each for each in fields]


async def _with_choices(schedules: Schedules, job: Job, field: Field, typed: Typed) -> Field:
    try:
        objects, told = await schedules.objects(job, field.variable), ""
    except GateError as error:
        objects, told = [], str(error)
    listed, chosen = objects[:MOST_LISTED], typed.get(field.name, [])
    titles, known = dict(objects), dict(listed)
    also = [(key, titles.get(key, key)) for key in chosen if key and key not in known]
    more = len(objects) - len(listed)
    told = MORE.format(more=more) if more else told
    return replace(field, choices=(*field.choices, *also, *listed), help=" ".join(filter(None, (field.help, told))))
