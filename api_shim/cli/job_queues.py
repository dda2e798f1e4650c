"""``signoff job-queue``: list job queues, add them to work pools, move them to other ones, and delete them."""

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
from api_shim.schemas import JobQueue

app = typer.Typer(no_args_is_help=True, help="List, add, move and delete job queues.")

COLUMNS = ("id", "name", "pool", "workers")


@app.command("list")
def list_queues(
    pool: Annotated[
        str | None, typer.Option(metavar="POOL", help="Only those of this work pool.", show_default=False)
    ] = None,
    search: Search = None,
    where: Where = None,
    sort: Sort = None,
    limit: Limit = 50,
    url: Url = HERE,
    insecure: Insecure = False,
    as_json: AsJson = False,
) -> None:
    """List job queues with their work pools; those without one belong to the work pool of the server.

    Example: signoff job-queue list --pool big
    """
    filters = read_filters(where, pool=pool, q=search, sort=sort)
    with signed_in(url, insecure=insecure) as shim:
        found = shim.job_queues(limit=limit, **filters)
    show_found(found, _line, COLUMNS, "No job queues.", as_json=as_json)


def _line(row: JobQueue) -> dict[str, Any]:
    return {"id": str(row.id), "name": row.name, "pool": row.pool, "workers": row.worker_count}


@app.command("add")
def add(
    name: Annotated[str, typer.Argument(help="The name of the queue.")],
    pool: Annotated[
        str, typer.Option(metavar="POOL", help="Its work pool, which exists in Prefect.", show_default="the server's")
    ] = "",
    url: Url = HERE,
    insecure: Insecure = False,
    as_json: AsJson = False,
) -> None:
    """Add a job queue to a work pool. Jobs run on it when their job_queues name it.

    Example: signoff job-queue add gpu --pool big
    """
    with signed_in(url, insecure=insecure) as shim:
        row = shim.add_job_queue(name, pool=pool)
    tell(row, f"Added “{row.name}” to {_pool(row)}.", as_json=as_json)


@app.command("move")
def move(
    ref: Annotated[str, typer.Argument(metavar="ID", help="The id or the name of the queue.")],
    pool: Annotated[str, typer.Argument(metavar="POOL", help="The work pool, which exists in Prefect.")],
    url: Url = HERE,
    insecure: Insecure = False,
    as_json: AsJson = False,
) -> None:
    """Move a job queue to another work pool, while nothing is scheduled, waits or runs on it.

    Example: signoff job-queue move gpu big
    """
    with signed_in(url, insecure=insecure) as shim:
        row = shim.move_job_queue(ref, pool)
    tell(row, f"Moved “{row.name}” to {_pool(row)}.", as_json=as_json)


def _pool(row: JobQueue) -> str:
    return f"the work pool {row.pool}" if row.pool else "the work pool of the server"


@app.command("delete")
def delete(
    refs: Annotated[list[str], typer.Argument(metavar="ID…", help="The ids or the names of job queues.")],
    url: Url = HERE,
    insecure: Insecure = False,
) -> None:
    """Delete job queues that are not in use, one after the other.

    Example: signoff job-queue delete gpu
    """
    with signed_in(url, insecure=insecure) as shim:
        delete_each(shim.delete_job_queue, refs)
