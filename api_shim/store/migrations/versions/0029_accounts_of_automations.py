"""The accounts that automations act as, and which requests they have made."""

import sqlalchemy as sa
from alembic import op

revision = "0029"
down_revision = "0028"
branch_labels = None
depends_on = None
lost = "which accounts automations act as, which requests they have made, and who may bind them"
TYPES = ("extras.automationaccount",)
TABLES = ("scheduled_jobs", "job_results")


def upgrade() -> None:
    op.create_table(
        "automation_accounts",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.String(255), nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("digest", sa.String(64), nullable=False),
        sa.Column("bound_by_id", sa.Uuid(), nullable=False),
        sa.Column("bound_by", sa.String(150), nullable=False),
        sa.Column("created", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["user_id"], ["users.id"], name=op.f("fk_automation_accounts_user_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_automation_accounts")),
    )
    op.create_index(op.f("ix_automation_accounts_user_id"), "automation_accounts", ["user_id"])
    for table in TABLES:
        op.add_column(table, sa.Column("automation", sa.JSON(none_as_null=True), nullable=True))


def downgrade() -> None:
    for table in TABLES:
        op.drop_column(table, "automation")
    op.drop_table("automation_accounts")
    _forget_types()


def _forget_types() -> None:
    """Take the types that are new out of permissions: before, one that is not known made a permission grant nothing."""
    permissions = sa.table("permissions", sa.column("id", sa.Uuid()), sa.column("object_types", sa.JSON()))
    connection = op.get_bind()
    for row in connection.execute(sa.select(permissions)).mappings().all():
        kept = [kind for kind in row["object_types"] if kind not in TYPES]
        if kept != row["object_types"]:
            connection.execute(permissions.update().where(permissions.c.id == row["id"]).values(object_types=kept))
