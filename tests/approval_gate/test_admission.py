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
    CHANGED,
    DISABLED,
    JOB_DISABLED,
    JOB_GONE,
    NOT_APPROVED,
    NOT_DUE,
    NOT_REQUESTED,
    SINGLETON,
    SUPERSEDED,
    TAKEN,
    Answer,
    Facts,
    Finish,
    Firing,
    Go,
    Refuse,
    RunsAs,
    Wait,
    admit,
)

NOW = datetime(2026, 5, 4, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
THIS, OTHER = UUID(int=1), UUID(int=2)

OWNED = RunsAs(exists=True, active=True, may_run=True)
DUE = Firing(name="nightly", enabled=True, approved=True, due=NOW, on_time=True, newest=NOW, taken=False)
NOW_RUN = Facts(
    now=NOW,
    requested=True,
    attempt=THIS,
    let_go=None,
    over=False,
    unchanged=True,
    firing=None,
    runs_as=OWNED,
    job_enabled=True,
    job_installed=True,
    singleton_busy=False,
)
FIRING = replace(NOW_RUN, firing=DUE)


def firing(**to: Any) -> Facts:
    return replace(FIRING, firing=replace(DUE, **to))


def ends(reason: str) -> Refuse:
    return Refuse(reason, recorded=True, ends_schedule=True)


def ownerless(why: str) -> Refuse:
    return ends(f"Scheduled job 'nightly' cannot run: {why}. Use 'Assume Ownership' to take it over.")


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
        replace(firing(enabled=False, newest=NOW + HOUR), let_go=THIS, singleton_busy=True),
        Go(),
        id="the same process that asks again goes, whatever has happened since",
    ),
    pytest.param(replace(FIRING, let_go=OTHER), Refuse(ALREADY_RUN), id="a second process of a run is refused"),
    pytest.param(
        replace(FIRING, let_go=THIS, over=True), Refuse(ALREADY_RUN), id="the same process is refused after its end"
    ),
    pytest.param(replace(FIRING, over=True), Refuse(ALREADY_RUN), id="a run that was recorded as over is refused"),
    pytest.param(firing(taken=True), Finish(TAKEN), id="a firing that another run has is finished"),
    pytest.param(firing(approved=False), Refuse(NOT_APPROVED), id="what is not approved is refused, unrecorded"),
    pytest.param(firing(enabled=False), Refuse(DISABLED), id="what is disabled is refused, unrecorded"),
    pytest.param(firing(on_time=False), Refuse(NOT_DUE), id="a time at which the schedule does not fire is refused"),
    pytest.param(firing(due=NOW + HOUR), Wait(NOW + HOUR), id="a firing that is early waits for its time"),
    pytest.param(firing(newest=NOW + HOUR), Finish(SUPERSEDED), id="a firing that has a newer one is passed over"),
    pytest.param(replace(FIRING, unchanged=False), Refuse(CHANGED), id="changed parameters are refused, unrecorded"),
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
        replace(FIRING, singleton_busy=True), Refuse(SINGLETON, recorded=True), id="a busy singleton is recorded"
    ),
    pytest.param(
        replace(firing(approved=False, enabled=False), unchanged=False), Refuse(NOT_APPROVED), id="approval comes first"
    ),
    pytest.param(
        replace(firing(due=NOW + HOUR), job_enabled=False),
        Wait(NOW + HOUR),
        id="a disabled Job is no matter before the time",
    ),
    pytest.param(
        replace(firing(newest=NOW + HOUR), runs_as=GONE), Finish(SUPERSEDED), id="only the newest firing asks for owner"
    ),
]


@pytest.mark.parametrize(("facts", "answer"), TABLE)
def test_the_first_rule_with_an_answer_gives_it(facts: Facts, answer: Answer) -> None:
    assert admit(facts) == answer


TIMES = st.sampled_from([NOW - HOUR, NOW, NOW + HOUR])
FIRINGS = st.builds(
    Firing,
    name=st.just("nightly"),
    enabled=st.booleans(),
    approved=st.booleans(),
    due=TIMES,
    on_time=st.booleans(),
    newest=st.none() | TIMES,
    taken=st.booleans(),
)
ALL_FACTS = st.builds(
    Facts,
    now=TIMES,
    requested=st.booleans(),
    attempt=st.just(THIS),
    let_go=st.sampled_from([None, THIS, OTHER]),
    over=st.booleans(),
    unchanged=st.booleans(),
    firing=st.none() | FIRINGS,
    runs_as=st.none() | st.builds(RunsAs, exists=st.booleans(), active=st.booleans(), may_run=st.booleans()),
    job_enabled=st.booleans(),
    job_installed=st.booleans(),
    singleton_busy=st.booleans(),
)


@given(ALL_FACTS)
def test_whatever_the_facts_only_a_sound_run_goes(facts: Facts) -> None:
    if admit(facts) != Go():
        return
    assert facts.requested
    assert not facts.over
    assert facts.let_go in (None, THIS)
    if facts.let_go is None:
        assert facts.unchanged
        assert facts.job_enabled
        assert facts.job_installed
        assert not facts.singleton_busy
        assert facts.runs_as in (None, OWNED)
        assert facts.firing is None or is_sound(facts.firing, facts.now)


def is_sound(it: Firing, now: datetime) -> bool:
    newest = it.newest is None or it.due >= it.newest
    return it.enabled and it.approved and it.on_time and not it.taken and it.due <= now and newest


@given(ALL_FACTS)
def test_whatever_the_facts_a_sound_run_goes(facts: Facts) -> None:
    sound = replace(facts, requested=True, let_go=None, over=False, unchanged=True, runs_as=OWNED)
    sound = replace(sound, job_enabled=True, job_installed=True, singleton_busy=False)
    if sound.firing is None or is_sound(sound.firing, sound.now):
        assert admit(sound) == Go()
    else:
        assert admit(sound) != Go()


@given(ALL_FACTS)
def test_a_process_that_was_let_go_gets_the_same_answer_until_its_end(facts: Facts) -> None:
    assert admit(replace(facts, requested=True, let_go=THIS, over=False)) == Go()
    assert admit(replace(facts, requested=True, let_go=THIS, over=True)) == Refuse(ALREADY_RUN)


@given(ALL_FACTS)
def test_what_ends_a_schedule_is_recorded_and_is_never_an_early_or_unapproved_firing(facts: Facts) -> None:
    answer = admit(facts)
    if isinstance(answer, Refuse) and answer.ends_schedule:
        assert answer.recorded
        assert facts.firing is None or is_sound(facts.firing, facts.now)
