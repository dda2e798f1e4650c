"""The second process: all parts of the system are its children, and it does harm to them, as a seed says.

* It is told what to do in lines of JSON on its standard input, and answers each with one on its standard output.
* A part that ends, by harm or by itself, is started again, as a service manager would.
* Harm is one of these: SIGKILL to a process, to it and all that it has started, or to something that it has started;
  SIGSTOP, and SIGCONT later; SIGTERM; a link that is cut, held up or slow; a lock on a file of SQLite.
* Each is noted in a file, with when it began and when its part was well again.
* It adopts whatever loses its parent, so that nothing outlives it; and it ends when its standard input does.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Collection, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from api_shim.worker.fork_server import ZYGOTE
from tests.chaos.links import Link
from tests.live import stat_of

PR_SET_CHILD_SUBREAPER = 36
ENDS_WITHIN = 30.0
"""Seconds that a part has to end when it is told to, before it is killed."""

Shape = dict[str, Any]


@dataclass
class Part:
    """A process of the system.

    Args:
        name: its own.
        command: how it is started.
        env: its environment.
        cwd: where.
        log: the folder of its logs.
        says: what stands in its log once it is well; empty if it says nothing.
        user: whom it runs as; None for who runs this.
    """

    name: str
    command: list[str]
    env: dict[str, str]
    cwd: str
    log: str
    says: str
    user: str | None = None
    process: subprocess.Popen[bytes] | None = None
    starts: int = 0
    is_well: bool = False

    @property
    def path_of_log(self) -> Path:
        return Path(self.log) / f"{self.name}-{self.starts}.log"

    @property
    def is_over(self) -> bool:
        return self.process is None or self.process.poll() is not None

    def start(self) -> None:
        """Start it, with a log of its own."""
        self.starts += 1
        self.is_well = False
        whose: Shape = {} if self.user is None else {"user": self.user, "group": self.user, "extra_groups": []}
        with self.path_of_log.open("wb") as out:
            self.process = subprocess.Popen(
                self.command, cwd=self.cwd, env=self.env, stdin=subprocess.DEVNULL, stdout=out, stderr=out, **whose
            )

    def look(self) -> None:
        """See whether it is well."""
        self.is_well = not self.is_over and (self.is_well or self.says in self.path_of_log.read_text(errors="replace"))

    def family(self) -> list[int]:
        """Return it and all that it has started, the youngest first."""
        if self.process is None or self.is_over:
            return []
        return [*descendants(self.process.pid), self.process.pid]


def descendants(pid: int) -> list[int]:
    """Return the processes that one has started, and those that these have, the youngest first."""
    children: dict[int, list[int]] = {}
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            children.setdefault(int(stat_of(int(folder.name))[1]), []).append(int(folder.name))

    def below(parent: int) -> Iterator[int]:
        for child in children.get(parent, []):
            yield from below(child)
            yield child

    return [*below(pid)]


def send(number: int, *pids: int) -> None:
    """Send a signal to processes; some end by themselves meanwhile."""
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)


@dataclass
class Trouble:
    """The parts, and the harm that is done to them.

    Args:
        notes: the file in which each harm is noted.
    """

    notes: Path
    parts: dict[str, Part] = field(default_factory=dict)
    links: dict[str, Link] = field(default_factory=dict)
    files: list[str] = field(default_factory=list)
    harmed: dict[str, asyncio.Task[None]] = field(default_factory=dict)
    chance: random.Random = field(default_factory=random.Random)
    going: asyncio.Task[None] | None = None
    healing: asyncio.Event = field(default_factory=asyncio.Event)

    # What it is told

    async def start(self, **part: Any) -> None:
        """Start a part, and return when it is well."""
        made = self.parts[part["name"]] = Part(**part)
        made.start()
        await self._is_well(made)

    async def link(self, name: str, to: list[int]) -> int:
        """Make a link, and return its port."""
        self.links[name] = Link(name, to)
        return await self.links[name].start()

    async def trouble(self, seed: int, pauses: tuple[float, float], files: list[str], most: int) -> None:
        """Begin to do harm, until it is told to heal.

        Args:
            seed: decides what is done.
            pauses: the shortest and the longest time in seconds from one to the next.
            files: the SQLite files that may be locked.
            most: how much is harmed at the same time: there is to be something left that can do wrong.
        """
        self.chance, self.files = random.Random(seed), files
        self.healing.clear()
        self.going = asyncio.create_task(self._go_on(pauses, most))

    async def heal(self) -> None:
        """Do no more harm, and return when all are well."""
        self.healing.set()
        if self.going is not None:
            await self.going
        await asyncio.gather(*self.harmed.values())
        for part in self.parts.values():
            await self._is_well(part)

    # What it does by itself

    async def keep(self) -> None:
        """Start again what has ended, and bury what nobody else does."""
        while True:
            for part in self.parts.values():
                if part.is_over:
                    if part.name not in self.harmed:
                        self._note("ended by itself", part.name, time.time())
                    part.start()
                part.look()
            ours = {part.process.pid for part in self.parts.values() if part.process is not None}
            bury(ours)
            await asyncio.sleep(0.5)

    async def _go_on(self, pauses: tuple[float, float], most: int) -> None:
        while not self.healing.is_set():
            await self._pause(self.chance.uniform(*pauses))
            if len(self.harmed) < most and not self.healing.is_set():
                self._harm()

    def _harm(self) -> None:
        """Choose whom to harm and how, and begin."""
        places = ["part"] * 4 + ["link"] * 2 * bool(self.links) + ["file"] * bool(self.files)
        match self.chance.choice(places):
            case "part":
                name = self.chance.choice([*self.parts])
                kinds = [self._kill, self._kill_all, self._kill_one, self._stop, self._stop_all, self._restart]
                kind: Callable[..., Awaitable[None]] = self.chance.choice(kinds)
                does, said = partial(kind, self.parts[name]), kind.__name__
            case "link":
                name = self.chance.choice([*self.links])
                said = self.chance.choice(["cut", "hold", "slow"])
                does = partial(self._break, self.links[name], said)
            case _:
                name, said = self.chance.choice(self.files), "lock"
                does = partial(self._lock, name)
        if name not in self.harmed:
            self.harmed[name] = asyncio.create_task(self._noted(said.strip("_").replace("_", " "), name, does))

    async def _noted(self, kind: str, name: str, does: Callable[[], Awaitable[None]]) -> None:
        began = time.time()
        try:
            await does()
        finally:
            self._note(kind, Path(name).name, began)
            del self.harmed[name]

    def _note(self, kind: str, name: str, began: float) -> None:
        with self.notes.open("a") as lines:
            lines.write(json.dumps({"kind": kind, "of": name, "began": began, "ended": time.time()}) + "\n")

    async def _pause(self, seconds: float) -> None:
        """Wait, but not when all is to be healed."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self.healing.wait(), seconds)

    async def _is_well(self, part: Part) -> None:
        await _until(lambda: part.is_well)

    # Harm

    async def _kill(self, part: Part) -> None:
        was = part.process
        send(signal.SIGKILL, *part.family()[-1:])
        await self._well_again(part, was)

    async def _kill_all(self, part: Part) -> None:
        was = part.process
        send(signal.SIGKILL, *part.family())
        await self._well_again(part, was)

    async def _kill_one(self, part: Part) -> None:
        """Kill something that a part has started: a worker, its fork server, a run, a connection of a database."""
        if started := part.family()[:-1]:
            # A fork server is one among many runs, and is to have its turn.
            forks = [pid for pid in started if ZYGOTE in command_of(pid)]
            send(signal.SIGKILL, self.chance.choice([self.chance.choice(started), *forks[-1:]]))
        await asyncio.sleep(0.5)
        await self._is_well(part)

    async def _stop(self, part: Part) -> None:
        await self._stopped(part, part.family()[-1:])

    async def _stop_all(self, part: Part) -> None:
        await self._stopped(part, part.family())

    async def _stopped(self, part: Part, pids: list[int]) -> None:
        send(signal.SIGSTOP, *pids)
        try:
            await self._pause(self.chance.uniform(1, 25))
        finally:
            send(signal.SIGCONT, *pids)
        await self._is_well(part)

    async def _restart(self, part: Part) -> None:
        was = part.process
        send(signal.SIGTERM, *part.family()[-1:])
        await _until(lambda: part.process is not was or part.is_over, ENDS_WITHIN)
        if part.process is was:
            send(signal.SIGKILL, *part.family())
        await self._well_again(part, was)

    async def _well_again(self, part: Part, was: subprocess.Popen[bytes] | None) -> None:
        """Wait until a part that was told to end has ended, and is well after it was started again."""
        await _until(lambda: part.process is not was)
        await self._is_well(part)

    async def _break(self, link: Link, how: str) -> None:
        match how:
            case "cut":
                link.cut()
            case "hold":
                link.hold()
            case _:
                link.slow(self.chance.uniform(0.02, 0.5))
        await self._pause(self.chance.uniform(1, 25))
        link.mend()

    async def _lock(self, file: str) -> None:
        with contextlib.closing(sqlite3.connect(file, isolation_level=None)) as connection:
            try:
                connection.execute("BEGIN IMMEDIATE")
            except sqlite3.OperationalError:
                return
            await self._pause(self.chance.uniform(1, 15))
            connection.execute("ROLLBACK")


def bury(but: Collection[int] = ()) -> None:
    """Let processes go that have ended, whose parent this one is or has become.

    Args:
        but: those for which somebody else does it.
    """
    for pid in descendants(os.getpid()):
        with contextlib.suppress(OSError):
            state, parent, *_ = stat_of(pid)
            if state == "Z" and int(parent) == os.getpid() and pid not in but:
                os.waitpid(pid, os.WNOHANG)


async def _until(holds: Callable[[], bool], within: float = float("inf")) -> None:
    """Wait until something holds, or so many seconds."""
    deadline = time.monotonic() + within
    while not holds() and time.monotonic() < deadline:  # noqa: ASYNC110 - what happens in other processes sets no event
        await asyncio.sleep(0.1)


def command_of(pid: int) -> str:
    """Return the command line of a process; empty if it has gone."""
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    return ""


async def serve(notes: Path) -> None:
    """Do what the lines of the standard input say, until they end; then end everything."""
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    trouble = Trouble(notes)
    keeping = asyncio.create_task(trouble.keep())
    try:
        while line := await asyncio.to_thread(sys.stdin.readline):
            said = json.loads(line)
            answer = await getattr(trouble, said.pop("do"))(**said)
            print(json.dumps({"answer": answer}), flush=True)
    finally:
        keeping.cancel()
        while left := descendants(os.getpid()):
            send(signal.SIGKILL, *left)
            send(signal.SIGCONT, *left)
            bury()
            await asyncio.sleep(0.1)


if __name__ == "__main__":
    asyncio.run(serve(Path(sys.argv[1])))
