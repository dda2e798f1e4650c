"""The variables of a Job on the command line: ``-d name=value``, or all of them as JSON.

* A value is sent as text, and the server converts it to the type of the variable: ``3`` to a number, ``yes`` to true,
  ``{"a": 1}`` to an object. A name that is given more than once makes a list.
* ``@file`` stands for the content of a file, which is text; ``-f name=file`` sends the file itself.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any

import typer

from approval_gate.errors import Invalid

Pairs = Annotated[
    list[str] | None,
    typer.Option(
        "-d",
        "--set",
        metavar="NAME=VALUE",
        help="A variable of the Job; NAME=@FILE reads the value from a file. Repeat a name to make a list.",
        show_default=False,
    ),
]
Data = Annotated[
    str | None,
    typer.Option(
        metavar="JSON", help="The variables as a JSON object, or @FILE to read it from a file.", show_default=False
    ),
]


Files = Annotated[
    list[str] | None,
    typer.Option("-f", "--file", metavar="NAME=FILE", help="A file for a variable of the Job.", show_default=False),
]


def read_files(pairs: Iterable[str] | None) -> dict[str, Path]:
    """Return the given files by the name of their variable.

    Args:
        pairs: each ``name=file``.

    Raises:
        typer.BadParameter: a pair has no name or no ``=``.
    """
    given = {}
    for text in pairs or ():
        name, equals, path = text.partition("=")
        if not name or not equals:
            raise typer.BadParameter(f"{text!r} is not NAME=FILE.", param_hint="-f")
        given[name] = Path(path)
    return given


def read_inputs(pairs: Iterable[str] | None, data: str | None) -> dict[str, Any]:
    """Return the given variables; a pair overrides the same name in the object.

    Args:
        pairs: each ``name=value``.
        data: a JSON object.

    Raises:
        typer.BadParameter: a pair has no name or no ``=``, or the data is not a JSON object.
        Invalid: a file cannot be read.
    """
    inputs = _object(data) if data is not None else {}
    given: dict[str, list[str]] = {}
    for text in pairs or ():
        name, equals, value = text.partition("=")
        if not name or not equals:
            raise typer.BadParameter(f"{text!r} is not NAME=VALUE.", param_hint="-d")
        given.setdefault(name, []).append(_content(value))
    return inputs | {name: values[0] if len(values) == 1 else values for name, values in given.items()}


def _object(text: str) -> dict[str, Any]:
    try:
        read = json.loads(_content(text))
    except (ValueError, RecursionError) as error:
        raise typer.BadParameter(f"This is not JSON: {error}.", param_hint="--data") from error
    if not isinstance(read, dict):
        raise typer.BadParameter('It must be an object, like {"count": 3}.', param_hint="--data")
    return read


def _content(value: str) -> str:
    if not value.startswith("@"):
        return value
    try:
        return Path(value[1:]).read_text(encoding="utf-8")
    except OSError as error:
        raise Invalid(f"The file {value[1:]} cannot be read: {error.strerror}.") from error
    except ValueError as error:
        raise Invalid(f"The file {value[1:]} is not UTF-8 text.") from error
