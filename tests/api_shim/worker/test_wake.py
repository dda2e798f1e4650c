"""Who sets a run to start wakes the workers."""

from __future__ import annotations

import asyncio
import json
import select
import stat
import time
from collections.abc import Collection
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route
from starlette.types import ASGIApp

from api_shim.prefect_api.prefect_server import connect
from api_shim.worker.wake import Listener, Notifier, NotifiesWorkers, overhearing_polls
from tests.factories import NOW

SOON, LATER = (NOW + timedelta(seconds=seconds) for seconds in (5, 60))


def is_woken(listener: Listener) -> bool:
    woken = bool(select.select([listener], [], [], 0)[0])
    listener.drain()
    return woken


def test_every_worker_of_a_home_is_woken(tmp_path: Path) -> None:
    one, two = Listener(tmp_path, "1"), Listener(tmp_path, "2")
    Notifier(tmp_path).notify()
    Notifier(tmp_path).notify()
    assert is_woken(one)
    assert is_woken(two)
    assert not is_woken(one)
    one.close()
    two.close()


def test_it_works_in_a_folder_with_a_long_path(tmp_path: Path) -> None:
    home = tmp_path / ("long" * 30)
    home.mkdir()
    listener = Listener(home, "1")
    Notifier(home).notify()
    assert is_woken(listener)
    listener.close()


def test_only_its_owner_can_wake_a_worker(tmp_path: Path) -> None:
    listener = Listener(tmp_path, "1")
    assert stat.S_IMODE((tmp_path / "wake").stat().st_mode) == 0o700
    assert stat.S_IMODE((tmp_path / "wake" / "1").stat().st_mode) == 0o600
    listener.close()


def test_what_a_dead_worker_left_is_removed(tmp_path: Path) -> None:
    dead = Listener(tmp_path, "1")
    dead._socket.close()
    Notifier(tmp_path).notify()
    assert [*(tmp_path / "wake").iterdir()] == []


def test_a_home_without_workers_and_a_worker_that_does_not_listen_hold_nobody_up(tmp_path: Path) -> None:
    Notifier(tmp_path / "nowhere").notify()
    deaf = Listener(tmp_path, "1")
    begun = time.monotonic()
    for _ in range(2000):
        Notifier(tmp_path).notify()
    assert time.monotonic() - begun < 5
    deaf.close()


@pytest.mark.parametrize(
    ("path", "body", "status", "heard"),
    [
        ("/work_pools/signoff/get_scheduled_flow_runs", {"work_queue_names": ["bulk"]}, 200, [(["bulk"], "")]),
        ("/work_pools/signoff/get_scheduled_flow_runs", {"work_queue_names": None}, 200, [([], "")]),
        ("/work_pools/signoff/get_scheduled_flow_runs", {}, 200, [([], "")]),
        ("/work_pools/signoff/get_scheduled_flow_runs", {}, 503, []),
        ("/work_pools/another/get_scheduled_flow_runs", {}, 200, [([], "another")]),
        ("/work_pools/signoff/workers/filter", {}, 200, []),
    ],
)
def test_what_a_worker_asks_of_a_pool_is_heard(
    path: str, body: Any, status: int, heard: list[tuple[list[str], str]]
) -> None:
    told: list[tuple[Collection[str], str]] = []
    app = overhearing_polls(echoing(status), "signoff", lambda queues, pool: told.append((queues, pool)))
    assert asked(app, "POST", path, body) == body
    assert told == heard


def state(name: str, at: datetime | None = None) -> dict[str, Any]:
    details = {} if at is None else {"state_details": {"scheduled_time": at.isoformat()}}
    return {"state": {"type": name, **details}}


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "wakes"),
    [
        ("POST", "/flow_runs/1/set_state", state("SCHEDULED"), 201, True),
        ("POST", "/flow_runs/1/set_state", state("SCHEDULED", SOON), 201, True),
        ("POST", "/flow_runs/1/set_state", state("SCHEDULED", LATER), 201, False),
        ("POST", "/flow_runs/1/set_state", state("RUNNING"), 201, False),
        ("POST", "/flow_runs/1/set_state", state("SCHEDULED"), 503, False),
        ("POST", "/flow_runs/1/resume", {"run_input": {}}, 201, True),
        ("POST", "/flow_runs/", state("SCHEDULED"), 201, True),
        ("POST", "/deployments/1/create_flow_run", {}, 201, True),
        ("POST", "/deployments/1/create_flow_run", state("SCHEDULED", LATER), 201, False),
        ("POST", "/deployments/1/create_flow_run", state("PAUSED"), 201, False),
        ("POST", "/deployments/1/create_flow_run", [1], 201, True),
        ("POST", "/deployments/1/create_flow_run/bulk", [state("PAUSED")], 201, True),
        ("POST", "/logs/", state("SCHEDULED"), 201, False),
        ("GET", "/flow_runs/1/set_state", state("SCHEDULED"), 200, False),
    ],
)
def test_what_sets_a_run_to_start_soon_wakes(method: str, path: str, body: Any, status: int, wakes: bool) -> None:
    woken = []
    app = NotifiesWorkers(echoing(status), lambda: woken.append(True), lambda: NOW.astimezone(UTC))
    assert asked(app, method, path, body) == json.loads(json.dumps(body))
    assert bool(woken) == wakes


def echoing(status: int) -> ASGIApp:
    """Return a Prefect that answers with what it was sent."""

    async def answer(request: Request) -> JSONResponse:
        return JSONResponse(await request.json(), status)

    return Starlette(routes=[Route("/api/{rest:path}", answer, methods=["GET", "POST"])])


def asked(app: ASGIApp, method: str, path: str, body: Any) -> Any:
    async def ask() -> Any:
        async with connect(app, "prefect:random") as client:
            return (await client.request(method, path, json=body)).json()

    return asyncio.run(ask())
