"""Requests from runs: what they name, who cannot approve them, and when a run can make none."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from datetime import datetime
from typing import Any
from uuid import uuid4

import pytest

from api_shim.domain.audit import EventType
from api_shim.domain.model import Job, JobResult, Participant, ScheduledJob, Status
from api_shim.parsing.run_request import RunRequest
from api_shim.services.schedules import Accepted
from approval_gate import policy
from approval_gate.errors import Forbidden
from approval_gate.model import Actor
from tests.api_shim.plant import INPUTS, Plant, opened_plant
from tests.api_shim.services.test_approvals import (
    APPROVAL,
    AT_ONCE,
    HOURLY,
    approver,
    asked,
    decide,
    events,
    now_of,
    refused,
    result_of,
)
from tests.factories import NOW, make_job, make_result


@pytest.fixture
def plant(store_url: str) -> Iterator[Plant]:
    """A plant whose first Job needs approval; another one does not."""
    for made in opened_plant(store_url, **APPROVAL):
        made.add(make_job(supports_dryrun=True))
        made.tick()
        yield made


def free(plant: Plant) -> Job:
    [found] = [job for job in plant.all(Job) if not job.approval_required]
    return found


def under_way(plant: Plant, **to: Any) -> JobResult:
    """Return a run of alice's, which nobody had to approve, and which has been let go."""
    going = {"status": Status.STARTED, "attempt": uuid4(), "date_started": NOW}
    plant.add(result := make_result(free(plant), plant.user, **{**going, **to}))
    return result


def request(plant: Plant, by: JobResult, schedule: Any = None, *, job: Job | None = None, **data: Any) -> Accepted:
    who = plant.actor.within_run(by.id)
    wanted = RunRequest(data={**INPUTS, **data}, schedule=schedule)
    return asyncio.run(plant.schedules.request(who, (job or plant.job).id, wanted))


def held(plant: Plant, by: JobResult, schedule: Any = AT_ONCE) -> ScheduledJob:
    made = request(plant, by, schedule).scheduled_job
    assert made is not None
    return now_of(plant, made)


def hands(plant: Plant, row: ScheduledJob) -> dict[str, bool]:
    """Return who takes part in a request, by name, and whether they own it or have."""
    return {each.username: each.owned for each in plant.all(Participant) if each.scheduled_job_id == row.id}


def participant(row: ScheduledJob, who: Actor, *, owned: bool) -> Participant:
    return Participant(scheduled_job_id=row.id, user_id=who.id, username=who.username, owned=owned)


@pytest.mark.each_database
def test_nobody_who_had_a_hand_in_a_run_approves_what_it_has_requested(plant: Plant) -> None:
    bob, carol, dave = (approver(plant, name) for name in ("bob", "carol", "dave"))
    first = asked(plant, {**AT_ONCE, "name": "first"})
    plant.add(participant(first, carol, owned=False), participant(first, dave, owned=True))
    decide(plant, "approve", bob, first)
    [run] = plant.waiting()
    plant.let_go(run)
    parent = result_of(plant, run.id)

    row = held(plant, parent)
    assert (row.requester_id, row.owner_id, row.requested_from, row.request_depth) == (
        plant.user.id,
        plant.user.id,
        parent.id,
        1,
    )
    assert hands(plant, row) == {"alice": True, "carol": False, "dave": False}
    assert refused(plant, "approve", plant.actor, row) == (Forbidden, policy.OWN_REQUEST)
    for who in (carol, dave):
        assert refused(plant, "approve", who, row) == (Forbidden, policy.BEHIND_ITS_RUN)
    decide(plant, "approve", bob, row)

    plant.work_off()
    [done] = [each for each in plant.all(JobResult) if each.scheduled_job_id == row.id]
    assert (done.status, done.user_id, done.requested_from, done.request_depth) == (
        Status.SUCCESS,
        plant.user.id,
        parent.id,
        1,
    )
    told = {each.act: each.data.get("requested_from") for each in events(plant) if each.scheduled_job_id == row.id}
    assert told == dict.fromkeys((EventType.REQUESTED, EventType.APPROVED, EventType.ADMITTED), str(parent.id))


def test_what_a_run_has_started_at_once_hands_on_who_is_behind_it(plant: Plant) -> None:
    carol = approver(plant, "carol")
    first = asked(plant, HOURLY)
    plant.add(participant(first, carol, owned=False))
    grandparent = under_way(plant, scheduled_job_id=first.id, nominal_time=NOW)
    started = request(plant, grandparent, job=free(plant)).job_result
    assert started is not None
    assert (started.requested_from, started.request_depth) == (grandparent.id, 1)
    plant.change(started, status=Status.STARTED, attempt=uuid4())
    row = held(plant, started)
    assert (hands(plant, row), row.request_depth) == ({"alice": True, "carol": False}, 2)


def test_the_runs_of_a_schedule_that_a_run_has_made_come_from_it(plant: Plant) -> None:
    parent = under_way(plant)
    made = request(plant, parent, HOURLY, job=free(plant)).scheduled_job
    assert made is not None
    due: datetime = made.start_time
    plant.tick()
    plant.engine.make_firing(plant.own_id(), due)
    plant.now = due
    plant.work_off()
    [done] = [each for each in plant.all(JobResult) if each.scheduled_job_id == made.id]
    assert (done.requested_from, done.request_depth) == (parent.id, 1)


GONE = make_result(make_job(), None)
REFUSED: list[Any] = [
    pytest.param({"status": Status.SUCCESS}, policy.RUN_OVER, id="that is over"),
    pytest.param({"status": Status.PENDING, "attempt": None}, policy.NOT_LET_GO, id="that was not let go"),
    pytest.param({"cancelled_by": "bob"}, policy.RUN_CANCELLED, id="that is told to end"),
    pytest.param({"user_id": None}, policy.RUN_WITHOUT_USER, id="of nobody"),
    pytest.param({"request_depth": policy.DEEPEST}, policy.TOO_DEEP, id="that comes from too many others"),
    pytest.param({"dry_run": True}, policy.DRY_RUNS_ONLY, id="that is a dry run"),
    pytest.param({"nominal_time": NOW}, policy.ORIGIN_GONE, id="whose scheduled job was deleted"),
    pytest.param({"requested_from": GONE.id}, policy.ORIGIN_GONE, id="that comes from one whose result was deleted"),
]


@pytest.mark.parametrize(("parent", "why"), REFUSED)
def test_nothing_is_requested_by_a_run(plant: Plant, parent: dict[str, Any], why: str) -> None:
    by = under_way(plant, **parent)
    for job in (plant.job, free(plant)):
        with pytest.raises(Forbidden) as caught:
            request(plant, by, job=job)
        assert str(caught.value) == why
    assert (plant.all(ScheduledJob), plant.all(JobResult)) == ([], [by])


def test_a_run_whose_user_is_deactivated_requests_nothing(plant: Plant) -> None:
    by = under_way(plant)
    plant.change(plant.user, is_active=False)
    with pytest.raises(Forbidden, match="removed or deactivated"):
        request(plant, by)


def test_a_dry_run_requests_a_dry_run(plant: Plant) -> None:
    made = request(plant, under_way(plant, dry_run=True), dryrun=True).job_result
    assert made is not None
    assert made.inputs == {**INPUTS, "dryrun": True}


def test_what_people_request_comes_from_no_run(plant: Plant) -> None:
    row = asked(plant, AT_ONCE)
    assert (row.requested_from, row.request_depth) == (None, 0)
