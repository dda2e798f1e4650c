"""``/signoff/notifications``: what the visitor is told, how often and where.

* Everybody sees and changes their own alone.
* Whoever may only read is told so, whatever their form has.
* The hour of a summary is one in the time zone that the visitor prefers. Who has chosen none prefers that of the page
  from then on, which nobody knows who sends at that hour.
* The address of a service is like a password: it is not shown again, not even to correct it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from fastapi import APIRouter
from starlette.responses import Response

from api_shim.domain.notifications import TOPICS, Frequency, Way
from api_shim.parsing.notification import read_choice, read_target
from api_shim.services.notifications import check_may_write
from api_shim.web.errors import status_of
from api_shim.web.pages.visit import Here, Posted, Visit, text_of
from approval_gate.errors import Conflict, GateError, Invalid, TooManyAttempts, sentences

PLACE = "/signoff/notifications"
FIELDS = ("frequency", "hour", "way", "address", "code")
router = APIRouter(prefix=PLACE)


@router.get("")
async def shown(here: Here) -> Response:
    return await _show(here)


@router.post("/choices")
async def choose(here: Here, form: Posted) -> Response:
    check_may_write(here.actor)
    sent = {name: text_of(form, name) for name in ("frequency", "hour")}
    topics = [topic for topic in form.getlist("topic") if isinstance(topic, str)]
    try:
        choice = read_choice(topics, sent)
        if (zone := text_of(form, "zone")) and not here.visitor.preferences.time_zone:
            await here.use.preferences.change(here.actor, {"time_zone": zone})
    except Invalid as error:
        return await _show(here, error, typed={**sent, "topics": topics})
    await here.use.notifications.choose(here.actor, choice.topics, choice.frequency, choice.hour)
    return await here.go(PLACE, "Your choices were saved.")


@router.post("/targets")
async def add(here: Here, form: Posted) -> Response:
    check_may_write(here.actor)
    sent = {name: text_of(form, name) for name in ("way", "address")}
    try:
        target = await here.use.notifications.add_target(here.actor, *read_target(sent))
    except (Invalid, Conflict, TooManyAttempts) as error:
        kept = sent["address"] if sent["way"] == Way.MAIL else ""
        return await _show(here, error, typed={"way": sent["way"], "address": kept})
    if target.confirmed:
        return await here.go(PLACE, f"{target.label} is added.")
    return await here.go(PLACE, f"A code is on its way to {target.label}: enter it here to confirm the address.")


@router.post("/targets/{target_id}/confirm")
async def confirm(target_id: UUID, here: Here, form: Posted) -> Response:
    try:
        await here.use.notifications.confirm(here.actor, target_id, text_of(form, "code"))
    except Invalid as error:
        return await _show(here, error, typed={"target": target_id})
    return await here.go(PLACE, "The address is confirmed.")


@router.post("/targets/{target_id}/test")
async def test(target_id: UUID, here: Here, _form: Posted) -> Response:
    try:
        await here.use.notifications.test(here.actor, target_id)
    except Conflict as error:
        return await _show(here, error)
    return await here.go(PLACE, "A message is on its way.")


@router.post("/targets/{target_id}/switch-on")
async def switch_on(target_id: UUID, here: Here, _form: Posted) -> Response:
    await here.use.notifications.switch_on(here.actor, target_id)
    return await here.go(PLACE, "The target is switched on.")


@router.post("/targets/{target_id}/remove")
async def remove(target_id: UUID, here: Here, _form: Posted) -> Response:
    await here.use.notifications.remove_target(here.actor, target_id)
    return await here.go(PLACE, "The target is removed.")


async def _show(here: Visit, error: GateError | None = None, typed: Mapping[str, Any] | None = None) -> Response:
    """Render the page.

    Args:
        here: the visit.
        error: why a form was refused; None for none.
        typed: what that had, which it keeps.
    """
    known = dict(error.detail) if error is not None and isinstance(error.detail, Mapping) else {}
    return await here.show(
        "notifications.html",
        status_of(error) if error is not None else 200,
        chosen=await here.use.notifications.chosen(here.actor),
        has_mail=here.use.notifications.has_mail,
        topics=TOPICS,
        frequencies=[*Frequency],
        faults=dict.fromkeys(FIELDS, ()) | known,
        refused=[*sentences(error.detail)] if error is not None and not known else [],
        typed={"way": "", "address": "", "target": None, **(typed or {})},
        preferred=here.visitor.preferences.time_zone,
        zone=here.zone,
    )
