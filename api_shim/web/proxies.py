"""What reverse proxies say about the address under which we were reached, if they are ours.

* Only from addresses that are trusted are ``X-Forwarded-Proto``, ``-Host``, ``-Port`` and ``-For`` believed; from all
  others they are passed over, for anybody can send them.
* Of several values the last counts, which the nearest proxy has set; of ``-For`` the last that is no proxy of ours.
* A value that is none is passed over.

Contract 2: addresses in answers are absolute.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from approval_gate.errors import Invalid

Network = IPv4Network | IPv6Network

HOST = re.compile(r"([A-Za-z0-9._-]{1,253}|\[[0-9A-Fa-f:.]{2,45}\])(:\d{1,5})?")
PORTS: Mapping[str, str] = {"http": "80", "https": "443"}
"""The ports that need not be named."""

SECURE: Mapping[str, Mapping[str, str]] = {
    "http": {"http": "http", "websocket": "ws"},
    "https": {"http": "https", "websocket": "wss"},
}
"""What a scheme is called, by what is spoken over it."""


class BehindProxies:
    """An ASGI application that is told under which address it was reached.

    Args:
        app: the application.
        trusted: the networks of our proxies.
    """

    def __init__(self, app: ASGIApp, trusted: Collection[Network]) -> None:
        self._app = app
        self._trusted = trusted

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one call."""
        if scope["type"] != "lifespan" and self._trusts((scope.get("client") or ("",))[0]):
            scope = self._as_reached(scope)
        await self._app(scope, receive, send)

    def _trusts(self, address: str) -> bool:
        try:
            found = ip_address(address)
        except ValueError:
            return False
        mapped = getattr(found, "ipv4_mapped", None)
        return any((mapped or found) in network for network in self._trusted)

    def _as_reached(self, scope: Scope) -> Scope:
        headers = Headers(scope=scope)
        reached = dict(scope)
        proto = _last(headers, "x-forwarded-proto").lower()
        if proto in SECURE:
            reached["scheme"] = SECURE[proto][scope["type"]]
        if host := _host(headers, proto):
            others = [(name, value) for name, value in scope["headers"] if name != b"host"]
            reached["headers"] = [*others, (b"host", host.encode("ascii"))]
        if client := self._client(headers):
            reached["client"] = (client, 0)
        return reached

    def _client(self, headers: Headers) -> str:
        hops = [hop.strip() for value in headers.getlist("x-forwarded-for") for hop in value.split(",")]
        return next((hop for hop in reversed(hops) if hop and not self._trusts(hop)), "")


def _last(headers: Headers, name: str) -> str:
    return ",".join(headers.getlist(name)).rpartition(",")[2].strip()


def _host(headers: Headers, proto: str) -> str:
    """Return the host as the caller named it, with its port where that is not the usual one; empty if none is told."""
    host, port = _last(headers, "x-forwarded-host"), _last(headers, "x-forwarded-port")
    match = HOST.fullmatch(host)
    if match is None:
        return ""
    usual = PORTS.get(proto)
    return f"{host}:{port}" if not match[2] and port.isdecimal() and len(port) <= 5 and port != usual else host


def read_networks(names: Iterable[str]) -> list[Network]:
    """Read addresses and networks.

    Raises:
        Invalid: one of them is none.
    """
    try:
        return [ip_network(name, strict=False) for name in names]
    except ValueError as error:
        raise Invalid(f"SIGNOFF_TRUSTED_PROXIES: {error}.") from error
