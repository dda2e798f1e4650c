"""The files of runs, those that they make and those that they are given.

* A name is a name and no path: whoever saves the file under it writes nowhere else.
* Everything in it can be printed, so that it looks like what it is.
* What stands for a given file in the inputs of a run is a reference: its id, its name, its size and the SHA-256 of its
  content. Only the server makes one, of what was sent or of what it keeps; what a client writes stays what it is.
* A Job is given something to read from, with a name. What a file has is in no repr.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeGuard
from uuid import UUID

LARGEST_FILE = 10 * 2**20
"""Bytes of a file, unless the server says another number."""

LONGEST_NAME = 255
"""Bytes of the name of a file, in UTF-8: what file systems take."""

UNNAMEABLE = (
    f"The name of a file has 1 to {LONGEST_NAME} bytes, all of which can be printed, and no / and no \\; "
    "it is not . or .., and does not begin or end with a blank."
)


def is_file_name(name: object) -> bool:
    """Say whether a file may be called so."""
    if not isinstance(name, str) or not name.isprintable() or name != name.strip() or name in {"", ".", ".."}:
        return False
    return "/" not in name and "\\" not in name and len(name.encode()) <= LONGEST_NAME


def too_large(size: int, largest: int) -> str:
    """Return the sentence about a file that is too large; empty for one that is not.

    Args:
        size: its bytes.
        largest: the most that it may have.
    """
    return f"The file has {size} bytes, of at most {largest} (SIGNOFF_FILE_BYTES)." if size > largest else ""


REFERENCE = ("id", "name", "size", "sha256")
"""What a reference says."""


@dataclass(frozen=True, kw_only=True, slots=True)
class GivenFile:
    """A file that a run is to be given, for which the server vouches.

    Args:
        id: a new id, or that of the one that is kept.
        name: what it is called.
        size: its bytes.
        sha256: the SHA-256 of its content, in hexadecimal digits.
        content: what it has; None where that is kept already.
    """

    id: UUID
    name: str
    size: int
    sha256: str
    content: bytes | None = field(default=None, repr=False)

    @classmethod
    def sent(cls, file_id: UUID, name: str, content: bytes) -> GivenFile:
        """Return a file that was sent just now."""
        digest = hashlib.sha256(content).hexdigest()
        return cls(id=file_id, name=name, size=len(content), sha256=digest, content=content)

    @classmethod
    def kept(cls, reference: Mapping[str, Any]) -> GivenFile:
        """Return a file that is kept already."""
        return cls(**{**reference, "id": UUID(reference["id"])})

    @property
    def reference(self) -> dict[str, Any]:
        """What stands for it in the inputs of a run."""
        return {"id": str(self.id), "name": self.name, "size": self.size, "sha256": self.sha256}

    def __str__(self) -> str:
        # The same for the same file, whenever it is sent.
        return f"{self.name} ({self.size} bytes, SHA-256 {self.sha256})"


def is_reference(value: object) -> TypeGuard[Mapping[str, Any]]:
    """Say whether an input looks like the reference to a file."""
    return isinstance(value, Mapping) and value.keys() == {*REFERENCE} and _is_id(value["id"])


def _is_id(text: object) -> bool:
    try:
        UUID(text if isinstance(text, str) else "")
    except ValueError:
        return False
    return True


def ids_in(inputs: Mapping[str, Any]) -> set[UUID]:
    """Return the ids of the files that inputs refer to."""
    return {UUID(value["id"]) for value in inputs.values() if is_reference(value)}


class RunFile(io.BytesIO):
    """A file that a run is given: it is read like one, has a ``name`` and a ``size``, and is in memory.

    Args:
        reference: what stands for it in the inputs.
        content: what it has.

    Raises:
        OSError: that is not what the reference is of.
    """

    def __init__(self, reference: Mapping[str, Any], content: bytes) -> None:
        if hashlib.sha256(content).hexdigest() != reference["sha256"]:
            raise OSError(f"{reference['name']}: The file is not the one that was given to this run.")
        super().__init__(content)
        self.name: str = reference["name"]
        self.size = len(content)

    def __repr__(self) -> str:
        return f"<file {self.name}>"
