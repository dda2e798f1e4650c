"""Answers that depend on who asks: no cache keeps them, and browsers read them as what they say they are.

* ``Cache-Control: no-store``, so that neither a proxy nor the browser shows them to the next person.
* ``Vary`` names what the caller is known by, for caches that would store them all the same.
* ``X-Content-Type-Options: nosniff``, because what people have written must not become a page or a script.
"""

from __future__ import annotations

from starlette.datastructures import MutableHeaders
from starlette.types import Message, Send

KNOWN_BY = ("Cookie", "Authorization")
"""The headers of a request by which a caller is known."""


def mark_private(headers: MutableHeaders) -> None:
    """Mark an answer as one that depends on who asks.

    Args:
        headers: the headers of the answer, which are changed.
    """
    headers["Cache-Control"] = "no-store"
    headers["X-Content-Type-Options"] = "nosniff"
    named = {name.strip().lower() for name in headers.get("Vary", "").split(",")}
    for name in KNOWN_BY:
        if name.lower() not in named:
            headers.add_vary_header(name)


def private(send: Send) -> Send:
    """Wrap ``send`` for answers that depend on who asks.

    Args:
        send: the ASGI callable to wrap.
    """

    async def marked(message: Message) -> None:
        if message["type"] == "http.response.start":
            mark_private(MutableHeaders(scope=message))
        await send(message)

    return marked
