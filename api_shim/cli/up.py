"""``signoff up``: the whole server in one process, on one port.

* Before it starts it checks the port, the lock on the home folder, that the audit ends where it should, and that the
  installed versions work together.
* A key is printed when it is created, and never again.
* What it makes is for its own user only; the worker's umask is the one that it was started with.
* Where Jobs are not told to run as another user, it says what they can do then.
* Servers of one database start one after the other: what the first one makes, the next ones find.
* Ctrl-C or SIGTERM stops it within seconds, and ends the runs in progress.
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
from contextlib import ExitStack, asynccontextmanager, closing, contextmanager
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

from api_shim.app import Application, build, create_app
from api_shim.cli.console import Home, read_settings, say
from api_shim.cli.jobs_user import checked_user
from api_shim.domain.audit import LocalAdministrator
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
from api_shim.services.account_admin import AccountAdmin
from api_shim.services.audit_signing import check_end, open_store
from api_shim.services.jobs import JobCatalogue
from api_shim.settings import WORKER, Settings, machine_name, private_files, server_zone, system_user, utc_now
from api_shim.store import Duty, Store
from api_shim.web.gateway import Gateway
from api_shim.web.origins import Origins, read_origin
from api_shim.web.prefect_writes import OneWriter
from api_shim.web.proxies import BehindProxies, read_networks
from api_shim.worker.process import Way, WorkerOptions
from api_shim.worker.supervisor import WorkerProcess
from api_shim.worker.wake import Notifier, NotifiesWorkers, overhearing_polls
from approval_gate.errors import Unavailable
from flows.registry import Discovery, discover

logger = logging.getLogger("signoff")

GRACE = 3
"""Seconds that open requests have to finish when the server stops."""
KEEP_ALIVE = 60
"""Seconds that an idle connection stays open: longer than clients keep theirs, or a request would meet a closed one."""

WORKER_GRACE = 5.0
"""Seconds that runs in progress have to end when the server stops."""

STARTS_WITHIN = 120.0
"""Seconds to wait for other servers of the same database to start."""

WORKS_WITHIN = 30
"""Seconds to wait for the worker before the server reports that it is running."""


CAN_DO_THE_SAME = (
    "Jobs run as {user}, as this server does, and can do what it can: set SIGNOFF_JOBS_USER, or use signoff worker."
)


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
        typer.Option(
            "--demo", help="Add the users alice and bob, who can approve each other's requests, and enable new Jobs."
        ),
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
    """Start the server: the REST API, the pages, Prefect with its UI, and a worker."""
    log_to_terminal()
    settings = read_settings(home)
    check_port(host, port)
    with private_files() as umask:
        close(settings)
        with locked(settings.home):
            process = worker_of(settings, worker, limit, umask)
            with closing(open_store(settings, utc_now())) as store:
                check_end(store)
                serve(settings, store, process, host=host, port=port, demo=demo)
    leave()


def leave() -> NoReturn:
    """End the process without waiting for Prefect's threads, which would wait for the stopped server."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)


def log_to_terminal() -> None:
    """Print the ``signoff`` log; Prefect configures its own."""
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("%(levelname)s: %(message)s"))
    logger.addHandler(handler)


def check_port(host: str, port: int) -> None:
    """Check that the server can listen on a port.

    Raises:
        Unavailable: the port is in use, or the address is not one of this machine.
    """
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        with socket.socket(family) as trial:
            trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            trial.bind((host, port))
    except OSError as error:
        message = f"Cannot listen on {host} port {port}: {error.strerror}. Choose another with --port."
        raise Unavailable(message) from error


def close(settings: Settings) -> None:
    """Make the home folder, or close it to other users."""
    if settings.close_home():
        logger.warning(
            "The home folder %s was open to other users, and is not any more. They may have read its keys.",
            settings.home,
        )


@contextmanager
def locked(home: Path) -> Iterator[None]:
    """Lock a home folder against a second server.

    Raises:
        Unavailable: a server is already running with it.
    """
    with (home / "up.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise Unavailable(f"signoff is already running with the home folder {home}.") from error
        yield


def worker_of(settings: Settings, worker: Worker, limit: int, umask: int) -> WorkerProcess | None:
    """Return the worker process to start; None for none.

    Args:
        settings: the settings of the server.
        worker: how the worker starts runs.
        limit: how many runs there may be at once; 0 for a number that suits this machine.
        umask: what it has.
    """
    if worker is Worker.NONE:
        return None
    user = checked_user(settings)
    if not user:
        say(CAN_DO_THE_SAME.format(user=system_user()))
    options = WorkerOptions(
        pool=settings.pool,
        name="signoff up",
        modules=(*settings.job_modules,),
        home=str(settings.home),
        limit=limit,
        way=Way(worker),
        grace=WORKER_GRACE,
        jobs_user=user,
        attached=True,
    )
    return WorkerProcess(options, umask=umask)


def serve(settings: Settings, store: Store, worker: WorkerProcess | None, *, host: str, port: int, demo: bool) -> None:
    """Build the applications, and serve until stopped."""
    start = starting(store)
    proxies, configured = read_networks(settings.proxies), read_origin(settings.origin)
    origin, internal = origin_of(host, port), f"prefect:{secrets.token_urlsafe(32)}"
    admin, account = administered(settings, store)
    public = configured or origin
    set_environment(home=settings.home, origin=origin, public=public, internal=internal, worker=account)
    found = discovered(settings)
    say("Starting Prefect (the first start takes about ten seconds) …")
    prefect = create_prefect_app()
    application: Application
    notifier = Notifier(settings.home)
    reached = reached_by_all(prefect, notifier, lambda: application.others.call_workers())  # noqa: PLW0108 - made below
    engine = PrefectOrchestrator(client := connect(reached, internal), pool=settings.pool)

    async def opened() -> None:
        await worker_there(engine, worker)
        announce(public, new_keys(admin, application.services.catalogue if demo else None))
        start.close()

    application = build(store, engine, clock=utc_now, zone=server_zone(), wake_workers=notifier.notify)
    shim = create_app(application, found.jobs.values(), partial(checked, prefect, client, engine))
    front = Gateway(
        shim=shim,
        pages=application.pages,
        prefect=overhearing_polls(reached, settings.pool, application.served.heard),
        store=store,
        tokens=application.tokens,
        sessions=application.sessions,
        runs=application.services.run_credentials,
        requests=application.services.prefect_ui,
        internal=internal,
        refusals=application.services.refusals,
        origins=Origins(configured, origin, machine_name()),
        clock=utc_now,
    )
    # Until the server listens, Ctrl-C can end the process at once, as SIGTERM does.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    with collecting_aside():
        Up(BehindProxies(front, proxies), shim, worker, opened, host=host, port=port).run()


def starting(store: Store, patience: float = STARTS_WITHIN) -> ExitStack:
    """Wait until no other server of the database is starting, and return what lets the next one start.

    Args:
        store: the store.
        patience: how many seconds to wait.

    Raises:
        Unavailable: another one has not come to an end with it.
    """
    start = ExitStack()
    start.enter_context(store.locks.held_by_thread(Duty.START, patience))
    return start


def new_keys(admin: AccountAdmin, demo: JobCatalogue | None) -> list[tuple[str, str]]:
    """Make the first accounts, and those of the demo for its Jobs; return the name and the key of each.

    Only when they are printed, so that a failed start loses no key.
    """
    now = utc_now()
    return admin.first_keys(now) + (admin.demo_keys(demo, now) if demo else [])


def administered(settings: Settings, store: Store) -> tuple[AccountAdmin, str]:
    """Return the administration of accounts, and ``user:key`` of the worker's, after making sure that there is one."""
    key = settings.worker_key()
    admin = AccountAdmin(store, LocalAdministrator(system_user()))
    admin.ensure_worker(key, utc_now(), pool=settings.pool)
    admin.ensure_local(settings.local_key(), utc_now())
    return admin, f"{WORKER}:{key}"


def discovered(settings: Settings) -> Discovery:
    """Find the Jobs, and print what could not be registered."""
    found = discover(settings.job_modules)
    warn(found)
    return found


async def worker_there(engine: PrefectOrchestrator, worker: WorkerProcess | None) -> None:
    """Wait until the worker serves the default queue, but not for ever, and not where there is none."""
    with anyio.move_on_after(WORKS_WITHIN if worker else 0):
        while not await engine.has_worker("default"):  # noqa: ASYNC110 - Prefect tells nobody that one has come
            await anyio.sleep(0.1)


def reached_by_all(prefect: ASGIApp, notifier: Notifier, call_workers: Callable[[], None]) -> ASGIApp:
    """Return Prefect's application with what is between it and all who call it.

    Args:
        prefect: the application.
        notifier: wakes the workers of this home.
        call_workers: lets other servers wake theirs.
    """

    def wake_workers() -> None:
        notifier.notify()
        call_workers()

    ordered = OneWriter(prefect) if is_on_sqlite() else prefect
    return NotifiesWorkers(ordered, wake_workers, utc_now)


def origin_of(host: str, port: int) -> str:
    """Return the URL under which this machine reaches the server."""
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 - compared, not bound
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


@asynccontextmanager
async def checked(prefect: ASGIApp, client: httpx.AsyncClient, engine: PrefectOrchestrator) -> AsyncIterator[None]:
    """Run Prefect, and check that it works.

    Raises:
        Unavailable: the installed versions do not work together.
    """
    async with running(prefect), client:
        if not await engine.yields_runs():
            raise Unavailable(misfit("a schedule yields no run"))
        await engine.prepare([])
        yield


class Up(uvicorn.Server):
    """The HTTP server, with a worker process that stops before the server closes.

    Args:
        front: the application that receives every request.
        shim: the REST API, whose lifespan runs Prefect.
        worker: executes the runs; None for no worker.
        opened: called when the server and the worker are ready.
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
            # BehindProxies does this, for trusted proxies only.
            proxy_headers=False,
            timeout_graceful_shutdown=GRACE,
            timeout_keep_alive=KEEP_ALIVE,
            ws="websockets-sansio",
            # serve() runs it, and turns its errors into sentences.
            lifespan="off",
        )
        super().__init__(config)
        self._shim = shim
        self._worker = worker
        self._opened = opened

    async def serve(self, sockets: list[socket.socket] | None = None) -> None:
        """Serve until stopped."""
        if self._worker is not None:
            # It has much to import, and begins to work when the server listens.
            self._worker.start()
        async with running(self._shim):
            await super().serve(sockets)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start to listen, then wait for the worker."""
        await super().startup(sockets)
        await self._opened()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:  # noqa: ARG002 - stops for any signal alike
        """Stop; at once on the second signal. The signal is not raised again, so that the exit status is 0."""
        self.force_exit = self.should_exit
        self.should_exit = True

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stop the worker, then close the server."""
        say("Stopping …")
        if self._worker is not None:
            # In a thread: the worker signs off at Prefect, which answers from this event loop.
            await anyio.to_thread.run_sync(self._worker.stop)
        await super().shutdown(sockets)


def announce(origin: str, keys: list[tuple[str, str]]) -> None:
    """Print the addresses, and the keys that were created."""
    say("signoff is running. Press Ctrl-C to stop it.")
    say(f"  Pages       {origin}/signoff/\n  REST API    {origin}/api/\n  Prefect UI  {origin}/")
    if keys:
        say("New keys, not shown again. Sign in to the pages with a key, and to the Prefect UI with user:key:")
    for username, key in keys:
        say(f"  {username}:{key}")


def warn(found: Discovery) -> None:
    """Log the problems and warnings of the discovered Jobs."""
    warnings = (warning for definition in found.jobs.values() for warning in definition.warnings)
    for sentence in (*found.problems, *warnings):
        logger.warning("%s", sentence)
