"""``signoff up``: the whole server in one process, on one port; what ``cli.roles`` has apart.

* Prefect's server is within it, or with ``--prefect external`` it is in front of one that others run.
* Before it starts it checks the port, the lock on the home folder, that the audit ends where it should, and that the
  installed versions work together.
* A key is printed when it is created, and never again.
* What it makes is for its own user only; the worker's umask is the one that it was started with.
* Where Jobs are not told to run as another user, it says what they can do then.
* Servers of one database start one after the other: what the first one makes, the next ones find.
* It says where its data is and by what Prefect's processes speak to each other, and never a credential of it.
* Ctrl-C or SIGTERM stops it within seconds, and ends the runs in progress.
"""

from __future__ import annotations

import fcntl
import logging
import logging.config
import os
import secrets
import signal
import socket
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AbstractAsyncContextManager, ExitStack, asynccontextmanager, closing, contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Annotated, NoReturn
from uuid import uuid4

import anyio.to_thread
import httpx
import typer
import uvicorn
from fastapi import FastAPI
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp

from api_shim.app import ALL, Application, Part, build, create_app
from api_shim.cli.console import Home, WhosePrefect, say
from api_shim.cli.jobs_user import checked_user
from api_shim.delivery.mail import mail_server_of
from api_shim.delivery.sender import Delivery
from api_shim.domain.audit import LocalAdministrator
from api_shim.logs import LogFormat, log_config
from api_shim.mcp_server.door import McpDoor
from api_shim.oidc import OidcProvider
from api_shim.prefect_api.prefect_automations import run_as_accounts
from api_shim.prefect_api.prefect_backing import Backing, backing
from api_shim.prefect_api.prefect_client import PrefectOrchestrator
from api_shim.prefect_api.prefect_external import External, ExternalPrefect, told_of_external
from api_shim.prefect_api.prefect_server import (
    check_names,
    connect,
    create_prefect_app,
    create_prefect_pages,
    is_on_sqlite,
    misfit,
    responsive,
    running,
    set_environment,
    set_environment_without_server,
)
from api_shim.services.account_admin import AccountAdmin
from api_shim.services.audit_signing import check_end, open_store
from api_shim.services.jobs import JobCatalogue
from api_shim.services.notifications import Notifying
from api_shim.services.running_servers import ThisServer
from api_shim.settings import (
    PrefectServer,
    Settings,
    ShownSetting,
    machine_name,
    private_files,
    read_settings,
    server_zone,
    shown_settings,
    system_user,
    utc_now,
)
from api_shim.store import Duty, HeldElsewhere, Store, place_of
from api_shim.web.gateway import Gateway
from api_shim.web.origins import Origins, read_origin
from api_shim.web.prefect_writes import WritesAgain
from api_shim.web.proxies import BehindProxies, read_networks
from api_shim.web.request_ids import Identified
from api_shim.web.request_log import Logged
from api_shim.worker.hidden import hide
from api_shim.worker.process import Way, WorkerOptions
from api_shim.worker.supervisor import WorkerProcess
from api_shim.worker.wake import Notifier, NotifiesWorkers, overhearing_polls
from approval_gate.addresses import reachable_with
from approval_gate.errors import Unavailable
from approval_gate.identity import WORKER
from flows.registry import Discovery, discover

logger = logging.getLogger("signoff")

GRACE = 3
"""Seconds that open requests have to finish when the server stops."""
KEEP_ALIVE = 60
"""Seconds that an idle connection stays open: longer than clients keep theirs, or a request would meet a closed one."""

WORKER_GRACE = 5.0
"""Seconds that runs in progress have to end when the server stops."""

STARTS_WITHIN = 600.0
"""Seconds to wait for other servers of the same database to start; they start one after the other."""

START_HANGS = (
    "Another server of this database has been starting for {minutes} minutes. End it if it hangs, then start this one "
    "again."
)

WORKS_WITHIN = 30
"""Seconds to wait for the worker before the server reports that it is running."""


SHARED = (
    "This needs databases that several processes share: set {name} to the address of a PostgreSQL database, or use "
    "signoff up."
)
ALONE = (
    "Without Redis each server of a database knows of no events, live logs and leases of limits but those that reach "
    "it, and a signoff server loses the events and task runs that do. Not set to Redis: {names}"
)

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
        int,
        typer.Option(
            min=0, metavar="N", help="How many runs there are at once; 0 for as many as this machine can take."
        ),
    ] = 0,
    prefect: WhosePrefect = None,
    home: Home = None,
) -> None:
    """Start the server: the REST API, the pages, Prefect with its UI, and a worker."""
    settings = read_settings(home, prefect=prefect)
    log_to_terminal(settings.log_format)
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


def log_to_terminal(form: LogFormat) -> None:
    """Have the log written, before Prefect is imported, which arranges its own by what there is."""
    logging.config.dictConfig(log_config(form))


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
            "The home folder %s was open to other users, and no longer is. They may have read its keys.",
            settings.home,
        )


@contextmanager
def locked(home: Path, *, shared: bool = False) -> Iterator[None]:
    """Lock a home folder against a second server.

    Args:
        home: the home folder.
        shared: whether others may have it locked in the same way.

    Raises:
        Unavailable: a server is already running with it.
    """
    with (home / "up.lock").open("w") as lock:
        try:
            fcntl.flock(lock, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
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
        log_format=settings.log_format,
    )
    return WorkerProcess(options, umask=umask)


@dataclass(frozen=True, kw_only=True, slots=True)
class Connected:
    """Our application and Prefect's, as this process reaches it.

    Args:
        application: ours.
        engine: Prefect, as ours reaches it.
        reached: Prefect's application, with what is between it and all who call it.
        account: ``user:password`` of Prefect's one account.
        running: runs Prefect while it is entered, after having checked that it works.
    """

    application: Application
    engine: PrefectOrchestrator
    reached: ASGIApp
    account: str = field(repr=False)
    running: Callable[[], AbstractAsyncContextManager[None]]


def serve(
    settings: Settings,
    store: Store,
    worker: WorkerProcess | None,
    *,
    host: str,
    port: int,
    demo: bool = False,
    parts: Part = ALL,
) -> None:
    """Build the applications, and serve until stopped."""
    start = starting(store)
    configured = read_origin(settings.origin)
    origin, admin = origin_of(host, port), AccountAdmin(store, LocalAdministrator(system_user()))
    public = configured or origin
    account = own_accounts(admin, settings, parts)
    prefect = told_prefect(settings, parts, origin=origin, public=public, worker=account)
    found = discovered(settings)
    made = connected(settings, store, parts, prefect)

    async def opened() -> None:
        await worker_there(made.engine, worker)
        announce(public, new_keys(admin, made.application.services.catalogue if demo else None))
        start.close()

    problems = [*map(str, found.problems)]
    shim = create_app(made.application, found.jobs.values(), made.running, problems)
    front = fronted(made, shim, settings, Origins(configured, origin, machine_name()))
    # Until the server listens, Ctrl-C can end the process at once, as SIGTERM does.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    with responsive():
        ends = made.application.services.queue_watch.close
        Up(door(front, settings), shim, worker, opened, ends, settings.log_format, host=host, port=port).run()


@dataclass(frozen=True, kw_only=True, slots=True)
class ToldPrefect:
    """What Prefect was told, or is known of the one that others run.

    Args:
        account: ``user:password`` of the one account that reaches it within this process.
        external: where the server is that others run; None for one within this process.
        public: the origin that people use.
    """

    account: str = field(repr=False)
    external: External | None
    public: str


def told_prefect(settings: Settings, parts: Part, *, origin: str, public: str, worker: str = "") -> ToldPrefect:
    """Set the environment of Prefect; see ``set_environment`` and ``set_environment_without_server``.

    Raises:
        Invalid: it is not told where the Prefect server is that others run, or how to sign in to it.
    """
    account = f"prefect:{secrets.token_urlsafe(32)}"
    if settings.prefect is PrefectServer.EXTERNAL:
        # What the environment was at the start others of this user could read, as their runs are.
        hide()
        external = told_of_external(insecure=settings.prefect_insecure)
        set_environment_without_server(
            home=settings.home, origin=origin, public=public, internal=account, worker=worker
        )
        return ToldPrefect(account=account, external=external, public=public)
    services = Part.SERVICES in parts
    set_environment(
        home=settings.home, origin=origin, public=public, internal=account, worker=worker, services=services
    )
    return ToldPrefect(account=account, external=None, public=public)


def reached_prefect(
    settings: Settings, parts: Part, told: ToldPrefect
) -> tuple[ASGIApp, Callable[[httpx.AsyncClient, PrefectOrchestrator], AbstractAsyncContextManager[None]]]:
    """Return Prefect's application and what runs it, and say what it rests on.

    Raises:
        Unavailable: what it rests on does not do for these parts, or the installed versions do not work together.
    """
    if told.external is not None:
        say(f"Data: {place_of(settings.store_url)}. Prefect is the server at {told.external.url}.")
        # Services show nobody anything.
        pages = create_prefect_pages() if Part.WEB in parts else PlainTextResponse("Not Found", 404)
        there = ExternalPrefect(told.external, told.account, pages)
        # What it is on it tells nobody.
        return WritesAgain(there, on_sqlite=False), partial(answering, there)
    say("Starting Prefect (the first start takes about ten seconds) …")
    prefect = create_prefect_app()
    tell_backing(settings, backing(place_of), parts)
    return WritesAgain(prefect) if is_on_sqlite() else prefect, partial(checked, prefect)


def connected(settings: Settings, store: Store, parts: Part, told: ToldPrefect) -> Connected:
    """Make our application, connected with Prefect's, and say what they rest on.

    Args:
        settings: the settings.
        store: the store.
        parts: what of the application this process has.
        told: what Prefect was told.

    Raises:
        Unavailable: what they rest on does not do for these parts, or the installed versions do not work together.
    """
    prefect, runs = reached_prefect(settings, parts, told)
    application: Application
    notifier = Notifier(settings.home)
    reached = reached_by_all(prefect, notifier, lambda: application.others.call_workers())  # noqa: PLW0108 - made below
    client = connect(reached, told.account)
    past_us = told.external is not None
    engine = PrefectOrchestrator(client, pool=settings.pool, past_us=past_us, origin=told.public)
    application = build(
        store,
        engine,
        clock=utc_now,
        zone=server_zone(),
        wake_workers=notifier.notify,
        parts=parts,
        server=this_server(settings, store),
        free_disk=settings.free_disk,
        limits=settings.limits,
        retention=settings.retention,
        sending=notifying_of(settings, told.public),
        sign_in=settings.sign_in_rules,
        provider=provider_of(settings),
    )
    application.services.system.settings = told_settings(settings)
    if told.external is None and Part.SERVICES in parts:
        accounts = application.services.automation_accounts
        run_as_accounts(accounts.is_of_job, accounts.run)
    return Connected(
        application=application,
        engine=engine,
        reached=reached,
        account=told.account,
        running=partial(runs, client, engine),
    )


def notifying_of(settings: Settings, origin: str) -> Notifying:
    """Return by what people are told of requests and runs.

    Args:
        settings: the settings.
        origin: the origin that people use.

    Raises:
        Invalid: what is told of the mail server, or of networks, does not do.
    """
    sender = Delivery(mail_server_of(settings), reachable_with(settings.notify_networks))
    return Notifying(sender=sender, origin=origin, remind_after=timedelta(hours=settings.remind_after))


def provider_of(settings: Settings) -> OidcProvider | None:
    """Return the identity provider that people sign in at; None without one."""
    told = settings.provider
    return OidcProvider(told, utc_now) if told is not None else None


def told_settings(settings: Settings) -> list[ShownSetting]:
    """Return the settings as people are shown them; what the environment says otherwise was typed."""
    environment = read_settings()
    typed = {name for name in ("home", "prefect") if getattr(settings, name) != getattr(environment, name)}
    return shown_settings(settings, typed)


def tell_backing(settings: Settings, prefects: Backing, parts: Part) -> None:
    """Say what a process rests on, and what of it others cannot use.

    Raises:
        Unavailable: it is one of several, and they cannot share Prefect's database.
    """
    if parts != ALL and not prefects.shared:
        raise Unavailable(SHARED.format(name="PREFECT_SERVER_DATABASE_CONNECTION_URL"))
    say(
        f"Data: {place_of(settings.store_url)}. Prefect's: {prefects.database}; "
        f"its messages by {prefects.broker}, its background work by {prefects.docket}."
    )
    if prefects.shared and prefects.alone:
        say(ALONE.format(names=", ".join(prefects.alone)))


def fronted(made: Connected, shim: ASGIApp, settings: Settings, origins: Origins) -> Gateway:
    """Return what receives every request, after proxies."""
    ours = made.application
    return Gateway(
        shim=shim,
        pages=ours.pages,
        prefect=overhearing_polls(made.reached, settings.pool, ours.served.heard),
        store=ours.store,
        tokens=ours.tokens,
        sessions=ours.sessions,
        runs=ours.services.run_credentials,
        requests=ours.services.prefect_ui,
        suspensions=ours.services.suspensions,
        internal=made.account,
        refusals=ours.services.refusals,
        rates=ours.rates,
        origins=origins,
        clock=utc_now,
    )


def door(front: ASGIApp, settings: Settings) -> ASGIApp:
    """Return what listens in front of all else: it knows the callers' addresses, and names, logs and counts calls."""
    return BehindProxies(Identified(Logged(McpDoor(front))), read_networks(settings.proxies))


def this_server(settings: Settings, store: Store) -> ThisServer:
    """Return what this server tells the other servers of its database of itself."""
    return ThisServer(
        id=uuid4(),
        # An SQLite database has one server, wherever its file is.
        place=place_of_home(settings.home) if store.notices else "",
        process=os.getpid(),
        silent_after=timedelta(seconds=settings.jobs_gone_after),
    )


def place_of_home(home: Path) -> str:
    """Return what tells a home folder from all others, also from that of another container of the same name."""
    folder = home.stat()
    return f"{machine_name()}:{home}:{folder.st_dev}:{folder.st_ino}"


def starting(store: Store, patience: float = STARTS_WITHIN) -> ExitStack:
    """Wait until no other server of the database is starting, and return what lets the next one start.

    Args:
        store: the store.
        patience: how many seconds to wait.

    Raises:
        Unavailable: the others have not started by then.
    """
    start = ExitStack()
    try:
        start.enter_context(store.locks.held_by_thread(Duty.START))
    except HeldElsewhere:
        say("Waiting for another server of this database to start …")
        try:
            start.enter_context(store.locks.held_by_thread(Duty.START, patience))
        except HeldElsewhere:
            raise Unavailable(START_HANGS.format(minutes=round(patience / 60))) from None
    return start


def new_keys(admin: AccountAdmin, demo: JobCatalogue | None) -> list[tuple[str, str]]:
    """Make the first accounts, and those of the demo for its Jobs; return the name and the key of each.

    Only when they are printed, so that a failed start loses no key.
    """
    now = utc_now()
    return admin.first_keys(now) + (admin.demo_keys(demo, now) if demo else [])


def own_accounts(admin: AccountAdmin, settings: Settings, parts: Part) -> str:
    """Make sure of the accounts of this machine; return ``user:key`` of the worker's, empty where none is started.

    Programs of this machine reach Prefect through whatever answers here; a server without services has no worker.
    """
    admin.ensure_local(settings.local_key(), utc_now())
    if Part.SERVICES not in parts:
        return ""
    key = settings.worker_key()
    admin.ensure_worker(key, utc_now(), pool=settings.pool)
    return f"{WORKER}:{key}"


def discovered(settings: Settings) -> Discovery:
    """Find the Jobs, and print what could not be registered.

    Raises:
        Unavailable: what stands beside them has a name of ours that it cannot share.
    """
    check_names()
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

    return NotifiesWorkers(prefect, wake_workers, utc_now)


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


@asynccontextmanager
async def answering(
    prefect: ExternalPrefect, client: httpx.AsyncClient, engine: PrefectOrchestrator
) -> AsyncIterator[None]:
    """Wait until the Prefect server that others run answers, and close the connections to it at the end.

    Raises:
        Unavailable: it does not answer, or not as one that we know.
    """
    try:
        async with client:
            await prefect.wait(say)
            await engine.prepare([])
            yield
    finally:
        await prefect.aclose()


class Listening(uvicorn.Server):
    """The HTTP server, which a signal stops.

    Args:
        front: the application that receives every request.
        log_format: for whom it logs.
        host: the address to listen on.
        port: the port to listen on.
    """

    def __init__(self, front: ASGIApp, log_format: LogFormat, *, host: str, port: int) -> None:
        config = uvicorn.Config(
            front,
            host=host,
            port=port,
            log_config=log_config(log_format),
            log_level="error",
            access_log=False,
            # BehindProxies does this, for trusted proxies only.
            proxy_headers=False,
            timeout_graceful_shutdown=GRACE,
            timeout_keep_alive=KEEP_ALIVE,
            ws="websockets-sansio",
            # Whoever starts the server runs it, and turns its errors into sentences.
            lifespan="off",
        )
        super().__init__(config)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:  # noqa: ARG002 - stops for any signal alike
        """Stop; at once on the second signal. The signal is not raised again, so that the exit status is 0."""
        self.force_exit = self.should_exit
        self.should_exit = True


class Up(Listening):
    """The HTTP server, with a worker process that stops before the server closes.

    Args:
        front: the application that receives every request.
        shim: the REST API, whose lifespan runs Prefect.
        worker: executes the runs; None for no worker.
        opened: called when the server and the worker are ready.
        ends: called when the server stops, before open requests are waited for.
        log_format: for whom it logs.
        host: the address to listen on.
        port: the port to listen on.
    """

    def __init__(
        self,
        front: ASGIApp,
        shim: FastAPI,
        worker: WorkerProcess | None,
        opened: Callable[[], Awaitable[None]],
        ends: Callable[[], None],
        log_format: LogFormat,
        *,
        host: str,
        port: int,
    ) -> None:
        super().__init__(front, log_format, host=host, port=port)
        self._shim = shim
        self._worker = worker
        self._opened = opened
        self._ends = ends

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

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stop the worker, then close the server."""
        say("Stopping …")
        if self._worker is not None:
            # In a thread: the worker signs off at Prefect, which answers from this event loop.
            await anyio.to_thread.run_sync(self._worker.stop)
        self._ends()
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
