"""The ``signoff`` command: the server, runs, schedules and decisions, and the administration of users and Jobs.

* A refused command prints one sentence to standard error and exits with 1; wrong usage exits with 2.
* Which commands ask a server, and which open the home folder of one, ``places`` says; a server may run meanwhile.
* Commands that list, ask or decide have ``--json`` for scripts.
* Commands that wait for a run exit with 3 if it did not succeed, with 4 if it waits for approval or has not ended
  in time, and with 130 on Ctrl-C.
"""

from __future__ import annotations

import sys

import typer

from api_shim.cli import (
    accounts,
    approvals,
    audit,
    automations,
    backup,
    db,
    deploy,
    job_buttons,
    job_hooks,
    job_queues,
    jobs,
    places,
    result,
    schedule,
    worker_token,
)
from api_shim.cli.check import check
from api_shim.cli.config import config
from api_shim.cli.console import fail
from api_shim.cli.login import login, logout
from api_shim.cli.mcp import mcp
from api_shim.cli.places import Place
from api_shim.cli.prune import prune
from api_shim.cli.roles import server, services
from api_shim.cli.run import run
from api_shim.cli.up import up
from api_shim.cli.worker import worker
from approval_gate.errors import GateError

app = typer.Typer(
    cls=places.Commands,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help=f"Scheduling, approval and ownership for Prefect.\n\n{places.RULE}",
)
places.add(
    app,
    Place.HOME,
    up,
    server,
    services,
    worker,
    config,
    prune,
    user=accounts.users,
    token=accounts.tokens,
    worker_token=worker_token.app,
    group=accounts.groups,
    permission=accounts.permissions,
    audit=audit.app,
    backup=backup.app,
    db=db.app,
)
places.add(
    app,
    Place.SERVER,
    login,
    logout,
    run,
    approvals.queue,
    approvals.requests,
    approvals.approve,
    approvals.deny,
    approvals.dry_run,
    mcp,
    job=jobs.app,
    schedule=schedule.app,
    result=result.app,
    job_queue=job_queues.app,
    job_button=job_buttons.app,
    job_hook=job_hooks.app,
    automation=automations.app,
)
app.command()(check)
app.add_typer(deploy.app, name="deploy")


def main() -> None:
    """Run the command line."""
    try:
        app(prog_name="signoff")
    except GateError as error:
        sys.exit(fail(error))
