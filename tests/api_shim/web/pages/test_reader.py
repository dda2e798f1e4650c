"""Times, as the reader of a page reads them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from api_shim.web.pages.reader import in_utc, reader, reading, told

NOW = datetime(2026, 10, 25, 0, 30, tzinfo=UTC)


@pytest.mark.parametrize(
    ("zone", "time", "said"),
    [
        pytest.param("Europe/Berlin", NOW, "2026-10-25 02:30 CEST", id="the first half past two of the autumn"),
        pytest.param("Europe/Berlin", NOW + timedelta(hours=1), "2026-10-25 02:30 CET", id="and the second"),
        pytest.param("UTC", NOW, "2026-10-25 00:30 UTC", id="UTC"),
        pytest.param("Etc/UTC", NOW, "2026-10-25 00:30 UTC", id="UTC by another name"),
        pytest.param("Asia/Kolkata", NOW, "2026-10-25 06:00 IST", id="half an hour off"),
        pytest.param("America/Sao_Paulo", NOW, "2026-10-24 21:30 UTC-03:00", id="a zone without an abbreviation"),
        pytest.param("Asia/Kathmandu", NOW, "2026-10-25 06:15 UTC+05:45", id="one with an odd offset"),
        pytest.param("UTC", NOW + timedelta(seconds=5), "2026-10-25 00:30:05 UTC", id="with seconds"),
    ],
)
def test_a_time_is_told_in_the_zone_of_the_reader(zone: str, time: datetime, said: str) -> None:
    with reading(zone, NOW):
        assert told(time) == said
    assert in_utc(time).startswith(f"{time:%Y-%m-%d %H:%M:%S}")


def test_the_reader_of_one_page_is_not_that_of_another() -> None:
    with reading("Europe/Berlin", NOW):
        with reading("Asia/Tokyo", NOW):
            assert reader().zone == "Asia/Tokyo"
        assert reader().zone == "Europe/Berlin"
    assert (reader().zone, reader().now) == ("UTC", None)
