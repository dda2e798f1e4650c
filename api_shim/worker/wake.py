"""How workers learn at once that a run is to start: who sets one to start notifies, and every worker here listens.

* Each worker has a datagram socket in a folder that its owner alone can enter; the socket is its owner's alone too.
* A notice says nothing: not which run, nor that there is one. It may be lost, or come twice; a worker polls anyway.
* To notify never waits and never fails: a full socket belongs to a worker that is awake, a dead one is removed.
* A call that sets a run to start may come from anybody (a person, an automation, Prefect's UI); so calls are looked at
  where all of them pass, and not where we make ours.
* That a worker asks for runs is heard there too: under load, Prefect writes it down only later.
"""

from __future__ import annotations

import json
import os
import re
import socket
from collections.abc import Callable, Collection, Iterator
from contextlib import closing, contextmanager, suppress
from datetime import datetime, timedelta
from pathlib import Path

from starlette.types import ASGIApp, Message, Receive, Scope, Send

FOLDER = "wake"
OWNER_ONLY = 0o700
OWNER_SOCKET = 0o600

SETS_STATE = re.compile(r"/api/(flow_runs(/[^/]+/(set_state|resume))?|deployments/[^/]+/create_flow_run(/bulk)?)/?")
POLLS = re.compile(r"/api/work_pools/[^/]+/get_scheduled_flow_runs/?")
PREFETCHED = timedelta(seconds=10)
"""What starts later than this is found by the poll before it starts."""


class Notifier:
    """Wakes the workers of a home.

    Args:
        home: the home folder.
    """

    def __init__(self, home: Path) -> None:
        self._folder = home / FOLDER

    def notify(self) -> None:
        """Wake every worker that listens."""
        with suppress(OSError), _opened(self._folder) as folder:
            for name in os.listdir(folder):  # noqa: PTH208 - a folder that is open has no path
                self._send(folder, name)

    @staticmethod
    def _send(folder: int, name: str) -> None:
        with closing(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)) as sender:
            sender.setblocking(False)
            try:
                sender.sendto(b"!", _address(folder, name))
            except ConnectionRefusedError:
                os.unlink(name, dir_fd=folder)
            except OSError:
                return


class Listener:
    """Hears what wakes a worker; to be closed.

    Args:
        home: the home folder.
        name: of this worker, like no other here.

    Raises:
        OSError: there can be no socket; the worker polls then.
    """

    def __init__(self, home: Path, name: str) -> None:
        self._path = home / FOLDER / name
        self._path.parent.mkdir(exist_ok=True, mode=OWNER_ONLY)
        self._path.unlink(missing_ok=True)
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.setblocking(False)
        with _opened(self._path.parent) as folder:
            self._socket.bind(_address(folder, name))
        self._path.chmod(OWNER_SOCKET)

    def fileno(self) -> int:
        """Return what can be waited for."""
        return self._socket.fileno()

    def drain(self) -> None:
        """Take all notices there are; one is as good as many."""
        with suppress(BlockingIOError):
            while True:
                self._socket.recv(16)

    def close(self) -> None:
        """Listen no more."""
        self._socket.close()
        self._path.unlink(missing_ok=True)


@contextmanager
def _opened(folder: Path) -> Iterator[int]:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _address(folder: int, name: str) -> str:
    # An address may have 107 characters; the path of a home may have more.
    return f"/proc/self/fd/{folder}/{name}"


class Overhears:
    """Prefect's application, that tells of some calls when they have succeeded.

    Args:
        app: Prefect's ASGI application.
        calls: the paths of the calls, which are made by POST.
        tell: is told the path and the body.
    """

    def __init__(self, app: ASGIApp, calls: re.Pattern[str], tell: Callable[[str, bytes], None]) -> None:
        self._app = app
        self._calls = calls
        self._tell = tell

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one call."""
        if scope["type"] != "http" or scope["method"] != "POST" or not self._calls.fullmatch(scope["path"]):
            await self._app(scope, receive, send)
            return
        body = bytearray()

        async def overheard() -> Message:
            message = await receive()
            body.extend(message.get("body", b""))
            return message

        async def tell(message: Message) -> None:
            await send(message)
            if message["type"] == "http.response.start" and message["status"] < 300:
                self._tell(scope["path"], bytes(body))

        await self._app(scope, overheard, tell)


class NotifiesWorkers(Overhears):
    """Prefect's application, that wakes the workers when somebody sets a run to start.

    Args:
        app: Prefect's ASGI application.
        notify: wakes them.
        clock: tells the time, aware.
    """

    def __init__(self, app: ASGIApp, notify: Callable[[], None], clock: Callable[[], datetime]) -> None:
        super().__init__(app, SETS_STATE, self._consider)
        self._notify = notify
        self._clock = clock

    def _consider(self, path: str, body: bytes) -> None:
        if path.rstrip("/").endswith("/resume") or starts_before(body, self._clock() + PREFETCHED):
            self._notify()


def overhearing_polls(app: ASGIApp, pool: str, heard: Callable[[Collection[str], str], None]) -> ASGIApp:
    """Return Prefect's application, that tells when a worker has asked for runs.

    Args:
        app: Prefect's ASGI application.
        pool: the work pool of the server.
        heard: is told the queues that were asked about, of which none stands for all, and their work pool; that of the
            server is told as the empty name.
    """

    def tell(path: str, body: bytes) -> None:
        named = path.split("/")[3]
        heard(polled_queues(body), "" if named == pool else named)

    return Overhears(app, POLLS, tell)


def polled_queues(body: bytes) -> list[str]:
    """Return the queues that a worker asks about; none for all.

    Args:
        body: of the call, which Prefect has understood.
    """
    return [str(name) for name in json.loads(body or b"{}").get("work_queue_names") or ()]


def starts_before(body: bytes, then: datetime) -> bool:
    """Say whether a call sets a run to start before that time.

    Args:
        body: of the call, as it was sent; a state that is not told is to start now.
        then: aware.
    """
    try:
        state = (json.loads(body or b"{}") or {}).get("state") or {"type": "SCHEDULED"}
        told = (state.get("state_details") or {}).get("scheduled_time")
        return state.get("type") == "SCHEDULED" and (told is None or datetime.fromisoformat(told) < then)
    except (ValueError, TypeError, AttributeError, RecursionError):
        # Prefect took what we cannot read; to look is cheap.
        return True
