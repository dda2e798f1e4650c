"""What stays of a request for approval, who is told of it, and what it is compared with."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import pytest

from api_shim.domain.model import ApprovalRequest, Job, JobResult, ScheduledJob
from api_shim.services.approval_requests import UNDECIDED, Comparison, compare, newest_of, outcomes
from api_shim.services.approval_state import expire
from api_shim.services.review import NOTHING_YET, Change
from api_shim.services.sensitive_inputs import follow_mark
from api_shim.store import Listing
from approval_gate.errors import Conflict, NotFound
from approval_gate.lifecycle import ApprovalState
from approval_gate.model import Actor, ObjectType
from tests.api_shim.plant import INPUTS, Plant, Plants
from tests.api_shim.services.test_approvals import (
    APPROVAL,
    APPROVER,
    AT_ONCE,
    DELETE,
    HOURLY,
    LATER,
    SCHEDULED,
    VIEW,
    approver,
    asked,
    decide,
    may,
    now_of,
    person,
)
from tests.api_shim.services.test_schedule_changes import edit

KIND = ObjectType.APPROVAL_REQUEST
WORDS = {"comment": "too late"}


def approve(plant: Plant, row: ScheduledJob) -> None:
    decide(plant, "approve", approver(plant), row, **WORDS)


def deny(plant: Plant, row: ScheduledJob) -> None:
    decide(plant, "deny", approver(plant), row, **WORDS)


def withdraw(plant: Plant, row: ScheduledJob) -> None:
    decide(plant, "deny", plant.actor, row, **WORDS)


def delete(plant: Plant, row: ScheduledJob) -> None:
    asyncio.run(plant.schedules.delete(person(plant, "carol", may(SCHEDULED, VIEW, DELETE)), row.id))


def lapse(plant: Plant, row: ScheduledJob) -> None:
    plant.now += timedelta(seconds=61)
    with plant.store.transaction() as tx:
        expire(row.id, plant.now, tx)


def kept(plant: Plant, row: ScheduledJob) -> list[ApprovalRequest]:
    return sorted(
        (each for each in plant.all(ApprovalRequest) if each.scheduled_job_id == row.id), key=lambda each: each.created
    )


@pytest.mark.parametrize(
    ("happens", "state", "by", "comment"),
    [
        pytest.param(approve, ApprovalState.APPROVED, "bob", "too late", id="approved"),
        pytest.param(deny, ApprovalState.DENIED, "bob", "too late", id="denied"),
        pytest.param(withdraw, ApprovalState.WITHDRAWN, "alice", "too late", id="withdrawn"),
        pytest.param(delete, ApprovalState.WITHDRAWN, "carol", "", id="deleted by somebody else"),
        pytest.param(lapse, ApprovalState.EXPIRED, "", "", id="expired"),
    ],
)
def test_a_request_is_kept_with_what_was_decided(
    plants: Plants, happens: Callable[[Plant, ScheduledJob], None], state: ApprovalState, by: str, comment: str
) -> None:
    plant = plants.ready(**APPROVAL, approval_expires=60.0)
    row = asked(plant, AT_ONCE)
    [waits] = kept(plant, row)
    assert (waits.state, waits.requested_by, waits.owner_id) == (ApprovalState.PENDING, "alice", plant.actor.id)
    assert (waits.decided_at, waits.decided_inputs) == (None, None)
    happens(plant, row)
    [over] = kept(plant, row)
    assert over.id == waits.id
    assert (over.state, over.decided_by, over.comment, over.decided_at) == (state, by, comment, plant.now)
    assert over.decided_inputs == INPUTS
    assert (over.circumstances or {})["Start"] == "as soon as it is approved"


def test_what_returns_to_the_queue_is_asked_by_another_request(plants: Plants) -> None:
    plant = plants.ready(**APPROVAL)
    row = asked(plant, HOURLY)
    approve(plant, row)
    edit(plant, plant.actor, row, data={"count": 3})
    first, again = kept(plant, row)
    assert (first.state, again.state) == (ApprovalState.APPROVED, ApprovalState.PENDING)
    assert again.reason == now_of(plant, row).approval_note != ""


def test_one_that_waits_is_called_as_its_scheduled_job_is_now(plants: Plants) -> None:
    plant = plants.ready(**APPROVAL)
    row = asked(plant, LATER)
    edit(plant, plant.actor, row, name="another")
    assert [each.name for each in kept(plant, row)] == ["another"]


def test_one_that_an_earlier_version_has_made_is_kept_when_it_is_decided(plants: Plants) -> None:
    plant = plants.ready(**APPROVAL)
    row = asked(plant, LATER)
    with plant.store.transaction() as tx:
        tx.remove_all(ApprovalRequest, [each.id for each in kept(plant, row)])
    approve(plant, row)
    [over] = kept(plant, row)
    assert (over.state, over.requested_by, over.created) == (ApprovalState.APPROVED, "alice", row.date_changed)


# Who is told


def seen_by(plant: Plant, actor: Actor) -> list[str]:
    with plant.store.transaction(write=False) as tx:
        return [each.name for each in tx.page(KIND, actor, Listing(limit=10)).rows]


def test_it_is_told_to_who_had_a_part_in_it_and_to_who_may_view_requests(plants: Plants) -> None:
    plant = plants.ready(**APPROVAL)
    row = asked(plant, LATER)
    alice = replace(plant.actor, superuser=False)
    bob, carol = person(plant, "bob", *APPROVER), person(plant, "carol", *APPROVER)
    dave = person(plant, "dave", may(KIND, VIEW))
    assert [seen_by(plant, each) for each in (alice, bob, carol, dave)] == [["once"], [], [], ["once"]]
    decide(plant, "deny", bob, row)
    assert [seen_by(plant, each) for each in (alice, bob, carol, dave)] == [["once"], ["once"], [], ["once"]]
    with plant.store.transaction(write=False) as tx:
        found = newest_of(bob, row.id, tx)
        assert (found and found.state, newest_of(carol, row.id, tx)) == (ApprovalState.DENIED, None)


# Outcome


def test_what_came_of_it_is_its_newest_run(plants: Plants) -> None:
    plant = plants.ready(**APPROVAL)
    row = asked(plant, AT_ONCE)
    denied = asked(plant, LATER)
    approve(plant, row)
    decide(plant, "deny", person(plant, "carol", *APPROVER), denied)
    plant.settle()
    plant.work_off()
    schedules = may(ObjectType.SCHEDULED_JOB, VIEW)
    viewer = person(plant, "dave", may(KIND, VIEW), may(ObjectType.JOB_RESULT, VIEW), schedules)
    blind = person(plant, "erin", may(KIND, VIEW))
    requests = plant.all(ApprovalRequest)
    with plant.store.transaction(write=False) as tx:
        told, less = (outcomes(each, requests, tx) for each in (viewer, blind))
    assert (told.scheduled, less.scheduled) == ({row.id}, set())
    assert {key: result.id for key, result in told.results.items()} == {row.id: plant.only(JobResult).id}
    assert less.results == {}


# Comparison


def compared(plant: Plant, actor: Actor, request: ApprovalRequest) -> Comparison:
    with plant.store.transaction(write=False) as tx:
        return compare(actor, request.id, tx)


def test_it_is_compared_with_what_was_approved_before_it(plants: Plants) -> None:
    plant = plants.ready(**APPROVAL)
    viewer = person(plant, "dave", may(KIND, VIEW))
    first = asked(plant, {**LATER, "name": "first"})
    approve(plant, first)
    plant.now += timedelta(minutes=1)
    second = asked(plant, {**LATER, "name": "second"}, data={**INPUTS, "count": 7})
    with pytest.raises(Conflict, match=UNDECIDED):
        compared(plant, viewer, kept(plant, second)[0])
    decide(plant, "deny", person(plant, "carol", *APPROVER), second)
    found = compared(plant, viewer, kept(plant, second)[0])
    assert (found.earlier and found.earlier.name, found.nothing_earlier) == ("first", "")
    assert [each.name for each in found.inputs if each.change is not Change.SAME] == ["count"]
    # Who may view the second alone is told nothing of the first.
    alone = compared(plant, person(plant, "erin", may(KIND, VIEW, limit={"name": "second"})), kept(plant, second)[0])
    assert (alone.earlier, alone.nothing_earlier) == (None, NOTHING_YET)
    assert compared(plant, viewer, kept(plant, first)[0]).earlier is None
    with pytest.raises(NotFound):
        compared(plant, person(plant, "frank"), kept(plant, second)[0])


def test_inputs_that_may_be_sensitive_are_told_to_nobody_and_forgotten(plants: Plants) -> None:
    plant = plants.ready(**APPROVAL)
    row = asked(plant, LATER)
    approve(plant, row)
    viewer = person(plant, "dave", may(KIND, VIEW))
    plant.change(plant.only(Job), has_sensitive_variables=True)
    assert compared(plant, viewer, kept(plant, row)[0]).inputs == []
    follow_mark(plant.store, plant.job.id)
    assert kept(plant, row)[0].decided_inputs is None
