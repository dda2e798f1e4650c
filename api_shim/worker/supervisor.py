"""Keeps a worker alive: a process of its own, started again when it ends by itself.

* It ends with the server: its standard input does, however the server dies.
* One that ends again and again is started ever more rarely, and each time it is said.
"""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import threading
import time
from collections.abc import Sequence

from api_shim.worker.environment import for_a_worker
from api_shim.worker.process import HOME, WorkerOptions

logger = logging.getLogger("signoff")

STOPS_WITHIN = 8.0
"""Seconds that it has to end its runs and itself."""

COMMAND = (sys.executable, "-P", "-m", "api_shim.worker")
"""What starts a worker, with its options behind it."""

FIRST_PAUSE, LONGEST_PAUSE = 1.0, 30.0


class WorkerProcess:
    """A worker in a process of its own.

    Args:
        options: what it is told.
        command: what starts it, with the options behind it.
        umask: what it has; -1 for that of this process, which may be stricter than runs expect.
    """

    def __init__(self, options: WorkerOptions, command: Sequence[str] = COMMAND, *, umask: int = -1) -> None:
        self._command = [*command, options.to_json()]
        self._home = options.home
        self._umask = umask
        self._process: subprocess.Popen[bytes] | None = None
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._keep, name="signoff-worker", daemon=True)

    def start(self) -> None:
        """Start it; it waits until the server answers."""
        self._thread.start()

    def stop(self) -> None:
        """End it and the runs under way."""
        self._stopping.set()
        if self._process is not None:
            self._process.terminate()
            try:
                self._process.wait(STOPS_WITHIN)
            except subprocess.TimeoutExpired:
                # Its runs are killed by the fork server, which sees it go.
                self._process.kill()
        if self._thread.is_alive():
            self._thread.join(STOPS_WITHIN)

    def _keep(self) -> None:
        pause = FIRST_PAUSE
        while not self._stopping.is_set():
            begun = time.monotonic()
            status = self._run()
            if self._stopping.is_set():
                return
            if time.monotonic() - begun > LONGEST_PAUSE:
                pause = FIRST_PAUSE
            logger.error("The worker has ended (status %s) and is started again in %g s.", status, pause)
            self._stopping.wait(pause)
            pause = min(LONGEST_PAUSE, pause * 2)

    def _run(self) -> int:
        environment = for_a_worker(os.environ, self._home) | {HOME: self._home}
        with subprocess.Popen(  # noqa: S603 - our own command
            self._command, stdin=subprocess.PIPE, env=environment, umask=self._umask
        ) as process:
            self._process = process
            if self._stopping.is_set():
                process.terminate()
            return process.wait()
