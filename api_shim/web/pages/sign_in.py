"""``/signoff/sign-in`` and ``/signoff/sign-out``: start and end a session.

* The sign-in form has a CSRF token, which must match a cookie that the page sets: no other site can sign a visitor in.
"""

from __future__ import annotations

import secrets

from fastapi import APIRouter, Request
from starlette.responses import RedirectResponse, Response

from api_shim.domain.accounts import COOKIE
from api_shim.services.authentication import Unauthenticated
from api_shim.services.provider_sign_in import ProviderSignIn
from api_shim.services.sessions import Sessions
from api_shim.web.bodies import read_form
from api_shim.web.credentials import address_of, browser_of, cookie_name, is_secure, session_cookie
from api_shim.web.deps import Services
from api_shim.web.errors import headers_of, status_of
from api_shim.web.pages.visit import HOME, OUT_OF_DATE, SIGN_IN, Here, Posted, is_same, render, text_of, within
from approval_gate.errors import TooManyAttempts

router = APIRouter(prefix="/signoff")
FORM_COOKIE = "signoff_sign_in"
SIGNED_OUT = "/signoff/signed-out"
LARGEST = 20_000
"""Maximum body size in bytes of the sign-in form, which anybody can send."""


@router.get("")
async def home() -> Response:
    return RedirectResponse(HOME, 303)


@router.get("/sign-in")
async def form(request: Request) -> Response:
    return show_form(request, within(request.query_params.get("next", HOME)))


@router.post("/sign-in")
async def sign_in(request: Request) -> Response:
    sent = await read_form(request, LARGEST)
    wanted, username = within(text_of(sent, "next")), text_of(sent, "username").strip()
    if not is_same(text_of(sent, "csrf"), request.cookies.get(cookie_name(FORM_COOKIE, secure=is_secure(request)), "")):
        return show_form(request, wanted, username, OUT_OF_DATE, 403)
    sessions: Sessions = request.app.state.sessions
    address = address_of(request.scope)
    try:
        key, _session = await sessions.sign_in(username, text_of(sent, "secret"), address, browser_of(request.scope))
    except (TooManyAttempts, Unauthenticated) as error:
        use: Services = request.app.state.services
        await use.refusals.signing_in(error, address, username)
        answer = show_form(request, wanted, username, str(error), status_of(error))
        answer.headers.update(headers_of(error))
        return answer
    return await entered(request, wanted, key)


async def entered(request: Request, wanted: str, key: str) -> Response:
    """Answer a browser whose user has just signed in.

    Args:
        request: what it has sent.
        wanted: where it goes from here.
        key: the key of the new session.
    """
    sessions: Sessions = request.app.state.sessions
    await sessions.sign_out(session_cookie(request))
    answer = RedirectResponse(wanted, 303)
    forget_cookie(request, answer, FORM_COOKIE, SIGN_IN)
    if is_secure(request):
        # A session that was begun under the name without the prefix is over.
        answer.delete_cookie(COOKIE, path="/")
    keep_cookie(request, answer, COOKIE, key, int(sessions.rules.longest.total_seconds()))
    return answer


@router.post("/sign-out")
async def sign_out(request: Request, here: Here, _form: Posted) -> Response:
    await here.sessions.sign_out(session_cookie(request))
    answer = RedirectResponse(SIGNED_OUT if here.session.provider else SIGN_IN, 303)
    forget_cookie(request, answer, COOKIE)
    return answer


def show_form(request: Request, wanted: str, username: str = "", fault: str = "", status: int = 200) -> Response:
    """Show the sign-in page.

    Args:
        request: what the browser has sent.
        wanted: where it goes once its user has signed in.
        username: what was typed.
        fault: why they have not been signed in; empty if they have not tried.
        status: the HTTP status.
    """
    csrf = secrets.token_urlsafe(32)
    there: ProviderSignIn = request.app.state.at_provider
    said = {"username": username, "fault": fault, "provider": there.name}
    answer = render("sign_in.html", status, wanted=wanted, csrf=csrf, **said)
    keep_cookie(request, answer, FORM_COOKIE, csrf, 3600, SIGN_IN)
    return answer


def keep_cookie(request: Request, answer: Response, name: str, value: str, seconds: int, path: str = "/") -> None:
    """Let a browser keep a cookie.

    Args:
        request: what it has sent.
        answer: what it is answered.
        name: the name of the cookie, without a prefix.
        value: what it has.
        seconds: how long it is kept.
        path: the pages that it is sent to; all of them over TLS.
    """
    secure = is_secure(request)
    answer.set_cookie(
        cookie_name(name, secure=secure),
        value,
        max_age=seconds,
        path="/" if secure else path,
        httponly=True,
        samesite="lax",
        secure=secure,
    )


def forget_cookie(request: Request, answer: Response, name: str, path: str = "/") -> None:
    """Let the browser forget a cookie, under either of its names."""
    answer.delete_cookie(name, path=path)
    if is_secure(request):
        keep_cookie(request, answer, name, "", 0)
