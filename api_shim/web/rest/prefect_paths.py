"""The paths of Prefect's API that signoff serves itself, for its own: resume a run, run a deployment, check a form.

* Prefect's UI and command line call them. The answers have Prefect's shapes, and a refusal is one sentence to show.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from fastapi import APIRouter, Request, Response

from api_shim.parsing.fields import read_id
from api_shim.web.bodies import read_body
from api_shim.web.deps import Caller, Requester, Use
from api_shim.web.rest.protocol import respond
from approval_gate.errors import GateError, Invalid, NotFound, Unavailable, sentences

router = APIRouter(prefix="/api", include_in_schema=False)


@router.post("/flow_runs/{run_id}/resume")
async def resume(run_id: str, request: Request, actor: Caller, use: Use) -> Response:
    body = await read_body(request)
    try:
        reason = await use.prefect_ui.resume(actor, _id(run_id), _field(body, "run_input"))
    except Unavailable:
        raise
    except GateError as error:
        reason = str(error)
    shown = await use.engine.show(_id(run_id))
    answer = {"status": "REJECT", "details": {"type": "reject_details", "reason": reason}} if reason else ACCEPTED
    return respond(request, {"state": shown["state"] if shown else None, **answer}, 200 if reason else 201)


@router.post("/deployments/{deployment_id}/create_flow_run")
async def create_flow_run(deployment_id: str, request: Request, actor: Requester, use: Use) -> Response:
    body = await read_body(request)
    if not isinstance(body, Mapping):
        raise Invalid("The body must be an object.")
    try:
        run_id = await use.prefect_ui.run(actor, _id(deployment_id), body)
    except GateError as error:
        raise type(error)(str(error), after=error.after) from error
    return respond(request, await use.engine.show(run_id), 201)


@router.post("/ui/schemas/validate")
async def check_values(request: Request, actor: Caller, use: Use) -> Response:
    body = await read_body(request)
    try:
        await use.prefect_ui.check_values(actor, _field(body, "schema"), _field(body, "values"))
    except Invalid as fault:
        return respond(request, {"errors": _by_property(fault.detail), "valid": False})
    return respond(request, {"errors": [], "valid": True})


ACCEPTED = {"status": "ACCEPT", "details": {"type": "accept_details"}}


def _field(body: Any, name: str) -> Any:
    return body.get(name) if isinstance(body, Mapping) else None


def _by_property(detail: object) -> list[Any]:
    """Return what is wrong with the values of a form as Prefect's pages read it."""
    told = detail.get("errors", detail) if isinstance(detail, Mapping) else detail
    if not isinstance(told, Mapping):
        return [*sentences(told)]
    return [{"property": name, "errors": [*sentences(said)]} for name, said in told.items()]


def _id(text: str) -> UUID:
    found = read_id(text)
    if found is None:
        raise NotFound("Not found.")
    return found
