"""Files that are downloaded: where they are written, and that nothing else is written over.

* A file is written where none is, unless somebody says otherwise, and never outside the folder that they name.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from approval_gate.errors import Conflict, Invalid, Unavailable
from flows.files import is_file_name

Folder = Annotated[
    Path, typer.Option("--to", metavar="FOLDER", help="The folder to write to.", file_okay=False, exists=True)
]
Force = Annotated[bool, typer.Option("--force", help="Replace existing files.")]


def save(folder: Path, name: str, content: bytes, *, force: bool) -> Path:
    """Write a file, and return where.

    Args:
        folder: the folder.
        name: what the server calls the file.
        content: what it has.
        force: whether one that is there is replaced.

    Raises:
        Invalid: nothing can be called so.
        Conflict: there is one already.
        Unavailable: it cannot be written.
    """
    if not is_file_name(name):
        raise Invalid(f"The server names a file {name!r}, under which nothing can be written.")
    path = folder / name
    try:
        with path.open("wb" if force else "xb") as out:
            out.write(content)
    except FileExistsError as error:
        raise Conflict(f"{path} already exists; use --force to replace it.") from error
    except OSError as error:
        raise Unavailable(f"{path} cannot be written: {error.strerror}.") from error
    return path
