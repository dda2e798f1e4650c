"""Whether a run may go: every rule by itself, their order, and what holds for all facts whatever."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from approval_gate.admission import (
    ALREADY_RUN,
    ASKS,
    CANCEL_PAUSE,
    CHANGED,
    DISABLED,
    JOB_DISABLED,
    JOB_GONE,
    LONGEST_TURN_PAUSE,
    MADE_UP,
    MISSED,
    NEEDS_APPROVAL,
    NOT_APPROVED,
    NOT_DUE,
    NOT_OWED,
    NOT_REQUESTED,
    OUTDATED,
    OUTRUN,
    QUEUE_FULL,
    SINGLETON,
    SUPERSEDED,
    TAKEN,
    TURN_PAUSE,
    Answer,
    Facts,
    Finish,
    Firing,
    Go,
    Hold,
    Misfire,
    Overlap,
    Refuse,
    RunsAs,
    Wait,
    admit,
)
from approval_gate.lifecycle import ApprovalState

NOW = datetime(2026, 5, 4, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
THIS, OTHER = UUID(int=1), UUID(int=2)

OWNED = RunsAs(exists=True, active=True, may_run=True)
NOT_REQUIRED, PENDING, APPROVED = ApprovalState.NOT_REQUIRED, ApprovalState.PENDING, ApprovalState.APPROVED
DENIED, EXPIRED, WITHDRAWN = ApprovalState.DENIED, ApprovalState.EXPIRED, ApprovalState.WITHDRAWN
CODE = "The Job's code changed after bob approved it."
DUE = Firing(
    name="nightly",
    enabled=True,
    approval=APPROVED,
    stale="",
    outdated=False,
    carries_request=False,
    due=NOW,
    on_time=True,
    owed=True,
    newest=NOW,
    taken=False,
    misfire=Misfire.LAST,
    missed=False,
    made_up=False,
)
NOW_RUN = Facts(
    now=NOW,
    requested=True,
    attempt=THIS,
    let_go=None,
    over=False,
    resumed=False,
    unchanged=True,
    unreadable="",
    unfit="",
    needs_approval=False,
    firing=None,
    runs_as=OWNED,
    job_enabled=True,
    job_installed=True,
    is_singleton=False,
    overlap=Overlap.ALLOW,
    under_way="",
    before=0,
    full=False,
)
FIRING = replace(NOW_RUN, firing=DUE)


def firing(**to: Any) -> Facts:
    return replace(FIRING, firing=replace(DUE, **to))


BUSY = "the run of noon is under way."
LOCKED = "The inputs cannot be read."


def firing_of_nothing_readable(**to: Any) -> Facts:
    return replace(firing(**to), unreadable=LOCKED)


def carrier(**to: Any) -> Facts:
    """Return the facts of a run that carries a request, of a one-off whose start is now."""
    return firing(**{"carries_request": True, "newest": None, **to})


def returned(reason: str) -> Refuse:
    return Refuse(reason, recorded=True, returns=True)


def ends(reason: str) -> Refuse:
    return Refuse(reason, recorded=True, ends_schedule=True)


def ownerless(why: str) -> Refuse:
    return ends(f"Scheduled job 'nightly' cannot run: {why}. Use 'Assume Ownership' to take it over.")


def resumed(**to: Any) -> Facts:
    """Return the facts of a firing that its own code has suspended, and that was resumed."""
    return replace(firing(**to), resumed=True)


STALE = "The code has changed since it was approved."
GONE = RunsAs(exists=False, active=False, may_run=False)
REMOVED = "the originating user has been removed"

TABLE = [
    pytest.param(NOW_RUN, Go(), id="a run that was requested goes"),
    pytest.param(FIRING, Go(), id="a firing goes at its time"),
    pytest.param(firing(newest=None), Go(), id="a one-off, which has no newest firing, goes"),
    pytest.param(replace(FIRING, now=NOW + HOUR), Go(), id="a firing that is late and still the newest goes"),
    pytest.param(replace(NOW_RUN, runs_as=None), Go(), id="what an event started runs as nobody"),
    pytest.param(replace(NOW_RUN, requested=False), Refuse(NOT_REQUESTED), id="what nobody requested is refused"),
    pytest.param(replace(FIRING, let_go=THIS), Go(), id="the same process that asks again goes"),
    pytest.param(
        replace(firing(enabled=False, newest=NOW + HOUR), let_go=THIS, is_singleton=True, under_way=BUSY),
        Go(),
        id="the same process that asks again goes, whatever has happened since",
    ),
    pytest.param(replace(FIRING, let_go=OTHER), Refuse(ALREADY_RUN), id="a second process of a run is refused"),
    pytest.param(
        replace(FIRING, let_go=THIS, over=True), Refuse(ALREADY_RUN), id="the same process is refused after its end"
    ),
    pytest.param(replace(FIRING, over=True), Refuse(ALREADY_RUN), id="a run that was recorded as over is refused"),
    pytest.param(resumed(), Go(), id="what its own code has suspended goes on when it is resumed"),
    pytest.param(
        resumed(enabled=False, taken=True, outdated=True, newest=NOW + HOUR, missed=True),
        Go(),
        id="what goes on has had its turn: its schedule may have ended",
    ),
    pytest.param(
        replace(resumed(), needs_approval=True, is_singleton=True, under_way=BUSY, before=2),
        Go(),
        id="what goes on has begun: nobody approves it, and no other run is before it",
    ),
    pytest.param(replace(resumed(), over=True), Refuse(ALREADY_RUN), id="what is over does not go on"),
    pytest.param(
        replace(resumed(), requested=False), Refuse(NOT_REQUESTED), id="what was deleted meanwhile does not go on"
    ),
    pytest.param(
        resumed(stale=STALE, carries_request=True),
        Refuse(STALE, recorded=True),
        id="other code than was approved does not go on, and its request does not return",
    ),
    pytest.param(
        resumed(approval=PENDING, enabled=False, carries_request=True),
        Refuse(NOT_APPROVED, recorded=True),
        id="what was edited meanwhile, and waits for its approval, does not go on",
    ),
    pytest.param(
        replace(resumed(), unchanged=False),
        Refuse(CHANGED, tampered=True),
        id="what goes on with parameters changed in Prefect is refused",
    ),
    pytest.param(
        replace(resumed(), unreadable=LOCKED),
        Refuse(LOCKED, recorded=True),
        id="what goes on needs its inputs",
    ),
    pytest.param(
        replace(resumed(), unfit=LOCKED), Refuse(LOCKED, recorded=True), id="what goes on has inputs that fit its Job"
    ),
    pytest.param(replace(resumed(), job_enabled=False), ends(JOB_DISABLED), id="a disabled Job does not go on"),
    pytest.param(replace(resumed(), runs_as=GONE), ownerless(REMOVED), id="what goes on has a user who is there"),
    pytest.param(
        replace(resumed(), runs_as=RunsAs(exists=True, active=True, may_run=False)),
        ownerless("its owner is no longer permitted to run this job"),
        id="what goes on has a user who may run the Job",
    ),
    pytest.param(firing(taken=True), Finish(TAKEN), id="a firing that another run has is finished"),
    pytest.param(firing(enabled=False), Refuse(DISABLED), id="what is disabled is refused, unrecorded"),
    pytest.param(firing(on_time=False), Refuse(NOT_DUE), id="a time at which the schedule does not fire is refused"),
    pytest.param(firing(owed=False), Finish(NOT_OWED), id="a firing from before the approval is passed over"),
    pytest.param(firing(due=NOW + HOUR), Wait(NOW + HOUR), id="a firing that is early waits for its time"),
    pytest.param(
        firing(newest=NOW + HOUR), Finish(SUPERSEDED, recorded=True), id="a firing that has a newer one is passed over"
    ),
    pytest.param(
        replace(FIRING, unchanged=False),
        Refuse(CHANGED, tampered=True),
        id="changed parameters are refused, unrecorded, and were tampered with",
    ),
    pytest.param(
        replace(NOW_RUN, unchanged=False),
        Refuse(CHANGED, tampered=True),
        id="changed parameters of an immediate run are refused too",
    ),
    pytest.param(
        replace(carrier(), unchanged=False),
        Refuse(CHANGED, tampered=True),
        id="changed parameters of an approved request are refused too",
    ),
    pytest.param(replace(FIRING, job_installed=False), ends(JOB_GONE), id="a Job that is gone ends the schedule"),
    pytest.param(replace(FIRING, job_enabled=False), ends(JOB_DISABLED), id="a disabled Job ends the schedule"),
    pytest.param(replace(FIRING, runs_as=GONE), ownerless(REMOVED), id="an owner who was removed ends it"),
    pytest.param(
        replace(FIRING, runs_as=RunsAs(exists=True, active=False, may_run=True)),
        ownerless("its owner has been deactivated"),
        id="an owner who was deactivated ends it",
    ),
    pytest.param(
        replace(FIRING, runs_as=RunsAs(exists=True, active=True, may_run=False)),
        ownerless("its owner is no longer permitted to run this job"),
        id="an owner who may no longer run the Job ends it",
    ),
    pytest.param(
        replace(NOW_RUN, runs_as=GONE),
        ends(f"This run cannot execute: {REMOVED}."),
        id="an immediate run of somebody who was removed speaks of no schedule",
    ),
    pytest.param(
        replace(FIRING, is_singleton=True, under_way=BUSY),
        Refuse(SINGLETON, recorded=True),
        id="a busy singleton is recorded",
    ),
    pytest.param(
        replace(firing(approval=PENDING, enabled=False), unchanged=False),
        Refuse(NOT_APPROVED),
        id="approval comes before being disabled or changed",
    ),
    pytest.param(
        replace(firing(due=NOW + HOUR), job_enabled=False),
        Wait(NOW + HOUR),
        id="a disabled Job is no matter before the time",
    ),
    pytest.param(
        replace(firing(newest=NOW + HOUR), runs_as=GONE),
        Finish(SUPERSEDED, recorded=True),
        id="only the newest firing asks for owner",
    ),
]


@pytest.mark.parametrize(("facts", "answer"), TABLE)
def test_the_first_rule_with_an_answer_gives_it(facts: Facts, answer: Answer) -> None:
    assert admit(facts) == answer


APPROVAL_TABLE = [
    # An immediate run
    pytest.param(
        replace(NOW_RUN, needs_approval=True),
        Refuse(NEEDS_APPROVAL, recorded=True),
        id="an immediate run of a Job that needs approval now is refused and recorded",
    ),
    pytest.param(
        replace(NOW_RUN, needs_approval=True, runs_as=None),
        Refuse(NEEDS_APPROVAL, recorded=True),
        id="so is one that an event started",
    ),
    pytest.param(
        replace(NOW_RUN, needs_approval=True, let_go=THIS), Go(), id="an immediate run that was let go before goes on"
    ),
    pytest.param(
        replace(NOW_RUN, needs_approval=True, requested=False),
        Refuse(NOT_REQUESTED),
        id="what nobody requested is refused before its Job is asked",
    ),
    pytest.param(
        replace(NOW_RUN, needs_approval=True, let_go=OTHER),
        Refuse(ALREADY_RUN),
        id="a second process is refused before its Job is asked",
    ),
    pytest.param(
        replace(NOW_RUN, unreadable=LOCKED),
        Refuse(LOCKED, recorded=True),
        id="a run whose inputs cannot be read is refused, and recorded",
    ),
    pytest.param(
        replace(FIRING, unreadable=LOCKED, unchanged=False),
        Refuse(LOCKED, recorded=True),
        id="what cannot be read is not called changed",
    ),
    pytest.param(
        firing_of_nothing_readable(taken=True), Finish(TAKEN), id="what another run has executed needs no inputs"
    ),
    pytest.param(
        replace(FIRING, unfit=LOCKED), Refuse(LOCKED, recorded=True), id="inputs that do not fit are recorded"
    ),
    pytest.param(
        replace(FIRING, unfit=LOCKED, runs_as=GONE), ownerless(REMOVED), id="that they do not fit ends no schedule"
    ),
    pytest.param(replace(NOW_RUN, unreadable=LOCKED, let_go=THIS), Go(), id="what was let go stays let go"),
    pytest.param(
        replace(NOW_RUN, needs_approval=True, unchanged=False),
        Refuse(NEEDS_APPROVAL, recorded=True),
        id="the need of approval comes before changed parameters",
    ),
    pytest.param(
        replace(FIRING, needs_approval=True), Go(), id="of a scheduled job its own approval matters, not its Job's need"
    ),
    # A firing of a scheduled job
    pytest.param(firing(approval=NOT_REQUIRED), Go(), id="a firing that needs no approval goes"),
    pytest.param(firing(approval=APPROVED), Go(), id="a firing that is approved goes"),
    pytest.param(firing(approval=PENDING), Refuse(NOT_APPROVED), id="a firing of what waits is refused, unrecorded"),
    pytest.param(firing(approval=DENIED), Refuse(NOT_APPROVED), id="a firing of what was denied is refused"),
    pytest.param(firing(approval=EXPIRED), Refuse(NOT_APPROVED), id="a firing of what expired is refused"),
    pytest.param(firing(approval=WITHDRAWN), Refuse(NOT_APPROVED), id="a firing of what was withdrawn is refused"),
    # The run that carries the request
    pytest.param(
        carrier(approval=NOT_REQUIRED), Go(), id="what carries a request that needs no approval any more goes"
    ),
    pytest.param(carrier(approval=APPROVED), Go(), id="what carries an approved request goes"),
    pytest.param(carrier(approval=PENDING), Hold(NOT_APPROVED), id="what carries a request that waits is held"),
    pytest.param(carrier(approval=DENIED), Refuse(NOT_APPROVED), id="what carries a denied request is refused"),
    pytest.param(carrier(approval=EXPIRED), Refuse(NOT_APPROVED), id="what carries an expired request is refused"),
    pytest.param(carrier(approval=WITHDRAWN), Refuse(NOT_APPROVED), id="what carries a withdrawn request is refused"),
    pytest.param(
        carrier(approval=PENDING, due=NOW + HOUR),
        Hold(NOT_APPROVED),
        id="what carries a request is held before its start",
    ),
    pytest.param(
        carrier(approval=PENDING, due=NOW - HOUR),
        Hold(NOT_APPROVED),
        id="what carries a request is held past its start",
    ),
    pytest.param(
        replace(
            carrier(approval=PENDING, enabled=False, on_time=False), unchanged=False, job_enabled=False, runs_as=GONE
        ),
        Hold(NOT_APPROVED),
        id="what carries a request is held, whatever else there is",
    ),
    pytest.param(
        replace(carrier(approval=PENDING), requested=False),
        Refuse(NOT_REQUESTED),
        id="what carries a request that was deleted is refused",
    ),
    pytest.param(
        carrier(approval=PENDING, stale=CODE), Hold(NOT_APPROVED), id="what waits is held, and goes back nowhere"
    ),
    pytest.param(
        carrier(approval=APPROVED, due=NOW + HOUR), Wait(NOW + HOUR), id="an approved request waits for its start"
    ),
    # Taken
    pytest.param(firing(taken=True, stale=CODE), Finish(TAKEN), id="a firing that is taken is no matter of approval"),
    pytest.param(
        firing(taken=True, approval=PENDING), Finish(TAKEN), id="a firing that is taken and waits is finished"
    ),
    pytest.param(carrier(taken=True, approval=PENDING), Finish(TAKEN), id="what carries a taken firing is not held"),
    # A run from before a change
    pytest.param(carrier(outdated=True), Refuse(OUTDATED), id="an outdated run is refused, unrecorded"),
    pytest.param(
        carrier(outdated=True, due=NOW + HOUR), Refuse(OUTDATED), id="an outdated run does not wait for its time"
    ),
    pytest.param(
        carrier(outdated=True, approval=PENDING), Hold(NOT_APPROVED), id="an outdated run whose request waits is held"
    ),
    pytest.param(carrier(outdated=True, stale=CODE), Refuse(OUTDATED), id="an outdated run is no matter of approval"),
    pytest.param(carrier(outdated=True, enabled=False), Refuse(DISABLED), id="what is disabled need not be replaced"),
    pytest.param(carrier(outdated=True, taken=True), Finish(TAKEN), id="what another run has need not be replaced"),
    pytest.param(
        replace(carrier(outdated=True), unchanged=False),
        Refuse(OUTDATED),
        id="the parameters of an outdated run have not been tampered with",
    ),
    pytest.param(
        replace(carrier(outdated=True), let_go=THIS), Go(), id="a run that was let go before the change goes on"
    ),
    pytest.param(
        replace(carrier(outdated=True), runs_as=GONE, job_enabled=False),
        Refuse(OUTDATED),
        id="an outdated run ends nothing",
    ),
    # An approval that no longer fits
    pytest.param(firing(stale=CODE, due=NOW + HOUR), Wait(NOW + HOUR), id="a stale firing that is early waits"),
    pytest.param(
        firing(stale=CODE, newest=NOW + HOUR), Finish(SUPERSEDED, recorded=True), id="a stale firing is passed over too"
    ),
    pytest.param(firing(stale=CODE, on_time=False), Refuse(NOT_DUE), id="a stale firing off the schedule is refused"),
    pytest.param(firing(stale=CODE), returned(CODE), id="a stale firing is refused, recorded, and goes back"),
    pytest.param(
        firing(stale=CODE, approval=NOT_REQUIRED),
        returned(CODE),
        id="a firing that needed no approval, and does now, goes there",
    ),
    pytest.param(
        carrier(stale=CODE), Hold(CODE, returns=True), id="what carries a stale request is held, and goes back"
    ),
    pytest.param(
        carrier(stale=CODE, approval=NOT_REQUIRED),
        Hold(CODE, returns=True),
        id="what carries a request that needed no approval, and does now, is held",
    ),
    pytest.param(firing(stale=CODE, enabled=False), Refuse(DISABLED), id="a disabled stale firing does not go back"),
    pytest.param(
        carrier(stale=CODE, enabled=False),
        Refuse(DISABLED),
        id="what carries a disabled stale request does not go back",
    ),
    pytest.param(firing(stale=CODE, approval=DENIED), Refuse(NOT_APPROVED), id="what was denied does not go back"),
    pytest.param(firing(stale=CODE, approval=EXPIRED), Refuse(NOT_APPROVED), id="what expired does not go back"),
    pytest.param(
        firing(stale=CODE, approval=WITHDRAWN), Refuse(NOT_APPROVED), id="what was withdrawn does not go back"
    ),
    pytest.param(firing(stale=CODE, approval=PENDING), Refuse(NOT_APPROVED), id="what waits does not go back"),
    pytest.param(
        replace(firing(stale=CODE), unchanged=False),
        returned(CODE),
        id="a stale approval comes before changed parameters",
    ),
    pytest.param(
        replace(firing(stale=CODE), job_enabled=False, runs_as=GONE),
        returned(CODE),
        id="a stale approval comes before the Job and who runs it",
    ),
    pytest.param(replace(firing(stale=CODE), let_go=THIS), Go(), id="a stale firing that was let go before goes on"),
    pytest.param(
        replace(carrier(approval=PENDING), let_go=THIS),
        Go(),
        id="what was let go before goes on, though it waits again",
    ),
    pytest.param(
        replace(firing(stale=CODE), let_go=OTHER),
        Refuse(ALREADY_RUN),
        id="a second process is refused, and nothing goes back",
    ),
]


@pytest.mark.parametrize(("facts", "answer"), APPROVAL_TABLE)
def test_what_is_not_approved_does_not_go(facts: Facts, answer: Answer) -> None:
    assert admit(facts) == answer


TIMES = st.sampled_from([NOW - HOUR, NOW, NOW + HOUR])
FIRINGS = st.builds(
    Firing,
    name=st.just("nightly"),
    enabled=st.booleans(),
    approval=st.sampled_from(ApprovalState),
    stale=st.sampled_from(["", CODE]),
    outdated=st.booleans(),
    carries_request=st.booleans(),
    due=TIMES,
    on_time=st.booleans(),
    owed=st.booleans(),
    newest=st.none() | TIMES,
    taken=st.booleans(),
    misfire=st.sampled_from(Misfire),
    missed=st.booleans(),
    made_up=st.booleans(),
)
ALL_FACTS = st.builds(
    Facts,
    now=TIMES,
    requested=st.booleans(),
    attempt=st.just(THIS),
    let_go=st.sampled_from([None, THIS, OTHER]),
    over=st.booleans(),
    resumed=st.just(False),
    unchanged=st.booleans(),
    unreadable=st.sampled_from(["", LOCKED]),
    unfit=st.sampled_from(["", LOCKED]),
    needs_approval=st.booleans(),
    firing=st.none() | FIRINGS,
    runs_as=st.none() | st.builds(RunsAs, exists=st.booleans(), active=st.booleans(), may_run=st.booleans()),
    job_enabled=st.booleans(),
    job_installed=st.booleans(),
    is_singleton=st.booleans(),
    overlap=st.sampled_from(Overlap),
    under_way=st.sampled_from(["", BUSY]),
    before=st.integers(0, 2),
    full=st.booleans(),
)


def beside(overlap: Overlap, **to: Any) -> Facts:
    return replace(FIRING, **{"overlap": overlap, "under_way": BUSY, **to})


@pytest.mark.parametrize(
    ("facts", "answer"),
    [
        pytest.param(beside(Overlap.ALLOW), Go(), id="allow: it goes beside another one"),
        pytest.param(
            beside(Overlap.SKIP),
            Finish(f"Passed over, because runs of its Job may not overlap: {BUSY}", recorded=True),
            id="skip: it is passed over, and says for which",
        ),
        pytest.param(beside(Overlap.SKIP, under_way=""), Go(), id="skip: it goes when none is under way"),
        pytest.param(beside(Overlap.QUEUE), Wait(NOW + TURN_PAUSE, in_turn=True), id="queue: it waits"),
        pytest.param(
            beside(Overlap.QUEUE, under_way="", before=2),
            Wait(NOW + 3 * TURN_PAUSE, in_turn=True),
            id="queue: it waits also for those that wait longer, and asks the less often",
        ),
        pytest.param(
            beside(Overlap.QUEUE, before=99), Wait(NOW + LONGEST_TURN_PAUSE, in_turn=True), id="queue: but it asks"
        ),
        pytest.param(
            beside(Overlap.QUEUE, before=9, full=True),
            Finish(QUEUE_FULL, recorded=True),
            id="queue: it is passed over when too many wait",
        ),
        pytest.param(beside(Overlap.QUEUE, under_way=""), Go(), id="queue: the first that waits goes"),
        pytest.param(
            beside(Overlap.CANCEL), Wait(NOW + CANCEL_PAUSE, in_turn=True), id="cancel: it waits for the older to end"
        ),
        pytest.param(beside(Overlap.CANCEL, under_way=""), Go(), id="cancel: it goes when the older is over"),
        pytest.param(
            beside(Overlap.CANCEL, before=1),
            Finish(OUTRUN, recorded=True),
            id="cancel: one that waits gives way to a newer one",
        ),
        pytest.param(
            beside(Overlap.QUEUE, is_singleton=True),
            Refuse(SINGLETON, recorded=True),
            id="a singleton refuses, whatever it says of overlaps",
        ),
        pytest.param(
            beside(Overlap.SKIP, job_enabled=False), ends(JOB_DISABLED), id="what may not run at all has no turn"
        ),
        pytest.param(beside(Overlap.QUEUE, let_go=THIS), Go(), id="what was let go stays let go"),
    ],
)
def test_what_becomes_of_a_run_while_another_one_of_its_job_is_under_way(facts: Facts, answer: Answer) -> None:
    assert admit(facts) == answer


def late(misfire: Misfire, **to: Any) -> Facts:
    return firing(**{"misfire": misfire, "missed": True, **to})


@pytest.mark.parametrize(
    ("facts", "answer"),
    [
        pytest.param(late(Misfire.LAST), Go(), id="last: the newest that was missed goes"),
        pytest.param(
            late(Misfire.LAST, newest=NOW + HOUR), Finish(SUPERSEDED, recorded=True), id="last: an older one does not"
        ),
        pytest.param(late(Misfire.SKIP), Finish(MISSED, recorded=True), id="skip: what was missed is passed over"),
        pytest.param(firing(misfire=Misfire.SKIP), Go(), id="skip: what was not missed goes"),
        pytest.param(
            firing(misfire=Misfire.SKIP, newest=NOW + HOUR), Go(), id="skip: also when the next one is due already"
        ),
        pytest.param(
            late(Misfire.SKIP, newest=None), Finish(MISSED, recorded=True), id="skip: the start of a one-off is missed"
        ),
        pytest.param(late(Misfire.SKIP, owed=False), Finish(NOT_OWED), id="skip: what is not owed is not missed"),
        pytest.param(late(Misfire.ALL), Finish(MADE_UP), id="all: the run that came too late leaves it to another"),
        pytest.param(
            late(Misfire.ALL, made_up=True, newest=NOW + HOUR), Go(), id="all: the one that makes up for it goes"
        ),
        pytest.param(late(Misfire.ALL, newest=None), Go(), id="all: a one-off goes, however late"),
        pytest.param(late(Misfire.ASK), Finish(MADE_UP), id="ask: a firing does not go unasked"),
        pytest.param(firing(misfire=Misfire.ASK), Go(), id="ask: what was not missed goes"),
        pytest.param(
            late(Misfire.ASK, carries_request=True, newest=None),
            Hold(ASKS, returns=True),
            id="ask: a one-off that was missed asks",
        ),
        pytest.param(
            late(Misfire.ASK, newest=None), Refuse(NOT_APPROVED), id="ask: another run of that one-off is refused"
        ),
    ],
)
def test_what_becomes_of_a_firing_that_no_worker_took_in_time(facts: Facts, answer: Answer) -> None:
    assert admit(facts) == answer


@given(ALL_FACTS)
def test_whatever_the_facts_only_a_sound_run_goes(facts: Facts) -> None:
    if admit(facts) != Go():
        return
    assert facts.requested
    assert not facts.over
    assert facts.let_go in (None, THIS)
    if facts.let_go is None:
        assert facts.unchanged
        assert not facts.unreadable
        assert not facts.unfit
        assert facts.job_enabled
        assert facts.job_installed
        assert may_overlap(facts)
        assert facts.runs_as in (None, OWNED)
        assert may_go(facts)


def may_overlap(facts: Facts) -> bool:
    turn = {Overlap.ALLOW: True, Overlap.SKIP: not facts.under_way}
    alone = not facts.under_way
    return alone if facts.is_singleton else turn.get(facts.overlap, alone and facts.before == 0)


def may_go(facts: Facts) -> bool:
    it = facts.firing
    return not facts.needs_approval if it is None else is_sound(it, facts.now)


def is_sound(it: Firing, now: datetime) -> bool:
    newest = it.misfire is not Misfire.LAST or it.newest is None or it.due >= it.newest
    approved = it.approval in {NOT_REQUIRED, APPROVED} and not it.stale
    this = not it.taken and not it.outdated
    turn = it.on_time and it.owed and it.due <= now and newest and runs_late(it)
    return it.enabled and approved and this and turn


def runs_late(it: Firing) -> bool:
    """Say whether a firing goes by what its schedule says of missed ones."""
    once = it.newest is None
    late = {Misfire.LAST: True, Misfire.SKIP: False, Misfire.ALL: once, Misfire.ASK: False}
    return not it.missed or it.made_up or late[it.misfire]


@given(ALL_FACTS)
def test_whatever_the_facts_a_sound_run_goes(facts: Facts) -> None:
    sound = replace(
        facts, requested=True, let_go=None, over=False, unchanged=True, unreadable="", unfit="", runs_as=OWNED
    )
    sound = replace(sound, job_enabled=True, job_installed=True, is_singleton=False, under_way="", before=0)
    assert (admit(sound) == Go()) is may_go(sound)


@given(ALL_FACTS)
def test_a_process_that_was_let_go_gets_the_same_answer_until_its_end(facts: Facts) -> None:
    assert admit(replace(facts, requested=True, let_go=THIS, over=False)) == Go()
    assert admit(replace(facts, requested=True, let_go=THIS, over=True)) == Refuse(ALREADY_RUN)


@given(ALL_FACTS, FIRINGS, st.sampled_from([PENDING, DENIED, EXPIRED, WITHDRAWN]))
def test_what_nobody_has_approved_never_goes_unless_its_process_was_let_go(
    facts: Facts, it: Firing, approval: ApprovalState
) -> None:
    answer = admit(replace(facts, firing=replace(it, approval=approval)))
    assert (answer == Go()) is (facts.requested and facts.let_go == facts.attempt and not facts.over)


@given(ALL_FACTS, FIRINGS)
def test_what_is_stale_never_goes_unless_its_process_was_let_go(facts: Facts, it: Firing) -> None:
    answer = admit(replace(facts, firing=replace(it, stale=CODE)))
    assert (answer == Go()) is (facts.requested and facts.let_go == facts.attempt and not facts.over)


@given(ALL_FACTS)
def test_only_what_carries_a_request_is_held_and_only_for_its_approval(facts: Facts) -> None:
    answer = admit(facts)
    if isinstance(answer, Hold):
        assert facts.requested
        assert facts.let_go is None
        assert facts.firing is not None
        assert facts.firing.carries_request
        assert not facts.firing.taken
        if answer.returns:
            missed = facts.firing.misfire is Misfire.ASK and facts.firing.missed
            assert answer.reason in ((facts.firing.stale or None), ASKS if missed else None)
        else:
            assert facts.firing.approval is PENDING


@given(ALL_FACTS)
def test_only_what_could_run_and_is_stale_goes_back_to_the_queue(facts: Facts) -> None:
    answer = admit(facts)
    if isinstance(answer, Hold | Refuse) and answer.returns:
        assert facts.firing is not None
        assert facts.firing.approval.lets_run
        assert facts.firing.enabled
        assert answer.reason in (ASKS, facts.firing.stale)
        if isinstance(answer, Refuse):
            assert answer.recorded
            assert not answer.ends_schedule


@given(ALL_FACTS)
def test_only_changed_parameters_of_a_sound_firing_count_as_tampered(facts: Facts) -> None:
    answer = admit(facts)
    if isinstance(answer, Refuse) and answer.tampered:
        assert answer == Refuse(CHANGED, tampered=True)
        assert not facts.unchanged
        assert may_go(facts)


@given(ALL_FACTS)
def test_what_ends_a_schedule_is_recorded_and_is_never_an_early_or_unapproved_firing(facts: Facts) -> None:
    answer = admit(facts)
    if isinstance(answer, Refuse) and answer.ends_schedule:
        assert answer.recorded
        assert may_go(facts)
