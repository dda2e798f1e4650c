"""Calls about requests that wait for approval: look, approve, deny, try (contract 6 and 10)."""

from __future__ import annotations

from api_shim import schemas
from api_shim.client.operations.scheduled_jobs import SCHEDULED, decide
from api_shim.client.protocol import Filter, HttpRequest, Operation, Ref, body_of, path_of, read, rows

WAITING = "approval-queue"


def queue(*, limit: int | None = None, **filters: Filter) -> Operation[list[schemas.Waiting]]:
    """Return the requests that wait for approval, and which of them you may approve.

    Args:
        limit: how many at most; all without one.
        filters: what they are restricted to, as the API has it: ``name`` …

    Raises:
        Forbidden: you may see none at all.
        Invalid: there is no such filter.

    Contract 10.

    >>> held = shim.run("Change", name="careful").scheduled_job
    >>> [(row.name, row.why_not_approve) for row in shim.queue(name="careful")]
    [('careful', 'You cannot approve your own job request!')]
    """
    return (yield from rows(schemas.Waiting, WAITING, filters, limit))


def approve(ref: Ref, *, force: bool = False, comment: str = "") -> Operation[schemas.ScheduledJob]:
    """Approve a request, so that it runs.

    Args:
        ref: its id or its name.
        force: also if its start has passed.
        comment: why, for those who read about it later.

    Returns:
        the scheduled job as it is now.

    Raises:
        Forbidden: you may not, as when it is your own.
        NotFound: there is none, or none that you may see.
        Invalid: its start has passed.
        Conflict: it has been decided about, or needs no approval.

    Contract 6.

    >>> bob.approve("careful", comment="Read it.").approval_state
    'approved'
    """
    return (yield from decide(ref, "approve", {"force": force, "comment": comment}))


def deny(ref: Ref, *, comment: str = "") -> Operation[schemas.ScheduledJob]:
    """Deny a request, so that it never runs.

    Args:
        ref: its id or its name.
        comment: why, for those who read about it later.

    Returns:
        the scheduled job that it was.

    Raises:
        Forbidden: you may not.
        NotFound: there is none, or none that you may see.
        Conflict: it has been decided about, or needs no approval.

    Contract 6.

    >>> held = shim.run("Change", name="hasty").scheduled_job
    >>> bob.deny("hasty", comment="Not today.").name
    'hasty'
    """
    return (yield from decide(ref, "deny", {"comment": comment}))


def dry_run(ref: Ref) -> Operation[schemas.JobResult]:
    """Run what a request would run, as you and without effect; the request stays as it is.

    Args:
        ref: its id or its name.

    Returns:
        the job result of that run.

    Raises:
        Forbidden: you may not run this Job.
        NotFound: there is none, or none that you may see.
        NotRunnable: the Job has no dry run.

    Contract 6.

    >>> held = shim.run("Change", name="unsure").scheduled_job
    >>> bob.dry_run("unsure").task_kwargs["dryrun"]
    True
    """
    answer = yield HttpRequest(method="POST", path=path_of(SCHEDULED, ref, "dry-run"), body=body_of({}))
    return read(schemas.JobResult, answer)
