"""Prefect's process worker with our environment of a run."""

from __future__ import annotations

from uuid import uuid4

import pytest
from prefect.client.schemas.objects import FlowRun
from prefect.settings import PREFECT_SERVER_DATABASE_PASSWORD, temporary_settings
from prefect.workers.base import BaseWorker
from prefect.workers.process import ProcessWorker

from api_shim.worker.prefect_cold import ColdWorker, OurJobConfiguration
from api_shim.worker.prefect_worker import WarmJobConfiguration


@pytest.mark.parametrize("kind", [OurJobConfiguration, WarmJobConfiguration])
def test_a_run_is_not_given_what_is_the_servers_own(kind: type[OurJobConfiguration]) -> None:
    configuration = kind(env={"SIGNOFF_HOME": "/srv", "MINE": "kept"})
    with temporary_settings({PREFECT_SERVER_DATABASE_PASSWORD: "hunter2"}):
        configuration.prepare_for_flow_run(FlowRun(flow_id=uuid4(), name="run"))
    assert configuration.env["MINE"] == "kept"
    assert "SIGNOFF_HOME" not in configuration.env
    assert "hunter2" not in configuration.env.values()


def test_it_uses_it_and_is_nobody_elses_worker() -> None:
    assert ColdWorker.job_configuration is OurJobConfiguration
    assert BaseWorker.get_worker_class_from_type("process") is ProcessWorker
