"""Speaks to a running signoff over HTTP, as the person whose token it has: what waits for approval, and the decisions.

* The token goes to the address that was given and nowhere else; over plain HTTP it does not leave this machine.
* It is part of no message.
* What the server refuses, and what goes wrong on the way, is an error of the rules, with a sentence.

Contract 2, 6 and 10.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from ipaddress import ip_address
from typing import Any
from urllib.parse import quote, urlsplit

import httpx

from approval_gate.errors import Conflict, Forbidden, GateError, Invalid, NotFound, NotRunnable, TooLarge, Unavailable

Row = dict[str, Any]

QUEUE = "api/extras/approval-queue/"
TIMEOUT = 30.0
"""Seconds that the server has for an answer."""

REFUSALS: Mapping[int, type[GateError]] = {
    400: Invalid,
    401: Forbidden,
    403: Forbidden,
    404: NotFound,
    405: NotRunnable,
    409: Conflict,
    413: TooLarge,
}
"""What each status means; any other that is no success means that this cannot be had now."""

UNNAMED = frozenset({"detail", "errors", "non_field_errors"})
"""Keys in a refusal that are no fields."""

KEY = re.compile(r"[!-~]+")


class Client:
    """A person at a running signoff.

    Args:
        url: the address of the origin.
        token: the person's key.
        transport: used instead of the network.
        insecure: the token may be sent where others can read it.

    Raises:
        Invalid: the address or the token is none.
        Unavailable: others could read the token on its way.
    """

    def __init__(
        self, url: str, token: str, transport: httpx.BaseTransport | None = None, *, insecure: bool = False
    ) -> None:
        if not KEY.fullmatch(token):
            raise Invalid("The token is empty, or has characters that no token has.")
        self._address = read_address(url)
        stays_here = is_loopback(self._address.host)
        if self._address.scheme == "http" and not stays_here and not insecure:
            message = f"Others could read the token on its way to {self._address.host}: use https, or --insecure."
            raise Unavailable(message)
        try:
            self._http = httpx.Client(
                base_url=self._address,
                headers={"Authorization": f"Token {token}", "Accept": "application/json"},
                timeout=TIMEOUT,
                transport=transport,
                # A proxy that the environment names would carry to other machines what is to stay here.
                trust_env=self._address.scheme == "https" or not stays_here,
            )
        except (ValueError, ImportError, OSError) as error:
            message = f"The proxy or the certificates that the environment names cannot be used: {error}."
            raise Unavailable(message) from error

    def __repr__(self) -> str:
        return f"Client({str(self._address)!r})"

    def close(self) -> None:
        """Let go of the connections."""
        self._http.close()

    def queue(self) -> list[Row]:
        """Return what waits for approval, each once, however the queue moves between two pages."""
        rows: dict[str, Row] = {}
        asked: set[str] = set()
        query = ""
        while query not in asked:
            asked.add(query)
            page = self._ask("GET", f"{QUEUE}?{query}")
            if not isinstance(page.get("results"), list):
                raise self._stranger()
            rows |= {str(row["id"]): row for row in page["results"]}
            # Of the link only the page: behind a proxy it may name an address that is not ours to ask.
            query = urlsplit(str(page.get("next") or "")).query
        return list(rows.values())

    def approve(self, ref: str, *, force: bool = False, comment: str = "") -> Row:
        """Approve a request, by id or name, and return its scheduled job."""
        return self._decide(ref, "approve", {"force": force, "comment": comment})

    def deny(self, ref: str, *, comment: str = "") -> Row:
        """Deny a request, by id or name, and return the scheduled job that it was."""
        return self._decide(ref, "deny", {"comment": comment})

    def dry_run(self, ref: str) -> Row:
        """Start a dry run of a request, by id or name, and return its job result."""
        return self._decide(ref, "dry-run", {})

    def _decide(self, ref: str, verb: str, body: Row) -> Row:
        if not ref:
            raise NotFound("Nothing has an empty name.")
        try:
            # The dots too: a name may be "..", which in a path means another address.
            name = quote(ref, safe="").replace(".", "%2E")
            answer = self._ask("POST", f"api/extras/scheduled-jobs/{name}/{verb}/", body)
        except UnicodeEncodeError as error:
            raise Invalid("The name or the comment has characters that are no text.") from error
        if "object_type" not in answer:
            raise self._stranger()
        return answer

    def _ask(self, method: str, path: str, body: Row | None = None) -> Row:
        try:
            answer = self._http.request(method, path, json=body)
        except (httpx.ConnectError, httpx.ConnectTimeout, httpx.ProxyError) as error:
            raise Unavailable(f"{self._address} cannot be reached: {error}.") from error
        except httpx.HTTPError as error:
            message = f"{self._address} gave no answer; what was asked of it may have been done all the same."
            raise Unavailable(message) from error
        content = _decoded(answer)
        if not answer.is_success:
            message = " ".join(sentences(content)) or f"{self._address} answered with status {answer.status_code}."
            raise REFUSALS.get(answer.status_code, Unavailable)(message)
        if not isinstance(content, dict):
            raise self._stranger()
        return content

    def _stranger(self) -> Unavailable:
        return Unavailable(f"What answers at {self._address} is not signoff.")


def read_address(url: str) -> httpx.URL:
    """Read the address of an origin.

    Raises:
        Invalid: it is none. The message does not repeat it: there may be a password in it.
    """
    try:
        address = httpx.URL(url)
        # As the system will have it when it looks the host up.
        address.host.encode("idna")
    except (httpx.InvalidURL, UnicodeError) as error:
        raise Invalid("The address of signoff cannot be read; it looks like http://127.0.0.1:4200.") from error
    is_whole = address.scheme in {"http", "https"} and address.host and (address.port or 0) <= 65535
    if not is_whole or address.userinfo or address.query or address.fragment:
        message = "The address of signoff looks like http://127.0.0.1:4200, with no name, password or query in it."
        raise Invalid(message)
    return address


def is_loopback(host: str) -> bool:
    """Say whether a host is this machine, reached without any network."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _decoded(answer: httpx.Response) -> Any:
    try:
        return answer.json()
    except (ValueError, RecursionError):
        return None


def sentences(body: Any, field: str = "") -> Iterator[str]:
    """Yield the sentences of a refusal, each with the field that it is about."""
    if isinstance(body, dict):
        for name, inner in body.items():
            yield from sentences(inner, field if name in UNNAMED else f"{field}.{name}".removeprefix("."))
    elif isinstance(body, list):
        for inner in body:
            yield from sentences(inner, field)
    elif isinstance(body, str):
        # On one line, and nothing in it that a terminal would obey.
        text = "".join(c if c.isprintable() else " " for c in body)
        yield f"{field}: {text}" if field else text
