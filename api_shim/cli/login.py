"""``signoff login`` and ``signoff logout``: sign in with a browser, and keep a token for a short time.

* The browser signs in at the server, where its user confirms it, and brings a code to a port of this machine that is
  open for that alone (RFC 8252). Only this process can exchange the code (PKCE).
* The token is kept in a file that only its owner can read, with the address that it is for, and is sent nowhere else.
* ``SIGNOFF_TOKEN`` comes first, where it is set.
"""

from __future__ import annotations

import secrets
import time
import webbrowser
from datetime import datetime
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Annotated, Any
from urllib.parse import parse_qs, urlencode, urlsplit

import httpx
import typer

from api_shim.cli.console import say
from api_shim.cli.kept_logins import Login, forget_login, keep_login, kept_login
from api_shim.cli.remote import Insecure, Url
from api_shim.client.transport import check_private, content_of, opened, options, read_address, stranger, undelivered
from api_shim.keys import challenge_of
from api_shim.services.authentication import EXPIRED, INACTIVE, INVALID_TOKEN
from api_shim.settings import machine_name, utc_now
from approval_gate.errors import Forbidden, NotFound, Unavailable

PAGE = "/signoff/sign-in/command-line"
PATIENCE = 300
"""Seconds for which the browser is waited for."""
DONE = b"<!doctype html><title>signoff</title><p>You can close this window and go back to the command line."
NOT_OURS = b"<!doctype html><title>signoff</title><p>This is not the answer that is waited for."
LONGEST_NAME = 100
WORKS_NO_MORE = {
    INVALID_TOKEN: "Signed out; the token had already been revoked.",
    EXPIRED: "Signed out; the token had already expired.",
    INACTIVE: "Signed out; the token does not work, because your account is deactivated.",
}
"""What is said for what the server says of a token that does not work."""
NOT_REVOKED = (
    "You are signed out on this machine only. The server did not revoke the token, which works until {until}: {error} "
    "Revoke it on your page, {address}/signoff/account, or ask an administrator to."
)
STILL_KEPT = "The token may still be valid, and is kept: run signoff logout again."


class Waiting(HTTPServer):
    """Waits on a port of this machine for what the browser brings.

    Args:
        state: what the answer is recognised by.
    """

    timeout = 1

    def __init__(self, state: str) -> None:
        super().__init__(("127.0.0.1", 0), Brought)
        self.state = state
        self.code = ""

    def wait(self, patience: float) -> str:
        """Return the code that the browser brings.

        Args:
            patience: how many seconds it is waited for.

        Raises:
            Unavailable: it has brought none.
        """
        until = time.monotonic() + patience
        while not self.code:
            if time.monotonic() >= until:
                raise Unavailable("The browser did not bring an answer. Start again with signoff login.")
            self.handle_request()
        return self.code


class Brought(BaseHTTPRequestHandler):
    """What the browser brings."""

    server: Waiting
    timeout = 5

    def do_GET(self) -> None:
        """Take the code, if it is the answer that is waited for."""
        said = parse_qs(urlsplit(self.path).query)
        [state], [code] = said.get("state", [""])[:1], said.get("code", [""])[:1]
        fits = secrets.compare_digest(state.encode(), self.server.state.encode()) and bool(code)
        if fits:
            self.server.code = code
        page = DONE if fits else NOT_OURS
        self.send_response(200 if fits else 400)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.send_header("Content-Length", str(len(page)))
        self.send_header("Cache-Control", "no-store")
        self.send_header("Content-Security-Policy", "default-src 'none'")
        self.send_header("Referrer-Policy", "no-referrer")
        self.end_headers()
        self.wfile.write(page)

    def log_message(self, *_: Any) -> None:
        """Print nothing: the address has the code."""


def login(
    url: Url = "http://127.0.0.1:4200",
    browser: Annotated[
        bool, typer.Option(help="Open the page in a browser, instead of only printing its address.")
    ] = True,
    insecure: Insecure = False,
) -> None:
    """Sign in with a browser of this machine. The commands then need no SIGNOFF_TOKEN for a while.

    Example: signoff login --url https://signoff.example.com
    """
    address = read_address(url)
    check_private(address, insecure=insecure)
    state, verifier = secrets.token_urlsafe(32), secrets.token_urlsafe(32)
    machine = machine_name()[:LONGEST_NAME] or "unknown"
    with Waiting(state) as waiting:
        asked = {"port": waiting.server_port, "state": state, "challenge": challenge_of(verifier), "machine": machine}
        page = f"{str(address).rstrip('/')}{PAGE}?{urlencode(asked)}"
        typer.echo(f"Sign in with your browser:\n{page}", err=True)
        if browser:
            webbrowser.open(page)
        code = waiting.wait(PATIENCE)
    kept = _exchanged(address, {"code": code, "verifier": verifier, "machine": machine})
    keep_login(str(address), kept)
    say(f"Signed in as {kept.username} until {_shown(kept.expires)}.")


def logout(url: Url = "http://127.0.0.1:4200", insecure: Insecure = False) -> None:
    """Revoke the token that `signoff login` has got, and forget it; it is kept if the server cannot be reached.

    If the server refuses to revoke it, it is forgotten all the same, and you are told until when it works.

    Example: signoff logout --url https://signoff.example.com
    """
    address = read_address(url)
    check_private(address, insecure=insecure)
    kept = kept_login(str(address))
    if kept is None:
        say("You are not signed in there.")
        return
    said = "Signed out."
    if kept.expires > utc_now():
        try:
            _asked(address, kept.key, "DELETE", f"/api/users/tokens/{kept.id}/")
        except NotFound:
            said = WORKS_NO_MORE[INVALID_TOKEN]
        except Forbidden as error:
            if str(error) not in WORKS_NO_MORE:
                forget_login(str(address))
                raise Forbidden(NOT_REVOKED.format(until=_shown(kept.expires), error=error, address=address)) from error
            said = WORKS_NO_MORE[str(error)]
        except Unavailable as error:
            # Nobody could revoke a token that only its file knew.
            raise Unavailable(f"{error} {STILL_KEPT}") from error
    forget_login(str(address))
    say(said)


def _shown(moment: datetime) -> str:
    return f"{moment.astimezone():%Y-%m-%d %H:%M}"


def _exchanged(address: httpx.URL, sent: dict[str, str]) -> Login:
    """Return what the server gives for a code.

    Raises:
        GateError: it gives nothing.
    """
    told = _asked(address, None, "POST", f"{PAGE}/token", data=sent)
    try:
        return Login.model_validate(told)
    except ValueError:
        raise stranger(str(address)) from None


def _asked(address: httpx.URL, key: str | None, method: str, path: str, **sent: Any) -> Any:
    try:
        with opened(httpx.Client, **options(address, key)) as client:
            return content_of(client.request(method, path, **sent), str(address))
    except httpx.HTTPError as error:
        raise undelivered(error, str(address)) from error
