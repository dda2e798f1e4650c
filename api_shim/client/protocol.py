"""The building blocks of operations: requests, pauses, and the encoding of names, filters, bodies and answers.

* Values that cannot be encoded are refused before anything is sent.
* A name is one segment of a path, whatever characters it has.
* Of the link to the next page only the query is used: behind a proxy its host may not be reachable.
* A list contains each object once, even if objects move between pages while it is read.
"""

from __future__ import annotations

import json
from collections.abc import Generator, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import quote, urlencode, urlsplit
from uuid import UUID

import httpx
from pydantic import TypeAdapter, ValidationError

from api_shim import schemas
from approval_gate.errors import Invalid, NotFound

T = TypeVar("T")
O = TypeVar("O", bound=schemas.Object)  # noqa: E741 - an object of the contract

EXTRAS = "api/extras"
MOST_OF_A_PAGE = 200
"""Maximum number of rows in one request."""

Ref = str | UUID | schemas.Reference | schemas.Object
"""A reference to an object: its id, its name, or the object itself."""

Value = str | int | bool | datetime | UUID | schemas.Reference | schemas.Object
Filter = Value | Iterable[Value] | None
"""The value of a filter: one value, or several of which any matches; None for no filter."""


class UnexpectedResponse(Exception):
    """The answer is not one of this version of signoff."""


@dataclass(frozen=True, kw_only=True, slots=True)
class HttpRequest:
    """A request to the server.

    Args:
        method: the HTTP method.
        path: the path below the URL of the server.
        body: the encoded JSON body; None for no body.
        headers: further headers.
        as_bytes: whether the answer is bytes, and no JSON.
    """

    method: str = "GET"
    path: str
    body: bytes | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    as_bytes: bool = False


@dataclass(frozen=True, slots=True)
class Sleep:
    """A pause. The operation is sent the time after it, in seconds of a monotonic clock.

    Args:
        seconds: the length of the pause.
    """

    seconds: float


Operation = Generator[HttpRequest | Sleep, Any, T]
"""An operation: it yields requests and pauses, is sent their answers, and returns the result."""


# What is sent


def keyed(idempotency_key: str | None) -> dict[str, str]:
    """Return the header that makes asking twice be one request; none without a key."""
    return {} if idempotency_key is None else {"Idempotency-Key": idempotency_key}


def path_of(kind: str, ref: Ref, verb: str = "") -> str:
    """Return the path of an object, or of an action on it.

    Args:
        kind: the last segment of the path of its list.
        ref: the reference to the object.
        verb: the last segment of the path of the action; empty for the object itself.

    Raises:
        NotFound: the name is empty.
        Invalid: the name contains lone surrogates.
    """
    text = text_of(ref)
    if not text:
        raise NotFound("The name is empty.")
    try:
        # Encode dots too: the name ".." would be a dot segment of the path.
        name = quote(text, safe="").replace(".", "%2E")
    except UnicodeEncodeError as error:
        raise Invalid("The name has characters that cannot be sent.") from error
    return f"{EXTRAS}/{kind}/{name}/{verb}/" if verb else f"{EXTRAS}/{kind}/{name}/"


def body_of(content: object) -> bytes:
    """Return a value encoded as a JSON body.

    Raises:
        Invalid: the value cannot be encoded as JSON.
    """
    try:
        return json.dumps(content, ensure_ascii=False, allow_nan=False, default=text_of).encode()
    except (TypeError, ValueError, RecursionError) as error:
        raise Invalid("The data has values or characters that JSON cannot represent.") from error


File = tuple[str, bytes]
"""A file that is sent: its name and its content."""


def files_in(data: Mapping[str, Any]) -> dict[str, File]:
    """Return those of these values that are files, by name: paths, and names with contents.

    Raises:
        Invalid: a file cannot be read.
    """
    return {name: _file(value) for name, value in data.items() if _is_file(value)}


def _is_file(value: object) -> bool:
    return isinstance(value, Path) or (isinstance(value, tuple) and [*map(type, value)] == [str, bytes])


def _file(value: Path | File) -> File:
    if isinstance(value, tuple):
        return value
    try:
        return value.name, value.read_bytes()
    except OSError as error:
        raise Invalid(f"The file {value} cannot be read: {error.strerror}.") from error


def form_of(fields: Mapping[str, Any], files: Mapping[str, File]) -> tuple[bytes, dict[str, str]]:
    """Return a form with files as a body, and the header that says so.

    Args:
        fields: its other fields; what is None is not sent.
        files: the files.

    Raises:
        Invalid: a value cannot be written.
    """
    data = {name: _written(value) for name, value in fields.items() if value is not None}
    request = httpx.Request("POST", "http://server/", data=data, files=files)
    return request.read(), {"Content-Type": request.headers["Content-Type"]}


def _written(value: object) -> str | list[str]:
    """Return the text of a form field, or that of each of several."""
    if isinstance(value, list | tuple) and all(type(each) in {str, int} for each in value):
        return [str(each) for each in value]
    if isinstance(value, float | list | tuple | Mapping):
        return body_of(value).decode()
    try:
        return text_of(value)
    except TypeError as error:
        raise Invalid(str(error)) from error


def query_of(filters: Mapping[str, Filter]) -> str:
    """Return filters as a URL query.

    Raises:
        Invalid: a value contains lone surrogates.
    """
    pairs = [(field, text_of(value)) for field, values in filters.items() for value in _several(values)]
    try:
        return urlencode(pairs)
    except UnicodeEncodeError as error:
        raise Invalid("A filter has characters that cannot be sent.") from error


def _several(values: Filter) -> Iterable[Value]:
    if values is None:
        return []
    one = isinstance(values, str | int | datetime | UUID | schemas.Reference | schemas.Object)
    return [values] if one else values  # type: ignore[list-item,return-value]  # one of the types of Value


def text_of(value: object) -> str:
    """Return an id, a time, a number or a flag as text, in the format of the contract.

    Raises:
        TypeError: the value has another type.
    """
    match value:
        case bool():
            return str(value).lower()
        case schemas.Reference() | schemas.Object():
            return str(value.id)
        case datetime():
            return value.isoformat()
        case str() | int() | UUID():
            return str(value)
        case _:
            raise TypeError(f"{type(value).__name__} cannot be sent.")


# What comes back


def read(kind: type[T], content: object) -> T:
    """Validate an answer.

    Args:
        kind: the expected type.
        content: the decoded content.

    Raises:
        UnexpectedResponse: the content has another shape.
    """
    try:
        return TypeAdapter(kind).validate_python(content)
    except ValidationError:
        # Without the cause, which may repeat confidential content.
        raise UnexpectedResponse from None


def read_nothing(content: object) -> None:
    """Check that an answer is empty, as after a deletion.

    Raises:
        UnexpectedResponse: it is not empty.
    """
    if content is not None:
        raise UnexpectedResponse


def rows(kind: type[O], path: str, filters: Mapping[str, Filter], limit: int | None) -> Operation[schemas.Rows[O]]:
    """Read a list, page by page.

    Args:
        kind: the type of its objects.
        path: the path of the list.
        filters: the filters, with ``sort`` and ``q``.
        limit: the maximum number of objects; None for all.
    """
    found: dict[UUID, O] = {}
    asked: set[str] = set()
    size = MOST_OF_A_PAGE if limit is None else max(1, min(limit, MOST_OF_A_PAGE))
    query = query_of({"limit": size, **filters})
    while query and query not in asked and (limit is None or len(found) < limit):
        asked.add(query)
        page = read(schemas.Page[Any], (yield HttpRequest(path=f"{EXTRAS}/{path}/?{query}")))
        found |= {row.id: row for row in (read(kind, row) for row in page.results)}
        query = urlsplit(page.next or "").query
    return schemas.Rows(list(found.values())[:limit])
