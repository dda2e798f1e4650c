"""On SQLite, a call of Prefect's that met another writer is made again."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route
from starlette.types import Message, Receive, Scope, Send

from api_shim.asgi import LARGEST
from api_shim.prefect_api.prefect_server import connect
from api_shim.web import prefect_writes
from api_shim.web.prefect_writes import BUSY, WritesAgain, writes


@pytest.mark.parametrize(
    ("method", "path", "may"),
    [
        ("POST", "/api/flow_runs/1/set_state", True),
        ("POST", "/api/logs/", True),
        ("PATCH", "/api/deployments/1", True),
        ("DELETE", "/api/flows/1", True),
        ("POST", "/api/work_pools/signoff/get_scheduled_flow_runs", True),
        ("POST", "/api/flow_runs/filter", False),
        ("GET", "/api/flow_runs/1", False),
        ("GET", "/api/admin/settings", False),
    ],
)
def test_what_may_write_is_known_by_its_method_and_path(method: str, path: str, may: bool) -> None:
    assert writes(method, path) is may


class Prefect:
    """Answers with these statuses in turn, then with 200, and notes what it was sent.

    With 503 it says what Prefect does, unless it says something else.
    """

    def __init__(self, *statuses: int) -> None:
        self.bodies: list[Any] = []
        self.says = BUSY
        self._statuses = [*statuses]

    async def answer(self, request: Request) -> JSONResponse:
        self.bodies.append(await request.json() if await request.body() else None)
        status = self._statuses.pop(0) if self._statuses else 200
        if status == 500:
            raise RuntimeError("broken on purpose")
        return JSONResponse(self.says if status == 503 else {"call": len(self.bodies)}, status)

    def ask(self, *calls: tuple[str, str, Any]) -> list[tuple[int, Any]]:
        """Make calls at once, and return how they were answered."""
        app = Starlette(routes=[Route("/{path:path}", self.answer, methods=["GET", "POST"])])

        async def asked() -> list[tuple[int, Any]]:
            async with connect(WritesAgain(app), "prefect:random") as client:
                answers = await asyncio.gather(*(client.request(m, p, json=body) for m, p, body in calls))
            return [(answer.status_code, answer.text) for answer in answers]

        return asyncio.run(asked())


WRITE = ("POST", "/logs/", [{"a": 1}])


def test_what_met_another_writer_is_asked_again_with_the_same_body() -> None:
    prefect = Prefect(503, 503)
    assert prefect.ask(WRITE) == [(200, '{"call":3}')]
    assert prefect.bodies == [[{"a": 1}]] * 3


def test_what_does_not_get_through_is_answered_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prefect_writes, "PAUSES", (0.0, 0.0))
    prefect = Prefect(503, 503, 503, 503)
    assert [status for status, _ in prefect.ask(WRITE)] == [503]
    assert len(prefect.bodies) == 3


def test_503_of_anybody_else_is_not_asked_again() -> None:
    prefect = Prefect(503)
    prefect.says = {"detail": "The upstream server is away."}
    assert prefect.ask(WRITE) == [(503, '{"detail":"The upstream server is away."}')]
    assert len(prefect.bodies) == 1


def test_other_faults_are_not_asked_again_and_what_prefect_has_answered_is_not_raised() -> None:
    prefect = Prefect(500)
    assert [status for status, _ in prefect.ask(WRITE)] == [500]
    assert len(prefect.bodies) == 1


async def called(app: WritesAgain, *messages: Message) -> list[Message]:
    left, sent = [*messages], []

    async def receive() -> Message:
        message = left.pop(0)
        await asyncio.sleep(message.pop("after", 0))
        return message

    async def send(message: Message) -> None:
        sent.append(message)

    await app({"type": "http", "method": "POST", "path": "/api/logs/"}, receive, send)
    return sent


async def echo(_scope: Scope, receive: Receive, send: Send) -> None:
    body = (await receive())["body"]
    await send({"type": "http.response.start", "status": 201, "headers": []})
    await send({"type": "http.response.body", "body": body})


def test_half_a_call_is_none() -> None:
    half = [{"type": "http.request", "body": b"ha", "more_body": True}, {"type": "http.disconnect"}]
    assert asyncio.run(called(WritesAgain(echo), *half)) == []


def test_a_call_that_is_too_large_is_refused() -> None:
    sent = asyncio.run(called(WritesAgain(echo), {"type": "http.request", "body": b"x" * (LARGEST + 1)}))
    assert sent[0]["status"] == 413


@pytest.mark.parametrize(
    ("path", "on_sqlite", "refused"),
    [
        ("/api/work_pools/signoff/workers/connect", True, True),
        ("/api/work_pools/signoff/workers/connect", False, False),
        ("/api/events/out", True, False),
    ],
)
def test_a_worker_is_told_to_come_by_http(path: str, on_sqlite: bool, refused: bool) -> None:
    sent: list[Message] = []

    async def receive() -> Message:
        return {"type": "websocket.connect", "body": b""}

    async def send(message: Message) -> None:
        sent.append(message)

    asyncio.run(WritesAgain(echo, on_sqlite=on_sqlite)({"type": "websocket", "path": path}, receive, send))
    assert (sent == [{"type": "websocket.close"}]) is refused


def test_a_call_that_breaks_before_it_is_answered_is_raised() -> None:
    async def broken(_scope: Scope, _receive: Receive, _send: Send) -> None:
        raise RuntimeError("broken on purpose")

    with pytest.raises(RuntimeError, match="broken on purpose"):
        asyncio.run(called(WritesAgain(broken), {"type": "http.request", "body": b""}))
