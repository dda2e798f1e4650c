"""The use case of changing a scheduled job: what it is called, whether, when, where and with what it runs.

* A change is accepted whole or refused whole, and held to what holds when a scheduled job is first requested.
* A change of what was approved puts it back into the queue in the same transaction; until somebody has decided anew
  nothing of it runs. Who made the change cannot approve it, and nobody without saying that they have seen it.
* What has yet to run once can recur, and what recurs can run once: it counts from zero then, what of it waits for its
  turn is passed over, and a run that was made for it before is not let go. Of a sensitive Job nothing changes so.
* A file of its inputs that is not sent stays; another one takes another request.
* What a person enabled or disabled is recorded as their act; one that has had its only turn, has no owner, or has
  expired is not enabled.
* Firings from before a change of when, where or with what it runs, or from before it was enabled, are not owed.

Contract 4, 9.7 and 10.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from typing import Any
from uuid import UUID

import anyio.to_thread

from api_shim.domain.approval import unasked
from api_shim.domain.audit import EventType, scheduled_job_event
from api_shim.domain.files import InputFile, with_kept_files
from api_shim.domain.model import Job, JobResult, ScheduledJob, Status
from api_shim.parsing.run_request import NAME_TAKEN, START_INVALID, read_queue
from api_shim.parsing.schedule_change import WHEN, ScheduleChange, read_edit
from api_shim.reconcile.approval_requests import rename
from api_shim.reconcile.firings import is_taken, leave_queue
from api_shim.reconcile.missed import pass_over_all
from api_shim.reconcile.wake_queue import Kind, Wake
from api_shim.services.approval_state import revalidate
from api_shim.services.authorization import (
    EXPIRED,
    KIND,
    AuthzContext,
    add_participant,
    authorize,
    check_seen,
    check_still_active,
)
from api_shim.services.jobs import JobCode
from api_shim.services.runs import Runs
from api_shim.services.schedules import SENSITIVE
from api_shim.store import Duplicate, Store, Transaction
from approval_gate import ownership, policy
from approval_gate.admission import NOT_OWED
from approval_gate.errors import Conflict, Invalid
from approval_gate.lifecycle import ApprovalState
from approval_gate.model import Action, Actor
from flows.files import ids_in

WHAT = frozenset({"inputs", "queue"})
HOW = WHEN | WHAT
NO_FILES = "A file that it was given is no longer kept; make a new request with it."
SUSPENDED = "A run of it is suspended; let it finish or cancel it first."
OWNERLESS = "Its owner has been removed; assume ownership of it first."


@dataclass(frozen=True, kw_only=True, slots=True)
class _Change:
    """A change that has been found sound.

    Args:
        body: what was sent.
        found: the new inputs and the new queue, if they were.
        seen: the version of what is to change; None for whatever it is.
    """

    body: object
    found: Mapping[str, Any]
    seen: str | None


class ScheduleChanges:
    """Changes of scheduled jobs.

    Args:
        store: what is true.
        runs: knows which queues are served.
        wake: lets Prefect follow.
        code: the Jobs' code, which knows their variables.
        clock: tells the time, aware.
    """

    def __init__(self, *, store: Store, runs: Runs, wake: Wake, code: JobCode, clock: Callable[[], datetime]) -> None:
        self._store = store
        self._runs = runs
        self._wake = wake
        self._code = code
        self._clock = clock

    async def change(self, actor: Actor, by: Mapping[str, Any], body: object, seen: str | None = None) -> ScheduledJob:
        """Change a scheduled job.

        Args:
            actor: who changes it.
            by: the field that tells which.
            body: the new values, as sent.
            seen: the version that they have seen; None for whatever it is.

        Returns:
            it, as it stands then.

        Raises:
            Forbidden: they may not change it, or not in this way.
            NotFound: there is none, or none that they may see.
            Invalid: a value that it cannot have, under its field.
            Conflict: it cannot be enabled.
            Outdated: it is not what they have seen.
            Unavailable: no worker serves the new queue.
        """
        now = self._clock()
        case = await self._store.read(partial(_changeable, actor, by, now))
        # Off the event loop: large inputs are long to check, and the first ones of a Job import its module.
        change = await anyio.to_thread.run_sync(self._plan, actor, case, body, seen, now)
        if (queue := change.found.get("queue", case.row.queue)) != case.row.queue:
            self._runs.check_served(queue)
        try:
            row = await self._store.write(partial(_change, actor, case.row.id, change, now))
        except Duplicate as error:
            raise Invalid({"name": [NAME_TAKEN]}) from error
        self._wake(Kind.SCHEDULED_JOB, row.id, row.start_time)
        return row

    def _plan(self, actor: Actor, case: AuthzContext, body: object, seen: str | None, now: datetime) -> _Change:
        job, edit = case.job, _read(actor, case, body, now)
        found: dict[str, Any] = {}
        if edit.task_queue is not None or edit.job_queue is not None:
            found["queue"] = read_queue(job, edit.task_queue, edit.job_queue)
        if edit.inputs:
            if case.row.hides_inputs(job):
                raise Invalid({"data": [SENSITIVE]})
            data = with_kept_files(job, case.row.inputs, edit.data)
            found["inputs"] = self._code.validate(job, data)
        return _Change(body=body, found=found, seen=seen)


def _changeable(
    actor: Actor, by: Mapping[str, Any], now: datetime, tx: Transaction, *, action: Action = Action.VIEW
) -> AuthzContext:
    """Return what the actor may change at all; in which way is asked when that is known."""
    may = partial(ownership.change, actor, runs_otherwise=False, inputs=False)
    return authorize(tx, actor, action, by, now, may)


def _read(actor: Actor, case: AuthzContext, body: object, now: datetime) -> ScheduleChange:
    """Return the change of a scheduled job as it stands, if the actor may change it so."""
    edit = read_edit(body, case.row, now)
    if _turns(case.row, edit.fields) and case.job.has_sensitive_variables:
        raise Invalid({"interval": [SENSITIVE]})
    may = ownership.change(actor, case.request, runs_otherwise=edit.runs_otherwise, inputs=edit.inputs)
    policy.enforce(may, KIND)
    return edit


def _change(actor: Actor, scheduled_id: UUID, change: _Change, now: datetime, tx: Transaction) -> ScheduledJob:
    case = _changeable(actor, {"id": scheduled_id}, now, tx, action=Action.CHANGE)
    row = case.row
    check_seen(case, change.seen)
    check_still_active(tx, actor)
    # Read again behind the lock: what is sent may mean something else after what others have changed meanwhile.
    fields = {**_read(actor, case, change.body, now).fields, **change.found}
    to = {name: value for name, value in fields.items() if value != getattr(row, name)}
    if not to:
        return row
    if to.get("enabled"):
        _check_can_be_enabled(tx, case, replace(row, **to), now)
    if HOW & to.keys():
        add_participant(tx, row, actor.id, actor.username, owned=False)
    _record(tx, actor, row, to, now)
    if HOW & to.keys():
        leave_queue(row, now, tx)
    if _turns(row, to) and not row.one_off:
        if tx.exists(JobResult, scheduled_job_id=row.id, status=Status.STARTED, suspended=True):
            raise Conflict(SUSPENDED)
        pass_over_all(row.id, NOT_OWED, now, tx)
    row = tx.change(row, **to, **_following(row, case.job, to, now), date_changed=now, version=row.version + 1)
    policy.enforce(policy.check_result(actor, Action.CHANGE, KIND, tx.attributes(KIND, row.id)), KIND)
    if "name" in to:
        rename(tx, row)
    return revalidate(tx, row, case.job, now)


def _turns(row: ScheduledJob, to: Mapping[str, Any]) -> bool:
    """Say whether what runs once is to recur with these fields, or what recurs to run once."""
    return "interval" in to and to["interval"].recurring is row.one_off


def _following(row: ScheduledJob, job: Job, to: Mapping[str, Any], now: datetime) -> dict[str, Any]:
    """Return what else changes with these fields."""
    also: dict[str, Any] = {"failure": ""} if "enabled" in to else {}
    if to.get("enabled") or HOW & to.keys():
        also["due_from"] = now
        if row.approval is ApprovalState.NOT_REQUIRED:
            also["approval_off"] = unasked(job, to.get("inputs", row.inputs)) or row.approval_off
    if (HOW | {"name"}) & to.keys():
        # Who approves by name must not approve what another request was called.
        also["edited"] = True
    if "name" in to:
        also["run_name"] = ""
    # A run that is held shows its new inputs; one that is not, stands in another queue, or was ended, is replaced.
    replaced = {"queue"} if row.awaits_decision else WHAT
    if row.one_off and (to.get("enabled") or replaced & to.keys()):
        also["run_outdated"] = True
    if _turns(row, to):
        # A run that stands for it in Prefect is of another kind; and what has run before was not its only turn.
        also |= {"run_outdated": True, "total_run_count": 0, "last_run_at": None}
    return also


def _check_can_be_enabled(tx: Transaction, case: AuthzContext, row: ScheduledJob, now: datetime) -> None:
    policy.enforce(policy.runnable(case.request.runnable), KIND)
    if case.job.has_sensitive_variables:
        raise Invalid({"enabled": [SENSITIVE]})
    if row.owner_id is None:
        raise Conflict(OWNERLESS)
    if case.request.approval is ApprovalState.EXPIRED:
        raise Conflict(EXPIRED)
    if any(not tx.exists(InputFile, id=each) for each in ids_in(row.inputs)):
        raise Conflict(NO_FILES)
    if row.one_off and (row.is_past_due(now) or is_taken(tx, row, row.start_time)):
        raise Invalid({"start_time": [START_INVALID]})


def _record(tx: Transaction, actor: Actor, row: ScheduledJob, to: Mapping[str, Any], now: datetime) -> None:
    if "enabled" in to:
        tx.record(scheduled_job_event(row, EventType.ENABLED if to["enabled"] else EventType.DISABLED, now, actor))
    changed = sorted(to.keys() - {"enabled", "immediate"})
    if changed:
        tx.record(scheduled_job_event(row, EventType.CHANGED, now, actor, fields=changed))
