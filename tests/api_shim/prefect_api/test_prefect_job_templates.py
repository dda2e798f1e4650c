"""What a work pool of another type makes of a Job's variables, by the templates that Prefect has for new pools."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, ClassVar

import kubernetes_validate
import prefect.server.api.collections_data.views as views
from prefect.utilities.templating import apply_values

from api_shim.reconcile.desired_state import base_deployment
from flows.job import Job
from tests.factories import make_job

WORKERS = json.loads((Path(views.__path__[0]) / "aggregate-worker-metadata.json").read_text())
ENV = {"REGION": "eu"}


class Elsewhere(Job):
    """A Job that runs in containers."""

    class Meta:
        name = "Elsewhere"
        job_variables: ClassVar[dict[str, Any]] = {
            "image": "registry.example.com/jobs:7",
            "env": ENV,
            "cpu_request": "500m",
            "memory_limit": "1Gi",
            "mem_limit": "1g",
        }

    def run(self) -> None:
        """Do nothing."""


def configured(type_: str) -> dict[str, Any]:
    """Return what a worker of a type makes of the template for a run of the Job."""
    deployment = base_deployment(make_job(job_variables=Elsewhere.definition().job_variables), {})
    template = WORKERS[f"prefect-{type_}"][type_]["default_base_job_configuration"]["job_configuration"]
    made: dict[str, Any] = apply_values(template, dict(deployment.job_variables))
    return made


def test_a_container_of_docker_has_the_image_the_memory_and_the_environment() -> None:
    made = configured("docker")
    assert (made["image"], made["mem_limit"], made["env"]) == ("registry.example.com/jobs:7", "1g", ENV)


def test_a_job_of_kubernetes_has_them_too_and_kubernetes_takes_it() -> None:
    manifest = configured("kubernetes")["job_manifest"]
    (container,) = manifest["spec"]["template"]["spec"]["containers"]
    assert (container["image"], container["env"]) == ("registry.example.com/jobs:7", ENV)
    assert container["resources"] == {"limits": {"memory": "1Gi"}, "requests": {"cpu": "500m"}}
    # The worker gives the environment this form, and puts its own to it.
    container["env"] = [{"name": name, "value": value} for name, value in container["env"].items()]
    kubernetes_validate.validate(manifest, "1.33")
