"""What people who may only read Prefect can ask of it."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

import pytest
from starlette.types import Message, Receive, Scope, Send

from api_shim.web.prefect_bounds import (
    EVENTS_FILTER,
    FILTER,
    LONGEST_QUERY,
    NEXT_PAGE,
    Bound,
    BoundedReads,
    check_page,
    is_within_bounds,
    why_not_written,
)
from approval_gate.errors import GateError, Invalid, TooLarge


def token(content: object) -> bytes:
    """Return a query with a page token, encoded as Prefect does."""
    text = content if isinstance(content, bytes) else json.dumps(content).encode()
    return f"page-token={quote(base64.b64encode(base64.b64encode(text)).decode())}".encode()


def page(size: Any) -> bytes:
    return token({"filter": {}, "count": 100, "page_size": size, "offset": 50})


def refusal(check: Callable[[bytes], None], content: bytes) -> type[GateError] | None:
    try:
        check(content)
    except GateError as error:
        return type(error)
    return None


@pytest.mark.parametrize(
    ("query", "refused"),
    [
        pytest.param(page(50), None, id="a page as Prefect makes them"),
        pytest.param(page(1), None, id="a page of one event"),
        pytest.param(page(51), Invalid, id="one event more"),
        pytest.param(page(10**9), Invalid, id="all events"),
        pytest.param(page(-1), Invalid, id="all events, as SQLite says it"),
        pytest.param(page(0), Invalid, id="none"),
        pytest.param(page("50"), Invalid, id="a text"),
        pytest.param(page(50.0), Invalid, id="a fraction"),
        pytest.param(page(True), Invalid, id="true"),
        pytest.param(page(50) + b"&" + page(10**9), Invalid, id="two tokens"),
        pytest.param(token({"filter": [0] * 250, "page_size": 50}), TooLarge, id="a filter with many values"),
        pytest.param(token([50]), Invalid, id="a list"),
        pytest.param(token({"filter": {}}), Invalid, id="without a size"),
        pytest.param(token(b"["), Invalid, id="no JSON"),
        pytest.param(token(b"[" * 8000), Invalid, id="JSON nested too deeply"),
        pytest.param(b"page-token=%21", Invalid, id="no token"),
        pytest.param(b"page-token=\xff", Invalid, id="no text"),
        pytest.param(b"", Invalid, id="nothing"),
    ],
)
def test_a_page_of_events_is_as_long_as_prefect_makes_them(query: bytes, refused: type[GateError] | None) -> None:
    assert refusal(check_page, query) is refused


@pytest.mark.parametrize(
    ("content", "refused"),
    [
        pytest.param(b"", None, id="nothing"),
        pytest.param(b"[1, 2, 3]", None, id="a list and three numbers"),
        pytest.param(b"[1, 2, 3, 4]", TooLarge, id="one more"),
        pytest.param(b'{"a": {"b": [1]}}', None, id="nested values"),
        pytest.param(b'{"a": {"b": [1], "c": 2}}', TooLarge, id="one more of them"),
        pytest.param(b" " * 18 + b"1", None, id="as long as may be"),
        pytest.param(b" " * 30 + b"1", TooLarge, id="longer"),
        pytest.param(b"{", Invalid, id="no JSON"),
    ],
)
def test_a_filter_has_a_maximum_size_and_number_of_values(content: bytes, refused: type[GateError] | None) -> None:
    assert refusal(Bound(size=30, values=4).check, content) is refused


def ask(path: str, *body: bytes, query: bytes = b"", hangs_up: bool = False) -> tuple[int | None, bytes | None]:
    """Return the status of the refusal, if there was one, and the body that came to Prefect, if one did."""
    came: list[bytes] = []
    sent: list[Message] = []
    coming: list[Message] = [{"type": "http.request", "body": part, "more_body": True} for part in body]
    coming.append({"type": "http.disconnect"} if hangs_up else {"type": "http.request", "body": b""})

    async def prefect(_scope: Scope, receive: Receive, _send: Send) -> None:
        came.append((await receive())["body"])

    async def receive() -> Message:
        return coming.pop(0)

    async def send(message: Message) -> None:
        sent.append(message)

    scope = {"type": "http", "method": "POST", "path": path, "query_string": query, "headers": []}
    asyncio.run(BoundedReads(prefect)(scope, receive, send))
    return (sent[0]["status"] if sent else None), (came[0] if came else None)


@pytest.mark.parametrize(
    ("path", "bound"),
    [
        ("/api/flow_runs/filter", FILTER),
        ("/api/events/filter", EVENTS_FILTER),
        ("/api/events/filter/", EVENTS_FILTER),
        ("/api/events/count-by/day", EVENTS_FILTER),
    ],
)
def test_a_body_has_a_maximum_size_however_it_is_sent(path: str, bound: Bound) -> None:
    for parts in ((b"1".rjust(bound.size),), (b" ", b"1".rjust(bound.size - 1))):
        assert ask(path, *parts) == (None, b"".join(parts))
        assert ask(path, *parts, b" ") == (413, None)
    assert ask(path, b"{") == (400, None)


def test_what_is_not_sent_to_its_end_is_not_passed_on() -> None:
    assert ask("/api/flow_runs/filter", b"{", hangs_up=True) == (None, None)


def test_a_query_has_a_maximum_length_and_a_page_of_events_one_too() -> None:
    assert ask("/api/flows/1", query=b"x" * LONGEST_QUERY) == (None, b"")
    assert ask("/api/flows/1", query=b"x" * (LONGEST_QUERY + 1)) == (413, None)
    for path in (NEXT_PAGE, f"{NEXT_PAGE}/"):
        assert ask(path, query=page(50)) == (None, b"")
        assert ask(path, query=page(51)) == (400, None)


@pytest.mark.parametrize(
    ("message", "within"),
    [
        ({"type": "websocket.connect"}, True),
        ({"type": "websocket.receive", "text": '{"type": "filter"}', "bytes": None}, True),
        ({"type": "websocket.receive", "text": "nonsense"}, True),
        ({"type": "websocket.receive", "text": "1".rjust(EVENTS_FILTER.size + 1)}, False),
        ({"type": "websocket.receive", "bytes": b"1".rjust(EVENTS_FILTER.size + 1), "text": None}, False),
        ({"type": "websocket.receive", "text": json.dumps([0] * EVENTS_FILTER.values)}, False),
    ],
)
def test_a_message_is_bounded_as_a_filter_of_events(message: Message, within: bool) -> None:
    assert is_within_bounds(message) is within


@pytest.mark.parametrize(
    ("path", "hint"),
    [
        (f"/api/flow_runs/{'0' * 8}/set_state", "see /signoff/results."),
        ("/api/flow_runs/bulk_delete", "see /signoff/results."),
        ("/api/deployments/x/schedules/y", "see /signoff/scheduled-jobs."),
        ("/api/deployments/", "see /signoff/scheduled-jobs."),
        ("/api/variables/", "An administrator can grant it."),
        ("/api/deployments_of_others", "An administrator can grant it."),
    ],
)
def test_who_may_not_write_is_told_where_they_can_do_it(path: str, hint: str) -> None:
    told = why_not_written(path)
    assert told.startswith("This needs the permission prefect.write. ")
    assert told.endswith(hint)
