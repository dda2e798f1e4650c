"""The page of the Jobs, as people use it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from api_shim.domain.model import Status
from tests.acceptance.people import People, changed, unique
from tests.browser.axe import check_accessible
from tests.browser.conftest import SignedIn, playwright
from tests.live import Live

pytestmark = [pytest.mark.browser, pytest.mark.slow]
expect = playwright.expect
WIDER = "document.documentElement.scrollWidth - document.documentElement.clientWidth"


def _check(page: Any, *, scripts: bool) -> None:
    # Axe is a script itself.
    if scripts:
        check_accessible(page)


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
    link = row.get_by_role("link", name="failed (last result of Complain)")
    expect(link).to_have_attribute("href", f"/signoff/results/{result}")
    check_accessible(page)
    # Who may see Jobs and no results is shown no results.
    other = signed_in(people.add(("extras.job", "view", None)))
    expect(other.get_by_role("row").filter(has_text="Complain")).to_contain_text("none")


@pytest.mark.parametrize("scripts", [True, False], ids=["with JavaScript", "without JavaScript"])
def test_favourites_stand_first_for_who_has_them_and_for_nobody_else(
    people: People, signed_in: SignedIn, scripts: bool
) -> None:
    page = signed_in(people.add(("extras.job", "view", None)), java_script_enabled=scripts)
    star = page.get_by_role("button", name="Favourite: Complain")
    expect(star).to_have_attribute("aria-pressed", "false")
    star.click()
    expect(page.get_by_role("status")).to_have_text("Complain is now a favourite.")
    favourites = page.get_by_role("region", name="Favourites")
    expect(favourites.get_by_role("link", name="Complain", exact=True)).to_be_visible()
    expect(page.get_by_role("link", name="Complain", exact=True)).to_have_count(1)
    _check(page, scripts=scripts)
    expect(signed_in("admin").get_by_role("region", name="Favourites")).to_have_count(0)
    page.get_by_role("link", name="Complain", exact=True).click()
    page.get_by_role("button", name="Favourite: Complain").click()
    expect(page.get_by_role("status")).to_have_text("Complain is no longer a favourite.")
    expect(page.get_by_role("heading", level=1)).to_contain_text("Complain")


def test_a_job_says_when_it_runs_next_to_who_may_view_that(live: Live, people: People, signed_in: SignedIn) -> None:
    # Sooner than what other tests leave scheduled.
    at = (datetime.now(UTC) + timedelta(days=1)).replace(minute=0, second=0, microsecond=0)
    with live.client() as client:
        asked = {"name": unique("next"), "interval": "future", "start_time": at.isoformat()}
        answer = client.post("/api/extras/jobs/Greet/run/", json={"data": {"who": "Ada"}, "schedule": asked})
        assert answer.status_code == 201, answer.text
        row = answer.json()["scheduled_job"]
        try:
            page = signed_in("admin", timezone_id="UTC")
            expect(page.get_by_role("row").filter(has_text="Greet").first).to_contain_text(f"{at:%Y-%m-%d %H:%M} UTC")
            other = signed_in(people.add(("extras.job", "view", None)))
            expect(other.get_by_role("row").filter(has_text="Greet").first).to_contain_text("not scheduled")
        finally:
            client.delete(f"/api/extras/scheduled-jobs/{row['id']}/")


@pytest.mark.parametrize("scripts", [True, False], ids=["with JavaScript", "without JavaScript"])
def test_settings_are_changed_and_tell_who_did(live: Live, signed_in: SignedIn, scripts: bool) -> None:
    page = signed_in("admin", java_script_enabled=scripts)
    page.get_by_role("link", name="Greet", exact=True).click()
    expect(page.get_by_role("region", name="Variables")).to_contain_text("StringVar")
    _check(page, scripts=scripts)
    page.get_by_role("link", name="Settings").click()
    page.get_by_label("Time limit", exact=True).fill("soon")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_role("alert")).to_contain_text("The settings were not saved.")
    expect(page.get_by_label("Time limit", exact=True)).to_have_value("soon")
    _check(page, scripts=scripts)
    page.get_by_label("Time limit", exact=True).fill("77")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_role("status")).to_have_text("The settings of Greet were saved.")
    changes = page.get_by_role("region", name="Changes").get_by_role("listitem").first
    expect(changes).to_contain_text("admin changed")
    expect(changes).to_contain_text("→ 77")
    _check(page, scripts=scripts)
    page.get_by_label("Use the value from the code (Time limit)").check()
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_label("Use the value from the code (Time limit)")).to_have_count(0)
    page.set_viewport_size({"width": 390, "height": 800})
    for address in ("/signoff/jobs", page.url.removeprefix(live.origin), page.url.removeprefix(live.origin)[:-9]):
        page.goto(f"{live.origin}{address}")
        assert not scripts or page.evaluate(WIDER) <= 0, address


def test_who_may_not_change_a_job_finds_no_way_to_its_settings(people: People, signed_in: SignedIn) -> None:
    page = signed_in(people.add(("extras.job", "view", None)))
    page.get_by_role("link", name="Linger", exact=True).click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("Linger")
    expect(page.get_by_role("link", name="Settings")).to_have_count(0)
    page.goto(f"{page.url}/settings")
    expect(page.get_by_role("main")).to_contain_text("permission")


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
