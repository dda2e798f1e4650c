"""``/api/``, ``/api/status/``, ``/api/schema/`` and ``/api/docs/``: the index, the health check and the documentation.

* The OpenAPI document and the page that shows it are public: they contain nothing about this instance.
* The page cannot load anything from other origins: its scripts and styles are static files of this server.

Contract 2.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib.metadata import version
from importlib.resources import files
from platform import python_version

from fastapi import APIRouter, Depends, Request, Response

from api_shim.domain.model import DEFAULT_QUEUE
from api_shim.schemas import Status
from api_shim.web.deps import Caller, Use
from api_shim.web.rest.openapi import answers, describe
from api_shim.web.rest.protocol import DEFAULT_VERSION, LISTS, negotiate, respond, root_of
from approval_gate.errors import NotFound

router = APIRouter(prefix="/api", tags=["service"])

PARTS = ("extras", "users", "plugins", "status", "schema", "docs")
GROUPS = PARTS[:3]


@router.get("", **answers(dict[str, str]))
async def root(request: Request, _actor: Caller) -> Response:
    """List the addresses of the API."""
    return respond(request, {name: f"{root_of(request)}/api/{name}/" for name in PARTS})


def _add_group(group: str) -> None:
    """Add the route that lists the addresses of a group."""

    @router.get(f"/{group}", description=f"List the addresses of {group}.", **answers(dict[str, str]))
    async def addresses(request: Request, _actor: Caller) -> Response:
        lists = (path for path in LISTS if path.startswith(f"/api/{group}/"))
        return respond(request, {path.rpartition("/")[2]: f"{root_of(request)}{path}/" for path in lists})


for each in GROUPS:
    _add_group(each)


@router.get("/status", **answers(Status))
async def status(request: Request, _actor: Caller, use: Use) -> Response:
    """Show the health and the versions of the server."""
    workers = await use.queries.worker_counts()
    served = workers or {}
    shape = Status(
        signoff_version=version("prefect-signoff"),
        prefect_version=version("prefect"),
        prefect="unavailable" if workers is None else "ok",
        default_queue_has_worker=served.get(DEFAULT_QUEUE, 0) > 0,
        nautobot_version=f"{DEFAULT_VERSION}.0",
        python_version=python_version(),
        celery_workers_running=max(served.values(), default=0),
        installed_apps={},
        plugins={},
    )
    return respond(request, shape)


schema_router = APIRouter(prefix="/api", include_in_schema=False)

OURS, SWAGGER = files("api_shim.web.rest") / "static", files("fastapi_offline") / "static"
FILES: Mapping[str, tuple[bytes, str]] = {
    "": ((OURS / "api_docs.html").read_bytes(), "text/html"),
    "start.js": ((OURS / "api_docs.js").read_bytes(), "text/javascript"),
    "swagger-ui-bundle.js": ((SWAGGER / "swagger-ui-bundle.js").read_bytes(), "text/javascript"),
    "swagger-ui.css": ((SWAGGER / "swagger-ui.css").read_bytes(), "text/css"),
}
"""The files of the page, by name: content and media type."""

HEADERS: Mapping[str, str] = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "Cache-Control": "public, max-age=3600",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


@schema_router.get("/schema", dependencies=[Depends(negotiate)])
async def schema(request: Request) -> Response:
    return _document(request)


def _document(request: Request) -> Response:
    known = request.app.state
    if not hasattr(known, "document"):
        known.document = describe(request.app.routes)
    return respond(request, known.document)


@schema_router.get("/docs")
async def page(request: Request) -> Response:
    if request.query_params.get("format") != "openapi":
        return _file("")
    # pynautobot's openapi() reads the document here.
    negotiate(request)
    return _document(request)


@schema_router.get("/docs/{name}")
async def part(name: str) -> Response:
    return _file(name)


def _file(name: str) -> Response:
    if name not in FILES:
        raise NotFound("Not found.")
    content, kind = FILES[name]
    return Response(content, media_type=kind, headers=dict(HEADERS))
