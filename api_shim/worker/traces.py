"""Traces of OpenTelemetry in forked runs, where ``opentelemetry-instrument`` has started the worker.

* What records them begins with the interpreter and starts threads, which would keep the fork server from forking. So
  that goes without, and each of its children begins to record before it executes anything.
* Where nobody records traces, nothing of this is imported.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import PurePath

PYTHONPATH = "PYTHONPATH"
BEGINS_BY_ITSELF = ("opentelemetry", "instrumentation", "auto_instrumentation")
"""How the folder ends whose ``sitecustomize`` sets everything up when an interpreter begins."""


def _folders(environment: Mapping[str, str]) -> list[str]:
    return environment.get(PYTHONPATH, "").split(os.pathsep)


def _begins(folder: str) -> bool:
    return PurePath(folder).parts[-3:] == BEGINS_BY_ITSELF


def without_traces(environment: Mapping[str, str]) -> dict[str, str]:
    """Return an environment in which an interpreter does not begin to record traces.

    Args:
        environment: any.
    """
    kept = [folder for folder in _folders(environment) if not _begins(folder)]
    without = {name: value for name, value in environment.items() if name != PYTHONPATH}
    return {**without, PYTHONPATH: os.pathsep.join(kept)} if any(kept) else without


def record_traces() -> None:
    """Begin to record traces in this process, if its environment says so."""
    if any(map(_begins, _folders(os.environ))):
        from opentelemetry.instrumentation.auto_instrumentation import initialize

        initialize()
