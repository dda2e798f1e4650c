"""The pages by which people sign in at an identity provider, and everything that must not let them in."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qs, quote, urlsplit

import httpx
import pytest

from api_shim.domain.accounts import Session, User
from api_shim.settings import SignInRules
from api_shim.store import Store
from api_shim.web.pages.provider_sign_in import COOKIE, NOT_BEGUN
from tests.api_shim.origin import ADDRESS, Origin
from tests.api_shim.web.pages.visitors import text_in
from tests.conftest import Clock
from tests.databases import INPUTS_KEY
from tests.identity_provider import ISSUER, SECRET, Provider, cookie_in

GO, BACK, OUT = "/signoff/sign-in/provider", "/signoff/sign-in/callback", "/signoff/signed-out"
SESSION = "signoff_session"


class Street:
    """Our pages, an identity provider, and a browser between them."""

    def __init__(self, store: Store, clock: Clock, *, provider: bool = True, **rules: Any) -> None:
        store.inputs_key = INPUTS_KEY
        self.store = store
        self.provider = Provider(lambda: datetime.now(UTC))
        self.provider.person("248", preferred_username="alice")
        adapter = self.provider.adapter if provider else None
        self.origin = Origin(store, clock, follows=False, sign_in=SignInRules(**rules), provider=adapter)
        self.cookie = ""

    def ask(self, path: str, **query: str) -> httpx.Response:
        asked = f"{path}?{'&'.join(f'{name}={quote(value)}' for name, value in query.items())}" if query else path
        return self.origin.ask("GET", asked, None, headers={"Cookie": self.cookie} if self.cookie else {})

    def goes(self, wanted: str = "/signoff/approval-queue", subject: str = "248") -> dict[str, str]:
        """Begin to sign in, and return what the provider sends back."""
        sent = self.ask(GO, next=wanted)
        assert sent.status_code == 303, sent.text
        self.cookie = f"{COOKIE}={cookie_in(sent, COOKIE)}"
        return self.provider.signs_in(sent.headers["location"], subject)

    def refusals(self) -> list[str]:
        with self.store.transaction(write=False) as tx:
            return [each.data["reason"] for each in tx.events(0, 100) if each.act == "sign-in.refused"]

    def sessions(self) -> list[Session]:
        with self.store.transaction(write=False) as tx:
            return tx.all(Session)


@pytest.fixture
def street(sqlite_store: Store, clock: Clock) -> Street:
    return Street(sqlite_store, clock)


def test_who_has_signed_in_there_is_signed_in_here_and_where_they_wanted_to_be(street: Street) -> None:
    said = street.goes("/signoff/scheduled-jobs?state=pending")
    [form] = [street.ask(GO, next="/signoff/jobs")]
    asked = {name: value for name, [value] in parse_qs(urlsplit(form.headers["location"]).query).items()}
    assert asked["redirect_uri"] == f"{ADDRESS}{BACK}"
    answer = street.ask(BACK, **said)
    assert (answer.status_code, answer.headers["location"]) == (303, "/signoff/scheduled-jobs?state=pending")
    assert cookie_in(answer, COOKIE) == ""
    kept = next(each for each in answer.headers.get_list("set-cookie") if each.startswith(SESSION))
    assert {"HttpOnly", "SameSite=lax"} <= {*kept.split("; ")}
    street.cookie = f"{SESSION}={cookie_in(answer, SESSION)}"
    assert "alice" in street.ask("/signoff/account").text
    assert ISSUER in text_in(street.ask("/signoff/account"))
    assert street.provider.forms()[0]["code_verifier"]


@pytest.mark.parametrize("wanted", ["https://evil.example/", "//evil.example/", "/signoff/../x", "javascript:alert(1)"])
def test_nobody_is_led_elsewhere(street: Street, wanted: str) -> None:
    assert street.ask(BACK, **street.goes(wanted)).headers["location"] == "/signoff/jobs"


def changed(**to: str) -> Callable[[Street, dict[str, str]], dict[str, str]]:
    return lambda _street, said: {**said, **to}


def claiming(**to: Any) -> Callable[[Street, dict[str, str]], dict[str, str]]:
    def claim(street: Street, said: dict[str, str]) -> dict[str, str]:
        street.provider.claims = lambda claims: {**claims, **to}
        return said

    return claim


def without_cookie(street: Street, said: dict[str, str]) -> dict[str, str]:
    street.cookie = ""
    return said


def with_anothers_cookie(street: Street, said: dict[str, str]) -> dict[str, str]:
    street.goes()
    return said


def with_broken_cookie(street: Street, said: dict[str, str]) -> dict[str, str]:
    street.cookie = f"{COOKIE}=bm9uc2Vuc2U="
    return said


def replayed(street: Street, said: dict[str, str]) -> dict[str, str]:
    assert street.ask(BACK, **said).status_code == 303
    with street.store.transaction() as tx:
        tx.remove_all(Session, [each.id for each in tx.all(Session)])
    return said


def refused(street: Street, said: dict[str, str]) -> dict[str, str]:
    return {"state": said["state"], "error": "access_denied", "error_description": f"<b>{SECRET}</b>"}


@pytest.mark.parametrize(
    ("how", "reason"),
    [
        pytest.param(changed(state="another"), NOT_BEGUN, id="wrong state"),
        pytest.param(changed(state=""), NOT_BEGUN, id="no state"),
        pytest.param(without_cookie, NOT_BEGUN, id="another browser"),
        pytest.param(with_anothers_cookie, NOT_BEGUN, id="another attempt"),
        pytest.param(with_broken_cookie, NOT_BEGUN, id="a cookie that is none"),
        pytest.param(changed(iss="http://evil.example"), NOT_BEGUN, id="another provider answers"),
        pytest.param(changed(code="another"), "invalid_grant", id="another code"),
        pytest.param(replayed, "invalid_grant", id="a code that is replayed"),
        pytest.param(claiming(nonce="another"), "nonce", id="wrong nonce"),
        pytest.param(claiming(exp=1), "expired_token", id="expired"),
        pytest.param(claiming(aud="another"), "aud", id="wrong audience"),
        pytest.param(claiming(iss="http://evil.example"), "iss", id="wrong issuer"),
        pytest.param(refused, "access_denied", id="the provider refuses"),
    ],
)
def test_who_is_not_signed_in_is_told_so_and_the_audit_why(
    street: Street, how: Callable[[Street, dict[str, str]], dict[str, str]], reason: str
) -> None:
    said = how(street, street.goes())
    answer = street.ask(BACK, **said)
    assert answer.status_code == 403
    assert "Sign in with Login" in text_in(answer)
    assert 'role="alert"' in answer.text
    assert street.sessions() == []
    assert [each for each in street.refusals() if reason in each]
    seen = f"{answer.text} {answer.headers} {street.refusals()}"
    assert not any(secret in seen for secret in (said.get("code", SECRET), SECRET))


def test_who_is_not_let_in_here_is_told_whom_to_ask(sqlite_store: Store, clock: Clock) -> None:
    street = Street(sqlite_store, clock, new_users=False)
    answer = street.ask(BACK, **street.goes())
    assert answer.status_code == 403
    assert "Ask an administrator" in text_in(answer)
    assert "248" not in answer.text
    assert "'248'" in street.refusals()[0]
    with street.store.transaction(write=False) as tx:
        assert tx.all(User) == []


@pytest.mark.parametrize("when", ["before", "after"])
def test_while_the_provider_is_away_that_is_said(street: Street, when: str) -> None:
    said = street.goes() if when == "after" else {}
    street.provider.away = True
    answer = street.ask(BACK, **said) if when == "after" else street.ask(GO)
    assert answer.status_code == 503
    assert "The identity provider (Login) does not answer." in text_in(answer)
    assert street.refusals() == []


@pytest.fixture
def overdue(street: Street, clock: Clock) -> Street:
    """Somebody whose session has to be renewed, while the provider is away."""
    answer = street.ask(BACK, **street.goes())
    street.cookie = f"{SESSION}={cookie_in(answer, SESSION)}"
    clock.forward(hours=2)
    street.provider.away = True
    assert street.ask("/signoff/account").status_code == 503
    return street


def test_while_the_provider_is_away_who_has_a_session_there_can_sign_in_otherwise(overdue: Street) -> None:
    street, name, form_cookie = overdue, "root", "signoff_sign_in"
    street.origin.user(name)
    page = street.ask("/signoff/sign-in")
    assert page.status_code == 200
    [csrf] = re.findall(r'name="csrf" value="([^"]+)"', page.text)
    cookies = {"Cookie": f"{street.cookie}; {form_cookie}={cookie_in(page, form_cookie)}"}
    sent = {"csrf": csrf, "username": name, "secret": street.origin.keys[name]}
    answer = street.origin.ask("POST", "/signoff/sign-in", None, headers=cookies, data=sent)
    assert (answer.status_code, len(street.sessions())) == (303, 1)
    street.cookie = f"{SESSION}={cookie_in(answer, SESSION)}"
    assert street.ask("/signoff/account").status_code == 200


def test_while_the_provider_is_away_who_has_a_session_there_can_sign_out(overdue: Street) -> None:
    [session] = overdue.sessions()
    how = {"headers": {"Cookie": overdue.cookie}, "data": {"csrf": session.csrf}}
    assert overdue.origin.ask("POST", "/signoff/sign-out", None, **how).headers["location"] == OUT
    assert overdue.sessions() == []


def test_while_the_provider_is_away_a_token_is_good_beside_a_session_from_there(overdue: Street) -> None:
    overdue.origin.user("root")
    cookie = {"Cookie": overdue.cookie}
    asked = [overdue.origin.ask("GET", "/api/flows/", who, headers=cookie).status_code for who in (None, "root")]
    assert asked == [503, 200]


def test_where_there_is_no_provider_there_are_none_of_its_pages(sqlite_store: Store, clock: Clock) -> None:
    street = Street(sqlite_store, clock, provider=False)
    assert [street.ask(path).status_code for path in (GO, BACK, OUT)] == [404] * 3
    assert "Sign in with" not in text_in(street.ask("/signoff/sign-in"))


def test_who_signs_out_can_do_so_at_the_provider_too(street: Street) -> None:
    answer = street.ask(BACK, **street.goes())
    street.cookie = f"{SESSION}={cookie_in(answer, SESSION)}"
    [csrf] = {*re.findall(r'name="csrf" value="([^"]+)"', street.ask("/signoff/account").text)}
    sent = street.origin.ask("POST", "/signoff/sign-out", None, headers={"Cookie": street.cookie}, data={"csrf": csrf})
    assert (sent.status_code, sent.headers["location"], street.sessions()) == (303, OUT, [])
    page = street.ask(OUT)
    [leave] = re.findall(rf'href="({ISSUER}[^"]+)"', page.text)
    assert quote(f"{ADDRESS}/signoff/sign-in", safe="") in leave or f"{ADDRESS}/signoff/sign-in" in leave
    street.provider.away = True
    assert street.ask(OUT).status_code == 200


def test_a_session_from_there_changes_no_password(street: Street) -> None:
    answer = street.ask(BACK, **street.goes())
    street.cookie = f"{SESSION}={cookie_in(answer, SESSION)}"
    assert 'action="/signoff/account/password"' not in street.ask("/signoff/account").text
