"""What load leaves behind: ``python -m tests.benchmarks.endurance [minutes] [seed]`` (default 60 and 1).

Starts a real server (``servers.py``). Four clients request runs as where processes are killed (``kills.py``): at once,
for a few seconds later, and with an approval, as fast as they are worked off. Every five minutes it tells how many were
accepted and how many have not ended.

In the end it waits until all that was accepted is over, and counts what must not be: answers that say the server is at
fault, lines of its log that say so (``database is locked`` among them), and all that is counted where processes are
killed.
"""

from __future__ import annotations

import random
import tempfile
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from tests.benchmarks.kills import Shape, Trial, judge
from tests.benchmarks.servers import Database, command_line, started
from tests.live import Live

CLIENTS, WAITING_AT_MOST = 4, 40
TELLS_EVERY = 300.0
FAULTS = ("database is locked", "Traceback", "503 Service Unavailable", "500 Internal Server Error")
UNFINISHED = "/api/extras/job-results/?status=PENDING&status=STARTED&limit=1"


@dataclass
class Endurance(Trial):
    """A server under load, and its answers that say that it is at fault.

    Args:
        paused: set while enough waits to be worked off.
        faults: how often which status was answered.
    """

    paused: threading.Event = field(default_factory=threading.Event)
    faults: Counter[int] = field(default_factory=Counter)

    def ask(self, who: str, path: str, body: Shape) -> httpx.Response:
        headers = {"Authorization": f"Token {self.server.key(who)}"}
        answer = httpx.post(f"{self.server.origin}{path}", json=body, headers=headers, timeout=60)
        if answer.status_code >= 500:
            self.faults[answer.status_code] += 1
        return answer

    def keep_asking(self, seed: int) -> None:
        chance = random.Random(seed)
        while not self.over.wait(0.5 if self.paused.is_set() else chance.uniform(0.0, 0.3)):
            if not self.paused.is_set():
                self.request(chance)

    def watch(self, minutes: float) -> None:
        """Have the clients wait while enough waits, and tell how it goes, for so long."""
        begun = told = time.monotonic()
        with self.server.client() as client:
            while (now := time.monotonic()) - begun < 60 * minutes:
                waits = client.get(UNFINISHED).raise_for_status().json()["count"]
                (self.paused.set if waits > WAITING_AT_MOST else self.paused.clear)()
                if now - told >= TELLS_EVERY:
                    told = now
                    print(f"{(now - begun) / 60:4.0f} min: accepted {len(self.accepted)}, {waits} to do", flush=True)
                time.sleep(1)


def lines_of_fault(server: Live) -> dict[str, int]:
    """Return how often the server's log says each of what must not be."""
    log = server.log.read_text(errors="replace")
    return {fault: log.count(fault) for fault in FAULTS if fault in log}


def main(database: Database, minutes: float, seed: int) -> None:
    """Try and print."""
    with started(database) as server, tempfile.TemporaryDirectory() as runs:
        trial = Endurance(server, Path(runs))
        for who in ("alice", "bob"):
            server.key(who)
        threads = [threading.Thread(target=trial.keep_asking, args=(seed * 100 + n,)) for n in range(CLIENTS)]
        for thread in threads:
            thread.start()
        try:
            trial.watch(minutes)
        finally:
            trial.over.set()
        for thread in threads:
            thread.join(60)
        judge(trial)
        print(f"answers of fault: {dict(trial.faults)}; in the log: {lines_of_fault(server)}")


if __name__ == "__main__":
    database, words = command_line()
    minutes, seed = [*words, *("60", "1")[len(words) :]]
    main(database, float(minutes), int(seed))
