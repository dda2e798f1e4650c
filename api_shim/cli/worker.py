"""``signoff worker``: a worker for the Jobs, on this machine or on another one.

* It reaches Prefect as every worker does: by ``PREFECT_API_URL`` and ``PREFECT_API_AUTH_STRING``, which is ``user:key``
  of an account that is a worker's of its pool (``signoff user worker``).
* In a work pool of another type than processes it starts runs as Prefect's worker for that type does.
* Started as root, it can run the Jobs as another user (``SIGNOFF_JOBS_USER``).
* It is woken where it shares the home folder with the server; elsewhere it looks for runs at intervals.
"""

from __future__ import annotations

import os
import sys
from typing import Annotated

import typer

from api_shim.cli.console import Home
from api_shim.cli.jobs_user import checked_user
from api_shim.prefect_api.prefect_server import check_names, path_of_jobs
from api_shim.settings import read_settings
from api_shim.worker.process import HOME, Way, WorkerOptions
from api_shim.worker.supervisor import COMMAND
from approval_gate.errors import Invalid


def worker(
    pool: Annotated[
        str | None, typer.Option(metavar="NAME", help="The work pool to serve.", show_default="SIGNOFF_POOL")
    ] = None,
    queue: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="Only this queue of it. May be given again.", show_default=False),
    ] = None,
    limit: Annotated[
        int,
        typer.Option(
            min=0, metavar="N", help="How many runs there are at once; 0 for as many as this machine can take."
        ),
    ] = 0,
    way: Annotated[
        Way, typer.Option(help="How runs are started: in a process that has everything imported, or from nothing.")
    ] = Way.WARM,
    home: Home = None,
) -> None:
    """Execute runs, until Ctrl-C or SIGTERM.

    Example: signoff worker --queue bulk --limit 4
    """
    if not os.environ.get("PREFECT_API_URL"):
        raise Invalid("Set PREFECT_API_URL to where Prefect's API is, like http://127.0.0.1:4200/api.")
    check_names()
    settings = read_settings(home)
    options = WorkerOptions(
        pool=pool or settings.pool,
        name="signoff worker",
        modules=(*settings.job_modules,),
        home=str(settings.make_home()),
        queues=(*(queue or ()),),
        limit=limit,
        way=way,
        jobs_user=checked_user(settings),
        log_format=settings.log_format,
    )
    os.environ |= {"PYTHONPATH": path_of_jobs(), HOME: options.home}
    # In place of this process, which has much imported that a worker does not need.
    os.execv(sys.executable, [*COMMAND, options.to_json()])  # noqa: S606 - no shell is meant
