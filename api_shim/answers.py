"""What comes back from the server: the content of an answer, or the error of the rules that it means.

* What the server refuses, and what goes wrong on the way, is an error of the rules, with a sentence; what was said
  by field stays in its ``detail``.

Contract 2.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import httpx

from approval_gate.errors import (
    Conflict,
    Forbidden,
    GateError,
    Invalid,
    NotFound,
    NotRunnable,
    TooLarge,
    Unavailable,
    sentences,
)

REFUSALS: Mapping[int, type[GateError]] = {
    400: Invalid,
    401: Forbidden,
    403: Forbidden,
    404: NotFound,
    405: NotRunnable,
    409: Conflict,
    413: TooLarge,
}
"""What each status means; any other that is no success means that this cannot be had now."""

UNREADABLE = object()
"""Content that is no JSON."""


def content_of(answer: httpx.Response, where: str) -> Any:
    """Return what an answer says, decoded; None for an empty one.

    Args:
        answer: complete.
        where: the address, for people.

    Raises:
        GateError: it is a refusal, by its status.
    """
    content = _decoded(answer)
    if answer.is_success:
        return content
    kind = REFUSALS.get(answer.status_code, Unavailable)
    told = content.get("detail", content) if isinstance(content, dict) and len(content) == 1 else content
    if not any(sentences(told)):
        raise kind(f"{where} answered with status {answer.status_code}.")
    raise kind(" ".join(sentences(told)) if isinstance(told, str) else told)


def _decoded(answer: httpx.Response) -> Any:
    if not answer.content:
        return None
    try:
        return answer.json()
    except (ValueError, RecursionError):
        return UNREADABLE


def undelivered(error: httpx.HTTPError, where: str) -> Unavailable:
    """Return the refusal for a question that had no answer."""
    if isinstance(error, httpx.ConnectError | httpx.ConnectTimeout | httpx.ProxyError):
        return Unavailable(f"{where} cannot be reached: {error}.")
    return Unavailable(f"{where} gave no answer; what was asked of it may have been done all the same.")


def stranger(where: str) -> Unavailable:
    """Return the refusal for what was not said by signoff."""
    return Unavailable(f"What answers at {where} is not signoff, or not this version of it.")
