"""The tables, one for each noun of the model; a column for each of its fields, under the same name.

* Times are stored in UTC and come back aware; one without a zone is a fault of ours and is refused.
* Enumerations are stored as their values, tuples as JSON lists.
* The (scheduled job, nominal time) of a job result is unique: a firing executes once.
"""

from __future__ import annotations

from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import (
    JSON,
    Boolean,
    Column,
    DateTime,
    Float,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    TypeDecorator,
    UniqueConstraint,
    Uuid,
)
from sqlalchemy.engine import Dialect

from api_shim import model
from api_shim.recurrence import Interval
from approval_gate.model import ApprovalState

NAMES = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s",
    "pk": "pk_%(table_name)s",
}
metadata = MetaData(naming_convention=NAMES)


class UtcTime(TypeDecorator[datetime]):
    """An aware time, stored in UTC."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002 - SQLAlchemy's signature
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError(f"A time without a zone cannot be stored: {value!r}")
        return value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002 - SQLAlchemy's signature
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


class Word(TypeDecorator[StrEnum]):
    """A member of an enumeration, stored as its value."""

    impl = String(32)
    cache_ok = True

    def __init__(self, members: type[StrEnum]) -> None:
        super().__init__()
        self.members = members

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:  # noqa: ARG002 - SQLAlchemy's signature
        return None if value is None else str(value)

    def process_result_value(self, value: str | None, dialect: Dialect) -> StrEnum | None:  # noqa: ARG002 - SQLAlchemy's signature
        return None if value is None else self.members(value)


class Tuple(TypeDecorator[tuple[Any, ...]]):
    """A tuple of JSON values."""

    impl = JSON(none_as_null=True)
    cache_ok = True

    def process_result_value(self, value: list[Any] | None, dialect: Dialect) -> tuple[Any, ...]:  # noqa: ARG002 - SQLAlchemy's signature
        return tuple(value or ())


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
    Column("interval", Word(Interval), nullable=False),
    _time("start_time"),
    Column("time_zone", String(255), nullable=False),
    Column("crontab", String(255), nullable=False),
    Column("inputs", JSON, nullable=False),
    Column("queue", String(255), nullable=False),
    Column("description", Text, nullable=False),
    _flag("enabled"),
    Column("approval", Word(ApprovalState), nullable=False),
    _time("last_run_at", nullable=True),
    Column("total_run_count", Integer, nullable=False),
    _time("created"),
    _time("date_changed"),
    _time("due_from"),
    Column("deployment_id", Uuid, index=True),
    Column("flow_run_id", Uuid, index=True),
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
    Column("deployment_id", Uuid),
    Column("flow_run_id", Uuid),
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
}
