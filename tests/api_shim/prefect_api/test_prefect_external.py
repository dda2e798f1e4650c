"""What a Prefect server that others run is asked in our place, and what nobody else may ask it through us."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import httpx
import pytest
from starlette.responses import PlainTextResponse
from starlette.types import Message
from websockets.asyncio.server import ServerConnection, serve

from api_shim.prefect_api.prefect_external import (
    AWAY,
    DOES_NOT_KNOW_US,
    FOR_GUESTS,
    LARGEST_FOR_GUESTS,
    MAY_NOT,
    NO_ANSWER,
    PROTOCOL_ERROR,
    UNREADABLE,
    External,
    ExternalPrefect,
    basic,
    fitting,
    secret_files,
    told_of_external,
)
from api_shim.prefect_api.prefect_server import set_environment_without_server
from approval_gate.errors import Invalid, Unavailable

INTERNAL = "prefect:random"
URL = "http://localhost:4200/api"
THEIRS = External(url=URL, auth="others:sesame")
LET_IN = {"authorization": basic(INTERNAL)}
OUR_PAGE = PlainTextResponse("our page")

Answer = Callable[[httpx.Request], httpx.Response]


def asked(
    answer: Answer,
    path: str,
    method: str = "GET",
    told: External = THEIRS,
    body: bytes = b"",
    *,
    endless: bool = False,
    **headers: str,
) -> httpx.Response:
    """Ask through us, with the path as a client has sent it, and a body that may have no end."""
    sent = list[Message]()
    encoded, _, query = path.partition("?")
    scope = {
        "type": "http",
        "method": method,
        "path": unquote(encoded),
        "query_string": query.encode(),
        "headers": [(name.encode(), value.encode()) for name, value in headers.items()],
    }

    async def receive() -> Message:
        return {"type": "http.request", "body": body, "more_body": endless}

    async def send(message: Message) -> None:
        sent.append(message)

    async def scenario() -> None:
        transport = httpx.MockTransport(lambda request: unread(answer(request)))
        prefect = ExternalPrefect(told, INTERNAL, OUR_PAGE, transport)
        await prefect(scope, receive, send)
        await prefect.aclose()

    asyncio.run(scenario())
    start, end = sent
    return httpx.Response(start["status"], headers=start["headers"], content=end["body"])


def unread(answer: httpx.Response) -> httpx.Response:
    """Return an answer of which nothing was read yet, as from the network."""
    return httpx.Response(answer.status_code, headers=answer.headers, stream=httpx.ByteStream(answer.content))


def echo(request: httpx.Request) -> httpx.Response:
    return httpx.Response(200, json={"url": str(request.url), "headers": dict(request.headers)})


@pytest.mark.parametrize(
    ("told", "signed_in"),
    [
        (THEIRS, basic("others:sesame")),
        (External(url=URL, key="pnu_1", auth="others:sesame"), "Bearer pnu_1"),
        (External(url=URL), None),
    ],
)
def test_who_was_let_in_asks_with_that_servers_credentials(told: External, signed_in: str | None) -> None:
    found = asked(echo, "/api/flows/a%20b?limit=2&x=%2F", told=told, **LET_IN).json()
    assert found["url"] == f"{URL}/flows/a%20b?limit=2&x=%2F"
    assert found["headers"].get("authorization") == signed_in


def test_nothing_of_a_callers_credentials_and_cookies_is_passed_on() -> None:
    headers = {
        "authorization": "Bearer signoff_key",
        "cookie": "signoff_session=secret",
        "x-forwarded-for": "10.0.0.1",
        "x-prefect-api-version": "0.8.4",
    }
    found = asked(echo, "/api/health", **headers).json()["headers"]
    assert found == {"x-prefect-api-version": "0.8.4", "host": "localhost:4200"}


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/api/../metrics"),
        ("GET", "/api/%2e%2e/metrics"),
        ("GET", "/api/%2E%2E%2Fmetrics"),
        ("GET", "/api//flows"),
        ("GET", "/api/%2Fflows"),
        ("POST", "/api/flow_runs/./filter"),
    ],
)
def test_what_could_be_read_in_another_way_than_it_was_judged_is_not_asked(method: str, path: str) -> None:
    assert asked(never, path, method, **LET_IN).status_code == 404


def never(request: httpx.Request) -> httpx.Response:
    raise AssertionError(request.url)


@pytest.mark.parametrize("path", ["/", "/v2/", "/ui-settings", "/metrics", "/apix", "/API/flows/", "//api/flows"])
def test_of_what_that_machine_has_only_the_api_is_reached(path: str) -> None:
    assert asked(never, path, **LET_IN).text == "our page"


@pytest.mark.parametrize("kind", ["text/html", "image/svg+xml", "application/json, text/html", ""])
def test_what_a_browser_could_show_as_a_page_is_no_answer(kind: str) -> None:
    found = asked(lambda _request: httpx.Response(200, content=b"{}", headers={"content-type": kind}), "/api/x")
    assert (found.status_code, found.json()) == (503, {"detail": UNREADABLE})


def test_of_an_answer_only_what_is_about_its_content_is_passed_on() -> None:
    says = {"content-type": "application/json; charset=utf-8", "etag": "1", "retry-after": "2"}
    more = {"set-cookie": "signoff_session=theirs", "content-security-policy": "script-src *", "refresh": "0; /evil"}
    found = asked(lambda _request: httpx.Response(429, content=b"{}", headers=says | more), "/api/flows/", **LET_IN)
    assert found.status_code == 429
    assert dict(found.headers) == {**says, "content-length": "2", "x-content-type-options": "nosniff"}


def test_who_was_not_let_in_is_told_little() -> None:
    found = asked(lambda _request: httpx.Response(200, text=" " * (LARGEST_FOR_GUESTS + 1)), "/api/health")
    assert (found.status_code, found.json()) == (503, {"detail": UNREADABLE})


@pytest.mark.parametrize(
    ("location", "leads_to"),
    [
        ("http://localhost:4200/api/flows/?a=b", "/api/flows/?a=b"),
        ("/api/flows/", "/api/flows/"),
        ("https://evil.example/api/flows/", None),
        ("//evil.example/api/flows/", None),
        ("/login", None),
    ],
)
def test_a_redirect_leads_to_the_api_here_and_nowhere_else(location: str, leads_to: str | None) -> None:
    found = asked(lambda _request: httpx.Response(307, headers={"location": location}), "/api/flows", **LET_IN)
    assert (found.status_code, found.headers.get("location")) == ((307, leads_to) if leads_to else (503, None))


def test_a_server_that_is_away_is_no_answer() -> None:
    def away(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("refused", request=request)

    found = asked(away, "/api/flows/filter", "POST", **LET_IN)
    assert (found.status_code, found.json()) == (503, {"detail": NO_ANSWER})
    assert found.headers["retry-after"] == "5"


def test_no_caller_is_told_that_their_credentials_are_wrong_where_ours_are(caplog: pytest.LogCaptureFixture) -> None:
    found = asked(lambda _request: httpx.Response(401, json={}), "/api/flows/filter", "POST", **LET_IN)
    assert (found.status_code, found.json()) == (503, {"detail": DOES_NOT_KNOW_US})
    assert caplog.messages == [f"Prefect at {URL} no longer accepts our credentials."]


def content(request: httpx.Request) -> httpx.Response:
    return httpx.Response(200, text=request.content.decode())


@pytest.mark.parametrize(
    ("method", "path", "headers", "status"),
    [
        pytest.param("GET", "/api/health", {}, 200, id="of who was not let in"),
        pytest.param("GET", "/api/flows/", LET_IN, 200, id="of what is read"),
        pytest.param("POST", "/api/flows/", {}, 200, id="of a write of who was not let in"),
        pytest.param("POST", "/api/flows/", LET_IN, 413, id="of a write"),
    ],
)
def test_a_body_without_end_is_not_read(method: str, path: str, headers: dict[str, str], status: int) -> None:
    found = asked(content, path, method, body=b"x" * 2**20, endless=True, **headers)
    assert found.status_code == status
    assert b"xx" not in found.content


def test_what_is_sent_is_passed_on() -> None:
    assert asked(content, "/api/flows/", "POST", body=b"[1]", **LET_IN).content == b"[1]"


def test_who_was_not_let_in_keeps_nobody_else_waiting() -> None:
    holds, full, over = list[str](), asyncio.Event(), asyncio.Event()

    async def there(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Let wait who asks whether it is well, and answer all else."""
        path = (await reader.readuntil(b"\r\n\r\n")).split()[1].decode()
        if path != "/api/health":
            writer.write(b"HTTP/1.1 204 No Content\r\n\r\n")
        else:
            holds.append(path)
            if len(holds) == FOR_GUESTS:
                full.set()
            await over.wait()
        writer.close()

    async def ask(prefect: ExternalPrefect, path: str, **headers: str) -> Any:
        encoded = [(name.encode(), value.encode()) for name, value in headers.items()]
        scope = {"type": "http", "method": "GET", "path": path, "query_string": b"", "headers": encoded}
        sent = list[Message]()

        async def send(message: Message) -> None:
            sent.append(message)

        await prefect(scope, no_body, send)
        return sent[0]["status"]

    async def no_body() -> Message:
        raise AssertionError

    async def scenario() -> None:
        server = await asyncio.start_server(there, "127.0.0.1", 0)
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/api"
        prefect = ExternalPrefect(External(url=url), INTERNAL, OUR_PAGE)
        guests = [asyncio.create_task(ask(prefect, "/api/health")) for _ in range(FOR_GUESTS + 2)]
        await full.wait()
        assert await ask(prefect, "/api/flows/", **LET_IN) == 204
        assert len(holds) == FOR_GUESTS
        over.set()
        assert await asyncio.gather(*guests) == [503] * len(guests)
        await prefect.aclose()
        server.close()

    asyncio.run(scenario())


# The start


def waited(*answers: httpx.Response | Exception, patience: float = 60) -> list[str]:
    """Wait for a server that answers so, one after the other, and return what was told meanwhile."""
    left, told = [*answers], list[str]()

    def answer(request: httpx.Request) -> httpx.Response:
        assert request.url == f"{URL}/admin/version"
        found = left.pop(0) if len(left) > 1 else left[0]
        if isinstance(found, Exception):
            raise found
        return found

    async def scenario() -> None:
        prefect = ExternalPrefect(THEIRS, INTERNAL, OUR_PAGE, httpx.MockTransport(answer))
        await prefect.wait(told.append, patience, pause=0.001)
        await prefect.aclose()

    asyncio.run(scenario())
    return told


def test_it_is_waited_for_until_it_answers() -> None:
    assert waited(httpx.ConnectError("refused"), httpx.Response(503), httpx.Response(200, json="3.9.1")) == [
        f"Waiting for Prefect at {URL} …"
    ]


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (httpx.ConnectError("refused"), f"Prefect at {URL} has not answered within 0.05 seconds: is it running?"),
        (httpx.Response(401), "does not accept our credentials: set PREFECT_API_AUTH_STRING or PREFECT_API_KEY."),
        (httpx.Response(404), f"There is no Prefect server at {URL}: check PREFECT_API_URL."),
        (httpx.Response(200, text="<html>"), f"There is no Prefect server at {URL}: check PREFECT_API_URL."),
        (httpx.Response(200, json="2.20.1"), "is version 2.20.1, and prefect-signoff works with"),
    ],
)
def test_a_server_that_does_not_do_is_said_in_a_sentence(answer: httpx.Response | Exception, says: str) -> None:
    with pytest.raises(Unavailable) as refused:
        waited(answer, patience=0.05)
    assert says in str(refused.value)


def test_the_versions_are_those_that_are_installed_here() -> None:
    assert [fitting().contains(version) for version in ("3.9.1", "3.0.0", "4.0.0")] == [True, False, False]


# Where it is


@pytest.fixture
def surroundings(monkeypatch: pytest.MonkeyPatch) -> Iterator[pytest.MonkeyPatch]:
    """An environment and a search path that are put back."""
    before = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_API_")}
    monkeypatch.setattr(os, "environ", before)
    monkeypatch.setattr(sys, "path", [*sys.path])
    return monkeypatch


@pytest.mark.parametrize("url", ["", "theirs/api", "https://theirs:4200", "ftp://theirs/api"])
def test_what_is_no_address_of_an_api_is_refused(surroundings: pytest.MonkeyPatch, url: str) -> None:
    surroundings.setitem(os.environ, "PREFECT_API_URL", url)
    with pytest.raises(Invalid, match="Set PREFECT_API_URL to the address of the Prefect server's API"):
        told_of_external()


def test_an_address_with_credentials_is_refused_without_them(surroundings: pytest.MonkeyPatch) -> None:
    surroundings.setitem(os.environ, "PREFECT_API_URL", "https://others:sesame@theirs/api")
    with pytest.raises(Invalid) as refused:
        told_of_external()
    assert "sesame" not in str(refused.value)


def test_what_is_sent_to_it_others_cannot_read(surroundings: pytest.MonkeyPatch) -> None:
    surroundings.setitem(os.environ, "PREFECT_API_URL", "http://theirs:4200/api")
    with pytest.raises(Invalid, match=r"^Others could read what is sent to theirs on its way: PREFECT_API_URL needs"):
        told_of_external()
    assert told_of_external(insecure=True).url == "http://theirs:4200/api"


def test_it_may_take_as_long_as_it_is_told(surroundings: pytest.MonkeyPatch) -> None:
    surroundings.setitem(os.environ, "PREFECT_API_URL", URL)
    surroundings.setitem(os.environ, "SIGNOFF_TIMEOUT", "5")
    limits = list[Any]()

    def note(request: httpx.Request) -> httpx.Response:
        limits.extend(request.extensions["timeout"].values())
        return httpx.Response(204)

    asked(note, "/api/flows/", told=told_of_external(), **LET_IN)
    assert limits == [5.0] * 4


def test_a_worker_and_its_runs_are_told_of_us_and_of_no_credentials_of_others(
    surroundings: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name, value in {"URL": f"{URL}/", "KEY": "pnu_sesame", "AUTH_STRING": "others:sesame"}.items():
        surroundings.setitem(os.environ, f"PREFECT_API_{name}", value)
    told = told_of_external()
    assert told == External(url=URL, key="pnu_sesame", auth="others:sesame")
    assert "sesame" not in repr(told)
    set_environment_without_server(home=tmp_path, origin="http://ours", public="http://ours", internal=INTERNAL)
    assert os.environ["PREFECT_API_URL"] == "http://ours/api"
    assert "sesame" not in str(os.environ)


def test_its_credentials_can_be_in_files(surroundings: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (file := tmp_path / "auth").write_text("others:sesame\n")
    surroundings.setitem(os.environ, "PREFECT_API_URL", URL)
    surroundings.setitem(os.environ, "PREFECT_API_AUTH_STRING_FILE", str(file))
    assert told_of_external() == THEIRS
    assert secret_files() == [file]
    surroundings.setitem(os.environ, "PREFECT_API_AUTH_STRING", "others:open")
    with pytest.raises(Invalid, match=r"^Set either PREFECT_API_AUTH_STRING or PREFECT_API_AUTH_STRING_FILE, not both"):
        told_of_external()
    set_environment_without_server(home=tmp_path, origin="http://ours", public="http://ours", internal=INTERNAL)
    assert secret_files() == []


# Websockets


def socket(
    first: Any,
    port: int = 1,
    subprotocol: str = "prefect",
    path: str = "/api/events/out",
    *,
    close: int | None = 1000,
) -> list[Message]:
    """Open a websocket through us, say this and one thing more, and return what was sent back until it closed."""
    said = [{"type": "websocket.connect"}, *({"type": "websocket.receive", "text": text} for text in (first, "more"))]
    sent = list[Message]()

    async def receive() -> Message:
        if said:
            return said.pop(0)
        await asyncio.Event().wait()
        raise AssertionError

    async def send(message: Message) -> None:
        sent.append(message)

    async def scenario() -> None:
        told = External(url=f"http://127.0.0.1:{port}/api", auth="others:sesame")
        scope = {"type": "websocket", "path": path, "query_string": b"", "subprotocols": [subprotocol]}
        async with serve(there, "127.0.0.1", 0, subprotocols=["prefect"]) as server:  # type: ignore[list-item]
            if port == 0:
                address = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/api"
                told = replace(told, url=address)
            await ExternalPrefect(told, INTERNAL, OUR_PAGE)(scope, receive, send)

    async def there(connection: ServerConnection) -> None:
        assert connection.request is not None
        assert connection.request.path == "/api/events/out"
        for _ in range(2):
            await connection.send(await connection.recv())
        if close is None:
            connection.transport.abort()
        else:
            await connection.close(close or None)  # type: ignore[arg-type]  # without one, as its protocol can

    asyncio.run(scenario())
    return sent


SIGNS_IN = json.dumps({"type": "auth", "token": INTERNAL})


def test_no_proxy_of_the_environment_carries_away_what_is_to_stay_here(surroundings: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "all_proxy", "ws_proxy"):
        surroundings.setitem(os.environ, name, "http://127.0.0.1:1")
    surroundings.setitem(os.environ, "no_proxy", "")
    assert socket(SIGNS_IN, port=0)[-1]["code"] == 1000


def test_a_websocket_is_passed_on_with_that_servers_credentials() -> None:
    accepted, first, more, closed = socket(SIGNS_IN, port=0)
    assert accepted == {"type": "websocket.accept", "subprotocol": "prefect"}
    assert json.loads(first["text"]) == {"type": "auth", "token": "others:sesame"}
    assert more["text"] == "more"
    assert closed == {"type": "websocket.close", "code": 1000}


@pytest.mark.parametrize(
    ("close", "code"),
    [
        pytest.param(0, 1000, id="without a status"),
        pytest.param(None, AWAY, id="lost"),
        pytest.param(MAY_NOT, MAY_NOT, id="as one that may not be"),
        pytest.param(1011, 1011, id="for a fault of its own"),
    ],
)
def test_a_websocket_is_closed_as_it_was_closed_there(close: int | None, code: int) -> None:
    assert socket(SIGNS_IN, port=0, close=close)[-1] == {"type": "websocket.close", "code": code}


@pytest.mark.parametrize(
    ("first", "subprotocol", "path", "code"),
    [
        pytest.param('{"type": "auth", "token": ""}', "prefect", "/api/events/out", MAY_NOT, id="who was not let in"),
        pytest.param("[", "prefect", "/api/events/out", MAY_NOT, id="who says nothing"),
        pytest.param(SIGNS_IN, "other", "/api/events/out", PROTOCOL_ERROR, id="who speaks another protocol"),
        pytest.param(SIGNS_IN, "prefect", "/other", PROTOCOL_ERROR, id="who wants another thing of that machine"),
        pytest.param(SIGNS_IN, "prefect", "/api/events/out", AWAY, id="a server that is away"),
    ],
)
def test_a_websocket_is_closed_to(first: str, subprotocol: str, path: str, code: int) -> None:
    assert socket(first, subprotocol=subprotocol, path=path)[-1] == {"type": "websocket.close", "code": code}
