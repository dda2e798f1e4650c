"""Calls about job results: look, read their logs, wait for one to end, delete (contract 7).

* Who waits is not disturbed by a server that does not answer for a moment, but told if it stays silent.
* The last lines of a log come after the end of its run; they are waited for.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from uuid import UUID

from api_shim import schemas
from api_shim.client.protocol import (
    EXTRAS,
    Filter,
    HttpRequest,
    Operation,
    Ref,
    Sleep,
    T,
    body_of,
    keyed,
    path_of,
    read,
    read_nothing,
    rows,
)
from approval_gate.errors import Unavailable

RESULTS = "job-results"
LOGS = "job-logs"
ENDS = frozenset({"SUCCESS", "FAILURE", "REVOKED"})
"""The statuses that no other follows."""

FIRST_PAUSE = 0.2
LONGEST_PAUSE = 2.0
SETTLES = 1.0
"""Seconds between two looks at a log whose run has ended."""
SILENCES = 10
"""How many looks one after the other may have no answer."""


class StillRunning(Unavailable):
    """It has not ended in the time that was given; ``result`` is how it stood last."""

    def __init__(self, result: schemas.JobResult) -> None:
        super().__init__(f"The run of {result.name} has not ended yet; it is {result.status.value}.")
        self.result = result


def results(*, limit: int | None = None, **filters: Filter) -> Operation[list[schemas.JobResult]]:
    """Return the job results that you may see, the newest first.

    Args:
        limit: how many at most; all without one.
        filters: what they are restricted to, as the API has it: ``name``, ``status``, ``job_model``, ``user``,
            ``scheduled_job``, ``date_created__gte``, ``q``, ``sort`` …

    Raises:
        Forbidden: you may see none at all.
        Invalid: there is no such filter.

    Contract 7.

    >>> [result.name for result in shim.results(name="Greet", limit=1)]
    ['Greet']
    """
    return (yield from rows(schemas.JobResult, RESULTS, filters, limit))


def result(ref: Ref) -> Operation[schemas.JobResult]:
    """Return one job result.

    Args:
        ref: its id.

    Raises:
        NotFound: there is none, or none that you may see.

    Contract 7.

    >>> newest, = shim.results(name="Greet", limit=1)
    >>> shim.result(newest.id).name
    'Greet'
    """
    return read(schemas.JobResult, (yield HttpRequest(path=path_of(RESULTS, ref))))


def logs(ref: Ref, *, limit: int | None = None, **filters: Filter) -> Operation[list[schemas.JobLogEntry]]:
    """Return the log of a job result, the oldest line first.

    Args:
        ref: its id.
        limit: how many lines at most; all without one.
        filters: what they are restricted to, as the API has it: ``log_level``, ``message``, ``q`` …

    Raises:
        NotFound: there is no such job result, or none that you may see.
        Invalid: there is no such filter.
        Unavailable: Prefect, which keeps the logs, does not answer.

    Contract 7.

    >>> newest, = shim.results(name="Greet", limit=1)
    >>> lines = [line.message for line in shim.logs(newest)]
    """
    if filters:
        wanted = {"job_result": ref, "sort": "created", **filters}
        return (yield from rows(schemas.JobLogEntry, LOGS, wanted, limit))
    lines = read(list[schemas.JobLogEntry], (yield HttpRequest(path=path_of(RESULTS, ref, "logs"))))
    return lines[:limit]


def wait(
    ref: Ref,
    *,
    timeout: float | None = None,
    on_log: Callable[[schemas.JobLogEntry], None] | None = None,
    on_change: Callable[[schemas.JobResult], None] | None = None,
) -> Operation[schemas.JobResult]:
    """Wait until a run has ended, however it ends.

    Args:
        ref: the id of its job result.
        timeout: seconds to wait at most; without one as long as it takes.
        on_log: is called with each line of its log, as it comes.
        on_change: is called with the job result at first, and whenever its status has changed.

    Returns:
        the job result; its status is ``SUCCESS``, ``FAILURE`` or ``REVOKED``.

    Raises:
        StillRunning: it has not ended by then.
        NotFound: there is none, or none that you may see.
        Unavailable: the server has become silent.

    Contract 7.

    >>> accepted = shim.run("Greet", {"who": "Ada"})
    >>> heard = []
    >>> shim.wait(accepted.job_result, timeout=60, on_log=lambda line: heard.append(line.message)).status.value
    'SUCCESS'
    >>> "Hello Ada" in heard
    True
    """
    began, pause, status = (yield Sleep(0)), FIRST_PAUSE, ""
    seen: set[UUID] = set()
    row = yield from result(ref)
    while True:
        if on_change and row.status.value != status:
            on_change(row)
        status = row.status.value
        if on_log:
            yield from _tell_new(ref, seen, on_log)
        if status in ENDS:
            break
        left = pause if timeout is None else began + timeout - (yield Sleep(0))
        if left <= 0:
            raise StillRunning(row)
        yield Sleep(min(pause, left))
        pause = min(LONGEST_PAUSE, pause * 1.5)
        row = yield from _patiently(lambda: result(ref))
    if on_log:
        yield from _tell_rest(ref, seen, on_log)
    return row


def _tell_new(ref: Ref, seen: set[UUID], tell: Callable[[schemas.JobLogEntry], None]) -> Operation[int]:
    """Tell the lines that have not been seen, and return how many they are."""
    lines = [line for line in (yield from _patiently(lambda: logs(ref))) if line.id not in seen]
    for line in lines:
        seen.add(line.id)
        tell(line)
    return len(lines)


def _tell_rest(ref: Ref, seen: set[UUID], tell: Callable[[schemas.JobLogEntry], None]) -> Operation[None]:
    """Tell what still comes of a run that has ended, until nothing has come for a while."""
    quiet = 0
    while quiet < 2:
        yield Sleep(SETTLES)
        quiet = 0 if (yield from _tell_new(ref, seen, tell)) else quiet + 1


def _patiently(ask: Callable[[], Operation[T]]) -> Operation[T]:
    """Ask again where there is no answer, a few times."""
    for _ in range(SILENCES - 1):
        try:
            return (yield from ask())
        except Unavailable:
            yield Sleep(SETTLES)
    return (yield from ask())


def cancel(ref: Ref) -> Operation[schemas.JobResult]:
    """Cancel a run. One that has not begun is over at once; one that has is asked to end, and killed if it does not.

    Args:
        ref: the id of its job result.

    Returns:
        the job result; ``wait`` for it where its status is not ``REVOKED`` yet.

    Raises:
        Forbidden: it does not run as you, and you may not change it.
        NotFound: there is none, or none that you may see.
        Conflict: it is over already, and was not cancelled.

    Contract 10.

    >>> accepted = shim.run("Greet", {"who": "Ada"})
    >>> try:
    ...     status = shim.cancel(accepted.job_result).status.value
    ... except Conflict:  # it was quicker
    ...     status = "SUCCESS"
    """
    return read(
        schemas.JobResult, (yield HttpRequest(method="POST", path=path_of(RESULTS, ref, "cancel"), body=body_of({})))
    )


def run_again(ref: Ref, *, idempotency_key: str | None = None) -> Operation[schemas.Accepted]:
    """Request what has run once more, now, with the same inputs, as you.

    Args:
        ref: the id of its job result.
        idempotency_key: any text that you use for this request alone; asking again with it within a day, say because
            there was no answer, is the same request.

    Returns:
        the job result, or the scheduled job that waits for approval: exactly one of them is set.

    Raises:
        Forbidden: you may not run its Job, or nobody may because it is not enabled.
        NotFound: there is none, or none that you may see.
        Conflict: its inputs may be sensitive, so they are not kept; or the key was used for another request.

    Contract 10.

    >>> newest, = shim.results(name="Greet", limit=1)
    >>> shim.run_again(newest).job_result.name
    'Greet'
    """
    path = path_of(RESULTS, ref, "run-again")
    return read(
        schemas.Accepted,
        (yield HttpRequest(method="POST", path=path, body=body_of({}), headers=keyed(idempotency_key))),
    )


def delete_result(ref: Ref) -> Operation[None]:
    """Delete a job result and its log.

    Args:
        ref: its id.

    Raises:
        Forbidden: you may not delete it.
        NotFound: there is none, or none that you may see.

    Contract 7.

    >>> newest, = shim.results(name="Greet", status="SUCCESS", limit=1)
    >>> shim.delete_result(newest)
    """
    read_nothing((yield HttpRequest(method="DELETE", path=path_of(RESULTS, ref))))


def delete_results(ids: Iterable[Ref]) -> Operation[None]:
    """Delete job results, all at one moment; those that are not there, or not yours to delete, are passed over.

    Args:
        ids: their ids, or themselves.

    Raises:
        Forbidden: you may delete none at all.
        Invalid: one is no id.
        TooLarge: they are more than can be deleted at once.

    Contract 7.

    >>> shim.delete_results(shim.results(name="Greet", status="FAILURE"))
    """
    read_nothing((yield HttpRequest(method="DELETE", path=f"{EXTRAS}/{RESULTS}/", body=body_of(list(ids)))))
