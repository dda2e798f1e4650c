"""The job buttons on the page of an object: in which order and groups, and how each looks."""

from __future__ import annotations

from itertools import groupby
from uuid import UUID

from api_shim.domain.triggers import JobButton
from api_shim.web.pages.visit import Visit
from approval_gate.model import ObjectType

LOOKS = {"primary": "main", "success": "main", "info": "main", "warning": "bad", "danger": "bad", "link": "quiet"}
"""How each class of buttons looks here; the others are plain."""


async def buttons_on(here: Visit, kind: ObjectType, thing_id: UUID) -> dict[str, object]:
    """Return what the template ``_job_buttons.html`` needs on the page of an object.

    Args:
        here: the visit.
        kind: the type of the object.
        thing_id: its id.
    """
    shown = await here.use.job_buttons.shown(here.actor, kind)
    # A group stands where its lightest button does.
    places = {each.group_name or each.id: place for place, each in reversed([*enumerate(shown)])}
    shown.sort(key=lambda each: places[each.group_name or each.id])
    groups = [(name, [*buttons]) for name, buttons in groupby(shown, lambda each: each.group_name)]
    return {
        "button_groups": groups,
        "button_fields": {"object_model_name": str(kind), "object_pk": str(thing_id)},
        "look_of": look_of,
    }


def look_of(button: JobButton) -> str:
    return LOOKS.get(button.button_class, "")
