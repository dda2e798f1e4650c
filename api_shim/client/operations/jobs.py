"""Calls about Jobs: which there are, what they want to know, and requests to run them (contract 3 and 4)."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from api_shim import schemas
from api_shim.client.protocol import (
    Filter,
    HttpRequest,
    Operation,
    Ref,
    UnexpectedResponse,
    body_of,
    keyed,
    path_of,
    read,
    rows,
)
from approval_gate.errors import Invalid

JOBS = "jobs"
QUEUES = "job-queues"
ONE_OF = "Give `every` or `cron`, not both."


def jobs(*, limit: int | None = None, **filters: Filter) -> Operation[list[schemas.Job]]:
    """Return the Jobs that you may see.

    Args:
        limit: how many at most; all without one.
        filters: what they are restricted to, as the API has it: ``name``, ``enabled``, ``q``, ``sort`` …

    Raises:
        Forbidden: you may see none at all.
        Invalid: there is no such filter.

    Contract 3.

    >>> [job.name for job in shim.jobs(name="Greet")]
    ['Greet']
    """
    return (yield from rows(schemas.Job, JOBS, filters, limit))


def job(ref: Ref) -> Operation[schemas.Job]:
    """Return one Job.

    Args:
        ref: its id or its name.

    Raises:
        NotFound: there is none, or none that you may see.

    Contract 3.

    >>> shim.job("Greet").description
    'Says hello.'
    """
    return read(schemas.Job, (yield HttpRequest(path=path_of(JOBS, ref))))


def variables(ref: Ref) -> Operation[list[schemas.Variable]]:
    """Return what a Job wants to know before it runs.

    Args:
        ref: its id or its name.

    Raises:
        NotFound: there is none, or none that you may see.

    Contract 3.

    >>> [variable.name for variable in shim.variables("Greet")]
    ['who', 'count', 'file']
    """
    return read(list[schemas.Variable], (yield HttpRequest(path=path_of(JOBS, ref, "variables"))))


def run(
    ref: Ref,
    data: Mapping[str, Any] | None = None,
    *,
    name: str | None = None,
    queue: str | None = None,
    idempotency_key: str | None = None,
) -> Operation[schemas.Accepted]:
    """Run a Job now, as you; if it needs approval, ask for it.

    Args:
        ref: the id or the name of the Job.
        data: its variables.
        name: what the request is called, if it has to wait for approval.
        queue: the work queue; the Job's first one without it.
        idempotency_key: any text that you use for this request alone; asking again with it within a day, say because
            there was no answer, is the same request.

    Returns:
        the job result, or the scheduled job that waits for approval: exactly one of them is set.

    Raises:
        Forbidden: you may not run it, or nobody may because it is not enabled.
        NotFound: there is none, or none that you may see.
        NotRunnable: its code is not installed.
        Invalid: a fault in the variables, the name or the queue; ``detail`` has the sentences by field.
        Unavailable: no worker serves the queue.

    Contract 4.

    >>> accepted = shim.run("Greet", {"who": "Ada", "count": 3})
    >>> accepted.job_result.name
    'Greet'
    """
    schedule = {"interval": "immediately", "name": name} if name else None
    return (yield from _request(ref, data, schedule, queue, idempotency_key))


def schedule(
    ref: Ref,
    data: Mapping[str, Any] | None = None,
    *,
    name: str,
    at: datetime | str | None = None,
    every: str | None = None,
    cron: str | None = None,
    time_zone: str | None = None,
    queue: str | None = None,
    idempotency_key: str | None = None,
) -> Operation[schemas.ScheduledJob]:
    """Run a Job later: once at a time, or again and again.

    Args:
        ref: the id or the name of the Job.
        data: its variables.
        name: what the scheduled job is called; no other may have that name.
        at: when, or when first; one without a zone is on the clocks of ``time_zone``.
        every: ``hourly``, ``daily`` or ``weekly``, from ``at`` on.
        cron: a crontab of five fields instead; without ``at`` it begins with its next match.
        time_zone: IANA name of the zone whose clocks it follows; the server's without one.
        queue: the work queue; the Job's first one without it.
        idempotency_key: any text that you use for this request alone; asking again with it within a day, say because
            there was no answer, is the same request.

    Returns:
        the scheduled job; it waits for approval if ``approval_state`` is ``pending``.

    Raises:
        Forbidden: you may not run it, or nobody may because it is not enabled.
        NotFound: there is no such Job, or none that you may see.
        NotRunnable: its code is not installed.
        Invalid: a fault in what was given; ``detail`` has the sentences by field.
        Unavailable: no worker serves the queue.

    Contract 4.

    >>> row = shim.schedule("Greet", name="nightly", cron="0 2 * * *", time_zone="Europe/Berlin")
    >>> row.interval, row.crontab, row.time_zone
    ('custom', '0 2 * * *', 'Europe/Berlin')
    """
    if every and cron:
        raise Invalid(ONE_OF)
    asked = {
        "name": name,
        "interval": "custom" if cron else every or "future",
        "start_time": at,
        "crontab": cron,
        "time_zone": time_zone,
    }
    given = {field: value for field, value in asked.items() if value is not None}
    accepted = yield from _request(ref, data, given, queue, idempotency_key)
    if accepted.scheduled_job is None:
        raise UnexpectedResponse
    return accepted.scheduled_job


def _request(
    ref: Ref,
    data: Mapping[str, Any] | None,
    schedule: Mapping[str, Any] | None,
    queue: str | None,
    idempotency_key: str | None,
) -> Operation[schemas.Accepted]:
    asked = {"data": dict(data or {}), "schedule": schedule, "job_queue": queue}
    body = body_of({field: value for field, value in asked.items() if value is not None})
    answer = yield HttpRequest(method="POST", path=path_of(JOBS, ref, "run"), body=body, headers=keyed(idempotency_key))
    accepted = read(schemas.Accepted, answer)
    if (accepted.scheduled_job is None) is (accepted.job_result is None):
        raise UnexpectedResponse
    return accepted


def job_queues(*, limit: int | None = None, **filters: Filter) -> Operation[list[schemas.JobQueue]]:
    """Return the work queues that Jobs can be run on.

    Args:
        limit: how many at most; all without one.
        filters: what they are restricted to, as the API has it: ``name`` …

    Raises:
        Forbidden: you may see none at all.
        Invalid: there is no such filter.

    Contract 3.

    >>> "default" in [queue.name for queue in shim.job_queues()]
    True
    """
    return (yield from rows(schemas.JobQueue, QUEUES, filters, limit))


def status() -> Operation[schemas.Status]:
    """Return whether the server is well.

    Contract 2.

    >>> shim.status().prefect
    'ok'
    """
    return read(schemas.Status, (yield HttpRequest(path="api/status/")))
