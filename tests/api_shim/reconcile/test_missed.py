"""What becomes of what was missed while nothing could run, by what the schedule says: skip, all, or ask."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest

from api_shim.domain.approval import version_of
from api_shim.domain.audit import AuditEvent, EventType
from api_shim.domain.model import JobResult, Participant, PendingCleanup, ScheduledJob, Status
from api_shim.parsing.decision import Decision
from api_shim.reconcile.approval_form import plain
from api_shim.reconcile.desired_state import result_spec
from api_shim.reconcile.missed import NO_LONGER_ASKED
from api_shim.reconcile.reconciler import Reconciler
from api_shim.services.admission import Attempt
from approval_gate.admission import (
    ASKED,
    ASKS,
    DISABLED,
    MADE_UP,
    MISSED,
    NOT_OWED,
    TOO_MANY,
    UNASKED,
    Finish,
    Go,
    Hold,
    Misfire,
    Refuse,
)
from approval_gate.errors import Conflict, Forbidden
from approval_gate.lifecycle import ApprovalState
from approval_gate.model import Actor
from approval_gate.policy import CHANGED, EDITED
from tests.api_shim.plant import HOUR, Plant, Plants
from tests.factories import NOW, make_user

LATE = timedelta(seconds=100)
REVOKED, SUCCESS, PENDING = Status.REVOKED, Status.SUCCESS, Status.PENDING


def away(plants: Plants, misfire: Misfire, hours: int = 3, **to: Any) -> Plant:
    """Return a plant that was away for some hours, with an hourly schedule since noon and runs for two of them."""
    plant = plants.ready()
    recurring = plant.recurring(misfire=misfire, **to)
    plant.add(Participant(scheduled_job_id=recurring.id, user_id=plant.user.id, username="alice"))
    plant.tick(seconds=1)
    for hour in (2, 3):
        plant.engine.make_firing(plant.own_id(), NOW + hour * HOUR)
    plant.now = NOW + hours * HOUR + LATE
    return plant


def statuses(plant: Plant) -> dict[datetime | None, Status]:
    return {at: result.status for at, result in plant.results().items()}


def reasons(plant: Plant) -> set[str | None]:
    return {result.traceback for result in plant.all(JobResult) if result.status is REVOKED}


def work_on(plant: Plant, rounds: int = 6) -> list[datetime]:
    """Let workers and the loop go on for a while; return the nominal times in the order in which they executed."""
    for _ in range(rounds):
        plant.work_off()
        plant.tick(seconds=6)
    executed = [result for result in plant.all(JobResult) if result.attempt is not None]
    return [it.nominal_time for it in sorted(executed, key=lambda it: it.date_started or NOW) if it.nominal_time]


def other(plant: Plant, name: str = "bob") -> Actor:
    user = make_user(name, is_superuser=True)
    plant.add(user)
    return Actor(id=user.id, username=name, superuser=True)


def asks(plant: Plant) -> list[ScheduledJob]:
    return [row for row in plant.all(ScheduledJob) if row.missed]


# Skip


def test_skip_runs_nothing_that_was_missed_and_records_all_and_runs_the_next_one(plants: Plants) -> None:
    plant = away(plants, Misfire.SKIP)
    plant.tick(2, seconds=31)
    assert plant.unended() == []
    assert statuses(plant) == dict.fromkeys([NOW + HOUR, NOW + 2 * HOUR, NOW + 3 * HOUR], REVOKED)
    assert reasons(plant) == {MISSED}
    plant.now = NOW + 4 * HOUR
    run = plant.engine.make_firing(plant.own_id(), plant.now)
    plant.now += timedelta(seconds=80)
    assert plant.work(run) == Go(), "What a worker takes a little late is not missed."


def test_skip_also_holds_where_a_worker_is_back_before_the_loop(plants: Plants) -> None:
    plant = away(plants, Misfire.SKIP)
    newest = max(plant.waiting(), key=lambda run: run.expected_start)
    assert plant.work(newest) == Finish(MISSED, recorded=True)
    plant.tick(2, seconds=31)
    assert set(statuses(plant).values()) == {REVOKED}
    assert len(statuses(plant)) == 3


@pytest.mark.parametrize("misfire", [Misfire.SKIP, Misfire.ALL, Misfire.ASK])
def test_a_firing_that_was_taken_in_time_and_lost_starts_again(plants: Plants, misfire: Misfire) -> None:
    plant = plants.ready()
    plant.recurring(misfire=misfire)
    plant.tick(seconds=1)
    plant.now = NOW + HOUR
    run = plant.engine.make_firing(plant.own_id(), plant.now)
    plant.engine.set_state(run.id, "PENDING", "Pending")
    plant.engine.set_state(run.id, "CRASHED", "Crashed", "The worker died.")
    plant.now += LATE
    plant.tick(3, seconds=91)
    assert plant.waiting() == [plant.engine.all_runs[run.id]]
    plant.engine.set_state(run.id, "PENDING", "Pending")
    claim = asyncio.run(plant.engine.claim(run.id))
    assert claim is not None
    taken = replace(plant.engine.all_runs[run.id], claimed=claim.at, first_claimed=claim.first)
    answer, _ = plant.admissions.ask(taken, Attempt(id=uuid4(), worker="elsewhere:1", code=plant.code), plant.now)
    assert answer == Go()
    assert (plant.results()[NOW + HOUR].status, asks(plant)) == (Status.STARTED, [])


def test_a_one_off_that_skips_what_it_missed_is_over(plants: Plants) -> None:
    plant = plants.ready()
    plant.one_off(misfire=Misfire.SKIP)
    plant.tick(seconds=1)
    plant.now = NOW + HOUR + LATE
    plant.work_off()
    assert statuses(plant) == {NOW + HOUR: REVOKED}
    row = plant.only(ScheduledJob)
    assert (row.enabled, row.total_run_count) == (False, 0)
    plant.tick(3, seconds=91)
    assert plant.unended() == []


# All


def test_all_run_one_after_the_other_each_for_its_own_time(plants: Plants) -> None:
    plant = away(plants, Misfire.ALL)
    late = max(plant.waiting(), key=lambda run: run.expected_start)
    assert plant.work(late) == Finish(MADE_UP), "A worker was back before the loop."
    plant.tick(seconds=1)
    [first] = plant.unended()
    assert statuses(plant) == dict.fromkeys([NOW + HOUR, NOW + 2 * HOUR, NOW + 3 * HOUR], PENDING)
    plant.let_go(first)
    plant.tick(3, seconds=6)
    assert plant.unended() == [plant.engine.all_runs[first.id]], "The second waits until the first is over."
    plant.engine.set_state(first.id, "COMPLETED", "Completed")
    assert work_on(plant) == [NOW + HOUR, NOW + 2 * HOUR, NOW + 3 * HOUR]
    assert plant.unended() == []
    assert plant.only(ScheduledJob).total_run_count == 3


def test_what_waits_for_its_turn_is_not_begun_by_a_run_that_somebody_has_made_with_its_key(plants: Plants) -> None:
    plant = away(plants, Misfire.ALL)
    plant.tick(seconds=1)
    waits = plant.results()[NOW + 3 * HOUR]
    spec = result_spec(waits, "forged", plant.now)
    forged = asyncio.run(plant.engine.create_run(plant.own_id(), spec))
    assert isinstance(plant.work(forged), Refuse)
    assert plant.results()[NOW + 3 * HOUR] == waits


def test_all_wherever_it_dies_each_runs_once(plants: Plants) -> None:
    for plant in plants.dying(lambda: away(plants, Misfire.ALL), lambda plant: plant.round()):
        plant.start()
        assert work_on(plant, 8) == [NOW + HOUR, NOW + 2 * HOUR, NOW + 3 * HOUR]
        assert plant.unended() == []


def test_all_is_no_more_than_the_limit_and_the_oldest_are_passed_over(plants: Plants) -> None:
    plant = away(plants, Misfire.ALL, hours=5)
    plant.projection = Reconciler(plant.store, plant.engine, lambda: plant.now, catch_up_limit=2)
    asyncio.run(plant.projection.reconcile(plant.only(ScheduledJob).id))
    assert statuses(plant) == {
        **dict.fromkeys([NOW + HOUR, NOW + 2 * HOUR, NOW + 3 * HOUR], REVOKED),
        **dict.fromkeys([NOW + 4 * HOUR, NOW + 5 * HOUR], PENDING),
    }
    assert reasons(plant) == {TOO_MANY}


@pytest.mark.parametrize(
    ("to", "why"),
    [
        pytest.param({"enabled": False}, DISABLED, id="disabled"),
        pytest.param({"due_from": NOW + 4 * HOUR}, NOT_OWED, id="changed"),
    ],
)
def test_what_waits_for_its_turn_is_passed_over_when_its_schedule_is(
    plants: Plants, to: dict[str, Any], why: str
) -> None:
    plant = away(plants, Misfire.ALL)
    plant.tick(seconds=1)
    row = plant.only(ScheduledJob)
    plant.change(row, version=row.version + 1, **to)
    plant.tick(2, seconds=6)
    assert statuses(plant)[NOW + 3 * HOUR] is REVOKED
    assert reasons(plant) == {why}


def test_what_waits_for_its_turn_is_passed_over_when_its_schedule_is_deleted(plants: Plants) -> None:
    plant = away(plants, Misfire.ALL)
    plant.tick(seconds=1)
    asyncio.run(plant.schedules.delete(plant.actor, plant.only(ScheduledJob).id))
    assert [it.status for it in plant.all(JobResult) if it.flow_run_id is None] == [REVOKED, REVOKED]
    assert reasons(plant) == {"Deleted by alice."}


# Ask


def test_ask_makes_one_request_about_all_that_was_missed_until_it_is_decided(plants: Plants) -> None:
    plant = away(plants, Misfire.ASK)
    plant.tick(2, seconds=31)
    [asked] = asks(plant)
    note = "3 firings between 2026-05-04 13:00 and 2026-05-04 15:00 UTC were missed: run the last one?"
    assert (asked.approval, asked.approval_note) == (ApprovalState.PENDING, note)
    assert asked.flow_run_id is not None
    assert f"**Why this is asked:** {plain(note)}" in plant.engine.questions[asked.flow_run_id].description
    assert statuses(plant) == dict.fromkeys([NOW + HOUR, NOW + 2 * HOUR, NOW + 3 * HOUR], REVOKED)
    assert reasons(plant) == {ASKED}
    plant.now = NOW + 4 * HOUR + LATE
    plant.tick(2, seconds=31)
    [asked] = asks(plant)
    assert asked.approval_note.startswith("4 firings between 2026-05-04 13:00 and 2026-05-04 16:00 UTC")
    assert [event.act for event in plant.all(AuditEvent)] == [EventType.REQUESTED]


def test_ask_runs_once_when_somebody_else_has_approved_it(plants: Plants) -> None:
    plant = away(plants, Misfire.ASK)
    plant.tick(2, seconds=31)
    [asked] = asks(plant)
    with pytest.raises(Forbidden, match="You cannot approve your own job request!"):
        asyncio.run(plant.approvals.approve(plant.actor, {"id": asked.id}, Decision()))
    asyncio.run(plant.approvals.approve(other(plant), {"id": asked.id}, Decision()))
    plant.tick(2, seconds=200)
    plant.work_off()
    plant.tick(2, seconds=31)
    [ran] = [it for it in plant.all(JobResult) if it.attempt is not None]
    assert (ran.scheduled_job_id, ran.status, ran.user_id) == (asked.id, SUCCESS, plant.user.id)
    assert plant.unended() == []


def test_ask_runs_nothing_when_it_is_denied_and_asks_no_more(plants: Plants) -> None:
    plant = away(plants, Misfire.ASK)
    plant.tick(2, seconds=31)
    asyncio.run(plant.approvals.deny(other(plant), {"id": asks(plant)[0].id}, Decision()))
    plant.tick(4, seconds=31)
    assert asks(plant) == []
    assert plant.unended() == []
    assert set(statuses(plant).values()) == {REVOKED}


def test_ask_wherever_it_dies_it_asks_once(plants: Plants) -> None:
    for plant in plants.dying(lambda: away(plants, Misfire.ASK), lambda plant: plant.round()):
        plant.settle()
        assert [row.missed["count"] for row in asks(plant) if row.missed] == [3]
        assert len(statuses(plant)) == 3


def test_who_has_owned_the_schedule_cannot_approve_what_it_asks(plants: Plants) -> None:
    plant = away(plants, Misfire.ASK)
    before = other(plant)
    plant.add(Participant(scheduled_job_id=plant.only(ScheduledJob).id, user_id=before.id, username="bob"))
    plant.tick(2, seconds=31)
    with pytest.raises(Forbidden, match="You have owned this request"):
        asyncio.run(plant.approvals.approve(before, {"id": asks(plant)[0].id}, Decision()))


@pytest.mark.parametrize("change", [{"enabled": False}, {"data": {"count": 3}}], ids=["disabled", "edited"])
def test_a_request_ends_when_its_schedule_is_disabled_or_edited(plants: Plants, change: dict[str, Any]) -> None:
    plant = away(plants, Misfire.ASK)
    plant.tick(2, seconds=31)
    row = next(row for row in plant.all(ScheduledJob) if not row.missed)
    asyncio.run(plant.schedule_changes.change(plant.actor, {"id": row.id}, change))
    check_ended(plant)


def test_a_request_ends_when_its_schedule_is_deleted(plants: Plants) -> None:
    plant = away(plants, Misfire.ASK)
    plant.tick(2, seconds=31)
    row = next(row for row in plant.all(ScheduledJob) if not row.missed)
    asyncio.run(plant.schedules.delete(plant.actor, row.id))
    check_ended(plant)


def check_ended(plant: Plant) -> None:
    """See that nothing is asked any more, neither here nor in Prefect, and that the audit says why."""
    assert (asks(plant), plant.unended(), plant.all(PendingCleanup)) == ([], [], [])
    ends = [event.data for event in plant.all(AuditEvent) if event.act is EventType.DELETED and event.actor_id is None]
    assert ends == [{"reason": NO_LONGER_ASKED}]


def test_nobody_can_approve_a_request_whose_schedule_was_changed_a_moment_ago(plants: Plants) -> None:
    plant = away(plants, Misfire.ASK)
    plant.tick(2, seconds=31)
    plant.change(next(row for row in plant.all(ScheduledJob) if not row.missed), due_from=plant.now)
    with pytest.raises(Conflict, match="It is no longer asked"):
        asyncio.run(plant.approvals.approve(other(plant), {"id": asks(plant)[0].id}, Decision()))


def miss_another(plant: Plant) -> None:
    plant.now = NOW + 4 * HOUR + LATE
    plant.tick(2, seconds=31)


def test_who_has_read_that_less_was_missed_cannot_approve_more_unseen(plants: Plants) -> None:
    plant = away(plants, Misfire.ASK)
    plant.tick(2, seconds=31)
    approver, seen = other(plant), version_of(asks(plant)[0], plant.job)
    miss_another(plant)
    [asked] = asks(plant)
    for decision, refusal in ((Decision(), EDITED), (Decision(version=seen), CHANGED)):
        with pytest.raises(Conflict) as refused:
            asyncio.run(plant.approvals.approve(approver, {"id": asked.id}, decision))
        assert str(refused.value) == refusal
    asyncio.run(plant.approvals.approve(approver, {"id": asked.id}, Decision(version=version_of(asked, plant.job))))


def test_what_is_missed_under_another_owner_is_asked_anew_and_not_of_them(plants: Plants) -> None:
    plant = away(plants, Misfire.ASK)
    plant.tick(2, seconds=31)
    [before], bob = asks(plant), other(plant)
    row = next(row for row in plant.all(ScheduledJob) if not row.missed)
    asyncio.run(plant.ownership.assume(bob, {"id": row.id}))
    miss_another(plant)
    [asked] = asks(plant)
    assert asked.id != before.id
    assert (asked.owner_id, (asked.missed or {})["count"]) == (bob.id, 1)
    with pytest.raises(Forbidden, match="You have owned this request"):
        asyncio.run(plant.approvals.approve(bob, {"id": asked.id}, Decision()))


def test_what_is_missed_of_another_thing_than_is_asked_about_is_asked_anew(plants: Plants) -> None:
    plant = away(plants, Misfire.ASK)
    plant.tick(2, seconds=31)
    [before] = asks(plant)
    plant.change(before, inputs={"count": 9})
    miss_another(plant)
    [asked] = asks(plant)
    assert (asked.inputs, (asked.missed or {})["count"]) == ({"count": 2}, 1)


def test_who_has_changed_the_schedule_meanwhile_cannot_approve_what_it_asks(plants: Plants) -> None:
    plant = away(plants, Misfire.ASK)
    plant.tick(2, seconds=31)
    bob, row = other(plant), next(row for row in plant.all(ScheduledJob) if not row.missed)
    plant.add(Participant(scheduled_job_id=row.id, user_id=bob.id, username="bob", owned=False))
    miss_another(plant)
    [asked] = asks(plant)
    assert [each.user_id for each in plant.all(Participant) if each.scheduled_job_id == asked.id] == [
        plant.user.id,
        bob.id,
    ]


def test_nobody_is_asked_about_inputs_that_may_be_sensitive(plants: Plants) -> None:
    plant = away(plants, Misfire.ASK)
    plant.change(plant.only(type(plant.job)), has_sensitive_variables=True)
    plant.tick(2, seconds=31)
    assert asks(plant) == []
    assert reasons(plant) == {UNASKED}


def test_a_one_off_that_asks_returns_to_the_queue_and_runs_when_it_is_approved(plants: Plants) -> None:
    plant = plants.ready()
    plant.one_off(misfire=Misfire.ASK)
    plant.tick(seconds=1)
    plant.now = NOW + HOUR + LATE
    [run] = plant.waiting()
    assert plant.work(run) == Hold(ASKS, returns=True)
    row = plant.only(ScheduledJob)
    assert (row.approval, row.approval_note) == (ApprovalState.PENDING, ASKS)
    asyncio.run(plant.approvals.approve(other(plant), {"id": row.id}, Decision(force=True)))
    plant.tick(2, seconds=200)
    plant.work_off()
    assert statuses(plant) == {NOW + HOUR: SUCCESS}
