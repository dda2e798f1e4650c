"""``signoff job-button``: list, add and delete the buttons on the pages of objects."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from api_shim.cli.console import AsJson
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
from api_shim.schemas import JobButton

app = typer.Typer(no_args_is_help=True, help="List, add and delete job buttons.")

COLUMNS = ("id", "name", "text", "types", "enabled")

Types = Annotated[
    list[str],
    typer.Option("--on", metavar="TYPE", help="extras.job, extras.scheduledjob or extras.jobresult; may be repeated."),
]


@app.command("list")
def list_buttons(
    search: Search = None,
    where: Where = None,
    sort: Sort = None,
    limit: Limit = 50,
    url: Url = HERE,
    insecure: Insecure = False,
    as_json: AsJson = False,
) -> None:
    """List job buttons.

    Example: signoff job-button list
    """
    filters = read_filters(where, q=search, sort=sort)
    with signed_in(url, insecure=insecure) as shim:
        found = shim.job_buttons(limit=limit, **filters)
    show_found(found, _line, COLUMNS, "No job buttons.", as_json=as_json)


def _line(row: JobButton) -> dict[str, Any]:
    types = ", ".join(row.content_types)
    return {"id": str(row.id), "name": row.name, "text": row.text, "types": types, "enabled": row.enabled}


@app.command("add")
def add(
    name: Annotated[str, typer.Argument(help="The name of the button.")],
    job: Annotated[str, typer.Option(metavar="JOB", help="The id or the name of a JobButtonReceiver.")],
    on: Types,
    text: Annotated[str, typer.Option(metavar="TEXT", help="The text on it.", show_default="its name")] = "",
    weight: Annotated[int, typer.Option(metavar="N", help="Its place among others, the lightest first.")] = 100,
    group: Annotated[
        str, typer.Option(metavar="GROUP", help="The group of buttons that it is shown with.", show_default=False)
    ] = "",
    button_class: Annotated[str, typer.Option("--class", metavar="CLASS", help="How it looks.")] = "default",
    confirmation: Annotated[bool, typer.Option(help="Whether it asks before it requests anything.")] = True,
    url: Url = HERE,
    insecure: Insecure = False,
    as_json: AsJson = False,
) -> None:
    """Add a button, which requests a Job with the id and the type of an object.

    Example: signoff job-button add inspect --job "Inspect a result" --on extras.jobresult --text Inspect
    """
    fields = {"weight": weight, "group_name": group, "button_class": button_class, "confirmation": confirmation}
    with signed_in(url, insecure=insecure) as shim:
        row = shim.add_job_button(name, job=job, text=text or name, content_types=on, **fields)
    tell(row, f"Added the button “{row.name}”.", as_json=as_json)


@app.command("delete")
def delete(
    refs: Annotated[list[str], typer.Argument(metavar="ID…", help="The ids or the names of job buttons.")],
    url: Url = HERE,
    insecure: Insecure = False,
) -> None:
    """Delete job buttons, one after the other.

    Example: signoff job-button delete inspect
    """
    with signed_in(url, insecure=insecure) as shim:
        delete_each(shim.delete_job_button, refs)
