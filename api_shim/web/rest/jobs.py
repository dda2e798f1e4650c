"""``/api/extras/jobs`` and ``/api/extras/job-queues``: Jobs, their variables, run requests, and work queues.

Contract 3 and 4.
"""

from __future__ import annotations

from fastapi import APIRouter, Request, Response

from api_shim import schemas
from api_shim.domain.model import Job
from api_shim.parsing.fields import read_id
from api_shim.parsing.job_change import JobChange
from api_shim.parsing.run_request import RunForm, RunRequest, read_run
from api_shim.services.request_keys import HEADER, read_key
from api_shim.web.bodies import is_form, read_body
from api_shim.web.deps import Caller, Ref, Use
from api_shim.web.rest.expansion import answer_accepted, answer_one, answer_page, read_change
from api_shim.web.rest.openapi import a_list, answers, one
from api_shim.web.rest.protocol import by_reference, respond
from approval_gate.model import ObjectType

router = APIRouter(prefix="/api/extras/jobs", tags=["jobs"])
KIND = ObjectType.JOB
RUN = answers(schemas.Accepted, 201, body=RunRequest, form=RunForm, keyed=True, also=[405, 409])


@router.get("", **a_list(schemas.Job, KIND))
async def listed(request: Request, actor: Caller, use: Use) -> Response:
    """List the Jobs."""
    return await answer_page(request, actor, use, KIND)


@router.get("/{ref}", **one(schemas.Job))
async def detail(ref: Ref, request: Request, actor: Caller, use: Use) -> Response:
    """Show a Job."""
    job: Job = await use.queries.one(actor, KIND, **by_reference(ref))
    return await answer_one(request, actor, use, KIND, job)


@router.put("/{ref}", **one(schemas.Job, body=JobChange))
@router.patch("/{ref}", **one(schemas.Job, body=JobChange))
async def change(ref: Ref, request: Request, actor: Caller, use: Use) -> Response:
    """Change the settings of a Job; what is not sent stays.

    Only users who may approve the Job can change whether it requires approval or may have sensitive variables.
    """
    body = await read_change(request, actor, use, KIND, by_reference(ref), JobChange.__annotations__)
    job_id = read_id(ref) or (await use.queries.one(actor, KIND, name=ref)).id
    job = await use.catalogue.change(actor, job_id, body)
    return await answer_one(request, actor, use, KIND, job)


@router.get("/{ref}/variables", **answers(list[schemas.Variable]))
async def variables(ref: Ref, request: Request, actor: Caller, use: Use) -> Response:
    """List the variables of a Job."""
    job: Job = await use.queries.one(actor, KIND, **by_reference(ref))
    return respond(request, list(job.variables))


@router.post("/{ref}/run", **RUN)
async def run(ref: Ref, request: Request, actor: Caller, use: Use) -> Response:
    """Run a Job now, or schedule it.

    The answer is a job result, or a scheduled job if it is to run later or needs approval.
    """
    key = read_key(request.headers.get(HEADER))
    asked = read_run(await read_body(request, with_files=True), is_form=is_form(request))
    accepted = await use.schedules.request(actor, read_id(ref) or ref, asked, key)
    return await answer_accepted(request, use, accepted)


queues_router = APIRouter(prefix="/api/extras/job-queues", tags=["job-queues"])
QUEUE = ObjectType.JOB_QUEUE


@queues_router.get("", **a_list(schemas.JobQueue, QUEUE))
async def list_queues(request: Request, actor: Caller, use: Use) -> Response:
    """List the work queues, each with its number of workers."""
    return await answer_page(request, actor, use, QUEUE)


@queues_router.get("/{ref}", **one(schemas.JobQueue))
async def queue_detail(ref: Ref, request: Request, actor: Caller, use: Use) -> Response:
    """Show a work queue."""
    return await answer_one(request, actor, use, QUEUE, await use.queries.one(actor, QUEUE, **by_reference(ref)))
