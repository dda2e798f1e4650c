"""Prefect's process worker, whose runs have a key of their own and never the worker's, nor what is the server's own.

* What is the server's own is left out of the environment of a run, also where Prefect has read it from files.
* The key of a run is in the environment of its process, where the worker's would stand. Without one the run is not
  started: it would have to be with the worker's, which is good for all runs and for the whole of Prefect.
* Prefect sets the worker's settings above the environment of a run that has a command of its own. While such a run is
  being executed its key stands in the settings, so that its cancellation is not noticed at once.
* What goes wrong when one run is taken ends no other: Prefect's worker would end with all runs that it executes. The
  run stays ``Scheduled`` and is found again. A run that is not started after all takes no room.
* A worker outlasts Prefect's outages, however long: it looks again each time that it would have looked, and says once
  that nobody answers. Prefect's worker would end after some of them, with all runs that it executes.
* What becomes of any other run is told as the worker, with the run's key beside (``prefect_calls``).
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

import anyio.abc
import httpx
from prefect.settings import (
    PREFECT_API_AUTH_STRING,
    PREFECT_API_KEY,
    PREFECT_CLIENT_CUSTOM_HEADERS,
    Settings,
    get_current_settings,
    temporary_settings,
)
from prefect.workers.process import ProcessJobConfiguration, ProcessWorker, ProcessWorkerResult

from api_shim.worker.environment import AUTH, is_servers_own
from api_shim.worker.prefect_calls import KeyedCalls, key_of
from approval_gate.admission import RUN_KEY

if TYPE_CHECKING:
    from prefect.client.orchestration import PrefectClient
    from prefect.client.schemas.objects import FlowRun
    from prefect.workers.base import BaseWorker

    _Worker = BaseWorker[Any, Any, Any]
else:
    _Worker = object

logger = logging.getLogger("signoff")
T = TypeVar("T")

WORKERS_OWN = (AUTH, "PREFECT_API_KEY")
"""The variables in which a worker has its key."""

HEADERS = "PREFECT_CLIENT_CUSTOM_HEADERS"
"""The variable for what Prefect's clients send with each call."""

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


class TakesRuns(_Worker):
    """A worker of Prefect's that asks for the key of each run that it takes."""

    _calls: KeyedCalls | None = None
    _is_answered = True

    @classmethod
    def __dispatch_key__(cls) -> str:
        # Prefect's own worker stays what its type stands for.
        return f"signoff-{cls.type}"

    @property
    def client(self) -> Any:
        """What Prefect's worker asks."""
        if self._calls is None:
            self._calls = self._make_calls(super().client)
        return self._calls

    def _make_calls(self, client: PrefectClient) -> KeyedCalls:
        return KeyedCalls(client)

    async def get_and_submit_flow_runs(self) -> list[FlowRun]:
        """Look for runs, and take those for which there is room."""
        return await self._unless_away(super().get_and_submit_flow_runs) or []

    async def sync_with_backend(self) -> None:
        """Tell Prefect that this worker is there, and learn what its work pool has become."""
        if getattr(self, "_has_successfully_synced", True):
            await self._unless_away(super().sync_with_backend)
        else:
            # A worker that has never had an answer may have been told a wrong address.
            await super().sync_with_backend()

    async def _unless_away(self, ask: Callable[[], Awaitable[T]]) -> T | None:
        """Ask Prefect something, and return None while nobody answers or the server is at fault."""
        try:
            answer = await ask()
        except httpx.HTTPError as error:
            if isinstance(error, httpx.HTTPStatusError) and error.response.status_code < 500:
                raise
            if self._is_answered:
                logger.warning("Prefect does not answer as it should; this worker keeps asking: %s", error)
            self._is_answered = False
            return None
        if not self._is_answered:
            logger.warning("Prefect answers again.")
        self._is_answered = True
        return answer

    async def _submit_run(self, flow_run: FlowRun) -> None:
        try:
            await super()._submit_run(flow_run)
        except Exception as error:
            logger.warning("The run %s could not be taken and is looked for again: %s", flow_run.name, error)
            self._submitting_flow_run_ids.discard(flow_run.id)
            if self._cancelling_observer is not None:
                self._cancelling_observer.remove_in_flight_flow_run_id(flow_run.id)
            self._release_limit_slot(flow_run.id)

    async def _mark_flow_run_as_cancelled(self, flow_run: FlowRun, *state: Any, **more: Any) -> None:
        # Prefect's worker keeps the room of a run whose deployment is gone.
        self._release_limit_slot(flow_run.id)
        await super()._mark_flow_run_as_cancelled(flow_run, *state, **more)


class KeyedWorker(TakesRuns, ProcessWorker):
    """Starts each run in a process from nothing, with the run's own key."""

    job_configuration = OurJobConfiguration

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
        key = key_of(flow_run.id)
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
        with (
            self._as_the_run(configuration)
            if configuration._command_configured
            else self._with_its_key(flow_run, configuration)
        ):
            return await super().run(flow_run, configuration, task_status)

    def _as_the_run(self, configuration: ProcessJobConfiguration) -> contextlib.AbstractContextManager[object]:
        return temporary_settings(
            updates={PREFECT_API_AUTH_STRING: configuration.env[AUTH]}, restore_defaults={PREFECT_API_KEY}
        )

    def _with_its_key(
        self, flow_run: FlowRun, configuration: ProcessJobConfiguration
    ) -> contextlib.AbstractContextManager[object]:
        """Have Prefect's client for this run send the run's key, and the run's process not."""
        # The worker's settings are in this environment already, and would be added as they are now.
        configuration.env.setdefault(HEADERS, None)
        headers = get_current_settings().client.custom_headers | {RUN_KEY: key_of(flow_run.id)}
        return temporary_settings(updates={PREFECT_CLIENT_CUSTOM_HEADERS: headers})
