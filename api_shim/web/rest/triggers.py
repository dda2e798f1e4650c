"""``/api/extras/job-buttons`` and ``/api/extras/job-hooks``: what has Jobs run for objects and for their changes."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request, Response

from api_shim.parsing.trigger import ADDITIONS, CHANGES
from api_shim.web.bodies import read_body
from api_shim.web.deps import Caller, Ref, Use
from api_shim.web.rest.expansion import answer_one, answer_page, read_change
from api_shim.web.rest.openapi import a_list, answers, one
from api_shim.web.rest.options import SHAPES
from api_shim.web.rest.protocol import by_reference, no_content, permission_first
from approval_gate.model import ObjectType


def _routes(kind: ObjectType, noun: str) -> APIRouter:
    """Return the routes of a type, which are the same for both.

    Args:
        kind: the type.
        noun: what one is called.
    """
    path, shape, changes = f"{noun.replace(' ', '-')}s", SHAPES[kind], CHANGES[kind]
    router = APIRouter(prefix=f"/api/extras/{path}", tags=[path])
    new = {**_said(f"Make a {noun} for a Job that the caller may run"), **answers(shape, 201, body=ADDITIONS[kind])}
    changed = {**_said(f"Change a {noun}; what is not sent stays"), **one(shape, body=changes)}

    @router.get("", **_said(f"List the {noun}s"), **a_list(shape, kind))
    async def listed(request: Request, actor: Caller, use: Use) -> Response:
        return await answer_page(request, actor, use, kind)

    @router.post("", **new)
    async def add(request: Request, actor: Caller, use: Use) -> Response:
        with permission_first(request, actor, kind):
            body = await read_body(request)
        return await answer_one(request, actor, use, kind, await use.triggers.add(actor, kind, body), 201)

    @router.get("/{ref}", **_said(f"Show a {noun}"), **one(shape))
    async def detail(ref: Ref, request: Request, actor: Caller, use: Use) -> Response:
        return await answer_one(request, actor, use, kind, await use.queries.one(actor, kind, **by_reference(ref)))

    @router.put("/{ref}", **changed)
    @router.patch("/{ref}", **changed)
    async def change(ref: Ref, request: Request, actor: Caller, use: Use) -> Response:
        by = by_reference(ref)
        body = await read_change(request, actor, use, kind, by, changes.__annotations__)
        return await answer_one(request, actor, use, kind, await use.triggers.change(actor, kind, by, body))

    @router.delete("/{ref}", **_said(f"Remove a {noun}"), **answers(None, 204))
    async def remove(ref: Ref, request: Request, actor: Caller, use: Use) -> Response:
        await use.triggers.remove(actor, kind, by_reference(ref))
        return no_content(request)

    return router


def _said(what: str) -> dict[str, Any]:
    """Return what the documentation of the API says of a route; else it would be the name of its function."""
    return {"summary": what, "description": f"{what}."}


buttons_router = _routes(ObjectType.JOB_BUTTON, "job button")
hooks_router = _routes(ObjectType.JOB_HOOK, "job hook")
