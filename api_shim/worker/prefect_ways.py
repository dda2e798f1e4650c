"""The ways to start runs: in forked children, or each in a process from nothing, as Prefect's process worker does.

The first is tried; where it cannot be had, the second works as well, only slower, and the reason is told. Where Jobs
run as another user there is no second: each run that asks for it gets a new interpreter in a forked child's place.

In a work pool of another type, runs are started as Prefect's worker for that type does (``prefect_other_types``). The
worker of a server starts processes, and does not wait until Prefect can be asked for the type.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import sys
from contextlib import AbstractContextManager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
from prefect.client.orchestration import PrefectClient, get_client
from prefect.client.schemas.objects import Worker
from prefect.exceptions import ObjectNotFound
from prefect.settings import (
    PREFECT_SERVER_API_AUTH_STRING,
    PREFECT_SERVER_DATABASE_CONNECTION_URL,
    PREFECT_SERVER_DATABASE_PASSWORD,
    get_current_settings,
    temporary_settings,
)
from prefect.workers.base import BaseWorker
from prefect.workers.process import ProcessWorker

from api_shim.worker.capacity import limit_here
from api_shim.worker.fork_server import ForkFailed, ForkServers
from api_shim.worker.jobs_user import JobsUser
from api_shim.worker.prefect_keyed import KeyedWorker
from api_shim.worker.prefect_other_types import keyed
from api_shim.worker.process import Way, WorkerOptions, is_alive
from api_shim.worker.wake import Listener
from approval_gate.errors import Unavailable

logger = logging.getLogger("signoff")

QUIET = "prefect.flow_runs.worker"
"""Says in the log of each run that a worker has it: no news, and a call more for each."""


SILENT_AFTER = timedelta(minutes=1)
"""What has not told for this long that it is there will not any more."""


SERVERS_SECRETS = (
    PREFECT_SERVER_API_AUTH_STRING,
    PREFECT_SERVER_DATABASE_CONNECTION_URL,
    PREFECT_SERVER_DATABASE_PASSWORD,
)
"""What Prefect may have read from a file in the folder that it was started in, and would give to each run."""


class CannotWarm(Exception):
    """Why runs cannot be started in forked children here."""


def forgetting() -> AbstractContextManager[object]:
    """Forget the secrets of Prefect's server while this is entered, so that no run is given them."""
    return temporary_settings(restore_defaults=SERVERS_SECRETS)


async def make_worker(
    options: WorkerOptions, folder: str, listener: Listener | None, user: JobsUser | None
) -> BaseWorker[Any, Any, Any]:
    """Return the worker that the options ask for, as soon as Prefect answers.

    Args:
        options: what it is told.
        folder: where runs may work; this worker's own.
        listener: hears when there is work.
        user: who runs run as; None for this process's own.

    Raises:
        Unavailable: runs cannot be started as that user; or the type of the work pool cannot be told, or not be served.
    """
    logging.getLogger(QUIET).setLevel(logging.WARNING)
    if not options.attached and (kind := await _other_kind(options)) is not None:
        if user is not None:
            raise Unavailable(f"No run can be started as {user.name}: {options.pool} is of the type {kind.type}.")
        return keyed(kind)(**_as_prefects(options))
    if options.way is Way.WARM or user is not None:
        try:
            return await _warm(options, folder, listener, user)
        except CannotWarm as why:
            if user is not None:
                raise Unavailable(f"No run can be started as {user.name}: {why}.") from why
            logger.warning("Each run gets a process from nothing, by Prefect's process worker: %s.", why)
    await _answering(options)
    return KeyedWorker(**_as_prefects(options))


def _as_prefects(options: WorkerOptions) -> dict[str, Any]:
    """Return what Prefect's own workers are told."""
    return {
        "work_pool_name": options.pool,
        "work_queues": [*options.queues],
        "name": name_of(options),
        # Prefect's own default: the machine is its only limit.
        "limit": options.limit or None,
    }


async def _other_kind(options: WorkerOptions) -> type[BaseWorker[Any, Any, Any]] | None:
    """Return Prefect's worker for the type of the work pool; None for processes.

    Raises:
        Unavailable: the work pool cannot be read, or there is no worker for its type here.
    """
    await _answering(options)
    try:
        async with get_client() as client:
            type_ = (await client.read_work_pool(options.pool)).type
    except ObjectNotFound:
        # Prefect's worker makes one of processes, if its account may.
        return None
    except httpx.HTTPError as error:
        raise Unavailable(f"The work pool {options.pool} cannot be read: {_why(error)}") from error
    if type_ == ProcessWorker.type:
        return None
    kind = BaseWorker.get_worker_class_from_type(type_)
    if kind is None:
        raise Unavailable(
            f"The work pool {options.pool} is of the type {type_}, for which Prefect has no worker here: install its "
            "package for that, as prefect-docker or prefect-kubernetes."
        )
    return kind


def _why(error: httpx.HTTPError) -> str:
    """Return what the server has said, or what else has gone wrong."""
    if isinstance(error, httpx.HTTPStatusError):
        with suppress(ValueError, KeyError, TypeError):
            return str(error.response.json()["detail"])
    return str(error)


async def _warm(options: WorkerOptions, folder: str, listener: Listener | None, user: JobsUser | None) -> ProcessWorker:
    if sys.platform != "linux":
        raise CannotWarm(f"processes are not forked safely on {sys.platform}")
    try:
        from api_shim.worker.prefect_starter import misfit
        from api_shim.worker.prefect_worker import WarmWorker, worker_environment
    except ImportError as error:
        raise CannotWarm(f"this version of Prefect has it otherwise ({error})") from error
    if why := misfit():
        raise CannotWarm(why)
    setup = {"folder": folder, "certificates": certificates(folder)}
    environment = worker_environment()
    if user is not None:
        environment = user.adapt(environment, folder)
    anew = options.way is Way.PROCESS
    servers = ForkServers(() if anew else options.modules, setup, environment, user)
    try:
        await asyncio.gather(servers.ready(), _answering(options))
    except ForkFailed as error:
        raise CannotWarm(f"{error}".rstrip(".")) from error
    return WarmWorker(
        servers,
        listener,
        grace=options.grace,
        folder=folder,
        user=user,
        anew=anew,
        work_pool_name=options.pool,
        work_queues=[*options.queues],
        name=name_of(options),
        limit=options.limit or limit_here(),
    )


def name_of(options: WorkerOptions) -> str:
    """Return the name of this process as a worker, which no other has: in containers, numbers of processes repeat."""
    return f"{options.name} {uuid4().hex[:6]} {socket.gethostname()}:{os.getpid()}"


def _is_silent(worker: Worker) -> bool:
    """Say whether a worker has not told for long that it is there."""
    heartbeat = worker.last_heartbeat_time
    return heartbeat is None or datetime.now(UTC) - heartbeat > SILENT_AFTER


async def _answering(options: WorkerOptions) -> None:
    """Wait until Prefect answers; its worker would look again after half a minute only."""
    async with get_client() as client:
        while await client.api_healthcheck() is not None:  # noqa: ASYNC110 - nobody tells when it has come
            await asyncio.sleep(0.1)
        try:
            await _forget_predecessors(client, options)
        except Exception as error:
            # They are in the list of workers until the next start.
            logger.debug("Workers that have ended could not be removed: %s", error)


async def _forget_predecessors(client: PrefectClient, options: WorkerOptions) -> None:
    """Remove the workers of this kind and machine that have ended: each start leaves one, for each has its own name."""
    for worker in await client.read_workers_for_work_pool(options.pool):
        host, _, number = worker.name.rpartition(" ")[2].rpartition(":")
        ours = worker.name.startswith(f"{options.name} ") and host == socket.gethostname() and number.isdigit()
        if ours and not is_alive(int(number)) and _is_silent(worker):
            which = {"work_pool_name": options.pool, "name": worker.name}
            await client.request("DELETE", "/work_pools/{work_pool_name}/workers/{name}", path_params=which)


def certificates(folder: str) -> str | None:
    """Return a file of one certificate for children to read in place of all; None where the server has one itself.

    Args:
        folder: where to put it.
    """
    if not (get_current_settings().api.url or "").startswith("http://"):
        return None
    import certifi

    end = "-----END CERTIFICATE-----"
    one = certifi.contents().partition(end)[0] + end + "\n"
    path = Path(folder) / "one.pem"
    path.write_text(one)
    # Runs may be another user's.
    path.chmod(0o644)
    return str(path)
