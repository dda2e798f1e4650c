"""How fast runs start and how many there are a minute: ``python -m tests.benchmarks.runs [way] …``.

Starts a real server (``servers.py``) for each way of starting runs (``process`` and ``warm``), in turn. Asks for single
runs, one after the other, and tells how long each took from the question to its outcome; approves requests that wait,
and tells how long it took to the first line of the Job; then asks for 40 and for 100 runs of a Job of one line, by four
clients at once, and tells how many were done a minute until the last had ended, how long each took, and which were
refused or failed. The CPU is that of the server, and of the workers with all that they have
started. The times are of this machine, whose load is told; compare what stands in one run.
"""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from tests.benchmarks.answers import drained
from tests.benchmarks.servers import Database, command_line, started
from tests.live import Live, eventually, processes_of, stat_of

WAYS = ("process", "warm")
SINGLE, APPROVED, BURSTS, AT_ONCE = 8, {"process": 10, "warm": 50}, (40, 100), 4
TICKS = os.sysconf("SC_CLK_TCK")
FINAL = ("SUCCESS", "FAILURE", "REVOKED")


@dataclass
class Burst:
    """What became of runs that were asked for at once."""

    seconds: float = 0.0
    took: list[float] = field(default_factory=list)
    refused: int = 0
    failed: int = 0

    def __str__(self) -> str:
        done = len(self.took)
        if not done:
            return f"none done, refused {self.refused}"
        return (
            f"{done / self.seconds * 60:6.0f} a minute; asked to outcome median {statistics.median(self.took):.2f} s, "
            f"worst {max(self.took):.2f} s; refused {self.refused}, failed {self.failed}"
        )


def ask(client: httpx.Client) -> dict[str, Any] | None:
    """Ask for a run; None when it is refused."""
    answer = client.post("/api/extras/jobs/Greet/run/", json={"data": {}})
    result: dict[str, Any] | None = answer.json()["job_result"] if answer.status_code == 201 else None
    return result


def status_of(client: httpx.Client, result: dict[str, Any]) -> str:
    value: str = client.get(result["url"]).json()["status"]["value"]
    return value


def single(client: httpx.Client) -> float:
    """Ask for one run, and return how many seconds it took to its outcome."""
    begun = time.perf_counter()
    result = eventually(lambda: ask(client), within=60)
    assert result is not None
    eventually(lambda: status_of(client, result) in FINAL, within=120, every=0.05)
    return time.perf_counter() - begun


def request(client: httpx.Client, file: Path) -> str:
    """Request a run that needs approval, and return the id of what waits."""
    schedule = {"name": file.name, "interval": "immediately"}
    answer = client.post("/api/extras/jobs/Change/run/", json={"data": {"file": str(file)}, "schedule": schedule})
    waiting: str = answer.raise_for_status().json()["scheduled_job"]["id"]
    return waiting


def approved(server: Live, how_many: int) -> list[float]:
    """Approve requests, one after the other; return how many seconds each took to the first line of its Job."""
    files = [server.home / f"approved {number}" for number in range(how_many)]
    with server.client("alice") as alice, server.client("bob") as bob:
        waiting = {file: request(alice, file) for file in files}
        drained(server)
        took = []
        for file, which in waiting.items():
            begun = time.time()
            bob.post(f"/api/extras/scheduled-jobs/{which}/approve/", json={"force": True}).raise_for_status()
            eventually(file.exists, within=60, every=0.02)
            took.append(file.stat().st_ctime - begun)
    return took


def burst(server: Live, how_many: int) -> Burst:
    """Ask for so many runs by several clients, and wait until all have ended."""
    told, asked = Burst(), dict[str, float]()

    def one(_number: int) -> None:
        begun = time.perf_counter()
        with server.client() as client:
            result = ask(client)
        if result is None:
            told.refused += 1
        else:
            asked[result["id"]] = begun

    begun = time.perf_counter()
    with ThreadPoolExecutor(AT_ONCE) as pool:
        asking = [pool.submit(one, number) for number in range(how_many)]
        with server.client() as client:
            while not all(each.done() for each in asking) or asked:
                for result in ended(client, how_many):
                    if (since := asked.pop(result["id"], None)) is not None:
                        told.took.append(time.perf_counter() - since)
                        told.failed += result["status"]["value"] != "SUCCESS"
                # Each look costs the server something.
                time.sleep(0.5)
    told.seconds = time.perf_counter() - begun
    return told


def ended(client: httpx.Client, how_many: int) -> Iterator[dict[str, Any]]:
    rows = client.get("/api/extras/job-results/", params={"limit": how_many + 50}).json()["results"]
    return (row for row in rows if row["status"]["value"] in FINAL)


def seconds_of_cpu(server: Live) -> tuple[float, float]:
    """Return the CPU time of the server, and that of what it has started."""
    children = 0
    for pid in processes_of(server.home):
        with suppress(OSError):
            children += sum(map(int, stat_of(pid)[11:15]))
    own = sum(map(int, stat_of(server.process.pid)[11:13]))
    return own / TICKS, children / TICKS


def measure(server: Live, way: str) -> None:
    with server.client() as client:
        single(client)
        took = [single(client) for _ in range(SINGLE)]
    print(f"  {SINGLE} single runs: median {statistics.median(took):.2f} s, worst {max(took):.2f} s", flush=True)
    took = approved(server, APPROVED[way])
    print(f"  {len(took)} approvals to first line: median {statistics.median(took):.2f} s, worst {max(took):.2f} s")
    for how_many in BURSTS:
        before = seconds_of_cpu(server)
        told = burst(server, how_many)
        own, children = (1000 * (now - was) / how_many for was, now in zip(before, seconds_of_cpu(server), strict=True))
        load = os.getloadavg()[0]
        print(
            f"  {how_many:4} runs: {told}; ms of CPU a run: server {own:.0f}, worker {children:.0f}; load {load:.1f}",
            flush=True,
        )


def main(database: Database, *ways: str) -> None:
    """Measure and print."""
    for way in ways:
        with started(database, "--worker", way) as server:
            print(f"--worker {way}", flush=True)
            measure(server, way)


if __name__ == "__main__":
    database, words = command_line()
    main(database, *(words or WAYS))
