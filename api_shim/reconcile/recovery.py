"""What is to be done about a run that does not get on: nothing, end it, drop it, let it ask or start again.

* A process of this machine that is gone is proof that its run has ended.
* What was let go is never started again; what was not, and is stuck, is.
* What nobody recorded is dropped; a request that somebody let start in Prefect asks again.
* What is held for a request that does not wait any more follows its scheduled job.
"""

from __future__ import annotations

import os
import socket
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from uuid import UUID

from api_shim.domain.model import JobResult, ScheduledJob
from api_shim.domain.ports import GOING, HELD, Run
from api_shim.store import Transaction

ABANDONED_AFTER = timedelta(seconds=60)
SLOW_START = timedelta(minutes=15)
"""How long a process may take from being taken by a worker to asking for admission: some pull a large image first."""


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
    """What the store knows of a run."""

    result: JobResult | None
    scheduled: ScheduledJob | None


def known_runs(runs: list[Run], tx: Transaction) -> dict[UUID, KnownRun]:
    """Return what the store knows of these runs, by id."""
    ids = [run.id for run in runs]
    results = {result.id: result for result in tx.all(JobResult, id=ids)}
    scheduled = {row.flow_run_id: row for row in tx.all(ScheduledJob, flow_run_id=ids)}
    return {run_id: KnownRun(result=results.get(run_id), scheduled=scheduled.get(run_id)) for run_id in ids}


def recovery_action(run: Run, known: KnownRun, now: datetime, began: datetime) -> RecoveryAction:
    """Say what to do about a run that is held, or that Prefect shows as under way.

    A process of this machine that is gone is proof. What was not let go counts as stuck after a while: a short one for
    runs from before this server began, whose worker may have ended with the last one. A run that is held and recorded
    waits rightly. One that is being cancelled is never started again.
    """
    result = known.result
    end = RecoveryAction.CANCEL if run.state_type == "CANCELLING" else RecoveryAction.END
    if result is not None and result.attempt is not None:
        return end if run.state_type in GOING and _is_gone(result.worker or "") else RecoveryAction.LEAVE
    short = run.state_type in HELD or run.since < began
    if now - run.since <= (ABANDONED_AFTER if short else SLOW_START):
        return RecoveryAction.LEAVE
    recorded = result is not None or known.scheduled is not None
    awaits = known.scheduled is not None and known.scheduled.awaits_decision
    if run.state_type in HELD:
        waits = result is not None or awaits
        return RecoveryAction.LEAVE if waits else RecoveryAction.FOLLOW if recorded else RecoveryAction.DROP
    if awaits:
        return RecoveryAction.ASK_AGAIN
    return RecoveryAction.START_AGAIN if end is RecoveryAction.END and (recorded or run.by_schedule) else end


def _is_gone(worker: str) -> bool:
    host, _, number = worker.rpartition(":")
    return host == socket.gethostname() and number.isdigit() and not _is_alive(int(number))


def _is_alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
