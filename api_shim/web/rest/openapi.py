"""The OpenAPI 3.1 document, generated from the routes.

* Each route declares its own answer, body and query with ``answers``, ``one`` or ``a_list``.
* What all routes share is added here: authentication, versions, refusals, and the parameters of lists.
* Paths are shown with a trailing slash, as in the contract; they work without it too.

Contract 2.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from importlib.metadata import version
from operator import itemgetter
from typing import Any

from fastapi.openapi.utils import get_openapi
from pydantic import TypeAdapter
from starlette.responses import Response
from starlette.routing import BaseRoute

from api_shim import schemas
from api_shim.parsing.filters import parameters
from api_shim.parsing.seen import HEADER as IF_MATCH
from api_shim.services.request_keys import HEADER, LONGEST
from api_shim.services.schedule_views import MOST_FIRINGS, SHOWN_FIRINGS
from api_shim.web.bodies import FORMS
from api_shim.web.downloads import BYTES
from api_shim.web.rest.protocol import DEFAULT_LIMIT, DEFAULT_VERSION, VERSIONS
from approval_gate.model import ObjectType

Json = dict[str, Any]

ABOUT = """\
Run and schedule Jobs, approve requests, and manage ownership.

Authenticate with the header `Authorization: Token <key>`. Select a version with
`Accept: application/json; version=2.4`, and add `; indent=4` for indented answers. All addresses work with and without
the trailing slash. With `format=csv` what is read is CSV, and with `exclude_m2m=true` without its lists of related
objects. `OPTIONS` tells the fields of a list and their choices.

The API is the one that Nautobot documents. On purpose it differs in this:

* Nobody approves what they have requested, owned or changed, and a decision is made once; `force` is a boolean. An
  owner who may no longer run the Job counts as removed.
* A variable that is left out takes its default; `"off"` and the like are false.
* A Job has the tags that its code names (`Meta.tags`); objects with their names, which nobody changes.
* A flag, a number or a related object in a filter that cannot be read, or that there is not, is refused.
* All faults of a schedule are told at once. Its crontab is kept only where it has an effect, so that whoever approves
  it sees what runs.
* The result of a run has its `task_name` and its `meta` from the beginning, and `total_run_count` and `last_run_at`
  tell what has run.
* Related objects that the caller may not view stay references, whatever the `depth`.
* Job hooks and job buttons are for Jobs, scheduled jobs and job results. The `text` of a button is shown as it is, and
  each needs a Job that receives it, which whoever makes or changes them may run.
* A list of log lines that names no job result is of the newest 20. What Prefect's engine says is among them only if
  the query asks about the `grouping`, which is `engine` then.
"""
SCHEMAS = "#/components/schemas/"

TEXT: Json = {"type": "string"}
NUMBER: Json = {"type": "integer", "minimum": 0}
VERSION: Json = {"type": "string", "enum": list(VERSIONS), "default": DEFAULT_VERSION}

QUERY: Mapping[str, tuple[Json, str]] = {
    "api_version": (VERSION, "The version of the answer, for clients that cannot set the `Accept` header."),
    "depth": ({**NUMBER, "default": 0}, "0: related objects are references; 1 or more: they are shown in full."),
    "limit": (
        {**NUMBER, "default": DEFAULT_LIMIT},
        "The maximum number of results, up to 1000 unless the server has another limit; 0 for as many as it allows.",
    ),
    "offset": ({**NUMBER, "default": 0}, "The number of results to skip."),
    "sort": (TEXT, "Fields to sort by, separated by commas; `-` before a field reverses its order."),
    "q": (TEXT, "A text to search for."),
    "force": ({**TEXT, "enum": ["true", "false"]}, "Approve although the start time has passed."),
    "revoke_approvals": (
        {**TEXT, "enum": ["true", "false"], "default": "false"},
        "Whether what the user has approved, and has not run for good, waits for approval again.",
    ),
    "count": (
        {"type": "integer", "minimum": 1, "maximum": MOST_FIRINGS, "default": SHOWN_FIRINGS},
        "How many times to show.",
    ),
    "user": (TEXT, "The name or the id of the user to explain it for; by default the caller."),
}
"""The query parameters: schema and description."""

LISTING = ("depth", "limit", "offset", "sort", "q")

REFUSALS: Mapping[int, tuple[str, Any, str]] = {
    400: ("Invalid", schemas.Refusal | schemas.Faults, "The request is invalid; there is a sentence for each fault."),
    403: ("Forbidden", schemas.Refusal, "The credentials are missing or invalid, or do not permit this."),
    404: ("NotFound", schemas.Refusal, "The object does not exist, or the caller may not view it."),
    405: ("NotRunnable", schemas.Refusal, "The Job cannot be run, or the method is not allowed."),
    406: ("NotAcceptable", schemas.Refusal, "The requested version or media type is not available."),
    409: ("Conflict", schemas.Refusal, "The state of the object does not allow this."),
    412: ("Outdated", schemas.Refusal, "The object has another version than `If-Match` names."),
    413: ("TooLarge", schemas.Refusal | schemas.Faults, "The body is too large, or names too many objects."),
    415: ("UnsupportedMediaType", schemas.Refusal, "The body is neither JSON nor a form."),
    503: ("Unavailable", schemas.Refusal, "The database, Prefect or a worker is not available."),
}
"""The refusals by status: name, shape and description."""

PAGE: Any = schemas.Page

HOW = "`Token`, a space, and the key."
PATH: Mapping[str, Json] = {
    "ref": {"schema": TEXT, "description": "The id or the name of the object."},
    "file_id": {"schema": {**TEXT, "format": "uuid"}, "description": "The id of the file."},
}
"""The path parameters."""

KEY: Json = {**TEXT, "minLength": 1, "maxLength": LONGEST}
KEYED = """Any text that the caller uses only for this request, such as a UUID. The same request with the same key
within a day is answered with what it has become; another request with that key is refused (409)."""

MATCHED = "The `ETag` of the scheduled job that was seen, or `*`. If it has another one, this is refused (412)."

TAGGED = (schemas.ScheduledJob, schemas.Accepted, schemas.Review)
"""The shapes that are answered with an ETag."""

DONE = {200: "Success.", 201: "Created.", 204: "Deleted."}


# What routes declare


def answers(
    shape: Any,
    status: int = 200,
    *,
    query: Sequence[str] = (),
    kind: ObjectType | None = None,
    body: Any = None,
    form: Any = None,
    keyed: bool = False,
    matched: bool = False,
    also: Collection[int] = (),
    or_told: Any = None,
) -> Json:
    """Return the description of a route, as keyword arguments for its decorator.

    Args:
        shape: the type of the answer; None for no content.
        status: the HTTP status of the answer.
        query: the names of its query parameters, of those in ``QUERY``.
        kind: the type of object whose fields the query can filter by.
        body: the type of the body.
        form: the type of the body as a form.
        keyed: whether it takes an idempotency key.
        matched: whether it takes the version that the caller has seen.
        also: the statuses of further refusals.
        or_told: the type of an answer with 200 instead, when there is something to tell.
    """
    headers = [name for name, taken in ((HEADER, keyed), (IF_MATCH, matched)) if taken]
    own = [_reference("parameters", name) for name in (*query, *headers)]
    refusals = _refusals([*also, *((409, 412) if matched else ())])
    tagged = {str(status): {"headers": {"ETag": _reference("headers", "ETag")}}} if shape in TAGGED else {}
    filters = [_query(name, {"type": "array", "items": schema}) for name, schema in parameters(kind)] if kind else []
    extra: Json = {"parameters": [*own, *filters], "responses": refusals | tagged}
    if body is not None:
        schema = _schema(body)
        kinds = {"application/json": schema, **(dict.fromkeys(FORMS, _schema(form)) if form else {})}
        content = {name: {"schema": schema} for name, schema in kinds.items()}
        extra["requestBody"] = {"content": content, "required": "required" in schema or schema["type"] == "array"}
    return {
        "response_model": shape,
        "status_code": status,
        "response_description": DONE[status],
        "responses": {200: {"model": or_told, "description": "Success, and what follows from it."}} if or_told else {},
        "openapi_extra": extra,
    }


def a_list(shape: Any, kind: ObjectType) -> Json:
    """Return the description of a route that answers with a list.

    Args:
        shape: the type of each result.
        kind: the type of the objects.
    """
    return answers(PAGE[shape], query=LISTING, kind=kind)


def a_file() -> Json:
    """Return the description of a route that answers with a file."""
    content = {BYTES: {"schema": {"type": "string", "format": "binary"}}}
    return {**answers(None), "response_class": Response, "responses": {200: {"content": content}}}


def one(shape: Any, *, query: Sequence[str] = (), **more: Any) -> Json:
    """Return the description of a route that answers with one object.

    Args:
        shape: the type of the answer.
        query: the names of its query parameters, besides ``depth``.
        more: further arguments of ``answers``.
    """
    return answers(shape, query=["depth", *query], **more)


def _query(name: str, schema: Mapping[str, Any], description: str = "") -> Json:
    return {"name": name, "in": "query", "schema": schema, **({"description": description} if description else {})}


def _refusals(statuses: Collection[int]) -> Json:
    return {str(status): _reference("responses", REFUSALS[status][0]) for status in statuses}


def _reference(part: str, name: str) -> Json:
    return {"$ref": f"#/components/{part}/{name}"}


def _schema(shape: Any, mode: Any = "validation") -> Json:
    """Return the JSON schema of a type, with the types that it refers to under ``$defs``."""
    return TypeAdapter(shape).json_schema(ref_template=f"{SCHEMAS}{{model}}", mode=mode)


# The document


def describe(routes: Sequence[BaseRoute]) -> Json:
    """Return the OpenAPI document of routes."""
    document: Json = get_openapi(
        title="prefect-signoff", version=version("prefect-signoff"), description=ABOUT, routes=routes
    )
    document["paths"] = {f"{path}/": item for path, item in document["paths"].items()}
    for path, method, operation in operations(document):
        _complete(path, method, operation)
    document["security"] = [{"token": []}]
    components = document.setdefault("components", {})
    components |= {
        "securitySchemes": {"token": {"type": "apiKey", "in": "header", "name": "Authorization", "description": HOW}},
        "parameters": {
            **{name: {"name": name, "in": "path", "required": True, **told} for name, told in PATH.items()},
            **{name: _query(name, *described) for name, described in QUERY.items()},
            HEADER: {"name": HEADER, "in": "header", "schema": KEY, "description": KEYED},
            IF_MATCH: {"name": IF_MATCH, "in": "header", "schema": TEXT, "description": MATCHED},
        },
        "headers": {
            "API-Version": {"description": "The version of the answer.", "schema": VERSION},
            "ETag": {"description": "The `approval_version` of the scheduled job, in double quotes.", "schema": TEXT},
        },
        "responses": {name: _answer(shape, told) for name, shape, told in REFUSALS.values()},
    }
    schemas = components.setdefault("schemas", {})
    for name, schema in sorted(_taken(document), key=itemgetter(0)):
        schemas.setdefault(name, schema)
    return document


def operations(document: Json) -> Iterator[tuple[str, str, Json]]:
    """Yield the path, the method and the operation of every route in a document."""
    for path, item in document["paths"].items():
        yield from ((path, method, operation) for method, operation in item.items())


def _complete(path: str, method: str, operation: Json) -> None:
    """Add the parameters and refusals that operations share."""
    operation.setdefault("parameters", [])
    operation["operationId"] = _name(path, method, operation)
    summary, _, description = operation.pop("description", "").partition("\n")
    operation |= {"summary": summary.rstrip("."), "description": description.strip()}
    statuses = {403, 406, 503}
    own = [_reference("parameters", "api_version")]
    if "{" in path:
        statuses |= {404}
        own = [*(_reference("parameters", name) for name in PATH if f"{{{name}}}" in path), *own]
    if method in {"post", "put", "patch"} or "requestBody" in operation:
        statuses |= {400, 413, 415}
    if operation["parameters"]:
        statuses |= {400}
    operation["parameters"] = [*own, *operation["parameters"]]
    done = operation["responses"]
    for answer in done.values():
        if "$ref" not in answer:
            answer["headers"] = {"API-Version": _reference("headers", "API-Version"), **answer.get("headers", {})}
    operation["responses"] = dict(sorted({**_refusals(statuses), **done}.items()))


def _name(path: str, method: str, operation: Json) -> str:
    """Return the id of an operation, as in Nautobot's own document."""
    many = "limit" in str(operation["parameters"]) or "'array'" in str(operation["responses"].get("200"))
    several = "bulk_" if method in {"delete", "patch", "put"} and "{ref}" not in path else ""
    acts = {
        "get": "list" if many else "retrieve",
        "post": "create",
        "put": "update",
        "patch": "partial_update",
        "delete": "destroy",
    }
    parts = [part.replace("-", "_") for part in path.split("/")[2:] if part and "{" not in part]
    return "_".join([*parts, several + acts[method]])


def _answer(shape: Any, description: str) -> Json:
    return {
        "description": description,
        "headers": {"API-Version": _reference("headers", "API-Version")},
        "content": {"application/json": {"schema": _schema(shape, "serialization")}},
    }


def _taken(part: Any) -> Iterator[tuple[str, Json]]:
    """Remove the ``$defs`` of all schemas, and yield each definition with its name."""
    if isinstance(part, dict):
        yield from part.pop("$defs", {}).items()
        for inner in part.values():
            yield from _taken(inner)
    elif isinstance(part, list):
        for inner in part:
            yield from _taken(inner)
