"""Reads with what a run is resumed that its own code has paused or suspended (contract 10)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NotRequired

from typing_extensions import TypedDict

from approval_gate.errors import Invalid


class Resumption(TypedDict):
    """What a run is given that goes on."""

    run_input: NotRequired[dict[str, Any] | None]


def read_resumption(body: Any) -> Any:
    """Return what a body has for the run, whatever it is (``services.suspensions`` checks that); None for nothing.

    Raises:
        Invalid: it is no object.
    """
    if not isinstance(body, Mapping):
        raise Invalid({"non_field_errors": ["Expected an object."]})
    return body.get("run_input")
