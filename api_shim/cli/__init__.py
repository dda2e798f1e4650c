"""The command line: ``signoff up``, runs and schedules, decisions, and the administration of users and Jobs.

* A user's mistake is one sentence on standard error and exit status 1; a wrong call is exit status 2 with usage.
* Administration takes ``--home`` and works on the store, so it works while the server runs too.
* What people do takes ``--url`` and goes to the running server as the person whose token it is.
* What lists, asks or decides has ``--json`` for scripts.
* Who waited for a run leaves with 3 when it did not succeed, with 4 when it is held or has not ended in time, and
  with 130 on Ctrl-C.
"""

from __future__ import annotations

import sys

import typer

from api_shim.cli import accounts, approvals, audit, jobs, result, schedule
from api_shim.cli.console import fail
from api_shim.cli.run import run
from api_shim.cli.up import up
from api_shim.cli.worker import worker
from approval_gate.errors import GateError

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Scheduling, approval and ownership for Prefect.",
)
app.command()(up)
app.command()(worker)
app.command()(run)
app.command()(approvals.queue)
app.command()(approvals.approve)
app.command()(approvals.deny)
app.command()(approvals.dry_run)
app.add_typer(schedule.app, name="schedule")
app.add_typer(result.app, name="result")
app.add_typer(jobs.app, name="job")
app.add_typer(audit.app, name="audit")
app.add_typer(accounts.users, name="user")
app.add_typer(accounts.tokens, name="token")
app.add_typer(accounts.groups, name="group")
app.add_typer(accounts.permissions, name="permission")


def main() -> None:
    """Run the command line."""
    try:
        app(prog_name="signoff")
    except GateError as error:
        sys.exit(fail(error))
