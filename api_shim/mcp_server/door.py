"""``/signoff/mcp``: the MCP server on the one origin, by streamable HTTP.

* Whoever calls signs in as at the API, with ``Authorization: Bearer`` and the key of a token. Without one that counts
  the answer is 401 with ``WWW-Authenticate``, as MCP wants it. Cookies count for nothing here.
* The API says who calls, and answers each question of a tool: by its rules, limits and audit, from the address that the
  caller has come from.
* No state is kept for anybody between two requests. What this needs is loaded when somebody first comes here.
* Where fastmcp is not installed there is nothing here, which is said in a sentence.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.util import find_spec

import anyio.to_thread
import httpx
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from api_shim.client.async_client import AsyncShim

PATH = re.compile(r"/signoff/mcp/?")
CHALLENGE = {"WWW-Authenticate": 'Bearer realm="signoff"'}
NOT_INSTALLED = "The MCP server is not installed here: pip install 'prefect-signoff[mcp]'."
NEEDS_KEY = "Sign in with the key of a token: Authorization: Bearer <key>."
REFUSED = frozenset({401, 403})


class McpDoor:
    """Stands before everything else of the origin.

    Args:
        front: answers all other requests, and what the tools ask.
    """

    def __init__(self, front: ASGIApp) -> None:
        self._front = front
        self._server: ASGIApp | None = None
        self._opening = asyncio.Lock()
        self._ending = asyncio.Event()
        self._living: asyncio.Task[None] | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] == "lifespan":
            await self._live(scope, receive, send)
        elif scope["type"] == "http" and PATH.fullmatch(scope["path"]):
            await self._enter(scope, receive, send)
        else:
            await self._front(scope, receive, send)

    async def _live(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await self._front(scope, receive, send)
        finally:
            self._ending.set()
            if self._living is not None:
                await self._living

    async def _enter(self, scope: Scope, receive: Receive, send: Send) -> None:
        if find_spec("fastmcp") is None:
            answer: ASGIApp | None = JSONResponse({"detail": NOT_INSTALLED}, 404)
        else:
            answer = await self._refusal(Request(scope))
        if answer is None:
            answer, scope = await self._opened(), {**scope, "path": "/", "raw_path": b"/"}
        await answer(scope, receive, send)

    async def _refusal(self, request: Request) -> JSONResponse | None:
        """Return why nobody is let in; None if they are."""
        scheme, _, key = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not key.strip():
            return JSONResponse({"detail": NEEDS_KEY}, 401, CHALLENGE)
        async with httpx.AsyncClient(transport=self._within(request), base_url=_origin(request)) as client:
            who = await client.get("/api/", headers={"Authorization": f"Bearer {key}"})
        if who.is_success:
            return None
        told = who.json()
        if who.status_code in REFUSED:
            return JSONResponse(
                told, 401, {"WWW-Authenticate": f'{CHALLENGE["WWW-Authenticate"]}, error="invalid_token"'}
            )
        after = who.headers.get("retry-after")
        return JSONResponse(told, who.status_code, {"Retry-After": after} if after else None)

    def _within(self, request: Request) -> httpx.ASGITransport:
        client = (request.client.host, request.client.port) if request.client else ("", 0)
        return httpx.ASGITransport(app=self._front, raise_app_exceptions=False, client=client)

    async def _opened(self) -> ASGIApp:
        async with self._opening:
            if self._server is None:
                started = asyncio.Event()
                self._living = asyncio.create_task(self._serve(started))
                await started.wait()
        if self._server is None:
            raise RuntimeError("The MCP server has ended.")
        return self._server

    async def _serve(self, started: asyncio.Event) -> None:
        """Have the MCP server live until the process ends."""
        try:
            # It takes seconds to import, in which others are served.
            made = await anyio.to_thread.run_sync(_create, self)
            async with made.lifespan(made):
                self._server = made
                started.set()
                await self._ending.wait()
        finally:
            self._server = None
            started.set()

    @asynccontextmanager
    async def sign_in(self, request: Request) -> AsyncIterator[AsyncShim]:
        """Return a client of the API for whoever has made this request.

        Args:
            request: it; ``_refusal`` has let it in.
        """
        _, _, told = request.headers["authorization"].partition(" ")
        key = told.strip().rpartition(":")[2]
        # It does not leave this process.
        async with AsyncShim(_origin(request), key, insecure=True, transport=self._within(request)) as shim:
            yield shim


def _origin(request: Request) -> str:
    return f"{request.url.scheme}://{request.url.netloc}"


def _create(door: McpDoor):  # type: ignore[no-untyped-def]  # a type of a package that need not be installed
    from fastmcp.server.dependencies import get_http_request

    from api_shim.mcp_server.server import create_server

    server = create_server(lambda: door.sign_in(get_http_request()))
    return server.http_app(path="/", stateless_http=True, host_origin_protection=False)
