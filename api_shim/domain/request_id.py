"""The id of the request that is being answered: it stands in the answer, in the log, in the audit and at Prefect's run.

* What a client sends as the id is taken if it is short and plain; else there is a new one. It never looks like a key,
  which somebody may have sent in the wrong header: ids are written down.
* What a request leaves to be done after its answer keeps its id. What happens by itself has none.
* So does the trace of OpenTelemetry that it belongs to, where traces are recorded.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field

from opentelemetry.context import Context, attach, detach, get_current

from api_shim.keys import PREFIX

PLAIN = re.compile(rf"(?!{PREFIX})[A-Za-z0-9][A-Za-z0-9._-]{{0,63}}")

_current: ContextVar[str] = ContextVar("signoff_request_id", default="")


def is_taken(sent: str) -> bool:
    """Say whether what a client sends can be the id of its request."""
    return PLAIN.fullmatch(sent) is not None


def current_request() -> str:
    """Return the id of the request that is being answered; empty where none is."""
    return _current.get()


@contextmanager
def within_request(request_id: str) -> Iterator[None]:
    """Let whatever is done while this is entered belong to a request.

    Args:
        request_id: its id; empty for none.
    """
    before = _current.set(request_id)
    try:
        yield
    finally:
        _current.reset(before)


@dataclass(frozen=True, slots=True)
class Cause:
    """What something is done for.

    Args:
        request_id: the id of the request that has left it to be done; empty if it happens by itself.
        trace: the trace of that request.
    """

    request_id: str = ""
    trace: Context = field(default_factory=Context)


def current_cause() -> Cause:
    """Return what is being done here, for what is left to be done later."""
    return Cause(current_request(), get_current())


@contextmanager
def within_cause(cause: Cause) -> Iterator[None]:
    """Let whatever is done while this is entered belong to what has left it to be done.

    Args:
        cause: it, as ``current_cause`` told it.
    """
    before = attach(cause.trace)
    try:
        with within_request(cause.request_id):
            yield
    finally:
        detach(before)
