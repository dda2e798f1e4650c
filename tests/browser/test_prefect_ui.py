"""Prefect's own pages, behind our login, in a real browser."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import cache, partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

import pytest

from tests.acceptance.people import People, unique
from tests.browser.conftest import sign_in as signed_in_to_our_pages
from tests.live import Live, eventually

pytestmark = [pytest.mark.browser, pytest.mark.slow]

playwright = pytest.importorskip("playwright.sync_api", reason="no playwright here; install the extra 'test'")
Page, expect = playwright.Page, playwright.expect


def sign_in(page: Page, said: str) -> None:
    page.get_by_placeholder("admin:pass").fill(said)
    page.get_by_role("button", name="Login").click()


def first_page(live: Live, page: Page, who: str, host: str = "127.0.0.1") -> None:
    """Sign somebody in, from the first page."""
    page.goto(f"http://{host}:{live.port}/")
    sign_in(page, f"{who}:{live.key(who)}")
    expect(page.get_by_role("link", name="Dashboard")).to_be_visible()


@pytest.fixture(scope="module")
def remembered(live: Live, browser: Any) -> Callable[[str], Any]:
    """Return what the browser remembers of somebody who has signed in; each signs in once."""

    @cache
    def state(who: str) -> Any:
        with browser.new_context() as context:
            first_page(live, context.new_page(), who)
            return context.storage_state()

    return state


@pytest.fixture
def opened(browser: Any, remembered: Callable[[str], Any]) -> Iterator[Callable[[str], Page]]:
    """Opens a page of somebody who has signed in before."""
    contexts = []

    def page(who: str) -> Page:
        contexts.append(browser.new_context(viewport={"width": 1280, "height": 900}, storage_state=remembered(who)))
        return contexts[-1].new_page()

    yield page
    for context in contexts:
        context.close()


@pytest.fixture(scope="module")
def finished_run(live: Live) -> str:
    """The id of a run that says hello, and is over, with its log in Prefect."""
    with live.client("alice") as client:
        answer = client.post("/api/extras/jobs/Greet/run/", json={"data": {"who": "Ada"}})
        result = answer.json()["job_result"]
        eventually(lambda: "Hello Ada" in client.get(f"{result['url']}logs/").text)
        found: str = client.get(result["url"]).json()["flow_run_id"]
        return found


def test_the_first_page_is_a_login_that_takes_a_user_and_their_key(live: Live, page: Page) -> None:
    # By its other name; all others sign in by its address.
    first_page(live, page, "alice", "localhost")
    assert urlsplit(page.url).path == "/v2/dashboard"


def test_a_wrong_key_is_refused_with_a_sentence(live: Live, page: Page) -> None:
    page.goto(live.origin)
    sign_in(page, f"alice:{'0' * 40}")
    expect(page.get_by_text("Invalid credentials")).to_be_visible()


def test_the_page_of_a_job_shows_its_deployment(live: Live, opened: Callable[[str], Page]) -> None:
    with live.client("alice") as client:
        deployment = client.get("/api/deployments/name/Greet/default").json()["id"]
    page = opened("alice")
    page.goto(f"{live.origin}/v2/deployments/deployment/{deployment}")
    expect(page.get_by_text("flows.prefect_flow.jobs_for_tests-Greet")).to_be_visible()
    page.get_by_role("tab", name="Description").click()
    expect(page.get_by_text("Says hello.")).to_be_visible()


def test_the_page_of_a_finished_run_shows_its_log_and_reaches_nobody_else(
    live: Live, page: Page, finished_run: str
) -> None:
    elsewhere = []
    page.on("request", lambda request: elsewhere.append(request) if is_elsewhere(live, request.url) else None)
    first_page(live, page, "alice")
    page.goto(f"{live.origin}/v2/runs/flow-run/{finished_run}")
    expect(page.get_by_text("Completed", exact=True).first).to_be_visible()
    page.get_by_role("tab", name="Logs").click()
    expect(page.get_by_text("Hello Ada")).to_be_visible()
    # What a page asks of others nevertheless, the browser keeps to itself.
    assert {request.failure for request in elsewhere} <= {"csp"}


def is_elsewhere(live: Live, url: str) -> bool:
    return not url.removeprefix("blob:").startswith((live.origin, "data:"))


# Deciding about a request, where Prefect resumes runs


@pytest.fixture
def held_run(live: Live, tmp_path: Path) -> Iterator[tuple[str, Path]]:
    """The id of a run that alice has requested and that waits, and the file that it would write."""
    file = tmp_path / "executed"
    name = unique("Replace the core switch")
    with live.client("alice") as client:
        schedule = {"name": name, "interval": "immediately"}
        answer = client.post("/api/extras/jobs/Change/run/", json={"data": {"file": str(file)}, "schedule": schedule})
        assert answer.status_code == 201, answer.text
    with live.client() as admin:
        asked = {"flow_runs": {"name": {"any_": [f"{name} (waiting for approval)"]}}}
        yield eventually(lambda: admin.post("/api/flow_runs/filter", json=asked).json())[0]["id"], file
        admin.delete(f"/api/extras/scheduled-jobs/{name}/")


def resume(live: Live, page: Page, run_id: str, decision: str, comment: str = "") -> None:
    """Decide about a run in Prefect's own dialog."""
    page.goto(f"{live.origin}/v2/runs/flow-run/{run_id}")
    expect(page.get_by_text("Suspended").first).to_be_visible()
    page.get_by_role("button", name="Open menu").click()
    page.get_by_role("menuitem", name="Resume").click()
    dialog = page.get_by_role("dialog")
    expect(dialog.get_by_text("asks to run Change")).to_be_visible()
    if decision:
        dialog.get_by_role("button", name="Select Decision").click()
        page.get_by_role("option", name=decision).click()
    if comment:
        dialog.get_by_label("Comment").fill(comment)
    dialog.get_by_role("button", name="Resume", exact=True).click()


def toast(page: Page) -> Any:
    return page.locator("[data-sonner-toast]").first


@pytest.mark.parametrize(
    ("who", "decision", "told"),
    [
        pytest.param("alice", "approve", "You cannot approve your own job request!", id="the author approves"),
        pytest.param("bob", "", "Choose a decision: approve or deny.", id="nothing is chosen"),
    ],
)
def test_a_refusal_shows_its_reason_and_the_run_stays_held(
    live: Live, opened: Callable[[str], Page], held_run: tuple[str, Path], who: str, decision: str, told: str
) -> None:
    run_id, file = held_run
    resume(live, page := opened(who), run_id, decision)
    expect(toast(page)).to_contain_text(told)
    with live.client() as admin:
        assert admin.get(f"/api/flow_runs/{run_id}").json()["state"]["name"] == "Suspended"
    assert not file.exists()


def test_another_approves_and_it_runs_as_its_author(
    live: Live, opened: Callable[[str], Page], held_run: tuple[str, Path]
) -> None:
    run_id, file = held_run
    resume(live, page := opened("bob"), run_id, "approve", "maintenance window agreed")
    expect(toast(page)).to_contain_text("Flow run resumed")
    eventually(file.exists)
    with live.client() as admin:
        (result,) = admin.get("/api/extras/job-results/", params={"flow_run_id": run_id}).json()["results"]
    assert file.read_text() == f"alice {result['id']}\n"
    page.goto(f"{live.origin}/v2/runs/flow-run/{run_id}")
    expect(page.get_by_text("Completed", exact=True).first).to_be_visible()
    approval = result["meta"]["approval"]
    assert (approval["by"], approval["comment"]) == ("bob", "maintenance window agreed")


def test_another_denies_and_is_told_so(live: Live, opened: Callable[[str], Page], held_run: tuple[str, Path]) -> None:
    run_id, file = held_run
    resume(live, page := opened("bob"), run_id, "deny")
    expect(toast(page)).to_contain_text("Denied. The run was cancelled.")
    with live.client() as admin:
        state = eventually(
            lambda: (s := admin.get(f"/api/flow_runs/{run_id}").json()["state"])["type"] == "CANCELLED" and s
        )
    assert state["message"] == "Denied by bob."
    assert not file.exists()


# Who may do little


def test_what_one_may_not_do_in_prefect_says_where_it_is_done(
    live: Live, opened: Callable[[str], Page], held_run: tuple[str, Path]
) -> None:
    page = opened("bob")
    page.goto(f"{live.origin}/v2/runs/flow-run/{held_run[0]}")
    page.get_by_role("tab", name="Logs").click()
    expect(page.get_by_text("This run waits for approval.").first).to_be_visible()
    page.get_by_role("button", name="Open menu").click()
    page.get_by_role("menuitem", name="Cancel").click()
    page.get_by_role("dialog").or_(page.get_by_role("alertdialog")).get_by_role("button").last.click()
    expect(toast(page)).to_contain_text("This needs the permission prefect.write. The runs of Jobs are cancelled")
    with live.client() as admin:
        assert admin.get(f"/api/flow_runs/{held_run[0]}").json()["state"]["name"] == "Suspended"


PAGES = {
    "dashboard": "Run a task or flow to get started",
    "runs": "Run a task or flow to get started",
    "flows": "Run a flow to get started",
    "deployments": "Create a deployment to get started",
    "work-pools": "Add a work pool to get started",
    "work-pools/create": "Infrastructure Type",
    "work-pools/work-pool/default": "Seeing more of this needs the permission prefect.view.",
    "work-pools/work-pool/default/edit": "Base Job Template",
    "work-pools/work-pool/default/queue/default": "No runs found",
    "work-pools/work-pool/default/queue/create": "Create Work Queue",
    "blocks": "Add a block to get started",
    "blocks/catalog": "0 Blocks",
    "variables": "Add a variable to get started",
    "automations": "Create an automation to get started",
    "automations/create": "Trigger Template",
    "events": "No events found",
    "concurrency-limits": "Add a concurrency limit",
    "concurrency-limits?tab=task-run": "Add a concurrency limit for your task runs",
    "artifacts": "Create an artifact to get started",
    "settings": "Seeing the settings needs the permission prefect.write.",
}
"""Every page of Prefect's UI that is not about a single thing, and what it says where there is nothing to show."""


@pytest.fixture
def walk(live: Live, browser: Any) -> Iterator[Callable[[str, Mapping[str, str]], Page]]:
    """Walks through pages as somebody, each to a text that it shows, and fails if anything of a page does.

    Returns the last one.
    """
    contexts, failed = [], []

    def told(page: Page, said: Any) -> None:
        # What a page would load from elsewhere stays here; what is missing has an answer, which is looked at.
        explained = "Content Security Policy" in said.text or "Failed to load resource" in said.text
        if said.type == "error" and not explained:
            failed.append((page.url, said.text))

    def answered(page: Page, answer: Any) -> None:
        # Prefect's UI looks for some icons where it has none.
        if answer.status >= 400 and not urlsplit(answer.url).path.endswith((".svg", ".ico")):
            failed.append((page.url, answer.url, answer.status))

    def go(who: str, pages: Mapping[str, str]) -> Page:
        contexts.append(browser.new_context(viewport={"width": 1280, "height": 900}))
        signed_in_to_our_pages(live, contexts[-1], who)
        page = contexts[-1].new_page()
        page.on("console", partial(told, page))
        page.on("response", partial(answered, page))
        page.on("pageerror", lambda error: failed.append((page.url, str(error))))
        for path, said in pages.items():
            page.goto(f"{live.origin}/v2/{path}")
            expect(page.get_by_text(said).first).to_be_visible()
            page.wait_for_load_state("networkidle")
            expect(page.get_by_text("Something went wrong")).to_have_count(0)
        assert failed == []
        return page

    yield go
    for context in contexts:
        context.close()


def test_every_page_stands_for_who_may_view_nothing(
    people: People, walk: Callable[[str, Mapping[str, str]], Page]
) -> None:
    page = walk(people.add(), PAGES)
    offered = page.locator("a[href^='/v2/']").evaluate_all("links => links.map(link => link.getAttribute('href'))")
    assert "/v2/dashboard" in offered
    assert {urlsplit(link).path.removeprefix("/v2/") for link in offered} <= {*PAGES}


def test_every_page_about_what_one_may_view_stands(
    live: Live, people: People, walk: Callable[[str, Mapping[str, str]], Page], finished_run: str
) -> None:
    views = [(f"extras.{kind}", "view", None) for kind in ("job", "scheduledjob", "jobresult")]
    with live.client("alice") as client:
        run = client.get(f"/api/flow_runs/{finished_run}").json()
    who = people.add(*views)
    of_run = {"filter": {"any_resource": {"id": [f"prefect.flow-run.{run['id']}"]}}}
    with live.client(who) as client:
        event = eventually(lambda: client.post("/api/events/filter", json=of_run).json()["events"])[0]
    deployment, pool = f"deployments/deployment/{run['deployment_id']}", f"work-pools/work-pool/{run['work_pool_name']}"
    tabs = {
        "TaskRuns": "No task runs found",
        "SubflowRuns": "No subflow runs found",
        "Artifacts": "did not produce",
        "Parameters": "Copy parameters",
        "JobVariables": "Copy job variables",
    }
    walk(
        who,
        {
            "dashboard": "Active Work Pools",
            "runs": "Greet",
            f"runs/flow-run/{run['id']}": "Hello Ada",
            **{f"runs/flow-run/{run['id']}?tab={tab}": said for tab, said in tabs.items()},
            "runs?tab=task-runs": "No runs found",
            "flows": "Alone",
            f"flows/flow/{run['flow_id']}": "Greet",
            f"flows/flow/{run['flow_id']}?tab=deployments": "default",
            "deployments": "default",
            deployment: "Greet",
            f"{deployment}?tab=Description": "Says hello.",
            f"{deployment}/run": "who (Optional)",
            f"{deployment}/edit": "Collision Strategy",
            f"{deployment}/duplicate": "Collision Strategy",
            "work-pools": "Add a work pool to get started",
            pool: "Greet",
            f"{pool}?tab=Workers": "No workers running",
            f"{pool}/edit": "Base Job Template",
            f"{pool}/queue/{run['work_queue_name']}": "ready to go",
            f"{pool}/queue/create": "Create Work Queue",
            "events": "Flow Run",
            f"events/event/{event['occurred'][:10]}/{event['id']}": "Related Resources",
        },
    )


def test_what_does_not_exist_is_said_to_be_missing(live: Live, opened: Callable[[str], Page]) -> None:
    page = opened("alice")
    page.goto(f"{live.origin}/v2/runs/flow-run/{uuid4()}")
    expect(page.get_by_text("Flow Run Not Found")).to_be_visible()
