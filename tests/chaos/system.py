"""A system that can be harmed: one process on SQLite, or two servers, two services and three workers.

* All of it is started by the second process (``faults``), which this one talks to.
* On PostgreSQL and Redis each process has a link of its own to each of both, and each worker one to the servers: any of
  them can be cut off alone. People reach each server by a link, too.
* What is kept is what a process that is killed keeps: PostgreSQL commits for real. Redis keeps nothing.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

import httpx
import psycopg

from tests.live import KEY, NO_TLS, ROOT, environment, free_port, prefect_tables
from tests.postgresql import postgresql_programs

JOBS = Path(__file__).with_name("jobs")
MODULES = "chaos_jobs,chaos_code"
LIMIT = "4"
"""Runs at once of each worker."""
SIGNS_IN_WITH = re.compile(r"^  (PREFECT_API_\w+)=(.*)$", re.MULTILINE)

Shape = dict[str, Any]


class Databases(StrEnum):
    """What a system keeps its data in."""

    SQLITE = "sqlite"
    POSTGRESQL = "postgresql"


@dataclass
class System:
    """A running system, and the second process, which has all of it as its children.

    Args:
        folder: of everything that it has.
        own_folder: of PostgreSQL, which may run as another user.
        second: the second process.
        origins: where people reach its servers.
        admin: the key of its first account.
        shared: the settings with which a command reaches its databases, whatever links are broken.
        files: its SQLite files.
    """

    folder: Path
    own_folder: Path
    second: subprocess.Popen[str]
    origins: list[str] = field(default_factory=list)
    admin: str = ""
    shared: dict[str, str] = field(default_factory=dict)
    files: list[str] = field(default_factory=list)

    @property
    def jobs(self) -> Path:
        """The folder of the Jobs, and of what they note."""
        return self.folder / "jobs"

    def tell(self, do: str, **what: Any) -> Any:
        """Tell the second process what to do, and return its answer."""
        assert self.second.stdin is not None
        assert self.second.stdout is not None
        self.second.stdin.write(json.dumps({"do": do, **what}) + "\n")
        self.second.stdin.flush()
        line = self.second.stdout.readline()
        assert line, "The second process has ended."
        return json.loads(line)["answer"]

    def start(self, name: str, command: list[str], says: str, user: str | None = None, **env: str) -> None:
        """Have a part started, and return when it is well."""
        logs = self.folder / "logs"
        logs.mkdir(exist_ok=True)
        cwd = str(self.jobs if user is None else self.own_folder)
        whole = environment(**{"SIGNOFF_JOBS": MODULES, **env})
        self.tell("start", name=name, command=command, env=whole, cwd=cwd, log=str(logs), says=says, user=user)

    def link(self, name: str, *to: int) -> int:
        """Have a link made, and return its port."""
        return int(self.tell("link", name=name, to=[*to]))

    def signoff(self, *words: str) -> str:
        """Run a command of ours beside the servers, and return what it prints."""
        command = [sys.executable, "-m", "api_shim.cli", *words]
        env = environment(**{"SIGNOFF_JOBS": MODULES, **self.shared})
        done = subprocess.run(command, cwd=self.jobs, env=env, capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"signoff {' '.join(words)}: {done.stderr}"
        return done.stdout

    def client(self, key: str = "", origin: str = "") -> httpx.Client:
        """Return a client of a server; the first account's at the first one if nothing else is said."""
        headers = {"Authorization": f"Token {key or self.admin}"}
        return httpx.Client(base_url=origin or self.origins[0], headers=headers, timeout=60, verify=NO_TLS)

    def read_admin(self, *names: str) -> None:
        """Read the key that one of these has printed."""
        logs = "".join((self.folder / "logs" / f"{name}-1.log").read_text() for name in names)
        self.admin = dict(KEY.findall(logs))["admin"]


def _signoff(*words: str) -> list[str]:
    return [sys.executable, "-m", "api_shim.cli", *words]


@contextmanager
def running(on: Databases, folder: Path) -> Iterator[System]:
    """Have a system for a while.

    Args:
        on: what it keeps its data in.
        folder: an empty folder, for everything that it has.
    """
    shutil.copytree(JOBS, folder / "jobs", ignore=shutil.ignore_patterns("__pycache__"))
    command = [sys.executable, "-m", "tests.chaos.faults", str(folder / "faults")]
    with (
        tempfile.TemporaryDirectory(prefix="signoff-pg-") as own_folder,
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT) as second,
    ):
        system = System(folder, Path(own_folder), second)
        try:
            (_on_sqlite if on is Databases.SQLITE else _on_postgresql)(system)
            yield system
        finally:
            assert second.stdin is not None
            # It ends everything.
            second.stdin.close()
            second.wait()


def _on_sqlite(system: System) -> None:
    home, port = system.folder / "home", free_port()
    for folder in (home, home / "prefect"):
        folder.mkdir(mode=0o700)
    prefect_tables(home / "prefect" / "prefect.db")
    system.shared = {"SIGNOFF_HOME": str(home)}
    words = ("up", "--home", str(home), "--port", str(port), "--limit", LIMIT)
    system.start("up", _signoff(*words), "signoff is running")
    system.files = [str(home / "signoff.db"), str(home / "prefect" / "prefect.db")]
    system.origins = [f"http://127.0.0.1:{system.link('people > up', port)}"]
    system.read_admin("up")


def _on_postgresql(system: System) -> None:
    postgresql, redis = _postgresql(system), _redis(system)
    key = system.folder / "audit.key"
    key.touch(mode=0o600)
    key.write_text("ab" * 32)
    system.shared = {**_settings(system, postgresql, redis), "SIGNOFF_HOME": str(system.folder / "hand")}
    ports = []
    for number in (1, 2):
        name, port = f"server-{number}", free_port()
        env = _settings(system, system.link(f"{name} > postgresql", postgresql), system.link(f"{name} > redis", redis))
        system.start(name, _signoff("server", "--port", str(port)), "signoff is running", **env, **_home(system, name))
        system.origins.append(f"http://127.0.0.1:{system.link(f'people > {name}', port)}")
        ports.append(port)
    system.read_admin("server-1", "server-2")
    for number in (1, 2):
        name = f"services-{number}"
        env = _settings(system, system.link(f"{name} > postgresql", postgresql), system.link(f"{name} > redis", redis))
        system.start(name, _signoff("services"), "signoff services are running", **env, **_home(system, name))
    credentials = dict(SIGNS_IN_WITH.findall(system.signoff("worker-token", "add", "builder")))
    for number in (1, 2, 3):
        name = f"worker-{number}"
        reached = f"http://127.0.0.1:{system.link(f'{name} > servers', *ports)}/api"
        env = {**credentials, "PREFECT_API_URL": reached, **_home(system, name)}
        system.start(name, _signoff("worker", "--limit", LIMIT), "", **env)


def _home(system: System, name: str) -> Mapping[str, str]:
    return {"SIGNOFF_HOME": str(system.folder / name)}


def _settings(system: System, postgresql: int, redis: int) -> dict[str, str]:
    messages = f"redis://127.0.0.1:{redis}"
    return {
        "SIGNOFF_DATABASE_URL": f"postgresql://signoff@127.0.0.1:{postgresql}/signoff",
        "SIGNOFF_AUDIT_KEY_FILE": str(system.folder / "audit.key"),
        "PREFECT_SERVER_DATABASE_CONNECTION_URL": f"postgresql+asyncpg://signoff@127.0.0.1:{postgresql}/prefect",
        "PREFECT_MESSAGING_BROKER": "prefect_redis.messaging",
        "PREFECT_MESSAGING_CACHE": "prefect_redis.messaging",
        "PREFECT_SERVER_EVENTS_CAUSAL_ORDERING": "prefect_redis.ordering",
        "PREFECT_SERVER_CONCURRENCY_LEASE_STORAGE": "prefect_redis.lease_storage",
        "PREFECT_REDIS_MESSAGING_URL": f"{messages}/0",
        "PREFECT_SERVER_DOCKET_URL": f"{messages}/1",
    }


def _postgresql(system: System) -> int:
    """Start PostgreSQL, with both databases, and return its port."""
    programs, port = postgresql_programs(), free_port()
    # A folder that is reached by whoever runs it; it refuses to be root.
    folder = system.own_folder
    is_root = os.geteuid() == 0
    user = "postgres" if is_root else None
    if is_root:
        shutil.chown(folder, "postgres")
    whose: Shape = {"user": user, "group": user, "extra_groups": []} if is_root else {}
    data = f"{folder}/data"
    make = [str(programs / "initdb"), "-D", data, "-U", "signoff", "--auth=trust", "-E", "UTF8"]
    subprocess.run(make, check=True, stdout=subprocess.DEVNULL, cwd=folder, **whose)
    # A process that is killed loses nothing that the system has in its memory: no disk is waited for.
    options = ("-p", str(port), "-k", str(folder), "-c", "listen_addresses=127.0.0.1", "-c", "fsync=off")
    program = [str(programs / "postgres"), "-D", data, *options, "-c", "max_connections=300"]
    system.start("postgresql", program, "ready to accept connections", user=user)
    with psycopg.connect(f"postgresql://signoff@127.0.0.1:{port}/postgres", autocommit=True) as connection:
        connection.execute("CREATE DATABASE signoff")
        connection.execute("CREATE DATABASE prefect")
    return port


def _redis(system: System) -> int:
    program, port = shutil.which("redis-server"), free_port()
    assert program is not None, "There is no Redis here."
    system.start("redis", [program, "--port", str(port), "--bind", "127.0.0.1", "--save", ""], "Ready to accept")
    return port
