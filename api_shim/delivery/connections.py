"""Refuses connections to addresses that the server may not be made to call, at the moment when they are made.

* Whoever names an address may have its name mean another one at the next moment, have it redirect to another, or write
  it in a way that only some parser reads so. What counts is what is connected to: Python tells its audit hooks of that
  before, whichever library does it.
* Only what is guarded is watched. It starts no process either, and listens nowhere.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache
from typing import Any

from approval_gate.addresses import Reachable

CONNECTING = frozenset({"socket.connect", "socket.sendto", "socket.sendmsg"})
NEVER = frozenset(
    {"subprocess.Popen", "os.exec", "os.fork", "os.forkpty", "os.posix_spawn", "os.spawn", "os.system", "socket.bind"}
)


class NotAllowed(OSError):
    """What is guarded may not do this."""


_guard: ContextVar[Reachable | None] = ContextVar("guard", default=None)


@contextmanager
def guarded(reachable: Reachable) -> Iterator[None]:
    """Let what is done here connect to no other addresses than these, while this is entered.

    Args:
        reachable: what it may connect to.
    """
    _watch()
    token = _guard.set(reachable)
    try:
        yield
    finally:
        _guard.reset(token)


@cache
def _watch() -> None:
    # A hook cannot be taken away: there is one for good, once there is anything to be sent.
    sys.addaudithook(_check)


def _check(event: str, args: tuple[Any, ...]) -> None:
    """Refuse what is not allowed.

    Raises:
        NotAllowed: it is not.
    """
    if event not in CONNECTING and event not in NEVER:
        return
    reachable = _guard.get()
    if reachable is None:
        return
    if event in NEVER or not _may_connect(reachable, args[-1]):
        raise NotAllowed("A notification may not do this.")


def _may_connect(reachable: Reachable, address: object) -> bool:
    match address:
        case (str() as host, *_):
            return reachable.may_call(host)
        case _:
            # A socket of this machine.
            return False
