"""The tables of accounts: who there is, what he may, and what he signs in with; and how all tables are made.

* A column for each field of a noun of the model, under the same name.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import JSON, Boolean, Column, ForeignKey, MetaData, String, Table, Text, Uuid

from api_shim import model
from api_shim.sessions import Password, Session
from api_shim.store.column_types import Tuple, UtcTime

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


users = Table(
    "users",
    metadata,
    id_column(),
    Column("username", String(150), nullable=False, unique=True),
    flag("is_active"),
    flag("is_superuser"),
    time("created"),
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
)

passwords = Table(
    "passwords",
    metadata,
    reference("users.id", name="user_id", gone="CASCADE", primary_key=True),
    Column("hash", String(255), nullable=False),
)

ACCOUNTS: dict[type[Any], Table] = {
    model.User: users,
    model.Group: groups,
    model.Token: tokens,
    model.Permission: permissions,
    model.UserGroup: user_groups,
    model.PermissionUser: permission_users,
    model.PermissionGroup: permission_groups,
    Session: sessions,
    Password: passwords,
}
