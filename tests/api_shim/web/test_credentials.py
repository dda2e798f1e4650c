"""On Prefect's paths, which calls the session of a browser speaks for, and what Prefect's UI is told of it."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import pytest
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.types import Receive, Scope, Send

from api_shim.domain.accounts import COOKIE, LONGEST
from api_shim.store import Store
from api_shim.web.credentials import session_cookie
from api_shim.web.prefect_bounds import why_not_written
from tests.api_shim.origin import Origin
from tests.conftest import Clock

HERE = "http://signoff.example"
OURS = {"Sec-Fetch-Site": "same-origin"}
READ, WRITE = ("POST", "/api/flow_runs/filter"), ("DELETE", "/api/flow_runs/6f1f4d9e-7a0b-4c6d-8e0f-0123456789ab")


class Signed(Origin):
    """Admin and carol are signed in with browsers; Prefect answers as it does where its UI asks for settings."""

    def __init__(self, store: Store, clock: Clock) -> None:
        super().__init__(store, clock)
        self.user()
        self.user("carol", superuser=False)
        self.cookies = {who: self._sign_in(who) for who in ("admin", "carol")}

    def _sign_in(self, who: str) -> str:
        key, _session = asyncio.run(self.sessions.sign_in(who, self.keys[who], ""))
        return f"{COOKIE}={key}"

    async def _prefect(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.passed.append(scope)
        settings = JSONResponse({"auth": "BASIC", "api_url": "/api", "flags": []})
        answer = settings if scope["path"] == "/ui-settings" else Response("page")
        await answer(scope, receive, send)

    def browses(self, who: str, method: str, path: str, said: Mapping[str, str] = OURS) -> Any:
        return self.ask(method, path, None, headers={"Cookie": self.cookies[who], **said})


PLAIN, PROTECTED = COOKIE, f"__Host-{COOKIE}"


@pytest.mark.parametrize(
    ("scheme", "cookies", "key"),
    [
        pytest.param("http", {PLAIN: "a"}, "a", id="over HTTP"),
        pytest.param("https", {PROTECTED: "a"}, "a", id="over TLS"),
        pytest.param("https", {PLAIN: "planted", PROTECTED: "a"}, "a", id="over TLS, with another that was planted"),
        pytest.param("https", {PLAIN: "a"}, "a", id="over TLS, begun before the name had its prefix"),
        pytest.param("http", {PROTECTED: "a"}, "", id="over HTTP, where browsers have no such cookie"),
        pytest.param("http", {PLAIN: "a", PROTECTED: "b"}, "a", id="over HTTP, with both"),
        pytest.param("https", {}, "", id="without any"),
    ],
)
def test_the_cookie_that_nobody_else_can_set_counts(scheme: str, cookies: Mapping[str, str], key: str) -> None:
    sent = "; ".join(f"{name}={value}" for name, value in cookies.items())
    scope = {"type": "http", "scheme": scheme, "path": "/", "headers": [(b"cookie", sent.encode())]}
    assert session_cookie(Request({**scope, "query_string": b"", "server": ("signoff.example", 443)})) == key


@pytest.fixture
def signed(sqlite_store: Store, clock: Clock) -> Signed:
    return Signed(sqlite_store, clock)


@pytest.mark.parametrize(
    ("method", "said", "speaks"),
    [
        pytest.param("POST", OURS, True, id="a page of ours"),
        pytest.param("POST", {**OURS, "Origin": HERE}, True, id="a page of ours, twice said"),
        pytest.param("POST", {"Origin": HERE}, True, id="an old browser, with a page of ours"),
        pytest.param("GET", {}, True, id="an old browser that reads"),
        pytest.param("GET", OURS, True, id="a page of ours that reads"),
        pytest.param("POST", {}, False, id="an old browser that does not say who writes"),
        pytest.param("POST", {"Sec-Fetch-Site": "cross-site"}, False, id="another site"),
        pytest.param("GET", {"Sec-Fetch-Site": "cross-site"}, False, id="another site that reads"),
        pytest.param("POST", {"Sec-Fetch-Site": "same-site"}, False, id="another port of this host"),
        pytest.param("GET", {"Sec-Fetch-Site": "none"}, False, id="an address that somebody typed"),
        pytest.param("POST", {"Origin": "http://signoff.example:8080"}, False, id="another port, old browser"),
        pytest.param("POST", {"Origin": "https://signoff.example"}, False, id="another scheme, old browser"),
        pytest.param("POST", {"Origin": "null"}, False, id="a page of nowhere"),
        pytest.param("POST", {**OURS, "Origin": "http://evil.example"}, False, id="one who contradicts themselves"),
    ],
)
def test_a_session_speaks_for_what_a_page_of_this_origin_asks(
    signed: Signed, method: str, said: Mapping[str, str], speaks: bool
) -> None:
    path = "/api/flow_runs/filter" if method == "POST" else "/api/flows/x"
    answer = signed.browses("admin", method, path, said)
    assert (answer.status_code, len(signed.passed)) == ((200, 1) if speaks else (401, 0))


def test_it_gives_no_more_than_its_user_may(signed: Signed) -> None:
    assert signed.browses("carol", *READ).status_code == 200
    refused = signed.browses("carol", *WRITE)
    assert (refused.status_code, refused.json()["detail"]) == (403, why_not_written(WRITE[1]))
    assert signed.browses("admin", *WRITE).status_code == 200


def test_it_does_not_speak_on_the_paths_of_our_own_api(signed: Signed) -> None:
    assert signed.browses("admin", "GET", "/api/extras/jobs/").status_code == 403


def test_it_comes_before_what_the_ui_has_stored(signed: Signed) -> None:
    stored = {"Authorization": f"Token {signed.keys['admin']}"}
    assert signed.browses("carol", *WRITE, {**OURS, **stored}).status_code == 403
    assert signed.browses("carol", *READ, {**OURS, "Authorization": "Token stale"}).status_code == 200


def test_when_it_has_ended_what_the_ui_has_stored_counts_again(signed: Signed, clock: Clock) -> None:
    clock.forward(seconds=LONGEST.total_seconds() + 1)
    assert signed.browses("carol", *READ).status_code == 401
    stored = {"Authorization": f"Token {signed.keys['carol']}"}
    assert signed.browses("carol", *READ, {**OURS, **stored}).status_code == 200


def test_prefects_ui_asks_for_no_login_while_there_is_a_session(signed: Signed, clock: Clock) -> None:
    told = signed.browses("carol", "GET", "/ui-settings")
    assert told.json() == {"auth": None, "api_url": "/api", "flags": []}
    assert told.headers["cache-control"] == "no-store"
    assert signed.ask("GET", "/ui-settings", None).json()["auth"] == "BASIC"
    assert signed.browses("carol", "GET", "/ui-settings", {"Sec-Fetch-Site": "cross-site"}).json()["auth"] == "BASIC"
    clock.forward(seconds=LONGEST.total_seconds() + 1)
    assert signed.browses("carol", "GET", "/ui-settings").json()["auth"] == "BASIC"


def test_what_is_not_settings_is_passed_on_as_it_is(signed: Signed) -> None:
    assert signed.browses("carol", "GET", "/v2/dashboard").text == "page"
