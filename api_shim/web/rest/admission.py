"""``/api/signoff/…``: a run asks whether it may start (``admission``), is given files (``given-file``), has its own
kept (``files``), and reports its outcome.

* Only the run itself may call them, with its own credential, or a worker for it (``services.run_credentials``): the
  answer contains the inputs of the run.
* The run of a firing is called like its scheduled job in Prefect, once it has asked.
* A file is the body of a request, and the query says what it is: nothing has to be decoded.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from functools import partial
from typing import Any
from uuid import UUID

import anyio.to_thread
from fastapi import APIRouter, Request, Response
from starlette.background import BackgroundTask

from api_shim.domain.model import Status
from api_shim.domain.ports import Run
from api_shim.parsing.fields import read_id
from api_shim.schemas import JobResult
from api_shim.services.admission import Attempt, Outcome, Ticket, name_of_firing
from api_shim.settings import Limits
from api_shim.web.bodies import limits_of, read_body, read_bytes
from api_shim.web.deps import Services, Speaker, Use
from api_shim.web.rest.protocol import respond, respond_file
from api_shim.web.rest.serializers import serializer
from approval_gate.admission import Answer, Finish, Go, Hold, Refuse, Wait
from approval_gate.errors import Invalid, NotFound, Unavailable
from flows.inputs import storable_text

SHORTEST_PERIOD = timedelta(minutes=1)
"""Of a schedule: a run that asks sooner than that after its time has no newer one, and is not missed."""

router = APIRouter(prefix="/api/signoff", include_in_schema=False)


@router.post("/admission")
async def admission(request: Request, who: Speaker, use: Use) -> Response:
    body = await _asked(request)
    run_id, attempt = _id(body, "flow_run_id"), _id(body, "attempt")
    asked_by = await use.run_credentials.enforce(who, run_id, "admission of a run")
    run = (await use.engine.runs([run_id])).get(run_id)
    if run is None:
        raise NotFound("This flow run does not exist.")
    now = use.clock()
    if now - run.expected_start >= SHORTEST_PERIOD and (claim := await use.engine.claim(run_id)) is not None:
        run = replace(run, claimed=claim.at, first_claimed=claim.first)
    told = {name: _text(body, name) for name in ("worker", "code", "module", "lease")}
    asks = Attempt(
        id=attempt,
        worker=told["worker"],
        code=told["code"][:100],
        # A worker of an earlier version tells this one, and calls it the code.
        module=(told["module"] if "module" in body else told["code"])[:64],
        lease=told["lease"],
        asked_by=asked_by,
    )
    answer, ticket = await anyio.to_thread.run_sync(use.admissions.ask, run, asks, now)
    if isinstance(answer, Hold):
        await use.approvals.put_back(run_id)
    shown = (await serializer(request, use)).job_result(ticket.result) if ticket else None
    response = respond(request, _shape(answer, ticket, shown, limits_of(request)))
    # Nothing waits for what is for people alone.
    response.background = BackgroundTask(_name, use, run)
    return response


async def _name(use: Services, run: Run) -> None:
    if name := await use.store.read(partial(name_of_firing, run)):
        with suppress(Unavailable):
            await use.engine.rename(run.id, name)


@router.post("/outcome")
async def outcome(request: Request, who: Speaker, use: Use) -> Response:
    body = await _asked(request)
    run_id, attempt = _id(body, "flow_run_id"), _id(body, "attempt")
    await use.run_credentials.enforce(who, run_id, "outcome of a run")
    status = body.get("status")
    if status not in (Status.SUCCESS, Status.FAILURE):
        raise Invalid({"status": ["The outcome of a run is SUCCESS or FAILURE."]})
    trace = body.get("traceback")
    told = Outcome(status=Status(status), result=body.get("result"), traceback=None if trace is None else str(trace))
    tell = partial(use.admissions.tell, run_id, attempt, told, use.clock())
    await anyio.to_thread.run_sync(tell)
    return respond(request, {})


@router.post("/files")
async def keep_file(request: Request, who: Speaker, use: Use) -> Response:
    asked = request.query_params
    run_id, attempt, file_id = (_id(asked, name) for name in ("flow_run_id", "attempt", "id"))
    await use.run_credentials.enforce(who, run_id, "keeping a file of a run")
    content = await read_bytes(request, limits_of(request).file_bytes)
    file = await use.result_files.keep(run_id, attempt, file_id, asked.get("name", ""), content)
    return respond(request, (await serializer(request, use)).file(file), 201)


@router.post("/given-file")
async def given_file(request: Request, who: Speaker, use: Use) -> Response:
    body = await _asked(request)
    run_id, attempt = _id(body, "flow_run_id"), _id(body, "attempt")
    await use.run_credentials.enforce(who, run_id, "a file that is given to a run")
    return respond_file(request, "file", await use.input_files.given(run_id, attempt, _text(body, "variable")))


async def _asked(request: Request) -> Mapping[str, Any]:
    body = await read_body(request)
    if not isinstance(body, Mapping):
        raise Invalid({"non_field_errors": ["Expected an object."]})
    return body


def _text(body: Mapping[str, Any], field: str) -> str:
    return storable_text(str(body.get(field, "")))[:255]


def _id(body: Mapping[str, Any], field: str) -> UUID:
    found = read_id(str(body.get(field)))
    if found is None:
        raise Invalid({field: ["Must be a valid UUID."]})
    return found


def _shape(answer: Answer, ticket: Ticket | None, shown: JobResult | None, limits: Limits) -> dict[str, Any]:
    match answer:
        case Go() if ticket is not None:
            return {
                "verdict": "go",
                "inputs": dict(ticket.result.inputs or {}),
                "user": {"id": str(ticket.user.id), "username": ticket.user.username} if ticket.user else None,
                "job_result": shown,
                "soft_time_limit": ticket.job.soft_time_limit,
                "time_limit": ticket.job.time_limit,
                "holds_code": ticket.holds_code,
                "largest_file": limits.file_bytes,
            }
        case Hold(reason=reason):
            return {"verdict": "hold", "message": reason}
        case Wait(until=until):
            return {"verdict": "wait", "until": until.isoformat()}
        case Finish(message=message):
            return {"verdict": "finish", "message": message}
        case Refuse(reason=reason):
            return {"verdict": "refuse", "message": reason}
        case _:
            raise TypeError(f"Unexpected answer: {answer!r}.")
