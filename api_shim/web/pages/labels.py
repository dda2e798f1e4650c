"""The words in which the pages describe scheduled jobs: what they are, when they run, their state and audit events."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from api_shim.domain.audit import AuditEvent, EventType
from api_shim.domain.crontab import WEEKDAYS
from api_shim.domain.crontab_text import in_words
from api_shim.domain.model import Job, ScheduledJob, SwitchedOff
from api_shim.domain.recurrence import Interval, cron_spec, plain_zone
from api_shim.web.pages.reader import local, told
from api_shim.web.pages.template_filters import exact

ACTS: Mapping[EventType, str] = {
    EventType.REQUESTED: "requested it",
    EventType.SCHEDULED: "scheduled it",
    EventType.APPROVED: "approved it",
    EventType.DENIED: "denied it",
    EventType.WITHDRAWN: "withdrew it",
    EventType.EXPIRED: "It expired",
    EventType.RETURNED: "It returned to the approval queue",
    EventType.DRY_RUN: "started a dry run",
    EventType.CHANGED: "changed it",
    EventType.ENABLED: "enabled it",
    EventType.DISABLED: "disabled it",
    EventType.ASSUMED: "assumed ownership",
    EventType.TRANSFERRED: "transferred it",
    EventType.TAKEN_BACK: "A change made in Prefect was reverted",
    EventType.DELETED: "deleted it",
    EventType.REFUSED: "A run was refused",
    EventType.TAMPERED: "A run was changed in Prefect",
    EventType.DECISION_REFUSED: "was refused a decision about it",
    EventType.REQUEST_REFUSED: "was refused something else with it",
}

FIELDS = {
    "inputs": "inputs",
    "start_time": "start",
    "time_zone": "time zone",
    "queue": "queue",
    "crontab": "crontab",
    "interval": "schedule type",
    "misfire": "missed runs",
    "name": "name",
}


UNNAMED = re.compile(r"(.+) - \d{4}-\d\d-\d\d[ T]\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|[+-]\d\d:\d\d)?", re.DOTALL)
"""The name that a request has if nobody gave it one: its Job and when it was asked."""
LONGEST_INPUT, LONGEST_INPUTS = 60, 240
"""How many characters of an input, and of all inputs, stand in one line."""


def title(name: str) -> str:
    """Return the title of what has a name: the name, or the Job alone for what has no name of its own."""
    found = UNNAMED.fullmatch(name)
    return found[1] if found else name


def inputs(row: ScheduledJob, job: Job) -> str:
    """Return the inputs of a scheduled job as one line of bounded length, without those that may be sensitive.

    Args:
        row: the scheduled job.
        job: its Job.
    """
    if row.hides_inputs(job):
        return "inputs are hidden, because they may be sensitive"
    labels = {each["name"]: each.get("label") or each["name"] for each in job.variables}
    said = (f"{labels.get(name, name)}: {_on_one_line(value)}" for name, value in row.inputs.items())
    return _shortened(", ".join(said), LONGEST_INPUTS) or "no inputs"


def _on_one_line(value: Any) -> str:
    return _shortened(
        " ".join(exact(value[: LONGEST_INPUT + 1] if isinstance(value, str) else value).split()), LONGEST_INPUT
    )


def _shortened(text: str, longest: int) -> str:
    return text if len(text) <= longest else f"{text[: longest - 1]}…"


def schedule(row: ScheduledJob) -> str:
    """Return when a scheduled job runs, in words."""
    if row.immediate:
        return "once, as soon as it is approved"
    if row.one_off:
        return f"once, at {told(row.start_time)}"
    zone = plain_zone(row.time_zone)
    minute, hour, _day, _month, weekday = cron_spec(row.recurrence).cron.split()
    match row.interval:
        case Interval.HOURLY:
            # The crontab is in UTC, and the offset of some zones is not a whole number of hours.
            past = local(row.start_time.replace(minute=int(minute)), row.time_zone)
            return f"every hour at {past:%M} minutes past"
        case Interval.DAILY:
            return f"every day at {int(hour):02}:{int(minute):02} {zone}"
        case Interval.WEEKLY:
            return f"every {WEEKDAYS[int(weekday)]} at {int(hour):02}:{int(minute):02} {zone}"
        case _:
            said = in_words(row.crontab)
            return f"{said[0].lower()}{said[1:]}, {zone}"


def switched_off(mark: SwitchedOff) -> str:
    """Return who has switched the approval of a Job off, as a sentence."""
    by = f" by {mark['by']}" if mark["by"] else ""
    at = f" on {told(datetime.fromisoformat(mark['at']))}" if mark["at"] else ""
    return f"It was requested while approval of its Job was switched off{by}{at}."


def happened(event: AuditEvent) -> str:
    """Return an audit event as a sentence, without the full stop."""
    said, data = ACTS.get(event.act, str(event.act)), event.data
    if event.act is EventType.CHANGED:
        said = f"changed its {' and '.join(FIELDS.get(name, name) for name in data.get('fields', []))}"
    if event.act is EventType.TRANSFERRED:
        said = f"transferred it to {data.get('owner', 'another user')}"
    if event.act in {EventType.ASSUMED, EventType.TRANSFERRED}:
        said += f" (previous owner: {data['was']})" if data.get("was") else " (it had no owner)"
    if event.act is EventType.APPROVED and data.get("force"):
        said += " after its start time"
    if (count := data.get("count", 1)) > 1:
        said += f" {count} times"
    return f"{event.actor} {said}" if event.actor and said[0].islower() else said[0].upper() + said[1:]


EDITS = frozenset({EventType.CHANGED, EventType.ASSUMED, EventType.TRANSFERRED, EventType.RETURNED})
"""The events after which a scheduled job has another version."""


def last_change(events: Iterable[AuditEvent]) -> list[str]:
    """Return what was changed last, as a sentence; nothing if no event tells, as of a change of the Job's code.

    Args:
        events: the events of a scheduled job, the newest first.
    """
    newest = next((event for event in events if event.act in EDITS), None)
    return [f"The last change: {happened(newest)}, {told(newest.at)}."] if newest else []


def remark(event: AuditEvent) -> str:
    """Return the comment or the reason of an audit event; empty if it has neither."""
    return str(event.data.get("comment") or event.data.get("reason") or "")
