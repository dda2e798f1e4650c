"""Whether a run may go: the first thing that every run of every Job asks, whoever started it.

* Nothing that Prefect says of the run is trusted: the facts come from the store.
* A run that nobody requested here does not execute.
* One process of one run is let go, once; asking again from that process (its answer was lost) gives the same answer.
* A run that carries a request is held until somebody has decided; nothing else of an undecided request executes.
* An approval that no longer fits what would run is given back: the request returns to the queue, with the reason.
* A firing executes once, at its time, of a schedule that is enabled and approved; after an outage only the newest.
* Inputs that were changed in Prefect do not execute.
* A run executes as somebody who exists, is active and may run that Job, and only while the Job is there and enabled.
* The rules stand in the order in which they are asked; the first that has an answer gives it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from approval_gate.lifecycle import ApprovalState


@dataclass(frozen=True, slots=True)
class Go:
    """Execute now."""


@dataclass(frozen=True, slots=True)
class Wait:
    """Ask again at that time."""

    until: datetime


@dataclass(frozen=True, slots=True)
class Hold:
    """Stand and wait for a decision, without a process.

    Args:
        reason: for people.
        returns: the request goes back to the queue for this reason.
    """

    reason: str
    returns: bool = False


@dataclass(frozen=True, slots=True)
class Finish:
    """End without executing; nothing is wrong."""

    message: str


@dataclass(frozen=True, slots=True)
class Refuse:
    """End as failed, without executing.

    Args:
        reason: for people.
        recorded: it was a firing's turn, so it is recorded as a failed job result.
        ends_schedule: the schedule can no longer run, so the scheduled job is disabled; always recorded too.
        returns: the request goes back to the queue for this reason; always recorded too.
        tampered: somebody changed the run in Prefect.
    """

    reason: str
    recorded: bool = False
    ends_schedule: bool = False
    returns: bool = False
    tampered: bool = False


Answer = Go | Hold | Wait | Finish | Refuse


@dataclass(frozen=True, kw_only=True, slots=True)
class Firing:
    """The scheduled job that a run belongs to, and the nominal time that it executes.

    Args:
        name: the scheduled job's.
        enabled: whether it may fire.
        approval: where its approval stands.
        stale: why that no longer lets it run, as a sentence; empty while it does.
        outdated: this run was made before the inputs or the queue were changed; another takes its place.
        carries_request: this run stands for the request; of a one-off it is the one that executes.
        due: the nominal time.
        on_time: whether the schedule fires at that time at all, and not before its start.
        owed: the schedule was to fire at that time: it was approved and enabled by then.
        newest: its newest firing until now, or None before the first.
        taken: another run has this firing.
    """

    name: str
    enabled: bool
    approval: ApprovalState
    stale: str
    outdated: bool
    carries_request: bool
    due: datetime
    on_time: bool
    owed: bool
    newest: datetime | None
    taken: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class RunsAs:
    """Who a run executes as.

    Args:
        exists: whether that user is still there.
        active: whether he may sign in.
        may_run: whether he may run that Job.
    """

    exists: bool
    active: bool
    may_run: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class Facts:
    """What the store knows of a run that asks.

    Args:
        now: the time.
        requested: whether it was requested here: as a job result, as a firing, or by an event for a receiver.
        attempt: the process that asks.
        let_go: the process that was let go before, if any was.
        over: its result is final.
        unchanged: its parameters in Prefect are those that were requested.
        needs_approval: its Job needs approval, and it was requested as a run that does not.
        firing: the scheduled job it belongs to, if any.
        runs_as: who it executes as; None where an event started it.
        job_enabled: whether its Job is enabled.
        job_installed: whether its Job's code is there.
        singleton_busy: its Job runs one at a time, and one is running.
    """

    now: datetime
    requested: bool
    attempt: UUID
    let_go: UUID | None
    over: bool
    unchanged: bool
    needs_approval: bool
    firing: Firing | None
    runs_as: RunsAs | None
    job_enabled: bool
    job_installed: bool
    singleton_busy: bool


NOT_REQUESTED = "This run was not requested through signoff, or what requested it has been deleted."
ALREADY_RUN = "This run has already executed once; request another one."
TAKEN = "This firing has already been executed by another run."
DISABLED = "The scheduled job is disabled."
NOT_APPROVED = "The scheduled job has not been approved."
NEEDS_APPROVAL = "This job needs approval now; request this run again."
OUTDATED = "The scheduled job was changed after this run was made; another run takes its place."
NOT_DUE = "The schedule does not fire at this time."
NOT_OWED = "The schedule did not yet fire at this time: it was made, approved or changed later."
SUPERSEDED = "A newer firing of this schedule is due; of those missed only the newest runs."
CHANGED = "The parameters of this run were changed in Prefect after it was requested."
JOB_DISABLED = "This job is not enabled to be run."
JOB_GONE = "This job is not presently installed and cannot be run."
SINGLETON = "This job is a singleton and another run of it is under way."

OWNER_REMOVED = "the originating user has been removed"
OWNER_INACTIVE = "its owner has been deactivated"
OWNER_FORBIDDEN = "its owner is no longer permitted to run this job"


def admit(facts: Facts) -> Answer:
    """Answer a run that asks whether it may go: the first rule that has an answer gives it.

    Args:
        facts: what the store knows.

    Returns:
        go, wait until a time, finish without executing, or refuse.
    """
    return next((answer for rule in RULES if (answer := rule(facts)) is not None), Go())


def _was_requested(facts: Facts) -> Answer | None:
    return None if facts.requested else Refuse(NOT_REQUESTED)


def _goes_once(facts: Facts) -> Answer | None:
    if facts.let_go is not None and not facts.over and facts.let_go == facts.attempt:
        return Go()
    return Refuse(ALREADY_RUN) if facts.over or facts.let_go is not None else None


def _is_approved(facts: Facts) -> Answer | None:
    firing = facts.firing
    if firing is None:
        return Refuse(NEEDS_APPROVAL, recorded=True) if facts.needs_approval else None
    if firing.taken:
        return Finish(TAKEN)
    if firing.approval is ApprovalState.PENDING and firing.carries_request:
        return Hold(NOT_APPROVED)
    return None if firing.approval.lets_run else Refuse(NOT_APPROVED)


def _fires(facts: Facts) -> Answer | None:
    firing = facts.firing
    if firing is None:
        return None
    if not firing.enabled:
        return Refuse(DISABLED)
    if firing.outdated:
        return Refuse(OUTDATED)
    if not firing.on_time:
        return Refuse(NOT_DUE)
    if facts.now < firing.due:
        return Wait(firing.due)
    if firing.newest is not None and firing.due < firing.newest:
        return Finish(SUPERSEDED)
    return None if firing.owed else Finish(NOT_OWED)


def _is_what_was_approved(facts: Facts) -> Answer | None:
    firing = facts.firing
    if firing is None or not firing.stale:
        return None
    if firing.carries_request:
        return Hold(firing.stale, returns=True)
    return Refuse(firing.stale, recorded=True, returns=True)


def _is_what_was_requested(facts: Facts) -> Answer | None:
    return None if facts.unchanged else Refuse(CHANGED, tampered=True)


def _job_is_there(facts: Facts) -> Answer | None:
    if not facts.job_installed:
        return _ends(JOB_GONE)
    return None if facts.job_enabled else _ends(JOB_DISABLED)


def _somebody_runs_it(facts: Facts) -> Answer | None:
    if facts.runs_as is None:
        return None
    if not facts.runs_as.exists:
        return _ownerless(facts, OWNER_REMOVED)
    if not facts.runs_as.active:
        return _ownerless(facts, OWNER_INACTIVE)
    return None if facts.runs_as.may_run else _ownerless(facts, OWNER_FORBIDDEN)


def _ownerless(facts: Facts, why: str) -> Answer:
    """Contract 7: the documented message, with the true reason."""
    if facts.firing is None:
        return _ends(f"This run cannot execute: {why}.")
    message = f"Scheduled job '{facts.firing.name}' cannot run: {why}. Use 'Assume Ownership' to take it over."
    return _ends(message)


def _ends(reason: str) -> Refuse:
    return Refuse(reason, recorded=True, ends_schedule=True)


def _one_at_a_time(facts: Facts) -> Answer | None:
    return Refuse(SINGLETON, recorded=True) if facts.singleton_busy else None


RULES: tuple[Callable[[Facts], Answer | None], ...] = (
    _was_requested,
    _goes_once,
    _is_approved,
    _fires,
    _is_what_was_approved,
    _is_what_was_requested,
    _job_is_there,
    _somebody_runs_it,
    _one_at_a_time,
)
