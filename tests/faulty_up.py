"""``signoff up``, but calls meet faults that a test plans: 503 in place of an answer, or the end of who calls.

The plan is JSON in the file that ``FAULTS`` names, a list of ``call``, ``do`` and ``times``. ``call`` is a regular
expression for ``METHOD path subject``, where the subject is the state that a call wants to set, or the run that it is
about if the path does not tell. A plan is forgotten when another one is written. What has happened is noted beside it,
in lines: the ``of`` of a fault.

* ``busy``: the answer is Prefect's when its database is busy, and nothing happens.
* ``kill``: the process that calls is killed before anything happens.
* ``kill after``: it is killed when everything has happened, and gets no answer.
"""

from __future__ import annotations

import json
import os
import re
import signal
from contextlib import suppress
from pathlib import Path
from typing import Any

from starlette.responses import JSONResponse
from starlette.types import Message, Receive, Scope, Send

from api_shim.asgi import receive_whole, received_again
from api_shim.web.gateway import Gateway

PLAN = Path(os.environ["FAULTS"])
BUSY = JSONResponse({"exception_message": "Service Unavailable"}, 503, {"Retry-After": "0"})


class Faults:
    """What is planned, and what of it has happened.

    Args:
        gateway: answers.
    """

    def __init__(self, gateway: Any) -> None:
        self._gateway = gateway
        self._text = ""
        self._plan: list[dict[str, Any]] = []

    async def __call__(self, gateway: Gateway, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not self._is_planned():
            await self._gateway(gateway, scope, receive, send)
            return
        body = await receive_whole(receive)
        if body is None:
            return
        read = received_again(body, receive)
        match self._fault(f"{scope['method']} {scope['path']} {_subject_of(body)}"):
            case "busy":
                await BUSY(scope, read, send)
            case "kill":
                kill(scope["client"])
            case "kill after":
                await self._gateway(gateway, scope, read, _nowhere)
                kill(scope["client"])
            case _:
                await self._gateway(gateway, scope, read, send)

    def _is_planned(self) -> bool:
        text = PLAN.read_text() if PLAN.exists() else ""
        if text != self._text:
            self._text, self._plan = text, json.loads(text)
        return bool(self._plan)

    def _fault(self, call: str) -> str:
        for fault in self._plan:
            if fault["times"] and re.fullmatch(fault["call"], call.strip()):
                fault["times"] -= 1
                with PLAN.with_name("happened").open("a") as lines:
                    lines.write(f"{fault['of']}\n")
                return str(fault["do"])
        return ""


async def _nowhere(_message: Message) -> None:
    """The answer that nobody gets."""


def _subject_of(body: bytes) -> str:
    with suppress(ValueError, TypeError, KeyError):
        told = json.loads(body)
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
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        fields = line.split()
        if int(fields[1].rpartition(":")[2], 16) == port and fields[9] != "0":
            return fields[9]
    raise LookupError(f"Nobody has the port {port}.")


if __name__ == "__main__":
    faults = Faults(Gateway.__call__)

    async def answer(gateway: Gateway, scope: Scope, receive: Receive, send: Send) -> None:
        await faults(gateway, scope, receive, send)

    Gateway.__call__ = answer  # type: ignore[method-assign]  # the one place that every call passes

    from api_shim.cli import main

    main()
