"""From an error of the rules to what HTTP answers, for the REST API and the pages alike.

* One table says which status each kind of error has; a kind that it does not list is a mistake of ours.
* ``Retry-After`` says when the caller may try again, where that is known; and what is unavailable may soon be back.
* The REST API answers with what was said, by field if it was said so; its sentences for people are
  ``approval_gate.errors.sentences``, which the pages show.

Contract 2.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from fastapi import Request
from starlette.routing import Match

from api_shim.services.authentication import Unauthenticated
from api_shim.web.bodies import UnsupportedMediaType
from approval_gate import errors

SOON = 5
"""Seconds after which it is worth asking again for what is unavailable now."""

METHODS = ("DELETE", "GET", "PATCH", "POST", "PUT")


class NotAcceptable(errors.GateError):
    """An answer of a kind or version that we do not make."""


STATUS: Mapping[type[errors.GateError], int] = {
    errors.Forbidden: 403,
    Unauthenticated: 403,
    errors.NotFound: 404,
    errors.TooLarge: 413,
    errors.Invalid: 400,
    errors.Conflict: 409,
    errors.NotRunnable: 405,
    errors.TooManyAttempts: 429,
    errors.Unavailable: 503,
    NotAcceptable: 406,
    UnsupportedMediaType: 415,
}


def status_of(error: errors.GateError) -> int:
    """Return the status that answers an error.

    Raises:
        TypeError: the table does not list its kind.
    """
    for kind in type(error).__mro__:
        if kind in STATUS:
            return STATUS[kind]
    raise TypeError(f"There is no status for {type(error).__name__}.") from error


def headers_of(error: errors.GateError) -> dict[str, str]:
    """Return the headers that an error has with its status: when to try again, in whole seconds."""
    after = SOON if error.after is None and isinstance(error, errors.Unavailable) else error.after
    return {} if after is None else {"Retry-After": str(max(1, math.ceil(after)))}


def body_of(error: errors.GateError) -> Any:
    """Return what the REST API answers to an error: its sentence, or what it says by field."""
    return {"detail": error.detail} if isinstance(error.detail, str) else error.detail


def methods_of(request: Request) -> list[str]:
    """Return the methods that an address has; none for an address that there is not."""

    def has(method: str) -> bool:
        asked = {**request.scope, "method": method}
        return any(route.matches(asked)[0] is Match.FULL for route in request.app.routes)

    methods = {method for method in METHODS if has(method)}
    return sorted({*methods, "OPTIONS", *({"HEAD"} if "GET" in methods else ())}) if methods else []
