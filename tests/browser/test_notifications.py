"""What people do on the page of notifications, with mail and messages that are really sent."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.api_shim.delivery.receivers import Mailbox, Receiver
from tests.browser.axe import check_accessible
from tests.browser.conftest import SignedIn, playwright
from tests.live import Live, eventually, free_port, start

pytestmark = [pytest.mark.browser, pytest.mark.slow]
expect = playwright.expect


@pytest.fixture(scope="module")
def mailbox() -> Iterator[Mailbox]:
    with Mailbox() as made:
        yield made


@pytest.fixture(scope="module")
def receiver() -> Iterator[Receiver]:
    with Receiver() as made:
        yield made


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory, mailbox: Mailbox) -> Iterator[Live]:
    """A server that sends mail, and may call one address of this machine."""
    told = {
        "SIGNOFF_SMTP_HOST": "127.0.0.1",
        "SIGNOFF_SMTP_PORT": str(mailbox.port),
        "SIGNOFF_SMTP_TLS": "none",
        "SIGNOFF_SMTP_FROM": "signoff <signoff@example.com>",
        "SIGNOFF_NOTIFY_NETWORKS": "127.0.0.1",
    }
    server = start(tmp_path_factory.mktemp("notifying"), free_port(), **told)
    yield server
    server.stop()


def button(page: Any, name: str) -> Any:
    return page.get_by_role("button", name=name)


def target(page: Any, label: str) -> Any:
    return page.get_by_role("article", name=label)


def add(page: Any, way: str, address: str) -> None:
    page.get_by_label("How", exact=True).select_option(way)
    page.get_by_label("Address", exact=True).fill(address)
    button(page, "Add").click()


def request(live: Live, job: str = "Change") -> str:
    schedule = {"name": "quarterly <b>", "interval": "immediately"}
    with live.client("alice") as alice:
        answer = alice.post(f"/api/extras/jobs/{job}/run/", json={"data": {}, "schedule": schedule})
    assert answer.status_code == 201, answer.text
    made: str = answer.json()["scheduled_job"]["id"]
    return made


def test_bob_gives_his_mailbox_and_a_service_and_is_told_of_a_request(
    live: Live, signed_in: SignedIn, mailbox: Mailbox, receiver: Receiver
) -> None:
    page = signed_in("bob")
    page.goto(f"{live.origin}/signoff/account")
    page.get_by_role("link", name="Notifications").click()
    check_accessible(page)

    # His mailbox is told a code first.
    add(page, "by mail", "bob@example.com")
    expect(page.get_by_role("status")).to_contain_text("A code is on its way to bob@example.com")
    expect(target(page, "bob@example.com")).to_contain_text("not confirmed")
    code = eventually(lambda: mailbox.taken)[0]["Subject"].rpartition(" ")[2]
    page.get_by_label("Code from the message").fill("00000000")
    button(page, "Confirm").click()
    expect(page.get_by_role("alert")).to_have_text("This is not the code that was sent.")
    check_accessible(page)
    page.get_by_label("Code from the message").fill(code)
    button(page, "Confirm").click()
    expect(target(page, "bob@example.com")).to_contain_text("in use")

    # A service is tried, and its address is not shown.
    add(page, "by a service", receiver.address)
    label = f"json://127.0.0.1:{receiver.port}/…"
    button(target(page, label), "Send a test").click()
    assert eventually(lambda: receiver.taken)[0]["title"] == "signoff: This is a test"
    assert "secret" not in page.content()

    # Of what he wants to be told he is told, with a link that asks.
    scheduled = request(live)
    mail = eventually(lambda: mailbox.taken[1:])[0]
    assert mail["Subject"] == "signoff: “quarterly <b>” waits for your approval"
    link = f"{live.origin}/signoff/approval-queue/{scheduled}"
    for kind in ("plain", "html"):
        assert link in mail.get_body((kind,)).get_content()
    page.goto(link)
    expect(page.get_by_role("heading", level=1)).to_have_text("quarterly <b>")
    eventually(lambda: [each for each in receiver.taken if "waits for your approval" in each["title"]])


def test_bob_says_what_he_does_not_want_and_removes_a_target(
    live: Live, signed_in: SignedIn, receiver: Receiver
) -> None:
    page = signed_in("bob", java_script_enabled=False, viewport={"width": 390, "height": 800})
    page.goto(f"{live.origin}/signoff/notifications")
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    page.get_by_label("A run of mine failed").uncheck()
    page.get_by_label("How often").select_option("daily")
    page.get_by_label("Hour of the day").fill("7")
    button(page, "Save").click()
    expect(page.get_by_role("status")).to_have_text("Your choices were saved.")
    expect(page.get_by_label("A run of mine failed")).not_to_be_checked()
    expect(page.get_by_label("Hour of the day")).to_have_value("7")
    label = f"json://127.0.0.1:{receiver.port}/…"
    button(target(page, label), "Remove").click()
    expect(target(page, label)).to_have_count(0)


def test_what_cannot_be_added_is_said_and_a_mailbox_stays_as_it_was_typed(live: Live, signed_in: SignedIn) -> None:
    page = signed_in("alice")
    page.goto(f"{live.origin}/signoff/notifications")
    add(page, "by mail", "alice@")
    expect(page.get_by_role("alert")).to_contain_text("Enter the address of a mailbox")
    expect(page.get_by_label("Address", exact=True)).to_have_value("alice@")
    check_accessible(page)
    for address in ("json://10.0.0.1/secret", "syslog://", "json://[::1]/secret"):
        add(page, "by a service", address)
        expect(page.get_by_role("alert")).to_contain_text("Notifications are not sent to")
        expect(page.get_by_label("Address", exact=True)).to_have_value("")
    expect(page.get_by_text("Nowhere yet")).to_be_visible()
