"""Prefect's client for our workers, who are given a key for each run; that of the warm worker asks less and says more.

* A run is taken by a call that asks for the run's own key, which the answer has (``services.run_credentials``).
* What becomes of a run is told with that key. So the server knows of which attempt it is told, and leaves alone the one
  that was begun since: a run may have been started again, by this worker too, while its first process still comes up.
* A deployment that was read is known for a second: a worker reads it twice for each run, and all runs of a Job have the
  same one. A flow has nothing that changes but its labels, and is known for a minute.
* Everybody gets a copy: a worker writes the variables of a run into what it was given.
* Where results are stored by default is known for a minute, and a run is known in the state that it was put into: both
  are handed to the run's process (``prefect_handed``).
* Which process executes a forked run is not told: it ends with its worker, so nobody could end it by its number.
* Which worker has taken a run is told with its state, so that it starts again when that worker goes.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from contextvars import ContextVar
from copy import deepcopy
from typing import TYPE_CHECKING, Any, TypeVar
from uuid import UUID, uuid4

import httpx

from approval_gate.admission import RUN_KEY, RUN_KEY_WANTED, TAKEN_BY

if TYPE_CHECKING:
    from prefect.client.orchestration import PrefectClient
    from prefect.client.schemas.objects import Flow, FlowRun, State
    from prefect.client.schemas.responses import DeploymentResponse, OrchestrationResult

K = TypeVar("K", UUID, None)
V = TypeVar("V")

DEPLOYMENT_KNOWN = 1.0
"""Seconds."""

FLOW_KNOWN = 60.0
"""Seconds."""

STORAGE_KNOWN = 60.0
"""Seconds."""

ATTEMPT: ContextVar[tuple[UUID | None, str]] = ContextVar("attempt", default=(None, ""))
"""The run that this task has taken, and its key: of a run that is taken again each attempt has its own."""


def key_of(flow_run_id: UUID) -> str:
    """Return the key of a run that this task has taken; empty if it has not, or was given none."""
    taken, key = ATTEMPT.get()
    return key if taken == flow_run_id else ""


class KeyedCalls:
    """Prefect's client, which asks for the key of each run that it takes.

    Args:
        client: it.
    """

    def __init__(self, client: PrefectClient) -> None:
        # It takes any header, though its types do not say so.
        self._client: Any = client

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)

    async def set_flow_run_state(self, flow_run_id: UUID, state: State[Any], **how: Any) -> Any:
        """Put a run into a state; one that is taken is given a key, and with that is told what becomes of it."""
        if state.is_pending():
            # Of a key that was given before it is not known whether it is still good.
            ATTEMPT.set((flow_run_id, ""))
            answer, key = await self._put(flow_run_id, state, RUN_KEY_WANTED, **how)
            ATTEMPT.set((flow_run_id, key))
        elif key := key_of(flow_run_id):
            answer, _ = await self._put(flow_run_id, state, key, **how)
        else:
            answer = await self._client.set_flow_run_state(flow_run_id, state, **how)
        return answer

    async def _put(
        self, flow_run_id: UUID, state: State[Any], key: str, force: bool = False
    ) -> tuple[OrchestrationResult[Any], str]:
        """Do what Prefect's client does, with a header more, and return that of the answer too."""
        from prefect.client.schemas import OrchestrationResult
        from prefect.exceptions import ObjectNotFound
        from prefect.states import to_state_create

        asked = to_state_create(state)
        asked.state_details.flow_run_id = flow_run_id
        asked.state_details.transition_id = uuid4()
        try:
            answer = await self._client.request(
                "POST",
                "/flow_runs/{id}/set_state",
                path_params={"id": flow_run_id},
                json={"state": asked.model_dump(mode="json", serialize_as_any=True), "force": force},
                headers={RUN_KEY: key},
            )
        except httpx.HTTPStatusError as error:
            if error.response.status_code == httpx.codes.NOT_FOUND:
                raise ObjectNotFound(http_exc=error) from error
            raise
        return OrchestrationResult.model_validate(answer.json()), answer.headers.get(RUN_KEY, "")


class WorkerCalls(KeyedCalls):
    """Prefect's client, but for what is known.

    Args:
        client: it.
        worker: the name of the worker.
    """

    def __init__(self, client: PrefectClient, worker: str) -> None:
        super().__init__(client)
        self._worker = worker
        self._known: dict[UUID | None, tuple[float, Any]] = {}
        self._forked: set[UUID] = set()
        self._pending: dict[UUID, State[Any]] = {}

    async def forks(self, flow_run: FlowRun) -> dict[str, Any]:
        """Note that a run is executed in a forked child, and return what that is handed.

        Args:
            flow_run: the run, as it was when this worker took it.
        """
        self._forked.add(flow_run.id)
        state = self._pending.pop(flow_run.id, None)
        if state is None:
            return {}
        run = flow_run.model_copy(update={"state": state, "state_type": state.type, "state_name": state.name})
        return {"run": run.model_dump_json(), "storage": await self._read(self._ask_storage, None, STORAGE_KNOWN)}

    async def _ask_storage(self, _nothing: None) -> dict[str, str | None]:
        """Return where results are stored by default; nothing where that is not told, as by other versions of Prefect.

        The engine asks for itself what it is not handed.
        """
        with suppress(Exception):
            block = (await self._client.read_server_default_result_storage()).default_result_storage_block_id
            return {"id": str(block) if block else None}
        return {}

    async def read_deployment(self, deployment_id: UUID) -> DeploymentResponse:
        """Return a deployment, as it was at most a second ago."""
        return await self._read(self._client.read_deployment, deployment_id, DEPLOYMENT_KNOWN)

    async def read_flow(self, flow_id: UUID) -> Flow:
        """Return a flow, as it was at most a minute ago."""
        return await self._read(self._client.read_flow, flow_id, FLOW_KNOWN)

    async def update_flow_run(self, flow_run_id: UUID, **fields: Any) -> Any:
        """Change a run; that a child executes it is kept to ourselves."""
        self._pending.pop(flow_run_id, None)
        if fields.keys() == {"infrastructure_pid"} and flow_run_id in self._forked:
            self._forked.discard(flow_run_id)
            return None
        return await self._client.update_flow_run(flow_run_id, **fields)

    async def set_flow_run_state(self, flow_run_id: UUID, state: State[Any], **how: Any) -> Any:
        """Put a run into a state; one that is taken is taken by this worker."""
        if state.is_pending():
            state = state.model_copy(update={"message": f"{TAKEN_BY}{self._worker}"})
        elif state.is_final():
            # It has ended, or is given up before it was started.
            self._pending.pop(flow_run_id, None)
        answer = await super().set_flow_run_state(flow_run_id, state, **how)
        if answer.state is not None and answer.state.is_pending():
            self._pending[flow_run_id] = answer.state
        return answer

    async def _read(self, read: Callable[[K], Awaitable[V]], key: K, known: float) -> V:
        now = asyncio.get_running_loop().time()
        self._known = {key: kept for key, kept in self._known.items() if kept[0] > now}
        if key not in self._known:
            self._known[key] = (now + known, await read(key))
        found: V = self._known[key][1]
        return deepcopy(found)
