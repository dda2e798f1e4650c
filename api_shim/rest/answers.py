"""How the routes answer with objects: a page of them, or one; with their related objects if the query says so.

Contract 2.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVar

from fastapi import Request, Response

from api_shim.conventions import as_page, read_depth, read_listing, respond
from api_shim.deps import Services, root_of
from api_shim.relatives import Relatives
from api_shim.shapes import Object
from approval_gate.model import Actor, ObjectType

S = TypeVar("S", bound=Object)


async def answer_page(request: Request, actor: Actor, use: Services, kind: ObjectType) -> Response:
    """Answer with a page of what the caller may view of a type."""
    listing = read_listing(request, kind)
    page = await use.viewing.page(actor, kind, listing)
    shapes = await Relatives(use, root_of(request), actor).shapes(kind, page.rows)
    return respond(request, as_page(request, listing, page.count, await expanded(request, actor, use, shapes)))


async def answer_one(request: Request, actor: Actor, use: Services, kind: ObjectType, row: Any) -> Response:
    """Answer with one object."""
    shapes = await Relatives(use, root_of(request), actor).shapes(kind, [row])
    return respond(request, (await expanded(request, actor, use, shapes))[0])


async def expanded(request: Request, actor: Actor, use: Services, shapes: Sequence[S]) -> list[S]:
    """Return shapes as deep as the query says."""
    if not read_depth(request):
        return list(shapes)
    return await Relatives(use, root_of(request), actor).expand(shapes)
