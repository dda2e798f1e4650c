"""The one origin over a store, with Prefect in memory: what HTTP shows without a server."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from datetime import datetime
from typing import Any

import httpx
from starlette.datastructures import URL
from starlette.responses import JSONResponse, RedirectResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from api_shim.app import build, create_app
from api_shim.domain.accounts import User
from api_shim.domain.model import Job
from api_shim.settings import LIMITS, Limits
from api_shim.store import Store
from api_shim.web.gateway import Gateway
from api_shim.web.origins import Origins
from tests.factories import NOW, administering, make_job
from tests.fakes import FakeEngine

INTERNAL = "prefect:internal"
ADDRESS = "http://signoff.example"


class Origin:
    """Asks our application; remembers what was passed on to Prefect, and how long who was slowed would have waited.

    Args:
        store: an empty one.
        clock: tells the time, aware.
        follows: whether Prefect follows what is answered.
        limits: how much may be asked of it.
        signing_in: how people sign in, and where, as ``build`` takes it.
    """

    def __init__(
        self,
        store: Store,
        clock: Callable[[], datetime],
        *,
        follows: bool = True,
        limits: Limits = LIMITS,
        **signing_in: Any,
    ) -> None:
        self.follows = follows
        self.store = store
        self.engine = FakeEngine(clock=clock)
        self.identity = administering(store)
        self.passed: list[Scope] = []
        self.redirects = False
        self.waited: list[float] = []
        application = build(store, self.engine, clock=clock, zone="UTC", sleep=self._sleep, limits=limits, **signing_in)
        self.rates = application.rates
        self.readiness = application.services.readiness
        self.tokens = application.tokens
        self.loop = application.loop
        self.catalogue = application.services.catalogue
        self.refusals = application.services.refusals
        self.sessions = application.sessions
        self.runs = application.services.run_credentials
        self.suspensions = application.services.suspensions
        self.queue = application.queue
        self.served = application.served
        self.watch = application.services.queue_watch
        self.shim = create_app(application, [], contextlib.nullcontext)
        self.front: ASGIApp = Gateway(
            shim=self.shim,
            pages=application.pages,
            prefect=self._prefect,
            store=store,
            tokens=self.tokens,
            sessions=application.sessions,
            runs=self.runs,
            requests=application.services.prefect_ui,
            suspensions=application.services.suspensions,
            internal=INTERNAL,
            refusals=application.services.refusals,
            rates=self.rates,
            origins=Origins("", ADDRESS),
            clock=clock,
        )
        self.keys: dict[str, str] = {}

    async def _sleep(self, seconds: float) -> None:
        self.waited.append(seconds)

    async def _prefect(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.passed.append(scope)
        if self.redirects:
            # As Starlette does where a slash is missing.
            await RedirectResponse(URL(scope=scope).replace(path=f"{scope['path']}/"))(scope, receive, send)
            return
        await JSONResponse({"prefect": True})(scope, receive, send)

    def user(self, username: str = "admin", *, superuser: bool = True) -> User:
        made = self.identity.add_user(username, NOW, superuser=superuser)
        self.keys[username] = self.identity.add_token(username, NOW)
        return made

    def add(self, *things: Any) -> None:
        with self.store.transaction() as tx:
            for thing in things:
                tx.add(thing)

    def job(self, **to: Any) -> Job:
        job = make_job(**to)
        self.add(job)
        return job

    def look(self) -> None:
        """Let it learn which queues are served, as it does every few seconds."""
        asyncio.run(self.served.look())

    def ask(self, method: str, path: str, who: str | None = "admin", **how: Any) -> httpx.Response:
        headers = {**({"Authorization": f"Token {self.keys[who]}"} if who else {}), **how.pop("headers", {})}

        async def asked() -> httpx.Response:
            # What the server could not handle is answered, and raised again for its log.
            transport = httpx.ASGITransport(app=self.front, raise_app_exceptions=False)
            async with httpx.AsyncClient(transport=transport, base_url=ADDRESS) as client:
                answer = await client.request(method, path, headers=headers, **how)
            if self.follows:
                # As on an idle server, Prefect has followed before anybody asks again.
                await self.queue.drain()
            return answer

        return asyncio.run(asked())
