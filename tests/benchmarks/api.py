"""What requests cost in a large store: ``python -m tests.benchmarks.api [how many scheduled jobs]`` (default 10000).

Starts two real servers in empty homes, one with so many scheduled jobs (``filling.py`` says of what kind) and one with
few, and asks both the same in turn. The times are of this machine, and of two servers that share it; their ratio is
what says something. Deleting comes last, for Prefect follows it for a while.

Why some grow: a page counts all rows, and an order or a search without an index reads all of them.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

import httpx

from tests.benchmarks.filling import fill
from tests.benchmarks.servers import Database, command_line, started
from tests.live import Live

FEW = 100
READS, WRITES, DELETIONS = 40, 20, 3
DELETED = 1000
FAR = "2030-01-01T01:00:00Z"
SCHEDULES, RESULTS = "/api/extras/scheduled-jobs/", "/api/extras/job-results/"
QUEUE = "/api/extras/approval-queue/"


@dataclass
class Side:
    """A server, who asks it, and what is in it."""

    server: Live
    alice: httpx.Client
    bob: httpx.Client
    admin: httpx.Client
    many: int
    ids: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)
    numbers: int = 0

    def next_number(self) -> int:
        self.numbers += 1
        return self.numbers

    def request(self, job: str) -> httpx.Response:
        schedule = {"name": f"{job} {self.next_number()}", "interval": "daily", "start_time": FAR}
        return self.alice.post(f"/api/extras/jobs/{job}/run/", json={"data": {}, "schedule": schedule})


Ask = Callable[[Side], httpx.Response]
Prepare = Callable[[Side], Any]


@dataclass(frozen=True)
class Measure:
    """Something to ask.

    Args:
        name: what it is.
        ask: how it is asked.
        times: how often.
        prepare: what is done before each, which is not measured.
    """

    name: str
    ask: Ask
    times: int = READS
    prepare: Prepare = lambda _side: None


def get(path: str, **query: Any) -> Ask:
    return lambda side: side.admin.get(path, params=query)


def fill_to_delete(side: Side) -> None:
    side.ids = fill(side.server, f"gone {side.next_number()}", DELETED)


MEASURES = (
    Measure("GET the root (asks for the caller only)", get("/api/")),
    Measure("GET 50 scheduled jobs", get(SCHEDULES)),
    Measure("GET the last 50 scheduled jobs", lambda side: get(SCHEDULES, offset=side.many - 50)(side)),
    Measure("GET 50 scheduled jobs, newest first", get(SCHEDULES, sort="-start_time")),
    Measure("GET 50 scheduled jobs that contain a word", get(SCHEDULES, q="filled 0000")),
    Measure("GET 50 scheduled jobs by the Job's name", get(SCHEDULES, job_model="Greet")),
    Measure("GET 50 job results", get(RESULTS)),
    Measure("GET the approval queue", lambda side: side.bob.get(QUEUE)),
    Measure("GET one scheduled job", lambda side: side.admin.get(f"{SCHEDULES}{side.ids[0]}/")),
    Measure("GET one by its name", get(f"{SCHEDULES}filled%20000001/")),
    Measure("GET the explanation of one", lambda side: side.admin.get(f"{SCHEDULES}{side.ids[0]}/explain/")),
    Measure("POST a run with a schedule", lambda side: side.request("Greet"), times=WRITES),
    Measure(
        "POST an approval",
        lambda side: side.bob.post(f"{SCHEDULES}{side.requests.pop()}/approve/"),
        times=WRITES,
        prepare=lambda side: side.requests.append(side.request("Guarded").json()["scheduled_job"]["id"]),
    ),
    Measure(
        f"DELETE {DELETED} scheduled jobs",
        lambda side: side.admin.request("DELETE", SCHEDULES, json=side.ids),
        times=DELETIONS,
        prepare=fill_to_delete,
    ),
)


def milliseconds(measure: Measure, side: Side) -> float:
    measure.prepare(side)
    begun = time.perf_counter()
    answer = measure.ask(side)
    took = time.perf_counter() - begun
    assert answer.is_success, f"{measure.name}: {answer.status_code} {answer.text}"
    return took * 1000


def median(times: list[float]) -> float:
    return statistics.median(times)


def p95(times: list[float]) -> float:
    """Return what 95 of 100 take at most; of few, what the slowest took."""
    return sorted(times)[max(0, -(-len(times) * 95 // 100) - 1)]


def taken(measure: Measure, sides: tuple[Side, Side]) -> tuple[list[float], list[float]]:
    """Return how long it took on both sides, asked in turn; the first time, which fills caches, does not count."""
    few: list[float] = []
    many: list[float] = []
    for _ in range(measure.times + 1):
        few.append(milliseconds(measure, sides[0]))
        many.append(milliseconds(measure, sides[1]))
    return few[1:], many[1:]


def opened(stack: ExitStack, database: Database, many: int) -> Side:
    """Start a server with so many scheduled jobs."""
    server = stack.enter_context(started(database))
    alice, bob, admin = (stack.enter_context(server.client(who)) for who in ("alice", "bob", "admin"))
    side = Side(server, alice, bob, admin, many)
    side.ids = fill(server, "filled", many)
    return side


def main(database: Database, how_many: int) -> None:
    """Measure and print."""
    with ExitStack() as stack:
        sides = (opened(stack, database, FEW), opened(stack, database, how_many))
        print(f"{'median (p95), in ms':44}{f'{FEW} scheduled jobs':>20}{f'{how_many} scheduled jobs':>24}   ratio")
        medians: dict[str, tuple[float, float]] = {}
        for measure in MEASURES:
            few, many = taken(measure, sides)
            medians[measure.name] = median(few), median(many)
            shown = (f"{median(each):.1f} ({p95(each):.1f})" for each in (few, many))
            print(f"{measure.name:44}{next(shown):>20}{next(shown):>24}{median(many) / median(few):8.1f}", flush=True)
    slowest = sorted(medians, key=lambda name: medians[name][1], reverse=True)[:3]
    grown = sorted(medians, key=lambda name: medians[name][1] / medians[name][0], reverse=True)[:3]
    print(f"Slowest: {'; '.join(slowest)}.\nGrow most: {'; '.join(grown)}.")


if __name__ == "__main__":
    database, words = command_line()
    main(database, *map(int, words or ["10000"]))
