"""The HTTP conventions of the REST API: content negotiation, answers, errors, lists and references.

* The version and the media type are checked first (406), then the credentials (403), then the rest.
* Every answer has ``API-Version``; ``indent`` formats it for people. With ``format=csv`` what is read is CSV, and with
  ``exclude_m2m`` without its lists of related objects.
* A method that a list has not is refused for a lack of permission first. ``OPTIONS`` lists the methods of an address,
  and the fields of what is there.
* Names in paths and filters cannot have null characters, which some databases refuse.
* Errors are answered as ``web.errors`` says.
* The answer with a scheduled job has its version as ``ETag``, which ``If-Match`` can name.
* Lists are pages with absolute links.

Contract 2.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import partial
from typing import Any, TypeVar
from urllib.parse import unquote
from uuid import UUID

from fastapi import FastAPI, Request
from pydantic_core import PydanticSerializationError, to_json
from starlette.datastructures import URL
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, Response

from api_shim.parsing.fields import read_count, read_id, truth_of
from api_shim.parsing.filters import UNKNOWN, read_conditions, read_sort, read_text
from api_shim.parsing.seen import HEADER, etag_of
from api_shim.schemas import Accepted, Object, Page, Review, ScheduledJob, Shape
from api_shim.services.run_credentials import NOT_FOR_RUNS, RunCaller
from api_shim.store import Listing
from api_shim.web.bodies import limits_of
from api_shim.web.downloads import download
from api_shim.web.errors import NotAcceptable, body_of, headers_of, methods_of, status_of
from api_shim.web.rest.csv_answers import as_csv
from api_shim.web.rest.options import options_of
from approval_gate import errors, policy
from approval_gate.model import Action, Actor, ObjectType

logger = logging.getLogger("signoff")

T = TypeVar("T")

VERSIONS = ("1.2", "1.3", "1.4", "1.5", "1.6", "2.0", "2.1", "2.2", "2.3", "2.4")
DEFAULT_VERSION = VERSIONS[-1]
DEFAULT_LIMIT = 50
MAX_DEPTH = 1
MAX_INDENT = 8
EVERYWHERE = frozenset({"limit", "offset", "sort", "q", "depth", "format", "api_version", "include", "exclude_m2m"})


LISTS: Mapping[str, ObjectType] = {
    "/api/extras/jobs": ObjectType.JOB,
    "/api/extras/scheduled-jobs": ObjectType.SCHEDULED_JOB,
    "/api/extras/approval-queue": ObjectType.SCHEDULED_JOB,
    "/api/extras/approval-requests": ObjectType.APPROVAL_REQUEST,
    "/api/extras/job-results": ObjectType.JOB_RESULT,
    "/api/extras/job-logs": ObjectType.JOB_LOG_ENTRY,
    "/api/extras/job-queues": ObjectType.JOB_QUEUE,
    "/api/extras/job-buttons": ObjectType.JOB_BUTTON,
    "/api/extras/job-hooks": ObjectType.JOB_HOOK,
    "/api/extras/automation-accounts": ObjectType.AUTOMATION_ACCOUNT,
    "/api/users/users": ObjectType.USER,
    "/api/users/groups": ObjectType.GROUP,
    "/api/users/tokens": ObjectType.TOKEN,
    "/api/users/permissions": ObjectType.PERMISSION,
}
"""The type of the objects of each list, by its address."""

ACTIONS: Mapping[str, Action] = {
    "POST": Action.ADD,
    "PUT": Action.CHANGE,
    "PATCH": Action.CHANGE,
    "DELETE": Action.DELETE,
}
"""What each method does to the objects of a list."""


# Asking


async def caller(request: Request) -> Actor:
    """Return the account that calls.

    Raises:
        NotAcceptable: the requested version or media type is not available.
        Unauthenticated: the credentials are missing or invalid.
        Forbidden: a run calls with its own credential.
    """
    who = await speaker(request)
    if isinstance(who, RunCaller):
        raise errors.Forbidden(NOT_FOR_RUNS)
    return who


async def speaker(request: Request) -> Actor | RunCaller:
    """Return the account that calls, or the run that does so with its own credential.

    Raises:
        NotAcceptable: the requested version or media type is not available.
        Unauthenticated: the credentials are missing or invalid.
    """
    negotiate(request)
    who = request.state.caller
    if isinstance(who, errors.GateError):
        raise who
    if not isinstance(who, Actor | RunCaller):
        raise TypeError("request.state.caller must be an account or a run, or the error why there is none.")
    return who


def negotiate(request: Request) -> None:
    """Negotiate the version and the indentation of the answer.

    Raises:
        NotAcceptable: the version does not exist, or the client does not accept JSON.
    """
    parameters = _accepted(",".join(request.headers.getlist("accept")))
    version = parameters.get("version") or request.query_params.get("api_version") or DEFAULT_VERSION
    if version not in VERSIONS:
        where = '"Accept" header' if parameters.get("version") else "query"
        message = f'Invalid version "{version[:20]}" in {where}. Supported versions are: {", ".join(VERSIONS)}'
        raise NotAcceptable(message)
    request.state.version = version
    indent = parameters.get("indent", "")
    request.state.indent = min(read_count(indent, 0), MAX_INDENT) or None
    request.state.csv = request.method == "GET" and request.query_params.get("format") == "csv"
    request.state.brief = truth_of(request.query_params.get("exclude_m2m", "")) is True


def _accepted(header: str) -> Mapping[str, str]:
    """Return the parameters of the first type in an ``Accept`` header that JSON satisfies."""
    for part in header.split(","):
        kind, *parameters = (piece.strip() for piece in part.split(";"))
        if kind.lower() in {"", "*/*", "application/*", "application/json"}:
            pairs = (parameter.partition("=") for parameter in parameters)
            return {name.strip().lower(): value.strip().strip('"') for name, _, value in pairs}
    raise NotAcceptable("Could not satisfy the request Accept header.")


# Answering


def respond(request: Request, payload: Any, status: int = 200) -> Response:
    """Return a JSON response.

    Args:
        request: the request, with the negotiated version and indentation.
        payload: a shape, or a JSON value that may contain shapes.
        status: the HTTP status.
    """
    indent, brief = getattr(request.state, "indent", None), getattr(request.state, "brief", False)
    headers = _version(request) | _etag(payload)
    if isinstance(payload, Page | Object) and getattr(request.state, "csv", False):
        told = _plain(payload, brief=brief)
        text = as_csv(told["results"] if isinstance(payload, Page) else [told])
        return Response(text.encode("utf-8", "replace"), status, media_type="text/csv", headers=headers)
    return Response(_as_json(payload, indent, brief=brief), status, media_type="application/json", headers=headers)


def _as_json(payload: Any, indent: int | None, *, brief: bool) -> bytes:
    if not brief:
        # Half a pair of surrogates, which a Job may return and UTF-8 cannot express, is written below.
        with suppress(PydanticSerializationError):
            return to_json(payload, indent=indent)
    separators = None if indent else (",", ":")
    plain = partial(_plain, brief=brief)
    text = json.dumps(payload, default=plain, indent=indent, ensure_ascii=False, separators=separators)
    return text.encode("utf-8", "replace")


def _plain(value: Any, *, brief: bool) -> Any:
    """Return a shape as a JSON object; if it is to be brief, without its lists of related objects."""
    if isinstance(value, Shape):
        return value.model_dump(mode="json", exclude=_lists_of(value) if brief else None)
    raise TypeError(f"{type(value).__name__} cannot be encoded as JSON.")


def _lists_of(shape: Shape) -> Any:
    if isinstance(shape, Page):
        return {"results": {"__all__": {name for each in shape.results for name in each.many}}}
    return set(shape.many)


def _etag(payload: Any) -> dict[str, str]:
    """Return the header with the version of the scheduled job that is answered; none for anything else."""
    shown = payload.scheduled_job if isinstance(payload, Accepted | Review) else payload
    return {"ETag": etag_of(shown.approval_version)} if isinstance(shown, ScheduledJob) else {}


def respond_file(request: Request, name: str, content: bytes) -> Response:
    """Return the response with a file.

    Args:
        request: the request, with the negotiated version.
        name: what the file is called.
        content: what it has.
    """
    answer = download(name, content)
    answer.headers.update(_version(request))
    return answer


def no_content(request: Request) -> Response:
    """Return the response to a deletion."""
    return Response(status_code=204, headers=_version(request))


def _version(request: Request) -> dict[str, str]:
    return {
        "API-Version": getattr(request.state, "version", DEFAULT_VERSION),
        "Vary": "Accept, Authorization",
    }


def install_errors(app: FastAPI) -> None:
    """Turn every error into a response with its status and shape."""

    async def refused(request: Request, error: Exception) -> Response:
        if not isinstance(error, errors.GateError):
            raise error
        # What If-Match asks for is refused with the status that HTTP has for it.
        outdated = isinstance(error, errors.Outdated) and HEADER in request.headers
        answer = respond(request, body_of(error), 412 if outdated else status_of(error))
        answer.headers.update(headers_of(error))
        return answer

    async def unrouted(request: Request, _error: Exception) -> Response:
        # Authenticate here too: without credentials nobody learns which addresses exist.
        try:
            actor = await caller(request)
            if kind := LISTS.get(request.url.path):
                _check_may(actor, request.method, kind)
        except errors.GateError as refusal:
            return await refused(request, refusal)
        allowed = methods_of(request)
        if not allowed:
            return respond(request, {"detail": "Not found."}, 404)
        if request.method == "OPTIONS":
            answer = respond(request, options_of(LISTS.get(request.url.path)))
        else:
            answer = respond(request, {"detail": f'Method "{request.method}" not allowed.'}, 405)
        answer.headers["Allow"] = ", ".join(allowed)
        return answer

    async def broken(request: Request, error: Exception) -> Response:
        logger.error("%s %s failed.", request.method, request.url.path, exc_info=error)
        said = {"detail": "Internal server error. The server log has the details."}
        return JSONResponse(said, 500, headers=_version(request))

    app.add_exception_handler(errors.GateError, refused)
    app.add_exception_handler(HTTPException, unrouted)
    app.add_exception_handler(Exception, broken)


@contextmanager
def permission_first(request: Request, actor: Actor, kind: ObjectType) -> Iterator[None]:
    """Tell somebody who may not do what a method does so, rather than what is wrong with what they have sent.

    Args:
        request: the request.
        actor: who calls.
        kind: the type of the objects of the list.
    """
    try:
        yield
    except errors.GateError:
        _check_may(actor, request.method, kind)
        raise


def _check_may(actor: Actor, method: str, kind: ObjectType) -> None:
    if action := ACTIONS.get(method):
        policy.enforce(policy.check_type(actor, action, kind), kind)


# Lists


def root_of(request: Request) -> str:
    """Return the origin of the links in an answer, without a trailing slash."""
    origin: str = request.state.origin
    return origin


def read_listing(request: Request, kind: ObjectType) -> Listing:
    """Read the query of a list.

    Args:
        request: the request.
        kind: the type of the listed objects.

    Raises:
        Invalid: a filter is unknown, or its value is invalid.
    """
    query = request.query_params
    asked = {name: query.getlist(name) for name in query if name not in EVERYWHERE}
    return Listing(
        where=read_conditions(kind, asked),
        search=_search(query.get("q", "")),
        sort=read_sort(kind, query.getlist("sort")),
        limit=_limit(query.get("limit", ""), limits_of(request).page_size),
        offset=read_count(query.get("offset", ""), 0),
    )


def _search(text: str) -> str:
    try:
        return read_text(text)
    except ValueError as error:
        raise errors.Invalid({"q": [str(error)]}) from error


def check_query(request: Request, *known: str) -> None:
    """Check that a query has only known parameters.

    Raises:
        Invalid: a parameter is unknown.
    """
    unknown = [name for name in request.query_params if name not in {*EVERYWHERE, *known}]
    if unknown:
        raise errors.Invalid({name: [UNKNOWN] for name in unknown})


def read_depth(request: Request) -> int:
    """Return the requested depth of related objects: 0 for references, 1 for objects in full."""
    return min(read_count(request.query_params.get("depth", ""), 0), MAX_DEPTH)


def _limit(text: str, largest: int) -> int:
    limit = read_count(text, DEFAULT_LIMIT)
    return min(limit or largest, largest)


def as_page(request: Request, listing: Listing, count: int, results: list[T]) -> Page[T]:
    """Return a page of a list in the shape of the contract."""
    after, before = listing.offset + listing.limit, listing.offset - listing.limit

    def link(offset: int) -> str:
        address = URL(f"{root_of(request)}{request.url.path}/?{request.url.query}")
        address = address.include_query_params(limit=listing.limit, offset=offset)
        return str(address if offset else address.remove_query_params("offset"))

    return Page(
        count=count,
        next=link(after) if after < count else None,
        previous=link(max(0, before)) if listing.offset > 0 else None,
        results=results,
    )


async def reference(request: Request) -> str:
    """Return the id or name in the path. A name may contain any character, even a slash.

    Raises:
        NotFound: the name has characters that no name has.
    """
    try:
        # The path was routed percent-encoded, so that an encoded slash does not split it.
        return read_text(unquote(request.path_params["ref"]))
    except ValueError as error:
        raise errors.NotFound("Not found.") from error


def id_in(ref: str, kind: ObjectType) -> UUID:
    """Return the id that a reference is, to an object of a type that is referred to by its id alone.

    Raises:
        NotFound: it is none.
    """
    thing_id = read_id(ref)
    if thing_id is None:
        raise policy.missing(kind)
    return thing_id


def by_reference(ref: str, name: str = "name") -> dict[str, object]:
    """Return the lookup for a reference: by id if it is a UUID, else by the field that holds names."""
    thing_id = read_id(ref)
    return {name: ref} if thing_id is None else {"id": thing_id}
