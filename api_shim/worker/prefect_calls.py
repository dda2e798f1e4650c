"""Prefect's client for the warm worker: it asks less and says more than Prefect's own worker does.

* A deployment that was read is known for a second: a worker reads it twice for each run, and all runs of a Job have the
  same one. A flow has nothing that changes but its labels, and is known for a minute.
* Everybody gets a copy: a worker writes the variables of a run into what it was given.
* Which process executes a forked run is not told: it ends with its worker, so nobody could end it by its number.
* Which worker has taken a run is told with its state, so that it starts again when that worker goes.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, TypeVar
from uuid import UUID

from pydantic import BaseModel

from approval_gate.admission import TAKEN_BY

if TYPE_CHECKING:
    from prefect.client.orchestration import PrefectClient
    from prefect.client.schemas.objects import Flow, State
    from prefect.client.schemas.responses import DeploymentResponse

M = TypeVar("M", bound=BaseModel)

DEPLOYMENT_KNOWN = 1.0
"""Seconds."""

FLOW_KNOWN = 60.0
"""Seconds."""


class WorkerCalls:
    """Prefect's client, but for what is known.

    Args:
        client: it.
        worker: the name of the worker.
    """

    def __init__(self, client: PrefectClient, worker: str) -> None:
        self._client = client
        self._worker = worker
        self._known: dict[UUID, tuple[float, BaseModel]] = {}
        self._forked: set[UUID] = set()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)

    def forks(self, flow_run_id: UUID) -> None:
        """Note that a run is executed in a forked child."""
        self._forked.add(flow_run_id)

    async def read_deployment(self, deployment_id: UUID) -> DeploymentResponse:
        """Return a deployment, as it was at most a second ago."""
        return await self._read(self._client.read_deployment, deployment_id, DEPLOYMENT_KNOWN)

    async def read_flow(self, flow_id: UUID) -> Flow:
        """Return a flow, as it was at most a minute ago."""
        return await self._read(self._client.read_flow, flow_id, FLOW_KNOWN)

    async def update_flow_run(self, flow_run_id: UUID, **fields: Any) -> Any:
        """Change a run; that a child executes it is kept to ourselves."""
        if fields.keys() == {"infrastructure_pid"} and flow_run_id in self._forked:
            self._forked.discard(flow_run_id)
            return None
        return await self._client.update_flow_run(flow_run_id, **fields)

    async def set_flow_run_state(self, flow_run_id: UUID, state: State[Any], **how: Any) -> Any:
        """Put a run into a state; one that is taken is taken by this worker."""
        if state.is_pending():
            state = state.model_copy(update={"message": f"{TAKEN_BY}{self._worker}"})
        return await self._client.set_flow_run_state(flow_run_id, state, **how)

    async def _read(self, read: Callable[[UUID], Awaitable[M]], thing_id: UUID, known: float) -> M:
        now = asyncio.get_running_loop().time()
        self._known = {key: kept for key, kept in self._known.items() if kept[0] > now}
        if thing_id not in self._known:
            self._known[thing_id] = (now + known, await read(thing_id))
        found: Any = self._known[thing_id][1]
        copy: M = found.model_copy(deep=True)
        return copy
