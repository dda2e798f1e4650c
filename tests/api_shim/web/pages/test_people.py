"""The page of a person: who may see it, what it tells whom, and the names that lead there."""

from __future__ import annotations

from typing import Any

import pytest

from api_shim.domain.accounts import User
from api_shim.domain.model import UNKNOWN_USER, Status
from api_shim.store import Store
from api_shim.web.pages import people
from api_shim.web.pages.reader import reading
from api_shim.web.pages.template_filters import person
from tests.api_shim.web.pages.visitors import Visitors, text_in
from tests.conftest import Clock
from tests.factories import NOW, make_result, make_scheduled

USERS = ("users.user", "view", None)
ALICE = "/signoff/people/alice"


@pytest.fixture
def visitors(sqlite_store: Store, clock: Clock) -> Visitors:
    made = Visitors(sqlite_store, clock)
    made.person("alice")
    return made


def theirs(visitors: Visitors, name: str) -> User:
    with visitors.origin.store.transaction(write=False) as tx:
        [user] = tx.all(User, username=name)
        return user


def test_there_is_one_route() -> None:
    assert {route.path for route in people.router.routes} == {"/signoff/people/{name:path}"}  # type: ignore[attr-defined]  # FastAPI's


@pytest.mark.parametrize(
    ("grants", "status"),
    [
        pytest.param([USERS], 200, id="who may view users"),
        pytest.param([("users.user", "view", {"username": "alice"})], 200, id="who may view her"),
        pytest.param([("users.user", "view", {"username": "carol"})], 404, id="who may view somebody else"),
        pytest.param([("users.user", "change", None)], 404, id="who may change users and view none"),
        pytest.param([("extras.jobresult", "view", None)], 404, id="who may view what she runs"),
        pytest.param([], 404, id="who may nothing"),
    ],
)
def test_who_may_see_it(visitors: Visitors, grants: list[tuple[str, str, Any]], status: int) -> None:
    visitors.person("bob", *grants)
    answer, nobodys = visitors.sees(ALICE, "bob"), visitors.sees("/signoff/people/nobody", "bob")
    assert (answer.status_code, nobodys.status_code) == (status, 404)
    if status == 404:
        assert text_in(answer) == text_in(nobodys)


@pytest.mark.parametrize("name", ["%00", "a%2Fb", "%F0%9F%98%80", "<script>"])
def test_nobody_is_called_so(visitors: Visitors, name: str) -> None:
    assert visitors.sees(f"/signoff/people/{name}").status_code == 404
    assert visitors.sees(ALICE, None).headers["location"].startswith("/signoff/sign-in")


def test_what_is_theirs_is_told_as_far_as_the_reader_may_view_it(visitors: Visitors) -> None:
    alice = theirs(visitors, "alice")
    visitors.person("alice2")
    job = visitors.origin.job(name="Sweep")
    with visitors.origin.store.transaction() as tx:
        tx.add(make_scheduled(job, alice, name="nightly"))
        tx.add(make_scheduled(job, alice, name="weekly", enabled=False, failure="It failed."))
        tx.add(make_scheduled(job, theirs(visitors, "alice2"), name="other"))
        tx.add(make_result(job, alice, status=Status.FAILURE))
    visitors.person("bob", USERS)
    visitors.person("carol", USERS, ("extras.scheduledjob", "view", {"name": "nightly"}))
    told = {who: text_in(visitors.sees(ALICE, who)) for who in ("admin", "bob", "carol")}
    assert "2 in all 1 failing 1 disabled" in told["admin"]
    assert "Latest results Sweep failed" in told["admin"]
    assert "Approval Queue 0 waiting for you Results" in told["admin"], "around it is what is around every page"
    assert "Scheduled jobs 1 in all 0 failing" in told["carol"]
    assert "in all" not in told["bob"]
    assert "Sweep" not in told["bob"] + told["carol"]
    # The lists that it leads to are theirs alone.
    listed = visitors.sees("/signoff/scheduled-jobs?owner=%22alice%22").text
    assert ("nightly" in listed, "other" in listed) == (True, False)
    assert "other" in visitors.sees("/signoff/scheduled-jobs?owner=alice").text


def test_an_agent_and_its_person(visitors: Visitors) -> None:
    with visitors.origin.store.transaction() as tx:
        tx.change(theirs(visitors, "alice"), is_agent=True, acts_for_id=theirs(visitors, "admin").id)
    visitors.person("bob", ("users.user", "view", {"username": "alice"}))
    assert "an agent of admin Groups" in text_in(visitors.sees(ALICE))
    assert "an agent Groups" in text_in(visitors.sees(ALICE, "bob"))


def test_a_name_leads_to_its_page_for_who_may_view_everybody() -> None:
    with reading("UTC", NOW, views_everybody=True):
        assert person("a/<b>") == '<a href="/signoff/people/a%2F%3Cb%3E">a/&lt;b&gt;</a>'
        assert person(UNKNOWN_USER) == UNKNOWN_USER
    with reading("UTC", NOW):
        assert person("<b>") == "&lt;b&gt;"
        assert person("bob", "/signoff/results?user=bob") == '<a href="/signoff/results?user=bob">bob</a>'
