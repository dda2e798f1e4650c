"""What is lost when processes are killed: ``python -m tests.benchmarks.kills [minutes] [seed]`` (default 10 and 1).

Starts a real server (``servers.py``). Three clients request runs: at once, for a few seconds later, and with an
approval; whoever gets no answer asks again with the same key. Meanwhile the server, its worker, the fork server, a run
or all of them are killed with SIGKILL, in turns that the seed decides, and the server is started again.

In the end it waits until all that was accepted is over, and counts what must not be: what executed twice, what ended
well without having executed, what failed though it was never let go, and what did not end.
"""

from __future__ import annotations

import contextlib
import os
import random
import signal
import tempfile
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx

from tests.benchmarks.servers import Database, command_line, started
from tests.live import Live, start

CLIENTS = 3
ENDS_WITHIN = 300.0
RUN = "/api/extras/jobs/{}/run/"
Shape = dict[str, Any]


@dataclass
class Trial:
    """A server that is killed, what it accepted, and how often what was killed.

    Args:
        server: it, as it runs now.
        folder: where each run notes that it executes.
        over: set when no more is requested.
        accepted: the answers, by the file of each run.
        kills: how often which processes were killed.
    """

    server: Live
    folder: Path
    over: threading.Event = field(default_factory=threading.Event)
    accepted: dict[str, Shape] = field(default_factory=dict)
    kills: Counter[str] = field(default_factory=Counter)

    def ask(self, who: str, path: str, body: Shape) -> httpx.Response:
        """Send a request until it is answered by the server, with one key for all attempts."""
        headers = {"Authorization": f"Token {self.server.keys[who]}", "Idempotency-Key": uuid4().hex}
        while True:
            with contextlib.suppress(httpx.TransportError):
                answer = httpx.post(f"{self.server.origin}{path}", json=body, headers=headers, timeout=20)
                if answer.status_code < 500:
                    return answer
            time.sleep(0.3)

    def request(self, chance: random.Random) -> None:
        """Request one run in one of the ways, and remember what was accepted."""
        file = self.folder / uuid4().hex
        way = chance.choice(["now", "later", "approved"])
        body: Shape = {"data": {"file": str(file)}}
        if way == "later":
            at = datetime.now(UTC) + timedelta(seconds=chance.uniform(2, 20))
            body["schedule"] = {"name": file.name, "interval": "future", "start_time": at.isoformat()}
        if way == "approved":
            body["schedule"] = {"name": file.name, "interval": "immediately"}
        answer = self.ask("alice", RUN.format("Change" if way == "approved" else "Greet"), body)
        if answer.status_code != 201:
            print(f"refused: {answer.status_code} {answer.text[:200]}", flush=True)
            return
        made: Shape = answer.json()["job_result"] or answer.json()["scheduled_job"]
        if way == "approved":
            decided = self.ask("bob", f"/api/extras/scheduled-jobs/{made['id']}/approve/", {"force": True})
            if decided.status_code not in (200, 409):
                print(f"not approved: {decided.status_code} {decided.text[:200]}", flush=True)
                return
        self.accepted[file.name] = made

    def kill(self, victim: str) -> None:
        """Kill some of the processes, and start the server again if it is gone."""
        there = self.server.family()
        if victim == "server":
            chosen = [self.server.process.pid]
        elif victim == "all":
            chosen = [self.server.process.pid, *(pid for pids in there.values() for pid in pids)]
        else:
            chosen = there.get(victim, [])[:1]
        for pid in chosen:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.kills[victim] += bool(chosen)
        if victim in ("server", "all"):
            self.server.process.wait(20)
            time.sleep(0.5)
            was = self.server
            self.server = start(was.home, was.port, keys=was.keys, **was.shared)


def keep_asking(trial: Trial, seed: int) -> None:
    chance = random.Random(seed)
    while not trial.over.wait(chance.uniform(0.3, 2.0)):
        trial.request(chance)


def runs(client: httpx.Client) -> dict[str, list[Shape]]:
    """Return all runs, by their ids and by those of what they were scheduled by."""
    found: dict[str, list[Shape]] = {}
    page: str | None = "/api/extras/job-results/?limit=1000"
    while page is not None:
        answer = client.get(page).raise_for_status().json()
        for run in answer["results"]:
            for which in {run["id"], (run["scheduled_job"] or run)["id"]}:
                found.setdefault(which, []).append(run)
        page = answer["next"]
    return found


def fault_of(runs: list[Shape], executed: int) -> str:
    """Return what is wrong with what became of a request; empty if nothing is."""
    if executed > 1:
        return "executed twice"
    if not runs or not all(run["date_done"] for run in runs):
        return "did not end"
    status = runs[0]["status"]["value"]
    if status == "SUCCESS":
        return "" if executed else "ended well without having executed"
    return "" if runs[0]["date_started"] else "failed though it was never let go"


def judge(trial: Trial) -> None:
    """Wait until everything is over, and print what became of it."""
    faults: dict[str, str] = {}
    begun, outcomes, failed = time.monotonic(), Counter[str](), Counter[str | None]()
    with trial.server.client() as client:
        open_ = dict(trial.accepted)
        while open_ and time.monotonic() - begun < ENDS_WITHIN:
            # One question for all: hundreds would keep the server from what it is asked about.
            there = runs(client)
            for name, made in [*open_.items()]:
                its = there.get(made["id"], [])
                file = trial.folder / name
                executed = len(file.read_text().splitlines()) if file.exists() else 0
                faults[name] = fault_of(its, executed)
                if faults[name] != "did not end":
                    outcomes[its[0]["status"]["value"]] += 1
                    failed[its[0]["traceback"]] += its[0]["status"]["value"] == "FAILURE"
                    del open_[name]
            time.sleep(5)
    violations = {name: fault for name, fault in faults.items() if fault}
    print(f"accepted {len(trial.accepted)}, of which ended {dict(outcomes)}, the last {time.monotonic() - begun:.0f} s")
    print(f"after the end; killed {dict(trial.kills)}; violations: {len(violations)}")
    for name, fault in violations.items():
        print(f"  {trial.accepted[name]['url']}: {fault}")
    for why, times in (+failed).items():
        print(f"  {times} failed: {why}", flush=True)


def main(database: Database, minutes: float, seed: int) -> None:
    """Try and print."""
    chance = random.Random(seed)
    with started(database) as server, tempfile.TemporaryDirectory() as runs:
        trial = Trial(server, Path(runs))
        threads = [threading.Thread(target=keep_asking, args=(trial, seed * 100 + n)) for n in range(CLIENTS)]
        for thread in threads:
            thread.start()
        ends = time.monotonic() + 60 * minutes
        try:
            while time.monotonic() < ends:
                time.sleep(chance.uniform(5, 20))
                trial.kill(chance.choice(["server", "worker", "fork server", "run", "all"]))
            trial.over.set()
            for thread in threads:
                thread.join(60)
            judge(trial)
        finally:
            trial.over.set()
            trial.server.stop()


if __name__ == "__main__":
    database, words = command_line()
    minutes, seed = [*words, *("10", "1")[len(words) :]]
    main(database, float(minutes), int(seed))
