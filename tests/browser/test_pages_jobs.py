"""The page of the Jobs, as people use it."""

from __future__ import annotations

import pytest

from api_shim.domain.model import Status
from tests.acceptance.people import People, changed
from tests.browser.axe import check_accessible
from tests.browser.conftest import SignedIn, playwright
from tests.live import Live

pytestmark = [pytest.mark.browser, pytest.mark.slow]
expect = playwright.expect


def test_who_may_change_jobs_enables_and_disables_them(live: Live, signed_in: SignedIn) -> None:
    page = signed_in("admin")
    row = page.get_by_role("row").filter(has_text="Complain")
    row.get_by_role("button", name="Disable").click()
    expect(page.get_by_role("status")).to_have_text("Complain is disabled.")
    row.get_by_role("button", name="Enable").click()
    expect(page.get_by_role("status")).to_have_text("Complain is enabled.")


def test_each_job_shows_how_it_went_last(live: Live, people: People, signed_in: SignedIn) -> None:
    result = people.result("Complain", status=Status.FAILURE)
    page = signed_in("admin")
    row = page.get_by_role("row").filter(has_text="Complain")
    link = row.get_by_role("link", name="failure of Complain")
    expect(link).to_have_attribute("href", f"/signoff/results/{result}")
    check_accessible(page)
    # Who may see Jobs and no results is shown no results.
    other = signed_in(people.add(("extras.job", "view", None)))
    expect(other.get_by_role("row").filter(has_text="Complain")).to_contain_text("none")


def test_jobs_that_only_events_start_have_no_button_to_run_them(signed_in: SignedIn) -> None:
    row = signed_in("admin").get_by_role("row").filter(has_text="React")
    expect(row).to_contain_text("started by events")
    expect(row.get_by_role("link", name="Run")).to_have_count(0)


def test_hidden_jobs_are_shown_to_who_asks_for_them(live: Live, signed_in: SignedIn) -> None:
    page = signed_in("admin")
    with live.client() as client, changed(client, "Linger", hidden=True):
        page.reload()
        expect(page.get_by_role("link", name="Linger", exact=True)).to_have_count(0)
        page.get_by_role("link", name="Show 1 hidden Job").click()
        expect(page.get_by_role("link", name="Linger", exact=True)).to_be_visible()
        page.get_by_label("Search Jobs").fill("linger")
        page.get_by_role("button", name="Search").click()
        expect(page.get_by_role("link", name="Linger", exact=True)).to_be_visible()
        expect(page.get_by_role("link", name="Greet", exact=True)).to_have_count(0)
