"""``Shim`` and ``AsyncShim`` at a real server: each does what its example says, whichever way it gets there."""

from __future__ import annotations

import asyncio
import doctest
import inspect
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial
from typing import Any

import anyio.from_thread
import httpx
import pytest

from api_shim import AsyncShim, Shim
from approval_gate.errors import Conflict
from tests.acceptance.people import People
from tests.live import JOBS, Live

pytestmark = pytest.mark.slow

NAMES = ("nightly", "once", "one", "two", "careful", "looked at", "hasty", "unsure", "read it")
"""What the examples schedule."""

METHODS = [name for name in vars(Shim) if not name.startswith("_") and name not in {"within", "of_this_run", "close"}]


class Blocking:
    """An ``AsyncShim`` whose every call is waited for, so that it can be talked to like a ``Shim``."""

    def __init__(self, portal: anyio.from_thread.BlockingPortal, shim: AsyncShim) -> None:
        self._portal, self._shim = portal, shim

    def __getattr__(self, name: str) -> Callable[..., Any]:
        method = getattr(self._shim, name)
        return lambda *args, **kwargs: self._portal.call(partial(method, *args, **kwargs))


@pytest.fixture(scope="module")
def names(people: People) -> tuple[str, str]:
    """Two people who may do everything."""
    return people.add(superuser=True), people.add(superuser=True)


@pytest.fixture(params=["over HTTP", "in process", "awaited"])
def ways(request: pytest.FixtureRequest, live: Live, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], Any]]:
    """Make shims of one kind for people."""
    # As a script that stands beside its Jobs.
    monkeypatch.syspath_prepend(JOBS)
    within, awaited = "in process" in request.param, "awaited" in request.param
    with ExitStack() as stack:

        def made(who: str) -> Any:
            kind: Any = AsyncShim if awaited else Shim
            make = partial(kind.within, who, home=live.home, url=live.origin) if within else None
            shim = make() if make else kind(live.origin, live.key(who))
            if not awaited:
                return stack.enter_context(shim)
            stack.callback(portal.call, shim.aclose)
            return Blocking(portal, shim)

        if awaited:
            portal = stack.enter_context(anyio.from_thread.start_blocking_portal())
        yield made


def test_every_call_has_an_example_and_both_kinds_have_every_call() -> None:
    for name in METHODS:
        assert ">>>" in (inspect.getdoc(getattr(Shim, name)) or ""), name
        assert inspect.getdoc(getattr(AsyncShim, name)) == inspect.getdoc(getattr(Shim, name))
        assert inspect.signature(getattr(AsyncShim, name)) == inspect.signature(getattr(Shim, name))


def test_every_example_is_true(
    ways: Callable[[str], Any], names: tuple[str, str], live: Live, admin: httpx.Client
) -> None:
    me, bob = names
    kind: Any = AsyncShim if isinstance(ways(me), Blocking) else Shim
    known = {"me": me, "shim": ways(me), "bob": ways(bob), "Shim": Shim, "AsyncShim": AsyncShim, "asyncio": asyncio}
    known |= {"Conflict": Conflict, "url": live.origin, "token": live.key(me), "home": live.home}
    report: list[str] = []
    runner = doctest.DocTestRunner(verbose=False)
    try:
        for example in (kind, kind.within, *(getattr(kind, name) for name in METHODS)):
            text = inspect.getdoc(example) or ""
            test = doctest.DocTestParser().get_doctest(text, {**known}, example.__qualname__, None, None)
            runner.run(test, out=report.append)
    finally:
        for name in NAMES:
            admin.delete(f"/api/extras/scheduled-jobs/{name}/")
        admin.delete("/api/extras/job-queues/gpu/")
    assert runner.summarize(verbose=False).failed == 0, "".join(report)
