"""How the command line prints times, in the time zone of their scheduled job or in UTC, and reads durations."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from api_shim.schemas import ScheduledJob

DURATION = re.compile(r"([0-9]{1,5})([mhdw])")
UNITS = {"m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


def read_duration(text: str) -> timedelta | None:
    """Read a duration like ``90d``: minutes, hours, days or weeks; None if it is none."""
    found = DURATION.fullmatch(text)
    return timedelta(**{UNITS[found[2]]: int(found[1])}) if found else None


def local_time(time: datetime | None) -> str | None:
    """Return a time as the contract writes it: in UTC, ISO 8601, with a Z."""
    return None if time is None else time.isoformat().replace("+00:00", "Z")


def local(time: datetime, zone: str) -> str:
    """Return the local time in a zone; in UTC if this machine does not know the zone.

    Args:
        time: the time, timezone-aware.
        zone: the IANA name of the zone.
    """
    try:
        clock = ZoneInfo(zone)
    except (ZoneInfoNotFoundError, ValueError):
        return str(moment(time))
    return f"{time.astimezone(clock):%Y-%m-%d %H:%M} {zone}"


def moment(time: datetime | None) -> str | None:
    """Return a time to the second, in UTC."""
    return None if time is None else f"{time.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"


def start(row: ScheduledJob) -> str:
    """Return the start of a scheduled job in its time zone."""
    return local(row.start_time, row.time_zone)


def when(row: ScheduledJob) -> str:
    """Return the schedule of a scheduled job, in words."""
    if row.interval == "custom":
        return f"{row.crontab} ({row.time_zone})"
    return f"once at {start(row)}" if row.one_off else f"{row.interval} from {start(row)}"


def what_follows(row: ScheduledJob, now: datetime) -> str:
    """Return what happens next with a scheduled job, in words."""
    if row.one_off and row.last_run_at:
        return "it has run already"
    if not row.enabled:
        return "it is disabled, so it does not run"
    if not row.one_off:
        return "it runs on its schedule"
    return "it runs now" if row.start_time <= now else f"it runs at {start(row)}"
