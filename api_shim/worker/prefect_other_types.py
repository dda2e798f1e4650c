"""Prefect's workers of other types, as for Docker and Kubernetes, whose runs have a key of their own.

* A run gets its key in its environment, where the worker's would stand, as soon as its infrastructure is described:
  some types copy the environment into what they send elsewhere. What is the server's own is left out.
* Without a key a run is not started, and neither is one whose infrastructure would still be told the worker's, whatever
  way that has come there. Prefect tells why in the state of the run.
* All else is as Prefect's worker does it, whose package for the type must be installed here.
"""

from __future__ import annotations

from types import new_class
from typing import TYPE_CHECKING, Any

from prefect.settings import get_current_settings
from prefect.workers.base import BaseWorker

from api_shim.worker.environment import AUTH, is_servers_own
from api_shim.worker.prefect_calls import key_of
from api_shim.worker.prefect_keyed import NO_KEY, RUN, WORKERS_OWN, TakesRuns

if TYPE_CHECKING:
    from prefect.client.schemas.objects import FlowRun
    from prefect.workers.base import BaseJobConfiguration

    _Configuration = BaseJobConfiguration
    _Worker = BaseWorker[Any, Any, Any]
else:
    _Configuration = _Worker = object

TELLS_ITS_OWN = (
    "The infrastructure of this run would be told the key of its worker: its work pool or its job variables have it, "
    "or this version of Prefect gives it in another way."
)


class _Keyed(_Configuration):
    """How one run is started, with its key."""

    def _base_environment(self) -> dict[str, str]:  # type: ignore[override]  # as Docker's has it
        told = super()._base_environment()
        return {name: value for name, value in told.items() if name not in WORKERS_OWN and not is_servers_own(name)}

    def _base_flow_run_environment(self, flow_run: FlowRun | None) -> dict[str, str]:  # type: ignore[override]
        told = super()._base_flow_run_environment(flow_run)
        # What is only to be cancelled has none here.
        key = key_of(flow_run.id) if flow_run is not None else ""
        return told | {AUTH: f"{RUN}:{key}"} if key else told


class _StartsKeyed(TakesRuns, _Worker):
    """A worker that starts runs with their keys alone."""

    async def run(self, flow_run: FlowRun, configuration: Any, *status: Any, **more: Any) -> Any:
        """Execute a run to its end, with its own key and not with that of this worker.

        Raises:
            RuntimeError: the server has given it none, or what is to be started has the worker's.
        """
        if not key_of(flow_run.id):
            raise RuntimeError(NO_KEY)
        if any(secret in str(configuration.model_dump()) for secret in _own_secrets()):
            raise RuntimeError(TELLS_ITS_OWN)
        return await super().run(flow_run, configuration, *status, **more)  # type: ignore[safe-super]  # a worker follows


def _own_secrets() -> list[str]:
    api = get_current_settings().api
    told = [secret.get_secret_value() for secret in (api.auth_string, api.key) if secret is not None]
    return [secret.partition(":")[2] or secret for secret in told if secret]


def keyed(kind: type[BaseWorker[Any, Any, Any]]) -> type[BaseWorker[Any, Any, Any]]:
    """Return a worker like that, but which gives each run a key of its own.

    Args:
        kind: a worker of Prefect's.
    """
    configuration = new_class(f"Keyed{kind.job_configuration.__name__}", (_Keyed, kind.job_configuration))
    body = {"job_configuration": configuration}
    return new_class(f"Keyed{kind.__name__}", (_StartsKeyed, kind), exec_body=lambda names: names.update(body))
