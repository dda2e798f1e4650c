"""Children for runs: asks a fork server for them, tells when one has ended, and renews the server in time.

* A fork server is a process of its own (``prefect_zygote``); it is spoken to in lines of JSON over a pair of sockets.
* What a child is to do, with the key of its run, is for the child alone: it goes through a socket of its own, of which
  the fork server is given the other end to pass on, and nothing to read. Other Jobs of its user may look into that one.
* Its code is never old: before each fork the files of the Jobs are looked at, and one that has changed makes a new
  server. It is renewed as well after many forks and when it has grown; the one before ends with its last child.
* A module that must not be imported before a fork is left to the children; why is said once.
* A fork server that dies takes its children with it; they count as killed, and the next fork has a new server.
* Whatever a child has started is in its process group, and ends with it.
* Where Jobs run as another user, the fork server does from its start: no code of theirs is ever run by the worker's.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import signal
import socket
import sys
from collections.abc import Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from api_shim.worker.jobs_user import JobsUser
from api_shim.worker.stamps import stamp
from api_shim.worker.traces import without_traces

logger = logging.getLogger("signoff")

ZYGOTE = "api_shim.worker.prefect_zygote"
READY_WITHIN = 60.0
"""Seconds. To import Prefect takes one on a quiet machine; Jobs import what they like."""

FORKED_WITHIN = 30.0
ENDS_WITHIN = 5.0
FORKS_EACH = 1000
GROWTH = 128 * 2**20
"""Bytes by which a fork server may grow before it is renewed."""

TRIES = 3


class ForkFailed(Exception):
    """No child could be had from a fork server."""


class Unfit(Exception):
    """A module cannot be imported before a fork."""

    def __init__(self, module: str, why: str) -> None:
        super().__init__(why)
        self.module = module


@dataclass(eq=False)
class Child:
    """A process that executes a run.

    Args:
        pid: its id, and that of its process group.
        returncode: its exit status, negative for a signal; None while it runs.
        peak: bytes of memory that it had at most; 0 when nobody knows.
        killed: we have killed it.
        user: whose it is; None for the worker's own.
    """

    pid: int
    returncode: int | None = None
    peak: int = 0
    killed: bool = False
    user: JobsUser | None = None
    ended: asyncio.Event = field(default_factory=asyncio.Event)

    def _signal_group(self, number: signal.Signals) -> None:
        if self.user is None:
            os.killpg(self.pid, number)
        else:
            self.user.end_group(self.pid, number)

    def signal(self, number: signal.Signals) -> None:
        """Signal it and all that it has started.

        Raises:
            ProcessLookupError: none of them is there any more.
        """
        if self.returncode is not None:
            # Somebody else may have its number by now.
            raise ProcessLookupError(self.pid)
        self.killed = self.killed or number == signal.SIGKILL
        self._signal_group(number)

    def lose(self) -> None:
        """Note that it has died with its fork server, and kill what it has started, which does not."""
        with suppress(ProcessLookupError, PermissionError):
            self._signal_group(signal.SIGKILL)
        self.end(-signal.SIGKILL)

    def end(self, status: int, peak: int = 0) -> None:
        """Note that it has ended."""
        self.returncode, self.peak = status, peak
        self.ended.set()


class ForkServer:
    """One fork server, ready to fork; made by ``start``.

    Args:
        process: it.
        connection: to it; ``reader`` and ``writer`` are of the same.
        reader: what it says.
        writer: what it is told.
        user: whose it is; None for the worker's own.
    """

    def __init__(
        self,
        process: asyncio.subprocess.Process,
        connection: socket.socket,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        user: JobsUser | None = None,
    ) -> None:
        self.forks = 0
        self._user = user
        self._connection = connection
        self._process = process
        self._reader = reader
        self._writer = writer
        self._asked: dict[int, asyncio.Future[Child]] = {}
        self._children: dict[int, Child] = {}
        self._files: dict[str, Any] = {}
        self._retired = False
        self._gone = False
        self._size = 0
        self._listening: asyncio.Task[None] | None = None

    @classmethod
    async def start(
        cls, setup: Mapping[str, Any], environment: Mapping[str, str], user: JobsUser | None = None
    ) -> ForkServer:
        """Start one, and wait until it can fork.

        Args:
            setup: what ``prefect_zygote`` is told at its start.
            environment: what it has, and its children have.
            user: who it is to run as; None for the worker's own.

        Raises:
            Unfit: a module cannot be imported before a fork.
            ForkFailed: it cannot fork here.
        """
        ours, its = socket.socketpair()
        with its:
            try:
                process = await asyncio.create_subprocess_exec(
                    *(sys.executable, "-P", "-m", ZYGOTE, json.dumps({**setup, "socket": its.fileno()})),
                    stdin=asyncio.subprocess.DEVNULL,
                    pass_fds=[its.fileno()],
                    env=without_traces(environment),
                    start_new_session=True,
                    **(user.identity if user else {}),
                )
            except OSError as error:
                ours.close()
                raise ForkFailed(f"The system makes no process for it: {error.strerror}.") from error
        server = cls(process, ours, *await asyncio.open_unix_connection(sock=ours), user)
        try:
            async with asyncio.timeout(READY_WITHIN):
                await server._become_ready()
        except BaseException as error:
            server._kill()
            await server._end()
            if isinstance(error, TimeoutError):
                raise ForkFailed(f"The fork server was not ready within {READY_WITHIN:g} s.") from error
            raise
        server._listening = asyncio.create_task(server._listen())
        return server

    async def _become_ready(self) -> None:
        importing = ""
        try:
            async for said in self._said():
                match said:
                    case {"importing": str(importing)}:
                        pass
                    case {"unfit": str(why)}:
                        raise Unfit(importing, why) if importing else ForkFailed(why)
                    case {"ready": files}:
                        self._files, self._size = files, self._resident()
                        return
        except TimeoutError:
            if importing:
                raise Unfit(importing, f"it is not imported within {READY_WITHIN:g} s") from None
            raise
        raise Unfit(importing, "the process that imports it ends") if importing else ForkFailed("It ended at once.")

    async def _said(self) -> Any:
        async for line in self._reader:
            yield json.loads(line)

    @property
    def alive(self) -> bool:
        """Whether it can still be asked."""
        return not self._gone

    @property
    def is_old(self) -> bool:
        """Whether a file of the Jobs has changed since it was imported."""
        return any(stamp(path) != was for path, was in self._files.items())

    @property
    def is_worn(self) -> bool:
        """Whether it has forked often, or has grown."""
        return self.forks >= FORKS_EACH or self._resident() - self._size > GROWTH

    @property
    def children(self) -> Collection[Child]:
        return self._children.values()

    async def fork(self, request: Mapping[str, Any]) -> Child:
        """Return a child that carries out a request.

        Args:
            request: what ``prefect_run`` is told.

        Raises:
            ForkFailed: there is none.
        """
        self.forks += 1
        number = self.forks
        answer = self._asked[number] = asyncio.get_running_loop().create_future()
        try:
            async with asyncio.timeout(FORKED_WITHIN):
                await self._ask(number, request)
                child: Child = await answer
                return child
        except (OSError, TimeoutError) as error:
            raise ForkFailed(f"The fork server does not answer ({error}).") from error
        finally:
            self._asked.pop(number, None)

    async def _ask(self, number: int, request: Mapping[str, Any]) -> None:
        ours, its = socket.socketpair()
        with ours:
            with its:
                line = json.dumps({"fork": number, "job": request["job"]}).encode() + b"\n"
                socket.send_fds(self._connection, [line], [its.fileno()])
            ours.setblocking(False)
            # Whether there is a child that reads it is told by the fork server.
            with suppress(BrokenPipeError, ConnectionResetError):
                await asyncio.get_running_loop().sock_sendall(ours, json.dumps(request).encode())

    async def _listen(self) -> None:
        try:
            async for said in self._said():
                self._take(said)
        except (OSError, ValueError):
            logger.exception("The fork server cannot be understood.")
        finally:
            await self._end()

    def _take(self, said: Any) -> None:
        match said:
            case {"forked": number, "pid": pid}:
                child = self._children[pid] = Child(pid, user=self._user)
                asked = self._asked.get(number)
                if asked is None or asked.done():
                    # Nobody waits for it any more.
                    with suppress(ProcessLookupError):
                        child.signal(signal.SIGKILL)
                else:
                    asked.set_result(child)
            case {"refused": number, "why": why}:
                if (asked := self._asked.get(number)) is not None and not asked.done():
                    asked.set_exception(ForkFailed(why))
            case {"exited": pid, "status": status, "peak": peak}:
                if (ended := self._children.pop(pid, None)) is not None:
                    ended.end(status, peak)
                self._close_if_spent()

    def retire(self) -> None:
        """Fork no more, and end with the last child."""
        self._retired = True
        self._close_if_spent()

    def _close_if_spent(self) -> None:
        if self._retired and not self._children:
            self._close()

    def _close(self) -> None:
        """Let it end, though this worker stays."""
        with suppress(OSError):
            self._writer.write(json.dumps({"leave": True}).encode() + b"\n")
        self._writer.close()

    def _kill(self) -> None:
        # Not by its own method, which may take the exit status that is waited for elsewhere.
        if self._process.returncode is None:
            with suppress(ProcessLookupError):
                os.kill(self._process.pid, signal.SIGKILL)

    async def _end(self) -> None:
        """See that it ends, and that its children have."""
        self._gone = True
        self._close()
        try:
            # Without a worker it ends its children, and all that they have started, and then itself.
            await asyncio.wait_for(self._process.wait(), ENDS_WITHIN)
        except TimeoutError:
            self._kill()
            await self._process.wait()
        for child in [*self._children.values()]:
            child.lose()
        self._children.clear()
        for asked in self._asked.values():
            if not asked.done():
                asked.set_exception(ForkFailed("The fork server has ended."))

    async def stop(self) -> None:
        """Have it end, with its children, and wait until it has."""
        self._close()
        if self._listening is not None:
            await self._listening

    def _resident(self) -> int:
        try:
            return int(Path(f"/proc/{self._process.pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
        except (OSError, IndexError, ValueError):
            return 0


class ForkServers:
    """The fork server of a worker, and those before it that still have children.

    Args:
        modules: those of the Jobs.
        setup: what else ``prefect_zygote`` is told at its start.
        environment: what the children have.
        user: who they run as; None for the worker's own.
    """

    def __init__(
        self,
        modules: Collection[str],
        setup: Mapping[str, Any],
        environment: Mapping[str, str],
        user: JobsUser | None = None,
    ) -> None:
        self.environment = dict(environment)
        self._user = user
        self._modules = tuple(modules)
        self._setup = setup
        self._current: ForkServer | None = None
        self._before: list[ForkServer] = []
        self._unfit: set[str] = set()
        self._one_at_a_time = asyncio.Lock()
        self._renewing: asyncio.Task[None] | None = None

    async def ready(self) -> ForkServer:
        """Return a fork server whose code is that of the files.

        Raises:
            ForkFailed: there can be none.
        """
        async with self._one_at_a_time:
            current = self._current
            if current is None or not current.alive or current.is_old:
                self._unfit.clear()
                await self._renew()
            elif current.is_worn and (self._renewing is None or self._renewing.done()):
                # Nobody has to wait for this one.
                self._renewing = asyncio.create_task(self._renew_meanwhile())
            assert self._current is not None  # noqa: S101 - said to the type checker
            return self._current

    async def fork(self, request: Mapping[str, Any]) -> Child:
        """Return a child that carries out a request.

        Raises:
            ForkFailed: none could be had, from a new server neither.
        """
        failure = ForkFailed()
        for _ in range(TRIES):
            try:
                return await (await self.ready()).fork(request)
            except ForkFailed as error:
                failure = error
                await asyncio.sleep(0.2)
        raise failure

    async def _renew_meanwhile(self) -> None:
        try:
            await self._renew()
        except ForkFailed as error:
            logger.warning("The fork server could not be renewed: %s", error)

    async def _renew(self) -> None:
        server = await self._start()
        was, self._current = self._current, server
        self._before = [each for each in self._before if each.alive]
        if was is not None and was.alive:
            self._before.append(was)
            was.retire()

    async def _start(self) -> ForkServer:
        while True:
            modules = [module for module in self._modules if module not in self._unfit]
            try:
                return await ForkServer.start({**self._setup, "modules": modules}, self.environment, self._user)
            except Unfit as unfit:
                self._unfit.add(unfit.module)
                logger.warning("The module %s is imported anew by each run: %s.", unfit.module, unfit)

    @property
    def children(self) -> list[Child]:
        """Return all children that have not ended."""
        servers = [*self._before, *([self._current] if self._current else [])]
        return [child for server in servers for child in server.children]

    async def stop(self, grace: float) -> None:
        """End all children, then the servers.

        Args:
            grace: seconds that children have to end by themselves.
        """
        children = self.children
        for child in children:
            with suppress(ProcessLookupError):
                child.signal(signal.SIGTERM)
        with suppress(TimeoutError):
            async with asyncio.timeout(grace):
                for child in children:
                    await child.ended.wait()
        if self._renewing is not None:
            self._renewing.cancel()
        for server in [*self._before, *([self._current] if self._current else [])]:
            await server.stop()
        self._before, self._current = [], None
