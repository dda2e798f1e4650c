"""What calls are made of: a question to the server, a pause, and how names, filters and answers are written and read.

* What cannot be sent is refused before anything is.
* Any name is one part of a path, whatever is in it.
* Of a link to a further page only its query is used: behind a proxy it may name an address that is not ours to ask.
* A list has each of its rows once, however it moves between two pages.
"""

from __future__ import annotations

import json
from collections.abc import Generator, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, TypeVar
from urllib.parse import quote, urlencode, urlsplit
from uuid import UUID

from pydantic import TypeAdapter, ValidationError

from api_shim import schemas
from approval_gate.errors import Invalid, NotFound

T = TypeVar("T")
O = TypeVar("O", bound=schemas.Object)  # noqa: E741 - an object of the contract

EXTRAS = "api/extras"
MOST_OF_A_PAGE = 200
"""Rows that are asked for at once."""

Ref = str | UUID | schemas.Reference | schemas.Object
"""By which something is meant: its id, its name, or itself."""

Value = str | int | bool | datetime | UUID | schemas.Reference | schemas.Object
Filter = Value | Iterable[Value] | None
"""What a list is restricted to: one value, or any of several; None does not restrict."""


class UnexpectedResponse(Exception):
    """What has not been said by signoff, or not by this version of it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class HttpRequest:
    """Something to be asked of the server.

    Args:
        method: of HTTP.
        path: below the address of the origin.
        body: JSON, encoded; None for none.
        headers: what else is said of the request.
    """

    method: str = "GET"
    path: str
    body: bytes | None = None
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Sleep:
    """Some time to let pass; it is answered with the time, in seconds since some moment.

    Args:
        seconds: how long.
    """

    seconds: float


Operation = Generator[HttpRequest | Sleep, Any, T]
"""A call: what it yields is done, and the answer sent to it; what it returns is the result."""


# What is sent


def keyed(idempotency_key: str | None) -> dict[str, str]:
    """Return the header that makes asking twice be one request; none without a key."""
    return {} if idempotency_key is None else {"Idempotency-Key": idempotency_key}


def path_of(kind: str, ref: Ref, verb: str = "") -> str:
    """Return the path of one object, or of something that is done with it.

    Args:
        kind: the last part of the path of the list that it is in.
        ref: by which it is meant.
        verb: what is done with it.

    Raises:
        NotFound: the name is empty.
        Invalid: the name is no text.
    """
    text = text_of(ref)
    if not text:
        raise NotFound("Nothing has an empty name.")
    try:
        # The dots too: a name may be "..", which in a path means another address.
        name = quote(text, safe="").replace(".", "%2E")
    except UnicodeEncodeError as error:
        raise Invalid("The name has characters that are no text.") from error
    return f"{EXTRAS}/{kind}/{name}/{verb}/" if verb else f"{EXTRAS}/{kind}/{name}/"


def body_of(content: object) -> bytes:
    """Return what is sent as a body, encoded.

    Raises:
        Invalid: it is nothing that JSON can tell.
    """
    try:
        return json.dumps(content, ensure_ascii=False, allow_nan=False, default=text_of).encode()
    except (TypeError, ValueError, RecursionError) as error:
        raise Invalid("What is to be sent has values or characters that JSON cannot tell.") from error


def query_of(filters: Mapping[str, Filter]) -> str:
    """Return filters as a query.

    Raises:
        Invalid: a value is no text.
    """
    pairs = [(field, text_of(value)) for field, values in filters.items() for value in _several(values)]
    try:
        return urlencode(pairs)
    except UnicodeEncodeError as error:
        raise Invalid("A filter has characters that are no text.") from error


def _several(values: Filter) -> Iterable[Value]:
    if values is None:
        return []
    one = isinstance(values, str | int | datetime | UUID | schemas.Reference | schemas.Object)
    return [values] if one else values  # type: ignore[list-item,return-value]  # one of the types of Value


def text_of(value: object) -> str:
    """Return an id, a time or a flag as the contract writes it.

    Raises:
        TypeError: it is none of those.
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
    """Read an answer.

    Args:
        kind: its type, of shapes.
        content: what came back, decoded.

    Raises:
        Strange: it is no such thing.
    """
    try:
        return TypeAdapter(kind).validate_python(content)
    except ValidationError:
        # Without a cause: it may repeat what was said.
        raise UnexpectedResponse from None


def read_nothing(content: object) -> None:
    """See that there is no answer, as to a deletion.

    Raises:
        Strange: there is one.
    """
    if content is not None:
        raise UnexpectedResponse


def rows(kind: type[O], path: str, filters: Mapping[str, Filter], limit: int | None) -> Operation[list[O]]:
    """Read a list, page by page.

    Args:
        kind: the type of its rows.
        path: of the list.
        filters: what it is restricted to; ``sort`` and ``q`` too.
        limit: how many rows at most; None for all.
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
    return list(found.values())[:limit]
