"""What a run in a forked child is handed, so that Prefect's engine need not ask for it.

* The run itself, as its worker was told of it, in the state that it has been put into since. Whether it may go on is
  asked of Prefect and of the gate all the same, when it is about to be ``Running``. Of the answer the engine is handed
  the run as it is then, which it would ask for next.
* When it is to begin. The engine is ready by then, and waits before it says that the run is ``Running``.
* Where results are stored by default, as it was at most a minute ago.
* That a run executes as its flow says is not told to Prefect: flows of Jobs have no retries, and all have one version.
* That a run is to be suspended is seen within ten seconds. Prefect's engine would open a websocket for each run, and
  wait for it before the run begins and after it has ended.

What another version of Prefect has not, or calls otherwise, is left alone: its engine asks then.
"""

from __future__ import annotations

import asyncio
import contextvars
import threading
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any
from uuid import UUID

if TYPE_CHECKING:
    from prefect._flow_run_suspension import FlowRunSuspensionRequest
    from prefect.client.schemas.objects import FlowRun

SUSPENSION_SEEN_WITHIN = 10.0
"""Seconds."""

LONGEST = 10.0
"""Seconds. A time that is further away is that of another clock, and not waited for."""

OF_THE_FLOW = {"flow_version", "empirical_policy"}
"""What the engine tells of a run that is known from its flow."""


def hand_over(run: str, storage: Mapping[str, str | None], at: float) -> None:
    """Have the engine of this process take what is known.

    Args:
        run: the run, as JSON of Prefect's client.
        storage: ``id`` of the block where results are stored by default; empty when that is not known.
        at: when the run is to begin, in seconds since 1970.
    """
    from prefect import flow_engine, results
    from prefect.client.orchestration import PrefectClient, SyncPrefectClient
    from prefect.client.schemas.objects import FlowRun
    from prefect.runtime import flow_run as runtime

    known, begun = FlowRun.model_validate_json(run), list[FlowRun]()
    _replace(flow_engine, "load_flow_run", lambda ask: _known_run(known, ask))
    _replace(runtime, "_get_flow_run", lambda ask: _run_of_runtime(known, ask))
    _replace(flow_engine, "observe_flow_run_suspension", lambda _ask: watch_suspension)
    _replace(SyncPrefectClient, "set_flow_run_state", lambda put: _noting_begin(known, put, begun, at))
    _replace(PrefectClient, "set_flow_run_state", lambda put: _beginning_in_time(put, at))
    _replace(SyncPrefectClient, "read_flow_run", lambda ask: _begun_run(known.id, ask, begun))
    _replace(SyncPrefectClient, "update_flow_run", lambda tell: _told_but_for_policy(known.id, tell))
    if storage:
        block = UUID(storage["id"]) if storage["id"] else None
        _replace(results, "_read_server_default_result_storage_block_id", lambda _ask: lambda: block)


def _replace(owner: Any, name: str, by: Callable[[Any], Any]) -> None:
    """Replace something of Prefect's, if it is there, by what is made of it."""
    with suppress(AttributeError):
        setattr(owner, name, by(getattr(owner, name)))


def _known_run(known: FlowRun, ask: Callable[[UUID], FlowRun]) -> Callable[[UUID], FlowRun]:
    def load(flow_run_id: UUID) -> FlowRun:
        return known if flow_run_id == known.id else ask(flow_run_id)

    return load


def _run_of_runtime(known: FlowRun, ask: Callable[[str], Awaitable[FlowRun]]) -> Callable[[str], Awaitable[FlowRun]]:
    """Return what tells of a run before it has begun; what has begun knows its own context."""

    async def get(flow_run_id: str) -> FlowRun:
        return known if flow_run_id == str(known.id) else await ask(flow_run_id)

    return get


def wait_until(at: float) -> None:
    """Wait until a time, if that is to come within moments.

    Args:
        at: the time, in seconds since 1970.
    """
    time.sleep(_left(at))


def _left(at: float) -> float:
    left = at - time.time()
    return left if 0 < left < LONGEST else 0


def _beginning_in_time(put: Callable[..., Awaitable[Any]], at: float) -> Callable[..., Awaitable[Any]]:
    """Return what puts runs into states, and lets none begin before its time."""

    async def set_state(self: Any, flow_run_id: UUID, state: Any, *more: Any, **options: Any) -> Any:
        if state.is_running():
            await asyncio.sleep(_left(at))
        return await put(self, flow_run_id, state, *more, **options)

    return set_state


def _noting_begin(known: FlowRun, put: Callable[..., Any], begun: list[FlowRun], at: float) -> Callable[..., Any]:
    """Return what puts runs into states in time, and notes the run as it is when it has been let begin."""

    def set_state(self: Any, flow_run_id: UUID, state: Any, *more: Any, **options: Any) -> Any:
        if state.is_running():
            wait_until(at)
        answer = put(self, flow_run_id, state, *more, **options)
        if flow_run_id == known.id and answer.state is not None and answer.state.is_running():
            began = {"start_time": known.start_time or answer.state.timestamp, "run_count": known.run_count + 1}
            is_now = {"state": answer.state, "state_type": answer.state.type, "state_name": answer.state.name}
            begun[:] = [known.model_copy(update=is_now | began)]
        return answer

    return set_state


def _begun_run(run_id: UUID, ask: Callable[..., Any], begun: list[FlowRun]) -> Callable[..., Any]:
    """Return what reads runs; that which has just begun is known, once."""

    def read(self: Any, flow_run_id: UUID) -> Any:
        return begun.pop() if begun and flow_run_id == run_id else ask(self, flow_run_id)

    return read


def _told_but_for_policy(run_id: UUID, tell: Callable[..., Any]) -> Callable[..., Any]:
    def update(self: Any, flow_run_id: UUID, **fields: Any) -> Any:
        if flow_run_id == run_id and fields.keys() == OF_THE_FLOW:
            return None
        return tell(self, flow_run_id, **fields)

    return update


@contextmanager
def watch_suspension(flow_run_id: UUID, suspension_request: FlowRunSuspensionRequest) -> Iterator[None]:
    """Look whether a run has been suspended, at intervals, while the block is executed.

    Args:
        flow_run_id: the run.
        suspension_request: told when it has been.
    """
    over = threading.Event()

    def look() -> None:
        while not over.wait(SUSPENSION_SEEN_WITHIN):
            # A server that does not answer is asked again.
            with suppress(Exception):
                if (state := suspended(flow_run_id)) is not None:
                    suspension_request.mark_requested(state)

    threading.Thread(target=contextvars.copy_context().run, args=(look,), daemon=True).start()
    try:
        yield
    finally:
        over.set()


def suspended(flow_run_id: UUID) -> Any:
    """Return the state of a run that is suspended; None for one that is not."""
    from prefect._flow_run_suspension import is_suspended_flow_run_state
    from prefect.client.orchestration import get_client

    with get_client(sync_client=True) as client:
        state = client.read_flow_run(flow_run_id).state
    return state if is_suspended_flow_run_state(state) else None
