"""From our pages into Prefect's own, as one and the same person."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.acceptance.people import unique
from tests.browser.conftest import playwright, sign_in
from tests.live import Live, eventually

pytestmark = [pytest.mark.browser, pytest.mark.slow]
expect = playwright.expect


@pytest.fixture
def page(live: Live, browser: Any) -> Iterator[Any]:
    """A page of bob, who is signed in to our pages; Prefect's ask others for statistics, and are kept from it."""
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    sign_in(live, context, "bob")
    yield context.new_page()
    context.close()


def test_from_a_result_they_come_to_its_run(live: Live, page: Any) -> None:
    with live.client("alice") as alice:
        run = alice.post("/api/extras/jobs/Greet/run/", json={"data": {"who": "Ada"}}).json()["job_result"]["id"]
        eventually(lambda: "Hello Ada" in alice.get(f"/api/extras/job-results/{run}/logs/").text)
    page.goto(f"{live.origin}/signoff/results/{run}")
    page.get_by_role("link", name="The run in Prefect").click()
    expect(page.get_by_text("Hello Ada")).to_be_visible()


def test_what_they_decide_there_is_their_decision(live: Live, page: Any) -> None:
    name = unique("Replace the core switch")
    with live.client("alice") as alice:
        asked = {"data": {}, "schedule": {"name": name, "interval": "immediately"}}
        made = alice.post("/api/extras/jobs/Change/run/", json=asked).json()["scheduled_job"]
    with live.client() as admin:
        found = {"flow_runs": {"name": {"any_": [f"{name} (waiting for approval)"]}}}
        run = eventually(lambda: admin.post("/api/flow_runs/filter", json=found).json())[0]["id"]
        page.goto(f"{live.origin}/v2/runs/flow-run/{run}")
        page.get_by_role("button", name="Open menu").click()
        page.get_by_role("menuitem", name="Resume").click()
        dialog = page.get_by_role("dialog")
        dialog.get_by_role("button", name="Select Decision").click()
        page.get_by_role("option", name="approve").click()
        dialog.get_by_role("button", name="Resume", exact=True).click()
        expect(page.locator("[data-sonner-toast]").first).to_contain_text("Flow run resumed")
        approver = admin.get(f"/api/extras/scheduled-jobs/{made['id']}/?depth=1").json()["approved_by_user"]
        assert approver["username"] == "bob"
        admin.delete(f"/api/extras/scheduled-jobs/{made['id']}/")


def test_who_is_signed_in_here_is_signed_in_there_until_they_sign_out(live: Live, page: Any) -> None:
    page.goto(f"{live.origin}/signoff/jobs")
    page.get_by_role("link", name="Prefect").click()
    expect(page.get_by_role("link", name="Dashboard")).to_be_visible()
    assert urlsplit(page.url).path == "/v2/dashboard"
    page.goto(f"{live.origin}/signoff/jobs")
    page.get_by_role("button", name="Sign out").click()
    page.goto(f"{live.origin}/v2/dashboard")
    expect(page.get_by_placeholder("admin:pass")).to_be_visible()
