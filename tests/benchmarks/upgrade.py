"""What is lost by an upgrade of a running system: ``python -m tests.benchmarks.upgrade [commit]``.

Starts two servers, two services and a worker of a commit, by default the last one with fewer migrations, on
PostgreSQL and Redis. Clients request runs, as where processes are killed (``kills.py``), and schedules fire each
minute. One process after the other is ended, and started again from this version.

In the end it waits until all that was accepted is over. It counts what must not be, of what was accepted and of the
minutes of the schedules: each has one record, and was executed once.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path

import httpx

from tests.acceptance import asking
from tests.benchmarks.kills import Shape, Trial, judge, keep_asking, runs
from tests.benchmarks.servers import live
from tests.databases import PostgreSQL
from tests.live import JOBS, ROOT, free_port
from tests.postgresql import postgresql_cluster
from tests.roles import Roles, running

MIGRATIONS = "api_shim/store/migrations/versions"
CLIENTS, SCHEDULES = 2, 10
BETWEEN = 45.0
"""Seconds between two processes that are replaced, and before the first and after the last one."""
MINUTE = timedelta(minutes=1)


def git(*words: str) -> str:
    return subprocess.run(["git", *words], cwd=ROOT, check=True, capture_output=True, text=True).stdout.strip()


@contextmanager
def tree_of(commit: str) -> Iterator[Path]:
    """Have the files of a commit for a while."""
    with tempfile.TemporaryDirectory() as folder:
        archive = subprocess.run(["git", "archive", commit], cwd=ROOT, check=True, capture_output=True)
        subprocess.run(["tar", "-x", "-C", folder], input=archive.stdout, check=True)
        yield Path(folder)


def before_newest() -> str:
    """Return the last commit with fewer migrations; one on a branch may have some that were renumbered since."""

    def migrations(commit: str) -> set[str]:
        return {*git("ls-tree", "--name-only", commit, f"{MIGRATIONS}/").splitlines()}

    ours, changes = migrations("HEAD"), git("log", "--format=%h", "--", MIGRATIONS).splitlines()
    return next(f"{each}^" for each in changes if migrations(f"{each}^") < ours)


def recurring(client: httpx.Client) -> list[str]:
    """Have schedules that fire each minute, and return their ids."""
    each_minute = {"interval": "custom", "crontab": "* * * * *"}
    made = [
        asking.run(client, {"schedule": {"name": f"minute {number}", **each_minute}}) for number in range(SCHEDULES)
    ]
    return [answer.raise_for_status().json()["scheduled_job"]["id"] for answer in made]


def replace(roles: Roles, trial: Trial, ports: dict[str, int]) -> None:
    """Replace one process after the other; those who ask go to the server that is not being replaced."""
    servers = {name: live(name, port, roles) for name, port in ports.items()}
    for name in ("second server", "services", "worker", "server", "more services"):
        time.sleep(BETWEEN)
        if name in servers:
            trial.server = next(server for other, server in servers.items() if other != name)
        status = roles.end(name)
        print(f"replaced: {name}, which ended with {status}", flush=True)
        if name == "worker":
            roles.start(name, "worker", **roles.credentials)
        elif name in servers:
            roles.start(name, "server", "--port", str(ports[name]), **roles.shared)
            roles.runs(name, "signoff is running")
        else:
            roles.start(name, "services", **roles.shared)
            roles.runs(name, "signoff services are running")
    time.sleep(BETWEEN)


def tell_minutes(found: dict[str, list[Shape]]) -> None:
    """Print what became of the minutes of the schedules, by their ids, and what is wrong with that."""
    by_schedule: dict[str, Counter[datetime]] = {}
    outcomes: Counter[str] = Counter()
    for which, rows in found.items():
        by_schedule[which] = Counter(datetime.fromisoformat(row["nominal_time"]) for row in rows)
        outcomes.update(row["status"]["value"] for row in rows)
    every = [minute for times in by_schedule.values() for minute in times]
    # All were made within the first of these minutes, and some may not have been over within the last.
    minutes = [min(every) + number * MINUTE for number in range(1, (max(every) - min(every)) // MINUTE)]
    wrong = [
        f"{which}: {minute:%H:%M} has {times[minute]} records"
        for which, times in by_schedule.items()
        for minute in minutes
        if times[minute] != 1
    ]
    print(f"minutes of {len(by_schedule)} schedules: {dict(outcomes)}; violations: {len(wrong)}", flush=True)
    for each in wrong:
        print(f"  {each}")


def main(commit: str) -> None:
    """Try and print."""
    print(f"from {git('log', '-1', '--format=%h %s', commit)}", flush=True)
    ports = {"server": 0, "second server": free_port()}
    with (
        tree_of(commit) as before,
        tempfile.TemporaryDirectory() as folder,
        tempfile.TemporaryDirectory() as notes,
        postgresql_cluster(lasts=True) as url,
    ):
        old, postgresql = {"PYTHONPATH": str(before)}, PostgreSQL(url)
        # Those of now may ask for what only this version knows.
        jobs = before / JOBS.relative_to(ROOT)
        with running(postgresql, Path(folder), ["services", "more services"], jobs=jobs, **old) as roles:
            ports["server"] = roles.port
            roles.start("second server", "server", "--port", str(ports["second server"]), **roles.shared, **old)
            roles.runs("second server", "signoff is running")
            trial = Trial(live("server", roles.port, roles), Path(notes))
            with roles.client("alice") as alice:
                scheduled = recurring(alice)
            threads = [threading.Thread(target=keep_asking, args=(trial, number)) for number in range(CLIENTS)]
            for thread in threads:
                thread.start()
            try:
                replace(roles, trial, ports)
            finally:
                trial.over.set()
            for thread in threads:
                thread.join(60)
            judge(trial)
            with trial.server.client() as client:
                there = runs(client)
            tell_minutes({which: [row for row in there.get(which, []) if row["date_done"]] for which in scheduled})
            roles.stop()
        postgresql.close()


if __name__ == "__main__":
    main(*(sys.argv[1:] or [before_newest()]))
