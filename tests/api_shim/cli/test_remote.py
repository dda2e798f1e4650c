"""What all commands share that speak to a server: refusals, the token, filters, and what is printed."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
from contextlib import suppress

import pytest

from api_shim.cli.remote import read_filters
from tests.api_shim import said
from tests.api_shim.cli.conftest import TOKEN, Run, Told
from tests.live import PATIENCE, environment

# Refusals

EVERY_COMMAND = [
    ("queue",),
    *((verb, "nightly", "--yes") for verb in ("approve", "deny")),
    ("dry-run", "nightly"),
    ("run", "Back up"),
    ("run", "Back up", "--at", "2030-01-01T02:00", "--name", "once"),
    ("schedule", "list"),
    *(("schedule", verb, "nightly") for verb in ("show", "enable", "disable", "take-over", "explain", "upcoming")),
    ("schedule", "change", "nightly", "--cron", "0 3 * * *"),
    ("schedule", "transfer", "nightly", "carol"),
    ("result", "list"),
    *(("result", verb, "id") for verb in ("show", "logs", "wait")),
    ("job", "variables", "Back up"),
]
every_command = pytest.mark.parametrize("words", EVERY_COMMAND, ids=" ".join)


@every_command
def test_a_refusal_is_one_sentence(signoff: Run, server: Told, words: tuple[str, ...]) -> None:
    server.status, server.body = 403, {"detail": "It is not to be."}
    assert signoff(*words).refusal == "It is not to be."
    assert signoff(*words, "--json").refusal == "It is not to be."


@pytest.mark.parametrize("words", [("queue",), ("approve", "nightly", "--yes")], ids=" ".join)
@pytest.mark.parametrize("status", [400, 403, 404, 405, 409, 412, 503])
def test_whatever_its_status_it_is_one_sentence(
    signoff: Run, server: Told, words: tuple[str, ...], status: int
) -> None:
    server.status, server.body = status, {"detail": "It is not to be."}
    assert signoff(*words).refusal == "It is not to be."


@every_command
def test_a_server_that_is_not_there_is_one_sentence(signoff: Run, server: Told, words: tuple[str, ...]) -> None:
    refusal = signoff(*words, "--url", "http://127.0.0.1:1", "--insecure").refusal
    assert "http://127.0.0.1:1 cannot be reached: " in refusal


@every_command
def test_another_server_is_one_sentence(signoff: Run, server: Told, words: tuple[str, ...]) -> None:
    server.body = {"hello": "world"}
    assert signoff(*words).refusal == f"The server at {server.url} is not signoff, or has another version."


@every_command
def test_a_token_is_not_sent_where_others_can_read_it(signoff: Run, server: Told, words: tuple[str, ...]) -> None:
    assert "--insecure" in signoff(*words, "--url", "http://signoff.invalid").refusal


def test_a_token_is_sent_where_others_can_read_it_to_who_insists(signoff: Run, server: Told) -> None:
    insecure = signoff("queue", "--url", "http://signoff.invalid", "--insecure")
    assert "http://signoff.invalid cannot be reached: " in insecure.refusal


# The token


@every_command
def test_the_token_comes_from_the_environment(signoff: Run, server: Told, words: tuple[str, ...]) -> None:
    server.status, server.body = 403, {"detail": "Invalid token."}
    printed = signoff(*words)
    assert server.tokens == [f"Token {TOKEN}"]
    assert TOKEN not in printed.out + printed.err


@pytest.mark.parametrize(
    ("words", "token"),
    [*((words, None) for words in EVERY_COMMAND), (("queue",), "")],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else {None: "unset", "": "empty"}[value],
)
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
    assert signoff("queue").refusal == "The token is empty or has invalid characters."


@every_command
def test_the_token_is_no_argument(signoff: Run, server: Told, words: tuple[str, ...]) -> None:
    assert signoff(*words, "--token", TOKEN).status == 2
    assert server.asked == []


def test_at_a_terminal_the_token_is_asked_for_and_not_shown(server: Told) -> None:
    server.body = said.page(said.waiting())
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
    out, _ = asking.communicate(timeout=PATIENCE)
    # Nobody has the other end any more: what is left is read, then an error.
    with suppress(OSError):
        while more := os.read(ours, 1000):
            shown += more
    os.close(ours)
    assert (asking.returncode, json.loads(out)) == (0, [said.waiting()])
    assert server.tokens == [f"Token {TOKEN}"]
    assert shown.split() == [b"Token:"]


# Lists


@pytest.mark.parametrize(
    ("where", "filters"),
    [
        pytest.param(None, {}, id="none"),
        pytest.param(["enabled=true"], {"enabled": ["true"]}, id="one"),
        pytest.param(["name=a", "name=b=c"], {"name": ["a", "b=c"]}, id="any of several"),
        pytest.param(["name="], {"name": [""]}, id="an empty value"),
    ],
)
def test_filters_are_typed_as_the_api_has_them(where: list[str] | None, filters: dict[str, list[str]]) -> None:
    assert read_filters(where, q=None) == filters


def test_a_filter_goes_with_the_option_for_the_same(signoff: Run, server: Told) -> None:
    server.body = said.page()
    signoff(
        "result", "list", "--status", "SUCCESS", "-w", "status=FAILURE", "--sort=-date_done", "-s", "x", "--limit=5"
    )
    [(_method, path, _body)] = server.asked
    query = "limit=5&status=SUCCESS&status=FAILURE&q=x&sort=-date_done"
    assert path == f"/api/extras/job-results/?{query}"


@pytest.mark.parametrize("text", ["enabled", "=true", "limit=5", "offset=5"])
def test_what_is_no_filter_is_a_wrong_call(signoff: Run, server: Told, text: str) -> None:
    assert signoff("schedule", "list", "--where", text).status == 2
    assert server.asked == []


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        pytest.param(("schedule", "list"), "No scheduled jobs.\n", id="scheduled"),
        pytest.param(("result", "list"), "No job results.\n", id="run"),
    ],
)
def test_an_empty_list_is_told(signoff: Run, server: Told, words: tuple[str, ...], sentence: str) -> None:
    server.body = said.page()
    assert signoff(*words).out == sentence
    assert signoff(*words, "--json").json == []


def test_nothing_is_printed_that_a_terminal_would_obey(signoff: Run, server: Told) -> None:
    server.body = said.page(said.scheduled(name="a\x1b[2Jb"))
    assert "\x1b" not in signoff("schedule", "list").out
    server.body = said.scheduled(name="a\x1b[2Jb")
    assert "\x1b" not in signoff("schedule", "take-over", "x").out


# Deletion


def test_each_is_deleted_and_told(signoff: Run, server: Told) -> None:
    printed = signoff("schedule", "delete", "a/b", "c")
    assert (printed.status, printed.out, printed.err) == (0, "Deleted “a/b”.\nDeleted “c”.\n", "")
    base = "/api/extras/scheduled-jobs"
    assert server.asked == [("DELETE", f"{base}/a%2Fb/", None), ("DELETE", f"{base}/c/", None)]


def test_what_is_refused_holds_up_none_of_the_others(signoff: Run, server: Told) -> None:
    server.status, server.body = 404, {"detail": "There is none."}
    printed = signoff("result", "delete", "a", "b")
    assert (printed.status, printed.out) == (1, "")
    assert printed.err == "error: a: There is none.\nerror: b: There is none.\n"
