"""Reads a run request: what a client sent becomes a schedule, a queue and inputs, or sentences about their faults.

* Its parts are told apart first, and judged by its Job later: the schedule, then the queue, then the data.
* Every fault of a schedule is told under its field, in the contract's words; all of them at once where they do not
  hide each other.
* An interval is always needed; a name unless it is ``immediately``; a start unless it is that or ``custom``.
* A start without a zone is in the schedule's zone, which is the server's unless the schedule names one.
* A start lies not in the past.
* What was missed while nothing could run is made up for by the newest alone, unless ``misfire`` says otherwise.
* A custom schedule without a start begins with the next match of its crontab.
* Null is no value of a schedule's own fields, and an empty text is no start.
* In a form the request's own fields begin with an underscore, and so do their faults; every other field is a variable.
  What is left empty there was not sent.

Contract 4, 9.9 to 9.11.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Any
from zoneinfo import ZoneInfo

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    JsonValue,
    PlainValidator,
    TypeAdapter,
    ValidationInfo,
)

from api_shim.domain.crontab import check_crontab
from api_shim.domain.model import Job, queue_id
from api_shim.domain.recurrence import Interval, check_start_time, check_time_zone, first_time
from api_shim.parsing.sentences import LENIENT, NOT_A_STRING, Identified, Later, not_null, of_text, read, rule
from approval_gate.admission import Misfire
from approval_gate.errors import Invalid
from approval_gate.verdicts import RESERVED_TAGS
from flows.definition import LONGEST_TAG, MOST_TAGS

MAX_NAME, MAX_REASON = 255, 500
MAX_TIME = 64

NAME_MISSING = "Please provide a name for the job schedule."
NAME_TAKEN = "A scheduled job with this name already exists."
START_INVALID = "Please enter a valid date and time greater than or equal to the current date and time."
START_UNREADABLE = (
    "Datetime has wrong format. Use one of these formats instead: YYYY-MM-DDThh:mm[:ss[.uuuuuu]][+HH:MM|-HH:MM|Z]."
)
CRONTAB_MISSING = "Please enter a valid crontab."
BAD_TAGS = f"Give at most {MOST_TAGS} tags, each of 1 to {LONGEST_TAG} characters that can be printed."
BOTH_QUEUES = "task_queue and job_queue are both specified. Please specify only one or another."


@dataclass(frozen=True, kw_only=True, slots=True)
class Schedule:
    """When to run, as requested and found sound.

    Args:
        name: the scheduled job's name; empty where none is needed.
        start_time: the first moment at which it may fire, in UTC.
        time_zone: IANA name of the zone whose clock the schedule follows.
        crontab: for a custom one; else empty.
        misfire: what becomes of the firings that nothing could run in time.
    """

    name: str
    interval: Interval
    start_time: datetime
    time_zone: str
    crontab: str = ""
    misfire: Misfire = Misfire.LAST


@dataclass(frozen=True, kw_only=True, slots=True)
class RunLabels:
    """What a run is called in Prefect, where somebody asks for it there.

    Args:
        name: its name; empty for the one that it has anyway.
        tags: its tags, beside our own.
    """

    name: str = ""
    tags: tuple[str, ...] = ()


NO_LABELS = RunLabels()


@dataclass(frozen=True, kw_only=True, slots=True)
class _Reading:
    """What a schedule is read by."""

    now: datetime
    zone: str


Info = ValidationInfo[_Reading]
Given = BeforeValidator(not_null)


def check_name(name: str) -> str:
    """Return the name of a scheduled job, which may be empty, without the white space around it.

    Raises:
        Invalid: with the sentence.
    """
    name = name.strip()
    if len(name) > MAX_NAME:
        raise Invalid(f"Ensure this field has no more than {MAX_NAME} characters.")
    if not all(c.isprintable() for c in name):
        raise Invalid("The name may not have control characters, or others that cannot be printed.")
    return name


def check_needed_name(name: str) -> str:
    """Return the name of a scheduled job that cannot be without one.

    Raises:
        Invalid: with the sentence.
    """
    if not (name := check_name(name)):
        raise Invalid(NAME_MISSING)
    return name


def check_reason(reason: str) -> str:
    """Return why something is requested, without the white space around it; it may be empty.

    Raises:
        Invalid: with the sentence.
    """
    reason = reason.strip()
    if len(reason) > MAX_REASON:
        raise Invalid(f"Ensure this field has no more than {MAX_REASON} characters.")
    if not all(c.isprintable() or c == "\n" for c in reason):
        raise Invalid("The reason may not have control characters, or others that cannot be printed.")
    return reason


def read_labels(name: object, tags: object) -> RunLabels:
    """Read what a run is to be called in Prefect.

    Args:
        name: the name that was sent; None for none.
        tags: the tags that were sent; None for none.

    Raises:
        Invalid: with ``{field: [sentence]}``.
    """
    if not isinstance(name, str | None):
        raise Invalid({"name": [NOT_A_STRING]})
    try:
        called = check_name(name or "")
    except Invalid as error:
        raise Invalid({"name": [error.detail]}) from error
    listed = [] if tags is None else tags
    if not isinstance(listed, list) or len(listed) > MOST_TAGS or not all(map(_is_tag, listed)):
        raise Invalid({"tags": [BAD_TAGS]})
    # Whoever copies a run sends what we have said of it, too.
    return RunLabels(name=called, tags=tuple(dict.fromkeys(tag for tag in listed if tag.lower() not in RESERVED_TAGS)))


def _is_tag(tag: object) -> bool:
    return isinstance(tag, str) and 0 < len(tag) <= LONGEST_TAG and tag.isprintable()


def _named(name: str, info: Info) -> str:
    if not name and info.data.get("interval") is not Interval.IMMEDIATELY:
        raise Invalid(NAME_MISSING)
    return name


def _crontab(value: Any, info: Info) -> str:
    return read_crontab(value) if info.data.get("interval") is Interval.CUSTOM else ""


def _start(value: Any, info: Info) -> datetime | None:
    reading, interval = info.context, info.data.get("interval")
    if interval is Interval.IMMEDIATELY:
        return reading.now
    if value is NOT_SENT:
        if interval is Interval.CUSTOM:
            return None
        raise Invalid(START_INVALID)
    return read_start(value, info.data.get("time_zone", reading.zone), reading.now)


NOT_SENT = ...
"""Stands for a start that was not sent: null is a fault, and an empty text another."""

Moment = Annotated[str, Field(description="ISO 8601; without an offset it is in the time zone of the schedule.")]
Crontab = Annotated[str, Field(description="Five fields, of a `custom` schedule: minute hour day month weekday.")]
Zone = Annotated[str, of_text(check_time_zone), Field(description="IANA name, such as `Europe/Zurich`.")]
MisfirePolicy = Annotated[
    Misfire,
    Field(
        strict=False,
        description="Of the firings that no worker took in time: `last` runs the newest, `skip` none, `all` each in "
        "its turn, and `ask` makes a request for approval to run the newest.",
    ),
]
Queue = Annotated[str | Identified, Field(description="A work queue of this Job, by name, by id, or by an object.")]
OldQueue = Annotated[Queue, Field(description="The same as `job_queue`.")]
Data = Annotated[dict[str, JsonValue], Field(description="The Job's variables, by name.")]


class RequestedSchedule(BaseModel):
    """When to run; a name is needed unless `immediately`, a start unless that or `custom`, which needs a crontab."""

    model_config = ConfigDict(**LENIENT, validate_default=True)

    interval: Annotated[Interval, Field(strict=False), Given]
    name: Annotated[
        str,
        of_text(check_name),
        Field(max_length=MAX_NAME, description="Unique."),
        Given,
        AfterValidator(rule(_named)),
    ] = ""
    time_zone: Annotated[Zone | None, AfterValidator(lambda zone, info: zone or info.context.zone)] = None
    crontab: Annotated[str, PlainValidator(rule(_crontab), json_schema_input_type=Crontab), Given] = ""
    start_time: Annotated[
        datetime | None,
        PlainValidator(rule(_start), json_schema_input_type=Moment),
        Given,
        Field(default_factory=lambda: NOT_SENT),
    ]
    misfire: Annotated[MisfirePolicy | None, AfterValidator(lambda misfire: misfire or Misfire.LAST)] = None


NIGHTLY: dict[str, Any] = {
    "data": {"source": "/srv"},
    "schedule": {"name": "Every night", "interval": "daily", "start_time": "2030-01-01T02:00", "time_zone": "UTC"},
}


Reason = Annotated[
    str,
    of_text(check_reason),
    Field(max_length=MAX_REASON, description="Why it is requested, for whoever decides about it."),
]


class RunRequest(BaseModel):
    """With what a Job is to run, when, and where; at once where no schedule is given."""

    model_config = ConfigDict(**LENIENT, json_schema_extra={"examples": [NIGHTLY]})

    data: Annotated[Any, Later(Data | None), AfterValidator(lambda data: {} if data is None else data)] = Field(
        default_factory=dict, repr=False
    )
    schedule: Annotated[Any, Later(RequestedSchedule | None)] = None
    job_queue: Annotated[Any, Later(Queue | None)] = None
    task_queue: Annotated[Any, Later(OldQueue | None)] = None
    reason: Annotated[Reason, Given] = ""

    @property
    def told(self) -> dict[str, Any]:
        """What was sent, by field; what was not is left out where earlier versions did not know of it."""
        return {name: value for name, value in dict(self).items() if name != "reason" or value}


class RunForm(BaseModel):
    """The same as a form: every other field is a variable of the Job."""

    model_config = ConfigDict(extra="allow", frozen=True, alias_generator="_{}".format)

    reason: Annotated[Reason, Given] = ""
    schedule_interval: Annotated[Any, Later(Interval)] = None
    schedule_name: Annotated[Any, Later(Annotated[str, Field(max_length=MAX_NAME)])] = None
    schedule_start_time: Annotated[Any, Later(Moment)] = None
    schedule_crontab: Annotated[Any, Later(Crontab)] = None
    schedule_time_zone: Annotated[Any, Later(Zone)] = None
    schedule_misfire: Annotated[Any, Later(MisfirePolicy)] = None
    job_queue: Annotated[Any, Later(str)] = None
    task_queue: Annotated[Any, Later(str)] = None


_SCHEDULE = TypeAdapter(RequestedSchedule)
_REQUEST = TypeAdapter(RunRequest)
_FORM = TypeAdapter(RunForm)


def read_run(body: object, *, is_form: bool) -> RunRequest:
    """Read a run request, whose parts are yet to be judged.

    Args:
        body: what was sent, decoded.
        is_form: it is a form, whose own fields begin with an underscore.

    Raises:
        Invalid: it is not an object.
    """
    if not is_form:
        return read(_REQUEST, body)
    form = read(_FORM, body)
    # What was not sent is None here, and nothing that a form sends is; a field that is left empty is not sent either.
    sent = {name: getattr(form, f"schedule_{name}") for name in RequestedSchedule.model_fields}
    schedule = {name: value for name, value in sent.items() if value not in (None, "")}
    return RunRequest(
        data=form.model_extra,
        schedule=schedule or None,
        job_queue=form.job_queue,
        task_queue=form.task_queue,
        reason=form.reason,
    )


def as_form_fault(detail: object) -> object:
    """Return what is wrong with a request under the names that the fields of a form have.

    Args:
        detail: what is wrong with it, in the contract's structure.
    """
    told = detail.get("schedule") if isinstance(detail, Mapping) else None
    return {f"_schedule_{name}": said for name, said in told.items()} if isinstance(told, Mapping) else detail


def read_schedule(raw: object, now: datetime, zone: str) -> Schedule:
    """Read the ``schedule`` of a run request.

    Args:
        raw: what the client sent under that key, decoded.
        now: the time.
        zone: IANA name of the server's time zone.

    Raises:
        Invalid: with ``{"schedule": {field: [sentence]}}``.
    """
    try:
        asked = read(_SCHEDULE, raw, context=_Reading(now=now, zone=zone))
    except Invalid as error:
        told = error.detail
        if isinstance(told, Mapping) and "interval" in told:
            # What else is needed depends on it.
            told = {"interval": told["interval"]}
        raise type(error)({"schedule": told}) from None
    start = asked.start_time or first_time(asked.crontab, asked.time_zone or zone, now)
    return Schedule(**{**dict(asked), "start_time": start})


def read_queue(job: Job, task_queue: object, job_queue: object) -> str:
    """Read the work queue that somebody asks for, under either of its names; the Job's first one if they ask for none.

    Args:
        job: the Job.
        task_queue: what was sent under the older name: the name of a queue, its id, or an object with its id.
        job_queue: the same under the newer name.

    Raises:
        Invalid: both names are used, or the Job has no such queue.
    """
    if task_queue is not None and job_queue is not None:
        raise Invalid({"task_queue": BOTH_QUEUES})
    asked = task_queue if job_queue is None else job_queue
    if asked is None or asked == "":
        return job.default_queue
    named = asked.get("id") if isinstance(asked, Mapping) else asked
    for name in job.queues:
        if named == str(queue_id(name)) or asked == name:
            return name
    raise Invalid({"task_queue": [f'"{str(asked)[:100]}" is not a valid choice.']})


def default_name(job: Job, now: datetime) -> str:
    """Return the name of a scheduled job that was asked for without one (contract 4)."""
    return f"{job.name[:200]} - {now}"


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


def read_start(value: object, zone: str, now: datetime) -> datetime:
    """Read a start, which lies not in the past.

    Raises:
        Invalid: with the sentence.
    """
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
