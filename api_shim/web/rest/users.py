"""``/api/users/users``, ``groups``, ``tokens`` and ``permissions``: list, show, add, change and remove (contract 8).

* Who changes or removes an account is told, besides, which approvals stand though their approvers may give them no
  longer, and which were revoked.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from enum import Enum
from functools import partial
from typing import Any

from fastapi import APIRouter, Request, Response

from api_shim import schemas
from api_shim.parsing.account import ADDITIONS, CHANGES, read_revocation
from api_shim.services.accounts import NAMED_BY
from api_shim.web.bodies import read_body
from api_shim.web.deps import Caller, Ref, Services, Use
from api_shim.web.rest.expansion import answer_one, answer_page, expanded, read_change
from api_shim.web.rest.openapi import a_list, answers, one
from api_shim.web.rest.options import SHAPES
from api_shim.web.rest.protocol import by_reference, no_content, permission_first, respond, root_of
from api_shim.web.rest.serializers import PATHS, AccountSerializer, related
from approval_gate.model import ObjectType
from approval_gate.policy import missing

router = APIRouter(prefix="/api")


CHANGED: Mapping[ObjectType, type[schemas.Object]] = {
    ObjectType.USER: schemas.ChangedUser,
    ObjectType.PERMISSION: schemas.ChangedPermission,
}
"""What is told after a change that can take away the right to approve."""


def _add_routes(kind: ObjectType) -> None:
    """Add the routes that show a type of account and add to it; they are the same for all types."""
    path, shape = f"/{PATHS[kind]}", SHAPES[kind]
    new_shape = schemas.NewToken if kind is ObjectType.TOKEN else shape
    noun = _noun(kind)
    tags: list[str | Enum] = [f"{noun}s"]
    new: dict[str, Any] = {"body": ADDITIONS[kind]}

    @router.get(path, tags=tags, description=f"List the {noun}s.", **a_list(shape, kind))
    async def listed(request: Request, actor: Caller, use: Use) -> Response:
        return await answer_page(request, actor, use, kind)

    @router.post(path, tags=tags, description=f"Add a {noun}.", **answers(new_shape, 201, **new))
    async def add(request: Request, actor: Caller, use: Use) -> Response:
        # Of tokens everybody may add their own.
        with nullcontext() if kind is ObjectType.TOKEN else permission_first(request, actor, kind):
            body = await read_body(request)
        added = await use.accounts.add(actor, kind, body)
        shown = await _wire(request, use, kind, [added.thing])
        return respond(request, shown.account(added.thing, added.key), 201)

    @router.get(f"{path}/{{ref}}", tags=tags, description=f"Show a {noun}.", **one(shape))
    async def detail(ref: Ref, request: Request, actor: Caller, use: Use) -> Response:
        thing = await use.queries.one(actor, kind, **_by(kind, ref))
        return await answer_one(request, actor, use, kind, thing)


def _add_routes_of_change(kind: ObjectType) -> None:
    """Add the routes that change and remove accounts of a type."""
    path, changes = f"/{PATHS[kind]}", CHANGES[kind]
    changed_shape = CHANGED.get(kind, SHAPES[kind])
    noun = _noun(kind)
    tags: list[str | Enum] = [f"{noun}s"]

    @router.patch(f"{path}/{{ref}}", tags=tags, description=f"Change a {noun}.", **one(changed_shape, body=changes))
    async def change(ref: Ref, request: Request, actor: Caller, use: Use) -> Response:
        by = _by(kind, ref)
        body = await read_change(request, actor, use, kind, by, changes.__annotations__)
        changed = await use.accounts.change(actor, kind, by, body)
        shown = await _wire(request, use, kind, [changed.thing])
        answer = shown.account(changed.thing)
        if changed.approvals:
            answer = changed_shape(**dict(answer), **dict(shown.given_approvals(changed.approvals)))
        return respond(request, (await expanded(request, actor, use, [answer]))[0])

    told_instead = schemas.GivenApprovals if kind is not ObjectType.TOKEN else None
    asked = ["revoke_approvals"] if kind is ObjectType.USER else []
    gone = answers(None, 204, query=asked, or_told=told_instead)

    @router.delete(f"{path}/{{ref}}", tags=tags, description=f"Remove a {noun}.", **gone)
    async def remove(ref: Ref, request: Request, actor: Caller, use: Use) -> Response:
        revokes = read_revocation(kind, request.query_params.getlist("revoke_approvals"))
        approvals = await use.accounts.remove(actor, kind, _by(kind, ref), revoke_approvals=revokes)
        if not approvals:
            return no_content(request)
        return respond(request, (await _wire(request, use, kind, [])).given_approvals(approvals))


def _noun(kind: ObjectType) -> str:
    return PATHS[kind].rpartition("/")[2].removesuffix("s")


for each in PATHS:
    _add_routes(each)
    _add_routes_of_change(each)


async def _wire(request: Request, use: Services, kind: ObjectType, things: Sequence[Any]) -> AccountSerializer:
    shown = await use.store.read(partial(related, kind, things))
    return AccountSerializer(root_of(request), shown)


def _by(kind: ObjectType, ref: str) -> dict[str, object]:
    """Return the lookup for a reference: by id, or by name except for tokens, which have none."""
    by = by_reference(ref, NAMED_BY.get(kind, ""))
    if "" in by:
        raise missing(kind)
    return by
