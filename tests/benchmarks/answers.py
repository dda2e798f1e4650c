"""How soon requests and approvals are answered: ``python -m tests.benchmarks.answers [how many]`` (default 200).

Starts a real server (``servers.py``) and asks it from one client, then from eight at once: runs with a schedule, then
approvals of requests that were made before. Last it says how long Prefect took to follow what was left to do.

Answers end with a commit, and a commit with a sync of the disk; how long one takes here is told beside the figures.
"""

from __future__ import annotations

import json
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from http.client import HTTPConnection
from itertools import count
from pathlib import Path
from typing import Any

from api_shim.domain.model import ScheduledJob
from api_shim.store import Store
from tests.benchmarks.servers import Database, command_line, started
from tests.live import Live

FAR = "2030-01-01T01:00:00Z"
CLIENTS = (1, 8)
DRAINED_WITHIN = 3600.0


class Client:
    """One caller with a connection of its own."""

    def __init__(self, server: Live, who: str) -> None:
        self._connection = HTTPConnection("127.0.0.1", server.port, timeout=60)
        self._headers = {"Authorization": f"Token {server.key(who)}", "Content-Type": "application/json"}

    def close(self) -> None:
        """Let go of the connection, which the server would end if it is idle; the next request opens another."""
        self._connection.close()

    def post(self, path: str, body: object) -> Any:
        self._connection.request("POST", path, json.dumps(body), self._headers)
        answer = self._connection.getresponse()
        text = answer.read()
        if answer.status >= 300:
            raise RuntimeError(f"{path}: {answer.status} {text[:200]!r}")
        return json.loads(text)


def schedule(client: Client, job: str, number: int) -> Any:
    body = {"data": {}, "schedule": {"name": f"{job} {number}", "interval": "future", "start_time": FAR}}
    return client.post(f"/api/extras/jobs/{job}/run/", body)


def approve(client: Client, which: str) -> Any:
    return client.post(f"/api/extras/scheduled-jobs/{which}/approve/", {})


def measured(clients: list[Client], jobs: Sequence[Callable[[Client], Any]]) -> tuple[list[float], float]:
    """Do all of this, divided among the clients; return how long each took, and all together, in seconds."""

    def work(client: Client, mine: Sequence[Callable[[Client], Any]]) -> list[float]:
        took = []
        for job in mine:
            begun = time.perf_counter()
            job(client)
            took.append(time.perf_counter() - begun)
        return took

    parts = [jobs[number :: len(clients)] for number in range(len(clients))]
    begun = time.perf_counter()
    with ThreadPoolExecutor(len(clients)) as pool:
        took = [each for part in pool.map(work, clients, parts) for each in part]
    whole = time.perf_counter() - begun
    for client in clients:
        client.close()
    return took, whole


def show(what: str, clients: int, took: list[float], whole: float) -> None:
    p95 = sorted(took)[len(took) * 95 // 100]
    print(
        f"{what:28}{clients:>2} clients: median {statistics.median(took) * 1000:7.1f} ms, p95 {p95 * 1000:7.1f} ms, "
        f"{len(took) / whole:6.1f} a second",
        flush=True,
    )


def drained(server: Live) -> float:
    """Return how many seconds Prefect took to follow everything."""
    store = Store(server.database_url)
    begun = time.perf_counter()
    try:
        while time.perf_counter() - begun < DRAINED_WITHIN:
            with store.transaction(write=False) as tx:
                if not tx.lagging(ScheduledJob, 1):
                    break
            time.sleep(0.1)
    finally:
        store.close()
    return time.perf_counter() - begun


def sync_time(folder: Path) -> float:
    """Return the median of how long this disk takes to keep one page, in milliseconds."""
    took = []
    with (folder / "sync").open("wb") as file:
        for _ in range(50):
            file.write(b"x" * 4096)
            file.flush()
            begun = time.perf_counter()
            os.fsync(file.fileno())
            took.append(time.perf_counter() - begun)
    return statistics.median(took) * 1000


def measure(server: Live, how_many: int, numbers: Iterator[int]) -> None:
    for clients in CLIENTS:
        alices = [Client(server, "alice") for _ in range(clients)]
        bobs = [Client(server, "bob") for _ in range(clients)]
        schedule(alices[0], "Greet", next(numbers))
        asked = [partial(schedule, job="Greet", number=next(numbers)) for _ in range(how_many)]
        show("POST run with schedule", clients, *measured(alices, asked))
        print(f"    Prefect followed {drained(server):.1f} s later", flush=True)
        waiting = [schedule(alices[0], "Guarded", next(numbers))["scheduled_job"]["id"] for _ in range(how_many)]
        print(f"    requests to approve shown by Prefect {drained(server):.1f} s later", flush=True)
        approvals = [partial(approve, which=which) for which in waiting]
        show("POST approve", clients, *measured(bobs, approvals))
        print(f"    Prefect followed {drained(server):.1f} s later", flush=True)


def main(database: Database, how_many: int) -> None:
    """Measure and print."""
    with tempfile.TemporaryDirectory() as folder:
        print(f"One sync of the disk: {sync_time(Path(folder)):.2f} ms", flush=True)
    with started(database) as server:
        measure(server, how_many, count())


if __name__ == "__main__":
    database, words = command_line()
    main(database, *map(int, words or ["200"]))
