"""Workers that take runs: of their own work pool only, and with a credential for each run.

* The account of a worker asks for runs of its own work pool, and takes no others. Who may write to Prefect and is no
  worker's account goes on as Prefect has it, and is given no credential. An account that is a worker's and may write
  too, as those of earlier versions, is held to its pool here; one that is nothing else in ``prefect_worker_calls``.
* A run is taken by putting it into a pending state. If the worker asks for the run's key (``RUN_KEY`` in the request),
  the answer has it in the same header, once Prefect has accepted. So no call is made for it. Who takes a run again,
  because the first answer was lost, has it too, and is given another key; nobody else is who asks as they did.
* With that key in the header a worker tells how this attempt to execute the run has ended. Prefect is not told of one
  that is over: that would end the attempt that was begun since. The worker is answered that it may leave it.
* A worker that does not ask, as Prefect's own, speaks for the run itself; a key that was made before is good no longer.
* Which account has taken a run is known from then on, until the run is over or taken again. A run that Prefect has let
  be taken, and of which that cannot be recorded, is put back, so that it is taken again.
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Mapping
from typing import Any
from uuid import UUID

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api_shim.asgi import receive_whole, received_again
from api_shim.parsing.fields import read_id
from api_shim.prefect_api.prefect_server import connect
from api_shim.services.refusals import Refusals
from api_shim.services.run_credentials import RunCredentials
from api_shim.services.suspensions import Suspensions
from api_shim.web.bodies import parse_json
from api_shim.web.errors import body_of, headers_of, status_of
from api_shim.web.prefect_run_calls import SETS_STATE, field_of, kept, pass_pause, pauses, said_in
from approval_gate import policy
from approval_gate.admission import RUN_KEY, RUN_KEY_WANTED
from approval_gate.errors import GateError, Unavailable
from approval_gate.model import Actor, Allowed, ObjectType, Verdict

logger = logging.getLogger("signoff")

ASKS_FOR_RUNS = re.compile(
    r"/api/(work_pools/([^/]+)/get_scheduled_flow_runs|work_queues/[^/]+/get_runs"
    r"|deployments/get_scheduled_flow_runs|flow_runs/bulk_set_state)/?"
)
"""The ways to runs; only the first names a work pool, and no worker of today needs the others."""
TAKEN = "PENDING"
PUT_BACK = {"state": {"type": "SCHEDULED", "name": "Scheduled"}, "force": True}
OVER: Mapping[str, Any] = {
    "status": "ABORT",
    "state": None,
    "details": {"type": "abort_details", "reason": "The run has been started again; this attempt is over."},
}
"""Prefect's answer for a state that a run is not put into."""
PAUSES = (0.05, 0.2, 0.5)
"""Seconds before it is recorded again who has taken a run."""


class Claims:
    """ASGI application that passes writes of accounts to Prefect.

    Args:
        prefect: the Prefect server.
        internal: ``user:password`` of Prefect's internal account.
        credentials: makes the credentials of runs.
        refusals: records what is refused.
        suspensions: records that runs are suspended by their own code.
    """

    def __init__(
        self,
        prefect: ASGIApp,
        internal: str,
        credentials: RunCredentials,
        refusals: Refusals,
        suspensions: Suspensions,
    ) -> None:
        self._suspensions = suspensions
        self._prefect = prefect
        self._client = connect(prefect, internal)
        self._credentials = credentials
        self._refusals = refusals

    async def answer(self, actor: Actor, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request that writes.

        Args:
            actor: the caller, who may write to Prefect.
            scope: the ASGI scope of the request, with the credentials of Prefect's internal account.
            receive: the ASGI callable.
            send: the ASGI callable.
        """
        asks, sets = ASKS_FOR_RUNS.fullmatch(scope["path"]), SETS_STATE.fullmatch(scope["path"])
        try:
            if scope["method"] == "POST" and asks is not None:
                await self._asks(actor, asks[2] or "")
            elif scope["method"] == "POST" and sets is not None and (run_id := read_id(sets[1])) is not None:
                await self._sets_state(actor, run_id, scope, receive, send)
                return
        except GateError as error:
            await JSONResponse(body_of(error), status_of(error), headers_of(error))(scope, receive, send)
            return
        await self._prefect(scope, receive, send)

    async def _asks(self, actor: Actor, pool: str) -> None:
        if policy.works(actor):
            await self._enforce(actor, policy.takes_run(actor, pool=pool))

    async def _sets_state(self, actor: Actor, run_id: UUID, scope: Scope, receive: Receive, send: Send) -> None:
        body = await receive_whole(receive)
        if body is None:
            return
        again = received_again(body, receive)
        if policy.works(actor) and takes(body):
            if pool := await self._credentials.pool_of(run_id):
                await self._enforce(actor, policy.takes_run(actor, pool=pool))
            await self.set_state(actor, run_id if pool else None, scope, again, send)
        elif policy.works(actor) and await self._is_over(run_id, scope):
            await JSONResponse(OVER)(scope, again, send)
        else:
            await self._prefect(scope, again, send)

    async def set_state(self, actor: Actor, run_id: UUID | None, scope: Scope, receive: Receive, send: Send) -> None:
        """Let Prefect answer a worker that takes a run, or tells what has become of it, and may.

        Args:
            actor: the account of the worker.
            run_id: the run; None for one that is within another, and has no credential.
            scope: the ASGI scope of the request, with the credentials of Prefect's internal account.
            receive: the ASGI callable.
            send: the ASGI callable.

        Raises:
            Unavailable: it could not be recorded who has the run; it has been put back.
        """
        if run_id is not None and await self._is_over(run_id, scope):
            await JSONResponse(OVER)(scope, receive, send)
            return
        body = await receive_whole(receive)
        if body is None:
            return
        again = received_again(body, receive)
        if run_id is not None and pauses(body):
            # Prefect's own workers speak for the run itself.
            await pass_pause(self._suspensions, run_id, self._prefect, scope, again, send)
            return
        answer = await kept(self._prefect, scope, again)
        if run_id is not None and await self._has_taken(actor, run_id, body, answer):
            keyed = Headers(scope=scope).get(RUN_KEY) == RUN_KEY_WANTED
            if key := await self._record(actor, run_id, keyed=keyed):
                MutableHeaders(scope=answer[0])[RUN_KEY] = key
        for message in answer:
            await send(message)

    async def _has_taken(self, actor: Actor, run_id: UUID, asked: bytes, answer: list[Message]) -> bool:
        said = said_in(answer)
        if _type_of(said) != TAKEN:
            return False
        if field_of(said, "status") == "ACCEPT":
            return True
        # Prefect refuses what it has done already, and answers with the state that it has made of it. Whoever knows
        # what another one has called their change has not made it.
        made = _transition_of(said)
        again = made is not None and made == _transition_of(_read(asked))
        return again and await self._credentials.could_have_taken(actor, run_id)

    async def _is_over(self, run_id: UUID, scope: Scope) -> bool:
        """Say whether a worker tells of an attempt that is over; one that does not say of which tells of the last."""
        key = Headers(scope=scope).get(RUN_KEY, RUN_KEY_WANTED)
        return key != RUN_KEY_WANTED and not await self._credentials.is_under_way(run_id, key)

    async def _record(self, actor: Actor, run_id: UUID, *, keyed: bool) -> str:
        for pause in PAUSES:
            try:
                return await self._credentials.taken(actor, run_id, keyed=keyed)
            except Unavailable:
                await asyncio.sleep(pause)
        try:
            return await self._credentials.taken(actor, run_id, keyed=keyed)
        except Unavailable:
            # Nobody would have the run, and Prefect would let nobody take it.
            answer = await self._client.post(f"/flow_runs/{run_id}/set_state", json=PUT_BACK)
            if not answer.is_success:
                logger.warning("Run %s has been taken by nobody, and could not be put back.", run_id)
            raise

    async def _enforce(self, actor: Actor, verdict: Verdict) -> None:
        if verdict != Allowed():
            await self._refusals.request(actor, policy.why_not(verdict, hidden=""), "runs of another work pool")
        policy.enforce(verdict, ObjectType.PREFECT)


def takes(body: bytes) -> bool:
    """Say whether a request may put a run into a pending state; one that cannot be read here may."""
    try:
        return _type_of(parse_json(body)) == TAKEN
    except GateError:
        return True


def _read(body: bytes) -> Any:
    try:
        return parse_json(body)
    except GateError:
        return None


def _type_of(said: Any) -> str:
    return str(field_of(field_of(said, "state"), "type"))


def _transition_of(said: Any) -> Any:
    """Return what a client calls one change of a state, however often it asks for it; None if it has no name."""
    return field_of(field_of(field_of(said, "state"), "state_details"), "transition_id")
