"""The command line: ``signoff up``, decisions about requests, and the administration of users, permissions and Jobs.

* A user's mistake is one sentence on standard error and exit status 1; a wrong call is exit status 2 with usage.
* Administration takes ``--home`` and works on the store, so it works while the server runs too.
* Decisions take ``--url`` and go to the running server as the person whose token it is.
* What lists or decides has ``--json`` for scripts.
"""

from __future__ import annotations

import sys

import typer

from api_shim.cli import approvals, audit, identity, jobs
from api_shim.cli.common import fail
from api_shim.cli.up import up
from approval_gate.errors import GateError

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Scheduling, approval and ownership for Prefect.",
)
app.command()(up)
app.command()(approvals.queue)
app.command()(approvals.approve)
app.command()(approvals.deny)
app.command()(approvals.dry_run)
app.add_typer(jobs.app, name="job")
app.add_typer(audit.app, name="audit")
app.add_typer(identity.users, name="user")
app.add_typer(identity.tokens, name="token")
app.add_typer(identity.groups, name="group")
app.add_typer(identity.permissions, name="permission")


def main() -> None:
    """Run the command line."""
    try:
        app(prog_name="signoff")
    except GateError as error:
        sys.exit(fail(error))
