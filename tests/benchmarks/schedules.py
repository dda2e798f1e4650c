"""How late many schedules fire: ``python -m tests.benchmarks.schedules [how many]`` (default 1200).

Starts a real server (``servers.py``). Has eight clients create so many recurring scheduled jobs, and tells how long the
answers and Prefect took. Beside them, one scheduled job fires each minute; its lateness is from its time to its start.
Then 100 are due at one instant, and it tells how late the first and the last of them started. Last it deletes all of
them, 500 by one request, and tells how long the answers took and Prefect after them.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Collection
from contextlib import closing
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any
from uuid import UUID

from api_shim.domain.model import JobResult, ScheduledJob
from api_shim.store import Store
from tests.benchmarks.answers import FAR, Client, drained, measured, show
from tests.benchmarks.servers import Database, command_line, started
from tests.live import Live, eventually

CLIENTS, FIRINGS, AT_ONE_INSTANT, AT_ONCE = 8, 5, 100, 500
SCHEDULES = "/api/extras/scheduled-jobs/"
AHEAD = timedelta(seconds=60)


def create(client: Client, number: int) -> Any:
    schedule = {"name": f"recurring {number}", "interval": "hourly", "start_time": FAR}
    return client.post("/api/extras/jobs/Greet/run/", {"data": {}, "schedule": schedule})


def create_due(client: Client, number: int, at: datetime) -> Any:
    schedule = {"name": f"due {number}", "interval": "future", "start_time": at.isoformat()}
    return client.post("/api/extras/jobs/Greet/run/", {"data": {}, "schedule": schedule})


def late(store: Store, which: Collection[UUID], how_many: int) -> list[float]:
    """Wait until these scheduled jobs have run so often; return how late each run started, in seconds, in order."""

    def over() -> list[JobResult]:
        with store.transaction(write=False) as tx:
            done = [result for result in tx.all(JobResult, scheduled_job_id=which) if result.date_done]
        return done if len(done) >= how_many else []

    runs = eventually(over, within=600, every=1)
    return sorted((run.date_started - run.nominal_time).total_seconds() for run in runs)  # type: ignore[operator]


def measure(server: Live, how_many: int) -> None:
    clients = [Client(server, "alice") for _ in range(CLIENTS)]
    jobs = [partial(create, number=number) for number in range(how_many)]
    took, whole = measured(clients, jobs)
    show(f"creating {how_many} recurring", CLIENTS, took, whole)
    print(f"    all answered after {whole:.1f} s, Prefect level {drained(server):.1f} s later", flush=True)
    each = {"name": "each minute", "interval": "custom", "crontab": "* * * * *"}
    made = clients[0].post("/api/extras/jobs/Greet/run/", {"data": {}, "schedule": each})["scheduled_job"]
    with closing(Store(server.database_url)) as store:
        took = late(store, [UUID(made["id"])], FIRINGS)
        print(f"one each minute beside them: median {statistics.median(took):.2f} s late, worst {took[-1]:.2f} s")
        # Those of before have been idle for longer than the server lets them be.
        clients = [Client(server, "alice") for _ in range(CLIENTS)]
        at = datetime.now(UTC) + AHEAD
        due = [create_due(clients[number % CLIENTS], number, at)["scheduled_job"] for number in range(AT_ONE_INSTANT)]
        took = late(store, [UUID(each["id"]) for each in due], AT_ONE_INSTANT)
        print(
            f"{AT_ONE_INSTANT} due at one instant: the first {took[0]:.2f} s late, the last {took[-1]:.2f} s",
            flush=True,
        )
        many, answered, clean = deleted(server, store)
        print(f"deleting {many}, {AT_ONCE} a request: {answered:.1f} s, Prefect clean {clean:.1f} s later")


def deleted(server: Live, store: Store) -> tuple[int, float, float]:
    """Delete every scheduled job; return how many there were, and how many seconds the answers took and Prefect."""
    with store.transaction(write=False) as tx:
        ids = [str(row.id) for row in tx.all(ScheduledJob)]
    with server.client() as admin:
        begun = time.perf_counter()
        for start in range(0, len(ids), AT_ONCE):
            admin.request("DELETE", SCHEDULES, json=ids[start : start + AT_ONCE], timeout=120).raise_for_status()
        answered = time.perf_counter()

    def clean() -> bool:
        with store.transaction(write=False) as tx:
            return not tx.leftovers(1)

    eventually(clean, within=3600, every=0.5)
    return len(ids), answered - begun, time.perf_counter() - answered


def main(database: Database, how_many: int) -> None:
    """Measure and print."""
    with started(database) as server:
        measure(server, how_many)


if __name__ == "__main__":
    database, words = command_line()
    main(database, *map(int, words or ["1200"]))
