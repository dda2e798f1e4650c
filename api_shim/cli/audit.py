"""``signoff audit``: list, verify and export the audit trail, and go on with one that ends where it should not."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, TextIO

import typer

from api_shim.cli.console import AsJson, Home, opened, say, show
from api_shim.cli.times import local_time
from api_shim.domain.audit import AuditEvent, LocalAdministrator, shape
from api_shim.domain.audit_export import read_export
from api_shim.services.audit_signing import accept
from api_shim.services.audit_trail import AuditTrail
from api_shim.settings import OWNER_FILE, read_settings, system_user, utc_now
from approval_gate.errors import Invalid, Unavailable

app = typer.Typer(no_args_is_help=True, help="Show, verify and export the audit trail: who did what, and when.")

MOST = 10_000
HASH = re.compile(r"[0-9a-fA-F]{64}")
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
def verify(
    against: Annotated[
        Path | None,
        typer.Option(
            metavar="EXPORT", help="An earlier export, which all of this audit's events up to its end must equal."
        ),
    ] = None,
    head: Annotated[
        str | None, typer.Option(metavar="HASH", help="The hash of an event that was kept elsewhere.")
    ] = None,
    home: Home = None,
) -> None:
    """Check that no event has been changed or removed, and that the last was signed with the server's key."""
    if head is not None and not HASH.fullmatch(head):
        raise typer.BadParameter("a hash has 64 hexadecimal digits", param_hint="--head")
    known = read_export(_lines(against)) if against is not None else None
    with opened(home) as store:
        found = AuditTrail(store).verify(against=known, known=head.lower() if head else None)
    say(f"{found.count} events, none changed or missing; heads are signed from event {found.signed_from} on.")
    say(f"The key's public half is {found.key}.")
    for event in found.accepted:
        say(f"Event {event.number}: {event.actor} accepted the audit as it was. {event.data.get('reason')}")


@app.command("accept")
def accept_end(home: Home = None) -> None:
    """Go on, after a restored backup or a lost key, with an audit that does not end as it should. This is recorded."""
    settings = read_settings(home)
    settings.check_home()
    say(f"Recorded that this was accepted: {accept(settings, LocalAdministrator(system_user()), utc_now())}")


@app.command("export")
def export(
    file: Annotated[
        Path | None,
        typer.Argument(help="A new file, readable by you only. Default: standard output.", show_default=False),
    ] = None,
    home: Home = None,
) -> None:
    """Export all events as JSON Lines, the oldest first; the last line has the signature."""
    with opened(home) as store, _made(file) as out:
        for line in AuditTrail(store).export():
            out.write(f"{json.dumps(line)}\n")


def _lines(file: Path) -> Iterator[dict[str, Any]]:
    """Yield the lines of an export."""
    try:
        with file.open(encoding="utf-8") as lines:
            for number, text in enumerate(lines, 1):
                line = json.loads(text)
                if not isinstance(line, dict):
                    raise Invalid(f"Line {number} of the export {file} is not an event.")
                yield line
    except OSError as error:
        raise Unavailable(f"The export {file} cannot be read: {error.strerror}.") from error
    except ValueError as error:
        raise Invalid(f"The export {file} has a line that is not JSON.") from error


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
