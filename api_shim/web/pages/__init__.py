"""The pages below ``/signoff``: what people see and do with a browser, with JavaScript or without.

* Every page says who may load what: nothing from elsewhere, no script or style within it, nobody may frame it.
* A page is not kept by the browser once its session has ended.
* To look decides nothing: what changes something is a POST with what only a form of this session carries.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from pathlib import Path

from fastapi import FastAPI
from starlette.datastructures import MutableHeaders
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api_shim.services.sessions import Sessions
from api_shim.web.deps import Services
from api_shim.web.pages import approval_queue, crontab, jobs, results, run, scheduled_job, scheduled_jobs, sign_in
from api_shim.web.pages.visit import install_errors

ROUTERS = (
    sign_in.router,
    jobs.router,
    run.router,
    crontab.router,
    scheduled_jobs.router,
    scheduled_job.router,
    approval_queue.router,
    results.router,
)
STATIC = Path(__file__).parent / "static"

HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; connect-src 'self';"
        " form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "X-Frame-Options": "DENY",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
}


def create_pages(use: Services, sessions: Sessions, clock: Callable[[], datetime]) -> ASGIApp:
    """Return the application of the pages.

    Args:
        use: the use cases.
        sessions: knows who visits.
        clock: tells the time, aware.
    """
    pages = FastAPI(openapi_url=None, docs_url=None, redoc_url=None, redirect_slashes=False)
    pages.state.services = use
    pages.state.sessions = sessions
    pages.state.clock = clock
    install_errors(pages)
    for router in ROUTERS:
        pages.include_router(router)
    pages.mount("/signoff/static", StaticFiles(directory=STATIC))
    return Guarded(pages)


class Guarded:
    """An application whose answers say what a browser may do with them.

    Args:
        app: the application.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one call."""

        async def guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers.update(HEADERS)
                if not scope["path"].startswith("/signoff/static/"):
                    headers["Cache-Control"] = "no-store"
            await send(message)

        await self._app(scope, receive, guarded)
