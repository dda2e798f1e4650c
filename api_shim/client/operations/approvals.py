"""Operations on requests for approval: those that wait are listed, reviewed, tried and decided, all are looked up.

* A request that was read, rather than its id or name, stands for exactly what was read: its version is sent with it.

Contract 6, 9.18 and 10.
"""

from __future__ import annotations

from uuid import UUID

from api_shim import schemas
from api_shim.client.operations.scheduled_jobs import SCHEDULED, decide
from api_shim.client.protocol import Filter, HttpRequest, Operation, Ref, body_of, path_of, read, rows

WAITING, ASKED = "approval-queue", "approval-requests"


def queue(*, limit: int | None = None, **filters: Filter) -> Operation[list[schemas.Waiting]]:
    """Return the requests that wait for approval, and whether you can approve each.

    Args:
        limit: the maximum number of requests; None for all.
        filters: filters of the API, such as ``name`` …

    Raises:
        Forbidden: you may not view scheduled jobs.
        Invalid: a filter is unknown or its value is invalid.

    Contract 10.

    >>> held = shim.run("Change", name="careful").scheduled_job
    >>> [(row.name, row.why_not_approve) for row in shim.queue(name="careful")]
    [('careful', 'You cannot approve your own job request!')]
    """
    return (yield from rows(schemas.Waiting, WAITING, filters, limit))


def review(ref: Ref) -> Operation[schemas.Review]:
    """Return a request with everything that you should see before you approve it, and what has changed.

    Args:
        ref: the id or the name of the request.

    Raises:
        NotFound: it does not exist, or you may not view it.
        Conflict: it has been denied or withdrawn.

    Contract 6.

    >>> held = shim.run("Change", name="looked at").scheduled_job
    >>> bob.review(held).runs_as == me
    True
    """
    return read(schemas.Review, (yield HttpRequest(path=path_of(SCHEDULED, ref, "review"))))


def approve(ref: Ref, *, force: bool = False, comment: str = "") -> Operation[schemas.ScheduledJob]:
    """Approve a request, so that it runs.

    Args:
        ref: the request that you have read; if it has changed since, it is not approved. Its id does for one that
            nobody has edited, and its name if no other request had it before.
        force: approve it even if its start time has passed.
        comment: the reason; stored with the decision.

    Returns:
        the approved scheduled job.

    Raises:
        Forbidden: you do not have permission, or it is your own request.
        NotFound: it does not exist, or you may not view it.
        Invalid: its start time has passed, and ``force`` is not set.
        Conflict: it has already been decided or needs no approval; or it was edited and you give its id or name, or
            another request had its name before and you give that.
        Outdated: it has changed since you read it.

    Contract 6 and 9.18.

    >>> bob.approve(bob.scheduled_job("careful"), comment="Read it.").approval_state
    'approved'
    """
    return (yield from decide(ref, "approve", {"force": force, "comment": comment, **_seen(ref)}))


def deny(ref: Ref, *, comment: str = "") -> Operation[schemas.ScheduledJob]:
    """Deny a request, so that it never runs.

    Args:
        ref: the request that you have read, or its id or its name.
        comment: the reason; stored with the decision.

    Returns:
        the scheduled job as it was before.

    Raises:
        Forbidden: you do not have permission.
        NotFound: it does not exist, or you may not view it.
        Conflict: it has already been decided, or needs no approval.
        Outdated: it has changed since you read it.

    Contract 6.

    >>> held = shim.run("Change", name="hasty").scheduled_job
    >>> bob.deny("hasty", comment="Not today.").name
    'hasty'
    """
    return (yield from decide(ref, "deny", {"comment": comment, **_seen(ref)}))


def dry_run(ref: Ref) -> Operation[schemas.JobResult]:
    """Start a dry run of a request, as you. The request is not affected.

    Args:
        ref: the request that you have read, or its id or its name.

    Returns:
        the job result of the dry run.

    Raises:
        Forbidden: you may not run this Job.
        NotFound: it does not exist, or you may not view it.
        NotRunnable: the Job has no dry run.
        Outdated: it has changed since you read it.

    Contract 6.

    >>> held = shim.run("Change", name="unsure").scheduled_job
    >>> bob.dry_run("unsure").task_kwargs["dryrun"]
    True
    """
    body = body_of(_seen(ref))
    return read(
        schemas.JobResult, (yield HttpRequest(method="POST", path=path_of(SCHEDULED, ref, "dry-run"), body=body))
    )


def approval_requests(*, limit: int | None = None, **filters: Filter) -> Operation[list[schemas.ApprovalRequest]]:
    """Return the requests for approval that you have made or decided about, and others that you may view.

    Those that were denied, withdrawn or approved, or have expired, stay.

    Args:
        limit: the maximum number of requests; None for all.
        filters: filters of the API, such as ``state``, ``user``, ``decided_by``, ``scheduled_job`` …

    Raises:
        Invalid: a filter is unknown or its value is invalid.

    Contract 10.

    >>> held = shim.run("Change", name="unwanted").scheduled_job
    >>> denied = bob.deny(held, comment="Not today.")
    >>> [(row.state.value, row.comment) for row in shim.approval_requests(scheduled_job=held.id)]
    [('denied', 'Not today.')]
    """
    return (yield from rows(schemas.ApprovalRequest, ASKED, filters, limit))


def comparison(request: UUID | str) -> Operation[schemas.Comparison]:
    """Return what a request was decided about, compared with what was approved before.

    Args:
        request: the id of the request, which has been decided.

    Raises:
        NotFound: it does not exist, or you may not view it.
        Conflict: it has not been decided.

    Contract 10.

    >>> held = shim.run("Change", name="not wanted").scheduled_job
    >>> denied = bob.deny(held, comment="Not today.")
    >>> [request] = shim.approval_requests(scheduled_job=held.id)
    >>> [each.now for each in shim.comparison(request.id).circumstances if each.name == "Interval"]
    ['immediately']
    """
    return read(schemas.Comparison, (yield HttpRequest(path=path_of(ASKED, request, "comparison"))))


def _seen(ref: Ref) -> dict[str, str]:
    """Return the version of a request that was read; nothing for an id or a name."""
    return {"version": ref.approval_version} if isinstance(ref, schemas.ScheduledJob) else {}
