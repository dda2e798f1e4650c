"""Prefect's process worker with keys of runs: what a run's process is given, and that it is not started without."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any
from uuid import uuid4

import anyio
import httpx
import pytest
from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import FlowRun
from prefect.exceptions import ObjectNotFound
from prefect.settings import (
    PREFECT_API_AUTH_STRING,
    PREFECT_API_KEY,
    PREFECT_API_URL,
    PREFECT_CLIENT_CUSTOM_HEADERS,
    PREFECT_SERVER_DATABASE_PASSWORD,
    get_current_settings,
    temporary_settings,
)
from prefect.workers.base import BaseWorker
from prefect.workers.process import ProcessJobConfiguration, ProcessWorker, ProcessWorkerResult

from api_shim.worker.prefect_calls import ATTEMPT
from api_shim.worker.prefect_keyed import NO_KEY, WORKERS_OWN, KeyedWorker, OurJobConfiguration
from api_shim.worker.prefect_worker import WarmJobConfiguration
from approval_gate.admission import RUN_KEY

pytestmark = pytest.mark.anyio

RUN = FlowRun(flow_id=uuid4(), name="run")
WORKERS = "signoff-worker:of-the-worker"


@pytest.fixture
def given(monkeypatch: pytest.MonkeyPatch) -> list[tuple[dict[str, str | None], tuple[str, ...]]]:
    """The environments that Prefect's worker was given, each with what its settings would put above that."""
    found: list[tuple[dict[str, str | None], tuple[str, ...]]] = []

    async def run(_self: Any, _run: Any, configuration: Any, _status: Any) -> ProcessWorkerResult:
        of_settings = get_current_settings().to_environment_variables(exclude_unset=True)
        found.append((configuration.env, tuple(of_settings.get(name, "") for name in WORKERS_OWN)))
        return ProcessWorkerResult(status_code=0, identifier="1")

    monkeypatch.setattr(ProcessWorker, "run", run)
    return found


def made(*, keyed: bool) -> KeyedWorker:
    worker = KeyedWorker(work_pool_name="signoff")
    worker._client = SimpleNamespace()  # type: ignore[assignment]  # it is not asked
    ATTEMPT.set((None, ""))
    if keyed:
        ATTEMPT.set((RUN.id, "signoff_run_x"))
    return worker


ADDRESS = httpx.Request("POST", "http://127.0.0.1/api/")


@pytest.mark.parametrize(
    ("error", "outlasts"),
    [
        pytest.param(httpx.ConnectError("refused"), True, id="nobody is there"),
        pytest.param(httpx.ReadTimeout("slow"), True, id="nobody answers in time"),
        pytest.param(httpx.HTTPStatusError("500", request=ADDRESS, response=httpx.Response(500)), True, id="at fault"),
        pytest.param(httpx.HTTPStatusError("401", request=ADDRESS, response=httpx.Response(401)), False, id="refused"),
    ],
)
@pytest.mark.parametrize("what", ["get_and_submit_flow_runs", "sync_with_backend"])
async def test_a_worker_outlasts_what_prefects_worker_would_end_of(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, what: str, error: Exception, *, outlasts: bool
) -> None:
    async def fails(_self: Any) -> None:
        raise error

    async def answers(_self: Any) -> None:
        return None

    worker = made(keyed=False)
    worker._has_successfully_synced = True
    monkeypatch.setattr(BaseWorker, what, fails)
    if not outlasts:
        with pytest.raises(type(error)):
            await getattr(worker, what)()
        return
    for _ in range(20):
        await getattr(worker, what)()
    monkeypatch.setattr(BaseWorker, what, answers)
    await getattr(worker, what)()
    said = [record.message for record in caplog.records if record.name == "signoff"]
    assert said == [
        f"Prefect does not answer as it should; this worker keeps asking: {error}",
        "Prefect answers again.",
    ]


def configured(command: str | None) -> ProcessJobConfiguration:
    configuration = ProcessJobConfiguration(command=command, env={"PREFECT_API_KEY": "of-the-worker", "KEPT": "1"})
    with temporary_settings({PREFECT_API_AUTH_STRING: WORKERS}):
        configuration.prepare_for_flow_run(RUN)
    return configuration


@pytest.mark.parametrize("command", [None, "true"])
async def test_a_run_is_given_its_own_key_in_place_of_the_workers(given: list[Any], command: str | None) -> None:
    configuration = configured(command)
    assert configuration.env["PREFECT_API_AUTH_STRING"] == WORKERS
    with temporary_settings({PREFECT_API_AUTH_STRING: WORKERS, PREFECT_API_KEY: "of-the-worker"}):
        await made(keyed=True).run(RUN, configuration)
    [(environment, above)] = given
    assert environment["PREFECT_API_AUTH_STRING"] == "run:signoff_run_x"
    assert (environment["PREFECT_API_KEY"], environment["KEPT"]) == (None, "1")
    assert "of-the-worker" not in str(environment)
    # Prefect sets the settings above the environment where there is a command, and below where there is none.
    assert above == (("run:signoff_run_x", "") if command else (WORKERS, "of-the-worker"))


async def test_what_becomes_of_a_run_is_told_with_its_key_which_its_process_is_not_given_so(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    sent = []

    async def run(_self: Any, _run: Any, configuration: Any, _status: Any) -> ProcessWorkerResult:
        async with get_client() as client:
            # As the worker itself, and not as the run: it hears of cancellations.
            sent.append({name: client._client.headers.get(name) for name in (RUN_KEY, "Mine")})
        assert configuration.env["PREFECT_CLIENT_CUSTOM_HEADERS"] == '{"Mine": "1"}'
        return ProcessWorkerResult(status_code=0, identifier="1")

    monkeypatch.setattr(ProcessWorker, "run", run)
    with temporary_settings({PREFECT_API_URL: "http://prefect/api", PREFECT_CLIENT_CUSTOM_HEADERS: {"Mine": "1"}}):
        await made(keyed=True).run(RUN, configured(None))
    assert sent == [{RUN_KEY: "signoff_run_x", "Mine": "1"}]


class Broken:
    """Prefect, of which deployments are asked in vain."""

    def __init__(self, error: Exception) -> None:
        self.error = error
        self.told: list[str] = []

    async def read_deployment(self, _deployment_id: Any) -> None:
        raise self.error

    async def set_flow_run_state(self, _run_id: Any, state: Any, **_how: Any) -> None:
        self.told.append(state.name)


@pytest.mark.parametrize(
    ("error", "told"),
    [
        pytest.param(httpx.ReadTimeout("away"), [], id="Prefect is away: the run stays Scheduled"),
        pytest.param(ObjectNotFound(Exception()), ["Cancelled"], id="the deployment is gone"),
    ],
)
async def test_a_run_that_cannot_be_taken_ends_no_other_and_takes_no_room(error: Exception, told: list[str]) -> None:
    worker, run = made(keyed=False), FlowRun(flow_id=uuid4(), deployment_id=uuid4(), name="run")
    worker._client = prefect = Broken(error)  # type: ignore[assignment]  # it is asked nothing else
    worker._calls, worker._limiter = None, anyio.CapacityLimiter(1)
    worker._limiter.acquire_on_behalf_of_nowait(run.id)
    worker._submitting_flow_run_ids.add(run.id)
    # What is raised here ends the group in which the worker executes all runs.
    await worker._submit_run(run)
    assert (worker._submitting_flow_run_ids, worker._limiter.borrowed_tokens, prefect.told) == (set(), 0, told)


async def test_a_run_without_a_key_is_not_started(given: list[Any]) -> None:
    with pytest.raises(RuntimeError, match=NO_KEY[:30]):
        await made(keyed=False).run(RUN, configured(None))
    assert given == []


@pytest.mark.parametrize("kind", [OurJobConfiguration, WarmJobConfiguration])
def test_a_run_is_not_given_what_is_the_servers_own(kind: type[OurJobConfiguration]) -> None:
    configuration = kind(env={"SIGNOFF_HOME": "/srv", "MINE": "kept"})
    with temporary_settings({PREFECT_SERVER_DATABASE_PASSWORD: "hunter2"}):
        configuration.prepare_for_flow_run(RUN)
    assert configuration.env["MINE"] == "kept"
    assert "SIGNOFF_HOME" not in configuration.env
    assert "hunter2" not in configuration.env.values()


def test_it_is_prefects_process_worker_for_everybody_else() -> None:
    assert KeyedWorker.job_configuration is OurJobConfiguration
    assert KeyedWorker.type == "process"
    assert BaseWorker.get_worker_class_from_type("process") is ProcessWorker
