"""Which Jobs are whose favourites, and the changes of one Job found without reading the whole audit."""

import sqlalchemy as sa
from alembic import op

revision = "0036"
down_revision = "0034"
branch_labels = None
depends_on = None
lost = "which Jobs are whose favourites"


def upgrade() -> None:
    op.create_table(
        "favourite_jobs",
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("job_id", sa.Uuid(), nullable=False),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("fk_favourite_jobs_user_id"), ondelete="CASCADE"),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.id"], name=op.f("fk_favourite_jobs_job_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("user_id", "job_id", name=op.f("pk_favourite_jobs")),
    )
    op.create_index(op.f("ix_audit_events_job_id"), "audit_events", ["job_id"])


def downgrade() -> None:
    op.drop_index(op.f("ix_audit_events_job_id"), "audit_events")
    op.drop_table("favourite_jobs")
