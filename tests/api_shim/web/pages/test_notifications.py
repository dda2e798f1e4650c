"""The page of notifications: who may do what there, and what it shows."""

from __future__ import annotations

from datetime import timedelta

import pytest

from api_shim.domain.notifications import NotificationChoice, NotificationTarget
from api_shim.services.notifications import GONE, JUST_SENT
from api_shim.store import Store
from api_shim.web.pages import notifications
from api_shim.web.pages.notifications import PLACE
from approval_gate.policy import NO_PERMISSION
from tests.api_shim.web.pages.visitors import Visitors, text_in
from tests.conftest import Clock
from tests.factories import NOW

SERVICE = {"way": "apprise", "address": "jsons://user:secret@hooks.example.com/secret"}
CHOICE = {"topic": "run-failed", "frequency": "daily", "hour": "7"}
LABEL = "jsons://hooks.example.com/…"


@pytest.fixture
def visitors(sqlite_store: Store, clock: Clock) -> Visitors:
    made = Visitors(sqlite_store, clock)
    made.person("alice")
    made.person("bob")
    return made


def targets(visitors: Visitors) -> list[NotificationTarget]:
    with visitors.origin.store.transaction(write=False) as tx:
        return tx.all(NotificationTarget)


def added(visitors: Visitors, who: str = "alice") -> NotificationTarget:
    known = {each.id for each in targets(visitors)}
    assert visitors.sends(f"{PLACE}/targets", who, **SERVICE).status_code == 303
    [made] = [each for each in targets(visitors) if each.id not in known]
    return made


# Every route and every caller

TARGET = f"{PLACE}/targets/{{target_id}}"

ALLOWED = {
    # Who is asked: nobody, alice, alice with a token that only reads, bob, and an administrator.
    ("GET", PLACE): (303, 200, 200, 200, 200),
    ("POST", f"{PLACE}/choices"): (303, 303, 403, 303, 303),
    ("POST", f"{PLACE}/targets"): (303, 303, 403, 303, 303),
    # What is alice's is not found by anybody else.
    ("POST", f"{TARGET}/confirm"): (303, 400, 403, 404, 404),
    ("POST", f"{TARGET}/test"): (303, 303, 403, 404, 404),
    ("POST", f"{TARGET}/switch-on"): (303, 303, 403, 404, 404),
    ("POST", f"{TARGET}/remove"): (303, 303, 403, 404, 404),
}


def test_every_route_says_here_who_may() -> None:
    routes = {(method, route.path) for route in notifications.router.routes for method in route.methods}  # type: ignore[attr-defined]  # FastAPI's
    assert routes == ALLOWED.keys()


@pytest.mark.parametrize("route", ALLOWED, ids=" ".join)
def test_who_may(visitors: Visitors, route: tuple[str, str]) -> None:
    method, path = route
    for who, status in zip((None, "alice", visitors.reader("alice"), "bob", "admin"), ALLOWED[route], strict=True):
        address = path.format(target_id=added(visitors).id)
        answer = visitors.sees(address, who) if method == "GET" else visitors.sends(address, who, **SERVICE, **CHOICE)
        assert answer.status_code == status, (who, answer.text)
        if status == 303 and who is None:
            assert answer.headers["location"].startswith("/signoff/sign-in")
        if status == 404:
            assert GONE in text_in(answer)
        if status == 403:
            assert NO_PERMISSION in text_in(answer)


@pytest.mark.parametrize("form", ["choices", "targets"])
def test_who_may_only_read_is_told_that_first(visitors: Visitors, form: str) -> None:
    answer = visitors.sends(f"{PLACE}/{form}", visitors.reader("alice"))
    assert (answer.status_code, NO_PERMISSION in text_in(answer)) == (403, True)


# What is shown


def test_what_is_chosen_is_shown_to_who_has_chosen_it(visitors: Visitors) -> None:
    assert visitors.sends(f"{PLACE}/choices", "alice", **CHOICE).headers["location"] == PLACE
    page = visitors.sees(PLACE, "alice").text
    assert 'value="run-failed" checked' in page
    assert page.count("checked>") == 1
    assert "<option selected>daily</option>" in page
    assert visitors.sees(PLACE, "bob").text.count("checked>") == 6


def test_an_hour_is_one_of_the_zone_that_the_page_is_read_in(visitors: Visitors) -> None:
    def chosen(who: str, zone: str) -> str:
        visitors.sends(f"{PLACE}/choices", who, **CHOICE, zone=zone)
        return next(line for line in visitors.sees(PLACE, who).text.splitlines() if 'id="hour-help"' in line)

    assert "In UTC, which will be" in visitors.sees(PLACE, "alice").text
    assert "In Asia/Tokyo, the time zone of" in chosen("alice", "Asia/Tokyo")
    assert "In Asia/Tokyo, the time zone of" in chosen("alice", "Europe/Berlin"), "who has chosen one keeps it"
    assert "In UTC, which will be" in chosen("bob", "Europe/Atlantis")


def test_nobody_chooses_nothing_by_mistake(visitors: Visitors) -> None:
    answer = visitors.sends(f"{PLACE}/choices", "alice", **{**CHOICE, "hour": "24", "frequency": "never"})
    assert answer.status_code == 400
    assert "Enter an hour of the day, from 0 to 23." in text_in(answer)
    assert 'value="24"' in answer.text
    with visitors.origin.store.transaction(write=False) as tx:
        assert tx.all(NotificationChoice) == []


def test_a_target_is_shown_without_its_secrets(visitors: Visitors) -> None:
    added(visitors)
    page = visitors.sees(PLACE, "alice").text
    assert LABEL in page
    assert "secret" not in page
    assert LABEL not in visitors.sees(PLACE, "bob").text


def test_an_address_that_is_refused_is_not_repeated(visitors: Visitors) -> None:
    for address in ("json://10.0.0.1/secret", "file:///secret", "secret"):
        answer = visitors.sends(f"{PLACE}/targets", "alice", way="apprise", address=address)
        assert answer.status_code == 400
        assert "secret" not in answer.text
    assert targets(visitors) == []


def test_without_a_mail_server_mail_is_not_offered(visitors: Visitors) -> None:
    assert "by mail" not in visitors.sees(PLACE, "alice").text
    assert visitors.sends(f"{PLACE}/targets", "alice", way="mail", address="alice@example.com").status_code == 400


def test_a_target_that_failed_says_so_and_is_switched_on_again(visitors: Visitors) -> None:
    target = added(visitors)
    with visitors.origin.store.transaction() as tx:
        tx.change(target, failing_since=NOW, failure="It is not there.", switched_off=True)
    shown = text_in(visitors.sees(PLACE, "alice"))
    assert "switched off" in shown
    assert "It is not there. It failed for three days, so nothing is sent there any more." in shown
    assert "is sent after" not in shown
    visitors.sends(f"{PLACE}/targets/{target.id}/switch-on", "alice")
    assert "in use" in text_in(visitors.sees(PLACE, "alice"))


def test_a_target_that_fails_says_when_it_did_why_and_when_it_is_tried_again(visitors: Visitors) -> None:
    target = added(visitors)
    since, last, again = (NOW + timedelta(minutes=minutes) for minutes in (1, 3, 7))
    with visitors.origin.store.transaction() as tx:
        tx.change(target, failing_since=since, failed_at=last, failure="It is not there.", retry_at=again)
    page = visitors.sees(PLACE, "alice")
    shown, times = text_in(page), [each.isoformat() for each in (since, last, again)]
    assert "failing" in shown
    assert "It is not there." in shown
    assert [time in page.text for time in times] == [True] * 3
    assert ". Last failure: " in shown
    assert ". What waits for it is sent after " in shown


def test_an_address_of_the_identity_provider_says_so(visitors: Visitors) -> None:
    target = added(visitors)
    assert "identity provider" not in text_in(visitors.sees(PLACE, "alice"))
    with visitors.origin.store.transaction() as tx:
        tx.change(target, from_provider=True)
    assert "This is your address at your identity provider." in text_in(visitors.sees(PLACE, "alice"))


def test_a_second_test_within_a_minute_is_refused(visitors: Visitors) -> None:
    target = added(visitors)
    assert visitors.sends(f"{PLACE}/targets/{target.id}/test", "alice").status_code == 303
    answer = visitors.sends(f"{PLACE}/targets/{target.id}/test", "alice")
    assert (answer.status_code, JUST_SENT in text_in(answer)) == (409, True)
