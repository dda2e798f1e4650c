"""The examples, as people use them: requested on the pages and with pynautobot, approved by somebody else, and read."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pynautobot
import pytest
from pynautobot.core.endpoint import DetailEndpoint

from flows.examples.device_backup import SECRET
from tests.acceptance.asking import keep_secret
from tests.acceptance.pynautobot_scenarios import decide, done
from tests.browser import conftest as browsers
from tests.browser.axe import check_accessible
from tests.flows.examples.servers import Web, certificate, serving
from tests.flows.examples.test_compliance import GOOD
from tests.live import Live, eventually

pytestmark = [pytest.mark.browser, pytest.mark.slow]
browser, signed_in, expect = browsers.browser, browsers.signed_in, browsers.playwright.expect

PASSWORD = "Bearer sesame"
FEED = b"id,name\n1,Ada\n2,\n3,Grace\n"
BAD = GOOD.replace("enable secret 9", "enable password").replace("s3cret", "public")


@dataclass
class Network:
    """What the examples ask.

    Args:
        folder: where they may write.
        authorities: the file of those to trust.
        router: a device with a configuration, whose certificate is valid for long.
        switch: one that wants another credential, and whose certificate expires soon.
        web: where a feed is.
    """

    folder: Path
    authorities: Path
    router: Web
    switch: Web
    web: Web


@pytest.fixture(scope="module")
def network(live: Live, admin: httpx.Client, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Network]:
    """Some devices, and the file that the server has of them."""
    folder = tmp_path_factory.mktemp("network")
    good, soon = certificate(folder, days=90.5), certificate(folder, days=3.5)
    authorities = folder / "authorities.pem"
    authorities.write_bytes(good.read_bytes() + soon.read_bytes())
    keep_secret(admin, SECRET, PASSWORD)
    with ExitStack() as stack:
        router = stack.enter_context(serving({"/config": GOOD.encode()}, tls=good, password=PASSWORD))
        switch = stack.enter_context(serving({"/config": b"x"}, tls=soon, password="Bearer other"))
        web = stack.enter_context(serving({"/feed.csv": FEED}))
        live.certificate_hosts.write_text(
            f"address,name,owner\n{router.address},Edge router,Network\n{switch.address},Old switch,Data centre\n"
        )
        yield Network(folder, authorities, router, switch, web)


# In a browser


Opened = Callable[[str], Any]


@pytest.fixture
def alice(live: Live, signed_in: browsers.SignedIn) -> Opened:
    """Opens the form of a Job as alice, by its link."""
    page = signed_in("alice")

    def open_form(job: str) -> Any:
        page.goto(f"{live.origin}/signoff/jobs")
        page.get_by_role("link", name=f"Run {job}", exact=True).click()
        expect(page.get_by_role("heading", name=job)).to_be_visible()
        check_accessible(page)
        return page

    return open_form


def approve(live: Live, signed_in: browsers.SignedIn, page: Any) -> None:
    """Approve what somebody's page has just requested, as bob, and have that page show the result."""
    expect(page.get_by_text("waits for another user's approval")).to_be_visible()
    other, scheduled = signed_in("bob"), page.url.rpartition("/")[2]
    other.goto(f"{live.origin}/signoff/approval-queue/{scheduled}")
    other.get_by_role("button", name="Approve", exact=True).click()
    expect(other.get_by_text("You approved")).to_be_visible()
    run = page.get_by_role("region", name="Run history").get_by_role("link")
    eventually(lambda: page.reload() and run.count())
    run.first.click()


def ended(page: Any, how: str) -> Any:
    """Return the page of a result, once it tells how the run has ended and shows what it has."""
    expect(page.get_by_role("status").filter(has_text="ended")).to_have_text(f"The run has ended: {how}.")
    expect(page.get_by_role("region", name="Result")).to_be_visible()
    expect(page.get_by_role("button", name="Cancel")).to_have_count(0)
    check_accessible(page)
    return page


def downloaded(page: Any, name: str) -> str:
    with page.expect_download() as begun:
        page.get_by_role("region", name="Files").get_by_role("link", name=name).click()
    assert begun.value.suggested_filename == name
    return Path(begun.value.path()).read_text()


def test_a_configuration_is_uploaded_and_its_report_downloaded(live: Live, alice: Opened) -> None:
    page = alice("Check compliance")
    page.get_by_label("Configuration").set_input_files(
        {"name": "edge.cfg", "mimeType": "text/plain", "buffer": BAD.encode()}
    )
    page.get_by_role("button", name="Run Job Now").click()
    ended(page, "failed")
    expect(page.get_by_role("region", name="Inputs")).to_contain_text("Markdown")
    log = page.get_by_role("log")
    passwords, snmp = (log.locator(f'[data-grouping="{name}"]') for name in ("Passwords", "SNMP"))
    expect(passwords).to_contain_text("The enable password is a hash: line 3")
    expect(snmp).to_contain_text("No community has its usual name: line 8")
    expect(log).to_contain_text("edge.cfg breaks 2 of 9 rules.")
    expect(log).not_to_contain_text("Traceback")
    assert "| Passwords | The enable password is a hash | broken | line 3 |" in downloaded(page, "edge-compliance.md")


def test_servers_are_picked_and_their_certificates_are_told_about(live: Live, network: Network, alice: Opened) -> None:
    page = alice("Check certificates")
    servers = page.get_by_label("Servers optional")
    expect(servers.locator("option")).to_have_text(["Edge router", "Old switch"])
    servers.select_option("Edge router")
    page.get_by_label("CA file").fill(str(network.authorities))
    page.get_by_role("button", name="Run Job Now").click()
    ended(page, "succeeded")
    expect(page.get_by_role("log")).to_contain_text("Edge router: 90 days left")
    [row] = csv.DictReader(io.StringIO(downloaded(page, "certificates.csv")))
    assert (row["name"], row["owner"], row["days left"]) == ("Edge router", "Network", "90")


def test_devices_are_backed_up_after_a_dry_run_and_an_approval(
    live: Live, network: Network, alice: Opened, signed_in: browsers.SignedIn
) -> None:
    page, asked_before = alice("Back up devices"), [*network.router.asked]
    page.get_by_label("Devices").fill(f"{network.router.address}\n{network.switch.address}\n")
    page.get_by_label("Path").fill("/config")
    page.get_by_label("CA file").fill(str(network.authorities))
    page.get_by_label("Dryrun").check()
    page.get_by_role("button", name="Run Job Now (DRYRUN)").click()
    ended(page, "succeeded")
    expect(page.get_by_role("log")).to_contain_text(f"Would fetch https://{network.switch.address}/config")
    assert network.router.asked == asked_before
    page.get_by_role("link", name="Run Again").click()
    page.get_by_label("Dryrun").uncheck()
    page.get_by_role("button", name="Request to Run Job Now").click()
    approve(live, signed_in, page)
    expect(page.get_by_role("region", name="Approval")).to_contain_text("Approved by bob")
    expect(page.get_by_role("log")).to_contain_text(f"Not backed up: {network.switch.address}.")
    assert downloaded(page, f"127.0.0.1-{network.router.port}.cfg") == GOOD
    assert downloaded(page, "missing.txt") == network.switch.address
    expect(page.get_by_role("link", name="manifest.csv")).to_be_visible()


def test_a_flow_that_exists_is_requested_by_its_model(
    live: Live, network: Network, alice: Opened, signed_in: browsers.SignedIn
) -> None:
    page, target = alice("Import feed"), network.folder / "browser.jsonl"
    feed = page.get_by_label("Feed")
    expect(feed).to_have_accessible_description(
        "Where it is, and what it must have. JSON. Strings are in double quotes. "
        "It has address, and may have delimiter, columns and least_rows."
    )
    feed.fill(json.dumps({"address": f"http://{network.web.address}/feed.csv", "columns": ["name"]}))
    page.get_by_label("Target").fill(str(target))
    page.get_by_role("button", name="Request to Run Job Now").click()
    approve(live, signed_in, page)
    expect(page.get_by_role("region", name="Result")).to_contain_text('"saved": 2')
    assert [json.loads(line)["name"] for line in target.read_text().splitlines()] == ["Ada", "Grace"]


# With pynautobot


@pytest.fixture(scope="module")
def nautobots(live: Live) -> tuple[Any, Any]:
    """Clients of alice and of bob."""
    return (*(pynautobot.api(url=live.origin, token=live.key(who)) for who in ("alice", "bob")),)


def run(nautobots: tuple[Any, Any], job: str, **data: Any) -> Any:
    """Run a Job as alice, approved by bob if it must be, and return its result."""
    alice, bob = nautobots
    made = alice.extras.jobs.run(job_name=job, data=data)
    if made.job_result:
        return done(alice, made.job_result["id"])
    asked = bob.extras.scheduled_jobs.get(made.scheduled_job["id"])
    decide(asked, "approve")
    for _ in range(600):
        if results := alice.extras.job_results.filter(scheduled_job=asked.id):
            return done(alice, results[0].id)
    raise AssertionError("It was approved, and has not run.")


def told(result: Any) -> list[tuple[str, str]]:
    return [(line["grouping"], line["message"]) for line in DetailEndpoint(result, "logs").list()]


def file_of(live: Live, result: Any, name: str) -> str:
    [file] = [file for file in result.files if file["name"] == name]
    with live.client("alice") as client:
        return client.get(file["download_url"]).text


def test_what_an_example_asks_for_is_run_and_read_with_pynautobot(
    live: Live, network: Network, nautobots: tuple[Any, Any]
) -> None:
    authorities = {"ca_file": str(network.authorities)}
    checked = run(nautobots, "Check certificates", **authorities)
    assert (checked.status.value, [row["days left"] for row in checked.result]) == ("FAILURE", [90, 3])
    assert ("run", "1 of 2 certificates need work: Old switch (Data centre): 3 days left") in told(checked)
    assert "Old switch" in file_of(live, checked, "certificates.csv")

    backed_up = run(nautobots, "Back up devices", devices=network.router.address, path="/config", **authorities)
    assert (backed_up.status.value, backed_up.result["missing"]) == ("SUCCESS", [])
    assert file_of(live, backed_up, f"127.0.0.1-{network.router.port}.cfg") == GOOD

    target = network.folder / "pynautobot.jsonl"
    feed = {"address": f"http://{network.web.address}/feed.csv", "least_rows": 9}
    imported = run(nautobots, "Import feed", feed=feed, target=str(target))
    assert (imported.status.value, imported.result["exc_type"]) == ("FAILURE", "ValueError")
    assert any("The feed has 3 rows, of at least 9" in message for _, message in told(imported))
    assert any("3 of 3 rows have all that they must" in message for _, message in told(imported))
    assert not target.exists()


def test_a_file_is_sent_as_a_form_and_the_result_read_with_pynautobot(live: Live, nautobots: tuple[Any, Any]) -> None:
    alice, _ = nautobots
    session, job = alice.http_session, alice.extras.jobs.get(name="Check compliance")
    # The client itself sends JSON alone; its session sends what requests can.
    sent = {"configuration": ("edge.cfg", GOOD.encode()), "report": (None, "csv")}
    answer = session.post(f"{job.url}run/", files=sent, headers={"Authorization": f"Token {live.key('alice')}"})
    assert answer.status_code == 201, answer.text
    result = done(alice, answer.json()["job_result"]["id"])
    assert (result.status.value, result.result) == ("SUCCESS", {"rules": 9, "broken": []})
    assert ("Remote access", "Telnet is off") in told(result)
    assert file_of(live, result, "edge-compliance.csv").startswith("rule set,rule,verdict,where\r\n")
