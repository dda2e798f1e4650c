"""Operations on job queues: list, add, move to another work pool, and delete them (contract 3)."""

from __future__ import annotations

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

QUEUES = "job-queues"


def job_queues(*, limit: int | None = None, **filters: Filter) -> Operation[list[schemas.JobQueue]]:
    """Return the work queues that Jobs can run on.

    Args:
        limit: the maximum number of results; None for all.
        filters: filters of the API, such as ``name``, ``pool`` …

    Raises:
        Forbidden: you may not view them.
        Invalid: a filter is unknown or its value is invalid.

    Contract 3.

    >>> "default" in [queue.name for queue in shim.job_queues()]
    True
    """
    return (yield from rows(schemas.JobQueue, QUEUES, filters, limit))


def add_job_queue(name: str, *, pool: str = "") -> Operation[schemas.JobQueue]:
    """Add a work queue to a work pool. A Job runs on it when its ``job_queues`` name it.

    Args:
        name: its name, which it keeps.
        pool: the name of the work pool, which exists in Prefect; empty for that of the server.

    Raises:
        Forbidden: you do not have permission to add it.
        Invalid: the name is taken or cannot be one, or there is no such pool; ``detail`` has the sentences by field.
        Unavailable: Prefect does not answer.

    Contract 3.

    >>> shim.add_job_queue("gpu").worker_count
    0
    """
    body = body_of({"name": name, "pool": pool})
    return read(schemas.JobQueue, (yield HttpRequest(method="POST", path=f"{EXTRAS}/{QUEUES}/", body=body)))


def move_job_queue(ref: Ref, pool: str) -> Operation[schemas.JobQueue]:
    """Move a work queue to another work pool, while nothing is scheduled, waits or runs on it.

    Args:
        ref: the id or the name of the queue.
        pool: the name of the work pool, which exists in Prefect; empty for that of the server.

    Raises:
        Forbidden: you do not have permission to change it.
        NotFound: it does not exist, or you may not view it.
        Invalid: there is no such pool.
        Conflict: it is in use, or the default one.
        Unavailable: Prefect does not answer.

    Contract 3.

    >>> shim.move_job_queue("gpu", "signoff").name
    'gpu'
    """
    return read(
        schemas.JobQueue,
        (yield HttpRequest(method="PATCH", path=path_of(QUEUES, ref), body=body_of({"pool": pool}))),
    )


def delete_job_queue(ref: Ref) -> Operation[None]:
    """Delete a work queue that no Job names, and that nothing is scheduled, waits or runs on.

    Args:
        ref: the id or the name of the queue.

    Raises:
        Forbidden: you do not have permission to delete it.
        NotFound: it does not exist, or you may not view it.
        Conflict: it is in use, or the default one.

    Contract 3.

    >>> shim.delete_job_queue("gpu")
    """
    read_nothing((yield HttpRequest(method="DELETE", path=path_of(QUEUES, ref))))
