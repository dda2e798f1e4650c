"""What the commands share that call a running server: its address, the token, filters, and output.

* They call the REST API with the user's token, so that permissions and the audit trail apply to that user.
* The token comes from ``SIGNOFF_TOKEN``, from ``signoff login`` for the same address, or from a prompt. There is no
  option for it: the process list shows those.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Annotated, Any, TypeVar

import typer
from pydantic import BaseModel

from api_shim.cli.console import at_terminal, fail, say, show
from api_shim.cli.kept_logins import kept_key
from api_shim.client.client import Shim
from api_shim.client.transport import read_address, read_environment
from approval_gate.errors import GateError, Invalid

M = TypeVar("M", bound=BaseModel)

Url = Annotated[
    str,
    typer.Option(
        envvar="SIGNOFF_URL", help="The address of the server. Your token is that of SIGNOFF_TOKEN or signoff login."
    ),
]
Insecure = Annotated[
    bool, typer.Option("--insecure", help="Allow plain http to another machine, where others can read the token.")
]
Limit = Annotated[int, typer.Option(min=1, max=1000, metavar="N", help="The maximum number of rows.")]
Sort = Annotated[
    str | None, typer.Option(metavar="FIELDS", help="Fields to sort by, like name,-start_time.", show_default=False)
]
Search = Annotated[
    str | None,
    typer.Option("--search", "-s", metavar="TEXT", help="Only those that contain this text.", show_default=False),
]
Where = Annotated[
    list[str] | None,
    typer.Option(
        "--where",
        "-w",
        metavar="FIELD=VALUE",
        help="A filter of the API: name__ic=back, start_time__gte=2030-01-01. Can be repeated.",
        show_default=False,
    ),
]


def read_token(url: str) -> str:
    """Return the token of the user, from the environment, what they have signed in with, or a prompt.

    Args:
        url: the address of the server that it is for.

    Raises:
        Invalid: no token is set, and there is no terminal for a prompt; or the sign-in has expired.
        Unavailable: what they have signed in with cannot be read.
    """
    token = read_environment().token
    if token is None:
        token = kept_key(str(read_address(url)))
    if token is None and not at_terminal():
        raise Invalid("Set SIGNOFF_TOKEN to your token; there is no terminal here to ask for it.")
    # The prompt is on standard error, so that scripts can read the output.
    return str(token or typer.prompt("Token", hide_input=True, err=True)).strip()


@contextmanager
def signed_in(url: str, *, insecure: bool) -> Iterator[Shim]:
    """Open a client for the server with the user's token."""
    with Shim(url, read_token(url), insecure=insecure) as shim:
        yield shim


def read_filters(where: Iterable[str] | None, **also: Any) -> dict[str, Any]:
    """Return the filters of a list.

    Args:
        where: each ``FIELD=VALUE``.
        also: further filters; those that are None are left out.

    Raises:
        typer.BadParameter: a filter has no field or no ``=``.
    """
    filters: dict[str, Any] = {name: value for name, value in also.items() if value is not None}
    for text in where or ():
        field, equals, value = text.partition("=")
        if not field or not equals:
            raise typer.BadParameter(f"{text!r} is not FIELD=VALUE.", param_hint="--where")
        if field in {"limit", "offset"}:
            raise typer.BadParameter("Use --limit for the number of rows.", param_hint="--where")
        filters[field] = [*_several(filters.get(field)), value]
    return filters


def _several(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [] if value is None else [value]


def as_rows(things: Iterable[BaseModel]) -> list[dict[str, Any]]:
    """Return schemas as JSON objects."""
    return [thing.model_dump(mode="json") for thing in things]


def show_found(
    found: Sequence[M], line: Callable[[M], dict[str, Any]], columns: Sequence[str], nothing: str, *, as_json: bool
) -> None:
    """Print a list.

    Args:
        found: the objects.
        line: returns the cells of an object, by column.
        columns: the columns of the table.
        nothing: the sentence for an empty list.
        as_json: print all fields as JSON, an empty list too.
    """
    if not found and not as_json:
        say(nothing)
        return
    show(as_rows(found) if as_json else map(line, found), columns, as_json=as_json)


def tell(thing: BaseModel, sentence: str, *, as_json: bool) -> None:
    """Print an answer, as JSON or as a sentence."""
    say(json.dumps(thing.model_dump(mode="json"), indent=2) if as_json else sentence)


def delete_each(delete: Callable[[str], None], refs: Iterable[str], *, done: str = "Deleted") -> None:
    """Delete objects one after the other, and print the outcome of each. A refusal does not stop the others.

    Args:
        delete: deletes one.
        refs: they.
        done: what is said of one that has been deleted.

    Raises:
        typer.Exit: at least one deletion was refused.
    """
    refused = False
    for ref in refs:
        try:
            delete(ref)
        except GateError as error:
            fail(type(error)(f"{ref}: {error}"))
            refused = True
        else:
            say(f"{done} “{ref}”.")
    if refused:
        raise typer.Exit(1)
