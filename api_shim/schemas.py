"""The schemas of responses, with the contract's names, for the server, its documentation and our client.

* Related objects are references, or full objects if ``depth`` asks for them.
* Times are in UTC.
* No schema contains credentials, except that a new token's key is returned once, when the token is created.

Contract 2, 3, 5, 7, 8 and 10.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any, ClassVar, Generic, Literal, TypeVar
from uuid import UUID

from pydantic import AliasGenerator, BaseModel, ConfigDict, Field, JsonValue

from api_shim.notebooks import fields_table, rows_table

T = TypeVar("T")
S = TypeVar("S", bound="Shape")


class Shape(BaseModel):
    """The base of all shapes. Clients ignore unknown fields."""

    model_config = ConfigDict(frozen=True, extra="ignore", json_schema_serialization_defaults_required=True)
    many: ClassVar[tuple[str, ...]] = ()
    """The lists of related objects, which a client can have left out."""
    shown: ClassVar[tuple[str, ...]] = ()
    """The fields that its repr has, and the columns of a list in a notebook; empty for all."""

    def __repr_args__(self) -> Iterable[tuple[str | None, Any]]:
        # A name alone says what it is a name of.
        return [
            (None if name == "name" else name, value.isoformat() if isinstance(value, datetime) else value)
            for name, value in self._shown()
        ]

    def _shown(self) -> list[tuple[str, Any]]:
        return [(name, _plain(getattr(self, name))) for name in self.shown or type(self).model_fields]

    def _repr_html_(self) -> str:
        """Return the object as a table, for notebooks."""
        fields = {name: _plain(getattr(self, name)) for name in type(self).model_fields if name not in UNSHOWN}
        return fields_table(type(self).__name__, fields)


def _plain(value: Any) -> Any:
    """Return a value as a repr has it: of a choice its value."""
    return value.value if isinstance(value, Choice) else value


UNSHOWN = frozenset({"object_type", "url", "natural_slug", "display", "key"})
"""Fields that a notebook does not show: a key is a secret, and a notebook is kept."""


class Rows(list[S]):
    """What a list of the API has: a list that notebooks show as a table."""

    def _repr_html_(self) -> str:
        if not self:
            return "<p>none</p>"
        columns = self[0].shown or tuple(type(self[0]).model_fields)
        return rows_table(columns, ([value for _, value in row._shown()] for row in self))


class Reference(Shape):
    """A reference to a related object, with its URL."""

    shown: ClassVar[tuple[str, ...]] = ("object_type", "id")

    id: UUID
    object_type: str
    url: str


class Named(Reference):
    """A reference to a user, with their name."""

    shown = ("username",)

    username: str


class Choice(Shape):
    """One of several values, with its label."""

    value: str
    label: str


class Object(Shape):
    """The fields that every object has."""

    shown: ClassVar[tuple[str, ...]] = ("display",)

    id: UUID
    object_type: str
    display: str = Field(description="The name for people.")
    url: str
    natural_slug: str = Field(description="A unique readable identifier.")


class JobQueue(Object):
    """A Prefect work queue that Jobs can run on."""

    shown = ("name", "pool")
    object_type: Literal["extras.jobqueue"] = "extras.jobqueue"
    name: str
    queue_type: str = Field(description="Always `prefect`.")
    pool: str = Field(description="The work pool that it belongs to; empty for that of the server.")
    worker_count: int | None = Field(description="The number of its workers; null while Prefect does not respond.")


class PreferredPagination(Shape):
    """How long lists are."""

    per_page: int = Field(description="How many rows lists show on the pages; 0 for the usual number.")


class Preferences(Shape):
    """What somebody prefers."""

    timezone: str = Field(description="The zone in which pages tell times; empty for that of the browser.")
    pagination: PreferredPagination


class Tag(Object):
    """A tag of Jobs; its URL is that of the Jobs that have it."""

    shown = ("name",)
    object_type: Literal["extras.tag"] = "extras.tag"
    name: str


class SwitchedOff(Shape):
    """Who switched the approval of a Job off, and when."""

    by: str = Field(description="The name of the user; empty if that is not known.")
    at: datetime | None


class Job(Object):
    """A Job: a class with variables and a `Meta`."""

    shown = ("name", "enabled", "installed", "approval_required")
    many = ("job_queues", "tags")

    object_type: Literal["extras.job"] = "extras.job"
    notes_url: str | None = Field(description="Always null: there are no notes here.")
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
    overlap: str = Field(
        description="What happens to a run that would start while another is under way: `allow`, `skip`, `queue` "
        "or `cancel` (the older one)."
    )
    approval_required: bool
    hidden: bool
    dryrun_default: bool
    read_only: bool
    soft_time_limit: float = Field(description="In seconds; 0 means no limit.")
    time_limit: float = Field(description="In seconds; 0 means no limit.")
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
    task_queues_override: bool
    default_job_queue_override: bool = Field(description="As `job_queues_override`: the first queue is the default.")
    name_override: bool = Field(description="Always false: the code alone says it.")
    grouping_override: bool = Field(description="Always false: the code alone says it.")
    job_variables: dict[str, JsonValue] = Field(
        description="What Prefect's work pool starts its runs with, as its code says; it cannot be changed here."
    )
    approval_off: SwitchedOff | None = Field(
        description="Who switched off the approval that its code or an earlier setting asked for; null while it is on."
    )
    created: datetime
    last_updated: datetime
    tags: list[Tag] = Field(description="The tags that its code names, in the order of the code.")
    custom_fields: dict[str, JsonValue]
    computed_fields: dict[str, JsonValue]
    relationships: dict[str, JsonValue]


class JobButton(Object):
    """A button on the pages of objects, which requests a Job with the object's id and type."""

    shown = ("name",)
    object_type: Literal["extras.jobbutton"] = "extras.jobbutton"
    name: str
    text: str = Field(description="The text on it, as it is: no template.")
    job: Reference | Job
    content_types: list[str] = Field(description="The types of the objects on whose pages it is.")
    enabled: bool
    weight: int = Field(description="Its place among others, the lightest first.")
    group_name: str = Field(description="The group of buttons that it is shown with; empty for none.")
    button_class: Choice = Field(description="How it looks.")
    confirmation: bool = Field(description="Whether it asks before it requests anything.")
    created: datetime
    last_updated: datetime


class JobHook(Object):
    """What starts a Job for changes of objects."""

    shown = ("name",)
    object_type: Literal["extras.jobhook"] = "extras.jobhook"
    name: str
    enabled: bool
    content_types: list[str] = Field(description="The types of the objects whose changes it hears of.")
    job: Reference | Job
    type_create: bool = Field(description="Whether it hears of new objects.")
    type_update: bool = Field(description="Whether it hears of changed objects.")
    type_delete: bool = Field(description="Whether it hears of deleted objects.")
    created: datetime
    last_updated: datetime


class Variable(Shape):
    """A variable of a Job. Fields that do not apply to it are left out."""

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
    min_prefix_length: int | None = None
    max_prefix_length: int | None = None
    choices: list[JsonValue] | None = None
    widget: str | None = None
    null_option: str | None = None


class JobTool(Shape):
    """A Job that agents are offered as a tool of its own."""

    job: Job
    variables: list[Variable]


class Group(Object):
    """Users who share permissions."""

    shown = ("name",)
    object_type: Literal["auth.group"] = "auth.group"
    name: str
    user_count: int


class User(Object):
    """A user."""

    shown = ("username",)
    many = ("groups",)

    object_type: Literal["users.user"] = "users.user"
    username: str
    is_active: bool
    is_superuser: bool
    is_agent: bool = Field(description="Whether it is the account of an agent, which asks for a person.")
    provider: str = Field(
        description="The issuer of the identity provider that it is linked with; empty for a local account."
    )
    date_joined: datetime
    groups: list[Reference | Group]


class Token(Object):
    """A token, without its key."""

    object_type: Literal["users.token"] = "users.token"
    user: Reference | User
    created: datetime
    expires: datetime | None
    write_enabled: bool
    description: str
    last_used: datetime | None = Field(description="Recorded once a minute at most; null if it was never used.")
    last_used_from: str = Field(description="The address that it was last used from.")
    made_with: Reference | Token | None = Field(
        description="The token that it was made with, and ends with; null if there was none."
    )


class NewToken(Token):
    """A new token, with its key, which is not shown again."""

    key: str = Field(repr=False)


class Permission(Object):
    """Permission for actions on types of objects, optionally with constraints, for users and groups."""

    shown = ("name",)
    many = ("users", "groups")

    object_type: Literal["users.objectpermission"] = "users.objectpermission"
    name: str
    enabled: bool
    object_types: list[str]
    actions: list[str]
    constraints: JsonValue
    users: list[Reference | User]
    groups: list[Reference | Group]


class AutomationAccount(Object):
    """The account that an automation of Prefect's acts as."""

    shown = ("name",)
    object_type: Literal["extras.automationaccount"] = "extras.automationaccount"
    name: str = Field(description="The name of the automation, whose id in Prefect is `id`.")
    user: Reference | User = Field(description="The account.")
    bound_by: str = Field(description="The name of the user who bound it.")
    created: datetime


class AskingAutomation(Shape):
    """The automation of Prefect's that has requested something."""

    id: UUID
    name: str
    bound_by: str = Field(description="The name of the user who bound it to the account that it acts as.")


class AskingAgent(Shape):
    """For whom the agent asks that has requested something."""

    acts_for: str = Field(description="The name of that person at that time; they count as the requester.")


AGENT = "For whom the agent asks that has requested it; null if no agent has."
REASON = "Why it was requested, in the words of whoever did; empty if they did not say."
AUTOMATION = "The automation that has requested it; null if none has."


class Missed(Shape):
    """What another scheduled job has missed, about which a request asks whether the last of it is to run."""

    of: UUID = Field(description="The id of that scheduled job.")
    count: int = Field(description="How many of its firings were missed.")
    first: datetime
    last: datetime


class ScheduledJob(Object):
    """A request to run a Job, once or repeatedly."""

    shown = ("name", "task", "interval", "enabled", "approval_state")
    object_type: Literal["extras.scheduledjob"] = "extras.scheduledjob"
    name: str
    task: str
    job_model: Reference | Job
    user: Reference | User | None = Field(description="The owner, as whom it runs; null if that user has been removed.")
    interval: str
    start_time: datetime
    time_zone: str
    crontab: str
    misfire: str = Field(
        description="What happens to firings that no worker took in time: `last`, `skip`, `all` or `ask`."
    )
    one_off: bool
    enabled: bool
    failure: str = Field(description="The failure that disabled it; empty if there was none.")
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
    approval_note: str = Field(description="Why it returned to the approval queue, or what is asked.")
    missed: Missed | None = Field(
        description="What was missed, if this asks whether to run that; null for others. Read-only."
    )
    approval_version: str = Field(description="The version of the request; it changes with what would run.")
    approval_off: SwitchedOff | None = Field(
        description="Who had switched the approval of its Job off when it was requested; null if nobody had."
    )
    expires_at: datetime | None = Field(description="When the request expires if it is not decided.")
    requested_from: Reference | JobResult | None = Field(
        description="The job result of the run that has requested it; null if people have."
    )
    automation: AskingAutomation | None = Field(description=AUTOMATION)
    agent: AskingAgent | None = Field(description=AGENT)
    reason: str = Field(description=REASON)


class NamedScheduledJob(Reference):
    """A reference to a scheduled job, with its name."""

    name: str


class GivenApprovals(Shape):
    """What has become of approvals with a change of who may approve, as far as the caller may view it."""

    model_config = ConfigDict(json_schema_serialization_defaults_required=False)

    standing_approvals: list[NamedScheduledJob | ScheduledJob] = Field(
        default=[], description="What was approved by users who can no longer approve it; their approval stands."
    )
    revoked_approvals: list[NamedScheduledJob | ScheduledJob] = Field(
        default=[], description="What a user had approved, and waits for approval again."
    )


class ChangedUser(User, GivenApprovals):
    """A user who was changed; if that concerns approvals, with these."""


class ChangedPermission(Permission, GivenApprovals):
    """A permission that was changed; if that concerns approvals, with these."""


UNFIT = "Why its inputs no longer fit the variables of its Job, so that its runs fail; empty if they do."


class Waiting(ScheduledJob):
    """A request in the approval queue, as the caller sees it."""

    requested_by: str
    asked_at: datetime | None = Field(
        default=None, description="Since when it waits: when it was requested, or returned to the queue."
    )
    may_approve: bool
    why_not_approve: str
    may_deny: bool = False
    why_not_deny: str = Field(
        default="", description="Why the caller may not deny it, or withdraw it if it is their own; empty if they may."
    )
    unfit: str = Field(default="", description=UNFIT)


class Difference(Shape):
    """One value of a request, as it is, and as it was when it was approved last."""

    name: str
    change: Literal["same", "changed", "new", "removed"]
    now: JsonValue = Field(description="The value; null if it was removed.")
    before: JsonValue = Field(description="The earlier value; null if it is new.")


class EarlierApproval(Shape):
    """The last approval of the same request, or else of another one of its Job."""

    name: str
    approved_by: str
    approved_at: datetime


class Review(Shape):
    """A request with everything that its approver should see."""

    scheduled_job: Waiting
    runs_as: str = Field(description="The owner, as whom it would run; empty if that user has been removed.")
    past_due: bool = Field(description="Whether its only start has passed, so that it would run at once.")
    inputs: list[Difference] = Field(description="Its inputs; empty if they may be sensitive.")
    circumstances: list[Difference] = Field(
        description="When and where it would run, and with which job variables, as text."
    )
    compared_with: EarlierApproval | None
    nothing_to_compare: str = Field(description="Why it is compared with nothing; empty if it is compared.")


class ApprovalRequest(Object):
    """A request for approval, also one that has been decided."""

    shown = ("name", "state", "requested_by", "decided_by")
    object_type: Literal["extras.approvalrequest"] = "extras.approvalrequest"
    name: str
    task_name: str = Field(description="The class path of its Job.")
    job_model: Reference | Job
    scheduled_job: Reference | ScheduledJob | None = Field(
        description="What is to be approved; null once it was denied, withdrawn or deleted, and to who may not view it."
    )
    user: Reference | User | None = Field(description="Who requested it; null if that user has been removed.")
    requested_by: str = Field(description="Their name then; empty if it was requested automatically.")
    owner: Reference | User | None = Field(description="As whom it runs; null if that user has been removed.")
    created: datetime
    reason: str = Field(description="Why it was asked again, or what is asked; empty for what people request.")
    expires_at: datetime | None = Field(description="When it expires if it is not decided.")
    state: Choice
    decided_at: datetime | None
    decided_by_user: Reference | User | None
    decided_by: str = Field(description="The name then of who decided; empty if it expired.")
    comment: str = Field(description="What they said.")
    kwargs: dict[str, JsonValue] | None = Field(
        description="The inputs that were decided about; null until then, and if they may be sensitive."
    )
    circumstances: dict[str, str] | None = Field(
        description="When and where it was to run, as text; null until it is decided."
    )
    job_result: Reference | JobResult | None = Field(
        description="The newest run that came of it, as far as the caller may view it."
    )


class Comparison(Shape):
    """What was requested, compared with what was approved before."""

    inputs: list[Difference] = Field(description="Its inputs; empty if they may be sensitive.")
    circumstances: list[Difference] = Field(description="When and where it was to run, as text.")
    compared_with: EarlierApproval | None
    nothing_to_compare: str = Field(description="Why it is compared with nothing; empty if it is compared.")


class FileProxy(Object):
    """A file that a run has made."""

    shown = ("name", "size")
    object_type: Literal["extras.fileproxy"] = "extras.fileproxy"
    name: str
    uploaded_at: datetime
    job_result: Reference
    size: int = Field(description="In bytes.")
    sha256: str = Field(description="The SHA-256 of its content, in hexadecimal digits.")
    download_url: str = Field(description="The address of its content.")


class JobResult(Object):
    """One run of a Job."""

    shown = ("name", "status", "date_done", "id")
    object_type: Literal["extras.jobresult"] = "extras.jobresult"
    flow_run_id: UUID | None
    """Prefect's flow run; null until Prefect has followed."""
    name: str
    task_name: str
    status: Choice
    date_created: datetime
    date_started: datetime | None
    date_done: datetime | None
    nominal_time: datetime | None = Field(
        description="The firing of a scheduled job that it stands for; null if no scheduled job is behind it."
    )
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
    requested_from: Reference | JobResult | None = Field(
        description="The job result of the run that has requested it, or its scheduled job; null if people have."
    )
    automation: AskingAutomation | None = Field(description=AUTOMATION)
    agent: AskingAgent | None = Field(description=AGENT)
    reason: str = Field(description=REASON)
    files: list[FileProxy] = Field(description="The files that the run has made, the oldest first.")
    custom_fields: dict[str, JsonValue]


class JobLogEntry(Object):
    """One line of a job result's log."""

    shown = ("created", "log_level", "message")
    object_type: Literal["extras.joblogentry"] = "extras.joblogentry"
    log_level: str
    grouping: str
    message: str
    log_object: str
    absolute_url: str
    created: datetime
    job_result: Reference | JobResult


class Accepted(Shape):
    """The outcome of a run request: exactly one of the two is set."""

    scheduled_job: ScheduledJob | None
    job_result: JobResult | None


class May(Shape):
    """Whether a user is allowed an action, and if not, the reason."""

    allowed: bool
    reason: str


class Explanation(Shape):
    """Who can do what with a scheduled job, and when it runs next."""

    user: Named
    may: dict[str, May]
    who: dict[str, list[Named]]
    others: dict[str, bool] = Field(
        default={}, description="Whether there are others who may do each, whom the caller may not view."
    )
    unfit: str = Field(default="", description=UNFIT)
    needs_force: bool
    next_firing: datetime | None
    why_not: str


class RequestCheck(Shape):
    """What would become of a request for a run."""

    valid: bool
    errors: list[Any] = Field(description="All that is wrong with it, as the refusals would tell it.")
    needs_approval: bool
    who_may_approve: list[Named] = Field(description="As far as the caller may view these users.")
    others_may_approve: bool = Field(description="Whether there are others, whom the caller may not view.")


class Upcoming(Shape):
    """The next times at which a scheduled job runs."""

    time_zone: str
    why_not: str = Field(description="Why it will not run at these times in its current state; empty if it will.")
    note: str = Field(description="What may surprise people about its crontab; empty if there is nothing to say.")
    firings: list[datetime]


class Page(Shape, Generic[T]):
    """A page of a list."""

    count: int
    next: str | None
    previous: str | None
    results: list[T]


def _dashed(name: str) -> str:
    return name.replace("_", "-")


class Status(Shape):
    """The health and the versions of the server."""

    model_config = ConfigDict(
        alias_generator=AliasGenerator(validation_alias=_dashed, serialization_alias=_dashed),
        serialize_by_alias=True,
        validate_by_name=True,
    )

    signoff_version: str
    prefect_version: str
    prefect: Literal["ok", "unavailable"]
    default_queue_has_worker: bool
    nautobot_version: str = Field(description="The version of Nautobot whose API this is compatible with.")
    python_version: str
    celery_workers_running: int = Field(description="How many workers are there, as far as Prefect answers.")
    installed_apps: dict[str, str] = Field(description="Always empty.")
    plugins: dict[str, str] = Field(description="Always empty.")


class Refusal(Shape):
    """A refusal, as one sentence."""

    detail: str


Faults = dict[str, Any] | list[Any]
"""A refusal of a body: sentences by field."""
