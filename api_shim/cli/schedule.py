"""``signoff schedule``: list, show, change and delete scheduled jobs, and change their owner."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from api_shim.cli.console import AsJson, describe, say, show
from api_shim.cli.downloads import Folder, Force, save
from api_shim.cli.inputs import Data, Pairs, read_inputs
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
from api_shim.cli.run import At, Cron, Every, Misfires, Name, Queue, TimeZone
from api_shim.cli.times import local, moment, what_follows, when
from api_shim.client.transport import HERE
from api_shim.schemas import Explanation, ScheduledJob
from api_shim.settings import utc_now
from flows.files import GivenFile, is_reference

app = typer.Typer(no_args_is_help=True, help="Show, change, delete and transfer scheduled jobs.")

COLUMNS = ("id", "name", "job", "when", "enabled", "approval", "last run")

Ref = Annotated[str, typer.Argument(metavar="ID", help="The id or the name of the scheduled job.")]


@app.command("list")
def list_scheduled(
    job: Annotated[str | None, typer.Option(metavar="JOB", help="Only those of this Job.", show_default=False)] = None,
    user: Annotated[
        str | None, typer.Option(metavar="USER", help="Only those of this owner.", show_default=False)
    ] = None,
    search: Search = None,
    where: Where = None,
    sort: Sort = None,
    limit: Limit = 50,
    url: Url = HERE,
    insecure: Insecure = False,
    as_json: AsJson = False,
) -> None:
    """List scheduled jobs.

    Example: signoff schedule list --job "Back up" --where enabled=true --sort name
    """
    filters = read_filters(where, job_model=job, user=user, q=search, sort=sort)
    with signed_in(url, insecure=insecure) as shim:
        found = shim.scheduled_jobs(limit=limit, **filters)
    show_found(found, _line, COLUMNS, "No scheduled jobs.", as_json=as_json)


def _line(row: ScheduledJob) -> dict[str, Any]:
    return {
        "id": str(row.id),
        "name": row.name,
        "job": row.task,
        "when": when(row),
        "enabled": row.enabled,
        "approval": row.approval_state,
        "last run": row.last_run_at and local(row.last_run_at, row.time_zone),
    }


@app.command("show")
def show_scheduled(ref: Ref, url: Url = HERE, insecure: Insecure = False, as_json: AsJson = False) -> None:
    """Show a scheduled job.

    Example: signoff schedule show nightly
    """
    with signed_in(url, insecure=insecure) as shim:
        row = shim.scheduled_job(ref)
    if as_json:
        tell(row, "", as_json=True)
        return
    lines = {**_line(row), "why disabled": row.failure, "inputs": row.kwargs, "queue": row.queue}
    lines |= {"missed firings": row.misfire}
    lines |= {"runs": row.total_run_count, "changed": moment(row.date_changed), "comment": row.approval_comment}
    describe(lines | {"note": row.approval_note, "description": row.description})


@app.command("download")
def download(
    ref: Ref,
    folder: Folder = Path(),
    force: Force = False,
    url: Url = HERE,
    insecure: Insecure = False,
) -> None:
    """Download the files that a request would give to its run, for whoever may approve it.

    Example: signoff schedule download nightly --to /tmp
    """
    with signed_in(url, insecure=insecure) as shim:
        row = shim.scheduled_job(ref)
        files = [GivenFile.kept(value) for value in row.kwargs.values() if is_reference(value)]
        for file in files:
            say(str(save(folder, file.name, shim.input_file(row, file.id), force=force)))
    if not files:
        say("No files.")


@app.command("change")
def change(
    ref: Ref,
    pairs: Pairs = None,
    data: Data = None,
    name: Name = None,
    at: At = None,
    every: Every = None,
    cron: Cron = None,
    once: Annotated[bool, typer.Option("--once", help="Run once, at the start, and do not repeat.")] = False,
    time_zone: TimeZone = None,
    misfire: Misfires = None,
    queue: Queue = None,
    url: Url = HERE,
    insecure: Insecure = False,
    as_json: AsJson = False,
) -> None:
    """Change the schedule, inputs, queue or name of a scheduled job. It may need approval again.

    With --cron or --every it repeats, even if it was to run once. With --once it runs once, at --at, and no longer
    repeats.

    Example: signoff schedule change nightly --cron "0 3 * * *" -d keep=14
    """
    schedule: dict[str, Any] = {"at": at, "every": every, "cron": cron, "time_zone": time_zone, "misfire": misfire}
    if not once and not any(option is not None for option in (pairs or None, data, name, queue, *schedule.values())):
        raise typer.BadParameter("Give at least one change, like --cron or -d.")
    if sum(map(bool, (every, cron, once))) > 1:
        raise typer.BadParameter("Give only one of --every, --cron and --once.")
    with signed_in(url, insecure=insecure) as shim:
        inputs = read_inputs(pairs, data) if pairs or data is not None else None
        version = None
        if inputs is not None and data is None:
            # Inputs that are not given keep their values.
            seen = shim.scheduled_job(ref)
            inputs, version = seen.kwargs | inputs, seen.approval_version
        row = shim.change(
            ref,
            name=name,
            data=inputs,
            once=once,
            queue=queue,
            version=version,
            **schedule,
        )
    tell(row, _changed(row), as_json=as_json)


def _changed(row: ScheduledJob) -> str:
    if row.approval_state == "pending":
        return f"Changed “{row.name}”; it waits for approval. {row.approval_note}".rstrip()
    return f"Changed “{row.name}”: {when(row)}; {what_follows(row, utc_now())}."


@app.command("enable")
def enable(ref: Ref, url: Url = HERE, insecure: Insecure = False, as_json: AsJson = False) -> None:
    """Enable a scheduled job, so that it runs when it is due.

    Example: signoff schedule enable nightly
    """
    with signed_in(url, insecure=insecure) as shim:
        row = shim.change(ref, enabled=True)
    tell(row, _changed(row), as_json=as_json)


@app.command("disable")
def disable(ref: Ref, url: Url = HERE, insecure: Insecure = False, as_json: AsJson = False) -> None:
    """Disable a scheduled job, so that it does not run until it is enabled.

    Example: signoff schedule disable nightly
    """
    with signed_in(url, insecure=insecure) as shim:
        row = shim.change(ref, enabled=False)
    tell(row, f"Disabled “{row.name}”.", as_json=as_json)


@app.command("delete")
def delete(
    refs: Annotated[list[str], typer.Argument(metavar="ID…", help="The ids or the names of scheduled jobs.")],
    url: Url = HERE,
    insecure: Insecure = False,
) -> None:
    """Delete scheduled jobs, one after the other. Their job results are kept.

    Example: signoff schedule delete nightly weekly
    """
    with signed_in(url, insecure=insecure) as shim:
        delete_each(shim.delete, refs)


@app.command("take-over")
def take_over(ref: Ref, url: Url = HERE, insecure: Insecure = False, as_json: AsJson = False) -> None:
    """Take over a scheduled job: you become its owner, and it runs as you.

    Example: signoff schedule take-over nightly
    """
    with signed_in(url, insecure=insecure) as shim:
        row = shim.assume(ref)
    tell(row, f"You are now the owner of “{row.name}”; it runs as you.", as_json=as_json)


@app.command("transfer")
def transfer(
    ref: Ref,
    user: Annotated[str, typer.Argument(metavar="USER", help="The name or the id of the new owner.")],
    url: Url = HERE,
    insecure: Insecure = False,
    as_json: AsJson = False,
) -> None:
    """Transfer a scheduled job to another user, as whom it then runs.

    Example: signoff schedule transfer nightly carol
    """
    with signed_in(url, insecure=insecure) as shim:
        row = shim.transfer(ref, user)
    tell(row, f"Transferred “{row.name}” to {user}.", as_json=as_json)


@app.command("explain")
def explain(
    ref: Ref,
    user: Annotated[
        str | None, typer.Option(metavar="USER", help="The user to explain it for. Default: you.", show_default=False)
    ] = None,
    url: Url = HERE,
    insecure: Insecure = False,
    as_json: AsJson = False,
) -> None:
    """Show who can approve, run or take over a scheduled job, and when it runs next, or why not.

    Example: signoff schedule explain nightly --user carol
    """
    with signed_in(url, insecure=insecure) as shim:
        told = shim.explain(ref, user=user)
    if as_json:
        tell(told, "", as_json=True)
        return
    show(_verdicts(told), ("what", f"{told.user.username} may", "who may"), as_json=False)
    if told.unfit:
        say(told.unfit)
    say(f"Next run: {moment(told.next_firing) or told.why_not or 'never'}")


def _verdicts(told: Explanation) -> list[dict[str, Any]]:
    return [
        {
            "what": asked.replace("_", " "),
            f"{told.user.username} may": verdict.allowed or verdict.reason or False,
            "who may": [
                *(each.username for each in told.who.get(asked, [])),
                *(["others whom you may not see"] if told.others.get(asked) else []),
            ],
        }
        for asked, verdict in told.may.items()
    ]


@app.command("upcoming")
def upcoming(
    ref: Ref,
    count: Annotated[int, typer.Option(min=1, metavar="N", help="The number of times to show.")] = 10,
    url: Url = HERE,
    insecure: Insecure = False,
    as_json: AsJson = False,
) -> None:
    """Show when a scheduled job runs next, in its time zone.

    Example: signoff schedule upcoming nightly --count 3
    """
    with signed_in(url, insecure=insecure) as shim:
        told = shim.upcoming(ref, count=count)
    times = [local(time, told.time_zone) for time in told.firings]
    lines = [*times, *filter(None, [told.note, told.why_not])]
    tell(told, "\n".join(lines) or "It does not run again.", as_json=as_json)
