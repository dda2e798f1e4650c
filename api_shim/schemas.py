"""What clients see, with the contract's names: one description for the answers, their documentation and our own client.

* Related objects are references, or the objects themselves where ``depth`` asks for them.
* Times are in UTC.
* Nothing that proves who somebody is is part of a shape, but for a new token's key, which is told once.

Contract 2, 3, 5, 7, 8 and 10.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, Generic, Literal, TypeVar
from uuid import UUID

from pydantic import AliasGenerator, BaseModel, ConfigDict, Field, JsonValue

T = TypeVar("T")


class Shape(BaseModel):
    """A part of an answer; clients pass over fields that they do not know."""

    model_config = ConfigDict(frozen=True, extra="ignore", json_schema_serialization_defaults_required=True)


class Reference(Shape):
    """A related object, and where to find it."""

    id: UUID
    object_type: str
    url: str


class Named(Reference):
    """Somebody, by name."""

    username: str


class Choice(Shape):
    """One of several values, and what it is called."""

    value: str
    label: str


class Object(Shape):
    """What every object has."""

    id: UUID
    object_type: str
    display: str = Field(description="For people.")
    url: str
    natural_slug: str = Field(description="A readable handle that is unique.")


class JobQueue(Object):
    """A work queue of Prefect that Jobs can be run on."""

    object_type: Literal["extras.jobqueue"] = "extras.jobqueue"
    name: str
    queue_type: str = Field(description="`prefect`: its workers are Prefect's.")
    worker_count: int | None = Field(description="How many workers serve it now; null while Prefect does not answer.")


class Job(Object):
    """A Job: a class with variables and a `Meta`."""

    object_type: Literal["extras.job"] = "extras.job"
    module_name: str
    job_class_name: str
    grouping: str
    name: str
    description: str
    installed: bool
    enabled: bool
    is_job_hook_receiver: bool
    is_job_button_receiver: bool
    has_sensitive_variables: bool
    is_singleton: bool
    approval_required: bool
    hidden: bool
    dryrun_default: bool
    read_only: bool
    soft_time_limit: float = Field(description="Seconds; 0 is no limit.")
    time_limit: float = Field(description="Seconds; 0 is no limit.")
    supports_dryrun: bool
    task_queues: list[str]
    job_queues: list[Reference | JobQueue]
    default_job_queue: Reference | JobQueue
    description_override: bool
    approval_required_override: bool
    has_sensitive_variables_override: bool
    is_singleton_override: bool
    hidden_override: bool
    dryrun_default_override: bool
    soft_time_limit_override: bool
    time_limit_override: bool
    job_queues_override: bool
    created: datetime
    last_updated: datetime
    tags: list[JsonValue]
    custom_fields: dict[str, JsonValue]


class Variable(Shape):
    """A variable of a Job, as its form shows it; what does not apply to it is left out."""

    model_config = ConfigDict(json_schema_serialization_defaults_required=False)

    name: str
    type: str
    required: bool
    label: str | None = None
    help_text: str | None = None
    default: JsonValue = None
    min_value: float | None = None
    max_value: float | None = None
    min_length: int | None = None
    max_length: int | None = None
    choices: list[JsonValue] | None = None


class Group(Object):
    """Users who share permissions."""

    object_type: Literal["auth.group"] = "auth.group"
    name: str
    user_count: int


class User(Object):
    """Somebody who may sign in."""

    object_type: Literal["users.user"] = "users.user"
    username: str
    is_active: bool
    is_superuser: bool
    date_joined: datetime
    groups: list[Reference | Group]


class Token(Object):
    """A key, without the key."""

    object_type: Literal["users.token"] = "users.token"
    user: Reference | User
    created: datetime
    expires: datetime | None
    write_enabled: bool


class NewToken(Token):
    """A token as its creation answers it: the only time that the key is told."""

    key: str = Field(repr=False)


class Permission(Object):
    """Actions on types of objects, perhaps limited, for users and groups."""

    object_type: Literal["users.objectpermission"] = "users.objectpermission"
    name: str
    enabled: bool
    object_types: list[str]
    actions: list[str]
    constraints: JsonValue
    users: list[Reference | User]
    groups: list[Reference | Group]


class ScheduledJob(Object):
    """One request to run a Job once or again and again."""

    object_type: Literal["extras.scheduledjob"] = "extras.scheduledjob"
    name: str
    task: str
    job_model: Reference | Job
    user: Reference | User | None = Field(description="Its owner, as whom it runs; null when that user was removed.")
    interval: str
    start_time: datetime
    time_zone: str
    crontab: str
    one_off: bool
    enabled: bool
    failure: str = Field(description="Why it was disabled, if a failure did that.")
    args: list[JsonValue]
    kwargs: dict[str, JsonValue]
    queue: str
    job_queue: Reference | JobQueue
    celery_kwargs: dict[str, JsonValue]
    last_run_at: datetime | None
    total_run_count: int
    date_changed: datetime
    description: str
    approval_required: bool
    approved_at: datetime | None
    approved_by_user: Reference | User | None
    approval_state: str
    approval_comment: str
    approval_note: str = Field(description="Why it is in the queue again.")
    approval_version: str = Field(description="Which version of the request this is; it changes with what would run.")
    expires_at: datetime | None = Field(description="When a request that nobody has decided about ends.")


class Waiting(ScheduledJob):
    """A request in the approval queue, as one person sees it."""

    requested_by: str
    may_approve: bool
    why_not_approve: str


class JobResult(Object):
    """One run of a Job."""

    object_type: Literal["extras.jobresult"] = "extras.jobresult"
    flow_run_id: UUID | None
    """Prefect's flow run; null until Prefect has followed."""
    name: str
    task_name: str
    status: Choice
    date_created: datetime
    date_started: datetime | None
    date_done: datetime | None
    result: JsonValue
    traceback: str | None
    worker: str | None
    task_args: list[JsonValue]
    task_kwargs: dict[str, JsonValue]
    celery_kwargs: dict[str, JsonValue]
    meta: dict[str, JsonValue]
    job_model: Reference | Job | None
    user: Reference | User | None
    scheduled_job: Reference | ScheduledJob | None
    files: list[JsonValue]
    custom_fields: dict[str, JsonValue]


class JobLogEntry(Object):
    """One line of a job result's log."""

    object_type: Literal["extras.joblogentry"] = "extras.joblogentry"
    log_level: str
    grouping: str
    message: str
    log_object: str
    absolute_url: str
    created: datetime
    job_result: Reference | JobResult


class Accepted(Shape):
    """What a run request has become: exactly one of the two."""

    scheduled_job: ScheduledJob | None
    job_result: JobResult | None


class May(Shape):
    """Whether somebody may do something, and if not why."""

    allowed: bool
    reason: str


class Explanation(Shape):
    """Who may do what with a scheduled job, and when it fires next."""

    user: Named
    may: dict[str, May]
    who: dict[str, list[Named]]
    needs_force: bool
    next_firing: datetime | None
    why_not: str


class Upcoming(Shape):
    """When a scheduled job fires next."""

    time_zone: str
    why_not: str = Field(description="Why it would not fire at these times as things stand; empty if it does.")
    firings: list[datetime]


class Page(Shape, Generic[T]):
    """A part of a list."""

    count: int
    next: str | None
    previous: str | None
    results: list[T]


def _dashed(name: str) -> str:
    return name.replace("_", "-")


class Status(Shape):
    """Whether the server is well."""

    model_config = ConfigDict(
        alias_generator=AliasGenerator(validation_alias=_dashed, serialization_alias=_dashed),
        serialize_by_alias=True,
        validate_by_name=True,
    )

    signoff_version: str
    prefect_version: str
    prefect: Literal["ok", "unavailable"]
    default_queue_has_worker: bool


class Refusal(Shape):
    """A refusal as one sentence."""

    detail: str


Faults = dict[str, Any] | list[Any]
"""A refusal of what was sent: sentences by the field that they are about."""
