"""Admission: whether a run may execute. Every run of every Job asks this first, whoever started it.

* Nothing that Prefect reports about the run is trusted: the facts come from the store.
* A run that was not requested through signoff does not execute.
* Each run is admitted once, for one process. If that process asks again (it lost the answer), it gets the same answer.
* The run that carries a request is held until the request is decided. Other runs of a pending request are refused.
* An approval that no longer matches what would run is void: the request returns to the queue, with the reason.
* A run that its own code has suspended goes on as the same execution, once for each time that somebody who may run its
  Job has resumed it. It has had its turn, so no question of time is asked again; what it executes, and as whom, is.
* A firing executes once, at its nominal time, if its schedule is enabled and approved.
* A firing that no worker has taken in time is missed; its schedule says what becomes of it: see ``Misfire``.
* A run whose inputs were changed in Prefect does not execute; nor does one whose inputs cannot be read, or do not fit
  the variables that its Job has by now.
* A run executes as a user who exists, is active and may run the Job, and only while the Job is installed and enabled.
  One that executes as an agent does so only while all of that is true of the person for whom it asks, too.
* A run that would begin while another one of its Job is under way goes, is refused (a singleton), is passed over, waits
  for its turn, or has the older one cancelled, as its Job says: see ``Overlap``.
* The rules are applied in the order of ``RULES``; the first one that returns an answer decides.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from uuid import UUID

from approval_gate.lifecycle import ApprovalState

LEASE = "SIGNOFF_LEASE"
"""The environment variable of a run that ends with its worker: that worker's name."""

RUN_KEY = "Signoff-Run-Key"
"""The header by which a worker that takes a run asks for the key of its own, and gets it.

With that key in the same header it tells later how this attempt has ended.
"""

RUN_KEY_WANTED = "wanted"
"""What the header says to ask for a key."""

TURN_PAUSE = timedelta(seconds=40)
"""How long the first run that waits for its turn does so without a process; those behind it do so for longer."""

LONGEST_TURN_PAUSE = timedelta(minutes=5)
"""How long a run waits for its turn, at most, before it asks, unless it is called before."""

CANCEL_PAUSE = timedelta(seconds=3)
"""How long a run waits, with its process, before it asks whether an older one that was cancelled is over."""

TAKEN_BY = "Taken by "
"""What a worker whose runs end with it says in Prefect when it takes one, followed by its name."""


class Misfire(StrEnum):
    """What becomes of the firings of a schedule that nothing could run in time.

    Attributes:
        LAST: the newest runs, late; the others are passed over.
        SKIP: all are passed over.
        ALL: each runs for its own time, one after the other.
        ASK: people are asked whether the newest is to run; all are passed over meanwhile.
    """

    LAST = "last"
    SKIP = "skip"
    ALL = "all"
    ASK = "ask"


class Overlap(StrEnum):
    """What becomes of a run that would begin while another one of its Job is under way.

    Attributes:
        ALLOW: it goes.
        SKIP: it is passed over.
        QUEUE: it waits for its turn.
        CANCEL: the older ones are cancelled, and it goes when they are over.
    """

    ALLOW = "allow"
    SKIP = "skip"
    QUEUE = "queue"
    CANCEL = "cancel"


@dataclass(frozen=True, slots=True)
class Go:
    """Execute now."""


@dataclass(frozen=True, slots=True)
class Wait:
    """Ask again later.

    Args:
        until: when to ask again.
        in_turn: it waits for its turn among the runs of its Job, which is recorded.
    """

    until: datetime
    in_turn: bool = False


@dataclass(frozen=True, slots=True)
class Hold:
    """Wait for a decision, without a process.

    Args:
        reason: the sentence shown to people.
        returns: the request returns to the queue for this reason.
    """

    reason: str
    returns: bool = False


@dataclass(frozen=True, slots=True)
class Finish:
    """End without executing; this is not an error.

    Args:
        message: the sentence shown to people.
        recorded: the run had its turn, so it is recorded as a job result that was passed over.
    """

    message: str
    recorded: bool = False


@dataclass(frozen=True, slots=True)
class Refuse:
    """End as failed, without executing.

    Args:
        reason: the sentence shown to people.
        recorded: the run was due, so it is recorded as a failed job result.
        ends_schedule: the scheduled job can no longer run and is disabled; implies ``recorded``.
        returns: the request returns to the queue for this reason; implies ``recorded``.
        tampered: the run was changed in Prefect.
    """

    reason: str
    recorded: bool = False
    ends_schedule: bool = False
    returns: bool = False
    tampered: bool = False


Answer = Go | Hold | Wait | Finish | Refuse


@dataclass(frozen=True, kw_only=True, slots=True)
class Firing:
    """The scheduled job that a run belongs to, and the nominal time that the run executes.

    Args:
        name: the name of the scheduled job.
        enabled: whether the scheduled job is enabled.
        approval: the state of its approval.
        stale: the sentence on why the approval no longer holds; empty while it does.
        outdated: the inputs or the queue were changed after this run was created; another run replaces it.
        carries_request: this run represents the request; for a one-off it is the run that executes.
        due: the nominal time.
        on_time: whether the schedule fires at the nominal time, and not before its start.
        owed: whether the scheduled job was approved and enabled by the nominal time.
        newest: the newest firing until now; None before the first.
        taken: another run has executed this firing.
        misfire: what becomes of it if it was missed.
        missed: no worker had taken it in time.
        made_up: this run was made because it was missed.
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
    misfire: Misfire
    missed: bool
    made_up: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class RunsAs:
    """The user that a run executes as.

    Args:
        exists: whether the user still exists.
        active: whether the user is active.
        may_run: whether the user may run the Job.
        for_nobody: whether it is an agent whose person has been removed or deactivated, or may not run the Job.
    """

    exists: bool
    active: bool
    may_run: bool
    for_nobody: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Facts:
    """What the store knows about a run that asks for admission.

    Args:
        now: the current time.
        requested: whether signoff requested it: as a job result, as a firing, or for an event to a receiver.
        attempt: the process that asks.
        let_go: the process that was admitted before; None if none was.
        over: whether its job result is final.
        resumed: its own code had suspended it, and somebody who may has resumed it since.
        unchanged: whether its parameters in Prefect are those that were requested, and it has no job variables.
        unreadable: the sentence on why its inputs cannot be read; empty if they can.
        unfit: the sentence on why its inputs do not fit the variables of its Job; empty if they do, or if that is
            for the run to find out.
        needs_approval: the Job needs approval, but the run was requested as one that needs none.
        firing: the scheduled job it belongs to, if any.
        runs_as: the user it executes as; None if an event started it.
        job_enabled: whether the Job is enabled.
        job_installed: whether the Job's code is installed.
        is_singleton: whether the Job is a singleton.
        overlap: what its Job says of runs that overlap.
        under_way: the sentence on which other run of the Job is under way; empty if none is.
        before: how many runs of the Job go before it of those that wait; or where older ones are cancelled, how many
            newer ones there are.
        full: it does not wait yet, and as many wait as may.
    """

    now: datetime
    requested: bool
    attempt: UUID
    let_go: UUID | None
    over: bool
    resumed: bool
    unchanged: bool
    unreadable: str
    unfit: str
    needs_approval: bool
    firing: Firing | None
    runs_as: RunsAs | None
    job_enabled: bool
    job_installed: bool
    is_singleton: bool
    overlap: Overlap
    under_way: str
    before: int
    full: bool


NOT_REQUESTED = "This run was not requested through signoff, or what requested it has been deleted."
ALREADY_RUN = "This run has already executed once; request another one."
TAKEN = "This firing has already been executed by another run."
DISABLED = "The scheduled job is disabled."
NOT_APPROVED = "The scheduled job has not been approved."
NEEDS_APPROVAL = "This job needs approval now; request this run again."
OUTDATED = "The scheduled job was changed after this run was created; another run replaces it."
NOT_DUE = "The schedule does not fire at this time."
NOT_OWED = "This firing is not due: the schedule was created, approved or changed after its time."
SUPERSEDED = "A newer firing of this schedule is due; of the missed firings only the newest runs."
MISSED = "This firing was missed: no worker took it in time, and its schedule skips what was missed."
MADE_UP = "This firing was missed: no worker took it in time. It is made up for as its schedule says."
ASKED = (
    "This firing was missed: no worker took it in time. A request asks whether to run the latest of the missed ones."
)
UNASKED = (
    "This firing was missed: no worker took it in time. Nobody is asked about it, because its inputs may be sensitive."
)
ASKS = "Its start was missed: no worker took it in time. Should it run now?"
TOO_MANY = "This firing was missed, and too many after it to make up for it."
CHANGED = "The parameters of this run, or its job variables, were changed in Prefect after it was requested."
JOB_DISABLED = "This job is not enabled to be run."
JOB_GONE = "This job is not presently installed and cannot be run."
QUEUE_FULL = "Passed over, because too many runs of its Job are already waiting for their turn."
OUTRUN = "Cancelled, because a newer run of its Job has begun or is waiting."
SINGLETON = "This job is a singleton and another run of it is under way."

OWNER_REMOVED = "the originating user has been removed"
OWNER_INACTIVE = "its owner has been deactivated"
OWNER_FORBIDDEN = "its owner is no longer permitted to run this job"
OWNER_FOR_NOBODY = "the person for whom its agent asks has been removed or deactivated, or may not run this job"


def admit(facts: Facts) -> Answer:
    """Decide whether a run may execute: the first rule that returns an answer decides.

    Args:
        facts: what the store knows about the run.

    Returns:
        whether to go, hold, wait, finish without executing, or refuse.
    """
    rules = RULES_RESUMED if facts.resumed else RULES
    return next((answer for rule in rules if (answer := rule(facts)) is not None), Go())


def _was_requested(facts: Facts) -> Answer | None:
    return None if facts.requested else Refuse(NOT_REQUESTED)


def _executes_once(facts: Facts) -> Answer | None:
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


def _is_due(facts: Facts) -> Answer | None:
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
    if firing.misfire is Misfire.LAST and firing.newest is not None and firing.due < firing.newest:
        return Finish(SUPERSEDED, recorded=True)
    return _if_missed(firing) if firing.owed else Finish(NOT_OWED)


def _if_missed(firing: Firing) -> Answer | None:
    if not firing.missed or firing.made_up:
        return None
    once = firing.newest is None
    match firing.misfire:
        case Misfire.SKIP:
            return Finish(MISSED, recorded=True)
        case Misfire.ASK if once:
            return Hold(ASKS, returns=True) if firing.carries_request else Refuse(NOT_APPROVED)
        case Misfire.ALL | Misfire.ASK if not once:
            # Another run is made for it, in its turn or after it was decided about.
            return Finish(MADE_UP)
        case _:
            return None


def _approval_holds(facts: Facts) -> Answer | None:
    firing = facts.firing
    if firing is None or not firing.stale:
        return None
    if firing.carries_request:
        return Hold(firing.stale, returns=True)
    return Refuse(firing.stale, recorded=True, returns=True)


def _is_still_approved(facts: Facts) -> Answer | None:
    """Refuse to go on with what is not approved any more; the request of a run that has begun does not return."""
    firing = facts.firing
    if firing is None or (firing.approval.lets_run and not firing.stale):
        return None
    return Refuse(firing.stale or NOT_APPROVED, recorded=True)


def _inputs_unchanged(facts: Facts) -> Answer | None:
    return None if facts.unchanged else Refuse(CHANGED, tampered=True)


def _inputs_readable(facts: Facts) -> Answer | None:
    return Refuse(facts.unreadable, recorded=True) if facts.unreadable else None


def _inputs_fit(facts: Facts) -> Answer | None:
    return Refuse(facts.unfit, recorded=True) if facts.unfit else None


def _job_can_run(facts: Facts) -> Answer | None:
    if not facts.job_installed:
        return _ends(JOB_GONE)
    return None if facts.job_enabled else _ends(JOB_DISABLED)


def _user_may_run(facts: Facts) -> Answer | None:
    if facts.runs_as is None:
        return None
    if not facts.runs_as.exists:
        return _without_user(facts, OWNER_REMOVED)
    if not facts.runs_as.active:
        return _without_user(facts, OWNER_INACTIVE)
    if not facts.runs_as.may_run:
        return _without_user(facts, OWNER_FORBIDDEN)
    return _without_user(facts, OWNER_FOR_NOBODY) if facts.runs_as.for_nobody else None


def _without_user(facts: Facts, why: str) -> Answer:
    """Refuse with the message of contract 7, and the actual reason."""
    if facts.firing is None:
        return _ends(f"This run cannot execute: {why}.")
    message = f"Scheduled job '{facts.firing.name}' cannot run: {why}. Use 'Assume Ownership' to take it over."
    return _ends(message)


def _ends(reason: str) -> Refuse:
    return Refuse(reason, recorded=True, ends_schedule=True)


def _may_overlap(facts: Facts) -> Answer | None:
    if facts.is_singleton:
        return Refuse(SINGLETON, recorded=True) if facts.under_way else None
    match facts.overlap:
        case Overlap.SKIP if facts.under_way:
            return Finish(f"Passed over, because runs of its Job may not overlap: {facts.under_way}", recorded=True)
        case Overlap.QUEUE if facts.under_way or facts.before:
            if facts.full:
                return Finish(QUEUE_FULL, recorded=True)
            pause = min(TURN_PAUSE * (facts.before + 1), LONGEST_TURN_PAUSE)
            return Wait(facts.now + pause, in_turn=True)
        case Overlap.CANCEL if facts.before:
            return Finish(OUTRUN, recorded=True)
        case Overlap.CANCEL if facts.under_way:
            return Wait(facts.now + CANCEL_PAUSE, in_turn=True)
        case _:
            return None


RULES: tuple[Callable[[Facts], Answer | None], ...] = (
    _was_requested,
    _executes_once,
    _is_approved,
    _is_due,
    _approval_holds,
    _inputs_readable,
    _inputs_unchanged,
    _job_can_run,
    _user_may_run,
    _inputs_fit,
    _may_overlap,
)

RULES_RESUMED: tuple[Callable[[Facts], Answer | None], ...] = (
    _was_requested,
    _executes_once,
    _is_still_approved,
    _inputs_readable,
    _inputs_unchanged,
    _job_can_run,
    _user_may_run,
    _inputs_fit,
)
"""The rules for a run that has begun, was suspended by its own code, and was resumed."""
