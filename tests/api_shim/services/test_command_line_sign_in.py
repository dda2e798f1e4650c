"""A command line is signed in by its user in a browser, and by nobody else, for as long as that is good."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import timedelta
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import httpx
import pytest

from api_shim.domain.accounts import COOKIE, Session, SignInCode, Token, User
from api_shim.domain.audit import EventType
from api_shim.keys import challenge_of
from api_shim.services.command_line_sign_in import CODE_LASTS, NOT_GOOD
from api_shim.store import Store
from api_shim.web.pages.command_line import MALFORMED
from tests.api_shim.web.pages.visitors import Visitors, text_in
from tests.conftest import Clock
from tests.factories import NOW

PATH = "/signoff/sign-in/command-line"
VERIFIER = "v" * 43
ASKED = {"port": "50123", "state": "s" * 43, "challenge": challenge_of(VERIFIER), "machine": "laptop-7"}


class Desk:
    """Somebody with a browser and a command line."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self.visitors, self.store, self.clock = Visitors(store, clock), store, clock
        self.origin = self.visitors.origin
        self.alice = self.visitors.with_password(self.visitors.person("alice"))

    def confirm(self, who: str | None = None, **asked: str) -> httpx.Response:
        return self.visitors.sends(PATH, who or self.alice, **{**ASKED, **asked})

    def code(self, who: str | None = None) -> str:
        answer = self.confirm(who)
        assert answer.status_code == 303, answer.text
        said = {name: value for name, [value] in parse_qs(urlsplit(answer.headers["location"]).query).items()}
        assert said["state"] == ASKED["state"]
        return said["code"]

    def exchange(self, code: str, verifier: str = VERIFIER, machine: str = "laptop-7") -> httpx.Response:
        sent = {"code": code, "verifier": verifier, "machine": machine}
        return self.origin.ask("POST", f"{PATH}/token", None, data=sent)

    def is_good(self, key: str) -> bool:
        return self.uses(key, "GET").status_code == 200

    def uses(self, key: str, method: str) -> httpx.Response:
        sent = {"json": {}} if method == "POST" else {}
        return self.origin.ask(method, "/api/users/tokens/", None, headers={"Authorization": f"Token {key}"}, **sent)

    def tokens(self) -> list[Token]:
        with self.store.transaction(write=False) as tx:
            return [each for each in tx.all(Token, order="created") if each.description.startswith("signoff login")]

    def change_session(self, **to: Any) -> None:
        with self.store.transaction() as tx:
            tx.change(tx.all(Session, id=self.visitors.session(self.alice).id)[0], **to)


@pytest.fixture
def desk(sqlite_store: Store, clock: Clock) -> Desk:
    return Desk(sqlite_store, clock)


def test_who_confirms_is_shown_what_for_and_the_browser_brings_the_code_to_its_own_machine(desk: Desk) -> None:
    page = desk.visitors.sees(f"{PATH}?{urlencode(ASKED)}", desk.alice)
    assert all(word in text_in(page) for word in ("laptop-7", "50123", "alice"))
    assert "form-action 'self' http://127.0.0.1:50123;" in page.headers["Content-Security-Policy"]
    assert desk.tokens() == []
    answer = desk.confirm()
    assert answer.headers["location"].startswith("http://127.0.0.1:50123/?code=")


def test_the_command_line_has_a_token_of_its_user_for_as_long_as_the_session_would_last(desk: Desk) -> None:
    told = desk.exchange(desk.code()).json()
    [token] = desk.tokens()
    assert (told["id"], told["username"]) == (str(token.id), "alice")
    assert (token.description, token.made_with_id) == ("signoff login on laptop-7", None)
    assert token.expires == NOW + timedelta(hours=12)
    assert told["expires"] == token.expires.isoformat()
    assert desk.is_good(told["key"])
    with desk.store.transaction(write=False) as tx:
        added = tx.events(0, 100)[-1]
    assert (added.act, added.actor, added.data["changes"]["expires"]["new"]) == (
        *("token.added", "alice"),
        token.expires.isoformat(),
    )
    assert told["key"] not in str(added)
    desk.clock.forward(hours=12)
    assert not desk.is_good(told["key"])


def test_where_a_provider_vouches_it_lasts_no_longer_than_that_is_good(desk: Desk) -> None:
    code = desk.code()
    desk.change_session(provider="https://login.example.com", renew_by=NOW + timedelta(minutes=40))
    desk.exchange(code)
    assert [token.expires for token in desk.tokens()] == [NOW + timedelta(minutes=40)]


def test_where_a_provider_vouches_for_longer_it_lasts_no_longer_than_the_session(desk: Desk) -> None:
    code = desk.code()
    begun, ends = NOW - timedelta(hours=11, minutes=50), NOW + timedelta(minutes=10)
    desk.change_session(provider="https://login.example.com", created=begun, renew_by=NOW + timedelta(minutes=40))
    desk.exchange(code)
    assert [token.expires for token in desk.tokens()] == [ends]


def test_what_a_token_has_started_belongs_to_that_token(desk: Desk) -> None:
    reader = desk.visitors.reader("alice")
    told = desk.exchange(desk.code(reader)).json()
    [token] = desk.tokens()
    maker = desk.visitors.session(reader).token_id
    assert token.made_with_id == maker
    assert (desk.uses(told["key"], "GET").status_code, desk.uses(told["key"], "POST").status_code) == (200, 403)
    with desk.store.transaction() as tx:
        tx.remove(tx.all(Token, id=maker)[0])
    assert not desk.is_good(told["key"])


def test_tokens_of_earlier_sign_ins_go_when_they_have_expired(desk: Desk) -> None:
    desk.exchange(desk.code())
    desk.clock.forward(hours=13)
    desk.alice = desk.visitors.with_password("alice")
    desk.exchange(desk.code())
    desk.exchange(desk.code())
    assert len(desk.tokens()) == 2
    with desk.store.transaction(write=False) as tx:
        [event] = [each for each in tx.newest_events(20) if each.act == EventType.TOKEN_REMOVED]
    assert (event.actor, event.name) == ("alice", "alice")


def wait(desk: Desk) -> None:
    desk.clock.forward(seconds=CODE_LASTS.total_seconds() + 1)


def sign_out(desk: Desk) -> None:
    assert desk.visitors.sends("/signoff/sign-out", desk.alice).status_code == 303


def deactivate(desk: Desk) -> None:
    with desk.store.transaction() as tx:
        [alice] = tx.all(User, username="alice")
        tx.change(alice, is_active=False)


def out_at_the_provider(desk: Desk) -> None:
    desk.change_session(provider="https://login.example.com", renew_by=NOW)


def an_agent(desk: Desk) -> None:
    with desk.store.transaction() as tx:
        [alice] = tx.all(User, username="alice")
        tx.change(alice, is_agent=True)


def used(desk: Desk) -> None:
    """Nothing: the test exchanges it itself."""


@pytest.mark.parametrize(
    ("meanwhile", "sent"),
    [
        pytest.param(used, {"verifier": "w" * 43}, id="another command line"),
        pytest.param(used, {"verifier": ""}, id="who knows nothing"),
        pytest.param(used, {"code": "c" * 43}, id="another code"),
        pytest.param(used, {"code": ""}, id="no code"),
        pytest.param(wait, {}, id="too late"),
        pytest.param(sign_out, {}, id="signed out meanwhile"),
        pytest.param(deactivate, {}, id="deactivated meanwhile"),
        pytest.param(an_agent, {}, id="the account of an agent"),
        pytest.param(out_at_the_provider, {}, id="the provider has to vouch again"),
    ],
)
def test_what_is_not_good_is_refused_and_used_up(
    desk: Desk, meanwhile: Callable[[Desk], None], sent: dict[str, str]
) -> None:
    code = desk.code()
    meanwhile(desk)
    refused = desk.exchange(**{"code": code, **sent})
    assert (refused.status_code, refused.json()) == (403, {"detail": NOT_GOOD})
    assert desk.tokens() == []
    if "code" not in sent:
        assert desk.exchange(code).status_code == 403
    with desk.store.transaction(write=False) as tx:
        assert NOT_GOOD in [each.data.get("reason") for each in tx.events(0, 100)]


def test_a_code_is_good_once_and_until_there_is_a_newer_one(desk: Desk) -> None:
    first, second = desk.code(), desk.code()
    assert [desk.exchange(code).status_code for code in (first, second, second)] == [403, 200, 403]
    with desk.store.transaction(write=False) as tx:
        assert tx.all(SignInCode) == []


@pytest.mark.parametrize(
    "asked",
    [
        pytest.param({"port": "80"}, id="a port of the system"),
        pytest.param({"port": "65536"}, id="no port"),
        pytest.param({"port": "50123@evil.example"}, id="another host"),
        pytest.param({"port": ""}, id="none"),
        pytest.param({"state": "short"}, id="a state that can be guessed"),
        pytest.param({"state": "s" * 43 + "&x=1"}, id="a state with more"),
        pytest.param({"challenge": VERIFIER[:-1]}, id="no challenge"),
        pytest.param({"machine": ""}, id="no machine"),
        pytest.param({"machine": "a\x1b[31m"}, id="a machine that cannot be shown"),
        pytest.param({"machine": "m" * 101}, id="a machine with too long a name"),
    ],
)
def test_what_no_command_line_asks_is_refused(desk: Desk, asked: dict[str, str]) -> None:
    for answer in (desk.visitors.sees(f"{PATH}?{urlencode({**ASKED, **asked})}", desk.alice), desk.confirm(**asked)):
        assert answer.status_code == 400
        assert MALFORMED in text_in(answer)


def test_who_is_not_signed_in_signs_in_first_and_comes_back(desk: Desk) -> None:
    answer = desk.visitors.sees(f"{PATH}?{urlencode(ASKED)}", None)
    assert answer.status_code == 303
    [wanted] = parse_qs(urlsplit(answer.headers["location"]).query)["next"]
    assert wanted == f"{PATH}?{urlencode(ASKED)}"
    assert desk.visitors.sends(PATH, None, **ASKED).status_code == 303


def test_nobody_confirms_for_somebody_else(desk: Desk) -> None:
    cookie = {"Cookie": f"{COOKIE}={desk.visitors._signed_in(desk.alice)[0]}"}
    forged = desk.origin.ask("POST", PATH, None, headers=cookie, data={"csrf": "guessed", **ASKED})
    assert forged.status_code == 403
    assert not re.search("code=", str(forged.headers))
