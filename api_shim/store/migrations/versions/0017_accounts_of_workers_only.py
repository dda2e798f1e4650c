"""An account that is a worker's needs no other permission; and who has taken a run that has no credential is known.

Until now such an account needed to write to Prefect. From whom that was taken away works no longer, as before.
"""

from typing import Any
from uuid import UUID

import sqlalchemy as sa
from alembic import op

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None
lost = "who has taken the runs that have no credential; accounts of workers need to write to Prefect again"

WORKERS = sa.table("worker_accounts", sa.column("user_id", sa.Uuid))
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


def upgrade() -> None:
    with op.batch_alter_table("run_credentials") as table:
        table.alter_column("key_hash", existing_type=sa.String(length=64), nullable=True)
    connection = op.get_bind()
    for user_id in _who_may_not_write(connection):
        connection.execute(sa.delete(WORKERS).where(WORKERS.c.user_id == user_id))


def _who_may_not_write(connection: sa.Connection) -> set[UUID]:
    by_group = sa.select(OF_GROUPS.c.permission_id, MEMBERS.c.user_id).where(MEMBERS.c.group_id == OF_GROUPS.c.group_id)
    given = sa.union(sa.select(OF_USERS.c.permission_id, OF_USERS.c.user_id), by_group).subquery()
    held = sa.select(given.c.user_id, PERMISSIONS.c.object_types, PERMISSIONS.c.actions, PERMISSIONS.c.enabled)
    rows: Any = connection.execute(held.where(PERMISSIONS.c.id == given.c.permission_id))
    may = {
        user_id for user_id, types, actions, enabled in rows if enabled and "prefect" in types and "write" in actions
    }
    return {*connection.execute(sa.select(WORKERS.c.user_id)).scalars()} - may


def downgrade() -> None:
    op.execute("DELETE FROM run_credentials WHERE key_hash IS NULL")
    with op.batch_alter_table("run_credentials") as table:
        table.alter_column("key_hash", existing_type=sa.String(length=64), nullable=False)
