"""How a command waits for a run, shows that it does, and tells how it ended.

* While it waits it shows so at a terminal, on standard error; in a pipe it is silent.
* Its exit status is 0 for a run that succeeded, 3 for one that failed or was revoked, 4 for one that has not ended
  in time or waits for approval.
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
    typer.Option(min=0, metavar="SECONDS", help="How long to wait at most; then the status is 4.", show_default=False),
]


def wait_for(shim: Shim, ref: str | UUID, *, timeout: float | None, as_json: bool) -> None:
    """Wait until a run has ended, print how, and leave with the exit status that says so.

    Args:
        shim: who waits.
        ref: the id of its job result.
        timeout: seconds; None for as long as it takes.
        as_json: print the job result for scripts.

    Raises:
        typer.Exit: the run did not succeed.
    """
    with _progress() as show:
        row = _waited(shim, ref, timeout=timeout, on_change=lambda row: show(f"{row.name}: {row.status.value}"))
    tell(row, outcome(row), as_json=as_json)
    _leave(row)


def follow(shim: Shim, ref: str, *, timeout: float | None, on_line: Callable[[JobLogEntry], None]) -> None:
    """Print the log of a run as it comes, until it has ended.

    Args:
        shim: who follows.
        ref: the id of its job result.
        timeout: seconds; None for as long as it takes.
        on_line: prints a line.

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
    """Say how a run ended, and what came of it."""
    said = f"{row.name}: {row.status.value}"
    if row.traceback:
        return f"{said}\n{row.traceback.rstrip()}"
    return said if row.result is None else f"{said}\n{json.dumps(row.result, indent=2, ensure_ascii=False)}"


@contextmanager
def _progress() -> Iterator[Callable[[str], None]]:
    """Give what shows that something goes on."""
    if not sys.stderr.isatty():
        yield lambda _text: None
        return
    with Console(stderr=True).status("Waiting …") as shown:
        yield lambda text: shown.update(Text(readable(text)))
