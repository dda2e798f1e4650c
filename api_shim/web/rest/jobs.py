"""``/api/extras/jobs``, ``/api/extras/job-tools`` and ``/api/extras/job-queues``: Jobs, their variables, run requests,
what agents are offered, and work queues.

Contract 3 and 4.
"""

from __future__ import annotations

from fastapi import APIRouter, Request, Response

from api_shim import schemas
from api_shim.domain.model import Job
from api_shim.parsing.fields import read_id
from api_shim.parsing.job_change import JobChange, JobChangeOf, read_job_changes
from api_shim.parsing.job_queue import JobQueueChange, NewJobQueue
from api_shim.parsing.run_request import RunForm, RunRequest, as_form_fault, read_run
from api_shim.services.request_keys import HEADER, read_key
from api_shim.web.bodies import is_form, read_body
from api_shim.web.deps import Caller, Ref, Requester, Use
from api_shim.web.rest.expansion import (
    Expander,
    answer_accepted,
    answer_one,
    answer_page,
    changes_in,
    expanded,
    read_change,
)
from api_shim.web.rest.openapi import a_list, answers, one
from api_shim.web.rest.protocol import by_reference, no_content, permission_first, respond, root_of
from api_shim.web.rest.serializers import serializer
from approval_gate.errors import Invalid
from approval_gate.model import ObjectType

router = APIRouter(prefix="/api/extras/jobs", tags=["jobs"])
KIND = ObjectType.JOB
RUN = answers(schemas.Accepted, 201, body=RunRequest, form=RunForm, keyed=True, also=[405, 409])


@router.get("", **a_list(schemas.Job, KIND))
async def listed(request: Request, actor: Requester, use: Use) -> Response:
    """List the Jobs."""
    return await answer_page(request, actor, use, KIND)


@router.put("", **answers(list[schemas.Job], query=["depth"], body=list[JobChangeOf]))
@router.patch("", **answers(list[schemas.Job], query=["depth"], body=list[JobChangeOf]))
async def change_several(request: Request, actor: Caller, use: Use) -> Response:
    """Change the settings of several Jobs, or of none; those that the caller may not change are skipped."""
    with permission_first(request, actor, KIND):
        asked = read_job_changes(await read_body(request))
    known = JobChange.__annotations__
    bodies = {
        job_id: await changes_in(body, request, actor, use, KIND, {"id": job_id}, known)
        for job_id, body in asked.items()
    }
    changed = await use.catalogue.change_all(actor, bodies)
    shapes = await Expander(use, root_of(request), actor).shapes(KIND, changed)
    return respond(request, await expanded(request, actor, use, shapes))


@router.get("/{ref}", **one(schemas.Job))
async def detail(ref: Ref, request: Request, actor: Requester, use: Use) -> Response:
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
async def variables(ref: Ref, request: Request, actor: Requester, use: Use) -> Response:
    """List the variables of a Job."""
    job: Job = await use.queries.one(actor, KIND, **by_reference(ref))
    return respond(request, list(job.variables))


@router.post("/{ref}/run", **RUN)
async def run(ref: Ref, request: Request, actor: Requester, use: Use) -> Response:
    """Run a Job now, or schedule it.

    The answer is a job result, or a scheduled job if it is to run later or needs approval.
    """
    key = read_key(request.headers.get(HEADER))
    asked = read_run(await read_body(request, with_files=True), is_form=is_form(request))
    try:
        accepted = await use.schedules.request(actor, read_id(ref) or ref, asked, key)
    except Invalid as error:
        raise type(error)(as_form_fault(error.detail)) if is_form(request) else error from None
    return await answer_accepted(request, use, accepted)


@router.post("/{ref}/check", **answers(schemas.RequestCheck, body=RunRequest, also=[405]))
async def check(ref: Ref, request: Request, actor: Caller, use: Use) -> Response:
    """Say what is wrong with a request for a run, and who would have to agree; nothing is requested."""
    asked = read_run(await read_body(request), is_form=False)
    told = await use.request_checks.check(actor, read_id(ref) or ref, asked)
    return respond(request, (await serializer(request, use)).request_check(told))


tools_router = APIRouter(prefix="/api/extras/job-tools", tags=["jobs"])


@tools_router.get("", **answers(list[schemas.JobTool]))
async def tools(request: Request, actor: Caller, use: Use) -> Response:
    """List the Jobs that agents are offered as tools of their own, of those that the caller may view and run now."""
    jobs = await use.job_tools.offered(actor)
    shapes = await Expander(use, root_of(request), actor).shapes(KIND, jobs)
    told = [{"job": shape, "variables": job.variables} for shape, job in zip(shapes, jobs, strict=True)]
    return respond(request, told)


queues_router = APIRouter(prefix="/api/extras/job-queues", tags=["job-queues"])
QUEUE = ObjectType.JOB_QUEUE


@queues_router.get("", **a_list(schemas.JobQueue, QUEUE))
async def list_queues(request: Request, actor: Caller, use: Use) -> Response:
    """List the work queues, each with its number of workers."""
    return await answer_page(request, actor, use, QUEUE)


@queues_router.post("", **answers(schemas.JobQueue, 201, body=NewJobQueue))
async def add_queue(request: Request, actor: Caller, use: Use) -> Response:
    """Make a work queue in a work pool."""
    with permission_first(request, actor, QUEUE):
        body = await read_body(request)
    queue = await use.job_queues.add(actor, body)
    return await answer_one(request, actor, use, QUEUE, queue, 201)


@queues_router.patch("/{ref}", **one(schemas.JobQueue, body=JobQueueChange, also=[409]))
async def change_queue(ref: Ref, request: Request, actor: Caller, use: Use) -> Response:
    """Move a work queue, which nothing is scheduled, waits or runs on, to another work pool."""
    by = by_reference(ref)
    body = await read_change(request, actor, use, QUEUE, by, JobQueueChange.__annotations__)
    return await answer_one(request, actor, use, QUEUE, await use.job_queues.change(actor, by, body))


@queues_router.delete("/{ref}", **answers(None, 204, also=[409]))
async def remove_queue(ref: Ref, request: Request, actor: Caller, use: Use) -> Response:
    """Remove a work queue that is not in use."""
    await use.job_queues.remove(actor, by_reference(ref))
    return no_content(request)


@queues_router.get("/{ref}", **one(schemas.JobQueue))
async def queue_detail(ref: Ref, request: Request, actor: Caller, use: Use) -> Response:
    """Show a work queue."""
    return await answer_one(request, actor, use, QUEUE, await use.queries.one(actor, QUEUE, **by_reference(ref)))
