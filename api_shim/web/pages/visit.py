"""One visit to a page: who visits, what he sent, what he is shown, and where he goes next.

* Who is not signed in goes to the page for that, and from there to where he wanted; never to another origin.
* A form that does not carry what the session's forms carry is refused, before anything else is looked at.
* An error is a page that says what happened and where to go on.
"""

from __future__ import annotations

import hmac
import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import quote, unquote, urlsplit

from fastapi import Depends, FastAPI, Request
from fastapi.exceptions import RequestValidationError
from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape
from starlette.datastructures import FormData
from starlette.exceptions import HTTPException
from starlette.responses import HTMLResponse, RedirectResponse, Response

from api_shim.domain.accounts import COOKIE, Session
from api_shim.services.authentication import Unauthenticated
from api_shim.services.sessions import Sessions, Visitor
from api_shim.store import Listing
from api_shim.web.bodies import read_form
from api_shim.web.deps import Services
from api_shim.web.errors import status_of
from api_shim.web.pages import labels, template_filters
from approval_gate.errors import Forbidden, GateError, NotFound, Unavailable, sentences
from approval_gate.model import Action, Actor, ObjectType

logger = logging.getLogger("signoff")

HOME = "/signoff/jobs"
SIGN_IN = "/signoff/sign-in"
OUT_OF_DATE = "This form is out of date. Open the page again and repeat what you did."
COUNTED = 100
"""How many requests of the queue are looked at for the number in the navigation."""

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
    """A visit of somebody who is signed in.

    Args:
        request: the request.
        use: the use cases.
        sessions: keeps his session.
        visitor: who he is.
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

    async def show(self, template: str, status: int = 200, **context: Any) -> Response:
        """Answer with a page.

        Args:
            template: its template.
            status: the answer's.
            context: what it shows.
        """
        notice = self.session.notice
        if notice:
            await self.sessions.tell(self.session, "")
        shown = {
            "path": self.request.url.path,
            "user": self.actor,
            "csrf": self.session.csrf,
            "notice": notice,
            "waiting": await self._waiting(),
            "now": self.request.app.state.clock(),
            **context,
        }
        return render(template, status, **shown)

    async def go(self, path: str, notice: str = "") -> Response:
        """Send him to another page of ours, which shows this sentence."""
        if notice:
            await self.sessions.tell(self.session, notice)
        return RedirectResponse(path, 303)

    async def _waiting(self) -> int:
        """Return how many requests wait for him to decide."""
        if not self.actor.may(Action.VIEW, ObjectType.SCHEDULED_JOB):
            return 0
        page = await self.use.approvals.queue(self.actor, Listing(limit=COUNTED))
        return sum(not waiting.why_not for waiting in page.rows)


def render(template: str, status: int = 200, **context: Any) -> Response:
    """Return a page."""
    page = templates.get_template(template).render(**context)
    # What somebody sends in a strange encoding is shown all the same.
    return HTMLResponse(page.encode("utf-8", "replace"), status)


async def visit(request: Request) -> Visit:
    """Return the visit that a request is.

    Raises:
        Unauthenticated: nobody is signed in.
    """
    sessions: Sessions = request.app.state.sessions
    visitor = await sessions.resume(request.cookies.get(COOKIE, ""))
    return Visit(request=request, use=request.app.state.services, sessions=sessions, visitor=visitor)


Here = Annotated[Visit, Depends(visit)]


async def posted(here: Here) -> FormData:
    """Return what a form of this session sent.

    Raises:
        Forbidden: the form is of another session, or of another origin.
    """
    form = await read_form(here.request)
    if not is_same(text_of(form, "csrf"), here.session.csrf):
        raise Forbidden(OUT_OF_DATE)
    return form


Posted = Annotated[FormData, Depends(posted)]


def text_of(form: FormData, name: str, default: str = "") -> str:
    """Return a field of a form, as text."""
    value = form.get(name, default)
    return value if isinstance(value, str) else default


def is_same(sent: str, kept: str) -> bool:
    """Say whether what a form carries is what it should; in constant time, and never for nothing."""
    return bool(kept) and hmac.compare_digest(sent.encode("utf-8", "surrogatepass"), kept.encode())


def within(path: str) -> str:
    """Return a path of ours that somebody may be sent to; home for anything else."""
    if not path.startswith("/signoff/") or not path.isprintable():
        return HOME
    # What browsers take for a way up, or for another host, however it is written.
    steps = unquote(urlsplit(path).path).replace("\\", "/").split("/")[1:]
    return HOME if {"", ".", ".."} & set(steps) or "\\" in path else path


# Errors


TITLES = {
    403: "You may not do this",
    404: "This is not here",
    409: "It has been decided already",
    429: "Too many attempts",
    503: "Not available now",
}


def install_errors(app: FastAPI) -> None:
    """Make every error a page."""

    async def refused(request: Request, error: Exception) -> Response:
        if isinstance(error, Unauthenticated):
            return _to_sign_in(request)
        if not isinstance(error, GateError):
            raise error
        status = status_of(error)
        again = request.url.path if isinstance(error, Unavailable) and request.method == "GET" else ""
        title = TITLES.get(status, "This did not work")
        return render("error.html", status, title=title, sentences=[*sentences(error.detail)], again=again)

    async def unrouted(request: Request, error: Exception) -> Response:
        status = error.status_code if isinstance(error, HTTPException) else 404
        return await refused(request, NotFound("There is no such page.")) if status in {404, 405} else _broken()

    async def broken(request: Request, error: Exception) -> Response:
        logger.error("%s %s failed.", request.method, request.url.path, exc_info=error)
        return _broken()

    app.add_exception_handler(GateError, refused)

    async def misnamed(request: Request, _error: Exception) -> Response:
        return await refused(request, NotFound("There is no such page."))

    app.add_exception_handler(HTTPException, unrouted)
    app.add_exception_handler(RequestValidationError, misnamed)
    app.add_exception_handler(Exception, broken)


def _broken() -> Response:
    return render("error.html", 500, title="The server failed", sentences=["Its log says why."], again="")


def _to_sign_in(request: Request) -> Response:
    # What was to be posted is lost; he begins again from a page that can be looked at.
    wanted = request.url.path if request.method == "GET" else HOME
    query = f"?{request.url.query}" if request.url.query and request.method == "GET" else ""
    return RedirectResponse(f"{SIGN_IN}?next={quote(wanted + query, safe='/')}", 303)
