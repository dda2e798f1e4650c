"""Browsers by a few words, such as “Firefox on Linux”, so that people recognise their own sessions.

* A browser says what it likes: nothing is decided by it.
* Most claim to be others as well, so the most particular mark counts. What none of them is has no name.
"""

from __future__ import annotations

from collections.abc import Iterable

BROWSERS = (
    ("Edg", "Edge"),
    ("OPR/", "Opera"),
    ("SamsungBrowser/", "Samsung Internet"),
    ("Firefox/", "Firefox"),
    ("FxiOS/", "Firefox"),
    ("CriOS/", "Chrome"),
    ("Chrome/", "Chrome"),
    ("Safari/", "Safari"),
)
SYSTEMS = (
    ("iPhone", "iPhone"),
    ("iPad", "iPad"),
    ("Android", "Android"),
    ("CrOS", "ChromeOS"),
    ("Windows", "Windows"),
    ("Mac OS X", "macOS"),
    ("Linux", "Linux"),
)
"""What tells each in the header, and its name; the most particular first."""


def browser_called(user_agent: str) -> str:
    """Return what a browser is called, and where it runs; empty if neither is known.

    Args:
        user_agent: its ``User-Agent`` header.
    """
    browser, system = _found(user_agent, BROWSERS), _found(user_agent, SYSTEMS)
    if not system:
        return browser
    return f"{browser or 'A browser'} on {system}"


def _found(text: str, marks: Iterable[tuple[str, str]]) -> str:
    return next((name for mark, name in marks if mark in text), "")
