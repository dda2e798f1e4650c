"""``signoff queue``, ``approve``, ``deny`` and ``dry-run``, as they are typed: what they ask a server, what they print.

That the real one says the same is for the acceptance tests.
"""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread
from typing import Any

import pytest

from api_shim.cli.approvals import what_follows, when
from tests.api_shim.cli.conftest import Run
from tests.factories import NOW
from tests.live import environment

TOKEN = "0123456789abcdef0123"
ID = "3f0a4d7e-0000-4000-8000-000000000000"
ROW: dict[str, Any] = {
    "id": ID,
    "object_type": "extras.scheduledjob",
    "name": "nightly",
    "task": "flows.examples.BackUp",
    "interval": "daily",
    "start_time": "2100-01-31T18:00:00Z",
    "time_zone": "Europe/Berlin",
    "crontab": "",
    "one_off": False,
    "enabled": True,
    "last_run_at": None,
}
WAITING = {**ROW, "requested_by": "alice", "approval_note": "", "expires_at": None}
MAY = {"may_approve": True, "why_not_approve": ""}
MAY_NOT = {"may_approve": False, "why_not_approve": "You cannot approve your own job request!"}
RESULT = {
    "id": ID,
    "object_type": "extras.jobresult",
    "name": "Back up",
    "url": "http://here/api/extras/job-results/1/",
}


@dataclass
class Told:
    """A server on a port of this machine.

    Args:
        url: where it is.
        status: of its next answers.
        body: of its next answers.
        asked: method, path and body of what it was asked.
        tokens: what it was asked with.
    """

    url: str = ""
    status: int = 200
    body: Any = None
    asked: list[tuple[str, str, Any]] = field(default_factory=list)
    tokens: list[str] = field(default_factory=list)


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Told]:
    """A server that gives the answer it is told; the commands find it, and a token, in the environment."""
    told = Told()

    class Handler(BaseHTTPRequestHandler):
        def answer(self) -> None:
            sent = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            told.asked.append((self.command, self.path, json.loads(sent or b"null")))
            told.tokens.append(self.headers["Authorization"])
            self.send_response(told.status)
            self.end_headers()
            self.wfile.write(json.dumps(told.body).encode())

        do_GET = do_POST = answer  # noqa: N815 - as the library calls them

        def log_message(self, *_: Any) -> None:
            """Keep quiet."""

    listening = HTTPServer(("127.0.0.1", 0), Handler)
    told.url = f"http://127.0.0.1:{listening.server_port}"
    monkeypatch.setenv("SIGNOFF_URL", told.url)
    monkeypatch.setenv("SIGNOFF_TOKEN", TOKEN)
    thread = Thread(target=listening.serve_forever, args=(0.01,))
    thread.start()
    yield told
    listening.shutdown()
    thread.join()
    listening.server_close()


# The queue


def test_the_queue_is_a_table(signoff: Run, server: Told) -> None:
    server.body = page(WAITING | MAY, WAITING | MAY_NOT | {"id": "2", "name": "[b]x[/b]", "requested_by": ""})
    printed = signoff("queue")
    assert (printed.status, printed.err) == (0, "")
    columns = ["id", "name", "job", "requested by", "when", "may approve"]
    when_due = "daily from 2100-01-31 19:00 Europe/Berlin"
    assert [[cell.strip() for cell in line.rstrip().split("  ") if cell] for line in printed.out.splitlines()] == [
        columns,
        [ID, "nightly", "flows.examples.BackUp", "alice", when_due, "yes"],
        ["2", "[b]x[/b]", "flows.examples.BackUp", "-", when_due, MAY_NOT["why_not_approve"]],
    ]


def test_what_may_not_be_seen_of_a_job_is_left_out(signoff: Run, server: Told) -> None:
    row = {name: value for name, value in (WAITING | MAY_NOT | {"why_not_approve": ""}).items() if name != "task"}
    server.body = page(row)
    cells = signoff("queue").out.splitlines()[1].split()
    assert (cells[2], cells[-1]) == ("-", "no")


def test_the_queue_as_json_is_what_the_server_says(signoff: Run, server: Told) -> None:
    server.body = page(WAITING | MAY)
    assert signoff("queue", "--json").json == [WAITING | MAY]
    server.body = page()
    assert signoff("queue", "--json").json == []


def test_an_empty_queue_is_told(signoff: Run, server: Told) -> None:
    server.body = page()
    assert signoff("queue").out == "Nothing that you may see waits for approval.\n"


def page(*rows: dict[str, Any]) -> dict[str, Any]:
    return {"count": len(rows), "next": None, "previous": None, "results": rows}


ONCE = {"interval": "future", "one_off": True}
PAST = {"start_time": "2000-01-31T18:00:00Z"}


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        pytest.param(ONCE, "once at 2100-01-31 19:00 Europe/Berlin", id="once"),
        pytest.param({"interval": "hourly"}, "hourly from 2100-01-31 19:00 Europe/Berlin", id="hourly"),
        pytest.param({"interval": "weekly", "time_zone": "UTC"}, "weekly from 2100-01-31 18:00 UTC", id="weekly"),
        pytest.param({"interval": "custom", "crontab": "0 2 * * *"}, "0 2 * * * (Europe/Berlin)", id="a crontab"),
        pytest.param({"time_zone": "Mars/Base"}, "daily from 2100-01-31T18:00:00Z", id="a zone unknown here"),
    ],
)
def test_when_is_told_on_the_clocks_of_the_schedule(changes: dict[str, Any], text: str) -> None:
    assert when(ROW | changes) == text


# The decisions


@pytest.mark.parametrize(
    ("words", "answer", "path", "body", "sentence"),
    [
        pytest.param(
            ("approve", "nightly"),
            ROW,
            "nightly/approve/",
            {"force": False, "comment": ""},
            "Approved «nightly»; it fires next by its schedule.",
            id="approve",
        ),
        pytest.param(
            ("approve", ID, "--force", "--comment", "Read it."),
            ROW | ONCE,
            f"{ID}/approve/",
            {"force": True, "comment": "Read it."},
            "Approved «nightly»; it runs at 2100-01-31 19:00 Europe/Berlin.",
            id="approve by force, with a comment",
        ),
        pytest.param(
            ("deny", "a/b", "--comment", "Not today."),
            ROW | {"name": "a/b"},
            "a%2Fb/deny/",
            {"comment": "Not today."},
            "Denied «a/b».",
            id="deny",
        ),
        pytest.param(
            ("dry-run", "nightly"),
            RESULT,
            "nightly/dry-run/",
            {},
            f"Started a dry run of «nightly»: {RESULT['url']}",
            id="dry-run",
        ),
    ],
)
def test_a_decision_is_sent_and_told(
    signoff: Run,
    server: Told,
    words: tuple[str, ...],
    answer: dict[str, Any],
    path: str,
    body: dict[str, Any],
    sentence: str,
) -> None:
    server.body = answer
    printed = signoff(*words)
    assert (printed.status, printed.out, printed.err) == (0, f"{sentence}\n", "")
    assert server.asked == [("POST", f"/api/extras/scheduled-jobs/{path}", body)]
    assert signoff(*words, "--json").json == answer


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        pytest.param({}, "it fires next by its schedule", id="again and again"),
        pytest.param(PAST, "it fires next by its schedule", id="again and again, begun"),
        pytest.param(ONCE, "it runs at 2100-01-31 19:00 Europe/Berlin", id="once, later"),
        pytest.param(ONCE | PAST, "it runs now", id="once, its time has come"),
        pytest.param(ONCE | {"start_time": NOW.isoformat()}, "it runs now", id="once, this moment"),
        pytest.param({"enabled": False}, "it is disabled, so it does not run", id="disabled"),
        pytest.param(
            ONCE | PAST | {"enabled": False, "last_run_at": PAST["start_time"]}, "it has run already", id="done"
        ),
        pytest.param({"last_run_at": PAST["start_time"]}, "it fires next by its schedule", id="fired before"),
    ],
)
def test_what_an_approval_leads_to_is_told(changes: dict[str, Any], text: str) -> None:
    assert what_follows(ROW | changes, NOW) == text


# Refusals

EVERY_COMMAND = [("queue",), ("approve", "nightly"), ("deny", "nightly"), ("dry-run", "nightly")]
every_command = pytest.mark.parametrize("words", EVERY_COMMAND, ids=" ".join)


@every_command
@pytest.mark.parametrize("status", [400, 403, 404, 405, 409, 503])
def test_a_refusal_is_one_sentence(signoff: Run, server: Told, words: tuple[str, ...], status: int) -> None:
    server.status, server.body = status, {"detail": "It is not to be."}
    assert signoff(*words).refusal == "It is not to be."
    assert signoff(*words, "--json").refusal == "It is not to be."


@every_command
def test_a_server_that_is_not_there_is_one_sentence(signoff: Run, server: Told, words: tuple[str, ...]) -> None:
    assert "http://127.0.0.1:1 cannot be reached: " in signoff(*words, "--url", "http://127.0.0.1:1").refusal


@every_command
def test_another_server_is_one_sentence(signoff: Run, server: Told, words: tuple[str, ...]) -> None:
    server.body = {"hello": "world"}
    assert signoff(*words).refusal == f"What answers at {server.url} is not signoff."


@every_command
def test_a_token_is_not_sent_where_others_can_read_it(signoff: Run, server: Told, words: tuple[str, ...]) -> None:
    assert "--insecure" in signoff(*words, "--url", "http://signoff.invalid").refusal
    insecure = signoff(*words, "--url", "http://signoff.invalid", "--insecure")
    assert "http://signoff.invalid cannot be reached: " in insecure.refusal


# The token


@every_command
def test_the_token_comes_from_the_environment(signoff: Run, server: Told, words: tuple[str, ...]) -> None:
    server.status, server.body = 403, {"detail": "Invalid token."}
    printed = signoff(*words)
    assert server.tokens == [f"Token {TOKEN}"]
    assert TOKEN not in printed.out + printed.err


@every_command
@pytest.mark.parametrize("token", [None, ""], ids=["unset", "empty"])
def test_without_a_token_or_a_terminal_nothing_is_sent(
    signoff: Run, server: Told, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...], token: str | None
) -> None:
    monkeypatch.delenv("SIGNOFF_TOKEN")
    if token is not None:
        monkeypatch.setenv("SIGNOFF_TOKEN", token)
    refusal = signoff(*words, stdin=TOKEN.encode()).refusal
    assert refusal == "Set SIGNOFF_TOKEN to your token; there is no terminal here to ask for it."
    assert server.asked == []


@pytest.mark.parametrize("token", [" ", "two words", os.fsdecode(b"\xff\xfe")])
def test_what_is_no_token_is_one_sentence(
    signoff: Run, server: Told, monkeypatch: pytest.MonkeyPatch, token: str
) -> None:
    monkeypatch.setenv("SIGNOFF_TOKEN", token)
    assert signoff("queue").refusal == "The token is empty, or has characters that no token has."


@every_command
def test_the_token_is_no_argument(signoff: Run, server: Told, words: tuple[str, ...]) -> None:
    assert signoff(*words, "--token", TOKEN).status == 2
    assert server.asked == []


def test_at_a_terminal_the_token_is_asked_for_and_not_shown(server: Told) -> None:
    server.body = page(WAITING | MAY)
    ours, theirs = pty.openpty()
    asking = subprocess.Popen(
        [sys.executable, "-m", "api_shim.cli", "queue", "--json"],
        stdin=theirs,
        stdout=subprocess.PIPE,
        stderr=theirs,
        env=environment(SIGNOFF_URL=server.url),
        start_new_session=True,
    )
    os.close(theirs)
    shown = b""
    while b"Token: " not in shown:
        shown += os.read(ours, 1000)
    os.write(ours, f"{TOKEN}\n".encode())
    out, _ = asking.communicate(timeout=30)
    # Nobody has the other end any more: what is left is read, then an error.
    with suppress(OSError):
        while more := os.read(ours, 1000):
            shown += more
    os.close(ours)
    assert (asking.returncode, json.loads(out)) == (0, [WAITING | MAY])
    assert server.tokens == [f"Token {TOKEN}"]
    assert shown.split() == [b"Token:"]
