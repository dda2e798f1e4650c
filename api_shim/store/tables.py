"""The tables: one for each class of the domain, with a column of the same name for each of its fields.

* The pair (scheduled job, nominal time) of a job result is unique, so that a firing executes once.
* Audit events and the names of users refer to objects by plain ids, because they outlive them. The database refuses
  to change or delete audit events.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
    Uuid,
)

from api_shim.domain import accounts, model, notifications
from api_shim.domain.accounts import (
    Identity,
    Password,
    RunCredential,
    Session,
    SignInCode,
    UserPreferences,
    WorkerAccount,
)
from api_shim.domain.audit import AuditEvent, AuditHead, EventType
from api_shim.domain.files import InputFile, InputFileUse, ResultContent, ResultFile
from api_shim.domain.model import DeletedRun, JobQueue
from api_shim.domain.recurrence import Interval
from api_shim.domain.triggers import JobButton, JobHook
from api_shim.store.column_types import OpenWord, Tuple, UtcTime, Word
from approval_gate.admission import Misfire, Overlap
from approval_gate.identity import LONGEST_NAME
from approval_gate.lifecycle import ApprovalState

NAMES = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s",
    "pk": "pk_%(table_name)s",
}
metadata = MetaData(naming_convention=NAMES)


def id_column() -> Column[Any]:
    return Column("id", Uuid, primary_key=True)


def reference(target: str, *, name: str, gone: str, **options: Any) -> Column[Any]:
    return Column(name, Uuid, ForeignKey(target, ondelete=gone), **options)


def flag(name: str) -> Column[Any]:
    return Column(name, Boolean, nullable=False)


def time(name: str, *, nullable: bool = False) -> Column[Any]:
    return Column(name, UtcTime, nullable=nullable)


def json(name: str) -> Column[Any]:
    return Column(name, JSON(none_as_null=True))


def origin_columns() -> list[Column[Any]]:
    """Return where a request came from, by a plain id that outlives what it refers to, and what its run is called."""
    return [
        Column("requested_from", Uuid, index=True),
        Column("request_depth", Integer, nullable=False),
        Column("run_name", String(255), nullable=False),
        Column("run_tags", Tuple, nullable=False),
        json("automation"),
        json("agent"),
        Column("reason", String(500), nullable=False),
    ]


# Accounts

users = Table(
    "users",
    metadata,
    id_column(),
    Column("username", String(150), nullable=False, unique=True),
    flag("is_active"),
    flag("is_superuser"),
    flag("is_agent"),
    Column("acts_for_id", Uuid, nullable=True),
    time("created"),
)

user_names = Table(
    "user_names",
    metadata,
    id_column(),
    Column("user_id", Uuid, nullable=False, index=True),
    Column("normal", String(LONGEST_NAME), nullable=False, index=True),
    time("since"),
    time("until", nullable=True),
    flag("shared"),
)

groups = Table("groups", metadata, id_column(), Column("name", String(150), nullable=False, unique=True))

tokens = Table(
    "tokens",
    metadata,
    id_column(),
    reference("users.id", name="user_id", gone="CASCADE", nullable=False, index=True),
    Column("key_hash", String(64), nullable=False, unique=True),
    flag("write_enabled"),
    time("expires", nullable=True),
    time("created"),
    Column("description", String(200), nullable=False),
    time("last_used", nullable=True),
    Column("last_used_from", String(64), nullable=False),
    Column("made_with_id", Uuid, index=True),
)

permissions = Table(
    "permissions",
    metadata,
    id_column(),
    Column("name", String(255), nullable=False, unique=True),
    flag("enabled"),
    Column("object_types", Tuple, nullable=False),
    Column("actions", Tuple, nullable=False),
    json("constraints"),
)

user_groups = Table(
    "user_groups",
    metadata,
    reference("users.id", name="user_id", gone="CASCADE", primary_key=True),
    reference("groups.id", name="group_id", gone="CASCADE", primary_key=True),
)

permission_users = Table(
    "permission_users",
    metadata,
    reference("permissions.id", name="permission_id", gone="CASCADE", primary_key=True),
    reference("users.id", name="user_id", gone="CASCADE", primary_key=True, index=True),
)

permission_groups = Table(
    "permission_groups",
    metadata,
    reference("permissions.id", name="permission_id", gone="CASCADE", primary_key=True),
    reference("groups.id", name="group_id", gone="CASCADE", primary_key=True, index=True),
)

sessions = Table(
    "sessions",
    metadata,
    id_column(),
    reference("users.id", name="user_id", gone="CASCADE", nullable=False, index=True),
    Column("key_hash", String(64), nullable=False, unique=True),
    Column("csrf", String(64), nullable=False),
    reference("tokens.id", name="token_id", gone="CASCADE", index=True),
    Column("notice", Text, nullable=False),
    time("created"),
    time("seen"),
    Column("provider", String(255)),
    Column("refresh_token", Text),
    time("renew_by", nullable=True),
    time("renewing", nullable=True),
    Column("used_from", String(64), nullable=False),
    Column("browser", String(64), nullable=False),
)

identities = Table(
    "identities",
    metadata,
    id_column(),
    reference("users.id", name="user_id", gone="CASCADE", nullable=False, index=True),
    Column("issuer", String(255), nullable=False),
    Column("subject", String(255), nullable=False),
    Column("name", String(255), nullable=False),
    Column("mail", String(255), nullable=False),
    Column("mail_taken", String(255), nullable=False),
    time("created"),
    time("seen", nullable=True),
    UniqueConstraint("issuer", "subject"),
    UniqueConstraint("user_id", "issuer"),
)

sign_in_codes = Table(
    "sign_in_codes",
    metadata,
    id_column(),
    reference("sessions.id", name="session_id", gone="CASCADE", nullable=False, index=True),
    Column("code_hash", String(64), nullable=False, unique=True),
    Column("challenge", String(64), nullable=False),
    time("created"),
)

passwords = Table(
    "passwords",
    metadata,
    reference("users.id", name="user_id", gone="CASCADE", primary_key=True),
    Column("hash", String(255), nullable=False),
)

user_preferences = Table(
    "user_preferences",
    metadata,
    reference("users.id", name="user_id", gone="CASCADE", primary_key=True),
    Column("time_zone", String(255), nullable=False),
    Column("page_size", Integer, nullable=False),
)

favourite_jobs = Table(
    "favourite_jobs",
    metadata,
    reference("users.id", name="user_id", gone="CASCADE", primary_key=True),
    reference("jobs.id", name="job_id", gone="CASCADE", primary_key=True),
)

worker_accounts = Table(
    "worker_accounts",
    metadata,
    reference("users.id", name="user_id", gone="CASCADE", primary_key=True),
    Column("pool", String(255), nullable=False),
)

run_credentials = Table(
    "run_credentials",
    metadata,
    Column("flow_run_id", Uuid, primary_key=True),
    Column("key_hash", String(64), nullable=True, unique=True),
    reference("users.id", name="user_id", gone="CASCADE", nullable=False, index=True),
    time("created"),
)

ACCOUNTS: dict[type[Any], Table] = {
    accounts.User: users,
    accounts.UserName: user_names,
    accounts.Group: groups,
    accounts.Token: tokens,
    accounts.Permission: permissions,
    accounts.UserGroup: user_groups,
    accounts.PermissionUser: permission_users,
    accounts.PermissionGroup: permission_groups,
    Session: sessions,
    Identity: identities,
    SignInCode: sign_in_codes,
    Password: passwords,
    UserPreferences: user_preferences,
    accounts.FavouriteJob: favourite_jobs,
    WorkerAccount: worker_accounts,
    RunCredential: run_credentials,
}


# Jobs, scheduled jobs and job results

jobs = Table(
    "jobs",
    metadata,
    id_column(),
    Column("module_name", String(255), nullable=False),
    Column("job_class_name", String(255), nullable=False),
    Column("grouping", String(255), nullable=False),
    Column("name", String(255), nullable=False, unique=True),
    Column("description", Text, nullable=False),
    flag("installed"),
    flag("enabled"),
    flag("is_job_hook_receiver"),
    flag("is_job_button_receiver"),
    flag("has_sensitive_variables"),
    flag("approval_required"),
    flag("is_singleton"),
    Column("overlap", Word(Overlap), nullable=False),
    flag("hidden"),
    flag("dryrun_default"),
    flag("dryrun_is_safe"),
    flag("read_only"),
    flag("supports_dryrun"),
    Column("soft_time_limit", Float, nullable=False),
    Column("time_limit", Float, nullable=False),
    Column("approval_expires", Float, nullable=False),
    Column("job_queues", Tuple, nullable=False),
    Column("tags", Tuple, nullable=False),
    Column("job_variables", JSON, nullable=False),
    Column("declared", JSON, nullable=False),
    Column("overridden", Tuple, nullable=False),
    Column("code_digest", String(100), nullable=False),
    Column("module_digest", String(64), nullable=False),
    Column("variables", Tuple, nullable=False),
    json("parameter_schema"),
    time("created"),
    time("last_updated"),
    Column("deployment_id", Uuid),
    Column("version", Integer, nullable=False),
    Column("projected_version", Integer, nullable=False),
    json("approval_off"),
    UniqueConstraint("module_name", "job_class_name"),
)

scheduled_jobs = Table(
    "scheduled_jobs",
    metadata,
    id_column(),
    Column("name", String(255), nullable=False, unique=True),
    reference("jobs.id", name="job_id", gone="RESTRICT", nullable=False, index=True),
    reference("users.id", name="owner_id", gone="SET NULL", index=True),
    Column("requester_id", Uuid),
    Column("interval", Word(Interval), nullable=False),
    time("start_time"),
    Column("time_zone", String(255), nullable=False),
    Column("crontab", String(255), nullable=False),
    flag("immediate"),
    Column("inputs", JSON, nullable=False),
    flag("sensitive"),
    Column("queue", String(255), nullable=False),
    Column("description", Text, nullable=False),
    flag("enabled"),
    Column("failure", Text, nullable=False),
    Column("approval", Word(ApprovalState), nullable=False, index=True),
    Column("approval_note", Text, nullable=False),
    reference("users.id", name="approved_by_id", gone="SET NULL", index=True),
    Column("approved_by", String(150), nullable=False),
    time("approved_at", nullable=True),
    Column("approval_comment", Text, nullable=False),
    json("approved"),
    flag("edited"),
    Column("expires_at", UtcTime, index=True),
    Column("question_mark", String(64), nullable=False),
    time("last_run_at", nullable=True),
    Column("total_run_count", Integer, nullable=False),
    time("created"),
    time("date_changed"),
    time("due_from"),
    time("recorded_until", nullable=True),
    Column("deployment_id", Uuid, index=True),
    Column("flow_run_id", Uuid, index=True),
    Column("run_number", Integer, nullable=False),
    flag("run_outdated"),
    Column("version", Integer, nullable=False),
    Column("projected_version", Integer, nullable=False),
    Column("next_look_at", UtcTime, nullable=False, index=True),
    json("approval_off"),
    Column("misfire", Word(Misfire), nullable=False),
    json("missed"),
    *origin_columns(),
)

job_results = Table(
    "job_results",
    metadata,
    id_column(),
    Column("flow_run_id", Uuid, unique=True, index=True),
    reference("jobs.id", name="job_id", gone="SET NULL"),
    reference("scheduled_jobs.id", name="scheduled_job_id", gone="SET NULL"),
    reference("users.id", name="user_id", gone="SET NULL", index=True),
    Column("name", String(255), nullable=False),
    Column("task_name", String(511), nullable=False),
    Column("queue", String(255), nullable=False),
    Column("status", Word(model.Status), nullable=False, index=True),
    time("nominal_time", nullable=True),
    json("inputs"),
    flag("sensitive"),
    json("result"),
    Column("traceback", Text),
    Column("worker", String(255)),
    Column("date_created", UtcTime, nullable=False, index=True),
    time("date_started", nullable=True),
    time("date_done", nullable=True),
    json("approval"),
    Column("attempt", Uuid),
    Column("lease", String(255), nullable=False),
    flag("suspended"),
    flag("released"),
    Column("cancelled_by", String(150), nullable=False),
    json("approval_off"),
    time("waits_since", nullable=True),
    time("asks_at", nullable=True),
    flag("dry_run"),
    *origin_columns(),
    UniqueConstraint("scheduled_job_id", "nominal_time"),
    Index(None, "job_id", "date_created"),
)

result_files = Table(
    "result_files",
    metadata,
    id_column(),
    reference("job_results.id", name="job_result_id", gone="CASCADE", nullable=False, index=True),
    Column("name", String(255), nullable=False),
    Column("size", BigInteger, nullable=False),
    Column("sha256", String(64), nullable=False),
    time("created"),
)

result_contents = Table(
    "result_contents",
    metadata,
    reference("result_files.id", name="file_id", gone="CASCADE", primary_key=True),
    Column("content", LargeBinary, nullable=False),
)

input_files = Table(
    "input_files",
    metadata,
    id_column(),
    Column("content", LargeBinary, nullable=False),
    time("created"),
)

input_file_uses = Table(
    "input_file_uses",
    metadata,
    reference("input_files.id", name="file_id", gone="CASCADE", primary_key=True),
    Column("holder_id", Uuid, primary_key=True, index=True),
)

approval_requests = Table(
    "approval_requests",
    metadata,
    id_column(),
    Column("scheduled_job_id", Uuid, nullable=False, index=True),
    reference("jobs.id", name="job_id", gone="CASCADE", nullable=False, index=True),
    Column("name", String(255), nullable=False),
    Column("task_name", String(511), nullable=False),
    reference("users.id", name="user_id", gone="SET NULL", index=True),
    Column("requested_by", String(150), nullable=False),
    reference("users.id", name="owner_id", gone="SET NULL", index=True),
    Column("created", UtcTime, nullable=False, index=True),
    Column("reason", Text, nullable=False),
    time("expires_at", nullable=True),
    Column("state", Word(ApprovalState), nullable=False),
    Column("decided_at", UtcTime, index=True),
    reference("users.id", name="decided_by_id", gone="SET NULL", index=True),
    Column("decided_by", String(150), nullable=False),
    Column("comment", Text, nullable=False),
    json("decided_inputs"),
    json("circumstances"),
)

leftovers = Table(
    "leftovers",
    metadata,
    id_column(),
    reference("jobs.id", name="job_id", gone="RESTRICT", nullable=False),
    Column("name", String(255), nullable=False),
    Column("message", Text, nullable=False),
    Column("deployment_id", Uuid),
    Column("flow_run_id", Uuid),
    Column("run_number", Integer, nullable=False),
)

spent = Table(
    "spent",
    metadata,
    id_column(),
    Column("flow_run_id", Uuid, index=True),
    reference("scheduled_jobs.id", name="scheduled_job_id", gone="SET NULL", index=True),
    time("nominal_time", nullable=True),
    Column("run_gone", Boolean, nullable=False, index=True),
)

request_keys = Table(
    "request_keys",
    metadata,
    reference("users.id", name="user_id", gone="CASCADE", primary_key=True),
    Column("key", String(64), primary_key=True),
    Column("request", String(64), nullable=False),
    Column("created", UtcTime, nullable=False, index=True),
    Column("scheduled_job_id", Uuid),
    Column("job_result_id", Uuid),
)

job_queues = Table(
    "job_queues",
    metadata,
    id_column(),
    Column("name", String(255), nullable=False, unique=True),
    Column("pool", String(255), nullable=False, server_default=""),
)

job_buttons = Table(
    "job_buttons",
    metadata,
    id_column(),
    Column("name", String(100), nullable=False, unique=True),
    Column("text", String(500), nullable=False),
    reference("jobs.id", name="job_id", gone="CASCADE", nullable=False),
    Column("content_types", Tuple, nullable=False),
    flag("enabled"),
    Column("weight", Integer, nullable=False),
    Column("group_name", String(50), nullable=False),
    Column("button_class", String(50), nullable=False),
    flag("confirmation"),
    time("created"),
    time("last_updated"),
)

job_hooks = Table(
    "job_hooks",
    metadata,
    id_column(),
    Column("name", String(100), nullable=False, unique=True),
    reference("jobs.id", name="job_id", gone="CASCADE", nullable=False),
    Column("content_types", Tuple, nullable=False),
    flag("enabled"),
    flag("type_create"),
    flag("type_update"),
    flag("type_delete"),
    time("created"),
    time("last_updated"),
)

automation_accounts = Table(
    "automation_accounts",
    metadata,
    id_column(),
    Column("name", String(255), nullable=False),
    reference("users.id", name="user_id", gone="CASCADE", nullable=False, index=True),
    Column("digest", String(64), nullable=False),
    Column("bound_by_id", Uuid, nullable=False),
    Column("bound_by", String(150), nullable=False),
    time("created"),
)

notification_choices = Table(
    "notification_choices",
    metadata,
    reference("users.id", name="user_id", gone="CASCADE", primary_key=True),
    Column("topics", Tuple, nullable=False),
    Column("frequency", Word(notifications.Frequency), nullable=False),
    Column("hour", Integer, nullable=False),
)

notification_targets = Table(
    "notification_targets",
    metadata,
    id_column(),
    reference("users.id", name="user_id", gone="CASCADE", nullable=False, index=True),
    Column("way", Word(notifications.Way), nullable=False),
    Column("label", String(255), nullable=False),
    Column("address", Text, nullable=False),
    time("created"),
    flag("confirmed"),
    flag("from_provider"),
    Column("wrong_codes", Integer, nullable=False),
    time("sent_at", nullable=True),
    time("failing_since", nullable=True),
    time("failed_at", nullable=True),
    Column("failure", Text, nullable=False),
    time("retry_at", nullable=True),
    flag("switched_off"),
)

notification_events = Table(
    "notification_events",
    metadata,
    id_column(),
    Column("topic", Word(notifications.Topic), nullable=False),
    time("at"),
    Column("subject_id", Uuid, nullable=False),
    Column("actor_id", Uuid),
    Column("actor", String(150), nullable=False),
    Column("what", String(32), nullable=False),
)

notifications_to_send = Table(
    "notifications",
    metadata,
    id_column(),
    reference("users.id", name="user_id", gone="CASCADE", nullable=False, index=True),
    reference("notification_targets.id", name="target_id", gone="CASCADE", nullable=False),
    Column("event_id", Uuid, nullable=False),
    Column("topic", Word(notifications.Topic), nullable=False),
    time("at"),
    Column("subject_id", Uuid, nullable=False),
    Column("actor", String(150), nullable=False),
    Column("what", String(32), nullable=False),
    Column("due_at", UtcTime, nullable=False, index=True),
    Column("attempts", Integer, nullable=False),
    UniqueConstraint("target_id", "event_id"),
)

notification_marks = Table(
    "notification_marks",
    metadata,
    reference("approval_requests.id", name="request_id", gone="CASCADE", primary_key=True),
    Column("topic", Word(notifications.Topic), primary_key=True),
)

participants = Table(
    "participants",
    metadata,
    reference("scheduled_jobs.id", name="scheduled_job_id", gone="CASCADE", primary_key=True),
    Column("user_id", Uuid, primary_key=True),
    Column("username", String(150), nullable=False),
    flag("owned"),
)

running_servers = Table(
    "running_servers",
    metadata,
    id_column(),
    Column("place", Text, nullable=False),
    Column("process", Integer, nullable=False),
    time("seen"),
    time("followed", nullable=True),
)

held_jobs = Table(
    "held_jobs",
    metadata,
    reference("running_servers.id", name="server_id", gone="CASCADE", primary_key=True),
    reference("jobs.id", name="job_id", gone="CASCADE", primary_key=True),
)


# Audit

audit_events = Table(
    "audit_events",
    metadata,
    Column("number", Integer, primary_key=True, autoincrement=False),
    time("at"),
    Column("act", OpenWord(EventType), nullable=False, index=True),
    Column("actor_id", Uuid),
    Column("actor", String(150), nullable=False),
    Column("name", String(255), nullable=False, index=True),
    Column("scheduled_job_id", Uuid, index=True),
    Column("job_id", Uuid, index=True),
    Column("flow_run_id", Uuid, index=True),
    Column("deployment_id", Uuid),
    Column("data", JSON, nullable=False),
    Column("previous_hash", String(64), nullable=False),
    Column("hash", String(64), nullable=False),
)

audit_heads = Table(
    "audit_heads",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("number", Integer, nullable=False),
    Column("hash", String(64), nullable=False),
    Column("announced", Integer, nullable=False),
    Column("key", String(64), nullable=False),
    Column("signature", String(128), nullable=False),
)

HELD_BY_ONE = user_names.c.until.is_(None) & user_names.c.shared.is_(False)

Index(
    "ix_user_names_held",
    user_names.c.normal,
    unique=True,
    sqlite_where=HELD_BY_ONE,
    postgresql_where=HELD_BY_ONE,
)

Index(
    "ix_job_results_unreleased",
    job_results.c.id,
    sqlite_where=job_results.c.released.is_(False),
    postgresql_where=job_results.c.released.is_(False),
)

Index(
    "ix_scheduled_jobs_lagging",
    scheduled_jobs.c.id,
    sqlite_where=scheduled_jobs.c.projected_version < scheduled_jobs.c.version,
    postgresql_where=scheduled_jobs.c.projected_version < scheduled_jobs.c.version,
)

TABLES: dict[type[Any], Table] = {
    **ACCOUNTS,
    model.Job: jobs,
    model.ScheduledJob: scheduled_jobs,
    model.JobResult: job_results,
    ResultFile: result_files,
    ResultContent: result_contents,
    InputFile: input_files,
    InputFileUse: input_file_uses,
    model.ApprovalRequest: approval_requests,
    model.PendingCleanup: leftovers,
    model.Participant: participants,
    model.RequestKey: request_keys,
    JobQueue: job_queues,
    JobButton: job_buttons,
    JobHook: job_hooks,
    model.AutomationAccount: automation_accounts,
    notifications.NotificationChoice: notification_choices,
    notifications.NotificationTarget: notification_targets,
    notifications.NotificationEvent: notification_events,
    notifications.Notification: notifications_to_send,
    notifications.NotificationMark: notification_marks,
    DeletedRun: spent,
    model.RunningServer: running_servers,
    model.HeldJob: held_jobs,
    AuditEvent: audit_events,
    AuditHead: audit_heads,
}
