"""``signoff up``: everything in one process on one port.

* It says what is wrong before it starts: a port that is taken, a home that another one uses, versions that do not fit.
* A key is printed when it is made, and never again.
* It ends within seconds on Ctrl-C or SIGTERM, and takes the runs under way with it.
"""

from __future__ import annotations

import contextlib
import fcntl
import logging
import secrets
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Annotated, Any

import anyio.to_thread
import typer
import uvicorn

from api_shim.app import create_shim, wire
from api_shim.cli.common import Home, read_settings, say
from api_shim.clock import server_zone, utc_now
from api_shim.identity import Identity
from api_shim.jobs import Catalogue
from api_shim.prefect_engine import PrefectEngine
from api_shim.prefect_front import Front
from api_shim.prefect_server import (
    EmbeddedWorker,
    connect,
    create_app,
    misfit,
    running,
    set_environment,
)
from api_shim.settings import Settings
from api_shim.store import Store
from approval_gate.errors import Unavailable
from flows.registry import Discovery, discover

logger = logging.getLogger("signoff")

WORKER = "signoff-worker"
GRACE = 3
"""Seconds that requests under way have to end when the server stops."""


def up(
    host: Annotated[str, typer.Option(help="The address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65535, help="The port to listen on.")] = 4200,
    demo: Annotated[
        bool,
        typer.Option("--demo", help="Make alice (may request) and bob (may approve), enable the examples."),
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
    worker_key = settings.worker_key()
    internal = f"prefect:{secrets.token_urlsafe(32)}"
    Identity(store).ensure_service(WORKER, worker_key, utc_now())
    set_environment(home=settings.home, port=port, internal=internal, worker=f"{WORKER}:{worker_key}")
    found = discover(settings.job_modules)
    warn(found)
    keys = [*first_keys(store), *(demo_keys(store, found) if demo else [])]
    say("Starting Prefect (the first start in a new home takes some ten seconds) …")
    server = Up(front(settings, store, found, internal), settings.pool, host=host, port=port, keys=keys)
    with contextlib.suppress(KeyboardInterrupt):
        server.run()


def front(settings: Settings, store: Store, found: Discovery, internal: str) -> Front:
    """Return the application that everything arrives at."""
    prefect = create_app()
    client = connect(prefect, internal)
    engine = PrefectEngine(client, pool=settings.pool)

    @asynccontextmanager
    async def checked() -> AsyncIterator[None]:
        async with client, running(prefect):
            if not await engine.yields_runs():
                raise Unavailable(misfit("a schedule yields no run"))
            await engine.prepare([])
            yield

    wired = wire(store, engine, clock=utc_now, zone=server_zone())
    shim = create_shim(wired, found.jobs.values(), checked)
    return Front(shim=shim, prefect=prefect, identity=wired.identity, internal=internal, clock=utc_now)


class Up(uvicorn.Server):
    """The server, with a worker that begins when the door is open and ends before it closes.

    Args:
        app: what everything arrives at.
        pool: the work pool that the worker serves.
        host: the address to listen on.
        port: the port to listen on.
        keys: who can sign in with which new key.
    """

    def __init__(self, app: Any, pool: str, *, host: str, port: int, keys: list[tuple[str, str]]) -> None:
        config = uvicorn.Config(
            app,
            host=host,
            port=port,
            log_level="error",
            access_log=False,
            timeout_graceful_shutdown=GRACE,
            ws="websockets-sansio",
        )
        super().__init__(config)
        self._worker = EmbeddedWorker(pool)
        self._keys = keys

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Open the door, then begin to work."""
        await super().startup(sockets)
        if self.started:
            self._worker.start()
            announce(self.config.host, self.config.port, self._keys)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """End the work, then close the door."""
        say("Stopping …")
        # In a thread: the worker says goodbye to Prefect, which answers from this one.
        await anyio.to_thread.run_sync(self._worker.stop)
        await super().shutdown(sockets)


def announce(host: str, port: int, keys: list[tuple[str, str]]) -> None:
    """Say where everything is, and print the keys that were made."""
    origin = f"http://{'127.0.0.1' if host in ('0.0.0.0', '::') else host}:{port}"  # noqa: S104 - compared, not bound
    say(f"signoff is running; Ctrl-C stops it.\n  REST API    {origin}/api/\n  Prefect UI  {origin}/")
    if keys:
        say("Keys made now, shown this once; sign in to the Prefect UI with user:key.")
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


def demo_keys(store: Store, found: Discovery) -> list[tuple[str, str]]:
    """Make two people who need each other, and let the examples run."""
    identity, catalogue = Identity(store), Catalogue(store, utc_now)
    catalogue.record(found.jobs.values())
    for class_path in found.jobs:
        catalogue.set_enabled(class_path, enabled=True)
    known = {user.username for user in identity.users()}
    keys = []
    for username in {"alice", "bob"} - known:
        identity.add_user(username, utc_now())
        keys.append((username, identity.add_token(username, utc_now())))
    if not any(permission.name in DEMO for permission in identity.permissions()):
        for name, (username, types, actions) in DEMO.items():
            identity.add_permission(name, types=types, actions=actions, users=[username])
    return sorted(keys)


SEEN = ["extras.job", "extras.scheduledjob", "extras.jobresult"]
DEMO = {
    "demo: alice sees": ("alice", SEEN, ["view"]),
    "demo: alice runs jobs": ("alice", ["extras.job"], ["run"]),
    "demo: alice deletes schedules": ("alice", ["extras.scheduledjob"], ["delete"]),
    "demo: bob sees": ("bob", SEEN, ["view"]),
    "demo: bob runs and approves jobs": ("bob", ["extras.job"], ["run", "approve"]),
    "demo: bob decides about schedules": ("bob", ["extras.scheduledjob"], ["change", "delete"]),
}
"""What the two of the demo may do: permission to user, types, actions."""
