"""The pages of the scheduled jobs, as people use them."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.acceptance.people import FAR, SCHEDULES, People, changed, unique
from tests.browser.axe import check_accessible
from tests.browser.conftest import SignedIn, playwright
from tests.live import Live, eventually

pytestmark = [pytest.mark.browser, pytest.mark.slow]
expect = playwright.expect

EVIL = "<img src=x onerror=alert(1)><script>1</script>"

Scheduled = Callable[..., str]
"""Schedules a Job as somebody and returns the scheduled job's id."""


@pytest.fixture
def scheduled(live: Live) -> Iterator[Scheduled]:
    made: list[str] = []

    def ask(who: str, name: str, job: str = "Greet", data: Any = None, **to: Any) -> str:
        asked = {"name": name, "interval": "future", "start_time": FAR, **to}
        with live.client(who) as client:
            answer = client.post(f"/api/extras/jobs/{job}/run/", json={"data": data or {}, "schedule": asked})
        assert answer.status_code == 201, answer.text
        made.append(answer.json()["scheduled_job"]["id"])
        return made[-1]

    yield ask
    with live.client() as admin:
        admin.request("DELETE", SCHEDULES, json=made)


@pytest.fixture
def stored(live: Live, people: People) -> Iterator[Callable[[str], None]]:
    """Keeps scheduled jobs of alice's quickly, under these names."""
    made: list[str] = []
    yield lambda name: made.append(people.scheduled("Greet", "alice", name))
    with live.client() as admin:
        admin.request("DELETE", SCHEDULES, json=made)


def look(live: Live, page: Any, path: str = "") -> None:
    page.goto(f"{live.origin}/signoff/scheduled-jobs{path}")


def fact(page: Any, term: str) -> Any:
    return page.locator(f"dt:text-is('{term}') + dd").first


def heading(page: Any, text: str) -> Any:
    return page.get_by_role("heading", level=1, name=text)


# The list


def test_several_are_deleted_at_once_after_a_page_that_names_them(
    live: Live, stored: Callable[[str], None], signed_in: SignedIn
) -> None:
    word = unique("several")
    for number in (1, 2, 3):
        stored(f"{word} {number}")
    page = signed_in("alice")
    look(live, page, f"?q={word.replace(' ', '+')}")
    page.get_by_role("button", name="Delete Selected").click()
    expect(page.get_by_role("status")).to_contain_text("Select the scheduled jobs")
    page.get_by_role("checkbox", name=f"Select {word} 1").check()
    page.get_by_role("checkbox", name=f"Select {word} 3").check()
    page.get_by_role("button", name="Delete Selected").click()
    expect(heading(page, "Delete these 2 scheduled jobs?")).to_be_visible()
    expect(page.get_by_role("listitem").filter(has_text=word)).to_have_count(2)
    check_accessible(page)
    page.get_by_role("button", name="Delete them").click()
    expect(page.get_by_role("status")).to_have_text("Deleted 2 scheduled jobs.")
    assert page.url.endswith(f"?q={word.replace(' ', '+')}")
    expect(page.get_by_role("row").filter(has_text=word)).to_have_count(1)


def test_nobody_selects_what_they_may_not_delete(
    live: Live, people: People, signed_in: SignedIn, scheduled: Scheduled
) -> None:
    word = unique("theirs")
    mine, yours = f"{word} mine", f"{word} yours"
    scheduled("alice", mine)
    other = scheduled("alice", yours)
    who = people.add(("extras.scheduledjob", "view", None), ("extras.scheduledjob", "delete", {"name": mine}))
    page = signed_in(who)
    look(live, page, f"?q={word}")
    expect(page.get_by_role("checkbox", name=f"Select {mine}")).to_have_count(1)
    expect(page.get_by_role("checkbox", name=f"Select {yours}")).to_have_count(0)
    # Who sends it nevertheless is shown that it is not theirs to delete.
    page.get_by_role("checkbox", name=f"Select {mine}").evaluate("(box, id) => (box.value = id)", other)
    page.get_by_role("checkbox", name=f"Select {mine}").check()
    page.get_by_role("button", name="Delete Selected").click()
    expect(heading(page, "Nothing to delete")).to_be_visible()
    expect(page.get_by_role("button", name="Delete")).to_have_count(0)


def test_the_list_is_filtered_sorted_and_turned_over(
    live: Live, stored: Callable[[str], None], signed_in: SignedIn, scheduled: Scheduled
) -> None:
    word = unique("many")
    for number in range(26):
        stored(f"{word} {number:02}")
    waits = scheduled("bob", f"{word} waits", "Guarded")
    page = signed_in("admin")
    look(live, page)
    page.get_by_label("Search").fill(word)
    page.get_by_role("button", name="Filter").click()
    rows = page.locator("table.scheduled tbody tr")
    expect(rows).to_have_count(25)
    expect(rows.first).to_contain_text(f"{word} 00")
    page.get_by_role("link", name="Next").click()
    expect(rows).to_have_count(2)
    page.get_by_role("link", name="Previous").click()
    page.get_by_role("link", name="Name").click()
    expect(page.locator("th[aria-sort=descending]")).to_contain_text("Name")
    expect(rows.first).to_contain_text(f"{word} waits")
    page.get_by_label("Rows", exact=True).select_option("50")
    page.get_by_role("button", name="Filter").click()
    expect(rows).to_have_count(27)
    views = page.get_by_role("navigation", name="Views")
    expect(views.get_by_role("link", name="All 27")).to_have_attribute("aria-current", "page")
    expect(views.get_by_role("link", name="Disabled 0")).to_be_visible()
    views.get_by_role("link", name="Waiting 1").click()
    expect(rows).to_have_count(1)
    expect(rows.first).to_contain_text("waiting for approval")
    expect(rows.get_by_role("link", name="View request")).to_have_attribute("href", f"/signoff/approval-queue/{waits}")
    views.get_by_role("link", name="All 27").click()
    expect(rows).to_have_count(27)
    page.get_by_label("Owner").fill("BOB")
    page.get_by_label("Job", exact=True).select_option("Guarded")
    page.get_by_role("button", name="Filter").click()
    expect(rows).to_have_count(1)
    page.get_by_label("Job", exact=True).select_option("Greet")
    page.get_by_role("button", name="Filter").click()
    expect(page.get_by_text("No scheduled jobs match the filter.")).to_be_visible()


def test_a_day_a_week_and_a_month_are_drawn_and_told(live: Live, signed_in: SignedIn, scheduled: Scheduled) -> None:
    word = unique("drawn")
    often = {"interval": "custom", "crontab": "* * * * *", "start_time": "2030-07-01T10:00:00Z"}
    scheduled("alice", f"{word} often", **often)
    scheduled("alice", f"{word} waits", "Guarded", start_time="2030-07-01T22:30:00Z")
    scheduled("alice", f"{word} far", start_time="2030-07-20T10:00:00Z")
    page = signed_in("alice", timezone_id="Europe/Berlin", color_scheme="dark")
    look(live, page, f"?q={word.replace(' ', '+')}")
    page.get_by_role("link", name="Calendar", exact=True).click()
    expect(page.get_by_label("Search")).to_have_value(word)
    nothing = "Nothing that matches the filter has run in this day or is due in the rest of it."
    expect(page.locator(".empty")).to_contain_text(nothing)
    page.goto(f"{page.url}&at=2030-07-01")
    picture = page.get_by_role("img", name="Monday, 1 July 2030")
    # What fires every minute is one band. In Berlin, the other is due on the next day.
    expect(picture.locator(".band.fires")).to_have_count(1)
    expect(page.locator(".lanes li")).to_have_count(1)
    page.get_by_text("Show as a table").click()
    row = page.locator("table").get_by_role("row").filter(has_text=word)
    expect(row).to_contain_text("repeatedly from 12:00 to 23:59")
    expect(row).to_contain_text("every minute")
    page.get_by_role("link", name="Next day").click()
    picture = page.get_by_role("img", name="Tuesday, 2 July 2030")
    # What waits has a shape of its own.
    expect(picture.locator(".mark.waits path")).to_have_count(1)
    check_accessible(page)
    page.get_by_role("link", name="Month", exact=True).click()
    expect(page.get_by_role("img", name="July 2030")).to_be_visible()
    expect(page.locator(".lanes li")).to_have_count(3)
    page.get_by_text("Show as a table").click()
    far = page.locator("table").get_by_role("row").filter(has_text="far")
    expect(far).to_contain_text("Sat 20 Jul 12:00")
    check_accessible(page)
    page.get_by_role("link", name="Week", exact=True).click()
    expect(page.get_by_role("heading", name="1 July 2030 to 7 July 2030")).to_be_visible()
    views = page.get_by_role("navigation", name="Views")
    views.get_by_role("link", name="Waiting 1").click()
    expect(page.locator(".lanes li")).to_have_count(1)
    page.get_by_role("link", name="Today").click()
    expect(page.get_by_role("heading", name="2030")).to_have_count(0)
    page.get_by_role("link", name="List", exact=True).click()
    expect(page.locator("table.scheduled tbody tr")).to_have_count(1)


def test_a_calendar_says_where_now_is(live: Live, signed_in: SignedIn, scheduled: Scheduled) -> None:
    word = unique("now")
    soon = (datetime.now(UTC) + timedelta(minutes=2)).isoformat()
    scheduled("alice", word, interval="custom", crontab="* * * * *", start_time=soon)
    page = signed_in("alice", java_script_enabled=False)
    look(live, page, f"/calendar?span=month&at=soon&q={word.replace(' ', '+')}")
    expect(page.locator(".day line.now")).to_have_count(2)
    expect(page.get_by_role("link", name="Today")).to_have_count(0)
    expect(page.get_by_role("link", name="Month", exact=True)).to_have_attribute("aria-current", "page")
    page.get_by_role("link", name="Next month").click()
    expect(page.locator(".day line.now")).to_have_count(0)
    page.get_by_role("link", name="Today").click()
    expect(page.locator(".day line.now")).to_have_count(2)
    look(live, page, "/calendar?at=2020-01-01")
    expect(page.get_by_text("This day is in the past.")).to_be_visible()


# One


@pytest.fixture
def orphan(live: Live, people: People, scheduled: Scheduled) -> str:
    """The id of what is scheduled hourly and whose owner has been removed."""
    owner = people.add(superuser=True)
    start = (datetime.now(UTC) + timedelta(hours=3)).isoformat()
    made = scheduled(owner, unique("orphan"), interval="hourly", start_time=start)
    with live.client() as admin:
        assert admin.delete(f"/api/users/users/{people.id_of(owner)}/").status_code == 204
    return made


def test_what_has_lost_its_owner_is_taken_over_by_who_may(live: Live, signed_in: SignedIn, orphan: str) -> None:
    page = signed_in("bob", java_script_enabled=False)
    look(live, page)
    banner = page.get_by_role("note").filter(has_text="no owner")
    expect(banner).to_contain_text("not run until somebody takes")
    look(live, page, "?view=ownerless&limit=100")
    page.locator(f"a[href='/signoff/scheduled-jobs/{orphan}#do']").click()
    expect(page.get_by_role("alert")).to_contain_text("the originating user has been removed")
    expect(fact(page, "Owner")).to_have_text("removed")
    page.get_by_role("button", name="Assume Ownership").click()
    expect(page.get_by_role("status")).to_contain_text("You are now the owner")
    expect(page.get_by_role("alert")).to_have_count(0)
    expect(fact(page, "Owner")).to_have_text("bob")
    expect(page.get_by_role("button", name="Assume Ownership")).to_have_count(0)
    expect(page.locator(".events")).to_contain_text("bob assumed ownership (it had no owner)")


def test_who_may_only_look_is_offered_nothing(
    live: Live, people: People, signed_in: SignedIn, scheduled: Scheduled, orphan: str
) -> None:
    page = signed_in(people.add(("extras.scheduledjob", "view", None)))
    look(live, page, f"/{orphan}")
    expect(page.get_by_role("heading", name="Who can do what")).to_be_visible()
    expect(page.locator("main").get_by_role("button")).to_have_count(0)
    expect(page.get_by_role("link", name="Edit")).to_have_count(0)
    expect(fact(page, "Assume ownership")).to_contain_text("Not you: You do not have permission")
    expect(page.get_by_text("You do not have permission to view job results.")).to_be_visible()
    answer = page.request.get(f"{live.origin}/signoff/scheduled-jobs/{orphan}/edit")
    assert answer.status == 403
    assert "Permission denied" in answer.text()


def test_it_is_disabled_enabled_and_deleted_with_a_question_before(
    live: Live, signed_in: SignedIn, scheduled: Scheduled
) -> None:
    name = unique("switch")
    made = scheduled("alice", name)
    page = signed_in("alice", java_script_enabled=False)
    look(live, page, f"/{made}")
    page.get_by_role("button", name="Disable").click()
    expect(page.get_by_text("It is disabled.", exact=True).last).to_be_visible()
    expect(fact(page, "State")).to_have_text("disabled")
    page.get_by_role("button", name="Enable").click()
    expect(page.get_by_role("status")).to_have_text("It is enabled.")
    expect(fact(page, "State")).to_contain_text("runs next 2030-01-01")
    page.get_by_role("button", name="Delete").click()
    expect(heading(page, "Delete this scheduled job?")).to_be_visible()
    page.get_by_role("link", name="Keep it").click()
    expect(heading(page, name)).to_be_visible()
    page.get_by_role("button", name="Delete").click()
    page.get_by_role("button", name="Delete it").click()
    expect(page.get_by_role("status")).to_have_text(f"Deleted {name}.")
    look(live, page, f"/{made}")
    expect(heading(page, "Not found")).to_be_visible()
    page.get_by_role("link", name="Scheduled Jobs").click()
    expect(heading(page, "Scheduled Jobs")).to_be_visible()


def test_it_is_handed_over(live: Live, people: People, signed_in: SignedIn, scheduled: Scheduled) -> None:
    made = scheduled("alice", unique("handed over"))
    page = signed_in("admin")
    look(live, page, f"/{made}")
    page.get_by_label("Transfer to").fill("nobody at all")
    page.get_by_role("button", name="Transfer").click()
    expect(page.get_by_role("alert")).to_contain_text("There is no such user.")
    expect(page.get_by_label("Transfer to")).to_have_value("nobody at all")
    page.get_by_label("Transfer to").fill("bob")
    page.get_by_role("button", name="Transfer").click()
    expect(page.get_by_role("status")).to_have_text("bob is now the owner.")
    expect(fact(page, "Owner")).to_have_text("bob")


def test_what_was_approved_is_changed_and_waits_again_and_faults_lose_nothing(
    live: Live, signed_in: SignedIn, scheduled: Scheduled
) -> None:
    made = scheduled("alice", unique("change"), "Change", {"file": ""}, interval="custom", crontab="0 2 * * *")
    with live.client("bob") as bob:
        assert bob.post(f"{SCHEDULES}{made}/approve/", json={"comment": EVIL}).status_code == 200
    page = signed_in("alice")
    look(live, page, f"/{made}")
    expect(page.locator(".events blockquote")).to_have_text(EVIL)
    page.get_by_role("link", name="Edit").click()
    expect(page.get_by_text("another user must approve it again")).to_be_visible()
    page.get_by_label("Crontab").fill("61 2 * * *")
    page.get_by_label("Time zone").fill("Europe/Atlantis")
    page.get_by_label("File").fill("/kept")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_label("Crontab")).to_have_attribute("aria-invalid", "true")
    expect(page.locator("#crontab-fault")).to_contain_text("must be between 0 and 59")
    expect(page.locator("#time_zone-fault")).to_contain_text("There is no time zone")
    expect(page.get_by_label("Crontab")).to_have_value("61 2 * * *")
    expect(page.get_by_label("File")).to_have_value("/kept")
    check_accessible(page)
    page.get_by_label("Crontab").fill("30 2 * * *")
    page.get_by_label("Time zone").fill("Europe/Berlin")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_role("status")).to_contain_text("waits for approval again")
    expect(fact(page, "Runs")).to_contain_text("at 02:30 every day, Europe/Berlin")
    expect(fact(page, "File")).to_have_text("/kept")
    expect(page.get_by_role("link", name="View the request")).to_have_attribute(
        "href", f"/signoff/approval-queue/{made}"
    )
    expect(page.locator(".events")).to_contain_text("alice changed its crontab and inputs")
    page.get_by_role("link", name="Edit").click()
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_role("status")).to_have_text("There were no changes to save.")
    page.get_by_role("link", name="Edit").click()
    page.get_by_label("Schedule type").select_option("Recurring daily")
    page.get_by_label("Start", exact=True).fill("2030-07-01T05:00")
    page.get_by_role("button", name="Save").click()
    expect(fact(page, "Runs")).to_have_text("every day at 05:00 Europe/Berlin")


def test_another_renames_it_and_does_not_change_its_inputs(
    live: Live, signed_in: SignedIn, scheduled: Scheduled
) -> None:
    made, name = scheduled("alice", unique("rename"), data={"who": EVIL}), unique("renamed")
    page = signed_in("bob")
    look(live, page, f"/{made}/edit")
    expect(page.get_by_text("Only the owner can change the inputs")).to_be_visible()
    expect(page.get_by_label("Who")).to_have_count(0)
    expect(fact(page, "Who")).to_have_text(EVIL)
    page.get_by_label("Name").fill(name)
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_role("status")).to_contain_text(f"{name} was changed")


def test_its_runs_are_linked_to_their_results_and_to_prefect(
    live: Live, people: People, signed_in: SignedIn, scheduled: Scheduled
) -> None:
    name = unique("runs")
    made = scheduled("alice", name, start_time=(datetime.now(UTC) + timedelta(seconds=5)).isoformat())
    with live.client() as admin:
        found = eventually(
            lambda: admin.get("/api/extras/job-results/", params={"scheduled_job": made}).json()["results"]
        )
        eventually(
            lambda: admin.get(f"/api/extras/job-results/{found[0]['id']}/").json()["status"]["value"] == "SUCCESS",
        )
    page = signed_in("admin")
    look(live, page, f"/{made}")
    expect(fact(page, "State")).to_have_text("has run")
    run = page.get_by_role("row").filter(has_text="succeeded")
    expect(run.get_by_role("link").first).to_have_attribute("href", f"/signoff/results/{found[0]['id']}")
    expect(run.get_by_role("link", name="In Prefect")).to_have_attribute(
        "href", f"/v2/runs/flow-run/{found[0]['flow_run_id']}"
    )
    page.get_by_role("button", name="Enable").click()
    expect(page.get_by_role("alert")).to_contain_text("greater than or equal to the current date and time")
    check_accessible(page)


# What others have written, and what may not be seen


def test_what_others_have_written_is_shown_as_text(live: Live, signed_in: SignedIn, scheduled: Scheduled) -> None:
    name = f"{unique('evil')} {EVIL}"
    made = scheduled("alice", name, data={"who": EVIL})
    page = signed_in("admin")
    page.on("dialog", lambda dialog: pytest.fail(dialog.message))
    look(live, page, f"?q={name.split(' <')[0].replace(' ', '+')}&owner=%22%3E{EVIL}&zone={EVIL}")
    look(live, page, f"?q={name.split(' <')[0].replace(' ', '+')}")
    expect(page.get_by_role("link", name=name)).to_be_visible()
    page.get_by_role("checkbox", name=name).check()
    page.get_by_role("button", name="Delete Selected").click()
    expect(page.get_by_role("link", name=name)).to_be_visible()
    for path in (f"/{made}", f"/{made}/edit"):
        look(live, page, path)
        expect(heading(page, name)).to_be_visible()
    assert page.locator("main img, main script").count() == 0


def test_inputs_that_may_be_sensitive_are_not_shown(live: Live, signed_in: SignedIn, scheduled: Scheduled) -> None:
    made = scheduled("alice", unique("secret"), "Every variable", {"number": 7, "text": "nobody sees this"})
    with live.client() as admin, changed(admin, "Every variable", has_sensitive_variables=True):
        page = signed_in("alice")
        for path in (f"/{made}", f"/{made}/edit"):
            look(live, page, path)
            expect(page.get_by_text("they may be sensitive")).to_be_visible()
            assert "nobody sees this" not in page.content()


def test_a_job_that_is_not_enabled_says_so(live: Live, signed_in: SignedIn, scheduled: Scheduled) -> None:
    made = scheduled("alice", unique("stopped"), "Complain")
    with live.client() as admin, changed(admin, "Complain", enabled=False):
        page = signed_in("alice")
        look(live, page, f"/{made}")
        expect(page.get_by_role("alert")).to_contain_text("This job is not enabled to be run.")
        expect(fact(page, "State")).to_have_text("will not run")


def test_what_is_not_there_is_a_page_with_a_way_on(live: Live, signed_in: SignedIn) -> None:
    page = signed_in("alice")
    for path in ("/no-such-thing", "/x/y/z", "/00000000-0000-0000-0000-000000000000"):
        answer = page.request.get(f"{live.origin}/signoff/scheduled-jobs{path}")
        assert (answer.status, "Not found" in answer.text()) == (404, True), path
    look(live, page, path)
    expect(heading(page, "Not found")).to_be_visible()
    expect(page.get_by_role("link", name="Scheduled Jobs")).to_be_visible()
    check_accessible(page)


def test_who_may_see_none_is_told_so(live: Live, people: People, signed_in: SignedIn) -> None:
    page = signed_in(people.add())
    answer = page.goto(f"{live.origin}/signoff/scheduled-jobs")
    assert answer.status == 403
    expect(heading(page, "Permission denied")).to_be_visible()


def test_a_session_that_has_ended_comes_back_to_where_it_was(
    live: Live, signed_in: SignedIn, scheduled: Scheduled
) -> None:
    name = unique("session")
    made = scheduled("alice", name)
    page = signed_in("alice")
    page.context.clear_cookies()
    look(live, page, f"/{made}")
    page.get_by_label("Name").fill("alice")
    page.get_by_label("Password or token").fill(live.key("alice"))
    page.get_by_role("button", name="Sign in").click()
    expect(heading(page, name)).to_be_visible()


def test_nothing_is_wider_than_a_phone(live: Live, signed_in: SignedIn, scheduled: Scheduled) -> None:
    made = scheduled("alice", f"{unique('phone')} {'w' * 120}", data={"who": "x" * 50})
    page = signed_in("admin", viewport={"width": 390, "height": 844})
    for path in ("", "/calendar?span=month", f"/{made}", f"/{made}/edit", "/../preferences"):
        look(live, page, path)
        assert page.evaluate("document.documentElement.scrollWidth") <= 390, path
        check_accessible(page)


# Another one like it


def test_a_copy_opens_the_form_with_all_that_the_schedule_has(
    live: Live, signed_in: SignedIn, scheduled: Scheduled
) -> None:
    name, start = unique("original"), "2030-07-01T10:00:00Z"
    times = {"interval": "weekly", "start_time": start, "time_zone": "Asia/Tokyo"}
    made = scheduled("alice", name, data={"who": "the moon"}, **times)
    page = signed_in("alice", java_script_enabled=False, timezone_id="Europe/Berlin")
    look(live, page, f"/{made}")
    page.get_by_role("link", name="Copy").click()
    expect(page.get_by_label("Who")).to_have_value("the moon")
    expect(page.get_by_label("Recurring weekly")).to_be_checked()
    expect(page.get_by_label("Start", exact=True)).to_have_value("2030-07-01T19:00")
    expect(page.get_by_label("Time zone")).to_have_value("Asia/Tokyo")
    expect(page.get_by_label("Name", exact=True)).to_have_value(f"{name} (copy)")
    page.get_by_role("button", name="Run or Schedule Job").click()
    expect(heading(page, f"{name} (copy)")).to_be_visible()
    expect(fact(page, "Runs")).to_have_text("every Monday at 19:00 Asia/Tokyo")
    page.get_by_role("button", name="Delete").click()
    page.get_by_role("button", name="Delete it").click()


# Times


def test_every_time_is_told_in_the_zone_of_the_reader(live: Live, signed_in: SignedIn, scheduled: Scheduled) -> None:
    name = unique("in Berlin")
    summer = {"interval": "daily", "start_time": "2030-07-01T10:00:00Z", "time_zone": "Asia/Tokyo"}
    made = scheduled("alice", name, **summer)
    page = signed_in("alice", timezone_id="Europe/Berlin")
    look(live, page, f"?q={name.replace(' ', '+')}")
    row = page.get_by_role("row").filter(has_text=name)
    time = row.locator("time").first
    expect(time).to_have_text("2030-07-01 12:00 CEST")
    expect(time).to_have_attribute("datetime", "2030-07-01T10:00:00+00:00")
    expect(time).to_have_attribute("title", "2030-07-01 10:00:00 UTC")
    expect(row).to_contain_text(re.compile(r"in \d+ days"))
    expect(page.get_by_text("Times are in Europe/Berlin.")).to_be_visible()
    look(live, page, f"/{made}")
    # It runs at 19:00 in its own zone, in which it is defined.
    expect(fact(page, "Runs")).to_have_text("every day at 19:00 Asia/Tokyo")
    expect(page.locator(".firings li").first).to_contain_text("Monday, 2030-07-01 12:00 CEST")
    expect(page.locator(".firings li").first).to_contain_text("Monday 19:00 in Asia/Tokyo")
    page.goto(f"{live.origin}/signoff/jobs")
    page.get_by_role("link", name="Run Greet").click()
    expect(page.locator("#time_zone")).to_have_value("Europe/Berlin")


def test_a_preferred_zone_counts_for_more_than_that_of_the_browser(
    live: Live, people: People, signed_in: SignedIn
) -> None:
    page = signed_in(people.add(superuser=True), timezone_id="Europe/Berlin", java_script_enabled=False)
    page.get_by_role("link", name="Change the time zone").click()
    expect(page.get_by_text("Times are in UTC.")).to_be_visible()
    page.get_by_label("Time zone").fill("Mars/Olympus")
    page.get_by_role("button", name="Save").click()
    expect(page.locator("#time_zone-fault")).to_contain_text("There is no time zone 'Mars/Olympus'")
    expect(page.get_by_label("Time zone")).to_have_value("Mars/Olympus")
    page.get_by_label("Time zone").fill("America/New_York")
    page.get_by_label("Rows per page").select_option("100")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_role("status")).to_have_text("Your preferences were saved.")
    expect(page.get_by_text("Times are in America/New_York.")).to_be_visible()
    expect(page.get_by_label("Rows per page")).to_have_value("100")


def test_what_has_no_name_and_what_starts_tomorrow_are_shown_as_what_they_are(
    live: Live, signed_in: SignedIn, scheduled: Scheduled
) -> None:
    name = unique("tomorrow")
    tomorrow = datetime.now(UTC) + timedelta(hours=26)
    scheduled("alice", name, interval="daily", start_time=tomorrow.isoformat(), time_zone="Europe/Berlin")
    with live.client("alice") as client:
        asked = client.post("/api/extras/jobs/Guarded/run/", json={"data": {}}).json()["scheduled_job"]
    page = signed_in("alice", timezone_id="Europe/Berlin")
    look(live, page, "?view=mine&limit=100")
    row = page.get_by_role("row").filter(has_text=name)
    expect(row).to_contain_text("runs next")
    expect(row).to_contain_text("in 1 day")
    unnamed = page.locator(f"th a[href$='{asked['id']}']")
    expect(unnamed).to_have_text("Guarded")
    unnamed.click()
    expect(heading(page, "Guarded")).to_be_visible()
    page.get_by_role("button", name="Delete").click()
    page.get_by_role("button", name="Delete it").click()
