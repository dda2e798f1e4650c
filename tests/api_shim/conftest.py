"""What the tests of our own code share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import anyio.lowlevel
import anyio.to_thread
import pytest


async def _at_once(work: Callable[..., Any], *args: Any, **_how: Any) -> Any:
    await anyio.lowlevel.checkpoint()
    return work(*args)


@pytest.fixture(autouse=True)
def _no_other_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    """Do in the same thread what the event loop gives to others.

    A test waits a millisecond for each change of threads, and there are hundreds of thousands; the acceptance tests'
    servers have their threads.
    """
    monkeypatch.setattr(anyio.to_thread, "run_sync", _at_once)
