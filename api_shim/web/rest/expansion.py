"""Answers with one object or a page of objects, whose related objects are references, or in full with ``depth=1``.

* Objects that the caller may not view stay references.
* Related objects are read with one query for each type, however many there are.
* Related objects of related objects are always references.

What they answered can be sent back to them as a change (``read_change``).

Contract 2.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial
from typing import Any, TypeVar
from uuid import UUID

from fastapi import Request, Response

from api_shim.parsing.sent_back import is_sent_back, what_changes
from api_shim.schemas import Object, Reference
from api_shim.services.approval_requests import outcomes
from api_shim.services.schedules import Accepted
from api_shim.store import TYPES, Transaction
from api_shim.web.bodies import read_body
from api_shim.web.deps import Services
from api_shim.web.rest.protocol import as_page, read_depth, read_listing, respond, root_of
from api_shim.web.rest.serializers import (
    PATHS,
    AccountSerializer,
    Serializer,
    related,
    serializer,
    serializer_at,
)
from approval_gate.errors import Forbidden, NotFound
from approval_gate.model import Action, Actor, ObjectType

S = TypeVar("S", bound=Object)


class Expander:
    """Replaces references by the related objects, for one request.

    Args:
        use: the use cases.
        root: the URL of the server, without a trailing slash.
        actor: the caller.
    """

    def __init__(self, use: Services, root: str, actor: Actor) -> None:
        self._use = use
        self._root = root
        self._actor = actor

    async def expand(self, shapes: Sequence[S]) -> list[S]:
        """Return the shapes with those related objects in full that the caller may view."""
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
        if kind is ObjectType.AUTOMATION_ACCOUNT:
            return [Serializer(self._root, {}).automation_account(row) for row in rows]
        if kind is ObjectType.APPROVAL_REQUEST:
            told = await self._use.store.read(partial(outcomes, self._actor, rows))
            return [Serializer(self._root, {}).approval_request(row, told) for row in rows]
        job_ids = [row.job_id for row in rows] if kind is ObjectType.SCHEDULED_JOB else []
        result_ids = [row.id for row in rows] if kind is ObjectType.JOB_RESULT else []
        wire = await serializer_at(self._root, self._use, job_ids, result_ids)
        shape: Mapping[ObjectType, Callable[[Any], Object]] = {
            ObjectType.JOB: wire.job,
            ObjectType.SCHEDULED_JOB: wire.scheduled_job,
            ObjectType.JOB_RESULT: wire.job_result,
            ObjectType.JOB_BUTTON: wire.job_button,
            ObjectType.JOB_HOOK: wire.job_hook,
        }
        return [shape[kind](row) for row in rows]


def _viewable(actor: Actor, kind: ObjectType, ids: Collection[UUID], tx: Transaction) -> list[Any]:
    return tx.all(TYPES[kind], id=tx.visible(kind, actor, Action.VIEW, ids))


def _references(shape: Object) -> dict[str, list[Reference]]:
    """Return the references in a shape, by field."""
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
    """Answer with a page of the objects of a type that the caller may view."""
    listing = read_listing(request, kind)
    page = await use.queries.page(actor, kind, listing)
    shapes = await Expander(use, root_of(request), actor).shapes(kind, page.rows)
    return respond(request, as_page(request, listing, page.count, await expanded(request, actor, use, shapes)))


async def answer_one(
    request: Request, actor: Actor, use: Services, kind: ObjectType, row: Any, status: int = 200
) -> Response:
    """Answer with one object."""
    shapes = await Expander(use, root_of(request), actor).shapes(kind, [row])
    return respond(request, (await expanded(request, actor, use, shapes))[0], status)


async def read_change(
    request: Request,
    actor: Actor,
    use: Services,
    kind: ObjectType,
    by: Mapping[str, object],
    changeable: Collection[str],
) -> Any:
    """Return the body of a change, less what ``GET`` gave and was sent back as it is.

    Args:
        request: the request.
        actor: who calls.
        use: the use cases.
        kind: the type of what is to change.
        by: the field that tells which.
        changeable: the fields that can be changed.
    """
    return await changes_in(await read_body(request), request, actor, use, kind, by, changeable)


async def changes_in(
    body: Any,
    request: Request,
    actor: Actor,
    use: Services,
    kind: ObjectType,
    by: Mapping[str, object],
    changeable: Collection[str],
) -> Any:
    """Return the body of a change, less what ``GET`` gave and was sent back as it is; see ``read_change``."""
    if not is_sent_back(body, changeable):
        return body
    try:
        row = await use.queries.one(actor, kind, **by)
    except (Forbidden, NotFound):
        return body  # nothing was shown to them; the use case says what there is to say
    [shape] = await Expander(use, root_of(request), actor).shapes(kind, [row])
    return what_changes(body, shape)


async def expanded(request: Request, actor: Actor, use: Services, shapes: Sequence[S]) -> list[S]:
    """Return the shapes, with related objects in full if ``depth`` asks for them."""
    if not read_depth(request):
        return list(shapes)
    return await Expander(use, root_of(request), actor).expand(shapes)


async def answer_accepted(request: Request, use: Services, accepted: Accepted) -> Response:
    """Answer a request to run something with what it has become."""
    scheduled, result = accepted.scheduled_job, accepted.job_result
    shown = await serializer(request, use, [scheduled.job_id] if scheduled else [], [result.id] if result else [])
    return respond(request, shown.accepted(accepted), 201)
