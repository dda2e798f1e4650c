"""``signoff queue``, ``approve``, ``deny`` and ``dry-run``: list the requests that wait for approval, and decide."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from api_shim.cli.console import AsJson
from api_shim.cli.remote import Insecure, Url, show_found, signed_in, tell
from api_shim.cli.times import what_follows, when
from api_shim.client.transport import HERE
from api_shim.schemas import Waiting
from api_shim.settings import utc_now

COLUMNS = ("id", "name", "job", "requested by", "when", "may approve")

Ref = Annotated[str, typer.Argument(metavar="ID", help="The id or the name of the request.")]
Comment = Annotated[str, typer.Option(metavar="TEXT", help="The reason; stored with the decision.")]


def queue(url: Url = HERE, insecure: Insecure = False, as_json: AsJson = False) -> None:
    """List the requests that wait for approval, and which of them you can approve.

    Example: signoff queue
    """
    with signed_in(url, insecure=insecure) as shim:
        found = shim.queue()
    show_found(found, _line, COLUMNS, "No requests are waiting for approval.", as_json=as_json)


def approve(
    ref: Ref,
    force: Annotated[bool, typer.Option("--force", help="Approve it even if its start time has passed.")] = False,
    comment: Comment = "",
    url: Url = HERE,
    insecure: Insecure = False,
    as_json: AsJson = False,
) -> None:
    """Approve a request, so that it runs.

    Example: signoff approve nightly --comment "maintenance window agreed"
    """
    with signed_in(url, insecure=insecure) as shim:
        row = shim.approve(ref, force=force, comment=comment)
    tell(row, f"Approved «{row.name}»; {what_follows(row, utc_now())}.", as_json=as_json)


def deny(ref: Ref, comment: Comment = "", url: Url = HERE, insecure: Insecure = False, as_json: AsJson = False) -> None:
    """Deny a request, so that it never runs.

    Example: signoff deny nightly --comment "not this week"
    """
    with signed_in(url, insecure=insecure) as shim:
        row = shim.deny(ref, comment=comment)
    tell(row, f"Denied «{row.name}».", as_json=as_json)


def dry_run(ref: Ref, url: Url = HERE, insecure: Insecure = False, as_json: AsJson = False) -> None:
    """Start a dry run of a request, as you, to see what it would do. The request is not affected.

    Example: signoff dry-run nightly
    """
    with signed_in(url, insecure=insecure) as shim:
        result = shim.dry_run(ref)
    tell(result, f"Started a dry run of «{ref}»: {result.url}", as_json=as_json)


def _line(row: Waiting) -> dict[str, Any]:
    return {
        "id": str(row.id),
        "name": row.name,
        "job": row.task,
        "requested by": row.requested_by,
        "when": when(row),
        "may approve": row.may_approve or row.why_not_approve or False,
    }
