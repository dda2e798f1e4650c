"""The pages of somebody's account and of administration, as people use them."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any

import pytest

from tests.acceptance.people import People, unique
from tests.browser.axe import check_accessible
from tests.browser.conftest import SignedIn, playwright
from tests.live import Live

pytestmark = [pytest.mark.browser, pytest.mark.slow]
expect = playwright.expect

PASSWORD, NEW = "correct horse", "battery staple"
PHONE = {"width": 390, "height": 844}
ADMINISTRATION = "/signoff/administration"
SECTIONS = ("users", "groups", "permissions", "permissions/explain", "workers", "audit", "audit/verify", "system")


def look(live: Live, page: Any, path: str) -> None:
    page.goto(f"{live.origin}{path}")


def says(page: Any, notice: str) -> None:
    expect(page.get_by_role("status")).to_contain_text(notice)


def check_narrow(page: Any) -> None:
    """See that nothing is wider than the page, and that nothing is in the way of whoever uses it otherwise."""
    assert page.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth"), page.url
    check_accessible(page)


def test_somebody_minds_their_account(live: Live, people: People, signed_in: SignedIn) -> None:
    who = people.add(("extras.job", "view", None))
    people.identity.set_password(who, PASSWORD, datetime.now(UTC))
    page = signed_in(who, java_script_enabled=False)
    page.get_by_role("link", name=who).click()
    expect(page.get_by_role("heading", level=1)).to_have_text(f"Account of {who}")
    # With a token one cannot change a password.
    expect(page.get_by_label("Current password")).to_have_count(0)
    page.get_by_role("button", name="Sign out").click()
    page.get_by_label("User name").fill(who)
    page.get_by_label("Password or token").fill(PASSWORD)
    page.get_by_role("button", name="Sign in").click()
    page.get_by_role("link", name=who).click()
    for field, text in (("Current password", PASSWORD), ("New password", NEW), ("Repeat the new password", NEW)):
        page.get_by_label(field, exact=True).fill(text)
    page.get_by_role("button", name="Change Password").click()
    says(page, "Your password was changed.")
    page.get_by_text("Create a token", exact=True).click()
    page.get_by_label("What it is for").fill("laptop")
    page.get_by_role("button", name="Create Token").click()
    key = page.get_by_role("region", name="The token").inner_text().strip()
    assert re.fullmatch(r"signoff_\w+", key)
    page.get_by_role("link", name="I have copied it").click()
    page.get_by_role("link", name="Revoke laptop").click()
    page.get_by_role("button", name="Revoke").click()
    says(page, "The token was revoked.")
    expect(page.get_by_text("laptop")).to_have_count(0)


def test_an_administrator_makes_a_user_who_may_and_removes_them(
    live: Live, people: People, signed_in: SignedIn
) -> None:
    who, group, permission = f"new{unique('x')[-8:]}", unique("group"), unique("permission")
    page = signed_in(people.add(superuser=True))
    page.get_by_role("link", name="Administration").click()
    page.get_by_label("User name").fill(who)
    page.get_by_role("button", name="Add User").click()
    expect(page.get_by_role("heading", level=1)).to_have_text(who)
    check_accessible(page)
    views = page.get_by_role("navigation", name="Administration")
    views.get_by_role("link", name="Groups").click()
    page.get_by_label("Name").fill(group)
    page.get_by_role("button", name="Add Group").click()
    page.get_by_label("User name").fill(who)
    page.get_by_role("button", name="Add User").click()
    says(page, f"{who} is now in {group}.")
    check_accessible(page)
    views.get_by_role("link", name="Permissions").click()
    page.get_by_label("Name", exact=True).fill(permission)
    for box in ("view", "run", "Jobs"):
        page.get_by_label(box, exact=True).check()
    page.get_by_label("Constraints").fill('{"name": "Greet"')
    page.get_by_role("textbox", name="Groups").fill(group)
    page.get_by_role("button", name="Add Permission").click()
    expect(page.get_by_role("alert")).to_contain_text("The constraints are not JSON")
    page.get_by_label("Constraints").fill('{"name": "Greet"}')
    page.get_by_role("button", name="Add Permission").click()
    expect(page.get_by_text("Can view and run Jobs, but only those whose name is “Greet”.")).to_be_visible()
    check_accessible(page)
    look(live, page, f"{ADMINISTRATION}/permissions/explain")
    page.get_by_label("User", exact=True).select_option(label=who)
    page.get_by_label("Job", exact=True).select_option(label="Greet")
    page.get_by_role("button", name="Explain").click()
    expect(page.get_by_role("row").filter(has_text="run it")).to_contain_text(f"may {permission} through {group}")
    # What they schedule is shown to whoever removes them.
    people.scheduled("Greet", who, f"{group} nightly")
    look(live, page, f"{ADMINISTRATION}/users?q={who}")
    page.get_by_role("link", name=who).click()
    page.get_by_role("link", name="Remove …").click()
    expect(page.get_by_role("listitem").filter(has_text=f"{group} nightly")).to_be_visible()
    check_accessible(page)
    page.get_by_role("button", name=f"Remove {who}").click()
    says(page, f"{who} was removed.")
    views.get_by_role("link", name="Audit").click()
    page.get_by_label("Object").fill(who)
    page.get_by_label("What").select_option("user.removed")
    page.get_by_role("button", name="Filter").click()
    expect(page.get_by_role("row").filter(has_text="user.removed")).to_have_count(1)
    page.get_by_role("link", name="Verify").click()
    says(page, "none changed or missing")


def test_every_section_is_there_without_scripts_and_on_a_phone(live: Live, people: People, signed_in: SignedIn) -> None:
    who = people.add(superuser=True)
    phone = signed_in(who, viewport=PHONE, color_scheme="dark")
    for path in ("/signoff/account", *(f"{ADMINISTRATION}/{section}" for section in SECTIONS)):
        look(live, phone, path)
        expect(phone.get_by_role("heading", level=1)).to_be_visible()
        check_narrow(phone)
    plain = signed_in(who, java_script_enabled=False)
    look(live, plain, f"{ADMINISTRATION}/workers")
    plain.get_by_label("Name").fill("builder")
    plain.get_by_role("button", name="Create Token").click()
    expect(plain.get_by_role("region", name="The environment of the worker")).to_contain_text("PREFECT_API_AUTH_STRING")
    look(live, plain, f"{ADMINISTRATION}/system")
    expect(plain.get_by_role("row").filter(has_text="SIGNOFF_POOL")).to_contain_text("signoff")


def test_who_administers_nothing_finds_nothing(live: Live, people: People, signed_in: SignedIn) -> None:
    page = signed_in(people.add(("extras.job", "view", None)))
    expect(page.get_by_role("link", name="Administration")).to_have_count(0)
    for section in SECTIONS:
        look(live, page, f"{ADMINISTRATION}/{section}")
        expect(page.get_by_role("heading", level=1)).to_have_text("Not found")
