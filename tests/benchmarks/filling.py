"""Fills the store of a running server with scheduled jobs and job results, at once and without Prefect.

What the loop would bring into line does not come to Prefect here, for ten thousand deployments would take an hour to
make and would be what is measured. So each row is one that the loop leaves alone: projected already, without a run or a
deployment, and not to be looked at again. Half of them are one-offs that have fired, with their result; the others are
schedules that somebody has disabled.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

from api_shim.domain.accounts import User
from api_shim.domain.model import Job, JobResult, Participant, ScheduledJob, Status
from api_shim.domain.recurrence import Interval
from api_shim.store import Store
from tests.factories import make_result, make_scheduled
from tests.live import Live

AT_ONCE = 1000


def fill(server: Live, word: str, how_many: int, *, owner: str = "alice", job: str = "Greet") -> list[str]:
    """Add so many scheduled jobs whose names begin with a word, and return their ids."""
    store = Store(server.database_url)
    with store.transaction(write=False) as tx:
        whose, of = tx.get(User, username=owner), tx.get(Job, name=job)
    assert whose is not None
    assert of is not None
    rows = [_row(of, whose, word, number) for number in range(how_many)]
    for part in _parts(rows):
        results = [_result(of, whose, row) for row in part if row.one_off]
        with store.transaction() as tx:
            tx.add(*part)
            tx.add(*(Participant(scheduled_job_id=row.id, user_id=whose.id, username=owner) for row in part))
            tx.add(*results)
    store.close()
    return [str(row.id) for row in rows]


def _parts(rows: list[ScheduledJob]) -> Iterator[list[ScheduledJob]]:
    return (rows[start : start + AT_ONCE] for start in range(0, len(rows), AT_ONCE))


def _row(job: Job, owner: User, word: str, number: int) -> ScheduledJob:
    fired = datetime.now(UTC) - timedelta(days=30) + timedelta(minutes=number)
    kind: dict[str, Any] = (
        {"interval": Interval.FUTURE, "total_run_count": 1, "last_run_at": fired}
        if number % 2
        else {"interval": Interval.CUSTOM, "crontab": f"{number % 60} {number % 24} * * *"}
    )
    return make_scheduled(
        job,
        owner,
        name=f"{word} {number:06}",
        description="To be measured.",
        inputs={"who": "world", "count": 1, "file": None},
        enabled=False,
        start_time=fired,
        created=fired,
        date_changed=fired,
        projected_version=1,
        **kind,
    )


def _result(job: Job, owner: User, row: ScheduledJob) -> JobResult:
    fired = {"nominal_time": row.start_time, "date_created": row.start_time}
    done = {"date_started": row.start_time, "date_done": row.start_time, "status": Status.SUCCESS}
    return make_result(job, owner, scheduled_job_id=row.id, inputs=row.inputs, **fired, **done)
