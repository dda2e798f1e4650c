"""What comparing everything with Prefect costs: ``python -m tests.benchmarks.sweep [how many]`` (default 10000).

Each half minute the loop reads all scheduled jobs and compares each with its deployment. Here so many that may fire
stand in a store, and Prefect is in memory and has a deployment of each that is as it should be, so that what is
measured is our part: what Prefect takes to tell of so many deployments comes on top.
"""

from __future__ import annotations

import asyncio
import cProfile
import pstats
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

from api_shim.background import BackgroundLoop
from api_shim.domain.model import ScheduledJob
from api_shim.domain.recurrence import Interval
from api_shim.reconcile.desired_state import own_deployment
from api_shim.reconcile.reconciler import Reconciler
from api_shim.reconcile.run_status import RunStatus
from api_shim.reconcile.served_queues import ServedQueues
from api_shim.reconcile.wake_queue import WorkQueue
from api_shim.store import Store
from tests.factories import make_job, make_scheduled, make_user
from tests.fakes import FakeEngine

AT_ONCE = 1000


def now() -> datetime:
    return datetime.now(UTC)


def filled(store: Store, how_many: int) -> FakeEngine:
    """Fill a store with scheduled jobs, and return a Prefect that has followed."""
    engine, user, job = FakeEngine(clock=now), make_user(), make_job(projected_version=1)
    rows = [
        make_scheduled(
            job,
            user,
            interval=Interval.CUSTOM,
            crontab=f"{number % 60} {number % 24} * * *",
            deployment_id=uuid4(),
            projected_version=1,
        )
        for number in range(how_many)
    ]
    with store.transaction() as tx:
        tx.add(user)
        tx.add(job)
        for begin in range(0, how_many, AT_ONCE):
            tx.add(*rows[begin : begin + AT_ONCE])
    engine.made = {row.deployment_id: own_deployment(row, job, now(), {}) for row in rows if row.deployment_id}
    return engine


def main(how_many: int) -> None:
    """Measure and print."""
    with tempfile.TemporaryDirectory() as folder:
        store = Store(f"sqlite:///{Path(folder) / 'signoff.db'}")
        store.migrate()
        engine = filled(store, how_many)
        reconciler = Reconciler(store, engine, now)
        queue = WorkQueue(reconciler.follow, now)
        run_status = RunStatus(store, engine, queue, now)
        loop = BackgroundLoop(store, engine, reconciler, queue, ServedQueues(engine, now), run_status, now)
        begun = time.perf_counter()
        with store.transaction(write=False) as tx:
            tx.all(ScheduledJob)
        read = time.perf_counter() - begun
        begun = time.perf_counter()
        asyncio.run(loop._sweep(now()))
        swept = time.perf_counter() - begun
        print(f"{how_many} scheduled jobs: {swept:.2f} s for a sweep, {read:.2f} s of them to read the rows once")
        profile = cProfile.Profile()
        with store.transaction(write=False) as tx:
            profile.runcall(loop._astray, engine.made, tx)
        pstats.Stats(profile).sort_stats("cumulative").print_stats(15)
        store.close()


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 10_000)
