"""Reads the schedule of a run request: what a client sent becomes times, or sentences about its faults.

* Every fault is told under its field, in the contract's words; all of them at once where they do not hide each other.
* An interval is always needed; a name unless it is ``immediately``; a start unless it is that or ``custom``.
* A start without a zone is in the schedule's zone, which is the server's unless the schedule names one.
* A start lies not in the past.
* A custom schedule without a start begins with the next match of its crontab.

Contract 4, 9.9 to 9.11.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Any
from zoneinfo import ZoneInfo

from api_shim.crontab import check_crontab
from api_shim.fields import collect
from api_shim.recurrence import Interval, check_start_time, check_time_zone, first_time
from approval_gate.errors import Invalid

MAX_NAME = 255
MAX_TIME = 64

NAME_MISSING = "Please provide a name for the job schedule."
NAME_TAKEN = "A scheduled job with this name already exists."
START_INVALID = "Please enter a valid date and time greater than or equal to the current date and time."
START_UNREADABLE = (
    "Datetime has wrong format. Use one of these formats instead: YYYY-MM-DDThh:mm[:ss[.uuuuuu]][+HH:MM|-HH:MM|Z]."
)
CRONTAB_MISSING = "Please enter a valid crontab."
REQUIRED = "This field is required."
NOT_A_STRING = "Not a valid string."


@dataclass(frozen=True, kw_only=True, slots=True)
class Schedule:
    """When to run, as requested and found sound.

    Args:
        name: the scheduled job's name; empty where none is needed.
        start_time: the first moment at which it may fire, in UTC.
        time_zone: IANA name of the zone whose clock the schedule follows.
        crontab: for a custom one; else empty.
    """

    name: str
    interval: Interval
    start_time: datetime
    time_zone: str
    crontab: str = ""


def read_schedule(raw: object, now: datetime, zone: str) -> Schedule:
    """Read the ``schedule`` of a run request.

    Args:
        raw: what the client sent under that key, decoded.
        now: the time.
        zone: IANA name of the server's time zone.

    Raises:
        Invalid: with ``{"schedule": {field: [sentence]}}``.
    """
    if not isinstance(raw, Mapping):
        raise _fault("non_field_errors", f"Invalid data. Expected a dictionary, but got {type(raw).__name__}.")
    interval = _interval(raw)
    faults: dict[str, list[str]] = {}
    needed = interval is not Interval.IMMEDIATELY
    name = collect(faults, "name", partial(read_name, needed=needed), raw.get("name"))
    sent = raw.get("time_zone")
    time_zone = zone if sent is None else collect(faults, "time_zone", read_time_zone, sent) or zone
    custom = interval is Interval.CUSTOM
    crontab = collect(faults, "crontab", read_crontab, raw.get("crontab")) if custom else ""
    start = now if not needed else collect(faults, "start_time", _start, raw, interval, time_zone, now)
    if faults:
        raise Invalid({"schedule": faults})
    if start is None:
        start = first_time(crontab, time_zone, now)
    return Schedule(name=name, interval=interval, start_time=start, time_zone=time_zone, crontab=crontab)


def _fault(field: str, sentence: str) -> Invalid:
    return Invalid({"schedule": {field: [sentence]}})


def _interval(raw: Mapping[str, Any]) -> Interval:
    value = raw.get("interval")
    if value is None:
        raise _fault("interval", REQUIRED)
    if not isinstance(value, str) or value not in list(Interval):
        raise _fault("interval", f'"{str(value)[:100]}" is not a valid choice.')
    return Interval(value)


def read_name(value: object, *, needed: bool) -> str:
    """Read the name of a scheduled job; empty where it is not needed.

    Raises:
        Invalid: with the sentence.
    """
    if value is not None and not isinstance(value, str):
        raise Invalid(NOT_A_STRING)
    name = (value or "").strip()
    if not name and needed:
        raise Invalid(NAME_MISSING)
    if len(name) > MAX_NAME:
        raise Invalid(f"Ensure this field has no more than {MAX_NAME} characters.")
    if not all(c.isprintable() for c in name):
        raise Invalid("The name may not have control characters, or others that cannot be printed.")
    return name


def read_time_zone(value: object) -> str:
    """Read the name of a time zone.

    Raises:
        Invalid: with the sentence.
    """
    if not isinstance(value, str):
        raise Invalid(NOT_A_STRING)
    return check_time_zone(value)


def read_crontab(value: object) -> str:
    """Read a crontab.

    Raises:
        Invalid: with the sentence.
    """
    if not isinstance(value, str) or not value.strip():
        raise Invalid(CRONTAB_MISSING)
    return check_crontab(value)


def _start(raw: Mapping[str, Any], interval: Interval, zone: str, now: datetime) -> datetime | None:
    value = raw.get("start_time")
    if interval is Interval.CUSTOM and value in (None, ""):
        return None
    return read_start(value, zone, now)


def read_start(value: object, zone: str, now: datetime) -> datetime:
    """Read a start, which lies not in the past.

    Raises:
        Invalid: with the sentence.
    """
    if value is None or value == "":
        raise Invalid(START_INVALID)
    start = read_time(value, zone)
    if start < now:
        raise Invalid(START_INVALID)
    return check_start_time(start)


def read_time(value: object, zone: str) -> datetime:
    """Read a date and time in ISO 8601.

    Args:
        value: what the client sent.
        zone: IANA name of the zone in which one without an offset is meant.

    Returns:
        it, in UTC.

    Raises:
        Invalid: it cannot be read.
    """
    text = value.strip() if isinstance(value, str) and len(value) <= MAX_TIME else ""
    # Python reads past a null character at the end.
    if not any(mark in text for mark in "T ") or not text.isprintable():
        raise Invalid(START_UNREADABLE)
    try:
        time = datetime.fromisoformat(text)
        return (time if time.tzinfo else time.replace(tzinfo=ZoneInfo(zone))).astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise Invalid(START_UNREADABLE) from error
