"""Prefect's server and a worker, inside this process.

* Prefect is told everything by its environment, before it is imported; what else is set there stays the user's.
* A process without Prefect's services has a docket of its own: it would take work that it does not know from that of
  the services, and drop it.
* What a process was doing that was killed, another one takes over within seconds; Prefect alone waits for minutes.
* Prefect's one account is random for each start; only the front knows it.
* The worker runs in a thread with an event loop of its own, has no limit (one with a limit dies when a run comes back
  while its process still ends), and is started again when it fails.
* Garbage is collected in a thread of its own. A cursor of SQLite that is collected waits for its connection, and that
  for the write lock; collected by the event loop, which the holder of that lock waits for, all wait for a minute.
* Threads change over soon. Answers to people come from threads that go to the database some twenty times, and Python
  would let the event loop, where Prefect works, go on for five milliseconds each time.
* What is installed is tried at each start: a schedule must yield a run. With versions that do not fit, Prefect starts
  and no schedule ever does.
"""

from __future__ import annotations

import asyncio
import gc
import itertools
import logging
import os
import sys
import tempfile
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import httpx
from pydantic import ValidationError
from starlette.types import ASGIApp

from api_shim.names import FIRST, collision
from api_shim.prefect_api.prefect_backing import address_of
from api_shim.prefect_api.prefect_polls import note_polls_seldom
from api_shim.prefect_api.prefect_related import read_related_at_once
from api_shim.prefect_api.prefect_schemas import remember_valid_schemas
from api_shim.prefect_api.prefect_sqlite import execute_in_one_errand, stop_once, write_in_turn
from approval_gate.errors import Invalid, Unavailable

logger = logging.getLogger("signoff")

FORGOTTEN = ("PREFECT_PROFILE", "PREFECT_API_KEY")
CREDENTIALS = tuple(f"PREFECT_API_{name}{where}" for name in ("KEY", "AUTH_STRING") for where in ("", "_FILE"))
"""What tells Prefect's clients how to sign in, or where that is."""
HOME = "PREFECT_HOME"
CLIENTS = {
    "PREFECT_LOGGING_LEVEL": "INFO",
    "PREFECT_LOGGING_TO_API_WHEN_MISSING_FLOW": "ignore",
    # Each client asks first, and each run has several: the server was asked when it was started.
    "PREFECT_CLIENT_SERVER_VERSION_CHECK_ENABLED": "false",
}
"""What Prefect's clients are told, unless somebody has."""
STOP_WITHIN = 8.0
TAKEN_OVER_AFTER = timedelta(seconds=10)
"""How long nothing is heard of who does background work of Prefect before another process does it."""
DOCKET_NAME = "PREFECT_SERVER_DOCKET_NAME"
CHANGES_OVER_AFTER = 0.0005
"""Seconds that one thread goes on while another one could."""
FULL_EVERY = 30
"""Every how many seconds all garbage is collected, and not only what is young."""


def set_environment(
    *, home: Path, origin: str, public: str, internal: str, worker: str = "", services: bool = True
) -> None:
    """Tell Prefect how to run, for this process and the runs that it starts.

    Args:
        home: our home folder; Prefect's is a folder in it.
        origin: where this machine reaches everything.
        public: where people reach Prefect's UI.
        internal: ``user:password`` of Prefect's one account.
        worker: ``user:key`` of the worker's account with us; empty where no worker is started.
        services: whether Prefect's services run in this process.
    """
    for name in FORGOTTEN:
        os.environ.pop(name, None)
    ours = _ours(home=home, origin=origin, public=public, internal=internal, worker=worker)
    if not services:
        # The application is asked for again within Prefect, which must find the same one: so no argument says it.
        ours["PREFECT__SERVER_WEBSERVER_ONLY"] = "1"
        ours[DOCKET_NAME] = f"{os.environ.get(DOCKET_NAME, 'prefect-server')}-web"
    defaults = {
        "PREFECT_SERVER_LOGGING_LEVEL": "ERROR",
        "PREFECT_SERVER_SERVICES_SCHEDULER_MIN_SCHEDULED_TIME": "PT10M",
        # Marking what waits for its turn costs as much as running it: in a burst, runs wait longer than 15 seconds.
        "PREFECT_SERVER_SERVICES_LATE_RUNS_AFTER_SECONDS": "PT1M",
        # Each client asks for a token first, and each run has several.
        "PREFECT_CLIENT_CSRF_SUPPORT_ENABLED": os.environ.get("PREFECT_SERVER_CSRF_PROTECTION_ENABLED", "false"),
        **CLIENTS,
    }
    os.environ.update({**defaults, **os.environ, **ours})
    sys.path.insert(0, str(Path.cwd()))


def set_environment_without_server(*, home: Path, origin: str, public: str, internal: str, worker: str = "") -> None:
    """Tell the same a process that is in front of a Prefect server of others: its UI, and the runs that it starts.

    Nothing stays of how that server is signed in to.

    Args:
        home: our home folder; Prefect's is a folder in it.
        origin: where this machine reaches everything.
        public: where people reach Prefect's UI.
        internal: ``user:password`` of Prefect's one account.
        worker: ``user:key`` of the worker's account with us; empty where no worker is started.
    """
    for name in (*FORGOTTEN, *CREDENTIALS):
        os.environ.pop(name, None)
    ours = _ours(home=home, origin=origin, public=public, internal=internal, worker=worker)
    os.environ.update({**CLIENTS, **os.environ, **ours})
    sys.path.insert(0, str(Path.cwd()))


def _ours(*, home: Path, origin: str, public: str, internal: str, worker: str) -> dict[str, str]:
    """Return what Prefect is told whatever somebody else has."""
    ours = {
        HOME: str(home / "prefect"),
        "PREFECT_API_URL": f"{origin}/api",
        "PREFECT_UI_URL": f"{public}/v2",
        "PREFECT_SERVER_API_AUTH_STRING": internal,
        "PREFECT_SERVER_UI_API_URL": "/api",
        "PREFECT_SERVER_UI_STATIC_DIRECTORY": str(home / "prefect" / "ui"),
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "PREFECT_SERVER_UI_SHOW_PROMOTIONAL_CONTENT": "false",
        "PYTHONPATH": path_of_jobs(),
    }
    return ours | {"PREFECT_API_AUTH_STRING": worker} if worker else ours


def path_of_jobs() -> str:
    """Return a ``PYTHONPATH`` for runs: they start elsewhere, and Jobs may stand in the folder we were started in."""
    paths = [str(FIRST), str(Path.cwd()), *filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))]
    return os.pathsep.join(dict.fromkeys(paths))


def check_names() -> None:
    """Check that what stands on the path of the Jobs can be imported beside signoff.

    Raises:
        Unavailable: it has a name that it cannot share; with the file.
    """
    if sentence := collision(path_of_jobs().split(os.pathsep)):
        raise Unavailable(sentence)


def database_url(home: Path) -> str:
    """Return the address of the database that Prefect has in a server of this home folder; it may contain a password.

    Args:
        home: our home folder.

    Raises:
        Invalid: Prefect's settings cannot be read; the sentence does not repeat them.
    """
    before = {name: os.environ.pop(name, None) for name in (*FORGOTTEN, HOME)}
    try:
        with tempfile.TemporaryDirectory() as folder:
            # Prefect makes its home folder when it is imported, and a home that is asked about stays as it is.
            os.environ[HOME] = folder
            from prefect.settings import Settings
        os.environ[HOME] = str(home / "prefect")
        return address_of(Settings().server)
    except ValidationError as error:
        raise Invalid(f"Prefect's settings cannot be read: {error.errors()[0]['msg'].removesuffix('.')}.") from None
    finally:
        os.environ.pop(HOME, None)
        os.environ.update({name: value for name, value in before.items() if value is not None})


def create_prefect_app() -> ASGIApp:
    """Return Prefect's ASGI application, with Prefect's services if the environment does not say otherwise.

    Raises:
        Unavailable: the installed versions do not work together.
    """
    try:
        from prefect.server.api.server import create_app as create

        remember_valid_schemas()
        write_in_turn()
        execute_in_one_errand()
        stop_once()
        read_related_at_once()
        note_polls_seldom()
        take_over_soon()
        return create()
    except (ImportError, TypeError) as error:
        raise Unavailable(misfit(f"Prefect's server cannot be imported ({error})")) from error


def create_prefect_pages() -> ASGIApp:
    """Return Prefect's UI alone, as an ASGI application.

    Raises:
        Unavailable: the installed versions do not work together.
    """
    try:
        from prefect.server.api.server import create_ui_app

        return create_ui_app(ephemeral=False)
    except (ImportError, TypeError) as error:
        raise Unavailable(misfit(f"Prefect's UI cannot be imported ({error})")) from error


def take_over_soon() -> None:
    """Have Prefect's background work taken over soon, where it stands in Redis and there can be another process."""
    from prefect.server.api import background_workers
    from prefect.settings import get_current_settings

    if not get_current_settings().server.docket.url.startswith("memory:"):
        # No setting of Prefect's says it.
        module: Any = background_workers
        module.Worker = partial(module.Worker, redelivery_timeout=TAKEN_OVER_AFTER)


def is_on_sqlite() -> bool:
    """Say whether Prefect keeps what it has in SQLite, which has one writer."""
    from prefect.settings import get_current_settings

    return address_of(get_current_settings().server).startswith("sqlite")


@asynccontextmanager
async def running(app: Any) -> AsyncIterator[None]:
    """Run what an application does besides answering, as Prefect's services; a mounted one does not by itself."""
    async with app.router.lifespan_context(app):
        yield


def connect(app: ASGIApp, internal: str) -> httpx.AsyncClient:
    """Return a client that speaks to Prefect within this process."""
    user, _, password = internal.partition(":")
    return httpx.AsyncClient(
        transport=WithinProcess(app),
        base_url="http://prefect/api",
        auth=httpx.BasicAuth(user, password),
        # Nothing is won by compressing what stays in this process.
        headers={"Accept-Encoding": "identity"},
        timeout=30,
    )


class WithinProcess(httpx.AsyncBaseTransport):
    """Calls Prefect's application, and lets each call end even if nobody waits for it any more.

    One that is cut off half-way leaves a connection to SQLite that holds the write lock, and for minutes Prefect
    answers 503 to everybody.

    Args:
        app: Prefect's ASGI application.
    """

    def __init__(self, app: ASGIApp) -> None:
        # Prefect answers 503 and raises too; the answer is what we want.
        self._transport = httpx.ASGITransport(app=app, raise_app_exceptions=False)
        self._under_way: set[asyncio.Task[httpx.Response]] = set()

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Return Prefect's answer."""
        call = asyncio.ensure_future(self._transport.handle_async_request(request))
        self._under_way.add(call)
        call.add_done_callback(self._under_way.discard)
        return await asyncio.shield(call)

    async def aclose(self) -> None:
        """Wait for the calls under way."""
        if self._under_way:
            await asyncio.wait(self._under_way, timeout=STOP_WITHIN)


def misfit(what: str) -> str:
    """Return the sentence about versions that do not work together."""
    from importlib.metadata import version

    installed = ", ".join(f"{name} {version(name)}" for name in ("prefect", "fastapi", "sqlalchemy"))
    return (
        f"The installed versions do not work together: {what}. Installed: {installed}. "
        "Install prefect-signoff into a fresh virtual environment, which resolves versions that do."
    )


@contextmanager
def responsive() -> Iterator[None]:
    """Keep this process answering, whatever Prefect does in its event loop, while this is entered."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(CHANGES_OVER_AFTER)
    try:
        with _collecting_aside():
            yield
    finally:
        sys.setswitchinterval(before)


@contextmanager
def _collecting_aside() -> Iterator[None]:
    """Collect garbage in a thread of its own, and in no other, while this is entered."""
    over = threading.Event()

    def collect() -> None:
        for second in itertools.count():
            if over.wait(1):
                return
            gc.collect(2 if second % FULL_EVERY == 0 else 1)
            if second == FULL_EVERY:
                # It has started: modules, models and statements stay. To look through them at each turn would be a
                # quarter of what a server does that has nothing to do.
                gc.freeze()

    collector = threading.Thread(target=collect, name="signoff-garbage", daemon=True)
    gc.disable()
    collector.start()
    try:
        yield
    finally:
        over.set()
        gc.enable()
