"""Bodies that are replaced."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import pytest
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from api_shim.web.rewriting import rewritten, uncompressed, with_body


def ask(app: Any, **how: Any) -> httpx.Response:
    async def asked() -> httpx.Response:
        transport = httpx.ASGITransport(app=app)
        async with httpx.AsyncClient(transport=transport, base_url="http://signoff.example") as client:
            return await client.post("/x", **how)

    return asyncio.run(asked())


def test_a_request_has_the_new_body_and_its_length() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(*with_body(uncompressed(scope), receive, b'{"b": 22}'))
        said = {name: request.headers.get(name) for name in ("content-length", "content-type", "accept-encoding", "x")}
        assert await request.json() == {"b": 22}
        await Response(str(said))(scope, receive, send)

    answer = ask(app, content=b"{}", headers={"Content-Type": "text/plain", "X": "1"})
    assert answer.text == str(
        {"content-length": "9", "content-type": "application/json", "accept-encoding": None, "x": "1"}
    )


@pytest.mark.parametrize(("status", "said"), [(200, "changed"), (422, "told")])
def test_a_success_is_changed_and_an_error_passes(status: int, said: str) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await Response("told", status)(scope, receive, rewritten(send, lambda _: b"changed"))

    answer = ask(app)
    assert (answer.status_code, answer.text, answer.headers["cache-control"]) == (status, said, "no-store")
    assert answer.headers["content-length"] == str(len(said))
