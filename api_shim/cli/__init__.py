"""The ``signoff`` command: the server, runs, schedules and decisions, and the administration of users and Jobs.

* A refused command prints one sentence to standard error and exits with 1; wrong usage exits with 2.
* Administrative commands take ``--home`` and open the store directly; the server may be running at the same time.
* All other commands take ``--url`` and call the running server with the token of the user.
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
    result,
    schedule,
    worker_token,
)
from api_shim.cli.check import check
from api_shim.cli.config import config
from api_shim.cli.console import fail
from api_shim.cli.prune import prune
from api_shim.cli.roles import server, services
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
app.command()(server)
app.command()(services)
app.command()(worker)
app.command()(config)
app.command()(check)
app.command()(run)
app.command()(prune)
app.command()(approvals.queue)
app.command()(approvals.requests)
app.command()(approvals.approve)
app.command()(approvals.deny)
app.command()(approvals.dry_run)
app.add_typer(schedule.app, name="schedule")
app.add_typer(result.app, name="result")
app.add_typer(jobs.app, name="job")
app.add_typer(job_queues.app, name="job-queue")
app.add_typer(job_buttons.app, name="job-button")
app.add_typer(job_hooks.app, name="job-hook")
app.add_typer(automations.app, name="automation")
app.add_typer(audit.app, name="audit")
app.add_typer(backup.app, name="backup")
app.add_typer(db.app, name="db")
app.add_typer(deploy.app, name="deploy")
app.add_typer(accounts.users, name="user")
app.add_typer(accounts.tokens, name="token")
app.add_typer(worker_token.app, name="worker-token")
app.add_typer(accounts.groups, name="group")
app.add_typer(accounts.permissions, name="permission")


def main() -> None:
    """Run the command line."""
    try:
        app(prog_name="signoff")
    except GateError as error:
        sys.exit(fail(error))
