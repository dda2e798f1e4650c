"""The process of a worker: it chooses how runs are started, works until it is told to stop, and leaves nothing behind.

* Where it cannot fork, it is Prefect's process worker, and says why in a line.
* It begins when the server answers.
* SIGTERM and SIGINT end it and its runs; a second one does not wait. One that belongs to a server ends with it.
* What it has in its environment and memory, its key above all, other processes of its user cannot read (``hidden``).
* What only the server may know is not in its environment, and so not in that of any run; nor does its command line name
  the home folder, for everybody can read that.
"""

from __future__ import annotations

import asyncio
import json
import logging
import logging.config
import os
import signal
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path

from api_shim.logs import LogFormat, log_config
from api_shim.worker.environment import for_runs
from api_shim.worker.hidden import hide
from api_shim.worker.jobs_user import STORAGE, find, storage_of, working_folder
from api_shim.worker.wake import Listener
from approval_gate.errors import GateError

logger = logging.getLogger("signoff")

HOME = "SIGNOFF_HOME"
"""The variable that tells a worker its home folder."""


class Way(StrEnum):
    """How runs are started."""

    WARM = "warm"
    PROCESS = "process"


@dataclass(frozen=True, kw_only=True, slots=True)
class WorkerOptions:
    """What a worker is told.

    Args:
        pool: the work pool that it serves.
        name: what Prefect calls it.
        modules: those of the Jobs.
        home: the home folder, in which it can be woken; told by ``SIGNOFF_HOME`` and not with the others.
        jobs_user: the name of the user whom runs run as; empty for the worker's own.
        queues: the queues of the pool that it serves; none means all.
        limit: how many runs it executes at once; 0 for what this machine can.
        way: how it starts them.
        grace: seconds that runs have to end when it stops.
        attached: it ends when its standard input does.
        log_format: for whom it logs.
    """

    pool: str
    name: str
    modules: tuple[str, ...]
    home: str
    queues: tuple[str, ...] = ()
    limit: int = 0
    way: Way = Way.WARM
    jobs_user: str = ""
    grace: float = 30.0
    attached: bool = False
    log_format: LogFormat = "console"

    def to_json(self) -> str:
        """Return them as one argument, but for the home folder."""
        return json.dumps({name: value for name, value in asdict(self).items() if name != "home"})

    @classmethod
    def from_json(cls, text: str) -> WorkerOptions:
        """Return what ``to_json`` was of, with the home folder that the environment tells."""
        told = json.loads(text) | {"home": os.environ.get(HOME, "")}
        return cls(**told | {"way": Way(told["way"]), "modules": (*told["modules"],), "queues": (*told["queues"],)})


def run(options: WorkerOptions) -> None:
    """Work until told to stop."""
    hide()
    logging.config.dictConfig(log_config(options.log_format, logging.INFO))
    kept = for_runs(os.environ, options.home)
    for name in os.environ.keys() - kept.keys():
        del os.environ[name]
    # What is woken looks by itself only for what it was not told of; a question costs Prefect as much as a run.
    is_woken = options.attached and options.way is Way.WARM
    os.environ.setdefault("PREFECT_WORKER_QUERY_SECONDS", "5" if is_woken else "1")
    # Three that are missed in a row, and it counts as gone.
    os.environ.setdefault("PREFECT_WORKER_HEARTBEAT_SECONDS", "10")
    try:
        with suppress(KeyboardInterrupt):
            asyncio.run(_serve(options))
    except GateError as error:
        logger.error("%s", error)  # noqa: TRY400 - a sentence for people
        sys.exit(1)


def is_alive(process: int) -> bool:
    """Say whether a process of this machine is there.

    Args:
        process: its number.
    """
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


async def _serve(options: WorkerOptions) -> None:
    working = asyncio.create_task(_work(options))
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, _stop, working)
    if options.attached:
        loop.add_reader(sys.stdin.fileno(), working.cancel)
    with suppress(asyncio.CancelledError):
        await working


def _stop(working: asyncio.Task[None]) -> None:
    if working.cancelling():
        os._exit(1)
    working.cancel()


async def _work(options: WorkerOptions) -> None:
    user = find(options.jobs_user)
    with working_folder(user) as folder, _listening(options) as listener:
        if options.attached:
            _have_prefect_in(folder)
        # Not before it is known what must not stand in the environment, which Prefect reads when it is imported.
        from api_shim.worker.prefect_ways import forgetting, make_worker

        with forgetting():
            worker = await make_worker(options, folder, listener, user)
            await worker.start(with_healthcheck=False, printer=logger.debug)


def _have_prefect_in(folder: str) -> None:
    """Have Prefect's folder in this worker's, for the server's is not for runs; results of tasks stay when it ends."""
    os.environ["PREFECT_HOME"] = str(Path(folder) / "prefect")
    if not os.environ.keys() & {*STORAGE}:
        os.environ[STORAGE[0]] = storage_of(Path.home())


@contextmanager
def _listening(options: WorkerOptions) -> Iterator[Listener | None]:
    try:
        listener = Listener(Path(options.home), f"{socket.gethostname()}-{os.getpid()}")
    except OSError as error:
        logger.info("This worker cannot be woken (%s): it looks for runs at intervals.", error.strerror)
        yield None
        return
    try:
        yield listener
    finally:
        listener.close()
