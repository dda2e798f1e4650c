"""Two real ``signoff up`` of one PostgreSQL database: both do everything, each thing is done once, and one may go.

They start at the same moment, in databases in which nothing is. The first takes itself to be on another machine, so
that nothing is known of its processes but what its worker tells. It is killed with all that it has started, after
everything was asked of both.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from api_shim.background import GONE
from api_shim.domain.model import JobResult, Status
from api_shim.store import Store
from tests.acceptance import asking
from tests.acceptance.people import RESULTS, SCHEDULES
from tests.databases import PostgreSQL
from tests.live import JOBS, KEY, Live, environment, eventually, start

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="processes are looked for in /proc"),
]

ELSEWHERE = """
import socket
socket.gethostname = lambda: "elsewhere"
"""
"""What Python imports before anything else, where it finds it."""
SELDOM = {"PREFECT_WORKER_QUERY_SECONDS": "600"}
"""For a worker that finds nothing in time by looking for it: it has to be woken."""
USERS = ["admin", "alice", "bob"]
SUCCESS = ("SUCCESS", "")

Shape = dict[str, Any]


@dataclass
class Pair:
    """Two servers of one database, and what was asked of them.

    Args:
        one: is killed.
        other: stays.
        folder: of the files in which each execution is noted.
        made: what was asked, by name.
    """

    one: Live
    other: Live
    folder: Path
    made: dict[str, Shape] = field(default_factory=dict)

    def ask(self, server: Live, name: str, job: str = "Greet", when: Any = None, **data: Any) -> None:
        """Have a Job run that notes in the file of this name that it executes."""
        schedule = {"name": name, **when} if when else None
        with server.client("alice") as client:
            answer = asking.run(client, {"data": {"file": str(self.folder / name), **data}, "schedule": schedule}, job)
        assert answer.status_code == 201, answer.text
        self.made[name] = answer.json()["scheduled_job"] or answer.json()["job_result"]

    def request(self, server: Live, name: str) -> None:
        """Have a Job run once somebody has approved it."""
        self.ask(server, name, "Change", {"interval": "immediately"})

    def decide(self, server: Live, name: str, decision: str = "approve") -> None:
        with server.client("bob") as client:
            path = f"{SCHEDULES}{self.made[name]['id']}/{decision}/"
            client.post(path, params={"force": "true"}).raise_for_status()

    def over(self, server: Live, name: str) -> tuple[str, str]:
        """Wait for the end of a run, and return how it ended and what is told of its failure, as a server tells it."""
        with server.client() as client:
            result = eventually(lambda: asking.ended(client, self.made[name]), every=0.5)
        return str(result["status"]["value"]), result["traceback"] or ""

    def told(self, name: str) -> Shape:
        """Return what the other server tells of what was asked."""
        made = self.made[name]
        kind = RESULTS if made["object_type"] == "extras.jobresult" else SCHEDULES
        with self.other.client() as client:
            told: Shape = client.get(f"{kind}{made['id']}/").json()
        return told

    def noted(self, name: str) -> list[str]:
        """Return the ids of the job results that have executed, each as often as it has."""
        file = self.folder / name
        return [line.split()[-1] for line in file.read_text().splitlines()] if file.exists() else []


@contextmanager
def paused(server: Live) -> Iterator[None]:
    """Let a server's worker stand still while this is entered."""
    workers = server.family()["worker"]
    for pid in workers:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in workers:
            os.kill(pid, signal.SIGCONT)


def soon(seconds: float) -> Shape:
    at = datetime.now(UTC) + timedelta(seconds=seconds)
    return {"interval": "future", "start_time": at.isoformat()}


@pytest.fixture(scope="module")
def pair(
    postgresql: PostgreSQL, tmp_path_factory: pytest.TempPathFactory, free_port: Callable[[], int]
) -> Iterator[Pair]:
    """Both servers, started at the same moment."""
    folder = tmp_path_factory.mktemp("two")
    (folder / "sitecustomize.py").write_text(ELSEWHERE)
    (folder / "audit.key").write_text("ab" * 32)
    (folder / "audit.key").chmod(0o600)
    path = os.pathsep.join(filter(None, (str(folder), os.environ.get("PYTHONPATH"))))
    with ExitStack() as stack, ThreadPoolExecutor(2) as pool:
        databases = stack.enter_context(postgresql.of_a_server())
        shared = {**databases, "SIGNOFF_AUDIT_KEY_FILE": str(folder / "audit.key")}

        def started(name: str, **env: str) -> Live:
            server = start(folder / name, free_port(), **shared, **env)
            stack.callback(server.stop)
            return server

        starting = pool.submit(started, "one", PYTHONPATH=path, **SELDOM), pool.submit(started, "other")
        one, other = (each.result() for each in starting)
        one.keys |= other.keys
        other.keys |= one.keys
        for server in (one, other):
            with server.client() as client:
                eventually(partial(asking.accepts_runs, client), every=0.5)
        (folder / "files").mkdir()
        yield Pair(one, other, folder / "files")


@pytest.fixture(scope="module")
def asked(pair: Pair) -> Pair:
    """The same, after much was asked of both, and has ended."""
    pair.ask(pair.other, "each minute", when={"interval": "custom", "crontab": "* * * * *"})
    for number, (here, there) in enumerate([(pair.one, pair.other), (pair.other, pair.one)]):
        pair.ask(here, f"at once {number}")
        pair.ask(here, f"soon {number}", when=soon(3))
        pair.request(here, f"approved {number}")
        pair.decide(there, f"approved {number}")
    pair.request(pair.one, "denied")
    pair.decide(pair.other, "denied", "deny")
    pair.request(pair.other, "while its worker stands still")
    with paused(pair.other):
        pair.decide(pair.other, "while its worker stands still")
        pair.over(pair.other, "while its worker stands still")
    return pair


@pytest.fixture(scope="module")
def left(asked: Pair) -> Pair:
    """The same, after one server was killed with all that it has started, and with runs at every stage."""
    one, other = asked.one, asked.other
    asked.request(one, "decided afterwards")
    with paused(other):
        for name in ("let go", "let go and cancelled"):
            asked.ask(one, name, "Sleep", seconds=600)
            eventually((asked.folder / name).exists)
        for pid in one.family()["fork server"]:
            os.kill(pid, signal.SIGSTOP)
        asked.ask(one, "taken")
        with other.client() as client:

            def is_taken() -> bool:
                run_id = asked.told("taken")["flow_run_id"]
                return bool(run_id) and client.get(f"/api/flow_runs/{run_id}").json()["state_type"] == "PENDING"

            eventually(is_taken)
        one.kill_all()
    with other.client("alice") as client:
        client.post(f"{RESULTS}{asked.made['let go and cancelled']['id']}/cancel/").raise_for_status()
    asked.decide(other, "decided afterwards")
    return asked


# While both are there


def test_of_two_that_start_at_once_one_makes_what_both_need(pair: Pair) -> None:
    printed = [KEY.findall(each.log.read_text()) for each in (pair.one, pair.other)]
    assert sorted(user for user, _key in printed[0] + printed[1]) == USERS
    assert [] in printed


@pytest.mark.parametrize("how", ["at once", "soon", "approved"])
def test_what_is_asked_at_one_and_decided_at_the_other_executes_once(asked: Pair, how: str) -> None:
    for number in range(2):
        assert asked.over(asked.other, f"{how} {number}") == SUCCESS
        assert len(asked.noted(f"{how} {number}")) == 1


def test_what_is_denied_at_the_other_is_gone_and_does_not_execute(asked: Pair) -> None:
    with asked.other.client() as client:
        assert client.get(f"{SCHEDULES}{asked.made['denied']['id']}/").status_code == 404
    assert asked.noted("denied") == []


def test_what_is_approved_where_the_worker_stands_still_is_executed_by_the_other(asked: Pair) -> None:
    name = "while its worker stands still"
    assert asked.over(asked.other, name) == SUCCESS
    with closing(Store(asked.other.database_url)) as store, store.transaction(write=False) as tx:
        [result] = tx.all(JobResult, scheduled_job_id=[asked.made[name]["id"]])
    assert (result.worker or "").startswith("elsewhere:")
    assert len(asked.noted(name)) == 1


# After one of them


def test_what_was_let_go_ends_as_a_failure_and_is_not_started_again(left: Pair) -> None:
    assert left.over(left.other, "let go") == ("FAILURE", f"Crashed: {GONE}")
    told = left.told("let go")
    with left.other.client() as client:
        assert client.get(f"/api/flow_runs/{told['flow_run_id']}").json()["run_count"] == 1


def test_what_was_let_go_can_be_cancelled(left: Pair) -> None:
    assert left.over(left.other, "let go and cancelled") == ("REVOKED", "Cancelled by alice.")


def test_what_was_taken_and_not_let_go_is_started_again(left: Pair) -> None:
    assert left.over(left.other, "taken") == SUCCESS
    assert left.noted("taken") == [left.made["taken"]["id"]]


def test_what_was_requested_there_is_decided_here(left: Pair) -> None:
    assert left.over(left.other, "decided afterwards") == SUCCESS
    assert len(left.noted("decided afterwards")) == 1


def test_each_firing_has_one_record_and_executes_at_most_once(left: Pair) -> None:
    def recorded() -> list[JobResult]:
        with closing(Store(left.other.database_url)) as store, store.transaction(write=False) as tx:
            return tx.all(JobResult, scheduled_job_id=[left.made["each minute"]["id"]])

    succeeded = eventually(lambda: [each for each in recorded() if each.status is Status.SUCCESS], every=0.5)
    noted = left.noted("each minute")
    assert {str(each.id) for each in succeeded} <= {*noted}
    assert len(noted) == len({*noted})


def test_a_server_with_another_key_does_not_start(pair: Pair, tmp_path: Path, free_port: Callable[[], int]) -> None:
    key = tmp_path / "audit.key"
    key.write_text("cd" * 32)
    key.chmod(0o600)
    env = environment(**{**pair.other.shared, "SIGNOFF_AUDIT_KEY_FILE": str(key)})
    command = [sys.executable, "-m", "api_shim.cli", "up", "--home", str(tmp_path), "--port", str(free_port())]
    done = subprocess.run(command, cwd=JOBS, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith("error: The end of the audit is signed with another key, ")
    assert "all servers of one database need the same" in done.stderr
