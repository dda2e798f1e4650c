"""``signoff job-hook``: list, add and delete what starts Jobs for changes of objects."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from api_shim.cli.console import AsJson
from api_shim.cli.job_buttons import Types
from api_shim.cli.remote import (
    Insecure,
    Limit,
    Search,
    Sort,
    Url,
    Where,
    delete_each,
    read_filters,
    show_found,
    signed_in,
    tell,
)
from api_shim.client.transport import HERE
from api_shim.schemas import JobHook

app = typer.Typer(no_args_is_help=True, help="List, add and delete job hooks.")

COLUMNS = ("id", "name", "types", "changes", "enabled")


@app.command("list")
def list_hooks(
    search: Search = None,
    where: Where = None,
    sort: Sort = None,
    limit: Limit = 50,
    url: Url = HERE,
    insecure: Insecure = False,
    as_json: AsJson = False,
) -> None:
    """List job hooks.

    Example: signoff job-hook list
    """
    filters = read_filters(where, q=search, sort=sort)
    with signed_in(url, insecure=insecure) as shim:
        found = shim.job_hooks(limit=limit, **filters)
    show_found(found, _line, COLUMNS, "No job hooks.", as_json=as_json)


def _line(row: JobHook) -> dict[str, Any]:
    changes = {"create": row.type_create, "update": row.type_update, "delete": row.type_delete}
    return {
        "id": str(row.id),
        "name": row.name,
        "types": ", ".join(row.content_types),
        "changes": ", ".join(name for name, heard in changes.items() if heard),
        "enabled": row.enabled,
    }


@app.command("add")
def add(
    name: Annotated[str, typer.Argument(help="The name of the hook.")],
    job: Annotated[str, typer.Option(metavar="JOB", help="The id or the name of a JobHookReceiver.")],
    on: Types,
    create: Annotated[bool, typer.Option("--create", help="For new objects.")] = False,
    update: Annotated[bool, typer.Option("--update", help="For changed objects.")] = False,
    delete: Annotated[bool, typer.Option("--delete", help="For deleted objects.")] = False,
    url: Url = HERE,
    insecure: Insecure = False,
    as_json: AsJson = False,
) -> None:
    """Add a hook, which starts a Job for changes of objects.

    Example: signoff job-hook add watch --job "Tell the team" --on extras.scheduledjob --create --delete
    """
    with signed_in(url, insecure=insecure) as shim:
        row = shim.add_job_hook(
            name, job=job, content_types=on, type_create=create, type_update=update, type_delete=delete
        )
    tell(row, f"Added the hook “{row.name}”.", as_json=as_json)


@app.command("delete")
def delete_hooks(
    refs: Annotated[list[str], typer.Argument(metavar="ID…", help="The ids or the names of job hooks.")],
    url: Url = HERE,
    insecure: Insecure = False,
) -> None:
    """Delete job hooks, one after the other.

    Example: signoff job-hook delete watch
    """
    with signed_in(url, insecure=insecure) as shim:
        delete_each(shim.delete_job_hook, refs)
