"""How busy a process is: while somebody is answered, and for a moment after that."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from api_shim.reconcile import load as of_load
from api_shim.reconcile.load import Load
from api_shim.web.load import Measured


def ask(app: Any, kind: str = "http") -> Any:
    return app({"type": kind}, None, None)


def test_it_is_busy_while_somebody_is_answered_and_for_a_moment_after(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(of_load, "LULL", 0.02)
    load, seen = Load(), []

    async def app(*_: Any) -> None:
        seen.append(load.is_quiet())

    async def life() -> None:
        seen.append(load.is_quiet())
        await ask(Measured(app, load))
        seen.append(load.is_quiet())
        await asyncio.sleep(0.05)
        seen.append(load.is_quiet())

    asyncio.run(life())
    assert seen == [True, False, False, True]


def test_what_goes_wrong_is_counted_as_answered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(of_load, "LULL", -1.0)
    load = Load()

    async def app(*_: Any) -> None:
        raise RuntimeError("broken")

    async def life() -> bool:
        with pytest.raises(RuntimeError):
            await ask(Measured(app, load))
        return load.is_quiet()

    assert asyncio.run(life())


def test_what_is_no_request_is_not_counted() -> None:
    load = Load()

    async def app(*_: Any) -> None:
        assert load.is_quiet()

    async def life() -> bool:
        await ask(Measured(app, load), "lifespan")
        return load.is_quiet()

    assert asyncio.run(life())
