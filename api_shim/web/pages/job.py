"""``/signoff/jobs/<id>``: one Job, whether it is a favourite, and its settings with who has changed them.

* Everybody who may view the Job sees its page. Its settings are a form for those who may change it, and their changes
  are shown to nobody else.
* Only what was edited is changed, so that saving undoes nothing that others have changed meanwhile, and overrides
  nothing that the code says. The form sends what it showed.
* What a visitor may not change is shown, and not sent.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from fastapi import APIRouter
from starlette.datastructures import FormData
from starlette.responses import Response

from api_shim.domain.model import Job
from api_shim.services.job_views import JobDetail
from api_shim.web.errors import status_of
from api_shim.web.pages.button_groups import buttons_on
from api_shim.web.pages.jobs import address_of
from api_shim.web.pages.run_form import faults_in
from api_shim.web.pages.visit import Here, Posted, Visit, text_of
from approval_gate import policy
from approval_gate.errors import Forbidden, GateError, Invalid
from approval_gate.model import ObjectType

router = APIRouter(prefix="/signoff/jobs/{job_id}")

FLAGS = {
    "enabled": ("Enabled", "Scheduled jobs of a disabled Job fail the next time they are due."),
    "approval_required": ("Approval required", "Another person must approve every request."),
    "has_sensitive_variables": ("Sensitive variables", "Its inputs are hidden, and it cannot be scheduled."),
    "is_singleton": ("One at a time", "A run that would start while another is under way fails."),
    "hidden": ("Hidden", "It is listed only for those who search for it or ask for hidden Jobs."),
    "dryrun_default": ("Dry run by default", "Its form suggests a dry run."),
}
"""The label and the help of each setting that is on or off."""
TEXTS = {
    "description": ("Description", ""),
    "soft_time_limit": ("Soft time limit", "Seconds after which its code is asked to stop; 0 for no limit."),
    "time_limit": ("Time limit", "Seconds after which it is killed; 0 for no limit."),
    "job_queues": ("Queues", "Names, separated by commas; the first one is the default."),
}
"""The same of each setting that is typed."""
LABELS = {name: label for name, (label, _help) in {**FLAGS, **TEXTS}.items()}
CHANGED = {**LABELS, "installed": "Installed", "overridden": "Set here instead of in the code"}
"""What the fields of the audit are called."""
ON = "yes"


@router.get("")
async def shown(job_id: UUID, here: Here) -> Response:
    found = await here.use.job_views.detail(here.actor, job_id)
    return await here.show(
        "job.html",
        200,
        found=found,
        job=found.sight.job,
        **await buttons_on(here, ObjectType.JOB, job_id),
    )


@router.post("/favourite")
async def set_favourite(job_id: UUID, here: Here, form: Posted) -> Response:
    favourite = text_of(form, "favourite") == ON
    job = await here.use.job_views.set_favourite(here.actor, job_id, favourite=favourite)
    listed = address_of(text_of(form, "q"), [str(tag) for tag in form.getlist("tags")])
    back = f"/signoff/jobs/{job_id}" if text_of(form, "back") == "job" else listed
    return await here.go(back, f"{job.name} is {'now' if favourite else 'no longer'} a favourite.")


@router.get("/settings")
async def settings(job_id: UUID, here: Here) -> Response:
    found = await here.use.job_views.changeable(here.actor, job_id)
    return await _form(here, found, as_typed(found.sight.job))


@router.post("/settings")
async def change_settings(job_id: UUID, here: Here, form: Posted) -> Response:
    found = await here.use.job_views.changeable(here.actor, job_id)
    body = change_in(form)
    address = f"/signoff/jobs/{job_id}/settings"
    if not body:
        return await here.go(address, "Nothing was changed.")
    try:
        job = await here.use.catalogue.change(here.actor, job_id, body)
    except (Invalid, Forbidden) as error:
        return await _form(here, found, _typed(form, found.sight.job), error)
    return await here.go(address, f"The settings of {job.name} were saved.")


async def _form(here: Visit, found: JobDetail, typed: Mapping[str, str], error: GateError | None = None) -> Response:
    return await here.show(
        "job_settings.html",
        200 if error is None else status_of(error),
        found=found,
        job=found.sight.job,
        stands=as_typed(found.sight.job),
        typed=typed,
        faults=faults_in([error.detail], LABELS) if error is not None else {},
        flags=FLAGS,
        texts=TEXTS,
        labels=LABELS,
        changed=CHANGED,
        switches=policy.SWITCHES if found.why_no_switch else (),
    )


def as_typed(job: Job) -> dict[str, str]:
    """Return the settings of a Job as the fields of the form have them."""
    flags = {name: ON if getattr(job, name) else "" for name in FLAGS}
    limits = {name: f"{getattr(job, name):g}" for name in ("soft_time_limit", "time_limit")}
    return {**flags, **limits, "description": job.description, "job_queues": ", ".join(job.queues)}


def _typed(form: FormData, job: Job) -> dict[str, str]:
    return as_typed(job) | {name: text_of(form, name) for name in LABELS if f"was.{name}" in form}


def change_in(form: FormData) -> dict[str, Any]:
    """Return what has been edited of a Job's settings, as the body of a change."""
    body: dict[str, Any] = {}
    for name in LABELS:
        typed = _plain(text_of(form, name))
        if text_of(form, f"declared.{name}") == ON:
            body[f"{name}_override"] = False
        elif f"was.{name}" in form and typed != _plain(text_of(form, f"was.{name}")):
            body[name] = _value(name, typed)
    return body


def _plain(text: str) -> str:
    # Browsers send other ends of lines than they were given.
    return text.replace("\r\n", "\n").strip()


def _value(name: str, typed: str) -> Any:
    if name in FLAGS:
        return typed == ON
    if name == "job_queues":
        return [queue.strip() for queue in typed.split(",") if queue.strip()]
    if name.endswith("time_limit"):
        try:
            return float(typed or 0)
        except ValueError:
            # What is no number is refused where all changes are read.
            return typed
    return typed
