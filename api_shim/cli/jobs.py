"""``signoff job``: list, show, enable and disable Jobs, and show their variables."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from api_shim.cli.console import AsJson, describe, say, show
from api_shim.cli.remote import (
    Insecure,
    Limit,
    Search,
    Sort,
    Url,
    Where,
    as_rows,
    read_filters,
    show_found,
    signed_in,
    tell,
)
from api_shim.client.transport import HERE
from api_shim.schemas import Job

app = typer.Typer(no_args_is_help=True, help="List, show, enable and disable Jobs.")

COLUMNS = ("name", "grouping", "enabled", "installed", "approval", "sensitive")

Ref = Annotated[str, typer.Argument(metavar="JOB", help="The id or the name of the Job.")]


Tag = Annotated[
    list[str] | None,
    typer.Option(
        "--tag", "-t", metavar="TAG", help="Only those with this tag. Repeat it for several.", show_default=False
    ),
]


@app.command("list")
def list_jobs(
    search: Search = None,
    tag: Tag = None,
    where: Where = None,
    sort: Sort = None,
    limit: Limit = 200,
    url: Url = HERE,
    insecure: Insecure = False,
    as_json: AsJson = False,
) -> None:
    """List the Jobs that you may view.

    Example: signoff job list --tag nightly --where enabled=true --sort name
    """
    filters = read_filters(where, q=search, sort=sort, tags=tag)
    with signed_in(url, insecure=insecure) as shim:
        found = shim.jobs(limit=limit, **filters)
    show_found(found, _line, COLUMNS, "There are no Jobs that you can view.", as_json=as_json)


def _line(row: Job) -> dict[str, Any]:
    return {
        "name": row.name,
        "grouping": row.grouping,
        "enabled": row.enabled,
        "installed": row.installed,
        "approval": row.approval_required,
        "sensitive": row.has_sensitive_variables,
    }


@app.command("show")
def show_job(ref: Ref, url: Url = HERE, insecure: Insecure = False, as_json: AsJson = False) -> None:
    """Show a Job, with its settings.

    Example: signoff job show "Back up"
    """
    with signed_in(url, insecure=insecure) as shim:
        row = shim.job(ref)
    if as_json:
        tell(row, "", as_json=True)
        return
    more = {
        "description": row.description,
        "class": f"{row.module_name}.{row.job_class_name}",
        "overlapping runs": row.overlap,
        "soft time limit": _seconds(row.soft_time_limit),
        "time limit": _seconds(row.time_limit),
        "queues": row.task_queues,
        "tags": [tag.name for tag in row.tags],
        "id": str(row.id),
    }
    describe({**_line(row), **more})


def _seconds(limit: float) -> str:
    return f"{limit:g} seconds" if limit else "none"


@app.command("enable")
def enable(ref: Ref, url: Url = HERE, insecure: Insecure = False, as_json: AsJson = False) -> None:
    """Enable a Job, so that it can run.

    Example: signoff job enable "Back up"
    """
    with signed_in(url, insecure=insecure) as shim:
        row = shim.change_job(ref, enabled=True)
    tell(row, f"Enabled {row.name}.", as_json=as_json)


@app.command("disable")
def disable(ref: Ref, url: Url = HERE, insecure: Insecure = False, as_json: AsJson = False) -> None:
    """Disable a Job. Its scheduled jobs fail the next time they are due.

    Example: signoff job disable "Back up"
    """
    with signed_in(url, insecure=insecure) as shim:
        row = shim.change_job(ref, enabled=False)
    tell(row, f"Disabled {row.name}.", as_json=as_json)


@app.command("variables")
def variables(ref: Ref, url: Url = HERE, insecure: Insecure = False, as_json: AsJson = False) -> None:
    """Show the variables of a Job.

    Example: signoff job variables "Back up"
    """
    with signed_in(url, insecure=insecure) as shim:
        found = shim.variables(ref)
    if not found and not as_json:
        say("This Job has no variables.")
        return
    show(as_rows(found), ("name", "type", "required", "default", "help_text", "choices"), as_json=as_json)
