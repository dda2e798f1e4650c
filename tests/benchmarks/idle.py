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
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path

import httpx

from tests.benchmarks.servers import Database, command_line, settings_of, started
from tests.live import environment, eventually, free_port, stat_of

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
    ticks = 0
    for pid in pids:
        with suppress(OSError):
            ticks += sum(map(int, stat_of(pid)[11:15]))
    return ticks / TICKS


def memory(pids: list[int]) -> float:
    """Return the memory of processes, in MB."""
    kilobytes = 0
    for pid in pids:
        # It may have ended.
        with suppress(OSError):
            lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
            kilobytes += sum(int(line.split()[1]) for line in lines if line.startswith("Pss:"))
    return kilobytes / 1024


def measure(what: str, pid: int, seconds: float) -> None:
    time.sleep(SETTLES_WITHIN)
    pids = family(pid)
    before, begun = cpu(pids), time.monotonic()
    time.sleep(seconds)
    percent = 100 * (cpu(pids) - before) / (time.monotonic() - begun)
    print(f"{what:22} {percent:5.1f} % of a core, {memory(pids):5.0f} MB in {len(pids)} processes", flush=True)


def prefect_server(home: Path, settings: Mapping[str, str]) -> tuple[subprocess.Popen[bytes], Callable[[], bool]]:
    """Start Prefect's own server with the settings of ours."""
    port = free_port()
    command = [sys.executable, "-m", "prefect", "server", "start", "--port", str(port)]
    env = environment(PREFECT_HOME=str(home), **SETTINGS, **settings)
    process = subprocess.Popen(command, env=env, stdout=subprocess.DEVNULL)

    def answers() -> bool:
        try:
            return httpx.get(f"http://127.0.0.1:{port}/api/health").status_code == 200
        except httpx.TransportError:
            return False

    return process, answers


def main(database: Database, seconds: float) -> None:
    """Measure and print."""
    with tempfile.TemporaryDirectory() as folder, settings_of(database) as settings:
        process, answers = prefect_server(Path(folder) / "prefect", settings)
        try:
            eventually(answers, within=120)
            measure("prefect server start", process.pid, seconds)
        finally:
            process.terminate()
            process.wait(30)
    with started(database) as server:
        measure("signoff up", server.process.pid, seconds)


if __name__ == "__main__":
    database, words = command_line()
    main(database, *map(float, words or ["60"]))
