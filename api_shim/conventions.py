"""How our REST API speaks HTTP, whatever it speaks about.

* What is asked for comes first: a version that we have and JSON (406), then who asks (403), then the rest.
* Every answer carries ``API-Version``; ``indent`` makes it readable for people.
* Bodies are JSON or forms (else 415), up to a size (413); what cannot be read is a sentence, never a traceback.
* Errors are the contract's shapes; one table says which status each kind has.
* Lists are pages with absolute links.

Contract 2.
"""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Callable, Collection, Mapping
from typing import Any
from uuid import UUID

from fastapi import FastAPI, Request
from starlette.exceptions import HTTPException
from starlette.formparsers import MultiPartException
from starlette.responses import JSONResponse, Response

from api_shim.identity import Unauthenticated
from api_shim.store import Listing
from approval_gate import errors
from approval_gate.model import Actor

logger = logging.getLogger("signoff")

VERSIONS = ("1.2", "1.3", "1.4", "1.5", "1.6", "2.0", "2.1", "2.2", "2.3", "2.4")
DEFAULT_VERSION = VERSIONS[-1]
MAX_BODY = 5_000_000
DEFAULT_LIMIT = 50
MAX_LIMIT = 1000
MAX_INDENT = 8
EVERYWHERE = frozenset({"limit", "offset", "sort", "q", "depth", "format", "api_version", "include", "exclude_m2m"})

STATUS: Mapping[type[errors.GateError], int] = {
    errors.Forbidden: 403,
    Unauthenticated: 403,
    errors.NotFound: 404,
    errors.TooLarge: 413,
    errors.Invalid: 400,
    errors.Conflict: 409,
    errors.NotRunnable: 405,
    errors.Unavailable: 503,
}


class UnsupportedMediaType(errors.GateError):
    """A body of a kind that we do not read."""


class NotAcceptable(errors.GateError):
    """An answer of a kind or version that we do not make."""


# Asking


def caller(request: Request) -> Actor:
    """Return who calls.

    Raises:
        NotAcceptable: he asks for a version or kind of answer that there is not.
        Unauthenticated: nobody that we know.
    """
    negotiate(request)
    who = request.state.caller
    if isinstance(who, errors.GateError):
        raise who
    if not isinstance(who, Actor):
        raise TypeError("The caller of a route of ours is an actor, or the reason why he is none.")
    return who


def negotiate(request: Request) -> None:
    """Settle the version and the form of the answer.

    Raises:
        NotAcceptable: there is no such version, or nothing that the client takes.
    """
    parameters = _accepted(request.headers.get("accept", "*/*"))
    version = parameters.get("version") or request.query_params.get("api_version") or DEFAULT_VERSION
    if version not in VERSIONS:
        where = '"Accept" header' if parameters.get("version") else "query"
        message = f'Invalid version "{version[:20]}" in {where}. Supported versions are: {", ".join(VERSIONS)}'
        raise NotAcceptable(message)
    request.state.version = version
    indent = parameters.get("indent", "")
    request.state.indent = min(int(indent), MAX_INDENT) if indent.isdecimal() and len(indent) < 3 else None


def _accepted(header: str) -> Mapping[str, str]:
    """Return the parameters of the first type in an ``Accept`` header that JSON satisfies."""
    for part in header.split(","):
        kind, *parameters = (piece.strip() for piece in part.split(";"))
        if kind.lower() in {"", "*/*", "application/*", "application/json"}:
            pairs = (parameter.partition("=") for parameter in parameters)
            return {name.strip().lower(): value.strip().strip('"') for name, _, value in pairs}
    raise NotAcceptable("Could not satisfy the request Accept header.")


async def read_body(request: Request) -> Any:
    """Return the decoded body: any JSON value, or the fields of a form; ``{}`` if there is none.

    Raises:
        Invalid: it cannot be decoded.
        TooLarge: it is larger than 5 MB.
        UnsupportedMediaType: it is neither JSON nor a form.
    """
    content = await _received(request)
    kind = request.headers.get("content-type", "application/json").partition(";")[0].strip().lower()
    if kind in {"multipart/form-data", "application/x-www-form-urlencoded"}:
        return await _form(request, content)
    if not content:
        return {}
    if kind not in {"application/json", ""}:
        raise UnsupportedMediaType(f'Unsupported media type "{kind[:100]}" in request.')
    return parse_json(content)


async def _received(request: Request) -> bytes:
    content = bytearray()
    async for chunk in request.stream():
        content += chunk
        if len(content) > MAX_BODY:
            raise errors.TooLarge(f"The request body is larger than {MAX_BODY} bytes.")
    return bytes(content)


async def _form(request: Request, content: bytes) -> dict[str, Any]:
    request._body = content  # the form parser reads the body again, which has been counted by now
    request._stream_consumed = False
    fields: dict[str, Any] = {}
    try:
        form = await request.form(max_files=0, max_fields=1000, max_part_size=MAX_BODY)
    except (MultiPartException, HTTPException, ValueError) as error:
        raise errors.Invalid({"detail": "Multipart form parse error - the form cannot be read."}) from error
    for name in form:
        values = form.getlist(name)
        fields[name] = values[0] if len(values) == 1 else values
    return fields


def parse_json(content: bytes) -> Any:
    """Decode JSON, strictly: no NaN, no lone surrogates, no depth or number that Python cannot take.

    Raises:
        Invalid: in the contract's words.
    """
    try:
        text = content.decode("utf-8")
        value = json.loads(text, parse_constant=_no_constant)
        if SURROGATE.search(text):
            json.dumps(value, ensure_ascii=False).encode("utf-8")
    except RecursionError as error:
        raise errors.Invalid({"detail": "JSON parse error - nested too deeply"}) from error
    except ValueError as error:
        raise errors.Invalid({"detail": f"JSON parse error - {str(error)[:200]}"}) from error
    return value


SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")


def _no_constant(name: str) -> None:
    raise ValueError(f"Out of range float values are not JSON compliant: {name}")


# Answering


def respond(request: Request, payload: Any, status: int = 200) -> Response:
    """Return an answer in JSON, indented if the client likes."""
    indent = getattr(request.state, "indent", None)
    text = json.dumps(payload, indent=indent, ensure_ascii=False, separators=None if indent else (",", ":"))
    return Response(text.encode("utf-8", "replace"), status, media_type="application/json", headers=_version(request))


def no_content(request: Request) -> Response:
    """Return the answer to a deletion."""
    return Response(status_code=204, headers=_version(request))


def _version(request: Request) -> dict[str, str]:
    return {
        "API-Version": getattr(request.state, "version", DEFAULT_VERSION),
        "Vary": "Accept, Authorization",
    }


def install_errors(app: FastAPI) -> None:
    """Give every error of the rules its status and shape."""

    async def refused(request: Request, error: Exception) -> Response:
        if not isinstance(error, errors.GateError):
            raise error
        status = next(STATUS[kind] for kind in type(error).__mro__ if kind in STATUS)
        return respond(request, _shape(error), status)

    async def http(request: Request, error: Exception) -> Response:
        status = error.status_code if isinstance(error, HTTPException) else 500
        detail = {404: "Not found.", 405: f'Method "{request.method}" not allowed.'}.get(status, "Error.")
        return respond(request, {"detail": detail}, status)

    async def broken(request: Request, error: Exception) -> Response:
        logger.error("%s %s failed.", request.method, request.url.path, exc_info=error)
        return JSONResponse({"detail": "The server failed; its log says why."}, 500, headers=_version(request))

    app.add_exception_handler(errors.GateError, refused)
    app.add_exception_handler(HTTPException, http)
    app.add_exception_handler(Exception, broken)


def _shape(error: errors.GateError) -> Any:
    return {"detail": error.detail} if isinstance(error.detail, str) else error.detail


# Lists


def read_listing(request: Request, filters: Mapping[str, Callable[[str], Any]]) -> Listing:
    """Read the query of a list.

    Args:
        request: the request.
        filters: the fields that can be filtered, each with what reads a value.

    Raises:
        Invalid: an unknown filter, or a value that cannot be read.
    """
    query = request.query_params
    _check_filters(query.keys(), filters)
    return Listing(
        where={
            field: [_filter(field, filters[field], v) for v in query.getlist(field)]
            for field in filters
            if field in query
        },
        search=query.get("q", ""),
        sort=tuple(part for value in query.getlist("sort") for part in value.split(",") if part),
        limit=_limit(query.get("limit", "")),
        offset=_number(query.get("offset", ""), 0),
    )


def _check_filters(names: Collection[str], filters: Collection[str]) -> None:
    unknown = [name for name in names if name not in filters and name not in EVERYWHERE]
    if unknown:
        raise errors.Invalid({name: ["Unknown filter field"] for name in unknown})


def _filter(field: str, read: Callable[[str], Any], value: str) -> Any:
    try:
        return read(value)
    except ValueError as error:
        raise errors.Invalid({field: [f"“{value[:100]}” is not a valid value."]}) from error


def _limit(text: str) -> int:
    limit = _number(text, DEFAULT_LIMIT)
    return min(limit or MAX_LIMIT, MAX_LIMIT)


def _number(text: str, default: int) -> int:
    return int(text) if text.isdecimal() and text.isascii() and len(text) < 10 else default


def as_page(request: Request, listing: Listing, count: int, results: list[Any]) -> dict[str, Any]:
    """Return a page of a list in the contract's shape."""
    after, before = listing.offset + listing.limit, listing.offset - listing.limit

    def link(offset: int) -> str:
        return str(request.url.include_query_params(limit=listing.limit, offset=offset))

    return {
        "count": count,
        "next": link(after) if after < count else None,
        "previous": link(max(0, before)) if listing.offset > 0 else None,
        "results": results,
    }


def read_id(text: str) -> UUID | None:
    """Return a UUID, or None for what is none."""
    try:
        return UUID(text)
    except ValueError:
        return None
