"""The id of a request: whose it is, and that it stands in the answer and in what the request has done."""

from __future__ import annotations

import asyncio
import re
from typing import Any

import httpx
import pytest
from starlette.responses import PlainTextResponse
from starlette.types import Receive, Scope, Send

from api_shim.domain.request_id import current_request
from api_shim.store import Store
from api_shim.web.request_ids import HEADER, Identified
from tests.api_shim.origin import Origin
from tests.conftest import Clock

NEW = re.compile(r"[0-9a-f]{32}")


async def saying(scope: Scope, receive: Receive, send: Send) -> None:
    """Answers with the id that it has, and tries to answer with another."""
    await PlainTextResponse(current_request(), headers={HEADER: "another"})(scope, receive, send)


def asked(*sent: str) -> httpx.Response:
    async def ask() -> httpx.Response:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(Identified(saying)), base_url="http://x") as client:
            return await client.get("/", headers=[(HEADER, value) for value in sent])

    return asyncio.run(ask())


def test_a_plain_id_that_was_sent_is_that_of_the_request() -> None:
    answer = asked("from-the-proxy")
    assert (answer.text, answer.headers.get_list(HEADER)) == ("from-the-proxy", ["from-the-proxy"])
    assert current_request() == ""


@pytest.mark.parametrize(
    "sent",
    [
        pytest.param((), id="none"),
        pytest.param(("",), id="an empty one"),
        pytest.param(("x" * 65,), id="one that is too long"),
        pytest.param(("a b",), id="one that is not plain"),
        pytest.param(("one", "two"), id="two"),
    ],
)
def test_without_such_an_id_a_request_has_a_new_one(sent: tuple[str, ...]) -> None:
    first, second = asked(*sent), asked(*sent)
    for answer in (first, second):
        assert NEW.fullmatch(answer.text)
        assert answer.headers.get_list(HEADER) == [answer.text]
    assert first.text != second.text


def test_a_websocket_has_one_too() -> None:
    seen: list[str] = []

    async def socket(_scope: Scope, _receive: Receive, _send: Send) -> None:
        seen.append(current_request())

    async def nothing(*_args: Any) -> Any:
        raise AssertionError("Nobody says anything.")

    scope = {"type": "websocket", "headers": [(b"x-request-id", b"socket-1")]}
    asyncio.run(Identified(socket)(scope, nothing, nothing))
    assert seen == ["socket-1"]


def test_from_an_answer_the_audit_is_found(sqlite_store: Store, clock: Clock) -> None:
    origin = Origin(sqlite_store, clock)
    origin.user()
    origin.front = Identified(origin.front)
    body = {"username": "bob"}
    assert origin.ask("POST", "/api/users/users/", json=body, headers={HEADER: "adds-bob"}).status_code == 201
    answer = origin.ask("GET", "/api/extras/jobs/", None, headers={"Authorization": "Token nonsense"})
    with sqlite_store.transaction(write=False) as tx:
        *_, added, refused = tx.events(0, 100)
    assert (added.name, added.data["request_id"]) == ("bob", "adds-bob")
    assert refused.data["request_id"] == answer.headers[HEADER]
