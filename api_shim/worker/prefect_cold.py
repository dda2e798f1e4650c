"""Prefect's process worker, but for what its runs find in their environment."""

from __future__ import annotations

from typing import Any

from prefect.workers.process import ProcessJobConfiguration, ProcessWorker

from api_shim.worker.environment import is_servers_own


class OurJobConfiguration(ProcessJobConfiguration):
    """How one run is started: without what is the server's own, which Prefect may have read from files."""

    def prepare_for_flow_run(self, *run: Any, **more: Any) -> None:
        """Leave out of its environment what the worker has left out of its own."""
        super().prepare_for_flow_run(*run, **more)
        self.env = {name: value for name, value in self.env.items() if not is_servers_own(name)}


class ColdWorker(ProcessWorker):
    """Starts each run in a process from nothing."""

    job_configuration = OurJobConfiguration

    @classmethod
    def __dispatch_key__(cls) -> str:
        # Prefect's own worker stays what its type stands for.
        return "signoff-cold"
