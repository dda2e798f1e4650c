"""``signoff login`` and ``logout``: what the browser brings, what is kept, and what is sent to whom."""

from __future__ import annotations

import json
import stat
import webbrowser
from datetime import UTC, datetime, timedelta
from importlib import import_module
from pathlib import Path
from threading import Thread
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest

from api_shim.cli.kept_logins import ENDED, logins_file
from api_shim.cli.login import STILL_KEPT, WORKS_NO_MORE
from api_shim.keys import challenge_of
from api_shim.services.authentication import EXPIRED, INACTIVE, INVALID_TOKEN
from tests.api_shim.cli.conftest import Run, Told

KEY = "signoff_key_that_was_made_by_the_server"
TOKEN_ID = "0a4c2f0e-5a7f-4d0c-9f3e-0f5f3a3b9c11"


def given(**to: Any) -> dict[str, Any]:
    ends = (datetime.now(UTC) + timedelta(hours=1)).isoformat()
    return {"key": KEY, "id": TOKEN_ID, "username": "alice", "expires": ends, **to}


class Browser:
    """A browser whose user confirms what it is shown.

    Args:
        brings: what it brings back, as far as that is not as it should be.
    """

    def __init__(self, **brings: str) -> None:
        self.brings = brings
        self.shown: dict[str, str] = {}
        self.pages: list[int] = []
        self._threads: list[Thread] = []

    def open(self, url: str) -> bool:
        self.shown = {name: value for name, [value] in parse_qs(urlsplit(url).query).items()}
        self._threads = [Thread(target=self._come)]
        self._threads[0].start()
        return True

    def _come(self) -> None:
        right = {"code": "the-code", "state": self.shown["state"]}
        place = f"http://127.0.0.1:{self.shown['port']}/"
        for said in [{**right, **self.brings}, right] if self.brings else [right]:
            self.pages.append(httpx.get(place, params=said, trust_env=False).status_code)

    def close(self) -> None:
        for thread in self._threads:
            thread.join()


@pytest.fixture
def browser(monkeypatch: pytest.MonkeyPatch, server: Told) -> Any:
    monkeypatch.delenv("SIGNOFF_TOKEN")
    opened = Browser()
    monkeypatch.setattr(webbrowser, "open", lambda url: opened.open(url))
    yield opened
    opened.close()


def sent(server: Told) -> dict[str, str]:
    [(_, _, body)] = [each for each in server.asked if each[1].endswith("/token")]
    return {name: value for name, [value] in parse_qs(body).items()}


@pytest.mark.parametrize("brings", [{}, {"state": "another"}, {"code": ""}], ids=["at once", "wrong state", "no code"])
def test_who_confirms_in_a_browser_needs_no_token(
    signoff: Run, server: Told, browser: Browser, brings: dict[str, str]
) -> None:
    browser.brings = brings
    server.body = given()
    printed = signoff("login")
    assert printed.status == 0, printed.err
    assert printed.out.startswith("Signed in as alice until ")
    assert browser.pages == ([400, 200] if brings else [200])
    exchanged = sent(server)
    assert exchanged["code"] == "the-code"
    assert browser.shown["challenge"] == challenge_of(exchanged["verifier"])
    assert exchanged["verifier"] not in printed.err
    assert browser.shown["machine"] == exchanged["machine"]
    assert KEY not in printed.out + printed.err
    assert stat.S_IMODE(logins_file().stat().st_mode) == 0o600
    server.body = {"count": 0, "next": None, "previous": None, "results": []}
    assert signoff("queue").status == 0
    assert server.tokens[-1] == f"Token {KEY}"


def test_the_token_goes_to_no_other_server_and_is_not_used_beside_another(
    signoff: Run, server: Told, browser: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.body = given()
    signoff("login")
    elsewhere = server.url.replace("127.0.0.1", "localhost")
    assert "SIGNOFF_TOKEN" in signoff("queue", "--url", elsewhere).refusal
    monkeypatch.setenv("SIGNOFF_TOKEN", "another")
    signoff("queue")
    assert server.tokens[-1] == "Token another"


def test_one_that_has_ended_is_not_sent(signoff: Run, server: Told, browser: Browser) -> None:
    server.body = given(expires=datetime.now(UTC).isoformat())
    signoff("login")
    asked = len(server.asked)
    assert signoff("queue").refusal == ENDED
    assert signoff("logout").out == "Signed out.\n"
    assert len(server.asked) == asked


@pytest.mark.parametrize(
    ("status", "detail", "said"),
    [
        pytest.param(204, "", "Signed out.", id="it is revoked"),
        pytest.param(404, "No Token matches the given query.", WORKS_NO_MORE[INVALID_TOKEN], id="it is gone"),
        pytest.param(403, INVALID_TOKEN, WORKS_NO_MORE[INVALID_TOKEN], id="it was revoked"),
        pytest.param(403, EXPIRED, WORKS_NO_MORE[EXPIRED], id="it has expired by the clock of the server"),
        pytest.param(403, INACTIVE, WORKS_NO_MORE[INACTIVE], id="its user is deactivated"),
    ],
)
def test_who_signs_out_has_their_token_revoked_and_forgotten(
    signoff: Run, server: Told, browser: Browser, status: int, detail: str, said: str
) -> None:
    server.body = given()
    signoff("login")
    server.status, server.body = status, {"detail": detail}
    assert signoff("logout").out == f"{said}\n"
    assert server.asked[-1][:2] == ("DELETE", f"/api/users/tokens/{TOKEN_ID}/")
    assert server.tokens[-1] == f"Token {KEY}"
    assert KEY not in logins_file().read_text()
    assert signoff("logout").out == "You are not signed in there.\n"
    assert "SIGNOFF_TOKEN" in signoff("queue").refusal


def test_a_token_that_could_not_be_revoked_is_kept_until_it_is(signoff: Run, server: Told, browser: Browser) -> None:
    server.body = given()
    signoff("login")
    server.status, server.body = 503, {"detail": "The store cannot be written."}
    assert signoff("logout").refusal.endswith(f"The store cannot be written. {STILL_KEPT}")
    assert KEY in logins_file().read_text()
    server.status = 204
    assert signoff("logout").out == "Signed out.\n"
    assert KEY not in logins_file().read_text()


def test_a_token_that_the_server_does_not_revoke_is_forgotten_and_its_end_is_told(
    signoff: Run, server: Told, browser: Browser
) -> None:
    server.body = given()
    signoff("login")
    server.status, server.body = 403, {"detail": "This token can only read."}
    refusal = signoff("logout").refusal
    assert "on this machine only" in refusal
    assert "works until 20" in refusal
    assert f"This token can only read. Revoke it on your page, {server.url}/signoff/account," in refusal
    assert KEY not in logins_file().read_text()


def test_a_server_that_refuses_is_one_sentence(signoff: Run, server: Told, browser: Browser) -> None:
    server.status, server.body = 403, {"detail": "This sign-in is no longer valid."}
    printed = signoff("login")
    assert (printed.status, printed.err.splitlines()[-1]) == (1, "error: This sign-in is no longer valid.")
    server.status, server.body = 200, {"hello": "world"}
    assert "is not signoff" in signoff("login").err
    assert not logins_file().exists()


def test_a_browser_that_brings_nothing_is_not_waited_for_for_ever(
    signoff: Run, server: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The command has the name of its module.
    monkeypatch.setattr(import_module("api_shim.cli.login"), "PATIENCE", 0)
    printed = signoff("login", "--no-browser")
    assert "The browser did not bring an answer." in printed.err
    assert f"{server.url}/signoff/sign-in/command-line?port=" in printed.err


def test_nothing_is_sent_where_others_can_read_it(signoff: Run, server: Told) -> None:
    for command in ("login", "logout"):
        assert "--insecure" in signoff(command, "--url", "http://signoff.invalid").refusal


@pytest.mark.parametrize(
    ("content", "mode", "said"),
    [
        pytest.param("{}", 0o644, "is open to other users; close it with chmod 600", id="others can read it"),
        pytest.param("[]", 0o600, "was not written by signoff login", id="something else"),
        pytest.param(json.dumps({"x": {"key": KEY}}), 0o600, "was not written by", id="half of it"),
    ],
)
def test_a_file_that_cannot_be_used_is_one_sentence(
    signoff: Run, server: Told, browser: Browser, content: str, mode: int, said: str
) -> None:
    path: Path = logins_file()
    path.parent.mkdir(parents=True)
    path.write_text(content)
    path.chmod(mode)
    refusal = signoff("queue").refusal
    assert said in refusal
    assert KEY not in refusal
