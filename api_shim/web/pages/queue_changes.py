"""``/signoff/approval-queue/changes``: how many requests wait, now and whenever that changes.

* An ``EventSource`` is told now, and again each time the queue changes, until its session ends. Anybody else is told
  once, so that who cannot have a stream can ask now and then.
* Everybody is told the numbers of what they may see. What they may is read anew each time.
* To watch is no use of a session: it ends as if nobody did.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import ExitStack

from fastapi import APIRouter
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from api_shim.services.approval_queue import QueueView
from api_shim.services.authentication import Unauthenticated
from api_shim.services.queue_watch import Watcher
from api_shim.web.credentials import session_cookie
from api_shim.web.pages.visit import EVENTS, Here, Visit, wants_events
from approval_gate.errors import Unavailable

router = APIRouter(prefix="/signoff/approval-queue/changes")
OVER = "event: over\ndata:\n\n"
"""What is sent when the session has ended."""
ANEW = 20.0
"""Seconds after which something is sent in any case, so that connections whose other end is gone are noticed."""


@router.get("")
async def changes(here: Here) -> Response:
    if not wants_events(here.request):
        return JSONResponse(await here.use.approval_queue.counts(here.actor))
    watching = ExitStack()
    # Before the answer begins, so that who is one too many is refused.
    watcher = watching.enter_context(here.use.queue_watch.watching(here.actor.id, here.session.id))
    return Events(_events(here, watcher), watching)


class Events(StreamingResponse):
    """A stream of events.

    Args:
        events: they, as they are sent.
        watching: is closed when the stream ends, also if it has not begun.
    """

    def __init__(self, events: AsyncIterator[str], watching: ExitStack) -> None:
        # Proxies that collect an answer before they pass it on would pass on nothing.
        super().__init__(events, media_type=EVENTS, headers={"X-Accel-Buffering": "no"})
        self._watching = watching

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the events."""
        with self._watching:
            await super().__call__(scope, receive, send)


async def _events(here: Visit, watcher: Watcher) -> AsyncIterator[str]:
    """Yield the numbers of the queue when they may have changed, and comments in between."""
    key = session_cookie(here.request) or ""
    told: Mapping[QueueView, int] | None = None
    changed = True
    while True:
        try:
            actor = (await here.sessions.look_up(key)).actor
        except Unauthenticated:
            # A browser that were only cut off would come again and again.
            yield OVER
            return
        except Unavailable:
            # Nobody can say now whether the session goes on; the browser comes again by itself.
            return
        if watcher.over:
            # The server stops: the browser comes again by itself when it is back.
            return
        counts = await here.use.approval_queue.counts(actor)
        yield f"data: {json.dumps(counts)}\n\n" if changed or counts != told else ":\n\n"
        told, changed = counts, await watcher.wait(ANEW)
