"""The page of the Jobs, as people use it."""

from __future__ import annotations

import pytest

from tests.acceptance.people import People
from tests.browser.conftest import SignedIn, playwright
from tests.live import Live

pytestmark = [pytest.mark.browser, pytest.mark.slow]
expect = playwright.expect


@pytest.mark.parametrize("javascript", [True, False], ids=["with JavaScript", "without JavaScript"])
def test_who_may_change_jobs_enables_and_disables_them(
    live: Live, people: People, signed_in: SignedIn, javascript: bool
) -> None:
    page = signed_in("admin", java_script_enabled=javascript)
    row = page.get_by_role("row").filter(has_text="Complain")
    row.get_by_role("button", name="Disable").click()
    expect(page.get_by_role("status")).to_have_text("Complain may no longer run.")
    row.get_by_role("button", name="Enable").click()
    expect(page.get_by_role("status")).to_have_text("Complain may run now.")
