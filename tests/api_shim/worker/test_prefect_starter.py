"""What we use of Prefect's private interface is as we need it, and what we add to it."""

from __future__ import annotations

import signal
from typing import Any, cast
from uuid import uuid4

import anyio
import anyio.abc
import pytest
from prefect.client.schemas.objects import FlowRun
from prefect.runner._process_manager import ProcessHandle
from prefect.runner._state_proposer import StateProposer

from api_shim.worker import prefect_starter
from api_shim.worker.fork_server import Child
from api_shim.worker.prefect_starter import Scope, Starter, Telling, misfit

pytestmark = pytest.mark.anyio


def test_the_installed_prefect_is_as_we_need_it() -> None:
    assert misfit() == ""


def test_what_is_otherwise_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    class Other:
        def create_executor(self, flow_run: Any, starter: Any) -> None: ...

    monkeypatch.setattr(prefect_starter, "FlowRunExecutorContext", Other)
    assert misfit().endswith("create_executor takes no hook_runner, propose_submitting")


class Signalled(Child):
    """A child that notes how it is signalled."""

    def signal(self, number: signal.Signals) -> None:
        self.signals = [*getattr(self, "signals", []), number]


def test_a_child_is_ended_as_prefect_ends_processes() -> None:
    child = Signalled(7)
    handle = ProcessHandle(cast(Any, child), termination_scope=Scope(child))
    assert handle.is_alive()
    handle.graceful_kill()
    handle.hard_kill()
    child.end(-9)
    handle.close()
    assert child.signals == [signal.SIGTERM, signal.SIGKILL]
    assert not handle.is_alive()
    assert (handle.pid, handle.returncode) == (7, -9)


class Control:
    """Prefect's channel to the engines."""

    def __init__(self, port: int | None) -> None:
        self._port = port
        self.left: list[Any] = []

    def register(self, _run_id: Any) -> tuple[int, str]:
        if self._port is None:
            raise RuntimeError("ControlChannel is not running")
        return self._port, "token"

    def unregister(self, run_id: Any) -> None:
        self.left.append(run_id)


RUN = FlowRun(flow_id=uuid4(), name="run")
HOOKS = {"PREFECT__ENABLE_CANCELLATION_AND_CRASHED_HOOKS": "false"}


@pytest.mark.parametrize(
    ("port", "told"),
    [
        (4000, HOOKS | {"PREFECT__CONTROL_PORT": "4000", "PREFECT__CONTROL_TOKEN": "token"}),
        (None, HOOKS),
    ],
)
async def test_a_child_is_told_how_it_is_controlled_and_waited_for(port: int | None, told: dict[str, str]) -> None:
    child = Child(7)
    more = []

    async def start(environment: dict[str, str]) -> Child:
        more.append(environment)
        return child

    starter = Starter(start, Control(port))
    async with anyio.create_task_group() as group:
        handle = await group.start(starter.start, RUN)
        assert handle.pid == 7
        child.end(0)
    assert more == [told]


async def test_a_run_that_cannot_be_started_is_not_waited_for_on_the_channel() -> None:
    control = Control(4000)

    async def start(_environment: dict[str, str]) -> Child:
        raise OSError("no process")

    with pytest.raises(OSError, match="no process"):
        await Starter(start, control).start(RUN)
    assert control.left == [RUN.id]


@pytest.mark.parametrize(("explained", "told"), [("It ran out of memory.", "It ran out of memory."), ("", "Status -9")])
async def test_a_crash_is_told_with_what_we_know(monkeypatch: pytest.MonkeyPatch, explained: str, told: str) -> None:
    messages = []

    async def propose(_self: StateProposer, _flow_run: FlowRun, message: str) -> None:
        messages.append(message)

    monkeypatch.setattr(StateProposer, "propose_crashed", propose)
    await Telling(None, lambda: explained).propose_crashed(RUN, "Status -9")
    assert messages == [told]
