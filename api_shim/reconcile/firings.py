"""What is recorded of the firings of scheduled jobs, and when one counts as missed.

* A firing has one job result, whoever records it: a run that was let go, one that was lost, one that was passed over.
* Also one that nobody has made a run for, as while no server was up, is recorded: of the last thousand.
* Who records one looks behind the lock of the scheduled job whether it is still free.
* The inputs of sensitive Jobs are forgotten when their run is over.

Contract 5 and 7.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any
from uuid import NAMESPACE_OID, UUID, uuid5

from api_shim.domain.accounts import User
from api_shim.domain.approval import is_dry_run
from api_shim.domain.model import NEVER, DeletedRun, Job, JobResult, ScheduledJob, Status
from api_shim.domain.ports import Run
from api_shim.domain.recurrence import next_times, nominal_time, times_within
from api_shim.metrics import MISSED
from api_shim.store import Transaction
from approval_gate.admission import SUPERSEDED, Overlap
from approval_gate.errors import Unavailable
from approval_gate.lifecycle import ApprovalState

MISSED_AFTER = timedelta(seconds=90)
"""How long after its nominal time a firing that no run has taken counts as missed."""

MOST_RECORDED = 1000
"""How many missed firings of one scheduled job are recorded at once; after a longer absence the older ones are not."""

TAKEN_AHEAD = timedelta(seconds=30)
"""How long before its time a worker may take a run; Prefect's own take them ten seconds before."""

OVERDUE_AFTER = timedelta(seconds=80)
"""How long after it was to ask again a run that waits for its turn counts as one that has nobody to execute it."""


def ending(result: JobResult, status: Status, now: datetime) -> dict[str, Any]:
    """Return the fields that change when a result becomes final."""
    forgotten = {"inputs": None} if result.sensitive else {}
    return {"status": status, "date_done": now, **forgotten}


def firing_of(scheduled: ScheduledJob, run: Run) -> datetime:
    """Return the nominal time of a run that Prefect's scheduler made; what is no firing stays as it is."""
    return nominal_time(scheduled.recurrence, run.expected_start) or run.expected_start


def is_missed(scheduled: ScheduledJob, firing: datetime, taken: datetime) -> bool:
    """Say whether a firing is missed that a worker takes at that time.

    What was approved, enabled or changed after its time is known to be late.
    """
    late = taken > firing + MISSED_AFTER and firing >= scheduled.due_from
    return late and not scheduled.immediate


def look_after(scheduled: ScheduledJob, firing: datetime) -> datetime:
    """Return when the firing that follows this one will count as missed."""
    following = next_times(scheduled.recurrence, firing, 1)
    return following[0] + MISSED_AFTER if following else NEVER


def result_id(scheduled: ScheduledJob | None, due: datetime | None, run_id: UUID | None) -> UUID:
    """Return the id of the result of a firing; of a run that belongs to no scheduled job, the one that goes with it.

    Whoever records the same has the same id for it, whenever they do.
    """
    if scheduled is not None and due is not None:
        return uuid5(scheduled.id, due.astimezone(UTC).isoformat())
    return uuid5(NAMESPACE_OID, f"signoff:run:{run_id}")


def new_result(
    run_id: UUID | None,
    job: Job,
    scheduled: ScheduledJob | None,
    due: datetime | None,
    user: User | None,
    now: datetime,
) -> JobResult:
    """Return the job result of a firing, as its run begins.

    Args:
        run_id: Prefect's flow run, if there is one yet.
        job: what runs.
        scheduled: what fires, if anything does.
        due: the firing's nominal time.
        user: whom it runs as.
        now: the time.
    """
    return JobResult(
        id=result_id(scheduled, due, run_id),
        flow_run_id=run_id,
        job_id=job.id,
        scheduled_job_id=scheduled.id if scheduled else None,
        user_id=user.id if user else None,
        name=job.name,
        task_name=job.class_path,
        queue=scheduled.queue if scheduled else job.default_queue,
        nominal_time=due,
        sensitive=job.has_sensitive_variables or (scheduled is not None and scheduled.sensitive),
        date_created=now,
        released=run_id is not None,
        dry_run=scheduled is not None and is_dry_run(job, scheduled.inputs),
        approval_off=scheduled.approval_off if scheduled and scheduled.approval is ApprovalState.NOT_REQUIRED else None,
        **(scheduled.origin if scheduled else {}),
    )


def is_taken(tx: Transaction, scheduled: ScheduledJob, firing: datetime) -> bool:
    """Say whether a run has, or has had, this firing."""
    which = {"scheduled_job_id": scheduled.id, "nominal_time": firing}
    return tx.exists(JobResult, **which) or is_spent(tx, scheduled, firing)


def is_spent(tx: Transaction, scheduled: ScheduledJob, firing: datetime) -> bool:
    """Say whether a run has had this firing, and its result was deleted."""
    return tx.exists(DeletedRun, scheduled_job_id=scheduled.id, nominal_time=firing)


def taken_of(tx: Transaction, firings: Collection[tuple[UUID, datetime]]) -> set[tuple[UUID, datetime]]:
    """Return those of these firings, each a scheduled job's id and a nominal time, that a run has, or has had."""
    if not firings:
        return set()
    which: dict[str, Any] = {
        "scheduled_job_id": {thing for thing, _ in firings},
        "nominal_time": {at for _, at in firings},
    }
    found: list[JobResult | DeletedRun] = [*tx.all(JobResult, **which), *tx.all(DeletedRun, **which)]
    taken = {(each.scheduled_job_id, each.nominal_time) for each in found}
    return {firing for firing in firings if firing in taken}


def _is_free(tx: Transaction, scheduled: ScheduledJob, run_id: UUID | None, firing: datetime) -> bool:
    """Say whether neither the firing nor the run is recorded; until the transaction ends nobody else can."""
    still_there = tx.get(ScheduledJob, id=scheduled.id, lock=True) is not None
    recorded = run_id is not None and tx.exists(JobResult, flow_run_id=run_id)
    return still_there and not is_taken(tx, scheduled, firing) and not recorded


def _result(
    tx: Transaction, scheduled: ScheduledJob, job: Job, run_id: UUID | None, firing: datetime, now: datetime
) -> JobResult:
    owner = tx.get(User, id=scheduled.owner_id) if scheduled.owner_id else None
    return new_result(run_id, job, scheduled, firing, owner, now)


def record_lost(scheduled: ScheduledJob, job: Job, run: Run, firing: datetime, now: datetime, tx: Transaction) -> None:
    """Record a firing whose run ended before it was let go."""
    if scheduled.one_off:
        tx.change(scheduled, enabled=False)
    if not _is_free(tx, scheduled, run.id, firing):
        return
    result = _result(tx, scheduled, job, run.id, firing, now)
    tx.add(result)
    status = Status.REVOKED if run.state_type == "CANCELLED" else Status.FAILURE
    why = f"The run ended before it was admitted: {run.state_name}. {run.message}".strip()
    tx.change(result, **ending(result, status, now), traceback=why)


def record_passed_over(scheduled: ScheduledJob, job: Job, run: Run, now: datetime, tx: Transaction) -> None:
    """Record a firing that a newer one makes needless."""
    firing = firing_of(scheduled, run)
    if not _is_free(tx, scheduled, run.id, firing):
        return
    result = _result(tx, scheduled, job, run.id, firing, now)
    tx.add(result)
    tx.change(result, **ending(result, Status.REVOKED, now), traceback=SUPERSEDED)


def record_missed(
    scheduled: ScheduledJob,
    job: Job,
    until: datetime,
    claimed: Collection[datetime],
    now: datetime,
    tx: Transaction,
) -> None:
    """Record, as passed over, every firing up to a moment that has no record and that no worker has at this time.

    Args:
        scheduled: what fires.
        job: its Job.
        until: the last moment, which a firing that is still to be executed follows.
        claimed: the times of those that a worker has and that are not recorded yet.
        now: the time.
        tx: the transaction.
    """
    row = tx.get(ScheduledJob, id=scheduled.id, lock=True)
    if row is None or row.due_from != scheduled.due_from:
        return
    results = missed_results(row, job, until, claimed, now, tx)
    tx.add(*(replace(each, **ending(each, Status.REVOKED, now), traceback=SUPERSEDED) for each in results))
    tx.change(row, recorded_until=min((until, *claimed)))


def missed_results(
    row: ScheduledJob, job: Job, until: datetime, claimed: Collection[datetime], now: datetime, tx: Transaction
) -> list[JobResult]:
    """Return what is to be recorded of the firings that ``record_missed`` is about, the newest first."""
    owner = tx.get(User, id=row.owner_id) if row.owner_id else None
    missed = missed_firings(row, until, claimed, tx)
    tx.afterwards(partial(MISSED.inc, len(missed)))
    return [replace(new_result(None, job, row, firing, owner, now), released=True) for firing in missed]


def missed_firings(
    row: ScheduledJob, until: datetime, claimed: Collection[datetime], tx: Transaction
) -> list[datetime]:
    """Return the firings up to a moment that have no record and that no worker has, the newest first."""
    since = max(row.due_from, row.recorded_until or row.due_from)
    firings = times_within(row.recurrence, since, until, MOST_RECORDED)
    taken = {at for _, at in taken_of(tx, [(row.id, firing) for firing in firings])}
    return [firing for firing in firings if firing not in taken and firing not in claimed]


def record_catch_up(
    scheduled: ScheduledJob, job: Job, firing: datetime, now: datetime, tx: Transaction
) -> JobResult | None:
    """Record what makes up for a firing, before there is a run for it; None if another run has it, or none can."""
    if not _is_free(tx, scheduled, None, firing):
        return None
    result = _result(tx, scheduled, job, None, firing, now)
    try:
        result = replace(result, inputs=dict(scheduled.inputs))
    except Unavailable as error:
        # Who asked for admission would be refused with this; there is nothing that could ask.
        tx.add(replace(result, released=True, **ending(result, Status.FAILURE, now), traceback=str(error)))
        return None
    tx.add(result)
    return result


def waiting_of(job_id: UUID, now: datetime, tx: Transaction) -> list[JobResult]:
    """Return the runs of a Job that wait for their turn and ask when they are to, the longest first."""
    pending = tx.all(JobResult, order="waits_since", job_id=job_id, status=Status.PENDING)
    return [each for each in pending if still_asks(each, now)]


def still_asks(result: JobResult, now: datetime, began: datetime | None = None) -> bool:
    """Say whether a run waits for its turn, and has a worker that lets it ask: nobody waits for one that has none.

    Args:
        result: its result.
        now: the time.
        began: since when there is somebody to ask, if that may be later.
    """
    if not result.waits_its_turn or result.asks_at is None:
        return False
    return now <= max(result.asks_at, began or result.asks_at) + OVERDUE_AFTER


def leave_queue(scheduled: ScheduledJob, now: datetime, tx: Transaction) -> None:
    """Forget that the run of a one-off has asked and waits for its turn: what runs is decided, or made, anew."""
    if not scheduled.one_off:
        return
    tx.get(ScheduledJob, id=scheduled.id, lock=True)
    for each in tx.all(JobResult, order="id", lock=True, scheduled_job_id=scheduled.id, status=Status.PENDING):
        if each.waits_its_turn:
            tx.remove(each)
            call_next(each, now, tx)


def call_next(over: JobResult, now: datetime, tx: Transaction) -> None:
    """Let the run ask again at once that waits longest for its turn, where runs of a Job queue and one is over."""
    job = tx.get(Job, id=over.job_id) if over.job_id else None
    if job is not None and job.overlap is Overlap.QUEUE:
        for first in waiting_of(job.id, now, tx)[:1]:
            tx.change(first, released=False)


def cancelled(result: JobResult) -> str:
    """Return why the run of a result was cancelled, as a sentence."""
    return f"Cancelled by {result.cancelled_by}."


def mark_released(result: JobResult, run_id: UUID | None, tx: Transaction) -> None:
    """Record that Prefect has followed a result as it was read, with this run if there is one."""
    now = tx.get(JobResult, id=result.id, lock=True)
    if now is not None and not now.released:
        # Who has had it cancelled meanwhile has not been followed.
        followed = now.cancelled_by == result.cancelled_by
        tx.change(now, released=followed, flow_run_id=now.flow_run_id or run_id)
