"""Operations on job results: list, show, read logs, download files, wait and delete (contract 7).

* Waiting tolerates a server that does not respond for a while, and fails after ``SILENCES`` attempts.
* The last log lines arrive after the end of the run; waiting includes them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any
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
from approval_gate.errors import Conflict, Unavailable

RESULTS = "job-results"
LOGS = "job-logs"
FILES = "file-proxies"
ENDS = frozenset({"SUCCESS", "FAILURE", "REVOKED"})
"""The final statuses."""

FIRST_PAUSE = 0.2
LONGEST_PAUSE = 2.0
SETTLES = 1.0
"""Seconds between two polls of a log whose run has ended."""
SILENCES = 10
"""How many consecutive polls may fail."""


class StillRunning(Unavailable):
    """The run has not ended within the timeout; ``result`` is its last known state."""

    def __init__(self, result: schemas.JobResult) -> None:
        super().__init__(f"The run of {result.name} has not ended yet; it is {result.status.value}.")
        self.result = result


def results(*, limit: int | None = None, **filters: Filter) -> Operation[list[schemas.JobResult]]:
    """Return the job results that you may view, the newest first.

    Args:
        limit: the maximum number of results; None for all.
        filters: filters of the API, such as ``name``, ``status``, ``job_model``, ``user``,
            ``scheduled_job``, ``date_created__gte``, ``q``, ``sort`` …

    Raises:
        Forbidden: you may not view job results.
        Invalid: a filter is unknown or its value is invalid.

    Contract 7.

    >>> [result.name for result in shim.results(name="Greet", limit=1)]
    ['Greet']
    """
    return (yield from rows(schemas.JobResult, RESULTS, filters, limit))


def result(ref: Ref) -> Operation[schemas.JobResult]:
    """Return one job result.

    Args:
        ref: the id of the job result.

    Raises:
        NotFound: it does not exist, or you may not view it.

    Contract 7.

    >>> newest, = shim.results(name="Greet", limit=1)
    >>> shim.result(newest.id).name
    'Greet'
    """
    return read(schemas.JobResult, (yield HttpRequest(path=path_of(RESULTS, ref))))


def logs(ref: Ref, *, limit: int | None = None, **filters: Filter) -> Operation[list[schemas.JobLogEntry]]:
    """Return the log of a job result, the oldest line first, without what Prefect's engine says.

    Args:
        ref: the id of the job result.
        limit: the maximum number of lines; None for all.
        filters: filters of the API, such as ``log_level``, ``message``, ``q`` …; with ``grouping="engine"`` it is
            what Prefect's engine says.

    Raises:
        NotFound: the job result does not exist, or you may not view it.
        Invalid: a filter is unknown or its value is invalid.
        Unavailable: Prefect, which stores the logs, does not respond.

    Contract 7.

    >>> newest, = shim.results(name="Greet", limit=1)
    >>> lines = [line.message for line in shim.logs(newest)]
    """
    if filters:
        wanted = {"job_result": ref, "sort": "created", **filters}
        return (yield from rows(schemas.JobLogEntry, LOGS, wanted, limit))
    lines = read(list[schemas.JobLogEntry], (yield HttpRequest(path=path_of(RESULTS, ref, "logs"))))
    return lines[:limit]


def download(file: Ref) -> Operation[bytes]:
    """Return what a file has that a run has made; ``files`` of its job result lists them.

    Args:
        file: the file, or its id.

    Raises:
        NotFound: it does not exist, or you may not view its job result.

    Contract 7.

    >>> accepted = shim.run("Write a file", {"name": "greeting.txt", "text": "Hello"})
    >>> file, = shim.wait(accepted.job_result, timeout=60).files
    >>> file.name, shim.download(file)
    ('greeting.txt', b'Hello')
    """
    return read(bytes, (yield HttpRequest(path=path_of(FILES, file, "download"), as_bytes=True)))


def wait(
    run: Ref | schemas.Accepted,
    *,
    timeout: float | None = None,
    on_log: Callable[[schemas.JobLogEntry], None] | None = None,
    on_change: Callable[[schemas.JobResult], None] | None = None,
) -> Operation[schemas.JobResult]:
    """Wait until a run has ended, successfully or not.

    Args:
        run: the job result, its id, or what ``run`` has returned.
        timeout: the longest time to wait, in seconds; None for no limit.
        on_log: called with each log line, as it arrives.
        on_change: called with the job result at first, and after each change of its status.

    Returns:
        the job result; its status is ``SUCCESS``, ``FAILURE`` or ``REVOKED``.

    Raises:
        StillRunning: the run has not ended within the timeout.
        Conflict: what ``run`` has returned waits for approval, so that there is no run.
        NotFound: it does not exist, or you may not view it.
        Unavailable: the server does not respond any more.

    Contract 7.

    >>> accepted = shim.run("Greet", {"who": "Ada"})
    >>> heard = []
    >>> shim.wait(accepted, timeout=60, on_log=lambda line: heard.append(line.message)).status.value
    'SUCCESS'
    >>> "Hello Ada" in heard
    True
    """
    ref = _begun(run) if isinstance(run, schemas.Accepted) else run
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


def _begun(accepted: schemas.Accepted) -> Ref:
    """Return the job result of a request that was not held.

    Raises:
        Conflict: it was.
    """
    if accepted.job_result is not None:
        return accepted.job_result
    row = accepted.scheduled_job
    name = f"“{row.name}”" if row else "The request"
    raise Conflict(f"{name} waits for approval, so there is no run yet to wait for; shim.results() has it later.")


def _tell_new(ref: Ref, seen: set[UUID], tell: Callable[[schemas.JobLogEntry], None]) -> Operation[int]:
    """Pass on the new log lines, and return their number."""
    lines = [line for line in (yield from _patiently(lambda: logs(ref))) if line.id not in seen]
    for line in lines:
        seen.add(line.id)
        tell(line)
    return len(lines)


def _tell_rest(ref: Ref, seen: set[UUID], tell: Callable[[schemas.JobLogEntry], None]) -> Operation[None]:
    """Pass on the lines that arrive after the end of the run, until none has arrived for a while."""
    quiet = 0
    while quiet < 2:
        yield Sleep(SETTLES)
        quiet = 0 if (yield from _tell_new(ref, seen, tell)) else quiet + 1


def _patiently(ask: Callable[[], Operation[T]]) -> Operation[T]:
    """Retry an operation a few times while the server does not respond."""
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


def resume(ref: Ref, run_input: Mapping[str, Any] | None = None) -> Operation[schemas.JobResult]:
    """Let a run go on that its own code has paused or suspended.

    Args:
        ref: the id of its job result.
        run_input: what the run asks for (``wait_for_input``), by field; None for nothing.

    Returns:
        the job result; ``wait`` for it.

    Raises:
        Forbidden: you may not run its Job.
        NotFound: there is none, or none that you may see.
        Conflict: it is not suspended by its own code.
        Invalid: the run asks for something else.

    Contract 10.

    >>> accepted = shim.run("Greet", {"who": "Ada"})
    >>> try:
    ...     status = shim.resume(accepted.job_result, {"ticket": 7}).status.value
    ... except Conflict:  # its code waits for nobody
    ...     status = "SUCCESS"
    """
    told = body_of({} if run_input is None else {"run_input": run_input})
    return read(schemas.JobResult, (yield HttpRequest(method="POST", path=path_of(RESULTS, ref, "resume"), body=told)))


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
        ref: the id of the job result.

    Raises:
        Forbidden: you do not have permission to delete it.
        NotFound: it does not exist, or you may not view it.

    Contract 7.

    >>> newest, = shim.results(name="Greet", status="SUCCESS", limit=1)
    >>> shim.delete_result(newest)
    """
    read_nothing((yield HttpRequest(method="DELETE", path=path_of(RESULTS, ref))))


def delete_results(ids: Iterable[Ref]) -> Operation[None]:
    """Delete several job results at once. Those that do not exist or that you may not delete are skipped.

    Args:
        ids: the job results, or their ids.

    Raises:
        Forbidden: you may not delete job results.
        Invalid: one of them is not an id.
        TooLarge: there are more than can be deleted at once.

    Contract 7.

    >>> shim.delete_results(shim.results(name="Greet", status="FAILURE"))
    """
    read_nothing((yield HttpRequest(method="DELETE", path=f"{EXTRAS}/{RESULTS}/", body=body_of(list(ids)))))
