"""``signoff run``: what it asks for, what it tells, and with which status it leaves."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from api_shim.client.client import Shim
from approval_gate.errors import Invalid
from tests.api_shim import said
from tests.api_shim.cli.conftest import Run, Told

ROW, HELD = said.scheduled(), said.scheduled(approval_state="pending")
PATH = "/api/extras/jobs/Back%20up/run/"
CRON = {"name": "nightly", "interval": "custom", "crontab": "0 2 * * *", "time_zone": "Europe/Berlin"}
DAILY = {"name": "x", "interval": "daily", "start_time": "2030-01-01 02:00"}


@pytest.mark.parametrize(
    ("words", "body"),
    [
        pytest.param((), {"data": {}}, id="now"),
        pytest.param(("-d", "keep=3", "--queue", "bulk"), {"data": {"keep": "3"}, "job_queue": "bulk"}, id="inputs"),
        pytest.param(("--dry-run",), {"data": {"dryrun": True}}, id="a dry run"),
        pytest.param(
            ("--name", "x"), {"data": {}, "schedule": {"interval": "immediately", "name": "x"}}, id="under a name"
        ),
        pytest.param(
            ("--name", "nightly", "--cron", "0 2 * * *", "--time-zone", "Europe/Berlin"),
            {"data": {}, "schedule": CRON},
            id="by a crontab",
        ),
        pytest.param(
            ("--name", "x", "--every", "daily", "--at", "2030-01-01 02:00"),
            {"data": {}, "schedule": DAILY},
            id="again and again",
        ),
        pytest.param(
            ("--name", "x", "--at", "2030-01-01 02:00"),
            {"data": {}, "schedule": DAILY | {"interval": "future"}},
            id="once",
        ),
    ],
)
def test_a_run_is_requested(signoff: Run, server: Told, words: tuple[str, ...], body: dict[str, Any]) -> None:
    server.body = said.accepted(ROW)
    assert signoff("run", "Back up", *words).status == 0
    assert server.asked == [("POST", PATH, body)]


@pytest.mark.parametrize(
    ("answer", "text"),
    [
        pytest.param(
            said.accepted(None, said.result("PENDING")),
            f"Started Back up: {said.result()['url']}\n",
            id="begun",
        ),
        pytest.param(
            said.accepted(HELD),
            "“nightly” waits for approval; scheduled daily from 2100-01-31 19:00 Europe/Berlin.\n",
            id="held",
        ),
        pytest.param(
            said.accepted(ROW),
            "Scheduled “nightly”, daily from 2100-01-31 19:00 Europe/Berlin; it runs on its schedule.\n",
            id="scheduled",
        ),
    ],
)
def test_what_became_of_it_is_told(signoff: Run, server: Told, answer: dict[str, Any], text: str) -> None:
    server.body = answer
    assert signoff("run", "Back up").out == text
    assert signoff("run", "Back up", "--json").json == answer


@pytest.mark.parametrize(
    ("status", "left"), [("SUCCESS", 0), ("FAILURE", 3), ("REVOKED", 3)], ids=["success", "failure", "revoked"]
)
def test_who_waits_is_told_how_it_ended(signoff: Run, server: Told, status: str, left: int) -> None:
    begun, ended = said.accepted(None, said.result("PENDING")), said.result(status, result={"n": 1})
    server.bodies, server.body = [begun], ended
    printed = signoff("run", "Back up", "--wait")
    assert (printed.status, printed.out, printed.err) == (left, f'Back up: {status}\n{{\n  "n": 1\n}}\n', "")
    server.bodies = [begun]
    printed = signoff("run", "Back up", "--wait", "--json")
    assert (printed.status, printed.json) == (left, ended)


def test_who_waits_for_what_is_held_does_not_wait(signoff: Run, server: Told) -> None:
    server.body = said.accepted(HELD)
    printed = signoff("run", "Back up", "--wait", "--json")
    assert (printed.status, printed.json) == (4, said.accepted(HELD))


def test_who_waits_so_long_and_no_longer_is_told(signoff: Run, server: Told) -> None:
    server.bodies, server.body = [said.accepted(None, said.result("PENDING"))], said.result("STARTED")
    printed = signoff("run", "Back up", "--wait", "--timeout", "0.3")
    assert (printed.status, printed.out) == (4, "")
    assert printed.err == "error: The run of Back up has not ended yet; it is STARTED.\n"


@pytest.mark.parametrize(
    "words",
    [
        pytest.param(("--every", "daily", "--cron", "* * * * *"), id="two ways to say when"),
        pytest.param(("--every", "daily"), id="no first time"),
        pytest.param(("--time-zone", "UTC"), id="a zone and no time"),
        pytest.param(("--wait", "--at", "2030-01-01T02:00"), id="to wait for years"),
        pytest.param(("--timeout", "3"), id="time to wait without waiting"),
        pytest.param(("-d", "count"), id="no value"),
        pytest.param(("--data", "[]"), id="no object"),
    ],
)
def test_what_does_not_go_together_is_a_wrong_call(signoff: Run, server: Told, words: tuple[str, ...]) -> None:
    printed = signoff("run", "Back up", *words)
    assert printed.status == 2
    assert "Usage: signoff run" in printed.err
    assert server.asked == []


def test_faults_are_told_by_their_fields(signoff: Run, server: Told) -> None:
    server.status, server.body = 400, {"errors": {"count": ["Enter a whole number."], "who": ["Enter text."]}}
    assert signoff("run", "Back up", "-d", "count=x").refusal == "count: Enter a whole number. who: Enter text."


def test_a_file_is_sent_with_the_inputs(signoff: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    asked: list[dict[str, Any]] = []

    def run(_self: Shim, _job: str, data: dict[str, Any], **_how: Any) -> Any:
        asked.append(data)
        raise Invalid("That is enough.")

    monkeypatch.setattr(Shim, "run", run)
    monkeypatch.setenv("SIGNOFF_TOKEN", "k")
    assert signoff("run", "Back up", "-d", "keep=3", "-f", f"table={tmp_path}/a.csv").refusal == "That is enough."
    assert asked == [{"keep": "3", "table": tmp_path / "a.csv"}]
    assert signoff("run", "Back up", "-f", "table").status == 2
