"""The gauges: what they count, and how often the store is asked."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from datetime import timedelta
from typing import Any

import pytest

from api_shim.domain.model import Status
from api_shim.reconcile.served_queues import AWAY_AFTER, ServedQueues
from api_shim.services.gauges import KEPT, Gauges
from api_shim.store import Store
from approval_gate.errors import Forbidden, Unavailable
from approval_gate.lifecycle import ApprovalState
from approval_gate.model import Actor
from tests.conftest import Clock
from tests.factories import NOW, make_job, make_result, make_scheduled, make_user
from tests.fakes import FakeEngine

NOTHING = {
    "signoff_approval_queue_length": {"": 0},
    "signoff_approval_queue_oldest_age_seconds": {"": 0.0},
    "signoff_runs_in_progress": {"pending": 0, "started": 0},
    "signoff_projection_waiting": {"job": 0, "scheduled_job": 0, "job_result": 0, "leftover": 0},
    "signoff_prefect_up": {"": 1.0},
}


class Asking:
    """Somebody who may read metrics."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self.engine = FakeEngine(clock)
        self.served = ServedQueues(self.engine, clock)
        self.gauges = Gauges(store, self.served, clock)
        self.actor = Actor(id=make_user().id, username="prometheus", superuser=True)

    def read(self) -> Mapping[str, Mapping[str, float]]:
        return {gauge.name: gauge.values for gauge in asyncio.run(self.gauges.read(self.actor))}


def add(store: Store, *things: Any) -> None:
    with store.transaction() as tx:
        for thing in things:
            tx.add(thing)


def test_an_empty_store_has_nothing_waiting(store: Store, clock: Clock) -> None:
    assert Asking(store, clock).read() == NOTHING


@pytest.mark.each_database
def test_what_waits_is_counted_and_what_is_over_is_not(store: Store, clock: Clock) -> None:
    user, job = make_user(), make_job(version=2, projected_version=1)
    level = {"version": 1, "projected_version": 1}
    asked = {**level, "approval": ApprovalState.PENDING}
    add(store, user, job)
    add(
        store,
        make_scheduled(job, user, name="first", date_changed=NOW - timedelta(hours=2), **asked),
        make_scheduled(job, user, name="second", date_changed=NOW - timedelta(hours=1), **asked),
        make_scheduled(job, user, name="given up", date_changed=NOW - timedelta(days=9), enabled=False, **asked),
        make_scheduled(job, user, name="behind", version=3, projected_version=1),
    )
    add(
        store,
        make_result(job, user, status=Status.PENDING, released=False),
        make_result(job, user, status=Status.STARTED, released=True),
        make_result(job, user, status=Status.STARTED, released=True),
        make_result(job, user, status=Status.SUCCESS, released=True),
    )
    assert Asking(store, clock).read() == {
        "signoff_approval_queue_length": {"": 2},
        "signoff_approval_queue_oldest_age_seconds": {"": 7200.0},
        "signoff_runs_in_progress": {"pending": 1, "started": 2},
        "signoff_projection_waiting": {"job": 1, "scheduled_job": 1, "job_result": 1, "leftover": 0},
        "signoff_prefect_up": {"": 1.0},
    }


def test_who_asks_again_at_once_is_told_the_same(sqlite_store: Store, clock: Clock) -> None:
    asking = Asking(sqlite_store, clock)
    assert asking.read() == NOTHING
    add(sqlite_store, make_job(version=2, projected_version=1))
    assert asking.read() == NOTHING
    clock.now += KEPT
    assert asking.read()["signoff_projection_waiting"]["job"] == 1


def test_prefect_is_down_while_it_is_away(sqlite_store: Store, clock: Clock) -> None:
    asking = Asking(sqlite_store, clock)
    asking.engine.fail("queue_polls")
    with suppress(Unavailable):
        asyncio.run(asking.served.look())
    clock.now += AWAY_AFTER
    assert asking.read()["signoff_prefect_up"] == {"": 0.0}


def test_who_has_no_permission_is_told_nothing_also_when_it_is_known(sqlite_store: Store, clock: Clock) -> None:
    asking = Asking(sqlite_store, clock)
    asking.read()
    asking.actor = Actor(id=make_user().id, username="mallory")
    with pytest.raises(Forbidden):
        asking.read()
