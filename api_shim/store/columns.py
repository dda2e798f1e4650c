"""What can be asked of each type of object, by the contract's lookup paths: in constraints, filters and sorting."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import ColumnElement, FromClause, String, cast, literal, select

from api_shim.store.sql_filters import value_types
from api_shim.store.tables import (
    approval_requests,
    automation_accounts,
    groups,
    job_buttons,
    job_hooks,
    job_queues,
    job_results,
    jobs,
    permissions,
    scheduled_jobs,
    tokens,
    users,
)
from approval_gate.model import ObjectType


@dataclass(frozen=True, kw_only=True, slots=True)
class FilterableColumns:
    """The lookup paths of one type.

    Args:
        columns: path to column, in the order in which errors list them.
        listed: what lists can be filtered and sorted by besides; constraints cannot speak of it.
        searched: the paths that ``q`` searches.
        order: how a list is ordered when nobody says.
    """

    columns: Mapping[str, ColumnElement[Any]]
    listed: Mapping[str, ColumnElement[Any]] = field(default_factory=dict)
    searched: tuple[str, ...]
    order: tuple[str, ...]

    @property
    def every(self) -> Mapping[str, ColumnElement[Any]]:
        """All paths that a list can be filtered and sorted by."""
        return {**self.columns, **self.listed}


approvers = users.alias("approvers")

_JOB_MODEL = {
    "job_model__name": jobs.c.name,
    "job_model__grouping": jobs.c.grouping,
    "job_model__module_name": jobs.c.module_name,
    "job_model__job_class_name": jobs.c.job_class_name,
}

LOOKUPS: dict[ObjectType, FilterableColumns] = {
    ObjectType.JOB: FilterableColumns(
        columns={
            name: jobs.c[name]
            for name in (
                "id",
                "name",
                "grouping",
                "module_name",
                "job_class_name",
                "description",
                "installed",
                "enabled",
                "approval_required",
                "has_sensitive_variables",
                "hidden",
                "is_singleton",
                "read_only",
                "is_job_hook_receiver",
                "is_job_button_receiver",
            )
        },
        listed={
            name: jobs.c[name]
            for name in (
                "supports_dryrun",
                "dryrun_default",
                "soft_time_limit",
                "time_limit",
                "created",
                "last_updated",
            )
        }
        # A list of queues, or tags, is compared before the store is asked (``services.queries``).
        | dict.fromkeys(("job_queues", "job_queues__name"), cast(jobs.c.job_queues, String))
        | dict.fromkeys(("tags", "tags__name"), cast(jobs.c.tags, String)),
        searched=("name", "grouping", "description"),
        order=("grouping", "name"),
    ),
    ObjectType.SCHEDULED_JOB: FilterableColumns(
        columns={
            "id": scheduled_jobs.c.id,
            "name": scheduled_jobs.c.name,
            "interval": scheduled_jobs.c.interval,
            "enabled": scheduled_jobs.c.enabled,
            "start_time": scheduled_jobs.c.start_time,
            "time_zone": scheduled_jobs.c.time_zone,
            "queue": scheduled_jobs.c.queue,
            "description": scheduled_jobs.c.description,
            "last_run_at": scheduled_jobs.c.last_run_at,
            "total_run_count": scheduled_jobs.c.total_run_count,
            "user": scheduled_jobs.c.owner_id,
            "user__username": users.c.username,
            "job_model": scheduled_jobs.c.job_id,
            **_JOB_MODEL,
        },
        listed={
            "crontab": scheduled_jobs.c.crontab,
            "misfire": scheduled_jobs.c.misfire,
            "requested_from": scheduled_jobs.c.requested_from,
            "approval_state": scheduled_jobs.c.approval,
            "approved_at": scheduled_jobs.c.approved_at,
            "date_changed": scheduled_jobs.c.date_changed,
            "approved_by_user": scheduled_jobs.c.approved_by_id,
            "approved_by_user__username": approvers.c.username,
        },
        searched=("name", "job_model__module_name", "job_model__job_class_name", "description"),
        order=("name",),
    ),
    ObjectType.JOB_RESULT: FilterableColumns(
        columns={
            "id": job_results.c.id,
            "name": job_results.c.name,
            "status": job_results.c.status,
            "date_created": job_results.c.date_created,
            "date_started": job_results.c.date_started,
            "date_done": job_results.c.date_done,
            "task_name": job_results.c.task_name,
            "user": job_results.c.user_id,
            "user__username": users.c.username,
            "scheduled_job": job_results.c.scheduled_job_id,
            "job_model": job_results.c.job_id,
            **_JOB_MODEL,
        },
        listed={
            "flow_run_id": job_results.c.flow_run_id,
            "queue": job_results.c.queue,
            "dry_run": job_results.c.dry_run,
            "nominal_time": job_results.c.nominal_time,
            "requested_from": job_results.c.requested_from,
            "scheduled_job__name": scheduled_jobs.c.name,
        },
        searched=("name", "task_name"),
        order=("-date_created",),
    ),
    ObjectType.JOB_QUEUE: FilterableColumns(
        columns={name: job_queues.c[name] for name in ("id", "name", "pool")},
        searched=("name",),
        order=("name",),
    ),
    ObjectType.JOB_BUTTON: FilterableColumns(
        columns={
            **{name: job_buttons.c[name] for name in ("id", "name", "text", "enabled", "weight", "group_name")},
            **{name: job_buttons.c[name] for name in ("button_class", "confirmation")},
            "job": job_buttons.c.job_id,
            "job__name": jobs.c.name,
        },
        listed={name: job_buttons.c[name] for name in ("created", "last_updated")},
        searched=("name", "text"),
        order=("weight", "name"),
    ),
    ObjectType.JOB_HOOK: FilterableColumns(
        columns={
            **{name: job_hooks.c[name] for name in ("id", "name", "enabled")},
            **{name: job_hooks.c[name] for name in ("type_create", "type_update", "type_delete")},
            "job": job_hooks.c.job_id,
            "job__name": jobs.c.name,
        },
        listed={name: job_hooks.c[name] for name in ("created", "last_updated")},
        searched=("name",),
        order=("name",),
    ),
    ObjectType.AUTOMATION_ACCOUNT: FilterableColumns(
        columns={
            "id": automation_accounts.c.id,
            "name": automation_accounts.c.name,
            "user": automation_accounts.c.user_id,
            "user__username": users.c.username,
            "bound_by": automation_accounts.c.bound_by,
            "created": automation_accounts.c.created,
        },
        searched=("name", "user__username"),
        order=("name",),
    ),
    ObjectType.APPROVAL_REQUEST: FilterableColumns(
        columns={
            "id": approval_requests.c.id,
            "name": approval_requests.c.name,
            "state": approval_requests.c.state,
            "task_name": approval_requests.c.task_name,
            "created": approval_requests.c.created,
            "decided_at": approval_requests.c.decided_at,
            "requested_by": approval_requests.c.requested_by,
            "decided_by": approval_requests.c.decided_by,
            "comment": approval_requests.c.comment,
            "user": approval_requests.c.user_id,
            "user__username": users.c.username,
            "owner": approval_requests.c.owner_id,
            "decided_by_user": approval_requests.c.decided_by_id,
            "decided_by_user__username": approvers.c.username,
            "job_model": approval_requests.c.job_id,
            **_JOB_MODEL,
        },
        listed={
            "scheduled_job": approval_requests.c.scheduled_job_id,
        },
        searched=("name", "task_name", "requested_by", "decided_by", "comment"),
        order=("-created",),
    ),
    ObjectType.USER: FilterableColumns(
        columns={name: users.c[name] for name in ("id", "username", "is_active", "is_superuser", "created")},
        searched=("username",),
        order=("username",),
    ),
    ObjectType.GROUP: FilterableColumns(
        columns={name: groups.c[name] for name in ("id", "name")},
        searched=("name",),
        order=("name",),
    ),
    ObjectType.TOKEN: FilterableColumns(
        columns={
            "id": tokens.c.id,
            "user": tokens.c.user_id,
            "user__username": users.c.username,
            "write_enabled": tokens.c.write_enabled,
            "expires": tokens.c.expires,
            "created": tokens.c.created,
        },
        listed={name: tokens.c[name] for name in ("description", "last_used", "last_used_from")}
        | {"made_with": tokens.c.made_with_id},
        searched=("user__username",),
        order=("user__username", "created"),
    ),
    ObjectType.PERMISSION: FilterableColumns(
        columns={name: permissions.c[name] for name in ("id", "name", "enabled")},
        searched=("name",),
        order=("name",),
    ),
}

_ALONE: Mapping[ObjectType, FromClause] = {
    ObjectType.JOB: jobs,
    ObjectType.JOB_QUEUE: job_queues,
    ObjectType.USER: users,
    ObjectType.GROUP: groups,
    ObjectType.PERMISSION: permissions,
}
"""The types whose lookup paths reach no other table."""

_JOINED: Mapping[ObjectType, tuple[FromClause, tuple[tuple[FromClause, ColumnElement[bool]], ...]]] = {
    ObjectType.SCHEDULED_JOB: (
        scheduled_jobs,
        (
            (users, scheduled_jobs.c.owner_id == users.c.id),
            (approvers, scheduled_jobs.c.approved_by_id == approvers.c.id),
            (jobs, scheduled_jobs.c.job_id == jobs.c.id),
        ),
    ),
    ObjectType.JOB_RESULT: (
        job_results,
        (
            (users, job_results.c.user_id == users.c.id),
            (scheduled_jobs, job_results.c.scheduled_job_id == scheduled_jobs.c.id),
            (jobs, job_results.c.job_id == jobs.c.id),
        ),
    ),
    ObjectType.JOB_BUTTON: (job_buttons, ((jobs, job_buttons.c.job_id == jobs.c.id),)),
    ObjectType.JOB_HOOK: (job_hooks, ((jobs, job_hooks.c.job_id == jobs.c.id),)),
    ObjectType.AUTOMATION_ACCOUNT: (automation_accounts, ((users, automation_accounts.c.user_id == users.c.id),)),
    ObjectType.APPROVAL_REQUEST: (
        approval_requests,
        (
            (users, approval_requests.c.user_id == users.c.id),
            (approvers, approval_requests.c.decided_by_id == approvers.c.id),
            (jobs, approval_requests.c.job_id == jobs.c.id),
        ),
    ),
    ObjectType.TOKEN: (tokens, ((users, tokens.c.user_id == users.c.id),)),
}
"""The table of each other type, and those that its lookup paths reach: each row has one row of them at most."""


def path_types(kinds: Collection[ObjectType]) -> Mapping[str, type]:
    """Return the lookup paths that all of these types have, each with the type of its values."""
    each = [value_types(LOOKUPS[kind].columns) if kind in LOOKUPS else {} for kind in kinds]
    return {path: kind for path, kind in each[0].items() if all(path in paths for paths in each)} if each else {}


def joined(kind: ObjectType, conditions: Iterable[ColumnElement[bool]] | None = None) -> FromClause:
    """Return the table of a type, joined with those that its lookup paths reach.

    Args:
        kind: the type.
        conditions: what is asked of it, to join only what that reaches, so that many rows are counted without looking
            at as many others; None for all.
    """
    if kind in _ALONE:
        return _ALONE[kind]
    source, others = _JOINED[kind]
    reached = None if conditions is None else {*select(literal(1)).where(*conditions).get_final_froms()}
    for other, condition in others:
        if reached is None or other in reached:
            source = source.outerjoin(other, condition)
    return source
