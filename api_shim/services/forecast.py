"""Forecasts: when scheduled jobs fire next, or why they do not.

* A forecast evaluates the rules of admission with the present owner, approval and Job.
* Forecasts take a fixed number of queries, however many scheduled jobs there are.

Contract 10.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from api_shim.domain.accounts import User
from api_shim.domain.model import JobResult, ScheduledJob, Status
from api_shim.domain.recurrence import TICK, next_times, times_after
from api_shim.domain.status_words import ScheduleStatus
from api_shim.reconcile.firings import taken_of
from api_shim.services.admission import foreseen, who_runs
from api_shim.services.agents import asks_for_nobody, people_behind
from api_shim.services.authentication import actors_of
from api_shim.services.authorization import AuthzContext
from api_shim.store import Transaction
from approval_gate.admission import Answer, Finish, Hold, Refuse, RunsAs, admit
from approval_gate.lifecycle import ApprovalState

HAD_ITS_TURN = "It has already run, and runs only once."
WAITS_ITS_TURN = "It waits for its turn: other runs of its Job go first."
NEVER_AGAIN = "Its schedule has no further firings."


@dataclass(frozen=True, kw_only=True, slots=True)
class Forecast:
    """The forecast for a scheduled job.

    Args:
        standing: its status.
        due: when its schedule fires next, whether or not it may run then; None for never.
        why_not: why it does not fire then; empty if it does.
    """

    standing: ScheduleStatus
    due: datetime | None
    why_not: str

    @property
    def next_firing(self) -> datetime | None:
        return None if self.why_not else self.due


def forecast_of(tx: Transaction, case: AuthzContext, now: datetime) -> Forecast:
    """Return the forecast for one scheduled job."""
    [prospect] = forecasts(tx, [case], now)
    return prospect


def forecasts(tx: Transaction, cases: list[AuthzContext], now: datetime) -> list[Forecast]:
    """Return the forecast for each scheduled job, in the same order."""
    firings = {case.row.id: firing for case in cases if (firing := _nominal(case.row, now)) is not None}
    taken = taken_of(tx, firings.items())
    waiting = {each.scheduled_job_id for each in tx.all(JobResult, **_pending(cases)) if each.waits_its_turn}
    owners = _owners(tx, cases)

    def prospect(case: AuthzContext) -> Forecast:
        row, firing = case.row, firings.get(case.row.id)
        if firing is None:
            return Forecast(standing=ScheduleStatus.OVER, due=None, why_not=NEVER_AGAIN)
        has_run = (row.id, firing) in taken
        if row.one_off and row.may_fire and row.id in waiting:
            return Forecast(standing=ScheduleStatus.FIRES, due=now, why_not=WAITS_ITS_TURN)
        if row.one_off and has_run:
            standing = ScheduleStatus.FAILED if row.failure else ScheduleStatus.OVER
            return Forecast(standing=standing, due=None, why_not=row.failure or HAD_ITS_TURN)
        then = max(firing, now)
        owner, runs_as = owners[row.id]
        facts = foreseen(case, firing, then, owner=owner, runs_as=runs_as, taken=has_run)
        why_not = row.failure or _expired(case) or _reason(admit(facts))
        return Forecast(standing=_standing(case, why_not), due=then, why_not=why_not)

    return [prospect(case) for case in cases]


def due_within(row: ScheduledJob, since: datetime, until: datetime, now: datetime) -> datetime | None:
    """Return when a schedule fires first from ``since`` on and before ``until``, whether or not it may run then."""
    if row.one_off:
        due: datetime | None = max(row.start_time, now)
    else:
        due = next(times_after(row.recurrence, since - TICK), None)
    return due if due is not None and since <= due < until else None


def _pending(cases: list[AuthzContext]) -> dict[str, Any]:
    one_offs = {case.row.id for case in cases if case.row.one_off}
    return {"scheduled_job_id": one_offs, "status": Status.PENDING}


def _nominal(row: ScheduledJob, now: datetime) -> datetime | None:
    return row.start_time if row.one_off else next(iter(next_times(row.recurrence, now, 1)), None)


def _owners(tx: Transaction, cases: list[AuthzContext]) -> Mapping[UUID, tuple[User | None, RunsAs | None]]:
    """Return the owner of each scheduled job, and the user that it runs as."""
    users = tx.all(User, id={case.row.owner_id for case in cases if case.row.owner_id})
    people = people_behind(tx, users)
    known = {user.id: (user, actor) for user, actor in zip(users, actors_of(tx, users), strict=True)}

    def runs_as(case: AuthzContext) -> tuple[User | None, RunsAs | None]:
        user, actor = known.get(case.row.owner_id, (None, None)) if case.row.owner_id else (None, None)
        for_nobody = user is not None and asks_for_nobody(user, people, case.request.job)
        return user, who_runs(case.job, user, actor, case.request.job, for_nobody=for_nobody)

    return {case.row.id: runs_as(case) for case in cases}


def _expired(case: AuthzContext) -> str:
    return case.request.settled if case.request.approval is ApprovalState.EXPIRED else ""


def _standing(case: AuthzContext, why_not: str) -> ScheduleStatus:
    row = case.row
    if not why_not:
        return ScheduleStatus.FIRES
    if row.failure:
        return ScheduleStatus.FAILED
    if _expired(case):
        return ScheduleStatus.EXPIRED
    if row.awaits_decision:
        return ScheduleStatus.WAITS
    return ScheduleStatus.STOPPED if row.enabled else ScheduleStatus.DISABLED


def _reason(answer: Answer) -> str:
    match answer:
        case Refuse(reason=reason) | Hold(reason=reason):
            return reason
        case Finish(message=message):
            return message
        case _:
            return ""
