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

from api_shim.domain.crontab import check_crontab
from api_shim.domain.model import Job
from api_shim.domain.recurrence import Interval, check_start_time, check_time_zone, first_time
from api_shim.parsing.fields import collect, read_object
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


BOTH_QUEUES = "task_queue and job_queue are both specified. Please specify only one or another."


@dataclass(frozen=True, kw_only=True, slots=True)
class RunRequest:
    """What somebody asks to run.

    Args:
        data: the variables, as sent.
        schedule: when, as sent; None for now.
        task_queue: the work queue, as sent.
        job_queue: the same, under its newer name.
    """

    data: object
    schedule: object = None
    task_queue: object = None
    job_queue: object = None


def read_queue(job: Job, task_queue: object, job_queue: object) -> str:
    """Read the work queue that somebody asks for, under either of its names; the Job's first one if he asks for none.

    Raises:
        Invalid: both names are used, or the Job has no such queue.
    """
    if task_queue is not None and job_queue is not None:
        raise Invalid({"task_queue": BOTH_QUEUES})
    asked = task_queue if job_queue is None else job_queue
    if asked is None or asked == "":
        return job.default_queue
    if not isinstance(asked, str) or asked not in job.queues:
        raise Invalid({"task_queue": [f'"{str(asked)[:100]}" is not a valid choice.']})
    return asked


def default_name(job: Job, now: datetime) -> str:
    """Return the name of a scheduled job that was asked for without one (contract 4)."""
    return f"{job.name[:200]} - {now.isoformat()}"


FORM_SCHEDULE = ("name", "start_time", "interval", "crontab", "time_zone")


def read_run(body: Any, *, is_form: bool) -> RunRequest:
    """Read a run request, from JSON or from a form whose own fields begin with an underscore.

    Raises:
        Invalid: it is not an object, or a value in a form is a file.
    """
    sent = read_object(body)
    if not is_form:
        data = sent.get("data")
        return RunRequest(
            data={} if data is None else data,
            schedule=sent.get("schedule"),
            task_queue=sent.get("task_queue"),
            job_queue=sent.get("job_queue"),
        )
    schedule = {field: sent[f"_schedule_{field}"] for field in FORM_SCHEDULE if f"_schedule_{field}" in sent}
    own = {"_task_queue", "_job_queue", *(f"_schedule_{field}" for field in FORM_SCHEDULE)}
    return RunRequest(
        data={name: value for name, value in sent.items() if name not in own},
        schedule=schedule or None,
        task_queue=sent.get("_task_queue"),
        job_queue=sent.get("_job_queue"),
    )
