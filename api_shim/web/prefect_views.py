"""Prefect's answers, limited to what the caller may view.

* The table in ``prefect_reads.py`` says what each route needs; this carries it out, for callers who may not view
  everything in Prefect.
* A list is limited by narrowing its filter before Prefect reads it, so that pages and counts agree. Who may view every
  run of every Job is given the flows of the Jobs, and others the ids of what they may view.
* A single thing that the caller may not view is answered like one that does not exist.
* What holds secrets is for who has ``prefect.write``, also where somebody may view everything.
* A thing of one of our flows that is not recorded here is for who may view every run; a run that is about to be
  recorded also for who may view its scheduled job.
* Further pages of events are not offered, because their address holds the filter.
* What a websocket sends is judged message by message, as things stand then or stood a moment ago; a message of an
  unknown kind is not sent.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Collection, Mapping
from datetime import datetime, timedelta
from functools import partial
from typing import Any
from urllib.parse import parse_qs, quote
from uuid import UUID

from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api_shim.parsing import prefect_filter
from api_shim.parsing.fields import read_id
from api_shim.parsing.prefect_filter import CRITERIA, Thing
from api_shim.prefect_api.prefect_server import connect
from api_shim.services.prefect_views import PrefectViews
from api_shim.web.bodies import read_body
from api_shim.web.errors import body_of, headers_of, status_of
from api_shim.web.prefect_bounds import may_write
from api_shim.web.prefect_reads import (
    DEPLOYMENTS,
    SHOWN,
    Counted,
    Foreign,
    Listed,
    One,
    Place,
    Redacted,
    Secret,
    Simple,
    rule_for,
)
from api_shim.web.rewriting import rewritten, uncompressed, with_body
from approval_gate import policy
from approval_gate.errors import Forbidden, GateError, NotFound
from approval_gate.model import Actor

MAY_NOT_VIEW = "This needs the permission prefect.view."
MAY_NOT_VIEW_ALL = "This needs the permission to view everything in Prefect, and all Jobs, scheduled jobs and results."

REMEMBERED = timedelta(seconds=2)
"""For how long it is remembered whether a websocket may tell of something."""
MOST_REMEMBERED = 1_000
"""Of how many things it is remembered for one websocket."""

Body = Mapping[str, Any]


class Verdicts:
    """Remembers for a moment what somebody may view, so that not each message of a websocket asks the store.

    Args:
        clock: returns the current time, timezone-aware.
    """

    def __init__(self, clock: Callable[[], datetime]) -> None:
        self._clock = clock
        self._found: dict[str, tuple[datetime, bool]] = {}

    async def of(self, thing: str, ask: Callable[[], Awaitable[bool]]) -> bool:
        """Return what is remembered of a thing, or else what is answered now."""
        now = self._clock()
        at, may = self._found.get(thing, (None, False))
        if at is not None and timedelta() <= now - at < REMEMBERED:
            return may
        may = await ask()
        if len(self._found) >= MOST_REMEMBERED:
            self._found.clear()
        self._found[thing] = now, may
        return may


class PrefectReader:
    """Answers reads of Prefect's API.

    Args:
        prefect: the Prefect server.
        views: knows what of Prefect a caller may view.
        internal: ``user:password`` of Prefect's internal account.
    """

    def __init__(self, prefect: ASGIApp, views: PrefectViews, internal: str) -> None:
        self._prefect = prefect
        self._views = views
        self._client = connect(prefect, internal)

    async def answer(self, actor: Actor, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request that reads.

        Args:
            actor: the caller.
            scope: the ASGI scope of the request, with the credentials of Prefect's internal account.
            receive: the ASGI callable.
            send: the ASGI callable.
        """
        rule, _ = rule_for(scope["method"], scope["path"])
        if isinstance(rule, Secret) and not may_write(actor):
            await JSONResponse(rule.answer)(scope, receive, send)
            return
        if policy.views_all_of_prefect(actor):
            await self._prefect(scope, receive, send)
            return
        try:
            await self._limited(actor, scope, receive, send)
        except GateError as error:
            await JSONResponse(body_of(error), status_of(error), headers_of(error))(scope, receive, send)

    async def may_send(self, actor: Actor, message: Message, verdicts: Verdicts) -> bool:
        """Say whether a message may be sent to a caller who watches a websocket.

        Args:
            actor: the caller.
            message: the ASGI message.
            verdicts: what is remembered of the caller.
        """
        if policy.views_all_of_prefect(actor) or message["type"] != "websocket.send":
            return True
        said = json.loads(message.get("text") or message.get("bytes") or "{}")
        match said.get("type"):
            case "auth_success" | "auth_failure":
                return True
            case _ if not policy.views_anything_in_prefect(actor):
                return False
            case "event":
                resource = str(said["event"]["resource"]["prefect.resource.id"])
                return await verdicts.of(resource, partial(self._may_view_events, actor, resource))
            case "log":
                run_id = read_id(str(said["log"]["flow_run_id"]))
                return run_id is not None and await verdicts.of(
                    f"log {run_id}", partial(self._may_view_run, actor, run_id)
                )
            case _:
                return False

    async def _limited(self, actor: Actor, scope: Scope, receive: Receive, send: Send) -> None:
        rule, parameter = rule_for(scope["method"], scope["path"])
        match rule:
            case Simple.OPEN:
                await self._prefect(scope, receive, send)
            case Simple.EVENTS:
                body = await self._narrowed_events(actor, await _read(scope, receive))
                await self._replace(uncompressed(scope), receive, rewritten(send, _without_next_page), body)
            case One():
                await self._one(actor, rule, parameter, scope, receive, send)
            case Listed():
                body = await self._narrowed(actor, rule, await _read(scope, receive))
                await self._replace(scope, receive, send, body)
            case Counted():
                body = await self._counted(actor, rule, await _read(scope, receive))
                await self._replace(scope, receive, send, body)
            case Simple.ALL:
                raise Forbidden(MAY_NOT_VIEW_ALL)
            case _ if policy.views_prefect(actor):
                await self._prefect(scope, receive, send)
            case Foreign():
                await JSONResponse(rule.answer)(scope, receive, send)
            case Redacted():
                await JSONResponse(await self._redacted(actor, rule, scope["path"]))(scope, receive, send)
            case _:
                raise Forbidden(MAY_NOT_VIEW)

    async def _replace(self, scope: Scope, receive: Receive, send: Send, body: Body) -> None:
        await self._prefect(*with_body(scope, receive, json.dumps(body).encode()), send)

    # Lists

    async def _narrowed(self, actor: Actor, rule: Listed, body: Body) -> Body:
        if rule.by_flow and policy.views_every_run(actor):
            return prefect_filter.narrowed(body, "flows", await self._views.flows(actor))
        for key, criterion in CRITERIA.items():
            if key == rule.about or body.get(key) is not None:
                allowed = await self._allowed(actor, criterion.names, prefect_filter.named, body, key)
                body = prefect_filter.narrowed(body, key, allowed)
        return body

    async def _allowed(
        self, actor: Actor, thing: Thing, named: Callable[[Body, str], list[UUID] | None], body: Body, key: str
    ) -> Collection[Any]:
        match thing:
            case Thing.RUN:
                return await self._views.runs(actor, named(body, key))
            case Thing.DEPLOYMENT:
                return await self._views.deployments(actor, named(body, key))
            case Thing.FLOW:
                return await self._views.flows(actor)

    async def _narrowed_events(self, actor: Actor, body: Body) -> Body:
        allowed = await self._views.resources(actor, prefect_filter.named_resources(body))
        return prefect_filter.narrowed_events(body, allowed)

    async def _counted(self, actor: Actor, rule: Counted, body: Body) -> Body:
        if body.get(rule.field) is None:
            return body
        asked = prefect_filter.ids_of(body[rule.field])
        is_of_runs = rule.thing is Thing.RUN
        allowed = await (self._views.runs(actor, asked) if is_of_runs else self._flows_viewed_whole(actor, asked))
        return {**body, rule.field: [str(each) for each in asked if each in allowed]}

    async def _flows_viewed_whole(self, actor: Actor, flow_ids: Collection[UUID]) -> set[UUID]:
        """Return the flows of which the actor may view every run and deployment."""
        if not policy.views_every_run(actor):
            return set()
        named = {"id": {"any_": [str(each) for each in flow_ids]}, "name": {"any_": [*await self._views.flows(actor)]}}
        answer = await self._client.post("/flows/filter", json={"flows": named})
        return {UUID(flow["id"]) for flow in answer.raise_for_status().json()}

    # Single things

    async def _one(self, actor: Actor, rule: One, parameter: str, scope: Scope, receive: Receive, send: Send) -> None:
        if rule.told is not Place.ANSWER:
            told = parameter if rule.told is Place.PATH else _only(scope, rule.field)
            await self._check(actor, rule, told)
            await self._prefect(scope, receive, send)
            return
        answer: list[Message] = []

        async def keep(message: Message) -> None:
            answer.append(message)

        await self._prefect(uncompressed(scope), receive, keep)
        if answer[0]["status"] == 200:
            found = json.loads(b"".join(message.get("body", b"") for message in answer[1:]))
            await self._check(actor, rule, _field(found, rule.field))
        for message in answer:
            await send(message)

    async def _redacted(self, actor: Actor, rule: Redacted, path: str) -> Body:
        """Return what the actor may know of a work pool or a queue."""
        answer = rule.answer(path)
        asked = await self._narrowed(actor, DEPLOYMENTS, rule.deployments(path))
        there = await self._client.post("/deployments/filter", json=asked)
        if not there.is_success or not there.json():
            return answer
        found = await self._client.get(quote(path.removeprefix("/api")))
        return answer | {field: found.json()[field] for field in SHOWN if found.is_success and field in answer}

    async def _check(self, actor: Actor, rule: One, told: str) -> None:
        """Raise NotFound unless the actor may view the thing that the text names."""
        if not told and rule.told is Place.ANSWER:
            # A task run may belong to no flow run, and an artifact to no run at all: they are not ours.
            may = policy.views_prefect(actor)
        elif rule.thing is Thing.FLOW:
            may = await self._may_view_flow(actor, told)
        else:
            thing_id = read_id(told)
            may = thing_id is not None and await self._may_view(actor, rule.thing, thing_id)
        if not may:
            raise NotFound(rule.missing)

    async def _may_view(self, actor: Actor, thing: Thing, thing_id: UUID) -> bool:
        if thing is Thing.RUN:
            return await self._may_view_run(actor, thing_id)
        recorded = await self._views.views_deployment(actor, thing_id)
        return await self._may_view_unrecorded(actor, f"/deployments/{thing_id}") if recorded is None else recorded

    async def _may_view_flow(self, actor: Actor, name: str) -> bool:
        if name in await self._views.flows(actor):
            return True
        return policy.views_prefect(actor) and not await self._views.is_our_flow(name)

    async def _may_view_run(self, actor: Actor, run_id: UUID) -> bool:
        recorded = await self._views.views_run(actor, run_id)
        return await self._may_view_unrecorded(actor, f"/flow_runs/{run_id}") if recorded is None else recorded

    async def _may_view_events(self, actor: Actor, resource: str) -> bool:
        return bool(await self._views.resources(actor, [resource]))

    async def _may_view_unrecorded(self, actor: Actor, path: str) -> bool:
        """Say whether the actor may view a run or a deployment that is not recorded here."""
        answer = await self._client.get(path)
        if not answer.is_success:
            return False
        found = answer.json()
        deployment_id = read_id(str(found.get("deployment_id")))
        if deployment_id is not None and await self._views.views_runs_of(actor, deployment_id):
            return True
        flow = await self._client.get(f"/flows/{found['flow_id']}")
        if flow.is_success and await self._views.is_our_flow(flow.json()["name"]):
            return policy.views_every_run(actor)
        return flow.is_success and policy.views_prefect(actor)


async def _read(scope: Scope, receive: Receive) -> Body:
    return prefect_filter.read_filters(await read_body(Request(scope, receive)))


def _only(scope: Scope, name: str) -> str:
    """Return the one value of a parameter of the query; empty if there is none, or there are several."""
    values = parse_qs(scope.get("query_string", b"").decode("latin-1")).get(name, [])
    return values[0] if len(values) == 1 else ""


def _field(found: Any, path: str) -> str:
    for name in path.split("."):
        found = found.get(name) if isinstance(found, Mapping) else None
    return "" if found is None else str(found)


def _without_next_page(body: bytes) -> bytes:
    answer = json.loads(body)
    return json.dumps({**answer, "next_page": None} if isinstance(answer, dict) else answer).encode()
