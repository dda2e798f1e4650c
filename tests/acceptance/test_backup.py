"""A backup of a real server at work, and a server that goes on from it elsewhere."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.live import Live, environment, eventually, start

pytestmark = pytest.mark.slow

EXTRAS = "/api/extras"
TOMORROW = (datetime.now(UTC) + timedelta(days=1)).isoformat()


@dataclass
class Restored:
    """A server that was restored.

    Args:
        server: it.
        answered: the names of the schedules that were made before the backup began.
        greetings: where each execution leaves a line.
        greeting: the run of before the backup.
        minutely: the schedule that goes on.
        since: when it was restored.
    """

    server: Live
    answered: set[str]
    greetings: Path
    greeting: dict[str, Any]
    minutely: dict[str, Any]
    since: str


def run(client: httpx.Client, schedule: dict[str, Any] | None = None, **data: Any) -> dict[str, Any]:
    answer = client.post(f"{EXTRAS}/jobs/Greet/run/", json={"data": data, "schedule": schedule})
    assert answer.status_code == 201, answer.text
    made: dict[str, Any] = answer.json()["scheduled_job"] or answer.json()["job_result"]
    return made


def status_of(client: httpx.Client, result: dict[str, Any]) -> str:
    value: str = client.get(f"{EXTRAS}/job-results/{result['id']}/").json()["status"]["value"]
    return value


def ask_on(server: Live, answered: list[str], over: threading.Event) -> None:
    """Make schedules, one after the other."""
    with server.client() as client:
        while not over.is_set():
            name = f"asked {len(answered)}"
            run(client, {"interval": "future", "name": name, "start_time": TOMORROW})
            answered.append(name)


@pytest.fixture(scope="module")
def restored(tmp_path_factory: pytest.TempPathFactory, free_port: Callable[[], int]) -> Iterator[Restored]:
    """Back a server up while people ask for more, end it, and start another from the backup."""
    folder = tmp_path_factory.mktemp("backup")
    before = start(folder / "home", free_port())
    answered: list[str] = []
    over = threading.Event()
    try:
        with before.client() as client:
            greeting = run(client, file=str(folder / "greetings"))
            eventually(lambda: status_of(client, greeting) == "SUCCESS")
            minutely = run(client, {"interval": "custom", "crontab": "* * * * *", "name": "minutely"})
        people = threading.Thread(target=ask_on, args=(before, answered, over))
        people.start()
        try:
            eventually(lambda: len(answered) > 2)
            known = {*answered}
            before.cli("backup", "create", str(folder / "backup"))
        finally:
            over.set()
            people.join()
    finally:
        before.stop()
    command = [sys.executable, "-m", "api_shim.cli", "backup", "restore", str(folder / "backup")]
    done = subprocess.run(
        [*command, "--home", str(folder / "new")], env=environment(), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    since = datetime.now(UTC).isoformat()
    after = start(folder / "new", free_port(), keys=before.keys)
    yield Restored(after, known, folder / "greetings", greeting, minutely, since)
    after.stop()


def test_what_was_answered_before_is_there(restored: Restored) -> None:
    with restored.server.client("alice") as client:
        for name in restored.answered:
            found = client.get(f"{EXTRAS}/scheduled-jobs/", params={"name": name}).json()
            assert [row["enabled"] for row in found["results"]] == [True], name


def test_each_is_one_run_in_prefect(restored: Restored) -> None:
    name = min(restored.answered)
    with restored.server.client() as client:
        asked = {"flow_runs": {"name": {"any_": [name]}}}
        found = eventually(lambda: client.post("/api/flow_runs/filter", json=asked).json())
    assert [run["state_name"] for run in found] == ["Scheduled"]


def test_what_had_run_does_not_run_again_and_keeps_its_result(restored: Restored) -> None:
    with restored.server.client() as client:
        assert status_of(client, restored.greeting) == "SUCCESS"
    assert len(restored.greetings.read_text().splitlines()) == 1


def test_schedules_go_on(restored: Restored) -> None:
    asked = {"scheduled_job": restored.minutely["id"], "date_created__gt": restored.since, "status": "SUCCESS"}
    with restored.server.client() as client:
        eventually(lambda: client.get(f"{EXTRAS}/job-results/", params=asked).json()["results"])


def test_the_audit_is_whole_and_tells_of_it(restored: Restored) -> None:
    told = restored.server.cli("audit", "verify")
    assert "none changed or missing" in told
    assert "Restored from the backup of " in told
