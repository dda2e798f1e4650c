"""Running a Job from its page, as people do it: with JavaScript, and without."""

from __future__ import annotations

import re
from contextlib import nullcontext
from typing import Any
from urllib.parse import quote

import pytest

from tests.acceptance.people import SCHEDULES, People, changed, schedule, unique
from tests.browser.axe import check_accessible
from tests.browser.conftest import SignedIn, playwright
from tests.live import Live, eventually

pytestmark = [pytest.mark.browser, pytest.mark.slow]
expect = playwright.expect

RESULT = re.compile(r"/signoff/results/[0-9a-f-]{36}$")
SCHEDULED = re.compile(r"/signoff/scheduled-jobs/[0-9a-f-]{36}$")


def read(live: Live, address: str) -> Any:
    with live.client() as client:
        return client.get(address).json()


def open_run(page: Any, live: Live, job: str) -> None:
    found = read(live, f"/api/extras/jobs/{quote(job)}/")
    page.goto(f"{live.origin}/signoff/jobs/{found['id']}/run")


def made(page: Any, live: Live) -> Any:
    """Return the scheduled job whose page somebody has come to."""
    expect(page).to_have_url(SCHEDULED)
    return read(live, f"{SCHEDULES}{page.url.rpartition('/')[2]}/")


def test_a_job_runs_now_with_what_was_filled_in(live: Live, signed_in: SignedIn) -> None:
    page = signed_in("admin", java_script_enabled=False)
    page.get_by_role("link", name="Run Greet").click()
    expect(page.get_by_label("Who")).to_have_value("world")
    page.get_by_label("Who").fill("everybody")
    page.get_by_label("Queue").select_option("bulk")
    page.get_by_role("button", name="Run or Schedule Job").click()
    expect(page).to_have_url(RESULT)
    result = read(live, f"/api/extras/job-results/{page.url.rpartition('/')[2]}/")
    assert (result["name"], result["task_kwargs"]["who"], result["celery_kwargs"]["queue"]) == (
        "Greet",
        "everybody",
        "bulk",
    )


def test_a_schedule_is_asked_for_what_its_type_needs(live: Live, signed_in: SignedIn) -> None:
    page = signed_in("admin")
    open_run(page, live, "Greet")
    fields = {name: page.get_by_label(name, exact=True) for name in ("Name", "Start", "Time zone", "Crontab")}

    def shown() -> set[str]:
        return {name for name, field in fields.items() if field.is_visible()}

    assert shown() == set()
    for kind in ("Once in the future", "Recurring hourly", "Recurring daily", "Recurring weekly"):
        page.get_by_label(kind).check()
        assert shown() == {"Name", "Start", "Time zone"}
        expect(page.locator("#go")).to_have_text("Schedule Job")
    page.get_by_label("Recurring custom").check()
    assert shown() == set(fields)
    page.get_by_label("Once immediately").check()
    assert shown() == set()
    expect(page.locator("#go")).to_have_text("Run Job Now")


def test_a_crontab_is_told_in_words_and_firings_while_it_is_typed(live: Live, signed_in: SignedIn) -> None:
    page, name = signed_in("admin"), unique("custom")
    open_run(page, live, "Greet")
    page.get_by_label("Recurring custom").check()
    page.get_by_label("Name").fill(name)
    preview, crontab = page.locator("#preview"), page.get_by_label("Crontab", exact=True)
    crontab.fill("0 2 * *")
    expect(preview).to_contain_text("exactly five fields")
    crontab.fill("0 2 * * mon,fri")
    expect(preview).to_contain_text("At 02:00 on Monday and Friday.")
    page.get_by_label("Time zone").fill("Asia/Tokyo")
    expect(preview.get_by_role("listitem")).to_have_count(5)
    expect(preview.get_by_role("listitem").first).to_contain_text("02:00 in Asia/Tokyo")
    page.get_by_label("Start").fill("2035-01-02T00:00")
    expect(preview.get_by_role("listitem").first).to_contain_text("Friday 02:00 in Asia/Tokyo")
    # Enter in a field does what the button says.
    crontab.press("Enter")
    found = made(page, live)
    assert (found["name"], found["crontab"], found["time_zone"]) == (name, "0 2 * * mon,fri", "Asia/Tokyo")


def test_a_crontab_is_previewed_by_a_button_and_nothing_typed_is_lost(live: Live, signed_in: SignedIn) -> None:
    page, name = signed_in("admin", java_script_enabled=False), unique("custom")
    open_run(page, live, "Every variable")
    page.get_by_label("Recurring custom").check()
    page.get_by_label("Name", exact=True).fill(name)
    page.get_by_label("Number").fill("12")
    page.get_by_label("Text").fill("one\ntwo")
    page.get_by_label("B", exact=True).check()
    page.get_by_label("Flag").check()
    page.get_by_label("Colour").select_option("Green")
    page.get_by_label("Data").fill('{"a": [1]}')
    page.get_by_label("Time zone").fill("Europe/Berlin")
    page.get_by_label("Crontab", exact=True).fill("0 9 1-7 * mon")
    page.get_by_role("button", name="Preview the crontab").click()
    expect(page.locator("#preview")).to_contain_text("At 09:00 on days 1 to 7 of the month that are a Monday.")
    expect(page.locator("#preview li")).to_have_count(5)
    expect(page.locator("#preview li").first).to_contain_text("09:00 in Europe/Berlin")
    page.locator("#go").click()
    found = made(page, live)
    assert (found["name"], found["interval"], found["time_zone"]) == (name, "custom", "Europe/Berlin")
    assert found["kwargs"] == {
        "text": "one\ntwo",
        "number": 12,
        "flag": True,
        "colour": "g",
        "several": ["b"],
        "data": {"a": [1]},
        "code": "ABC",
    }


def test_each_fault_stands_beside_its_field_and_nothing_typed_is_lost(live: Live, signed_in: SignedIn) -> None:
    with live.client() as client:
        taken = schedule(client)["name"]
    page = signed_in("admin")
    open_run(page, live, "Every variable")
    typed = {"Number": "many", "Data": "{oops", "A code": "abc", "Name": taken, "Time zone": "Mars/Olympus"}
    page.get_by_label("Recurring daily").check()
    for label, text in typed.items():
        page.get_by_label(label, exact=label == "Name").fill(text)
    page.locator("#go").click()
    summary = page.get_by_role("alert")
    expect(summary).to_contain_text("Number: Enter a whole number.")
    expect(summary.get_by_role("link")).to_have_count(5)
    expect(summary).to_be_focused()
    assert page.title().startswith("Not accepted")
    faults = {
        "Number": "whole number",
        "Data": "valid JSON",
        "A code": "valid value",
        "Time zone": "Mars",
        "Start": "date",
    }
    for label, fault in faults.items():
        field = page.get_by_label(label)
        expect(field).to_have_attribute("aria-invalid", "true")
        expect(field).to_have_accessible_description(re.compile(fault))
    for label, text in typed.items():
        expect(page.get_by_label(label, exact=label == "Name")).to_have_value(text)
    expect(page.get_by_label("Recurring daily")).to_be_checked()
    summary.get_by_role("link", name="Data").click()
    expect(page.get_by_label("Data")).to_be_focused()
    check_accessible(page)
    # What is mended is taken, up to the name, which another scheduled job has.
    mended = {"Number": "5", "Data": "", "A code": "XYZ", "Time zone": "UTC", "Start": "2035-01-01T00:00"}
    for label, text in mended.items():
        page.get_by_label(label).fill(text)
    page.locator("#go").click()
    expect(page.get_by_role("alert")).to_contain_text("Name: A scheduled job with this name already exists.")
    page.get_by_label("Name", exact=True).fill(unique("mended"))
    page.locator("#go").click()
    assert made(page, live)["start_time"].startswith("2035-01-01T00:00:00")


def test_the_button_says_what_a_job_that_needs_approval_does(live: Live, people: People, signed_in: SignedIn) -> None:
    page, go = (opened := signed_in("admin")), opened.locator("#go")
    open_run(page, live, "Guarded")
    expect(page.get_by_text("This Job needs approval.")).to_be_visible()
    expect(go).to_have_text("Request to Run Job Now")
    page.get_by_label("Recurring weekly").check()
    expect(go).to_have_text("Request to Schedule Job")
    page.get_by_label("Dryrun").check()
    expect(go).to_have_text("Schedule Job (DRYRUN)")
    page.get_by_label("Once immediately").check()
    expect(go).to_have_text("Run Job Now (DRYRUN)")
    check_accessible(page)
    go.click()
    expect(page).to_have_url(RESULT)
    page.go_back()
    page.get_by_label("Dryrun").uncheck()
    expect(go).to_have_text("Request to Run Job Now")
    go.click()
    found = made(page, live)
    assert (found["approval_required"], found["approved_at"], found["interval"]) == (True, None, "future")
    with live.client() as client:
        client.delete(f"{SCHEDULES}{found['id']}/")


def test_a_request_has_a_neutral_button_without_javascript(live: Live, signed_in: SignedIn) -> None:
    page = signed_in("admin", java_script_enabled=False)
    open_run(page, live, "Guarded")
    page.get_by_role("button", name="Submit Request").click()
    found = made(page, live)
    assert found["approval_required"]
    with live.client() as client:
        client.delete(f"{SCHEDULES}{found['id']}/")


def test_a_sensitive_job_can_only_run_now_and_says_why(live: Live, signed_in: SignedIn) -> None:
    page = signed_in("admin")
    open_run(page, live, "Keep a secret")
    expect(page.get_by_text("This Job can only run immediately.")).to_be_visible()
    expect(page.get_by_text("Unable to schedule job: Job may have sensitive input variables")).to_be_visible()
    expect(page.get_by_role("radio")).to_have_count(1)
    expect(page.get_by_label("Crontab")).to_have_count(0)
    page.get_by_label("Password").fill("sesame")
    page.get_by_role("button", name="Run Job Now").click()
    expect(page).to_have_url(RESULT)
    assert "sesame" not in page.content()


@pytest.mark.parametrize(
    ("job", "state", "reason"),
    [
        ("Greet", {"enabled": False}, "This job is not enabled to be run."),
        ("Impossible", {}, "One of these two flags must be removed before this job can be scheduled or run."),
        ("React", {}, "This job is started by events and cannot be run directly."),
    ],
)
def test_a_job_that_nobody_can_run_says_why(
    live: Live, signed_in: SignedIn, job: str, state: dict[str, Any], reason: str
) -> None:
    page = signed_in("admin")
    with live.client() as client, changed(client, job, **state) if state else nullcontext():
        open_run(page, live, job)
        expect(page.locator("#go")).to_be_disabled()
        expect(page.locator("#go")).to_have_accessible_description(re.compile(re.escape(reason)))
        check_accessible(page)
        page.goto(f"{live.origin}/signoff/jobs")
        expect(page.get_by_role("link", name=f"Run {job}")).to_have_count(0)


def test_who_may_not_run_a_job_sees_what_it_is_and_why(live: Live, people: People, signed_in: SignedIn) -> None:
    page = signed_in(people.add(("extras.job", "view", None)))
    expect(page.get_by_role("link", name="Greet", exact=True)).to_be_visible()
    expect(page.get_by_role("link", name="Run Greet")).to_have_count(0)
    expect(page.get_by_role("button", name="Disable")).to_have_count(0)
    page.get_by_role("link", name="Greet", exact=True).click()
    page.get_by_role("link", name="Form").click()
    expect(page.get_by_label("Who")).to_have_value("world")
    expect(page.locator("#go")).to_be_disabled()
    expect(page.locator("#go")).to_have_accessible_description("This user does not have permission to run jobs.")


def test_a_job_that_was_disabled_meanwhile_comes_back_as_it_was_typed(live: Live, signed_in: SignedIn) -> None:
    page = signed_in("admin")
    open_run(page, live, "Greet")
    page.get_by_label("Who").fill("nobody")
    with live.client() as client, changed(client, "Greet", enabled=False):
        page.locator("#go").click()
        expect(page.get_by_role("alert")).to_contain_text("This job is not enabled to be run.")
        expect(page.get_by_label("Who")).to_have_value("nobody")
        expect(page.locator("#go")).to_be_disabled()


def test_an_object_is_searched_for_by_name_and_run_gets_it(live: Live, signed_in: SignedIn) -> None:
    page = signed_in("admin")
    open_run(page, live, "Locate")
    site = page.get_by_label("Site", exact=True)
    expect(site.locator("option")).to_have_text(["Choose one", "Berlin", "Bern", "Lima"])
    page.get_by_label("Search Site").fill("erl")
    expect(site.locator("option")).to_have_text(["Choose one", "Berlin"])
    site.select_option("Berlin")
    page.get_by_label("Search Site").fill("lim")
    expect(site.locator("option")).to_have_text(["Choose one", "Berlin", "Lima"])
    page.get_by_label("Network").fill("192.0.2.0/24")
    check_accessible(page)
    page.locator("#go").click()
    expect(page).to_have_url(RESULT)
    address = f"/api/extras/job-results/{page.url.rpartition('/')[2]}/"
    eventually(lambda: read(live, address)["status"]["value"] not in ("PENDING", "STARTED"))
    result = read(live, address)
    assert result["task_kwargs"] == {"site": "1", "since": "2030-01-31", "network": "192.0.2.0/24"}
    assert result["result"] == {"site": "Berlin", "year": 2030, "addresses": 256}


def test_a_start_is_on_the_clocks_of_the_chosen_zone(live: Live, signed_in: SignedIn) -> None:
    page = signed_in("admin")
    open_run(page, live, "Greet")
    page.get_by_label("Once in the future").check()
    page.get_by_label("Name").fill(unique("zoned"))
    page.get_by_label("Start").fill("2035-07-01T09:30")
    page.get_by_label("Time zone").fill("America/New_York")
    page.get_by_role("button", name="Schedule Job").click()
    assert made(page, live)["start_time"].startswith("2035-07-01T13:30:00")


def test_on_a_phone_nothing_is_wider_than_the_screen(live: Live, signed_in: SignedIn) -> None:
    page = signed_in("admin", viewport={"width": 360, "height": 740}, color_scheme="dark")
    for look in ("Jobs", "Every variable"):
        if look != "Jobs":
            open_run(page, live, look)
            page.get_by_label("Recurring custom").check()
            page.get_by_label("Crontab").fill("0 2 * * *")
            expect(page.locator("#preview")).to_contain_text("At 02:00 every day.")
        check_accessible(page)
        assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
