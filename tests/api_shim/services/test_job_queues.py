"""Job queues are made in a pool that is there, moved while nothing uses them, and removed when nobody names them."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any
from uuid import uuid4

import pytest

from api_shim.domain.audit import EventType
from api_shim.domain.model import Job, JobQueue, Status, queue_id, queue_of
from api_shim.services.job_queues import (
    HAS_JOBS,
    HAS_RUNS,
    IS_DEFAULT,
    NAME_TAKEN,
    NO_POOL,
    JobQueues,
)
from api_shim.store import Store
from approval_gate.constraints import Constraint, Lookup, Op
from approval_gate.errors import Conflict, Forbidden, Invalid
from approval_gate.model import Action, Actor, Grant, ObjectType
from tests.conftest import Clock
from tests.factories import make_job, make_result, make_scheduled, make_user
from tests.fakes import FakeEngine

ADMIN = make_user("admin", is_superuser=True)
DEFAULT = {"name": "default"}


@pytest.fixture
def admin(store: Store) -> Actor:
    with store.transaction() as tx:
        tx.add(ADMIN)
        tx.add(queue_of("default"), queue_of("bulk"))
    return Actor(id=ADMIN.id, username="admin", superuser=True)


@pytest.fixture
def queues(store: Store, clock: Clock) -> JobQueues:
    return JobQueues(store, FakeEngine(clock=clock, other_pools={"big": set()}), clock)


def only(store: Store, name: str) -> JobQueue | None:
    with store.transaction(write=False) as tx:
        return tx.get(JobQueue, id=queue_id(name))


def put(store: Store, *things: Any) -> None:
    with store.transaction() as tx:
        for thing in things:
            tx.add(thing)


@pytest.mark.each_database
def test_a_queue_is_made_moved_and_removed_and_each_is_recorded(store: Store, queues: JobQueues, admin: Actor) -> None:
    by = {"name": "gpu"}
    assert (
        asyncio.run(queues.add(admin, {"name": "gpu", "pool": "big"})) == only(store, "gpu") == queue_of("gpu", "big")
    )
    job = make_job(job_queues=("gpu",))
    put(store, job)
    # By the name of the server's pool, which has no name here.
    assert asyncio.run(queues.change(admin, by, {"pool": "signoff"})) == only(store, "gpu") == queue_of("gpu")
    with store.transaction() as tx:
        moved = tx.get(Job, id=job.id)
        assert moved is not None
        assert moved.version == job.version + 1, "Prefect follows"
        tx.change(moved, job_queues=())
    asyncio.run(queues.remove(admin, by))
    assert only(store, "gpu") is None
    with store.transaction(write=False) as tx:
        events = [(event.act, event.actor, event.name) for event in tx.events(0, 100)]
    acts = (EventType.QUEUE_ADDED, EventType.QUEUE_CHANGED, EventType.QUEUE_REMOVED)
    assert events == [(act, "admin", "gpu") for act in acts]


@pytest.mark.parametrize(
    ("body", "told"),
    [
        ({"name": "bulk"}, {"name": [NAME_TAKEN]}),
        ({"name": "gpu", "pool": "gone"}, {"pool": [NO_POOL.format(pool="gone")]}),
    ],
)
def test_a_name_that_is_taken_and_a_pool_that_is_not_there_are_refused(
    store: Store, queues: JobQueues, admin: Actor, body: dict[str, str], told: dict[str, list[str]]
) -> None:
    with pytest.raises(Invalid) as refused:
        asyncio.run(queues.add(admin, body))
    assert refused.value.detail == told
    assert only(store, "gpu") is None


@pytest.mark.parametrize("use", ["a Job", "a schedule", "a run"])
def test_a_queue_in_use_is_not_removed_and_not_moved_under_what_runs_there(
    store: Store, queues: JobQueues, admin: Actor, use: str
) -> None:
    job = make_job(job_queues=("bulk",) if use == "a Job" else ())
    put(store, job)
    if use == "a schedule":
        put(store, make_scheduled(job, ADMIN, queue="bulk", enabled=False))
    elif use == "a run":
        put(store, make_result(job, ADMIN, queue="bulk", status=Status.PENDING, date_done=None))
    told = HAS_JOBS.format(name="bulk", job=job.name) if use == "a Job" else HAS_RUNS.format(name="bulk")
    with pytest.raises(Conflict) as refused:
        asyncio.run(queues.remove(admin, {"name": "bulk"}))
    assert str(refused.value) == told
    if use != "a Job":
        with pytest.raises(Conflict) as refused:
            asyncio.run(queues.change(admin, {"name": "bulk"}, {"pool": "big"}))
        assert str(refused.value) == told
    assert only(store, "bulk") == queue_of("bulk")


def test_the_default_queue_stays(store: Store, queues: JobQueues, admin: Actor) -> None:
    put(store, make_job(job_queues=()))
    for refused in (queues.remove(admin, DEFAULT), queues.change(admin, DEFAULT, {"pool": "big"})):
        with pytest.raises(Conflict) as told:
            asyncio.run(refused)
        assert str(told.value) == IS_DEFAULT
    assert asyncio.run(queues.change(admin, DEFAULT, {"pool": "signoff"})) == queue_of("default"), "where it is"


def test_who_may_for_one_pool_moves_and_makes_no_queue_in_another(
    store: Store, queues: JobQueues, admin: Actor
) -> None:
    of_servers = Constraint(((Lookup(path="pool", op=Op.EXACT, value=""),),))
    actions = frozenset({Action.ADD, Action.CHANGE})
    grant = Grant(object_types=frozenset({ObjectType.JOB_QUEUE}), actions=actions, constraint=of_servers)
    limited = replace(admin, superuser=False, grants=(grant,))
    for refused in (
        queues.change(limited, {"name": "bulk"}, {"pool": "big"}),
        queues.add(limited, {"name": "gpu", "pool": "big"}),
    ):
        with pytest.raises(Forbidden):
            asyncio.run(refused)
    assert (only(store, "bulk"), only(store, "gpu")) == (queue_of("bulk"), None)


def test_who_may_not_learns_nothing_of_pools(store: Store, clock: Clock, admin: Actor) -> None:
    engine = FakeEngine(clock=clock)
    somebody = Actor(id=uuid4(), username="somebody")
    with pytest.raises(Forbidden):
        asyncio.run(JobQueues(store, engine, clock).add(somebody, {"name": "gpu", "pool": "big"}))
    with pytest.raises(Forbidden):
        asyncio.run(JobQueues(store, engine, clock).change(somebody, {"name": "bulk"}, {"pool": "big"}))
    assert engine.calls == []
