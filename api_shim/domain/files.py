"""The files that the store keeps, as frozen values: those that runs have made.

* What is known of a file and what it has are two values: lists never read the contents.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID


@dataclass(frozen=True, kw_only=True, slots=True)
class ResultFile:
    """A file that a run has made; it goes with its job result.

    Args:
        name: what it is called; no path.
        size: its bytes.
        sha256: the SHA-256 of its content, in hexadecimal digits.
        created: when the server has kept it.
    """

    id: UUID
    job_result_id: UUID
    name: str
    size: int
    sha256: str
    created: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class ResultContent:
    """What a file has that a run has made; it goes with the file."""

    file_id: UUID
    content: bytes = field(repr=False)
