"""Access with a token: wrong ones are slowed and right ones never, and the last use of each is recorded."""

from __future__ import annotations

import asyncio
import logging
from datetime import datetime

import pytest

from api_shim.domain.accounts import Token
from api_shim.domain.slowdown import PATIENCE
from api_shim.services.authentication import INVALID_TOKEN, Credentials, Unauthenticated
from api_shim.services.token_access import TokenAccess
from api_shim.store import Store
from approval_gate.errors import Unavailable
from tests.conftest import Clock
from tests.factories import administering

HERE, THERE = "192.0.2.1", "198.51.100.1"


class Entrance:
    """Where alice calls with her token.

    Args:
        store: an empty one.
        clock: tells the time.
    """

    def __init__(self, store: Store, clock: Clock) -> None:
        self.store, self.clock = store, clock
        self.waited: list[float] = []
        self.access = TokenAccess(store, clock, self._sleep)
        admin = administering(store)
        admin.add_user("alice", clock.now)
        self.key = admin.add_token("alice", clock.now)

    async def _sleep(self, seconds: float) -> None:
        self.waited.append(seconds)

    def calls(self, key: str = "", address: str = HERE) -> str:
        return asyncio.run(self.access.caller(Credentials(key=key or self.key), address)).username

    def refused(self, address: str = HERE) -> None:
        with pytest.raises(Unauthenticated, match=INVALID_TOKEN):
            self.calls("wrong", address)

    def recorded(self) -> tuple[datetime | None, str]:
        """Record what is noted, and return what is then known of the token's last use."""
        asyncio.run(self.access.write())
        with self.store.transaction(write=False) as tx:
            (token,) = tx.all(Token)
        return token.last_used, token.last_used_from


@pytest.fixture
def entrance(sqlite_store: Store, clock: Clock) -> Entrance:
    return Entrance(sqlite_store, clock)


# Wrong tokens


def test_wrong_tokens_are_answered_later_and_later(entrance: Entrance) -> None:
    for _ in range(60):
        entrance.refused()
    assert entrance.waited == sorted(entrance.waited)
    assert (len(entrance.waited), entrance.waited[0], entrance.waited[-1]) == (40, 0.5, PATIENCE)


def test_a_right_token_is_never_slowed_even_behind_the_address_of_a_scanner(entrance: Entrance) -> None:
    for _ in range(60):
        entrance.refused()
    entrance.waited.clear()
    assert entrance.calls() == "alice"
    assert entrance.waited == []


def test_a_wrong_token_from_elsewhere_does_not_wait(entrance: Entrance) -> None:
    for _ in range(60):
        entrance.refused()
    entrance.waited.clear()
    entrance.refused(THERE)
    assert entrance.waited == []


# The last use


def test_when_and_from_where_a_token_was_last_used(store: Store, clock: Clock) -> None:
    entrance = Entrance(store, clock)
    assert entrance.recorded() == (None, "")
    entrance.calls()
    assert entrance.recorded() == (clock.now, HERE)
    entrance.clock.forward(minutes=1)
    entrance.calls(address=THERE)
    assert entrance.recorded() == (clock.now, THERE)


def test_a_use_is_recorded_once_a_minute(entrance: Entrance) -> None:
    first = entrance.clock.now
    entrance.calls()
    entrance.recorded()
    entrance.clock.forward(seconds=59)
    entrance.calls(address=THERE)
    assert entrance.recorded() == (first, HERE)


@pytest.mark.each_database
def test_of_several_servers_one_records_it(entrance: Entrance) -> None:
    other = TokenAccess(entrance.store, entrance.clock, entrance._sleep)
    first = entrance.clock.now
    entrance.calls()
    asyncio.run(other.caller(Credentials(key=entrance.key), THERE))
    entrance.recorded()
    entrance.clock.forward(seconds=5)
    asyncio.run(other.write())
    assert entrance.recorded() == (first, HERE)


def test_a_wrong_token_leaves_nothing(entrance: Entrance) -> None:
    entrance.refused()
    assert entrance.recorded() == (None, "")


def test_an_address_of_any_length_is_kept_in_part(entrance: Entrance) -> None:
    entrance.calls(address="x" * 1000)
    assert entrance.recorded()[1] == "x" * 64


def test_a_token_that_is_removed_meanwhile_is_passed_over(entrance: Entrance) -> None:
    entrance.calls()
    with entrance.store.transaction() as tx:
        tx.remove(tx.all(Token)[0])
    asyncio.run(entrance.access.write())


def test_the_request_neither_waits_for_the_record_nor_fails_with_it(
    entrance: Entrance, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def scenario() -> None:
        begun, go_on = asyncio.Event(), asyncio.Event()

        async def stuck(_tell: object) -> None:
            begun.set()
            await go_on.wait()
            raise Unavailable("The store cannot be reached now.")

        monkeypatch.setattr(entrance.store, "write", stuck)
        recording = asyncio.create_task(entrance.access.run())
        for _ in range(2):
            assert (await entrance.access.caller(Credentials(key=entrance.key), HERE)).username == "alice"
            await begun.wait()
        go_on.set()
        await asyncio.sleep(0.01)
        assert not recording.done()
        recording.cancel()
        await asyncio.gather(recording, return_exceptions=True)

    with caplog.at_level(logging.WARNING):
        asyncio.run(scenario())
    assert "The last use of a token could not be recorded: The store cannot be reached now." in caplog.text
    assert entrance.key not in caplog.text
