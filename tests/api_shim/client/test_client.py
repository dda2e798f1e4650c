"""``Shim`` and ``AsyncShim``: what they send where, and what they make of the answers; the same, both of them."""

from __future__ import annotations

import asyncio
import inspect
import json
import traceback
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import httpx
import pytest

import api_shim
from api_shim.client.async_client import AsyncShim
from api_shim.client.client import Shim
from approval_gate import errors
from tests.api_shim import said

HERE = "http://127.0.0.1:4200"
TOKEN = "0123456789abcdef0123"
ROW = said.scheduled()

Answer = httpx.Response | Exception


class Server(httpx.MockTransport):
    """Gives the answers it is told, one after the other, and remembers what was asked."""

    def __init__(self, *answers: Answer) -> None:
        self.asked: list[httpx.Request] = []
        self._answers = iter(answers)
        super().__init__(self._answer)

    def _answer(self, request: httpx.Request) -> httpx.Response:
        self.asked.append(request)
        answer = next(self._answers)
        if isinstance(answer, Exception):
            raise answer
        # Read by one client it could not be read by another.
        return httpx.Response(answer.status_code, headers=answer.headers, content=answer.content)

    @property
    def only(self) -> httpx.Request:
        (request,) = self.asked
        return request


class Awaited:
    """An ``AsyncShim`` whose every call is waited for, so that it can be talked to like a ``Shim``."""

    def __init__(self, *args: Any, **how: Any) -> None:
        self._shim = AsyncShim(*args, **how)

    def __repr__(self) -> str:
        return repr(self._shim).replace("AsyncShim", "Shim")

    def __getattr__(self, name: str) -> Callable[..., Any]:
        method = getattr(self._shim, "aclose" if name == "close" else name)
        return lambda *args, **how: asyncio.run(partial(method, *args, **how)())


@pytest.fixture(params=[Shim, Awaited], ids=["at once", "awaited"])
def speak(request: pytest.FixtureRequest) -> Iterator[Callable[..., Any]]:
    """Make shims of one kind, and close them."""
    made: list[Any] = []

    def make(server: Server, url: str = HERE, *, insecure: bool = False) -> Any:
        made.append(request.param(url, TOKEN, transport=server, insecure=insecure))
        return made[-1]

    yield make
    for shim in made:
        shim.close()


Speak = Callable[..., Any]


def page(*names: str, following: str | None = None) -> httpx.Response:
    return httpx.Response(200, json=said.page(*(said.waiting(name) for name in names), following=following))


# What is sent


def test_a_decision_is_posted_with_the_token_and_its_answer_returned(speak: Speak) -> None:
    server = Server(httpx.Response(200, json=ROW))
    row = speak(server).approve("nightly", comment="Read it.")
    assert (row.name, row.time_zone) == ("nightly", "Europe/Berlin")
    assert (server.only.method, server.only.url.path) == ("POST", "/api/extras/scheduled-jobs/nightly/approve/")
    assert json.loads(server.only.content) == {"force": False, "comment": "Read it."}
    assert server.only.headers["Authorization"] == f"Token {TOKEN}"
    assert server.only.headers["Content-Type"] == "application/json"


def test_any_name_is_one_part_of_the_path(speak: Speak) -> None:
    server = Server(httpx.Response(200, json=ROW))
    speak(server).deny("../a b?c#d%2F")
    path = b"/api/extras/scheduled-jobs/%2E%2E%2Fa%20b%3Fc%23d%252F/deny/"
    assert server.only.url.raw_path == path


@pytest.mark.parametrize(
    ("ref", "comment", "kind"),
    [
        pytest.param("", "", errors.NotFound, id="no name"),
        pytest.param("\udcff", "", errors.Invalid, id="a name that is no text"),
        pytest.param("nightly", "\udcff", errors.Invalid, id="a comment that is no text"),
    ],
)
def test_what_cannot_be_sent_is_not(speak: Speak, ref: str, comment: str, kind: type[errors.GateError]) -> None:
    server = Server()
    with pytest.raises(kind):
        speak(server).approve(ref, comment=comment)
    assert server.asked == []


@pytest.mark.parametrize("url", ["https://signoff.example/gate", "https://signoff.example/gate/"])
def test_signoff_may_be_below_a_path(speak: Speak, url: str) -> None:
    server = Server(page())
    speak(server, url).queue()
    assert server.only.url.copy_with(query=None) == "https://signoff.example/gate/api/extras/approval-queue/"


def test_pages_are_read_from_the_given_address_only(speak: Speak) -> None:
    server = Server(
        page("1", "2", following=f"{HERE}/api/extras/approval-queue/?limit=2&offset=2"),
        page("3", following="http://elsewhere.example/api/extras/approval-queue/?limit=2&offset=4"),
        page("4"),
    )
    assert [row.name for row in speak(server).queue()] == ["1", "2", "3", "4"]
    assert [request.url.query for request in server.asked] == [b"limit=200", b"limit=2&offset=2", b"limit=2&offset=4"]
    assert {(request.url.host, request.url.path) for request in server.asked} == {
        ("127.0.0.1", "/api/extras/approval-queue/")
    }


def test_waiting_takes_time_and_asks_again(speak: Speak) -> None:
    server = Server(*(httpx.Response(200, json=said.result(status)) for status in ("PENDING", "SUCCESS")))
    assert speak(server).wait("run").status.value == "SUCCESS"
    assert [request.url.path for request in server.asked] == ["/api/extras/job-results/run/"] * 2


# What comes back


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, errors.Invalid),
        (401, errors.Forbidden),
        (403, errors.Forbidden),
        (404, errors.NotFound),
        (405, errors.NotRunnable),
        (409, errors.Conflict),
        (413, errors.TooLarge),
        (301, errors.Unavailable),
        (429, errors.Unavailable),
        (500, errors.Unavailable),
        (503, errors.Unavailable),
    ],
)
def test_every_refusal_is_an_error_of_the_rules(speak: Speak, status: int, kind: type[errors.GateError]) -> None:
    told = httpx.Response(status, json={"detail": "No."}, headers={"Location": "https://elsewhere.example/"})
    server = Server(told)
    with pytest.raises(errors.GateError) as refused:
        speak(server).approve("nightly")
    assert type(refused.value) is kind
    assert str(refused.value) == "No."
    assert len(server.asked) == 1


@pytest.mark.parametrize(
    ("body", "detail", "message"),
    [
        pytest.param({"detail": "Decided."}, "Decided.", "Decided.", id="one sentence"),
        pytest.param({"name": ["Taken."]}, {"name": ["Taken."]}, "name: Taken.", id="by field"),
        pytest.param(["One.", "Two."], ["One.", "Two."], "One. Two.", id="several"),
        pytest.param({"detail": "a\x1b[2J\nb"}, "a [2J b", "a [2J b", id="what a terminal would obey"),
    ],
)
def test_a_refusal_keeps_what_was_said(speak: Speak, body: object, detail: object, message: str) -> None:
    with pytest.raises(errors.Invalid) as refused:
        speak(Server(httpx.Response(400, json=body))).deny("nightly")
    assert (refused.value.detail, str(refused.value)) == (detail, message)


@pytest.mark.parametrize("body", [{}, {"code": 7}, [], None, 7])
def test_a_refusal_without_a_sentence_is_told_by_its_status(speak: Speak, body: object) -> None:
    with pytest.raises(errors.Invalid, match=f"^{HERE} answered with status 400.$"):
        speak(Server(httpx.Response(400, json=body))).deny("nightly")


@pytest.mark.parametrize("content", [b"", b"<h1>Bad gateway</h1>", b"\xff", b"[" * 200_000])
def test_a_refusal_that_is_no_json_is_told_by_its_status(speak: Speak, content: bytes) -> None:
    with pytest.raises(errors.Unavailable, match=f"^{HERE} answered with status 502.$"):
        speak(Server(httpx.Response(502, content=content))).queue()


@pytest.mark.parametrize("body", ["<h1>Hello</h1>", "[]", "{}", '{"results": {}}'])
@pytest.mark.parametrize(
    "call",
    [lambda shim: shim.queue(), lambda shim: shim.approve("x"), lambda shim: shim.delete("x")],
    ids=["get", "post", "delete"],
)
def test_another_server_is_recognized(speak: Speak, call: Callable[[Any], Any], body: str) -> None:
    with pytest.raises(errors.Unavailable, match=f"^The server at {HERE} is not signoff, or has another version"):
        call(speak(Server(httpx.Response(200, text=body))))


@pytest.mark.parametrize(
    ("error", "message"),
    [
        pytest.param(httpx.ConnectError("Refused"), f"{HERE} cannot be reached: Refused.", id="nobody listens"),
        pytest.param(httpx.ConnectTimeout("Late"), f"{HERE} cannot be reached: Late.", id="nobody opens"),
        pytest.param(httpx.ReadTimeout("Late"), "may still have processed the request", id="no answer in time"),
        pytest.param(httpx.RemoteProtocolError("Gone"), "may still have processed the request", id="no whole answer"),
    ],
)
def test_a_server_that_does_not_answer_is_unavailable(speak: Speak, error: Exception, message: str) -> None:
    with pytest.raises(errors.Unavailable, match=message):
        speak(Server(error)).approve("nightly")


# The token


@pytest.mark.parametrize("kind", [Shim, AsyncShim])
def test_a_token_does_not_go_where_others_can_read_it(kind: Any) -> None:
    with pytest.raises(errors.Unavailable, match=r"^Others could read the token on its way to .*--insecure\.$"):
        kind("http://signoff.example", TOKEN)


def test_by_wish_it_does(speak: Speak) -> None:
    server = Server(page())
    speak(server, "http://signoff.example", insecure=True).queue()
    assert server.only.headers["Authorization"] == f"Token {TOKEN}"


@pytest.mark.parametrize("kind", [Shim, AsyncShim])
def test_no_proxy_carries_away_what_is_to_stay_here(monkeypatch: pytest.MonkeyPatch, kind: Any) -> None:
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HTTP_PROXY", "nonsense://u:hunter2@proxy.example")
    monkeypatch.setenv("HTTPS_PROXY", "nonsense://u:hunter2@proxy.example")
    kind(HERE, TOKEN)
    with pytest.raises(errors.Unavailable, match=r"^The proxy or certificate settings") as refused:
        kind("https://signoff.example", TOKEN)
    assert "hunter2" not in str(refused.value)


@pytest.mark.parametrize("kind", [Shim, AsyncShim])
def test_what_is_no_address_or_no_token_is_refused(kind: Any) -> None:
    with pytest.raises(errors.Invalid, match="looks like"):
        kind("http://alice:hunter2@127.0.0.1", TOKEN)
    with pytest.raises(errors.Invalid, match=r"^The token is empty"):
        kind(HERE, "two words")


def test_address_and_token_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SIGNOFF_URL", "https://signoff.example")
    monkeypatch.setenv("SIGNOFF_TOKEN", TOKEN)
    server = Server(page())
    with Shim(transport=server) as shim:
        shim.queue()
    assert server.only.url.host == "signoff.example"
    assert server.only.headers["Authorization"] == f"Token {TOKEN}"


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(httpx.Response(403, json={"detail": "Invalid token"}), id="refused"),
        pytest.param(httpx.Response(502, text="?"), id="no answer of ours"),
        pytest.param(httpx.ConnectError("Refused"), id="not reached"),
        pytest.param(httpx.ReadError("Gone"), id="not answered"),
    ],
)
def test_the_token_is_never_shown(speak: Speak, answer: Answer) -> None:
    shim = speak(Server(answer))
    assert repr(shim) == f"Shim('{HERE}')"
    with pytest.raises(errors.GateError) as refused:
        shim.approve("nightly")
    assert TOKEN not in "".join(traceback.format_exception(refused.value))
    assert TOKEN not in repr(refused.value)


# The package


def test_the_package_loads_them_when_they_are_asked_for() -> None:
    assert (api_shim.Shim, api_shim.AsyncShim) == (Shim, AsyncShim)
    with pytest.raises(AttributeError, match="has no attribute 'Shin'"):
        _ = api_shim.Shin  # type: ignore[attr-defined]  # on purpose


def test_the_two_have_the_same_calls_and_tell_the_same_about_them() -> None:
    def calls(kind: Any) -> dict[str, Any]:
        own = {name: value for name, value in vars(kind).items() if not name.startswith("_")}
        return {name: value for name, value in own.items() if name not in {"close", "aclose", "within", "of_this_run"}}

    at_once, awaited = calls(Shim), calls(AsyncShim)
    assert at_once.keys() == awaited.keys()
    for name, call in at_once.items():
        assert ">>>" in (inspect.getdoc(call) or ""), name
        assert inspect.getdoc(awaited[name]) == inspect.getdoc(call)
        assert inspect.signature(awaited[name]) == inspect.signature(call)
        assert next(iter(inspect.signature(call).parameters)) == "self"
