"""What becomes of missed firings where a schedule says otherwise than that the newest runs (``Misfire``).

* Each is recorded, once, as all firings are.
* Where all are made up for, each waits as a result without a run, and begins when nothing of its scheduled job is under
  way, the oldest first. Of those that wait only the newest so many stay; the others are recorded as passed over.
* Where people are asked, all are recorded as passed over, and a request of its own asks whether to run the newest. It
  has the inputs, the owner and the requester of the schedule, and nobody can approve it who could not approve that.
  What is missed before it is decided about is asked by the same request, while that would run the same as the same
  user; otherwise by a new one in its place. Who has read that less was missed cannot approve it without its version.
* Nothing waits of a scheduled job that is disabled, needs another decision, was changed since, or is deleted; and until
  that has been followed, nobody can approve what it asks.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any
from uuid import UUID, uuid5
from zoneinfo import ZoneInfo

from api_shim.domain.approval import end_of
from api_shim.domain.audit import EventType, scheduled_job_event
from api_shim.domain.model import Job, JobResult, Participant, PendingCleanup, ScheduledJob, Status
from api_shim.domain.recurrence import Interval
from api_shim.reconcile.approval_requests import ask, settle
from api_shim.reconcile.desired_state import leftover_of
from api_shim.reconcile.firings import call_next, ending, missed_firings, missed_results
from api_shim.store import Transaction
from approval_gate.admission import ASKED, DISABLED, MADE_UP, MISSED, NOT_APPROVED, NOT_OWED, TOO_MANY, UNASKED, Misfire
from approval_gate.errors import Unavailable
from approval_gate.lifecycle import ApprovalState

NO_LONGER_ASKED = "It is no longer asked: its schedule was deleted, disabled or changed, or has another owner."

LONGEST_NAME = 180
"""Of a scheduled job, as far as a request about what it has missed repeats it."""


def record_not_run(
    scheduled: ScheduledJob,
    job: Job,
    until: datetime,
    claimed: Collection[datetime],
    limit: int,
    now: datetime,
    tx: Transaction,
) -> None:
    """Record every missed firing up to a moment: as one that waits for its turn, or as passed over.

    Args:
        scheduled: what fires.
        job: its Job.
        until: the newest missed firing.
        claimed: the times of those that a worker has and that are not recorded yet.
        limit: how many may wait for their turn.
        now: the time.
        tx: the transaction.
    """
    row = tx.get(ScheduledJob, id=scheduled.id, lock=True)
    if row is None or (row.due_from, row.misfire) != (scheduled.due_from, scheduled.misfire):
        return
    tx.add(*(_recorded(row, job, each, now) for each in missed_results(row, job, until, claimed, now, tx)))
    tx.change(row, recorded_until=min((until, *claimed)))
    for each in _waiting(row.id, tx)[:-limit]:
        _pass_over(each, TOO_MANY, now, tx)


def _recorded(row: ScheduledJob, job: Job, result: JobResult, now: datetime) -> JobResult:
    if row.misfire is not Misfire.ALL:
        return replace(result, **ending(result, Status.REVOKED, now), traceback=why_not_run(row, job))
    try:
        return replace(result, inputs=dict(row.inputs))
    except Unavailable as error:
        return replace(result, **ending(result, Status.FAILURE, now), traceback=str(error))


def why_not_run(row: ScheduledJob, job: Job) -> str:
    """Return why the run that Prefect has made for a missed firing does not execute, as a sentence."""
    match row.misfire:
        case Misfire.ASK:
            return UNASKED if row.hides_inputs(job) else ASKED
        case Misfire.SKIP:
            return MISSED
        case _:
            return MADE_UP


# All, one after the other


def next_turn(scheduled: ScheduledJob, tx: Transaction) -> tuple[UUID | None, bool]:
    """Let the oldest missed firing begin that waits for its turn, if nothing of the scheduled job is under way.

    Returns:
        the result that is to begin, and whether there is more to come.
    """
    row = tx.get(ScheduledJob, id=scheduled.id, lock=True)
    waiting = _waiting(scheduled.id, tx)
    if row is None or not waiting:
        return None, False
    open_ones = tx.all(JobResult, scheduled_job_id=row.id, status=[Status.PENDING, Status.STARTED])
    if len(open_ones) > len(waiting):
        return None, True
    return tx.change(waiting[0], released=False).id, True


def has_turns(scheduled: ScheduledJob, tx: Transaction) -> bool:
    """Say whether anything of a scheduled job waits for its turn."""
    return tx.exists(JobResult, **_waits(scheduled.id))


def drop_turns(scheduled: ScheduledJob, now: datetime, tx: Transaction) -> None:
    """Record as passed over what waits for its turn and is not owed any more."""
    row = tx.get(ScheduledJob, id=scheduled.id, lock=True)
    if row is None:
        return
    why = NOT_OWED if row.may_fire else NOT_APPROVED if row.enabled else DISABLED
    for each in _waiting(row.id, tx):
        if not row.may_fire or each.nominal_time is None or each.nominal_time < row.due_from:
            _pass_over(each, why, now, tx)


def drop_all_turns(scheduled_ids: Collection[UUID], why: str, now: datetime, tx: Transaction) -> None:
    """Record as passed over whatever of these scheduled jobs waits for its turn.

    Args:
        scheduled_ids: their ids.
        why: the reason, as a sentence.
        now: the time.
        tx: the transaction.
    """
    for each in _waiting({*scheduled_ids}, tx):
        _pass_over(each, why, now, tx)


def pass_over_all(scheduled_id: UUID, why: str, now: datetime, tx: Transaction) -> None:
    """Record as passed over every firing of a scheduled job that has a record, and that has not begun.

    Args:
        scheduled_id: its id.
        why: the reason, as a sentence.
        now: the time.
        tx: the transaction.
    """
    for each in tx.all(JobResult, order="id", lock=True, scheduled_job_id=scheduled_id, status=Status.PENDING):
        _pass_over(each, why, now, tx)
        call_next(each, now, tx)


def _waiting(scheduled: UUID | set[UUID], tx: Transaction) -> list[JobResult]:
    """Return what waits for its turn, the oldest first: it is there before anything of it is asked of Prefect."""
    return tx.all(JobResult, order="nominal_time", lock=True, **_waits(scheduled))


def _waits(scheduled: UUID | set[UUID]) -> dict[str, Any]:
    return {"scheduled_job_id": scheduled, "status": Status.PENDING, "released": True, "flow_run_id": None}


def _pass_over(result: JobResult, why: str, now: datetime, tx: Transaction) -> None:
    tx.change(result, **ending(result, Status.REVOKED, now), traceback=why)


# People are asked


def ask_about(
    scheduled: ScheduledJob, job: Job, until: datetime, claimed: Collection[datetime], now: datetime, tx: Transaction
) -> UUID | None:
    """Ask whether to run the newest missed firing up to a moment; before they are recorded, so that nothing is lost.

    Args:
        scheduled: what fires.
        job: its Job.
        until: the newest missed firing.
        claimed: the times of those that a worker has.
        now: the time.
        tx: the transaction.

    Returns:
        the id of the request that asks; None if there is nothing to ask.
    """
    row, waiting = _locked(scheduled.id, scheduled.job_id, tx)
    if row is None or (row.due_from, row.misfire) != (scheduled.due_from, scheduled.misfire):
        return None
    missed = missed_firings(row, until, claimed, tx)
    if not missed or row.hides_inputs(job):
        return None
    asks = next((each for each in waiting if is_asked(each, row)), None)
    if asks is None:
        return _request(row, job, missed, now, tx)
    _add_participants(asks, row, tx)
    known = asks.missed or {}
    last = datetime.fromisoformat(known["last"])
    fresh = [firing for firing in missed if firing > last]
    if fresh and (asks.inputs, asks.queue) != (row.inputs, row.queue):
        _end(asks, now, tx)
        return _request(row, job, fresh, now, tx)
    if fresh:
        told = {**known, "count": known["count"] + len(fresh), "last": fresh[0].isoformat()}
        note = _question(told, asks.time_zone)
        to = {"missed": told, "approval_note": note, "edited": True}
        tx.change(asks, **to, date_changed=now, version=asks.version + 1)
    return asks.id


def has_requests(scheduled: ScheduledJob, tx: Transaction) -> bool:
    """Say whether a request waits that asks about what a scheduled job has missed."""
    return bool(_requests_of(scheduled.id, scheduled.job_id, tx))


def end_requests(scheduled_id: UUID, job_id: UUID, now: datetime, tx: Transaction) -> list[PendingCleanup]:
    """Delete the requests that ask about what a scheduled job has missed, and that are not to be asked any more.

    Args:
        scheduled_id: its id; it may be gone.
        job_id: its Job's.
        now: the time.
        tx: the transaction.

    Returns:
        what they may have left in Prefect.
    """
    row, waiting = _locked(scheduled_id, job_id, tx)
    return [_end(each, now, tx) for each in waiting if not is_asked(each, row)]


def is_asked(asks: ScheduledJob, about: ScheduledJob | None) -> bool:
    """Say whether a request is still to be asked.

    Args:
        asks: the request.
        about: the scheduled job that has missed something; None if it is gone.
    """
    if about is None or not about.may_fire or about.misfire is not Misfire.ASK or asks.owner_id != about.owner_id:
        return False
    return asks.missed is not None and datetime.fromisoformat(asks.missed["first"]) >= about.due_from


def why_not_asked(asks: ScheduledJob, tx: Transaction) -> str:
    """Return why a request is not to be decided about, as a sentence; empty if it is."""
    if asks.missed is None or is_asked(asks, tx.get(ScheduledJob, id=UUID(asks.missed["of"]))):
        return ""
    return NO_LONGER_ASKED


def _end(asks: ScheduledJob, now: datetime, tx: Transaction) -> PendingCleanup:
    tx.record(scheduled_job_event(asks, EventType.DELETED, now, reason=NO_LONGER_ASKED))
    if (job := tx.get(Job, id=asks.job_id)) is not None:
        settle(tx, [(asks, job)], ApprovalState.WITHDRAWN, now, comment=NO_LONGER_ASKED)
    tx.remove_all(ScheduledJob, [asks.id])
    leftover = leftover_of(asks, NO_LONGER_ASKED)
    tx.add(leftover)
    return leftover


def _requests_of(scheduled_id: UUID, job_id: UUID, tx: Transaction) -> list[ScheduledJob]:
    undecided = tx.all(ScheduledJob, job_id=job_id, approval=ApprovalState.PENDING, enabled=True)
    return [row for row in undecided if row.missed is not None and row.missed["of"] == str(scheduled_id)]


def _locked(scheduled_id: UUID, job_id: UUID, tx: Transaction) -> tuple[ScheduledJob | None, list[ScheduledJob]]:
    """Return a scheduled job and the requests that ask about it."""
    ids = {scheduled_id, *(row.id for row in _requests_of(scheduled_id, job_id, tx))}
    # Who locks several scheduled jobs does it in the order of their ids.
    rows = {row.id: row for row in tx.all(ScheduledJob, order="id", lock=True, id=ids)}
    row = rows.pop(scheduled_id, None)
    # Somebody may have decided about one a moment ago.
    return row, [each for each in rows.values() if each.awaits_decision]


def _request(scheduled: ScheduledJob, job: Job, missed: list[datetime], now: datetime, tx: Transaction) -> UUID:
    """Make the request that asks about these firings, the newest first; once."""
    asks_id = uuid5(scheduled.id, f"missed until {missed[0].isoformat()}")
    if tx.exists(ScheduledJob, id=asks_id):
        return asks_id
    told = {
        "of": str(scheduled.id),
        "count": len(missed),
        "first": missed[-1].isoformat(),
        "last": missed[0].isoformat(),
    }
    asks = ScheduledJob(
        id=asks_id,
        name=f"{scheduled.name[:LONGEST_NAME]}, missed {_clock(missed[-1], scheduled.time_zone)} ({str(asks_id)[:8]})",
        job_id=scheduled.job_id,
        owner_id=scheduled.owner_id,
        requester_id=scheduled.requester_id,
        interval=Interval.FUTURE,
        start_time=now,
        time_zone=scheduled.time_zone,
        immediate=True,
        inputs=scheduled.inputs,
        queue=scheduled.queue,
        description=scheduled.description,
        approval=ApprovalState.PENDING,
        approval_note=_question(told, scheduled.time_zone),
        expires_at=end_of(job, scheduled.agent, now),
        created=now,
        date_changed=now,
        due_from=now,
        missed=told,
        **scheduled.origin,
    )
    tx.add(asks)
    ask(tx, asks, job, now)
    _add_participants(asks, scheduled, tx)
    tx.record(scheduled_job_event(asks, EventType.REQUESTED, now, None, reason=asks.approval_note))
    return asks_id


def _add_participants(asks: ScheduledJob, scheduled: ScheduledJob, tx: Transaction) -> None:
    """See to it that nobody can approve a request who cannot approve the scheduled job that it asks about."""
    known = {each.user_id: each for each in tx.all(Participant, scheduled_job_id=asks.id)}
    for each in tx.all(Participant, scheduled_job_id=scheduled.id):
        if each.user_id not in known:
            tx.add(replace(each, scheduled_job_id=asks.id))
        elif each.owned and not known[each.user_id].owned:
            tx.change(known[each.user_id], owned=True)


def _question(told: Mapping[str, Any], zone: str) -> str:
    first, last = (_clock(datetime.fromisoformat(told[name]), zone) for name in ("first", "last"))
    if told["count"] == 1:
        return f"The firing at {last} {zone} was missed: run it?"
    return f"{told['count']} firings between {first} and {last} {zone} were missed: run the last one?"


def _clock(time: datetime, zone: str) -> str:
    return f"{time.astimezone(ZoneInfo(zone)):%Y-%m-%d %H:%M}"
