"""Bodies of requests that are passed on from one ASGI application to another: read whole, and given again.

* Whoever sends one, it is held in memory: what is larger than ``LARGEST`` is refused.
"""

from __future__ import annotations

from starlette.types import Message, Receive

from approval_gate.errors import TooLarge

LARGEST = 16 * 2**20
"""Bytes of a body that is passed on; Prefect's clients send logs in parts of 4 MiB."""


async def receive_whole(receive: Receive, largest: int = LARGEST) -> bytes | None:
    """Return the whole body of a request that is passed on; None for a client that hangs up before its end.

    Args:
        receive: the ASGI callable of the request.
        largest: the maximum size of the body, in bytes.

    Raises:
        TooLarge: the body is larger than the maximum.
    """
    body, more = bytearray(), True
    while more:
        message = await receive()
        if message["type"] != "http.request":
            return None
        body += message.get("body", b"")
        if len(body) > largest:
            raise TooLarge(f"The request body is larger than {largest} bytes.")
        more = message.get("more_body", False)
    return bytes(body)


def received_again(body: bytes, receive: Receive) -> Receive:
    """Return an ASGI callable that gives a body that has been received before, and then what comes after it."""
    unread: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def read() -> Message:
        return unread.pop() if unread else await receive()

    return read
