"""The time and the time zone, for the shell; everything below it is told them."""

from __future__ import annotations

from datetime import UTC, datetime

import tzlocal


def utc_now() -> datetime:
    """Return the time, aware, in UTC."""
    return datetime.now(UTC)


def server_zone() -> str:
    """Return the IANA name of this machine's time zone."""
    return tzlocal.get_localzone_name() or "UTC"
