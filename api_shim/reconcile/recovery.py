"""What is to be done about a run that does not get on: nothing, end it, drop it, let it ask or start again.

* A process of this machine that is gone is proof that its run has ended. So is a worker that is gone, of any machine,
  for the runs that end with it: those that it was executing, and those that it had taken.
* What was let go is never started again; what was not, and is stuck or has ended by a fault, is: at first soon, then
  after ever longer pauses, for as long as it is wanted. A firing is wanted until the next one is due.
* What waits for its turn with its process, and asks for it all the time, is not stuck.
* What somebody has cancelled, or we have refused, has ended by no fault.
* What nobody recorded is dropped; a request that somebody let start in Prefect asks again. What is held and was denied
  or deleted is ended for that, and not here.
* What is held for a request that does not wait any more follows its scheduled job.
"""

from __future__ import annotations

import socket
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from uuid import UUID

from api_shim.domain.model import JobResult, PendingCleanup, ScheduledJob
from api_shim.domain.ports import GOING, HELD, Run
from api_shim.domain.recurrence import newest_time
from api_shim.reconcile.firings import firing_of, is_taken, still_asks
from api_shim.reconcile.served_queues import SILENT_AFTER
from api_shim.store import Transaction
from api_shim.worker.process import is_alive
from approval_gate.verdicts import REFUSED

ABANDONED_AFTER = timedelta(seconds=60)
LATE_TO_ASK = timedelta(seconds=10)
"""How long after it has changed its state a run that was not let go is looked into."""
SLOW_START = timedelta(minutes=15)
"""How long a process may take from being taken by a worker to asking for admission: some pull a large image first."""


SHUTTING_DOWN = "Runner is shutting down."
"""What Prefect's own worker says of runs that it cancels because it ends."""

SHORTEST_PAUSE = timedelta(seconds=2)
LONGEST_PAUSE = timedelta(minutes=5)


class RecoveryAction(StrEnum):
    """What to do about a run that does not get on."""

    LEAVE = "leave"
    END = "end"
    CANCEL = "cancel"
    DROP = "drop"
    ASK_AGAIN = "ask again"
    START_AGAIN = "start again"
    FOLLOW = "follow"


@dataclass(frozen=True, kw_only=True, slots=True)
class KnownRun:
    """What the store knows of a run.

    Args:
        result: its record.
        scheduled: what it was made for.
        deleted: what it was made for was deleted, and it has yet to be ended for that.
    """

    result: JobResult | None
    scheduled: ScheduledJob | None
    deleted: bool = False

    @property
    def queue(self) -> str:
        """The work queue of the run; empty if that is not known."""
        thing = self.result or self.scheduled
        return thing.queue if thing is not None else ""

    @property
    def let_go(self) -> bool:
        """Whether it was let go."""
        return self.result is not None and self.result.attempt is not None

    @property
    def lease(self) -> str:
        """The name of the worker with which the run's process ends; empty if it may outlive its worker."""
        return self.result.lease if self.result is not None else ""


def known_runs(runs: list[Run], tx: Transaction) -> dict[UUID, KnownRun]:
    """Return what the store knows of these runs, by id."""
    ids = [run.id for run in runs]
    results = {result.flow_run_id: result for result in tx.all(JobResult, flow_run_id=ids)}
    scheduled = {row.flow_run_id: row for row in tx.all(ScheduledJob, flow_run_id=ids)}
    deleted = {leftover.flow_run_id for leftover in tx.all(PendingCleanup, flow_run_id=ids)}
    return {
        run_id: KnownRun(result=results.get(run_id), scheduled=scheduled.get(run_id), deleted=run_id in deleted)
        for run_id in ids
    }


def recovery_action(
    run: Run,
    known: KnownRun,
    now: datetime,
    began: datetime,
    *,
    alone: bool = False,
    taken_by: str = "",
    orphaned: bool = False,
) -> RecoveryAction:
    """Say what to do about a run that is held, or that Prefect shows as under way.

    A process of this machine that is gone is proof. What was not let go counts as stuck after a while: a short one for
    runs from before this server began, whose worker may have ended with the last one. A run that is held and recorded
    waits rightly. One that is being cancelled is never started again. Where no worker serves the queue any more nobody
    is waited for: what was not let go is stuck, and what is being cancelled has nobody who would end it.

    Args:
        run: it.
        known: what the store knows of it.
        now: the time.
        began: when this server began.
        alone: no worker serves its queue, as far as that is known.
        taken_by: the worker with which it ends, if it was not let go; empty if that is not known.
        orphaned: the worker has gone whose runs end with it.
    """
    result = known.result
    end = RecoveryAction.CANCEL if run.state_type == "CANCELLING" else RecoveryAction.END
    if result is not None and known.let_go:
        ended = _has_ended(result.worker or "", orphaned=orphaned) or (alone and end is RecoveryAction.CANCEL)
        return end if run.state_type in GOING and ended else RecoveryAction.LEAVE
    # The name of such a worker ends with that of its process.
    left = taken_by != "" and (orphaned or _has_ended(taken_by.rpartition(" ")[2], orphaned=False))
    if not left and now - run.since <= _patience(run, began, alone=alone):
        return RecoveryAction.LEAVE
    # It could not ask while no server was up.
    if result is not None and run.state_type in GOING and not left and still_asks(result, now, began):
        return RecoveryAction.LEAVE
    recorded = result is not None or known.scheduled is not None
    awaits = known.scheduled is not None and known.scheduled.awaits_decision
    if run.state_type in HELD:
        waits = result is not None or awaits or known.deleted
        return RecoveryAction.LEAVE if waits else RecoveryAction.FOLLOW if recorded else RecoveryAction.DROP
    if awaits:
        return RecoveryAction.ASK_AGAIN
    return RecoveryAction.START_AGAIN if end is RecoveryAction.END and (recorded or run.by_schedule) else end


def _patience(run: Run, began: datetime, *, alone: bool) -> timedelta:
    """Return how long a run that was not let go may stay as it is."""
    if run.state_type in HELD or run.since < began:
        return ABANDONED_AFTER
    return SILENT_AFTER if alone else SLOW_START


def is_lost(run: Run) -> bool:
    """Say whether a run has ended by a fault of what was to execute it, and not because somebody wanted that."""
    match run.state_type:
        case "CRASHED":
            return True
        case "FAILED":
            return run.state_name != REFUSED
        case _:
            return run.state_type == "CANCELLED" and SHUTTING_DOWN in run.message


def wanted_since(run: Run, now: datetime, tx: Transaction) -> datetime | None:
    """Return since when a run that has ended should have executed; None if it must not start again.

    Only what was never let go starts again, and only as what it was requested for.
    """
    result = tx.get(JobResult, flow_run_id=run.id)
    if result is not None:
        over = result.attempt is not None or result.status.final or result.cancelled_by
        return None if over else result.nominal_time or result.date_created
    row = tx.get(ScheduledJob, flow_run_id=run.id)
    if row is not None and row.one_off:
        wanted = row.may_fire and not row.run_outdated and not is_taken(tx, row, row.start_time)
        return max(row.start_time, row.due_from) if wanted else None
    return _firing_of_schedule(run, now, tx)


def _firing_of_schedule(run: Run, now: datetime, tx: Transaction) -> datetime | None:
    by_schedule = run.by_schedule and run.deployment_id is not None
    row = tx.get(ScheduledJob, deployment_id=run.deployment_id) if by_schedule else None
    if row is None or row.one_off or not row.may_fire:
        return None
    firing = firing_of(row, run)
    newest = firing == newest_time(row.recurrence, now) and firing >= row.due_from
    return firing if newest and not is_taken(tx, row, firing) else None


def pause_after(since: datetime, now: datetime) -> timedelta:
    """Return how long to wait before the next attempt: half as long as it has been wanted, within limits."""
    return min(LONGEST_PAUSE, max(SHORTEST_PAUSE, (now - since) / 2))


def _has_ended(worker: str, *, orphaned: bool) -> bool:
    """Say whether the process ``host:number`` has; of another machine's it is known by the worker alone."""
    host, _, number = worker.rpartition(":")
    if host == socket.gethostname() and number.isdigit():
        return not is_alive(int(number))
    return orphaned
