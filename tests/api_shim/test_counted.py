"""What the metrics count of what happens: each where it happens, and as often as it does."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from api_shim.domain.model import JobResult, ScheduledJob, Status
from api_shim.parsing.decision import Decision
from api_shim.store import Store
from approval_gate.errors import GateError
from approval_gate.model import Actor
from tests.api_shim.origin import Origin
from tests.api_shim.plant import HOUR, Plants
from tests.conftest import Clock
from tests.factories import make_user
from tests.measured import Measured


class Requested:
    """A request that waits for a decision, and somebody who may decide."""

    def __init__(self, plants: Plants) -> None:
        self.plant = plants.ready(approval_required=True)
        bob = make_user("bob", is_superuser=True)
        self.plant.add(bob)
        self.bob = Actor(id=bob.id, username="bob", superuser=True)
        self.row = self.ask().scheduled_job

    def ask(self, name: str = "once") -> Any:
        start = (self.plant.now + HOUR).isoformat()
        return asyncio.run(self.plant.request({"name": name, "interval": "future", "start_time": start}))

    def decide(self, who: Actor, decision: str) -> None:
        decide = getattr(self.plant.approvals, decision)
        asyncio.run(decide(who, {"id": self.row.id}, Decision()))


@pytest.fixture
def requested(plants: Plants) -> Requested:
    return Requested(plants)


def test_a_request_is_counted_on_its_way(plants: Plants) -> None:
    held = Measured("signoff_requests_total", outcome="held")
    approved = Measured("signoff_decision_age_seconds_sum", outcome="approved")
    admitted, late = Measured("signoff_admissions_total", verdict="go"), Measured("signoff_lateness_seconds_sum")
    succeeded = Measured("signoff_runs_total", status="success")
    requested = Requested(plants)
    plant = requested.plant
    plant.now += HOUR / 2
    for _ in range(2):
        requested.decide(requested.bob, "approve")
    plant.tick(minutes=30, seconds=2)
    plant.work_off()
    assert (held.more(), approved.more()) == (1, 1800)
    assert (admitted.more(), late.more(), succeeded.more()) == (1, 2, 1)


def test_what_runs_at_once_or_later_is_told_apart_from_what_is_refused(plants: Plants) -> None:
    counted = {each: Measured("signoff_requests_total", outcome=each) for each in ("started", "scheduled", "refused")}
    plant = plants.ready()
    asyncio.run(plant.request())
    later = {"name": "later", "interval": "future", "start_time": (plant.now + HOUR).isoformat()}
    asyncio.run(plant.request(later))
    with pytest.raises(GateError):
        asyncio.run(plant.request({"interval": "never"}))
    assert {each: measured.more() for each, measured in counted.items()} == dict.fromkeys(counted, 1)


@pytest.mark.parametrize("outcome", ["denied", "withdrawn", "withdrawn by deletion", "expired"])
def test_decisions_are_counted_by_their_outcome(requested: Requested, outcome: str) -> None:
    plant, decided = requested.plant, Measured("signoff_decision_age_seconds_sum", outcome=outcome.split()[0])
    match outcome:
        case "denied":
            plant.now += HOUR
            requested.decide(requested.bob, "deny")
        case "withdrawn":
            plant.now += HOUR
            requested.decide(plant.actor, "deny")
        case "withdrawn by deletion":
            plant.now += HOUR
            asyncio.run(plant.schedules.delete(plant.actor, requested.row.id))
        case _:
            plant.change(plant.only(ScheduledJob), expires_at=plant.now + HOUR)
            plant.tick(hours=1)
    assert decided.more() == 3600


def test_a_run_that_nobody_requested_is_counted_as_refused(plants: Plants) -> None:
    plant, refused = plants.ready(), Measured("signoff_admissions_total", verdict="refuse")
    [base] = plant.engine.made
    plant.work(plant.engine.make_firing(base, plant.now))
    assert refused.more() == 1


def test_what_a_hand_has_changed_in_prefect_is_counted_as_mended(plants: Plants) -> None:
    plant, mended = plants.ready(), Measured("signoff_repairs_total", repair="deployment")
    [base] = plant.engine.made
    plant.engine.delete_deployment(base)
    plant.tick(seconds=31)
    assert mended.more() == 1


def test_firings_that_nobody_was_there_for_are_counted(plants: Plants) -> None:
    plant, missed = plants.ready(), Measured("signoff_missed_firings_total")
    plant.recurring()
    plant.tick()
    plant.tick(hours=72)
    recorded = [result for result in plant.all(JobResult) if result.status is Status.REVOKED]
    assert len(recorded) > 1
    assert missed.more() == len(recorded)


def test_each_refused_sign_in_is_counted_though_the_audit_has_one_event(sqlite_store: Store, clock: Clock) -> None:
    refused = Measured("signoff_refusals_total", act="sign-in.refused")
    origin = Origin(sqlite_store, clock)
    for _ in range(3):
        origin.ask("GET", "/api/extras/jobs/", None, headers={"Authorization": "Token nonsense"})
    assert refused.more() == 3
