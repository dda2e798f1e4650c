"""The page of somebody's own account: who may do what there, and what it shows."""

from __future__ import annotations

import re
from uuid import UUID, uuid4

import pytest

from api_shim.domain.accounts import Session, Token, User
from api_shim.keys import PREFIX
from api_shim.services.own_account import NOT_YOURS
from api_shim.store import Store
from api_shim.web.pages import account
from api_shim.web.pages.account import HOME, TYPED_TWICE
from approval_gate.policy import NO_PERMISSION, NOT_BY_PASSWORD
from tests.api_shim.web.pages.visitors import PASSWORD, Visitors, text_in
from tests.conftest import Clock
from tests.factories import NOW

KEY = re.compile(rf"{PREFIX}\w+")
NEW = {"present": PASSWORD, "new": "battery staple", "again": "battery staple"}


@pytest.fixture
def visitors(sqlite_store: Store, clock: Clock) -> Visitors:
    made = Visitors(sqlite_store, clock)
    made.person("alice")
    made.person("bob")
    return made


def tokens_of(visitors: Visitors, name: str) -> list[Token]:
    with visitors.origin.store.transaction(write=False) as tx:
        [user] = tx.all(User, username=name)
        return tx.all(Token, order="created", user_id=user.id)


def sessions(visitors: Visitors) -> set[UUID]:
    with visitors.origin.store.transaction(write=False) as tx:
        return {session.id for session in tx.all(Session)}


# Every route and every caller

TOKEN, REVOKED, SESSION = "{token_id}", "tokens/{token_id}/revoke", "sessions/{session_id}/end"

ALLOWED = {
    # Who is asked: nobody, alice with a token, with a password, with a token that only reads, and an administrator.
    ("GET", HOME): (303, 200, 200, 200, 200),
    ("POST", f"{HOME}/password"): (303, 403, 303, 403, 403),
    ("POST", f"{HOME}/tokens"): (303, 200, 200, 403, 200),
    # What is alice's is not found by anybody else.
    ("GET", f"{HOME}/{REVOKED}"): (303, 200, 200, 200, 404),
    ("POST", f"{HOME}/{REVOKED}"): (303, 303, 303, 403, 404),
    ("POST", f"{HOME}/sessions/end-others"): (303, 303, 303, 403, 303),
    ("POST", f"{HOME}/{SESSION}"): (303, 303, 303, 403, 404),
}


def test_every_route_says_here_who_may() -> None:
    routes = {(method, route.path) for route in account.router.routes for method in route.methods}  # type: ignore[attr-defined]  # FastAPI's
    assert routes == ALLOWED.keys()


@pytest.mark.parametrize("route", ALLOWED, ids=" ".join)
def test_who_may(visitors: Visitors, route: tuple[str, str]) -> None:
    callers = (None, "alice", visitors.with_password("alice"), visitors.reader("alice"), "admin")
    method, path = route
    for who, status in zip(callers, ALLOWED[route], strict=True):
        visitors.origin.identity.add_token("alice", NOW)
        of_alice = {"token_id": tokens_of(visitors, "alice")[-1].id, "session_id": visitors.session("alice").id}
        address = path.format(**of_alice)
        answer = visitors.sees(address, who) if method == "GET" else visitors.sends(address, who, **NEW)
        assert answer.status_code == status, (who, answer.text)
        if who is None:
            assert answer.headers["location"].startswith("/signoff/sign-in")
        # Each who does something leaves things as they were for the next.
        if status == 303 and path.endswith("password"):
            visitors.origin.identity.set_password("alice", PASSWORD, NOW)
        visitors.restore(*callers)


# What is shown


def test_a_token_is_made_and_shown_once(visitors: Visitors) -> None:
    form = {"description": "laptop", "expires": "2030-01-31T18:00", "access": "read"}
    answer = visitors.sends(f"{HOME}/tokens", "alice", **form)
    [key] = KEY.findall(answer.text)
    made = next(token for token in tokens_of(visitors, "alice") if token.description == "laptop")
    assert (made.write_enabled, f"{made.expires:%Y-%m-%dT%H:%M}") == (False, "2030-01-31T18:00")
    assert answer.headers["cache-control"] == "no-store"
    page = visitors.sees(HOME, "alice").text
    assert "laptop" in page
    assert key not in page
    assert visitors.origin.ask("GET", "/api/", None, headers={"Authorization": f"Token {key}"}).status_code == 200


@pytest.mark.parametrize(
    ("form", "told"),
    [
        pytest.param({"expires": "2020-01-31T18:00"}, "The token would have expired already.", id="past its end"),
        pytest.param({"expires": "soon"}, "Expires", id="an end that is none"),
        pytest.param({"description": "x" * 201}, "A description has up to 200 printable characters.", id="too long"),
    ],
)
def test_a_token_that_cannot_be_made_is_explained_and_what_was_typed_is_kept(
    visitors: Visitors, form: dict[str, str], told: str
) -> None:
    before = tokens_of(visitors, "alice")
    answer = visitors.sends(f"{HOME}/tokens", "alice", access="read", **form)
    assert answer.status_code == 400
    assert '<option value="read" selected>' in answer.text
    assert told in text_in(answer)
    assert all(f'value="{typed}"' in answer.text for typed in form.values())
    assert "<details open>" in answer.text
    assert tokens_of(visitors, "alice") == before


def test_whoever_revokes_a_token_is_told_what_ends_with_it(visitors: Visitors) -> None:
    visitors.sends(f"{HOME}/tokens", "alice", description="made with the first")
    first, made = tokens_of(visitors, "alice")
    assert made.made_with_id == first.id
    asked = text_in(visitors.sees(f"{HOME}/tokens/{first.id}/revoke", "alice"))
    assert "1 other token will end too" in asked
    assert "you will be signed out" in asked
    assert len(tokens_of(visitors, "alice")) == 2
    assert visitors.sends(f"{HOME}/tokens/{first.id}/revoke", "alice").headers["location"] == HOME
    assert tokens_of(visitors, "alice") == []
    assert visitors.sees(HOME, "alice").headers["location"].startswith("/signoff/sign-in")


def test_a_session_of_somebody_else_and_none_are_alike(visitors: Visitors) -> None:
    bobs = visitors.session("bob").id
    told = {text_in(visitors.sends(f"{HOME}/sessions/{each}/end", "alice")) for each in (bobs, uuid4())}
    assert len(told) == 1
    assert bobs in sessions(visitors)


def test_a_session_is_told_by_its_browser_and_where_it_was_used_from(visitors: Visitors, clock: Clock) -> None:
    visitors.sees(HOME, "alice")
    clock.forward(minutes=6)
    firefox = {"User-Agent": "Mozilla/5.0 (X11; Linux x86_64; rv:145.0) Gecko/20100101 Firefox/145.0"}
    visitors.sees(HOME, "alice", **firefox)
    assert "Firefox on Linux 127.0.0.1" in text_in(visitors.sees(HOME, "alice"))


def test_whoever_ends_the_session_that_they_use_is_at_the_door(visitors: Visitors) -> None:
    answer = visitors.sends(f"{HOME}/sessions/{visitors.session('alice').id}/end", "alice")
    assert answer.headers["location"] == "/signoff/sign-in"


@pytest.mark.parametrize(
    ("typed", "status", "told"),
    [
        pytest.param({}, 303, "", id="as it should be"),
        pytest.param({"again": "battery stapler"}, 400, TYPED_TWICE, id="typed otherwise"),
        pytest.param({"present": "no"}, 400, NOT_YOURS, id="another present one"),
        pytest.param({"new": "short", "again": "short"}, 400, "10 to 1000 characters", id="too short"),
    ],
)
def test_a_password_is_changed_or_it_is_said_why_not(
    visitors: Visitors, typed: dict[str, str], status: int, told: str
) -> None:
    alice = visitors.with_password("alice")
    answer = visitors.sends(f"{HOME}/password", alice, **{**NEW, **typed})
    assert answer.status_code == status
    assert told in text_in(answer)
    assert not any(secret in answer.text for secret in (PASSWORD, "battery", "short"))


def test_what_cannot_be_done_is_not_offered(visitors: Visitors) -> None:
    typing, reading = visitors.with_password("alice"), visitors.reader("alice")
    shown = {who: text_in(visitors.sees(HOME, who)) for who in ("alice", typing, reading)}
    assert [NOT_BY_PASSWORD in shown["alice"], "Change Password" in shown[typing]] == [True, True]
    assert NO_PERMISSION in shown[reading]
    assert ["Create a token" in shown[who] for who in ("alice", reading)] == [True, False]
    assert "bob" not in shown["alice"]
