"""Reads a change of a scheduled job: what a client sent becomes the fields that change, or sentences about its faults.

* Only what is sent changes; what cannot be changed is refused, so that nobody believes that it was.
* Every value is held to what holds when it is first requested; all faults are told at once, each under its field.
* A crontab goes with ``custom`` alone. What is sent back as it stands is no change, and no fault.
* Where the times change, a start that has passed, or that was only the next match, does not hold the new times back.

Contract 4 and 10.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from api_shim.domain.model import ScheduledJob
from api_shim.domain.recurrence import Interval, first_time
from api_shim.parsing.fields import collect, read_flag, read_object
from api_shim.parsing.run_request import read_crontab, read_name, read_start, read_time, read_time_zone
from approval_gate.errors import Invalid

FIELDS = frozenset({"enabled", "name", "data", "crontab", "start_time", "time_zone", "job_queue", "task_queue"})
FIXED = "This field cannot be changed."
INSTEAD = {
    "user": "The owner is changed by assuming ownership, or by a transfer.",
    "interval": "The interval cannot be changed; request another scheduled job.",
    "kwargs": "The inputs are changed as `data`.",
}
NO_CRONTAB = "Only a custom schedule has a crontab."
NOT_NULL = "This field may not be null."
WHEN = frozenset({"start_time", "time_zone", "crontab"})


@dataclass(frozen=True, kw_only=True, slots=True)
class ScheduleChange:
    """A change, as sent and found sound; its data and its queue are yet to be held to the Job.

    Args:
        fields: the new values of the scheduled job's own fields.
        data: the variables, as sent; None where they stay.
        task_queue: the work queue, as sent; None where it stays.
        job_queue: the same, under its newer name.
    """

    fields: Mapping[str, Any]
    data: object = None
    task_queue: object = None
    job_queue: object = None

    @property
    def inputs(self) -> bool:
        return self.data is not None

    @property
    def runs_otherwise(self) -> bool:
        """Whether it would run when, where or with what it does not now."""
        queue = self.task_queue is not None or self.job_queue is not None
        return self.inputs or queue or bool(WHEN & self.fields.keys()) or self.fields.get("enabled") is True


def check_fields(body: object) -> Mapping[str, Any]:
    """Return the body of a change, which has no other fields than those that can be changed.

    Raises:
        Invalid: it has, with the sentence under each.
    """
    sent = read_object(body)
    faults = {str(field): [INSTEAD.get(str(field), FIXED)] for field in sent if field not in FIELDS}
    faults |= {field: [NOT_NULL] for field, value in sent.items() if value is None and field not in faults}
    if faults:
        raise Invalid(faults)
    return sent


def read_edit(body: Mapping[str, Any], row: ScheduledJob, now: datetime) -> ScheduleChange:
    """Read a change of a scheduled job.

    Args:
        body: what was sent, after ``check_fields``.
        row: the scheduled job as it stands.
        now: the time.

    Raises:
        Invalid: with ``{field: [sentence]}``.
    """
    faults: dict[str, list[str]] = {}
    read: dict[str, Any] = {}
    readers: Mapping[str, Callable[[Any], Any]] = {
        "enabled": read_flag,
        "name": lambda value: read_name(value, needed=True),
        "time_zone": read_time_zone,
        "crontab": lambda value: _read_crontab(value, row.interval),
        "start_time": lambda value: _read_start(value, read.get("time_zone") or row.time_zone, row, now),
    }
    for field, reader in readers.items():
        if field in body:
            read[field] = collect(faults, field, reader, body[field])
    if faults:
        raise Invalid(faults)
    fields = {field: value for field, value in read.items() if value != getattr(row, field)}
    return ScheduleChange(
        fields=_timed(row, fields, now),
        data=body.get("data"),
        task_queue=body.get("task_queue"),
        job_queue=body.get("job_queue"),
    )


def _read_crontab(value: Any, interval: Interval) -> str:
    if interval is not Interval.CUSTOM:
        raise Invalid(NO_CRONTAB)
    return read_crontab(value)


def _read_start(value: Any, zone: str, row: ScheduledJob, now: datetime) -> datetime:
    """Read a start; that which it has may have passed: a form sends it back as it was."""
    return row.start_time if value and read_time(value, zone) == row.start_time else read_start(value, zone, now)


def _timed(row: ScheduledJob, fields: dict[str, Any], now: datetime) -> dict[str, Any]:
    """Complete a change of the times."""
    if not WHEN & fields.keys():
        return fields
    if "start_time" in fields:
        return {**fields, "immediate": False}
    if row.interval is not Interval.CUSTOM:
        return fields
    crontab, zone = fields.get("crontab", row.crontab), fields.get("time_zone", row.time_zone)
    # Where no start was named it is the first match, which a person may have named too.
    held_back = row.start_time > now and row.start_time != first_time(row.crontab, row.time_zone, now)
    return fields if held_back else {**fields, "start_time": first_time(crontab, zone, now)}
