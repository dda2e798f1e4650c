"""What clients send, as the documentation describes it.

The forms read it (``schedule_form``, ``edit_form``, ``decision_form``, ``account_form``, ``jobs``) and refuse what it
may not be in the contract's words; nothing here is used to read. That both speak of the same fields is tested.

Contract 3, 4, 6, 8 and 10.
"""

from __future__ import annotations

from typing import Annotated, Any, Required
from uuid import UUID

from pydantic import ConfigDict, Field, JsonValue, with_config
from typing_extensions import TypedDict

from api_shim.domain.recurrence import Interval
from api_shim.parsing.account import MIN_KEY_LENGTH, MOST
from api_shim.parsing.decision import FALSE, LONGEST_COMMENT, TRUE
from api_shim.parsing.fields import AT_ONCE
from api_shim.parsing.run_request import MAX_NAME
from approval_gate.model import Action, ObjectType

STRICT = ConfigDict(extra="forbid")

Name = Annotated[str, Field(min_length=1, max_length=MAX_NAME)]
Moment = Annotated[str, Field(description="ISO 8601; without an offset it is in the time zone of the schedule.")]
End = Annotated[str | None, Field(description="ISO 8601, not past; without an offset it is in the server's zone.")]
Crontab = Annotated[str, Field(description="Five fields, of a `custom` schedule: minute hour day month weekday.")]
Zone = Annotated[str, Field(description="IANA name, such as `Europe/Zurich`.")]
Queue = Annotated[str, Field(description="The name of a work queue of this Job.")]
Seconds = Annotated[float, Field(ge=0, le=10_000_000, description="0 is no limit.")]
Data = Annotated[dict[str, JsonValue], Field(description="The Job's variables, by name.")]


class Identified(TypedDict):
    """Something, by its id."""

    id: UUID


Someone = UUID | str | Identified
Several = Annotated[list[Someone], Field(max_length=MOST, description="By id, by name, or by an object with an id.")]
Deletions = Annotated[list[UUID | Identified], Field(max_length=AT_ONCE, description="Those to delete.")]


# Jobs


class JobChange(TypedDict, total=False):
    """The settings of a Job. Setting `<field>_override` to false restores the value from its code."""

    enabled: bool
    description: Annotated[str, Field(max_length=10_000)]
    approval_required: bool
    has_sensitive_variables: bool
    is_singleton: bool
    hidden: bool
    dryrun_default: bool
    soft_time_limit: Seconds
    time_limit: Seconds
    job_queues: list[str]
    task_queues: Annotated[list[str], Field(description="The same as `job_queues`.")]
    description_override: bool
    approval_required_override: bool
    has_sensitive_variables_override: bool
    is_singleton_override: bool
    hidden_override: bool
    dryrun_default_override: bool
    soft_time_limit_override: bool
    time_limit_override: bool
    job_queues_override: bool
    task_queues_override: bool


NIGHTLY: dict[str, Any] = {
    "data": {"source": "/srv"},
    "schedule": {"name": "Every night", "interval": "daily", "start_time": "2030-01-01T02:00", "time_zone": "UTC"},
}


class RequestedSchedule(TypedDict, total=False):
    """When to run; a name is needed unless `immediately`, a start unless that or `custom`, which needs a crontab."""

    interval: Required[Interval]
    name: Annotated[str, Field(max_length=MAX_NAME, description="Unique.")] | None
    start_time: Moment | None
    crontab: Crontab | None
    time_zone: Zone | None


@with_config(ConfigDict(json_schema_extra={"examples": [NIGHTLY]}))
class RequestedRun(TypedDict, total=False):
    """With what a Job is to run, when, and where; at once where no schedule is given."""

    data: Data | None
    schedule: RequestedSchedule | None
    job_queue: Queue | None
    task_queue: Annotated[str, Field(description="The same as `job_queue`.")] | None


@with_config(ConfigDict(extra="allow"))
class RequestedRunForm(TypedDict, total=False):
    """The same as a form: every other field is a variable of the Job."""

    _schedule_interval: Interval
    _schedule_name: Annotated[str, Field(max_length=MAX_NAME)]
    _schedule_start_time: Moment
    _schedule_crontab: Crontab
    _schedule_time_zone: Zone
    _job_queue: Queue
    _task_queue: Queue


# Scheduled jobs


@with_config(STRICT)
class ScheduledJobChange(TypedDict, total=False):
    """What is to change; a change of anything approved asks for approval again."""

    enabled: bool
    name: Name
    data: Data
    crontab: Crontab
    start_time: Moment
    time_zone: Zone
    job_queue: Queue
    task_queue: Annotated[str, Field(description="The same as `job_queue`.")]


Flag = bool | Annotated[str, Field(json_schema_extra={"enum": sorted(TRUE | FALSE)})]


class SentDecision(TypedDict, total=False):
    """What somebody decides with."""

    comment: Annotated[str, Field(max_length=LONGEST_COMMENT)] | None
    force: Annotated[Flag, Field(description="Approve although the start has passed.")] | None
    version: Annotated[str, Field(description="The `approval_version` that was seen; another one is refused.")] | None


class Transfer(TypedDict):
    """To whom a scheduled job is handed."""

    user: Annotated[str, Field(min_length=1, description="The name or the id of a user.")]


# Accounts


@with_config(STRICT)
class UserFields(TypedDict, total=False):
    """What a user is to be."""

    username: Annotated[str, Field(min_length=1, max_length=150, description="Letters, digits, and `@ . + - _`.")]
    is_active: bool
    is_superuser: bool
    groups: Several


@with_config(STRICT)
class GroupFields(TypedDict, total=False):
    """What a group is to be."""

    name: Annotated[str, Field(min_length=1, max_length=150, description="Without a comma.")]


@with_config(STRICT)
class TokenFields(TypedDict, total=False):
    """What a token is to be."""

    write_enabled: bool
    expires: End


@with_config(STRICT)
class NewTokenFields(TypedDict, total=False):
    """What a new token is to be; without a user it is the caller's own, without a key it is given one."""

    write_enabled: bool
    expires: End
    user: Someone
    key: Annotated[str, Field(min_length=MIN_KEY_LENGTH, description="Printable ASCII, without a space.")] | None


@with_config(STRICT)
class PermissionFields(TypedDict, total=False):
    """What a permission is to be: actions on types of objects, perhaps limited, for users and groups."""

    name: Name
    enabled: bool
    object_types: Annotated[list[ObjectType], Field(min_length=1)]
    actions: Annotated[list[Action], Field(min_length=1)]
    constraints: Annotated[Any, Field(description="Lookups and their values: an object is all of them, a list any.")]
    users: Several
    groups: Several
