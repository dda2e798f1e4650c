"""One suite of promises (``ports.Engine``), kept by the fake of the tests and by the real Prefect alike.

The real one is a server in a process of its own, spoken to through its API as an administrator. Its scheduler works
meanwhile, so every schedule here fires far from now.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest

from api_shim import prefect_engine
from api_shim.ports import GOING, HELD, DeploymentSpec, Engine, RunSpec, ScheduleSpec
from api_shim.prefect_engine import PrefectEngine
from api_shim.prefect_rows import TAG
from api_shim.recurrence import CronSpec
from approval_gate.errors import Unavailable
from flows.registry import load
from tests.fakes import FakeEngine

POOL = "contract-tests"
YEARLY = CronSpec(cron="0 0 1 1 *", timezone="Europe/Berlin")
PARAMETERS = {"who": "Zoë – 世界", "count": 2, "ratio": 1.5, "none": None, "deep": {"list": [1, {"a": True}]}}
ENDED = {"COMPLETED", "FAILED", "CRASHED", "CANCELLED"}


@dataclass(frozen=True)
class Door:
    """How a test gets at an engine: each use opens it anew, in a loop of its own."""

    opened: Callable[[], Any]
    now: Callable[[], datetime]

    def run(self, test: Callable[[Any], Awaitable[Any]]) -> Any:
        async def within() -> Any:
            async with self.opened() as engine:
                await engine.prepare(["default", "bulk"])
                return await test(engine)

        return asyncio.run(within())


@pytest.fixture
def real(request: pytest.FixtureRequest) -> Door:
    """The real Prefect."""
    live = request.getfixturevalue("live")

    @asynccontextmanager
    async def opened() -> AsyncIterator[PrefectEngine]:
        sign_in = ("admin", live.key("admin"))
        async with httpx.AsyncClient(base_url=f"{live.origin}/api", auth=sign_in, timeout=30) as client:
            yield PrefectEngine(client, pool=POOL)

    return Door(opened, lambda: datetime.now(UTC))


@pytest.fixture
def fake() -> Door:
    engine = FakeEngine(clock=lambda: datetime.now(UTC))

    @asynccontextmanager
    async def opened() -> AsyncIterator[FakeEngine]:
        yield engine

    return Door(opened, engine.clock)


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


async def made(engine: Engine, spec: DeploymentSpec | None = None) -> UUID:
    spec = spec or base()
    deployment_id = await engine.create_deployment(spec)
    await engine.write_deployment(deployment_id, spec)
    return deployment_id


async def one(engine: Engine, run_id: UUID) -> Any:
    return (await engine.runs([run_id]))[run_id]


# Deployments


def test_a_deployment_is_made_inert_and_once(door: Door) -> None:
    async def test(engine: Engine) -> None:
        spec = recurring()
        first = await engine.create_deployment(spec)
        found = await engine.read_deployment(first)
        assert found is not None
        assert found.schedule == replace(spec.schedule, active=False)  # type: ignore[type-var]
        assert await engine.due_runs(first, datetime(2100, 1, 1, tzinfo=UTC)) == []
        assert await engine.create_deployment(spec) == first
        assert await engine.find_deployment(spec.flow, spec.name) == first
        assert await engine.find_deployment(spec.flow, "another") is None
        assert await engine.find_deployment("another", spec.name) is None

    door.run(test)


def test_making_again_what_is_active_leaves_it_active(door: Door) -> None:
    async def test(engine: Engine) -> None:
        spec = recurring()
        deployment_id = await made(engine, spec)
        assert await engine.create_deployment(replace(spec, queue="bulk")) == deployment_id
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
        pytest.param(base(description="# Ünïcode\n\n* a\n* b", queue="bulk"), id="with a description and a queue"),
        pytest.param(base(flow=f"Größe – 世界 {uuid4()}"), id="of a flow with a name of other scripts"),
        pytest.param(base(parameter_schema=every_variable()), id="with the form of a real Job"),
        pytest.param(recurring(), id="with an active schedule"),
        pytest.param(recurring(active=False), id="with an inactive schedule"),
        pytest.param(recurring(parameter_schema=every_variable()), id="with a schedule, inputs and a form"),
        pytest.param(base(parameters={"whole": 2.0, "big": 1e22, "text": ""}), id="with numbers"),
    ],
)
def test_what_is_written_is_read_back_the_same(door: Door, spec: DeploymentSpec) -> None:
    async def test(engine: Engine) -> None:
        deployment_id = await made(engine, spec)
        assert await engine.read_deployment(deployment_id) == spec
        assert (await engine.deployments())[deployment_id] == spec
        await engine.write_deployment(deployment_id, spec)
        assert await engine.read_deployment(deployment_id) == spec

    door.run(test)


def test_everything_but_the_names_can_be_written_anew(door: Door) -> None:
    async def test(engine: Engine) -> None:
        spec = recurring(description="old")
        deployment_id = await made(engine, spec)
        slug = spec.schedule.slug if spec.schedule else ""
        changed = DeploymentSpec(
            flow=spec.flow,
            name=spec.name,
            entrypoint="flows.prefect_flow.a-B",
            queue="bulk",
            parameters={"other": 1},
            parameter_schema={"type": "object", "properties": {"other": {"type": "integer", "title": "other"}}},
            schedule=ScheduleSpec(slug=slug, cron=CronSpec(cron="5 4 * * 1", timezone="UTC"), active=False),
        )
        await engine.write_deployment(deployment_id, changed)
        assert await engine.read_deployment(deployment_id) == changed
        await engine.write_deployment(deployment_id, replace(changed, schedule=None))
        assert await engine.read_deployment(deployment_id) == replace(changed, schedule=None)
        await engine.write_deployment(deployment_id, spec)
        assert await engine.read_deployment(deployment_id) == spec

    door.run(test)


def test_a_deployment_that_is_gone_reads_as_none_and_cannot_be_written(door: Door) -> None:
    async def test(engine: Engine) -> None:
        assert await engine.read_deployment(uuid4()) is None
        await engine.remove_deployment(uuid4())
        with pytest.raises(Unavailable):
            await engine.write_deployment(uuid4(), base())
        with pytest.raises(Unavailable):
            await engine.hold(uuid4(), a_run())

    door.run(test)


def test_removing_leaves_nothing_that_could_start(door: Door) -> None:
    async def test(engine: Engine) -> None:
        deployment_id = await made(engine, recurring())
        held = await engine.hold(deployment_id, a_run())
        released = await engine.hold(deployment_id, a_run())
        await engine.release(released, door.now() + timedelta(days=1), "go")
        await engine.remove_deployment(deployment_id)
        await engine.remove_deployment(deployment_id)
        assert await engine.read_deployment(deployment_id) is None
        assert deployment_id not in await engine.deployments()
        left = (await engine.runs([held, released])).values()
        assert {run.state_type for run in left} <= ENDED
        assert [run.id for run in await engine.runs_in(HELD) if run.id in (held, released)] == []
        due = await engine.due_runs(deployment_id, datetime(2100, 1, 1, tzinfo=UTC))
        assert all(run.final for run in due)

    door.run(test)


# Runs


def test_a_held_run_stands_with_what_it_was_given(door: Door) -> None:
    async def test(engine: Engine) -> None:
        deployment_id = await made(engine)
        asked = a_run()
        run_id = await engine.hold(deployment_id, asked)
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


def test_asking_twice_under_one_key_gives_one_run_also_after_its_end(door: Door) -> None:
    async def test(engine: Engine) -> None:
        deployment_id = await made(engine)
        asked = a_run()
        first = await engine.hold(deployment_id, asked)
        assert await engine.hold(deployment_id, asked) == first
        assert await engine.find_run(asked.key) == first
        await engine.end(first, "CANCELLED", "Cancelled", "over")
        assert await engine.hold(deployment_id, asked) == first
        assert (await one(engine, first)).state_type == "CANCELLED"
        assert await engine.hold(deployment_id, a_run()) != first
        assert await engine.find_run("test:nobody") is None

    door.run(test)


def test_a_released_run_waits_for_its_time_and_can_be_moved(door: Door) -> None:
    async def test(engine: Engine) -> None:
        run_id = await engine.hold(await made(engine), a_run())
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
    async def test(engine: Engine) -> None:
        run_id = await engine.hold(await made(engine), a_run())
        at = door.now() + timedelta(days=2)
        await engine.release(run_id, at, "first")
        before = await one(engine, run_id)
        await engine.release(run_id, at, "second")
        assert await one(engine, run_id) == before

    door.run(test)


@pytest.mark.parametrize("state", sorted(ENDED))
def test_a_run_is_ended_once_and_stays_so(door: Door, state: str) -> None:
    async def test(engine: Engine) -> None:
        run_id = await engine.hold(await made(engine), a_run())
        await engine.end(run_id, state, "Named so", "why – ü")
        ended = await one(engine, run_id)
        assert (ended.state_type, ended.state_name, ended.message) == (state, "Named so", "why – ü")
        assert ended.final
        assert ended.ended is not None
        await engine.end(run_id, "FAILED" if state != "FAILED" else "CRASHED", "Other", "other")
        await engine.release(run_id, door.now(), "again")
        assert await one(engine, run_id) == ended

    door.run(test)


def test_runs_that_do_not_exist_are_left_out_and_cannot_be_moved(door: Door) -> None:
    async def test(engine: Engine) -> None:
        nobody = uuid4()
        assert await engine.runs([]) == {}
        assert await engine.runs([nobody]) == {}
        await engine.release(nobody, door.now(), "go")
        await engine.end(nobody, "CANCELLED", "Cancelled", "gone")
        assert await engine.logs(nobody) == []
        some = await engine.hold(await made(engine), a_run())
        assert set(await engine.runs([some, nobody])) == {some}

    door.run(test)


def test_due_runs_are_those_of_one_deployment_up_to_a_time_the_newest_first(door: Door) -> None:
    async def test(engine: Engine) -> None:
        deployment_id, other = await made(engine), await made(engine)
        mine = []
        for _ in range(3):
            mine.append(await engine.hold(deployment_id, a_run()))
            await asyncio.sleep(0.01)
        await engine.hold(other, a_run())
        times = {run.id: run.expected_start for run in (await engine.runs(mine)).values()}
        due = await engine.due_runs(deployment_id, max(times.values()))
        assert [run.id for run in due] == mine[::-1]
        until = sorted(times.values())[1]
        assert [run.id for run in await engine.due_runs(deployment_id, until)] == mine[1::-1]
        assert await engine.due_runs(deployment_id, min(times.values()) - timedelta(seconds=1)) == []
        assert await engine.due_runs(uuid4(), door.now()) == []

    door.run(test)


def test_a_queue_that_nobody_serves_has_no_worker(door: Door) -> None:
    async def test(engine: Engine) -> None:
        assert not await engine.has_worker("bulk")
        assert not await engine.has_worker("no such queue")
        assert not await engine.has_worker("a/b?c#ü")

    door.run(test)


# What only the real one can show


def raw(engine: PrefectEngine, method: str, path: str, body: Any = None) -> Awaitable[Any]:
    return engine._ask(method, path, body)


@pytest.mark.slow
def test_this_prefect_yields_runs(real: Door) -> None:
    async def test(engine: PrefectEngine) -> None:
        assert await engine.yields_runs()
        assert await engine.find_deployment(prefect_engine.CHECK, prefect_engine.CHECK) is None

    real.run(test)


@pytest.mark.slow
def test_writing_an_active_schedule_yields_its_runs_at_once_with_their_nominal_times(real: Door) -> None:
    async def test(engine: PrefectEngine) -> None:
        spec = recurring()
        deployment_id = await made(engine, spec)
        runs = await engine.due_runs(deployment_id, datetime(2100, 1, 1, tzinfo=UTC))
        newest, *_ = runs
        assert all(run.by_schedule and run.state_type == "SCHEDULED" for run in runs)
        assert all(run.parameters == PARAMETERS for run in runs)
        assert newest.scheduled_for == newest.expected_start
        assert newest.expected_start.astimezone(UTC).strftime("%m-%d %H:%M") == "12-31 23:00"
        await engine.write_deployment(deployment_id, replace(spec, parameters={"who": "new"}))
        again = await engine.due_runs(deployment_id, datetime(2100, 1, 1, tzinfo=UTC))
        assert [run.expected_start for run in again] == [run.expected_start for run in runs]
        assert all(run.parameters == {"who": "new"} for run in again)
        off = replace(spec, schedule=replace(spec.schedule, active=False))  # type: ignore[type-var]
        await engine.write_deployment(deployment_id, off)
        assert await engine.due_runs(deployment_id, datetime(2100, 1, 1, tzinfo=UTC)) == []

    real.run(test)


@pytest.mark.slow
def test_writing_one_deployment_leaves_the_firings_of_others(real: Door) -> None:
    async def test(engine: PrefectEngine) -> None:
        flow = f"Contract {uuid4()}"
        one_spec, other_spec = (replace(recurring(flow=flow), name=name) for name in ("one", "other"))
        one_id, other_id = await made(engine, one_spec), await made(engine, other_spec)
        before = await engine.due_runs(other_id, datetime(2100, 1, 1, tzinfo=UTC))
        await engine.write_deployment(one_id, replace(one_spec, queue="bulk"))
        await engine.remove_deployment(one_id)
        assert before
        assert await engine.due_runs(other_id, datetime(2100, 1, 1, tzinfo=UTC)) == before

    real.run(test)


MEDDLING = [
    pytest.param({"job_variables": {"command": "true"}}, id="job variables"),
    pytest.param({"pull_steps": [{"prefect.deployments.steps.run_shell_script": {"script": "true"}}]}, id="pull steps"),
    pytest.param({"paused": True}, id="a pause"),
    pytest.param({"path": "/tmp/evil"}, id="another folder"),
    pytest.param({"concurrency_limit": 1}, id="a concurrency limit"),
    pytest.param({"tags": []}, id="our tag taken away"),
    pytest.param({"entrypoint": "evil.py:run"}, id="another entrypoint"),
    pytest.param({"enforce_parameter_schema": True}, id="parameters enforced"),
]


@pytest.mark.slow
@pytest.mark.parametrize("meddling", MEDDLING)
def test_what_a_hand_set_on_a_deployment_is_seen_and_written_away(real: Door, meddling: dict[str, Any]) -> None:
    async def test(engine: PrefectEngine) -> None:
        spec = base()
        deployment_id = await made(engine, spec)
        await raw(engine, "PATCH", f"/deployments/{deployment_id}", {"tags": [TAG], **meddling})
        assert await engine.read_deployment(deployment_id) != spec
        await engine.write_deployment(deployment_id, spec)
        assert await engine.read_deployment(deployment_id) == spec
        assert (await engine.deployments())[deployment_id] == spec

    real.run(test)


@pytest.mark.slow
def test_what_a_hand_set_on_a_schedule_is_seen_and_written_away(real: Door) -> None:
    async def test(engine: PrefectEngine) -> None:
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
            await engine.write_deployment(deployment_id, spec)
            assert await engine.read_deployment(deployment_id) == spec
            [schedule] = await raw(engine, "GET", path)

    real.run(test)


@pytest.mark.slow
def test_a_hand_that_deletes_a_deployment_leaves_held_runs_only(real: Door) -> None:
    async def test(engine: PrefectEngine) -> None:
        deployment_id = await made(engine)
        ids = [await engine.hold(deployment_id, a_run()) for _ in range(2)]
        await engine.release(ids[1], real.now() + timedelta(days=1), "go")
        await raw(engine, "DELETE", f"/deployments/{deployment_id}")
        assert set(await engine.runs(ids)) == {ids[0]}
        assert (await one(engine, ids[0])).held

    real.run(test)


@pytest.mark.slow
def test_logs_are_read_whole_and_in_order(real: Door) -> None:
    async def test(engine: PrefectEngine) -> None:
        run_id = await engine.hold(await made(engine), a_run())
        start = real.now()
        lines = [
            {
                "name": "prefect.flow_runs",
                "level": 20,
                "message": f"line {number} ü",
                "timestamp": (start + timedelta(milliseconds=number)).isoformat(),
                "flow_run_id": str(run_id),
            }
            for number in range(250)
        ]
        await raw(engine, "POST", "/logs/", lines)
        for _ in range(50):
            read = await engine.logs(run_id)
            if len(read) == 250:
                break
            await asyncio.sleep(0.1)
        assert [line.message for line in read] == [f"line {number} ü" for number in range(250)]
        assert (read[0].level, read[0].source) == (20, "prefect.flow_runs")

    real.run(test)


@pytest.mark.slow
def test_the_live_worker_is_seen_on_its_pool(real: Door, request: pytest.FixtureRequest) -> None:
    async def test(engine: PrefectEngine) -> None:
        ours = PrefectEngine(engine._client, pool="signoff")
        assert await ours.has_worker("default")

    real.run(test)


# Prefect that does not answer


def answering(*answers: httpx.Response | Exception) -> tuple[PrefectEngine, list[httpx.Request]]:
    asked: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request)
        it = answers[min(len(asked), len(answers)) - 1]
        if isinstance(it, Exception):
            raise it
        return it

    client = httpx.AsyncClient(transport=httpx.MockTransport(answer), base_url="http://prefect/api")
    return PrefectEngine(client, pool=POOL), asked


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    async def no_sleep(_seconds: float) -> None:
        return

    monkeypatch.setattr(prefect_engine.asyncio, "sleep", no_sleep)


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
    assert len(asked) == prefect_engine.TRIES


def test_what_prefect_refuses_is_not_asked_again(impatient: None) -> None:
    engine, asked = answering(httpx.Response(422, json={"detail": "no"}))
    with pytest.raises(Unavailable):
        asyncio.run(engine.runs([uuid4()]))
    assert len(asked) == 1
