"""A Job that looks for what would make it the server."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterator
from itertools import takewhile
from pathlib import Path
from typing import Any

from flows import IntegerVar, Job, StringVar, register_jobs

name = "Seeking"


class Seek(Job):
    """Tells what it finds in its environment, in the command lines and the memory of others, and what it can use."""

    server = IntegerVar()
    home = StringVar()
    key = StringVar()

    class Meta:
        name = "Seek"
        has_sensitive_variables = False

    def run(self, *, server: int, home: str, key: str) -> dict[str, Any]:
        parents = [*takewhile(lambda pid: pid != server, family(os.getpid()))]
        return {
            "user": os.getuid(),
            # What it speaks to Prefect with is its own.
            "environment": {k: v for k, v in os.environ.items() if k != "PREFECT_API_AUTH_STRING"},
            "commands": [text for pid in parents if (text := read(f"/proc/{pid}/cmdline"))],
            "others": (others := [pid for pid in processes() if pid != os.getpid() and server in family(pid)]),
            "keys": sum(len(KEYS.findall(held)) for pid in others if not is_anothers(pid) for held in memory(pid)),
            "used": [
                *(path for path in (home, f"{home}/prefect") if listed(path)),
                *(
                    f"{home}/{file}"
                    for file in ("worker.key", "local.key", "signoff.db", "audit.head")
                    if read(f"{home}/{file}")
                ),
                *(path for path in (key, f"/proc/{server}/environ", f"/proc/{server}/maps") if read(path)),
                *(f"parent {pid}" for pid in parents if is_anothers(pid) and read(f"/proc/{pid}/environ")),
                *(["signal"] if signals(server) else []),
            ],
        }


class Linger(Job):
    """Is there for others to look into."""

    class Meta:
        name = "Linger"
        has_sensitive_variables = False

    def run(self) -> None:
        time.sleep(600)


KEYS = re.compile(rb"signoff_run_[0-9A-Za-z]{36}")


def processes() -> list[int]:
    return [int(name) for name in os.listdir("/proc") if name.isdigit()]  # noqa: PTH208 - they come and go


def memory(pid: int) -> Iterator[bytes]:
    """Yield what stands in the environment and the memory of a process, as far as it can be read."""
    yield read(f"/proc/{pid}/environ").encode()
    try:
        with Path(f"/proc/{pid}/maps").open() as maps, Path(f"/proc/{pid}/mem").open("rb", buffering=0) as mapped:
            for line in maps:
                place, may, *_ = line.split()
                begin, end = (int(each, 16) for each in place.split("-"))
                if "w" in may:
                    mapped.seek(begin)
                    yield mapped.read(end - begin)
    except OSError:
        return


def family(pid: int) -> Iterator[int]:
    """Yield the processes that this one comes from."""
    while pid > 1 and (text := read(f"/proc/{pid}/stat")):
        pid = int(text.rpartition(")")[2].split()[1])
        yield pid


def is_anothers(pid: int) -> bool:
    """Say whether a process is another user's."""
    return read(f"/proc/{pid}/status").partition("Uid:")[2].split()[:1] != [str(os.getuid())]


def read(path: str) -> str:
    try:
        with Path(path).open("rb") as file:
            return file.read(100_000).replace(b"\0", b" ").decode(errors="replace")
    except OSError:
        return ""


def listed(path: str) -> bool:
    try:
        return bool(os.listdir(path))  # noqa: PTH208 - whether it can be
    except OSError:
        return False


def signals(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except PermissionError:
        return False
    return True


register_jobs(Seek, Linger)
