"""Where attempts wait: as many as there are seats."""

from __future__ import annotations

import asyncio

from api_shim.services.waiting_room import WaitingRoom


def test_as_many_wait_as_there_are_seats_and_the_others_return_at_once() -> None:
    async def scenario() -> list[bool]:
        released = asyncio.Event()

        async def sleep(_seconds: float) -> None:
            await released.wait()

        room = WaitingRoom(2, sleep)
        waiting = [asyncio.create_task(room.wait(9)) for _ in range(2)]
        await asyncio.sleep(0)
        turned_away, not_to_wait = await room.wait(9), await room.wait(0)
        released.set()
        return [*await asyncio.gather(*waiting), turned_away, not_to_wait, await room.wait(9)]

    assert asyncio.run(scenario()) == [True, True, False, True, True]


def test_who_leaves_frees_their_seat() -> None:
    async def scenario() -> bool:
        room = WaitingRoom(1, asyncio.sleep)
        left = asyncio.create_task(room.wait(60))
        await asyncio.sleep(0)
        left.cancel()
        await asyncio.gather(left, return_exceptions=True)
        return await room.wait(0.001)

    assert asyncio.run(scenario())
