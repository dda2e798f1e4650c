"""Job hooks and job buttons, and which Jobs buttons are for."""

import sqlalchemy as sa
from alembic import op

revision = "0030"
down_revision = "0029"
branch_labels = None
depends_on = None
lost = "the job hooks and the job buttons, and who may make them"
TYPES = ("extras.jobbutton", "extras.jobhook")


def upgrade() -> None:
    op.add_column("jobs", sa.Column("is_job_button_receiver", sa.Boolean(), nullable=False, server_default=sa.false()))

    op.create_table(
        "job_buttons",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.String(100), nullable=False),
        sa.Column("text", sa.String(500), nullable=False),
        sa.Column("job_id", sa.Uuid(), nullable=False),
        sa.Column("content_types", sa.JSON(), nullable=False),
        sa.Column("enabled", sa.Boolean(), nullable=False),
        sa.Column("weight", sa.Integer(), nullable=False),
        sa.Column("group_name", sa.String(50), nullable=False),
        sa.Column("button_class", sa.String(50), nullable=False),
        sa.Column("confirmation", sa.Boolean(), nullable=False),
        sa.Column("created", sa.DateTime(timezone=True), nullable=False),
        sa.Column("last_updated", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_job_buttons"),
        sa.UniqueConstraint("name", name="uq_job_buttons_name"),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.id"], name="fk_job_buttons_job_id", ondelete="CASCADE"),
    )
    op.create_table(
        "job_hooks",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.String(100), nullable=False),
        sa.Column("job_id", sa.Uuid(), nullable=False),
        sa.Column("content_types", sa.JSON(), nullable=False),
        sa.Column("enabled", sa.Boolean(), nullable=False),
        sa.Column("type_create", sa.Boolean(), nullable=False),
        sa.Column("type_update", sa.Boolean(), nullable=False),
        sa.Column("type_delete", sa.Boolean(), nullable=False),
        sa.Column("created", sa.DateTime(timezone=True), nullable=False),
        sa.Column("last_updated", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_job_hooks"),
        sa.UniqueConstraint("name", name="uq_job_hooks_name"),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.id"], name="fk_job_hooks_job_id", ondelete="CASCADE"),
    )


def downgrade() -> None:
    op.drop_table("job_hooks")
    op.drop_table("job_buttons")
    op.drop_column("jobs", "is_job_button_receiver")
    _forget_types()


def _forget_types() -> None:
    """Take the types that are new out of permissions: before, one that is not known made a permission grant nothing."""
    permissions = sa.table("permissions", sa.column("id", sa.Uuid()), sa.column("object_types", sa.JSON()))
    connection = op.get_bind()
    for row in connection.execute(sa.select(permissions)).mappings().all():
        kept = [kind for kind in row["object_types"] if kind not in TYPES]
        if kept != row["object_types"]:
            connection.execute(permissions.update().where(permissions.c.id == row["id"]).values(object_types=kept))
