"""What browsers are called, by what current ones say of themselves."""

from __future__ import annotations

import pytest

from api_shim.domain.browsers import BROWSERS, SYSTEMS, browser_called

MOZILLA, WEBKIT = "Mozilla/5.0", "AppleWebKit/537.36 (KHTML, like Gecko)"


@pytest.mark.parametrize(
    ("said", "called"),
    [
        (f"{MOZILLA} (X11; Linux x86_64; rv:145.0) Gecko/20100101 Firefox/145.0", "Firefox on Linux"),
        (f"{MOZILLA} (Windows NT 10.0; Win64; x64) {WEBKIT} Chrome/142.0.0.0 Safari/537.36", "Chrome on Windows"),
        (
            f"{MOZILLA} (Windows NT 10.0; Win64; x64) {WEBKIT} Chrome/142.0.0.0 Safari/537.36 Edg/142.0.0.0",
            "Edge on Windows",
        ),
        (
            f"{MOZILLA} (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/26.0 "
            "Safari/605.1.15",
            "Safari on macOS",
        ),
        (
            f"{MOZILLA} (iPhone; CPU iPhone OS 18_6 like Mac OS X) {WEBKIT} CriOS/142.0.0.0 Mobile/15E148 Safari/604.1",
            "Chrome on iPhone",
        ),
        (f"{MOZILLA} (Linux; Android 10; K) {WEBKIT} Chrome/142.0.0.0 Mobile Safari/537.36", "Chrome on Android"),
        (f"{MOZILLA} (X11; CrOS x86_64 14541.0.0) {WEBKIT} Chrome/142.0.0.0 Safari/537.36", "Chrome on ChromeOS"),
        (f"{MOZILLA} (X11; Linux x86_64) Something/1.0", "A browser on Linux"),
        ("Firefox/1", "Firefox"),
        ("curl/8.5.0", ""),
        ("", ""),
        ("<script>" * 10_000, ""),
    ],
)
def test_a_browser_is_called_by_the_most_particular_mark(said: str, called: str) -> None:
    assert browser_called(said) == called


def test_every_name_fits_its_column() -> None:
    assert max(len(f"{browser} on {system}") for _, browser in BROWSERS for _, system in SYSTEMS) <= 64
