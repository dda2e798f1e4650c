"""Requests with another body, and answers with another body.

* The length of a body follows what is in it, and a body that is rewritten is not compressed.
* An answer is rewritten if it is a success; others pass as they are.
"""

from __future__ import annotations

from collections.abc import Callable

from starlette.datastructures import MutableHeaders
from starlette.types import Message, Receive, Scope, Send

from api_shim.asgi import received_again

OF_BODY = frozenset({b"content-length", b"content-type", b"transfer-encoding", b"content-encoding"})
"""The headers that describe a body."""


def with_body(scope: Scope, receive: Receive, body: bytes) -> tuple[Scope, Receive]:
    """Return a request with this JSON body instead of its own.

    Args:
        scope: the ASGI scope of the request.
        receive: the ASGI callable, whose body has been read.
        body: the body.
    """
    kept = [(name, value) for name, value in scope["headers"] if name not in OF_BODY]
    of_body = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    return {**scope, "headers": [*kept, *of_body]}, received_again(body, receive)


def uncompressed(scope: Scope) -> Scope:
    """Return a request that asks for an answer that is not compressed."""
    return {**scope, "headers": [(name, value) for name, value in scope["headers"] if name != b"accept-encoding"]}


def rewritten(send: Send, change: Callable[[bytes], bytes]) -> Send:
    """Wrap ``send`` so that the body of a successful answer is changed, and not cached.

    Args:
        send: the ASGI callable to wrap.
        change: returns the new body.
    """
    begun: list[Message] = []
    body = bytearray()

    async def told(message: Message) -> None:
        if message["type"] == "http.response.start":
            begun.append(message)
            return
        body.extend(message.get("body", b""))
        if message.get("more_body"):
            return
        start = begun[0]
        text = change(bytes(body)) if start["status"] == 200 else bytes(body)
        headers = MutableHeaders(raw=list(start.get("headers", [])))
        headers["content-length"] = str(len(text))
        headers["cache-control"] = "no-store"
        await send({**start, "headers": headers.raw})
        await send({"type": "http.response.body", "body": text})

    return told
