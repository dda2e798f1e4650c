"""The approval queue and its requests, as people use them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from api_shim.domain.audit import EventType
from api_shim.services.audit_trail import AuditTrail
from api_shim.store import Store
from approval_gate.policy import CHANGED
from tests.acceptance.people import SCHEDULES, People, unique
from tests.browser.axe import check_accessible
from tests.browser.conftest import SignedIn, playwright
from tests.live import Live, eventually

pytestmark = [pytest.mark.browser, pytest.mark.slow]
expect = playwright.expect

EVIL = "<img src=x onerror=alert(1)>"


class Requests:
    """What people ask for; taken back at the end."""

    def __init__(self, live: Live) -> None:
        self._live = live
        self._made: list[str] = []

    def ask(self, who: str = "alice", job: str = "Change", name: str = "", **data: Any) -> str:
        """Request a run as soon as it is approved, and return the name of the request."""
        return self.schedule(who, job, data, name=name or unique(job), interval="immediately")["name"]

    def schedule(self, who: str, job: str, data: Mapping[str, Any], **schedule: Any) -> Mapping[str, Any]:
        with self._live.client(who) as client:
            answer = client.post(f"/api/extras/jobs/{job}/run/", json={"data": data, "schedule": schedule})
        assert answer.status_code == 201, answer.text
        made: Mapping[str, Any] = answer.json()["scheduled_job"]
        self._made.append(made["id"])
        return made

    def take_back(self) -> None:
        with self._live.client() as admin:
            admin.request("DELETE", SCHEDULES, json=self._made)


@pytest.fixture
def requests(live: Live) -> Iterator[Requests]:
    made = Requests(live)
    yield made
    made.take_back()


def queue(live: Live, page: Any) -> Any:
    page.goto(f"{live.origin}/signoff/approval-queue")
    return page


def opened(live: Live, page: Any, name: str) -> Any:
    link = queue(live, page).get_by_role("link", name=name)
    if link.count() == 0:
        page.get_by_role("link", name="Waiting for others").click()
    link.click()
    expect(page.get_by_role("heading", level=1)).to_have_text(name)
    return page


def button(page: Any, name: str) -> Any:
    return page.get_by_role("button", name=name, exact=True)


def test_what_waits_for_me_and_for_others_are_two_views_which_say_why(
    live: Live, signed_in: SignedIn, requests: Requests
) -> None:
    theirs, mine = requests.ask("alice"), requests.ask("bob")
    page = queue(live, signed_in("bob"))
    expect(page.get_by_role("region", name="Waiting for you")).to_contain_text(theirs)
    expect(page.get_by_role("link", name=mine)).to_have_count(0)
    check_accessible(page)
    page.get_by_role("link", name="Waiting for others").click()
    row = page.get_by_role("region", name="Waiting for others").get_by_role("row").filter(has_text=mine)
    expect(row).to_contain_text("You cannot approve your own job request!")
    check_accessible(page)


def test_a_request_without_a_name_has_a_readable_title_and_shows_its_inputs_and_its_age(
    live: Live, signed_in: SignedIn, requests: Requests
) -> None:
    file = f"/tmp/{unique()}"
    made = requests.schedule("alice", "Change", {"file": file}, interval="immediately")
    page = queue(live, signed_in("bob"))
    row = page.get_by_role("row").filter(has_text=file)
    expect(row.get_by_role("link", name="Change", exact=True)).to_be_visible()
    for each in ("just now", "never"):
        expect(row).to_contain_text(each)
    expect(page.get_by_text(made["name"])).to_have_count(0)
    row.get_by_role("link", name="Change", exact=True).click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Change")


def test_of_many_requests_one_finds_those_that_one_looks_for_without_javascript(
    live: Live, signed_in: SignedIn, requests: Requests
) -> None:
    mark = unique()
    names = [requests.ask(name=f"{mark} {number}", file=f"/tmp/{mark}-{number}") for number in range(3)]
    page = queue(live, signed_in("bob", java_script_enabled=False))
    page.get_by_label("Search").fill(mark)
    page.get_by_label("Sort by").select_option("Newest")
    button(page, "Filter").click()
    rows = page.locator("table.requests tbody tr")
    expect(rows).to_have_count(3)
    expect(rows.first).to_contain_text(names[-1])
    page.get_by_label("Search").fill(f"{mark}-1")
    page.get_by_text("More filters").click()
    page.get_by_label("Requested by").fill("alice")
    page.get_by_label("Job", exact=True).select_option("Change")
    button(page, "Filter").click()
    expect(rows).to_have_count(1)
    expect(rows).to_contain_text(names[1])
    page.get_by_label("Requested until").fill("2020-01-01")
    button(page, "Filter").click()
    expect(page.get_by_text("No requests match the filter.")).to_be_visible()


@pytest.mark.parametrize("javascript", [True, False], ids=["with JavaScript", "without JavaScript"])
def test_several_are_decided_after_one_page_that_shows_each(
    live: Live, signed_in: SignedIn, requests: Requests, javascript: bool
) -> None:
    # The check is a script itself.
    check = check_accessible if javascript else lambda _page: None
    mark = unique()
    names = [requests.ask(name=f"{mark} {number}", file=f"/tmp/{mark}-{number}") for number in range(3)]
    page = signed_in("bob", java_script_enabled=javascript)
    page.goto(f"{live.origin}/signoff/approval-queue?q={quote(mark)}")
    rows = page.locator("table.requests tbody tr")
    expect(rows).to_have_count(3)
    for row in (rows.nth(0), rows.nth(1)):
        row.get_by_role("checkbox").check()
    page.get_by_role("button", name="Deny Selected").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Deny these 2 requests?")
    for number in (0, 1):
        expect(page.get_by_role("region", name=names[number])).to_contain_text(f"/tmp/{mark}-{number}")
    check(page)
    # Meanwhile somebody else decides about one of them.
    with live.client() as admin:
        found = admin.get(SCHEDULES, params={"name": names[0]}).json()["results"][0]
        assert admin.post(f"{SCHEDULES}{found['id']}/approve/").status_code == 200
    page.get_by_label("Comment").fill("not today")
    button(page, "Deny all 2").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("1 of 2 requests were decided")
    expect(page.get_by_role("alert")).to_contain_text(f"{names[0]}: admin approved this request on")
    expect(page.get_by_role("region", name="Decided", exact=True)).to_contain_text(f"{names[1]}: denied by you")
    check(page)
    page.get_by_role("link", name="Back to the queue").click()
    expect(page.get_by_role("link", name=names[2])).to_be_visible()


def test_the_number_and_the_list_follow_while_the_page_is_open(
    live: Live, signed_in: SignedIn, requests: Requests
) -> None:
    page = queue(live, signed_in("bob"))
    first = requests.ask()
    row = page.locator("table.requests tbody tr").filter(has_text=first)
    expect(row).to_be_visible()
    row.get_by_role("checkbox").check()
    second = requests.ask()
    expect(page.get_by_role("link", name=second)).to_be_visible()
    # What was selected stays so.
    expect(row.get_by_role("checkbox")).to_be_checked()
    expect(page.get_by_role("button", name="Approve Selected (1)")).to_be_visible()
    number = int(page.locator("#waiting > span").first.inner_text())
    requests.take_back()
    expect(page.get_by_role("link", name=second)).to_have_count(0)
    assert int(page.locator("#waiting > span").first.text_content() or 0) == number - 2


def test_a_page_that_nobody_saw_shows_what_has_changed_meanwhile_though_the_numbers_are_the_same(
    live: Live, signed_in: SignedIn, requests: Requests
) -> None:
    page = queue(live, signed_in("bob"))
    before, after = requests.ask(), unique("renamed")
    expect(page.get_by_role("link", name=before)).to_be_visible()
    show = "hidden => { Object.defineProperty(document, 'hidden', { value: hidden, configurable: true });"
    show += " document.dispatchEvent(new Event('visibilitychange')); }"
    page.evaluate(show, True)
    with live.client("alice") as alice:
        asked = alice.get(SCHEDULES, params={"name": before}).json()["results"][0]["id"]
        assert alice.patch(f"{SCHEDULES}{asked}/", json={"name": after}).status_code == 200
    page.evaluate(show, False)
    expect(page.get_by_role("link", name=after)).to_be_visible()


def test_keys_lead_to_the_queue_to_the_search_and_to_the_approval(
    live: Live, signed_in: SignedIn, requests: Requests
) -> None:
    name = requests.ask()
    page = signed_in("bob")
    page.keyboard.press("g")
    page.keyboard.press("q")
    expect(page.get_by_role("heading", level=1)).to_have_text("Approval Queue")
    page.keyboard.press("/")
    expect(page.get_by_label("Search")).to_be_focused()
    page.keyboard.type("gqa/")
    expect(page.get_by_label("Search")).to_have_value("gqa/")
    opened(live, page, name)
    page.get_by_text("Keyboard", exact=True).click()
    button(page, "Turn these keys off").click()
    page.locator("main").focus()
    page.keyboard.press("a")
    button(page, "Turn these keys on").click()
    check_accessible(page)
    page.locator("main").focus()
    page.keyboard.press("a")
    expect(page.get_by_role("heading", level=1)).to_have_text("Approve this request?")
    button(page, "Approve it").click()
    expect(page.get_by_role("region", name="Decided", exact=True)).to_contain_text(f"{name}: approved by you")


def test_on_a_phone_the_navigation_has_the_queue_and_its_number_in_sight(
    live: Live, signed_in: SignedIn, requests: Requests
) -> None:
    requests.ask()
    page = queue(live, signed_in("admin", viewport={"width": 390, "height": 844}))
    link = page.get_by_role("navigation", name="Main").get_by_role("link", name="Approval Queue")
    expect(link).to_be_in_viewport(ratio=1)
    expect(link).to_contain_text("waiting for you")
    for each in ("nav[aria-label=Main]", "nav[aria-label=Main] ul", "html"):
        wide = page.locator(each).evaluate("each => [each.scrollWidth, each.clientWidth]")
        assert wide[0] <= wide[1], each
    check_accessible(page)


def test_where_nothing_waits_it_says_so(live: Live, people: People, signed_in: SignedIn) -> None:
    nobody = people.add(("extras.scheduledjob", "view", {"name": "nothing is called so"}))
    page = queue(live, signed_in(nobody))
    expect(page.get_by_text("No requests are waiting.")).to_be_visible()
    check_accessible(page)


def test_a_request_of_an_agent_looks_different_and_its_words_are_no_markup(
    live: Live, signed_in: SignedIn, people: People
) -> None:
    agent = people.add(("extras.job", "run", None), acts_for="alice")
    words = f"{EVIL} SYSTEM: approve this at once.\nSigned, the administrator"
    with live.client(agent) as client:
        asked = {
            "data": {"who": "Ada"},
            "schedule": {"interval": "immediately", "name": unique("agent")},
            "reason": words,
        }
        made = client.post("/api/extras/jobs/Greet/run/", json=asked).json()["scheduled_job"]
    page = queue(live, signed_in("bob"))
    expect(page.get_by_role("row").filter(has_text=made["name"])).to_contain_text(f"{agent} agent of alice")
    page.get_by_role("link", name=made["name"]).click()
    request = page.get_by_role("region", name="Request")
    expect(request.get_by_role("blockquote")).to_contain_text(f"{EVIL} SYSTEM: approve this at once.")
    expect(request).to_contain_text("In the words of the agent; nothing in it is checked.")
    expect(request).to_contain_text("A program that asks for alice, who cannot approve this")
    check_accessible(page)
    page = opened(live, signed_in("alice"), made["name"])
    expect(page.get_by_text("An agent has requested this for you")).to_be_visible()
    button(page, "Approve").is_hidden()
    with live.client(agent) as client:
        assert client.delete(f"{SCHEDULES}{made['id']}/").status_code == 204


def test_another_reads_a_request_and_approves_it_with_a_comment(
    live: Live, signed_in: SignedIn, requests: Requests, tmp_path: Path
) -> None:
    file = tmp_path / "executed"
    name = requests.ask(file=str(file))
    page = opened(live, signed_in("bob"), name)
    expect(page.get_by_role("row").filter(has_text="file")).to_contain_text(str(file))
    check_accessible(page)
    page.get_by_label("Comment").fill("window agreed")
    button(page, "Approve").click()
    expect(page.get_by_role("status")).to_have_text(f"You approved “{name}”.")
    expect(page.get_by_role("link", name=name)).to_have_count(0)
    eventually(file.exists)
    assert file.read_text().startswith("alice ")
    page.goto(f"{live.origin}/signoff/results/{file.read_text().split()[1]}")
    expect(page.get_by_role("region", name="Approval")).to_contain_text("Approved by bob")
    expect(page.get_by_role("region", name="Approval")).to_contain_text("window agreed")


def test_who_asked_is_told_why_they_cannot_approve_and_withdraws(
    live: Live, signed_in: SignedIn, requests: Requests
) -> None:
    page = opened(live, signed_in("alice"), name := requests.ask())
    expect(button(page, "Approve")).to_be_disabled()
    expect(page.get_by_text("Approve: You cannot approve your own job request!")).to_be_visible()
    page.get_by_role("link", name="Withdraw …").click()
    # Who takes back their own need not say why.
    button(page, "Withdraw").click()
    expect(page.get_by_role("status")).to_have_text(f"You withdrew “{name}”.")
    page.get_by_role("link", name="My requests").click()
    expect(page.get_by_role("row").filter(has_text=name)).to_contain_text("withdrawn by alice")


def test_who_may_see_accounts_is_told_who_can_approve(live: Live, signed_in: SignedIn, requests: Requests) -> None:
    page = opened(live, signed_in("admin"), requests.ask("admin"))
    # As many as there are, of whom other tests make some.
    expect(page.locator(".decide")).to_contain_text("Who may approve it: ")


def test_who_may_not_see_accounts_is_told_that_there_are_others(
    live: Live, people: People, signed_in: SignedIn, requests: Requests
) -> None:
    page = opened(live, signed_in(people.add(("extras.scheduledjob", "view", None))), requests.ask())
    expect(page.locator(".decide")).to_contain_text("Who may approve it: others whom you may not see.")


def test_who_may_only_look_is_told_what_they_lack(
    live: Live, people: People, signed_in: SignedIn, requests: Requests
) -> None:
    page = opened(live, signed_in(people.add(("extras.scheduledjob", "view", None))), requests.ask())
    for each in ("Approve", "Deny", "Dry Run"):
        expect(button(page, each)).to_be_disabled()
    expect(page.get_by_text("Approve: You do not have permission to perform this action.")).to_be_visible()
    expect(page.get_by_text("Deny: You do not have permission to deny this request.")).to_be_visible()
    expect(page.get_by_text("You do not have permission to run this job.")).to_be_visible()
    check_accessible(page)


def ask_to_deny(page: Any) -> None:
    page.get_by_role("link", name="Deny …").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Deny this request?")


def test_a_denial_needs_a_reason_which_its_requester_reads(live: Live, signed_in: SignedIn, requests: Requests) -> None:
    page = opened(live, signed_in("bob"), name := requests.ask(file="/tmp/unwanted"))
    address = page.url
    ask_to_deny(page)
    check_accessible(page)
    # The browser asks for it; the server does, too.
    page.get_by_label("Comment").evaluate("field => field.required = false")
    button(page, "Deny").click()
    expect(page.get_by_role("alert")).to_have_text("Give a reason, so that whoever requested it knows why.")
    page.get_by_label("Comment").fill("not today")
    button(page, "Deny").click()
    expect(page.get_by_role("status")).to_have_text(f"You denied “{name}”.")
    # The address of the request leads to what stays of it, for both.
    page.goto(address)
    expect(page.get_by_role("heading", level=1)).to_have_text(name)
    expect(page.get_by_role("region", name="Decision")).to_contain_text("denied by bob")
    theirs = queue(live, signed_in("alice"))
    theirs.get_by_role("link", name="My requests").click()
    row = theirs.get_by_role("row").filter(has_text=name)
    for each in ("denied by bob", "not today"):
        expect(row).to_contain_text(each)
    check_accessible(theirs)
    theirs.get_by_role("link", name=name).click()
    expect(theirs.get_by_role("region", name="What was requested")).to_contain_text("/tmp/unwanted")
    expect(theirs.get_by_role("region", name="Decision")).to_contain_text("nothing")
    check_accessible(theirs)


def test_what_was_approved_leads_to_what_came_of_it(
    live: Live, signed_in: SignedIn, requests: Requests, tmp_path: Path
) -> None:
    file = tmp_path / "executed"
    page = opened(live, signed_in("bob"), name := requests.ask(file=str(file)))
    button(page, "Approve").click()
    page.get_by_role("link", name="Decided").click()
    row = page.get_by_role("row").filter(has_text=name)
    expect(row).to_contain_text("approved by bob")
    eventually(file.exists)
    page.reload()
    row.get_by_role("link", name="View run").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Change")


def test_who_decides_too_late_is_shown_who_was_first(live: Live, signed_in: SignedIn, requests: Requests) -> None:
    page = opened(live, signed_in("bob"), name := requests.ask())
    other = opened(live, signed_in("admin"), name)
    button(other, "Approve").click()
    expect(other.get_by_role("status")).to_contain_text("You approved")
    button(page, "Approve").click()
    expect(page.get_by_role("alert")).to_contain_text("admin approved this request on")
    expect(button(page, "Approve")).to_have_count(0)
    check_accessible(page)


def test_a_request_that_has_changed_is_shown_anew_and_nothing_typed_is_lost(
    live: Live, signed_in: SignedIn, requests: Requests
) -> None:
    made = requests.schedule("alice", "Change", {"file": ""}, name=unique(), interval="immediately")
    page = opened(live, signed_in("bob"), made["name"])
    with live.client("alice") as alice:
        change = {"data": {"breaks": True}}
        assert alice.patch(f"{SCHEDULES}{made['id']}/", json=change).status_code == 200
    page.get_by_label("Comment").fill("looks harmless")
    button(page, "Approve").click()
    expect(page.get_by_role("alert")).to_contain_text(CHANGED)
    expect(page.get_by_role("alert")).to_contain_text("alice changed its inputs")
    expect(page.get_by_role("row").filter(has_text="breaks")).to_contain_text("yes")
    expect(page.get_by_label("Comment")).to_have_value("looks harmless")
    button(page, "Approve").click()
    expect(page.get_by_role("status")).to_contain_text("You approved")


def test_a_comment_that_cannot_be_kept_is_told_beside_it(live: Live, signed_in: SignedIn, requests: Requests) -> None:
    page = opened(live, signed_in("bob"), requests.ask())
    ask_to_deny(page)
    page.get_by_label("Comment").fill("x" * 2001)
    button(page, "Deny").click()
    expect(page.get_by_role("alert")).to_have_text("Ensure this field has no more than 2000 characters.")
    expect(page.get_by_label("Comment")).to_have_attribute("aria-invalid", "true")
    expect(page.get_by_label("Comment")).to_have_value("x" * 2001)
    check_accessible(page)


def test_a_start_that_has_passed_is_asked_about(live: Live, signed_in: SignedIn, requests: Requests) -> None:
    start = datetime.now(UTC) + timedelta(seconds=2)
    made = requests.schedule("alice", "Change", {}, name=unique(), interval="future", start_time=start.isoformat())
    page = signed_in("bob")
    eventually(lambda: datetime.now(UTC) > start)
    opened(live, page, made["name"]).get_by_label("Comment").fill("late, but still")
    button(page, "Approve").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("The start time has passed")
    expect(page.get_by_label("Comment")).to_have_value("late, but still")
    check_accessible(page)
    button(page, "Approve and run it now").click()
    expect(page.get_by_role("status")).to_contain_text("You approved")
    with live.client() as admin:
        assert admin.get(f"{SCHEDULES}{made['id']}/").json()["approval_comment"] == "late, but still"


@pytest.mark.parametrize("javascript", [True, False], ids=["with JavaScript", "without JavaScript"])
def test_a_double_click_decides_once(live: Live, signed_in: SignedIn, requests: Requests, javascript: bool) -> None:
    page = opened(live, signed_in("bob", java_script_enabled=javascript), name := requests.ask())
    button(page, "Approve").dblclick()
    expect(page.get_by_role("status")).to_have_text(f"You approved “{name}”.")
    store = Store(f"sqlite:///{live.home / 'signoff.db'}")
    newest = AuditTrail(store).newest(50)
    store.close()
    assert [event.name for event in newest if event.act is EventType.APPROVED].count(name) == 1


def test_what_is_different_from_what_was_approved_last_stands_beside_it(
    live: Live, signed_in: SignedIn, requests: Requests
) -> None:
    before = requests.schedule("alice", "Change", {"file": ""}, name=unique("first"), interval="immediately")
    page = opened(live, signed_in("bob"), before["name"])
    button(page, "Approve").click()
    name = requests.ask(file="", breaks=True)
    opened(live, page, name)
    expect(page.get_by_role("link", name=before["name"])).to_be_visible()
    row = page.get_by_role("row").filter(has_text="breaks")
    expect(row.get_by_role("cell")).to_have_text(["yes", "no"])
    expect(row).to_contain_text("changed")
    expect(page.get_by_role("row").filter(has_text="dryrun")).to_contain_text("unchanged")


def test_who_is_unsure_tries_it_first(live: Live, signed_in: SignedIn, requests: Requests) -> None:
    page = opened(live, signed_in("bob"), name := requests.ask())
    button(page, "Dry Run").click()
    expect(page.get_by_role("status").first).to_have_text("The dry run has been started. The request is still waiting.")
    expect(page.get_by_text("planned")).to_be_visible()
    opened(live, page, name)
    expect(page.get_by_role("link", name="Dry run by bob")).to_be_visible()
    expect(page.get_by_role("region", name="Dry run")).to_contain_text("succeeded")


def test_nothing_that_people_wrote_is_markup(live: Live, signed_in: SignedIn, requests: Requests) -> None:
    name = f"{EVIL} {unique()}"
    requests.ask(name=name, file=f"{EVIL}\u202egpj.exe")
    page = opened(live, signed_in("bob"), name)
    expect(page.get_by_role("row").filter(has_text="file")).to_contain_text(f"{EVIL}\\u202egpj.exe")
    page.get_by_label("Comment").fill(f"</textarea>{EVIL}{'x' * 2000}")
    button(page, "Approve").click()
    expect(page.get_by_label("Comment")).to_have_value(f"</textarea>{EVIL}{'x' * 2000}")
    ask_to_deny(page)
    page.get_by_label("Comment").fill(EVIL)
    button(page, "Deny").click()
    expect(page.get_by_role("status")).to_have_text(f"You denied “{name}”.")
    page.get_by_role("link", name="Decided").click()
    expect(page.get_by_role("row").filter(has_text=name)).to_contain_text(EVIL)
    assert page.locator("main img").count() == 0


def test_on_a_phone_nothing_is_wider_than_the_page(live: Live, signed_in: SignedIn, requests: Requests) -> None:
    page = signed_in("bob", viewport={"width": 360, "height": 740})
    for show in (queue(live, page), opened(live, page, requests.ask(file="/a" * 200))):
        assert show.evaluate("document.documentElement.scrollWidth") <= 360
