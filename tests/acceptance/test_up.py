"""``signoff up`` as a program: how it starts, how it ends, and what survives when it is killed."""

from __future__ import annotations

import re
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.live import JOBS, KEY, PATIENCE, Live, environment, eventually, processes_of, start

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="processes are looked for in /proc"),
]

ENDS_WITHIN = 60
"""Seconds, on a machine that is busy with other tests; by itself it takes less than one."""

VANISHING = """
from flows import Job, register_jobs


class Vanishing(Job):
    class Meta:
        name = "Vanishing"
        has_sensitive_variables = False

    def run(self):
        return "still here"


register_jobs(Vanishing)
"""

# What is tried on a start that cannot work; the real Prefect would need many seconds to be told the same.
MISFIT = """
import sys
import api_shim.cli
from fastapi import FastAPI
from api_shim.cli import main

up = sys.modules["api_shim.cli.up"]

async def never(_engine):
    return False

up.create_prefect_app = FastAPI
up.PrefectOrchestrator.yields_runs = never
sys.argv = ["signoff", "up", "--home", {home!r}, "--port", {port!r}]
main()
"""


@dataclass
class Life:
    """What one start of the server left behind."""

    server: Live
    seconds_to_end: float
    status: int
    log: str
    left_over: dict[int, str]


def errors_in(log: str) -> list[str]:
    """Return the errors that a server has printed, but for what runs say that it ended."""
    return [line for line in log.splitlines() if "ERROR" in line and "| Flow run " not in line]


def end(server: Live, how: signal.Signals) -> Life:
    """End a server while a Job sleeps on it."""
    with server.client() as client:
        sleeping = run(client, "Sleep", seconds=120)
        eventually(lambda: status_of(client, sleeping) == "STARTED")
        family, begun = processes_of(server.home), time.monotonic()
        server.process.send_signal(how)
        status = server.process.wait(PATIENCE)
        took = time.monotonic() - begun
    left_over = {pid: command for pid, command in family.items() if Path(f"/proc/{pid}").exists()}
    return Life(server, took, status, server.log.read_text(), left_over | processes_of(server.home))


def run(client: httpx.Client, job: str, schedule: dict[str, Any] | None = None, **data: Any) -> dict[str, Any]:
    answer = client.post(f"/api/extras/jobs/{job}/run/", json={"data": data, "schedule": schedule})
    assert answer.status_code == 201, answer.text
    made: dict[str, Any] = answer.json()["scheduled_job"] or answer.json()["job_result"]
    return made


def status_of(client: httpx.Client, result: dict[str, Any]) -> str:
    value: str = client.get(result["url"]).json()["status"]["value"]
    return value


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory, free_port: Callable[[], int]) -> Iterator[Life]:
    """The first start in a home, ended by SIGTERM."""
    server = start(tmp_path_factory.mktemp("up") / "home", free_port(), prepared=False)
    try:
        yield end(server, signal.SIGTERM)
    finally:
        server.process.kill()


@pytest.fixture(scope="module")
def jobs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a Job whose module vanishes."""
    folder = tmp_path_factory.mktemp("jobs")
    (folder / "vanishing.py").write_text(VANISHING)
    return folder


def start_again(server: Live, jobs: Path) -> Live:
    """Start a server in a home that has been one's, with the Job whose module vanishes."""
    more = {"PYTHONPATH": str(jobs), "SIGNOFF_JOBS": "jobs_for_tests,vanishing,flows.examples"}
    return start(server.home, server.port, keys=server.keys, **more)


@pytest.fixture(scope="module")
def second(first: Life, jobs: Path) -> Iterator[Live]:
    """The second start in the same home, at work."""
    server = start_again(first.server, jobs)
    yield server
    server.process.kill()


def test_the_first_start_prints_each_key_once(first: Life) -> None:
    assert sorted(user for user, _key in KEY.findall(first.log)) == ["admin", "alice", "bob"]


def test_only_its_owner_can_look_into_the_home_folder(first: Life) -> None:
    assert stat.S_IMODE(first.server.home.stat().st_mode) == 0o700
    assert stat.S_IMODE((first.server.home / "worker.key").stat().st_mode) == 0o600


def test_sigterm_ends_it_and_the_jobs_under_way_within_seconds(first: Life) -> None:
    assert first.seconds_to_end < ENDS_WITHIN
    assert first.left_over == {}
    assert first.status == 0
    assert "Traceback" not in first.log
    assert errors_in(first.log) == []


def test_the_second_start_prints_no_key_even_with_demo_again(second: Live) -> None:
    assert KEY.findall(second.log.read_text()) == []


def test_it_tells_everybody_whether_it_can_work(second: Live) -> None:
    with second.client(None) as client:
        # Under load Prefect may be silent for a while.
        eventually(lambda: client.get("/signoff/readyz").status_code == 200)
        answer = client.get("/signoff/readyz")
    assert answer.json()["checks"].keys() == {"store", "prefect", "loop", "disk"}
    assert re.fullmatch("[0-9a-f]{32}", answer.headers["X-Request-ID"])


def test_what_a_stop_ended_is_a_failed_result_after_the_next_start(second: Live) -> None:
    with second.client() as client:
        (ended,) = client.get("/api/extras/job-results/?name=Sleep").json()["results"]
        eventually(lambda: status_of(client, ended) == "FAILURE")


def test_it_can_be_ended_while_it_starts(tmp_path: Path, free_port: Callable[[], int]) -> None:
    command = [sys.executable, "-m", "api_shim.cli", "up", "--home", str(tmp_path), "--port", str(free_port())]
    log = tmp_path / "log"
    with log.open("wb") as out:
        process = subprocess.Popen(command, cwd=JOBS, env=environment(), stdout=out, stderr=subprocess.STDOUT)
    eventually(lambda: (tmp_path / "prefect" / "prefect.db").exists())
    # By Ctrl-C: what SIGTERM does is no matter of the program's then.
    process.send_signal(signal.SIGINT)
    process.wait(PATIENCE)
    assert "Traceback" not in log.read_text()


def test_versions_that_do_not_fit_are_said_in_one_sentence(tmp_path: Path, free_port: Callable[[], int]) -> None:
    script = MISFIT.format(home=str(tmp_path), port=str(free_port()))
    done = subprocess.run(
        [sys.executable, "-c", script], env=environment(), capture_output=True, text=True, timeout=PATIENCE, check=False
    )
    assert done.returncode == 1, done.stderr
    last = done.stderr.splitlines()[-1]
    assert last.startswith("error: The installed versions do not work together: a schedule yields no run")
    assert "Traceback" not in done.stderr
    assert KEY.findall(done.stdout) == []


# Killed


@dataclass
class Killed:
    """What was asked of a server just before it was killed, and the server that came after it."""

    after: Live
    hourly: dict[str, Any]
    later: dict[str, Any]
    gone: dict[str, Any]
    sleeping: dict[str, Any]
    greeting: dict[str, Any]
    greetings: Path


@pytest.fixture(scope="module")
def killed(second: Live, jobs: Path) -> Iterator[Killed]:
    """The second start, killed with all that it has started, and the third."""
    greetings = jobs / "greetings"
    with second.client() as client:
        sleeping = run(client, "Sleep", seconds=120)
        eventually(lambda: status_of(client, sleeping) == "STARTED")
        hour = (datetime.now(UTC) + timedelta(hours=1)).isoformat()
        hourly = run(client, "Greet", {"interval": "hourly", "name": "hourly", "start_time": hour})
        later = run(client, "Greet", {"interval": "future", "name": "later", "start_time": hour})
        soon = (datetime.now(UTC) + timedelta(seconds=20)).isoformat()
        gone = run(client, "Vanishing", {"interval": "future", "name": "vanishes", "start_time": soon})
        greeting = run(client, "Greet", file=str(greetings))
        second.kill_all()
    (jobs / "vanishing.py").unlink()
    after = start_again(second, jobs)
    yield Killed(after, hourly, later, gone, sleeping, greeting, greetings)
    after.process.kill()


def test_a_schedule_accepted_before_a_kill_is_there_once_afterwards(killed: Killed) -> None:
    with killed.after.client() as client:
        assert client.get(killed.hourly["url"]).json()["enabled"] is True
        asked = {"deployments": {"name": {"like_": f"({killed.hourly['id'][:8]})"}}}
        (deployment,) = eventually(lambda: client.post("/api/deployments/filter", json=asked).json())
        (schedule,) = deployment["schedules"]
        assert schedule["slug"] == killed.hourly["id"]


def test_a_one_off_accepted_before_a_kill_is_one_run_afterwards(killed: Killed) -> None:
    with killed.after.client() as client:
        assert client.get(killed.later["url"]).json()["enabled"] is True
        asked = {"flow_runs": {"name": {"any_": ["later"]}}}

        def runs() -> list[dict[str, Any]]:
            found: list[dict[str, Any]] = client.post("/api/flow_runs/filter", json=asked).json()
            return found

        eventually(lambda: [found["state_name"] for found in runs()] == ["Scheduled"])


def test_a_run_that_was_killed_with_the_server_is_a_failed_result(killed: Killed) -> None:
    with killed.after.client() as client:
        eventually(lambda: status_of(client, killed.sleeping) == "FAILURE")


def test_a_run_accepted_before_a_kill_executes_once_afterwards(killed: Killed) -> None:
    with killed.after.client() as client:
        eventually(lambda: status_of(client, killed.greeting) == "SUCCESS")
        assert len(killed.greetings.read_text().splitlines()) == 1


def test_a_module_that_cannot_be_imported_is_a_warning_and_stops_nothing(killed: Killed) -> None:
    said = "WARNING: The module vanishing cannot be imported: ModuleNotFoundError: No module named 'vanishing'"
    assert said in killed.after.log.read_text()


def test_a_job_whose_code_is_gone_is_not_installed_and_its_next_firing_fails(killed: Killed) -> None:
    with killed.after.client() as client:
        assert client.get("/api/extras/jobs/Vanishing/").json()["installed"] is False
        assert client.post("/api/extras/jobs/Vanishing/run/", json={"data": {}}).status_code == 405
        (result,) = eventually(lambda: client.get("/api/extras/job-results/?name=Vanishing").json()["results"])
        assert result["status"]["value"] == "FAILURE"
        assert result["traceback"] == "This job is not presently installed and cannot be run."
        assert client.get(killed.gone["url"]).json()["enabled"] is False


# The last one here: the others need the server that this one ends.
def test_ctrl_c_ends_it_and_the_jobs_under_way_within_seconds(killed: Killed) -> None:
    ended = end(killed.after, signal.SIGINT)
    assert ended.seconds_to_end < ENDS_WITHIN
    assert ended.left_over == {}
    assert ended.status == 0
    assert "Traceback" not in ended.log
    assert errors_in(ended.log) == []
