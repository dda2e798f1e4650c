"""``signoff audit``: list, verify and export the audit trail."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, TextIO

import typer

from api_shim.cli.console import AsJson, Home, opened, say, show
from api_shim.cli.times import local_time
from api_shim.domain.audit import AuditEvent, shape
from api_shim.services.audit_trail import AuditTrail
from api_shim.settings import OWNER_FILE
from approval_gate.errors import Unavailable

app = typer.Typer(no_args_is_help=True, help="Show, verify and export the audit trail: who did what, and when.")

MOST = 10_000
COLUMNS = ("number", "at", "act", "actor", "name", "data")


@app.command("list")
def list_events(
    limit: Annotated[int, typer.Option(min=1, max=MOST, metavar="N", help="The maximum number of events.")] = 50,
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """List the newest events, the newest first."""
    with opened(home) as store:
        found = AuditTrail(store).newest(limit)
    if not found and not as_json:
        say("Nothing has been recorded yet.")
        return
    show(map(shape if as_json else _line, found), COLUMNS, as_json=as_json)


def _line(event: AuditEvent) -> dict[str, Any]:
    return {**shape(event), "at": local_time(event.at), "data": event.data or None}


@app.command("verify")
def verify(home: Home = None) -> None:
    """Check that no event has been changed or removed."""
    with opened(home) as store:
        count = AuditTrail(store).verify()
    say(f"{count} events, none changed or missing.")


@app.command("export")
def export(
    file: Annotated[
        Path | None,
        typer.Argument(help="A new file, readable by you only. Default: standard output.", show_default=False),
    ] = None,
    home: Home = None,
) -> None:
    """Export all events as JSON Lines, the oldest first."""
    with opened(home) as store, _made(file) as out:
        for event in AuditTrail(store).events():
            out.write(f"{json.dumps(shape(event))}\n")


@contextmanager
def _made(file: Path | None) -> Iterator[TextIO]:
    """Create a file to write to, and remove it if writing fails; without a file, use standard output."""
    if file is None:
        yield sys.stdout
        # The reader may have closed the pipe: flush here, where that error is handled.
        sys.stdout.flush()
        return
    try:
        # Never overwrite: an existing file may be readable by others, or be an earlier export.
        file.touch(mode=OWNER_FILE, exist_ok=False)
        try:
            with file.open("w", encoding="utf-8") as out:
                yield out
        except BaseException:
            file.unlink()
            raise
    except OSError as error:
        raise Unavailable(f"The file {file} cannot be written: {error.strerror}.") from error
