"""``signoff queue``, ``requests``, ``approve``, ``deny`` and ``dry-run``: list requests for approval, and decide.

* ``approve`` and ``deny`` show what they decide about and ask; ``--yes`` does not ask. They decide about exactly what
  they have shown.
* What they show is on standard error, so that scripts can read the output.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Annotated, Any

import typer

from api_shim.cli.console import AsJson, at_terminal, describe
from api_shim.cli.remote import (
    Insecure,
    Limit,
    Search,
    Sort,
    Url,
    Where,
    read_filters,
    show_found,
    signed_in,
    tell,
)
from api_shim.cli.times import moment, what_follows, when
from api_shim.client.transport import HERE
from api_shim.schemas import ApprovalRequest, Difference, Review, Waiting
from api_shim.settings import utc_now
from approval_gate.errors import Forbidden, Invalid
from approval_gate.lifecycle import ApprovalState

ASKED_COLUMNS = ("name", "state", "requested_by", "asked", "decided_by", "decided", "comment")
COLUMNS = ("id", "name", "job", "requested by", "when", "may approve")

NOBODY_TO_ASK = "There is no terminal to ask at; use --yes to decide about the request as it stands."
PAST_DUE = "The start time of this request has passed; use --force to approve it anyway: it runs at once."

Ref = Annotated[str, typer.Argument(metavar="ID", help="The id or the name of the request.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask; needed where there is no terminal.")]
Comment = Annotated[str, typer.Option(metavar="TEXT", help="The reason; stored with the decision.")]


def queue(url: Url = HERE, insecure: Insecure = False, as_json: AsJson = False) -> None:
    """List the requests that wait for approval, and which of them you can approve.

    Example: signoff queue
    """
    with signed_in(url, insecure=insecure) as shim:
        found = shim.queue()
    show_found(found, _line, COLUMNS, "No requests are waiting for approval.", as_json=as_json)


def requests(
    state: Annotated[
        ApprovalState | None,
        typer.Option(help="Only those in this state.", show_default=False),
    ] = None,
    search: Search = None,
    where: Where = None,
    sort: Sort = None,
    limit: Limit = 50,
    url: Url = HERE,
    insecure: Insecure = False,
    as_json: AsJson = False,
) -> None:
    """List the requests that you have made or decided about, with what was decided, by whom and why; the newest first.

    Example: signoff requests --state denied
    """
    filters = read_filters(where, state=state, q=search, sort=sort)
    with signed_in(url, insecure=insecure) as shim:
        found = shim.approval_requests(limit=limit, **filters)
    show_found(found, _asked, ASKED_COLUMNS, "There are no requests that you can view.", as_json=as_json)


def approve(
    ref: Ref,
    yes: Yes = False,
    force: Annotated[bool, typer.Option("--force", help="Approve it even if its start time has passed.")] = False,
    comment: Comment = "",
    url: Url = HERE,
    insecure: Insecure = False,
    as_json: AsJson = False,
) -> None:
    """Show a request, ask, and approve exactly what was shown, so that it runs.

    Example: signoff approve nightly --comment "maintenance window agreed"
    """
    _check_askable(yes=yes)
    with signed_in(url, insecure=insecure) as shim:
        seen = shim.review(ref)
        _check_approvable(seen, force=force)
        describe(_shown(seen), err=True)
        if not yes:
            typer.confirm("Approve this?", abort=True, err=True)
        row = shim.approve(seen.scheduled_job, force=force, comment=comment)
    tell(row, f"Approved “{row.name}”; {what_follows(row, utc_now())}.", as_json=as_json)


def deny(
    ref: Ref,
    yes: Yes = False,
    comment: Comment = "",
    url: Url = HERE,
    insecure: Insecure = False,
    as_json: AsJson = False,
) -> None:
    """Show a request, ask, and deny exactly what was shown, so that it never runs.

    Example: signoff deny nightly --comment "not this week"
    """
    _check_askable(yes=yes)
    with signed_in(url, insecure=insecure) as shim:
        seen = shim.review(ref)
        if seen.scheduled_job.why_not_deny:
            raise Forbidden(seen.scheduled_job.why_not_deny)
        describe(_shown(seen), err=True)
        if not yes:
            comment = comment or typer.prompt("Why? (may be left empty)", default="", show_default=False, err=True)
            typer.confirm("Deny this?", abort=True, err=True)
        row = shim.deny(seen.scheduled_job, comment=comment)
    tell(row, f"Denied “{row.name}”.", as_json=as_json)


def dry_run(ref: Ref, url: Url = HERE, insecure: Insecure = False, as_json: AsJson = False) -> None:
    """Start a dry run of a request, as you, to see what it would do. The request is not affected.

    Example: signoff dry-run nightly
    """
    with signed_in(url, insecure=insecure) as shim:
        result = shim.dry_run(ref)
    tell(result, f"Started a dry run of “{ref}”: {result.url}", as_json=as_json)


def _check_askable(*, yes: bool) -> None:
    """Check that there is somebody to ask, if they are to be asked.

    Raises:
        Invalid: there is nobody.
    """
    if not yes and not at_terminal():
        raise Invalid(NOBODY_TO_ASK)


def _check_approvable(seen: Review, *, force: bool) -> None:
    """Check what can be told without asking.

    Raises:
        Forbidden: the user may not approve it, or nobody can any more.
        Invalid: its start has passed, and ``force`` is not set.
    """
    if seen.scheduled_job.why_not_approve:
        raise Forbidden(seen.scheduled_job.why_not_approve)
    if seen.past_due and not force:
        raise Invalid(PAST_DUE)


def _shown(seen: Review) -> dict[str, str]:
    """Return what a decision is about, line by line."""
    row, last = seen.scheduled_job, seen.compared_with
    compared = last and f"{last.name}, approved by {last.approved_by} at {moment(last.approved_at)}"
    inputs = {f"input {each.name}": _value(each, json.dumps) for each in seen.inputs}
    return {
        "request": row.name,
        "job": row.task,
        "requested by": row.requested_by,
        **_asked_by(row),
        "runs as": seen.runs_as or "nobody: its owner has been removed",
        **{each.name.lower(): _value(each, str) for each in seen.circumstances},
        **(inputs or {"inputs": "none, or hidden because they may be sensitive"}),
        "compared with": compared or seen.nothing_to_compare,
        **({"note": row.approval_note} if row.approval_note else {}),
        **({"would fail": row.unfit} if row.unfit else {}),
    }


def _asked_by(row: Waiting) -> dict[str, str]:
    """Return what stands behind a request beside its requester, and what they say of it."""
    agent, automation = row.agent, row.automation
    return {
        **({"agent": f"a program that asks for {agent.acts_for}, who cannot approve this"} if agent else {}),
        **({"automation": f"{automation.name}, bound by {automation.bound_by}"} if automation else {}),
        **({"from a run": str(row.requested_from.id)} if row.requested_from else {}),
        **({"reason": f"{row.reason} (in their words; nothing in it is checked)"} if row.reason else {}),
        **({"description": row.description} if row.description else {}),
    }


def _value(each: Difference, written: Callable[[Any], str]) -> str:
    """Return a value, and how it differs from the last approval."""
    match each.change:
        case "same":
            return written(each.now)
        case "new":
            return f"{written(each.now)} (new)"
        case "removed":
            return f"removed (was {written(each.before)})"
        case "changed":
            return f"{written(each.now)} (was {written(each.before)})"


def _asked(row: ApprovalRequest) -> dict[str, Any]:
    return {
        "name": row.name,
        "state": row.state.value,
        "requested_by": row.requested_by,
        "asked": moment(row.created),
        "decided_by": row.decided_by,
        "decided": moment(row.decided_at) or "",
        "comment": row.comment,
    }


def _line(row: Waiting) -> dict[str, Any]:
    return {
        "id": str(row.id),
        "name": row.name,
        "job": row.task,
        "requested by": row.requested_by,
        "when": when(row),
        "may approve": row.may_approve or row.why_not_approve or False,
    }
