"""The wiring: what happens in which order when the application starts, and what ends with it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from uuid import uuid4

import httpx
import pytest

from api_shim.app import ALL, Application, Part, build, create_app, create_operation
from api_shim.domain.model import Job, RunningServer
from api_shim.prefect_api.prefect_server import running
from api_shim.reconcile.wake_queue import AT_ONCE
from api_shim.services.running_servers import ThisServer
from api_shim.store import Store
from approval_gate.errors import Unavailable
from flows.registry import discover
from tests.conftest import Clock
from tests.factories import NOW
from tests.fakes import FakeEngine


@pytest.fixture
def engine(clock: Clock) -> FakeEngine:
    return FakeEngine(clock)


@pytest.fixture
def application(sqlite_store: Store, engine: FakeEngine, clock: Clock) -> Application:
    return build(sqlite_store, engine, clock=clock, zone="UTC")


def start(
    application: Application, events: list[str], *, then: BaseException | None = None, fails: bool = False
) -> None:
    """Run the application for a moment; ``then`` something goes wrong in it, or Prefect ``fails`` to start."""

    @asynccontextmanager
    async def prefect() -> AsyncIterator[None]:
        if fails:
            raise Unavailable("The installed versions do not work together.")
        events.append(f"Prefect starts, with {len(application.services.catalogue.jobs())} Jobs recorded")
        try:
            yield
        finally:
            events.append("Prefect ends")

    async def life() -> None:
        async with running(create_app(application, discover(["flows.examples"]).jobs.values(), prefect)):
            events.append("the door opens")
            events.append(f"{len(asyncio.all_tasks()) - 1} loop")
            if then:
                raise then

    async def lived() -> None:
        try:
            await life()
        finally:
            events.append(f"{len(asyncio.all_tasks()) - 1} loops")

    asyncio.run(lived())


def test_jobs_are_recorded_then_prefect_starts_then_the_door_opens(
    application: Application, engine: FakeEngine
) -> None:
    events: list[str] = []
    start(application, events)
    recorded, *after = events
    assert recorded.startswith("Prefect starts, with ")
    assert not recorded.endswith(" 0 Jobs recorded")
    # One that repeats, one that looks who serves, one that records uses of tokens, one that counts refusals, one that
    # removes the credentials of runs, one that tells people, one that watches the approval queue, and the queue with
    # its followers.
    assert after == ["the door opens", f"{8 + AT_ONCE} loop", "Prefect ends", "0 loops"]


@pytest.mark.parametrize(
    ("parts", "repeats"),
    [
        pytest.param(Part.WEB, {"catalogue", "following", "queue_watch"}, id="a server follows nothing"),
        pytest.param(Part.SERVICES, {"queue", "loop", "run_credentials", "notifying"}, id="services have no Jobs"),
        pytest.param(
            ALL, {"catalogue", "queue_watch", "queue", "loop", "run_credentials", "notifying"}, id="one does it all"
        ),
    ],
)
def test_each_part_repeats_what_is_its_own(
    sqlite_store: Store, engine: FakeEngine, clock: Clock, parts: Part, repeats: set[str]
) -> None:
    made = build(sqlite_store, engine, clock=clock, zone="UTC", parts=parts)
    names = {id(getattr(made, name)): name for name in ("others", "served", "tokens", "queue", "loop", "notifying")}
    names |= {
        id(getattr(made.services, name)): name for name in ("refusals", "run_credentials", "catalogue", "queue_watch")
    }
    names[id(made.services.readiness.following)] = "following"
    assert sorted(names[id(loop)] for loop in made.loops) == sorted(
        {"others", "served", "tokens", "refusals"} | repeats
    )


def test_services_tell_how_they_are_and_of_their_loop(sqlite_store: Store, engine: FakeEngine, clock: Clock) -> None:
    made = build(sqlite_store, engine, clock=clock, zone="UTC", parts=Part.SERVICES)

    async def asked() -> httpx.Response:
        going = asyncio.create_task(made.loop.run())
        await asyncio.sleep(0)
        transport = httpx.ASGITransport(create_operation(made))
        async with httpx.AsyncClient(transport=transport, base_url="http://here") as client:
            answer = await client.get("/signoff/readyz")
        going.cancel()
        return answer

    answer = asyncio.run(asked())
    assert answer.status_code == 200
    assert answer.json()["checks"]["loop"] == {"ok": True, "detail": ""}


@pytest.mark.each_database
def test_services_tell_servers_of_their_database_that_they_are_there(
    store: Store, engine: FakeEngine, clock: Clock
) -> None:
    me = ThisServer(id=uuid4(), place="there", process=1, silent_after=timedelta(minutes=15))
    made = build(store, engine, clock=clock, zone="UTC", parts=Part.SERVICES, server=me)
    for _ in range(3):
        asyncio.run(made.loop.tick())
        clock.forward(seconds=5)
    with store.transaction(write=False) as tx:
        told = [each.followed for each in tx.all(RunningServer)]
    assert told == ([NOW + timedelta(seconds=10)] if store.notices else []), "every ten seconds"


def test_a_server_leaves_it_to_others_to_let_prefect_follow(
    sqlite_store: Store, engine: FakeEngine, clock: Clock
) -> None:
    events: list[str] = []
    start(build(sqlite_store, engine, clock=clock, zone="UTC", parts=Part.WEB), events)
    assert "the door opens" in events
    # The Jobs are recorded, and wait in the store.
    assert engine.made == {}
    with sqlite_store.transaction(write=False) as tx:
        assert tx.lagging(Job, 1)


def test_every_job_is_ready_in_prefect_when_the_door_opens(application: Application, engine: FakeEngine) -> None:
    start(application, [])
    assert {"Back up", "Check hosts"} <= {spec.flow for spec in engine.made.values()}


def test_the_loop_ends_when_something_goes_wrong(application: Application) -> None:
    events: list[str] = []
    with pytest.raises(RuntimeError, match="broken"):
        start(application, events, then=RuntimeError("broken"))
    assert events[-2:] == ["Prefect ends", "0 loops"]


def test_a_prefect_that_does_not_work_stops_the_start_with_its_reason(application: Application) -> None:
    events: list[str] = []
    with pytest.raises(Unavailable, match="do not work together"):
        start(application, events, fails=True)
    assert events == ["0 loops"]
