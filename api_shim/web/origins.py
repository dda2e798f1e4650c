"""The origin that links are made of: configured, a trusted proxy's, or an address that this server knows for its own.

* ``SIGNOFF_ORIGIN`` counts, whatever a request says.
* Without it, the ``Host`` of a request counts if a trusted proxy has sent it, or if it is the address that the server
  was started with, a name of the loopback interface, or the name of this machine, with the server's port.
* With any other ``Host``, which a client can make up, links have the address and port that the client's connection has
  reached. So they work for whoever reaches the server without a proxy, by whatever name.
* The pages have relative links, which work by every name; so do redirects, for the ``Location`` loses its origin.

Contract 2: URLs in answers are absolute.
"""

from __future__ import annotations

from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import Message, Scope, Send

from api_shim.web.proxies import HOST, PORTS
from approval_gate.errors import Invalid

LOOPBACK = ("127.0.0.1", "localhost", "[::1]")


class Origins:
    """Says of which origin the links in an answer are made.

    Args:
        configured: the origin of ``SIGNOFF_ORIGIN``; empty without one.
        started: the origin of the address that the server was started with.
        machine: the name of this machine.
    """

    def __init__(self, configured: str, started: str, machine: str = "") -> None:
        self._configured = configured
        self._started = started
        address = urlsplit(started)
        port = f":{address.port}" if address.port else ""
        hosts = {address.netloc, *(f"{name}{port}" for name in (*LOOPBACK, machine) if name)}
        # A client leaves out the port that its scheme has anyway.
        self._own = {host.lower() for host in hosts | {host.removesuffix(":80") for host in hosts}}

    def of(self, scope: Scope) -> str:
        """Return the origin for the links of an answer, without a trailing slash.

        Args:
            scope: the ASGI scope of the request, as ``BehindProxies`` has passed it on.
        """
        if self._configured:
            return self._configured
        host = Headers(scope=scope).get("host", "")
        from_proxy = scope.get("from_proxy", False) and HOST.fullmatch(host)
        if from_proxy or host.lower() in self._own:
            return f"{scope['scheme']}://{host}"
        return self._reached(scope)

    def _reached(self, scope: Scope) -> str:
        address, port = scope.get("server") or ("", None)
        if not address or port is None:
            return self._started
        return f"{scope['scheme']}://[{address}]:{port}" if ":" in address else f"{scope['scheme']}://{address}:{port}"


def at_origin(scope: Scope, origin: str) -> Scope:
    """Return a scope whose ``Host`` and scheme are those of an origin.

    Args:
        scope: the ASGI scope of an HTTP request.
        origin: the origin, without a trailing slash.
    """
    scheme, _, host = origin.partition("://")
    others = [(name, value) for name, value in scope["headers"] if name != b"host"]
    return {**scope, "scheme": scheme, "headers": [*others, (b"host", host.encode("ascii"))]}


def redirecting_within(send: Send, origin: str) -> Send:
    """Wrap ``send`` for answers whose redirects stay on the name by which the client has come.

    Args:
        send: the ASGI callable to wrap.
        origin: the origin that the application makes links of.
    """

    async def told(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            location = headers.get("location", "")
            if location.startswith(f"{origin}/"):
                headers["location"] = location.removeprefix(origin)
        await send(message)

    return told


def read_origin(text: str) -> str:
    """Parse an origin; an empty text is none.

    Raises:
        Invalid: it is not a scheme and a host, perhaps with a port.
    """
    scheme, colon, host = text.strip().rstrip("/").partition("://")
    if not text.strip():
        return ""
    if not colon or scheme.lower() not in PORTS or not HOST.fullmatch(host):
        raise Invalid(f"SIGNOFF_ORIGIN: {text[:100]!r} is not like https://signoff.example.com.")
    return f"{scheme.lower()}://{host.lower()}"
