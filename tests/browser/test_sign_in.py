"""People sign in at an identity provider that somebody else wrote, and their command line by their browser."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest

from api_shim.domain.accounts import Session
from tests.browser.axe import check_accessible
from tests.browser.conftest import Page, playwright
from tests.databases import store_of
from tests.live import ROOT, Live, environment, eventually, start

pytestmark = [pytest.mark.browser, pytest.mark.slow]
expect = playwright.expect


@dataclass
class Place:
    """A server, and the identity provider that people sign in at.

    Args:
        live: the server.
        provider: the address of the provider.
        config: where a command line keeps what it has got.
    """

    live: Live
    provider: str
    config: Path

    def cli(self, *words: str) -> subprocess.Popen[str]:
        """Start a command of somebody with a machine of their own."""
        return subprocess.Popen(
            [sys.executable, "-m", "api_shim.cli", *words, "--url", self.live.origin],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=environment(XDG_CONFIG_HOME=str(self.config), PYTHONPATH=str(ROOT)),
        )

    def throw_out(self) -> None:
        """Let the provider vouch for alice no more, and let it be time to ask it."""
        httpx.post(f"{self.provider}/users/248/revoke-tokens", trust_env=False).raise_for_status()
        with closing(store_of(self.live.home)) as store, store.transaction() as tx:
            for session in tx.all(Session):
                tx.change(session, renew_by=datetime.now(UTC))


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory, free_port: Callable[[], int]) -> Iterator[Place]:
    folder, port = tmp_path_factory.mktemp("sign-in"), free_port()
    claims = {"sub": "248", "preferred_username": "carol", "name": "Carol", "groups": ["netops"]}
    command = ["-m", "oidc_provider_mock", "--port", str(port), "--user-claims", json.dumps(claims)]
    issuer = f"http://localhost:{port}"
    with (folder / "provider.log").open("wb") as log:
        provider = subprocess.Popen([sys.executable, *command], stdout=log, stderr=subprocess.STDOUT)
    told = {"ISSUER": issuer, "CLIENT_ID": "signoff", "CLIENT_SECRET": "secret", "NAME": "Example Login"}
    env = {f"SIGNOFF_OIDC_{name}": value for name, value in told.items()}
    env |= {"SIGNOFF_OIDC_GROUPS": json.dumps({"netops": "Network"}), "SIGNOFF_LOCAL_PASSWORDS": "false"}
    live = start(folder / "home", free_port(), "--worker", "none", **env)
    try:
        live.cli("group", "add", "Network")
        live.cli("permission", "add", "see", "--types", "extras.job", "--actions", "view", "--groups", "Network")
        eventually(lambda: _answers(issuer))
        yield Place(live, issuer, folder / "config")
    finally:
        live.stop()
        provider.terminate()
        provider.wait(10)


def _answers(issuer: str) -> bool:
    try:
        return httpx.get(f"{issuer}/.well-known/openid-configuration", trust_env=False).is_success
    except httpx.TransportError:
        return False


def signs_in(page: Page, place: Place) -> None:
    page.get_by_role("link", name="Sign in with Example Login").click()
    expect(page).to_have_url(re.compile(re.escape(place.provider)))
    page.get_by_role("button", name="248").click()


@pytest.mark.parametrize("scripts", [True, False], ids=["with scripts", "without"])
def test_people_sign_in_elsewhere_and_their_command_line_by_their_browser(
    place: Place, browser: Any, scripts: bool, tmp_path: Path
) -> None:
    place.config = tmp_path
    context = browser.new_context(viewport={"width": 390, "height": 800}, java_script_enabled=scripts)
    page = context.new_page()
    page.goto(f"{place.live.origin}/signoff/jobs?q=Greet")
    if scripts:
        check_accessible(page)
    page.screenshot(path=tmp_path / "sign-in.png")
    page.get_by_text("Use a token or a password").click()
    expect(page.get_by_label("Password or token")).to_be_visible()
    signs_in(page, place)
    expect(page).to_have_url(f"{place.live.origin}/signoff/jobs?q=Greet")
    expect(page.locator(".who")).to_contain_text("carol")

    command = place.cli("login", "--no-browser")
    assert command.stderr is not None
    [address] = [line.strip() for line in (command.stderr.readline() for _ in range(2)) if "/sign-in/" in line]
    page.goto(address)
    expect(page.get_by_role("main")).to_contain_text("will act as carol")
    if scripts:
        check_accessible(page)
        assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    page.screenshot(path=tmp_path / "command-line.png")
    page.get_by_role("button", name="Sign in the command line").click()
    expect(page.get_by_text("You can close this window")).to_be_visible()
    out, err = command.communicate(timeout=60)
    assert out.startswith("Signed in as carol until "), err
    assert "Greet" in place.cli("job", "list").communicate(timeout=60)[0]
    assert "Signed out." in place.cli("logout").communicate(timeout=60)[0]

    page.goto(f"{place.live.origin}/signoff/jobs")
    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_role("link", name="Sign out of Example Login too")).to_be_visible()
    page.screenshot(path=tmp_path / "signed-out.png")
    page.get_by_role("link", name="Sign in again").click()
    signs_in(page, place)
    expect(page.locator(".who")).to_contain_text("carol")
    place.throw_out()
    page.reload()
    expect(page.get_by_role("link", name="Sign in with Example Login")).to_be_visible()
    context.close()
