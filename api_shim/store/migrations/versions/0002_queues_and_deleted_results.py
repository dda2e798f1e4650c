"""Job queues by name, and what stays of deleted job results."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None
lost = "which runs of deleted job results have executed, so that they could execute again"


def upgrade() -> None:
    op.create_table(
        "job_queues",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_job_queues")),
        sa.UniqueConstraint("name", name=op.f("uq_job_queues_name")),
    )
    op.create_table(
        "spent",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("scheduled_job_id", sa.Uuid(), nullable=True),
        sa.Column("nominal_time", sa.DateTime(timezone=True), nullable=True),
        sa.Column("run_gone", sa.Boolean(), nullable=False),
        sa.ForeignKeyConstraint(
            ["scheduled_job_id"],
            ["scheduled_jobs.id"],
            name=op.f("fk_spent_scheduled_job_id"),
            ondelete="SET NULL",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_spent")),
    )
    op.create_index(op.f("ix_spent_scheduled_job_id"), "spent", ["scheduled_job_id"])
    op.create_index(op.f("ix_spent_run_gone"), "spent", ["run_gone"])


def downgrade() -> None:
    op.drop_table("spent")
    op.drop_table("job_queues")
