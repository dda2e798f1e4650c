"""``/signoff/sign-in/provider``, ``/signoff/sign-in/callback`` and ``/signoff/signed-out``: sign in at a provider.

* The browser keeps what it has begun with in a cookie that only these pages read, for ten minutes and for one answer.
* An answer without it, or with another state, is refused before the provider is asked; so nobody can be signed in as
  somebody else by a link.
* Where a visitor is led afterwards is one of the pages; where the provider sends them back to is made of an origin that
  no client chooses (``web.origins``).
"""

from __future__ import annotations

import base64
import binascii
import json
import re

from fastapi import APIRouter, Request
from starlette.responses import RedirectResponse, Response

from api_shim.domain.identity_providers import Attempt
from api_shim.services.authentication import Unauthenticated
from api_shim.services.provider_accounts import NotLetIn
from api_shim.services.provider_sign_in import ProviderSignIn
from api_shim.web.credentials import address_of, browser_of, cookie_name, is_secure
from api_shim.web.deps import Services
from api_shim.web.pages.sign_in import entered, forget_cookie, keep_cookie, show_form
from api_shim.web.pages.visit import HOME, SIGN_IN, is_same, render, within
from approval_gate.errors import GateError, NotFound, Unavailable

router = APIRouter(prefix="/signoff")
COOKIE = "signoff_provider"
CALLBACK = f"{SIGN_IN}/callback"
LASTS = 600
"""Seconds that somebody may take to sign in at the provider."""
NOT_BEGUN = "This sign-in did not begin in this browser, or began too long ago. Please try again."
NOT_SIGNED_IN = "The identity provider did not sign you in."
ERROR = re.compile(r"[a-z_]{1,50}")


@router.get("/sign-in/provider")
async def go(request: Request) -> Response:
    url, attempt = await _there(request).begin(_back(request))
    answer = RedirectResponse(url, 303)
    keep_cookie(
        request, answer, COOKIE, _packed(attempt, within(request.query_params.get("next", HOME))), LASTS, SIGN_IN
    )
    return answer


@router.get("/sign-in/callback")
async def come_back(request: Request) -> Response:
    there, wanted = _there(request), HOME
    try:
        attempt, wanted = _unpacked(request)
        code = _code(request, attempt, there.issuer)
        where = address_of(request.scope), browser_of(request.scope)
        key, _session = await there.finish(attempt, code, _back(request), *where)
    except (Unauthenticated, Unavailable) as error:
        answer = await _refused(request, error, wanted)
    else:
        answer = await entered(request, wanted, key)
    forget_cookie(request, answer, COOKIE, SIGN_IN)
    return answer


@router.get("/signed-out")
async def signed_out(request: Request) -> Response:
    there = _there(request)
    try:
        leave = await there.leave(f"{request.state.origin}{SIGN_IN}")
    except Unavailable:
        leave = ""
    return render("signed_out.html", leave=leave, provider=there.name)


def _there(request: Request) -> ProviderSignIn:
    """Return what signs people in whom the provider vouches for.

    Raises:
        NotFound: there is no provider.
    """
    there: ProviderSignIn = request.app.state.at_provider
    if not there.issuer:
        raise NotFound("This page does not exist.")
    return there


async def _refused(request: Request, error: GateError, wanted: str) -> Response:
    if isinstance(error, Unavailable):
        return show_form(request, wanted, fault=str(error), status=503)
    use: Services = request.app.state.services
    reason = error.reason if isinstance(error, NotLetIn) else str(error)
    await use.refusals.signing_in(Unauthenticated(reason), address_of(request.scope))
    return show_form(request, wanted, fault=str(error), status=403)


def _code(request: Request, attempt: Attempt, issuer: str) -> str:
    """Return what the provider has sent a browser back with, if that is the answer to what this one has asked.

    Raises:
        Unauthenticated: it has not, or has not signed anybody in.
    """
    said = request.query_params
    if not is_same(said.get("state", ""), attempt.state) or said.get("iss", issuer) != issuer:
        raise Unauthenticated(NOT_BEGUN)
    if "code" not in said:
        error = said.get("error", "")
        why = f" It says: {error}." if ERROR.fullmatch(error) else ""
        raise Unauthenticated(f"{NOT_SIGNED_IN}{why}")
    return said["code"]


def _back(request: Request) -> str:
    return f"{request.state.origin}{CALLBACK}"


def _packed(attempt: Attempt, wanted: str) -> str:
    said = {"state": attempt.state, "nonce": attempt.nonce, "verifier": attempt.verifier, "next": wanted}
    return base64.urlsafe_b64encode(json.dumps(said).encode()).decode()


def _unpacked(request: Request) -> tuple[Attempt, str]:
    """Return what the browser has begun with, and where it wants to go.

    Raises:
        Unauthenticated: it has begun nothing.
    """
    kept = request.cookies.get(cookie_name(COOKIE, secure=is_secure(request)), "")
    try:
        said = json.loads(base64.urlsafe_b64decode(kept))
        state, nonce, verifier, wanted = (str(said[name]) for name in ("state", "nonce", "verifier", "next"))
    except (binascii.Error, ValueError, KeyError, TypeError) as error:
        raise Unauthenticated(NOT_BEGUN) from error
    if not (state and nonce and verifier):
        raise Unauthenticated(NOT_BEGUN)
    return Attempt(state=state, nonce=nonce, verifier=verifier), within(wanted)
