"""The page that shows the document of our API, in a real browser."""

from __future__ import annotations

from urllib.parse import urlsplit

import pytest

from tests.live import Live

pytestmark = [pytest.mark.browser, pytest.mark.slow]

playwright = pytest.importorskip("playwright.sync_api", reason="no playwright here; install the extra 'test'")
Page, expect = playwright.Page, playwright.expect


@pytest.fixture
def asked(live: Live, page: Page) -> list[str]:
    """The origins that the page asks anything of."""
    origins: list[str] = []
    page.on("request", lambda request: origins.append("{0.scheme}://{0.netloc}".format(urlsplit(request.url))))
    return origins


@pytest.fixture
def complaints(page: Page) -> list[str]:
    """What the browser complains about, such as what the page's content policy forbids."""
    found: list[str] = []
    page.on("console", lambda message: found.append(message.text) if message.type in {"error", "warning"} else None)
    page.on("pageerror", lambda error: found.append(str(error)))
    return found


def test_anybody_can_read_it_and_it_asks_nobody_else(
    live: Live, page: Page, asked: list[str], complaints: list[str]
) -> None:
    page.goto(f"{live.origin}/api/docs/")
    expect(page.get_by_text("Approve a request")).to_be_visible()
    page.get_by_text("Run a Job now, or schedule it").click()
    expect(page.get_by_text("or a scheduled job if it is to run later")).to_be_visible()
    assert set(asked) == {live.origin}
    assert complaints == []


def test_somebody_with_a_key_can_try_it(live: Live, page: Page, asked: list[str], complaints: list[str]) -> None:
    page.goto(f"{live.origin}/api/docs/")
    page.get_by_role("button", name="Authorize").click()
    page.locator(".auth-container input").fill(f"Token {live.key('alice')}")
    page.locator(".auth-btn-wrapper .authorize").click()
    page.locator(".btn-done").click()
    page.get_by_text("Show the health and the versions of the server").click()
    page.get_by_role("button", name="Try it out").click()
    page.get_by_role("button", name="Execute").click()
    expect(page.locator(".live-responses-table").get_by_text('"prefect-version"')).to_be_visible()
    assert set(asked) == {live.origin}
    assert complaints == []
