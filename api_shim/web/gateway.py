"""The gateway: authenticates every request once, and passes it to the REST API, the pages or Prefect.

* Our own paths are ``/api/``, ``/api/status``, ``/api/schema``, ``/api/docs``, ``/api/extras``, ``/api/users``,
  ``/api/plugins``, ``/api/signoff``, ``/signoff/metrics`` and ``/signoff``, of which the probes are for everybody,
  whatever credentials they have. All others are Prefect's, except three, which go to the REST API: resuming one of our
  runs is a decision, running one of our deployments is a request, and values for one of our forms are checked by our
  rules. Prefect would compute on whatever schema a client sends, so that takes ``prefect.write``.
* Our routes receive the caller, or the error why there is none, and answer 403 themselves (contract 2).
* Prefect's API answers 401 without valid credentials, as its login page expects. Its pages and their files are public,
  and so are ``/api/health`` and ``/api/ready``, by exact match.
* On Prefect's paths the session of the pages is a login too, for same-origin requests.
* Everything in Prefect's API that is not known to be a read needs the permission ``prefect.write``. Reads need a login,
  and show what the caller may view: ``prefect_reads.py`` has the rule for each.
* A run that calls with its own credential reaches its admission and outcome, what ``prefect_run_calls`` lists, and as
  its user what requests other runs, and reads of them (``deps.Requester``); nothing else. A worker that takes a run is
  given that credential (``prefect_claims``). In Prefect the account of a worker reaches what ``prefect_worker_calls``
  lists, unless it has ``prefect.write`` besides.
* With what the runs of our Jobs are started, nobody writes there (``prefect_job_variables``).
* What somebody without ``prefect.write`` asks of Prefect is bounded (``web.prefect_bounds``).
* Only authorized requests reach Prefect, with the credentials of its one internal account. Headers that name the
  creator of a run are removed, because clients could forge them.
* Links are made of an origin that a client cannot choose (``web.origins``), also by Prefect.
* What depends on who asks is marked so (``web.private_answers``); the documentation and Prefect's pages do not.
* Prefect's pages are read: nothing that anybody sends there is received.
* Prefect's pages cannot load anything from other origins, and cannot be framed.
* Websockets authenticate with their first message, and follow the same rules (``prefect_sockets.py``).
* Requests are counted by account and by address (``services.request_rates``); the pages count theirs themselves, and
  probes and websockets are not counted.
* Credentials that are not valid, and writes to Prefect that are refused, are recorded in the audit.
"""

from __future__ import annotations

import base64
import contextlib
import re
from collections.abc import Callable
from datetime import datetime
from functools import partial
from typing import Any

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api_shim.parsing.fields import read_id
from api_shim.services.authentication import NO_CREDENTIALS, Credentials, Unauthenticated
from api_shim.services.prefect_ui import PrefectUI
from api_shim.services.prefect_views import PrefectViews
from api_shim.services.refusals import Refusals
from api_shim.services.request_rates import RequestRates
from api_shim.services.run_actors import RunActors
from api_shim.services.run_credentials import RunCaller, RunCredentials
from api_shim.services.sessions import Sessions
from api_shim.services.suspensions import Suspensions
from api_shim.services.token_access import TokenAccess
from api_shim.store import Store
from api_shim.web.credentials import (
    UI_SETTINGS,
    address_of,
    asking_no_login,
    browser_of,
    read_credentials,
    session_key,
)
from api_shim.web.errors import headers_of, status_of
from api_shim.web.origins import Origins, at_origin, redirecting_within
from api_shim.web.prefect_bounds import MAY_NOT_WRITE, BoundedReads, may_write, why_not_written
from api_shim.web.prefect_claims import Claims
from api_shim.web.prefect_job_variables import JobVariables
from api_shim.web.prefect_reads import READING_METHODS, needs_write
from api_shim.web.prefect_run_calls import OwnCalls, RunCalls
from api_shim.web.prefect_sockets import PrefectSockets
from api_shim.web.prefect_views import PrefectReader
from api_shim.web.prefect_worker_calls import WorkerCalls
from api_shim.web.private_answers import private
from api_shim.web.rewriting import uncompressed
from approval_gate import policy
from approval_gate.errors import GateError, TooManyAttempts, Unavailable
from approval_gate.model import Action, Actor, ObjectType

OURS = re.compile(r"/api/?|/api/(status|schema|docs|extras|users|plugins|signoff)(/.*)?|/signoff/metrics/?", re.DOTALL)
PUBLIC = re.compile(r"/api/docs(/.*)?", re.DOTALL)
PAGES = re.compile(r"/signoff(/.*)?", re.DOTALL)
PROBES = re.compile(r"/signoff/(healthz|readyz)/?")
GATED = re.compile(r"/api/(flow_runs|deployments)/([^/]+)/(resume|create_flow_run)/?")
RUNS_DEPLOYMENT = re.compile(r"/api/deployments/[^/]+/create_flow_run/?")
CHECKS_VALUES = re.compile(r"/api/ui/schemas/validate/?")
OPEN = frozenset({"/api/health", "/api/ready"})
NOT_A_CLIENTS = frozenset({b"authorization", b"prefect-automation-id", b"prefect-automation-name"})

AT_HOME = {
    "Content-Security-Policy": "default-src 'self' 'unsafe-inline' 'unsafe-eval' data: blob:; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
}
"""The headers of Prefect's pages, which have inline scripts and compile schemas with ``eval``."""


Caller = Actor | RunCaller | GateError
"""Who calls, or the error why there is nobody."""


class Gateway:
    """The ASGI application that receives every request.

    Args:
        shim: the REST API.
        pages: the pages.
        prefect: the Prefect server.
        store: has what callers may view.
        tokens: resolves tokens to users.
        sessions: resolves session cookies to users.
        runs: resolves the credentials of runs, and makes them.
        requests: knows which of Prefect's runs and deployments are ours.
        suspensions: records which runs their own code has suspended.
        internal: ``user:password`` of Prefect's internal account.
        refusals: records what is refused.
        rates: counts requests.
        origins: says of which origin links are made.
        clock: returns the current time, timezone-aware.
    """

    def __init__(
        self,
        *,
        shim: ASGIApp,
        pages: ASGIApp,
        prefect: ASGIApp,
        store: Store,
        tokens: TokenAccess,
        sessions: Sessions,
        runs: RunCredentials,
        requests: PrefectUI,
        suspensions: Suspensions,
        internal: str,
        refusals: Refusals,
        rates: RequestRates,
        origins: Origins,
        clock: Callable[[], datetime],
    ) -> None:
        self._shim = shim
        self._pages = pages
        self._prefect = prefect
        self._tokens = tokens
        self._sessions = sessions
        self._runs = runs
        self._requests = requests
        self._internal = internal
        self._refusals = refusals
        self._rates = rates
        self._origins = origins
        self._reader = PrefectReader(prefect, PrefectViews(store), internal)
        self._claims = Claims(prefect, internal, runs, refusals, suspensions)
        self._job_variables = JobVariables(prefect, internal, requests, refusals)
        self._run_calls = RunCalls(prefect, internal, refusals, RunActors(store, rates), self._reader, suspensions)
        self._worker_calls = WorkerCalls(prefect, internal, refusals, runs, self._claims)
        self._sockets = self._made_sockets(clock)

    def _made_sockets(self, clock: Callable[[], datetime]) -> PrefectSockets:
        return PrefectSockets(
            prefect=self._prefect,
            reader=self._reader,
            own_calls=self._own_calls,
            internal=self._internal,
            sign_in=self._who,
            ask_again=self._again,
            clock=clock,
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] == "websocket":
            await self._sockets(_as_nobody(scope), receive, send)
        elif scope["type"] == "lifespan":
            await self._shim(scope, receive, send)
        elif PROBES.fullmatch(scope["path"]):
            # Whoever calls, so that they are answered while nobody can say who that is.
            await self._to_shim(Unauthenticated(NO_CREDENTIALS), scope, receive, private(send))
        elif OURS.fullmatch(scope["path"]):
            await self._ours(scope, receive, send)
        elif PAGES.fullmatch(scope["path"]):
            scope = with_state(scope, limits=self._rates.limits, origin=self._origins.of(scope))
            await self._pages({**scope, "path": scope["path"].rstrip("/")}, receive, send)
        else:
            await self._prefects(scope, receive, send)

    async def _who(self, credentials: Credentials | None, scope: Scope) -> Actor | RunCaller:
        if credentials is None:
            raise Unauthenticated(NO_CREDENTIALS)
        address = address_of(scope)
        try:
            return await self._again(credentials, scope)
        except Unauthenticated as error:
            await self._refusals.signing_in(error, address, credentials.username or "")
            raise

    async def _again(self, credentials: Credentials, scope: Scope) -> Actor | RunCaller:
        # That a token has ended while it was used is no attempt to sign in.
        if self._runs.are_meant(credentials):
            return await self._runs.caller(credentials)
        return await self._tokens.caller(credentials, address_of(scope))

    async def _caller(self, scope: Scope) -> Actor | RunCaller:
        return await self._who(read_credentials(Headers(scope=scope).get("authorization")), scope)

    async def _visitor(self, scope: Scope) -> Actor | RunCaller:
        """Return the caller on Prefect's paths, by their session or else by their token."""
        # While an identity provider cannot vouch for the session, a token is as good as without a session.
        away = (Unavailable,) if "authorization" in Headers(scope=scope) else ()
        with contextlib.suppress(Unauthenticated, *away):
            return await self._in_session(scope)
        return await self._caller(scope)

    async def _in_session(self, scope: Scope) -> Actor:
        return (await self._sessions.resume(session_key(scope), address_of(scope), browser_of(scope))).actor

    async def _ours(self, scope: Scope, receive: Receive, send: Send) -> None:
        caller: Caller
        try:
            caller = await self._caller(scope)
        except GateError as error:
            caller = error
        try:
            self._count(caller, scope, writes=scope["method"] not in READING_METHODS)
        except TooManyAttempts as error:
            caller = error
        send = send if PUBLIC.fullmatch(scope["path"]) else private(send)
        await self._to_shim(caller, scope, receive, send)

    def _count(self, caller: Caller, scope: Scope, *, writes: bool) -> None:
        known = None if isinstance(caller, GateError) else caller
        self._rates.count(known, address_of(scope), writes=writes)

    async def _to_shim(self, caller: Caller, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["method"] == "HEAD":
            # Answered like GET, without the body.
            scope, send = {**scope, "method": "GET"}, _without_body(send)
        scope = with_state(scope, limits=self._rates.limits)
        await self._shim(as_called(scope, caller, self._origins.of(scope)), receive, send)

    async def _prefects(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = scope["path"]
        if not path.lower().startswith("/api") or (path in OPEN and scope["method"] == "GET"):
            await self._prefects_page(scope, receive, send)
            return
        send = private(send)
        try:
            actor = await self._counted_visitor(scope)
            gated = await self._is_gated(actor, scope["method"], path)
        except Unauthenticated as error:
            await JSONResponse({"detail": str(error)}, 401)(scope, receive, send)
        except (Unavailable, TooManyAttempts) as error:
            await refuse(error)(scope, receive, send)
        else:
            await self._pass(actor, scope, receive, send, gated=gated)

    async def _counted_visitor(self, scope: Scope) -> Actor | RunCaller:
        writes = needs_write(scope["method"], scope["path"])
        try:
            visitor = await self._visitor(scope)
        except Unauthenticated as error:
            self._count(error, scope, writes=writes)
            raise
        self._count(visitor, scope, writes=writes)
        return visitor

    async def _prefects_page(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["method"] not in READING_METHODS:
            # Nobody has signed in here: what they send, and however much, is not read.
            await JSONResponse({"detail": "Method Not Allowed"}, 405)(scope, receive, send)
            return
        try:
            self._rates.count(None, address_of(scope), writes=False)
        except TooManyAttempts as error:
            await refuse(error)(scope, receive, send)
            return
        origin = self._origins.of(scope)
        scope, send = at_origin(_as_nobody(scope), origin), redirecting_within(_at_home(send), origin)
        if scope["path"] == UI_SETTINGS:
            send = private(send)
            # Where nobody can say who it is, the page asks for a login.
            with contextlib.suppress(GateError):
                await self._in_session(scope)
                scope, send = uncompressed(scope), asking_no_login(send)
        await self._prefect(scope, receive, send)

    async def _pass(self, actor: Actor | RunCaller, scope: Scope, receive: Receive, send: Send, *, gated: bool) -> None:
        if isinstance(actor, RunCaller) and not gated:
            await self._run_calls.answer(actor, *self._within(scope, receive, send))
        elif isinstance(actor, Actor) and policy.only_works(actor):
            await self._worker_calls.answer(actor, *self._within(scope, receive, send))
        elif isinstance(actor, RunCaller) or gated:
            ours = partial(self._to_shim, actor)
            # What is sent to be checked is compared with our forms, which takes time for each of its values.
            bounded = CHECKS_VALUES.fullmatch(scope["path"])
            await (BoundedReads(ours) if bounded else ours)(scope, receive, send)
        elif (writes := needs_write(scope["method"], scope["path"])) and not may_write(actor):
            # Prefect's pages read what not everybody may read; only who wants to change something tries anything.
            if scope["method"] not in READING_METHODS:
                await self._refusals.request(actor, MAY_NOT_WRITE, f"{Action.WRITE} {ObjectType.PREFECT}")
            await JSONResponse({"detail": why_not_written(scope["path"])}, 403)(scope, receive, send)
        else:
            await self._answering(actor, writes=writes)(*self._within(scope, receive, send))

    def _own_calls(self, who: Actor | RunCaller) -> OwnCalls[Any] | None:
        """Return what answers somebody who has nothing in Prefect but runs of their own; None for everybody else."""
        if isinstance(who, RunCaller):
            return self._run_calls
        return self._worker_calls if policy.only_works(who) else None

    def _within(self, scope: Scope, receive: Receive, send: Send) -> tuple[Scope, Receive, Send]:
        """Return a request that Prefect takes for that of its internal account."""
        origin = self._origins.of(scope)
        return at_origin(self._as_internal(scope), origin), receive, redirecting_within(send, origin)

    def _answering(self, actor: Actor, *, writes: bool) -> ASGIApp:
        """Return what answers a request to Prefect that the caller may make."""
        if writes:
            return partial(self._job_variables.answer, actor, partial(self._claims.answer, actor))
        reading = partial(self._reader.answer, actor)
        return reading if may_write(actor) else BoundedReads(reading)

    async def _is_gated(self, actor: Actor | RunCaller, method: str, path: str) -> bool:
        """Say whether a request resumes one of our runs, runs one of our deployments, or checks a form by our rules."""
        if isinstance(actor, RunCaller):
            # It runs none that are not ours, and decides nothing.
            return method == "POST" and RUNS_DEPLOYMENT.fullmatch(path) is not None
        if method == "POST" and CHECKS_VALUES.fullmatch(path):
            return not may_write(actor)
        match = GATED.fullmatch(path)
        thing_id = read_id(match[2]) if match and method == "POST" else None
        if match is None or thing_id is None:
            return False
        match (match[1], match[3]):
            case ("flow_runs", "resume"):
                return await self._requests.has_run(thing_id)
            case ("deployments", "create_flow_run"):
                return await self._requests.has_deployment(thing_id)
            case _:
                return False

    def _as_internal(self, scope: Scope) -> Scope:
        basic = b"Basic " + base64.b64encode(self._internal.encode())
        nobody = _as_nobody(scope)
        return {**nobody, "headers": [*nobody["headers"], (b"authorization", basic)]}


def as_called(scope: Scope, caller: Caller, origin: str) -> Scope:
    """Return the ASGI scope that our routes expect.

    Args:
        scope: the scope of the request.
        caller: the caller, or the error why there is none.
        origin: the origin of the links in the answer, without a trailing slash.
    """
    # The path stays percent-encoded: a name in it may contain a slash.
    path = scope["raw_path"].rstrip(b"/")
    return {**with_state(scope, caller=caller, origin=origin), "path": path.decode("latin-1"), "raw_path": path}


def with_state(scope: Scope, **state: object) -> Scope:
    """Return an ASGI scope whose request has these attributes in its state besides."""
    return {**scope, "state": {**scope.get("state", {}), **state}}


def refuse(error: GateError) -> JSONResponse:
    """Return the answer to an error on Prefect's paths."""
    return JSONResponse({"detail": str(error)}, status_of(error), headers_of(error))


def _without_body(send: Send) -> Send:
    async def headers_only(message: Message) -> None:
        await send({**message, "body": b""} if message["type"] == "http.response.body" else message)

    return headers_only


def _as_nobody(scope: Scope) -> Scope:
    return {**scope, "headers": [(name, value) for name, value in scope["headers"] if name not in NOT_A_CLIENTS]}


def _at_home(send: Send) -> Send:
    async def keep(message: Message) -> None:
        if message["type"] == "http.response.start":
            MutableHeaders(scope=message).update(AT_HOME)
        await send(message)

    return keep
