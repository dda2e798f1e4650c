"""The warm worker: Prefect's process worker, but a run of a Job starts in a forked child, at once.

* It serves pools of the type ``process``. What is no Job, has a command or pull steps, or is not to be forked here, is
  started as Prefect's process worker does it; why is said in a line.
* It looks for runs when it is woken, and by itself at intervals. Wakes that come together are one question to Prefect.
* What Prefect has told is kept until it is due: then it starts, without being asked for again. Its process is there a
  moment before, and begins it in time.
* So many runs at once and no more. The others stay ``Scheduled`` in Prefect; when one has ended, the next starts.
* A worker that has all that it can do asks as well, every now and then: one that does not ask counts as gone.
* What nobody needs is not told to Prefect: that a run is being submitted, and which labels the worker has. What is
  known is not asked again.
* A stop ends the children: they are asked to, and killed when they have not in time.
* Where Jobs run as another user, every run does, whatever it is: what is not forked has a new interpreter, or its own
  command, in a child's place. Prefect's process worker, which would start it as this one's user, starts none.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import shlex
import tempfile
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID

import anyio
import anyio.abc
from prefect.client.schemas.objects import FlowRun
from prefect.client.schemas.responses import WorkerFlowRunResponse
from prefect.settings import get_current_settings
from prefect.workers.process import ProcessJobConfiguration, ProcessWorkerResult
from pydantic import PrivateAttr

from api_shim.worker.capacity import killed_for_memory
from api_shim.worker.environment import is_servers_own
from api_shim.worker.fork_server import Child, ForkFailed, ForkServers
from api_shim.worker.jobs_user import JobsUser
from api_shim.worker.prefect_calls import WorkerCalls
from api_shim.worker.prefect_keyed import WORKERS_OWN, KeyedWorker, OurJobConfiguration
from api_shim.worker.prefect_starter import Executions, executions
from api_shim.worker.wake import Listener
from approval_gate.admission import LEASE

if TYPE_CHECKING:
    from prefect.client.orchestration import PrefectClient
    from prefect.client.schemas.objects import Flow, WorkPool
    from prefect.client.schemas.responses import DeploymentResponse

logger = logging.getLogger("signoff")

JOBS = "flows.prefect_flow."
"""What the entry point of a Job begins with; its class path follows, with dashes."""

TOGETHER = 0.03
"""Seconds in which wakes are one."""

APART = 0.2
"""Seconds between two questions to Prefect, which cost it as much as a run does."""

SILENT = 10.0
"""Seconds without a question after which a worker asks though it has no room; Prefect notes no more of them."""

AHEAD = timedelta(seconds=1)
"""How long before its time the process of a run is started."""

OF_A_RUN = "PREFECT__"
"""What the names of variables begin with that each run has its own of."""


class WarmJobConfiguration(OurJobConfiguration):
    """How one run is started."""

    _job: str = PrivateAttr(default="")
    _pulls: bool = PrivateAttr(default=False)

    def prepare_for_flow_run(
        self,
        flow_run: FlowRun,
        deployment: DeploymentResponse | None = None,
        flow: Flow | None = None,
        work_pool: WorkPool | None = None,
        worker_name: str | None = None,
        worker_id: UUID | None = None,
    ) -> None:
        """Note what decides how it is started."""
        super().prepare_for_flow_run(flow_run, deployment, flow, work_pool, worker_name, worker_id)
        if deployment is not None:
            self._pulls = bool(deployment.pull_steps)
            if (entrypoint := deployment.entrypoint or "").startswith(JOBS):
                self._job = entrypoint.removeprefix(JOBS).replace("-", ".")
                # As Prefect's own worker does; the engine need not ask for it.
                self.env["PREFECT__FLOW_ENTRYPOINT"] = entrypoint

    @property
    def job(self) -> str:
        """The class path of the Job."""
        return self._job

    @property
    def why_not_forked(self) -> str:
        """Why this run is none for a forked child; empty when it is one."""
        if self._command_configured:
            return "it has a command of its own"
        if self._pulls:
            return "its code is to be fetched first"
        return "" if self._job else "it is no Job"

    @property
    def own_command(self) -> list[str]:
        """What is to be started in place of Prefect's engine; nothing for the engine."""
        return shlex.split(self.command or "") if self._command_configured else []


class WarmWorker(KeyedWorker):
    """Starts runs of Jobs in forked children.

    Args:
        servers: fork.
        listener: hears when there is work; None to look at intervals only.
        grace: seconds that children have to end by themselves when the worker stops.
        folder: where the children work.
        user: who runs run as; None for this process's own.
        anew: each run has a new interpreter.
        options: those of Prefect's workers.
    """

    job_configuration = WarmJobConfiguration

    @classmethod
    def __dispatch_key__(cls) -> str:
        # Prefect's own worker stays what its type stands for.
        return "signoff-warm"

    def __init__(
        self,
        servers: ForkServers,
        listener: Listener | None,
        *,
        grace: float,
        folder: str,
        user: JobsUser | None = None,
        anew: bool = False,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        self._servers = servers
        self._listener = listener
        self._grace = grace
        self._folder = folder
        self._user = user
        self._anew = anew
        self._stack = contextlib.AsyncExitStack()
        self._executions: Executions | None = None
        self._upcoming: list[WorkerFlowRunResponse] = []
        self._to_ask = False
        self._asked_at = float("-inf")
        self._woken = asyncio.Event()
        self._one_at_a_time = asyncio.Lock()
        self._timer: asyncio.TimerHandle | None = None
        self._memory_kills = killed_for_memory()

    # Start and stop

    async def setup(self) -> None:
        """Begin to listen, after what every worker does."""
        self._executions = await self._stack.enter_async_context(executions(self._explain))
        await super().setup()
        if self._listener is not None:
            asyncio.get_running_loop().add_reader(self._listener.fileno(), self._hear)
        self._waking = asyncio.create_task(self._work_when_woken())

    async def teardown(self, *exc_info: Any) -> None:
        """End what is under way."""
        if self._listener is not None:
            asyncio.get_running_loop().remove_reader(self._listener.fileno())
        if self._timer is not None:
            self._timer.cancel()
        self._waking.cancel()
        try:
            await super().teardown(*exc_info)
        finally:
            await self._servers.stop(self._grace)
            await self._stack.aclose()

    def _make_calls(self, client: PrefectClient) -> WorkerCalls:
        return WorkerCalls(client, self.name)

    # What is to start

    def _hear(self) -> None:
        assert self._listener is not None  # noqa: S101 - said to the type checker
        self._listener.drain()
        self._to_ask = True
        self._woken.set()

    async def _work_when_woken(self) -> None:
        while True:
            await self._woken.wait()
            await asyncio.sleep(TOGETHER)
            self._woken.clear()
            try:
                await self._submit()
            except Exception as error:
                # The poll comes again, and has its own patience.
                logger.debug("Runs could not be looked for: %s", error)

    async def get_and_submit_flow_runs(self) -> list[FlowRun]:
        """Ask Prefect what there is to do, and start what is due, as far as there is room."""
        self._to_ask = True
        return await self._submit()

    async def _submit(self) -> list[FlowRun]:
        async with self._one_at_a_time:
            if self._room == 0:
                if self._to_ask and self._is_silent:
                    await self._unless_away(self._ask)
                return []
            submitted = await super().get_and_submit_flow_runs()
            taken = {run.id for run in submitted}
            self._upcoming = [each for each in self._upcoming if each.flow_run.id not in taken]
            self._set_timer()
            return submitted

    async def _get_scheduled_flow_runs(self) -> list[WorkerFlowRunResponse]:
        # Under load there is always somebody who calls; what is known comes first then.
        if self._to_ask and (len(self._due()) < self._room or self._is_silent):
            loop = asyncio.get_running_loop()
            if loop.time() < self._asked_at + APART:
                loop.call_at(self._asked_at + APART, self._woken.set)
            else:
                await self._ask()
        return self._due()

    async def _ask(self) -> None:
        # Who calls meanwhile may be too late for the answer.
        self._to_ask = False
        self._asked_at = asyncio.get_running_loop().time()
        try:
            told = await super()._get_scheduled_flow_runs()
            # Prefect does not know yet what has just been started.
            self._upcoming = [each for each in told if each.flow_run.id not in self._submitting_flow_run_ids]
        except Exception:
            self._to_ask = True
            raise

    @property
    def _is_silent(self) -> bool:
        return asyncio.get_running_loop().time() - self._asked_at >= SILENT

    @property
    def _room(self) -> float:
        return self._limiter.available_tokens if self._limiter is not None else float("inf")

    def _due(self) -> list[WorkerFlowRunResponse]:
        until = datetime.now(UTC) + AHEAD
        return [each for each in self._upcoming if _starts_at(each.flow_run) <= until]

    def _set_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        until = datetime.now(UTC) + AHEAD
        later = [at for each in self._upcoming if (at := _starts_at(each.flow_run)) > until]
        if later:
            wait = (min(later) - until).total_seconds()
            self._timer = asyncio.get_running_loop().call_later(wait, self._woken.set)

    # What is not told

    async def _propose_submitting_state(self, flow_run: FlowRun) -> None:
        """Nothing: it runs in a moment."""

    async def _give_worker_labels_to_flow_run(self, flow_run_id: UUID) -> None:
        """Nothing: which worker executed a run is told by its admission."""

    # A run

    async def execute(
        self,
        flow_run: FlowRun,
        configuration: ProcessJobConfiguration,
        task_status: anyio.abc.TaskStatus[int] | None,
    ) -> ProcessWorkerResult:
        """Execute a run to its end."""
        try:
            why_not = await self._why_not_forked(configuration)
            if why_not:
                logger.info("The run %s gets a process from nothing: %s.", flow_run.name, why_not)
            if self._user is None and (why_not or not isinstance(configuration, WarmJobConfiguration)):
                await asyncio.sleep((_starts_at(flow_run) - datetime.now(UTC)).total_seconds())
                return await super().execute(flow_run, configuration, task_status)
            assert isinstance(configuration, WarmJobConfiguration)  # noqa: S101 - said to the type checker
            anew = self._anew or bool(why_not)
            return await self._fork(flow_run, configuration, task_status or anyio.TASK_STATUS_IGNORED, anew=anew)
        finally:
            # There is room now.
            self._woken.set()

    async def _why_not_forked(self, configuration: ProcessJobConfiguration) -> str:
        if not isinstance(configuration, WarmJobConfiguration):
            return "its configuration is not ours"
        if why := configuration.why_not_forked:
            return why
        try:
            await self._servers.ready()
        except ForkFailed as error:
            return str(error).rstrip(".")
        return ""

    async def _fork(
        self,
        flow_run: FlowRun,
        configuration: WarmJobConfiguration,
        task_status: anyio.abc.TaskStatus[int],
        *,
        anew: bool,
    ) -> ProcessWorkerResult:
        assert self._executions is not None  # noqa: S101 - said to the type checker
        known = await self.client.forks(flow_run)
        environment = {name: value for name, value in configuration.env.items() if value is not None}
        if self._user is not None:
            environment = self._user.adapt(environment, self._folder)
        with self._folder_for(configuration) as folder:

            async def start(more: dict[str, str]) -> Child:
                return await self._servers.fork(
                    {
                        "env": environment | {"PREFECT__FLOW_RUN_ID": str(flow_run.id), LEASE: self.name} | more,
                        "cwd": folder,
                        "job": configuration.job,
                        "command": configuration.own_command,
                        "fresh": anew or _shared(environment) != _shared(self._servers.environment),
                        "output": configuration.stream_output,
                        "known": known,
                        "at": _starts_at(flow_run).timestamp(),
                    }
                )

            status, pid = await self._executions.execute(self.client, flow_run, start, task_status)
        return ProcessWorkerResult(status_code=status, identifier=str(pid))

    def _folder_for(self, configuration: ProcessJobConfiguration) -> contextlib.AbstractContextManager[str]:
        if configuration.working_dir:
            return contextlib.nullcontext(str(configuration.working_dir))
        if self._user is not None:
            return self._user.folder(self._folder)
        return tempfile.TemporaryDirectory(dir=self._folder, ignore_cleanup_errors=True)

    def _explain(self, child: Child) -> str:
        """Return what there is to say about the end of a child, if it is more than its status."""
        kills, self._memory_kills = self._memory_kills, killed_for_memory()
        if child.returncode != -9 or child.killed or self._memory_kills <= kills:
            return ""
        return f"The system ended this run for want of memory; it had {child.peak / 2**20:,.0f} MB."


def _starts_at(run: FlowRun) -> datetime:
    at = run.next_scheduled_start_time or run.expected_start_time
    return at if at is not None else datetime.fromtimestamp(0, UTC)


def _shared(environment: Mapping[str, str]) -> dict[str, str]:
    """Return what of an environment is the same for each run; no key is, neither the worker's nor a run's."""
    return {
        name: value for name, value in environment.items() if not name.startswith(OF_A_RUN) and name not in WORKERS_OWN
    }


def worker_environment() -> dict[str, str]:
    """Return the environment that this worker gives to each run, beside what is the run's own."""
    whole = {**os.environ, **get_current_settings().to_environment_variables(exclude_unset=True)}
    return {name: value for name, value in _shared(whole).items() if not is_servers_own(name)}
