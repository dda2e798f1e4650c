"""What people come for most is a few clicks away from wherever they are.

Each story begins on a page that has nothing to do with it, and may take as many clicks as its test says. Counted is
each link, and each button that acts by itself. A form is not: what is filled in there, its own button, and the page
that asks whether one is sure.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.acceptance.people import SCHEDULES, People, unique
from tests.browser.conftest import SignedIn, playwright
from tests.live import Live

pytestmark = [pytest.mark.browser, pytest.mark.slow]
expect = playwright.expect


@dataclass
class Clicks:
    """A page, and how often something on it has been clicked."""

    page: Any
    count: int = 0

    def menu(self, entry: str) -> None:
        found = self.page.get_by_role("navigation", name="Main").get_by_role("link")
        self._click(found.filter(has_text=re.compile(f"^{entry}\\b")))

    def link(self, name: str) -> None:
        self._click(self.page.get_by_role("main").get_by_role("link", name=name, exact=True).first)

    def button(self, name: str) -> None:
        self._click(self.page.get_by_role("main").get_by_role("button", name=name, exact=True))

    def _click(self, what: Any) -> None:
        what.click()
        self.count += 1


def begin(live: Live, page: Any) -> Clicks:
    """Begin somewhere else, on a page that has the menu."""
    page.goto(f"{live.origin}/signoff/account")
    return Clicks(page)


def submit(page: Any, button: str) -> None:
    """Submit a form, which is not counted."""
    page.get_by_role("main").get_by_role("button", name=button, exact=True).click()


def ask(live: Live, who: str) -> str:
    """Have somebody request what needs approval, and return the name of the request."""
    asked = {"name": unique("story"), "interval": "immediately"}
    with live.client(who) as client:
        answer = client.post("/api/extras/jobs/Change/run/", json={"data": {"file": ""}, "schedule": asked})
    assert answer.status_code == 201, answer.text
    return asked["name"]


def test_a_job_is_run_in_two_clicks(live: Live, signed_in: SignedIn) -> None:
    clicks = begin(live, page := signed_in("alice"))
    clicks.menu("Jobs")
    clicks.link("Run Greet")
    page.get_by_label("Who").fill("Ada")
    submit(page, "Run Job Now")
    expect(page.get_by_text("succeeded", exact=True)).to_be_visible()
    expect(page.get_by_role("region", name="Log")).to_contain_text("Hello Ada")
    assert clicks.count <= 2


def test_a_job_is_scheduled_in_two_clicks(live: Live, signed_in: SignedIn) -> None:
    name = unique("story")
    clicks = begin(live, page := signed_in("alice"))
    clicks.menu("Jobs")
    clicks.link("Run Greet")
    page.get_by_label("Recurring daily").check()
    page.get_by_label("Name", exact=True).fill(name)
    page.get_by_label("Start", exact=True).fill("2035-01-02T02:00")
    submit(page, "Schedule Job")
    expect(page.get_by_role("heading", level=1)).to_have_text(name)
    expect(page.get_by_role("region", name="Details")).to_contain_text("every day at 02:00")
    assert clicks.count <= 2
    with live.client() as admin:
        assert admin.delete(f"{SCHEDULES}{name}/").status_code == 204


def test_a_request_is_approved_in_two_clicks(live: Live, signed_in: SignedIn) -> None:
    name = ask(live, "alice")
    clicks = begin(live, page := signed_in("bob"))
    clicks.menu("Approval Queue")
    clicks.link(name)
    page.get_by_label("Comment").fill("agreed")
    submit(page, "Approve")
    expect(page.get_by_role("status")).to_have_text(f"You approved “{name}”.")
    assert clicks.count <= 2


def test_why_a_request_was_denied_is_found_in_two_clicks(live: Live, signed_in: SignedIn) -> None:
    name = ask(live, "alice")
    with live.client("bob") as bob:
        assert bob.post(f"{SCHEDULES}{name}/deny/", json={"comment": "not in the freeze"}).is_success
    clicks = begin(live, page := signed_in("alice"))
    clicks.menu("Approval Queue")
    clicks.link("My requests")
    row = page.get_by_role("row").filter(has_text=name)
    for each in ("denied by bob", "not in the freeze"):
        expect(row).to_contain_text(each)
    assert clicks.count <= 2


def test_the_schedule_of_who_has_left_runs_again_in_three_clicks(
    live: Live, people: People, signed_in: SignedIn
) -> None:
    name, leaver = unique("story"), people.add(superuser=True)
    failed = {"enabled": False, "failure": "The owner has been removed.", "interval": "daily"}
    scheduled = people.scheduled("Greet", leaver, name, **failed, start_time=datetime.now(UTC) - timedelta(days=1))
    colleague = people.add(
        *(("extras.scheduledjob", action, {"name": name}) for action in ("view", "change")),
        *(("extras.job", action, {"name": "Greet"}) for action in ("view", "run")),
    )
    with live.client() as admin:
        assert admin.delete(f"/api/users/users/{people.id_of(leaver)}/").status_code == 204
        clicks = begin(live, page := signed_in(colleague))
        clicks.menu("Scheduled Jobs")
        clicks.link(f"Take over {name}")
        clicks.button("Assume Ownership")
        expect(page.get_by_role("status")).to_contain_text("You are now the owner.")
        expect(page.get_by_role("region", name="Details")).to_contain_text("runs next")
        assert clicks.count <= 3
        assert admin.delete(f"{SCHEDULES}{scheduled}/").status_code == 204
