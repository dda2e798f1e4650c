"""``signoff result``: list, show, wait for and delete job results, show their logs, and download their files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from api_shim.cli.console import AsJson, describe, say, show
from api_shim.cli.downloads import Folder, Force, save
from api_shim.cli.remote import (
    Insecure,
    Limit,
    Search,
    Sort,
    Url,
    Where,
    as_rows,
    delete_each,
    read_filters,
    show_found,
    signed_in,
    tell,
)
from api_shim.cli.times import moment
from api_shim.cli.waiting import Timeout, follow, wait_for
from api_shim.client.transport import HERE
from api_shim.schemas import FileProxy, JobLogEntry, JobResult
from approval_gate.errors import NotFound

app = typer.Typer(no_args_is_help=True, help="Show job results and their logs, and wait for runs.")

COLUMNS = ("id", "name", "status", "dry_run", "created", "started", "done")

Id = Annotated[str, typer.Argument(metavar="ID", help="The id of the job result.")]


@app.command("list")
def list_results(
    job: Annotated[
        str | None, typer.Option(metavar="JOB", help="Only results of this Job.", show_default=False)
    ] = None,
    status: Annotated[
        str | None,
        typer.Option(metavar="STATUS", help="PENDING, STARTED, SUCCESS, FAILURE or REVOKED.", show_default=False),
    ] = None,
    schedule: Annotated[
        str | None, typer.Option(metavar="ID", help="Only results of this scheduled job.", show_default=False)
    ] = None,
    user: Annotated[
        str | None, typer.Option(metavar="NAME", help="Only results of runs as this user.", show_default=False)
    ] = None,
    dry_run: Annotated[
        bool | None, typer.Option("--dry-run/--no-dry-run", help="Only dry runs, or none.", show_default=False)
    ] = None,
    search: Search = None,
    where: Where = None,
    sort: Sort = None,
    limit: Limit = 50,
    url: Url = HERE,
    insecure: Insecure = False,
    as_json: AsJson = False,
) -> None:
    """List job results, the newest first.

    Example: signoff result list --job "Back up" --status FAILURE --where date_created__gte=2030-01-01
    """
    dry = None if dry_run is None else str(dry_run).lower()
    named = {"job_model": job, "status": status, "scheduled_job": schedule, "user": user, "dry_run": dry}
    filters = read_filters(where, **named, q=search, sort=sort)
    with signed_in(url, insecure=insecure) as shim:
        found = shim.results(limit=limit, **filters)
    show_found(found, _line, COLUMNS, "No job results.", as_json=as_json)


def _line(row: JobResult) -> dict[str, Any]:
    return {
        "id": str(row.id),
        "name": row.name,
        "status": row.status.value,
        "dry_run": "yes" if row.meta.get("dry_run") else "",
        "created": moment(row.date_created),
        "started": moment(row.date_started),
        "done": moment(row.date_done),
    }


@app.command("show")
def show_result(ref: Id, url: Url = HERE, insecure: Insecure = False, as_json: AsJson = False) -> None:
    """Show a job result.

    Example: signoff result show 3f0a4d7e-0000-4000-8000-000000000000
    """
    with signed_in(url, insecure=insecure) as shim:
        row = shim.result(ref)
    if as_json:
        tell(row, "", as_json=True)
        return
    more = {"inputs": row.task_kwargs, "result": row.result, "queue": row.celery_kwargs.get("queue")}
    files = ", ".join(each.name for each in row.files)
    describe({**_line(row), **more, "worker": row.worker, "files": files, "traceback": row.traceback})


@app.command("logs")
def logs(
    ref: Id,
    following: Annotated[bool, typer.Option("--follow", "-f", help="Print new lines until the run has ended.")] = False,
    timeout: Timeout = None,
    where: Where = None,
    url: Url = HERE,
    insecure: Insecure = False,
    as_json: AsJson = False,
) -> None:
    """Show the log of a job result. With -f, follow it until the run has ended; Ctrl-C does not stop the run.

    With --json the log is a list, or with -f a line of JSON for each entry.

    Exit status with -f: 0 the run succeeded, 3 it failed or was revoked, 4 it has not ended in time.

    Example: signoff result logs -f 3f0a4d7e-0000-4000-8000-000000000000
    """
    filters = read_filters(where)
    if following and filters:
        raise typer.BadParameter("--where cannot be used with --follow.")
    if timeout is not None and not following:
        raise typer.BadParameter("--timeout needs --follow.")
    with signed_in(url, insecure=insecure) as shim:
        if following:
            follow(shim, ref, timeout=timeout, on_line=_say_json if as_json else _say)
            return
        lines = shim.logs(ref, **filters)
    if as_json:
        show(as_rows(lines), (), as_json=True)
        return
    for line in lines:
        _say(line)


def _say(line: JobLogEntry) -> None:
    say(f"{moment(line.created)}  {line.log_level:<8}  {line.message}")


def _say_json(line: JobLogEntry) -> None:
    say(json.dumps(line.model_dump(mode="json")))


FILE_COLUMNS = ("id", "name", "size", "sha256")


@app.command("files")
def files(ref: Id, url: Url = HERE, insecure: Insecure = False, as_json: AsJson = False) -> None:
    """List the files that a run has made.

    Example: signoff result files 3f0a4d7e-0000-4000-8000-000000000000
    """
    with signed_in(url, insecure=insecure) as shim:
        found = shim.result(ref).files
    show_found(found, _file, FILE_COLUMNS, "No files.", as_json=as_json)


def _file(row: FileProxy) -> dict[str, Any]:
    return {"id": str(row.id), "name": row.name, "size": row.size, "sha256": row.sha256}


@app.command("download")
def download(
    ref: Id,
    names: Annotated[
        list[str] | None, typer.Argument(metavar="[NAME…]", help="The names of files; all by default.")
    ] = None,
    folder: Folder = Path(),
    force: Force = False,
    url: Url = HERE,
    insecure: Insecure = False,
) -> None:
    """Download the files that a run has made.

    Example: signoff result download 3f0a4d7e-0000-4000-8000-000000000000 report.csv --to /tmp
    """
    with signed_in(url, insecure=insecure) as shim:
        found = shim.result(ref).files
        if missing := {*(names or ())} - {each.name for each in found}:
            raise NotFound(f"The run has made no file called {min(missing)}.")
        for each in found:
            if not names or each.name in names:
                say(str(save(folder, each.name, shim.download(each), force=force)))


@app.command("wait")
def wait(
    ref: Id,
    timeout: Timeout = None,
    url: Url = HERE,
    insecure: Insecure = False,
    as_json: AsJson = False,
) -> None:
    """Wait until a run has ended, and print its result.

    Exit status: 0 the run succeeded, 1 refused, 2 wrong usage, 3 it failed or was revoked, 4 it has not ended in time.

    Example: signoff result wait 3f0a4d7e-0000-4000-8000-000000000000 --timeout 600
    """
    with signed_in(url, insecure=insecure) as shim:
        wait_for(shim, ref, timeout=timeout, as_json=as_json)


@app.command("cancel")
def cancel(ref: Id, url: Url = HERE, insecure: Insecure = False, as_json: AsJson = False) -> None:
    """Cancel a run: over at once if it has not begun, else asked to end and killed if it does not.

    Example: signoff result cancel 3f0a4d7e-0000-4000-8000-000000000000
    """
    with signed_in(url, insecure=insecure) as shim:
        row = shim.cancel(ref)
    over = row.status.value == "REVOKED"
    tell(row, f"Cancelled “{row.name}”." if over else f"Asked “{row.name}” to stop.", as_json=as_json)


@app.command("resume")
def resume(
    ref: Id,
    run_input: Annotated[
        str | None, typer.Option("--input", metavar="JSON", help="What the run asks for, as an object.")
    ] = None,
    url: Url = HERE,
    insecure: Insecure = False,
    as_json: AsJson = False,
) -> None:
    """Let a run go on that its own code has paused or suspended.

    Example: signoff result resume 3f0a4d7e-0000-4000-8000-000000000000 --input '{"ticket": "C-1"}'
    """
    try:
        told = json.loads(run_input) if run_input is not None else None
    except ValueError as error:
        raise typer.BadParameter(f"This is not JSON: {error}.", param_hint="--input") from None
    with signed_in(url, insecure=insecure) as shim:
        row = shim.resume(ref, told)
    tell(row, f"“{row.name}” continues.", as_json=as_json)


@app.command("run-again")
def run_again(ref: Id, url: Url = HERE, insecure: Insecure = False, as_json: AsJson = False) -> None:
    """Request what has run once more, with the same inputs, as you.

    Example: signoff result run-again 3f0a4d7e-0000-4000-8000-000000000000
    """
    with signed_in(url, insecure=insecure) as shim:
        accepted = shim.run_again(ref)
    result, waiting = accepted.job_result, accepted.scheduled_job
    text = f"Started as {result.id}." if result else f"“{waiting.name}” waits for approval." if waiting else ""
    tell(accepted, text, as_json=as_json)


@app.command("delete")
def delete(
    refs: Annotated[list[str], typer.Argument(metavar="ID…", help="The ids of job results.")],
    url: Url = HERE,
    insecure: Insecure = False,
) -> None:
    """Delete job results with their logs, one after the other.

    Example: signoff result delete 3f0a4d7e-0000-4000-8000-000000000000
    """
    with signed_in(url, insecure=insecure) as shim:
        delete_each(shim.delete_result, refs)
