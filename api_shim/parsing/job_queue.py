"""Reads what somebody wants to be written of a job queue: its name, once, and the work pool that it belongs to.

A queue and a pool are called as Prefect allows it, but not by dots alone: no path leads there. Contract 3.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, NotRequired

from pydantic import Field, TypeAdapter, with_config
from typing_extensions import TypedDict

from api_shim.parsing.sentences import STRICT, of_text, read
from approval_gate.errors import Invalid
from flows.definition import is_queue_name

NOT_A_NAME = "A name has 1 to 255 printable characters, not dots alone, and none of / % & > <."


def _check(name: str) -> str:
    if not is_queue_name(name) or not name.strip("."):
        raise Invalid(NOT_A_NAME)
    return name


def _check_pool(pool: str) -> str:
    return _check(pool) if pool else pool


Pool = Annotated[
    str, of_text(_check_pool), Field(description="The work pool; empty for that of the server. It must exist.")
]


@with_config(STRICT)
class NewJobQueue(TypedDict):
    """A job queue that is to be made."""

    name: Annotated[str, of_text(_check)]
    queue_type: NotRequired[Literal["prefect"]]
    pool: NotRequired[Pool]


@with_config(STRICT)
class JobQueueChange(TypedDict, total=False):
    """What can be changed of a job queue."""

    pool: Pool


_NEW: TypeAdapter[Any] = TypeAdapter(NewJobQueue)
_CHANGE: TypeAdapter[Any] = TypeAdapter(JobQueueChange)


def read_new_queue(body: object) -> tuple[str, str]:
    """Return the name and the work pool of a job queue that is to be made.

    Raises:
        Invalid: a fault in a field.
    """
    asked = read(_NEW, body)
    return asked["name"], asked.get("pool", "")


def read_pool(body: object) -> str | None:
    """Return the work pool that a job queue is to belong to; None if it is to stay where it is.

    Raises:
        Invalid: a fault in a field.
    """
    pool: str | None = read(_CHANGE, body).get("pool")
    return pool
