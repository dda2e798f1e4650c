"""Which servers run, and which Jobs each of them has."""

import sqlalchemy as sa
from alembic import op

revision = "0019"
down_revision = "0018"
branch_labels = None
depends_on = None
lost = "which servers have which Jobs; a Job of another server counts as not installed until that server tells again"


def upgrade() -> None:
    op.create_table(
        "running_servers",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("place", sa.Text(), nullable=False),
        sa.Column("process", sa.Integer(), nullable=False),
        sa.Column("seen", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_running_servers")),
    )
    op.create_table(
        "held_jobs",
        sa.Column("server_id", sa.Uuid(), nullable=False),
        sa.Column("job_id", sa.Uuid(), nullable=False),
        sa.ForeignKeyConstraint(
            ["server_id"], ["running_servers.id"], name=op.f("fk_held_jobs_server_id"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.id"], name=op.f("fk_held_jobs_job_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("server_id", "job_id", name=op.f("pk_held_jobs")),
    )


def downgrade() -> None:
    op.drop_table("held_jobs")
    op.drop_table("running_servers")
