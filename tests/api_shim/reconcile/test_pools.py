"""Which work pool each queue belongs to, and what follows from that in Prefect."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from api_shim.domain.model import Status, queue_of
from api_shim.reconcile.pools import pools_of
from api_shim.reconcile.reconciler import Reconciler
from api_shim.store import Store
from tests.conftest import Clock
from tests.factories import make_job, make_result, make_scheduled, make_user
from tests.fakes import FakeEngine


@pytest.mark.each_database
def test_only_queues_of_other_pools_are_named(store: Store) -> None:
    with store.transaction() as tx:
        tx.add(queue_of("default"), queue_of("gpu", "big"), queue_of("bulk", "signoff"))
    with store.transaction(write=False) as tx:
        assert pools_of(tx, own="signoff") == {"gpu": "big"}


@pytest.mark.parametrize(
    ("queues", "pool_of_job"),
    [pytest.param(("default", "gpu"), "", id="own pool first"), pytest.param(("gpu", "default"), "big", id="other")],
)
def test_deployments_and_runs_stand_in_the_pool_of_their_queue(
    store: Store, clock: Clock, queues: tuple[str, ...], pool_of_job: str
) -> None:
    engine = FakeEngine(clock=clock, other_pools={"big": set()})
    job, owner = make_job(job_queues=queues), make_user()
    nightly = make_scheduled(job, owner, queue="gpu")
    new: dict[str, Any] = dict.fromkeys(("flow_run_id", "attempt", "date_started", "date_done"))
    waiting = [make_result(job, owner, queue=queue, status=Status.PENDING, released=False, **new) for queue in queues]
    with store.transaction() as tx:
        tx.add(owner)
        tx.add(job)
        tx.add(queue_of("default"), queue_of("gpu", "big"))
        tx.add(nightly)
        tx.add(*waiting)
    projection = Reconciler(store, engine, clock)

    async def follow() -> None:
        await projection.reconcile(nightly.id)
        for result in waiting:
            await projection.start(result.id)

    asyncio.run(follow())
    assert {spec.name: spec.pool for spec in engine.made.values() if spec.schedule is None} == {"default": pool_of_job}
    assert [spec.pool for spec in engine.made.values() if spec.schedule is not None] == ["big"]
    assert [run.pool for run in engine.all_runs.values()] == ["big" if queue == "gpu" else "" for queue in queues]
    assert engine.other_pools == {"big": {"gpu"}}
