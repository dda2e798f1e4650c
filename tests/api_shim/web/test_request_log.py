"""What the log has of each request, and what it has not."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import httpx
import pytest
from starlette.responses import PlainTextResponse
from starlette.types import Receive, Scope, Send

from api_shim.store import Store
from api_shim.web.request_ids import Identified
from api_shim.web.request_log import LONGEST_PATH, Logged
from tests.api_shim.origin import Origin
from tests.conftest import Clock


async def teapot(scope: Scope, receive: Receive, send: Send) -> None:
    await PlainTextResponse("", 418)(scope, receive, send)


async def broken(_scope: Scope, _receive: Receive, _send: Send) -> None:
    raise RuntimeError("No answer.")


def asked(app: Any, path: str = "/x") -> None:
    async def ask() -> None:
        transport = httpx.ASGITransport(Logged(app), raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://x") as client:
            await client.get(path)

    asyncio.run(ask())


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    caplog.set_level(logging.DEBUG)
    return caplog


def requests(log: pytest.LogCaptureFixture) -> list[Any]:
    return [record for record in log.records if hasattr(record, "seconds")]


@pytest.mark.parametrize(("app", "status"), [(teapot, 418), (broken, 500)], ids=["answered", "no answer"])
def test_each_request_is_logged_with_its_status(log: pytest.LogCaptureFixture, app: Any, status: int) -> None:
    asked(app)
    [record] = requests(log)
    assert (record.method, record.path, record.status) == ("GET", "/x", status)
    assert record.getMessage() == f"GET /x: {status}"
    assert record.seconds >= 0


def test_a_long_path_is_cut_and_the_query_left_out(log: pytest.LogCaptureFixture) -> None:
    asked(teapot, f"/{'x' * 600}?key=hunter2")
    [record] = requests(log)
    assert (len(record.path), "hunter2" in record.getMessage()) == (LONGEST_PATH, False)


def test_no_secret_that_somebody_sends_is_logged(
    log: pytest.LogCaptureFixture, sqlite_store: Store, clock: Clock
) -> None:
    origin = Origin(sqlite_store, clock)
    origin.user()
    origin.front = Identified(Logged(origin.front))
    job = origin.job()
    secret = "hunter2-hunter2"
    calls: list[tuple[str, str, str | None, dict[str, Any]]] = [
        ("GET", "/api/extras/jobs/", None, {"headers": {"Authorization": f"Token {secret}"}}),
        ("GET", f"/api/extras/jobs/?token={secret}", "admin", {}),
        ("GET", "/signoff/jobs", None, {"headers": {"Cookie": f"session={secret}"}}),
        ("POST", "/signoff/sign-in", None, {"data": {"username": "admin", "secret": secret}}),
        ("POST", f"/api/extras/jobs/{job.id}/run/", "admin", {"json": {"data": {"password": secret}}}),
        ("POST", f"/api/extras/jobs/{job.id}/run/", "admin", {"content": f"{{{secret}"}),
        ("GET", "/api/flows/", None, {"headers": {"Authorization": f"Bearer admin:{secret}"}}),
    ]
    for method, path, who, how in calls:
        origin.ask(method, path, who, **how)
    assert len(requests(log)) == len(calls)
    # The client of the test logs what it asks, in the same process.
    ours = [logging.Formatter().format(record) for record in log.records if record.name != "httpx"]
    assert not [line for line in ours if secret in line or origin.keys["admin"] in line]
