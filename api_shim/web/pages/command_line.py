"""``/signoff/sign-in/command-line``: a command line that wants to sign in, and whether its user lets it.

* Its user is signed in here, sees for which machine and which port it is, and confirms with a form of their session.
* The browser brings the code to a port of its own machine (RFC 8252), and nowhere else.
* Whoever has the code and what only that command line knows exchanges it; nobody else learns anything here.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from fastapi import APIRouter, Request
from starlette.responses import JSONResponse, RedirectResponse, Response

from api_shim.services.authentication import Unauthenticated
from api_shim.services.command_line_sign_in import CHALLENGE, CommandLineSignIn
from api_shim.web.bodies import read_form
from api_shim.web.credentials import address_of
from api_shim.web.deps import Services
from api_shim.web.errors import body_of, status_of
from api_shim.web.pages.visit import SIGN_IN, Here, Posted, text_of
from approval_gate.errors import GateError, Invalid

router = APIRouter(prefix="/signoff")
PATH = f"{SIGN_IN}/command-line"
STATE = re.compile(r"[A-Za-z0-9_-]{20,100}")
LOWEST_PORT, HIGHEST_PORT = 1024, 65535
LONGEST_NAME = 100
LARGEST = 10_000
"""Maximum size of what a command line sends, in bytes."""
MALFORMED = "This address was not made by signoff login. Start again with signoff login."


@dataclass(frozen=True, kw_only=True, slots=True)
class Asked:
    """What a command line asks.

    Args:
        port: where it waits, on the machine of the browser.
        state: what it recognises the answer by.
        challenge: the hash of what it alone knows.
        machine: what it calls its machine.
    """

    port: int
    state: str
    challenge: str
    machine: str


def read_asked(said: Mapping[str, Any]) -> Asked:
    """Read what a command line asks.

    Raises:
        Invalid: it is not what one asks.
    """
    port, state, challenge, machine = (str(said.get(name, "")) for name in ("port", "state", "challenge", "machine"))
    fits = re.fullmatch(r"[0-9]{4,5}", port) and LOWEST_PORT <= int(port) <= HIGHEST_PORT
    if not fits or not STATE.fullmatch(state) or not CHALLENGE.fullmatch(challenge):
        raise Invalid(MALFORMED)
    if not machine or not machine.isprintable() or len(machine) > LONGEST_NAME:
        raise Invalid(MALFORMED)
    return Asked(port=int(port), state=state, challenge=challenge, machine=machine)


@router.get("/sign-in/command-line")
async def ask(request: Request, here: Here) -> Response:
    asked = read_asked(request.query_params)
    answer = await here.show("command_line.html", asked=asked)
    answer.headers["Content-Security-Policy"] = (
        "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; connect-src 'self';"
        f" form-action 'self' http://127.0.0.1:{asked.port}; base-uri 'none'; frame-ancestors 'none'"
    )
    return answer


@router.post("/sign-in/command-line")
async def confirm(here: Here, form: Posted) -> Response:
    asked = read_asked({name: text_of(form, name) for name in ("port", "state", "challenge", "machine")})
    code = await _signing_in(here.request).confirm(here.visitor, asked.challenge)
    return RedirectResponse(f"http://127.0.0.1:{asked.port}/?{urlencode({'code': code, 'state': asked.state})}", 303)


@router.post("/sign-in/command-line/token")
async def exchange(request: Request) -> Response:
    try:
        sent = await read_form(request, LARGEST)
        told = {name: text_of(sent, name) for name in ("code", "verifier", "machine")}
        login = await _signing_in(request).exchange(told["code"], told["verifier"], told["machine"][:LONGEST_NAME])
    except GateError as error:
        if isinstance(error, Unauthenticated):
            use: Services = request.app.state.services
            await use.refusals.signing_in(error, address_of(request.scope))
        return JSONResponse(body_of(error), status_of(error))
    token = login.token
    ends = token.expires.isoformat() if token.expires else None
    return JSONResponse({"key": login.key, "id": str(token.id), "username": login.username, "expires": ends})


def _signing_in(request: Request) -> CommandLineSignIn:
    state = request.app.state
    return CommandLineSignIn(state.services.store, state.sessions.rules, state.clock)
