"""What an idle server costs: ``python -m tests.benchmarks.idle [seconds]`` (default 60).

Starts ``prefect server start`` and ``signoff up`` with the same settings, each in an empty home and in turn, lets each
settle, and tells the CPU that it and all its processes take, in percent of one core, and their memory, each page shared
by several counted once (PSS).
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import httpx

from tests.live import environment, eventually, free_port, start, stat_of

SETTLES_WITHIN = 30.0
SETTINGS = {
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "PREFECT_SERVER_LOGGING_LEVEL": "ERROR",
    "PREFECT_SERVER_SERVICES_SCHEDULER_MIN_SCHEDULED_TIME": "PT10M",
}
TICKS = os.sysconf("SC_CLK_TCK")


def family(pid: int) -> list[int]:
    """Return a process and all that it has started."""
    found, parents = [pid], {}
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            parents[int(folder.name)] = int(stat_of(int(folder.name))[1])
    for parent in found:
        found += [child for child, its in parents.items() if its == parent]
    return found


def cpu(pids: list[int]) -> float:
    """Return the seconds of CPU that processes have taken."""
    return sum(sum(map(int, stat_of(pid)[11:15])) for pid in pids) / TICKS


def memory(pids: list[int]) -> float:
    """Return the memory of processes, in MB."""
    lines = (line for pid in pids for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines())
    return sum(int(line.split()[1]) for line in lines if line.startswith("Pss:")) / 1024


def measure(what: str, pid: int, seconds: float) -> None:
    time.sleep(SETTLES_WITHIN)
    pids = family(pid)
    before, begun = cpu(pids), time.monotonic()
    time.sleep(seconds)
    percent = 100 * (cpu(pids) - before) / (time.monotonic() - begun)
    print(f"{what:22} {percent:5.1f} % of a core, {memory(pids):5.0f} MB in {len(pids)} processes", flush=True)


def prefect_server(home: Path) -> tuple[subprocess.Popen[bytes], Callable[[], bool]]:
    """Start Prefect's own server with the settings of ours."""
    port = free_port()
    command = [sys.executable, "-m", "prefect", "server", "start", "--port", str(port)]
    env = environment(PREFECT_HOME=str(home), **SETTINGS)
    process = subprocess.Popen(command, env=env, stdout=subprocess.DEVNULL)

    def answers() -> bool:
        try:
            return httpx.get(f"http://127.0.0.1:{port}/api/health").status_code == 200
        except httpx.TransportError:
            return False

    return process, answers


def main(seconds: float) -> None:
    """Measure and print."""
    with tempfile.TemporaryDirectory() as folder:
        process, answers = prefect_server(Path(folder) / "prefect")
        try:
            eventually(answers, within=120)
            measure("prefect server start", process.pid, seconds)
        finally:
            process.terminate()
            process.wait(30)
        server = start(Path(folder) / "home", free_port())
        try:
            measure("signoff up", server.process.pid, seconds)
        finally:
            server.stop()


if __name__ == "__main__":
    main(float(sys.argv[1]) if len(sys.argv) > 1 else 60)
