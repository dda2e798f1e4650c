"""Where a run that this process executes finds the server, and its own key: there where its gate has them.

* A run has a key of its own if a worker of ours executes it. Prefect's own workers ask for none, and what their runs
  have is good for all runs of the worker: it requests nothing.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import httpx
from prefect.context import FlowRunContext
from prefect.settings import get_current_settings

from api_shim.client.transport import check_key, read_address
from api_shim.keys import RUN_PREFIX
from approval_gate.errors import Unavailable

NO_RUN = (
    "No run of a Job is being executed here: elsewhere, make the client with a URL and a token. In a thread that a run "
    "has started, use a client that was made before."
)
NO_KEY = (
    "This run has no key of its own, so it cannot request anything: workers of `signoff worker` and `signoff up` "
    "provide one."
)


@dataclass(frozen=True, kw_only=True, slots=True)
class OfThisRun:
    """How a run reaches the server.

    Args:
        address: the URL of the server.
        key: the run's own key.
        request_id: by what the server's log and its audit tell which of their lines are about this run.
    """

    address: httpx.URL
    key: str = field(repr=False)
    request_id: str


def of_this_run() -> OfThisRun:
    """Return how the run that is being executed here reaches the server.

    Raises:
        Unavailable: none is, or it has no key of its own.
    """
    context = FlowRunContext.get()
    if context is None or context.flow_run is None:
        raise Unavailable(NO_RUN)
    api = get_current_settings().api
    _, _, key = (api.auth_string.get_secret_value() if api.auth_string else "").rpartition(":")
    if api.url is None or not key.startswith(RUN_PREFIX):
        raise Unavailable(NO_KEY)
    address = read_address(api.url.rstrip("/").removesuffix("/api"))
    return OfThisRun(address=address, key=check_key(key), request_id=f"run-{context.flow_run.id}")
