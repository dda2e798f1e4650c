"""As whom a run acts, and what it has requested: in Prefect it may watch that, whatever has become of it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any
from uuid import UUID, uuid4

import pytest

from api_shim.domain.model import JobResult, ScheduledJob, Status
from api_shim.parsing.run_request import RunRequest
from api_shim.services.request_rates import ACCOUNT, RequestRates
from api_shim.services.run_actors import RunActors
from api_shim.services.run_credentials import RunCaller
from api_shim.settings import LIMITS, Limits
from approval_gate import policy
from approval_gate.errors import Forbidden, TooManyAttempts
from approval_gate.model import Action, Actor, ObjectType
from tests.api_shim.plant import INPUTS, Plant, opened_plant
from tests.api_shim.services.test_approvals import APPROVAL, AT_ONCE, approver, decide, now_of
from tests.databases import sqlite_with_tables
from tests.factories import NOW, make_result

RUN = uuid4()
CALLER = RunCaller(run_id=RUN, worker=Actor(id=uuid4(), username="worker"))


@pytest.fixture
def plant(tmp_path: Any) -> Iterator[Plant]:
    """A plant with a run of alice's that has been let go; its Job needs approval."""
    for made in opened_plant(sqlite_with_tables(tmp_path / "store.db"), **APPROVAL):
        going = {"status": Status.STARTED, "attempt": uuid4(), "date_started": NOW, "flow_run_id": RUN}
        made.add(make_result(made.job, made.user, **going))
        yield made


def actors(plant: Plant, limits: Limits = LIMITS) -> RunActors:
    return RunActors(plant.store, RequestRates(limits, lambda: plant.now))


def acting(plant: Plant) -> Actor:
    return asyncio.run(actors(plant).acting(CALLER, writes=True))


def requested(plant: Plant, by: Actor, run_id: UUID | None) -> bool:
    assert run_id is not None
    return asyncio.run(actors(plant).has_requested(by, run_id))


def request(plant: Plant, who: Actor, key: str | None = None, **data: Any) -> ScheduledJob | JobResult:
    asked = RunRequest(data={**INPUTS, **data}, schedule=None if data else AT_ONCE)
    accepted = asyncio.run(plant.schedules.request(who, plant.job.id, asked, key))
    made = accepted.scheduled_job or accepted.job_result
    assert made is not None
    [found] = [each for each in plant.all(type(made)) if each.id == made.id]
    return found


def test_a_run_acts_as_its_user_cut_down_to_what_runs_may(plant: Plant) -> None:
    alice, result = acting(plant), plant.only(JobResult)
    assert (alice.id, alice.username, alice.by_run, alice.superuser) == (plant.user.id, "alice", result.id, False)
    assert alice.may(Action.RUN, ObjectType.JOB, {})
    assert not alice.may(Action.APPROVE, ObjectType.JOB, {})


@pytest.mark.parametrize(
    ("to", "why"),
    [
        pytest.param({"flow_run_id": uuid4()}, policy.NOT_LET_GO, id="of which nothing is recorded"),
        pytest.param({"attempt": None}, policy.NOT_LET_GO, id="that was not let go"),
        pytest.param({"status": Status.FAILURE, "date_done": NOW}, policy.RUN_OVER, id="that has just ended"),
        pytest.param({"cancelled_by": "bob"}, policy.RUN_CANCELLED, id="that is told to end"),
        pytest.param({"user_id": None}, policy.RUN_WITHOUT_USER, id="of nobody"),
    ],
)
def test_as_nobody_does_a_run(plant: Plant, to: dict[str, Any], why: str) -> None:
    plant.change(plant.only(JobResult), **to)
    with pytest.raises(Forbidden) as caught:
        acting(plant)
    assert str(caught.value) == why


def test_what_runs_ask_as_their_user_counts_for_that_user(plant: Plant) -> None:
    limited = actors(plant, Limits(account_requests=2, address_requests=1))

    async def ask() -> None:
        for _ in range(2):
            await limited.acting(CALLER, writes=False)
        with pytest.raises(TooManyAttempts, match=ACCOUNT):
            await limited.acting(CALLER, writes=False)

    asyncio.run(ask())


@pytest.mark.parametrize("became", ["held", "approved", "denied", "started"])
def test_a_run_watches_what_it_has_requested(plant: Plant, became: str) -> None:
    alice, bob = acting(plant), approver(plant)
    made = request(plant, alice, **({"dryrun": True} if became == "started" else {}))
    run_id = made.flow_run_id
    if isinstance(made, ScheduledJob) and became in ("approved", "denied"):
        decide(plant, "approve" if became == "approved" else "deny", bob, now_of(plant, made))
        plant.tick()
        plant.work_off()
    assert requested(plant, alice, run_id)
    assert not requested(plant, plant.actor.within_run(uuid4()), run_id)
    assert not requested(plant, plant.actor, run_id)


def test_a_run_watches_what_was_requested_before_with_its_key(plant: Plant) -> None:
    before = request(plant, plant.actor, "daily", dryrun=True)
    alice = acting(plant)
    assert request(plant, alice, "daily", dryrun=True).id == before.id
    assert requested(plant, alice, before.flow_run_id)
    assert not requested(plant, approver(plant).within_run(alice.by_run or RUN), before.flow_run_id)


def test_other_runs_are_none_of_its_own(plant: Plant) -> None:
    others = request(plant, plant.actor, dryrun=True)
    assert not requested(plant, acting(plant), others.flow_run_id)
    assert not requested(plant, acting(plant), uuid4())
