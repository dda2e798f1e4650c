"""A server, two services and a worker, each a process by itself: what the one accepts the others carry out.

They share PostgreSQL, and Redis where it is installed with Prefect's integration of it. Each has a home folder of its
own, as on machines of their own. The services that began first are killed after they have done some of the work.
"""

from __future__ import annotations

import re
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, closing, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import httpx
import pytest

from api_shim.services.jobs import JobCatalogue
from api_shim.settings import utc_now
from tests.acceptance import asking
from tests.acceptance.people import RESULTS, SCHEDULES
from tests.conftest import lacking
from tests.databases import PostgreSQL, store_of
from tests.factories import administering
from tests.live import JOBS, KEY, PATIENCE, environment, eventually

pytestmark = pytest.mark.slow

SECRET = "sesame"
"""In all addresses, where they do not matter, and in Redis, where it does."""
SIGNS_IN_WITH = re.compile(r"^  (PREFECT_API_\w+|SIGNOFF_JOBS)=(.*)$", re.MULTILINE)

Shape = dict[str, Any]


@dataclass
class Roles:
    """The processes, by their names, and what they have in common.

    Args:
        folder: of their homes and logs.
        port: where the server listens.
        shared: what their environments have in common.
        with_redis: whether there is one.
    """

    folder: Path
    port: int
    shared: dict[str, str]
    with_redis: bool
    processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)
    keys: dict[str, str] = field(default_factory=dict)

    def start(self, name: str, *words: str, **env: str) -> None:
        """Start a command of ours, in a home of its own."""
        env = environment(**env, SIGNOFF_HOME=str(self.folder / name))
        command = [sys.executable, "-m", "api_shim.cli", *words]
        with self.log(name).open("wb") as out:
            self.processes[name] = subprocess.Popen(command, cwd=JOBS, env=env, stdout=out, stderr=subprocess.STDOUT)

    def log(self, name: str) -> Path:
        return self.folder / f"{name}.log"

    def runs(self, name: str, said: str) -> None:
        """Wait until a process has said that it runs."""
        process, log = self.processes[name], self.log(name)
        eventually(lambda: process.poll() is not None or said in log.read_text())
        assert process.poll() is None, log.read_text()

    def kill(self, name: str) -> None:
        process = self.processes.pop(name)
        process.kill()
        process.wait(PATIENCE)

    def stop(self) -> dict[str, int]:
        """End all, and return how each has ended."""
        for process in self.processes.values():
            process.send_signal(signal.SIGTERM)
        return {name: process.wait(PATIENCE) for name, process in self.processes.items()}

    def client(self, who: str) -> httpx.Client:
        headers = {"Authorization": f"Token {self.keys[who]}"}
        return httpx.Client(base_url=f"http://127.0.0.1:{self.port}", headers=headers, timeout=60)

    def request(self, name: str) -> Shape:
        """Request a run that needs an approval, and return the scheduled job."""
        body = {"data": {"file": str(self.folder / name)}, "schedule": {"name": name, "interval": "immediately"}}
        with self.client("alice") as client:
            answer = asking.run(client, body, "Change")
        assert answer.status_code == 201, answer.text
        made: Shape = answer.json()["scheduled_job"]
        return made

    def approve(self, request: Shape) -> None:
        with self.client("bob") as client:
            answer = client.post(f"{SCHEDULES}{request['id']}/approve/", json={"force": True})
        assert answer.status_code == 200, answer.text

    def ended(self, request: Shape) -> Shape:
        """Wait for the end of a run that was requested, and return its job result."""

        def found() -> Shape | None:
            with self.client("alice") as client:
                rows = client.get(RESULTS, params={"scheduled_job": request["id"]}).json()["results"]
            return next((row for row in rows if row["date_done"]), None)

        return eventually(found, every=0.5)


def redis_settings(folder: Path, port: int, stack: ExitStack) -> Mapping[str, str]:
    """Start Redis, and return how Prefect is told of it; nothing where it or Prefect's integration is not installed."""
    program = shutil.which("redis-server")
    if program is None or find_spec("prefect_redis") is None:
        return {}
    options = ["--port", str(port), "--bind", "127.0.0.1", "--save", "", "--requirepass", SECRET]
    process = subprocess.Popen([program, *options], cwd=folder, stdout=subprocess.DEVNULL)
    stack.callback(process.wait, 60)
    stack.callback(process.kill)

    def answers() -> bool:
        # Somebody else may listen there.
        assert process.poll() is None, "Redis has ended"
        with suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return True
        return False

    eventually(answers)
    return {
        "PREFECT_MESSAGING_BROKER": "prefect_redis.messaging",
        "PREFECT_MESSAGING_CACHE": "prefect_redis.messaging",
        "PREFECT_SERVER_EVENTS_CAUSAL_ORDERING": "prefect_redis.ordering",
        "PREFECT_SERVER_CONCURRENCY_LEASE_STORAGE": "prefect_redis.lease_storage",
        "PREFECT_REDIS_MESSAGING_URL": f"redis://:{SECRET}@127.0.0.1:{port}/0",
        "PREFECT_SERVER_DOCKET_URL": f"redis://:{SECRET}@127.0.0.1:{port}/1",
    }


@pytest.fixture(scope="module")
def roles(
    postgresql: PostgreSQL, tmp_path_factory: pytest.TempPathFactory, free_port: Callable[[], int]
) -> Iterator[Roles]:
    """All processes, at work; the databases were empty."""
    folder = tmp_path_factory.mktemp("roles")
    (folder / "audit.key").write_text("ab" * 32)
    (folder / "audit.key").chmod(0o600)
    with ExitStack() as stack, pytest.MonkeyPatch.context() as here:
        ours, prefects = (
            stack.enter_context(postgresql.empty()).replace("signoff@", f"signoff:{SECRET}@") for _ in range(2)
        )
        redis = redis_settings(folder, free_port(), stack)
        shared = {
            "SIGNOFF_DATABASE_URL": ours.replace("+psycopg", ""),
            "SIGNOFF_AUDIT_KEY_FILE": str(folder / "audit.key"),
            "PREFECT_SERVER_DATABASE_CONNECTION_URL": prefects.replace("+psycopg", "+asyncpg"),
            **redis,
        }
        made = Roles(folder, free_port(), shared, bool(redis))
        stack.callback(lambda: [process.kill() for process in made.processes.values()])
        made.start("server", "server", "--port", str(made.port), **shared)
        made.start("first", "services", **shared)
        made.start("second", "services", **shared)
        made.runs("server", "signoff is running")
        eventually(lambda: KEY.search(made.log("server").read_text()))
        made.keys |= dict(KEY.findall(made.log("server").read_text()))
        for name, value in shared.items():
            here.setenv(name, value)
        with closing(store_of(folder / "hand")) as store:
            made.keys |= administering(store).demo_keys(JobCatalogue(store, utc_now), datetime.now(UTC))
        made.start("worker", "worker", **credentials(made))
        for name in ("first", "second"):
            made.runs(name, "signoff services are running")
        with made.client("admin") as client:
            eventually(lambda: asking.accepts_runs(client), every=0.5)
        yield made


def credentials(made: Roles) -> dict[str, str]:
    """Make an account for the worker by a command, and return what it is to find in its environment."""
    command = [sys.executable, "-m", "api_shim.cli", "worker-token", "add", "builder"]
    env = environment(**made.shared, SIGNOFF_HOME=str(made.folder / "hand"))
    env["SIGNOFF_ORIGIN"] = f"http://127.0.0.1:{made.port}"
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=True)
    return dict(SIGNS_IN_WITH.findall(done.stdout))


def test_what_a_server_accepts_services_and_a_worker_of_their_own_carry_out_though_some_are_killed(
    roles: Roles,
) -> None:
    before, later = roles.request("before"), roles.request("later")
    roles.approve(before)
    ended = roles.ended(before)
    assert ended["status"]["value"] == "SUCCESS"
    assert (roles.folder / "before").read_text() == f"alice {ended['id']}\n"
    # The second services go on with what was requested of all, and what is requested now.
    roles.kill("first")
    roles.approve(later)
    after = roles.request("after")
    roles.approve(after)
    assert [roles.ended(each)["status"]["value"] for each in (later, after)] == ["SUCCESS", "SUCCESS"]
    assert [len((roles.folder / name).read_text().splitlines()) for name in ("later", "after")] == [1, 1]


def test_what_passes_through_the_server_the_services_keep(roles: Roles) -> None:
    if not roles.with_redis:
        lacking("redis", "no Redis here, or not prefect-redis; without it a server loses Prefect's events")
    body = {"filter": {"event": {"name": ["prefect.flow-run.Completed"]}}}
    with roles.client("admin") as client:
        eventually(lambda: client.post("/api/events/filter", json=body).json()["events"], every=0.5)


def test_each_says_what_it_rests_on_and_none_a_password(roles: Roles) -> None:
    logs = {name: roles.log(name).read_text() for name in ("server", "first", "second", "worker")}
    for name in ("server", "first", "second"):
        assert "Data: PostgreSQL at 127.0.0.1:" in logs[name]
        assert ("its messages by Redis at 127.0.0.1:" in logs[name]) is roles.with_redis
        assert ("Without Redis" in logs[name]) is not roles.with_redis
    assert [name for name, log in logs.items() if SECRET in log] == []


# The last one here: the others need the processes that this one ends.
def test_all_end_when_they_are_told_to(roles: Roles) -> None:
    assert set(roles.stop().values()) == {0}
    logs = (roles.log(name).read_text() for name in ("server", "second"))
    assert [line for log in logs for line in log.splitlines() if "Traceback" in line] == []
