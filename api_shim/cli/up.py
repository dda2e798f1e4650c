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
from api_shim.domain.audit import LocalAdministrator
from api_shim.prefect_api.prefect_client import PrefectOrchestrator
from api_shim.prefect_api.prefect_server import (
    EmbeddedWorker,
    collecting_aside,
    connect,
    create_prefect_app,
    misfit,
    running,
    set_environment,
)
from api_shim.services.account_admin import AccountAdmin
from api_shim.settings import WORKER, Settings, server_zone, system_user, utc_now
from api_shim.store import Store
from api_shim.web.gateway import Gateway
from api_shim.web.proxies import BehindProxies, read_networks
from approval_gate.errors import Unavailable
from flows.registry import Discovery, discover

logger = logging.getLogger("signoff")

GRACE = 3
"""Seconds that requests under way have to end when the server stops."""

WORKS_WITHIN = 10
"""Seconds that the worker has to begin, before the server says that it runs anyway."""


def up(
    host: Annotated[str, typer.Option(help="The address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65535, help="The port to listen on.")] = 4200,
    demo: Annotated[
        bool,
        typer.Option("--demo", help="Make alice and bob, who approve each other's requests; enable new Jobs."),
    ] = False,
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
            serve(settings, store, host=host, port=port, demo=demo)
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


def serve(settings: Settings, store: Store, *, host: str, port: int, demo: bool) -> None:
    """Make everything, and serve until told to stop."""
    proxies = read_networks(settings.proxies)
    worker_key = settings.worker_key()
    internal = f"prefect:{secrets.token_urlsafe(32)}"
    admin = AccountAdmin(store, LocalAdministrator(system_user()))
    admin.ensure_service(WORKER, worker_key, utc_now())
    origin = origin_of(host, port)
    set_environment(home=settings.home, origin=origin, internal=internal, worker=f"{WORKER}:{worker_key}")
    found = discover(settings.job_modules)
    warn(found)

    say("Starting Prefect (the first start in a new home takes some ten seconds) …")
    prefect = create_prefect_app()
    client = connect(prefect, internal)
    engine = PrefectOrchestrator(client, pool=settings.pool)

    async def opened() -> None:
        await worker_there(engine)
        # Made as late as they are printed: a start that fails takes no key with it.
        now = utc_now()
        made = admin.first_keys(now)
        announce(origin, made + (admin.demo_keys(application.services.catalogue, now) if demo else []))

    application = build(store, engine, clock=utc_now, zone=server_zone())
    shim = create_app(application, found.jobs.values(), partial(checked, prefect, client, engine))
    front = Gateway(
        shim=shim,
        pages=application.pages,
        prefect=prefect,
        store=store,
        sessions=application.sessions,
        requests=application.services.prefect_ui,
        internal=internal,
        clock=utc_now,
    )
    server = Up(BehindProxies(front, proxies), shim, EmbeddedWorker(settings.pool), opened, host=host, port=port)
    # Until the door is open nothing is under way that could not be left as it is, as by SIGTERM.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    with collecting_aside():
        server.run()


async def worker_there(engine: PrefectOrchestrator) -> None:
    """Wait until a worker serves the default queue, but not for ever."""
    with anyio.move_on_after(WORKS_WITHIN):
        while not await engine.has_worker("default"):  # noqa: ASYNC110 - Prefect tells nobody that one has come
            await anyio.sleep(0.1)


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
    """The server, with a worker that begins when the door is open and ends before it closes.

    Args:
        front: what everything arrives at.
        shim: our application, which runs all others.
        worker: executes the runs.
        opened: called when everything works.
        host: the address to listen on.
        port: the port to listen on.
    """

    def __init__(
        self,
        front: ASGIApp,
        shim: FastAPI,
        worker: EmbeddedWorker,
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
        async with running(self._shim):
            await super().serve(sockets)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Open the door, then begin to work."""
        await super().startup(sockets)
        self._worker.start()
        await self._opened()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:  # noqa: ARG002 - stops for any signal alike
        """Stop; who asks twice does not want to wait. To end when asked is success, so the signal goes no further."""
        self.force_exit = self.should_exit
        self.should_exit = True

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """End the work, then close the door."""
        say("Stopping …")
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
