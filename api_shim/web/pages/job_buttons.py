"""``/signoff/job-buttons``: a job button is pressed, perhaps after a question.

* The buttons themselves are on the pages of their objects (``_job_buttons.html``).
* A button that asks for confirmation requests nothing before that was given.
* What comes of it is told on the page of what it has become; if it is refused, this page says why.
"""

from __future__ import annotations

from collections.abc import Mapping
from uuid import UUID

from fastapi import APIRouter
from starlette.datastructures import FormData
from starlette.responses import Response

from api_shim.parsing.fields import read_id
from api_shim.services.job_buttons import Offered
from api_shim.web.errors import status_of
from api_shim.web.pages.button_groups import look_of
from api_shim.web.pages.run import go_to
from api_shim.web.pages.visit import Here, Posted, Visit, text_of
from approval_gate.errors import GateError, NotFound, sentences
from approval_gate.model import ObjectType

router = APIRouter(prefix="/signoff/job-buttons")
PAGES: Mapping[ObjectType, str] = {
    ObjectType.JOB: "/signoff/jobs/{}/run",
    ObjectType.SCHEDULED_JOB: "/signoff/scheduled-jobs/{}",
    ObjectType.JOB_RESULT: "/signoff/results/{}",
}
"""The page of an object of each type."""


@router.post("/{button_id}")
async def press(button_id: UUID, here: Here, form: Posted) -> Response:
    kind, key = _object(form)
    found = await here.use.job_buttons.offered(here.actor, button_id, kind, key)
    if found.button.confirmation and text_of(form, "confirmed") != str(found.button.job_id):
        return await _ask(here, found, kind, key)
    try:
        accepted = await here.use.job_buttons.press(here.actor, button_id, kind, key)
    except NotFound:
        raise
    except GateError as refusal:
        return await _ask(here, found, kind, key, refusal)
    return await go_to(here, found.job, accepted)


def _object(form: FormData) -> tuple[ObjectType, UUID]:
    kind, key = text_of(form, "object_model_name"), read_id(text_of(form, "object_pk"))
    if kind not in {*PAGES} or key is None:
        raise NotFound("This page does not exist.")
    return ObjectType(kind), key


async def _ask(here: Visit, found: Offered, kind: ObjectType, key: UUID, refusal: GateError | None = None) -> Response:
    return await here.show(
        "press.html",
        status_of(refusal) if refusal else 200,
        button=found.button,
        job=found.job,
        look=look_of(found.button),
        fields={"object_model_name": str(kind), "object_pk": str(key), "confirmed": str(found.button.job_id)},
        back=PAGES[kind].format(key),
        faults=[*sentences(refusal.detail)] if refusal else [],
    )
