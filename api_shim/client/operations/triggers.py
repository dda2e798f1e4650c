"""Operations on job buttons and job hooks: list, add and delete them."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from api_shim import schemas
from api_shim.client.protocol import (
    EXTRAS,
    Filter,
    HttpRequest,
    Operation,
    Ref,
    body_of,
    path_of,
    read,
    read_nothing,
    rows,
)

BUTTONS, HOOKS = "job-buttons", "job-hooks"


def job_buttons(*, limit: int | None = None, **filters: Filter) -> Operation[list[schemas.JobButton]]:
    """Return the job buttons.

    Args:
        limit: the maximum number of results; None for all.
        filters: filters of the API, such as ``name``, ``job`` …

    Raises:
        Forbidden: you may not view them.
        Invalid: a filter is unknown or its value is invalid.

    >>> shim.job_buttons(name="inspect")
    []
    """
    return (yield from rows(schemas.JobButton, BUTTONS, filters, limit))


def add_job_button(
    name: str, *, job: Ref, text: str, content_types: Collection[str], **fields: Any
) -> Operation[schemas.JobButton]:
    """Add a button to the pages of objects, which requests a Job.

    Args:
        name: its name.
        job: the id or the name of the Job, which is a ``JobButtonReceiver``.
        text: what stands on it.
        content_types: the types of the objects, such as ``extras.jobresult``.
        fields: further fields of the API, such as ``weight`` or ``confirmation``.

    Raises:
        Forbidden: you do not have permission to add it, or to run the Job.
        Invalid: a field is invalid; ``detail`` has the sentences by field.

    >>> shim.add_job_button("inspect", job="Press", text="Inspect", content_types=["extras.jobresult"]).weight
    100
    """
    body = body_of({"name": name, "job": str(job), "text": text, "content_types": [*content_types], **fields})
    return read(schemas.JobButton, (yield HttpRequest(method="POST", path=f"{EXTRAS}/{BUTTONS}/", body=body)))


def delete_job_button(ref: Ref) -> Operation[None]:
    """Delete a job button.

    Args:
        ref: the id or the name of the button.

    Raises:
        Forbidden: you do not have permission to delete it.
        NotFound: it does not exist, or you may not view it.

    >>> shim.delete_job_button("inspect")
    """
    read_nothing((yield HttpRequest(method="DELETE", path=path_of(BUTTONS, ref))))


def job_hooks(*, limit: int | None = None, **filters: Filter) -> Operation[list[schemas.JobHook]]:
    """Return the job hooks.

    Args:
        limit: the maximum number of results; None for all.
        filters: filters of the API, such as ``name``, ``job`` …

    Raises:
        Forbidden: you may not view them.
        Invalid: a filter is unknown or its value is invalid.

    >>> shim.job_hooks(name="watch")
    []
    """
    return (yield from rows(schemas.JobHook, HOOKS, filters, limit))


def add_job_hook(
    name: str,
    *,
    job: Ref,
    content_types: Collection[str],
    type_create: bool = False,
    type_update: bool = False,
    type_delete: bool = False,
) -> Operation[schemas.JobHook]:
    """Add what starts a Job for changes of objects.

    Args:
        name: its name.
        job: the id or the name of the Job, which is a ``JobHookReceiver``.
        content_types: the types of the objects, such as ``extras.scheduledjob``.
        type_create: whether it hears of new ones.
        type_update: whether it hears of what becomes of them.
        type_delete: whether it hears of their end.

    Raises:
        Forbidden: you do not have permission to add it, or to run the Job.
        Invalid: a field is invalid; ``detail`` has the sentences by field.

    >>> shim.add_job_hook("watch", job="Hear", content_types=["extras.scheduledjob"], type_delete=True).enabled
    True
    """
    when = {"type_create": type_create, "type_update": type_update, "type_delete": type_delete}
    body = body_of({"name": name, "job": str(job), "content_types": [*content_types], **when})
    return read(schemas.JobHook, (yield HttpRequest(method="POST", path=f"{EXTRAS}/{HOOKS}/", body=body)))


def delete_job_hook(ref: Ref) -> Operation[None]:
    """Delete a job hook.

    Args:
        ref: the id or the name of the hook.

    Raises:
        Forbidden: you do not have permission to delete it.
        NotFound: it does not exist, or you may not view it.

    >>> shim.delete_job_hook("watch")
    """
    read_nothing((yield HttpRequest(method="DELETE", path=path_of(HOOKS, ref))))
