"""Where a run finds the server and its key; and what is said where there is no run, or no key of its own."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any
from uuid import UUID

import pytest
from prefect.context import FlowRunContext
from prefect.settings import PREFECT_API_AUTH_STRING, PREFECT_API_URL, temporary_settings

from api_shim import AsyncShim, Shim
from api_shim.client.prefect_this_run import NO_KEY, NO_RUN
from approval_gate.errors import Unavailable

RUN = UUID("11111111-1111-4111-8111-111111111111")
KEY = f"signoff_run_{'k' * 36}"


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> None:
    """A run that this process executes."""
    monkeypatch.setattr(FlowRunContext, "get", lambda: SimpleNamespace(flow_run=SimpleNamespace(id=RUN)))


@pytest.fixture(params=["run:", ""], ids=["as our workers tell it", "alone"])
def settings(request: pytest.FixtureRequest) -> Iterator[None]:
    auth = f"{request.param}{KEY}"
    with temporary_settings({PREFECT_API_URL: "http://server:4200/api/", PREFECT_API_AUTH_STRING: auth}):
        yield


@pytest.mark.usefixtures("run", "settings")
def test_a_run_speaks_with_its_own_key_to_the_server_that_holds_it() -> None:
    with Shim.of_this_run() as shim:
        spoken = shim._http
        assert (str(spoken.base_url), repr(shim)) == ("http://server:4200", "Shim('http://server:4200')")
        assert spoken.headers["Authorization"] == f"Token {KEY}"
        assert spoken.headers["X-Request-ID"] == f"run-{RUN}"


@pytest.mark.usefixtures("run", "settings")
def test_so_it_does_when_it_awaits_the_answers() -> None:
    async def speak() -> tuple[str, str]:
        async with AsyncShim.of_this_run() as shim:
            return str(shim._http.base_url), shim._http.headers["Authorization"]

    assert asyncio.run(speak()) == ("http://server:4200", f"Token {KEY}")


@pytest.mark.usefixtures("settings")
def test_outside_of_a_run_there_is_nobody_to_act_as() -> None:
    with pytest.raises(Unavailable) as caught:
        Shim.of_this_run()
    assert str(caught.value) == NO_RUN


@pytest.mark.usefixtures("run")
@pytest.mark.parametrize(
    "told",
    [
        pytest.param({}, id="none"),
        pytest.param({PREFECT_API_AUTH_STRING: f"builder:signoff_{'k' * 36}"}, id="that of its worker"),
    ],
)
def test_a_run_without_a_key_of_its_own_requests_nothing(told: dict[Any, str]) -> None:
    with temporary_settings({PREFECT_API_URL: "http://server:4200/api", **told}), pytest.raises(Unavailable) as caught:
        Shim.of_this_run()
    assert str(caught.value) == NO_KEY
