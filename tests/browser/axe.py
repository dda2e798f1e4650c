"""Finds what keeps people from using a page, with axe-core."""

from __future__ import annotations

from typing import Any

from axe_playwright_python.sync_playwright import Axe

GRAVE = frozenset({"serious", "critical"})


def check_accessible(page: Any) -> None:
    """See that nothing on a page is a grave obstacle."""
    found = Axe().run(page).response["violations"]
    grave = [(each["id"], [node["html"] for node in each["nodes"]]) for each in found if each["impact"] in GRAVE]
    assert grave == [], page.url
