"""A real ``signoff up`` in a process of its own, and clients for servers, real or within the tests' process."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import re
import shutil
import signal
import socket
import sqlite3
import ssl
import subprocess
import sys
import tempfile
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, datetime
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path
from typing import TypeVar
from uuid import uuid4

import httpx

from api_shim.domain.audit import AuditEvent
from api_shim.store import Store
from api_shim.worker.fork_server import ZYGOTE
from tests.databases import store_of
from tests.factories import administering

T = TypeVar("T")

ROOT = Path(__file__).parents[1]
JOBS = ROOT / "tests" / "acceptance"
MARK = "TESTED_HOME"
"""A variable that everything has which a server of ours has started."""
NO_TLS = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
"""No server here speaks TLS; a client that reads the machine's certificates takes 50 ms to make."""
KEY = re.compile(r"^  ([a-z]+):(signoff_[0-9A-Za-z]{36})$", re.MULTILINE)

SHARED = ("SIGNOFF_DATABASE_URL", "SIGNOFF_AUDIT_KEY_FILE", "PREFECT_SERVER_DATABASE_CONNECTION_URL")
"""The settings that servers and commands of one database share."""

TABLES = """
import asyncio
from prefect.server.database import provide_database_interface
from prefect.server.models.block_registration import run_block_auto_registration

async def make():
    database = provide_database_interface()
    await database.create_db()
    async with await database.session() as session:
        await run_block_auto_registration(session=session)

asyncio.run(make())
"""
"""What Prefect's server does to a database first of all."""

PATIENCE = 600
"""Seconds that what is waited for may take on a machine that is busy with other tests. It measures nothing."""

PAUSES = (0.1, 0.2, 0.4, 0.8, 1.6, 0.0)
"""Seconds between attempts, and after the last."""


def _busy(answer: httpx.Response) -> bool:
    """Say whether Prefect's SQLite is busy; our own 503 is an answer."""
    return answer.status_code == 503 and b"exception_message" in answer.content


class Patient(httpx.HTTPTransport):
    """Asks Prefect again while its SQLite is busy, as every client of Prefect's own does."""

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        request.read()
        for pause in PAUSES:
            answer = super().handle_request(request)
            answer.read()
            if not _busy(answer):
                return answer
            time.sleep(pause)
        return answer


class AsyncPatient(httpx.AsyncHTTPTransport):
    """The same, for clients of an event loop."""

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        await request.aread()
        for pause in PAUSES:
            answer = await super().handle_async_request(request)
            await answer.aread()
            if not _busy(answer):
                return answer
            await asyncio.sleep(pause)
        return answer


@dataclass(kw_only=True)
class Server(ABC):
    """Something that answers as ``signoff up`` does.

    Args:
        origin: the start of its addresses.
        home: its home folder.
        keys: the keys that are known, by user.
    """

    origin: str
    home: Path
    keys: dict[str, str] = field(default_factory=dict)

    @property
    def database_url(self) -> str:
        return f"sqlite:///{self.home / 'signoff.db'}"

    def audit(self) -> list[AuditEvent]:
        """Return the events of its audit, the oldest first."""
        with closing(Store(self.database_url)) as store, store.transaction(write=False) as tx:
            return tx.events(0, 1_000_000)

    @abstractmethod
    def transport(self) -> httpx.BaseTransport:
        """Return what passes requests on to it."""

    def client(self, who: str | None = "admin", **headers: str) -> httpx.Client:
        """Return a client that signs in as a user who has a key; as nobody for None."""
        if who is not None:
            headers = {"Authorization": f"Token {self.key(who)}", **headers}
        return httpx.Client(base_url=self.origin, headers=headers, timeout=60, transport=self.transport())

    def key(self, who: str) -> str:
        """Return a user's key, after making the user if there is none."""
        if who not in self.keys:
            with closing(store_of(self.home)) as store:
                admin = administering(store)
                admin.add_user(who, datetime.now(UTC))
                self.keys[who] = admin.add_token(who, datetime.now(UTC))
        return self.keys[who]


@dataclass(kw_only=True)
class Live(Server):
    """A running server.

    Args:
        port: its port.
        process: it.
        log: the file that it prints to.
        shared: its settings that say where its databases are; none for SQLite in its home.
    """

    port: int
    process: subprocess.Popen[bytes]
    log: Path
    shared: dict[str, str] = field(default_factory=dict)

    @property
    def certificate_hosts(self) -> Path:
        """The file of the servers whose certificates an example checks, which a test may write."""
        return hosts_of(self.home)

    @property
    def database_url(self) -> str:
        return self.shared.get("SIGNOFF_DATABASE_URL", super().database_url)

    def transport(self) -> httpx.BaseTransport:
        return Patient(verify=NO_TLS)

    def cli(self, *words: str, stdin: str = "", check: bool = True) -> str:
        """Run a command of ours on the server's home, and return what it prints."""
        done = subprocess.run(
            [sys.executable, "-m", "api_shim.cli", *words, "--home", str(self.home)],
            input=stdin,
            capture_output=True,
            text=True,
            check=False,
            env=environment(**self.shared),
        )
        if check and done.returncode:
            raise AssertionError(f"signoff {' '.join(words)} failed: {done.stderr}")
        return done.stdout

    def kill(self) -> None:
        """End it, with no time for anything."""
        self.process.kill()
        self.process.wait(10)

    def family(self) -> dict[str, list[int]]:
        """Return the processes that it has started: a ``worker``, its ``fork server``, each ``run``."""
        commands, found = processes_of(self.home), dict[str, list[int]]()
        for pid, command in commands.items():
            with contextlib.suppress(OSError):
                is_fork = ZYGOTE in commands.get(int(stat_of(pid)[1]), "")
                kind = "run" if is_fork else "fork server" if ZYGOTE in command else "worker"
                found.setdefault(kind, []).append(pid)
        return found

    def kill_all(self) -> None:
        """End it and all that it has started, as a power cut would."""
        family = processes_of(self.home)
        self.kill()
        for process in family:
            # Some end by themselves meanwhile.
            with contextlib.suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)
        eventually(lambda: not processes_of(self.home))

    def stop(self) -> int:
        """Ask it to end, and return its exit status."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        return self.process.wait(PATIENCE)


def processes_of(home: Path) -> dict[int, str]:
    """Return the processes that run Jobs for a home folder, with their command lines; not the server itself."""
    mark, theirs, hidden = f"{MARK}={mark_of(home)}\0".encode(), dict[int, str](), dict[int, str]()
    parents = dict[int, int]()
    for folder in Path("/proc").glob("[0-9]*"):
        # A process may end, or belong to somebody else.
        with contextlib.suppress(OSError):
            pid, command = int(folder.name), (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode()
            parents[pid] = int(stat_of(pid)[1])
            try:
                if mark in (folder / "environ").read_bytes():
                    theirs[pid] = command
            except PermissionError:
                hidden[pid] = command
    # The environment of a worker, its fork server and forked runs is read by nobody but an administrator of the system:
    # they are found by what has started them, and by what they have started.
    while more := {
        pid
        for pid in hidden.keys() - theirs.keys()
        if parents[pid] in theirs or pid in {parents[each] for each in theirs}
    }:
        theirs |= {pid: hidden[pid] for pid in more}
    itself = (" up --demo ", " server --port ")
    return {pid: command for pid, command in theirs.items() if not any(words in command for words in itself)}


def hosts_of(home: Path) -> Path:
    """Return the file of servers for a home folder, which is not in there: what names that is not given to runs."""
    return home.parent / "certificate-hosts.csv"


def mark_of(home: Path) -> str:
    """Return what marks the processes of a home folder, without naming it: what does is not for runs."""
    return sha256(str(home).encode()).hexdigest()[:16]


def stat_of(pid: int) -> list[str]:
    """Return what ``/proc`` tells of a process, from its state on: ``[1]`` is its parent, ``[11:15]`` its CPU time."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.socket() as trial:
        trial.bind(("127.0.0.1", 0))
        return int(trial.getsockname()[1])


def environment(**more: str) -> dict[str, str]:
    """Return the environment of a server: nothing of Prefect's or ours from outside."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PREFECT_", "SIGNOFF_"))}
    ours = {"SIGNOFF_JOBS": "jobs_for_tests,flows.examples", "SIGNOFF_TRUSTED_PROXIES": "127.0.0.1"}
    return {**kept, **ours, **more}


def start(
    home: Path,
    port: int,
    *options: str,
    keys: dict[str, str] | None = None,
    program: Sequence[str] = ("-m", "api_shim.cli"),
    prepared: bool = True,
    **env: str,
) -> Live:
    """Start ``signoff up --demo`` and wait until it has told where it is.

    Args:
        home: its home folder.
        port: where it listens.
        options: those of the command, besides.
        keys: the keys that are known, by user.
        program: what Python is told to run as ``signoff``.
        prepared: whether Prefect's tables are there in a new home; to make them takes longer than the rest.
        env: more of its environment.
    """
    home.parent.mkdir(parents=True, exist_ok=True)
    log = home.parent / f"{home.name}-{uuid4().hex[:6]}.log"
    command = [sys.executable, *program, "up", "--demo", "--home", str(home), "--port", str(port), *options]
    if prepared and not home.exists() and "PREFECT_SERVER_DATABASE_CONNECTION_URL" not in env:
        for folder in (home, home / "prefect"):
            folder.mkdir(mode=0o700)
        prefect_tables(home / "prefect" / "prefect.db")
    env = environment(**{MARK: mark_of(home), "CERTIFICATE_HOSTS": str(hosts_of(home)), **env})
    with log.open("wb") as out:
        process = subprocess.Popen(command, cwd=JOBS, env=env, stdout=out, stderr=subprocess.STDOUT)
    server = Live(
        origin=f"http://127.0.0.1:{port}",
        home=home,
        port=port,
        process=process,
        log=log,
        keys=dict(keys or {}),
        shared={name: env[name] for name in SHARED if name in env},
    )
    try:
        eventually(lambda: process.poll() is not None or "signoff is running" in log.read_text())
        assert process.poll() is None, f"signoff up ended: {log.read_text()}"
        time.sleep(0.2)
        server.keys |= dict(KEY.findall(log.read_text()))
    except BaseException:
        process.kill()
        raise
    return server


def prefect_tables(path: Path) -> None:
    """Make a SQLite file with Prefect's tables, as it has them before it is used; they are made once, and kept."""
    kept = ROOT / ".pytest_cache" / f"prefect-{version('prefect')}.db"
    kept.parent.mkdir(exist_ok=True)
    with kept.with_suffix(".lock").open("w") as lock, tempfile.TemporaryDirectory() as folder:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not kept.exists():
            subprocess.run([sys.executable, "-c", TABLES], env=environment(PREFECT_HOME=folder), check=True)
            whole = Path(folder) / "whole.db"
            with closing(sqlite3.connect(Path(folder) / "prefect.db")) as connection:
                connection.execute("VACUUM INTO ?", [str(whole)])
            shutil.move(whole, kept)
        path.touch(mode=0o600)
        path.write_bytes(kept.read_bytes())


def eventually(ask: Callable[[], T], *, within: float = PATIENCE, every: float = 0.1) -> T:
    """Return the first answer that is true; fail with the last one after so many seconds."""
    deadline = time.monotonic() + within
    while not (answer := ask()):
        if time.monotonic() > deadline:
            raise AssertionError(f"It did not happen within {within} s; the last answer was {answer!r}.")
        time.sleep(every)
    return answer
