"""What requests that wait cost: ``python -m tests.benchmarks.holds [how many]`` (default 1000).

Starts a real server (``servers.py``), requests so many runs that need approval, and prints the memory of the server and
the number of its processes before and after, and the time of a page of the queue beside that of a page of as many
scheduled jobs, in one run. The times are of this machine; their ratio is what says something.
"""

from __future__ import annotations

import statistics
import subprocess
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx

from tests.benchmarks.servers import Database, command_line, started
from tests.live import Live, eventually

AT_ONCE = 4


def memory(server: Live) -> float:
    """Return the resident memory of the server, in MB."""
    status = Path(f"/proc/{server.process.pid}/status").read_text()
    return int(status.split("VmRSS:")[1].split()[0]) / 1024


def processes(server: Live) -> int:
    """Return how many processes the server has started and still has."""
    found = subprocess.run(["pgrep", "-P", str(server.process.pid)], capture_output=True, text=True, check=False)
    return len(found.stdout.split())


def milliseconds(ask: Callable[[], httpx.Response], times: int = 15) -> str:
    """Time a request, so many times."""
    took = []
    for _ in range(times):
        begun = time.perf_counter()
        ask().raise_for_status()
        took.append((time.perf_counter() - begun) * 1000)
    return f"median {statistics.median(took):.0f} ms (from {min(took):.0f} to {max(took):.0f})"


def request(client: httpx.Client, number: int) -> None:
    schedule = {"name": f"request {number}", "interval": "future", "start_time": "2030-01-01T01:00:00Z"}
    client.post("/api/extras/jobs/Guarded/run/", json={"schedule": schedule}).raise_for_status()


def main(database: Database, how_many: int) -> None:
    """Measure and print."""
    with started(database) as server, server.client("alice") as alice, server.client("bob") as bob:
        measure(server, alice, bob, how_many)


def measure(server: Live, alice: httpx.Client, bob: httpx.Client, how_many: int) -> None:
    print(f"before: {memory(server):.0f} MB, {processes(server)} child processes")
    begun = time.perf_counter()
    with ThreadPoolExecutor(AT_ONCE) as pool:
        list(pool.map(lambda number: request(alice, number), range(how_many)))
    took = time.perf_counter() - begun
    print(f"{how_many} requests: {took / how_many * 1000:.0f} ms each, {AT_ONCE} at once")
    count = {"flow_runs": {"tags": {"all_": ["awaiting-approval"]}, "state": {"name": {"any_": ["Suspended"]}}}}
    eventually(lambda: bob.post("/api/flow_runs/count", json=count).json() == how_many, within=600, every=1)
    print(f"{how_many} held: {memory(server):.0f} MB, {processes(server)} child processes")
    for limit in (50, 1000):
        for name, path in (("approval queue", "approval-queue"), ("scheduled jobs", "scheduled-jobs")):
            address, wanted = f"/api/extras/{path}/", {"limit": limit}
            told = milliseconds(lambda address=address, wanted=wanted: bob.get(address, params=wanted))  # type: ignore[misc]
            print(f"a page of {limit} of the {name}: {told}")


if __name__ == "__main__":
    database, words = command_line()
    main(database, *map(int, words or ["1000"]))
