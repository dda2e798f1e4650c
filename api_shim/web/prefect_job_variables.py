"""Job variables, with which a work pool starts runs: those of our deployments and runs are for the store to say.

* They are part of what an approval covers, and decide what is executed before a run can ask for admission. So nobody
  writes them past us: not on a deployment of ours, not on a run of one, and not by an automation that starts one.
* What is written as it stands, as the forms of Prefect's UI do, goes on. A run of ours has none of its own.
* A body that cannot be read is refused where it could have some.
* Who tries is recorded.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from enum import Enum, auto
from typing import Any

from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from api_shim.asgi import receive_whole, received_again
from api_shim.parsing.fields import read_id
from api_shim.prefect_api.prefect_server import connect
from api_shim.services.prefect_ui import PrefectUI
from api_shim.services.refusals import Refusals
from api_shim.web.bodies import parse_json
from api_shim.web.errors import body_of, headers_of, status_of
from api_shim.web.route_table import RouteTable
from approval_gate.errors import Forbidden, GateError, Unavailable
from approval_gate.model import Action, Actor, ObjectType

NOT_HERE = "The job variables of a Job are part of what is approved, and are set in the Meta of its class alone."
ACTIONS = ("actions", "actions_on_trigger", "actions_on_resolve")
"""The fields of an automation that have what it does."""


class Writes(Enum):
    """What a call writes that may have job variables."""

    DEPLOYMENT = auto()
    NEW_DEPLOYMENT = auto()
    RUN = auto()
    NEW_RUN = auto()
    RUNS_OF = auto()
    AUTOMATION = auto()


CALLS: Mapping[tuple[str, str], Writes] = {
    ("PATCH", "deployments/{}"): Writes.DEPLOYMENT,
    ("POST", "deployments"): Writes.NEW_DEPLOYMENT,
    ("PATCH", "flow_runs/{}"): Writes.RUN,
    ("POST", "flow_runs"): Writes.NEW_RUN,
    ("POST", "deployments/{}/create_flow_run/bulk"): Writes.RUNS_OF,
    ("POST", "automations"): Writes.AUTOMATION,
    ("PUT", "automations/{}"): Writes.AUTOMATION,
}


class JobVariables:
    """Passes on what somebody writes to Prefect, unless it has job variables for what is ours.

    Args:
        prefect: the Prefect server.
        internal: ``user:password`` of Prefect's internal account.
        requests: knows which of Prefect's runs and deployments are ours.
        refusals: records what is refused.
    """

    routes = RouteTable(CALLS)

    def __init__(self, prefect: ASGIApp, internal: str, requests: PrefectUI, refusals: Refusals) -> None:
        self._client = connect(prefect, internal)
        self._requests = requests
        self._refusals = refusals

    async def answer(self, actor: Actor, then: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request that writes.

        Args:
            actor: the caller, who may write to Prefect.
            then: answers what may be written.
            scope: the ASGI scope of the request.
            receive: the ASGI callable.
            send: the ASGI callable.
        """
        writes, named = self.routes.find(scope["method"], scope["path"])
        if writes is not None:
            try:
                body = await receive_whole(receive)
                if body is None:
                    return
                if body and await self._has_some_for_ours(writes, named, parse_json(body)):
                    await self._refusals.request(actor, NOT_HERE, f"{Action.WRITE} {ObjectType.PREFECT}")
                    raise Forbidden(NOT_HERE)
            except GateError as error:
                await JSONResponse(body_of(error), status_of(error), headers_of(error))(scope, receive, send)
                return
            receive = received_again(body, receive)
        await then(scope, receive, send)

    async def _has_some_for_ours(self, writes: Writes, named: str, said: Any) -> bool:
        match writes:
            case Writes.DEPLOYMENT:
                return _has(said) and await self._changes(named, said)
            case Writes.NEW_DEPLOYMENT:
                # One that has this name already is written over.
                return _has(said) and await self._changes(await self._called(said), said)
            case Writes.RUN:
                run_id = read_id(named)
                return _gives(said) and run_id is not None and await self._requests.starts_ours(run_id)
            case Writes.NEW_RUN:
                return _gives(said) and await self._is_ours(said.get("deployment_id"))
            case Writes.RUNS_OF:
                return any(map(_gives, said if isinstance(said, list) else [])) and await self._is_ours(named)
            case Writes.AUTOMATION:
                started = [each.get("deployment_id") for each in _actions(said) if _gives(each)]
                # One that is inferred from the event may be ours.
                return any([each is None or await self._is_ours(each) for each in started])

    async def _changes(self, named: Any, said: Mapping[str, Any]) -> bool:
        deployment_id = read_id(str(named))
        are = await self._requests.job_variables(deployment_id) if deployment_id is not None else None
        return are is not None and said["job_variables"] != are

    async def _called(self, said: Mapping[str, Any]) -> Any:
        """Return the id of the deployment that has the flow and the name of one that is to be made; empty for none."""
        flow_id = read_id(str(said.get("flow_id")))
        if flow_id is None or not isinstance(name := said.get("name"), str):
            return ""
        asked = {"flows": {"id": {"any_": [str(flow_id)]}}, "deployments": {"name": {"any_": [name]}}, "limit": 1}
        answer = await self._client.post("/deployments/filter", json=asked)
        if not answer.is_success:
            raise Unavailable("Prefect does not answer; please try again.")
        return next((row["id"] for row in answer.json()), "")

    async def _is_ours(self, named: Any) -> bool:
        deployment_id = read_id(str(named))
        return deployment_id is not None and await self._requests.has_deployment(deployment_id)


def _has(said: Any) -> bool:
    # What is null is not written.
    return isinstance(said, dict) and said.get("job_variables") is not None


def _gives(said: Any) -> bool:
    return _has(said) and bool(said["job_variables"])


def _actions(said: Any) -> Iterator[Mapping[str, Any]]:
    for name in ACTIONS:
        listed = said.get(name) if isinstance(said, dict) else None
        yield from (each for each in (listed if isinstance(listed, list) else []) if isinstance(each, dict))
