"""A server, services and a worker, each a process by itself, of one PostgreSQL database.

Each has a home folder of its own, as on machines of their own. Redis is between them where it is installed with
Prefect's integration of it.
"""

from __future__ import annotations

import json
import re
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import httpx

from tests.acceptance import asking
from tests.acceptance.people import RESULTS, SCHEDULES
from tests.databases import PostgreSQL
from tests.live import JOBS, KEY, PATIENCE, environment, eventually, free_port

SECRET = "sesame"
"""In all addresses, where they do not matter, and in Redis, where it does."""
SIGNS_IN_WITH = re.compile(r"^  (PREFECT_API_\w+|SIGNOFF_JOBS)=(.*)$", re.MULTILINE)

MAKE_ACCOUNTS = """
import json, sys
from datetime import UTC, datetime
from pathlib import Path
from api_shim.services.jobs import JobCatalogue
from api_shim.settings import utc_now
from tests.databases import store_of
from tests.factories import administering
store = store_of(Path(sys.argv[1]))
print(json.dumps(dict(administering(store).demo_keys(JobCatalogue(store, utc_now), datetime.now(UTC)))))
"""
"""In a process of its own, for the processes may be those of another version."""

Shape = dict[str, Any]


@dataclass
class Roles:
    """The processes, by their names, and what they have in common.

    Args:
        folder: of their homes and logs.
        port: where the server listens.
        shared: what their environments have in common.
        redis: what is between them; None where there is none.
        jobs: the folder of their Jobs.
        processes: by their names.
        keys: those of people.
        credentials: what the worker finds in its environment.
    """

    folder: Path
    port: int
    shared: dict[str, str]
    redis: Redis | None
    jobs: Path = JOBS
    processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)
    keys: dict[str, str] = field(default_factory=dict)
    credentials: dict[str, str] = field(default_factory=dict)

    def start(self, name: str, *words: str, **env: str) -> None:
        """Start a command of ours, in a home of its own."""
        env = environment(**env, SIGNOFF_HOME=str(self.folder / name))
        command = [sys.executable, "-m", "api_shim.cli", *words]
        with self.log(name).open("wb") as out:
            self.processes[name] = subprocess.Popen(
                command, cwd=self.jobs, env=env, stdout=out, stderr=subprocess.STDOUT
            )

    def by_hand(self, *words: str, **env: str) -> str:
        """Let Python do something on the databases, in a home of its own, and return what it prints."""
        env = environment(**self.shared, **env, SIGNOFF_HOME=str(self.folder / "hand"))
        env["SIGNOFF_ORIGIN"] = f"http://127.0.0.1:{self.port}"
        done = subprocess.run(
            [sys.executable, *words], cwd=self.jobs, env=env, capture_output=True, text=True, check=True
        )
        return done.stdout

    def of_a_worker(self, **env: str) -> dict[str, str]:
        """Make an account for a worker by a command, and return what this is to find in its environment."""
        return dict(SIGNS_IN_WITH.findall(self.by_hand("-m", "api_shim.cli", "worker-token", "add", "builder", **env)))

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

    def end(self, name: str) -> int:
        """End a process as a service manager does, and return its exit status."""
        process = self.processes.pop(name)
        process.send_signal(signal.SIGTERM)
        return process.wait(PATIENCE)

    def stop(self) -> dict[str, int]:
        """End all at once, and return how each has ended."""
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


@dataclass
class Redis:
    """A Redis server, which keeps nothing when it goes.

    Args:
        program: its executable.
        folder: where it runs.
        port: where it listens.
    """

    program: str
    folder: Path
    port: int
    process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it, and wait until it answers."""
        options = ["--port", str(self.port), "--bind", "127.0.0.1", "--save", "", "--requirepass", SECRET]
        process = subprocess.Popen([self.program, *options], cwd=self.folder, stdout=subprocess.DEVNULL)
        self.process = process

        def answers() -> bool:
            # Somebody else may listen there.
            assert process.poll() is None, "Redis has ended"
            with suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 1):
                return True
            return False

        eventually(answers)

    def kill(self) -> None:
        """End it, with no time for anything, if it is there."""
        if self.process is not None:
            self.process.kill()
            self.process.wait(PATIENCE)
            self.process = None

    @property
    def settings(self) -> dict[str, str]:
        """How Prefect is told of it."""
        url = f"redis://:{SECRET}@127.0.0.1:{self.port}"
        return {
            "PREFECT_MESSAGING_BROKER": "prefect_redis.messaging",
            "PREFECT_MESSAGING_CACHE": "prefect_redis.messaging",
            "PREFECT_SERVER_EVENTS_CAUSAL_ORDERING": "prefect_redis.ordering",
            "PREFECT_SERVER_CONCURRENCY_LEASE_STORAGE": "prefect_redis.lease_storage",
            "PREFECT_REDIS_MESSAGING_URL": f"{url}/0",
            "PREFECT_SERVER_DOCKET_URL": f"{url}/1",
        }


def installed_redis(folder: Path) -> Redis | None:
    """Return a Redis server to start; None where it or Prefect's integration is not installed."""
    program = shutil.which("redis-server")
    return None if program is None or find_spec("prefect_redis") is None else Redis(program, folder, free_port())


@contextmanager
def running(
    postgresql: PostgreSQL, folder: Path, services: Sequence[str], *options: str, jobs: Path = JOBS, **env: str
) -> Iterator[Roles]:
    """Have all processes at work for a while; the databases are empty before.

    Args:
        postgresql: where the databases are.
        folder: of all homes and logs.
        services: the names of those services that run.
        options: those of the worker.
        jobs: the folder of their Jobs.
        env: more of the environment of each.
    """
    (folder / "audit.key").write_text("ab" * 32)
    (folder / "audit.key").chmod(0o600)
    with ExitStack() as stack:
        ours, prefects = (
            stack.enter_context(postgresql.empty()).replace("signoff@", f"signoff:{SECRET}@") for _ in range(2)
        )
        redis = installed_redis(folder)
        if redis is not None:
            stack.callback(redis.kill)
            redis.start()
        shared = {
            "SIGNOFF_DATABASE_URL": ours.replace("+psycopg", ""),
            "SIGNOFF_AUDIT_KEY_FILE": str(folder / "audit.key"),
            "PREFECT_SERVER_DATABASE_CONNECTION_URL": prefects.replace("+psycopg", "+asyncpg"),
            **(redis.settings if redis is not None else {}),
        }
        made = Roles(folder, free_port(), shared, redis, jobs)
        stack.callback(lambda: [process.kill() for process in made.processes.values()])
        made.start("server", "server", "--port", str(made.port), **shared, **env)
        for name in services:
            made.start(name, "services", **shared, **env)
        made.runs("server", "signoff is running")
        eventually(lambda: KEY.search(made.log("server").read_text()))
        made.keys |= dict(KEY.findall(made.log("server").read_text()))
        made.keys |= json.loads(made.by_hand("-c", MAKE_ACCOUNTS, str(folder / "hand"), **env))
        made.credentials = made.of_a_worker(**env)
        made.start("worker", "worker", *options, **made.credentials, **env)
        for name in services:
            made.runs(name, "signoff services are running")
        with made.client("admin") as client:
            eventually(lambda: asking.accepts_runs(client), every=0.5)
        yield made
