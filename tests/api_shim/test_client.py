"""The client of a running signoff: what it sends where, and what it makes of the answers."""

from __future__ import annotations

import json
import traceback
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest

from api_shim.client import Client
from approval_gate import errors

HERE = "http://127.0.0.1:4200"
TOKEN = "0123456789abcdef0123"
ROW = {"id": "1", "object_type": "extras.scheduledjob", "name": "nightly"}

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
        return answer

    @property
    def only(self) -> httpx.Request:
        (request,) = self.asked
        return request


@pytest.fixture
def speak() -> Iterator[Callable[[Server], Client]]:
    """Make clients, and close them."""
    made: list[Client] = []

    def make(server: Server, url: str = HERE, *, insecure: bool = False) -> Client:
        made.append(Client(url, TOKEN, server, insecure=insecure))
        return made[-1]

    yield make
    for client in made:
        client.close()


Speak = Callable[..., Client]


def page(*ids: str, following: str | None = None) -> httpx.Response:
    results = [{"id": row_id} for row_id in ids]
    return httpx.Response(200, json={"count": 9, "next": following, "previous": None, "results": results})


# What is sent


@pytest.mark.parametrize(
    ("call", "path", "body"),
    [
        pytest.param(
            lambda client: client.approve("nightly"),
            "/api/extras/scheduled-jobs/nightly/approve/",
            {"force": False, "comment": ""},
            id="approve",
        ),
        pytest.param(
            lambda client: client.approve("nightly", force=True, comment="Read it."),
            "/api/extras/scheduled-jobs/nightly/approve/",
            {"force": True, "comment": "Read it."},
            id="approve by force, with a comment",
        ),
        pytest.param(
            lambda client: client.deny("nightly", comment="Not today."),
            "/api/extras/scheduled-jobs/nightly/deny/",
            {"comment": "Not today."},
            id="deny",
        ),
        pytest.param(
            lambda client: client.dry_run("nightly"), "/api/extras/scheduled-jobs/nightly/dry-run/", {}, id="dry-run"
        ),
    ],
)
def test_a_decision_is_posted_and_its_answer_returned(
    speak: Speak, call: Callable[[Client], Any], path: str, body: dict[str, Any]
) -> None:
    server = Server(httpx.Response(200, json=ROW))
    assert call(speak(server)) == ROW
    assert (server.only.method, server.only.url.path) == ("POST", path)
    assert json.loads(server.only.content) == body
    assert server.only.headers["Authorization"] == f"Token {TOKEN}"
    assert server.only.headers["Content-Type"] == "application/json"


@pytest.mark.parametrize(
    ("ref", "sent"),
    [
        pytest.param("3f0a4d7e-0000-4000-8000-000000000000", "3f0a4d7e-0000-4000-8000-000000000000", id="an id"),
        pytest.param("a/b", "a%2Fb", id="a slash"),
        pytest.param("Back up", "Back%20up", id="a space"),
        pytest.param("a?b#c", "a%3Fb%23c", id="what ends a path"),
        pytest.param("50%2F", "50%252F", id="what looks encoded"),
        pytest.param("nächtlich", "n%C3%A4chtlich", id="no ASCII"),
        pytest.param("..", "%2E%2E", id="what means another folder"),
        pytest.param(".", "%2E", id="what means the same folder"),
    ],
)
def test_any_name_is_one_part_of_the_path(speak: Speak, ref: str, sent: str) -> None:
    server = Server(httpx.Response(200, json=ROW))
    speak(server).deny(ref)
    assert server.only.url.raw_path == f"/api/extras/scheduled-jobs/{sent}/deny/".encode()


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


# The queue


def test_the_queue_is_read_to_its_last_page_and_from_the_given_address_only(speak: Speak) -> None:
    server = Server(
        page("1", "2", following=f"{HERE}/api/extras/approval-queue/?limit=2&offset=2"),
        page("2", "3", following="http://elsewhere.example/api/extras/approval-queue/?limit=2&offset=4"),
        page("4"),
    )
    assert [row["id"] for row in speak(server).queue()] == ["1", "2", "3", "4"]
    assert [request.url.query for request in server.asked] == [b"", b"limit=2&offset=2", b"limit=2&offset=4"]
    assert {(request.url.host, request.url.path) for request in server.asked} == {
        ("127.0.0.1", "/api/extras/approval-queue/")
    }


def test_a_queue_whose_pages_lead_in_a_circle_ends(speak: Speak) -> None:
    link = f"{HERE}/api/extras/approval-queue/?offset=1"
    server = Server(page("1", following=link), page("2", following=link))
    assert [row["id"] for row in speak(server).queue()] == ["1", "2"]


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
    ("body", "message"),
    [
        pytest.param({"detail": "Decided by bob."}, "Decided by bob.", id="one sentence"),
        pytest.param(["First.", "Second."], "First. Second.", id="a list of sentences"),
        pytest.param({"comment": ["Too long.", "Rude."]}, "comment: Too long. comment: Rude.", id="by field"),
        pytest.param({"schedule": {"name": ["Taken."]}}, "schedule.name: Taken.", id="a field within a field"),
        pytest.param({"errors": {"count": ["Wrong."]}}, "count: Wrong.", id="the errors of inputs"),
        pytest.param({"non_field_errors": ["Odd."]}, "Odd.", id="of no field"),
        pytest.param({"detail": "a\x1b[2J\nb"}, "a [2J b", id="what a terminal would obey"),
        pytest.param({}, f"{HERE} answered with status 400.", id="nothing"),
        pytest.param({"code": 7}, f"{HERE} answered with status 400.", id="no sentence"),
    ],
)
def test_a_refusal_is_told_readably(speak: Speak, body: object, message: str) -> None:
    with pytest.raises(errors.Invalid) as refused:
        speak(Server(httpx.Response(400, json=body))).deny("nightly")
    assert str(refused.value) == message


@pytest.mark.parametrize("content", [b"", b"<h1>Bad gateway</h1>", b"\xff", b"[" * 200_000])
def test_a_refusal_that_is_no_json_is_told_by_its_status(speak: Speak, content: bytes) -> None:
    with pytest.raises(errors.Unavailable, match=f"^{HERE} answered with status 502.$"):
        speak(Server(httpx.Response(502, content=content))).queue()


@pytest.mark.parametrize("body", ["<h1>Hello</h1>", "[]", "{}", '{"results": {}}', ""])
@pytest.mark.parametrize(
    "call", [lambda client: client.queue(), lambda client: client.approve("x")], ids=["get", "post"]
)
def test_another_server_is_recognized(speak: Speak, call: Callable[[Client], Any], body: str) -> None:
    with pytest.raises(errors.Unavailable, match=f"^What answers at {HERE} is not signoff.$"):
        call(speak(Server(httpx.Response(200, text=body))))


@pytest.mark.parametrize(
    ("error", "message"),
    [
        pytest.param(httpx.ConnectError("Refused"), f"{HERE} cannot be reached: Refused.", id="nobody listens"),
        pytest.param(httpx.ConnectTimeout("Late"), f"{HERE} cannot be reached: Late.", id="nobody opens"),
        pytest.param(httpx.ReadTimeout("Late"), "may have been done all the same", id="no answer in time"),
        pytest.param(httpx.RemoteProtocolError("Gone"), "may have been done all the same", id="no whole answer"),
    ],
)
def test_a_server_that_does_not_answer_is_unavailable(speak: Speak, error: Exception, message: str) -> None:
    with pytest.raises(errors.Unavailable, match=message):
        speak(Server(error)).approve("nightly")


# The token


@pytest.mark.parametrize(
    ("url", "insecure", "sent"),
    [
        ("http://127.0.0.1:4200", False, True),
        ("http://127.9.9.9", False, True),
        ("http://localhost:4200", False, True),
        ("http://LocalHost:4200", False, True),
        ("http://[::1]:4200", False, True),
        ("https://signoff.example", False, True),
        ("http://signoff.example", False, False),
        ("http://192.168.0.1:4200", False, False),
        ("http://0.0.0.0:4200", False, False),
        ("http://localhost.example", False, False),
        ("http://127.0.0.1.example", False, False),
        ("http://signoff.example", True, True),
    ],
)
def test_the_token_leaves_this_machine_encrypted_or_by_wish(speak: Speak, url: str, insecure: bool, sent: bool) -> None:
    server = Server(page())
    if sent:
        speak(server, url, insecure=insecure).queue()
        assert server.only.headers["Authorization"] == f"Token {TOKEN}"
        return
    with pytest.raises(errors.Unavailable, match=r"^Others could read the token on its way to .*--insecure\.$"):
        speak(server, url, insecure=insecure)
    assert server.asked == []


def test_no_proxy_carries_away_what_is_to_stay_here(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HTTP_PROXY", "nonsense://u:hunter2@proxy.example")
    monkeypatch.setenv("HTTPS_PROXY", "nonsense://u:hunter2@proxy.example")
    Client(HERE, TOKEN).close()
    with pytest.raises(errors.Unavailable, match=r"^The proxy or the certificates") as refused:
        Client("https://signoff.example", TOKEN)
    assert "hunter2" not in str(refused.value)


@pytest.mark.parametrize(
    "url",
    [
        pytest.param("", id="nothing"),
        pytest.param("127.0.0.1:4200", id="no scheme"),
        pytest.param("localhost:4200", id="a host for a scheme"),
        pytest.param("ftp://127.0.0.1", id="another scheme"),
        pytest.param("http://", id="no host"),
        pytest.param("http://127.0.0.1:99999", id="no such port"),
        pytest.param("http://127.0.0.1:port", id="a port in letters"),
        pytest.param("http://127.0.0.1/\x00", id="a control character"),
        pytest.param("http://127.0.0.1/\udcff", id="no text"),
        pytest.param(f"http://{'a' * 70}.example", id="a host that is too long"),
        pytest.param("http://127.0.0.1/?a=b", id="a query"),
        pytest.param("http://127.0.0.1/#a", id="a fragment"),
        pytest.param("http://alice:hunter2@127.0.0.1", id="a password"),
        pytest.param("http://127.0.0.1:hunter2@signoff.example", id="a host for a name"),
    ],
)
def test_what_is_no_address_is_refused_and_not_repeated(url: str) -> None:
    with pytest.raises(errors.Invalid, match=r"looks like http://127.0.0.1:4200") as refused:
        Client(url, TOKEN)
    assert "hunter2" not in str(refused.value)


@pytest.mark.parametrize("token", ["", "two words", "line\nfeed" * 3, "schlüssel" * 3, "\udcff" * 20])
def test_what_is_no_token_is_refused_and_not_repeated(token: str) -> None:
    with pytest.raises(errors.Invalid) as refused:
        Client(HERE, token)
    assert str(refused.value) == "The token is empty, or has characters that no token has."


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
    client = speak(Server(answer))
    assert repr(client) == f"Client('{HERE}')"
    with pytest.raises(errors.GateError) as refused:
        client.approve("nightly")
    assert TOKEN not in "".join(traceback.format_exception(refused.value))
    assert TOKEN not in repr(refused.value)
