"""What many schedules cost: ``python -m tests.benchmarks.two_servers [schedules] [holds] [due each minute]``.

The defaults are 5000, 1000 and 100. Starts two servers, two services and a worker on PostgreSQL and Redis. Eight
clients create so many recurring scheduled jobs on both servers, then so many requests that wait for an approval; it
tells how long the answers and Prefect took. Then, for ten minutes, so many scheduled jobs are due at the start of each
minute: it tells how late their runs started, and what each process took of a core and of memory. Last it asks for 100
runs at once.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from collections.abc import Collection, Mapping
from contextlib import closing
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any
from uuid import UUID

import psycopg

from api_shim.domain.model import JobResult
from api_shim.store import Store
from tests.benchmarks.answers import Client, drained, measured, schedule, show
from tests.benchmarks.idle import cpu, family, memory
from tests.benchmarks.runs import burst
from tests.benchmarks.schedules import create
from tests.benchmarks.servers import live
from tests.databases import PostgreSQL
from tests.live import Live, free_port, stat_of
from tests.postgresql import postgresql_cluster
from tests.roles import Roles, running

CLIENTS, MINUTES, AT_ONCE = 8, 10, 100
MINUTE = timedelta(minutes=1)
RUN = "/api/extras/jobs/Greet/run/"


def each_minute(client: Client, number: int) -> Any:
    body = {"name": f"minute {number}", "interval": "custom", "crontab": "* * * * *"}
    return client.post(RUN, {"data": {}, "schedule": body})


def clients_of(servers: Collection[Live]) -> list[Client]:
    """Return the clients, divided among the servers; those of before have been idle for too long."""
    return [Client(server, "alice") for server in servers for _ in range(CLIENTS // len(servers))]


def parts(roles: Roles) -> dict[str, int]:
    """Return the first process of each part of the system, by the names of the parts."""
    assert roles.redis is not None
    assert roles.redis.process is not None
    with psycopg.connect(roles.shared["SIGNOFF_DATABASE_URL"]) as connection:
        backend = connection.info.backend_pid
    started = {name: process.pid for name, process in roles.processes.items()}
    return {**started, "PostgreSQL": int(stat_of(backend)[1]), "Redis": roles.redis.process.pid}


def seconds_of_cpu(pids: Mapping[str, int]) -> dict[str, float]:
    """Return what each part has taken so far; those of its processes that have ended count with their parents."""
    return {name: cpu(family(pid)) for name, pid in pids.items()}


def fill(servers: Collection[Live], schedules: int, holds: int) -> None:
    """Create the recurring scheduled jobs and the requests that wait, and tell how long that took."""
    first = next(iter(servers))
    for what, how_many, ask in (
        ("recurring", schedules, create),
        ("waiting", holds, lambda client, number: schedule(client, "Guarded", number)),
    ):
        jobs = [partial(ask, number=number) for number in range(how_many)]
        took, whole = measured(clients_of(servers), jobs)
        show(f"creating {how_many} {what}", CLIENTS, took, whole)
        print(f"    all answered after {whole:.1f} s, Prefect level {drained(first):.1f} s later", flush=True)


def fire(servers: Collection[Live], due: int, pids: Mapping[str, int]) -> None:
    """Have so many due each minute for some minutes, and tell how late they were and what each part took."""
    first = next(iter(servers))
    client = Client(first, "alice")
    ids = [UUID(each_minute(client, number)["scheduled_job"]["id"]) for number in range(due)]
    drained(first)
    begun = (datetime.now(UTC) + MINUTE).replace(second=0, microsecond=0)
    time.sleep((begun - datetime.now(UTC)).total_seconds() - 1)
    before, since = seconds_of_cpu(pids), time.monotonic()
    time.sleep(60 * MINUTES)
    now, seconds = seconds_of_cpu(pids), time.monotonic() - since
    # The last of them have another minute.
    time.sleep(60)
    with closing(Store(first.database_url)) as store, store.transaction(write=False) as tx:
        rows = tx.all(JobResult, scheduled_job_id=ids)
    ends = begun + MINUTES * MINUTE
    told = [row for row in rows if row.nominal_time is not None and begun <= row.nominal_time < ends]
    tell_lateness(told, due * MINUTES)
    for name, pid in pids.items():
        percent = 100 * (now[name] - before[name]) / seconds
        print(f"    {name:16} {percent:5.1f} % of a core, {memory(family(pid)):5.0f} MB", flush=True)


def tell_lateness(told: list[JobResult], expected: int) -> None:
    took = sorted((run.date_started - run.nominal_time).total_seconds() for run in told if run.date_started)  # type: ignore[operator]
    print(f"{MINUTES} minutes: {expected} due, {len(told)} recorded, {len(took)} started", flush=True)
    print(
        f"    late: median {statistics.median(took):.2f} s, p99 {took[len(took) * 99 // 100]:.2f} s, "
        f"worst {took[-1]:.2f} s",
        flush=True,
    )


def main(schedules: int = 5000, holds: int = 1000, due: int = 100) -> None:
    """Measure and print."""
    with tempfile.TemporaryDirectory() as folder, postgresql_cluster(lasts=True) as url:
        postgresql, port = PostgreSQL(url), free_port()
        with running(postgresql, Path(folder), ["services", "more services"]) as roles:
            roles.start("second server", "server", "--port", str(port), **roles.shared)
            roles.runs("second server", "signoff is running")
            servers = [live("server", roles.port, roles), live("second server", port, roles)]
            pids = parts(roles)
            print(", ".join(f"{name} {memory(family(pid)):.0f} MB" for name, pid in pids.items()), flush=True)
            fill(servers, schedules, holds)
            fire(servers, due, pids)
            print(f"{AT_ONCE} runs at once: {burst(servers[0], AT_ONCE)}", flush=True)
            roles.stop()
        postgresql.close()


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
