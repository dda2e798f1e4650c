"""The related objects of what is answered: references, or with ``depth=1`` the objects themselves.

* What the caller may not view stays a reference.
* However many there are, the store is asked once for each type.
* Related objects of related objects are references.

Contract 2.

How the routes answer with objects: a page of them, or one; with their related objects if the query says so.

Contract 2.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial
from typing import Any, TypeVar
from uuid import UUID

from fastapi import Request, Response

from api_shim.schemas import Object, Reference
from api_shim.services.schedules import Accepted
from api_shim.store import TYPES, Transaction
from api_shim.web.deps import Services
from api_shim.web.rest.protocol import as_page, read_depth, read_listing, respond
from api_shim.web.rest.serializers import (
    PATHS,
    AccountSerializer,
    Serializer,
    related,
    root_of,
    serializer,
    serializer_at,
)
from approval_gate.model import Action, Actor, ObjectType

S = TypeVar("S", bound=Object)


class Expander:
    """Puts related objects in the place of references, for one request.

    Args:
        use: the use cases.
        root: the address of the origin, without a slash at its end.
        actor: who asks.
    """

    def __init__(self, use: Services, root: str, actor: Actor) -> None:
        self._use = use
        self._root = root
        self._actor = actor

    async def expand(self, shapes: Sequence[S]) -> list[S]:
        """Return the shapes with the objects that they refer to, as far as the caller may view them."""
        wanted: dict[ObjectType, set[UUID]] = defaultdict(set)
        for reference in (ref for shape in shapes for field in _references(shape).values() for ref in field):
            wanted[ObjectType(reference.object_type)].add(reference.id)
        found: dict[UUID, Object] = {}
        for kind, ids in wanted.items():
            found |= {each.id: each for each in await self._objects(kind, ids)}
        return [_with(shape, found) for shape in shapes]

    async def _objects(self, kind: ObjectType, ids: Collection[UUID]) -> list[Object]:
        rows = await self._use.store.read(partial(_viewable, self._actor, kind, ids))
        return await self.shapes(kind, rows)

    async def shapes(self, kind: ObjectType, rows: Sequence[Any]) -> list[Object]:
        """Return the shapes of objects of one type."""
        if kind in PATHS:
            accounts = AccountSerializer(self._root, await self._use.store.read(partial(related, kind, rows)))
            return [accounts.account(row) for row in rows]
        if kind is ObjectType.JOB_QUEUE:
            workers = await self._use.queries.worker_counts()
            return [Serializer(self._root, {}).job_queue(row, workers) for row in rows]
        job_ids = [row.job_id for row in rows] if kind is ObjectType.SCHEDULED_JOB else []
        wire = await serializer_at(self._root, self._use, job_ids)
        shape: Mapping[ObjectType, Callable[[Any], Object]] = {
            ObjectType.JOB: wire.job,
            ObjectType.SCHEDULED_JOB: wire.scheduled_job,
            ObjectType.JOB_RESULT: wire.job_result,
        }
        return [shape[kind](row) for row in rows]


def _viewable(actor: Actor, kind: ObjectType, ids: Collection[UUID], tx: Transaction) -> list[Any]:
    return tx.all(TYPES[kind], id=tx.visible(kind, actor, Action.VIEW, ids))


def _references(shape: Object) -> dict[str, list[Reference]]:
    """Return what a shape refers to, by field."""
    found: dict[str, list[Reference]] = {}
    for name, value in shape:
        several = value if isinstance(value, list) else [value]
        if references := [each for each in several if isinstance(each, Reference)]:
            found[name] = references
    return found


def _with(shape: S, found: Mapping[UUID, Object]) -> S:
    fields: dict[str, Any] = {}
    for name, references in _references(shape).items():
        objects = [found.get(reference.id, reference) for reference in references]
        fields[name] = objects if isinstance(getattr(shape, name), list) else objects[0]
    return shape.model_copy(update=fields)


async def answer_page(request: Request, actor: Actor, use: Services, kind: ObjectType) -> Response:
    """Answer with a page of what the caller may view of a type."""
    listing = read_listing(request, kind)
    page = await use.queries.page(actor, kind, listing)
    shapes = await Expander(use, root_of(request), actor).shapes(kind, page.rows)
    return respond(request, as_page(request, listing, page.count, await expanded(request, actor, use, shapes)))


async def answer_one(request: Request, actor: Actor, use: Services, kind: ObjectType, row: Any) -> Response:
    """Answer with one object."""
    shapes = await Expander(use, root_of(request), actor).shapes(kind, [row])
    return respond(request, (await expanded(request, actor, use, shapes))[0])


async def expanded(request: Request, actor: Actor, use: Services, shapes: Sequence[S]) -> list[S]:
    """Return shapes as deep as the query says."""
    if not read_depth(request):
        return list(shapes)
    return await Expander(use, root_of(request), actor).expand(shapes)


async def answer_accepted(request: Request, use: Services, accepted: Accepted) -> Response:
    """Answer a request to run something with what it has become."""
    scheduled = accepted.scheduled_job
    shown = await serializer(request, use, [scheduled.job_id] if scheduled else [])
    return respond(request, shown.accepted(accepted), 201)
