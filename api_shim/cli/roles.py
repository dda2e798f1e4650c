"""``signoff server`` and ``signoff services``: what ``signoff up`` has in one process, apart, any number of each.

* A server answers people, programs, workers and runs, and nothing repeats in it. Any server answers any request.
* Services are Prefect's, and ours that make Prefect follow and do what is due. Several share the work: each thing is
  done by one, under a lock of the database, and what one that is killed has left another one finds within a second.
* In front of a Prefect server that others run, Prefect's services are theirs.
* Services answer nobody but who operates them, and that where they are told to.
* They share PostgreSQL databases; on SQLite there is one process, which is ``signoff up``.
* They may share a home folder on one machine, but not with ``signoff up``.
"""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Awaitable, Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Annotated

import typer

from api_shim.app import Part, create_operation, working
from api_shim.cli.console import Home, WhosePrefect, say
from api_shim.cli.up import (
    SHARED,
    Connected,
    Listening,
    check_port,
    close,
    connected,
    door,
    fronted,
    leave,
    locked,
    log_to_terminal,
    origin_of,
    serve,
    starting,
    told_prefect,
)
from api_shim.prefect_api.prefect_server import responsive
from api_shim.services.audit_signing import check_end, open_store
from api_shim.settings import PrefectServer, Settings, machine_name, private_files, read_settings, utc_now
from api_shim.store import Store
from api_shim.web.operation_only import OperationOnly
from api_shim.web.origins import Origins, read_origin
from approval_gate.errors import Unavailable


def server(
    host: Annotated[str, typer.Option(help="The address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65535, help="The port to listen on.")] = 4200,
    prefect: WhosePrefect = None,
    home: Home = None,
) -> None:
    """Answer requests: the REST API, the pages and Prefect with its UI. Needs `signoff services` beside it."""
    check_port(host, port)
    with one_of_several(home, prefect) as (settings, store):
        serve(settings, store, None, host=host, port=port, parts=Part.WEB)
    leave()


def services(
    host: Annotated[str, typer.Option(help="The address to listen on, with --port.")] = "127.0.0.1",
    port: Annotated[
        int | None,
        typer.Option(
            min=1,
            max=65535,
            help="The port that serves their health and metrics, below /signoff/. Default: none.",
        ),
    ] = None,
    prefect: WhosePrefect = None,
    home: Home = None,
) -> None:
    """Make Prefect follow, and do what is due: Prefect's services and ours."""
    if port is not None:
        check_port(host, port)
    with one_of_several(home, prefect) as (settings, store):
        work(settings, store, host, port)
    leave()


@contextmanager
def one_of_several(home: Path | None, prefect: PrefectServer | None) -> Iterator[tuple[Settings, Store]]:
    """Open the store for a process that is one of several.

    Args:
        home: the home folder, if the command has it.
        prefect: whose Prefect server it is, if the command has it.

    Raises:
        Unavailable: several processes cannot share the store, or it cannot be used.
    """
    settings = read_settings(home, prefect=prefect)
    log_to_terminal(settings.log_format)
    if settings.store_url.startswith("sqlite"):
        raise Unavailable(SHARED.format(name="SIGNOFF_DATABASE_URL"))
    with private_files():
        close(settings)
        with locked(settings.home, shared=True), closing(open_store(settings, utc_now())) as store:
            check_end(store)
            yield settings, store


def work(settings: Settings, store: Store, host: str, port: int | None) -> None:
    """Run the services until stopped.

    Args:
        settings: the settings.
        store: the store.
        host: the address to listen on.
        port: the port that tells how they are, and their metrics; None for none.
    """
    start = starting(store)
    # Where links of notifications lead, which Prefect's services send.
    configured = read_origin(settings.origin)
    public = configured or origin_of("127.0.0.1", 4200)
    prefect = told_prefect(settings, Part.SERVICES, origin=public, public=public)
    made = connected(settings, store, Part.SERVICES, prefect)
    stopped = told_to_stop
    if port is not None:
        origins = Origins(configured, origin_of(host, port), machine_name())
        front = OperationOnly(fronted(made, create_operation(made.application), settings, origins))
        stopped = Listening(door(front, settings), settings.log_format, host=host, port=port).serve
    # Until they run, Ctrl-C can end the process at once, as SIGTERM does.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    with responsive():
        asyncio.run(until_stopped(made, start, stopped))


async def until_stopped(made: Connected, start: ExitStack, stopped: Callable[[], Awaitable[None]]) -> None:
    """Run the services of an application until a signal.

    Args:
        made: the application and Prefect's.
        start: is closed when they run.
        stopped: waits for the signal.
    """
    async with working(made.application, made.running):
        start.close()
        say("signoff services are running. Press Ctrl-C to stop them.")
        await stopped()
        say("Stopping …")


async def told_to_stop() -> None:
    """Wait for Ctrl-C or SIGTERM; a second one ends the process at once."""
    stop, loop = asyncio.Event(), asyncio.get_running_loop()

    def told() -> None:
        if stop.is_set():
            os._exit(1)
        stop.set()

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, told)
    await stop.wait()
