"""``signoff audit``: who did what, whether that is still what was recorded, and a copy of it."""

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

app = typer.Typer(no_args_is_help=True, help="Who did what; it is only ever added to.")

MOST = 10_000
COLUMNS = ("number", "at", "act", "actor", "name", "data")


@app.command("list")
def list_events(
    limit: Annotated[int, typer.Option(min=1, max=MOST, metavar="N", help="How many to show at most.")] = 50,
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """Show what was recorded last, the newest first."""
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
    """See whether every event is there, and is what was recorded."""
    with opened(home) as store:
        count = AuditTrail(store).verify()
    say(f"{count} events, unbroken.")


@app.command("export")
def export(
    file: Annotated[
        Path | None, typer.Argument(help="A new file, for you alone. Without it, they are printed.", show_default=False)
    ] = None,
    home: Home = None,
) -> None:
    """Write every event as a line of JSON, the oldest first."""
    with opened(home) as store, _made(file) as out:
        for event in AuditTrail(store).events():
            out.write(f"{json.dumps(shape(event))}\n")


@contextmanager
def _made(file: Path | None) -> Iterator[TextIO]:
    """Make a file to write to, which stays if all has been written; without one it is standard output."""
    if file is None:
        yield sys.stdout
        # Whoever reads it may be gone; now that can still be told quietly.
        sys.stdout.flush()
        return
    try:
        # Never one that is there: others may be able to read it, and it may be an earlier export.
        file.touch(mode=OWNER_FILE, exist_ok=False)
        try:
            with file.open("w", encoding="utf-8") as out:
                yield out
        except BaseException:
            file.unlink()
            raise
    except OSError as error:
        raise Unavailable(f"The file {file} cannot be written: {error.strerror}.") from error
