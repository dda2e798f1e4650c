"""What all commands share: the home folder, output and errors."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from api_shim.services.audit_signing import open_store
from api_shim.settings import PrefectServer, private_files, read_settings, utc_now
from api_shim.store import Store
from approval_gate.errors import GateError, Invalid

Home = Annotated[Path | None, typer.Option(help="The folder with all data of the server.", envvar="SIGNOFF_HOME")]
WhosePrefect = Annotated[
    PrefectServer | None,
    typer.Option(
        "--prefect",
        help="Prefect's server within this process, or the one at PREFECT_API_URL, which others run.",
        show_default="SIGNOFF_PREFECT",
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, for scripts.")]


WIDEST = 100_000
"""The width that a table is measured in."""


@contextmanager
def opened(home: Path | None) -> Iterator[Store]:
    """Open the store of a home folder that is there, and migrate it if needed.

    Raises:
        Unavailable: there is no home, or no store; none is made.
    """
    settings = read_settings(home)
    settings.check_home()
    with private_files():
        store = open_store(settings, utc_now(), make=False)
    with closing(store):
        yield store


def at_terminal() -> bool:
    """Say whether there is somebody to ask."""
    # sys.stdin is None in a program that was started without standard input.
    return bool(sys.stdin and sys.stdin.isatty())


def agreed(question: str, *, yes: bool) -> None:
    """Go on only if whoever runs the command agrees.

    Args:
        question: what they are asked.
        yes: whether they have agreed already.

    Raises:
        Invalid: there is nobody to ask.
        Abort: they do not.
    """
    if yes:
        return
    if not at_terminal():
        raise Invalid("There is no terminal to ask at; use --yes to agree.")
    typer.confirm(question, abort=True, err=True)


def progress(what: str, done: int, total: int) -> None:
    """Say on a terminal how far something has come; in a script, nothing.

    Args:
        what: what is being done, as a word.
        done: how much of it.
        total: of how much; at least as much.
    """
    if sys.stderr.isatty():
        end = "\n" if done >= total else ""
        typer.echo(f"\r{what} {done} of {max(done, total)}{end}", err=True, nl=False)


def say(text: str) -> None:
    """Print a text, without control characters."""
    typer.echo(readable(text))


def readable(text: str) -> str:
    """Return a text with control characters replaced: names and messages may hold terminal escapes."""
    return "".join(c if c.isprintable() or c == "\n" else " " for c in text)


def show(rows: Iterable[dict[str, Any]], columns: Sequence[str], *, as_json: bool) -> None:
    """Print a list, as a table or as JSON; a table that is wider than the terminal becomes a block for each row."""
    rows = list(rows)
    if as_json:
        typer.echo(json.dumps(rows, indent=2, default=str))
        return
    table = Table(*columns, box=None, pad_edge=False, header_style="bold")
    for row in rows:
        table.add_row(*(_cell(row[column]) for column in columns))
    console = _console()
    if Measurement.get(console, console.options.update(max_width=WIDEST), table).maximum <= console.width:
        console.print(table)
        return
    for number, row in enumerate(rows):
        if number:
            say("")
        describe({column: row[column] for column in columns})


def _console(*, err: bool = False) -> Console:
    # Lines are wrapped only at a terminal, never in a pipe.
    to = sys.stderr if err else sys.stdout
    return Console(width=None if to.isatty() else 1000, stderr=err)


def _cell(value: Any) -> Text:
    # As Text, so that Rich does not interpret markup in it.
    if isinstance(value, bool):
        return Text("yes" if value else "no")
    if isinstance(value, list) and all(isinstance(item, str) for item in value):
        return Text(readable(", ".join(value)) or "-")
    if isinstance(value, dict | list):
        return Text(readable(json.dumps(value, ensure_ascii=False)))
    return Text("-" if value is None or value == "" else readable(str(value)))


def describe(fields: Mapping[str, Any], *, err: bool = False) -> None:
    """Print the fields of one object, each on a line.

    Args:
        fields: their names and values.
        err: print them on standard error.
    """
    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="bold")
    # Long values are wrapped, never cut off.
    grid.add_column(overflow="fold")
    for name, value in fields.items():
        grid.add_row(Text(readable(name)), _cell(value))
    _console(err=err).print(grid)


def fail(error: GateError) -> int:
    """Print an error, and return the exit status."""
    typer.echo(f"error: {error}", err=True)
    return 1
