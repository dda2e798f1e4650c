"""The bodies of requests that are passed on."""

from __future__ import annotations

import asyncio

import pytest
from starlette.types import Message

from api_shim.asgi import LARGEST, receive_whole, received_again
from approval_gate.errors import TooLarge

PART = b"x" * (LARGEST // 4)


async def endless() -> Message:
    return {"type": "http.request", "body": PART, "more_body": True}


@pytest.mark.parametrize("largest", [LARGEST, 10])
def test_a_body_without_end_is_refused(largest: int) -> None:
    with pytest.raises(TooLarge, match=f"^The request body is larger than {largest} bytes.$"):
        asyncio.run(receive_whole(endless, largest))


def test_a_body_is_received_whole_and_again_and_half_of_one_is_none() -> None:
    async def scenario() -> None:
        left: list[Message] = [{"type": "http.request", "body": PART, "more_body": True} for _ in range(3)]
        left += [{"type": "http.request", "body": PART}, {"type": "http.disconnect"}]

        async def receive() -> Message:
            return left.pop(0)

        body = await receive_whole(receive)
        assert body == PART * 4
        again = received_again(body, receive)
        assert await receive_whole(again) == body
        assert await receive_whole(again) is None

    asyncio.run(scenario())
