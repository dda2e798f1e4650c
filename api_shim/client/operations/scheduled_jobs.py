"""Calls about scheduled jobs: look, change, delete, whose they are, and when they fire (contract 5 and 10)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
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
    query_of,
    read,
    read_nothing,
    rows,
    text_of,
)

SCHEDULED = "scheduled-jobs"


def scheduled_jobs(*, limit: int | None = None, **filters: Filter) -> Operation[list[schemas.ScheduledJob]]:
    """Return the scheduled jobs that you may see.

    Args:
        limit: how many at most; all without one.
        filters: what they are restricted to, as the API has it: ``name``, ``job_model``, ``user``, ``enabled``,
            ``q``, ``sort`` …

    Raises:
        Forbidden: you may see none at all.
        Invalid: there is no such filter.

    Contract 5.

    >>> [row.interval for row in shim.scheduled_jobs(name="nightly")]
    ['custom']
    """
    return (yield from rows(schemas.ScheduledJob, SCHEDULED, filters, limit))


def scheduled_job(ref: Ref) -> Operation[schemas.ScheduledJob]:
    """Return one scheduled job.

    Args:
        ref: its id or its name.

    Raises:
        NotFound: there is none, or none that you may see.

    Contract 5.

    >>> shim.scheduled_job("nightly").enabled
    True
    """
    return read(schemas.ScheduledJob, (yield HttpRequest(path=path_of(SCHEDULED, ref))))


def change(
    ref: Ref,
    *,
    name: str | None = None,
    enabled: bool | None = None,
    data: Mapping[str, Any] | None = None,
    at: datetime | str | None = None,
    cron: str | None = None,
    time_zone: str | None = None,
    queue: str | None = None,
) -> Operation[schemas.ScheduledJob]:
    """Change a scheduled job; what is not given stays. What was approved and now runs otherwise asks again.

    Args:
        ref: its id or its name.
        name: what it is to be called.
        enabled: whether it is to fire.
        data: all variables of the Job.
        at: when it is to fire first; one without a zone is on the clocks of its time zone.
        cron: a crontab of five fields, for one that has a crontab.
        time_zone: IANA name of the zone whose clocks it is to follow.
        queue: the work queue.

    Returns:
        the scheduled job as it is now.

    Raises:
        Forbidden: you may not change it, or not so.
        NotFound: there is none, or none that you may see.
        Invalid: a fault in what was given; ``detail`` has the sentences by field.
        Conflict: it was changed, or decided about, at the same moment.

    Contract 10.

    >>> shim.change("nightly", cron="0 3 * * *").crontab
    '0 3 * * *'
    """
    wanted = {
        "name": name,
        "enabled": enabled,
        "data": None if data is None else dict(data),
        "start_time": at,
        "crontab": cron,
        "time_zone": time_zone,
        "job_queue": queue,
    }
    body = body_of({field: value for field, value in wanted.items() if value is not None})
    return read(schemas.ScheduledJob, (yield HttpRequest(method="PATCH", path=path_of(SCHEDULED, ref), body=body)))


def delete(ref: Ref) -> Operation[None]:
    """Delete a scheduled job; what it has run stays recorded.

    Args:
        ref: its id or its name.

    Raises:
        Forbidden: you may not delete it.
        NotFound: there is none, or none that you may see.

    Contract 5.

    >>> row = shim.schedule("Greet", name="once", at="2030-01-01T02:00:00Z")
    >>> shim.delete(row)
    """
    read_nothing((yield HttpRequest(method="DELETE", path=path_of(SCHEDULED, ref))))


def delete_several(ids: Iterable[Ref]) -> Operation[None]:
    """Delete scheduled jobs, all at one moment; those that are not there, or not yours to delete, are passed over.

    Args:
        ids: their ids, or themselves.

    Raises:
        Forbidden: you may delete none at all.
        Invalid: one is no id.
        TooLarge: they are more than can be deleted at once.

    Contract 5 and 9.3.

    >>> rows = [shim.schedule("Greet", name=name, at="2030-01-01T02:00:00Z") for name in ("one", "two")]
    >>> shim.delete_several(rows)
    >>> shim.scheduled_jobs(name=["one", "two"])
    []
    """
    read_nothing((yield HttpRequest(method="DELETE", path=f"{EXTRAS}/{SCHEDULED}/", body=body_of(list(ids)))))


def assume(ref: Ref) -> Operation[schemas.ScheduledJob]:
    """Become the owner of a scheduled job, as whom it runs; one that a failure has disabled fires again.

    Args:
        ref: its id or its name.

    Raises:
        Forbidden: you may not, as when you cannot run this Job.
        NotFound: there is none, or none that you may see.
        Conflict: it is yours already.

    Contract 1.4 and 10.

    >>> row = bob.assume("nightly")
    >>> bob.explain("nightly").may["assume_ownership"].allowed
    False
    """
    return (yield from decide(ref, "assume-ownership", {}))


def transfer(ref: Ref, user: Ref) -> Operation[schemas.ScheduledJob]:
    """Hand a scheduled job to somebody else, as whom it then runs.

    Args:
        ref: its id or its name.
        user: the name or the id of who is to own it.

    Raises:
        Forbidden: you may not, or he cannot run this Job.
        NotFound: there is none, or none that you may see.

    Contract 10.

    >>> row = bob.transfer("nightly", me)
    """
    return (yield from decide(ref, "transfer", {"user": text_of(user)}))


def explain(ref: Ref, *, user: Ref | None = None) -> Operation[schemas.Explanation]:
    """Return who may do what with a scheduled job, when it fires next, and why not.

    Args:
        ref: its id or its name.
        user: the name or the id of whom it is to be about; you without it.

    Raises:
        Forbidden: you may not see the accounts of others.
        NotFound: there is none, or none that you may see.

    Contract 10.

    >>> shim.explain("nightly").why_not
    ''
    """
    query = query_of({"user": user})
    path = path_of(SCHEDULED, ref, "explain")
    return read(schemas.Explanation, (yield HttpRequest(path=f"{path}?{query}" if query else path)))


def upcoming(ref: Ref, *, count: int = 10) -> Operation[schemas.Upcoming]:
    """Return when a scheduled job fires next, in UTC.

    Args:
        ref: its id or its name.
        count: how many times at most.

    Raises:
        NotFound: there is none, or none that you may see.
        Invalid: so many are not told.

    Contract 10.

    >>> [time.minute for time in shim.upcoming("nightly", count=2).firings]
    [0, 0]
    """
    path = path_of(SCHEDULED, ref, "upcoming")
    return read(schemas.Upcoming, (yield HttpRequest(path=f"{path}?{query_of({'count': count})}")))


def decide(ref: Ref, verb: str, body: Mapping[str, Any]) -> Operation[schemas.ScheduledJob]:
    """Do something with a scheduled job, and return what it is then."""
    answer = yield HttpRequest(method="POST", path=path_of(SCHEDULED, ref, verb), body=body_of(body))
    return read(schemas.ScheduledJob, answer)
