"""The forms that edit a scheduled job and that copy it: their initial values, and the changes that were typed.

* The inputs have the same fields as in the form that runs the Job (``run_form``).
* Only fields that were edited are changed, so that saving does not undo changes that others made meanwhile. The form
  sends the version that it showed, and the name, of which there is no version.
* What runs once and is over, or asks about a missed firing, has no other schedule type to choose.
* The start is typed as local time in the schedule's zone. When only the zone of a schedule without a crontab changes,
  the start keeps its local time.

Contract 10.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from api_shim.domain.model import Job, ScheduledJob
from api_shim.domain.recurrence import Interval
from api_shim.parsing.run_request import MAX_NAME
from api_shim.web.pages.run_form import INTERVALS, Field, Typed, as_typed, first, read_request

OWN = ("name", "interval", "crontab", "start_time", "time_zone", "misfire", "queue")
COPY = " (copy)"
WAS = "was"
"""The field with the name that the form showed."""
NAMED = {"queue": "task_queue"}
"""Fields that the use case knows by another name."""


def shown(row: ScheduledJob, fields: Collection[Field]) -> Typed:
    """Return the initial values of the form.

    Args:
        row: the scheduled job.
        fields: the fields of the Job's variables.
    """
    start = row.start_time.astimezone(ZoneInfo(row.time_zone))
    at = f"{start:%Y-%m-%dT%H:%M:%S}" if start.second else f"{start:%Y-%m-%dT%H:%M}"
    own = {
        "name": row.name,
        "interval": str(row.interval),
        "crontab": row.crontab,
        "start_time": "" if row.immediate else at,
        "time_zone": row.time_zone,
        "misfire": str(row.misfire),
        "queue": row.queue,
    }
    return {**{name: [text] for name, text in own.items()}, **as_typed(fields, row.inputs)}


def intervals_of(row: ScheduledJob) -> list[tuple[Interval, str]]:
    """Return the schedule types that it can have, each with its label; none if it can have no other one."""
    if row.is_spent or row.missed is not None:
        return []
    return [(each, label) for each, (label, _) in INTERVALS.items() if each is not Interval.IMMEDIATELY]


def copied(row: ScheduledJob, fields: Collection[Field], due: datetime | None, now: datetime) -> Typed:
    """Return the initial values of the form for another scheduled job like this one.

    Args:
        row: the scheduled job.
        fields: the fields of the Job's variables, as far as its inputs may be shown.
        due: when it fires next; None for never.
        now: the current time: a start that has passed gives way to the next firing, or to none.
    """
    start = row.start_time if row.start_time > now else due
    again = replace(row, start_time=start or row.start_time, immediate=row.immediate or start is None)
    interval = Interval.IMMEDIATELY if row.immediate else row.interval
    return {**shown(again, fields), "interval": [interval], "name": [copy_name(row.name)]}


def copy_name(name: str) -> str:
    """Return a name for a copy, which is not longer than a name may be."""
    return f"{name[: MAX_NAME - len(COPY)]}{COPY}"


def changed(typed: Typed, row: ScheduledJob, job: Job, fields: Collection[Field]) -> Mapping[str, Any]:
    """Return the edited fields, as the body of a change.

    Args:
        typed: the submitted values.
        row: the scheduled job before the change.
        job: the Job that it runs.
        fields: the fields of the variables that the form has.
    """
    stands = shown(row, fields)
    texts = {name: first(typed, name) for name in OWN if name in typed}
    if "name" in texts and texts["name"] == first(typed, WAS):
        del texts["name"]
    differ = {name: text for name, text in texts.items() if text != first(stands, name)}
    interval = texts.get("interval", row.interval)
    if interval != Interval.CUSTOM:
        differ.pop("crontab", None)
    if "time_zone" in differ and interval != Interval.CUSTOM and texts.get("start_time"):
        differ["start_time"] = texts["start_time"]
    body: dict[str, Any] = {NAMED.get(name, name): text for name, text in differ.items()}
    if any(_differs(field, typed, stands) for field in fields):
        body["data"] = read_request(job, fields, typed).data
    return body


def _differs(field: Field, typed: Typed, stands: Typed) -> bool:
    # Browsers send an empty field as an empty string; a value that was never set is shown as one too.
    return [text for text in typed.get(field.name, []) if text] != [text for text in stands[field.name] if text]


def told(field: Field, value: Any) -> Any:
    """Return the value of an input for display, with choices shown by their labels."""
    labels = dict(field.choices)
    if isinstance(value, list) and labels:
        return ", ".join(labels.get(str(each), str(each)) for each in value)
    return labels.get(str(value), value) if isinstance(value, str | int) else value
