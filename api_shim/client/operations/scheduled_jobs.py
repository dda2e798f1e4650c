"""Operations on scheduled jobs: list, show, change, delete, transfer and explain (contract 5 and 10)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

from api_shim import schemas
from api_shim.client.protocol import (
    EXTRAS,
    Filter,
    HttpRequest,
    Operation,
    Ref,
    body_of,
    path_of,
    query_of,
    read,
    read_nothing,
    rows,
    text_of,
)
from approval_gate.errors import Invalid

SCHEDULED = "scheduled-jobs"
ONE_OF = "Give only one of `every`, `cron` and `once`."


def scheduled_jobs(*, limit: int | None = None, **filters: Filter) -> Operation[list[schemas.ScheduledJob]]:
    """Return the scheduled jobs that you may view.

    Args:
        limit: the maximum number of results; None for all.
        filters: filters of the API, such as ``name``, ``job_model``, ``user``, ``enabled``,
            ``q``, ``sort`` …

    Raises:
        Forbidden: you may not view scheduled jobs.
        Invalid: a filter is unknown or its value is invalid.

    Contract 5.

    >>> [row.interval for row in shim.scheduled_jobs(name="nightly")]
    ['custom']
    """
    return (yield from rows(schemas.ScheduledJob, SCHEDULED, filters, limit))


def scheduled_job(ref: Ref) -> Operation[schemas.ScheduledJob]:
    """Return one scheduled job.

    Args:
        ref: the id or the name of the scheduled job.

    Raises:
        NotFound: it does not exist, or you may not view it.

    Contract 5.

    >>> shim.scheduled_job("nightly").enabled
    True
    """
    return read(schemas.ScheduledJob, (yield HttpRequest(path=path_of(SCHEDULED, ref))))


def input_file(ref: Ref, file_id: UUID | str) -> Operation[bytes]:
    """Return what a file has that a scheduled job gives to its runs.

    Args:
        ref: the id or the name of the scheduled job.
        file_id: the id of the file, as its ``kwargs`` tell it.

    Raises:
        Forbidden: you may not approve it.
        NotFound: it does not exist, or you may not view it, or it has no such file.

    Contract 10.

    >>> waiting = shim.run("Read a file", {"file": ("greeting.txt", b"Hello")}, name="read it").scheduled_job
    >>> shim.input_file(waiting, waiting.kwargs["file"]["id"])
    b'Hello'
    """
    path = path_of(SCHEDULED, ref, f"files/{text_of(file_id)}/download")
    return read(bytes, (yield HttpRequest(path=path, as_bytes=True)))


def change(
    ref: Ref,
    *,
    name: str | None = None,
    enabled: bool | None = None,
    data: Mapping[str, Any] | None = None,
    at: datetime | str | None = None,
    every: str | None = None,
    cron: str | None = None,
    once: bool = False,
    time_zone: str | None = None,
    misfire: str | None = None,
    queue: str | None = None,
    version: str | None = None,
) -> Operation[schemas.ScheduledJob]:
    """Change a scheduled job. A change of anything that was approved needs approval again.

    Args:
        ref: the id or the name of the scheduled job.
        name: the new name.
        enabled: whether it runs when it is due.
        data: the values of all variables of the Job.
        at: the start time; without an offset it is in the time zone of the scheduled job.
        every: ``hourly``, ``daily`` or ``weekly``; repeats from the start time on.
        cron: a crontab of five fields; repeats by it.
        once: runs once, at the start time, and no longer repeats.
        time_zone: the IANA name of the time zone.
        misfire: what becomes of firings that no worker took in time: ``last``, ``skip``, ``all`` or ``ask``.
        queue: the work queue.
        version: the ``approval_version`` that you have read; with another one it is not changed.

    Returns:
        the changed scheduled job.

    Raises:
        Forbidden: you do not have permission for this change.
        NotFound: it does not exist, or you may not view it.
        Invalid: an argument is invalid; ``detail`` has the sentences by field.
        Conflict: it was changed or decided at the same time.
        Outdated: it has another version.

    Contract 10.

    >>> shim.change("nightly", cron="0 3 * * *").crontab
    '0 3 * * *'
    >>> shim.change("nightly", once=True, at="2030-01-01T02:00:00Z").one_off
    True
    >>> shim.change("nightly", every="daily").interval
    'daily'
    """
    if sum(map(bool, (every, cron, once))) > 1:
        raise Invalid(ONE_OF)
    wanted = {
        "name": name,
        "enabled": enabled,
        "data": None if data is None else dict(data),
        "interval": "custom" if cron else "future" if once else every,
        "start_time": at,
        "crontab": cron,
        "time_zone": time_zone,
        "misfire": misfire,
        "job_queue": queue,
        "version": version,
    }
    body = body_of({field: value for field, value in wanted.items() if value is not None})
    return read(schemas.ScheduledJob, (yield HttpRequest(method="PATCH", path=path_of(SCHEDULED, ref), body=body)))


def delete(ref: Ref) -> Operation[None]:
    """Delete a scheduled job. Its job results are kept.

    Args:
        ref: the id or the name of the scheduled job.

    Raises:
        Forbidden: you do not have permission to delete it.
        NotFound: it does not exist, or you may not view it.

    Contract 5.

    >>> row = shim.schedule("Greet", name="once", at="2030-01-01T02:00:00Z")
    >>> shim.delete(row)
    """
    read_nothing((yield HttpRequest(method="DELETE", path=path_of(SCHEDULED, ref))))


def delete_several(ids: Iterable[Ref]) -> Operation[None]:
    """Delete several scheduled jobs at once. Those that do not exist or that you may not delete are skipped.

    Args:
        ids: the scheduled jobs, or their ids.

    Raises:
        Forbidden: you may not delete scheduled jobs.
        Invalid: one of them is not an id.
        TooLarge: there are more than can be deleted at once.

    Contract 5 and 9.3.

    >>> rows = [shim.schedule("Greet", name=name, at="2030-01-01T02:00:00Z") for name in ("one", "two")]
    >>> shim.delete_several(rows)
    >>> shim.scheduled_jobs(name=["one", "two"])
    []
    """
    read_nothing((yield HttpRequest(method="DELETE", path=f"{EXTRAS}/{SCHEDULED}/", body=body_of(list(ids)))))


def assume(ref: Ref) -> Operation[schemas.ScheduledJob]:
    """Become the owner of a scheduled job, which then runs as you. One that a failure has disabled is enabled again.

    Args:
        ref: the id or the name of the scheduled job.

    Raises:
        Forbidden: you do not have permission, for example to run its Job.
        NotFound: it does not exist, or you may not view it.
        Conflict: you own it already.

    Contract 1.4 and 10.

    >>> row = bob.assume("nightly")
    >>> bob.explain("nightly").may["assume_ownership"].allowed
    False
    """
    return (yield from decide(ref, "assume-ownership", {}))


def transfer(ref: Ref, user: Ref) -> Operation[schemas.ScheduledJob]:
    """Transfer a scheduled job to another user, as whom it then runs.

    Args:
        ref: the id or the name of the scheduled job.
        user: the name or the id of the new owner.

    Raises:
        Forbidden: you do not have permission, or the new owner may not run the Job.
        NotFound: it does not exist, or you may not view it.

    Contract 10.

    >>> row = bob.transfer("nightly", me)
    """
    return (yield from decide(ref, "transfer", {"user": text_of(user)}))


def explain(ref: Ref, *, user: Ref | None = None) -> Operation[schemas.Explanation]:
    """Explain who can do what with a scheduled job, and when it runs next, or why not.

    Args:
        ref: the id or the name of the scheduled job.
        user: the name or the id of the user to explain it for; by default you.

    Raises:
        Forbidden: you may not view other users.
        NotFound: it does not exist, or you may not view it.

    Contract 10.

    >>> shim.explain("nightly").why_not
    ''
    """
    query = query_of({"user": user})
    path = path_of(SCHEDULED, ref, "explain")
    return read(schemas.Explanation, (yield HttpRequest(path=f"{path}?{query}" if query else path)))


def upcoming(ref: Ref, *, count: int = 10) -> Operation[schemas.Upcoming]:
    """Return the next times at which a scheduled job runs, in UTC.

    Args:
        ref: the id or the name of the scheduled job.
        count: the maximum number of times.

    Raises:
        NotFound: it does not exist, or you may not view it.
        Invalid: the count is too large.

    Contract 10.

    >>> [time.minute for time in shim.upcoming("nightly", count=2).firings]
    [0, 0]
    """
    path = path_of(SCHEDULED, ref, "upcoming")
    return read(schemas.Upcoming, (yield HttpRequest(path=f"{path}?{query_of({'count': count})}")))


def decide(ref: Ref, verb: str, body: Mapping[str, Any]) -> Operation[schemas.ScheduledJob]:
    """Perform an action on a scheduled job, and return it afterwards."""
    answer = yield HttpRequest(method="POST", path=path_of(SCHEDULED, ref, verb), body=body_of(body))
    return read(schemas.ScheduledJob, answer)
