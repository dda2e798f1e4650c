"""The process of a worker: it chooses how runs are started, works until it is told to stop, and leaves nothing behind.

* Where it cannot fork, it is Prefect's process worker, and says why in a line.
* It begins when the server answers.
* SIGTERM and SIGINT end it and its runs; a second one does not wait. One that belongs to a server ends with it.
* What only the server may know is not in its environment, and so not in that of any run.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import signal
import socket
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path

from api_shim.worker.wake import Listener

logger = logging.getLogger("signoff")

SERVERS_OWN = ("PREFECT_SERVER_API_AUTH_STRING", "PREFECT_SERVER_DATABASE", "PREFECT_API_DATABASE", "SIGNOFF_DATABASE")
"""What the names of variables begin with that runs must not have."""


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
        home: the home folder, in which it can be woken.
        queues: the queues of the pool that it serves; none means all.
        limit: how many runs it executes at once; 0 for what this machine can.
        way: how it starts them.
        grace: seconds that runs have to end when it stops.
        attached: it ends when its standard input does.
    """

    pool: str
    name: str
    modules: tuple[str, ...]
    home: str
    queues: tuple[str, ...] = ()
    limit: int = 0
    way: Way = Way.WARM
    grace: float = 30.0
    attached: bool = False

    def to_json(self) -> str:
        """Return them as one argument."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> WorkerOptions:
        """Return what ``to_json`` was of."""
        told = json.loads(text)
        return cls(**told | {"way": Way(told["way"]), "modules": (*told["modules"],), "queues": (*told["queues"],)})


def run(options: WorkerOptions) -> None:
    """Work until told to stop."""
    _log_to_terminal()
    for name in [name for name in os.environ if name.startswith(SERVERS_OWN)]:
        del os.environ[name]
    # What is woken looks by itself only for what it was not told of; a question costs Prefect as much as a run.
    is_woken = options.attached and options.way is Way.WARM
    os.environ.setdefault("PREFECT_WORKER_QUERY_SECONDS", "5" if is_woken else "1")
    # Three that are missed in a row, and it counts as gone.
    os.environ.setdefault("PREFECT_WORKER_HEARTBEAT_SECONDS", "10")
    with suppress(KeyboardInterrupt):
        asyncio.run(_serve(options))


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


def _log_to_terminal() -> None:
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("%(levelname)s: %(message)s"))
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)


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
    # Not before it is known what must not stand in the environment, which Prefect reads when it is imported.
    from api_shim.worker.prefect_ways import make_worker

    temporary = tempfile.TemporaryDirectory(prefix="signoff-worker-", ignore_cleanup_errors=True)
    with temporary as folder, _listening(options) as listener:
        worker = await make_worker(options, folder, listener)
        await worker.start(with_healthcheck=False, printer=logger.debug)


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
