"""``signoff schedule``: what it asks, and what it prints."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from flows.files import GivenFile
from tests.api_shim import said
from tests.api_shim.cli.conftest import Run, Told

ROW = said.scheduled()
PATH = "/api/extras/scheduled-jobs/nightly/"
WHEN = "daily from 2100-01-31 19:00 Europe/Berlin"


def cells(out: str) -> list[list[str]]:
    return [[cell.strip() for cell in line.split("  ") if cell.strip()] for line in out.splitlines()]


def test_the_list_is_a_table_with_times_on_the_clocks_of_the_schedule(signoff: Run, server: Told) -> None:
    server.body = said.page(said.scheduled(last_run_at="2100-02-01T18:00:00Z"))
    printed = signoff("schedule", "list", "--job", "Back up", "--user", "alice")
    columns = ["id", "name", "job", "when", "enabled", "approval", "last run"]
    shown = [
        ROW["id"],
        "nightly",
        "flows.examples.BackUp",
        WHEN,
        "yes",
        "not_required",
        "2100-02-01 19:00 Europe/Berlin",
    ]
    assert cells(printed.out) == [columns, shown]
    assert server.asked[0][1] == "/api/extras/scheduled-jobs/?limit=50&job_model=Back+up&user=alice"
    assert signoff("schedule", "list", "--json").json == server.body["results"]


def test_one_is_shown_line_by_line(signoff: Run, server: Told) -> None:
    server.body = said.scheduled(failure="Its owner has gone.")
    shown = dict(line for line in cells(signoff("schedule", "show", "nightly").out) if len(line) == 2)
    assert (shown["name"], shown["when"], shown["inputs"]) == ("nightly", WHEN, '{"keep": 7}')
    assert shown["why disabled"] == "Its owner has gone."
    assert signoff("schedule", "show", "nightly", "--json").json == server.body


@pytest.mark.parametrize(
    ("words", "body"),
    [
        pytest.param(("--cron", "0 3 * * *"), {"interval": "custom", "crontab": "0 3 * * *"}, id="when"),
        pytest.param(
            ("--every", "daily", "--at", "2030-01-01T02:00"),
            {"interval": "daily", "start_time": "2030-01-01T02:00"},
            id="how often",
        ),
        pytest.param(
            ("--once", "--at", "2030-01-01T02:00"), {"interval": "future", "start_time": "2030-01-01T02:00"}, id="once"
        ),
        pytest.param(
            ("--name", "x", "--at", "2030-01-01T02:00", "--time-zone", "UTC", "--queue", "bulk"),
            {"name": "x", "start_time": "2030-01-01T02:00", "time_zone": "UTC", "job_queue": "bulk"},
            id="everything else",
        ),
        pytest.param(("--data", '{"a": 1}'), {"data": {"a": 1}}, id="all inputs"),
    ],
)
def test_a_change_is_sent(signoff: Run, server: Told, words: tuple[str, ...], body: dict[str, Any]) -> None:
    server.body = ROW
    printed = signoff("schedule", "change", "nightly", *words)
    assert (printed.status, printed.out) == (0, f"Changed “nightly”: {WHEN}; it runs on its schedule.\n")
    assert server.asked == [("PATCH", PATH, body)]


def test_inputs_that_are_not_typed_stay(signoff: Run, server: Told) -> None:
    server.body = ROW
    signoff("schedule", "change", "nightly", "-d", "source=/srv")
    changed = {"data": {"keep": 7, "source": "/srv"}, "version": ROW["approval_version"]}
    assert server.asked == [("GET", PATH, None), ("PATCH", PATH, changed)]


def test_a_change_that_asks_again_says_so(signoff: Run, server: Told) -> None:
    server.body = said.scheduled(approval_state="pending", approval_note="The schedule changed.")
    printed = signoff("schedule", "change", "nightly", "--cron", "0 3 * * *")
    assert printed.out == "Changed “nightly”; it waits for approval. The schedule changed.\n"


@pytest.mark.parametrize("words", [(), ("--every", "daily", "--once"), ("--cron", "0 3 * * *", "--every", "daily")])
def test_a_change_of_nothing_or_to_two_schedules_is_a_wrong_call(
    signoff: Run, server: Told, words: tuple[str, ...]
) -> None:
    assert signoff("schedule", "change", "nightly", *words).status == 2
    assert server.asked == []


@pytest.mark.parametrize(
    ("words", "asked", "text"),
    [
        (("enable", "nightly"), ("PATCH", PATH, {"enabled": True}), f"Changed “nightly”: {WHEN}"),
        (("disable", "nightly"), ("PATCH", PATH, {"enabled": False}), "Disabled “nightly”."),
        (
            ("take-over", "nightly"),
            ("POST", f"{PATH}assume-ownership/", {}),
            "You are now the owner of “nightly”; it runs as you.",
        ),
        (
            ("transfer", "nightly", "bob"),
            ("POST", f"{PATH}transfer/", {"user": "bob"}),
            "Transferred “nightly” to bob.",
        ),
    ],
    ids=["enable", "disable", "take over", "transfer"],
)
def test_what_is_done_is_told(
    signoff: Run, server: Told, words: tuple[str, ...], asked: tuple[str, str, Any], text: str
) -> None:
    server.body = ROW
    printed = signoff("schedule", *words)
    assert printed.status == 0
    assert printed.out.startswith(text)
    assert server.asked == [asked]
    assert signoff("schedule", *words, "--json").json == ROW


def test_what_may_be_done_by_whom_is_a_table(signoff: Run, server: Told) -> None:
    server.body = said.explanation()
    printed = signoff("schedule", "explain", "nightly", "--user", "alice")
    assert cells(printed.out) == [
        ["what", "alice may", "who may"],
        ["approve", "It is yours.", "others whom you may not see"],
        ["dry run", "yes", "alice"],
        ["Next run: 2100-01-31 18:00:00 UTC"],
    ]
    assert server.asked == [("GET", f"{PATH}explain/?user=alice", None)]
    assert signoff("schedule", "explain", "nightly", "--json").json == said.explanation()


@pytest.mark.parametrize(
    ("told", "text"),
    [
        ({"next_firing": None, "why_not": "It is disabled."}, "Next run: It is disabled."),
        ({"next_firing": None}, "Next run: never"),
    ],
)
def test_why_it_does_not_fire_is_told(signoff: Run, server: Told, told: dict[str, Any], text: str) -> None:
    server.body = said.explanation(**told)
    assert signoff("schedule", "explain", "nightly").out.splitlines()[-1] == text


def test_firings_to_come_are_told_on_the_clocks_of_the_schedule(signoff: Run, server: Told) -> None:
    server.body = {"time_zone": "Europe/Berlin", "why_not": "", "note": "", "firings": ["2030-01-01T01:00:00Z"]}
    assert signoff("schedule", "upcoming", "nightly", "--count", "1").out == "2030-01-01 02:00 Europe/Berlin\n"
    assert server.asked == [("GET", f"{PATH}upcoming/?count=1", None)]
    assert signoff("schedule", "upcoming", "nightly", "--json").json == server.body
    server.body = {"time_zone": "UTC", "why_not": "It is disabled.", "note": "", "firings": []}
    assert signoff("schedule", "upcoming", "nightly").out == "It is disabled.\n"
    server.body = {"time_zone": "UTC", "why_not": "", "note": "", "firings": []}
    assert signoff("schedule", "upcoming", "nightly").out == "It does not run again.\n"


def test_the_files_of_a_request_are_written_to_a_folder(signoff: Run, server: Told, tmp_path: Path) -> None:
    file = GivenFile.sent(said.id_of("file"), "a.txt", b"hello")
    row = said.scheduled(kwargs={"table": file.reference, "keep": 7})
    server.bodies, server.body = [row], "hello"
    assert signoff("schedule", "download", "nightly", "--to", str(tmp_path)).out == f"{tmp_path}/a.txt\n"
    assert (tmp_path / "a.txt").read_text() == '"hello"'
    assert server.asked[1][1] == f"/api/extras/scheduled-jobs/{row['id']}/files/{file.id}/download/"
    server.body = said.scheduled()
    assert signoff("schedule", "download", "nightly").out == "No files.\n"
