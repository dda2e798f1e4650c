"""The REST API in this process, for scripts on the server's own machine: the same routes, without the network.

* Anyone with access to the home folder can act as any user, as with the administrative commands.
* The database is the server's. Prefect is reached through the running server with a key that the home folder has for
  this, or as Prefect's own settings say. While Prefect does not respond, changes are stored, and the server brings
  Prefect into line later.
* Changes that are made here are passed to Prefect from here while this is open. No background loop runs here: it runs
  in the server.
"""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path

import anyio.from_thread
import anyio.to_thread
import httpx
from starlette.types import Receive, Scope, Send

from api_shim.app import build, create_app
from api_shim.client.transport import (
    PrefectEnvironment,
    check_private,
    opened,
    read_address,
    read_environment,
)
from api_shim.prefect_api.prefect_client import RemoteOrchestrator
from api_shim.services.audit_signing import open_store
from api_shim.services.authentication import INACTIVE, Unauthenticated, actor_of
from api_shim.services.user_names import user_called
from api_shim.settings import PrefectServer, Settings, read_settings, read_timeout, server_zone, utc_now
from api_shim.store import Transaction
from api_shim.web.gateway import as_called
from approval_gate.addresses import trusts_environment
from approval_gate.errors import GateError
from approval_gate.identity import LOCAL
from approval_gate.model import Actor


class InProcessTransport(httpx.AsyncBaseTransport):
    """An httpx transport that passes requests to the routes of the REST API, as a user.

    Args:
        settings: the settings of the server.
        username: the name of the user.
        address: the URL of the running server, for the links in answers.
        prefect: a client for Prefect's API.
    """

    def __init__(self, settings: Settings, username: str, address: httpx.URL, prefect: httpx.AsyncClient) -> None:
        self.address = address
        self._origin = f"{address.scheme}://{address.netloc.decode('ascii')}"
        self._username = username
        self._prefect = prefect
        self._store = open_store(settings, utc_now(), make=False)
        engine = RemoteOrchestrator(prefect, pool=settings.pool)
        application = build(self._store, engine, clock=utc_now, zone=server_zone(), limits=settings.limits)
        self._queue = application.queue
        self._refusals = application.services.refusals
        self._follows: asyncio.Task[None] | None = None
        self._shim = create_app(application, [], contextlib.nullcontext)
        # What a route could not handle is in the log; whoever asked is told that.
        self._transport = httpx.ASGITransport(app=self._as_user, raise_app_exceptions=False)

    @classmethod
    def of(cls, username: str, *, home: Path | str | None, url: str | None) -> InProcessTransport:
        """Open a home folder; arguments that are None come from the environment.

        Raises:
            Unavailable: the folder is not the home folder of a server.
        """
        settings = read_settings(None if home is None else Path(home))
        settings.check_home()
        address = read_address(read_environment().url if url is None else url)
        return cls(settings, username, address, to_prefect(settings, address))

    async def _as_user(self, scope: Scope, receive: Receive, send: Send) -> None:
        caller: Actor | GateError
        try:
            caller = await self._store.read(self._actor)
        except GateError as error:
            caller = error
        await self._shim(as_called(scope, caller, self._origin), receive, send)

    def _actor(self, tx: Transaction) -> Actor:
        user = user_called(tx, self._username)
        if user is None:
            raise Unauthenticated(f"There is no user named {self._username!r}.")
        if not user.is_active:
            raise Unauthenticated(INACTIVE)
        return actor_of(tx, user)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Return the response of the routes."""
        if self._follows is None:
            self._follows = asyncio.create_task(self._queue.run())
        return await self._transport.handle_async_request(request)

    async def aclose(self) -> None:
        """Close the database and the connections to Prefect."""
        if self._follows is not None:
            self._follows.cancel()
            await asyncio.gather(self._follows, return_exceptions=True)
        await self._refusals.close()
        await self._prefect.aclose()
        self._store.close()


class Portal(httpx.BaseTransport):
    """A synchronous transport that runs an ``InProcessTransport`` in an event loop in its own thread.

    Args:
        inside: the transport to run.
    """

    def __init__(self, inside: InProcessTransport) -> None:
        self._inside = inside
        self._stack = contextlib.ExitStack()
        self._portal = self._stack.enter_context(anyio.from_thread.start_blocking_portal(name="signoff-within"))

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Return the complete response."""
        request.read()
        return self._portal.call(self._answer, request)

    async def _answer(self, request: httpx.Request) -> httpx.Response:
        answer = await self._inside.handle_async_request(request)
        return httpx.Response(answer.status_code, headers=answer.headers, content=await answer.aread())

    def close(self) -> None:
        """Stop the event loop."""
        with self._stack:
            self._portal.call(self._inside.aclose)


def to_prefect(settings: Settings, address: httpx.URL) -> httpx.AsyncClient:
    """Return a client for Prefect's API, by Prefect's own settings or through the running server."""
    # What is told of a Prefect server that others run is for our server alone, which everybody else goes through.
    told = PrefectEnvironment() if settings.prefect is PrefectServer.EMBEDDED else PrefectEnvironment.model_construct()
    url = read_address(told.api_url or f"{str(address).rstrip('/')}/api")
    check_private(url)
    secret = str(told.api_auth_string or f"{LOCAL}:{settings.local_key()}")
    user, _, password = secret.partition(":")
    return opened(
        httpx.AsyncClient,
        base_url=url,
        auth=(user, password),
        timeout=read_timeout(),
        trust_env=trusts_environment(url),
    )
