"""Prefect's process worker with keys of runs: what a run's process is given, and that it is not started without."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any
from uuid import uuid4

import pytest
from prefect.client.schemas.objects import FlowRun
from prefect.settings import (
    PREFECT_API_AUTH_STRING,
    PREFECT_API_KEY,
    PREFECT_SERVER_DATABASE_PASSWORD,
    get_current_settings,
    temporary_settings,
)
from prefect.workers.base import BaseWorker
from prefect.workers.process import ProcessJobConfiguration, ProcessWorker, ProcessWorkerResult

from api_shim.worker.prefect_keyed import NO_KEY, WORKERS_OWN, KeyedWorker, OurJobConfiguration
from api_shim.worker.prefect_worker import WarmJobConfiguration

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
    if keyed:
        worker.client._keys[RUN.id] = "signoff_run_x"
    return worker


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


async def test_a_run_without_a_key_is_not_started(given: list[Any]) -> None:
    worker = made(keyed=True)
    await worker.run(RUN, configured(None))
    given.clear()
    for without in (worker, made(keyed=False)):
        with pytest.raises(RuntimeError, match=NO_KEY[:30]):
            await without.run(RUN, configured(None))
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
