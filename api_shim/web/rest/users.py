"""``/api/users/users``, ``groups``, ``tokens`` and ``permissions``: list, show, add, change and remove (contract 8)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from functools import partial
from typing import Any

from fastapi import APIRouter, Request, Response

from api_shim import schemas
from api_shim.parsing.account import NEEDED
from api_shim.services.accounts import NAMED_BY
from api_shim.web.bodies import read_body
from api_shim.web.deps import Caller, Ref, Services, Use
from api_shim.web.rest.expansion import answer_one, answer_page
from api_shim.web.rest.openapi import a_list, answers, one
from api_shim.web.rest.protocol import by_reference, no_content, respond
from api_shim.web.rest.request_schemas import GroupFields, NewTokenFields, PermissionFields, TokenFields, UserFields
from api_shim.web.rest.serializers import PATHS, AccountSerializer, related, root_of
from approval_gate.model import ObjectType
from approval_gate.policy import missing

router = APIRouter(prefix="/api")


@dataclass(frozen=True, kw_only=True, slots=True)
class Told:
    """The schemas of a type of account.

    Args:
        shape: the answer.
        body: the body of a change.
        new_shape: the answer to an addition.
        new_body: the body of an addition.
    """

    shape: type[schemas.Object]
    body: Any
    new_shape: type[schemas.Object]
    new_body: Any


TOLD: Mapping[ObjectType, Told] = {
    ObjectType.USER: Told(shape=schemas.User, body=UserFields, new_shape=schemas.User, new_body=UserFields),
    ObjectType.GROUP: Told(shape=schemas.Group, body=GroupFields, new_shape=schemas.Group, new_body=GroupFields),
    ObjectType.TOKEN: Told(shape=schemas.Token, body=TokenFields, new_shape=schemas.NewToken, new_body=NewTokenFields),
    ObjectType.PERMISSION: Told(
        shape=schemas.Permission, body=PermissionFields, new_shape=schemas.Permission, new_body=PermissionFields
    ),
}


def _add_routes(kind: ObjectType) -> None:
    """Add the routes of a type of account; they are the same for all types."""
    path, told = f"/{PATHS[kind]}", TOLD[kind]
    noun = PATHS[kind].rpartition("/")[2].removesuffix("s")
    tags: list[str | Enum] = [f"{noun}s"]
    new: dict[str, Any] = {"body": told.new_body, "required": NEEDED[kind]}

    @router.get(path, tags=tags, description=f"List the {noun}s.", **a_list(told.shape, kind))
    async def listed(request: Request, actor: Caller, use: Use) -> Response:
        return await answer_page(request, actor, use, kind)

    @router.post(path, tags=tags, description=f"Add a {noun}.", **answers(told.new_shape, 201, **new))
    async def add(request: Request, actor: Caller, use: Use) -> Response:
        added = await use.accounts.add(actor, kind, await read_body(request))
        shown = await _wire(request, use, kind, [added.thing])
        return respond(request, shown.account(added.thing, added.key), 201)

    @router.get(f"{path}/{{ref}}", tags=tags, description=f"Show a {noun}.", **one(told.shape))
    async def detail(ref: Ref, request: Request, actor: Caller, use: Use) -> Response:
        thing = await use.queries.one(actor, kind, **_by(kind, ref))
        return await answer_one(request, actor, use, kind, thing)

    @router.patch(f"{path}/{{ref}}", tags=tags, description=f"Change a {noun}.", **one(told.shape, body=told.body))
    async def change(ref: Ref, request: Request, actor: Caller, use: Use) -> Response:
        thing = await use.accounts.change(actor, kind, _by(kind, ref), await read_body(request))
        return await answer_one(request, actor, use, kind, thing)

    @router.delete(f"{path}/{{ref}}", tags=tags, description=f"Remove a {noun}.", **answers(None, 204))
    async def remove(ref: Ref, request: Request, actor: Caller, use: Use) -> Response:
        await use.accounts.remove(actor, kind, _by(kind, ref))
        return no_content(request)


for each in PATHS:
    _add_routes(each)


async def _wire(request: Request, use: Services, kind: ObjectType, things: Sequence[Any]) -> AccountSerializer:
    shown = await use.store.read(partial(related, kind, things))
    return AccountSerializer(root_of(request), shown)


def _by(kind: ObjectType, ref: str) -> dict[str, object]:
    """Return the lookup for a reference: by id, or by name except for tokens, which have none."""
    by = by_reference(ref, NAMED_BY.get(kind, ""))
    if "" in by:
        raise missing(kind)
    return by
