"""Reads a change of a scheduled job: what a client sent becomes the fields that change, or sentences about its faults.

* Only what is sent changes; what cannot be changed is refused, so that nobody believes that it was.
* Every value is held to what holds when it is first requested; all faults are told at once, each under its field.
* What recurs can recur at another interval, or run once at a start that lies ahead; what has yet to run once can recur.
  A crontab goes with ``custom`` alone.
* What is sent back as it stands is no change, and no fault.
* Where the times change, a start that has passed, or that was only the next match, does not hold the new times back.

Contract 4 and 10.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any, NotRequired

from pydantic import AfterValidator, BeforeValidator, Field, PlainValidator, TypeAdapter, ValidationInfo, with_config
from typing_extensions import TypedDict

from api_shim.domain.model import ScheduledJob
from api_shim.domain.recurrence import Interval, first_time
from api_shim.parsing.run_request import (
    MAX_NAME,
    START_INVALID,
    Crontab,
    Data,
    MisfirePolicy,
    Moment,
    OldQueue,
    Queue,
    Zone,
    check_needed_name,
    read_crontab,
    read_start,
    read_time,
)
from api_shim.parsing.seen import Version
from api_shim.parsing.sentences import SENTENCES, STRICT, Later, all_as, not_null, of_text, read, rule
from approval_gate.errors import Invalid
from flows.inputs import is_storable

OWN_SENTENCES: Mapping[str, str] = {
    **SENTENCES,
    "extra_forbidden.user": "To change the owner, assume ownership or transfer the scheduled job.",
    "extra_forbidden.kwargs": "To change the inputs, send them as `data`.",
}
NOT_NOW = "A scheduled job cannot be changed to run immediately. Give it a start time, or run its Job."
OVER = "It has already run. Make a new request instead."
ONLY_ONCE = "It asks about a missed firing, which runs only once. Make a new request instead."
NO_CRONTAB = "Only a custom schedule has a crontab."
TIMES = frozenset({"start_time", "time_zone", "crontab", "interval"})
WHEN = TIMES | {"misfire"}


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


@dataclass(frozen=True, kw_only=True, slots=True)
class _Reading:
    """What a change is read by: the scheduled job as it stands, and the time."""

    row: ScheduledJob
    now: datetime


Info = ValidationInfo[_Reading]


def _interval(interval: Interval, info: Info) -> Interval:
    row = info.context.row
    if interval is Interval.IMMEDIATELY:
        raise Invalid(NOT_NOW)
    if interval.recurring and row.is_spent:
        raise Invalid(OVER)
    if interval.recurring and row.missed is not None:
        raise Invalid(ONLY_ONCE)
    return interval


def _crontab(value: Any, info: Info) -> str:
    if info.data.get("interval", info.context.row.interval) is not Interval.CUSTOM:
        raise Invalid(NO_CRONTAB)
    return read_crontab(value)


def _start(value: Any, info: Info) -> datetime:
    """Read a start; that which it has may have passed: a form sends it back as it was."""
    row, now = info.context.row, info.context.now
    zone = info.data.get("time_zone", row.time_zone)
    return row.start_time if value and read_time(value, zone) == row.start_time else read_start(value, zone, now)


Given = BeforeValidator(not_null)


@with_config(STRICT)
class ScheduledJobChange(TypedDict, total=False):
    """What is to change; a change of anything approved asks for approval again.

    What `GET` gave can be sent back: a field that cannot be changed is accepted as long as it is as `GET` shows it.
    """

    enabled: Annotated[bool, Given]
    name: Annotated[str, of_text(check_needed_name), Field(min_length=1, max_length=MAX_NAME), Given]
    data: Annotated[Any, Later(Data), Given]
    time_zone: Annotated[Zone, Given]
    interval: Annotated[Interval, Field(strict=False), AfterValidator(rule(_interval)), Given]
    crontab: Annotated[str, PlainValidator(rule(_crontab), json_schema_input_type=Crontab), Given]
    start_time: Annotated[datetime, PlainValidator(rule(_start), json_schema_input_type=Moment), Given]
    misfire: Annotated[MisfirePolicy, Given]
    job_queue: Annotated[Any, Later(Queue), Given]
    task_queue: Annotated[Any, Later(OldQueue), Given]
    version: Annotated[Version, Given]


_CHANGE: TypeAdapter[Any] = TypeAdapter(ScheduledJobChange)


def read_edit(body: object, row: ScheduledJob, now: datetime) -> ScheduleChange:
    """Read a change of a scheduled job.

    Args:
        body: what was sent, decoded.
        row: the scheduled job as it stands.
        now: the time.

    Raises:
        Invalid: with ``{field: [sentence]}``.
    """
    sent: Mapping[str, Any] = read(_CHANGE, body, context=_Reading(row=row, now=now), sentences=OWN_SENTENCES)
    later = {field: sent.get(field) for field in ("data", "task_queue", "job_queue")}
    own = sent.keys() - {*later, "version"}
    fields = {field: sent[field] for field in sent if field in own and sent[field] != getattr(row, field)}
    return ScheduleChange(fields=_timed(row, fields, now), **later)


def _storable(name: str) -> str:
    if not is_storable(name):
        raise ValueError
    return name


@with_config(STRICT | {"extra": "ignore"})
class Transfer(TypedDict):
    """To whom a scheduled job is handed."""

    user: Annotated[
        str,
        Field(min_length=1, description="The name or the id of a user."),
        AfterValidator(_storable),
        all_as("no_receiver"),
    ]
    version: NotRequired[Version]


_TRANSFER: TypeAdapter[Transfer] = TypeAdapter(Transfer)
_TRANSFER_SENTENCES = dict.fromkeys(("missing", "dict_type", "no_receiver"), SENTENCES["no_receiver"])


def read_receiver(body: object) -> str:
    """Read to whom something is handed: ``{"user": "<name or id>"}``.

    Raises:
        Invalid: nobody is named.
    """
    return read(_TRANSFER, body, sentences=_TRANSFER_SENTENCES, whole="user")["user"]


def _timed(row: ScheduledJob, fields: dict[str, Any], now: datetime) -> dict[str, Any]:
    """Complete a change of the times.

    Raises:
        Invalid: it becomes one by a crontab, and has none; or one that needs a start, and has none that it can keep.
    """
    if not TIMES & fields.keys():
        return fields
    if "interval" in fields:
        fields = {**_with_crontab(fields), "immediate": False}
    if "start_time" in fields:
        return {**fields, "immediate": False}
    interval = fields.get("interval", row.interval)
    if "interval" in fields and _needs_start(row, interval, now):
        raise Invalid({"start_time": [START_INVALID]})
    if interval is not Interval.CUSTOM:
        return fields
    crontab, zone = fields.get("crontab", row.crontab), fields.get("time_zone", row.time_zone)
    # Where no start was named it is the first match, which a person may have named too.
    named = not row.crontab or row.start_time != first_time(row.crontab, row.time_zone, now)
    held_back = row.start_time > now and named
    return fields if held_back else {**fields, "start_time": first_time(crontab, zone, now)}


def _needs_start(row: ScheduledJob, interval: Interval, now: datetime) -> bool:
    """Say whether a scheduled job that comes to this interval has no start for it: nobody chose one, or it has passed.

    What recurs may have begun before; a crontab gives a start of its own.
    """
    if interval is Interval.FUTURE:
        return row.start_time < now
    return row.immediate and interval is not Interval.CUSTOM


def _with_crontab(fields: dict[str, Any]) -> dict[str, Any]:
    """Return a change of the interval with the crontab that goes with it: a new one, or none."""
    if fields["interval"] is not Interval.CUSTOM:
        return {**fields, "crontab": ""}
    if not fields.get("crontab"):
        raise Invalid({"crontab": [SENTENCES["missing"]]})
    return fields
