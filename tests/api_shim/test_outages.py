"""Outages: of each row of the table in the README, what goes on, what waits, what is told, and how it is over."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest

from api_shim.domain.accounts import COOKIE
from api_shim.domain.model import JobResult
from api_shim.reconcile.served_queues import AWAY_AFTER, COMES_BACK_WITHIN
from api_shim.services.readiness import KEPT
from api_shim.services.running_servers import FOLLOWED_WITHIN, Following, ThisServer, tell_following
from api_shim.store import Store
from approval_gate.errors import Unavailable
from tests.api_shim.origin import Origin
from tests.conftest import Clock

README = (Path(__file__).parents[2] / "README.md").read_text()
RUN = "/api/extras/jobs/Greet/run/"


class Scene:
    """A server with a Job, alice who runs it, and her browser.

    Args:
        store: an empty one.
        clock: tells the time.
    """

    def __init__(self, store: Store, clock: Clock) -> None:
        self.store, self.clock = store, clock
        self.origin = Origin(store, clock)
        self.origin.user("alice")
        self.job = self.origin.job(name="Greet", module_name="tests.acceptance.jobs_for_tests", job_class_name="Greet")
        session, _ = asyncio.run(self.origin.sessions.sign_in("alice", self.origin.keys["alice"], ""))
        self.cookie = {"Cookie": f"{COOKIE}={session}"}
        self.origin.look()

    def requests(self, **schedule: Any) -> httpx.Response:
        body = {"data": {}, "schedule": {"interval": "immediately", **schedule}}
        return self.origin.ask("POST", RUN, "alice", json=body)

    def page(self) -> httpx.Response:
        return self.origin.ask("GET", "/signoff/jobs", None, headers=self.cookie)

    def ready(self) -> tuple[int, Mapping[str, Any]]:
        self.clock.now += KEPT
        answer = self.origin.ask("GET", "/signoff/readyz", None)
        return answer.status_code, answer.json()["checks"]

    def look(self) -> None:
        with suppress(Unavailable):
            self.origin.look()

    def tick(self) -> None:
        """Go once round the loop, and let Prefect follow what it finds."""

        async def round_() -> None:
            await self.origin.loop.tick()
            await self.origin.queue.drain()

        asyncio.run(round_())

    def runs(self) -> set[Any]:
        """Return the runs that are in Prefect of all that was requested."""
        with self.store.transaction(write=False) as tx:
            wanted = {result.flow_run_id for result in tx.all(JobResult)}
        return wanted & {*self.origin.engine.all_runs}


@pytest.fixture
def scene(sqlite_store: Store, clock: Clock) -> Scene:
    return Scene(sqlite_store, clock)


def prefect_away(scene: Scene) -> None:
    engine = scene.origin.engine
    for call in ("queue_polls", "create_run", "runs", "deployments", "prepare"):
        engine.fail(call, times=-1)
    since = scene.clock.now
    scene.look()
    scene.clock.now += AWAY_AFTER
    assert f'Prefect has not responded since <time datetime="{since:%Y-%m-%dT%H:%M}' in scene.page().text
    status, checks = scene.ready()
    assert (status, checks["prefect"]["ok"], checks["store"]["ok"]) == (503, False, True)
    assert scene.requests().status_code == 201, "it is kept"
    assert scene.runs() == set()
    engine.faults.clear()
    scene.look()
    scene.clock.forward(minutes=1)
    scene.tick()
    assert len(scene.runs()) == 1
    scene.look()
    assert "Prefect has not responded" not in scene.page().text
    assert scene.ready()[0] == 200


def store_away(scene: Scene) -> None:
    file = Path(str(scene.store._engine.url.database))
    elsewhere = file.rename(file.with_suffix(".away"))
    answer = scene.requests()
    assert (answer.status_code, answer.headers["Retry-After"], [*answer.json()]) == (503, "5", ["detail"])
    shown = scene.page()
    assert (shown.status_code, shown.headers["Retry-After"]) == (503, "5")
    assert "Temporarily unavailable" in shown.text
    for path in ("/api/flows/", "/api/deployments/"):
        assert scene.origin.ask("GET", path, "alice").status_code == 503
    assert scene.origin.passed == [], "nobody is let through who cannot be known"
    status, checks = scene.ready()
    assert (status, checks["store"]["detail"]) == (503, "The store cannot be written.")
    assert scene.origin.ask("GET", "/signoff/healthz", None).status_code == 200
    elsewhere.rename(file)
    assert scene.requests().status_code == 201
    assert scene.ready()[0] == 200


def redis_away(scene: Scene) -> None:
    """Without what its events go to, Prefect answers questions and refuses what would begin something."""
    engine = scene.origin.engine
    for call in ("create_run", "announce"):
        engine.fail(call, times=-1)
    scene.look()
    assert scene.requests().status_code == 201, "it is kept"
    assert scene.runs() == set()
    assert scene.ready()[0] == 200
    engine.faults.clear()
    scene.clock.forward(minutes=1)
    scene.tick()
    assert len(scene.runs()) == 1


def server_away(scene: Scene) -> None:
    """What one has accepted is followed by another, which knows its sessions."""
    scene.origin.follows = False
    assert scene.requests().status_code == 201
    assert scene.runs() == set()
    left, scene.origin = scene.origin, Origin(scene.store, scene.clock)
    scene.origin.keys = left.keys
    scene.look()
    scene.clock.forward(minutes=1)
    scene.tick()
    assert len(scene.runs()) == 1
    assert scene.page().status_code == 200


def services_away(scene: Scene) -> None:
    following: Following = scene.origin.readiness.following
    services = ThisServer(id=uuid4(), place="", process=1, silent_after=FOLLOWED_WITHIN)
    scene.origin.follows = False
    since = scene.clock.now
    while scene.clock.now < since + FOLLOWED_WITHIN:
        scene.clock.forward(seconds=10)
        asyncio.run(following.look())
    assert (
        f'The background services have not responded since <time datetime="{since:%Y-%m-%dT%H:%M}' in scene.page().text
    )
    status, checks = scene.ready()
    assert (status, checks["services"]["detail"]) == (
        200,
        f"The background services have not reported since {since:%H:%M:%S} UTC.",
    )
    assert scene.requests().status_code == 201, "it is kept"
    assert scene.runs() == set()
    with scene.store.transaction() as tx:
        tell_following(tx, services, scene.clock.now)
    scene.tick()
    asyncio.run(following.look())
    assert len(scene.runs()) == 1
    assert "away" not in scene.page().text


def worker_away(scene: Scene) -> None:
    served, scene.origin.engine.served = scene.origin.engine.served, set()
    scene.clock.now += COMES_BACK_WITHIN
    scene.look()
    answer = scene.requests()
    said = "Unable to process request: No Prefect workers running on queue default."
    assert (answer.status_code, answer.headers["Retry-After"], answer.json()) == (503, "5", {"detail": said})
    assert scene.ready()[0] == 200
    scene.origin.engine.served = served
    scene.look()
    assert scene.requests().status_code == 201


OUTAGES: Mapping[str, Callable[[Scene], None]] = {
    "Prefect": prefect_away,
    "the store": store_away,
    "Redis": redis_away,
    "a server": server_away,
    "the services": services_away,
    "the workers": worker_away,
}


@pytest.mark.parametrize("what", OUTAGES)
def test_without(what: str, scene: Scene) -> None:
    OUTAGES[what](scene)


def test_every_outage_of_the_table_is_tried() -> None:
    _, _, table = README.partition("### Outages\n")
    rows = re.findall(r"^\| ([^|]+) \|", table.partition("\n## ")[0], re.MULTILINE)
    assert rows[0] == "away"
    assert rows[1:] == [*OUTAGES]
