"""Who may have a websocket of Prefect's, and that it ends when they may not any more."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from starlette.types import Message, Receive, Scope, Send

from api_shim.domain.accounts import Permission, Token, User
from api_shim.store import Store, Transaction
from api_shim.web.prefect_bounds import EVENTS_FILTER, TOO_LONG
from api_shim.web.prefect_sockets import ASKS_AGAIN, MAY_NOT, MOST_OPEN, TOO_MANY
from approval_gate.model import Actor
from tests.api_shim.origin import INTERNAL, Origin
from tests.conftest import Clock
from tests.factories import NOW, make_result

OUT, LOGS, IN = "/api/events/out", "/api/logs/out", "/api/events/in"
SECONDS = ASKS_AGAIN.total_seconds()


class Client:
    """One end of a websocket; ``prefect`` sends at the other end, and ``taken`` is what has come there."""

    def __init__(self) -> None:
        self.said: asyncio.Queue[Message] = asyncio.Queue()
        self.heard: list[Message] = []
        self.taken: list[str] = []
        self.prefect: Send | None = None
        self.ended: asyncio.Task[None] | None = None

    async def hear(self, message: Message) -> None:
        self.heard.append(message)

    async def say(self, text: str) -> None:
        heard, taken = len(self.heard), len(self.taken)
        await self.said.put({"type": "websocket.receive", "text": text})
        await until(lambda: len(self.taken) > taken or len(self.heard) > heard or self.is_over)

    async def hang_up(self) -> None:
        await self.said.put({"type": "websocket.disconnect", "code": 1000})
        await until(lambda: self.is_over)

    async def tell(self, run_id: object) -> None:
        """Let Prefect tell of a run."""
        assert self.prefect is not None
        log = {"type": "log", "log": {"flow_run_id": str(run_id)}}
        await self.prefect({"type": "websocket.send", "text": json.dumps(log)})

    @property
    def is_over(self) -> bool:
        return self.ended is not None and self.ended.done()

    @property
    def kinds(self) -> list[str]:
        return [json.loads(each["text"])["type"] for each in self.heard if each["type"] == "websocket.send"]

    @property
    def code(self) -> int:
        """The code with which the websocket has been closed; 0 if it is open."""
        codes = [each["code"] for each in self.heard if each["type"] == "websocket.close"]
        assert len(codes) <= 1
        return codes[0] if codes else 0


async def until(done: Callable[[], bool]) -> None:
    """Wait for something: the store answers in other threads."""
    async with asyncio.timeout(20):
        while not done():  # noqa: ASYNC110 - what is waited for tells nobody
            await asyncio.sleep(0.002)


class Sockets(Origin):
    """An origin whose Prefect accepts websockets as Prefect does."""

    def __init__(self, store: Store, clock: Clock) -> None:
        super().__init__(store, clock)
        self.client = Client()
        self.user()
        for name, kind, action in (("carol", "extras.jobresult", "view"), ("walter", "prefect", "write")):
            self.user(name, superuser=False)
            self.identity.add_permission(name, NOW, types=[kind], actions=[action], users=[name])
        self.user("nobody", superuser=False)
        result = make_result(self.job(name="A"), None)
        self.add(result)
        self.run_id = result.flow_run_id

    async def _prefect(self, scope: Scope, receive: Receive, send: Send) -> None:
        client = self.client
        await receive()
        await send({"type": "websocket.accept"})
        first = await receive()
        if first["type"] == "websocket.disconnect":
            return
        if json.loads(first["text"]) != {"type": "auth", "token": INTERNAL}:
            await send({"type": "websocket.close", "code": 1008})
            return
        await send({"type": "websocket.send", "text": '{"type": "auth_success"}'})
        client.prefect = send
        while (message := await receive())["type"] != "websocket.disconnect":
            client.taken.append(message["text"])

    async def open(self, path: str, who: str = "carol", first: str | None = None) -> Client:
        client = self.client = Client()
        await client.said.put({"type": "websocket.connect"})
        scope = {"type": "websocket", "path": path, "headers": [], "client": ("192.0.2.1", 1)}
        client.ended = asyncio.create_task(self.front(scope, client.said.get, client.hear))  # type: ignore[arg-type]
        await until(lambda: bool(client.heard))
        await client.say(json.dumps({"type": "auth", "token": self.keys.get(who, "wrong")}) if first is None else first)
        return client

    def change(self, how: Callable[[Transaction, User], None] | None, who: str) -> None:
        """Change something about a user; None takes the store away."""
        if how is None:
            Path(str(self.store._engine.url.database)).unlink()
            return
        with self.store.transaction() as tx:
            user = tx.get(User, username=who)
            assert user is not None
            how(tx, user)


@pytest.fixture
def sockets(sqlite_store: Store, clock: Clock) -> Sockets:
    return Sockets(sqlite_store, clock)


@pytest.mark.parametrize(
    ("path", "who", "opens"),
    [
        pytest.param(OUT, "carol", True, id="a reader may watch"),
        pytest.param(LOGS, "nobody", True, id="also who will be shown nothing"),
        pytest.param(IN, "carol", False, id="a reader may not write"),
        pytest.param(IN, "walter", True, id="who may write may"),
        pytest.param(OUT, "mallory", False, id="a wrong key may nothing"),
    ],
)
def test_who_may_open_one(sockets: Sockets, path: str, who: str, opens: bool) -> None:
    async def opened() -> Client:
        return await sockets.open(path, who)

    client = asyncio.run(opened())
    assert (client.kinds, client.code) == ((["auth_success"], 0) if opens else ([], MAY_NOT))


def test_a_run_sends_its_events_and_no_others_and_hears_of_itself(sockets: Sockets) -> None:
    run_id, other = uuid4(), uuid4()
    worker = Actor(id=sockets.user("worker", superuser=False).id, username="worker")
    sockets.identity.make_worker("worker", "signoff", NOW)
    sockets.keys["run"] = asyncio.run(sockets.runs.taken(worker, run_id, keyed=True))
    of_itself, of_another = (
        {"resource": {"prefect.resource.id": f"prefect.flow-run.{each}"}} for each in (run_id, other)
    )

    async def opened() -> tuple[Client, Client, Client]:
        tells = await sockets.open(IN, "run")
        await tells.said.put({"type": "websocket.receive", "text": json.dumps({"event": "x", **of_another})})
        await tells.say(json.dumps({"event": "x", **of_itself}))
        hears = await sockets.open(OUT, "run")
        assert hears.prefect is not None
        for each in (of_another, of_itself):
            await hears.prefect({"type": "websocket.send", "text": json.dumps({"type": "event", "event": each})})
        return tells, hears, await sockets.open(LOGS, "run")

    tells, hears, logs = asyncio.run(opened())
    assert [json.loads(each)["resource"] for each in tells.taken] == [of_itself["resource"]]
    assert hears.kinds == ["auth_success", "event"]
    assert (logs.kinds, logs.code) == ([], MAY_NOT)


CHANNEL = "/api/work_pools/{}/workers/connect"


@pytest.mark.parametrize(
    ("path", "opens"),
    [
        pytest.param(CHANNEL.format("signoff"), True, id="the channel of its pool"),
        pytest.param(CHANNEL.format("bulk"), False, id="that of another pool"),
        pytest.param(IN, True, id="to tell"),
        pytest.param(OUT, True, id="to hear"),
        pytest.param(LOGS, False, id="logs"),
        pytest.param("/api/task_runs/subscriptions/scheduled", False, id="what is no worker's"),
    ],
)
def test_which_the_account_of_a_worker_opens(sockets: Sockets, path: str, opens: bool) -> None:
    sockets.user("worker", superuser=False)
    sockets.identity.make_worker("worker", "signoff", NOW)

    async def opened() -> Client:
        return await sockets.open(path, "worker")

    client = asyncio.run(opened())
    assert (client.kinds, client.code) == ((["auth_success"], 0) if opens else ([], MAY_NOT))


def test_a_worker_has_its_channel_whole_and_of_events_what_is_of_its_runs(sockets: Sockets) -> None:
    run_id, other = uuid4(), uuid4()
    worker = Actor(id=sockets.user("worker", superuser=False).id, username="worker")
    sockets.identity.make_worker("worker", "signoff", NOW)
    asyncio.run(sockets.runs.taken(worker, run_id, keyed=False))
    of_itself, of_another = (
        {"resource": {"prefect.resource.id": f"prefect.flow-run.{each}"}} for each in (run_id, other)
    )

    async def opened() -> tuple[Client, Client, Client]:
        channel = await sockets.open(CHANNEL.format("signoff"), "worker")
        await channel.say('{"type": "worker.hello.v1"}')
        assert channel.prefect is not None
        await channel.prefect({"type": "websocket.send", "text": '{"type": "worker.ready.v1"}'})
        tells = await sockets.open(IN, "worker")
        await tells.said.put({"type": "websocket.receive", "text": json.dumps({"event": "x", **of_another})})
        await tells.say(json.dumps({"event": "x", **of_itself}))
        hears = await sockets.open(OUT, "worker")
        assert hears.prefect is not None
        for each in (of_another, of_itself):
            await hears.prefect({"type": "websocket.send", "text": json.dumps({"type": "event", "event": each})})
        return channel, tells, hears

    channel, tells, hears = asyncio.run(opened())
    assert (channel.taken, channel.kinds[-1]) == (['{"type": "worker.hello.v1"}'], "worker.ready.v1")
    assert [json.loads(each)["resource"] for each in tells.taken] == [of_itself["resource"]]
    assert hears.kinds == ["auth_success", "event"]


@pytest.mark.parametrize(
    ("first", "code"),
    [
        pytest.param("{", MAY_NOT, id="nonsense"),
        pytest.param('{"type": "auth", "token": ""}', MAY_NOT, id="no key"),
        pytest.param('{"type": "filter"}', MAY_NOT, id="something else first"),
        pytest.param("x" * (EVENTS_FILTER.size + 1), TOO_LONG, id="too long"),
    ],
)
def test_what_is_no_sign_in_closes_it(sockets: Sockets, first: str, code: int) -> None:
    client = asyncio.run(sockets.open(OUT, first=first))
    assert (client.kinds, client.code) == ([], code)


def test_nothing_is_sent_before_it_is_known_who_connects(sockets: Sockets, monkeypatch: pytest.MonkeyPatch) -> None:
    async def at_once(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "websocket.accept"})
        await send({"type": "websocket.send", "text": '{"type": "auth_success"}'})

    async def opened() -> list[Message]:
        heard = Client()
        monkeypatch.setattr(sockets.front._sockets, "_prefect", at_once)  # type: ignore[attr-defined]
        scope = {"type": "websocket", "path": OUT, "headers": []}
        with pytest.raises(OSError, match="closed"):
            await sockets.front(scope, heard.said.get, heard.hear)  # type: ignore[arg-type]
        return heard.heard

    assert [each["type"] for each in asyncio.run(opened())] == ["websocket.accept", "websocket.close"]


def revoke(tx: Transaction, user: User) -> None:
    [token] = tx.all(Token, user_id=user.id)
    tx.remove(token)


def expire(tx: Transaction, user: User) -> None:
    [token] = tx.all(Token, user_id=user.id)
    tx.change(token, expires=NOW)


def deactivate(tx: Transaction, user: User) -> None:
    tx.change(user, is_active=False)


def take_permissions(tx: Transaction, user: User) -> None:
    [permission] = tx.all(Permission, name=user.username)
    tx.change(permission, enabled=False)


ENDS = [
    pytest.param(LOGS, "carol", revoke, False, id="the token is revoked"),
    pytest.param(LOGS, "carol", revoke, True, id="the token is revoked, and the client goes on"),
    pytest.param(LOGS, "carol", expire, False, id="the token expires"),
    pytest.param(LOGS, "carol", deactivate, False, id="the user is deactivated"),
    pytest.param(IN, "walter", take_permissions, True, id="a writer may not write any more, and goes on"),
    pytest.param(IN, "walter", take_permissions, False, id="a writer may not write any more, and is sent something"),
    pytest.param(LOGS, "carol", None, False, id="nobody can say"),
]


@pytest.mark.parametrize(("path", "who", "change", "goes_on"), ENDS)
def test_it_ends_with_what_it_was_opened_by(
    sockets: Sockets, clock: Clock, path: str, who: str, change: Any, goes_on: bool
) -> None:
    async def go_on() -> Client:
        client = await sockets.open(path, who)
        await client.tell(sockets.run_id)
        await client.say("one")
        sockets.change(change, who)
        clock.forward(seconds=SECONDS)
        if goes_on:
            await client.say("two")
        with pytest.raises(OSError, match="closed"):
            await client.tell(sockets.run_id)
        await client.say("three")
        await until(lambda: client.is_over)
        return client

    client = asyncio.run(go_on())
    assert (client.kinds, client.taken, client.code) == (["auth_success", "log"], ["one"], MAY_NOT)


def test_who_is_still_known_goes_on_and_what_they_may_view_is_asked_anew(sockets: Sockets, clock: Clock) -> None:
    async def go_on() -> Client:
        client = await sockets.open(LOGS)
        for _ in range(3):
            clock.forward(seconds=SECONDS)
            await client.tell(sockets.run_id)
            await client.say("more")
        sockets.change(take_permissions, "carol")
        clock.forward(seconds=SECONDS)
        await client.tell(sockets.run_id)
        return client

    client = asyncio.run(go_on())
    assert (client.kinds, client.taken, client.code) == (["auth_success"] + ["log"] * 3, ["more"] * 3, 0)


def test_that_a_token_has_ended_is_no_failed_sign_in(
    sockets: Sockets, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def end() -> None:
        client = await sockets.open(LOGS)
        monkeypatch.setattr(sockets.refusals, "signing_in", None)
        sockets.change(revoke, "carol")
        clock.forward(seconds=SECONDS)
        with pytest.raises(OSError, match="closed"):
            await client.tell(sockets.run_id)

    asyncio.run(end())


def test_a_user_has_so_many_streamed_ones_at_most(sockets: Sockets) -> None:
    async def many() -> list[int]:
        opened = [await sockets.open(LOGS) for _ in range(MOST_OPEN + 1)]
        others = [await sockets.open(LOGS, "nobody"), await sockets.open(IN, "walter")]
        await opened[0].hang_up()
        again = await sockets.open(OUT)
        codes = [each.code for each in (*opened, *others, again)]
        for each in (*opened, *others, again):
            await each.hang_up()
        return codes

    assert asyncio.run(many()) == [0] * MOST_OPEN + [TOO_MANY] + [0, 0, 0]
    assert not sockets.front._sockets._open  # type: ignore[attr-defined]
