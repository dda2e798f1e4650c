"""The fork server: a process that has imported Prefect and the Jobs, and forks for each run.

* It has one thread and no open file but those it was given, or it does not fork: a lock that another thread holds, or
  a socket that two processes read, is broken in a child. A module that starts a thread, or opens a file or a socket,
  when it is imported, is named, and the next fork server is started without it.
* It never talks to Prefect's server, has no key for it, and executes nothing of a Job but its module.
* What a child does is told in ``prefect_run``. What it is asked to, with the key of its run, only the child reads: this
  process passes on a socket that it has not read, so it never has anything that another child could find in it.
* Other processes of its user cannot look into it, nor into its children (``hidden``); but they can into a child that
  executes another program, as for an isolated run or one with another environment.
* What a child has started, and is still there when it ends, ends with it.
* When the worker goes, everything goes: the children, what they have started, and the folder that they work in, as far
  as it is this process's own user who may remove it.

It is asked in lines of JSON: ``fork`` (a number) and ``job`` (the class path of the Job), with which comes the socket
that ``prefect_run`` reads; or ``leave``. It says ``importing``, and ``ready`` or ``unfit``; then ``forked`` or
``refused``, and ``exited``.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import select
import shutil
import signal
import socket
import sys
import threading
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, NoReturn

from api_shim.worker.hidden import hide
from api_shim.worker.prefect_run import LASTING, be_run
from api_shim.worker.stamps import stamp
from flows import source
from flows.registry import code_files

PRELOADED = (
    *("prefect.engine", "prefect.flow_engine", "prefect.task_engine", "prefect._internal.metrics"),
    *("prefect.client.orchestration", "prefect.events.clients", "prefect.events.worker", "prefect.logging.handlers"),
    *("prefect.runtime.flow_run", "prefect.deployments.steps.core"),
    *("prefect._flow_run_suspension", "concurrent.futures.thread", "anyio._backends._asyncio", "anyio.streams.tls"),
    *("anyio.streams.stapled", "anyio.streams.memory", "encodings.idna", "stringprep", "rich._emoji_codes"),
    *("websockets.asyncio.client", "httpcore._backends.anyio", "httpcore._backends.sync", "flows.prefect_flow"),
    # A flow is asked whether it has types of pydantic 1, which takes as long to import as half a run.
    *("pydantic.v1", "prefect.logging.highlighters", "prefect._internal.observers"),
)
"""What the engine imports while it runs. One that another version of Prefect has not is passed over."""

CANNOT_START = 70
NOT_HANDED = "The socket of the run was lost: this process has too many open files."
LONGEST = 2**16
"""Bytes that are read at once; a line is shorter."""


class CannotFork(Exception):
    """A sentence on why this process must not fork."""


def main() -> None:
    """Import everything, then fork for whoever asks, until the worker goes."""
    hide()
    setup = json.loads(sys.argv[1])
    worker = socket.socket(fileno=setup["socket"])
    Zygote(worker, Path(setup["folder"])).run(setup["modules"], setup["certificates"])


class Zygote:
    """The fork server.

    Args:
        worker: what it is asked through.
        folder: where its children work; removed when the worker has gone.
    """

    def __init__(self, worker: socket.socket, folder: Path) -> None:
        self._worker = worker
        self._folder = folder
        self._began = time.time_ns()
        self._environment = dict(os.environ)
        self._umask = os.umask(0o077)
        os.umask(self._umask)
        self._children: set[int] = set()
        self._begun = b""
        self._handed: list[int] = []
        self._woken, self._wakes = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)

    def run(self, modules: Iterable[str], certificates: str | None) -> NoReturn:
        """Become ready, then serve."""
        files = open_files()
        try:
            preload(certificates)
            check(files)
            known = set(sys.modules)
            for module in modules:
                self._say(importing=module)
                import_module(module)
                check(files)
        except CannotFork as why:
            self._say(unfit=str(why))
            os._exit(CANNOT_START)
        watched = {path: self._stamp(path) for path in files_of(set(sys.modules) - known, modules) | code_files()}
        # What is there now is never garbage; a child that does not touch it shares it.
        gc.collect()
        gc.freeze()
        signal.set_wakeup_fd(self._wakes)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        self._say(ready=watched)
        self._serve()

    def _stamp(self, path: str) -> list[int]:
        """Return the stamp of a file as it was imported; none for one that may have changed since."""
        found = stamp(path)
        return found if found and found[0] < self._began else []

    def _say(self, **said: Any) -> None:
        # Whether the worker has gone is read, and not only guessed from this.
        with suppress(OSError):
            self._worker.sendall(json.dumps(said).encode() + b"\n")

    def _serve(self) -> NoReturn:
        while True:
            ready, _, _ = select.select([self._worker.fileno(), self._woken], [], [])
            if self._woken in ready:
                with suppress(BlockingIOError):
                    os.read(self._woken, 4096)
                self._reap()
            if self._worker.fileno() in ready:
                self._receive()

    def _receive(self) -> None:
        """Take what was sent, and do what it asks once it is a line; what comes with a socket ends there."""
        said, handed, _, _ = socket.recv_fds(self._worker, LONGEST, 1, socket.MSG_CMSG_CLOEXEC)
        if not said:
            self._leave(self._folder)
        self._handed += handed
        self._begun += said
        if self._begun.endswith(b"\n"):
            lines, self._begun = self._begun.splitlines(), b""
            for line in lines:
                self._do(json.loads(line))

    def _do(self, request: Mapping[str, Any]) -> None:
        if "leave" in request:
            # The worker stays, and its folder with it.
            self._leave()
        if not self._handed:
            # The system drops a descriptor for which this process has no room.
            self._say(refused=request["fork"], why=NOT_HANDED)
            return
        self._fork(request, self._handed.pop(0))

    def _reap(self) -> None:
        """Tell of the children that have ended, and end what they have left."""
        while self._children:
            ended = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            if ended is None:
                return
            # Its number is nobody else's until it has been waited for.
            end_group(ended.si_pid)
            _, status, usage = os.wait4(ended.si_pid, 0)
            self._children.discard(ended.si_pid)
            peak = usage.ru_maxrss * 1024
            self._say(exited=ended.si_pid, status=os.waitstatus_to_exitcode(status), peak=peak)

    def _fork(self, request: Mapping[str, Any], handed: int) -> None:
        prepare_flow(request["job"])
        begun, begins = os.pipe()
        zygote = os.getpid()
        try:
            pid = os.fork()
        except OSError as error:
            for descriptor in (begun, begins, handed):
                os.close(descriptor)
            self._say(refused=request["fork"], why=f"The system makes no new process: {error.strerror}.")
            return
        if pid == 0:
            self._worker.close()
            for descriptor in (begun, self._woken, self._wakes, *self._handed):
                os.close(descriptor)
            be_run(handed, zygote=zygote, begins=begins, umask=self._umask)
        for descriptor in (begins, handed):
            os.close(descriptor)
        # Until it leads a group of its own it could not be ended with what it starts.
        os.read(begun, 1)
        os.close(begun)
        self._children.add(pid)
        self._say(forked=request["fork"], pid=pid)

    def _leave(self, *folders: Path) -> NoReturn:
        """End with all children, and leave nothing behind.

        Args:
            folders: whose owner has gone.
        """
        for pid in self._children:
            end_group(pid)
        for folder in folders:
            shutil.rmtree(folder, ignore_errors=True)
        os._exit(0)


def end_group(pid: int) -> None:
    """Kill a child and all that it has started."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)


# What is there before a fork


def preload(certificates: str | None) -> None:
    """Import what the engine imports, and have done what it does once.

    Args:
        certificates: a file with few of them, for a server that is reached without any: each client reads them all.
    """
    if certificates is not None:
        # Prefect reads it when it is imported; the environment of a child is another one.
        os.environ["PREFECT_API_SSL_CERT_FILE"] = certificates
    import prefect.settings

    for name in PRELOADED:
        with suppress(ImportError):
            importlib.import_module(name)
    complete_models()
    compile_highlights()
    # Its thread ends up to a second after the run; that this host lives is known from the worker. It is not left.
    no_heartbeat = {prefect.settings.PREFECT_FLOWS_HEARTBEAT_FREQUENCY: None}
    LASTING.enter_context(prefect.settings.temporary_settings(updates=no_heartbeat))


def complete_models() -> None:
    """Build the models that pydantic leaves for their first use, which would be in each child."""
    import pydantic

    seen: set[type] = set()
    models: list[type[pydantic.BaseModel]] = [pydantic.BaseModel]
    while models:
        for model in models.pop().__subclasses__():
            if model not in seen:
                seen.add(model)
                models.append(model)
                # One that cannot be built is not used, or tells so when it is.
                with suppress(Exception):
                    model.model_rebuild(raise_errors=False)


def compile_highlights() -> None:
    """Compile the expressions by which lines of a log are coloured."""
    with suppress(ImportError):
        from prefect.logging.highlighters import PrefectConsoleHighlighter

        PrefectConsoleHighlighter()("")


def prepare_flow(class_path: str) -> None:
    """Make the flow of a Job whose module has been imported; each child would make it anew."""
    flows = sys.modules.get("flows.prefect_flow")
    if flows is not None and class_path.rpartition(".")[0] in sys.modules:
        # What is wrong with it is told by the run that needs it.
        with suppress(Exception):
            flows.prepare(class_path)


def import_module(name: str) -> None:
    """Import a module of Jobs; what is wrong with it is told by the run that needs it."""
    with suppress(Exception, SystemExit):
        source.import_module(name)


def open_files() -> dict[str, str]:
    """Return what this process has open, by descriptor."""
    found = {}
    for name in os.listdir("/proc/self/fd"):  # noqa: PTH208 - the links are read at once, before they change
        with suppress(OSError):
            found[name] = os.readlink(f"/proc/self/fd/{name}")  # noqa: PTH115 - it names no file at times
    return {name: target for name, target in found.items() if not target.startswith("/proc/")}


def check(files: Mapping[str, str]) -> None:
    """See that this process can fork.

    Args:
        files: what it may have open.

    Raises:
        CannotFork: why it must not.
    """
    if len(os.listdir("/proc/self/task")) > 1:  # noqa: PTH208 - only counted
        names = [thread.name for thread in threading.enumerate() if thread is not threading.main_thread()]
        raise CannotFork(f"a thread is started by then ({', '.join(names) or 'not one of Python'})")
    more = [target for name, target in open_files().items() if files.get(name) != target]
    if more:
        raise CannotFork(f"a file or socket is open by then ({', '.join(more)})")


def files_of(names: Iterable[str], jobs: Iterable[str]) -> set[str]:
    """Return the files of modules; of what is installed those of the Jobs only: the rest changes with a restart."""
    paths = {name: getattr(sys.modules.get(name), "__file__", None) for name in names}
    always = set(jobs)
    return {path for name, path in paths.items() if path and (name in always or not source.is_installed(path))}


if __name__ == "__main__":
    main()
