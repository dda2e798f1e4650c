"""``signoff up``: everything in one process on one port.

* It says what is wrong before it starts: a port that is taken, a home that another one uses, versions that do not fit.
* A key is printed when it is made, and never again.
* It ends within seconds on Ctrl-C or SIGTERM, and takes the runs under way with it.
"""

from __future__ import annotations

import fcntl
import logging
import os
import secrets
import signal
import socket
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from enum import StrEnum
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Annotated, NoReturn

import anyio.to_thread
import httpx
import typer
import uvicorn
from fastapi import FastAPI
from starlette.types import ASGIApp

from api_shim.app import build, create_app
from api_shim.cli.console import Home, read_settings, say
from api_shim.prefect_api.prefect_client import PrefectOrchestrator
from api_shim.prefect_api.prefect_server import (
    collecting_aside,
    connect,
    create_prefect_app,
    is_on_sqlite,
    misfit,
    running,
    set_environment,
)
from api_shim.prefect_api.prefect_writes import OneWriter
from api_shim.services.account_admin import Identity
from api_shim.services.jobs import JobCatalogue
from api_shim.settings import WORKER, Settings, server_zone, utc_now
from api_shim.store import Store
from api_shim.web.gateway import Gateway
from api_shim.web.proxies import BehindProxies, read_networks
from api_shim.worker.process import Way, WorkerOptions
from api_shim.worker.supervisor import WorkerProcess
from api_shim.worker.wake import Notifier, NotifiesWorkers
from approval_gate.errors import Unavailable
from flows.registry import Discovery, discover

logger = logging.getLogger("signoff")

GRACE = 3
"""Seconds that requests under way have to end when the server stops."""

WORKER_GRACE = 5.0
"""Seconds that runs under way have to end when the server stops."""

WORKS_WITHIN = 30
"""Seconds that the worker has to begin, before the server says that it runs anyway."""


class Worker(StrEnum):
    """Who executes the runs."""

    WARM = "warm"
    PROCESS = "process"
    NONE = "none"


def up(
    host: Annotated[str, typer.Option(help="The address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65535, help="The port to listen on.")] = 4200,
    demo: Annotated[
        bool,
        typer.Option("--demo", help="Make alice and bob, who approve each other's requests; enable new Jobs."),
    ] = False,
    worker: Annotated[
        Worker,
        typer.Option(
            help="How runs are started: at once, in a process that has everything imported; each in a process from "
            "nothing; or by workers that you start yourself."
        ),
    ] = Worker.WARM,
    limit: Annotated[
        int, typer.Option(min=0, metavar="N", help="How many runs there are at once; 0 for what this machine can.")
    ] = 0,
    home: Home = None,
) -> None:
    """Start everything: the REST API, Prefect with its UI, and a worker."""
    log_to_terminal()
    settings = read_settings(home)
    check_port(host, port)
    with locked(settings.make_home()):
        store = Store(settings.store_url)
        try:
            store.migrate()
            serve(settings, store, worker_of(settings, worker, limit), host=host, port=port, demo=demo)
        finally:
            store.close()
    leave()


def leave() -> NoReturn:
    """End this process now that all of ours is closed; Prefect's threads would wait for the server that has gone."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)


def log_to_terminal() -> None:
    """Show our own log; Prefect sees to its own."""
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("%(levelname)s: %(message)s"))
    logger.addHandler(handler)


def check_port(host: str, port: int) -> None:
    """See that nobody listens there.

    Raises:
        Unavailable: somebody does, or the address is not ours.
    """
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        with socket.socket(family) as trial:
            trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            trial.bind((host, port))
    except OSError as error:
        message = f"Cannot listen on {host} port {port}: {error.strerror}. Choose another with --port."
        raise Unavailable(message) from error


@contextmanager
def locked(home: Path) -> Iterator[None]:
    """Keep a second server out of a home folder.

    Raises:
        Unavailable: one is running there.
    """
    with (home / "up.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise Unavailable(f"signoff is already running with the home folder {home}.") from error
        yield


def worker_of(settings: Settings, worker: Worker, limit: int) -> WorkerProcess | None:
    """Return what executes the runs; None for nobody of ours.

    Args:
        settings: say what it serves.
        worker: how it starts runs.
        limit: how many there are at once; 0 for what this machine can.
    """
    if worker is Worker.NONE:
        return None
    options = WorkerOptions(
        pool=settings.pool,
        name="signoff up",
        modules=(*settings.job_modules,),
        home=str(settings.home),
        limit=limit,
        way=Way(worker),
        grace=WORKER_GRACE,
        attached=True,
    )
    return WorkerProcess(options)


def serve(settings: Settings, store: Store, worker: WorkerProcess | None, *, host: str, port: int, demo: bool) -> None:
    """Make everything, and serve until told to stop."""
    proxies = read_networks(settings.proxies)
    worker_key = settings.worker_key()
    internal = f"prefect:{secrets.token_urlsafe(32)}"
    Identity(store).ensure_service(WORKER, worker_key, utc_now())
    origin = origin_of(host, port)
    set_environment(home=settings.home, origin=origin, internal=internal, worker=f"{WORKER}:{worker_key}")
    found = discover(settings.job_modules)
    warn(found)

    say("Starting Prefect (the first start in a new home takes some ten seconds) …")
    prefect = create_prefect_app()
    reached = reached_by_all(prefect, settings)
    client = connect(reached, internal)
    engine = PrefectOrchestrator(client, pool=settings.pool)

    async def opened() -> None:
        with anyio.move_on_after(WORKS_WITHIN if worker else 0):
            while not await engine.has_worker("default"):  # noqa: ASYNC110 - Prefect tells nobody that one has come
                await anyio.sleep(0.1)
        # Made as late as they are printed: a start that fails takes no key with it.
        announce(origin, [*first_keys(store), *(demo_keys(store) if demo else [])])

    wired = build(store, engine, clock=utc_now, zone=server_zone())
    shim = create_app(wired, found.jobs.values(), partial(checked, prefect, client, engine))
    front = Gateway(
        shim=shim,
        pages=wired.pages,
        prefect=reached,
        identity=wired.identity,
        sessions=wired.sessions,
        requests=wired.services.prefect_ui,
        internal=internal,
        clock=utc_now,
    )
    server = Up(BehindProxies(front, proxies), shim, worker, opened, host=host, port=port)
    # Until the door is open nothing is under way that could not be left as it is, as by SIGTERM.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    with collecting_aside():
        server.run()


def reached_by_all(prefect: ASGIApp, settings: Settings) -> ASGIApp:
    """Return Prefect's application with what is between it and all who call it."""
    ordered = OneWriter(prefect) if is_on_sqlite() else prefect
    return NotifiesWorkers(ordered, Notifier(settings.home).notify, utc_now)


def origin_of(host: str, port: int) -> str:
    """Return where this machine reaches what listens there."""
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 - compared, not bound
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


@asynccontextmanager
async def checked(prefect: ASGIApp, client: httpx.AsyncClient, engine: PrefectOrchestrator) -> AsyncIterator[None]:
    """Run Prefect, and see that it works.

    Raises:
        Unavailable: the installed versions do not work together.
    """
    async with running(prefect), client:
        if not await engine.yields_runs():
            raise Unavailable(misfit("a schedule yields no run"))
        await engine.prepare([])
        yield


class Up(uvicorn.Server):
    """The server, with a worker that ends before the door closes.

    Args:
        front: what everything arrives at.
        shim: our application, which runs all others.
        worker: executes the runs; None for nobody of ours.
        opened: called when everything works.
        host: the address to listen on.
        port: the port to listen on.
    """

    def __init__(
        self,
        front: ASGIApp,
        shim: FastAPI,
        worker: WorkerProcess | None,
        opened: Callable[[], Awaitable[None]],
        *,
        host: str,
        port: int,
    ) -> None:
        config = uvicorn.Config(
            front,
            host=host,
            port=port,
            log_level="error",
            access_log=False,
            # Done by us, who believe no one but who is named.
            proxy_headers=False,
            timeout_graceful_shutdown=GRACE,
            ws="websockets-sansio",
            # Run by serve(), where what goes wrong is a sentence.
            lifespan="off",
        )
        super().__init__(config)
        self._shim = shim
        self._worker = worker
        self._opened = opened

    async def serve(self, sockets: list[socket.socket] | None = None) -> None:
        """Run everything until told to stop."""
        if self._worker is not None:
            # It has much to import, and begins to work when the door is open.
            self._worker.start()
        async with running(self._shim):
            await super().serve(sockets)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Open the door, and see that everything works."""
        await super().startup(sockets)
        await self._opened()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:  # noqa: ARG002 - stops for any signal alike
        """Stop; who asks twice does not want to wait. To end when asked is success, so the signal goes no further."""
        self.force_exit = self.should_exit
        self.should_exit = True

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """End the work, then close the door."""
        say("Stopping …")
        if self._worker is not None:
            # In a thread: the worker says goodbye to Prefect, which answers from this one.
            await anyio.to_thread.run_sync(self._worker.stop)
        await super().shutdown(sockets)


def announce(origin: str, keys: list[tuple[str, str]]) -> None:
    """Say where everything is, and print the keys that were made."""
    say("signoff is running; Ctrl-C stops it.")
    say(f"  Pages       {origin}/signoff/\n  REST API    {origin}/api/\n  Prefect UI  {origin}/")
    if keys:
        say("Keys made now, shown this once; sign in to the pages with a key, and to the Prefect UI with user:key.")
    for username, key in keys:
        say(f"  {username}:{key}")


def warn(found: Discovery) -> None:
    """Say what is wrong with the Jobs that were found."""
    warnings = (warning for definition in found.jobs.values() for warning in definition.warnings)
    for sentence in (*found.problems, *warnings):
        logger.warning("%s", sentence)


def first_keys(store: Store) -> list[tuple[str, str]]:
    """Make an administrator where there is nobody but the worker."""
    identity = Identity(store)
    if any(user.username != WORKER for user in identity.users()):
        return []
    identity.add_user("admin", utc_now(), superuser=True)
    return [("admin", identity.add_token("admin", utc_now()))]


def demo_keys(store: Store) -> list[tuple[str, str]]:
    """Make two people who need each other, and let every Job run that nobody has decided about yet."""
    identity, catalogue = Identity(store), JobCatalogue(store, utc_now)
    for job in catalogue.jobs():
        if job.created == job.last_updated:
            catalogue.set_enabled(job.class_path, enabled=True)
    known = {user.username for user in identity.users()}
    keys = []
    for username in {"alice", "bob"} - known:
        identity.add_user(username, utc_now())
        keys.append((username, identity.add_token(username, utc_now())))
    if not any(permission.name in DEMO for permission in identity.permissions()):
        for name, (types, actions) in DEMO.items():
            identity.add_permission(name, types=types, actions=actions, users=["alice", "bob"])
    return sorted(keys)


SEEN = ["extras.job", "extras.scheduledjob", "extras.jobresult", "extras.joblogentry", "extras.jobqueue"]
DEMO = {
    "demo: see": (SEEN, ["view"]),
    "demo: run and approve jobs": (["extras.job"], ["run", "approve"]),
    "demo: decide about schedules": (["extras.scheduledjob"], ["change", "delete"]),
}
"""What the two of the demo may do: permission to types and actions."""
