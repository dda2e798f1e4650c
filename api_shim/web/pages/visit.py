"""One visit to a page: the signed-in user, the submitted form, the rendered page and the redirect.

* Visitors without a session are redirected to the sign-in page and back afterwards, never to another origin.
* What a script asks by itself, to follow what a page shows, is no use of a session: who has left is signed out in time.
  Nor does it take the notice, which is for the next page that somebody opens.
* While an identity provider that has to vouch for a visitor is away, they can sign out, and sign in otherwise.
* A form without the CSRF token of the session is refused before its fields are read.
* A form that acts on a scheduled job sends the version that its page showed; without one it matches none.
* Times are told in the time zone that the visitor prefers, else in that of their browser, else in UTC.
* Errors are rendered as pages.
"""

from __future__ import annotations

import hmac
import logging
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import quote, unquote, urlsplit

from fastapi import Depends, FastAPI, Request
from fastapi.exceptions import RequestValidationError
from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape
from starlette.datastructures import FormData
from starlette.exceptions import HTTPException
from starlette.responses import HTMLResponse, RedirectResponse, Response

from api_shim.domain.accounts import PAGE_SIZES, Session
from api_shim.domain.recurrence import check_time_zone, plain_zone
from api_shim.parsing.fields import read_count
from api_shim.services.authentication import Unauthenticated
from api_shim.services.request_rates import RequestRates
from api_shim.services.sessions import SIGN_IN_FIRST, Sessions, Visitor
from api_shim.web.bodies import read_form
from api_shim.web.credentials import address_of, browser_of, session_cookie
from api_shim.web.deps import Services
from api_shim.web.errors import headers_of, status_of
from api_shim.web.pages import labels, template_filters
from api_shim.web.pages.reader import reading
from api_shim.web.pages.sections import sections_for
from approval_gate import policy
from approval_gate.errors import Forbidden, GateError, Invalid, NotFound, Unavailable, sentences
from approval_gate.model import Actor

logger = logging.getLogger("signoff")

HOME = "/signoff/jobs"
SIGN_IN = "/signoff/sign-in"
SIGN_OUT = "/signoff/sign-out"
OUT_OF_DATE = "This form has expired. Reload the page and try again."
UNSHOWN = "none"
"""The version that a form names without having one; it matches no scheduled job."""
FOLLOWS = "X-Signoff-Follows"
"""The header of what a script asks by itself."""
EVENTS = "text/event-stream"
"""What an ``EventSource`` accepts, which no person opens."""
ZONE_COOKIE = "signoff_zone"
"""The cookie in which a script tells the time zone of the browser."""
USUAL = 25
"""How many rows of a list are shown to who has not said how many."""

templates = Environment(
    loader=FileSystemLoader(Path(__file__).parent / "templates"),
    autoescape=select_autoescape(),
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
templates.filters |= template_filters.FILTERS
templates.globals["words"] = labels


@dataclass(frozen=True, kw_only=True, slots=True)
class Visit:
    """A visit by a signed-in user.

    Args:
        request: the HTTP request.
        use: the use cases.
        sessions: stores the session and its notice.
        visitor: the user and their session.
    """

    request: Request
    use: Services
    sessions: Sessions
    visitor: Visitor

    @property
    def actor(self) -> Actor:
        return self.visitor.actor

    @property
    def session(self) -> Session:
        return self.visitor.session

    @property
    def zone(self) -> str:
        """The IANA name of the time zone in which the visitor reads times."""
        return self.visitor.preferences.time_zone or browser_zone(self.request) or "UTC"

    @property
    def page_size(self) -> int:
        """How many rows of a list the visitor is shown: what the query asks for, or what they prefer."""
        asked = read_count(self.request.query_params.get("limit", ""))
        return asked if asked in PAGE_SIZES else self.visitor.preferences.page_size or USUAL

    async def show(self, template: str, status: int = 200, **context: Any) -> Response:
        """Render a page, with the pending notice of the session.

        Args:
            template: the file name of the template.
            status: the HTTP status.
            context: the variables of the template.
        """
        notice = "" if asked_by_script(self.request) else self.session.notice
        if notice:
            await self.sessions.tell(self.session, "")
        shown = {**self._frame(), "notice": notice, **context}
        if "waiting" not in shown:
            shown["waiting"] = await self.use.approval_queue.count(self.actor)
        return self.part(template, status, **shown)

    def _frame(self) -> dict[str, Any]:
        """Return what is around every page; nothing is read for it."""
        return {
            "path": self.request.url.path,
            "user": self.actor,
            "sections": sections_for(self.actor),
            "csrf": self.session.csrf,
            "prefect_away": self.use.readiness.prefect_away_since(),
            "services_away": self.use.readiness.services_away_since(),
            "now": self.now,
            "reader_zone": self.zone,
        }

    def refuse(self, status: int, **context: Any) -> Response:
        """Render an error as a page, with the navigation. The store may be what is out of reach, and is not asked."""
        return self.part("error.html", status, **self._frame(), waiting=0, **context)

    def part(self, template: str, status: int = 200, **context: Any) -> Response:
        """Render a part of a page for this visitor, for a script that puts it there."""
        with self.reading():
            return render(template, status, **context)

    def reading(self) -> AbstractContextManager[None]:
        """Have what is told within be told to this visitor, in their time zone."""
        return reading(self.zone, self.now, views_everybody=policy.views_everybody(self.actor))

    @property
    def now(self) -> datetime:
        """The current time."""
        now: datetime = self.request.app.state.clock()
        return now

    async def go(self, path: str, notice: str = "") -> Response:
        """Redirect to another page, which shows the notice."""
        if notice:
            await self.sessions.tell(self.session, notice)
        return RedirectResponse(path, 303)


def render(template: str, status: int = 200, **context: Any) -> Response:
    """Render a template as a response."""
    page = templates.get_template(template).render(**context)
    # Lone surrogates cannot be encoded; they are shown as question marks.
    return HTMLResponse(page.encode("utf-8", "replace"), status)


def browser_zone(request: Request) -> str:
    """Return the IANA name of the time zone of the browser; empty if it has not told one that we know."""
    try:
        return check_time_zone(plain_zone(request.cookies.get(ZONE_COOKIE, "")))
    except Invalid:
        return ""


def asked_by_script(request: Request) -> bool:
    """Say whether a script asks by itself, without somebody who has done something."""
    return request.method == "GET" and (FOLLOWS in request.headers or wants_events(request))


def wants_events(request: Request) -> bool:
    """Say whether an ``EventSource`` asks."""
    return EVENTS in request.headers.get("accept", "")


async def counted(request: Request) -> Visitor | None:
    """Count a request for a page, and return who makes it; None if it has no valid session.

    Raises:
        TooManyAttempts: there have been too many by this user or from there.
    """
    key = session_cookie(request)
    # Without one nothing is read, so that the sign-in page needs no store.
    visitor = await _visitor(request, key) if key else None
    rates: RequestRates = request.app.state.rates
    rates.count(visitor.actor if visitor else None, address_of(request.scope), writes=request.method == "POST")
    return visitor


async def _visitor(request: Request, key: str) -> Visitor | None:
    sessions: Sessions = request.app.state.sessions
    path = request.url.path
    try:
        if path == SIGN_OUT:
            return await sessions.look_up(key, renew=False)
        if asked_by_script(request):
            return await sessions.look_up(key)
        return await sessions.resume(key, address_of(request.scope), browser_of(request.scope))
    except Unauthenticated:
        return None
    except Unavailable:
        # Who cannot go on with their session can still sign in, in another way.
        if path == SIGN_IN or path.startswith(f"{SIGN_IN}/"):
            return None
        raise


async def visit(request: Request, visitor: Annotated[Visitor | None, Depends(counted)]) -> Visit:
    """Return the visit of a signed-in user.

    Raises:
        Unauthenticated: the request has no valid session.
    """
    if visitor is None:
        raise Unauthenticated(SIGN_IN_FIRST)
    state = request.app.state
    here = Visit(request=request, use=state.services, sessions=state.sessions, visitor=visitor)
    # An error is shown to this visitor, too.
    request.state.visit = here
    return here


Here = Annotated[Visit, Depends(visit)]


async def posted(here: Here) -> FormData:
    """Return the submitted form.

    Raises:
        Forbidden: the form does not have the CSRF token of the session.
    """
    return _checked(here, await read_form(here.request))


async def posted_with_files(here: Here) -> FormData:
    """Return the submitted form, which may have files, each as a ``GivenFile``.

    Raises:
        Forbidden: the form does not have the CSRF token of the session.
    """
    return _checked(here, await read_form(here.request, with_files=True))


def _checked(here: Visit, form: FormData) -> FormData:
    if not is_same(text_of(form, "csrf"), here.session.csrf):
        raise Forbidden(OUT_OF_DATE)
    return form


Posted = Annotated[FormData, Depends(posted)]
PostedWithFiles = Annotated[FormData, Depends(posted_with_files)]


def text_of(form: FormData, name: str, default: str = "") -> str:
    """Return the text of a form field, or the default if it is missing or a file."""
    value = form.get(name, default)
    return value if isinstance(value, str) else default


def version_in(form: FormData) -> str:
    """Return the version of a scheduled job that the page of a form showed."""
    return text_of(form, "version") or UNSHOWN


def is_same(sent: str, kept: str) -> bool:
    """Say whether two tokens are equal, in constant time; an empty one never is."""
    return bool(kept) and hmac.compare_digest(sent.encode("utf-8", "surrogatepass"), kept.encode())


def within(path: str) -> str:
    """Return the path if it is one of the pages; else the home page. Prevents open redirects."""
    if not path.startswith("/signoff/") or not path.isprintable():
        return HOME
    # Dot segments, empty segments and backslashes, encoded or not, can lead a browser to another path or host.
    steps = unquote(urlsplit(path).path).replace("\\", "/").split("/")[1:]
    return HOME if {"", ".", ".."} & set(steps) or "\\" in path else path


# Errors


TITLES = {
    403: "Permission denied",
    404: "Not found",
    409: "No longer possible",
    429: "Too many requests",
    503: "Temporarily unavailable",
}


def install_errors(app: FastAPI) -> None:
    """Render every error as a page."""

    async def refused(request: Request, error: Exception) -> Response:
        if isinstance(error, Unauthenticated):
            return _to_sign_in(request)
        if not isinstance(error, GateError):
            raise error
        status = status_of(error)
        again = _address(request) if isinstance(error, Unavailable) and request.method == "GET" else ""
        title = TITLES.get(status, "The request failed")
        answer = _error(request, status, title=title, sentences=[*sentences(error.detail)], again=again)
        answer.headers.update(headers_of(error))
        return answer

    async def unrouted(request: Request, error: Exception) -> Response:
        status = error.status_code if isinstance(error, HTTPException) else 404
        if status in {404, 405}:
            return await refused(request, NotFound("This page does not exist."))
        return _broken(request)

    async def broken(request: Request, error: Exception) -> Response:
        logger.error("%s %s failed.", request.method, request.url.path, exc_info=error)
        return _broken(request)

    app.add_exception_handler(GateError, refused)

    async def misnamed(request: Request, _error: Exception) -> Response:
        return await refused(request, NotFound("This page does not exist."))

    app.add_exception_handler(HTTPException, unrouted)
    app.add_exception_handler(RequestValidationError, misnamed)
    app.add_exception_handler(Exception, broken)


def _broken(request: Request) -> Response:
    return _error(request, 500, title="Internal server error", sentences=["The server log has the details."], again="")


def _error(request: Request, status: int, **context: Any) -> Response:
    here: Visit | None = getattr(request.state, "visit", None)
    return here.refuse(status, **context) if here is not None else render("error.html", status, **context)


def _to_sign_in(request: Request) -> Response:
    # A POST cannot be repeated after signing in, so the visitor starts again at the home page.
    wanted = _address(request) if request.method == "GET" else HOME
    return RedirectResponse(f"{SIGN_IN}?next={quote(wanted, safe='/')}", 303)


def _address(request: Request) -> str:
    """Return the address of a request on this origin, with what was filled in."""
    query = request.url.query
    return f"{request.url.path}?{query}" if query else request.url.path
