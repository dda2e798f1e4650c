"""A run in a forked child, which is all that ``python -m prefect.engine`` would be.

* It leads a session and a process group of its own, and dies with the fork server, however that dies.
* What it is to do it reads itself, from a socket that nobody else has read: the fork server has no key of a run.
* It signs in to Prefect with the key of its run.
* It has the environment, the folder, the umask and the signals that such a process has, and random numbers of its own.
* A Job that asks to be isolated, or a run whose environment is not the fork server's, gets a new interpreter in the
  child's place: the same process, and so all of the above holds for it. So does a run that has a command of its own.
* It is there a moment before its time, and begins when that has come.
* When it ends, its log and its events have been sent, as at the end of any Python program.
"""

from __future__ import annotations

import atexit
import ctypes
import importlib
import json
import logging
import os
import random
import runpy
import signal
import sys
import threading
import traceback
import warnings
from collections.abc import Mapping
from contextlib import ExitStack
from typing import Any, NoReturn

from api_shim.worker.environment import AUTH
from api_shim.worker.prefect_handed import hand_over, wait_until
from api_shim.worker.traces import record_traces
from approval_gate.errors import NotRunnable
from flows.registry import load

logger = logging.getLogger("signoff")

ENGINE = "prefect.engine"
PR_SET_PDEATHSIG = 1
LASTING = ExitStack()
"""What holds until a process ends, and in its children: it is never closed."""

LIBC = ctypes.CDLL(None, use_errno=True)
"""Loaded before a fork: a child loads as little as it can."""


def be_run(handed: int, *, zygote: int, begins: int, umask: int) -> NoReturn:
    """Execute a run in this process, which was forked for it, and end.

    Args:
        handed: the descriptor of a socket that tells, as an object of JSON: ``env``, ``cwd``, ``job`` (class path of
            the Job), ``fresh`` (whether it needs a new interpreter), ``command`` (what that is in place of the engine;
            empty for the engine), ``output`` (whether what it prints is shown), ``known`` (what ``prefect_handed``
            hands over) and ``at`` (when it is to begin, in seconds since 1970).
        zygote: the process that it was forked from.
        begins: a descriptor, closed when it leads its group.
        umask: what such a process has.
    """
    status = 1
    try:
        _leave_family(zygote)
        os.close(begins)
        request = _read(handed)
        _settle(request, umask)
        if request["fresh"] or asks_for_isolation(request["job"]):
            wait_until(request["at"])
            command = request["command"] or [sys.executable, "-m", ENGINE]
            os.execvpe(command[0], command, request["env"])  # noqa: S606 - no shell is meant
        record_traces()
        sign_in(request["env"])
        if request["known"]:
            hand_over(**request["known"], at=request["at"])
        else:
            wait_until(request["at"])
        status = execute()
        _finish()
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(status)


def _read(handed: int) -> Mapping[str, Any]:
    with open(handed, "rb") as told:
        request: Mapping[str, Any] = json.load(told)
        return request


def _leave_family(zygote: int) -> None:
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.setsid()
    LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != zygote:
        # It has died before it could be told to take us along.
        os._exit(1)


def _settle(request: Mapping[str, Any], umask: int) -> None:
    os.umask(umask)
    os.environ.clear()
    os.environ.update(request["env"])
    os.chdir(request["cwd"])
    sys.path.insert(0, request["cwd"])
    sys.argv = [ENGINE]
    importlib.invalidate_caches()
    if not request["output"]:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, 1)
        os.dup2(nowhere, 2)
    reseed()


def sign_in(environment: Mapping[str, str]) -> None:
    """Let Prefect use the key of the run, which the settings that were read before the fork do not have."""
    if "prefect.settings" not in sys.modules:
        # They are read from the environment.
        return
    from prefect.settings import PREFECT_API_AUTH_STRING, temporary_settings

    LASTING.enter_context(temporary_settings(updates={PREFECT_API_AUTH_STRING: environment.get(AUTH)}))


def reseed() -> None:
    """Give this process random numbers of its own: those that are loaded go on where the fork server stands."""
    random.seed()
    for name, seed in (("numpy", "random.seed"), ("torch", "seed")):
        function: Any = sys.modules.get(name)
        for attribute in seed.split("."):
            function = getattr(function, attribute, None)
        if function is not None:
            function()


def asks_for_isolation(class_path: str) -> bool:
    """Say whether a Job asks for an interpreter of its own; one that is not here asks for nothing."""
    try:
        definition = load(class_path).definition()
    except NotRunnable:
        return False
    if definition.isolated:
        logger.info("%s asks to be isolated: it runs in a new interpreter.", class_path)
    return definition.isolated


def execute() -> int:
    """Run Prefect's engine, and return the exit status that its program would have."""
    # It is imported by now, which is what we want.
    warnings.filterwarnings("ignore", f"'{ENGINE}' found in sys.modules", RuntimeWarning)
    try:
        runpy.run_module(ENGINE, run_name="__main__", alter_sys=True)
    except SystemExit as end:
        return status_of(end.code)
    except BaseException:
        traceback.print_exc()
        return 1
    return 0


def status_of(code: object) -> int:
    """Return the exit status that a program has for what it gives to ``sys.exit``."""
    if code is None:
        return 0
    return code & 0xFF if isinstance(code, int) else 1


def _finish() -> None:
    # What the end of the interpreter would do first; its rest would only take the memory apart that we share.
    threading._shutdown()  # type: ignore[attr-defined]  # as multiprocessing ends its children; no public name
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
