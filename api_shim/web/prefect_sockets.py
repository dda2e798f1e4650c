"""Prefect's websockets: who may open one, and what goes through it while they may.

* A websocket authenticates with its first message. Prefect is told the credentials of its internal account instead, or
  none that are valid: then it closes the websocket, which is how its clients learn that they were refused.
* What only sends what is read (``Streamed`` in ``prefect_reads.py``) is for everybody who has signed in, and sends what
  they may view; all other websockets need the permission ``prefect.write``.
* A run sends its events with its own credential, and hears those about itself (``web.prefect_run_calls``). So does the
  account of a worker with its runs, which also has Prefect's channel for workers (``web.prefect_worker_calls``).
* The credentials are asked again while messages go through. Once they are not valid any more, or no permission is left,
  or nobody can say, the websocket is closed, and nothing more is sent or taken.
* Until it is known who connects, nothing is sent but that the websocket is accepted or closed.
* A user has so many streamed websockets at most; what they may view is remembered for a moment (``Verdicts``).
* What is asked for on a streamed one is bounded, and so is the first message (``web.prefect_bounds``).
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api_shim.services.authentication import INVALID_TOKEN, NO_CREDENTIALS, Credentials, Unauthenticated
from api_shim.services.run_credentials import RunCaller
from api_shim.web.credentials import credentials_of
from api_shim.web.prefect_bounds import MAY_NOT_WRITE, TOO_LONG, is_within_bounds, may_write
from api_shim.web.prefect_reads import SOCKET, Simple, rule_for
from api_shim.web.prefect_run_calls import OwnCalls
from api_shim.web.prefect_views import PrefectReader, Verdicts
from approval_gate.errors import Forbidden, GateError
from approval_gate.model import Actor

ASKS_AGAIN = timedelta(seconds=10)
"""For how long a websocket relies on its credentials."""
MOST_OPEN = 10
"""How many streamed websockets a user has at most."""
MAY_NOT, TOO_MANY = 1008, 1013
"""The codes with which a websocket is closed to who may not have it, and to who has too many."""

SignIn = Callable[[Credentials, Scope], Awaitable[Actor | RunCaller]]
"""Returns whose credentials they are, or raises a ``GateError``."""


class PrefectSockets:
    """ASGI application that passes websockets to Prefect.

    Args:
        prefect: the Prefect server.
        reader: knows what may be sent to whom.
        own_calls: returns what knows what runs and workers may tell and hear; None for everybody else.
        internal: ``user:password`` of Prefect's internal account.
        sign_in: resolves credentials, and records those that are not valid.
        ask_again: resolves credentials that were valid when the websocket was opened.
        clock: returns the current time, timezone-aware.
    """

    def __init__(
        self,
        *,
        prefect: ASGIApp,
        reader: PrefectReader,
        own_calls: Callable[[Actor | RunCaller], OwnCalls[Any] | None],
        internal: str,
        sign_in: SignIn,
        ask_again: SignIn,
        clock: Callable[[], datetime],
    ) -> None:
        self._prefect = prefect
        self.reader = reader
        self.own_calls = own_calls
        self.internal = internal
        self.sign_in = sign_in
        self.ask_again = ask_again
        self.clock = clock
        self._open: Counter[UUID] = Counter()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one websocket, until it is closed."""
        socket = _Socket(self, scope, receive, send)
        try:
            await self._prefect(scope, socket.receive, socket.send)
        finally:
            if socket.counted is not None:
                self._leave(socket.counted)

    def enter(self, user_id: UUID) -> bool:
        """Count a streamed websocket of a user; False if they have too many."""
        if self._open[user_id] >= MOST_OPEN:
            return False
        self._open[user_id] += 1
        return True

    def _leave(self, user_id: UUID) -> None:
        self._open[user_id] -= 1
        if not self._open[user_id]:
            del self._open[user_id]


class _Socket:
    """One websocket, between its client and Prefect.

    Args:
        sockets: what all of them share.
        scope: the ASGI scope.
        receive: takes from the client.
        send: sends to the client.
    """

    def __init__(self, sockets: PrefectSockets, scope: Scope, receive: Receive, send: Send) -> None:
        self._all = sockets
        self._scope = scope
        self._receive = receive
        self._send = send
        self._streamed = rule_for(SOCKET, scope["path"])[0] is Simple.STREAMED
        self._verdicts = Verdicts(sockets.clock)
        self._credentials: Credentials | None = None
        self._actor: Actor | RunCaller | None = None
        self._asked = sockets.clock()
        self._began = self._closed = False
        self.counted: UUID | None = None

    async def receive(self) -> Message:
        """Return the next message for Prefect."""
        while (message := await self._next()) is None:
            pass
        return message

    async def _next(self) -> Message | None:
        """Return the next message; None for one that is left out."""
        message = await self._receive()
        if message["type"] != "websocket.receive":
            return message
        if (not self._began or self._streamed) and not is_within_bounds(message):
            return await self._close(TOO_LONG)
        try:
            if self._began:
                who = await self._known()
                own_calls = None if self._streamed else self._all.own_calls(who)
                if own_calls is None or await own_calls.may_tell(who, self._scope["path"], message):
                    return message
                return None
            self._began = True
            return await self._first(message)
        except GateError:
            return await self._close(MAY_NOT)

    async def send(self, message: Message) -> None:
        """Send one of Prefect's messages to the client, if they may have it.

        Raises:
            OSError: the websocket is closed.
        """
        if message["type"] != "websocket.send":
            await self._end(message)
            return
        try:
            may = await self._may_hear(message)
        except GateError:
            await self._close(MAY_NOT)
            may = False
        if self._closed:
            # As servers say it to whoever goes on sending.
            raise OSError("The websocket is closed.")
        if may:
            await self._send(message)

    async def _may_hear(self, message: Message) -> bool:
        who = await self._known()
        if (own_calls := self._all.own_calls(who)) is not None:
            return await own_calls.may_hear(who, self._scope["path"], message, self._verdicts)
        assert isinstance(who, Actor)  # noqa: S101 - said to the type checker
        return await self._all.reader.may_send(who, message, self._verdicts)

    async def _first(self, message: Message) -> Message:
        """Return the message that signs in to Prefect, in place of the client's."""
        try:
            self._actor = await self._signed_in(message)
        except GateError:
            token = ""
        else:
            if self._streamed:
                whose = self._actor.run_id if isinstance(self._actor, RunCaller) else self._actor.id
                if not self._all.enter(whose):
                    return await self._close(TOO_MANY)
                self.counted = whose
            token = self._all.internal
        return {**message, "text": json.dumps({"type": "auth", "token": token}), "bytes": None}

    async def _signed_in(self, message: Message) -> Actor | RunCaller:
        self._credentials = credentials_of(message)
        if self._credentials is None:
            raise Unauthenticated(NO_CREDENTIALS)
        self._asked = self._all.clock()
        return self._permitted(await self._all.sign_in(self._credentials, self._scope))

    async def _known(self) -> Actor | RunCaller:
        """Return who has the websocket now.

        Raises:
            GateError: nobody, or nobody who may.
        """
        if self._actor is None or self._credentials is None or self._closed:
            raise Unauthenticated(INVALID_TOKEN)
        now = self._all.clock()
        # Also where somebody has set the clock back.
        if not timedelta() <= now - self._asked < ASKS_AGAIN:
            self._actor = self._permitted(await self._all.ask_again(self._credentials, self._scope))
            self._asked = now
        return self._actor

    def _permitted(self, who: Actor | RunCaller) -> Actor | RunCaller:
        if (own_calls := self._all.own_calls(who)) is not None:
            own_calls.check_socket(who, self._scope["path"])
        elif not (self._streamed or (isinstance(who, Actor) and may_write(who))):
            raise Forbidden(MAY_NOT_WRITE)
        return who

    async def _close(self, code: int) -> Message:
        """Close the websocket, and return what tells Prefect so."""
        await self._end({"type": "websocket.close", "code": code})
        return {"type": "websocket.disconnect", "code": code}

    async def _end(self, message: Message) -> None:
        """Send that the websocket is accepted or closed, unless it is closed already."""
        if self._closed:
            return
        self._closed = message["type"] == "websocket.close"
        await self._send(message)
