"""How the pages tell of scheduled jobs in words: when one runs, how it stands, and what was done with it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from zoneinfo import ZoneInfo

from api_shim.domain.audit import Act, AuditEvent
from api_shim.domain.crontab_text import in_words
from api_shim.domain.model import ScheduledJob
from api_shim.domain.recurrence import Interval, cron_spec
from api_shim.services.forecast import Standing

WEEKDAYS = ("Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday")

STANDINGS: Mapping[Standing, tuple[str, str]] = {
    Standing.FIRES: ("runs next", "good"),
    Standing.WAITS: ("waits for approval", "warn"),
    Standing.OVER: ("has run", "plain"),
    Standing.FAILED: ("disabled", "bad"),
    Standing.DISABLED: ("disabled", "plain"),
    Standing.EXPIRED: ("expired", "plain"),
    Standing.STOPPED: ("will not run", "bad"),
}
"""How a scheduled job stands: the words, and the kind of badge that they are on."""

ACTS: Mapping[Act, str] = {
    Act.REQUESTED: "asked for it",
    Act.APPROVED: "approved it",
    Act.DENIED: "denied it",
    Act.WITHDRAWN: "withdrew it",
    Act.EXPIRED: "It expired",
    Act.RETURNED: "It went back into the approval queue",
    Act.DRY_RUN: "tried it in a dry run",
    Act.CHANGED: "changed it",
    Act.ENABLED: "enabled it",
    Act.DISABLED: "disabled it",
    Act.ASSUMED: "assumed ownership of it",
    Act.TRANSFERRED: "handed it over",
    Act.TAKEN_BACK: "What somebody had changed in Prefect was put right",
    Act.DELETED: "deleted it",
    Act.REFUSED: "A run of it was refused",
    Act.TAMPERED: "Somebody changed a run of it in Prefect",
}

FIELDS = {
    "inputs": "inputs",
    "start_time": "start",
    "time_zone": "time zone",
    "queue": "queue",
    "crontab": "crontab",
    "name": "name",
}


def schedule(row: ScheduledJob) -> str:
    """Return when a scheduled job runs."""
    if row.immediate:
        return "once, as soon as it may"
    if row.one_off:
        return f"once, at {clock(row.start_time, row.time_zone)} {row.time_zone}"
    minute, hour, _day, _month, weekday = cron_spec(row.recurrence).cron.split()
    match row.interval:
        case Interval.HOURLY:
            # The crontab's minute is UTC's, and not every zone is whole hours away from it.
            past = clock(row.start_time.replace(minute=int(minute)), row.time_zone)[-2:]
            return f"every hour at {past} minutes past"
        case Interval.DAILY:
            return f"every day at {int(hour):02}:{int(minute):02} {row.time_zone}"
        case Interval.WEEKLY:
            return f"every {WEEKDAYS[int(weekday)]} at {int(hour):02}:{int(minute):02} {row.time_zone}"
        case _:
            said = in_words(row.crontab)
            return f"{said[0].lower()}{said[1:]}, {row.time_zone}"


def clock(time: datetime, zone: str) -> str:
    """Return a moment on the clocks of a zone."""
    return f"{time.astimezone(ZoneInfo(zone)):%Y-%m-%d %H:%M}"


def happened(event: AuditEvent) -> str:
    """Return what happened, for people, as a sentence without its full stop."""
    said, data = ACTS.get(event.act, str(event.act)), event.data
    if event.act is Act.CHANGED:
        said = f"changed its {' and '.join(FIELDS.get(name, name) for name in data.get('fields', []))}"
    if event.act is Act.TRANSFERRED:
        said = f"handed it over to {data.get('owner', 'somebody')}"
    if event.act in {Act.ASSUMED, Act.TRANSFERRED}:
        said += f"; before, {data['was']} owned it" if data.get("was") else "; before, nobody owned it"
    if event.act is Act.APPROVED and data.get("force"):
        said += ", though its start had passed"
    return f"{event.actor} {said}" if event.actor and said[0].islower() else said[0].upper() + said[1:]


def remark(event: AuditEvent) -> str:
    """Return what was said about it: a comment, or a reason."""
    return str(event.data.get("comment") or event.data.get("reason") or "")
