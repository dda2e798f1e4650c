"""How a command waits for a run, and prints its result.

* At a terminal it shows a spinner on standard error; in a pipe it is silent.
* The exit status is 0 if the run succeeded, 3 if it failed or was revoked, and 4 if it has not ended in time or waits
  for approval.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Annotated
from uuid import UUID

import typer
from rich.console import Console
from rich.text import Text

from api_shim.cli.console import fail, readable
from api_shim.cli.remote import tell
from api_shim.client.client import Shim
from api_shim.client.operations.job_results import StillRunning
from api_shim.schemas import JobLogEntry, JobResult

FAILED = 3
NOT_ENDED = 4

Timeout = Annotated[
    float | None,
    typer.Option(
        min=0, metavar="SECONDS", help="The longest time to wait; then the exit status is 4.", show_default=False
    ),
]


def wait_for(shim: Shim, ref: str | UUID, *, timeout: float | None, as_json: bool) -> None:
    """Wait until a run has ended, print its result, and exit with the status for it.

    Args:
        shim: the client.
        ref: the id of the job result.
        timeout: the longest time to wait, in seconds; None for no limit.
        as_json: print the job result as JSON.

    Raises:
        typer.Exit: the run did not succeed.
    """
    with _progress() as show:
        row = _waited(shim, ref, timeout=timeout, on_change=lambda row: show(f"{row.name}: {row.status.value}"))
    tell(row, outcome(row), as_json=as_json)
    _leave(row)


def follow(shim: Shim, ref: str, *, timeout: float | None, on_line: Callable[[JobLogEntry], None]) -> None:
    """Print the log of a run until it has ended.

    Args:
        shim: the client.
        ref: the id of the job result.
        timeout: the longest time to follow, in seconds; None for no limit.
        on_line: prints a log line.

    Raises:
        typer.Exit: the run did not succeed.
    """
    _leave(_waited(shim, ref, timeout=timeout, on_log=on_line))


def _waited(
    shim: Shim,
    ref: str | UUID,
    *,
    timeout: float | None,
    on_log: Callable[[JobLogEntry], None] | None = None,
    on_change: Callable[[JobResult], None] | None = None,
) -> JobResult:
    try:
        return shim.wait(ref, timeout=timeout, on_log=on_log, on_change=on_change)
    except StillRunning as error:
        fail(error)
        raise typer.Exit(NOT_ENDED) from error


def _leave(row: JobResult) -> None:
    if row.status.value != "SUCCESS":
        raise typer.Exit(FAILED)


def outcome(row: JobResult) -> str:
    """Return the status of a run, with its result or traceback."""
    said = f"{row.name}: {row.status.value}"
    if row.traceback:
        return f"{said}\n{row.traceback.rstrip()}"
    return said if row.result is None else f"{said}\n{json.dumps(row.result, indent=2, ensure_ascii=False)}"


@contextmanager
def _progress() -> Iterator[Callable[[str], None]]:
    """Show a spinner at a terminal, and yield a function that sets its text."""
    if not sys.stderr.isatty():
        yield lambda _text: None
        return
    with Console(stderr=True).status("Waiting …") as shown:
        yield lambda text: shown.update(Text(readable(text)))
