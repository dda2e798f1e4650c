"""The shell's clock."""

from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest

from api_shim.settings import server_zone, utc_now


def test_the_time_is_aware_and_now() -> None:
    before = datetime.now(UTC)
    assert before <= utc_now() <= datetime.now(UTC)
    assert utc_now().tzinfo is UTC


def test_the_zone_of_this_machine_is_one_that_there_is() -> None:
    assert ZoneInfo(server_zone()).key == server_zone()


@pytest.mark.parametrize("name", [None, "Etc/UTC"])
def test_a_machine_without_a_zone_is_in_utc(monkeypatch: pytest.MonkeyPatch, name: str | None) -> None:
    monkeypatch.setattr("tzlocal.get_localzone_name", lambda: name)
    assert server_zone() == "UTC"
