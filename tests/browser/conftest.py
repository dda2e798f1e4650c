"""A real browser, and people who are signed in to our pages with it."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from playwright import sync_api as playwright

from tests.acceptance.people import People
from tests.conftest import lacking
from tests.live import Live

# A machine that runs other tests besides takes its time.
playwright.expect.set_options(timeout=60_000)
Browser, Page = playwright.Browser, playwright.Page

SignedIn = Callable[..., Any]
"""Opens a page as somebody: their name, and what else a context of the browser takes (``java_script_enabled``)."""


# For one file only: while it is open, an event loop runs here, in which other files' tests cannot run theirs.
@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    if chromium is None:
        lacking("browser", "no Chromium here; install the package chromium")
    with playwright.sync_playwright() as player:
        opened = player.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        yield opened
        opened.close()


@pytest.fixture
def page(browser: Browser, tmp_path: Path) -> Iterator[Page]:
    """A new page of somebody who has not signed in; what it shows in the end is kept."""
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    opened = context.new_page()
    yield opened
    opened.screenshot(path=tmp_path / "page.png")
    context.close()


@pytest.fixture(scope="session")
def people(live: Live) -> Iterator[People]:
    """Makes users."""
    made = People(live)
    yield made
    made.close()


@pytest.fixture
def signed_in(live: Live, browser: Browser) -> Iterator[SignedIn]:
    """Sign people in to our pages; what asks another origin, or breaks the policy, fails the test."""
    contexts, strange = [], []

    def open_page(who: str, **options: Any) -> Page:
        context = browser.new_context(**{"viewport": {"width": 1280, "height": 900}, **options})
        contexts.append(context)
        page = context.new_page()
        page.on("request", lambda asked: strange.append(asked.url) if _is_elsewhere(asked.url, live) else None)
        page.on("console", lambda said: strange.append(said.text) if "Content Security Policy" in said.text else None)
        page.on("pageerror", lambda error: strange.append(str(error)))
        sign_in(live, context, who)
        page.goto(f"{live.origin}/signoff/jobs")
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert strange == []


def sign_in(live: Live, context: Any, who: str) -> None:
    """Sign somebody in to our pages in a context of the browser, by the form but without showing it."""
    page = context.request.get(f"{live.origin}/signoff/sign-in").text()
    [csrf] = re.findall(r'name="csrf" value="([^"]+)"', page)
    sent = {"csrf": csrf, "username": who, "secret": live.key(who)}
    answer = context.request.post(f"{live.origin}/signoff/sign-in", form=sent, max_redirects=0)
    assert answer.status == 303, answer.text()


def _is_elsewhere(url: str, live: Live) -> bool:
    parts = urlsplit(url)
    return parts.scheme in {"http", "https", "ws", "wss"} and parts.netloc != f"127.0.0.1:{live.port}"
