"""``/signoff/administration``: what the pages of administration have in common.

* Who does not see a section is answered as if there were none, whatever they send, and before that is read.
* Each change is a use case with checks of its own; what it refuses is told beside the form, which keeps what was typed.
* Two who administer at once do not undo each other: a form tells what it showed, and what was left as it showed it is
  not changed. Users and groups are added and taken away one by one.
* What cannot be undone is asked for by a page that says what goes with it.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from fastapi import APIRouter, Depends
from starlette.responses import RedirectResponse, Response

from api_shim.parsing.fields import read_count
from api_shim.store import Listing
from api_shim.web.errors import status_of
from api_shim.web.pages.run_form import Typed, faults_in
from api_shim.web.pages.sections import ADMINISTRATION, Section, sections_for
from api_shim.web.pages.visit import Here, Visit
from approval_gate.errors import GateError, NotFound, sentences

router = APIRouter(prefix=ADMINISTRATION)
NOT_THERE = "This page does not exist."


@router.get("")
async def administration(here: Here) -> Response:
    for section in sections_for(here.actor):
        return RedirectResponse(section.address, 303)
    raise NotFound(NOT_THERE)


def section_router(section: Section) -> APIRouter:
    """Return a router for the pages of a section, which others are not told of."""

    async def seen(here: Here) -> None:
        if not section.is_for(here.actor):
            raise NotFound(NOT_THERE)

    return APIRouter(prefix=section.address, dependencies=[Depends(seen)])


async def show(
    here: Visit, template: str, section: Section, error: GateError | None = None, **context: Any
) -> Response:
    """Render a page of a section; after a refusal with its status.

    Args:
        here: the visit.
        template: the file name of the template.
        section: the section.
        error: the refusal, if there is one; one that says that something is not there is raised again.
        context: the variables of the template.
    """
    if isinstance(error, NotFound):
        raise error
    status = 200 if error is None else status_of(error)
    return await here.show(template, status, section=section, zone=here.zone, **context)


def refused(error: GateError | None, labels: Collection[str], of: str, forms: Collection[str]) -> dict[str, Any]:
    """Return what each form of a page shows of a refusal: sentences by field.

    Args:
        error: the refusal, if there is one.
        labels: the ids of the fields.
        of: the form that was sent.
        forms: the names of all forms of the page.
    """
    return {form: faults_in([error.detail], labels) if error is not None and form == of else {} for form in forms}


def told(error: GateError | None) -> list[str]:
    """Return the sentences of a refusal."""
    return [*sentences(error.detail)] if error is not None else []


def asked_page(here: Visit, **how: Any) -> Listing:
    """Return what is asked of a list: what is searched for, and which page."""
    query = here.request.query_params
    search = query.get("q", "").replace("\0", "").strip()
    return Listing(search=search, limit=here.page_size, offset=read_count(query.get("offset", "")), **how)


SHOWN = "shown."
"""What the name of a field begins with that tells what a form showed in another."""


def with_shown(fields: Typed) -> Typed:
    """Return what the fields of a form have at first, and beside each what it shows."""
    return {**fields, **{f"{SHOWN}{name}": values for name, values in fields.items()}}


def altered(typed: Typed) -> set[str]:
    """Return the names of the fields that hold something else than the form showed."""
    names = {name.removeprefix(SHOWN) for name in typed}
    return {name for name in names if {*typed.get(name, ())} != {*typed.get(f"{SHOWN}{name}", ())}}


def names_in(text: str) -> list[str]:
    """Return the names in a list of names, each once."""
    return [*dict.fromkeys(name for part in text.split(",") if (name := part.strip()))]
