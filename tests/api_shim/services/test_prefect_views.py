"""What of Prefect a user may view, by what they may view here."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any
from uuid import UUID, uuid4

import pytest

from api_shim.domain.model import DeletedRun, Job, JobResult, PendingCleanup, ScheduledJob
from api_shim.services import prefect_views
from api_shim.services.prefect_views import PrefectViews
from api_shim.store import Store
from approval_gate.constraints import UNLIMITED, Constraint, Lookup, Op
from approval_gate.model import Action, Actor, Grant, ObjectType
from tests.factories import make_job, make_result, make_scheduled

JOB, SCHEDULED_JOB, JOB_RESULT = ObjectType.JOB, ObjectType.SCHEDULED_JOB, ObjectType.JOB_RESULT
NAMED_A = Lookup(path="job_model__name", op=Op.EXACT, value="A/1")


def viewer(*kinds: ObjectType, constraint: Constraint = UNLIMITED) -> Actor:
    grant = Grant(object_types=frozenset(kinds), actions=frozenset({Action.VIEW}), constraint=constraint)
    return Actor(id=uuid4(), username="carol", grants=(grant,) if kinds else ())


class World:
    """Two Jobs, A and B, each with a base deployment, a recurring scheduled job, a request that waits, and a run."""

    def __init__(self, store: Store) -> None:
        self.jobs = {letter: make_job(name=f"{letter}/1", deployment_id=uuid4()) for letter in "AB"}
        self.recurring: dict[str, ScheduledJob] = {}
        self.waiting: dict[str, ScheduledJob] = {}
        self.results: dict[str, JobResult] = {}
        self.gone = DeletedRun(
            id=uuid4(), flow_run_id=uuid4(), scheduled_job_id=None, nominal_time=None, run_gone=False
        )
        for letter, job in self.jobs.items():
            self.recurring[letter] = make_scheduled(job, None, deployment_id=uuid4())
            self.waiting[letter] = make_scheduled(job, None, flow_run_id=uuid4())
            self.results[letter] = make_result(job, None)
        self.left = self._leftover(self.jobs["A"])
        with store.transaction() as tx:
            tx.add(*self.jobs.values())
            tx.add(*self.recurring.values(), *self.waiting.values())
            tx.add(*self.results.values())
            tx.add(self.gone)
            tx.add(self.left)
        self.store, self.views = store, PrefectViews(store)

    @staticmethod
    def _leftover(job: Job) -> PendingCleanup:
        return PendingCleanup(
            id=uuid4(), job_id=job.id, name="x", message="x", deployment_id=uuid4(), flow_run_id=uuid4(), run_number=0
        )

    def names(self, ids: Any) -> str:
        """Return what ids stand for: a Job's letter with d, s, w or r for its deployment, schedule, request and run."""
        known: Mapping[UUID | None, str] = {
            **{job.deployment_id: f"{letter}d" for letter, job in self.jobs.items()},
            **{row.deployment_id: f"{letter}s" for letter, row in self.recurring.items()},
            **{row.flow_run_id: f"{letter}w" for letter, row in self.waiting.items()},
            **{row.flow_run_id: f"{letter}r" for letter, row in self.results.items()},
        }
        return " ".join(sorted(known[each] for each in ids))


@pytest.fixture
def world(store: Store) -> World:
    return World(store)


ONLY_A = Constraint(((NAMED_A,),))
ROWS = [
    pytest.param(viewer(), "", "", "", id="no permission"),
    pytest.param(viewer(JOB), "", "Ad Bd", "A-1 B-1", id="Jobs"),
    pytest.param(viewer(SCHEDULED_JOB), "Aw Bw", "As Bs", "A-1 B-1", id="scheduled jobs"),
    pytest.param(viewer(JOB_RESULT), "Ar Br", "", "A-1 B-1", id="results"),
    pytest.param(viewer(JOB_RESULT, constraint=ONLY_A), "Ar", "", "A-1", id="results of a Job"),
    pytest.param(viewer(SCHEDULED_JOB, JOB_RESULT, constraint=ONLY_A), "Ar Aw", "As", "A-1", id="all of a Job"),
    pytest.param(Actor(id=uuid4(), username="root", superuser=True), "Ar Aw Br Bw", "Ad As Bd Bs", "A-1 B-1", id="all"),
]


@pytest.mark.parametrize(("actor", "runs", "deployments", "flows"), ROWS)
def test_what_stands_for_what_a_user_may_view(
    world: World, actor: Actor, runs: str, deployments: str, flows: str
) -> None:
    async def look() -> None:
        views = world.views
        assert world.names(await views.runs(actor)) == runs
        assert world.names(await views.deployments(actor)) == deployments
        assert " ".join(sorted(await views.flows(actor))) == flows
        resources = await views.resources(actor)
        assert {each for each in resources if each.startswith("prefect.flow-run.")} == {
            f"prefect.flow-run.{each}" for each in await views.runs(actor)
        }
        for row in [*world.results.values(), *world.waiting.values()]:
            assert row.flow_run_id is not None
            seen = world.names([row.flow_run_id]) in runs.split()
            assert await views.views_run(actor, row.flow_run_id) is seen
            assert await views.runs(actor, [row.flow_run_id, uuid4()]) == ({row.flow_run_id} if seen else set())
        for thing in [*world.jobs.values(), *world.recurring.values()]:
            assert thing.deployment_id is not None
            name = world.names([thing.deployment_id])
            assert await views.views_deployment(actor, thing.deployment_id) is (name in deployments.split())
            of_schedule = name.endswith("s") and name in deployments.split()
            assert await views.views_runs_of(actor, thing.deployment_id) is of_schedule

    asyncio.run(look())


def test_what_is_not_recorded_is_not_ours_and_what_is_deleted_is_hidden(world: World) -> None:
    root = Actor(id=uuid4(), username="root", superuser=True)

    async def look() -> None:
        views = world.views
        assert await views.views_run(root, uuid4()) is None
        assert await views.views_deployment(root, uuid4()) is None
        for run_id in (world.gone.flow_run_id, world.left.flow_run_id):
            assert run_id is not None
            assert await views.views_run(root, run_id) is False
        assert world.left.deployment_id is not None
        assert await views.views_deployment(root, world.left.deployment_id) is False
        assert await views.is_our_flow("A-1")
        assert not await views.is_our_flow("A/1")

    asyncio.run(look())


def test_a_run_with_a_result_is_viewed_by_who_may_view_that(world: World) -> None:
    requested = world.waiting["A"]
    with world.store.transaction() as tx:
        tx.add(make_result(world.jobs["A"], None, flow_run_id=requested.flow_run_id))
    actor = viewer(SCHEDULED_JOB)
    assert requested.flow_run_id is not None
    assert world.names(asyncio.run(world.views.runs(actor))) == "Bw"
    assert asyncio.run(world.views.views_run(actor, requested.flow_run_id)) is False


@pytest.mark.each_database
def test_the_events_of_what_a_user_may_view(world: World) -> None:
    run, row, deployment = world.results["A"].flow_run_id, world.recurring["A"].id, world.jobs["A"].deployment_id
    ours = {f"prefect.flow-run.{run}", f"signoff.scheduled-job.{row}", f"prefect.deployment.{deployment}"}
    asked = {*ours, f"signoff.flow-run.{uuid4()}", "prefect.flow-run.x", "signoff.user.x", "prefect.work-pool.x"}
    seen = asyncio.run(world.views.resources(viewer(JOB, SCHEDULED_JOB, JOB_RESULT), asked))
    assert seen == ours
    assert asyncio.run(world.views.resources(viewer(), asked)) == set()


@pytest.mark.each_database
def test_the_newest_are_named_where_there_are_too_many(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prefect_views, "MOST", 1)
    newest = world.results["A"].date_created.replace(year=2027)
    with world.store.transaction() as tx:
        tx.change(world.results["B"], date_created=newest)
    assert world.names(asyncio.run(world.views.runs(viewer(JOB_RESULT)))) == "Br"
