"""Who is believed about the address under which we were reached, and what."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from starlette.datastructures import URL, Headers
from starlette.types import Receive, Scope, Send

from api_shim.web.proxies import BehindProxies, read_networks
from approval_gate.errors import Invalid

TRUSTED = read_networks(["127.0.0.1", "10.0.0.0/8", "fd00::/8"])
SAID = {
    "host": "inner:4200",
    "x-forwarded-proto": "https",
    "x-forwarded-host": "signoff.example",
    "x-forwarded-for": "203.0.113.7",
}


def reached(headers: dict[str, str], client: str = "127.0.0.1", kind: str = "http") -> Scope:
    """Return what the application is told."""
    told: list[Scope] = []

    async def app(scope: Scope, _receive: Receive, _send: Send) -> None:
        told.append(scope)

    raw = [(name.encode(), value.encode()) for name, value in headers.items()]
    scope: dict[str, Any] = {
        "type": kind,
        "scheme": "ws" if kind == "websocket" else "http",
        "path": "/api/",
        "query_string": b"",
        "headers": raw,
        "client": (client, 1234),
        "server": ("127.0.0.1", 4200),
    }
    nothing: Any = None
    asyncio.run(BehindProxies(app, TRUSTED)(scope, nothing, nothing))
    return told[0]


def url(scope: Scope) -> str:
    return str(URL(scope=scope))


@pytest.mark.parametrize(
    ("client", "address", "caller"),
    [
        pytest.param("127.0.0.1", "https://signoff.example/api/", "203.0.113.7", id="from our proxy"),
        pytest.param("10.1.2.3", "https://signoff.example/api/", "203.0.113.7", id="from a network of ours"),
        pytest.param("::ffff:10.1.2.3", "https://signoff.example/api/", "203.0.113.7", id="the same, written as IPv6"),
        pytest.param("fd00::1", "https://signoff.example/api/", "203.0.113.7", id="from a network of ours in IPv6"),
        pytest.param("203.0.113.9", "http://inner:4200/api/", "203.0.113.9", id="from anybody"),
        pytest.param("", "http://inner:4200/api/", "", id="from nowhere"),
    ],
)
def test_only_proxies_of_ours_are_believed(client: str, address: str, caller: str) -> None:
    scope = reached(SAID, client)
    assert (url(scope), scope["client"][0]) == (address, caller)


@pytest.mark.parametrize(
    ("said", "address"),
    [
        pytest.param({"x-forwarded-proto": ""}, "http://signoff.example/api/", id="no scheme"),
        pytest.param({"x-forwarded-proto": "gopher"}, "http://signoff.example/api/", id="a scheme that is none"),
        pytest.param({"x-forwarded-proto": "http, https"}, "https://signoff.example/api/", id="the nearest proxy's"),
        pytest.param({"x-forwarded-host": "evil.example, a.example"}, "https://a.example/api/", id="its host too"),
        pytest.param({"x-forwarded-host": "a.example:8443"}, "https://a.example:8443/api/", id="a host with its port"),
        pytest.param({"x-forwarded-port": "8443"}, "https://signoff.example:8443/api/", id="the port beside it"),
        pytest.param({"x-forwarded-port": "443"}, "https://signoff.example/api/", id="the usual port"),
        pytest.param({"x-forwarded-host": "[2001:db8::1]:8443"}, "https://[2001:db8::1]:8443/api/", id="IPv6"),
        pytest.param({"x-forwarded-host": "a/../b"}, "https://inner:4200/api/", id="a host that is none"),
        pytest.param({"x-forwarded-host": "a@b.example"}, "https://inner:4200/api/", id="a host with a name in it"),
        pytest.param({"x-forwarded-host": ""}, "https://inner:4200/api/", id="no host"),
    ],
)
def test_the_address_is_that_which_the_caller_used(said: dict[str, str], address: str) -> None:
    assert url(reached({**SAID, **said})) == address


def test_a_websocket_is_as_secure_as_its_proxy_says() -> None:
    assert reached(SAID, kind="websocket")["scheme"] == "wss"


def test_the_caller_is_the_last_who_is_no_proxy_of_ours() -> None:
    chain = {**SAID, "x-forwarded-for": "198.51.100.1, 203.0.113.7, 10.0.0.9"}
    assert reached(chain)["client"][0] == "203.0.113.7"
    assert Headers(scope=reached(chain))["host"] == "signoff.example"


def test_what_is_no_address_is_refused_at_the_start() -> None:
    with pytest.raises(Invalid, match=r"SIGNOFF_TRUSTED_PROXIES: .*nonsense"):
        read_networks(["nonsense"])
