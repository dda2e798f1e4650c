"""The document of our API (OpenAPI 3.1), made from the routes: what each answers and takes stands beside it.

* A route says with ``answers``, ``one`` or ``a_list`` what is its own: the shape, the body, the query.
* What all share is added here: who signs in and how, the versions, the refusals, the order and size of lists.
* Paths are shown with a slash at the end, as the contract has them; without one they work too.

Contract 2.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from importlib.metadata import version
from operator import itemgetter
from typing import Any

from fastapi.openapi.utils import get_openapi
from pydantic import TypeAdapter
from starlette.routing import BaseRoute

from api_shim import schemas
from api_shim.parsing.filters import parameters
from api_shim.services.request_keys import HEADER, LONGEST
from api_shim.services.schedule_views import MOST_FIRINGS, SHOWN_FIRINGS
from api_shim.web.bodies import FORMS
from api_shim.web.rest.protocol import DEFAULT_LIMIT, DEFAULT_VERSION, MAX_LIMIT, VERSIONS
from approval_gate.model import ObjectType

Json = dict[str, Any]

ABOUT = """\
Run Jobs now, later or again and again; ask for approval and give it; hand schedules over.

Sign in with the header `Authorization: Token <key>`. Ask for a version with `Accept: application/json; version=2.4`,
and for an answer that is easy to read with `indent=4` in the same place. Every address works without its last slash.
"""
SCHEMAS = "#/components/schemas/"

TEXT: Json = {"type": "string"}
NUMBER: Json = {"type": "integer", "minimum": 0}
VERSION: Json = {"type": "string", "enum": list(VERSIONS), "default": DEFAULT_VERSION}

QUERY: Mapping[str, tuple[Json, str]] = {
    "api_version": (VERSION, "The version of the answer, for clients that cannot say it in a header."),
    "depth": ({**NUMBER, "default": 0}, "From 1 on, related objects are shown in full; else where to find them."),
    "limit": ({**NUMBER, "default": DEFAULT_LIMIT}, f"How many at most; never more than {MAX_LIMIT}."),
    "offset": ({**NUMBER, "default": 0}, "How many to pass over."),
    "sort": (TEXT, "Fields, with a comma between them; descending with a `-` before."),
    "q": (TEXT, "What to search for."),
    "force": ({**TEXT, "enum": ["true", "false"]}, "Decide although the start has passed."),
    "count": ({"type": "integer", "minimum": 1, "maximum": MOST_FIRINGS, "default": SHOWN_FIRINGS}, "How many."),
    "user": (TEXT, "Whom it is about: a name or an id; the caller where nothing is said."),
}
"""What queries have in common: each parameter's schema, and what it is for."""

LISTING = ("depth", "limit", "offset", "sort", "q")

REFUSALS: Mapping[int, tuple[str, Any, str]] = {
    400: ("Invalid", schemas.Refusal | schemas.Faults, "What was sent cannot be taken; a sentence for each fault."),
    403: ("Forbidden", schemas.Refusal, "Nobody has signed in, or not somebody who may."),
    404: ("NotFound", schemas.Refusal, "There is none, or none that the caller may see."),
    405: ("NotRunnable", schemas.Refusal, "It cannot be run."),
    406: ("NotAcceptable", schemas.Refusal, "There is no such version, or no answer of that kind."),
    409: ("Conflict", schemas.Refusal, "It is not in a state for this; the sentence says in which."),
    413: ("TooLarge", schemas.Refusal | schemas.Faults, "The body is too large, or names too many."),
    415: ("UnsupportedMediaType", schemas.Refusal, "The body is neither JSON nor a form."),
    503: ("Unavailable", schemas.Refusal, "The store, Prefect or a worker cannot be reached now."),
}
"""The refusals by status: the name, the shape and what has happened."""

PAGE: Any = schemas.Page

HOW = "`Token`, a space, and the key."
PATH: Mapping[str, Json] = {
    "ref": {"schema": TEXT, "description": "Its id, or its name."},
    "entry_id": {"schema": {**TEXT, "format": "uuid"}, "description": "The id of the line."},
}
"""What paths refer to."""

KEY: Json = {**TEXT, "minLength": 1, "maxLength": LONGEST}
KEYED = """Any text that the caller uses for this request alone, as a UUID. Asked again with it within a day, the same
request by the same caller is answered with what it has become; another one is refused (409)."""

DONE = {200: "As asked.", 201: "Made.", 204: "Done."}


# What a route says


def answers(
    shape: Any,
    status: int = 200,
    *,
    query: Sequence[str] = (),
    kind: ObjectType | None = None,
    body: Any = None,
    required: Collection[str] = (),
    form: Any = None,
    keyed: bool = False,
    also: Collection[int] = (),
) -> Json:
    """Return what a route says of itself, beside its path, as arguments of its decorator.

    Args:
        shape: what it answers; None for nothing.
        status: the answer's.
        query: the parameters of its query, of those that are described here.
        kind: the type of object whose fields its query can filter by.
        body: what it takes.
        required: the fields of the body that must be given, besides those of which the body says so itself.
        form: what it takes as a form.
        keyed: it takes an idempotency key.
        also: refusals that others do not have.
    """
    own = [_reference("parameters", name) for name in [*query, *([HEADER] if keyed else [])]]
    filters = [_query(name, {"type": "array", "items": schema}) for name, schema in parameters(kind)] if kind else []
    extra: Json = {"parameters": [*own, *filters], "responses": _refusals(also)}
    if body is not None:
        schema = {**_schema(body), **({"required": [*required]} if required else {})}
        kinds = {"application/json": schema, **(dict.fromkeys(FORMS, _schema(form)) if form else {})}
        content = {name: {"schema": schema} for name, schema in kinds.items()}
        extra["requestBody"] = {"content": content, "required": "required" in schema or schema["type"] == "array"}
    return {
        "response_model": shape,
        "status_code": status,
        "response_description": DONE[status],
        "openapi_extra": extra,
    }


def a_list(shape: Any, kind: ObjectType, *, needed: Collection[str] = ()) -> Json:
    """Return what a route says of itself that answers a list.

    Args:
        shape: of each.
        kind: the type of the objects.
        needed: the filters that must be given.
    """
    said = answers(PAGE[shape], query=LISTING, kind=kind)
    for parameter in said["openapi_extra"]["parameters"]:
        if parameter.get("name") in needed:
            parameter["required"] = True
    return said


def one(shape: Any, *, query: Sequence[str] = (), **more: Any) -> Json:
    """Return what a route says of itself that answers an object, with its related ones if it is asked to.

    Args:
        shape: what it answers.
        query: the parameters of its query, besides how deep it answers.
        more: as for ``answers``.
    """
    return answers(shape, query=["depth", *query], **more)


def _query(name: str, schema: Mapping[str, Any], description: str = "") -> Json:
    return {"name": name, "in": "query", "schema": schema, **({"description": description} if description else {})}


def _refusals(statuses: Collection[int]) -> Json:
    return {str(status): _reference("responses", REFUSALS[status][0]) for status in statuses}


def _reference(part: str, name: str) -> Json:
    return {"$ref": f"#/components/{part}/{name}"}


def _schema(shape: Any, mode: Any = "validation") -> Json:
    """Return the schema of a shape; the shapes that it refers to are still with it, under ``$defs``."""
    return TypeAdapter(shape).json_schema(ref_template=f"{SCHEMAS}{{model}}", mode=mode)


# The document


def describe(routes: Sequence[BaseRoute]) -> Json:
    """Return the document of these routes, as JSON."""
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
        },
        "headers": {"API-Version": {"description": "The version of the answer.", "schema": VERSION}},
        "responses": {name: _answer(shape, told) for name, shape, told in REFUSALS.values()},
    }
    schemas = components.setdefault("schemas", {})
    for name, schema in sorted(_taken(document), key=itemgetter(0)):
        schemas.setdefault(name, schema)
    return document


def operations(document: Json) -> Iterator[tuple[str, str, Json]]:
    """Yield every operation of a document, with its path and its method."""
    for path, item in document["paths"].items():
        yield from ((path, method, operation) for method, operation in item.items())


def _complete(path: str, method: str, operation: Json) -> None:
    """Add what all operations share, and those that take a body or are about one object."""
    operation.setdefault("parameters", [])
    operation["operationId"] = _name(path, method, operation)
    summary, _, description = operation.pop("description", "").partition("\n")
    operation |= {"summary": summary.rstrip("."), "description": description.strip()}
    statuses = {403, 406, 503}
    own = [_reference("parameters", "api_version")]
    if "{" in path:
        statuses |= {404}
        own = [*(_reference("parameters", name) for name in PATH if f"{{{name}}}" in path), *own]
    if method in {"post", "patch"} or "requestBody" in operation:
        statuses |= {400, 413, 415}
    if operation["parameters"]:
        statuses |= {400}
    operation["parameters"] = [*own, *operation["parameters"]]
    done = operation["responses"]
    for answer in done.values():
        if "$ref" not in answer:
            answer["headers"] = {"API-Version": _reference("headers", "API-Version")}
    operation["responses"] = dict(sorted({**_refusals(statuses), **done}.items()))


def _name(path: str, method: str, operation: Json) -> str:
    """Return the name of an operation, as the reference's own document calls it."""
    many = "limit" in str(operation["parameters"]) or "'array'" in str(operation["responses"].get("200"))
    several = "bulk_" if method == "delete" and "{ref}" not in path else ""
    acts = {"get": "list" if many else "retrieve", "post": "create", "patch": "partial_update", "delete": "destroy"}
    parts = [part.replace("-", "_") for part in path.split("/")[2:] if part and "{" not in part]
    return "_".join([*parts, several + acts[method]])


def _answer(shape: Any, description: str) -> Json:
    return {
        "description": description,
        "headers": {"API-Version": _reference("headers", "API-Version")},
        "content": {"application/json": {"schema": _schema(shape, "serialization")}},
    }


def _taken(part: Any) -> Iterator[tuple[str, Json]]:
    """Take the shapes that schemas refer to out of them, wherever they are, and yield each with its name."""
    if isinstance(part, dict):
        yield from part.pop("$defs", {}).items()
        for inner in part.values():
            yield from _taken(inner)
    elif isinstance(part, list):
        for inner in part:
            yield from _taken(inner)
