"""The server: REST API, web pages, command line and Python client, with the rules mapped onto Prefect.

``Shim`` and ``AsyncShim`` are the Python client. They are imported on first use.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from api_shim.names import claim

if TYPE_CHECKING:
    from api_shim.client.async_client import AsyncShim
    from api_shim.client.client import Shim

__all__ = ["AsyncShim", "Shim"]

claim()

_HOMES = {"AsyncShim": "api_shim.client.async_client", "Shim": "api_shim.client.client"}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
