"""What is different between two requests, thing by thing, for somebody who is to decide about the later one.

* Equal is what is equal as JSON: ``1`` and ``true`` are not.
* What both have stands in the order of the later one; what only the earlier one has comes last.
* Without an earlier one nothing is different.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any
from zoneinfo import ZoneInfo

from api_shim.model import ScheduledJob


class Change(StrEnum):
    """What happened to a thing."""

    SAME = "same"
    CHANGED = "changed"
    NEW = "new"
    REMOVED = "removed"


@dataclass(frozen=True, kw_only=True, slots=True)
class Difference:
    """One thing, as it is and as it was.

    Args:
        name: what it is called.
        change: what happened to it.
        now: its value; None if it is removed.
        before: the value it had; None if it is new.
    """

    name: str
    change: Change
    now: Any = None
    before: Any = None


def differences(before: Mapping[str, Any] | None, now: Mapping[str, Any]) -> list[Difference]:
    """Return each thing with what happened to it.

    Args:
        before: value by name; None where there is nothing to compare with.
        now: value by name.
    """
    known = now if before is None else before
    present = [
        Difference(name=name, change=_change(known, name, value), now=value, before=known.get(name))
        for name, value in now.items()
    ]
    gone = [
        Difference(name=name, change=Change.REMOVED, before=value) for name, value in known.items() if name not in now
    ]
    return present + gone


def _change(before: Mapping[str, Any], name: str, value: Any) -> Change:
    if name not in before:
        return Change.NEW
    return Change.SAME if _written(before[name]) == _written(value) else Change.CHANGED


def _written(value: Any) -> str:
    return json.dumps(value, sort_keys=True)


def circumstances(row: ScheduledJob) -> dict[str, str]:
    """Return when and where a scheduled job runs, in words."""
    start = row.start_time.astimezone(ZoneInfo(row.time_zone))
    return {
        "Interval": "immediately" if row.immediate else str(row.interval),
        "Start": "as soon as it is approved" if row.immediate else f"{start:%Y-%m-%d %H:%M:%S}",
        **({"Crontab": row.crontab} if row.crontab else {}),
        "Time zone": row.time_zone,
        "Queue": row.queue,
    }
