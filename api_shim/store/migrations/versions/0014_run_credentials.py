"""Credentials of runs, and which accounts are workers'.

Until now every account that may write to Prefect counted as a worker's. Those that can do nothing else go on as
workers: no superusers, nobody with a password, or with another permission of their own or of a group.
"""

from typing import Any
from uuid import UUID

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None
lost = "the credentials of runs under way, which end without them, and the marks of the accounts of workers"

USERS = sa.table("users", sa.column("id", sa.Uuid), sa.column("is_superuser", sa.Boolean))
PASSWORDS = sa.table("passwords", sa.column("user_id", sa.Uuid))
PERMISSIONS = sa.table(
    "permissions",
    sa.column("id", sa.Uuid),
    sa.column("enabled", sa.Boolean),
    sa.column("object_types", sa.JSON),
    sa.column("actions", sa.JSON),
)
OF_USERS = sa.table("permission_users", sa.column("permission_id", sa.Uuid), sa.column("user_id", sa.Uuid))
OF_GROUPS = sa.table("permission_groups", sa.column("permission_id", sa.Uuid), sa.column("group_id", sa.Uuid))
MEMBERS = sa.table("user_groups", sa.column("user_id", sa.Uuid), sa.column("group_id", sa.Uuid))
WORKERS = sa.table("worker_accounts", sa.column("user_id", sa.Uuid), sa.column("pool", sa.String))


def upgrade() -> None:
    op.create_table(
        "worker_accounts",
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("pool", sa.String(length=255), nullable=False),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("fk_worker_accounts_user_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("user_id", name=op.f("pk_worker_accounts")),
    )
    op.create_table(
        "run_credentials",
        sa.Column("flow_run_id", sa.Uuid(), nullable=False),
        sa.Column("key_hash", sa.String(length=64), nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("created", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("fk_run_credentials_user_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("flow_run_id", name=op.f("pk_run_credentials")),
        sa.UniqueConstraint("key_hash", name=op.f("uq_run_credentials_key_hash")),
    )
    op.create_index(op.f("ix_run_credentials_user_id"), "run_credentials", ["user_id"])
    connection = op.get_bind()
    if found := _workers(connection):
        # Of which pool is known at the next start.
        connection.execute(sa.insert(WORKERS), [{"user_id": user_id, "pool": ""} for user_id in found])


def downgrade() -> None:
    op.drop_table("run_credentials")
    op.drop_table("worker_accounts")


def _workers(connection: sa.Connection) -> list[UUID]:
    by_group = sa.select(OF_GROUPS.c.permission_id, MEMBERS.c.user_id).where(MEMBERS.c.group_id == OF_GROUPS.c.group_id)
    given = sa.union(sa.select(OF_USERS.c.permission_id, OF_USERS.c.user_id), by_group).subquery()
    held = sa.select(given.c.user_id, PERMISSIONS.c.object_types, PERMISSIONS.c.actions, PERMISSIONS.c.enabled)
    held = held.where(PERMISSIONS.c.id == given.c.permission_id)
    permissions: dict[UUID, list[Any]] = {}
    for user_id, object_types, actions, enabled in connection.execute(held):
        permissions.setdefault(user_id, []).append((object_types, "write" in actions and enabled))
    people = sa.select(PASSWORDS.c.user_id).union(sa.select(USERS.c.id).where(USERS.c.is_superuser))
    others = set(connection.execute(people).scalars())
    return [
        user_id
        for user_id, each in permissions.items()
        if user_id not in others
        and all(object_types == ["prefect"] for object_types, _ in each)
        and any(writes for _, writes in each)
    ]
