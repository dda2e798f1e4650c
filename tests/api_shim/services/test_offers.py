"""What somebody can ask of a Job, and every fault of what they ask."""

from __future__ import annotations

import asyncio
from typing import Any
from uuid import uuid4

import pytest

from api_shim.parsing.run_request import RunRequest
from api_shim.services.schedules import SENSITIVE, SENSITIVE_AND_APPROVAL, RunOptions, RunPreview
from approval_gate.errors import Forbidden, NotFound
from approval_gate.model import Action, Actor, ObjectType
from approval_gate.policy import NO_PERMISSION
from tests.api_shim.plant import Plant, Plants
from tests.api_shim.services.test_approvals import May, may, person

JOB, RUN, VIEW = ObjectType.JOB, Action.RUN, Action.VIEW
NO_RUN = "This user does not have permission to run jobs."


def offers(plant: Plant) -> RunPreview:
    return RunPreview(plant.store, plant.schedules, lambda: plant.now)


def offered(plant: Plant, who: Actor) -> RunOptions:
    return asyncio.run(offers(plant).offer(who, plant.job.id))


@pytest.mark.parametrize(
    ("job", "why_not", "why_only_now"),
    [
        ({}, "", ""),
        ({"approval_required": True}, "", ""),
        ({"has_sensitive_variables": True}, "", SENSITIVE),
        ({"has_sensitive_variables": True, "approval_required": True}, SENSITIVE_AND_APPROVAL, SENSITIVE),
        ({"enabled": False}, "This job is not enabled to be run.", ""),
        ({"installed": False}, "This job is not presently installed and cannot be run.", ""),
        ({"is_job_hook_receiver": True}, "This job is started by events and cannot be run directly.", ""),
    ],
    ids=["a plain one", "needs approval", "sensitive", "both", "not enabled", "not installed", "a receiver"],
)
def test_a_job_is_offered_as_far_as_a_request_would_be_taken(
    plants: Plants, job: dict[str, Any], why_not: str, why_only_now: str
) -> None:
    plant = plants.make(**job)
    offer = offered(plant, plant.actor)
    assert (offer.job.id, offer.why_not, offer.why_only_now) == (plant.job.id, why_not, why_only_now)


@pytest.mark.parametrize(
    ("permissions", "why_not"),
    [
        ((may(JOB, VIEW, RUN),), ""),
        ((may(JOB, VIEW),), NO_RUN),
        ((may(JOB, VIEW), may(JOB, RUN, limit={"name": "another"})), NO_RUN),
    ],
)
def test_who_may_not_run_a_job_is_told_why(plants: Plants, permissions: tuple[May, ...], why_not: str) -> None:
    plant = plants.make()
    assert offered(plant, person(plant, "bob", *permissions)).why_not == why_not


def test_who_came_with_a_token_that_only_reads_is_told_why(plants: Plants) -> None:
    plant = plants.make()
    assert offered(plant, person(plant, "bob", may(JOB, VIEW, RUN), read_only=True)).why_not == NO_PERMISSION


def test_who_may_not_see_a_job_is_offered_nothing(plants: Plants) -> None:
    plant = plants.make()
    with pytest.raises(Forbidden):
        offered(plant, person(plant, "bob"))
    with pytest.raises(NotFound):
        offered(plant, person(plant, "carol", may(JOB, VIEW, limit={"name": "another"})))
    with pytest.raises(NotFound):
        asyncio.run(offers(plant).offer(plant.actor, uuid4()))


def test_every_fault_of_a_request_is_found(plants: Plants) -> None:
    plant = plants.make()
    request = RunRequest(data=[], schedule={"interval": "custom", "crontab": "x"}, task_queue="nope")
    schedule, queue, data = (fault.detail for fault in asyncio.run(offers(plant).faults(plant.job, request)))
    assert isinstance(schedule, dict)
    assert schedule["schedule"].keys() == {"name", "crontab"}
    assert queue == {"task_queue": ['"nope" is not a valid choice.']}
    assert data == {"errors": ["Job data needs to be a dict"]}


def test_a_sound_request_has_none(plants: Plants) -> None:
    plant = plants.make()
    assert asyncio.run(offers(plant).faults(plant.job, RunRequest(data={}))) == []
