"""The newest result of each Job is found without looking at the others."""

from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None
lost = ""


def upgrade() -> None:
    op.create_index(op.f("ix_job_results_job_id_date_created"), "job_results", ["job_id", "date_created"])
    op.drop_index(op.f("ix_job_results_job_id"), "job_results")


def downgrade() -> None:
    op.create_index(op.f("ix_job_results_job_id"), "job_results", ["job_id"])
    op.drop_index(op.f("ix_job_results_job_id_date_created"), "job_results")
