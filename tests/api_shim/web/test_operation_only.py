"""Where nothing is served but how a process is, nothing else gets through."""

from __future__ import annotations

import asyncio

import httpx
import pytest
from starlette.responses import PlainTextResponse
from starlette.types import Message

from api_shim.web.operation_only import OperationOnly

FRONT = OperationOnly(PlainTextResponse("told"))


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/signoff/healthz", 200),
        ("/signoff/readyz", 200),
        ("/signoff/metrics", 200),
        ("/signoff/metrics/", 200),
        ("/signoff/metrics/more", 404),
        ("/signoff/", 404),
        ("/api/health", 404),
        ("/api/extras/jobs/", 404),
        ("/", 404),
    ],
)
def test_only_what_operates_a_process_gets_through(path: str, status: int) -> None:
    async def asked() -> int:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(FRONT), base_url="http://here") as client:
            return (await client.get(path)).status_code

    assert asyncio.run(asked()) == status


def test_no_websocket_is_opened() -> None:
    said: list[Message] = []

    async def receive() -> Message:
        return {"type": "websocket.connect"}

    async def send(message: Message) -> None:
        said.append(message)

    asyncio.run(FRONT({"type": "websocket", "path": "/signoff/metrics"}, receive, send))
    assert said == [{"type": "websocket.close"}]
