"""The tables, one for each noun of the model; a column for each of its fields, under the same name.

* The (scheduled job, nominal time) of a job result is unique: a firing executes once.
* Audit events speak of things by plain ids: they outlive them. No database lets them be changed or deleted.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    JSON,
    Boolean,
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
    Uuid,
)

from api_shim import model
from api_shim.audit import Act, AuditEvent, AuditHead
from api_shim.job_queues import JobQueue
from api_shim.recurrence import Interval
from api_shim.spent import Spent
from api_shim.store.column_types import Tuple, UtcTime, Word
from approval_gate.lifecycle import ApprovalState

NAMES = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s",
    "pk": "pk_%(table_name)s",
}
metadata = MetaData(naming_convention=NAMES)


def _id() -> Column[Any]:
    return Column("id", Uuid, primary_key=True)


def _to(target: str, *, name: str, gone: str, **options: Any) -> Column[Any]:
    return Column(name, Uuid, ForeignKey(target, ondelete=gone), **options)


def _flag(name: str) -> Column[Any]:
    return Column(name, Boolean, nullable=False)


def _time(name: str, *, nullable: bool = False) -> Column[Any]:
    return Column(name, UtcTime, nullable=nullable)


def _json(name: str) -> Column[Any]:
    return Column(name, JSON(none_as_null=True))


users = Table(
    "users",
    metadata,
    _id(),
    Column("username", String(150), nullable=False, unique=True),
    _flag("is_active"),
    _flag("is_superuser"),
    _time("created"),
)

groups = Table("groups", metadata, _id(), Column("name", String(150), nullable=False, unique=True))

tokens = Table(
    "tokens",
    metadata,
    _id(),
    _to("users.id", name="user_id", gone="CASCADE", nullable=False, index=True),
    Column("key_hash", String(64), nullable=False, unique=True),
    _flag("write_enabled"),
    _time("expires", nullable=True),
    _time("created"),
)

permissions = Table(
    "permissions",
    metadata,
    _id(),
    Column("name", String(255), nullable=False, unique=True),
    _flag("enabled"),
    Column("object_types", Tuple, nullable=False),
    Column("actions", Tuple, nullable=False),
    _json("constraints"),
)

user_groups = Table(
    "user_groups",
    metadata,
    _to("users.id", name="user_id", gone="CASCADE", primary_key=True),
    _to("groups.id", name="group_id", gone="CASCADE", primary_key=True),
)

permission_users = Table(
    "permission_users",
    metadata,
    _to("permissions.id", name="permission_id", gone="CASCADE", primary_key=True),
    _to("users.id", name="user_id", gone="CASCADE", primary_key=True, index=True),
)

permission_groups = Table(
    "permission_groups",
    metadata,
    _to("permissions.id", name="permission_id", gone="CASCADE", primary_key=True),
    _to("groups.id", name="group_id", gone="CASCADE", primary_key=True, index=True),
)

jobs = Table(
    "jobs",
    metadata,
    _id(),
    Column("module_name", String(255), nullable=False),
    Column("job_class_name", String(255), nullable=False),
    Column("grouping", String(255), nullable=False),
    Column("name", String(255), nullable=False, unique=True),
    Column("description", Text, nullable=False),
    _flag("installed"),
    _flag("enabled"),
    _flag("is_job_hook_receiver"),
    _flag("has_sensitive_variables"),
    _flag("approval_required"),
    _flag("is_singleton"),
    _flag("hidden"),
    _flag("dryrun_default"),
    _flag("read_only"),
    _flag("supports_dryrun"),
    Column("soft_time_limit", Float, nullable=False),
    Column("time_limit", Float, nullable=False),
    Column("approval_expires", Float, nullable=False),
    Column("job_queues", Tuple, nullable=False),
    Column("declared", JSON, nullable=False),
    Column("overridden", Tuple, nullable=False),
    Column("code_digest", String(64), nullable=False),
    Column("variables", Tuple, nullable=False),
    _json("parameter_schema"),
    _time("created"),
    _time("last_updated"),
    Column("deployment_id", Uuid),
    Column("version", Integer, nullable=False),
    Column("projected_version", Integer, nullable=False),
    UniqueConstraint("module_name", "job_class_name"),
)

scheduled_jobs = Table(
    "scheduled_jobs",
    metadata,
    _id(),
    Column("name", String(255), nullable=False, unique=True),
    _to("jobs.id", name="job_id", gone="RESTRICT", nullable=False, index=True),
    _to("users.id", name="owner_id", gone="SET NULL", index=True),
    Column("requester_id", Uuid),
    Column("interval", Word(Interval), nullable=False),
    _time("start_time"),
    Column("time_zone", String(255), nullable=False),
    Column("crontab", String(255), nullable=False),
    _flag("immediate"),
    Column("inputs", JSON, nullable=False),
    Column("queue", String(255), nullable=False),
    Column("description", Text, nullable=False),
    _flag("enabled"),
    Column("failure", Text, nullable=False),
    Column("approval", Word(ApprovalState), nullable=False, index=True),
    Column("approval_note", Text, nullable=False),
    _to("users.id", name="approved_by_id", gone="SET NULL"),
    Column("approved_by", String(150), nullable=False),
    _time("approved_at", nullable=True),
    Column("approval_comment", Text, nullable=False),
    _json("approved"),
    Column("expires_at", UtcTime, index=True),
    Column("question_mark", String(64), nullable=False),
    _time("last_run_at", nullable=True),
    Column("total_run_count", Integer, nullable=False),
    _time("created"),
    _time("date_changed"),
    _time("due_from"),
    Column("deployment_id", Uuid, index=True),
    Column("flow_run_id", Uuid, index=True),
    _flag("run_outdated"),
    Column("version", Integer, nullable=False),
    Column("projected_version", Integer, nullable=False),
    Column("next_look_at", UtcTime, nullable=False, index=True),
)

job_results = Table(
    "job_results",
    metadata,
    _id(),
    _to("jobs.id", name="job_id", gone="SET NULL", index=True),
    _to("scheduled_jobs.id", name="scheduled_job_id", gone="SET NULL"),
    _to("users.id", name="user_id", gone="SET NULL", index=True),
    Column("name", String(255), nullable=False),
    Column("task_name", String(511), nullable=False),
    Column("queue", String(255), nullable=False),
    Column("status", Word(model.Status), nullable=False, index=True),
    _time("nominal_time", nullable=True),
    _json("inputs"),
    _flag("sensitive"),
    _json("result"),
    Column("traceback", Text),
    Column("worker", String(255)),
    Column("date_created", UtcTime, nullable=False, index=True),
    _time("date_started", nullable=True),
    _time("date_done", nullable=True),
    _json("approval"),
    Column("attempt", Uuid),
    _flag("released"),
    UniqueConstraint("scheduled_job_id", "nominal_time"),
)

leftovers = Table(
    "leftovers",
    metadata,
    _id(),
    _to("jobs.id", name="job_id", gone="RESTRICT", nullable=False),
    Column("name", String(255), nullable=False),
    Column("message", Text, nullable=False),
    Column("deployment_id", Uuid),
    Column("flow_run_id", Uuid),
)

spent = Table(
    "spent",
    metadata,
    _id(),
    _to("scheduled_jobs.id", name="scheduled_job_id", gone="SET NULL", index=True),
    _time("nominal_time", nullable=True),
    Column("run_gone", Boolean, nullable=False, index=True),
)

job_queues = Table("job_queues", metadata, _id(), Column("name", String(255), nullable=False, unique=True))

participants = Table(
    "participants",
    metadata,
    _to("scheduled_jobs.id", name="scheduled_job_id", gone="CASCADE", primary_key=True),
    Column("user_id", Uuid, primary_key=True),
    Column("username", String(150), nullable=False),
    _flag("owned"),
)

audit_events = Table(
    "audit_events",
    metadata,
    Column("number", Integer, primary_key=True, autoincrement=False),
    _time("at"),
    Column("act", Word(Act), nullable=False, index=True),
    Column("actor_id", Uuid),
    Column("actor", String(150), nullable=False),
    Column("name", String(255), nullable=False),
    Column("scheduled_job_id", Uuid, index=True),
    Column("job_id", Uuid),
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
)

Index(
    "ix_scheduled_jobs_lagging",
    scheduled_jobs.c.id,
    sqlite_where=scheduled_jobs.c.projected_version < scheduled_jobs.c.version,
    postgresql_where=scheduled_jobs.c.projected_version < scheduled_jobs.c.version,
)

TABLES: dict[type[Any], Table] = {
    model.User: users,
    model.Group: groups,
    model.Token: tokens,
    model.Permission: permissions,
    model.UserGroup: user_groups,
    model.PermissionUser: permission_users,
    model.PermissionGroup: permission_groups,
    model.Job: jobs,
    model.ScheduledJob: scheduled_jobs,
    model.JobResult: job_results,
    model.Leftover: leftovers,
    model.Participant: participants,
    JobQueue: job_queues,
    Spent: spent,
    AuditEvent: audit_events,
    AuditHead: audit_heads,
}
