"""The files that the store keeps, as frozen values: those that runs have made, and those that they are given.

* What is known of a file and what it has are two values: lists never read the contents. Of a given file, all that is
  known stands in the inputs that refer to it.
* A given file is kept while something that refers to it can still run, or runs.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from api_shim.domain.model import Job
from flows.files import GivenFile, is_reference
from flows.variables import FILE_FORMAT


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


@dataclass(frozen=True, kw_only=True, slots=True)
class InputFile:
    """A file that runs are given.

    Args:
        content: what it has, encrypted.
        created: when it was sent.
    """

    id: UUID
    content: bytes = field(repr=False)
    created: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class InputFileUse:
    """A scheduled job or a job result whose inputs refer to a file."""

    file_id: UUID
    holder_id: UUID


def file_variables(job: Job) -> list[str]:
    """Return the names of the variables of a Job that are files."""
    properties = (job.parameter_schema or {}).get("properties", {})
    return [name for name, schema in properties.items() if _is_of_file(schema)]


def _is_of_file(schema: Mapping[str, Any]) -> bool:
    return any(each.get("format") == FILE_FORMAT for each in (schema, *schema.get("anyOf", ())))


def with_kept_files(job: Job, stored: Mapping[str, Any], data: object) -> object:
    """Return the data of a change with the files that the store keeps; one that is not sent is the one that is there.

    Args:
        job: the Job.
        stored: inputs that the store has.
        data: the data as sent, which may have something from there.
    """
    if not isinstance(data, Mapping):
        return data
    kept = {name: stored[name] for name in file_variables(job) if is_reference(stored.get(name))}
    taken = {
        name: GivenFile.kept(reference) for name, reference in kept.items() if data.get(name, reference) == reference
    }
    return {**data, **taken}
