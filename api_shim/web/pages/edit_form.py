"""The form that changes a scheduled job: what it shows at first, and what of what was typed is a change.

* The inputs have the fields with which their Job is run (``run_form``).
* Only what was typed differently is sent to be changed, so that nobody undoes what others have changed meanwhile.
* A start is typed on the clocks of the schedule's zone; with another zone it is meant on that one's, unless a crontab
  says when it runs.

Contract 10.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any
from zoneinfo import ZoneInfo

from api_shim.domain.model import Job, ScheduledJob
from api_shim.domain.recurrence import Interval
from api_shim.web.pages.run_form import Field, Typed, as_typed, first, read_request

OWN = ("name", "crontab", "start_time", "time_zone", "queue")
NAMED = {"queue": "task_queue"}
"""The scheduled job's own fields, and what the use case calls them."""


def shown(row: ScheduledJob, fields: Collection[Field]) -> Typed:
    """Return what stands in the form before anybody types.

    Args:
        row: the scheduled job as it stands.
        fields: of its Job's variables.
    """
    start = row.start_time.astimezone(ZoneInfo(row.time_zone))
    at = f"{start:%Y-%m-%dT%H:%M:%S}" if start.second else f"{start:%Y-%m-%dT%H:%M}"
    own = {
        "name": row.name,
        "crontab": row.crontab,
        "start_time": "" if row.immediate else at,
        "time_zone": row.time_zone,
        "queue": row.queue,
    }
    return {**{name: [text] for name, text in own.items()}, **as_typed(fields, row.inputs)}


def changed(typed: Typed, row: ScheduledJob, job: Job, fields: Collection[Field]) -> Mapping[str, Any]:
    """Return what of what was typed is a change, as the use case takes it.

    Args:
        typed: what was typed.
        row: the scheduled job as it stands.
        job: its Job.
        fields: of the variables that the form had.
    """
    stands = shown(row, fields)
    texts = {name: first(typed, name) for name in OWN if name in typed}
    differ = {name: text for name, text in texts.items() if text != first(stands, name)}
    if "time_zone" in differ and row.interval is not Interval.CUSTOM and texts.get("start_time"):
        differ["start_time"] = texts["start_time"]
    body: dict[str, Any] = {NAMED.get(name, name): text for name, text in differ.items()}
    if any(_differs(field, typed, stands) for field in fields):
        body["data"] = read_request(job, fields, typed).data
    return body


def _differs(field: Field, typed: Typed, stands: Typed) -> bool:
    # A field that is empty is sent as an empty text, and one that was never filled in shows as one.
    return [text for text in typed.get(field.name, []) if text] != [text for text in stands[field.name] if text]


def told(field: Field, value: Any) -> Any:
    """Return the value of an input as people read it: choices by what they are called."""
    labels = dict(field.choices)
    if isinstance(value, list) and labels:
        return ", ".join(labels.get(str(each), str(each)) for each in value)
    return labels.get(str(value), value) if isinstance(value, str | int) else value
