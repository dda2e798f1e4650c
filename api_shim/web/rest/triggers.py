"""``/api/extras/job-buttons`` and ``/api/extras/job-hooks``: what has Jobs run for objects and for their changes."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response

from api_shim import schemas
from api_shim.parsing.trigger import JobButtonChange, JobHookChange, NewJobButton, NewJobHook
from api_shim.web.bodies import read_body
from api_shim.web.deps import Caller, Ref, Use
from api_shim.web.rest.expansion import answer_one, answer_page, read_change
from api_shim.web.rest.openapi import a_list, answers, one
from api_shim.web.rest.protocol import by_reference, no_content, permission_first
from approval_gate.model import ObjectType

buttons_router = APIRouter(prefix="/api/extras/job-buttons", tags=["job-buttons"])
BUTTON = ObjectType.JOB_BUTTON


@buttons_router.get("", **a_list(schemas.JobButton, BUTTON))
async def list_buttons(request: Request, actor: Caller, use: Use) -> Response:
    """List the job buttons."""
    return await answer_page(request, actor, use, BUTTON)


@buttons_router.post("", **answers(schemas.JobButton, 201, body=NewJobButton))
async def add_button(request: Request, actor: Caller, use: Use) -> Response:
    """Make a job button of a Job that the caller may run."""
    with permission_first(request, actor, BUTTON):
        body = await read_body(request)
    return await answer_one(request, actor, use, BUTTON, await use.triggers.add(actor, BUTTON, body), 201)


@buttons_router.get("/{ref}", **one(schemas.JobButton))
async def button_detail(ref: Ref, request: Request, actor: Caller, use: Use) -> Response:
    """Show a job button."""
    return await answer_one(request, actor, use, BUTTON, await use.queries.one(actor, BUTTON, **by_reference(ref)))


@buttons_router.put("/{ref}", **one(schemas.JobButton, body=JobButtonChange))
@buttons_router.patch("/{ref}", **one(schemas.JobButton, body=JobButtonChange))
async def change_button(ref: Ref, request: Request, actor: Caller, use: Use) -> Response:
    """Change a job button; what is not sent stays."""
    by = by_reference(ref)
    body = await read_change(request, actor, use, BUTTON, by, JobButtonChange.__annotations__)
    return await answer_one(request, actor, use, BUTTON, await use.triggers.change(actor, BUTTON, by, body))


@buttons_router.delete("/{ref}", **answers(None, 204))
async def remove_button(ref: Ref, request: Request, actor: Caller, use: Use) -> Response:
    """Remove a job button."""
    await use.triggers.remove(actor, BUTTON, by_reference(ref))
    return no_content(request)


hooks_router = APIRouter(prefix="/api/extras/job-hooks", tags=["job-hooks"])
HOOK = ObjectType.JOB_HOOK


@hooks_router.get("", **a_list(schemas.JobHook, HOOK))
async def list_hooks(request: Request, actor: Caller, use: Use) -> Response:
    """List the job hooks."""
    return await answer_page(request, actor, use, HOOK)


@hooks_router.post("", **answers(schemas.JobHook, 201, body=NewJobHook))
async def add_hook(request: Request, actor: Caller, use: Use) -> Response:
    """Make a job hook for a Job that the caller may run."""
    with permission_first(request, actor, HOOK):
        body = await read_body(request)
    return await answer_one(request, actor, use, HOOK, await use.triggers.add(actor, HOOK, body), 201)


@hooks_router.get("/{ref}", **one(schemas.JobHook))
async def hook_detail(ref: Ref, request: Request, actor: Caller, use: Use) -> Response:
    """Show a job hook."""
    return await answer_one(request, actor, use, HOOK, await use.queries.one(actor, HOOK, **by_reference(ref)))


@hooks_router.put("/{ref}", **one(schemas.JobHook, body=JobHookChange))
@hooks_router.patch("/{ref}", **one(schemas.JobHook, body=JobHookChange))
async def change_hook(ref: Ref, request: Request, actor: Caller, use: Use) -> Response:
    """Change a job hook; what is not sent stays."""
    by = by_reference(ref)
    body = await read_change(request, actor, use, HOOK, by, JobHookChange.__annotations__)
    return await answer_one(request, actor, use, HOOK, await use.triggers.change(actor, HOOK, by, body))


@hooks_router.delete("/{ref}", **answers(None, 204))
async def remove_hook(ref: Ref, request: Request, actor: Caller, use: Use) -> Response:
    """Remove a job hook."""
    await use.triggers.remove(actor, HOOK, by_reference(ref))
    return no_content(request)
