"""Support for reverse proxies: the original scheme, host, port and client address.

* ``X-Forwarded-Proto``, ``-Host``, ``-Port`` and ``-For`` are trusted only from the configured addresses, and ignored
  from all others.
* Of several values the last counts, which the nearest proxy has set; of ``-For`` the last that is not a trusted proxy.
* Invalid values are ignored.
* ``from_proxy`` in the scope tells that the ``Host`` was set by a trusted proxy (``web.origins``).

Contract 2: URLs in answers are absolute.
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
"""The default port of each scheme."""

SECURE: Mapping[str, Mapping[str, str]] = {
    "http": {"http": "http", "websocket": "ws"},
    "https": {"http": "https", "websocket": "wss"},
}
"""The ASGI scheme by forwarded scheme and connection type."""


class BehindProxies:
    """ASGI middleware that restores the address under which the client reached the server.

    Args:
        app: the wrapped application.
        trusted: the networks of the trusted proxies.
    """

    def __init__(self, app: ASGIApp, trusted: Collection[Network]) -> None:
        self._app = app
        self._trusted = trusted

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
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
        reached = {**scope, "from_proxy": True}
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
    """Return the forwarded host, with its port unless that is the default; empty without a valid one."""
    host, port = _last(headers, "x-forwarded-host"), _last(headers, "x-forwarded-port")
    match = HOST.fullmatch(host)
    if match is None:
        return ""
    usual = PORTS.get(proto)
    return f"{host}:{port}" if not match[2] and port.isdecimal() and len(port) <= 5 and port != usual else host


def read_networks(names: Iterable[str]) -> list[Network]:
    """Parse addresses and networks.

    Raises:
        Invalid: one of them is neither an address nor a network.
    """
    try:
        return [ip_network(name, strict=False) for name in names]
    except ValueError as error:
        raise Invalid(f"SIGNOFF_TRUSTED_PROXIES: {error}.") from error
