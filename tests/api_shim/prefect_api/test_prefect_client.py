"""One suite of promises (``ports.Engine``), kept by the fake of the tests and by the real Prefect alike.

The real one is a server in a process of its own, spoken to through its API as an administrator. Its scheduler works
meanwhile, so every schedule here fires far from now.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest
from opentelemetry.trace import INVALID_SPAN, NonRecordingSpan, Span, SpanContext, TraceFlags, use_span
from prefect.telemetry.run_telemetry import LABELS_TRACEPARENT_KEY

from api_shim.domain.ports import (
    GOING,
    HELD,
    NOTICES,
    Announcement,
    ApprovalForm,
    DeploymentSpec,
    LogPart,
    Orchestrator,
    RunSpec,
    ScheduleSpec,
)
from api_shim.domain.recurrence import CronSpec
from api_shim.domain.request_id import within_request
from api_shim.prefect_api import prefect_client
from api_shim.prefect_api.prefect_client import PrefectOrchestrator
from api_shim.prefect_api.prefect_json import AWAITING, KEYS, TAG
from approval_gate.errors import Unavailable
from flows.registry import load
from tests.fakes import FakeEngine
from tests.live import NO_TLS, PATIENCE, AsyncPatient, Live

POOL = "contract-tests"
FOREVER = datetime(2100, 1, 1, tzinfo=UTC)
YEARLY = CronSpec(cron="0 0 1 1 *", timezone="Europe/Berlin")
PARAMETERS = {"who": "Zoë – 世界", "count": 2, "ratio": 1.5, "none": None, "deep": {"list": [1, {"a": True}]}}
ENDED = {"COMPLETED", "FAILED", "CRASHED", "CANCELLED"}


@dataclass(frozen=True)
class Door:
    """How a test gets at an engine, which has its queues: each use opens it anew, in a loop of its own."""

    opened: Callable[[], Any]
    now: Callable[[], datetime]

    def run(self, test: Callable[[Any], Awaitable[Any]]) -> Any:
        async def within() -> Any:
            async with self.opened() as engine:
                return await test(engine)

        return asyncio.run(within())


async def prepare(engine: Orchestrator) -> None:
    await engine.prepare(["default", "bulk"])


@pytest.fixture(scope="module")
def real(live: Live) -> Door:
    """The real Prefect."""

    @asynccontextmanager
    async def opened() -> AsyncIterator[PrefectOrchestrator]:
        sign_in = ("admin", live.key("admin"))
        patient = AsyncPatient(verify=NO_TLS)
        asking = httpx.AsyncClient(base_url=f"{live.origin}/api", auth=sign_in, timeout=30, transport=patient)
        async with asking as client:
            yield PrefectOrchestrator(client, pool=POOL)

    door = Door(opened, lambda: datetime.now(UTC))
    door.run(prepare)
    return door


@pytest.fixture
def fake() -> Door:
    engine = FakeEngine(clock=lambda: datetime.now(UTC))

    @asynccontextmanager
    async def opened() -> AsyncIterator[FakeEngine]:
        yield engine

    door = Door(opened, engine.clock)
    door.run(prepare)
    return door


@pytest.fixture(params=["fake", pytest.param("real", marks=pytest.mark.slow)])
def door(request: pytest.FixtureRequest) -> Door:
    found: Door = request.getfixturevalue(request.param)
    return found


def base(**to: Any) -> DeploymentSpec:
    name = f"Contract {uuid4()}"
    spec = DeploymentSpec(flow=name, name="default", entrypoint="flows.prefect_flow.x-Y", queue="default")
    return replace(spec, **to)


def recurring(*, active: bool = True, **to: Any) -> DeploymentSpec:
    schedule = ScheduleSpec(slug=str(uuid4()), cron=YEARLY, active=active)
    return base(name="nightly – ü (1234abcd)", schedule=schedule, parameters=PARAMETERS, **to)


def a_run(**to: Any) -> RunSpec:
    run = RunSpec(key=f"test:{uuid4()}", name="Run – ü", parameters=PARAMETERS, queue="bulk", message="Held – ü.")
    return replace(run, **to)


async def made(engine: Orchestrator, spec: DeploymentSpec | None = None) -> UUID:
    spec = spec or base()
    deployment_id, was = await engine.create_deployment(spec)
    await engine.write_deployment(deployment_id, was, spec)
    return deployment_id


async def write(engine: Orchestrator, deployment_id: UUID, spec: DeploymentSpec) -> None:
    was = await engine.read_deployment(deployment_id)
    await engine.write_deployment(deployment_id, was or base(), spec)


async def one(engine: Orchestrator, run_id: UUID) -> Any:
    return (await engine.runs([run_id]))[run_id]


# Runs that go, and who works


def test_a_run_is_removed_and_again(door: Door) -> None:
    async def test(engine: Orchestrator) -> None:
        run_id = (await engine.create_run(await made(engine), a_run())).id
        await engine.remove_run(run_id)
        assert await engine.runs([run_id]) == {}
        await engine.remove_run(run_id)

    door.run(test)


def test_workers_are_counted_by_queue(door: Door) -> None:
    async def test(engine: Orchestrator) -> None:
        counts = await engine.worker_counts()
        assert {queue: await engine.has_worker(queue) for queue in counts} == {
            queue: count > 0 for queue, count in counts.items()
        }
        assert {"default", "bulk"} <= counts.keys()

    door.run(test)


# Deployments


def test_a_deployment_is_made_inert_and_once(door: Door) -> None:
    async def test(engine: Orchestrator) -> None:
        spec = recurring()
        first, found = await engine.create_deployment(spec)
        assert found == await engine.read_deployment(first)
        assert found.schedule == replace(spec.schedule, active=False)  # type: ignore[type-var]
        assert await engine.due_runs(first, FOREVER) == []
        assert await engine.create_deployment(spec) == (first, found)
        assert await engine.find_deployment(spec.flow, spec.name) == first
        assert await engine.find_deployment(spec.flow, "another") is None
        assert await engine.find_deployment("another", spec.name) is None

    door.run(test)


def test_making_again_what_is_active_leaves_it_active(door: Door) -> None:
    async def test(engine: Orchestrator) -> None:
        spec = recurring()
        deployment_id = await made(engine, spec)
        assert await engine.create_deployment(replace(spec, queue="bulk")) == (deployment_id, spec)
        assert await engine.read_deployment(deployment_id) == spec

    door.run(test)


def every_variable() -> dict[str, Any]:
    job = load("tests.acceptance.jobs_for_tests.Every")
    schema: dict[str, Any] = job.definition().parameter_schema
    assert len(schema["properties"]) > 5
    return schema


@pytest.mark.parametrize(
    "spec",
    [
        pytest.param(base(), id="a base deployment"),
        pytest.param(
            base(flow=f"Größe – 世界 {uuid4()}", description="# Ünïcode\n\n* a\n* b", queue="bulk"),
            id="with a description, a queue and a name of other scripts",
        ),
        pytest.param(recurring(active=False), id="with an inactive schedule"),
        pytest.param(recurring(parameter_schema=every_variable()), id="with a schedule, inputs and a form"),
        pytest.param(base(parameters={"whole": 2.0, "big": 1e22, "text": ""}), id="with numbers"),
    ],
)
def test_what_is_written_is_read_back_the_same(door: Door, spec: DeploymentSpec) -> None:
    async def test(engine: Orchestrator) -> None:
        deployment_id = await made(engine, spec)
        assert await engine.read_deployment(deployment_id) == spec
        assert (await engine.deployments())[deployment_id] == spec
        await write(engine, deployment_id, spec)
        assert await engine.read_deployment(deployment_id) == spec

    door.run(test)


def test_everything_but_the_names_can_be_written_anew(door: Door) -> None:
    async def test(engine: Orchestrator) -> None:
        spec = recurring(description="old")
        deployment_id = await made(engine, spec)
        slug = spec.schedule.slug if spec.schedule else ""
        changed = DeploymentSpec(
            flow=spec.flow,
            name=spec.name,
            entrypoint="flows.prefect_flow.a-B",
            queue="bulk",
            tags=("nightly", "a & b"),
            parameters={"other": 1},
            parameter_schema={"type": "object", "properties": {"other": {"type": "integer", "title": "other"}}},
            schedule=ScheduleSpec(slug=slug, cron=CronSpec(cron="5 4 * * 1", timezone="UTC"), active=False),
        )
        await write(engine, deployment_id, changed)
        assert await engine.read_deployment(deployment_id) == changed
        await write(engine, deployment_id, replace(changed, schedule=None))
        assert await engine.read_deployment(deployment_id) == replace(changed, schedule=None)
        await write(engine, deployment_id, spec)
        assert await engine.read_deployment(deployment_id) == spec

    door.run(test)


def test_a_deployment_that_is_gone_reads_as_none_and_cannot_be_written(door: Door) -> None:
    async def test(engine: Orchestrator) -> None:
        assert await engine.read_deployment(uuid4()) is None
        await engine.remove_deployment(uuid4())
        with pytest.raises(Unavailable):
            await write(engine, uuid4(), base())
        with pytest.raises(Unavailable):
            await engine.create_run(uuid4(), a_run())

    door.run(test)


@pytest.mark.slow
def test_removing_ends_what_a_schedule_has_made_and_that_has_begun_or_waits_for_its_turn(real: Door) -> None:
    async def test(engine: PrefectOrchestrator) -> None:
        hourly = ScheduleSpec(slug=str(uuid4()), cron=CronSpec(cron="0 * * * *", timezone="UTC"), active=True)
        deployment_id = await made(engine, base(schedule=hourly))
        suspended, waits, other, *_ = [run.id for run in await engine.due_runs(deployment_id, FOREVER)]
        held = {"type": "PAUSED", "name": "Suspended", "state_details": {"pause_reschedule": True}}
        slot = {"type": "SCHEDULED", "name": "AwaitingConcurrencySlot"}
        for run_id, state in ((suspended, held), (waits, slot)):
            await raw(engine, "POST", f"/flow_runs/{run_id}/set_state", {"state": state, "force": True})
        await engine.remove_deployment(deployment_id)
        left = await engine.runs([suspended, waits, other])
        assert {run_id: run.state_type for run_id, run in left.items()} == {suspended: "CANCELLED", waits: "CANCELLED"}

    real.run(test)


def test_removing_leaves_nothing_that_could_start(door: Door) -> None:
    async def test(engine: Orchestrator) -> None:
        deployment_id = await made(engine, recurring())
        held = (await engine.create_run(deployment_id, a_run())).id
        released = (await engine.create_run(deployment_id, a_run())).id
        await engine.release(released, door.now() + timedelta(days=1), "go")
        await engine.remove_deployment(deployment_id)
        await engine.remove_deployment(deployment_id)
        assert await engine.read_deployment(deployment_id) is None
        assert deployment_id not in await engine.deployments()
        left = (await engine.runs([held, released])).values()
        assert {run.state_type for run in left} <= ENDED
        assert [run.id for run in await engine.runs_in(HELD) if run.id in (held, released)] == []
        due = await engine.due_runs(deployment_id, FOREVER)
        assert all(run.final for run in due)

    door.run(test)


# Runs


def test_a_held_run_stands_with_what_it_was_given(door: Door) -> None:
    async def test(engine: Orchestrator) -> None:
        deployment_id = await made(engine)
        asked = a_run()
        run_id = (await engine.create_run(deployment_id, asked)).id
        run = await one(engine, run_id)
        assert (run.id, run.deployment_id, run.by_schedule) == (run_id, deployment_id, False)
        assert (run.state_type, run.state_name, run.message) == ("PAUSED", "Suspended", "Held – ü.")
        assert run.held
        assert run.waits
        assert not run.final
        assert run.parameters == PARAMETERS
        assert (run.scheduled_for, run.started, run.ended) == (None, None, None)
        assert abs(run.since - door.now()) < timedelta(minutes=1)
        assert run_id in [run.id for run in await engine.runs_in(HELD)]
        assert run_id not in [run.id for run in await engine.runs_in(GOING)]

    door.run(test)


def test_a_run_can_be_made_in_the_state_that_it_is_to_have(door: Door) -> None:
    async def test(engine: Orchestrator) -> None:
        at = (door.now() + timedelta(days=1)).replace(microsecond=123456)
        spec = a_run(at=at)
        run = await engine.create_run(await made(engine), spec)
        assert (run.key, run.state_type, run.state_name, run.message) == (
            spec.key, "SCHEDULED", "Scheduled", "Held – ü.",
        )  # fmt: skip
        assert (run.scheduled_for, run.parameters, run.waits, run.held) == (at, PARAMETERS, True, False)
        assert await one(engine, run.id) == run

    door.run(test)


@pytest.mark.parametrize("state", ["CRASHED", "CANCELLED"])
def test_a_run_that_has_ended_can_be_started_again(door: Door, state: str) -> None:
    async def test(engine: Orchestrator) -> None:
        run_id = (await engine.create_run(await made(engine), a_run())).id
        await engine.end(run_id, state, "Named so", "why")
        at = (door.now() + timedelta(days=1)).replace(microsecond=123456)
        for _ in range(2):
            await engine.restart(run_id, at, "again – ü")
            run = await one(engine, run_id)
            assert (run.state_type, run.message, run.scheduled_for, run.ended) == ("SCHEDULED", "again – ü", at, None)
        await engine.restart(uuid4(), at, "nobody")

    door.run(test)


@pytest.mark.parametrize(
    ("message", "worker"),
    [
        pytest.param("", "", id="one that does not say"),
        pytest.param("Taken by signoff up host:7", "signoff up host:7", id="one whose runs end with it"),
    ],
)
def test_when_a_worker_took_a_run_is_told_and_which_one(door: Door, message: str, worker: str) -> None:
    async def test(engine: Orchestrator) -> None:
        run_id = (await engine.create_run(await made(engine), a_run())).id
        assert await engine.claim(run_id) is None
        await engine.end(run_id, "PENDING", "Pending", message)
        await force(engine, run_id, "RUNNING", "Running")
        claim = await engine.claim(run_id)
        assert claim is not None
        assert abs(door.now() - claim.at) < timedelta(minutes=1)
        assert (claim.worker, claim.first) == (worker, claim.at)
        await engine.restart(run_id, door.now(), "Started again.")
        await engine.end(run_id, "PENDING", "Pending", message)
        again = await engine.claim(run_id)
        assert again is not None
        assert again.first == claim.at < again.at

    door.run(test)


def test_a_run_that_is_held_goes_on_and_one_that_is_not_says_why_it_does_not(door: Door) -> None:
    async def test(engine: Orchestrator) -> None:
        run_id = (await engine.create_run(await made(engine), a_run())).id
        assert (await one(engine, run_id)).without_process
        assert await engine.resume(run_id, None) == ""
        run = await one(engine, run_id)
        assert (run.state_type, run.state_name) == ("SCHEDULED", "Resuming")
        assert await engine.resume(run_id, None) == "Cannot resume a flow run that is not paused."

    door.run(test)


def test_what_is_late_is_told(door: Door) -> None:
    async def test(engine: Orchestrator) -> None:
        late, waits = [(await engine.create_run(await made(engine), a_run(at=door.now()))).id for _ in range(2)]
        await force(engine, late, "SCHEDULED", "Late")
        found = {run.id for run in await engine.late_runs()}
        assert (late in found, waits in found) == (True, False)

    door.run(test)


def test_when_queues_were_asked_about_is_told(door: Door) -> None:
    async def test(engine: Orchestrator) -> None:
        polls = await engine.queue_polls()
        assert {"default", "bulk"} <= polls.keys()
        assert polls["bulk"] is None, "no worker has asked"

    door.run(test)


def test_a_run_on_a_queue_of_another_pool_stands_there_and_is_one(real: Door) -> None:
    pool = f"other {uuid4()}"

    async def test(engine: PrefectOrchestrator) -> None:
        assert not await engine.has_pool(pool)
        assert await engine.queue_polls(pool) == {}
        await engine.prepare(["gpu"], pool)
        assert not await engine.has_pool(pool), "it is not made"
        await engine._ask("POST", "/work_pools/", {"name": pool, "type": "docker"})
        assert await engine.has_pool(pool)
        await engine.prepare(["gpu"], pool)
        assert {"gpu"} <= (await engine.queue_polls(pool)).keys()
        deployment_id = await made(engine, base(tags=("nightly",)))
        asked = a_run(queue="gpu", pool=pool, tags=("mine",))
        run = await engine.create_run(deployment_id, asked)
        assert (run.pool, run.deployment_id, run.state_type) == (pool, deployment_id, "PAUSED")
        assert (await engine.create_run(deployment_id, asked)).id == run.id == await engine.find_run(asked.key)
        found = await engine.show(run.id)
        assert found is not None
        assert (found["work_queue_name"], found["tags"]) == ("gpu", [TAG, "mine", "nightly"])

    real.run(test)


def test_asking_twice_under_one_key_gives_one_run_also_after_its_end(door: Door) -> None:
    async def test(engine: Orchestrator) -> None:
        deployment_id = await made(engine)
        asked = a_run()
        first = (await engine.create_run(deployment_id, asked)).id
        assert (await engine.create_run(deployment_id, asked)).id == first
        assert await engine.find_run(asked.key) == first
        await engine.end(first, "CANCELLED", "Cancelled", "over")
        assert (await engine.create_run(deployment_id, asked)).id == first
        assert (await one(engine, first)).state_type == "CANCELLED"
        assert (await engine.create_run(deployment_id, a_run())).id != first
        assert await engine.find_run("test:nobody") is None

    door.run(test)


def test_a_released_run_waits_for_its_time_and_can_be_moved(door: Door) -> None:
    async def test(engine: Orchestrator) -> None:
        run_id = (await engine.create_run(await made(engine), a_run())).id
        at = (door.now() + timedelta(days=2)).replace(microsecond=123456)
        for when in (at, at, at + timedelta(hours=1)):
            await engine.release(run_id, when, "Goes – ü.")
            run = await one(engine, run_id)
            assert (run.state_type, run.state_name, run.message) == ("SCHEDULED", "Scheduled", "Goes – ü.")
            assert run.scheduled_for == when
            assert run.waits
            assert not run.held

    door.run(test)


def test_releasing_at_the_same_time_again_does_nothing(door: Door) -> None:
    async def test(engine: Orchestrator) -> None:
        run_id = (await engine.create_run(await made(engine), a_run())).id
        at = door.now() + timedelta(days=2)
        await engine.release(run_id, at, "first")
        before = await one(engine, run_id)
        await engine.release(run_id, at, "second")
        assert await one(engine, run_id) == before

    door.run(test)


@pytest.mark.parametrize("state", sorted(ENDED))
def test_a_run_is_ended_once_and_stays_so(door: Door, state: str) -> None:
    async def test(engine: Orchestrator) -> None:
        run_id = (await engine.create_run(await made(engine), a_run())).id
        await engine.end(run_id, state, "Named so", "why – ü")
        ended = await one(engine, run_id)
        assert (ended.state_type, ended.state_name, ended.message) == (state, "Named so", "why – ü")
        assert ended.final
        assert ended.ended is not None
        await engine.end(run_id, "FAILED" if state != "FAILED" else "CRASHED", "Other", "other")
        await engine.release(run_id, door.now(), "again")
        assert await one(engine, run_id) == ended

    door.run(test)


@pytest.mark.parametrize(
    ("state", "verdict", "why", "called"),
    [
        ("CANCELLED", "Skipped", "A newer one – ü.", None),
        ("CANCELLED", "Denied", "Denied by carol.", "nightly (denied)"),
        ("COMPLETED", "Approved", "Approved by carol.", "nightly (approved)"),
    ],
)
def test_a_run_that_ends_with_a_verdict_tells_it_and_may_get_another_name(
    door: Door, state: str, verdict: str, why: str, called: str | None
) -> None:
    async def test(engine: Orchestrator) -> None:
        before = await engine.create_run(await made(engine), a_run(awaits=True))
        await engine.end(before.id, state, verdict, why, called=called)
        ended = await one(engine, before.id)
        name = {"Skipped": "Skipped", "Denied": "Cancelled", "Approved": "Completed"}[verdict]
        assert (ended.state_type, ended.state_name, ended.message) == (state, name, why)
        assert ended.name == (called or before.name)

    door.run(test)


def test_a_run_is_called_by_another_name(door: Door) -> None:
    async def test(engine: Orchestrator) -> None:
        before = await engine.create_run(await made(engine), a_run())
        await engine.rename(before.id, "nightly – ü")
        assert await one(engine, before.id) == replace(before, name="nightly – ü")
        await engine.rename(uuid4(), "nobody's")

    door.run(test)


def test_runs_that_do_not_exist_are_left_out_and_cannot_be_moved(door: Door) -> None:
    async def test(engine: Orchestrator) -> None:
        nobody = uuid4()
        assert await engine.runs([]) == {}
        assert await engine.runs([nobody]) == {}
        await engine.release(nobody, door.now(), "go")
        await engine.end(nobody, "CANCELLED", "Cancelled", "gone")
        assert await engine.logs(nobody) == []
        assert await engine.variable("nothing") is None
        assert await engine.automation(nobody) is None
        some = (await engine.create_run(await made(engine), a_run())).id
        assert set(await engine.runs([some, nobody])) == {some}

    door.run(test)


# What a held run asks


FORM = {
    "title": "Decision",
    "type": "object",
    "properties": {
        "decision": {"title": "Decision", "enum": ["approve", "deny"], "type": "string", "position": 0},
        "request": {"enum": ["0123456789ab – ü"], "default": "世界 \U0001f680", "position": 1},
        "deep": {"type": "object", "properties": {"list": {"default": [1, 2.5, None, {"a": True}]}}},
    },
    "required": ["decision"],
    "additionalProperties": False,
}


def a_question(**to: Any) -> ApprovalForm:
    asked = ApprovalForm(
        name="Grüße – 世界 (waiting for approval)",
        message="Waits for approval; requested by zoë.",
        parameters=PARAMETERS,
        description='## Zoë\\_s request \U0001f680\n\n````json\n{\n  "a": "–"\n}\n````\n',
        form=FORM,
    )
    return replace(asked, **to)


QUESTIONS = [
    pytest.param(a_question(), id="scripts, nesting and lines"),
    pytest.param(a_question(parameters={}, description="", form={}), id="next to nothing"),
    pytest.param(
        a_question(parameters={"a": '"\\\n\t', "b": "<b>&amp;", "c": [[], {}, ""]}, description="x" * 60_000),
        id="marks of every kind, and a long description",
    ),
    pytest.param(a_question(description='{"not": "a schema"}', form={"title": '"quoted"'}), id="JSON within a text"),
]


async def waiting(engine: Orchestrator, asked: ApprovalForm | None = None) -> UUID:
    """Make a run that waits for a decision, and let it ask."""
    run_id = (await engine.create_run(await made(engine), a_run(awaits=True))).id
    await engine.ask(run_id, asked or a_question())
    return run_id


@pytest.mark.parametrize("asked", QUESTIONS)
def test_what_was_asked_is_read_back_exactly(door: Door, asked: ApprovalForm) -> None:
    async def test(engine: Orchestrator) -> None:
        spec = a_run(awaits=True, name=asked.name, message=asked.message, parameters=asked.parameters)
        run_id = (await engine.create_run(await made(engine), spec)).id
        await engine.ask(run_id, asked)
        assert await engine.asked(run_id) == asked
        run = await one(engine, run_id)
        assert run.held
        assert (run.name, run.message, run.parameters) == (asked.name, asked.message, asked.parameters)

    door.run(test)


def test_a_run_that_waits_for_a_decision_is_held_and_asks_nothing_before_it_is_told_to(door: Door) -> None:
    async def test(engine: Orchestrator) -> None:
        for awaits in (True, False):
            spec = a_run(awaits=awaits)
            run_id = (await engine.create_run(await made(engine), spec)).id
            run = await one(engine, run_id)
            assert (run.state_type, run.state_name, run.message) == ("PAUSED", "Suspended", spec.message)
            assert (run.name, run.parameters, run.scheduled_for) == (spec.name, PARAMETERS, None)
            assert run_id in [run.id for run in await engine.runs_in(HELD)]
            assert await engine.asked(run_id) is None
            assert (await engine.create_run(run.deployment_id, spec)).id == run_id

    door.run(test)


async def hold_only(engine: Orchestrator, run_id: UUID) -> None:
    """Leave it as it is."""


async def release_it(engine: Orchestrator, run_id: UUID) -> None:
    await engine.release(run_id, datetime(2090, 1, 1, tzinfo=UTC), "go")


def by_hand(*states: tuple[str, str]) -> Callable[[Any, UUID], Awaitable[None]]:
    async def put(engine: Any, run_id: UUID) -> None:
        for state, name in states:
            await force(engine, run_id, state, name)

    return put


UNENDED = [
    pytest.param(hold_only, id="held"),
    pytest.param(release_it, id="scheduled"),
    pytest.param(by_hand(("SCHEDULED", "AwaitingRetry")), id="awaiting a retry"),
    pytest.param(by_hand(("PENDING", "Pending")), id="taken by a worker"),
    pytest.param(by_hand(("RUNNING", "Running")), id="running"),
    pytest.param(by_hand(("RUNNING", "Running"), ("CANCELLING", "Cancelling")), id="being cancelled"),
]


@pytest.mark.parametrize(
    ("comes_to_be", "awaits"),
    [
        *(pytest.param(*each.values, True, id=f"made to wait-{each.id}") for each in UNENDED),
        pytest.param(release_it, False, id="made to start-scheduled"),
    ],
)
def test_a_run_that_has_not_ended_is_made_to_stand_and_ask(door: Door, comes_to_be: Any, awaits: bool) -> None:
    async def test(engine: Orchestrator) -> None:
        run_id = (await engine.create_run(await made(engine), a_run(awaits=awaits))).id
        await comes_to_be(engine, run_id)
        asked = a_question(message=a_run().message)
        await engine.ask(run_id, asked)
        run = await one(engine, run_id)
        assert (run.state_type, run.state_name, run.message) == ("PAUSED", "Suspended", asked.message)
        assert run.scheduled_for is None
        assert await engine.asked(run_id) == asked

    door.run(test)


def test_asking_again_changes_nothing(door: Door) -> None:
    async def test(engine: Orchestrator) -> None:
        run_id = await waiting(engine)
        before = await shown(engine, run_id), await one(engine, run_id), await engine.asked(run_id)
        await engine.ask(run_id, a_question())
        assert (await shown(engine, run_id), await one(engine, run_id), await engine.asked(run_id)) == before

    door.run(test)


def test_the_log_of_a_run_that_asks_begins_with_a_notice_and_has_it_once(door: Door) -> None:
    async def test(engine: Orchestrator) -> None:
        asked = a_question(notice="Decide – ü:", page="/here")
        run_id = await waiting(engine, asked)
        for again in (asked, replace(asked, description="# Else"), asked):
            await engine.ask(run_id, again)
        assert [(line.source, line.message) for line in await engine.logs(run_id)] == [(NOTICES, "Decide – ü: /here")]

    door.run(test)


def test_another_question_takes_the_place_of_the_first(door: Door) -> None:
    async def test(engine: Orchestrator) -> None:
        first = a_question(message=a_run().message)
        run_id = await waiting(engine, first)
        other = replace(first, name="another", parameters={"other": [1]}, description="# Else", form={"type": "object"})
        for asked in (other, first):
            await engine.ask(run_id, asked)
            assert await engine.asked(run_id) == asked

    door.run(test)


@pytest.mark.parametrize("state", ["CANCELLED", "FAILED"])
def test_what_has_ended_or_is_not_there_is_not_asked_about(door: Door, state: str) -> None:
    async def test(engine: Orchestrator) -> None:
        run_id = await waiting(engine)
        await engine.end(run_id, state, "Over", "it was so")
        before = await shown(engine, run_id), await one(engine, run_id)
        await engine.ask(run_id, a_question(name="too late", parameters={}))
        assert (await shown(engine, run_id), await one(engine, run_id)) == before
        assert await engine.asked(run_id) is None
        nobody = uuid4()
        await engine.ask(nobody, a_question())
        assert await engine.asked(nobody) is None
        assert await engine.runs([nobody]) == {}
        assert await engine.show(nobody) is None

    door.run(test)


@pytest.mark.parametrize(("name", "found"), [("Grüße – 世界", "Grüße – 世界"), (None, a_question().name)])
def test_a_released_run_asks_no_more_and_has_its_new_name(door: Door, name: str | None, found: str) -> None:
    async def test(engine: Orchestrator) -> None:
        run_id = await waiting(engine)
        at = door.now() + timedelta(days=2)
        for _ in range(2):
            await engine.release(run_id, at, "Approved by bob: fine – ü", name=name)
            run = await one(engine, run_id)
            assert (run.name, run.state_type, run.message) == (found, "SCHEDULED", "Approved by bob: fine – ü")
            assert (run.scheduled_for, run.parameters) == (at, PARAMETERS)
            assert await engine.asked(run_id) is None
        await engine.ask(run_id, a_question())
        assert await engine.asked(run_id) == a_question()

    door.run(test)


def test_a_run_that_a_hand_let_start_at_that_time_has_its_new_name_too(door: Door) -> None:
    async def test(engine: Orchestrator) -> None:
        run_id = await waiting(engine)
        at = door.now() + timedelta(days=2)
        await engine.release(run_id, at, "by hand")
        await engine.release(run_id, at, "Approved by bob.", name="approved")
        assert (await one(engine, run_id)).name == "approved"

    door.run(test)


def test_a_run_is_shown_as_prefect_shows_it(door: Door) -> None:
    async def test(engine: Orchestrator) -> None:
        run_id = await waiting(engine)
        row = await shown(engine, run_id)
        assert (row["id"], row["name"], row["state"]["type"]) == (str(run_id), a_question().name, "PAUSED")
        assert await engine.show(uuid4()) is None

    door.run(test)


async def shown(engine: Orchestrator, run_id: UUID) -> dict[str, Any]:
    """Return a run as Prefect shows it, less what it reckons anew each time."""
    row = await engine.show(run_id)
    assert row is not None
    return {name: value for name, value in row.items() if not name.startswith("estimated_")}


async def force(engine: Any, run_id: UUID, state: str, name: str) -> None:
    """Let a hand, or a worker, put a run into a state, in whichever Prefect it is."""
    if isinstance(engine, FakeEngine):
        engine.set_state(run_id, state, name)
    else:
        body = {"state": {"type": state, "name": name}, "force": True}
        await raw(engine, "POST", f"/flow_runs/{run_id}/set_state", body)


def test_due_runs_are_those_of_one_deployment_up_to_a_time_the_newest_first(door: Door) -> None:
    async def test(engine: Orchestrator) -> None:
        deployment_id, other = await made(engine), await made(engine)
        mine = []
        for _ in range(3):
            mine.append((await engine.create_run(deployment_id, a_run())).id)
            await asyncio.sleep(0.01)
        await engine.create_run(other, a_run())
        times = {run.id: run.expected_start for run in (await engine.runs(mine)).values()}
        due = await engine.due_runs(deployment_id, max(times.values()))
        assert [run.id for run in due] == mine[::-1]
        until = sorted(times.values())[1]
        assert [run.id for run in await engine.due_runs(deployment_id, until)] == mine[1::-1]
        assert await engine.due_runs(deployment_id, min(times.values()) - timedelta(seconds=1)) == []
        assert await engine.due_runs(uuid4(), door.now()) == []

    door.run(test)


def test_a_queue_that_nobody_serves_has_no_worker(door: Door) -> None:
    async def test(engine: Orchestrator) -> None:
        assert not await engine.has_worker("bulk")
        assert not await engine.has_worker("no such queue")
        assert not await engine.has_worker("a/b?c#ü")

    door.run(test)


# What only the real one can show


def raw(engine: PrefectOrchestrator, method: str, path: str, body: Any = None) -> Awaitable[Any]:
    return engine._ask(method, path, body)


@pytest.mark.slow
def test_this_prefect_yields_runs(real: Door) -> None:
    async def test(engine: PrefectOrchestrator) -> None:
        assert await engine.yields_runs()
        assert await engine.find_deployment(prefect_client.CHECK, prefect_client.CHECK) is None

    real.run(test)


@pytest.mark.slow
def test_writing_an_active_schedule_yields_its_runs_at_once_with_their_nominal_times(real: Door) -> None:
    async def test(engine: PrefectOrchestrator) -> None:
        spec = recurring()
        deployment_id = await made(engine, spec)
        runs = await engine.due_runs(deployment_id, FOREVER)
        newest, *_ = runs
        assert all(run.by_schedule and run.state_type == "SCHEDULED" for run in runs)
        assert all(run.parameters == PARAMETERS for run in runs)
        assert newest.scheduled_for == newest.expected_start
        assert newest.expected_start.astimezone(UTC).strftime("%m-%d %H:%M") == "12-31 23:00"
        await write(engine, deployment_id, replace(spec, parameters={"who": "new"}))
        again = await engine.due_runs(deployment_id, FOREVER)
        assert [run.expected_start for run in again] == [run.expected_start for run in runs]
        assert all(run.parameters == {"who": "new"} for run in again)
        off = replace(spec, schedule=replace(spec.schedule, active=False))  # type: ignore[type-var]
        await write(engine, deployment_id, off)
        assert await engine.due_runs(deployment_id, FOREVER) == []

    real.run(test)


@pytest.mark.slow
def test_writing_one_deployment_leaves_the_firings_of_others(real: Door) -> None:
    async def test(engine: PrefectOrchestrator) -> None:
        flow = f"Contract {uuid4()}"
        one_spec, other_spec = (replace(recurring(flow=flow), name=name) for name in ("one", "other"))
        one_id, other_id = await made(engine, one_spec), await made(engine, other_spec)
        before = await engine.due_runs(other_id, FOREVER)
        await write(engine, one_id, replace(one_spec, queue="bulk"))
        await engine.remove_deployment(one_id)
        assert before
        assert await engine.due_runs(other_id, FOREVER) == before

    real.run(test)


MEDDLING = [
    {"job_variables": {"command": "true"}},
    {"pull_steps": [{"prefect.deployments.steps.run_shell_script": {"script": "true"}}]},
    {"paused": True},
    {"path": "/tmp/evil"},
    {"concurrency_limit": 1},
    {"tags": []},
    {"entrypoint": "evil.py:run"},
    {"enforce_parameter_schema": True},
]


@pytest.mark.slow
def test_what_a_hand_set_on_a_deployment_is_seen_and_written_away(real: Door) -> None:
    async def test(engine: PrefectOrchestrator) -> None:
        spec = base()
        deployment_id = await made(engine, spec)
        for meddling in MEDDLING:
            await raw(engine, "PATCH", f"/deployments/{deployment_id}", {"tags": [TAG], **meddling})
            assert await engine.read_deployment(deployment_id) != spec, meddling
            await write(engine, deployment_id, spec)
            assert await engine.read_deployment(deployment_id) == spec, meddling
        assert (await engine.deployments())[deployment_id] == spec

    real.run(test)


@pytest.mark.slow
def test_what_a_hand_set_on_a_schedule_is_seen_and_written_away(real: Door) -> None:
    async def test(engine: PrefectOrchestrator) -> None:
        spec = recurring()
        deployment_id = await made(engine, spec)
        path = f"/deployments/{deployment_id}/schedules"
        [schedule] = await raw(engine, "GET", path)
        second = {"schedule": {"interval": 3600}, "active": True}
        for method, where, body in (
            ("PATCH", f"{path}/{schedule['id']}", {"active": False}),
            ("PATCH", f"{path}/{schedule['id']}", {"parameters": {"who": "eve"}, "active": True}),
            ("PATCH", f"{path}/{schedule['id']}", {"schedule": {"interval": 3600}, "active": True}),
            ("POST", path, [second]),
            ("DELETE", f"{path}/{schedule['id']}", None),
        ):
            await raw(engine, method, where, body)
            assert await engine.read_deployment(deployment_id) != spec
            await write(engine, deployment_id, spec)
            assert await engine.read_deployment(deployment_id) == spec
            [schedule] = await raw(engine, "GET", path)

    real.run(test)


@pytest.mark.slow
def test_a_hand_that_deletes_a_deployment_leaves_held_runs_only(real: Door) -> None:
    async def test(engine: PrefectOrchestrator) -> None:
        deployment_id = await made(engine)
        ids = [(await engine.create_run(deployment_id, a_run())).id for _ in range(2)]
        await engine.release(ids[1], real.now() + timedelta(days=1), "go")
        await raw(engine, "DELETE", f"/deployments/{deployment_id}")
        assert set(await engine.runs(ids)) == {ids[0]}
        assert (await one(engine, ids[0])).held

    real.run(test)


# What a hand does to a question


def patched(**to: Any) -> Callable[[PrefectOrchestrator, UUID], Awaitable[None]]:
    async def patch(engine: PrefectOrchestrator, run_id: UUID) -> None:
        await raw(engine, "PATCH", f"/flow_runs/{run_id}", to)

    return patch


def written(key: str, value: str | None) -> Callable[[PrefectOrchestrator, UUID], Awaitable[None]]:
    """Return a hand that writes one of a run's inputs over, or deletes it."""

    async def write(engine: PrefectOrchestrator, run_id: UUID) -> None:
        path = f"/flow_runs/{run_id}/input"
        if key in await inputs(engine, run_id):
            await raw(engine, "DELETE", f"{path}/{key}")
        if value is not None:
            await raw(engine, "POST", path, {"key": key, "value": value})

    return write


def stood(**details: Any) -> Callable[[PrefectOrchestrator, UUID], Awaitable[None]]:
    """Return a hand that suspends a run with details of its own."""

    async def suspend(engine: PrefectOrchestrator, run_id: UUID) -> None:
        state = {"type": "PAUSED", "name": "Suspended", "message": a_run().message, "state_details": details}
        await raw(engine, "POST", f"/flow_runs/{run_id}/set_state", {"state": state, "force": True})

    return suspend


async def inputs(engine: PrefectOrchestrator, run_id: UUID) -> dict[str, str]:
    """Return what Prefect keeps beside a run, whatever it is called."""
    rows = await raw(engine, "POST", f"/flow_runs/{run_id}/input/filter", {"prefix": "", "limit": 200})
    return {row["key"]: row["value"] for row in rows}


DESCRIPTION, SCHEMA, RESPONSE = KEYS["description"], KEYS["schema"], KEYS["response"]
OTHER_KEYS = {**KEYS, "schema": "evil-schema"}

HANDS: dict[str, Callable[[Any, UUID], Awaitable[None]]] = {
    "another name": patched(name="harmless"),
    "other parameters": patched(parameters={"count": 99}),
    "a parameter more": patched(parameters={**PARAMETERS, "extra": 1}),
    "the tags taken away": patched(tags=[]),
    "a tag more": patched(tags=[TAG, AWAITING, "mine"]),
    "another description": written(DESCRIPTION, '"## Harmless"'),
    "a description that is no JSON": written(DESCRIPTION, "no JSON"),
    "a description nested too deep": written(DESCRIPTION, "[" * 20_000),
    "no description": written(DESCRIPTION, None),
    "another form": written(SCHEMA, "{}"),
    "no form": written(SCHEMA, None),
    "a response planted": written(RESPONSE, '{"decision": "approve"}'),
    "something beside the question": written("approval-something", "1"),
    "suspended without a question": stood(),
    "suspended with a form of its own": stood(run_input_keyset=OTHER_KEYS),
    "paused as if within its process": by_hand(("PAUSED", "Paused")),
    "let run": by_hand(("RUNNING", "Running")),
}


@pytest.mark.slow
def test_what_a_hand_did_to_a_question_is_seen_and_put_right(real: Door) -> None:
    async def test(engine: PrefectOrchestrator) -> None:
        asked = a_question(message=a_run().message, tags=("nightly",))
        run_id = await waiting(engine, asked)
        before, kept = await shown(engine, run_id), await inputs(engine, run_id)
        assert set(kept) == {DESCRIPTION, SCHEMA}
        for did, hand in HANDS.items():
            await hand(engine, run_id)
            await engine.ask(run_id, asked)
            row = await shown(engine, run_id)
            assert await inputs(engine, run_id) == kept, did
            assert (row["name"], row["parameters"]) == (before["name"], before["parameters"]), did
            assert row["tags"] == [TAG, AWAITING, "nightly"], did
            details = row["state"]["state_details"]
            assert (details["pause_key"], details["pause_reschedule"]) == ("approval", True), did
            assert details["run_input_keyset"] == KEYS, did
            assert await engine.asked(run_id) == asked, did
            await engine.ask(run_id, asked)
            assert await shown(engine, run_id) == row, did

    real.run(test)


@pytest.mark.slow
def test_the_message_of_a_run_that_a_hand_suspended_is_put_right_too(real: Door) -> None:
    async def test(engine: PrefectOrchestrator) -> None:
        run_id = await waiting(engine)
        await stood(pause_key="approval", run_input_keyset=KEYS)(engine, run_id)
        await engine.ask(run_id, a_question())
        assert (await one(engine, run_id)).message == a_question().message

    real.run(test)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("hand", "seen"),
    [
        pytest.param(patched(name="harmless"), {"name": "harmless"}, id="another name"),
        pytest.param(patched(parameters={"count": 9}), {"parameters": {"count": 9}}, id="other parameters"),
        pytest.param(written(DESCRIPTION, '"## Else"'), {"description": "## Else"}, id="another description"),
        pytest.param(written(SCHEMA, '{"a": 1}'), {"form": {"a": 1}}, id="another form"),
        pytest.param(written(RESPONSE, '{"decision": "approve"}'), {}, id="a response planted: never read"),
    ],
)
def test_what_a_hand_wrote_over_is_what_is_asked(real: Door, hand: Any, seen: dict[str, Any]) -> None:
    async def test(engine: PrefectOrchestrator) -> None:
        asked = a_question(message=a_run().message)
        run_id = await waiting(engine, asked)
        await hand(engine, run_id)
        assert await engine.asked(run_id) == replace(asked, **seen)

    real.run(test)


@pytest.mark.slow
@pytest.mark.parametrize(
    "hand",
    [
        pytest.param(written(DESCRIPTION, "no JSON"), id="a description that is no JSON"),
        pytest.param(written(DESCRIPTION, "[" * 20_000), id="a description nested too deep"),
        pytest.param(written(SCHEMA, None), id="no form"),
        pytest.param(stood(run_input_keyset=OTHER_KEYS), id="a form of its own"),
        pytest.param(by_hand(("SCHEDULED", "Scheduled")), id="let start"),
    ],
)
def test_what_nobody_could_answer_is_no_question(real: Door, hand: Any) -> None:
    async def test(engine: PrefectOrchestrator) -> None:
        run_id = await waiting(engine)
        await hand(engine, run_id)
        assert await engine.asked(run_id) is None

    real.run(test)


@pytest.mark.slow
def test_what_waits_for_a_decision_is_found_by_its_tag_until_it_is_released(real: Door) -> None:
    async def test(engine: PrefectOrchestrator) -> None:
        async def tagged() -> set[str]:
            rows = await raw(engine, "POST", "/flow_runs/filter", {"flow_runs": {"tags": {"all_": [AWAITING]}}})
            return {row["id"] for row in rows}

        waits = (await engine.create_run(await made(engine), a_run(awaits=True, tags=("nightly", AWAITING)))).id
        starts = (await engine.create_run(await made(engine), a_run())).id
        assert str(waits) in await tagged()
        assert str(starts) not in await tagged()
        await engine.ask(starts, a_question())
        assert str(starts) in await tagged()
        for run_id, tags in ((waits, [TAG, "nightly"]), (starts, [TAG])):
            await engine.release(run_id, real.now() + timedelta(days=1), "go", name="gone")
            row = await shown(engine, run_id)
            assert (row["name"], row["tags"]) == ("gone", tags)
            assert str(run_id) not in await tagged()

    real.run(test)


@pytest.mark.slow
def test_what_a_hand_let_start_at_that_time_loses_its_tag_too(real: Door) -> None:
    async def test(engine: PrefectOrchestrator) -> None:
        run_id = await waiting(engine)
        at = real.now() + timedelta(days=2)
        state = {"type": "SCHEDULED", "name": "Scheduled", "state_details": {"scheduled_time": at.isoformat()}}
        await raw(engine, "POST", f"/flow_runs/{run_id}/set_state", {"state": state, "force": True})
        await engine.release(run_id, at, "Approved by bob.", name="approved")
        row = await shown(engine, run_id)
        assert (row["name"], row["tags"]) == ("approved", [TAG])

    real.run(test)


# What is announced


def an_announcement(run_id: UUID, **to: Any) -> Announcement:
    it = Announcement(
        id=uuid4(),
        event="signoff.approval.dry-run",
        occurred=datetime.now(UTC),
        resource=(f"signoff.scheduled-job.{uuid4()}", "Größe – 世界"),
        related={"flow-run": f"prefect.flow-run.{run_id}", "deployment": f"prefect.deployment.{uuid4()}"},
        payload={"actor": "zoë", "number": 7, "comment": "fine – ü", "force": True},
    )
    return replace(it, **to)


def test_announcing_again_and_nothing_at_all_is_no_error(door: Door) -> None:
    async def test(engine: Orchestrator) -> None:
        it = an_announcement(uuid4())
        for batch in ([it], [it, an_announcement(uuid4())], [it], []):
            await engine.announce(batch)

    door.run(test)


async def feed(engine: PrefectOrchestrator, ids: list[UUID], last: UUID) -> list[Any]:
    """Return these events of Prefect's feed, once the last of all has come."""
    since = (datetime.now(UTC) - timedelta(hours=1)).isoformat()
    body = {"filter": {"id": {"id": [str(each) for each in ids]}, "occurred": {"since": since}}, "limit": 50}
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        events: list[Any] = (await raw(engine, "POST", "/events/filter", body))["events"]
        if str(last) in {event["id"] for event in events}:
            return events
        await asyncio.sleep(0.2)
    raise AssertionError(f"Prefect has no event {last}.")


@pytest.mark.slow
def test_what_is_announced_reaches_the_feed_once_with_what_it_concerns(real: Door) -> None:
    async def test(engine: PrefectOrchestrator) -> None:
        run_id = await waiting(engine)
        start = datetime.now(UTC)
        one_, other, bare = (an_announcement(run_id, occurred=start + timedelta(seconds=n)) for n in range(3))
        bare = replace(bare, resource=(f"signoff.flow-run.{run_id}", ""), related={}, payload={})
        await engine.announce([one_, other])
        await feed(engine, [one_.id, other.id], other.id)
        # What is told once more would come before what is told after it.
        await engine.announce([one_, other, bare])
        events = await feed(engine, [one_.id, other.id, bare.id], bare.id)
        assert [event["id"] for event in events] == [str(bare.id), str(other.id), str(one_.id)]
        told = events[-1]
        assert told["event"] == one_.event
        assert datetime.fromisoformat(told["occurred"]) == one_.occurred
        resource, name = one_.resource
        assert told["resource"] == {"prefect.resource.id": resource, "prefect.resource.name": name}
        assert told["payload"] == one_.payload
        assert {thing["prefect.resource.role"]: thing["prefect.resource.id"] for thing in told["related"]} == (
            one_.related
        )

    real.run(test)


@pytest.mark.slow
def test_an_event_is_found_by_the_run_that_it_concerns(real: Door) -> None:
    async def test(engine: PrefectOrchestrator) -> None:
        run_id = await waiting(engine)
        it = an_announcement(run_id)
        await engine.announce([it])
        await feed(engine, [it.id], it.id)
        body = {"filter": {"event": {"prefix": ["signoff."]}, "any_resource": {"id": [f"prefect.flow-run.{run_id}"]}}}
        assert [event["id"] for event in (await raw(engine, "POST", "/events/filter", body))["events"]] == [str(it.id)]

    real.run(test)


def test_a_variable_of_prefects_is_read(real: Door) -> None:
    async def test(engine: PrefectOrchestrator) -> None:
        await raw(engine, "POST", "/variables/", {"name": "sites", "value": [{"id": 1}]})
        assert await engine.variable("sites") == [{"id": 1}]

    real.run(test)


@pytest.mark.slow
def test_logs_are_read_whole_and_in_order(real: Door) -> None:
    async def test(engine: PrefectOrchestrator) -> None:
        run_id = (await engine.create_run(await made(engine), a_run())).id
        start = real.now()
        lines = [
            {
                "name": "prefect.flow_runs",
                "level": 40 if number == 7 else 20,
                "message": f"line {number} ü",
                "timestamp": (start + timedelta(milliseconds=number)).isoformat(),
                "flow_run_id": str(run_id),
            }
            for number in range(250)
        ]
        await raw(engine, "POST", "/logs/", lines)
        for _ in range(600):
            read = await engine.logs(run_id)
            if len(read) == 250:
                break
            await asyncio.sleep(0.1)
        assert [line.message for line in read] == [f"line {number} ü" for number in range(250)]
        assert (read[0].level, read[0].source) == (20, "prefect.flow_runs")
        for part, expected in (
            (LogPart(skip=249), read[249:]),
            (LogPart(skip=10, limit=210), read[10:220]),
            (LogPart(skip=1, limit=2, from_end=True), read[247:249]),
            (LogPart(least=40), read[7:8]),
            (LogPart(since=read[248].created), read[248:]),
            (LogPart(limit=0), []),
        ):
            assert await engine.logs(run_id, part) == expected, part

    real.run(test)


@pytest.mark.slow
def test_the_log_of_a_run_has_what_the_flows_say_that_it_calls_and_not_what_it_requests(real: Door) -> None:
    async def called_by(engine: PrefectOrchestrator, run_id: UUID, **to: Any) -> UUID:
        task = {"flow_run_id": str(run_id), "task_key": "flow", "dynamic_key": str(uuid4())}
        parent = await raw(engine, "POST", "/task_runs/", task)
        flow = await raw(engine, "POST", "/flows/", {"name": f"called {uuid4()}"})
        run = {"flow_id": flow["id"], "parent_task_run_id": parent["id"], "state": {"type": "RUNNING"}, **to}
        return UUID((await raw(engine, "POST", "/flow_runs/", run))["id"])

    async def test(engine: PrefectOrchestrator) -> None:
        deployment_id = await made(engine)
        run_id = (await engine.create_run(deployment_id, a_run())).id
        called = await called_by(engine, run_id)
        deeper = await called_by(engine, called)
        requested = await called_by(engine, run_id, deployment_id=str(deployment_id))
        lines = [
            {"name": "x", "level": 20, "message": name, "timestamp": real.now().isoformat(), "flow_run_id": str(each)}
            for name, each in (("first", run_id), ("called", called), ("deeper", deeper), ("requested", requested))
        ]
        await raw(engine, "POST", "/logs/", lines)
        for _ in range(600):
            if len(read := await engine.logs(run_id)) == 3:
                break
            await asyncio.sleep(0.1)
        assert [line.message for line in read] == ["first", "called", "deeper"]

    real.run(test)


@pytest.mark.slow
def test_the_live_worker_is_seen_on_its_pool(real: Door, request: pytest.FixtureRequest) -> None:
    async def test(engine: PrefectOrchestrator) -> None:
        ours = PrefectOrchestrator(engine._client, pool="signoff")
        assert await ours.has_worker("default")

    real.run(test)


# Prefect that does not answer


def answering(*answers: httpx.Response | Exception) -> tuple[PrefectOrchestrator, list[httpx.Request]]:
    asked: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request)
        it = answers[min(len(asked), len(answers)) - 1]
        if isinstance(it, Exception):
            raise it
        return it

    client = httpx.AsyncClient(transport=httpx.MockTransport(answer), base_url="http://prefect/api")
    return PrefectOrchestrator(client, pool=POOL), asked


@pytest.mark.parametrize(
    ("made", "type_", "template", "written"),
    [
        pytest.param(201, "process", {}, True, id="a new pool"),
        pytest.param(409, "process", {}, True, id="one that no worker has served yet"),
        pytest.param(409, "process", {"variables": {}}, False, id="one that says it already"),
        pytest.param(409, "docker", {}, False, id="one of another type"),
    ],
)
def test_how_runs_of_the_pool_start_is_not_left_to_a_worker_which_may_not_write_it(
    made: int, type_: str, template: dict[str, Any], written: bool
) -> None:
    told: list[Any] = []
    pool = {"type": type_, "base_job_template": template}

    def answer(request: httpx.Request) -> httpx.Response:
        match request.method, request.url.path:
            case "POST", "/api/work_pools/":
                return httpx.Response(made, json=pool)
            case "GET", _:
                return httpx.Response(200, json=pool)
            case "PATCH", _:
                told.append(json.loads(request.content))
                return httpx.Response(204)
            case _:
                return httpx.Response(200, json=[])

    client = httpx.AsyncClient(transport=httpx.MockTransport(answer), base_url="http://prefect/api")
    asyncio.run(PrefectOrchestrator(client, pool=POOL).prepare([]))
    assert ["command" in each["base_job_template"]["job_configuration"] for each in told] == [True] * written


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    async def no_sleep(_seconds: float) -> None:
        return

    monkeypatch.setattr(asyncio, "sleep", no_sleep)


@pytest.mark.parametrize(
    "fault", [httpx.Response(503), httpx.Response(429), httpx.ConnectError("no"), httpx.ReadTimeout("slow")], ids=repr
)
def test_a_busy_prefect_is_asked_again_and_in_the_end_is_unavailable(impatient: None, fault: Any) -> None:
    engine, asked = answering(fault, fault, httpx.Response(200, json=[]))
    assert asyncio.run(engine.runs([uuid4()])) == {}
    assert len(asked) == 3
    engine, asked = answering(fault)
    with pytest.raises(Unavailable, match="Prefect does not answer"):
        asyncio.run(engine.runs([uuid4()]))
    assert len(asked) == prefect_client.TRIES


def test_what_prefect_refuses_is_not_asked_again(impatient: None) -> None:
    engine, asked = answering(httpx.Response(422, json={"detail": "no"}))
    with pytest.raises(Unavailable):
        asyncio.run(engine.runs([uuid4()]))
    assert len(asked) == 1


# The order of what is written, and a run that goes meanwhile


def a_row() -> dict[str, Any]:
    """Return a run as Prefect shows it, late and never asked about."""
    state = {"type": "SCHEDULED", "name": "Late", "message": "", "timestamp": "2026-05-04T12:00:00Z"}
    return {
        "id": str(uuid4()),
        "idempotency_key": None,
        "name": "as it was",
        "tags": [TAG],
        "parameters": {},
        "deployment_id": None,
        "state": {**state, "state_details": {}},
        "expected_start_time": "2026-05-04T12:00:00Z",
        "next_scheduled_start_time": "2026-05-04T12:00:00Z",
        "auto_scheduled": False,
        "created_by": None,
        "start_time": None,
        "end_time": None,
    }


def with_run(row: dict[str, Any], status: int) -> tuple[PrefectOrchestrator, list[str]]:
    """Return an engine over a Prefect that has this run, and answers whatever is written with that status."""
    written: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        if request.method == "GET":
            return httpx.Response(200, json=row)
        if request.url.path.endswith("/input/filter"):
            return httpx.Response(200, json=[])
        written.append(f"{request.method} {request.url.path.removeprefix('/api/flow_runs/')}")
        return httpx.Response(status)

    client = httpx.AsyncClient(transport=httpx.MockTransport(answer), base_url="http://prefect/api")
    return PrefectOrchestrator(client, pool=POOL), written


@pytest.mark.parametrize("status", [pytest.param(204, id="it is there"), pytest.param(404, id="it goes meanwhile")])
def test_what_people_read_is_written_before_the_state_that_they_act_on(status: int) -> None:
    row = a_row()
    run_id = UUID(row["id"])
    engine, written = with_run(row, status)
    asyncio.run(engine.ask(run_id, a_question()))
    path = f"POST {run_id}"
    assert written == [f"PATCH {run_id}", f"{path}/input", f"{path}/input", f"{path}/set_state"]
    engine, written = with_run(row, status)
    asyncio.run(engine.release(run_id, datetime(2026, 6, 1, tzinfo=UTC), "go", name="new"))
    assert written == [f"PATCH {run_id}", f"{path}/set_state"]


REFUSAL = {
    "exception_message": "Invalid request received.",
    "exception_detail": [
        {"loc": ["body", "name"], "type": "string_too_long", "msg": "hunter2 is too long", "input": "hunter2"}
    ],
    "request_body": {"parameters": {"password": "hunter2"}},
}


@pytest.mark.parametrize(
    ("refusal", "logged"),
    [
        pytest.param({"json": REFUSAL}, "body.name: string_too_long", id="what does not fit, and where"),
        pytest.param({"json": {"detail": "hunter2"}}, "", id="a sentence"),
        pytest.param({"json": ["hunter2"]}, "", id="a list"),
        pytest.param({"json": {"exception_detail": ["hunter2"]}}, "", id="what does not look like Prefect"),
        pytest.param({"text": "<hunter2>"}, "", id="no JSON"),
    ],
)
def test_what_prefect_repeats_of_what_it_refuses_is_not_logged(
    caplog: pytest.LogCaptureFixture, refusal: dict[str, Any], logged: str
) -> None:
    engine, _ = answering(httpx.Response(422, **refusal))
    with pytest.raises(Unavailable, match="the server's log says why"):
        asyncio.run(engine.find_run("key"))
    assert caplog.messages == [f"Prefect refused POST /flow_runs/filter: 422 {logged}"]


RECORDED = NonRecordingSpan(SpanContext(trace_id=0xABC, span_id=0xDEF, is_remote=True, trace_flags=TraceFlags(1)))
TRACEPARENT = "00-00000000000000000000000000000abc-0000000000000def-01"


@pytest.mark.parametrize(
    ("request_id", "span", "labels"),
    [
        pytest.param("r-1", INVALID_SPAN, {"signoff.request-id": "r-1"}, id="no traces"),
        pytest.param("", RECORDED, {LABELS_TRACEPARENT_KEY: TRACEPARENT}, id="by itself, recorded"),
        pytest.param("", INVALID_SPAN, None, id="neither"),
    ],
)
def test_a_run_names_the_request_that_has_asked_for_it_and_its_trace(
    request_id: str, span: Span, labels: dict[str, str] | None
) -> None:
    engine, asked = answering(httpx.Response(422, json={}))
    with within_request(request_id), use_span(span), pytest.raises(Unavailable):
        asyncio.run(engine.create_run(uuid4(), a_run()))
    assert [json.loads(request.content).get("labels") for request in asked] == [labels]
