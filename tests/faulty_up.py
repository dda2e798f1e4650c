"""``signoff up``, but calls meet faults by a plan: no answer, or the end of who calls.

The plan is JSON in the file that ``FAULTS`` names, a list of ``call``, ``of``, ``about``, ``do``, ``times``, ``since``
and ``until``; where ``since`` names a file, calls before that is there meet nothing. A call is ``<who> METHOD path
state``, with ``{id}`` for each id, and with the state that it wants to set. Who calls is ``worker``, ``run``, or the
server itself: by the kind of what it follows just then, or ``server``.

What is asked of the server has the ``file`` in which it notes that it executes; all that follows from it is about the
name of that file. What a worker asks without naming a run is about the runs that it was last told of. A fault is met
by calls about its ``about``, or where that is empty about anything.

What has happened is noted beside the plan, in lines, so that a server that is started again knows it: the ``of`` of
each fault in ``happened``, each call about something in ``calls``, what was followed in ``followed``, and in ``names``
what ids are about.

* ``busy``: the answer is Prefect's when its database is busy, and nothing happens.
* ``lose``: everything happens, and the connection breaks before the answer.
* ``kill``: the process that calls is killed before anything happens.
* ``kill after``: it is killed when everything has happened, and gets no answer.
* ``hold``: nothing happens until there is the file ``until``; and nothing at all if who calls has gone by then.
* ``hold after``: everything happens, and the answer waits for that.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
from base64 import b64decode
from collections import Counter
from collections.abc import Awaitable, Callable, Collection, Mapping
from contextlib import suppress
from contextvars import ContextVar
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any, TypeVar
from uuid import UUID

import httpx
from starlette.datastructures import Headers
from starlette.responses import JSONResponse
from starlette.types import Message, Receive, Scope, Send

from api_shim.asgi import receive_whole, received_again
from api_shim.domain.model import JobResult, ScheduledJob
from api_shim.prefect_api.prefect_client import PrefectHttp
from api_shim.reconcile.reconciler import Reconciler
from api_shim.reconcile.wake_queue import Kind
from api_shim.store import Transaction
from api_shim.web.gateway import Gateway
from api_shim.web.rewriting import uncompressed

T = TypeVar("T")

CALLERS = {"signoff-worker": "worker", "run": "run"}
"""Who signs in to Prefect, by their user."""
ID = re.compile(r"[0-9a-f]{8}-[0-9a-f-]{27}")
ASKS = "/get_scheduled_flow_runs"
BUSY = JSONResponse({"exception_message": "Service Unavailable"}, 503, {"Retry-After": "0"})
HALF: Message = {"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"1")]}
"""The beginning of an answer; the connection breaks when no more is sent."""

FOLLOWED: ContextVar[tuple[str, str]] = ContextVar("followed", default=("server", ""))
"""The kind of what is being followed, and what that is about."""


class Plan:
    """What is to happen, and what of it has.

    Args:
        path: the file of the plan.
    """

    def __init__(self, path: Path) -> None:
        self._folder = path.parent
        self._faults: list[dict[str, Any]] = json.loads(path.read_text())
        self._happened = Counter(self._noted("happened"))
        self._names = dict(line.split(" ", 1) for line in self._noted("names"))

    @property
    def has_begun(self) -> bool:
        """Whether anything has been asked."""
        return bool(self._names)

    @property
    def holds(self) -> int:
        """How many calls are to be held."""
        return sum(fault["do"].startswith("hold") for fault in self._faults)

    def name_of(self, thing_id: object) -> str:
        """Return what an id is about; empty for nothing that was asked."""
        return self._names.get(str(thing_id), "")

    def name(self, thing_id: object, name: str) -> None:
        """Note what an id is about."""
        if name and not self.name_of(thing_id):
            self._names[str(thing_id)] = name
            self.note("names", f"{thing_id} {name}")

    async def meet(
        self, call: str, about: Collection[str], happen: Callable[[], Awaitable[T]], busy: T, caller: Caller
    ) -> T | None:
        """Let a call happen, or what is planned for it.

        Args:
            call: the call.
            about: what it is about.
            happen: lets it happen, and returns the answer.
            busy: the answer of a database that is busy.
            caller: who calls.

        Returns:
            the answer; None for one that is lost.
        """
        for name in about:
            self.note("calls", f"{name} {call}")
        fault = self._fault(call, about)
        match fault.get("do"):
            case "busy":
                return busy
            case "lose":
                await happen()
                return None
            case "kill":
                caller.kill()
                return None
            case "kill after":
                await happen()
                caller.kill()
                return None
            case "hold":
                await self._until(fault)
                return await happen() if caller.is_there() else None
            case "hold after":
                answer = await happen()
                self.note("happened", fault["of"])
                await self._until(fault)
                return answer
        return await happen()

    def _fault(self, call: str, about: Collection[str]) -> Mapping[str, Any]:
        for fault in self._faults:
            concerned = fault["call"] == call and fault["about"] in {"", *about} and self._has_begun(fault["since"])
            if concerned and self._happened[fault["of"]] < fault["times"]:
                self._happened[fault["of"]] += 1
                if fault["do"] != "hold after":
                    self.note("happened", fault["of"])
                return fault
        return {}

    def _has_begun(self, since: str) -> bool:
        return not since or (self._folder / since).exists()

    async def _until(self, fault: Mapping[str, Any]) -> None:
        while not (self._folder / fault["until"]).exists():  # noqa: ASYNC110 - another process makes it
            await asyncio.sleep(0.05)

    def note(self, where: str, what: str) -> None:
        """Add a line to a file beside the plan."""
        with (self._folder / where).open("a") as lines:
            lines.write(f"{what}\n")

    def _noted(self, where: str) -> list[str]:
        file = self._folder / where
        return file.read_text().splitlines() if file.exists() else []


class Caller:
    """The process at the other end of a connection; this one for none.

    Args:
        port: the port that it has there.
    """

    def __init__(self, port: int | None = None) -> None:
        self._port = port

    def is_there(self) -> bool:
        return self._port is None or self._inode() != ""

    def kill(self) -> None:
        """Kill it, by SIGKILL."""
        inode = self._inode()
        for process in Path("/proc").iterdir():
            # What has ended meanwhile has no descriptors any more.
            with suppress(OSError):
                if process.name.isdigit() and f"socket:[{inode}]" in map(os.readlink, (process / "fd").iterdir()):
                    os.kill(int(process.name), signal.SIGKILL)

    def _inode(self) -> str:
        """Return what names the socket there; empty if it is gone."""
        for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
            fields = line.split()
            if int(fields[1].rpartition(":")[2], 16) == self._port and fields[9] != "0":
                return fields[9]
        return ""


# Workers and runs


class FaultyGateway:
    """Has the calls of workers and runs meet what is planned.

    Args:
        plan: what is planned.
        answer: answers in place of a gateway.
    """

    def __init__(self, plan: Plan, answer: Callable[[Gateway, Scope, Receive, Send], Awaitable[None]]) -> None:
        self._plan = plan
        self._answer = answer
        self._told: list[str] = []

    async def __call__(self, gateway: Gateway, scope: Scope, receive: Receive, send: Send) -> None:
        who = CALLERS.get(_user(scope)) if scope["type"] == "http" else None
        if who is None:
            await self._answer(gateway, scope, receive, send)
            return
        body = await receive_whole(receive)
        if body is None:
            return
        scope, read, busy = uncompressed(scope), received_again(body, receive), list[Message]()

        async def happen() -> list[Message]:
            kept = list[Message]()
            await self._answer(gateway, scope, read, _into(kept))
            return kept

        await BUSY(scope, read, _into(busy))
        call, about = f"{who} {scope['method']} {scope['path']}", self._about(scope["path"], body)
        if scope["path"].endswith(ASKS):
            # What it is about stands in the answer, from which nothing else follows.
            answer = await happen()
            about = self._told = [name for run in _read(answer) if (name := self._plan.name_of(run))]
            happen = partial(_at_once, answer)
        met = await self._plan.meet(_normal(call, body), about, happen, busy, Caller(scope["client"][1]))
        for message in [HALF] if met is None else met:
            await send(message)

    def _about(self, path: str, body: bytes) -> list[str]:
        told = _decoded(body)
        # Lines of a log, all of one run.
        told = told[0] if isinstance(told, list) and told else told
        run = ID.search(path) if path.startswith("/api/flow_runs/") else None
        run_id = run[0] if run is not None else told.get("flow_run_id") if isinstance(told, dict) else None
        if run_id is None:
            return self._told
        return [name] if (name := self._plan.name_of(run_id)) else []


def _user(scope: Scope) -> str:
    """Return who signs in to Prefect, as workers and runs do; empty for others."""
    scheme, _, credentials = Headers(scope=scope).get("authorization", "").partition(" ")
    return b64decode(credentials).decode().partition(":")[0] if scheme == "Basic" else ""


def _into(kept: list[Message]) -> Send:
    async def keep(message: Message) -> None:
        kept.append(message)

    return keep


async def _at_once(answer: T) -> T:
    return answer


def _read(answer: list[Message]) -> list[str]:
    """Return the ids of the runs that a worker is told of."""
    told = _decoded(b"".join(message.get("body", b"") for message in answer))
    return [each["flow_run"]["id"] for each in told] if isinstance(told, list) else []


def _decoded(body: bytes) -> Any:
    with suppress(ValueError):
        return json.loads(body)
    return None


def _normal(call: str, body: bytes) -> str:
    state = _decoded(body)["state"]["type"] if call.endswith("/set_state") else ""
    return f"{ID.sub('{id}', call)} {state}".strip()


# The server itself


class FaultyClient:
    """The client by which the server asks Prefect, whose calls meet what is planned.

    Args:
        plan: what is planned.
        client: asks.
    """

    def __init__(self, plan: Plan, client: httpx.AsyncClient) -> None:
        self._plan = plan
        self._client = client

    async def request(self, method: str, path: str, *, json: Any = None) -> httpx.Response:
        """Ask Prefect.

        Raises:
            httpx.ReadError: the answer is lost.
        """
        kind, name = FOLLOWED.get()

        async def happen() -> httpx.Response:
            answer = await self._client.request(method, path, json=json)
            if path.endswith("/create_flow_run") and answer.is_success:
                self._plan.name(answer.json()["id"], name)
            return answer

        if not self._plan.has_begun:
            return await happen()
        state = json["state"]["type"] if path.endswith("/set_state") else ""
        call = f"{kind} {method} {ID.sub('{id}', path)} {state}".strip()
        answer = await self._plan.meet(call, [name] if name else [], happen, httpx.Response(503), Caller())
        if answer is None:
            raise httpx.ReadError("The connection has broken.")
        return answer


async def name_of(plan: Plan, reconciler: Reconciler, kind: Kind, thing_id: UUID) -> str:
    """Return what a thing that is followed is about, after having noted it."""
    if kind in (Kind.SCHEDULED_JOB, Kind.SCHEDULED_JOB_DIFFERS, Kind.JOB_RESULT):
        plan.name(thing_id, await reconciler._store.read(partial(_file_of, kind, thing_id)))
    return plan.name_of(thing_id)


def _file_of(kind: Kind, thing_id: UUID, tx: Transaction) -> str:
    thing = tx.get(JobResult if kind is Kind.JOB_RESULT else ScheduledJob, id=thing_id)
    return Path((thing.inputs or {}).get("file") or "").name if thing is not None else ""


def install(plan: Plan) -> None:
    """Have all calls meet what is planned, in the places that each of them passes."""
    answer, connect, follow = Gateway.__call__, PrefectHttp.__init__, Reconciler.follow
    faulty = FaultyGateway(plan, answer)

    async def answering(gateway: Gateway, scope: Scope, receive: Receive, send: Send) -> None:
        await faulty(gateway, scope, receive, send)

    def connected(prefect: PrefectHttp, client: Any) -> None:
        connect(prefect, FaultyClient(plan, client))  # type: ignore[arg-type]  # all of a client that it calls

    async def following(reconciler: Reconciler, kind: Kind, thing_id: UUID, patience: float = 0.0) -> None:
        name = await name_of(plan, reconciler, kind, thing_id)
        what = kind.removesuffix(" that differs in Prefect")
        token = FOLLOWED.set((what, name))
        try:
            await follow(reconciler, kind, thing_id, patience)
        finally:
            FOLLOWED.reset(token)
        if name:
            plan.note("followed", f"{name} {what}")

    Gateway.__call__ = answering  # type: ignore[method-assign]
    PrefectHttp.__init__ = connected  # type: ignore[method-assign]
    Reconciler.follow = following  # type: ignore[method-assign]


if __name__ == "__main__":
    install(plan := Plan(Path(os.environ["FAULTS"])))

    from api_shim import background
    from api_shim.cli import main
    from api_shim.reconcile import recovery, wake_queue

    # Whoever was killed is to be missed soon, and what has failed to be tried again soon.
    background.SWEEP_EVERY = background.LATE_TO_ASK = timedelta(seconds=5)
    recovery.LONGEST_PAUSE = recovery.SHORTEST_PAUSE
    wake_queue.LONGEST_PAUSE = wake_queue.SHORTEST_PAUSE
    # What is held holds up nothing else.
    wake_queue.AT_ONCE += plan.holds
    main()
