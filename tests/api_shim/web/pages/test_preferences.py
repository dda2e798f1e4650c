"""The form for what people prefer, and whose time zone it is that a page is shown in."""

from __future__ import annotations

import re

import pytest

from api_shim.store import Store
from tests.api_shim.origin import Origin
from tests.api_shim.web.pages.test_run import NASTY, Visitor, check_harmless
from tests.conftest import Clock

PREFERENCES = "/signoff/preferences"


@pytest.fixture
def origin(sqlite_store: Store, clock: Clock) -> Origin:
    made = Origin(sqlite_store, clock)
    made.user()
    return made


def test_they_are_saved_and_shown(origin: Origin) -> None:
    admin = Visitor(origin)
    assert admin.post(PREFERENCES, time_zone="Asia/Tokyo", page_size="50").status_code == 303
    page = admin.get(PREFERENCES).text
    assert "Your preferences were saved." in page
    assert re.search(r'id="time_zone"[^>]* value="Asia/Tokyo"', page)
    assert "<option selected>50</option>" in page


@pytest.mark.parametrize(
    ("time_zone", "page_size"),
    [
        pytest.param(NASTY, "25", id="a zone that is none"),
        pytest.param("UTC", NASTY, id="a length that is none"),
    ],
)
def test_a_fault_keeps_what_was_typed_and_changes_nothing(origin: Origin, time_zone: str, page_size: str) -> None:
    admin = Visitor(origin)
    page = admin.post(PREFERENCES, time_zone=time_zone, page_size=page_size)
    assert page.status_code == 400
    assert "Your preferences were not saved. Your input has been kept." in page.text
    check_harmless(page.text)
    assert 'id="time_zone" name="time_zone" type="text" value=""' in admin.get(PREFERENCES).text


@pytest.mark.parametrize(
    ("told", "shown"),
    [
        pytest.param("Europe/Berlin", ", which is Europe/Berlin.", id="the zone of the browser"),
        pytest.param("Etc/UTC", ", which is UTC.", id="UTC by another name"),
        pytest.param("Europe/Atlantis", "that of your browser.", id="none that there is"),
        pytest.param("../../etc/passwd", "that of your browser.", id="a path"),
        pytest.param("", "that of your browser.", id="a browser that tells none"),
    ],
)
def test_the_browser_tells_a_zone_that_is_one(origin: Origin, told: str, shown: str) -> None:
    assert shown in Visitor(origin, zone=told).get(PREFERENCES).text
