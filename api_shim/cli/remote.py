"""What the commands share that speak to a running server: where it is, who types, and how its answers are printed.

* They go over HTTP with the token of who types, for what they do is somebody's.
* The token comes from ``SIGNOFF_TOKEN`` or is asked for; it is no argument, for those stand in the process list.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Annotated, Any, TypeVar

import typer
from pydantic import BaseModel

from api_shim.cli.console import fail, say, show
from api_shim.client.client import Shim
from api_shim.client.transport import Environment
from approval_gate.errors import GateError, Invalid

M = TypeVar("M", bound=BaseModel)

Url = Annotated[
    str,
    typer.Option(envvar="SIGNOFF_URL", help="Where signoff runs. Your token is read from SIGNOFF_TOKEN, or asked for."),
]
Insecure = Annotated[
    bool, typer.Option("--insecure", help="Send the token over plain http to another machine; others can read it.")
]
Limit = Annotated[int, typer.Option(min=1, max=1000, metavar="N", help="How many to show at most.")]
Sort = Annotated[
    str | None, typer.Option(metavar="FIELDS", help="What to sort by, like name,-start_time.", show_default=False)
]
Search = Annotated[
    str | None, typer.Option("--search", "-s", metavar="TEXT", help="Only those that mention it.", show_default=False)
]
Where = Annotated[
    list[str] | None,
    typer.Option(
        "--where",
        "-w",
        metavar="FIELD=VALUE",
        help="Only those with it, as the API filters: name__ic=back, start_time__gte=2030-01-01. May be given again.",
        show_default=False,
    ),
]


def read_token() -> str:
    """Return the token of who types, asking for it if there is somebody to ask.

    Raises:
        Invalid: there is none, and nobody.
    """
    token = Environment().token
    # A program that was started without standard input has None there.
    if token is None and not (sys.stdin and sys.stdin.isatty()):
        raise Invalid("Set SIGNOFF_TOKEN to your token; there is no terminal here to ask for it.")
    # Asked for on standard error, which leaves the output to scripts.
    return str(token or typer.prompt("Token", hide_input=True, err=True)).strip()


@contextmanager
def signed_in(url: str, *, insecure: bool) -> Iterator[Shim]:
    """Speak to the server as who types."""
    with Shim(url, read_token(), insecure=insecure) as shim:
        yield shim


def read_filters(where: Iterable[str] | None, **also: Any) -> dict[str, Any]:
    """Return the filters of a list.

    Args:
        where: each ``FIELD=VALUE``.
        also: further ones; None is none.

    Raises:
        typer.BadParameter: one has no field or no value.
    """
    filters: dict[str, Any] = {name: value for name, value in also.items() if value is not None}
    for text in where or ():
        field, equals, value = text.partition("=")
        if not field or not equals:
            raise typer.BadParameter(f"{text!r} is not FIELD=VALUE.", param_hint="--where")
        if field in {"limit", "offset"}:
            raise typer.BadParameter("How many are shown is told with --limit.", param_hint="--where")
        filters[field] = [*_several(filters.get(field)), value]
    return filters


def _several(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [] if value is None else [value]


def as_rows(things: Iterable[BaseModel]) -> list[dict[str, Any]]:
    """Return shapes as JSON has them."""
    return [thing.model_dump(mode="json") for thing in things]


def show_found(
    found: Sequence[M], line: Callable[[M], dict[str, Any]], columns: Sequence[str], nothing: str, *, as_json: bool
) -> None:
    """Print a list of shapes.

    Args:
        found: they.
        line: what a table shows of each, by column.
        columns: of the table.
        nothing: the sentence for an empty list.
        as_json: as JSON, whole, and an empty list too.
    """
    if not found and not as_json:
        say(nothing)
        return
    show(as_rows(found) if as_json else map(line, found), columns, as_json=as_json)


def tell(thing: BaseModel, sentence: str, *, as_json: bool) -> None:
    """Print an answer: as JSON, or what it means."""
    say(json.dumps(thing.model_dump(mode="json"), indent=2) if as_json else sentence)


def delete_each(delete: Callable[[str], None], refs: Iterable[str]) -> None:
    """Delete one after the other, and tell of each; what is refused holds up none of the others.

    Raises:
        typer.Exit: one was refused.
    """
    refused = False
    for ref in refs:
        try:
            delete(ref)
        except GateError as error:
            fail(type(error)(f"{ref}: {error}"))
            refused = True
        else:
            say(f"Deleted «{ref}».")
    if refused:
        raise typer.Exit(1)
