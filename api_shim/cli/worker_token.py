"""``signoff worker-token``: what a worker needs to sign in, from anywhere, in one command.

* The account is a worker's and nothing else: one of a person is never made a worker's by this command.
* It is good for one work pool, as all accounts of workers; another pool needs another account.
* The key is printed once, as part of what the worker finds in its environment; runs of Jobs do not find it in theirs.
"""

from __future__ import annotations

from typing import Annotated

import typer

from api_shim.cli.accounts import administering
from api_shim.cli.console import Home, say
from api_shim.cli.up import origin_of
from api_shim.settings import read_settings, utc_now
from api_shim.web.origins import read_origin

app = typer.Typer(no_args_is_help=True, help="Add accounts and tokens of workers.")

STARTED_WITH = """The key is not shown again. Where the Jobs are installed, a worker with this in its environment

  PREFECT_API_URL={origin}/api
  PREFECT_API_AUTH_STRING={name}:{key}
  SIGNOFF_JOBS={jobs}

is started with `signoff worker --pool {pool}`."""


@app.callback()
def _of_workers() -> None:
    """Add accounts and tokens of workers."""


@app.command("add")
def add(
    name: Annotated[str, typer.Argument(help="The name of the worker's account; added if there is none.")],
    pool: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="The work pool whose runs it executes.", show_default="SIGNOFF_POOL"),
    ] = None,
    home: Home = None,
) -> None:
    """Create a token for a worker of a work pool, and print how the worker is started with it.

    Example: signoff worker-token add builder --pool signoff
    """
    settings = read_settings(home)
    pool = pool or settings.pool
    with administering(home) as admin:
        _, key = admin.add_worker(name, pool, utc_now())
    origin = read_origin(settings.origin) or origin_of("127.0.0.1", 4200)
    say(STARTED_WITH.format(origin=origin, name=name, key=key, jobs=",".join(settings.job_modules), pool=pool))
