"""Locks between servers: of two one has it, and it goes with the connection of whoever had it."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import closing, suppress
from uuid import UUID, uuid4

import anyio
import pytest

from api_shim.store import Duty, HeldElsewhere, Store
from api_shim.store.locks import ServerLocks, number_of
from api_shim.store.postgresql import UNREACHABLE
from approval_gate.errors import Unavailable
from tests.databases import cut_off
from tests.live import PATIENCE

pytestmark = pytest.mark.each_database

ONE, OTHER = UUID(int=1), UUID(int=2)


@pytest.fixture
def servers(postgresql_url: str) -> Iterator[tuple[ServerLocks, ServerLocks]]:
    """The locks of two servers of one database."""
    with closing(Store(postgresql_url)) as first, closing(Store(postgresql_url)) as second:
        yield first.locks, second.locks


def is_free(locks: ServerLocks, what: UUID | Duty) -> bool:
    """Say whether a server can take a lock."""
    with suppress(HeldElsewhere), locks.held_by_thread(what):
        return True
    return False


@pytest.mark.parametrize("what", [pytest.param(ONE, id="an object"), pytest.param(Duty.SWEEP, id="a duty")])
def test_of_two_servers_one_has_a_lock_and_then_the_other(
    servers: tuple[ServerLocks, ServerLocks], what: UUID | Duty
) -> None:
    first, second = servers
    with first.held_by_thread(what):
        assert not is_free(second, what)
        assert is_free(second, OTHER)
        assert is_free(second, Duty.PUBLISH)
    with second.held_by_thread(what):
        assert not is_free(first, what)


def test_a_server_waits_for_another_as_long_as_it_is_told(servers: tuple[ServerLocks, ServerLocks]) -> None:
    first, second = servers

    async def waits() -> None:
        async with first.held(ONE):
            with pytest.raises(HeldElsewhere, match="Another server"):
                async with second.held(ONE, patience=0.1):
                    pass
            waiting = asyncio.create_task(had())
            await asyncio.sleep(0.1)
            assert not waiting.done()
        assert await waiting

    async def had() -> bool:
        async with second.held(ONE, patience=PATIENCE):
            return not is_free(first, ONE)

    asyncio.run(waits())


def test_what_is_given_up_half_way_is_free(servers: tuple[ServerLocks, ServerLocks]) -> None:
    first, second = servers

    async def gives_up() -> None:
        with anyio.move_on_after(0.01):
            async with first.held(ONE):
                await anyio.sleep(PATIENCE)

    asyncio.run(gives_up())
    assert is_free(second, ONE)


def test_a_lock_goes_with_the_connection_and_who_had_it_connects_again(
    servers: tuple[ServerLocks, ServerLocks], postgresql_url: str
) -> None:
    first, second = servers
    with first.held_by_thread(ONE):
        cut_off(postgresql_url)
        with second.held_by_thread(ONE), first.held_by_thread(OTHER):
            assert not is_free(first, ONE)
    assert is_free(first, ONE)


def test_who_gives_back_what_was_lost_takes_nothing_from_others(
    servers: tuple[ServerLocks, ServerLocks], postgresql_url: str
) -> None:
    first, second = servers
    with first.held_by_thread(ONE):
        cut_off(postgresql_url)
        assert is_free(first, OTHER)
        first_again = first.held_by_thread(ONE)
        first_again.__enter__()
    # The first time it was another connection's.
    assert not is_free(second, ONE)
    first_again.__exit__(None, None, None)
    assert is_free(second, ONE)


def test_a_server_that_closes_its_store_lets_go(postgresql_url: str) -> None:
    first, second = Store(postgresql_url), Store(postgresql_url)
    with closing(second), first.locks.held_by_thread(ONE):
        first.close()
        assert is_free(second.locks, ONE)


def test_many_threads_of_a_server_take_what_they_want(servers: tuple[ServerLocks, ServerLocks]) -> None:
    first, second = servers
    ids, seen, together = [uuid4() for _ in range(20)], list[bool](), threading.Barrier(20)

    def take(what: UUID) -> None:
        with first.held_by_thread(what):
            together.wait(PATIENCE)
            seen.append(is_free(second, what))

    threads = [threading.Thread(target=take, args=(what,)) for what in ids]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert seen == [False] * len(ids)
    assert all(is_free(second, what) for what in ids)


def test_without_its_database_no_lock_is_had() -> None:
    store = Store("postgresql://nobody@127.0.0.1:1/none")
    with closing(store), pytest.raises(Unavailable, match=UNREACHABLE), store.locks.held_by_thread(ONE):
        pass


def test_the_one_server_of_an_sqlite_database_is_given_every_lock(sqlite_store: Store) -> None:
    async def takes() -> None:
        async with sqlite_store.locks.held(ONE), sqlite_store.locks.held(ONE):
            assert is_free(sqlite_store.locks, ONE)

    asyncio.run(takes())


def test_every_id_has_a_number_that_postgresql_can_keep() -> None:
    ids = [UUID(int=0), UUID(int=2**128 - 1), UUID(int=2**64), UUID(int=2**64 - 1), *(uuid4() for _ in range(100))]
    assert all(-(2**63) <= number_of(each) < 2**63 for each in ids)
    # Both halves count, and a duty is no object's.
    assert len({number_of(UUID(int=1)), number_of(UUID(int=2)), number_of(UUID(int=1 << 64 | 4))}) == 3
    assert {number_of(each) for each in ids}.isdisjoint(map(number_of, Duty))
