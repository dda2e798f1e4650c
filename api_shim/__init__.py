"""The server: REST API, web pages, command line and Python client, with the rules mapped onto Prefect.

``Shim`` and ``AsyncShim`` are the Python client, which raises the other classes. They are imported on first use.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from api_shim.names import claim

if TYPE_CHECKING:
    from api_shim.client.async_client import AsyncShim
    from api_shim.client.client import Shim
    from api_shim.client.operations.job_results import StillRunning
    from approval_gate.errors import (
        Conflict,
        Forbidden,
        GateError,
        Invalid,
        NotFound,
        NotRunnable,
        Outdated,
        TooLarge,
        Unavailable,
    )

__all__ = [
    "AsyncShim",
    "Conflict",
    "Forbidden",
    "GateError",
    "Invalid",
    "NotFound",
    "NotRunnable",
    "Outdated",
    "Shim",
    "StillRunning",
    "TooLarge",
    "Unavailable",
]

claim()

_HOMES = {
    "AsyncShim": "api_shim.client.async_client",
    "Shim": "api_shim.client.client",
    "StillRunning": "api_shim.client.operations.job_results",
}
_ERRORS = "approval_gate.errors"


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES.get(name, _ERRORS)), name)
