"""The warm worker: which runs it takes, when, and how it starts them."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast
from uuid import uuid4

import anyio
import pytest
from prefect.client.schemas.objects import FlowRun
from prefect.client.schemas.responses import WorkerFlowRunResponse
from prefect.settings import (
    PREFECT_API_AUTH_STRING,
    PREFECT_API_URL,
    PREFECT_LOGGING_TO_API_ENABLED,
    temporary_settings,
)
from prefect.workers.base import BaseWorker
from prefect.workers.process import ProcessWorker, ProcessWorkerResult

from api_shim.worker import prefect_worker
from api_shim.worker.fork_server import Child, ForkFailed
from api_shim.worker.jobs_user import JobsUser
from api_shim.worker.prefect_calls import ATTEMPT
from api_shim.worker.prefect_worker import AHEAD, WarmJobConfiguration, WarmWorker

pytestmark = pytest.mark.anyio


class Servers:
    """Fork servers that make no processes."""

    def __init__(self) -> None:
        self.environment = {"HOME": "/root", "PREFECT_API_URL": "http://x/api"}
        self.why = ""
        self.requests: list[dict[str, Any]] = []

    async def ready(self) -> None:
        if self.why:
            raise ForkFailed(self.why)

    async def fork(self, request: dict[str, Any]) -> Child:
        self.requests.append(request)
        return Child(7)


class Client:
    """Prefect, as far as a worker asks it for runs."""

    def __init__(self) -> None:
        self.runs: list[WorkerFlowRunResponse] = []
        self.asked = 0

    async def get_scheduled_flow_runs_for_work_pool(self, **_how: Any) -> list[WorkerFlowRunResponse]:
        self.asked += 1
        return [*self.runs]


class Recording(WarmWorker):
    """Submits runs by noting them; they run until they are ended."""

    @classmethod
    def __dispatch_key__(cls) -> str:
        return "signoff-recording"

    async def _submit_run(self, flow_run: FlowRun) -> None:
        taken.append(flow_run.name)

    def end(self, run: WorkerFlowRunResponse) -> None:
        self._submitting_flow_run_ids.discard(run.flow_run.id)
        self._release_limit_slot(run.flow_run.id)


taken: list[str] = []


def due(name: str, seconds: float = -1) -> WorkerFlowRunResponse:
    at = datetime.now(UTC) + timedelta(seconds=seconds)
    run = FlowRun(flow_id=uuid4(), name=name, next_scheduled_start_time=at)
    return WorkerFlowRunResponse(work_pool_id=uuid4(), work_queue_id=uuid4(), flow_run=run)


def made(tmp_path: Path, kind: type[WarmWorker] = WarmWorker, limit: int = 2) -> Any:
    servers = cast(Any, Servers())
    return kind(servers, None, grace=1, folder=str(tmp_path), work_pool_name="signoff", name="warm", limit=limit)


@pytest.fixture(autouse=True)
def no_prefect() -> Iterator[None]:
    """No server, and nobody who starts one to log to."""
    with temporary_settings({PREFECT_API_URL: "http://127.0.0.1:9/api", PREFECT_LOGGING_TO_API_ENABLED: False}):
        yield


@pytest.fixture
async def worker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A worker that is set up, with a Prefect that has no runs."""
    taken.clear()
    monkeypatch.setattr(prefect_worker, "APART", 0.0)
    worker = made(tmp_path, Recording)
    worker._client = Client()
    worker._has_successfully_synced = True
    worker._limiter = anyio.CapacityLimiter(2)
    async with anyio.create_task_group() as group:
        worker._runs_task_group = group
        yield worker


async def rest() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_so_many_runs_and_no_more_and_the_others_start_without_prefect_being_asked_again(worker: Any) -> None:
    one, two, three = worker._client.runs = [due("one"), due("two"), due("three")]
    await worker.get_and_submit_flow_runs()
    await rest()
    assert taken == ["one", "two"]
    worker._client.runs = [three]
    worker.end(one)
    await worker._submit()
    await rest()
    assert taken == ["one", "two", "three"]
    assert worker._client.asked == 1
    del two


async def test_a_worker_that_is_full_does_not_ask(worker: Any) -> None:
    worker._client.runs = [due("one"), due("two")]
    await worker.get_and_submit_flow_runs()
    assert await worker.get_and_submit_flow_runs() == []
    assert worker._client.asked == 1


async def test_a_worker_that_is_full_or_has_a_backlog_still_asks_so_that_it_does_not_count_as_gone(
    worker: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(prefect_worker, "SILENT", 0.0)
    one, two, three = worker._client.runs = [due("one"), due("two"), due("three")]
    await worker.get_and_submit_flow_runs()
    await rest()
    assert await worker.get_and_submit_flow_runs() == []
    assert worker._client.asked == 2
    worker._client.runs = [three]
    worker.end(one)
    await worker.get_and_submit_flow_runs()
    await rest()
    assert (worker._client.asked, taken) == (3, ["one", "two", "three"])
    del two


async def test_a_worker_that_was_woken_while_full_asks_when_it_has_room(worker: Any) -> None:
    one, _ = worker._client.runs = [due("one"), due("two")]
    await worker.get_and_submit_flow_runs()
    worker._to_ask = True
    await worker._submit()
    worker._client.runs = [due("three")]
    worker.end(one)
    await worker._submit()
    await rest()
    assert taken == ["one", "two", "three"]


async def test_a_run_starts_a_moment_before_it_is_due_and_holds_no_place_before(worker: Any) -> None:
    later, one, two = worker._client.runs = [due("later", 3600), due("one"), due("two")]
    worker._waking = asyncio.create_task(worker._work_when_woken())
    await worker.get_and_submit_flow_runs()
    await rest()
    assert taken == ["one", "two"]
    for run in (one, two):
        worker.end(run)
    await worker._submit()
    await rest()
    assert taken == ["one", "two"]
    # Its time comes, and nobody calls.
    later.flow_run.next_scheduled_start_time = at = datetime.now(UTC) + AHEAD + timedelta(seconds=0.2)
    worker._set_timer()
    with anyio.fail_after(60):
        while len(taken) < 3:  # noqa: ASYNC110 - what is waited for tells nobody
            await asyncio.sleep(0.02)
    assert taken == ["one", "two", "later"]
    assert datetime.now(UTC) < at
    worker._waking.cancel()


async def test_wakes_that_come_together_are_one_question(worker: Any) -> None:
    worker._listener = SimpleNamespace(drain=lambda: None)
    worker._waking = asyncio.create_task(worker._work_when_woken())
    for _ in range(20):
        worker._hear()
        await asyncio.sleep(0)
    await asyncio.sleep(0.2)
    assert worker._client.asked == 1
    worker._waking.cancel()


async def test_questions_come_apart_and_none_is_forgotten(worker: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prefect_worker, "APART", 1.0)
    worker._listener = SimpleNamespace(drain=lambda: None)
    worker._waking = asyncio.create_task(worker._work_when_woken())
    worker._hear()
    await asyncio.sleep(0.2)
    worker._client.runs = [due("one")]
    worker._hear()
    await asyncio.sleep(0.2)
    assert (worker._client.asked, taken) == (1, [])
    await asyncio.sleep(1)
    assert (worker._client.asked, taken) == (2, ["one"])
    worker._waking.cancel()


async def test_what_goes_wrong_when_it_is_woken_does_not_end_it(worker: Any) -> None:
    async def fail(**_how: Any) -> Any:
        raise RuntimeError("Prefect is away.")

    worker._listener = SimpleNamespace(drain=lambda: None)
    works, worker._client.get_scheduled_flow_runs_for_work_pool = (
        worker._client.get_scheduled_flow_runs_for_work_pool,
        fail,
    )
    worker._waking = asyncio.create_task(worker._work_when_woken())
    worker._hear()
    await asyncio.sleep(0.1)
    worker._client.get_scheduled_flow_runs_for_work_pool = works
    worker._client.runs = [due("one")]
    worker._woken.set()
    await asyncio.sleep(0.5)
    assert taken == ["one"]
    worker._waking.cancel()


# How a run is started


def configured(entrypoint: str = "flows.prefect_flow.jobs-Greet", **more: Any) -> WarmJobConfiguration:
    configuration = WarmJobConfiguration(**{name: more.pop(name) for name in ("command", "env") if name in more})
    deployment = SimpleNamespace(
        id=uuid4(), name="default", entrypoint=entrypoint, pull_steps=more.get("pull_steps"), updated=None
    )
    configuration.prepare_for_flow_run(FlowRun(flow_id=uuid4(), name="run"), cast(Any, deployment))
    return configuration


@pytest.mark.parametrize(
    ("how", "why"),
    [
        pytest.param({}, "", id="a Job"),
        pytest.param({"command": "python -m prefect.engine"}, "it has a command of its own", id="a command"),
        pytest.param({"pull_steps": [{"x": {}}]}, "its code is to be fetched first", id="pull steps"),
        pytest.param({"entrypoint": "package.module.flow"}, "it is no Job", id="another flow"),
    ],
)
def test_what_is_forked_and_why_not(how: dict[str, Any], why: str) -> None:
    configuration = configured(**how)
    assert configuration.why_not_forked == why
    assert configuration.job == ("" if "entrypoint" in how else "jobs.Greet")


class Stock:
    """Notes what is left to Prefect's process worker."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.runs = 0
        monkeypatch.setattr(ProcessWorker, "run", self._run)

    async def _run(self, *_what: Any) -> ProcessWorkerResult:
        self.runs += 1
        return ProcessWorkerResult(status_code=0, identifier="1")


RUN = FlowRun(flow_id=uuid4(), name="run")


def keyed(worker: Any) -> Any:
    """Return a worker that has been given the key of the run, with a Prefect that has no runs."""
    worker._client = Client()
    ATTEMPT.set((RUN.id, "signoff_run_x"))
    return worker


@pytest.mark.parametrize(
    ("configuration", "broken"),
    [
        pytest.param(configured(command="true"), "", id="a run that is not to be forked"),
        pytest.param(configured(), "No server starts.", id="no fork server"),
    ],
)
async def test_what_cannot_be_forked_is_started_by_prefects_process_worker(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, configuration: WarmJobConfiguration, broken: str
) -> None:
    stock, worker = Stock(monkeypatch), keyed(made(tmp_path))
    worker._servers.why = broken
    at = datetime.now(UTC) + timedelta(seconds=0.2)
    await worker.run(RUN.model_copy(update={"next_scheduled_start_time": at}), configuration)
    assert datetime.now(UTC) >= at, "at its time, for its engine knows nothing of it"
    assert stock.runs == 1
    assert worker._woken.is_set()


class Executed:
    """Executes a run by starting its child."""

    async def execute(self, _client: Any, _flow_run: FlowRun, start: Any, task_status: Any) -> tuple[int, int]:
        task_status.started(7)
        child = await start({"PREFECT__CONTROL_PORT": "1"})
        return 0, child.pid


@pytest.mark.parametrize(
    ("env", "fresh"),
    [
        pytest.param({}, False, id="the worker's own"),
        pytest.param({"PREFECT_LOGGING_LEVEL": "DEBUG"}, True, id="one of its deployment"),
    ],
)
async def test_a_run_with_another_environment_gets_a_new_interpreter(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, env: dict[str, str], fresh: bool
) -> None:
    monkeypatch.setenv("PREFECT_API_KEY", "of the worker")
    worker = keyed(made(tmp_path))
    with temporary_settings({PREFECT_API_AUTH_STRING: "worker:key"}):
        worker._servers.environment = prefect_worker.worker_environment()
    assert not {"PREFECT_API_KEY", "PREFECT_API_AUTH_STRING"} & {*worker._servers.environment}
    worker._executions = Executed()
    result = await worker.run(RUN, configured(env=env))
    (request,) = worker._servers.requests
    assert request["fresh"] is fresh
    assert request["job"] == "jobs.Greet"
    assert request["env"]["PREFECT__FLOW_RUN_ID"] == str(RUN.id)
    assert request["env"]["PREFECT__CONTROL_PORT"] == "1"
    assert request["env"]["PREFECT_API_AUTH_STRING"] == "run:signoff_run_x"
    assert "PREFECT_API_KEY" not in request["env"]
    assert request["command"] == []
    assert request["cwd"].startswith(f"{tmp_path}/")
    assert [*tmp_path.iterdir()] == []  # noqa: ASYNC240 - a test has nothing else to do
    assert (result.status_code, result.identifier) == (0, "7")


USER = JobsUser(name="jobs", uid=os.geteuid(), gid=os.getegid(), groups=(), home="/nonexistent")
"""Who changes nothing here; that they can be another is tested with real processes."""


@pytest.mark.parametrize(
    ("how", "anew", "fresh", "command"),
    [
        pytest.param({}, False, False, [], id="a Job"),
        pytest.param({}, True, True, [], id="a Job that is to have a process from nothing"),
        pytest.param({"command": "sh -c 'exit 3'"}, False, True, ["sh", "-c", "exit 3"], id="a command"),
        pytest.param({"pull_steps": [{"x": {}}]}, False, True, [], id="pull steps"),
        pytest.param({"entrypoint": "package.module.flow"}, False, True, [], id="another flow"),
    ],
)
async def test_where_jobs_run_as_another_user_every_run_is_started_by_a_process_of_theirs(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    how: dict[str, Any],
    anew: bool,
    fresh: bool,
    command: list[str],
) -> None:
    stock, worker = Stock(monkeypatch), keyed(made(tmp_path))
    worker._user, worker._anew = USER, anew
    worker._servers.environment = USER.adapt(prefect_worker.worker_environment(), str(tmp_path))
    worker._executions = Executed()
    await worker.run(RUN, configured(**how))
    (request,) = worker._servers.requests
    assert (request["fresh"], request["command"], stock.runs) == (fresh, command, 0)
    assert (request["env"]["HOME"], request["env"]["USER"]) == ("/nonexistent", "jobs")
    assert [*tmp_path.iterdir()] == []  # noqa: ASYNC240 - a test has nothing else to do


@pytest.mark.parametrize(
    ("status", "killed", "more", "told"),
    [
        pytest.param(-9, False, 1, "The system ended this run for want of memory; it had 300 MB.", id="for memory"),
        pytest.param(-9, True, 1, "", id="killed by us"),
        pytest.param(-9, False, 0, "", id="killed by somebody"),
        pytest.param(1, False, 1, "", id="it failed meanwhile"),
    ],
)
def test_a_child_that_the_system_ends_for_memory_is_told_as_that(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, status: int, killed: bool, more: int, told: str
) -> None:
    kills = [5, 5 + more]
    monkeypatch.setattr(prefect_worker, "killed_for_memory", lambda: kills.pop(0))
    worker = made(tmp_path)
    child = Child(7, killed=killed)
    child.end(status, 300 * 2**20)
    assert worker._explain(child) == told


def test_it_is_prefects_process_worker_for_everybody_else() -> None:
    assert WarmWorker.type == "process"
    assert BaseWorker.get_worker_class_from_type("process") is ProcessWorker
