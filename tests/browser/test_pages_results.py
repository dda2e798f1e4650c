"""The results, as people look at them."""

from __future__ import annotations

import re
from typing import Any
from uuid import UUID

import pytest

from api_shim.domain.model import Status
from tests.acceptance.people import People
from tests.browser.axe import check_accessible
from tests.browser.conftest import SignedIn, playwright
from tests.live import Live, eventually

pytestmark = [pytest.mark.browser, pytest.mark.slow]
expect = playwright.expect

EVIL = "<img src=x onerror=alert(1)>"


def run(live: Live, job: str, **data: Any) -> str:
    """Run a Job, and return the id of its result."""
    with live.client("alice") as client:
        answer = client.post(f"/api/extras/jobs/{job}/run/", json={"data": data})
    assert answer.status_code == 201, answer.text
    found: str = answer.json()["job_result"]["id"]
    return found


def over(live: Live, result_id: str) -> None:
    with live.client() as admin:
        address = f"/api/extras/job-results/{result_id}/"
        ended = {"SUCCESS", "FAILURE"}
        eventually(lambda: admin.get(address).json()["status"]["value"] in ended)


def result(live: Live, page: Any, result_id: str) -> Any:
    page.goto(f"{live.origin}/signoff/results/{result_id}")
    return page


def test_a_run_is_followed_until_it_has_ended(live: Live, signed_in: SignedIn) -> None:
    page = signed_in("bob")
    result(live, page, run(live, "Sleep", seconds=3))
    expect(page.get_by_role("progressbar", name="Run in progress")).to_be_visible()
    expect(page.get_by_text("Running for")).to_be_visible()
    check_accessible(page)
    page.evaluate("window.sameDocument = true")
    expect(page.get_by_role("progressbar")).to_have_count(0)
    expect(page.get_by_role("status").filter(has_text="ended")).to_have_text("The run has ended: succeeded.")
    expect(page.get_by_role("region", name="Result")).to_contain_text('"slept"')
    expect(page.get_by_role("log")).to_contain_text("Finished in state Completed()")
    assert page.evaluate("window.sameDocument")
    check_accessible(page)


def test_without_javascript_the_page_is_loaded_again_while_it_runs(live: Live, signed_in: SignedIn) -> None:
    page = signed_in("bob", java_script_enabled=False)
    result(live, page, run(live, "Greet"))
    assert page.locator("meta[http-equiv=refresh]").count() == 1
    expect(page.get_by_text("succeeded")).to_be_visible()
    expect(page.get_by_role("log")).to_contain_text("Finished in state Completed()")


def test_a_failure_is_told_with_its_traceback(live: Live, signed_in: SignedIn) -> None:
    broken = run(live, "Break")
    over(live, broken)
    page = result(live, signed_in("bob"), broken)
    expect(page.get_by_role("region", name="Run")).to_contain_text("failed")
    expect(page.get_by_role("region", name="Error")).to_contain_text("ValueError: broken on purpose")
    expect(page.get_by_role("log").get_by_text("error", exact=True).first).to_be_visible()
    check_accessible(page)


def test_a_job_that_says_it_failed_is_told_in_its_sentence_without_javascript(live: Live, signed_in: SignedIn) -> None:
    """The sentence first, nothing of a traceback, what the engine says folded away; then filtered, and saved."""
    over(live, complained := run(live, "Complain"))
    page = result(live, signed_in("bob", java_script_enabled=False), complained)
    expect(page.locator("#why")).to_have_text(re.compile(r"The run failed\.\s*something was wrong with it"))
    expect(page.get_by_role("log")).to_contain_text("Finished in state")
    expect(page.get_by_role("log").get_by_text("Finished in state")).to_be_hidden()
    page.get_by_role("log").get_by_text("Prefect's engine").last.click()
    expect(page.get_by_role("log").get_by_text("Finished in state")).to_be_visible()
    expect(page.get_by_text("Traceback")).to_have_count(0)
    page.get_by_label("Level").select_option("Failures and above")
    page.get_by_role("button", name="Filter").click()
    expect(page.get_by_role("log").get_by_role("listitem")).to_have_count(1)
    with page.expect_download() as saved:
        page.get_by_role("link", name="Save as text").click()
    assert "FAILURE  [run] something was wrong with it" in saved.value.path().read_text()


def test_nothing_that_a_run_was_given_or_says_is_markup(live: Live, signed_in: SignedIn) -> None:
    greeted = run(live, "Greet", who=EVIL)
    over(live, greeted)
    page = result(live, signed_in("bob"), greeted)
    expect(page.get_by_role("region", name="Inputs")).to_contain_text(EVIL)
    expect(page.get_by_role("region", name="Result")).to_contain_text(EVIL)
    expect(page.get_by_role("log")).to_contain_text(f"Hello {EVIL}")
    assert page.locator("main img").count() == 0


def test_the_list_is_filtered_and_leafed_through(live: Live, people: People, signed_in: SignedIn) -> None:
    for _ in range(55):
        people.result("Every variable", status=Status.REVOKED)
    page = signed_in("bob")
    page.get_by_role("link", name="Results").click()
    check_accessible(page)
    page.get_by_label("Status").select_option("cancelled")
    page.get_by_label("Job", exact=True).select_option("Every variable")
    page.get_by_role("button", name="Filter", exact=True).click()
    expect(page.get_by_role("row")).to_have_count(26)
    expect(page.get_by_label("Status")).to_have_value("REVOKED")
    expect(page.get_by_text("1–25 of 55")).to_be_visible()
    page.get_by_role("link", name="Next").click()
    expect(page.get_by_text("26–50 of 55")).to_be_visible()
    page.get_by_role("link", name="Created").click()
    expect(page.get_by_role("columnheader", name="Created")).to_have_attribute("aria-sort", "ascending")
    page.get_by_label("Search").fill("nothing is called so")
    page.get_by_role("button", name="Filter", exact=True).click()
    expect(page.get_by_text("No results match the filter.")).to_be_visible()
    check_accessible(page)
    page.get_by_role("link", name="Show all").first.click()
    expect(page.get_by_role("row").nth(1)).to_be_visible()


def test_runs_of_one_job_are_told_apart_exported_and_deleted_without_javascript(
    live: Live, people: People, signed_in: SignedIn
) -> None:
    """Three dry runs and what ran for good: marked, filtered, saved, and the dry runs deleted after one question."""
    boss = people.add(superuser=True)
    for dry_run in (True, True, True, False):
        people.result("Locate", dry_run=dry_run, user_id=UUID(people.id_of(boss)))
    page = signed_in(boss, java_script_enabled=False)
    page.goto(f"{live.origin}/signoff/results?q=Locate&user={boss}")
    rows = page.get_by_role("row").filter(has=page.get_by_role("checkbox"))
    expect(rows).to_have_count(4)
    expect(rows.filter(has_text="dry run")).to_have_count(3)
    page.get_by_label("Dry run", exact=True).select_option("Dry runs")
    page.get_by_role("button", name="Filter", exact=True).click()
    expect(rows).to_have_count(3)
    with page.expect_download() as saved:
        page.get_by_role("link", name="CSV").click()
    assert len(saved.value.path().read_text().splitlines()) == 4
    for box in page.get_by_role("checkbox").all():
        box.check()
    page.get_by_role("button", name="Delete Selected").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Delete these 3 results?")
    page.get_by_role("button", name="Delete them").click()
    expect(page.get_by_text("Deleted 3 results.")).to_be_visible()
    page.get_by_role("link", name="Clear").click()
    page.goto(f"{live.origin}/signoff/results?q=Locate&user={boss}")
    expect(rows).to_have_count(1)


def test_a_run_is_cancelled_and_run_again_with_other_inputs_without_javascript(live: Live, signed_in: SignedIn) -> None:
    page = result(live, signed_in("alice", java_script_enabled=False), run(live, "Sleep", seconds=300))
    page.get_by_role("link", name="Cancel").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Cancel this run?")
    page.get_by_role("button", name="Cancel the run").click()
    expect(page.get_by_role("region", name="Run")).to_contain_text("cancelled")
    page.get_by_role("link", name="Run Again").click()
    expect(page.get_by_label("Seconds")).to_have_value("300")
    page.get_by_label("Seconds").fill("0")
    page.get_by_role("button", name="Run or Schedule Job").click()
    expect(page.get_by_text("Sleep has been started.")).to_be_visible()
    expect(page.get_by_role("region", name="Result")).to_contain_text("slept")


def test_the_pages_to_cancel_and_to_run_again_are_accessible(live: Live, people: People, signed_in: SignedIn) -> None:
    page = signed_in("admin")
    waiting = people.result("Sleep", status=Status.PENDING, date_done=None, released=False)
    page.goto(f"{live.origin}/signoff/results/{waiting}/cancel")
    check_accessible(page)
    page.get_by_role("button", name="Cancel the run").click()
    page.get_by_role("link", name="Run Again").click()
    expect(page.get_by_text("Filled in with the inputs of")).to_be_visible()
    check_accessible(page)


def test_a_strange_address_is_no_error(live: Live, signed_in: SignedIn) -> None:
    page = signed_in("bob")
    for query in ("status=nonsense", "job=nonsense", "since=x", "sort=x", "offset=-1", "offset=999999999", "q=%00"):
        assert page.request.get(f"{live.origin}/signoff/results?{query}").status == 200, query


def test_from_a_run_one_comes_to_it_in_prefect(live: Live, people: People, signed_in: SignedIn) -> None:
    page = result(live, signed_in("bob"), gone := people.result("Greet"))
    expect(page.get_by_text("The log is empty.")).to_be_visible()
    expect(page.get_by_role("link", name="The run in Prefect")).to_have_attribute("href", re.compile(gone))


def test_who_may_see_no_results_is_told_so(live: Live, people: People, signed_in: SignedIn) -> None:
    page = signed_in(people.add())
    page.goto(f"{live.origin}/signoff/results")
    expect(page.get_by_role("heading", level=1)).to_have_text("Permission denied")
    check_accessible(page)
