"""The objects that the store keeps, as frozen values; a change makes a copy (``dataclasses.replace``).

* Field names are the store's column names, and the contract's names where it has them.
* Times are aware and in UTC. Ids are UUIDs made by the outer layers.
* ``version`` grows with every change that Prefect must follow; ``projected_version`` is the version that Prefect has.
* A job queue is identified by its name, so its id is derived from the name. The store knows every queue that a Job has
  ever named, or that somebody has made, and its work pool; Prefect knows which workers serve it.
* A run whose result was deleted does not execute again, and its firing stays taken. The record of that stays until
  Prefect's run is removed too, and for as long as the scheduled job exists.

Contract 3, 5 and 7.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any
from uuid import NAMESPACE_URL, UUID, uuid5

from api_shim.domain.recurrence import Interval, Recurrence
from approval_gate import policy
from approval_gate.admission import Misfire, Overlap
from approval_gate.binding import Binding
from approval_gate.lifecycle import ApprovalState

Json = Any
NEVER = datetime.max.replace(tzinfo=UTC)
"""A moment that never comes: there is nothing to check again."""


class Status(StrEnum):
    """The status of a job result (contract 7)."""

    PENDING = "PENDING"
    STARTED = "STARTED"
    SUCCESS = "SUCCESS"
    FAILURE = "FAILURE"
    REVOKED = "REVOKED"

    @property
    def final(self) -> bool:
        return self in {Status.SUCCESS, Status.FAILURE, Status.REVOKED}


SwitchedOff = Mapping[str, Json]
"""Who switched the approval of a Job off (``by``; empty if that is not known) and when (``at``), in JSON form."""

AskingAutomation = Mapping[str, Json]
"""The automation of Prefect's that has requested something: its ``id`` and ``name``, and who bound it to the account
that it acts as (``bound_by_id``, ``bound_by``), in JSON form."""

AskingAgent = Mapping[str, Json]
"""For whom the agent that has requested something asks (``for_id``, and their name at that time, ``for``), whether that
needs approval because an agent asks (``needs_approval``), and after how many seconds it expires if nobody decides about
it (``expires_after``; 0 for never), in JSON form."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Job:
    """A Job with its effective values: those that its code declares, or an administrator's overrides.

    ``declared`` has the code's values of the fields that can be overridden, so that an override can be removed while
    the code is not installed. ``overridden`` names the fields that an administrator has overridden. ``approval_off``
    tells who switched approval off, while it is.
    """

    id: UUID
    module_name: str
    job_class_name: str
    grouping: str
    name: str
    description: str = ""
    installed: bool = True
    enabled: bool = False
    is_job_hook_receiver: bool = False
    is_job_button_receiver: bool = False
    has_sensitive_variables: bool = True
    approval_required: bool = False
    is_singleton: bool = False
    overlap: Overlap = Overlap.ALLOW
    hidden: bool = False
    dryrun_default: bool = False
    dryrun_is_safe: bool = False
    read_only: bool = False
    supports_dryrun: bool = False
    soft_time_limit: float = 0.0
    time_limit: float = 0.0
    approval_expires: float = 0.0
    job_queues: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    job_variables: Mapping[str, Json] = field(default_factory=dict)
    declared: Mapping[str, Json]
    overridden: tuple[str, ...] = ()
    code_digest: str = ""
    module_digest: str = ""
    variables: tuple[Json, ...] = ()
    parameter_schema: Json = None
    created: datetime
    last_updated: datetime
    deployment_id: UUID | None = None
    version: int = 1
    projected_version: int = 0
    approval_off: SwitchedOff | None = None

    @property
    def class_path(self) -> str:
        return f"{self.module_name}.{self.job_class_name}"

    @property
    def lags(self) -> bool:
        """Whether Prefect has not followed its last change."""
        return self.projected_version < self.version

    @property
    def runnable(self) -> policy.Runnable:
        """What matters when somebody wants to run it."""
        return policy.Runnable(
            enabled=self.enabled, installed=self.installed, is_job_hook_receiver=self.is_job_hook_receiver
        )

    @property
    def default_queue(self) -> str:
        return self.queues[0]

    @property
    def queues(self) -> tuple[str, ...]:
        return self.job_queues or (DEFAULT_QUEUE,)


DEFAULT_QUEUE = "default"
"""The work queue of Jobs that name none; every Prefect work pool has it."""

OVERRIDABLE = (
    "description",
    "approval_required",
    "has_sensitive_variables",
    "is_singleton",
    "hidden",
    "dryrun_default",
    "soft_time_limit",
    "time_limit",
    "job_queues",
)
"""The fields of a Job that an administrator can override, each with its ``<field>_override`` (contract 3)."""


class Encrypted(Mapping[str, Json]):
    """Inputs that stay encrypted until somebody looks into them, which raises ``Unavailable`` if they cannot be read.

    Args:
        text: the inputs, encrypted: another text whenever they are encrypted anew.
    """

    __slots__ = ("text",)

    def __init__(self, text: str) -> None:
        self.text = text


@dataclass(frozen=True, kw_only=True, slots=True)
class ScheduledJob:
    """One request to run a Job, once or repeatedly (contract 5).

    Args:
        owner_id: the user it runs as; None if they have been removed.
        requester_id: the user who requested it, whoever owns it now.
        immediate: whether it was requested to run at once, so that it is never past due.
        inputs: the validated inputs of its runs, in JSON form.
        sensitive: whether the store keeps its inputs encrypted, because its Job may have sensitive ones.
        failure: why a failure disabled it; empty if it was disabled otherwise.
        approval_note: why it returned to the approval queue.
        approved_by: the approver's name at that time.
        approved: what the approval is bound to.
        edited: whether somebody has changed what it runs, or whom it runs as, since it was made or last decided.
        expires_at: when the request expires if nobody decides about it.
        question_mark: the fingerprint of the approval form that Prefect should show.
        due_from: firings before this moment are not due, for example because it was created or enabled later.
        recorded_until: every firing that was due until this moment has a record.
        deployment_id: the Prefect deployment of a recurring one, once it exists.
        flow_run_id: the Prefect flow run of a one-off, once it is known.
        run_number: how many runs have been created to replace earlier ones.
        run_outdated: that flow run was created before the inputs or the queue were changed; another run replaces it.
        next_look_at: when Prefect must be brought up to date again, although nothing has changed here.
        approval_off: who had switched the approval of its Job off when it was requested or changed; None if nobody.
        misfire: what becomes of the firings that nothing could run in time.
        missed: of a request to run what another scheduled job has missed: that one's id (``of``), how many firings
            (``count``), and the ``first`` and the ``last`` of them, in JSON form.
        requested_from: the job result of the run that has requested it; None if people have.
        request_depth: how many requests from runs there are in the line that ends with it.
        run_name: what its run is called in Prefect, where that is not its own name; else empty.
        run_tags: the tags of its run in Prefect, beside our own.
        automation: the automation that has requested it; None if none has.
        agent: for whom the agent asks that has requested it; None if none has.
        reason: why it was requested, in the words of whoever did; empty if they did not say.
    """

    id: UUID
    name: str
    job_id: UUID
    owner_id: UUID | None
    requester_id: UUID | None
    interval: Interval
    start_time: datetime
    time_zone: str
    crontab: str = ""
    immediate: bool = False
    inputs: Mapping[str, Json]
    sensitive: bool = False
    queue: str
    description: str = ""
    enabled: bool = True
    failure: str = ""
    approval: ApprovalState = ApprovalState.NOT_REQUIRED
    approval_note: str = ""
    approved_by_id: UUID | None = None
    approved_by: str = ""
    approved_at: datetime | None = None
    approval_comment: str = ""
    approved: Binding | None = None
    edited: bool = False
    expires_at: datetime | None = None
    question_mark: str = ""
    last_run_at: datetime | None = None
    total_run_count: int = 0
    created: datetime
    date_changed: datetime
    due_from: datetime
    recorded_until: datetime | None = None
    deployment_id: UUID | None = None
    flow_run_id: UUID | None = None
    run_number: int = 0
    run_outdated: bool = False
    version: int = 1
    projected_version: int = 0
    next_look_at: datetime = NEVER
    approval_off: SwitchedOff | None = None
    misfire: Misfire = Misfire.LAST
    missed: Mapping[str, Json] | None = None
    requested_from: UUID | None = None
    request_depth: int = 0
    run_name: str = ""
    run_tags: tuple[str, ...] = ()
    automation: AskingAutomation | None = None
    agent: AskingAgent | None = None
    reason: str = ""

    @property
    def origin(self) -> dict[str, Any]:
        """What is said of where it comes from, by field; what runs because of it comes from there too."""
        return {
            "requested_from": self.requested_from,
            "request_depth": self.request_depth,
            "automation": self.automation,
            "agent": self.agent,
            "reason": self.reason,
        }

    @property
    def parameters(self) -> Mapping[str, Json]:
        """Its inputs as Prefect is given them: none if they may be sensitive."""
        return {} if self.sensitive else self.inputs

    def hides_inputs(self, job: Job) -> bool:
        """Say whether its inputs are shown to nobody, because they may be sensitive.

        Args:
            job: its Job, whose mark may be newer.
        """
        return job.has_sensitive_variables or self.sensitive

    @property
    def one_off(self) -> bool:
        return not self.interval.recurring

    @property
    def called(self) -> str:
        """What its run is called in Prefect."""
        return self.run_name or self.name

    @property
    def is_spent(self) -> bool:
        """Whether its only run has been let go."""
        return self.one_off and self.total_run_count > 0

    @property
    def lags(self) -> bool:
        """Whether Prefect has not followed its last change."""
        return self.projected_version < self.version

    @property
    def may_fire(self) -> bool:
        return self.enabled and self.approval.lets_run

    @property
    def awaits_decision(self) -> bool:
        return self.enabled and self.approval is ApprovalState.PENDING

    def is_past_due(self, now: datetime) -> bool:
        """Say whether its only start has passed."""
        return self.one_off and not self.immediate and self.start_time < now

    @property
    def recurrence(self) -> Recurrence:
        """The times at which a recurring one fires."""
        return Recurrence(
            interval=self.interval,
            start_time=self.start_time,
            time_zone=self.time_zone,
            crontab=self.crontab,
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class Participant:
    """A user who requested or has owned a scheduled job, or (not ``owned``) changed it, or had a hand in the run that
    has requested it; kept if they are removed.
    """

    scheduled_job_id: UUID
    user_id: UUID
    username: str
    owned: bool = True


@dataclass(frozen=True, kw_only=True, slots=True)
class JobResult:
    """One run of a Job (contract 7).

    Args:
        flow_run_id: the id of the Prefect flow run, once it is known.
        nominal_time: the firing that it executes, for a run of a scheduled job.
        inputs: its inputs; None after a sensitive run has ended, or if there were none.
        approval: who approved it and when, with the comment; None if it needed no approval.
        attempt: the process that was admitted; there is at most one.
        lease: the name of the worker with which that process ends; empty if it may outlive its worker.
        suspended: whether its own code has suspended it, and it has not gone on since.
        released: whether Prefect is up to date: the run exists and may start, or has been told to end.
        cancelled_by: the name of the user who cancelled it, or what did; empty if nobody has.
        approval_off: who had switched the approval of its Job off when it was requested; None if nobody.
        waits_since: since when it waits for its turn among the runs of its Job; None if it has not had to.
        asks_at: while it waits for its turn, when it asks again.
        dry_run: whether it is a dry run, as its inputs tell when it is requested, and again when it is let go.
        requested_from: the job result of the run that has requested it, or its scheduled job; None if people have.
        request_depth: how many requests from runs there are in the line that ends with it.
        run_name: what its run is called in Prefect, where that is not its own name; else empty.
        run_tags: the tags of its run in Prefect, beside our own.
        automation: the automation that has requested it; None if none has.
        agent: for whom the agent asks that has requested it; None if none has.
        reason: why it was requested, in the words of whoever did; empty if they did not say.
    """

    id: UUID
    flow_run_id: UUID | None = None
    job_id: UUID | None
    scheduled_job_id: UUID | None = None
    user_id: UUID | None
    name: str
    task_name: str
    queue: str
    status: Status = Status.PENDING
    nominal_time: datetime | None = None
    inputs: Mapping[str, Json] | None = None
    sensitive: bool = False
    result: Json = None
    traceback: str | None = None
    worker: str | None = None
    date_created: datetime
    date_started: datetime | None = None
    date_done: datetime | None = None
    approval: Json = None
    attempt: UUID | None = None
    lease: str = ""
    suspended: bool = False
    released: bool = False
    cancelled_by: str = ""
    approval_off: SwitchedOff | None = None
    waits_since: datetime | None = None
    asks_at: datetime | None = None
    dry_run: bool = False
    requested_from: UUID | None = None
    request_depth: int = 0
    run_name: str = ""
    run_tags: tuple[str, ...] = ()
    automation: AskingAutomation | None = None
    agent: AskingAgent | None = None
    reason: str = ""

    @property
    def can_be_resumed(self) -> bool:
        """Whether its own code has suspended it, and nothing has ended it since."""
        return self.suspended and not self.status.final and not self.cancelled_by

    @property
    def resumed(self) -> bool:
        """Whether it was resumed after its own code had suspended it, and has yet to go on."""
        return self.suspended and self.attempt is None

    @property
    def waits_its_turn(self) -> bool:
        """Whether it has asked, and waits for its turn among the runs of its Job."""
        return self.waits_since is not None and self.status is Status.PENDING


@dataclass(frozen=True, kw_only=True, slots=True)
class ApprovalRequest:
    """One request for approval of a scheduled job, from when it is asked until it is decided, and ever after.

    A scheduled job that returns to the queue is asked about again, by another one.

    Args:
        scheduled_job_id: the scheduled job, which is deleted when it is denied or withdrawn.
        name: its name when it was last seen.
        task_name: the class path of its Job.
        user_id: who requested it; None if they have been removed.
        requested_by: their name at that time; empty if nobody has asked.
        owner_id: whom it runs as; None if they have been removed.
        reason: why it was asked again, or what is asked; empty for a request that people have made.
        state: pending until it is decided.
        decided_by_id: who decided; None if nobody has, or if they have been removed.
        decided_by: their name at that time; empty if it expired.
        comment: what they said.
        decided_inputs: the inputs that were decided about, in JSON form; None until then, and if it may be sensitive.
        circumstances: when and where it was to run, as labelled text; None until it is decided.
    """

    id: UUID
    scheduled_job_id: UUID
    job_id: UUID
    name: str
    task_name: str
    user_id: UUID | None
    requested_by: str
    owner_id: UUID | None
    created: datetime
    reason: str = ""
    expires_at: datetime | None = None
    state: ApprovalState = ApprovalState.PENDING
    decided_at: datetime | None = None
    decided_by_id: UUID | None = None
    decided_by: str = ""
    comment: str = ""
    decided_inputs: Mapping[str, Json] | None = None
    circumstances: Mapping[str, str] | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class PendingCleanup:
    """What a deleted scheduled job may have left in Prefect, kept until it is removed there too.

    Args:
        name: the name of its deployment.
        message: the message of the state in which its run ends.
    """

    id: UUID
    job_id: UUID
    name: str
    message: str
    deployment_id: UUID | None = None
    flow_run_id: UUID | None = None
    run_number: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class RequestKey:
    """A request that came with a key, and what it has become.

    Args:
        user_id: whose key it is.
        key: the digest of the key.
        request: the digest of the request.
        scheduled_job_id: what it has become, or else the job result.
    """

    user_id: UUID
    key: str
    request: str
    created: datetime
    scheduled_job_id: UUID | None = None
    job_result_id: UUID | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class JobQueue:
    """A queue.

    Args:
        pool: the work pool that it belongs to; empty for that of the server.
    """

    id: UUID
    name: str
    pool: str = ""


def queue_id(name: str) -> UUID:
    """Return the id of a job queue."""
    return uuid5(NAMESPACE_URL, f"signoff:job-queue:{name}")


def tag_id(name: str) -> UUID:
    """Return the id of a tag of Jobs, which is nothing but its name."""
    return uuid5(NAMESPACE_URL, f"signoff:tag:{name}")


def queue_of(name: str, pool: str = "") -> JobQueue:
    """Return the queue of this name in a work pool."""
    return JobQueue(id=queue_id(name), name=name, pool=pool)


@dataclass(frozen=True, kw_only=True, slots=True)
class AutomationAccount:
    """The account that an automation of Prefect's acts as.

    Args:
        id: that of the automation, in Prefect.
        name: the name of the automation, which is part of what was bound.
        user_id: the account.
        digest: what the automation was when it was bound (``ports.Automation``).
        bound_by_id: the id of who bound it.
        bound_by: their name at that time.
    """

    id: UUID
    name: str
    user_id: UUID
    digest: str
    bound_by_id: UUID
    bound_by: str
    created: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class DeletedRun:
    """A run that has executed, and whose result was deleted; its id is that of the result.

    Args:
        flow_run_id: the id of the Prefect flow run, if it had one.
        scheduled_job_id: the scheduled job, if the run was a firing.
        nominal_time: the nominal time, if the run was a firing.
        run_gone: whether Prefect has removed the run.
    """

    id: UUID
    flow_run_id: UUID | None = None
    scheduled_job_id: UUID | None = None
    nominal_time: datetime | None = None
    run_gone: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class RunningServer:
    """A server, as it was last heard of.

    Args:
        place: the machine and the home folder; empty where the database can have one server only.
        process: the number of its process on that machine.
        seen: when it last told that it is there.
        followed: when it last told that it makes Prefect follow; None for one that does not.
    """

    id: UUID
    place: str
    process: int
    seen: datetime
    followed: datetime | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class HeldJob:
    """A Job that a server has found among its modules."""

    server_id: UUID
    job_id: UUID


UNKNOWN_USER = "somebody unknown"
"""The name shown for a user whose name is not recorded."""
