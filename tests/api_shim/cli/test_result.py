"""``signoff result``: what it asks, and what it prints."""

from __future__ import annotations

import json

import pytest

from tests.api_shim import said
from tests.api_shim.cli.conftest import Run, Told

ID = said.result()["id"]
PATH = f"/api/extras/job-results/{ID}/"
LINE = "2026-05-04 12:00:00 UTC  info      "


def test_the_list_is_a_table(signoff: Run, server: Told) -> None:
    server.body = said.page(said.result())
    printed = signoff("result", "list", "--job", "Back up", "--status", "SUCCESS", "--schedule", "nightly")
    assert printed.out.splitlines()[0].split() == ["id", "name", "status", "created", "started", "done"]
    assert printed.out.splitlines()[1].split("  ")[:3] == [ID, "Back up", "SUCCESS"]
    query = "limit=50&job_model=Back+up&status=SUCCESS&scheduled_job=nightly"
    assert server.asked[0][1] == f"/api/extras/job-results/?{query}"
    assert signoff("result", "list", "--json").json == [said.result()]


def test_one_is_shown_line_by_line(signoff: Run, server: Told) -> None:
    server.body = said.result("FAILURE", traceback="Traceback:\n  broken", result={"n": 1})
    out = signoff("result", "show", ID).out
    assert "FAILURE" in out
    assert '{"n": 1}' in out
    assert "Traceback:" in out
    assert signoff("result", "show", ID, "--json").json == server.body


def test_the_log_is_told_line_by_line(signoff: Run, server: Told) -> None:
    server.body = [said.line("Hello"), said.line("a\x1b[2Jb")]
    assert signoff("result", "logs", ID).out == f"{LINE}Hello\n{LINE}a [2Jb\n"
    assert server.asked == [("GET", f"{PATH}logs/", None)]
    assert signoff("result", "logs", ID, "--json").json == server.body


def test_the_log_can_be_restricted(signoff: Run, server: Told) -> None:
    server.body = said.page(said.line("Hello"))
    assert signoff("result", "logs", ID, "--where", "log_level=info").out == f"{LINE}Hello\n"
    query = f"limit=200&job_result={ID}&sort=created&log_level=info"
    assert server.asked == [("GET", f"/api/extras/job-logs/?{query}", None)]


@pytest.mark.parametrize(("status", "left"), [("SUCCESS", 0), ("FAILURE", 3), ("REVOKED", 3)])
def test_a_log_that_is_followed_ends_with_its_run(signoff: Run, server: Told, status: str, left: int) -> None:
    first, both = [said.line("a")], [said.line("a"), said.line("b")]
    server.bodies, server.body = [said.result("STARTED"), first, said.result(status), both], both
    printed = signoff("result", "logs", "-f", ID)
    assert (printed.status, printed.out, printed.err) == (left, f"{LINE}a\n{LINE}b\n", "")


def test_a_log_that_is_followed_as_json_has_a_line_for_each_entry(signoff: Run, server: Told) -> None:
    server.bodies, server.body = [said.result("SUCCESS")], [said.line("a"), said.line("b")]
    lines = signoff("result", "logs", "-f", ID, "--json").out.splitlines()
    assert [json.loads(line)["message"] for line in lines] == ["a", "b"]


@pytest.mark.parametrize("words", [("-f", "--where", "log_level=info"), ("--timeout", "3")])
def test_what_does_not_go_together_is_a_wrong_call(signoff: Run, server: Told, words: tuple[str, ...]) -> None:
    assert signoff("result", "logs", ID, *words).status == 2


@pytest.mark.parametrize(("status", "left"), [("SUCCESS", 0), ("FAILURE", 3), ("REVOKED", 3)])
def test_who_waits_is_told_how_it_ended(signoff: Run, server: Told, status: str, left: int) -> None:
    server.body = said.result(status)
    printed = signoff("result", "wait", ID)
    assert (printed.status, printed.out, printed.err) == (left, f"Back up: {status}\n", "")


def test_who_waits_so_long_and_no_longer_is_told(signoff: Run, server: Told) -> None:
    server.body = said.result("STARTED")
    printed = signoff("result", "wait", ID, "--timeout", "0")
    assert (printed.status, printed.out) == (4, "")
    assert printed.err == "error: The run of Back up has not ended yet; it is STARTED.\n"
