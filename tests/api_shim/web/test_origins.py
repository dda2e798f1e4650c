"""Of which origin links are made, whatever a client writes into its request."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from api_shim.store import Store
from api_shim.web.origins import Origins, read_origin
from api_shim.web.proxies import BehindProxies, read_networks
from approval_gate.errors import Invalid
from tests.api_shim.origin import Origin
from tests.conftest import Clock

STARTED, CONFIGURED = "http://127.0.0.1:4200", "https://signoff.example"
EVIL = "evil.example"


def scope(host: str | None, **to: Any) -> dict[str, Any]:
    headers = [(b"host", host.encode("latin-1"))] if host is not None else []
    return {"type": "http", "scheme": "http", "headers": headers, "server": ("192.0.2.7", 4200), **to}


@pytest.mark.parametrize(
    ("host", "origin"),
    [
        pytest.param("127.0.0.1:4200", STARTED, id="the address that it was started with"),
        pytest.param("localhost:4200", "http://localhost:4200", id="a name of the loopback interface"),
        pytest.param("[::1]:4200", "http://[::1]:4200", id="its address in IPv6"),
        pytest.param("LocalHost:4200", "http://LocalHost:4200", id="in another case"),
        pytest.param("desk:4200", "http://desk:4200", id="the name of this machine"),
        pytest.param("192.0.2.7:4200", "http://192.0.2.7:4200", id="the address that was reached"),
        pytest.param(EVIL, "http://192.0.2.7:4200", id="another name"),
        pytest.param(f"{EVIL}:4200", "http://192.0.2.7:4200", id="another name, with the port"),
        pytest.param("localhost", "http://192.0.2.7:4200", id="without the port"),
        pytest.param("localhost:4201", "http://192.0.2.7:4200", id="with another port"),
        pytest.param(f"localhost:4200@{EVIL}", "http://192.0.2.7:4200", id="a user"),
        pytest.param(f"localhost:4200.{EVIL}", "http://192.0.2.7:4200", id="a name that begins alike"),
        pytest.param("", "http://192.0.2.7:4200", id="an empty one"),
        pytest.param(None, "http://192.0.2.7:4200", id="none"),
    ],
)
def test_a_host_is_believed_if_it_is_known(host: str | None, origin: str) -> None:
    assert Origins("", STARTED, "desk").of(scope(host)) == origin
    assert Origins(CONFIGURED, STARTED, "desk").of(scope(host)) == CONFIGURED


@pytest.mark.parametrize(
    ("of", "origin"),
    [
        pytest.param(scope("signoff.example", from_proxy=True, scheme="https"), CONFIGURED, id="a trusted proxy"),
        pytest.param(scope("a/b", from_proxy=True), "http://192.0.2.7:4200", id="a trusted proxy, of no host"),
        pytest.param(scope(EVIL, server=("2001:db8::1", 4200)), "http://[2001:db8::1]:4200", id="reached by IPv6"),
        pytest.param(scope(EVIL, server=("/run/signoff.sock", None)), STARTED, id="reached by a socket"),
        pytest.param(scope(EVIL, server=None), STARTED, id="nobody knows how it was reached"),
    ],
)
def test_where_it_comes_from_decides(of: dict[str, Any], origin: str) -> None:
    assert Origins("", STARTED).of(of) == origin


def test_the_usual_port_may_be_left_out() -> None:
    origins = Origins("", "http://192.0.2.7:80")
    assert origins.of(scope("localhost")) == "http://localhost"
    assert origins.of(scope("192.0.2.7:80")) == "http://192.0.2.7:80"


@pytest.mark.parametrize(
    ("text", "origin"),
    [
        ("", ""),
        (" ", ""),
        ("https://signoff.example", CONFIGURED),
        (" HTTPS://Signoff.Example/ ", CONFIGURED),
        ("http://10.0.0.1:8080", "http://10.0.0.1:8080"),
        ("https://[::1]:4443", "https://[::1]:4443"),
    ],
)
def test_an_origin_is_read(text: str, origin: str) -> None:
    assert read_origin(text) == origin


@pytest.mark.parametrize(
    "text", ["signoff.example", "ftp://x", "https://", "https://a/b", "https://a?b", "https://u:p@a", "https://a b"]
)
def test_what_is_no_origin_is_refused(text: str) -> None:
    with pytest.raises(Invalid, match="SIGNOFF_ORIGIN"):
        read_origin(text)


@pytest.fixture
def origin(sqlite_store: Store, clock: Clock) -> Origin:
    made = Origin(sqlite_store, clock)
    made.user()
    for _ in range(2):
        made.job()
    return made


def links(answer: httpx.Response) -> set[str]:
    """Return the origins of all links in the answer to a list."""
    page = answer.json()
    found = [page["next"], *(row["url"] for row in page["results"])]
    return {str(httpx.URL(link).copy_with(path="/", query=None)).rstrip("/") for link in found}


def test_no_client_chooses_the_links_of_an_answer(origin: Origin) -> None:
    path = "/api/extras/jobs/?name__ic=Job&limit=1"
    for headers in ({"Host": EVIL}, {"Host": EVIL, "X-Forwarded-Host": EVIL, "X-Forwarded-Proto": "https"}):
        answer = origin.ask("GET", path, headers=headers)
        assert links(answer) == {"http://signoff.example"}
        assert answer.json()["next"].endswith("/api/extras/jobs/?name__ic=Job&limit=1&offset=1")
        assert EVIL not in origin.ask("GET", "/api/", headers=headers).text


def test_a_trusted_proxy_does(origin: Origin) -> None:
    origin.front = BehindProxies(origin.front, read_networks(["127.0.0.1"]))
    headers = {"X-Forwarded-Host": "jobs.example", "X-Forwarded-Proto": "https"}
    assert links(origin.ask("GET", "/api/extras/jobs/?limit=1", headers=headers)) == {"https://jobs.example"}


def test_prefect_makes_its_links_of_the_same_origin_and_its_redirects_stay(origin: Origin) -> None:
    origin.redirects = True
    for path, who in (("/api/flows", "admin"), ("/v2", None)):
        answer = origin.ask("GET", path, who, headers={"Host": EVIL})
        assert (answer.status_code, answer.headers["location"]) == (307, f"{path}/")
        assert origin.ask("GET", "/api/flows", headers={"Host": "localhost"}).headers["location"] == "/api/flows/"
