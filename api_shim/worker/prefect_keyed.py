"""Prefect's process worker, whose runs have a key of their own and never the worker's, nor what is the server's own.

* What is the server's own is left out of the environment of a run, also where Prefect has read it from files.
* The key of a run is in the environment of its process, where the worker's would stand. Without one the run is not
  started: it would have to be with the worker's, which is good for all runs and for the whole of Prefect.
* Prefect sets the worker's settings above the environment of a run that has a command of its own. While such a run is
  being executed its key stands in the settings, so that its cancellation is not noticed at once.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any, ClassVar

import anyio.abc
from prefect.settings import (
    PREFECT_API_AUTH_STRING,
    PREFECT_API_KEY,
    Settings,
    get_current_settings,
    temporary_settings,
)
from prefect.workers.process import ProcessJobConfiguration, ProcessWorker, ProcessWorkerResult

from api_shim.worker.environment import AUTH, is_servers_own
from api_shim.worker.prefect_calls import KeyedCalls

if TYPE_CHECKING:
    from prefect.client.orchestration import PrefectClient
    from prefect.client.schemas.objects import FlowRun

WORKERS_OWN = (AUTH, "PREFECT_API_KEY")
"""The variables in which a worker has its key."""

RUN = "run"
"""The name that stands before the key of a run, where clients send ``user:key``."""

NO_KEY = (
    "The server has given no credential for this run. The account of this worker is no worker's of this work pool "
    "(`signoff user worker` on the server makes it one), or the server is of an earlier version."
)


class OurJobConfiguration(ProcessJobConfiguration):
    """How one run is started."""

    _told: ClassVar[tuple[Settings | None, dict[str, str]]] = (None, {})

    @classmethod
    def _base_environment(cls) -> dict[str, str]:
        """Return what runs are told of the settings of this process.

        Prefect puts it together anew for each run, which takes longer than all else that a worker does for one.
        """
        settings, told = OurJobConfiguration._told
        if settings is not (now := get_current_settings()):
            told = super()._base_environment()
            OurJobConfiguration._told = now, told
        return dict(told)

    def prepare_for_flow_run(self, *run: Any, **more: Any) -> None:
        """Leave out of its environment what the worker has left out of its own."""
        super().prepare_for_flow_run(*run, **more)
        self.env = {name: value for name, value in self.env.items() if not is_servers_own(name)}


class KeyedWorker(ProcessWorker):
    """Starts each run in a process from nothing, with the run's own key."""

    job_configuration = OurJobConfiguration

    _calls: KeyedCalls | None = None

    @classmethod
    def __dispatch_key__(cls) -> str:
        # Prefect's own worker stays what its type stands for.
        return "signoff-process"

    @property
    def client(self) -> Any:
        """What Prefect's worker asks."""
        if self._calls is None:
            self._calls = self._make_calls(super().client)
        return self._calls

    def _make_calls(self, client: PrefectClient) -> KeyedCalls:
        return KeyedCalls(client)

    async def run(
        self,
        flow_run: FlowRun,
        configuration: ProcessJobConfiguration,
        task_status: anyio.abc.TaskStatus[int] | None = None,
    ) -> ProcessWorkerResult:
        """Execute a run to its end, with its own key.

        Raises:
            RuntimeError: the server has given none.
        """
        key = self.client.take_key(flow_run.id)
        if not key:
            raise RuntimeError(NO_KEY)
        configuration.env |= dict.fromkeys(WORKERS_OWN) | {AUTH: f"{RUN}:{key}"}
        return await self.execute(flow_run, configuration, task_status)

    async def execute(
        self,
        flow_run: FlowRun,
        configuration: ProcessJobConfiguration,
        task_status: anyio.abc.TaskStatus[int] | None,
    ) -> ProcessWorkerResult:
        """Execute a run to its end, with the environment of its configuration."""
        own = temporary_settings(
            updates={PREFECT_API_AUTH_STRING: configuration.env[AUTH]}, restore_defaults={PREFECT_API_KEY}
        )
        with own if configuration._command_configured else contextlib.nullcontext():
            return await super().run(flow_run, configuration, task_status)
