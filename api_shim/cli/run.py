"""``signoff run``: run a Job now, or schedule it."""

from __future__ import annotations

from typing import Annotated

import typer

from api_shim import schemas
from api_shim.cli.console import AsJson
from api_shim.cli.inputs import Data, Files, Pairs, read_files, read_inputs
from api_shim.cli.remote import Insecure, Url, signed_in, tell
from api_shim.cli.times import what_follows, when
from api_shim.cli.waiting import NOT_ENDED, Timeout, wait_for
from api_shim.client.client import Shim
from api_shim.client.transport import HERE
from api_shim.settings import utc_now
from approval_gate.admission import Misfire

At = Annotated[
    str | None,
    typer.Option(
        metavar="TIME",
        help="The start, like 2030-01-01T02:00, in --time-zone; or with an offset, like 2030-01-01T02:00Z.",
        show_default=False,
    ),
]
Cron = Annotated[
    str | None,
    typer.Option(metavar="CRONTAB", help='Repeat by a crontab of five fields, like "0 2 * * *".', show_default=False),
]
Every = Annotated[
    str | None,
    typer.Option(metavar="INTERVAL", help="Repeat hourly, daily or weekly, from --at on.", show_default=False),
]
TimeZone = Annotated[
    str | None,
    typer.Option(metavar="NAME", help="The time zone, like Europe/Berlin. Default: the server's.", show_default=False),
]
Misfires = Annotated[
    Misfire | None,
    typer.Option(
        help="What happens to firings that no worker took in time: the last one runs, all are skipped, all run in "
        "turn, or a request asks whether to run the last one. Default: last.",
        show_default=False,
    ),
]
Queue = Annotated[str | None, typer.Option(metavar="NAME", help="The work queue.", show_default=False)]
Reason = Annotated[str, typer.Option(metavar="TEXT", help="Why, for whoever decides about it.", show_default=False)]
Name = Annotated[str | None, typer.Option(metavar="NAME", help="The name of the scheduled job.", show_default=False)]


def run(
    job: Annotated[str, typer.Argument(metavar="JOB", help="The id or the name of the Job.")],
    pairs: Pairs = None,
    data: Data = None,
    files: Files = None,
    at: At = None,
    every: Every = None,
    cron: Cron = None,
    time_zone: TimeZone = None,
    misfire: Misfires = None,
    name: Name = None,
    queue: Queue = None,
    reason: Reason = "",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Do a dry run, if the Job supports it.")] = False,
    wait: Annotated[bool, typer.Option("--wait", help="Wait until the run has ended, and print its result.")] = False,
    timeout: Timeout = None,
    url: Url = HERE,
    insecure: Insecure = False,
    as_json: AsJson = False,
) -> None:
    """Run a Job now, or schedule it with --at or --cron. If the Job needs approval, this makes a request.

    Exit status: 0 done, 1 refused, 2 wrong usage.

    With --wait also: 3 the run failed or was revoked, 4 it waits for approval or has not ended in time.

    Example: signoff run "Back up" -d source=/srv -d target=/backup --name nightly --cron "0 2 * * *"
    """
    _check(at=at, every=every, cron=cron, time_zone=time_zone, misfire=misfire, wait=wait, timeout=timeout)
    inputs = read_inputs(pairs, data) | read_files(files) | ({"dryrun": True} if dry_run else {})
    with signed_in(url, insecure=insecure) as shim:
        if at is None and cron is None:
            accepted = shim.run(job, inputs, name=name, queue=queue, reason=reason)
            _tell_run(shim, accepted, wait=wait, timeout=timeout, as_json=as_json)
            return
        row = shim.schedule(
            job,
            inputs,
            name=name or "",
            at=at,
            every=every,
            cron=cron,
            time_zone=time_zone,
            misfire=misfire,
            queue=queue,
            reason=reason,
        )
    tell(schemas.Accepted(scheduled_job=row, job_result=None), scheduled(row), as_json=as_json)


def _check(
    *,
    at: str | None,
    every: str | None,
    cron: str | None,
    time_zone: str | None,
    misfire: str | None,
    wait: bool,
    timeout: float | None,
) -> None:
    """Check that the options can be combined.

    Raises:
        typer.BadParameter: they cannot.
    """
    later = at is not None or cron is not None
    faults = {
        "Give --every or --cron, not both.": every and cron,
        "--every needs --at.": every and at is None,
        "--time-zone needs --at or --cron.": time_zone and not later,
        "--misfire needs --at or --cron.": misfire and not later,
        "--wait cannot be used with a schedule.": wait and (later or every),
        "--timeout needs --wait.": timeout is not None and not wait,
    }
    for sentence, is_so in faults.items():
        if is_so:
            raise typer.BadParameter(sentence)


def _tell_run(shim: Shim, accepted: schemas.Accepted, *, wait: bool, timeout: float | None, as_json: bool) -> None:
    result, row = accepted.job_result, accepted.scheduled_job
    if result is not None and wait:
        wait_for(shim, result.id, timeout=timeout, as_json=as_json)
    elif result is not None:
        tell(accepted, f"Started {result.name}: {result.url}", as_json=as_json)
    elif row is not None:
        tell(accepted, scheduled(row), as_json=as_json)
        if wait:
            raise typer.Exit(NOT_ENDED)


def scheduled(row: schemas.ScheduledJob) -> str:
    """Return the outcome of a request as a sentence."""
    if row.approval_state == "pending":
        return f"“{row.name}” waits for approval; scheduled {when(row)}."
    return f"Scheduled “{row.name}”, {when(row)}; {what_follows(row, utc_now())}."
