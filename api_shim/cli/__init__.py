"""The command line: ``signoff up`` and the administration of users, permissions and Jobs.

* A user's mistake is one sentence on standard error and exit status 1; a wrong call is exit status 2 with usage.
* Every command takes ``--home``; all work on the store, so they work while the server runs too.
* What lists has ``--json`` for scripts.
"""

from __future__ import annotations

import sys

import typer

from api_shim.cli import identity, jobs
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
app.add_typer(jobs.app, name="job")
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
