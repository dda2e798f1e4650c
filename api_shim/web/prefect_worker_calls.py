"""What the account of a worker may do in Prefect: what a worker needs for the runs of its one work pool.

* Default deny: a call that ``CALLS`` does not list is refused, whatever other permissions the account has. So it
  changes no deployment, variable, block, work pool or automation, and decides nothing.
* Of its work pool it reads what that is, asks which runs are due, tells that it is there, and forgets workers that are
  there no longer. Prefect's channel for workers is open to it for its pool, and makes that pool if there is none.
* It reads the deployments of its pool, the flows, and what every flow may use: the variables and blocks that a worker
  puts into the configuration of a run.
* It takes a run of its pool that Prefect lets be taken: not by force. Its own are the runs that it has taken, until
  they are over or another account has taken them, and the runs within those. With these it does what a run may do with
  a credential of its own, for the runs of Prefect's own workers have none; and it tells where they are executed.
* Any other run is answered like one that does not exist. Where a list has runs of its own and others, as in a log that
  was begun before it had taken them, the others are left out.
* Of the events that it sends, those about itself and its own runs go to Prefect.
* What would write and is refused is recorded.

An account that may write to Prefect besides is held to nothing here (``web.prefect_claims``).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any
from uuid import UUID

from starlette.types import ASGIApp, Receive, Scope, Send

from api_shim.asgi import received_again
from api_shim.parsing.fields import read_id
from api_shim.services.refusals import Refusals
from api_shim.services.run_credentials import RunCredentials
from api_shim.web import prefect_run_calls
from api_shim.web.bodies import parse_json
from api_shim.web.prefect_claims import Claims, takes
from api_shim.web.prefect_reads import SOCKET
from api_shim.web.prefect_run_calls import FREE, Call, OwnCalls, check_few, field_of
from api_shim.web.rewriting import with_body
from api_shim.web.route_table import RouteTable
from approval_gate import policy
from approval_gate.errors import Forbidden, GateError, NotFound
from approval_gate.model import Actor, Allowed, ObjectType

SERVED_BY = Call.SERVED_BY

CALLS: Mapping[tuple[str, str], Call] = {
    **prefect_run_calls.CALLS,
    ("POST", "flow_runs/{}/set_state"): Call.TAKES,
    ("POST", "work_pools/{}/get_scheduled_flow_runs"): SERVED_BY,
    ("POST", "work_pools/{}/queues/filter"): SERVED_BY,
    ("POST", "work_pools/{}/workers/heartbeat"): SERVED_BY,
    ("POST", "work_pools/{}/workers/filter"): SERVED_BY,
    ("DELETE", "work_pools/{}/workers/{}"): SERVED_BY,
    (SOCKET, "work_pools/{}/workers/connect"): SERVED_BY,
    ("GET", "admin/storage"): FREE,
    ("GET", "collections/views/{}"): FREE,
}
"""What the account of a worker may ask, by method and path below ``/api/``; ``{}`` is any one segment."""

NOT_FOR_WORKERS = "The account of a worker is for taking runs of its work pool, and for what these need."
NOT_BY_FORCE = "A worker takes runs that are due, and none by force."
THEMSELVES = ("prefect.worker.", "prefect.runner.")
"""How the ids of workers begin, and the names of the events that they send of themselves."""


class WorkerCalls(OwnCalls[Actor]):
    """Answers what accounts of workers ask of Prefect that are nothing else.

    Args:
        prefect: the Prefect server.
        internal: ``user:password`` of Prefect's internal account.
        refusals: records what is refused.
        credentials: knows who has taken which run.
        claims: gives a worker that takes a run its key.
    """

    routes = RouteTable(CALLS)
    refused = NOT_FOR_WORKERS
    may_change = prefect_run_calls.MAY_CHANGE | {"infrastructure_pid"}

    def __init__(
        self, prefect: ASGIApp, internal: str, refusals: Refusals, credentials: RunCredentials, claims: Claims
    ) -> None:
        super().__init__(prefect, internal, refusals)
        self._credentials = credentials
        self._claims = claims

    async def _has(self, caller: Actor, run_id: UUID) -> bool:
        return await self._credentials.has_taken(caller, run_id)

    async def _record(self, caller: Actor, refused: str) -> None:
        await self._refusals.request(caller, refused, "Prefect")

    def _is_pool_of(self, caller: Actor, pool: str) -> bool:
        return policy.takes_run(caller, pool=pool) == Allowed()

    def _tells_of_itself(self, about: str, name: str) -> bool:
        return about.startswith(THEMSELVES) and name.startswith(THEMSELVES)

    async def _check_serves(self, caller: Actor, kind: str, named: str) -> None:
        if kind == "work_pools":
            policy.enforce(policy.takes_run(caller, pool=named), ObjectType.PREFECT)
            return
        thing_id = read_id(named)
        pools = await self._credentials.pools_of_deployment(thing_id) if kind == "deployments" and thing_id else set()
        if not pools and (found := await self._read(kind, named)) is not None:
            pools = {str(found.get("work_pool_name"))}
        if not any(self._is_pool_of(caller, pool) for pool in pools):
            raise NotFound("Not found.")

    async def _checked(
        self, caller: Actor, call: Call, named: str, body: bytes, scope: Scope, receive: Receive
    ) -> tuple[Scope, Receive]:
        if call is Call.TAKES:
            await self._check_taking(caller, named, body)
            return scope, received_again(body, receive)
        if call is Call.BELONGS and isinstance(told := parse_json(body), list):
            run_ids = [str(field_of(each, "flow_run_id")) for each in told]
            check_few(run_ids)
            own = {*await self._own_of(caller, run_ids)}
            kept = [each for each, run_id in zip(told, run_ids, strict=True) if run_id in own]
            return with_body(scope, receive, json.dumps(kept).encode())
        return await super()._checked(caller, call, named, body, scope, receive)

    async def _own_of(self, caller: Actor, ids: list[Any]) -> list[Any]:
        known = {name: run_id for name in {str(each) for each in ids} if (run_id := read_id(name)) is not None}
        taken = await self._credentials.which_taken(caller, {*known.values()})
        # Those within others are not recorded.
        own = {name for name, run_id in known.items() if run_id in taken or await self._owns(caller, run_id)}
        return [each for each in ids if str(each) in own]

    async def _check_taking(self, caller: Actor, named: str, body: bytes) -> None:
        run_id = read_id(named)
        pool = await self._credentials.pool_of(run_id) if run_id is not None and takes(body) else ""
        if run_id is None or not pool:
            await self._check_run(caller, named)
            return
        policy.enforce(policy.takes_run(caller, pool=pool), ObjectType.PREFECT)
        if _is_forced(body) and not await self._has(caller, run_id):
            raise Forbidden(NOT_BY_FORCE)

    async def _pass(self, caller: Actor, call: Call, scope: Scope, receive: Receive, send: Send) -> None:
        run_id = read_id(self.routes.find(scope["method"], scope["path"])[1]) if call is Call.TAKES else None
        # A run within another is in no pool, and has no credential of its own.
        if run_id is not None and await self._credentials.pool_of(run_id):
            await self._claims.set_state(caller, run_id, scope, receive, send)
        else:
            await super()._pass(caller, call, scope, receive, send)


def _is_forced(body: bytes) -> bool:
    """Say whether a state may be set against Prefect's rules; one that cannot be read here may."""
    try:
        return field_of(parse_json(body), "force") not in (None, False)
    except GateError:
        return True
