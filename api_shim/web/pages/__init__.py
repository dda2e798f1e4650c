"""The web pages below ``/signoff``. They work with and without JavaScript.

* Every response has a content security policy: no third-party content, no inline scripts or styles, no framing.
* Browsers do not cache pages, so that nothing can be read after signing out.
* GET changes nothing. Every change is a POST with the CSRF token of the session.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from pathlib import Path

from fastapi import Depends, FastAPI
from starlette.datastructures import MutableHeaders
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api_shim.services.provider_sign_in import ProviderSignIn
from api_shim.services.request_rates import RequestRates
from api_shim.services.sessions import Sessions
from api_shim.web.deps import Services
from api_shim.web.pages import (
    account,
    administration,
    approval_queue,
    approval_requests,
    audit,
    command_line,
    crontab,
    decisions,
    groups,
    help,
    job,
    job_buttons,
    jobs,
    notifications,
    object_fields,
    people,
    permissions,
    preferences,
    provider_sign_in,
    queue_changes,
    result,
    results,
    run,
    schedule_calendar,
    scheduled_job,
    scheduled_jobs,
    sign_in,
    system,
    users,
    workers,
)
from api_shim.web.pages.visit import counted, install_errors
from api_shim.web.private_answers import mark_private

ROUTERS = (
    sign_in.router,
    provider_sign_in.router,
    command_line.router,
    jobs.router,
    job.router,
    run.router,
    object_fields.router,
    crontab.router,
    scheduled_jobs.router,
    schedule_calendar.router,
    scheduled_job.router,
    # Before the requests, whose addresses begin alike.
    decisions.router,
    queue_changes.router,
    approval_queue.router,
    approval_requests.router,
    results.router,
    result.router,
    job_buttons.router,
    notifications.router,
    account.router,
    administration.router,
    users.router,
    groups.router,
    permissions.router,
    workers.router,
    audit.router,
    system.router,
    people.router,
    preferences.router,
    help.router,
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


def create_pages(
    use: Services,
    sessions: Sessions,
    at_provider: ProviderSignIn,
    rates: RequestRates,
    clock: Callable[[], datetime],
) -> ASGIApp:
    """Return the ASGI application that serves the pages.

    Args:
        use: the use cases.
        sessions: resolves session cookies to users.
        at_provider: signs people in whom an identity provider vouches for.
        rates: counts requests.
        clock: returns the current time, timezone-aware.
    """
    pages = FastAPI(
        openapi_url=None, docs_url=None, redoc_url=None, redirect_slashes=False, dependencies=[Depends(counted)]
    )
    pages.state.services = use
    pages.state.sessions = sessions
    pages.state.at_provider = at_provider
    pages.state.rates = rates
    pages.state.clock = clock
    install_errors(pages)
    for router in ROUTERS:
        pages.include_router(router)
    pages.mount("/signoff/static", StaticFiles(directory=STATIC))
    return Guarded(pages)


class Guarded:
    """ASGI middleware that adds the security headers.

    Args:
        app: the wrapped application.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""

        async def guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    # A file that a run has made may do even less than a page.
                    headers.setdefault(name, value)
                if not scope["path"].startswith("/signoff/static/"):
                    mark_private(headers)
            await send(message)

        await self._app(scope, receive, guarded)
