"""``signoff job``: list, enable and disable Jobs, and show their variables."""

from __future__ import annotations

from typing import Annotated

import typer

from api_shim.cli.console import AsJson, Home, opened, say, show
from api_shim.cli.remote import Insecure, Url, as_rows, signed_in
from api_shim.client.transport import HERE
from api_shim.domain.audit import LocalAdministrator
from api_shim.domain.model import Job
from api_shim.services.jobs import JobCatalogue
from api_shim.settings import system_user, utc_now
from api_shim.store import Store

app = typer.Typer(no_args_is_help=True, help="List, enable and disable Jobs.")

JobName = Annotated[str, typer.Argument(help="The Job's name, or module.Class.")]


@app.command("list")
def list_jobs(home: Home = None, as_json: AsJson = False) -> None:
    """List the Jobs that `signoff up` has found."""
    with opened(home) as store:
        found = JobCatalogue(store, utc_now).jobs()
    rows = [
        {
            "id": str(job.id),
            "name": job.name,
            "grouping": job.grouping,
            "class": job.class_path,
            "enabled": job.enabled,
            "installed": job.installed,
            "approval": job.approval_required,
            "sensitive": job.has_sensitive_variables,
        }
        for job in found
    ]
    if not rows and not as_json:
        say("No Jobs yet. `signoff up` finds them when it starts.")
        return
    show(rows, ("name", "grouping", "class", "enabled", "installed", "approval", "sensitive"), as_json=as_json)


@app.command("enable")
def enable(name: JobName, home: Home = None) -> None:
    """Enable a Job, so that it can run."""
    with opened(home) as store:
        job = _set_enabled(store, name, enabled=True)
    say(f"Enabled {job.name}.")


@app.command("disable")
def disable(name: JobName, home: Home = None) -> None:
    """Disable a Job. Its scheduled jobs fail the next time they are due."""
    with opened(home) as store:
        job = _set_enabled(store, name, enabled=False)
    say(f"Disabled {job.name}.")


def _set_enabled(store: Store, name: str, *, enabled: bool) -> Job:
    return JobCatalogue(store, utc_now).set_enabled(name, LocalAdministrator(system_user()), enabled=enabled)


@app.command("variables")
def variables(
    name: Annotated[str, typer.Argument(metavar="JOB", help="The id or the name of the Job.")],
    url: Url = HERE,
    insecure: Insecure = False,
    as_json: AsJson = False,
) -> None:
    """Show the variables of a Job.

    Example: signoff job variables "Back up"
    """
    with signed_in(url, insecure=insecure) as shim:
        found = shim.variables(name)
    if not found and not as_json:
        say("This Job has no variables.")
        return
    show(as_rows(found), ("name", "type", "required", "default", "help_text", "choices"), as_json=as_json)
