"""A Prefect server that others run, as an ASGI application, which stands where Prefect's own within ours would.

* It is reached by ``PREFECT_API_URL``, with ``PREFECT_API_KEY`` or ``PREFECT_API_AUTH_STRING``, or what is in the file
  that one of these with ``_FILE`` at its end names. No caller, worker or run has those. Whoever calls here was let in
  before, and has the internal account of this process.
* What is sent to it others cannot read on its way: it is encrypted, or stays on this machine, unless somebody says that
  the network between is trusted.
* Of a request that server sees what Prefect's clients say to it (``PASSED_ON``), and no credential or cookie of ours.
* What is asked there is what was judged here: a path that could be read in another way is not asked for.
* It answers with data, and that is all that is passed on of it (``ANSWERED``, ``DATA``). A page of it would be at our
  origin, and could act there as whoever opens it: the pages of Prefect's UI are those that are installed here.
* Who was not let in is told whether it is well. Nothing that they send is read, and they have few connections, so that
  they keep nobody else waiting.
* An answer is passed on when it is whole. Without one that can be read, or where it does not know us, the caller has
  503, for which all clients of Prefect ask again.
* Its websockets are opened when somebody has signed in, and not before. As it closes one, it is closed here.
* At the start it is waited for, and asked for its version, which is to be one that is installed here too.
"""

from __future__ import annotations

import asyncio
import base64
import itertools
import json
import logging
import os
import ssl
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib.metadata import requires
from pathlib import Path
from urllib.parse import quote

import anyio
import httpx
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.version import InvalidVersion, Version
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, WebSocketException
from websockets.frames import Close
from websockets.typing import Subprotocol

from api_shim.asgi import receive_whole
from api_shim.settings import TIMEOUT, read_timeout, secret_in
from approval_gate.addresses import is_private, trusts_environment
from approval_gate.errors import Invalid, TooLarge, Unavailable

logger = logging.getLogger("signoff")

URL, KEY, AUTH = "PREFECT_API_URL", "PREFECT_API_KEY", "PREFECT_API_AUTH_STRING"
CERTIFICATES = "PREFECT_API_SSL_CERT_FILE"
KEPT_OPEN = 4.0
"""Seconds that an idle connection is kept: less than Prefect's server does, or a request would meet a closed one."""
CONNECTIONS, FOR_GUESTS = 100, 10
"""How many connections there are for who was let in, and for who was not."""
BODILESS = frozenset({"GET", "HEAD"})
"""The methods of requests that have no body."""
THERE_WITHIN = 60.0
"""Seconds that it is waited for at the start."""
TOLD_EVERY = 10
"""Every how many attempts it is said that it is waited for."""
LARGEST_MESSAGE = 16 * 1024**2
"""Bytes of a message of a websocket."""

PASSED_ON = frozenset(
    {"accept", "accept-encoding", "accept-language", "content-type", "if-modified-since", "if-none-match", "user-agent"}
)
PREFECTS_OWN = ("x-prefect-", "prefect-csrf-")
"""What the names of headers begin with that Prefect's clients send besides."""
ANSWERED = frozenset(
    {
        "cache-control",
        "content-disposition",
        "content-encoding",
        "content-type",
        "etag",
        "last-modified",
        "location",
        "retry-after",
        "vary",
    }
)
"""The headers of an answer that are passed on."""
DATA = frozenset({"application/json", "text/csv", "text/plain"})
"""What an answer may be. No browser shows one of them as a page, as it is told not to guess."""
LARGEST_FOR_GUESTS = 64 * 2**10
"""Bytes of an answer to who was not let in."""
SOON = "5"
"""Seconds after which it is worth asking again."""
SUBPROTOCOL = Subprotocol("prefect")
NORMAL, PROTOCOL_ERROR, MAY_NOT, AWAY = 1000, 1002, 1008, 1013
"""The codes with which a websocket is closed."""
WITHOUT_STATUS = 1005
"""Stands for a websocket that was closed without a code; nobody may send it."""

NO_ANSWER = "Prefect does not answer; please try again."
UNREADABLE = "Prefect's answer cannot be read."
DOES_NOT_KNOW_US = "Prefect does not accept the credentials of this server."


@dataclass(frozen=True, kw_only=True, slots=True)
class External:
    """Where a Prefect server is that others run, and how it is signed in to.

    Args:
        url: of its API, without a slash at the end.
        key: an API key, which comes first; empty for none.
        auth: ``user:password``; empty for none.
        certificates: the file with the certificates to trust; empty for those of this machine.
        timeout: how many seconds it may take to answer.
    """

    url: str
    key: str = field(default="", repr=False)
    auth: str = field(default="", repr=False)
    certificates: str = ""
    timeout: float = TIMEOUT

    @property
    def root(self) -> str:
        """What comes before the paths that are asked for, without a slash at the end."""
        return self.url.removesuffix("/api")

    @property
    def authorization(self) -> dict[str, str]:
        """The header that signs in to it; none where it asks for nothing."""
        if self.key:
            return {"authorization": f"Bearer {self.key}"}
        return {"authorization": basic(self.auth)} if self.auth else {}

    def trusted(self) -> ssl.SSLContext:
        """Return what tells whether a server is who it says.

        Raises:
            Invalid: the file of certificates cannot be read.
        """
        try:
            return ssl.create_default_context(cafile=self.certificates or None)
        except OSError as error:
            raise Invalid(f"{CERTIFICATES}: {self.certificates} cannot be read: {error.strerror}.") from error


def told_of_external(*, insecure: bool = False) -> External:
    """Return what the environment says of the Prefect server that others run.

    Args:
        insecure: whether plain HTTP may leave this machine, as the network between is trusted.

    Raises:
        Invalid: it does not say where it is, or a secret cannot be read; the sentence repeats neither.
    """
    told = read_external_url(os.environ.get(URL, ""), insecure=insecure)
    certificates = os.environ.get(CERTIFICATES, "")
    return External(url=told, key=_secret(KEY), auth=_secret(AUTH), certificates=certificates, timeout=read_timeout())


def read_external_url(text: str, *, insecure: bool = False) -> str:
    """Parse the address of the API of a Prefect server that others run.

    Args:
        text: the address.
        insecure: whether plain HTTP may leave this machine, as the network between is trusted.

    Returns:
        the address, without a slash at its end.

    Raises:
        Invalid: it is none, has credentials in it, or is not encrypted; the sentence does not repeat it.
    """
    told = text.rstrip("/")
    try:
        url = httpx.URL(told)
    except httpx.InvalidURL:
        url = httpx.URL()
    if url.scheme not in {"http", "https"} or not url.host or not url.path.endswith("/api") or url.query:
        raise Invalid(f"Set {URL} to the address of the Prefect server's API, like https://prefect.example.com/api.")
    if url.userinfo:
        raise Invalid(f"{URL} has credentials in it: set {AUTH} or {KEY} instead.")
    if not insecure and not is_private(url):
        raise Invalid(
            f"Others could read what is sent to {url.host} on its way: {URL} needs https. "
            "Where the network between is trusted, SIGNOFF_PREFECT_INSECURE=true allows http."
        )
    return told


def _secret(name: str) -> str:
    told, file = os.environ.get(name, ""), os.environ.get(f"{name}_FILE", "")
    try:
        return secret_in(Path(file), name, told) if file else told
    except ValueError as error:
        raise Invalid(str(error)) from None


def secret_files() -> list[Path]:
    """Return the files that have what signs in to the Prefect server that others run."""
    return [Path(file) for name in (KEY, AUTH) if (file := os.environ.get(f"{name}_FILE"))]


def basic(account: str) -> str:
    """Return the ``Authorization`` header for ``user:password``."""
    return f"Basic {base64.b64encode(account.encode()).decode()}"


def fitting() -> SpecifierSet:
    """Return which versions of Prefect this package works with."""
    stated = (Requirement(each) for each in requires("prefect-signoff") or ())
    return next(each.specifier for each in stated if each.name == "prefect")


class ExternalPrefect:
    """ASGI application that passes what is asked of Prefect's API on to a server; to be closed.

    Args:
        told: where it is.
        internal: ``user:password`` of the account that those have who were let in.
        pages: answers all else, as an ASGI application.
        transport: how it is reached, in place of the network.
    """

    def __init__(
        self, told: External, internal: str, pages: ASGIApp, transport: httpx.AsyncBaseTransport | None = None
    ) -> None:
        self._told = told
        self._internal = internal
        self._pages = pages
        self._refused = False
        self._tls = told.trusted() if told.url.startswith("https:") else None
        self._trusts_environment = trusts_environment(httpx.URL(told.url))
        self._client = self._opened(CONNECTIONS, transport)
        self._guests = self._opened(FOR_GUESTS, transport)

    def _opened(self, connections: int, transport: httpx.AsyncBaseTransport | None) -> httpx.AsyncClient:
        return httpx.AsyncClient(
            transport=transport,
            verify=self._tls or True,
            trust_env=self._trusts_environment,
            limits=httpx.Limits(max_connections=connections, keepalive_expiry=KEPT_OPEN),
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, or serve one websocket until it is closed."""
        if scope["type"] == "websocket":
            await self._open(scope, receive, send)
            return
        if not is_api(scope["path"]):
            await self._pages(scope, receive, send)
            return
        answer = await self._answer(Request(scope, receive))
        if answer is not None:
            await answer(scope, receive, send)

    async def aclose(self) -> None:
        """Close the connections."""
        await self._client.aclose()
        await self._guests.aclose()

    # The start

    async def wait(self, tell: Callable[[str], None], patience: float = THERE_WITHIN, pause: float = 1.0) -> None:
        """Wait until the server answers, and check its version.

        Args:
            tell: is told that it is waited for.
            patience: how many seconds to wait.
            pause: seconds between two attempts.

        Raises:
            Unavailable: it has not answered, it is of a version that does not fit, or it does not know us.
        """
        with anyio.move_on_after(patience):
            for attempt in itertools.count():
                if (found := await self._version()) is not None:
                    self._check(found)
                    return
                if attempt % TOLD_EVERY == 0:
                    tell(f"Waiting for Prefect at {self._told.url} …")
                await anyio.sleep(pause)
        raise Unavailable(f"Prefect at {self._told.url} has not answered within {patience:g} seconds: is it running?")

    async def _version(self) -> str | None:
        """Return the version of the server; None where it does not answer."""
        try:
            answer = await self._client.send(self._request("GET", f"{self._told.url}/admin/version"))
        except httpx.HTTPError:
            return None
        if answer.status_code in {401, 403}:
            raise Unavailable(f"Prefect at {self._told.url} does not accept our credentials: set {AUTH} or {KEY}.")
        if answer.status_code in {429, 502, 503, 504}:
            return None
        try:
            return str(answer.raise_for_status().json())
        except (httpx.HTTPStatusError, ValueError):
            return ""

    def _check(self, found: str) -> None:
        fits = fitting()
        try:
            known = fits.contains(Version(found), prereleases=True)
        except InvalidVersion:
            raise Unavailable(f"There is no Prefect server at {self._told.url}: check {URL}.") from None
        if not known:
            raise Unavailable(
                f"Prefect at {self._told.url} is version {found}, and prefect-signoff works with {fits} only."
            )

    # HTTP

    async def _answer(self, request: Request) -> Response | None:
        """Return the answer; None for a client that hangs up."""
        path, method = request.scope["path"], request.method
        if not is_unambiguous(path):
            return JSONResponse({"detail": "Not Found"}, 404)
        let_in = request.headers.get("authorization") == basic(self._internal)
        client, largest = (self._client, None) if let_in else (self._guests, LARGEST_FOR_GUESTS)
        try:
            sent = await receive_whole(request.receive) if let_in and method not in BODILESS else b""
            if sent is None:
                return None
            asked = self._request(method, self._address(request.scope), self._headers(request, let_in=let_in), sent)
            status, headers, content = await _asked(client, asked, largest)
            if let_in:
                self._note(refused=status == 401)
            return self._as_ours(status, headers, content)
        except TooLarge as error:
            return JSONResponse({"detail": str(error)}, 413)
        except httpx.InvalidURL:
            return JSONResponse({"detail": "Not Found"}, 404)
        except httpx.HTTPError:
            return _no_answer(NO_ANSWER)
        except Unavailable as error:
            return _no_answer(str(error))

    def _address(self, scope: Scope) -> str:
        query = scope["query_string"].decode("latin-1")
        return f"{self._told.root}{quote(scope['path'])}{'?' if query else ''}{query}"

    def _request(
        self, method: str, address: str, headers: dict[str, str] | None = None, body: bytes = b""
    ) -> httpx.Request:
        told = self._told.authorization if headers is None else headers
        timeout = httpx.Timeout(self._told.timeout).as_dict()
        return httpx.Request(method, address, headers=told, content=body, extensions={"timeout": timeout})

    def _headers(self, request: Request, *, let_in: bool) -> dict[str, str]:
        passed = {
            name: value for name, value in request.headers.items() if name in PASSED_ON or name.startswith(PREFECTS_OWN)
        }
        return {**passed, **(self._told.authorization if let_in else {})}

    def _as_ours(self, status: int, headers: httpx.Headers, body: bytes) -> Response:
        """Return an answer of that server as one of ours.

        Raises:
            Unavailable: it is none that can be passed on.
        """
        if status == 401:
            raise Unavailable(DOES_NOT_KNOW_US)
        if body and headers.get("content-type", "").partition(";")[0].strip().lower() not in DATA:
            raise Unavailable(UNREADABLE)
        answer = Response(body, status, {"x-content-type-options": "nosniff"})
        if not body:
            # What has no body, as the answer to HEAD, says nothing of its length.
            del answer.headers["content-length"]
        for name, value in headers.multi_items():
            if name in ANSWERED:
                answer.headers.append(name, self._within(value) if name == "location" else value)
        return answer

    def _note(self, *, refused: bool) -> None:
        """Log that it does not know us, once until it does."""
        if refused and not self._refused:
            logger.error("Prefect at %s no longer accepts our credentials.", self._told.url)
        self._refused = refused

    def _within(self, location: str) -> str:
        """Return where a redirect leads to, at whatever address we are reached.

        Raises:
            Unavailable: it leads away from that server's API.
        """
        root = httpx.URL(self._told.root)
        there = root.join(location)
        path = there.raw_path.decode("ascii").removeprefix(root.path.rstrip("/"))
        if there.netloc != root.netloc or not is_api(path):
            raise Unavailable(UNREADABLE)
        return path

    # Websockets

    async def _open(self, scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        path, offered = scope["path"], scope.get("subprotocols", ())
        if SUBPROTOCOL not in offered or not is_unambiguous(path) or not is_api(path):
            await send({"type": "websocket.close", "code": PROTOCOL_ERROR})
            return
        await send({"type": "websocket.accept", "subprotocol": SUBPROTOCOL})
        first = await receive()
        if first["type"] != "websocket.receive":
            return
        if not self._signs_in(first):
            await send({"type": "websocket.close", "code": MAY_NOT})
            return
        try:
            async with self._connection(scope) as there:
                await there.send(json.dumps({"type": "auth", "token": self._told.key or self._told.auth or None}))
                await _relay(there, receive, send)
                return
        except ConnectionClosed as error:
            code = _as_closed(error.rcvd)
        except (OSError, WebSocketException):
            code = AWAY
        await send({"type": "websocket.close", "code": code})

    def _signs_in(self, message: Message) -> bool:
        try:
            return bool(json.loads(message.get("text") or "") == {"type": "auth", "token": self._internal})
        except ValueError:
            return False

    def _connection(self, scope: Scope) -> connect:
        return connect(
            self._address(scope).replace("http", "ws", 1),
            subprotocols=[SUBPROTOCOL],
            open_timeout=self._told.timeout,
            additional_headers=self._told.authorization,
            max_size=LARGEST_MESSAGE,
            ssl=self._tls,
            proxy=True if self._trusts_environment else None,
        )


async def _asked(
    client: httpx.AsyncClient, request: httpx.Request, largest: int | None
) -> tuple[int, httpx.Headers, bytes]:
    answer, body = await client.send(request, stream=True), bytearray()
    try:
        # As it was sent, compressed or not.
        async for part in answer.aiter_raw():
            body += part
            if largest is not None and len(body) > largest:
                raise Unavailable(UNREADABLE)
    finally:
        await answer.aclose()
    return answer.status_code, answer.headers, bytes(body)


def _no_answer(why: str) -> Response:
    return JSONResponse({"detail": why}, 503, {"retry-after": SOON})


async def _relay(there: ClientConnection, receive: Receive, send: Send) -> None:
    """Pass messages both ways until our side ends.

    Raises:
        ConnectionClosed: theirs has.
    """

    async def up() -> None:
        while (message := await receive())["type"] == "websocket.receive":
            text = message.get("text")
            await there.send(message["bytes"] if text is None else text)

    async def down() -> None:
        while True:
            message = await there.recv()
            kind = "text" if isinstance(message, str) else "bytes"
            await send({"type": "websocket.send", kind: message})

    ways = [asyncio.create_task(up()), asyncio.create_task(down())]
    try:
        done, _ = await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        for way in done:
            way.result()
    finally:
        for way in ways:
            way.cancel()
        await asyncio.gather(*ways, return_exceptions=True)


def _as_closed(there: Close | None) -> int:
    """Return the code to close our side with.

    Args:
        there: how that server has closed its own; None if the connection was lost.
    """
    if there is None:
        return AWAY
    return NORMAL if there.code == WITHOUT_STATUS else there.code


def is_api(path: str) -> bool:
    """Say whether a path is one of Prefect's API."""
    return path.startswith("/api/")


def is_unambiguous(path: str) -> bool:
    """Say whether everybody reads a path alike: none of its segments is empty, but for the last, or only dots.

    Args:
        path: as it is after it was decoded.
    """
    *folders, last = path.split("/")[1:]
    return path.startswith("/") and "" not in folders and not {".", ".."} & {*folders, last}
