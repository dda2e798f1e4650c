"""The numbers of the approval queue, once and as events."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping
from datetime import timedelta
from typing import Any

import httpx
import pytest

from api_shim.domain.accounts import COOKIE, IDLE, SEEN_EVERY, Session
from api_shim.services import queue_watch
from api_shim.store import Store
from api_shim.web.pages.queue_changes import OVER
from api_shim.web.pages.visit import FOLLOWS
from approval_gate.errors import Unavailable
from tests.api_shim.origin import Origin
from tests.api_shim.web.pages.test_approval_queue import QUEUE, Desk
from tests.conftest import Clock

CHANGES = f"{QUEUE}/changes"
EVENTS = {"Accept": "text/event-stream"}


class Listener:
    """A browser that listens, over ASGI, for httpx reads no answer before its end."""

    def __init__(self, desk: Desk, who: str) -> None:
        self.desk = desk
        self.status = 0
        self.sent: asyncio.Queue[str] = asyncio.Queue()
        self.leaves = asyncio.Event()
        headers = [(b"host", b"signoff.example"), (b"accept", b"text/event-stream")]
        headers.append((b"cookie", f"{COOKIE}={desk.signed_in[who][0]}".encode()))
        path = {"path": CHANGES, "raw_path": CHANGES.encode(), "query_string": b"", "root_path": ""}
        of_http = {"type": "http", "http_version": "1.1", "method": "GET", "scheme": "http", "asgi": {"version": "3.0"}}
        ends = {"client": ("127.0.0.1", 1), "server": ("signoff.example", 80)}
        self.scope = {**of_http, **path, **ends, "headers": headers}

    async def receive(self) -> Any:
        await self.leaves.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Any) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
        elif message["body"]:
            await self.sent.put(message["body"].decode())

    async def next(self) -> str:
        return await asyncio.wait_for(self.sent.get(), 30)

    async def listen(self) -> None:
        await self.desk.origin.front(self.scope, self.receive, self.send)


@pytest.fixture
def desk(sqlite_store: Store, clock: Clock) -> Desk:
    return Desk(Origin(sqlite_store, clock, follows=False))


def told(mine: int, others: int) -> str:
    return f"data: {json.dumps({'mine': mine, 'others': others})}\n\n"


def while_listening(desk: Desk, work: Callable[[Listener], Awaitable[object]], who: str = "bob") -> None:
    async def all_of_it() -> None:
        listener = Listener(desk, who)
        listening = asyncio.create_task(listener.listen())
        await work(listener)
        listener.leaves.set()
        await listening

    asyncio.run(all_of_it())


def test_who_cannot_listen_is_told_once_and_each_what_they_see(desk: Desk) -> None:
    desk.asks("a")
    assert desk.sees("/changes").json() == {"mine": 1, "others": 0}
    assert desk.sees("/changes", "alice").json() == {"mine": 0, "others": 1}


def test_who_is_not_signed_in_is_told_nothing(desk: Desk) -> None:
    answer = desk.origin.ask("GET", CHANGES, None, headers=EVENTS)
    assert (answer.status_code, "sign-in" in answer.headers["location"]) == (303, True)


def test_who_listens_is_told_now_and_with_each_change(desk: Desk) -> None:
    async def listens(listener: Listener) -> None:
        assert await listener.next() == told(0, 0)
        desk.asks("a")
        await desk.origin.watch.tick()
        assert await listener.next() == told(1, 0)
        desk.asks("b")
        await desk.origin.watch.tick()
        assert await listener.next() == told(2, 0)

    while_listening(desk, listens)


def test_a_stream_ends_with_its_session_and_says_so(desk: Desk) -> None:
    async def listens(listener: Listener) -> None:
        await listener.next()
        await desk.origin.sessions.sign_out(desk.signed_in["bob"][0])
        await desk.origin.watch.tick()
        assert await listener.next() == OVER

    while_listening(desk, listens)


def seen(desk: Desk, path: str, headers: Mapping[str, str]) -> httpx.Response:
    cookie = {"Cookie": f"{COOKIE}={desk.signed_in['bob'][0]}"}
    return desk.origin.ask("GET", path, None, headers={**cookie, **headers})


@pytest.mark.parametrize(
    ("path", "headers", "uses"),
    [
        pytest.param(QUEUE, {}, True, id="a page"),
        pytest.param(QUEUE, {FOLLOWS: "1"}, False, id="a page that a script loads anew"),
        pytest.param(CHANGES, {FOLLOWS: "1"}, False, id="the numbers, which a script asks for"),
        pytest.param("/signoff/results", {FOLLOWS: "1"}, False, id="the state of a run"),
    ],
)
def test_what_a_script_asks_by_itself_is_no_use_of_a_session_and_takes_no_notice(
    desk: Desk, clock: Clock, path: str, headers: Mapping[str, str], uses: bool
) -> None:
    session = desk.signed_in["bob"][1]
    asyncio.run(desk.origin.sessions.tell(session, "Done, as you asked."))
    clock.now += SEEN_EVERY + timedelta(seconds=1)
    answer = seen(desk, path, headers)
    assert (answer.status_code, "Done, as you asked." in answer.text) == (200, uses)
    with desk.origin.store.transaction(write=False) as tx:
        [kept] = tx.all(Session, id=session.id)
    assert ((kept.seen > session.seen), bool(kept.notice)) == (uses, not uses)


def test_a_stream_does_not_keep_a_session_that_nobody_uses(desk: Desk, clock: Clock) -> None:
    async def listens(listener: Listener) -> None:
        await listener.next()
        for each in ("a", "b"):
            clock.now += IDLE / 2 + timedelta(minutes=1)
            desk.asks(each)
            await desk.origin.watch.tick()
            last = await listener.next()
        assert last == OVER

    while_listening(desk, listens)


def test_a_stream_ends_while_nobody_can_say_whether_its_session_goes_on(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def away(_key: str) -> None:
        raise Unavailable("Away.")

    async def ends() -> list[str]:
        listener = Listener(desk, "bob")
        listening = asyncio.create_task(listener.listen())
        sent = [await listener.next()]
        monkeypatch.setattr(desk.origin.sessions, "look_up", away)
        desk.asks("a")
        await desk.origin.watch.tick()
        await asyncio.wait_for(listening, 30)
        return sent + [listener.sent.get_nowait() for _ in range(listener.sent.qsize())]

    assert asyncio.run(ends()) == [told(0, 0)]


def test_a_stream_ends_with_the_server_so_that_the_browser_comes_again(desk: Desk) -> None:
    async def stops() -> list[str]:
        listener = Listener(desk, "bob")
        listening = asyncio.create_task(listener.listen())
        sent = [await listener.next()]
        desk.origin.watch.close()
        await asyncio.wait_for(listening, 30)
        return sent + [listener.sent.get_nowait() for _ in range(listener.sent.qsize())]

    assert asyncio.run(stops()) == [told(0, 0)]


def test_who_has_too_many_streams_is_refused_until_one_ends(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(queue_watch, "MOST_OF_ONE", 1)

    async def listens(listener: Listener) -> None:
        await listener.next()
        second = Listener(desk, "bob")
        await second.listen()
        assert second.status == 429

    while_listening(desk, listens)
    while_listening(desk, Listener.next)
