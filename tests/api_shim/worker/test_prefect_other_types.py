"""Prefect's workers of other types with keys of runs: what is started is told the run's key, and never the worker's."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import pytest
from prefect.client.schemas.objects import FlowRun
from prefect.settings import (
    PREFECT_API_AUTH_STRING,
    PREFECT_API_KEY,
    PREFECT_SERVER_DATABASE_PASSWORD,
    temporary_settings,
)
from prefect.workers.base import BaseJobConfiguration, BaseWorker, BaseWorkerResult

from api_shim.worker.prefect_calls import ATTEMPT
from api_shim.worker.prefect_keyed import NO_KEY
from api_shim.worker.prefect_other_types import TELLS_ITS_OWN, keyed

pytestmark = pytest.mark.anyio

RUN = FlowRun(flow_id=uuid4(), name="run")
OF_THE_WORKER = {
    PREFECT_API_AUTH_STRING: "builder:of-the-worker",
    PREFECT_API_KEY: "of-the-cloud",
    PREFECT_SERVER_DATABASE_PASSWORD: "of-the-server",
}


class Sent(BaseJobConfiguration):
    """What is sent to some infrastructure, with a copy of the environment in it, as Kubernetes has it."""

    manifest: dict[str, Any] = {}  # noqa: RUF012 - a field

    def prepare_for_flow_run(self, *run: Any, **more: Any) -> None:
        super().prepare_for_flow_run(*run, **more)
        self.manifest = {"env": [{"name": name, "value": value} for name, value in self.env.items()]}


class Sends(BaseWorker[Sent, Any, BaseWorkerResult]):
    """A worker that starts runs by sending something somewhere."""

    type = "somewhere"
    job_configuration = Sent

    async def run(self, flow_run: FlowRun, configuration: Sent, task_status: Any = None) -> BaseWorkerResult:
        return BaseWorkerResult(status_code=0, identifier=f"{flow_run.name}: {configuration.manifest}")


async def sent(key: str, **variables: Any) -> str:
    """Return what a worker sends for a run that was given this key."""
    ATTEMPT.set((RUN.id, key))
    worker = keyed(Sends)(work_pool_name="big")
    with temporary_settings(OF_THE_WORKER):
        configuration = worker.job_configuration(**variables)
        configuration.prepare_for_flow_run(RUN)
        identifier: str = (await worker.run(RUN, configuration)).identifier
    return identifier


async def test_what_is_started_is_told_the_runs_key_in_place_of_the_workers() -> None:
    found = await sent("signoff_run_x", env={"MINE": "kept"})
    assert "{'name': 'PREFECT_API_AUTH_STRING', 'value': 'run:signoff_run_x'}" in found
    assert "{'name': 'MINE', 'value': 'kept'}" in found
    assert "of-the-" not in found


@pytest.mark.parametrize(
    ("key", "variables", "why"),
    [
        pytest.param("", {}, NO_KEY, id="none was given"),
        pytest.param(
            "signoff_run_x", {"env": {"MINE": "key of-the-worker"}}, TELLS_ITS_OWN, id="the worker's is there"
        ),
    ],
)
async def test_without_its_key_or_with_the_workers_nothing_is_started(key: str, variables: Any, why: str) -> None:
    with pytest.raises(RuntimeError) as refused:
        await sent(key, **variables)
    assert str(refused.value) == why


def test_prefects_own_worker_is_what_its_type_stands_for() -> None:
    assert keyed(Sends).type == "somewhere"
    assert BaseWorker.get_worker_class_from_type("somewhere") is Sends
