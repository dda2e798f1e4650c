"""Prefect's own life of a run around a child that we start: cancellation, crashes, receipts of the engine.

All that we use of Prefect's private interface for running processes stands in this file. Where a version of Prefect has
it otherwise, ``misfit`` says so, and runs are started by Prefect's process worker.
"""

from __future__ import annotations

import inspect
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, cast
from uuid import UUID

import anyio
import anyio.abc
from prefect.client.schemas.objects import FlowRun, State
from prefect.runner._flow_run_executor import FlowRunExecutionResult, FlowRunExecutor, FlowRunExecutorContext
from prefect.runner._process_manager import ProcessHandle
from prefect.runner._state_proposer import StateProposer

from api_shim.worker.fork_server import Child

Start = Callable[[dict[str, str]], Awaitable[Child]]
"""Starts a child with more in its environment."""


def misfit() -> str:
    """Return what this version of Prefect has otherwise; empty when all is as we need it."""
    needs: dict[Callable[..., Any], set[str]] = {
        FlowRunExecutorContext.create_executor: {"flow_run", "starter", "propose_submitting", "hook_runner"},
        FlowRunExecutor.submit: {"task_status"},
        ProcessHandle: {"_process", "termination_scope"},
        StateProposer.propose_crashed: {"flow_run", "message"},
    }
    for function, names in needs.items():
        if lacks := names - set(inspect.signature(function).parameters):
            return f"Prefect's {function.__qualname__} takes no {', '.join(sorted(lacks))}"
    return ""


class NoHooks:
    """The hooks of a Job's flow: it has none, and its code is not for this process."""

    async def run_cancellation_hooks(self, flow_run: FlowRun, state: State[Any]) -> None:
        """Do nothing."""

    async def run_crashed_hooks(self, flow_run: FlowRun, state: State[Any]) -> None:
        """Do nothing."""


class Scope:
    """How a child is ended: with all that it has started."""

    wait_after_graceful_kill = True

    def __init__(self, child: Child) -> None:
        self._child = child

    def is_alive(self, _pid: int) -> bool:
        return self._child.returncode is None

    def graceful_kill(self, _pid: int) -> None:
        self._child.signal(signal.SIGTERM)

    def hard_kill(self, _pid: int) -> None:
        self._child.signal(signal.SIGKILL)

    def close(self) -> None:
        """Nothing is held."""


class Telling(StateProposer):
    """Tells of a crash what we know of it, and of which attempt.

    Args:
        client: the worker's, who has taken the run.
        explain: returns a sentence more, or nothing.
    """

    def __init__(self, client: Any, explain: Callable[[], str]) -> None:
        super().__init__(client=client)
        self._explain = explain

    async def propose_crashed(self, flow_run: FlowRun, message: str) -> State[Any] | None:
        return await super().propose_crashed(flow_run, self._explain() or message)


class Starter:
    """What Prefect's executor starts a process with.

    Args:
        start: starts a child.
        control: Prefect's channel to the engine in it.
    """

    def __init__(self, start: Start, control: Any) -> None:
        self.child: Child | None = None
        self._start = start
        self._control = control

    async def start(
        self, flow_run: FlowRun, task_status: anyio.abc.TaskStatus[ProcessHandle] = anyio.TASK_STATUS_IGNORED
    ) -> None:
        """Start a child, say so, and wait until it has ended."""
        try:
            self.child = child = await self._start(self._registered(flow_run.id))
        except BaseException:
            self._control.unregister(flow_run.id)
            raise
        task_status.started(ProcessHandle(cast(Any, child), termination_scope=Scope(child)))
        await child.ended.wait()

    def _registered(self, run_id: UUID) -> dict[str, str]:
        hooks = {"PREFECT__ENABLE_CANCELLATION_AND_CRASHED_HOOKS": "false"}
        try:
            port, token = self._control.register(run_id)
        except RuntimeError:
            # There is no channel; Prefect ends the process then without a word before.
            return hooks
        return hooks | {"PREFECT__CONTROL_PORT": str(port), "PREFECT__CONTROL_TOKEN": token}


class Executions:
    """Executes runs in children.

    Args:
        context: what Prefect shares between them.
        explain: says of a child that has ended what there is to say; empty for nothing.
    """

    def __init__(self, context: FlowRunExecutorContext, explain: Callable[[Child], str]) -> None:
        self._context = context
        self._explain = explain

    async def execute(
        self, client: Any, flow_run: FlowRun, start: Start, task_status: anyio.abc.TaskStatus[int]
    ) -> tuple[int, int]:
        """Execute a run to its end.

        Args:
            client: Prefect's client, by which the worker has taken the run.
            flow_run: the run.
            start: starts its child.
            task_status: told the process id, as soon as there is one.

        Returns:
            its exit status (0 for what its engine has told Prefect already) and its process id.

        Raises:
            RuntimeError: it was not started; Prefect has been told.
        """
        starter = Starter(start, self._context.control_channel)
        executor = self._context.create_executor(flow_run, starter, hook_runner=NoHooks(), propose_submitting=False)
        executor._state_proposer = Telling(client, lambda: self._explain(starter.child) if starter.child else "")
        execution: FlowRunExecutionResult | None = None

        async def submit(*, task_status: anyio.abc.TaskStatus[ProcessHandle] = anyio.TASK_STATUS_IGNORED) -> None:
            nonlocal execution
            execution = await executor.submit(task_status=task_status)

        async with anyio.create_task_group() as group:
            handle = await group.start(submit)
            task_status.started(handle.pid)
        if execution is None or execution.status_code is None or execution.handle.pid is None:
            raise RuntimeError("Failed to start flow run process.")
        return execution.status_code, execution.handle.pid


@asynccontextmanager
async def executions(explain: Callable[[Child], str]) -> AsyncIterator[Executions]:
    """Have what runs in children share, while this is entered."""
    async with FlowRunExecutorContext() as context:
        yield Executions(context, explain)
