"""``/api/extras/jobs``: list, detail, change, variables and run (contract 3 and 4)."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request, Response

from api_shim import shapes
from api_shim.bodies import is_form, read_body
from api_shim.conventions import by_reference, respond
from api_shim.deps import Caller, Ref, Use, wire
from api_shim.fields import read_id, read_object
from api_shim.model import Job
from api_shim.openapi import a_list, answers, one
from api_shim.request_shapes import JobChange, RequestedRun, RequestedRunForm
from api_shim.rest.answers import answer_one, answer_page
from api_shim.schedules import RunRequest
from approval_gate.model import ObjectType

router = APIRouter(prefix="/api/extras/jobs", tags=["jobs"])
KIND = ObjectType.JOB
RUN = answers(shapes.Accepted, 201, body=RequestedRun, form=RequestedRunForm, also=[405])
FORM_SCHEDULE = ("name", "start_time", "interval", "crontab", "time_zone")


@router.get("", **a_list(shapes.Job, KIND))
async def listed(request: Request, actor: Caller, use: Use) -> Response:
    """List the Jobs."""
    return await answer_page(request, actor, use, KIND)


@router.get("/{ref}", **one(shapes.Job))
async def detail(ref: Ref, request: Request, actor: Caller, use: Use) -> Response:
    """Show a Job."""
    job: Job = await use.viewing.one(actor, KIND, **by_reference(ref))
    return await answer_one(request, actor, use, KIND, job)


@router.patch("/{ref}", **one(shapes.Job, body=JobChange))
async def change(ref: Ref, request: Request, actor: Caller, use: Use) -> Response:
    """Change what an administrator decides about a Job."""
    body = await read_body(request)
    job_id = read_id(ref) or (await use.viewing.one(actor, KIND, name=ref)).id
    job = await use.catalogue.change(actor, job_id, body)
    return await answer_one(request, actor, use, KIND, job)


@router.get("/{ref}/variables", **answers(list[shapes.Variable]))
async def variables(ref: Ref, request: Request, actor: Caller, use: Use) -> Response:
    """List the variables of a Job."""
    job: Job = await use.viewing.one(actor, KIND, **by_reference(ref))
    return respond(request, list(job.variables))


@router.post("/{ref}/run", **RUN)
async def run(ref: Ref, request: Request, actor: Caller, use: Use) -> Response:
    """Run a Job, now or by a schedule.

    The answer is a job result, or a scheduled job if it is to run later or needs approval.
    """
    asked = read_run(await read_body(request), is_form=is_form(request))
    accepted = await use.schedules.request(actor, read_id(ref) or ref, asked)
    scheduled = accepted.scheduled_job
    shown = await wire(request, use, [scheduled.job_id] if scheduled else [])
    return respond(request, shown.accepted(accepted), 201)


def read_run(body: Any, *, is_form: bool) -> RunRequest:
    """Read a run request, from JSON or from a form whose own fields begin with an underscore.

    Raises:
        Invalid: it is not an object, or a value in a form is a file.
    """
    sent = read_object(body)
    if not is_form:
        data = sent.get("data")
        return RunRequest(
            data={} if data is None else data,
            schedule=sent.get("schedule"),
            task_queue=sent.get("task_queue"),
            job_queue=sent.get("job_queue"),
        )
    schedule = {field: sent[f"_schedule_{field}"] for field in FORM_SCHEDULE if f"_schedule_{field}" in sent}
    own = {"_task_queue", "_job_queue", *(f"_schedule_{field}" for field in FORM_SCHEDULE)}
    return RunRequest(
        data={name: value for name, value in sent.items() if name not in own},
        schedule=schedule or None,
        task_queue=sent.get("_task_queue"),
        job_queue=sent.get("_job_queue"),
    )
