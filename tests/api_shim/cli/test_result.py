"""``signoff result``: what it asks, and what it prints."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from api_shim.domain.files import ResultFile
from tests.api_shim import said
from tests.api_shim.cli.conftest import Run, Told
from tests.factories import NOW

ID = said.result()["id"]
PATH = f"/api/extras/job-results/{ID}/"
LINE = "2026-05-04 12:00:00 UTC  info      "


def test_the_list_is_a_table(signoff: Run, server: Told) -> None:
    server.body = said.page(said.result())
    printed = signoff("result", "list", "--job", "Back up", "--status", "SUCCESS", "--schedule", "nightly")
    assert printed.out.splitlines()[0].split() == ["id", "name", "status", "dry_run", "created", "started", "done"]
    assert printed.out.splitlines()[1].split("  ")[:3] == [ID, "Back up", "SUCCESS"]
    query = "limit=50&job_model=Back+up&status=SUCCESS&scheduled_job=nightly"
    assert server.asked[0][1] == f"/api/extras/job-results/?{query}"
    assert signoff("result", "list", "--json").json == [said.result()]


def test_dry_runs_are_marked_and_asked_for(signoff: Run, server: Told) -> None:
    server.body = said.page(said.result(meta={"dry_run": True}))
    printed = signoff("result", "list", "--user", "alice", "--dry-run")
    assert printed.out.splitlines()[1].split()[4] == "yes"
    signoff("result", "list", "--no-dry-run")
    asked = [query.partition("?")[2] for _, query, _ in server.asked]
    assert asked == ["limit=50&user=alice&dry_run=true", "limit=50&dry_run=false"]


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


def file(name: str) -> dict[str, Any]:
    made = ResultFile(
        id=said.id_of(name), job_result_id=said.id_of("run"), name=name, size=5, sha256="f" * 64, created=NOW
    )
    return said.WIRE.file(made).model_dump(mode="json")


def test_files_are_listed_and_written_to_a_folder(signoff: Run, server: Told, tmp_path: Path) -> None:
    server.body = said.result(files=[file("a.txt"), file("b.txt")])
    assert "a.txt" in signoff("result", "show", ID).out
    assert [line.split()[1] for line in signoff("result", "files", ID).out.splitlines()] == ["name", "a.txt", "b.txt"]
    server.asked.clear()
    server.bodies, server.body = [server.body], "hello"
    assert signoff("result", "download", ID, "b.txt", "--to", str(tmp_path)).out == f"{tmp_path}/b.txt\n"
    assert (tmp_path / "b.txt").read_text() == '"hello"'
    assert server.asked[1:] == [("GET", f"/api/extras/file-proxies/{said.id_of('b.txt')}/download/", None)]


def test_a_file_that_is_there_is_replaced_only_if_somebody_says_so(signoff: Run, server: Told, tmp_path: Path) -> None:
    listed = said.result(files=[file("a.txt")])
    server.bodies, server.body = [listed, "new", listed], "newer"
    words = ("result", "download", ID, "--to", str(tmp_path))
    (tmp_path / "a.txt").write_text("mine")
    assert signoff(*words).refusal == f"{tmp_path}/a.txt already exists; use --force to replace it."
    assert (tmp_path / "a.txt").read_text() == "mine"
    assert signoff(*words, "--force").status == 0
    assert (tmp_path / "a.txt").read_text() == '"newer"'


@pytest.mark.parametrize(
    ("names", "wanted", "told"),
    [
        pytest.param(["a.txt"], ["c.txt"], "The run has made no file called c.txt.", id="none of that name"),
        pytest.param(["../a"], [], "The server names a file '../a', under which nothing can be written.", id="a path"),
    ],
)
def test_nothing_is_written_that_was_not_made_or_is_elsewhere(
    signoff: Run, server: Told, tmp_path: Path, names: list[str], wanted: list[str], told: str
) -> None:
    server.bodies, server.body = [said.result(files=[file(name) for name in names])], "x"
    folder = tmp_path / "within"
    folder.mkdir()
    assert signoff("result", "download", ID, *wanted, "--to", str(folder)).refusal == told
    assert [*folder.iterdir()] == []
    assert not (tmp_path / "a").exists()
