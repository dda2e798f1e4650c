"""``/api/users/users``, ``groups``, ``tokens`` and ``permissions``: list, detail, add, change, remove (contract 8)."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

from fastapi import APIRouter, Request, Response

from api_shim.accounts import NAMED_BY
from api_shim.bodies import read_body
from api_shim.conventions import by_reference, no_content, respond
from api_shim.deps import Caller, Ref, Services, Use, root_of
from api_shim.rest.answers import answer_one, answer_page
from api_shim.wire_accounts import PATHS, AccountsWire, related
from approval_gate.model import ObjectType
from approval_gate.policy import missing

router = APIRouter(prefix="/api")


def _add_routes(kind: ObjectType) -> None:
    """Give a type its routes, which are the same for all of them."""
    path = f"/{PATHS[kind]}"

    @router.get(path)
    async def listed(request: Request, actor: Caller, use: Use) -> Response:
        return await answer_page(request, actor, use, kind)

    @router.post(path)
    async def add(request: Request, actor: Caller, use: Use) -> Response:
        added = await use.accounts.add(actor, kind, await read_body(request))
        shapes = await _wire(request, use, kind, [added.thing])
        return respond(request, shapes.account(added.thing, added.key), 201)

    @router.get(f"{path}/{{ref}}")
    async def detail(ref: Ref, request: Request, actor: Caller, use: Use) -> Response:
        thing = await use.viewing.one(actor, kind, **_by(kind, ref))
        return await answer_one(request, actor, use, kind, thing)

    @router.patch(f"{path}/{{ref}}")
    async def change(ref: Ref, request: Request, actor: Caller, use: Use) -> Response:
        thing = await use.accounts.change(actor, kind, _by(kind, ref), await read_body(request))
        return await answer_one(request, actor, use, kind, thing)

    @router.delete(f"{path}/{{ref}}")
    async def remove(ref: Ref, request: Request, actor: Caller, use: Use) -> Response:
        await use.accounts.remove(actor, kind, _by(kind, ref))
        return no_content(request)


for each in PATHS:
    _add_routes(each)


async def _wire(request: Request, use: Services, kind: ObjectType, things: Sequence[Any]) -> AccountsWire:
    shown = await use.store.read(partial(related, kind, things))
    return AccountsWire(root_of(request), shown)


def _by(kind: ObjectType, ref: str) -> dict[str, object]:
    """Return the field that a reference is a value of; a token has no name."""
    by = by_reference(ref, NAMED_BY.get(kind, ""))
    if "" in by:
        raise missing(kind)
    return by
