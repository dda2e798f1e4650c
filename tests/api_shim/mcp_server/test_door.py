"""Who is let in to the MCP server of the origin."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from api_shim.mcp_server import door
from api_shim.mcp_server.door import CHALLENGE, NEEDS_KEY, NOT_INSTALLED, McpDoor
from tests.acceptance.people import People
from tests.api_shim.in_process import InProcess

HELLO = {
    "jsonrpc": "2.0",
    "id": 1,
    "method": "initialize",
    "params": {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "test", "version": "1"}},
}
ACCEPTS = {"Accept": "application/json, text/event-stream"}


def ask(server: InProcess, path: str = "/signoff/mcp", **headers: str) -> httpx.Response:
    async def asked() -> httpx.Response:
        before = McpDoor(server.application.front)
        transport = httpx.ASGITransport(app=before, client=("192.0.2.7", 1))
        async with httpx.AsyncClient(transport=transport, base_url=server.origin) as client:
            answer = await client.post(path, json=HELLO, headers={**ACCEPTS, **headers})
        before._ending.set()
        if before._living is not None:
            await before._living
        return answer

    return server.portal.call(asked)


@pytest.mark.parametrize("path", ["/signoff/mcp", "/signoff/mcp/"])
def test_who_has_a_key_is_let_in(server: InProcess, people: People, path: str) -> None:
    answer = ask(server, path, Authorization=f"Bearer {server.keys[people.add()]}")
    assert answer.status_code == 200, answer.text
    assert '"name":"signoff"' in answer.text.replace(" ", "")


def nobody(_server: InProcess, _people: People) -> dict[str, str]:
    return {}


def another_scheme(server: InProcess, people: People) -> dict[str, str]:
    return {"Authorization": f"Token {server.keys[people.add()]}"}


def a_cookie(server: InProcess, people: People) -> dict[str, str]:
    return {"Cookie": f"signoff_session={server.keys[people.add()]}"}


def an_unknown_key(_server: InProcess, _people: People) -> dict[str, str]:
    return {"Authorization": "Bearer nothing"}


def an_expired_key(_server: InProcess, people: People) -> dict[str, str]:
    key = people.token(people.add(superuser=True), expires=datetime.now(UTC) - timedelta(minutes=1))
    return {"Authorization": f"Bearer {key}"}


def who_was_deactivated(server: InProcess, people: People) -> dict[str, str]:
    gone = people.add(superuser=True)
    people.identity.set_active(gone, datetime.now(UTC), active=False)
    return {"Authorization": f"Bearer {server.keys[gone]}"}


@pytest.mark.parametrize(
    ("caller", "told", "why"),
    [
        pytest.param(nobody, NEEDS_KEY, "", id="nobody"),
        pytest.param(another_scheme, NEEDS_KEY, "", id="who uses another scheme"),
        pytest.param(a_cookie, NEEDS_KEY, "", id="a browser"),
        pytest.param(an_unknown_key, "Invalid token", ', error="invalid_token"', id="an unknown key"),
        pytest.param(an_expired_key, "Token expired", ', error="invalid_token"', id="an expired key"),
        pytest.param(who_was_deactivated, "User inactive", ', error="invalid_token"', id="who was deactivated"),
    ],
)
def test_who_is_not_let_in_is_told_how_to_sign_in(
    server: InProcess, people: People, caller: Any, told: str, why: str
) -> None:
    answer = ask(server, **caller(server, people))
    assert (answer.status_code, answer.json()["detail"]) == (401, told)
    assert answer.headers["WWW-Authenticate"] == CHALLENGE["WWW-Authenticate"] + why


def test_where_it_is_not_installed_it_says_so(server: InProcess, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(door, "find_spec", lambda _name: None)
    answer = ask(server)
    assert (answer.status_code, answer.json()["detail"]) == (404, NOT_INSTALLED)


def test_everything_else_is_passed_on(server: InProcess) -> None:
    assert ask(server, "/signoff/mcp/more").status_code == ask(server, "/signoff/nothing").status_code
