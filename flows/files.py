"""The files of runs: what they may be called, and how large they may be.

* A name is a name and no path: whoever saves the file under it writes nowhere else.
* Everything in it can be printed, so that it looks like what it is.
"""

from __future__ import annotations

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
