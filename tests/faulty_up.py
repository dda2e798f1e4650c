"""``signoff up``, but calls meet faults that a test plans: no answer, or the end of who calls.

The plan is JSON in the file that ``FAULTS`` names, a list of ``call``, ``do``, ``times`` and ``of``. ``call`` is a
regular expression for ``METHOD path subject``, where the subject is the state that a call wants to set, or the run that
it is about if the path does not tell. Calls of workers and runs meet faults, in the order of the plan, which only
grows. What has happened is noted beside it, in lines: the ``of`` of a fault in ``happened``, and each such call in
``calls``.

* ``busy``: the answer is Prefect's when its database is busy, and nothing happens.
* ``lose``: everything happens, and the connection breaks before the answer.
* ``kill``: the process that calls is killed before anything happens.
* ``kill after``: it is killed when everything has happened, and gets no answer.
* ``hold``: nothing happens until there is a file ``released``; and nothing at all if who calls has gone by then.
* ``hold after``: everything happens, and the answer waits for that.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
from base64 import b64decode
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

from starlette.datastructures import Headers
from starlette.responses import JSONResponse
from starlette.types import Message, Receive, Scope, Send

from api_shim.web.bodies import receive_whole, received_again
from api_shim.web.gateway import Gateway

PLAN = Path(os.environ["FAULTS"])
BUSY = JSONResponse({"exception_message": "Service Unavailable"}, 503, {"Retry-After": "0"})
CALLERS = ("signoff-worker", "run")
HALF: Message = {"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"1")]}
"""The beginning of an answer; the connection breaks when no more is sent."""


class Faults:
    """Has calls meet what is planned.

    Args:
        gateway: answers.
    """

    def __init__(self, gateway: Any) -> None:
        self._gateway = gateway

    async def __call__(self, gateway: Gateway, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or _caller(scope) not in CALLERS:
            await self._gateway(gateway, scope, receive, send)
            return
        body = await receive_whole(receive)
        if body is None:
            return
        read, kept = received_again(body, receive), list[Message]()

        async def keep(message: Message) -> None:
            kept.append(message)

        call = f"{scope['method']} {scope['path']} {_subject_of(body)}".strip()
        note("calls", call)
        match planned(call):
            case "busy":
                await BUSY(scope, read, send)
            case "lose":
                await self._gateway(gateway, scope, read, keep)
                await send(HALF)
            case "kill":
                kill(scope["client"])
            case "kill after":
                await self._gateway(gateway, scope, read, keep)
                kill(scope["client"])
            case "hold":
                await _released()
                if _inode_of(scope["client"][1]):
                    await self._gateway(gateway, scope, read, send)
            case "hold after":
                await self._gateway(gateway, scope, read, keep)
                await _released()
                for message in kept:
                    await send(message)
            case _:
                await self._gateway(gateway, scope, read, send)


def planned(call: str) -> str:
    """Return what happens to a call by the plan, and note it; empty for nothing."""
    # A server that was started again has the same plan, of which some has happened.
    happened = noted("happened")
    for fault in json.loads(PLAN.read_text()) if PLAN.exists() else []:
        if re.fullmatch(fault["call"], call) and happened.count(fault["of"]) < fault["times"]:
            note("happened", fault["of"])
            return str(fault["do"])
    return ""


def noted(where: str) -> list[str]:
    """Return the lines of a file beside the plan."""
    file = PLAN.with_name(where)
    return file.read_text().splitlines() if file.exists() else []


def note(where: str, what: str) -> None:
    """Add a line to a file beside the plan."""
    with PLAN.with_name(where).open("a") as lines:
        lines.write(f"{what}\n")


async def _released() -> None:
    while not PLAN.with_name("released").exists():  # noqa: ASYNC110 - another process makes it
        await asyncio.sleep(0.05)


def _caller(scope: Scope) -> str:
    """Return who signs in to Prefect, as workers and runs do; empty for others."""
    scheme, _, credentials = Headers(scope=scope).get("authorization", "").partition(" ")
    return b64decode(credentials).decode().partition(":")[0] if scheme == "Basic" else ""


def _subject_of(body: bytes) -> str:
    with suppress(ValueError, TypeError, KeyError):
        told = json.loads(body)
        # Lines of a log, all of one run.
        told = told[0] if isinstance(told, list) else told
        return str(told["flow_run_id"] if "flow_run_id" in told else told["state"]["type"])
    return ""


def kill(caller: tuple[str, int]) -> None:
    """Kill the process at the other end of a connection, by SIGKILL."""
    inode = _inode_of(caller[1])
    for process in Path("/proc").iterdir():
        # What has ended meanwhile has no descriptors any more.
        with suppress(OSError):
            if process.name.isdigit() and f"socket:[{inode}]" in map(os.readlink, (process / "fd").iterdir()):
                os.kill(int(process.name), signal.SIGKILL)


def _inode_of(port: int) -> str:
    """Return what names the socket that has a port, at the other end of a connection; empty if it is gone."""
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        fields = line.split()
        if int(fields[1].rpartition(":")[2], 16) == port and fields[9] != "0":
            return fields[9]
    return ""


if __name__ == "__main__":
    faults = Faults(Gateway.__call__)

    async def answer(gateway: Gateway, scope: Scope, receive: Receive, send: Send) -> None:
        await faults(gateway, scope, receive, send)

    Gateway.__call__ = answer  # type: ignore[method-assign]  # the one place that every call passes

    from api_shim import background
    from api_shim.cli import main

    # Whoever was killed is to be missed soon.
    background.SWEEP_EVERY = background.LATE_TO_ASK = timedelta(seconds=3)
    main()
