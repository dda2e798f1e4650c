"""Operations on Jobs: list, show, run and schedule them (contract 3 and 4)."""

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
    files_in,
    form_of,
    keyed,
    path_of,
    read,
    rows,
)
from approval_gate.errors import Invalid

JOBS = "jobs"
ONE_OF = "Give `every` or `cron`, not both."


def jobs(*, limit: int | None = None, **filters: Filter) -> Operation[list[schemas.Job]]:
    """Return the Jobs that you may view.

    Args:
        limit: the maximum number of results; None for all.
        filters: filters of the API, such as ``name``, ``enabled``, ``q``, ``sort`` …

    Raises:
        Forbidden: you may not view them.
        Invalid: a filter is unknown or its value is invalid.

    Contract 3.

    >>> [job.name for job in shim.jobs(name="Greet")]
    ['Greet']
    """
    return (yield from rows(schemas.Job, JOBS, filters, limit))


def job(ref: Ref) -> Operation[schemas.Job]:
    """Return one Job.

    Args:
        ref: the id or the name of the Job.

    Raises:
        NotFound: the Job does not exist, or you may not view it.

    Contract 3.

    >>> shim.job("Greet").description
    'Says hello.'
    """
    return read(schemas.Job, (yield HttpRequest(path=path_of(JOBS, ref))))


def variables(ref: Ref) -> Operation[list[schemas.Variable]]:
    """Return the variables of a Job.

    Args:
        ref: the id or the name of the Job.

    Raises:
        NotFound: the Job does not exist, or you may not view it.

    Contract 3.

    >>> [variable.name for variable in shim.variables("Greet")]
    ['who', 'count', 'file']
    """
    return read(list[schemas.Variable], (yield HttpRequest(path=path_of(JOBS, ref, "variables"))))


def job_tools() -> Operation[list[schemas.JobTool]]:
    """Return the Jobs that agents are offered as tools of their own, with their variables, if you may run them.

    Contract 3.

    >>> {offered.job.name for offered in shim.job_tools()} <= {"Greet"}
    True
    """
    return read(list[schemas.JobTool], (yield HttpRequest(path="api/extras/job-tools/")))


def change_job(ref: Ref, *, enabled: bool | None = None, **settings: Any) -> Operation[schemas.Job]:
    """Change the settings of a Job; what is not given stays.

    Args:
        ref: the id or the name of the Job.
        enabled: whether it can run.
        settings: what else an administrator decides about it, such as ``approval_required``,
            ``has_sensitive_variables``, ``soft_time_limit``, ``time_limit`` and ``job_queues``; the same with
            ``_override`` set to false takes a decision back.

    Raises:
        Forbidden: you may not change it, or not in this way.
        NotFound: the Job does not exist, or you may not view it.
        Invalid: a setting is unknown, or its value is invalid; ``detail`` has the sentences by field.

    Contract 3.

    >>> shim.change_job("Greet", enabled=True).enabled
    True
    """
    asked = settings if enabled is None else {"enabled": enabled, **settings}
    return read(schemas.Job, (yield HttpRequest(method="PATCH", path=path_of(JOBS, ref), body=body_of(asked))))


def run(
    ref: Ref,
    data: Mapping[str, Any] | None = None,
    *,
    name: str | None = None,
    queue: str | None = None,
    reason: str = "",
    idempotency_key: str | None = None,
) -> Operation[schemas.Accepted]:
    """Run a Job now, as you; if it needs approval, request it.

    Args:
        ref: the id or the name of the Job.
        data: the values of its variables, by name; a file is a ``Path``, or its name and its content as bytes.
        name: the name of the request, if the Job needs approval.
        queue: the work queue; by default the first one of the Job.
        reason: why you request it, for whoever decides about it.
        idempotency_key: any text that you use only for this request; repeating the request with it within a day, for
            example because there was no answer, does not run the Job twice.

    Returns:
        the job result, or the scheduled job that waits for approval: exactly one of them is set.

    Raises:
        Forbidden: you do not have permission to run the Job, or it is disabled.
        NotFound: the Job does not exist, or you may not view it.
        NotRunnable: the code of the Job is not installed.
        Invalid: a variable, the name or the queue is invalid; ``detail`` has the sentences by field.
        Unavailable: no worker is running on the queue.

    Contract 4.

    >>> accepted = shim.run("Greet", {"who": "Ada", "count": 3})
    >>> accepted.job_result.name
    'Greet'
    """
    schedule = {"interval": "immediately", "name": name} if name else None
    return (yield from _request(ref, data, schedule, queue, reason, idempotency_key))


def check(ref: Ref, data: Mapping[str, Any] | None = None) -> Operation[schemas.RequestCheck]:
    """Say what is wrong with a request for a run, and who would have to agree; nothing is requested.

    Args:
        ref: the id or the name of the Job.
        data: the values of its variables, by name.

    Raises:
        Forbidden: you do not have permission to run the Job, or it is disabled.
        NotFound: the Job does not exist, or you may not view it.
        NotRunnable: the code of the Job is not installed.

    Contract 4.

    >>> told = shim.check("Greet", {"count": 0})
    >>> told.valid, told.needs_approval
    (False, False)
    """
    body = body_of({"data": dict(data or {})})
    answer = yield HttpRequest(method="POST", path=path_of(JOBS, ref, "check"), body=body)
    return read(schemas.RequestCheck, answer)


def schedule(
    ref: Ref,
    data: Mapping[str, Any] | None = None,
    *,
    name: str,
    at: datetime | str | None = None,
    every: str | None = None,
    cron: str | None = None,
    time_zone: str | None = None,
    misfire: str | None = None,
    queue: str | None = None,
    reason: str = "",
    idempotency_key: str | None = None,
) -> Operation[schemas.ScheduledJob]:
    """Schedule a Job, once or repeatedly.

    Args:
        ref: the id or the name of the Job.
        data: the values of its variables, by name; a file is a ``Path``, or its name and its content as bytes.
        name: a unique name for the scheduled job.
        at: the start time; without an offset it is in ``time_zone``.
        every: ``hourly``, ``daily`` or ``weekly``; repeats from ``at`` on.
        cron: a crontab of five fields; without ``at`` it starts at the next match.
        time_zone: the IANA name of the time zone; by default the server's.
        misfire: what becomes of firings that no worker took in time: ``last`` (the default) runs the newest, ``skip``
            none, ``all`` each in its turn, and ``ask`` makes a request for approval to run the newest.
        queue: the work queue; by default the first one of the Job.
        reason: why you request it, for whoever decides about it.
        idempotency_key: any text that you use only for this request; repeating the request with it within a day, for
            example because there was no answer, does not run the Job twice.

    Returns:
        the scheduled job; with the ``approval_state`` ``pending`` it waits for approval.

    Raises:
        Forbidden: you do not have permission to run the Job, or it is disabled.
        NotFound: the Job does not exist, or you may not view it.
        NotRunnable: the code of the Job is not installed.
        Invalid: an argument is invalid; ``detail`` has the sentences by field.
        Unavailable: no worker is running on the queue.

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
        "misfire": misfire,
    }
    given = {field: value for field, value in asked.items() if value is not None}
    accepted = yield from _request(ref, data, given, queue, reason, idempotency_key)
    if accepted.scheduled_job is None:
        raise UnexpectedResponse
    return accepted.scheduled_job


def _request(
    ref: Ref,
    data: Mapping[str, Any] | None,
    schedule: Mapping[str, Any] | None,
    queue: str | None,
    reason: str,
    idempotency_key: str | None,
) -> Operation[schemas.Accepted]:
    inputs, files = dict(data or {}), files_in(data or {})
    if files:
        when = {f"_schedule_{name}": value for name, value in (schedule or {}).items()}
        own = {"_job_queue": queue, "_reason": reason or None, **when}
        body, kind = form_of({**{name: inputs[name] for name in inputs if name not in files}, **own}, files)
    else:
        asked = {"data": inputs, "schedule": schedule, "job_queue": queue, "reason": reason or None}
        body, kind = body_of({field: value for field, value in asked.items() if value is not None}), {}
    headers = {**kind, **keyed(idempotency_key)}
    answer = yield HttpRequest(method="POST", path=path_of(JOBS, ref, "run"), body=body, headers=headers)
    accepted = read(schemas.Accepted, answer)
    if (accepted.scheduled_job is None) is (accepted.job_result is None):
        raise UnexpectedResponse
    return accepted


def status() -> Operation[schemas.Status]:
    """Return the health and the versions of the server.

    Contract 2.

    >>> shim.status().prefect
    'ok'
    """
    return read(schemas.Status, (yield HttpRequest(path="api/status/")))
