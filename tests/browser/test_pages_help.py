"""The help, as people read it."""

from __future__ import annotations

import pytest

from api_shim.web.pages.help import TOPICS
from tests.acceptance.people import People
from tests.browser.axe import check_accessible
from tests.browser.conftest import SignedIn, playwright
from tests.live import Live

pytestmark = [pytest.mark.browser, pytest.mark.slow]
expect = playwright.expect
WIDER = "document.documentElement.scrollWidth - document.documentElement.clientWidth"


def test_the_help_is_found_from_every_page_and_reads_well_on_a_phone(
    live: Live, people: People, signed_in: SignedIn
) -> None:
    page = signed_in(people.add())
    page.goto(f"{live.origin}/signoff/account")
    page.get_by_role("contentinfo").get_by_role("link", name="Help").click()
    for address, (title, _about) in TOPICS.items():
        page.get_by_role("link", name=title, exact=True).click()
        expect(page.get_by_role("heading", level=1)).to_have_text(title)
        check_accessible(page)
        page.set_viewport_size({"width": 390, "height": 800})
        assert page.evaluate(WIDER) <= 0, address
        page.set_viewport_size({"width": 1280, "height": 900})
        page.get_by_role("main").get_by_role("link", name="Help", exact=True).click()
    check_accessible(page)
